"""Deleted trees that are freed in steps, beside a namespace that frees them at once: between the
steps nobody can tell them apart, and in the end nothing more is kept."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest
from past_walk import OWNER, Walk

from hdfsd.base.errors import NSQuotaExceeded
from hdfsd.base.ids import InodeId, TxId
from hdfsd.editlog import ops
from hdfsd.image.save import ImageHeader, save
from hdfsd.namespace import query, quota, removal
from hdfsd.namespace.apply import apply
from hdfsd.namespace.effects import BlocksAdded, BlocksRemoved
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.quota import Use
from hdfsd.namespace.tree import NO_ROW, ROOT, Namespace
from hdfsd.sim.checkers import differences

SSD, ALL_SSD = 1, 12
T = TypeVar("T")


class Twins(Walk):
    """The walk's namespace, and one that frees little at once, and more when chance wills."""

    def __init__(self, seed: int) -> None:
        step = 1 + seed % 3
        owner = Permission("alice", "staff", 0o755)
        self.slow = Namespace(Limits(deletion_step=step), owner, 0)
        self.slow_held: set[int] = set()
        super().__init__(seed)
        self.pace = self.dice.choice((0.03, 0.3))
        self.snapshots_wanted = self.dice.choice((0.0, 0.1, 1.0))
        self.waited = self.waited_beside_snapshots = 0

    def apply(self, op: ops.EditOp) -> None:
        super().apply(op)
        for effect in apply(self.slow, op):
            if isinstance(effect, BlocksAdded):
                self.slow_held |= {block.block_id for block in effect.blocks}
            elif isinstance(effect, BlocksRemoved):
                self.free(effect.blocks)

    def free(self, blocks: object) -> None:
        assert isinstance(blocks, (list, tuple))
        assert set(blocks) <= self.slow_held
        self.slow_held -= set(blocks)

    def step(self) -> None:
        if self.dice.random() < self.pace:
            self.free(removal.step(self.slow))
        if self.dice.random() < 0.1:
            self.step_quota()
        super().step()
        waiting = len(self.slow.detached)
        self.waited += waiting
        self.waited_beside_snapshots += waiting if self.slow.snapshots.count else 0

    def step_snapshot(self) -> None:
        if self.dice.random() < self.snapshots_wanted:
            super().step_snapshot()

    def step_quota(self) -> None:
        path = self.draw(files=False, directories=True)
        if path is None:
            return
        self.apply(
            self.dice.choice(
                (
                    ops.SetQuotaOp(path, 1 << 40, 1 << 50),
                    ops.SetQuotaOp(path, -1, -1),
                    ops.SetQuotaByStorageTypeOp(path, SSD, 1 << 50),
                    ops.SetStoragePolicyOp(path, ALL_SSD),
                )
            )
        )

    def check_alike(self) -> None:
        ns, slow = self.ns, self.slow
        assert not differences(ns, slow, "at once / in steps")
        if not len(self.ops) % 7:
            assert image(ns) == image(slow)
        current = {node.inode_id for _, node in self.model.walk()}
        for inode_id in range(ROOT + 1, self.ids + 1):
            assert slow.has(InodeId(inode_id)) == (inode_id in current)
        for row, kept in ns.quotas.items():
            twin = slow.row_of(ns.ids[row])
            counts = quota.settled(slow, twin, slow.quotas[twin])
            assert (counts.inodes, counts.space) == (kept.inodes, kept.space)
            if ns.type_quota_count:
                assert counts.type_space == kept.type_space

    def check_nothing_is_left(self) -> None:
        ns, slow = self.ns, self.slow
        self.free(removal.settle(slow))
        assert not slow.detached
        assert not slow.way_down
        assert self.slow_held == self.held
        assert (slow.inode_count, slow.block_count) == (ns.inode_count, ns.block_count)
        assert len(slow.leases) == len(ns.leases)
        assert len(slow.quotas) == len(ns.quotas)
        assert slow.type_quota_count == ns.type_quota_count
        for side in ("children", "many_blocks", "open_files", "directory_policies", "xattrs"):
            assert len(getattr(slow, side)) == len(getattr(ns, side)), side


def image(ns: Namespace) -> bytes:
    return b"".join(save(ns, ImageHeader(1, TxId(0))))


@pytest.mark.parametrize("seed", range(25))
def test_nobody_can_tell(seed: int) -> None:
    twins = Twins(seed)
    with twins.telling():
        for _ in range(120):
            twins.step()
            twins.check_alike()
    twins.check_nothing_is_left()


