"""Core. All that one NameNode knows: namespace, blocks, retry cache, HA state, and how edits reach
each of them. Holds P4.

The active commits ops (`commit`: apply, then log), the standby and the loader replay them
(`replay`): both go through `_apply`, so that every NameNode makes the same of one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol

from hdfsd.base.errors import InvariantBroken, StandbyError
from hdfsd.base.ids import InodeId, NamespaceInfo, TxId
from hdfsd.blocks.blockmap import NO_ROW
from hdfsd.blocks.manager import BlockManager
from hdfsd.editlog import codec
from hdfsd.editlog.ops import NO_CALL_ID, NO_CLIENT_ID, EditOp
from hdfsd.namenode.answers import Remembered, known_from
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.retrycache import RetryCache
from hdfsd.namespace import history
from hdfsd.namespace.apply import apply, free_detached
from hdfsd.namespace.effects import (
    BlockCopied,
    BlockReopened,
    BlocksAdded,
    BlocksMoved,
    BlocksRemoved,
    BlockUpdated,
    Effect,
    ReplicationChanged,
)
from hdfsd.namespace.inode import FileRow
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import Message

RETRY_ENTRIES_MAX = 300_000


class Log(Protocol):
    """Where committed ops go (namenode.committer)."""

    last_txid: TxId

    def append(self, frame: bytes) -> TxId: ...


class NameNodeState:
    """Owned by the event loop of its process; nobody else touches it (decision D1)."""

    def __init__(
        self,
        *,
        info: NamespaceInfo,
        namespace: Namespace,
        blocks: BlockManager,
        applied_txid: TxId,
        retry_life_ms: int,
    ) -> None:
        self.info = info
        self.namespace = namespace
        self.blocks = blocks
        self.applied_txid = applied_txid
        """The last transaction in memory: of the image, then of each edit."""
        self.retry: RetryCache[Remembered] = RetryCache(
            life_ms=retry_life_ms, entries_max=RETRY_ENTRIES_MAX
        )
        self.ha_state = HAState.INITIALIZING
        self.in_transition = False
        self.long_works = 0
        self.log: Log | None = None
        """Set while active."""
        self.on_detached: Callable[[], None] | None = None
        """Told when a deleted tree is too big to be freed at once: `free_detached` has work."""

    @property
    def is_active(self) -> bool:
        return self.ha_state is HAState.ACTIVE

    @property
    def is_serving(self) -> bool:
        """Clients write: whatever else there is to do must not keep them waiting."""
        return self.is_active and not self.blocks.safe_mode.active

    def load_blocks(self) -> None:
        """Tells the block map of every block of a freshly loaded image."""
        namespace, blocks = self.namespace, self.blocks
        for row in namespace.inodes():
            if isinstance(row, FileRow) and row.blocks:
                replication = namespace.layouts[row.layout].replication
                last = len(row.blocks) - 1
                for index, block in enumerate(row.blocks):
                    being_written = row.writer is not None and index == last
                    blocks.add_block(row.inode_id, block, replication, being_written)
        self._load_held_blocks()
        blocks.saw_gen_stamp(namespace.gen_stamp)

    def _load_held_blocks(self) -> None:
        """Those that only snapshots have."""
        namespace, blocks = self.namespace, self.blocks
        for row in namespace.snapshots.versions:
            for block in history.held_blocks(namespace, row).values():
                if blocks.blocks.row(block.block_id) == NO_ROW:
                    replication = history.replication(namespace, row)
                    blocks.add_block(InodeId(namespace.ids[row]), block, replication, False)

    def commit(self, ops: Iterable[EditOp], now_ms: int) -> None:
        """Applies and logs each op. Raises IllegalArgument for one that can't be written.

        Only an active may; the gate has made sure of it.
        """
        log = self.log
        if log is None:
            raise StandbyError(
                f"this NameNode is {self.ha_state.value} now: its edit log is closed"
            )
        for op in ops:
            # Encoded first: what the log can't hold must not change the namespace.
            frame = codec.encode(op, log.last_txid + 1)
            self._apply(op, now_ms)
            self.applied_txid = log.append(frame)

    def replay(self, op: EditOp, txid: TxId, now_ms: int) -> None:
        """Applies an op that another NameNode committed. Leases are renewed when we take over."""
        if txid != self.applied_txid + 1:
            raise InvariantBroken(f"P4: txid {txid} after {self.applied_txid}")
        self._apply(op, 0)
        self.applied_txid = txid
        client_id = getattr(op, "client_id", NO_CLIENT_ID)
        if client_id:
            call_id = getattr(op, "call_id", NO_CALL_ID)
            answer = known_from(op, self.namespace, self.blocks)
            self.retry.add(client_id, call_id, txid, answer, now_ms)

    def remember(self, client_id: bytes, call_id: int, answer: Message, now_ms: int) -> None:
        """Keeps the answer to an at-most-once call that was just committed."""
        self.retry.add(client_id, call_id, self.applied_txid, answer, now_ms)

    def free_detached(self) -> Generator[None, None, None]:
        """Frees deleted trees in steps: their inodes, leases and blocks."""
        while self.namespace.detached:
            for effect in free_detached(self.namespace):
                self._tell_blocks(effect)
            yield

    def _apply(self, op: EditOp, now_ms: int) -> None:
        for effect in apply(self.namespace, op, now_ms):
            self._tell_blocks(effect)
        self.blocks.saw_gen_stamp(self.namespace.gen_stamp)
        if self.namespace.detached and self.on_detached is not None:
            self.on_detached()

    def _tell_blocks(self, effect: Effect) -> None:
        blocks = self.blocks
        match effect:
            case BlocksAdded(inode_id, replication, added, under_construction):
                last = len(added) - 1
                for index, block in enumerate(added):
                    being_written = under_construction and index == last
                    blocks.add_block(inode_id, block, replication, being_written)
            case BlockUpdated(inode_id, old, new, complete):
                blocks.update_block(inode_id, old, new, complete)
            case BlockReopened(_, block, truncate_to):
                blocks.reopen_block(block.block_id, truncate_to=truncate_to)
            case BlockCopied(inode_id, replication, copy, source):
                blocks.add_copy(inode_id, copy, replication, source)
            case BlocksRemoved(removed):
                blocks.remove_blocks(removed)
            case BlocksMoved(inode_id, moved, replication):
                blocks.move_blocks(inode_id, moved, replication)
            case ReplicationChanged(_, changed, replication):
                blocks.set_replication(changed, replication)
