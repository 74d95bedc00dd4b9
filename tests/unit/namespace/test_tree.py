"""tree: columns out and in, bad images, the directory cache; the model is in test_apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hdfsd.base.errors import CorruptData, InvariantBroken
from hdfsd.base.ids import ROOT_INODE_ID, Block, BlockId, GenStamp, InodeId
from hdfsd.editlog.ops import XATTR_USER, XAttr
from hdfsd.namespace import mutate, quota, tree
from hdfsd.namespace.inode import (
    QUOTA_DONT_SET,
    DirectoryRow,
    FileLayout,
    FileRow,
    Kind,
    Limits,
    Permission,
    SymlinkRow,
)
from hdfsd.namespace.tree import NO_ROW, ROOT, Namespace


def fresh() -> Namespace:
    return Namespace(Limits(), Permission("hdfs", "supergroup", 0o755), 1)


def fill(world: Any) -> None:
    world.mkdir("/d/sub", 0o750)
    world.write("/d/one", 10)
    world.write("/d/two", 128, 128, 7)
    world.open("/d/open", client="c9")
    world.add_block("/d/open", client="c9")
    world.write("/d/empty")
    world.do(mutate.set_quota, "/d", 100, QUOTA_DONT_SET)
    world.do(mutate.set_quota, "/d/sub", QUOTA_DONT_SET, 5000, 1)
    world.do(mutate.set_storage_policy, "/d/sub", "COLD")
    world.do(mutate.set_xattr, "/d/one", XAttr(XATTR_USER, "k", b"v"), 1)
    world.do(mutate.delete, "/d/empty", False)


def copy(source: Namespace) -> Namespace:
    """Through rows, as an image goes."""
    target = fresh()
    for row in source.inodes():
        permission = target.intern_permission(*source.permissions[row.permission])
        if isinstance(row, FileRow):
            layout = target.intern_layout(source.layouts[row.layout])
            target.restore_file(row._replace(permission=permission, layout=layout))
        elif isinstance(row, SymlinkRow):
            target.restore_symlink(row._replace(permission=permission))
        elif row.inode_id == ROOT_INODE_ID:
            target.restore_root(row._replace(permission=permission))
        else:
            target.restore_directory(row._replace(permission=permission))
    for parent in source.directories_with_children():
        target.restore_children(parent, source.child_ids(parent))
    target.restore_finish()
    quota.recount(target)
    target.last_inode_id, target.gen_stamp = source.last_inode_id, source.gen_stamp
    target.last_block_id = source.last_block_id
    return target


def test_an_image_holds_everything(world: Any, new_world: Callable[[], Any]) -> None:
    fill(world)
    other = new_world()
    other.ns = copy(world.ns)
    assert other.dump() == world.dump()
    other.check_counts()
    assert other.ns.block_count == world.ns.block_count == 5
    assert other.ns.storage_policy_of(other.ns.ids[other.ns.lookup("/d/sub")]) == 2
    kept = [(q.inodes, q.space, q.type_quotas) for _, q in sorted(other.ns.quotas.items())]
    assert len(kept) == 3
    # Its writer goes on after the restart.
    assert other.ns.leases.holder_of(other.ns.ids[other.ns.lookup("/d/open")]) == "c9"
    other.close("/d/open", client="c9")


def test_ids_come_in_ascending_order(world: Any) -> None:
    fill(world)
    world.do(mutate.delete, "/d/one", False)
    world.mkdir("/later")
    ids = [row.inode_id for row in world.ns.inodes()]
    assert ids == sorted(ids)
    assert len(ids) == world.ns.inode_count
    assert list(world.ns.directories_with_children()) == sorted(
        world.ns.directories_with_children()
    )


def test_reads_by_id(world: Any) -> None:
    inode_id = world.write("/d/f", 10)
    ns = world.ns
    assert ns.has(inode_id)
    assert ns.kind_of(inode_id) is Kind.FILE
    assert ns.path_of(inode_id) == "/d/f"
    assert ns.replication_of(inode_id) == 3
    assert [b.num_bytes for b in ns.blocks_of(inode_id)] == [10]
    assert ns.path_of(ROOT_INODE_ID) == "/"
    for gone in (InodeId(1), InodeId(16384), InodeId(10**15), InodeId(-5)):
        assert not ns.has(gone)
        with pytest.raises(KeyError):
            ns.path_of(gone)


def test_rows_and_pages_of_ids_are_given_back(world: Any) -> None:
    world.mkdir("/d")
    ns = world.ns
    rows = len(ns.ids)
    for round_number in range(3):
        for number in range(20):
            world.write(f"/d/{number}", *([5] * (number % 3)))
        world.do(mutate.delete, "/d", True)
        world.mkdir("/d")
        assert ns.inode_count == 2, round_number
    assert len(ns.ids) <= rows + 21
    ns.last_inode_id = InodeId(ns.last_inode_id + 100_000)
    world.mkdir("/far")
    assert len(ns._pages) == 2
    world.do(mutate.delete, "/far", True)
    assert len(ns._pages) == 1


BLOCKS = [Block(BlockId(n), n * 10, GenStamp(1000 + n)) for n in range(1, 6)]


@pytest.mark.parametrize("count", range(6))
def test_blocks_of_a_file_however_many(world: Any, count: int) -> None:
    world.open("/f")
    ns, row = world.ns, world.ns.lookup("/f")
    for block in BLOCKS[:count]:
        ns.append_block(row, block)
    expected = tuple(BLOCKS[:count])
    assert ns.row_blocks(row) == expected
    assert ns.row_block_count(row) == ns.block_count == count
    assert ns.last_block(row) == (expected[-1] if expected else None)
    assert ns.row_length(row) == sum(b.num_bytes for b in expected)
    if count:
        changed = Block(expected[-1].block_id, 999, GenStamp(9))
        ns.replace_last_block(row, changed)
        assert ns.row_blocks(row) == (*expected[:-1], changed)
    for fewer in range(count, -1, -1):
        ns.set_blocks(row, BLOCKS[:fewer])
        assert ns.row_blocks(row) == tuple(BLOCKS[:fewer])
        assert ns.block_count == fewer
    assert ns.many_blocks == {}


def test_the_directory_cache_forgets_renamed_and_deleted_trees(world: Any) -> None:
    world.mkdir("/a/b/c")
    ns = world.ns
    c = ns.directory_row("/a/b/c")
    assert c != NO_ROW
    world.do(mutate.rename_old, "/a/b", "/a/x")
    assert ns.directory_row("/a/b/c") == ns.directory_row("/a/b") == NO_ROW
    assert ns.directory_row("/a/x/c") == c
    world.do(mutate.delete, "/a/x/c", False)
    assert ns.directory_row("/a/x/c") == NO_ROW
    world.mkdir("/a/x/c")
    assert ns.directory_row("/a/x/c") != NO_ROW


def test_the_directory_cache_is_bounded(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_CACHED_DIRECTORIES_MAX", 10)
    for number in range(50):
        world.mkdir(f"/d/{number}/e")
        assert world.ns.directory_row(f"/d/{number}/e") != NO_ROW
        assert world.ns.directory_cache_size <= 14
    assert world.ns.directory_row("/d/0/e") != NO_ROW


def test_a_deep_path_is_found_without_recursion(world: Any) -> None:
    path = "/d" * 1000
    world.mkdir(path)
    world.ns.forget_directories()
    row = world.ns.lookup(path)
    assert world.ns.path_of_row(row) == path


def test_two_children_of_one_name_stop_the_process(world: Any) -> None:
    world.mkdir("/a")
    world.mkdir("/b")
    with pytest.raises(InvariantBroken, match="two children"):
        world.ns.add_inode(ROOT, 30000, b"a", tree.DIRECTORY, 0, (1, 1))


FILE_ROW = FileRow(InodeId(16400), b"f", 0, 0, 1, 1, (), (), (), None)
DIRECTORY_ROW = DirectoryRow(InodeId(16401), b"d", 0, 1, (), (), -1, -1, ())


def _restored() -> Namespace:
    ns = fresh()
    ns.intern_layout(FileLayout(3, 128, 0, 0))
    ns.restore_file(FILE_ROW)
    ns.restore_directory(DIRECTORY_ROW)
    return ns


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda ns: ns.restore_file(FILE_ROW), "stands there twice"),
        (lambda ns: ns.restore_directory(DIRECTORY_ROW), "stands there twice"),
        (lambda ns: ns.restore_file(FILE_ROW._replace(inode_id=9, name=b"")), "has the name"),
        (lambda ns: ns.restore_file(FILE_ROW._replace(inode_id=9, name=b"a/b")), "has the name"),
        (lambda ns: ns.restore_root(DIRECTORY_ROW), "root inode has id 16401"),
        (lambda ns: ns.restore_children(16400, [16401]), "is no directory"),
        (lambda ns: ns.restore_children(77, [16401]), "is no directory"),
        (lambda ns: ns.restore_children(16401, [77]), "is not free"),
        (lambda ns: ns.restore_children(16385, [16385]), "is not free"),
        (lambda ns: ns.restore_children(16385, [16400, 16401]), "not in name order"),
        (lambda ns: ns.restore_children(16385, [16400, 16400]), "is not free"),
        (lambda ns: ns.restore_finish(), "inode 16400 is in no directory"),
    ],
)
def test_a_damaged_image_is_told(damage: Callable[[Namespace], None], why: str) -> None:
    with pytest.raises(CorruptData, match=why):
        damage(_restored())


def test_children_of_one_directory_come_once() -> None:
    ns = _restored()
    ns.restore_children(InodeId(ROOT_INODE_ID), [InodeId(16401)])
    with pytest.raises(CorruptData, match="stand there twice"):
        ns.restore_children(InodeId(ROOT_INODE_ID), [InodeId(16400)])
