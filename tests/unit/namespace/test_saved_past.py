"""What an image tells of the past: cut blocks, differences, and when something was moved."""

from __future__ import annotations

import pytest
from past_tree import FIRST, Tree

from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId
from hdfsd.namespace import saved_past
from hdfsd.namespace.snapshot import CURRENT


def block(number: int, size: int) -> Block:
    return Block(BlockId(number), size, GenStamp(1001))


@pytest.mark.parametrize(
    ("size", "kept"),
    [
        (0, []),
        (1, [(1, 1)]),
        (10, [(1, 10)]),
        (11, [(1, 10), (2, 1)]),
        (15, [(1, 10), (2, 5)]),
        (99, [(1, 10), (2, 5)]),
    ],
)
def test_blocks_are_cut_to_a_size(size: int, kept: list[tuple[int, int]]) -> None:
    found = saved_past.cut([block(1, 10), block(2, 5)], size)
    assert [(b.block_id, b.num_bytes) for b in found] == kept


def test_a_difference_is_of_rows_and_not_of_names() -> None:
    assert saved_past.difference([1, 2, 3], [2, 4, 3]) == ([4], [1])


def test_all_rows_are_by_id_and_have_what_was_deleted() -> None:
    tree = Tree("/a", "/a/x", "/a/y", "/b")
    tree.snapshot("/a")
    tree.delete("/a/x")
    rows = list(saved_past.all_rows(tree.ns))
    assert [tree.ns.ids[row] for row in rows][1:] == [FIRST + i for i in range(4)]
    gone = tree.ns.snapshots.deleted[FIRST + 1]
    assert tree.ns.names[saved_past.last_state(tree.ns, gone)] == b"x"


def test_what_was_moved_out_does_not_end_with_its_directory() -> None:
    tree = Tree("/a", "/a/d", "/a/d/x", "/a/d/y", "/b")
    tree.snapshot("/a")
    tree.move("/a/d/x", "/b/x")
    gone = tree.delete("/a/d")
    children = saved_past.last_children(tree.ns, gone)
    assert [tree.ns.names[row] for row in children] == [b"y"]
    # So there is a difference to tell, though the directory never changed but in that.
    assert len(saved_past.all_versions(tree.ns, gone)) == 1


def test_what_is_deleted_unchanged_needs_no_difference() -> None:
    tree = Tree("/a", "/a/x")
    tree.snapshot("/a")
    assert saved_past.all_versions(tree.ns, tree.delete("/a/x")) == []


def test_a_move_into_no_snapshots() -> None:
    tree = Tree("/a", "/a/x", "/b")
    tree.snapshot("/a")
    assert saved_past.destination_snapshot(tree.ns, tree.move("/a/x", "/b/x")) == CURRENT


def test_a_move_between_snapshots_of_its_destination() -> None:
    tree = Tree("/a", "/a/x", "/b")
    tree.snapshot("/a")
    tree.snapshot("/b")
    row = tree.move("/a/x", "/b/x")
    assert saved_past.destination_snapshot(tree.ns, row) == 1
    tree.snapshot("/b")
    tree.mkdir("/b/more")
    assert saved_past.destination_snapshot(tree.ns, row) == 1


def test_a_move_into_a_directory_that_no_snapshot_has() -> None:
    tree = Tree("/a", "/a/x", "/b")
    tree.snapshot("/a")
    tree.snapshot("/b")
    tree.mkdir("/b/new")
    row = tree.move("/a/x", "/b/new/x")
    # Nothing tells the moment but the path: what changes must not be recorded in that snapshot.
    assert saved_past.destination_snapshot(tree.ns, row) == 1
    tree.snapshot("/b")
    assert saved_past.destination_snapshot(tree.ns, row) == CURRENT


def test_a_deleted_place_has_the_snapshot_before_it() -> None:
    tree = Tree("/a", "/a/x", "/b")
    tree.snapshot("/a")
    tree.snapshot("/b")
    tree.move("/a/x", "/b/x")
    tree.snapshot("/b")
    gone = tree.delete("/b/x")
    assert saved_past.destination_snapshot(tree.ns, gone) == 1


def test_a_block_that_grew_is_told_as_it_is() -> None:
    tree = Tree("/a")
    tree.create("/a/f", block(7, 60))
    tree.snapshot("/a")
    grown = Block(BlockId(7), 90, GenStamp(1002))
    tree.append("/a/f", grown)
    assert tree.ns.blocks_of(InodeId(FIRST + 1)) == (grown,)
    gone = tree.delete("/a/f")
    assert saved_past.last_blocks(tree.ns, gone) == (grown,)
    [(_, past, _)] = saved_past.all_versions(tree.ns, gone)
    assert tree.ns.row_length(past) == 60
