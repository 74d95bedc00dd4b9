"""Requests about snapshots, and their lists as Hadoop's tools show them."""

from __future__ import annotations

import pytest
from snapshot_calls import SnapshotCalls, status

from hdfsd.base.errors import HdfsdError, NoSuchMethod, RemoteFault, Unsupported
from hdfsd.cli.snapshots import Listed, Snapshots, table
from hdfsd.client.snapshot_diff import Difference
from hdfsd.wire.messages import client_namenode, hdfs


def listed(path: str, *details: str, owner: str = "root", group: str = "g") -> Listed:
    return Listed(path, 0o755, owner, group, 0, details)


def test_lists_line_up() -> None:
    rows = [listed("/a", "9", "65536"), listed("/b", "10", "7", owner="longer")]
    lines = table(rows).splitlines()
    assert [line[:30] for line in lines] == [
        "drwxr-xr-x 0 root   g 0 1970-0",
        "drwxr-xr-x 0 longer g 0 1970-0",
    ]
    assert lines[0].endswith("  9 65536 /a")
    assert lines[1].endswith(" 10     7 /b")


def test_words_are_not_filled_up_and_empty_columns_left_out() -> None:
    rows = [
        listed("/d/.snapshot/a", "1", "ACTIVE", owner="", group=""),
        listed("/d/.snapshot/b", "2", "DELETED", owner="", group=""),
    ]
    lines = table(rows).splitlines()
    assert lines[0].startswith("drwxr-xr-x 0 0 1970-0")
    assert lines[0].endswith(" 1 ACTIVE /d/.snapshot/a")
    assert lines[1].endswith(" 2 DELETED /d/.snapshot/b")
    assert table([]) == "\n"


def test_paths_of_what_is_listed() -> None:
    calls = SnapshotCalls()
    directories = hdfs.SnapshottableDirectoryListingProto(
        snapshottableDirListing=[
            hdfs.SnapshottableDirectoryStatusProto(
                dirStatus=status(name), snapshot_quota=5, snapshot_number=2, parent_fullpath=parent
            )
            for parent, name in ((b"", ""), (b"/", "d"), (b"/d", "e"))
        ]
    )
    calls.answers["getSnapshottableDirListing"] = (
        client_namenode.GetSnapshottableDirListingResponseProto(snapshottableDirList=directories)
    )
    found = Snapshots(calls).directories()
    assert [(row.path, row.details) for row in found] == [
        ("/", ("2", "5")),
        ("/d", ("2", "5")),
        ("/d/e", ("2", "5")),
    ]
    calls.answers["getSnapshotListing"] = client_namenode.GetSnapshotListingResponseProto(
        snapshotList=hdfs.SnapshotListingProto(
            snapshotListing=[
                hdfs.SnapshotStatusProto(
                    dirStatus=status("s1"), snapshotID=7, parent_fullpath=parent, isDeleted=deleted
                )
                for parent, deleted in ((b"/d", False), (b"", True))
            ]
        )
    )
    assert [(row.path, row.details) for row in Snapshots(calls).of("/d")] == [
        ("/d/.snapshot/s1", ("7", "ACTIVE")),
        ("/.snapshot/s1", ("7", "DELETED")),
    ]


def page(path: str, cursor: tuple[bytes, int]) -> object:
    return client_namenode.GetSnapshotDiffReportListingResponseProto(
        diffReport=hdfs.SnapshotDiffReportListingProto(
            modifiedEntries=[
                hdfs.SnapshotDiffReportListingEntryProto(
                    fullpath=path.encode(), dirId=1, isReference=False
                )
            ],
            isFromEarlier=True,
            cursor=hdfs.SnapshotDiffReportCursorProto(startPath=cursor[0], index=cursor[1]),
        )
    )


def test_all_pages_of_a_report_are_asked_for() -> None:
    calls = SnapshotCalls()
    calls.answers["getSnapshotDiffReportListing"] = [page("b", (b"b", 3)), page("a", (b"", -1))]
    found = Snapshots(calls).difference("/d", "s1", "s2")
    assert found == [Difference("M", b"a"), Difference("M", b"b")]
    cursors = [request.cursor for _, request in calls.asked]  # type: ignore[attr-defined]
    assert [(cursor.startPath, cursor.index) for cursor in cursors] == [(b"", -1), (b"b", 3)]


def test_a_server_that_turns_in_a_circle_is_left() -> None:
    calls = SnapshotCalls()
    calls.answers["getSnapshotDiffReportListing"] = page("b", (b"b", 3))
    with pytest.raises(HdfsdError, match="/d: the server gives the same page"):
        Snapshots(calls).difference("/d", "s1", "s2")


WHOLE = client_namenode.GetSnapshotDiffReportResponseProto(
    diffReport=hdfs.SnapshotDiffReportProto(
        snapshotRoot="/d",
        fromSnapshot="s1",
        toSnapshot="",
        diffReportEntries=[hdfs.SnapshotDiffReportEntryProto(fullpath=b"x", modificationLabel="+")],
    )
)


@pytest.mark.parametrize("error", [NoSuchMethod("what?"), Unsupported("not here")])
def test_a_server_without_pages_is_asked_for_the_whole_report(error: RemoteFault) -> None:
    calls = SnapshotCalls()
    calls.answers = {"getSnapshotDiffReportListing": error, "getSnapshotDiffReport": WHOLE}
    assert Snapshots(calls).difference("/d", "s1", "s2") == [Difference("+", b"x")]


def test_there_are_no_pages_against_the_current_state() -> None:
    calls = SnapshotCalls()
    calls.answers["getSnapshotDiffReport"] = WHOLE
    assert Snapshots(calls).difference("/d", "s1", "") == [Difference("+", b"x")]
    assert [method for method, _ in calls.asked] == ["getSnapshotDiffReport"]


def test_a_refusal_of_a_page_is_the_answer() -> None:
    calls = SnapshotCalls()
    calls.answers["getSnapshotDiffReportListing"] = RemoteFault("no such snapshot")
    with pytest.raises(RemoteFault, match="no such snapshot"):
        Snapshots(calls).difference("/d", "s1", "s2")
