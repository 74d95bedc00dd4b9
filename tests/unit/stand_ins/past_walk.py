"""Core. A random walk of a namespace with snapshots beside a model that copies the whole tree: what
snapshots show, what is kept for them, and that nothing more is kept."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hdfsd.base.ids import ROOT_INODE_ID, Block, BlockId, GenStamp
from hdfsd.editlog import ops
from hdfsd.namespace import history, quota
from hdfsd.namespace.apply import apply
from hdfsd.namespace.effects import BlocksAdded, BlocksRemoved
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.tree import DIRECTORY, FILE, FREE, ROOT, Namespace

OWNER = ops.PermissionStatus("alice", "staff", 0o644)
ROOTS = ("/a", "/b", "/plain")
"""The first two are snapshottable."""
BLOCK_SIZE = 100


@dataclass
class Node:
    """An inode of the model."""

    inode_id: int
    mode: int = 0o644
    mtime_ms: int = 0
    replication: int = 0
    blocks: list[Block] = field(default_factory=list)
    children: dict[str, Node] | None = None
    """None: a file."""

    def walk(self, path: str = "") -> Iterator[tuple[str, Node]]:
        yield path, self
        for name, child in (self.children or {}).items():
            yield from child.walk(f"{path}/{name}")


def sizes(blocks: Sequence[Block]) -> list[tuple[int, int]]:
    """Which blocks, and how much of each; a generation stamp is of the block, not of a snapshot."""
    return [(block.block_id, block.num_bytes) for block in blocks]


class Walk:
    """One sequence of operations, drawn by a seed, on both."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.ns = Namespace(Limits(), Permission("alice", "staff", 0o755), 0)
        self.model = Node(ROOT_INODE_ID, 0o755, children={})
        self.snapshots: dict[tuple[str, str], Node] = {}
        self.held: set[int] = set()
        """Blocks that were added and not removed, by the effects."""
        self.written: dict[int, Block] = {}
        """Blocks by id, as DataNodes have them."""
        self.now_ms = 1
        self.ids = ROOT_INODE_ID
        self.block_ids = 1 << 30
        self.ops: list[ops.EditOp] = []
        for root in ROOTS:
            self.mkdir(root)
        for root in ROOTS[:2]:
            self.apply(ops.AllowSnapshotOp(root))
        if self.dice.random() < 0.7:
            self.apply(ops.SetQuotaOp(self.dice.choice(ROOTS), 1 << 40, 1 << 50))

    def apply(self, op: ops.EditOp) -> None:
        self.ops.append(op)
        for effect in apply(self.ns, op):
            if isinstance(effect, BlocksAdded):
                added = {block.block_id for block in effect.blocks}
                assert not added & self.held
                self.held |= added
            elif isinstance(effect, BlocksRemoved):
                assert set(effect.blocks) <= self.held
                self.held -= set(effect.blocks)

    def later(self) -> int:
        self.now_ms += 1
        return self.now_ms

    @contextmanager
    def telling(self) -> Iterator[None]:
        """A failure says what was done, for whoever must find out why it went wrong."""
        try:
            yield
        except AssertionError as error:
            error.add_note("\n".join(map(repr, self.ops)))
            raise

    # ---- finding

    def find(self, path: str) -> Node:
        node = self.model
        for name in path.split("/")[1:]:
            assert node.children is not None
            node = node.children[name]
        return node

    def draw(self, *, files: bool, directories: bool) -> str | None:
        """A path below the roots (or one of them)."""
        found = [
            path
            for path, node in self.model.walk()
            if path and (directories if node.children is not None else files)
        ]
        return self.dice.choice(found) if found else None

    def free_name(self, directory: str) -> str | None:
        children = self.find(directory).children
        assert children is not None
        names = [name for name in ("x", "y", "z", "é", "w") if name not in children]
        return f"{directory}/{self.dice.choice(names)}" if names else None

    # ---- operations

    def mkdir(self, path: str) -> None:
        self.ids += 1
        self.apply(ops.MkdirOp(self.ids, path, self.later(), self.now_ms, OWNER))
        self._enter(path, Node(self.ids, mtime_ms=self.now_ms, children={}))

    def _enter(self, path: str, node: Node) -> None:
        parent, _, name = path.rpartition("/")
        above = self.find(parent) if parent else self.model
        assert above.children is not None
        above.children[name] = node
        above.mtime_ms = self.now_ms

    def _take(self, path: str) -> Node:
        parent, _, name = path.rpartition("/")
        above = self.find(parent)
        assert above.children is not None
        above.mtime_ms = self.now_ms
        return above.children.pop(name)

    def new_block(self, size: int) -> Block:
        self.block_ids += 1
        return Block(BlockId(self.block_ids), size, GenStamp(1001))

    def step_mkdir(self) -> None:
        directory = self.draw(files=False, directories=True)
        if directory and (path := self.free_name(directory)):
            self.mkdir(path)

    def step_create(self) -> None:
        directory = self.draw(files=False, directories=True)
        path = self.free_name(directory) if directory else None
        if path is None:
            return
        self.ids += 1
        replication = self.dice.randint(1, 3)
        blocks = [self.new_block(BLOCK_SIZE)] * self.dice.randint(0, 1)
        self._write(path, self.ids, replication, blocks)
        self._enter(path, Node(self.ids, 0o644, self.now_ms, replication, blocks))

    def _write(
        self, path: str, inode_id: int, replication: int, blocks: list[Block], *, over: bool = False
    ) -> None:
        self.later()
        self.apply(
            ops.AddOp(
                inode_id,
                path,
                replication,
                self.now_ms,
                self.now_ms,
                BLOCK_SIZE,
                (),
                OWNER,
                (),
                (),
                "c",
                "m",
                over,
                0,
                0,
            )
        )
        self._close(path, blocks)

    def _close(self, path: str, blocks: list[Block]) -> None:
        self.written.update((block.block_id, block) for block in blocks)
        self.apply(
            ops.CloseOp(0, path, 1, self.now_ms, self.now_ms, BLOCK_SIZE, tuple(blocks), OWNER)
        )

    def step_overwrite(self) -> None:
        path = self.draw(files=True, directories=False)
        if path is None:
            return
        self.ids += 1
        blocks = [self.new_block(60)]
        self._write(path, self.ids, 2, blocks, over=True)
        self._enter(path, Node(self.ids, 0o644, self.now_ms, 2, blocks))

    def step_append(self) -> None:
        path = self.draw(files=True, directories=False)
        if path is None:
            return
        self.later()
        node = self.find(path)
        last = node.blocks[-1] if node.blocks else None
        if last is not None and last.num_bytes < BLOCK_SIZE and self.dice.random() < 0.7:
            size = self.dice.randint(last.num_bytes + 1, BLOCK_SIZE)
            grown = Block(last.block_id, size, GenStamp(last.gen_stamp + 1))
            blocks = [*node.blocks[:-1], grown]
            self.apply(ops.AppendOp(path, "c", "m", False))
        else:
            blocks = [*node.blocks, self.new_block(self.dice.randint(1, BLOCK_SIZE))]
            self.apply(ops.AppendOp(path, "c", "m", True))
        self._close(path, blocks)
        node.blocks, node.mtime_ms = blocks, self.now_ms

    def step_truncate(self) -> None:
        path = self.draw(files=True, directories=False)
        node = self.find(path) if path else None
        if path is None or node is None or not node.blocks:
            return
        kept = node.blocks[: self.dice.randrange(len(node.blocks))]
        length = sum(block.num_bytes for block in kept)
        self.apply(ops.TruncateOp(path, "c", "m", length, self.later(), None))
        node.blocks, node.mtime_ms = kept, self.now_ms

    def step_chmod(self) -> None:
        path = self.draw(files=True, directories=True)
        if path:
            mode = self.dice.randrange(0o1000)
            self.apply(ops.SetPermissionsOp(path, mode))
            self.find(path).mode = mode

    def step_replication(self) -> None:
        path = self.draw(files=True, directories=False)
        if path:
            self.find(path).replication = replication = self.dice.randint(1, 5)
            self.apply(ops.SetReplicationOp(path, replication))

    def _is_protected(self, path: str) -> bool:
        """A root, or something above one: Hadoop deletes and moves no directory with snapshots."""
        return path in ROOTS

    def step_delete(self) -> None:
        path = self.draw(files=True, directories=True)
        if path and not self._is_protected(path):
            self.apply(ops.DeleteOp(path, self.later()))
            self._take(path)

    def step_rename(self) -> None:
        source = self.draw(files=True, directories=True)
        directory = self.draw(files=False, directories=True)
        if not source or not directory or self._is_protected(source):
            return
        if directory == source or directory.startswith(source + "/"):
            return
        target = self.free_name(directory)
        if target is None:
            return
        self.apply(ops.RenameOp(source, target, self.later(), bytes([ops.RENAME_NONE])))
        self._enter(target, self._take(source))

    def step_rename_over(self) -> None:
        source = self.draw(files=True, directories=False)
        target = self.draw(files=True, directories=False)
        if not source or not target or source == target:
            return
        self.apply(ops.RenameOp(source, target, self.later(), bytes([ops.RENAME_OVERWRITE])))
        self._take(target)
        self._enter(target, self._take(source))

    def step_snapshot(self) -> None:
        root = self.dice.choice(ROOTS[:2])
        name = f"s{self.later()}"
        if sum(key[0] == root for key in self.snapshots) > 4:
            return
        self.apply(ops.CreateSnapshotOp(root, name, self.now_ms))
        self.find(root).mtime_ms = self.now_ms
        self.snapshots[root, name] = copy.deepcopy(self.find(root))

    def step_delete_snapshot(self) -> None:
        if self.snapshots:
            root, name = self.dice.choice(sorted(self.snapshots))
            self.apply(ops.DeleteSnapshotOp(root, name, self.later()))
            self.find(root).mtime_ms = self.now_ms
            del self.snapshots[root, name]

    def step(self) -> None:
        steps = (
            (self.step_mkdir, 3),
            (self.step_create, 5),
            (self.step_overwrite, 1),
            (self.step_append, 2),
            (self.step_truncate, 1),
            (self.step_chmod, 2),
            (self.step_replication, 1),
            (self.step_delete, 3),
            (self.step_rename, 5),
            (self.step_rename_over, 1),
            (self.step_snapshot, 3),
            (self.step_delete_snapshot, 2),
        )
        self.dice.choices([step for step, _ in steps], [weight for _, weight in steps])[0]()

    # ---- judging

    def check(self) -> None:
        self.compare(self.model, ROOT, None)
        for (root, name), shown in self.snapshots.items():
            row = self.ns.lookup(root)
            snapshot = self.ns.snapshots.directories[row].named(name)
            assert snapshot is not None
            self.compare(shown, row, snapshot.snapshot_id)
        self.check_nothing_more()
        self.check_quotas()

    def compare(self, node: Node, row: int, snapshot_id: int | None) -> None:
        ns = self.ns
        at = row if snapshot_id is None else ns.snapshots.version_at(row, snapshot_id)
        assert ns.kinds[at] != FREE
        assert ns.ids[at] == node.inode_id
        assert ns.permissions[ns.perms[at]].mode == node.mode, node
        if at != ROOT:
            assert ns.mtimes[at] == node.mtime_ms, node
        if node.children is None:
            assert ns.kinds[at] == FILE
            assert sizes(ns.row_blocks(at)) == sizes(node.blocks)
            self.check_real_blocks(row, node.blocks)
            assert ns.layouts[ns.layout_of[at]].replication == node.replication
            return
        assert ns.kinds[at] == DIRECTORY
        below = {ns.names[child].decode(): child for child in ns.children.get(at, ())}
        assert below.keys() == node.children.keys(), (node, snapshot_id)
        for name, child in node.children.items():
            assert ns.child(at, name.encode()) == below[name]
            self.compare(child, below[name], snapshot_id)

    def check_real_blocks(self, row: int, blocks: Sequence[Block]) -> None:
        """DataNodes have them as they were written last, whatever a snapshot shows of them."""
        present = {b.block_id: b for b in self.ns.row_blocks(self.ns.snapshots.kin(row)[0])}
        known = history.held_blocks(self.ns, row) | present
        for block in blocks:
            assert known[block.block_id] == self.written[block.block_id]

    def check_nothing_more(self) -> None:
        ns, snapshots = self.ns, self.ns.snapshots
        everything = [self.model, *self.snapshots.values()]
        known = [node for tree in everything for _, node in tree.walk()]
        assert ns.inode_count == len({node.inode_id for node in known})
        blocks = {block.block_id for node in known for block in node.blocks}
        assert self.held == blocks
        assert snapshots.grown.keys() <= blocks
        assert ns.block_count == len(blocks)
        shown = {s.snapshot_id for d in snapshots.directories.values() for s in d.snapshots}
        assert snapshots.count == len(shown)
        assert set(snapshots.labelled) <= shown
        for row, versions in snapshots.versions.items():
            labels = [label for label, _ in versions]
            assert labels == sorted(set(labels))
            assert labels
            for label in labels:
                assert row in snapshots.labelled[label]
                assert history.newest(ns, row, label + 1) == label
        count = sum(len(versions) for versions in snapshots.versions.values())
        assert sum(len(rows) for rows in snapshots.labelled.values()) == count
        assert ns._shadows == count + len(snapshots.before)
        current = {node.inode_id for _, node in self.model.walk()}
        assert set(snapshots.deleted) == {node.inode_id for node in known} - current

    def check_quotas(self) -> None:
        ns = self.ns
        kept = [(q.inodes, q.space) for q in ns.quotas.values()]
        quota.recount(ns)
        assert [(q.inodes, q.space) for q in ns.quotas.values()] == kept
