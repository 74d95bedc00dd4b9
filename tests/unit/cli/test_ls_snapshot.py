"""`hdfsd lsSnapshot`."""

from __future__ import annotations

import pytest
from snapshot_calls import HDFS, snapshot_calls, status

from hdfsd.base.errors import SnapshotFault
from hdfsd.cli.ls_snapshot import main
from hdfsd.wire.messages import client_namenode, hdfs

Capture = pytest.CaptureFixture[str]


def test_one_line_for_each(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    found = hdfs.SnapshotListingProto(
        snapshotListing=[
            hdfs.SnapshotStatusProto(
                dirStatus=status(name), snapshotID=number, parent_fullpath=b"/d", isDeleted=False
            )
            for name, number in (("a", 9), ("b", 10))
        ]
    )
    with snapshot_calls(monkeypatch) as calls:
        calls.answers["getSnapshotListing"] = client_namenode.GetSnapshotListingResponseProto(
            snapshotList=found
        )
        assert main([*HDFS, "/d/../d"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("  9 ACTIVE /d/.snapshot/a")
    assert second.endswith(" 10 ACTIVE /d/.snapshot/b")
    ((_, request),) = calls.asked
    assert request == client_namenode.GetSnapshotListingRequestProto(snapshotRoot="/d")


def test_what_goes_wrong_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with snapshot_calls(monkeypatch) as calls:
        calls.answers["getSnapshotListing"] = SnapshotFault("not snapshottable\n\tat X")
        assert main([*HDFS, "/d"]) == 1
        assert main(["/d"]) == 1
        assert main([*HDFS]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[:4] == [
        "lsSnapshot: not snapshottable",
        "lsSnapshot: FileSystem file:/// is not an HDFS file system",
        "Invalid no of arguments",
        "Usage: ",
    ]
