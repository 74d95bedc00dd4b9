"""`hdfsd snapshotDiff`."""

from __future__ import annotations

import pytest
from snapshot_calls import HDFS, snapshot_calls

from hdfsd.base.errors import SnapshotFault
from hdfsd.cli.snapshot_diff import main, snapshot_name
from hdfsd.wire.messages import client_namenode, hdfs

Capture = pytest.CaptureFixture[str]


def test_names_as_typed() -> None:
    typed = (".", "s1", ".snapshot/s1", "/.snapshot/s1", "a/.snapshot/s1")
    assert [snapshot_name(word) for word in typed] == ["", "s1", "s1", "s1", "a/.snapshot/s1"]


def test_the_report_and_an_empty_line(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    report = hdfs.SnapshotDiffReportProto(
        snapshotRoot="/d",
        fromSnapshot="s1",
        toSnapshot="",
        diffReportEntries=[hdfs.SnapshotDiffReportEntryProto(fullpath=b"", modificationLabel="M")],
    )
    with snapshot_calls(monkeypatch) as calls:
        calls.answers["getSnapshotDiffReport"] = client_namenode.GetSnapshotDiffReportResponseProto(
            diffReport=report
        )
        assert main([*HDFS, "/d/", ".snapshot/s1", "."]) == 0
    assert capsys.readouterr().out == (
        "Difference between snapshot s1 and current directory under directory /d:\nM\t.\n\n"
    )


def test_what_goes_wrong_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with snapshot_calls(monkeypatch) as calls:
        calls.answers["getSnapshotDiffReportListing"] = SnapshotFault("no snapshot\n\tat X")
        assert main([*HDFS, "/d", "s1", "s2"]) == 1
        assert main(["/d", "s1", "s2"]) == 1
        assert main([*HDFS, "/d", "s1"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[:4] == [
        "snapshotDiff: no snapshot",
        "SnapshotDiff can only be used in DistributedFileSystem",
        "Usage: ",
        "hdfs snapshotDiff <snapshotDir> <from> <to>:",
    ]
