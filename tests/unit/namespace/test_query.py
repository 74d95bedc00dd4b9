"""query: pages of listings, located files, counts; Hadoop's answers are in test_mutate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from steps import counted, finished

from hdfsd.base.errors import AccessControl, FileNotFound, ListingStartAfterNotFound, RemoteFault
from hdfsd.base.ids import InodeId
from hdfsd.editlog import ops
from hdfsd.namespace import mutate, query
from hdfsd.namespace.apply import apply
from hdfsd.namespace.inode import QUOTA_DONT_SET, Limits
from hdfsd.namespace.requests import XATTR_CREATE

HOUR = 3_600_000
SECRET = ops.XAttr(ops.XATTR_SECURITY, "hdfs.unreadable.by.superuser", None)


def test_a_listing_comes_in_pages(new_world: Any) -> None:
    world = new_world(Limits(list_limit=3))
    for number in range(7):
        world.mkdir(f"/d/{number}")
    names: list[bytes] = []
    remaining = []
    while True:
        page = query.listing(world.ns, None, "/d", names[-1] if names else b"")
        assert page is not None
        names.extend(status.path for status in page.statuses)
        assert [s.fileId for s in page.statuses] == [world.ns.ids[row] for row in page.rows]
        remaining.append(page.remaining)
        if not page.remaining:
            break
    assert names == [b"%d" % number for number in range(7)]
    assert remaining == [4, 1, 0]


def test_names_of_other_scripts_come_first_and_pages_go_on_behind_them(new_world: Any) -> None:
    world = new_world(Limits(block_size_min=1, list_limit=2))
    for name in ("b", "ä", "a", "aß", "日"):
        world.mkdir(f"/{name}")
    seen: list[str] = []
    after, remaining = b"", 1
    while remaining:
        page = query.listing(world.ns, None, "/", after)
        assert page is not None
        seen += [status.path.decode() for status in page.statuses]
        after, remaining = page.statuses[-1].path, page.remaining
    assert seen == ["ä", "日", "a", "aß", "b"]


def test_a_page_may_start_after_an_inode_path(world: Any) -> None:
    for name in ("a", "b", "c"):
        world.mkdir(f"/d/{name}")
    b = world.ns.ids[world.ns.lookup("/d/b")]
    page = query.listing(world.ns, None, "/d", f"/.reserved/.inodes/{b}".encode())
    assert page is not None
    assert [s.path for s in page.statuses] == [b"c"]
    with pytest.raises(ListingStartAfterNotFound):
        query.listing(world.ns, None, "/d", b"/.reserved/.inodes/99")


def test_children_tell_their_effective_policy(world: Any) -> None:
    world.mkdir("/d/sub")
    world.write("/d/f", 1)
    world.write("/d/own", 1, storage_policy="ALL_SSD")
    world.do(mutate.set_storage_policy, "/d", "COLD")
    world.do(mutate.set_storage_policy, "/d/sub", "WARM")
    page = query.listing(world.ns, None, "/d", b"")
    assert page is not None
    assert {s.path.decode(): s.storagePolicy for s in page.statuses} == {
        "f": 2,
        "own": 12,
        "sub": 5,
    }


def test_status_of_a_file_and_by_id(world: Any) -> None:
    inode_id = world.write("/d/f", 128, 5)
    status = query.status_by_id(world.ns, inode_id)
    assert status == query.file_status(world.ns, world.alice, "/d/f")
    assert status.IsInitialized()
    assert (status.length, status.block_replication, status.blocksize) == (133, 3, 128)
    assert (status.modification_time, status.access_time) == (1000, 1000)
    with pytest.raises(KeyError):
        query.status_by_id(world.ns, InodeId(99))


def test_below_a_file_there_is_nothing_for_a_superuser(world: Any) -> None:
    world.write("/f", 1)
    assert query.file_status(world.ns, world.hdfs, "/f/x") is None
    with pytest.raises(AccessControl):
        query.file_status(world.ns, world.alice, "/f/x")


def test_located_file_leaves_the_block_being_written_out(world: Any) -> None:
    inode_id = world.open("/f")
    first = replace(world.add_block("/f"), num_bytes=128)
    world.add_block("/f", first)
    world.do(mutate.fsync, "/f", "c1", 40, inode_id)
    found = query.located_file(world.ns, None, "/f", 1000)
    assert (found.length, found.under_construction) == (128, True)
    assert [b.num_bytes for b in found.blocks] == [128, 40]
    assert query.located_row(world.ns, world.ns.row_of(inode_id), past=False) == found
    status = query.file_status(world.ns, None, "/f")
    assert status is not None
    assert status.length == 168
    assert query.located_status(world.ns, "/f") == found


@pytest.mark.parametrize(("age", "due"), [(0, False), (HOUR, False), (HOUR + 1, True)])
def test_access_time_has_a_precision(world: Any, age: int, due: bool) -> None:
    world.write("/f", 1)
    assert query.located_file(world.ns, None, "/f", 1000 + age).atime_due is due


def test_access_time_may_be_off(new_world: Any) -> None:
    world = new_world(Limits(block_size_min=1, access_time_precision_ms=0))
    world.write("/f", 1)
    assert not query.located_file(world.ns, None, "/f", 10**12).atime_due


def test_missing_files_come_before_denials(world: Any) -> None:
    world.mkdir("/closed", 0o700)
    with pytest.raises(FileNotFound, match="File does not exist: /closed/x"):
        query.located_file(world.ns, world.bob, "/closed/x", 1)
    world.write("/closed/f", 1)
    with pytest.raises(AccessControl, match="access=EXECUTE"):
        query.located_file(world.ns, world.bob, "/closed/f", 1)


def test_a_file_may_be_hidden_from_the_superuser(world: Any) -> None:
    world.write("/f", 1)
    world.do(mutate.set_xattr, "/f", SECRET, XATTR_CREATE)
    with pytest.raises(AccessControl, match="superuser is not allowed"):
        query.located_file(world.ns, world.hdfs, "/f", 1)
    query.located_file(world.ns, world.alice, "/f", 1)
    refused = world.refusal(mutate.remove_xattr, "/f", SECRET)
    assert refused[1] == "The xattr 'security.hdfs.unreadable.by.superuser' can not be deleted."


def test_summary_counts_replicas_and_types(world: Any) -> None:
    world.write("/d/f", 100)
    world.write("/d/sub/g", 128, 20)
    status = ops.PermissionStatus("a", "b", 0o777)
    apply(world.ns, ops.SymlinkOp(20000, "/d/link", "/x", 1, 1, status))
    world.do(mutate.set_storage_policy, "/d", "ONE_SSD")
    found = finished(query.content_summary(world.ns, None, "/d"))
    assert (found.length, found.fileCount, found.directoryCount) == (248, 3, 2)
    assert found.spaceConsumed == 3 * 248
    assert {i.type: i.consumed for i in found.typeQuotaInfos.typeQuotaInfo if i.consumed} == {
        1: 496,
        2: 248,
    }
    world.do(mutate.set_quota, "/d", 50, QUOTA_DONT_SET)
    kept = finished(query.quota_usage(world.ns, None, "/d"))
    assert (kept.fileAndDirectoryCount, kept.quota, kept.spaceConsumed) == (5, 50, 744)


def test_walks_ask_for_permission_on_the_way(world: Any) -> None:
    world.mkdir("/d")
    world.mkdir("/d/closed", 0o700)
    for function in (query.content_summary, query.quota_usage):
        with pytest.raises(AccessControl, match='inode="/d/closed"'):
            finished(function(world.ns, world.bob, "/d"))


def test_a_tree_is_counted_in_steps_while_it_changes(new_world: Any) -> None:
    world = new_world(Limits(summary_step=10, block_size_min=1))
    for number in range(95):
        world.write(f"/d/{number % 5}/{number}", 1)
    assert counted(query.content_summary(world.ns, None, "/d"))[1] == 101 // 10
    work = query.content_summary(world.ns, world.hdfs, "/d")
    next(work)
    world.do(mutate.delete, "/d", True)
    world.write("/e/f", 1)
    found = finished(work)
    assert found.fileCount < 95
    assert found.directoryCount <= 6


@pytest.mark.parametrize(
    "function",
    [
        query.content_summary,
        query.quota_usage,
        query.preferred_block_size,
        query.is_file_closed,
        query.storage_policy,
        query.acl_status,
        query.link_target,
        query.list_xattrs,
    ],
    ids=lambda function: function.__name__,
)
def test_nothing_there(world: Any, function: Any) -> None:
    with pytest.raises(FileNotFound):
        answer = function(world.ns, world.hdfs, "/none")
        finished(answer)


def test_link_target(world: Any) -> None:
    status = ops.PermissionStatus("a", "b", 0o777)
    apply(world.ns, ops.SymlinkOp(20000, "/link", "/target", 1, 1, status))
    assert query.link_target(world.ns, None, "/link") == "/target"
    found = query.file_status(world.ns, None, "/link", follow=False)
    assert found is not None
    assert (found.fileType, found.symlink) == (3, b"/target")
    with pytest.raises(RemoteFault, match="it leads to /target"):
        query.file_status(world.ns, None, "/link")