def test_something_waited_in_these_walks() -> None:
    waited = beside_snapshots = 0
    for seed in range(25):
        twins = Twins(seed)
        for _ in range(120):
            twins.step()
        waited += twins.waited
        beside_snapshots += twins.waited_beside_snapshots
    assert waited > 20
    assert beside_snapshots > 0


# -- one big tree ----------------------------------------------------------------------------


def big_tree(files: int) -> Namespace:
    """`/q` with a quota has `/q/big`, in which files are being written."""
    ns = Namespace(Limits(deletion_step=2), Permission("alice", "staff", 0o755), 0)
    apply(ns, ops.MkdirOp(20_000, "/q", 1, 1, OWNER))
    apply(ns, ops.MkdirOp(20_001, "/q/big", 1, 1, OWNER))
    apply(ns, ops.SetQuotaOp("/q", files + 2, -1))
    for number in range(files):
        name = f"/q/big/f{number}"
        file = (20_002 + number, name, 1, 1, 1, 100, (), OWNER, (), (), "c", "m", False, 0, 0)
        apply(ns, ops.AddOp(*file))
    return ns


def test_what_is_deleted_is_gone_at_once_and_freed_later() -> None:
    ns = big_tree(10)
    apply(ns, ops.DeleteOp("/q/big", 2))
    assert ns.inode_count == 2 + 1 + 8
    assert ns.lookup("/q/big") == NO_ROW
    assert not any(ns.has(InodeId(20_001 + number)) for number in range(11))
    with pytest.raises(KeyError):
        ns.path_of(InodeId(20_002))
    assert [ns.ids[row] for row in ns.rows_by_id()] == [16_385, 20_000]
    for left in range(10, 1, -1):
        assert ns.inode_count == left + 1
        removal.step(ns, 1)
    assert not ns.detached
    assert len(ns.leases) == 0


def test_a_quota_is_free_at_once() -> None:
    ns = big_tree(10)
    directory = ns.lookup("/q")
    with pytest.raises(NSQuotaExceeded):
        quota.verify(ns, directory, Use(1, 0))
    apply(ns, ops.DeleteOp("/q/big", 2))
    quota.verify(ns, directory, Use(11, 0))
    with pytest.raises(NSQuotaExceeded, match="file count=13"):
        quota.verify(ns, directory, Use(12, 0))
    usage = value_of(query.quota_usage(ns, None, "/q"))
    assert usage.fileAndDirectoryCount == 1


def value_of(work: Generator[None, None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as done:
            value: T = done.value
            return value


def test_the_directory_above_may_go_too() -> None:
    ns = big_tree(10)
    apply(ns, ops.DeleteOp("/q/big", 2))
    apply(ns, ops.DeleteOp("/q", 3))
    assert list(ns.rows_by_id()) == [ROOT]
    removal.settle(ns)
    assert ns.inode_count == 1
    assert ns.quotas[ROOT].inodes == 1


def test_who_counts_a_tree_waits_for_none() -> None:
    ns = big_tree(10)
    apply(ns, ops.DeleteOp("/q/big", 2))
    apply(ns, ops.SetQuotaOp("/q", 5, 1 << 40))
    assert not ns.detached
    assert ns.quotas[ns.lookup("/q")].inodes == 1


@pytest.mark.parametrize("shown", [True, False])
def test_a_directory_may_be_moved_to_where_another_quota_counts(shown: bool) -> None:
    """What was deleted in it counts where it was, and nowhere later."""
    ns = big_tree(10)
    apply(ns, ops.MkdirOp(30_000, "/p", 1, 1, OWNER))
    apply(ns, ops.SetQuotaOp("/p", 100, -1))
    apply(ns, ops.MkdirOp(30_001, "/q/moved", 1, 1, OWNER))
    if shown:
        apply(ns, ops.AllowSnapshotOp("/q"))
        apply(ns, ops.CreateSnapshotOp("/q", "s", 1))
    apply(ns, ops.MkdirOp(30_002, "/q/moved/new", 1, 1, OWNER))
    for number in range(10):
        apply(ns, ops.MkdirOp(30_003 + number, f"/q/moved/new/{number}", 1, 1, OWNER))
    apply(ns, ops.DeleteOp("/q/moved/new", 2))
    assert ns.detached
    apply(ns, ops.RenameOp("/q/moved", "/p/moved", 3, bytes([ops.RENAME_NONE])))
    removal.settle(ns)
    kept = {row: count.inodes for row, count in ns.quotas.items()}
    quota.recount(ns)
    assert {row: count.inodes for row, count in ns.quotas.items()} == kept
