"""`hdfsd lsSnapshottableDir`."""

from __future__ import annotations

import pytest
from snapshot_calls import HDFS, snapshot_calls, status

from hdfsd.base.errors import AccessControl
from hdfsd.cli.ls_snapshottable_dir import main
from hdfsd.wire.messages import client_namenode, hdfs

Capture = pytest.CaptureFixture[str]


def test_one_line_for_each(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    found = hdfs.SnapshottableDirectoryListingProto(
        snapshottableDirListing=[
            hdfs.SnapshottableDirectoryStatusProto(
                dirStatus=status("d"),
                snapshot_quota=65536,
                snapshot_number=3,
                parent_fullpath=b"/",
            )
        ]
    )
    response = client_namenode.GetSnapshottableDirListingResponseProto
    with snapshot_calls(monkeypatch) as calls:
        calls.answers["getSnapshottableDirListing"] = [
            response(snapshottableDirList=found),
            response(),
        ]
        assert main([*HDFS]) == 0
        assert main([*HDFS]) == 0
    line, empty = capsys.readouterr().out.splitlines()
    assert line.startswith("drwxr-xr-t 0 root supergroup 0 19")
    assert line.endswith(" 3 65536 /d")
    assert empty == ""


def test_what_goes_wrong_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    with snapshot_calls(monkeypatch) as calls:
        calls.answers["getSnapshottableDirListing"] = AccessControl("not you\n\tat X")
        assert main([*HDFS]) == 1
        assert main([]) == 1
        assert main([*HDFS, "/d"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[:4] == [
        "lsSnapshottableDir: not you",
        "LsSnapshottableDir can only be used in DistributedFileSystem",
        "Usage: ",
        "hdfs lsSnapshottableDir: ",
    ]
