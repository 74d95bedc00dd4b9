"""Reading through `.snapshot`: status, listing, contents, counts, and the lists of snapshots."""

from __future__ import annotations

from typing import Any

import pytest
from steps import finished

from hdfsd.base.errors import AccessControl, SnapshotFault, SnapshotReadOnly
from hdfsd.namespace import mutate, mutate_snapshots, query, query_snapshots
from hdfsd.namespace.inode import Limits


def names(listing: query.Listing | None) -> list[str]:
    assert listing is not None
    return [status.path.decode() for status in listing.statuses]


@pytest.fixture
def snapped(world: Any) -> Any:
    """/d with f and e/g, all changed since its snapshot s1."""
    world.write("/d/f", 10)
    world.write("/d/e/g", 20)
    world.do(mutate_snapshots.allow, "/d")
    world.do(mutate_snapshots.create, "/d", "s1")
    world.now_ms = 2000
    world.do(mutate.set_permission, "/d/f", 0o600)
    world.do(mutate.rename, "/d/e", "/d/h", overwrite=False)
    world.do(mutate.delete, "/d/h/g", False)
    world.write("/d/new", 1)
    return world


def test_the_past_is_read_as_the_present_is(snapped: Any) -> None:
    ns = snapped.ns
    status = query.file_status(ns, None, "/d/.snapshot/s1/f")
    assert status is not None
    assert (status.permission.perm, status.length, status.modification_time) == (0o644, 10, 1000)
    assert names(query.listing(ns, None, "/d/.snapshot/s1", b"")) == ["e", "f"]
    assert names(query.listing(ns, None, "/d/.snapshot/s1/e", b"")) == ["g"]
    assert names(query.listing(ns, None, "/d", b"")) == ["f", "h", "new"]
    found = query.located_file(ns, None, "/d/.snapshot/s1/e/g", 10**12)
    assert [block.num_bytes for block in found.blocks] == [20]
    assert not found.atime_due
    assert query.file_status(ns, None, "/d/.snapshot/s1/new") is None
    assert query.file_status(ns, None, "/d/.snapshot/s2/f") is None
    assert query.file_status(ns, None, "/d/.snapshot/s1/f/x") is None


def test_dot_snapshot_is_a_directory_of_snapshots(snapped: Any) -> None:
    ns = snapped.ns
    snapped.do(mutate_snapshots.create, "/d", "s0")
    status = query.file_status(ns, None, "/d/.snapshot")
    assert status is not None
    assert status.fileType == status.IS_DIR
    assert names(query.listing(ns, None, "/d/.snapshot", b"")) == ["s0", "s1"]
    assert names(query.listing(ns, None, "/d/.snapshot", b"s0")) == ["s1"]
    assert query.file_status(ns, None, "/d/h/.snapshot") is None
    with pytest.raises(SnapshotFault, match="not a snapshottable directory: /d/h"):
        query.listing(ns, None, "/d/h/.snapshot", b"")


def test_snapshots_come_in_pages(new_world: Any) -> None:
    world = new_world(Limits(list_limit=2, block_size_min=1))
    world.mkdir("/d")
    world.do(mutate_snapshots.allow, "/d")
    for name in ("a", "b", "c"):
        world.do(mutate_snapshots.create, "/d", name)
    page = query.listing(world.ns, None, "/d/.snapshot", b"")
    assert page is not None
    assert (names(page), page.remaining) == (["a", "b"], 1)


def test_nothing_is_changed_there(snapped: Any) -> None:
    for path in ("/d/.snapshot", "/d/.snapshot/s1", "/d/.snapshot/s1/f", "/d/.snapshot/s1/none"):
        with pytest.raises(SnapshotReadOnly):
            mutate.delete(snapped.ns, snapped.request(), path, True)


def test_whoever_could_not_pass_then_cannot_pass(snapped: Any) -> None:
    snapped.do(mutate.set_permission, "/d/h", 0o700)
    snapped.do(mutate_snapshots.create, "/d", "s2")
    snapped.do(mutate.set_permission, "/d/h", 0o755)
    snapped.write("/d/h/k", 1)
    assert query.listing(snapped.ns, snapped.alice, "/d/.snapshot/s1/e", b"") is not None
    with pytest.raises(AccessControl):
        query.file_status(snapped.ns, snapped.alice, "/d/.snapshot/s2/h/k")


def test_counts_with_what_only_snapshots_show(snapped: Any) -> None:
    ns = snapped.ns
    summary = finished(query.content_summary(ns, None, "/d"))
    assert (summary.fileCount, summary.directoryCount) == (3, 2)
    assert (summary.snapshotFileCount, summary.snapshotLength) == (1, 20)
    assert (summary.length, summary.snapshotSpaceConsumed) == (31, 60)
    then = finished(query.content_summary(ns, None, "/d/.snapshot/s1"))
    assert (then.fileCount, then.directoryCount, then.length) == (2, 2, 30)
    assert then.snapshotFileCount == 0


def test_a_snapshot_has_the_quotas_of_its_time(snapped: Any) -> None:
    snapped.do(mutate.set_quota, "/d", 50, 1 << 40)
    snapped.do(mutate_snapshots.create, "/d", "s2")
    snapped.do(mutate.set_quota, "/d", 60, 1 << 40)
    quotas = [
        finished(query.content_summary(snapped.ns, None, path)).quota
        for path in ("/d", "/d/.snapshot/s2", "/d/.snapshot/s1")
    ]
    assert quotas == [60, 50, (1 << 64) - 1]


def test_lists_of_directories_and_snapshots(snapped: Any) -> None:
    ns = snapped.ns
    snapped.mkdir("/a")
    snapped.do(mutate.set_owner, "/a", "alice", None)
    snapped.do(mutate_snapshots.allow, "/a")
    all_of_them = query_snapshots.snapshottable_directories(ns, snapped.hdfs)
    assert all_of_them is not None
    found = [
        (d.parent_fullpath, d.dirStatus.path, d.snapshot_number, d.snapshot_quota)
        for d in all_of_them.snapshottableDirListing
    ]
    assert found == [(b"/", b"a", 0, 65536), (b"/", b"d", 1, 65536)]
    own = query_snapshots.snapshottable_directories(ns, snapped.alice)
    assert own is not None
    assert [d.dirStatus.path for d in own.snapshottableDirListing] == [b"a"]
    (listed,) = query_snapshots.snapshots(ns, snapped.hdfs, "/d").snapshotListing
    assert (listed.snapshotID, listed.dirStatus.path, listed.parent_fullpath) == (0, b"s1", b"/d")
    assert query_snapshots.snapshot_path("/", "s") == "/.snapshot/s"


def test_no_list_where_nothing_is_snapshottable(world: Any) -> None:
    assert query_snapshots.snapshottable_directories(world.ns, world.hdfs) is None
