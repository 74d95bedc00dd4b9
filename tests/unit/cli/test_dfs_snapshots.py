"""`hdfsd dfs -createSnapshot` and its like: words, codes, and what is asked of the NameNode."""

from __future__ import annotations

import pytest
from snapshot_calls import HDFS, snapshot_calls, status

from hdfsd.base.errors import SnapshotFault
from hdfsd.cli.dfs import main
from hdfsd.wire.messages import client_namenode, hdfs

Capture = pytest.CaptureFixture[str]


def test_they_ask_and_tell(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    with snapshot_calls(monkeypatch) as calls:
        calls.answers["createSnapshot"] = client_namenode.CreateSnapshotResponseProto(
            snapshotPath="/d/.snapshot/s1"
        )
        assert main([*HDFS, "-createSnapshot", "/d", "s1"]) == 0
        assert main([*HDFS, "-createSnapshot", "/d"]) == 0
        assert main([*HDFS, "-renameSnapshot", "/d", "s1", "s2"]) == 0
        assert main([*HDFS, "-deleteSnapshot", "/d", "s2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Created snapshot /d/.snapshot/s1",
        "Created snapshot /d/.snapshot/s1",
        "Renamed snapshot s1 to s2 under hdfs://nn:8020/d",
        "Deleted snapshot s2 under hdfs://nn:8020/d",
    ]
    assert calls.asked == [
        (
            "createSnapshot",
            client_namenode.CreateSnapshotRequestProto(snapshotRoot="/d", snapshotName="s1"),
        ),
        ("createSnapshot", client_namenode.CreateSnapshotRequestProto(snapshotRoot="/d")),
        (
            "renameSnapshot",
            client_namenode.RenameSnapshotRequestProto(
                snapshotRoot="/d", snapshotOldName="s1", snapshotNewName="s2"
            ),
        ),
        (
            "deleteSnapshot",
            client_namenode.DeleteSnapshotRequestProto(snapshotRoot="/d", snapshotName="s2"),
        ),
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("-createSnapshot",), "<snapshotDir> is missing."),
        (("-createSnapshot", "/d", "a", "b"), "Too many arguments."),
        (("-deleteSnapshot", "/d"), "Incorrect number of arguments."),
        (("-renameSnapshot", "/d", "a"), "Incorrect number of arguments."),
    ],
)
def test_wrong_words(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: tuple[str, ...], reason: str
) -> None:
    with snapshot_calls(monkeypatch) as calls:
        assert main([*HDFS, *words]) == 255
    first, usage = capsys.readouterr().err.splitlines()
    assert first == f"{words[0]}: {reason}"
    assert usage.startswith(f"Usage: hadoop fs [generic options] {words[0]} <snapshotDir>")
    assert calls.asked == []


def test_what_is_no_directory_is_never_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with snapshot_calls(monkeypatch) as calls:
        assert main([*HDFS, "-createSnapshot", "/d/f", "s1"]) == 1
        assert main([*HDFS, "-deleteSnapshot", "/none", "s1"]) == 1
        assert main([*HDFS, "-createSnapshot", "file:/", "s1"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "createSnapshot: `/d/f': Is not a directory",
        "deleteSnapshot: `/none': No such file or directory",
        "createSnapshot: file:///: files of this machine have no snapshots",
    ]
    assert calls.asked == []


def test_a_refusal_in_the_words_of_the_server(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with snapshot_calls(monkeypatch) as calls:
        calls.answers["deleteSnapshot"] = SnapshotFault("there is none\n\tat some.Class")
        assert main([*HDFS, "-deleteSnapshot", "/d", "s1"]) == 1
    assert capsys.readouterr().err == "deleteSnapshot: there is none\n"


def test_the_directory_of_snapshots_has_no_owner_and_no_column_for_one(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with snapshot_calls(monkeypatch) as calls:
        calls.files["/d/.snapshot"] = status(".snapshot", owner="", group="")
        assert main([*HDFS, "-ls", "-d", "/d/.snapshot"]) == 0
        assert main([*HDFS, "-ls", "-d", "/d/.snapshot", "/d"]) == 0
    alone, beside, _ = capsys.readouterr().out.splitlines()
    assert alone.startswith("drwxr-xr-t   -          0 19")
    assert beside.startswith("drwxr-xr-t   -          0 19")


def test_quotas_are_counted_with_snapshots(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    summary = hdfs.ContentSummaryProto(
        length=10,
        fileCount=3,
        directoryCount=2,
        quota=100,
        spaceConsumed=10,
        spaceQuota=1000,
        snapshotLength=4,
        snapshotFileCount=2,
        snapshotDirectoryCount=1,
        snapshotSpaceConsumed=4,
    )
    with snapshot_calls(monkeypatch) as calls:
        calls.answers["getContentSummary"] = client_namenode.GetContentSummaryResponseProto(
            summary=summary
        )
        assert main([*HDFS, "-count", "/d"]) == 0
        assert main([*HDFS, "-count", "-x", "/d"]) == 0
        assert main([*HDFS, "-count", "-q", "-x", "/d"]) == 0
    with_them, without, warning, quotas = capsys.readouterr().out.splitlines()
    assert with_them.split() == ["2", "3", "10", "/d"]
    assert without.split() == ["1", "1", "6", "/d"]
    assert warning == "q or u option is given, the -x option is ignored."
    assert quotas.split() == ["100", "95", "1000", "990", "2", "3", "10", "/d"]
