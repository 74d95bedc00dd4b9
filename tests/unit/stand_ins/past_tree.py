"""Core. A small namespace with a past, made by hand."""

from __future__ import annotations

from hdfsd.base.ids import Block
from hdfsd.editlog import ops
from hdfsd.namespace.apply import apply
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.tree import Namespace

OWNER = ops.PermissionStatus("alice", "staff", 0o755)
FIRST = 16386
"""Id of the first inode that is made."""


class Tree:
    """A namespace by paths; each step is a moment later."""

    def __init__(self, *directories: str) -> None:
        self.ns = Namespace(Limits(), Permission("alice", "staff", 0o755), 0)
        self.now_ms = 0
        for path in directories:
            self.mkdir(path)

    def later(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def mkdir(self, path: str) -> None:
        inode_id = self.ns.last_inode_id + 1
        apply(self.ns, ops.MkdirOp(inode_id, path, self.later(), self.now_ms, OWNER))

    def create(self, path: str, *blocks: Block) -> None:
        inode_id = self.ns.last_inode_id + 1
        now_ms, fields = self.later(), ((), OWNER, (), (), "c", "m", False, 0, 0)
        apply(self.ns, ops.AddOp(inode_id, path, 1, now_ms, now_ms, 100, *fields))
        self._close(path, blocks)

    def append(self, path: str, *blocks: Block) -> None:
        """`blocks`: all of the file then."""
        apply(self.ns, ops.AppendOp(path, "c", "m", False))
        self.later()
        self._close(path, blocks)

    def _close(self, path: str, blocks: tuple[Block, ...]) -> None:
        apply(self.ns, ops.CloseOp(0, path, 1, self.now_ms, self.now_ms, 100, blocks, OWNER))

    def snapshot(self, path: str) -> None:
        apply(self.ns, ops.AllowSnapshotOp(path))
        apply(self.ns, ops.CreateSnapshotOp(path, f"s{self.now_ms}", self.later()))

    def move(self, source: str, target: str) -> int:
        """The row under its new name."""
        flag = bytes([ops.RENAME_NONE])
        apply(self.ns, ops.RenameOp(source, target, self.later(), flag))
        return self.ns.lookup(target)

    def delete(self, path: str) -> int:
        """The row of what is deleted."""
        row = self.ns.lookup(path)
        apply(self.ns, ops.DeleteOp(path, self.later()))
        return row
