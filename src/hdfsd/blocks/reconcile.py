"""Core. What DataNodes report against what the block map says: add, queue, mark corrupt, delete.

Behaviour: BlockManager.processReportedBlock and its neighbours. Holds P5 on a standby: it queues
what it can't judge yet, and never lets anything be deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hdfsd.base.errors import UnregisteredNode
from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.blocks.blockmap import NO_ROW, BlockMap, BlockState, CorruptReason
from hdfsd.blocks.datanodes import DataNode, Storage
from hdfsd.blocks.queued import QueuedMessage, QueuedMessages
from hdfsd.blocks.redundancy import Redundancy
from hdfsd.blocks.reports import ReplicaState, Reported
from hdfsd.blocks.rowset import RowSet

STEP_REPLICAS = 1_000
"""Replicas per step of a full report: some milliseconds (P7)."""
_BEING_WRITTEN = (BlockState.UNDER_CONSTRUCTION, BlockState.UNDER_RECOVERY)
_WRITING = (ReplicaState.RBW, ReplicaState.RWR)


class Reconciler:
    """Judges reported replicas one by one; `standby` queues those of edits not applied yet."""

    def __init__(self, minimum: int, blocks: BlockMap, redundancy: Redundancy) -> None:
        """`minimum`: finalized replicas that complete a committed block."""
        self._minimum = minimum
        self._blocks = blocks
        self._redundancy = redundancy
        self.queued = QueuedMessages()
        self.standby = True
        self.gen_stamp_seen = 0
        """Highest generation stamp of the edits applied."""
        self.block_id_seen = 0
        """Highest block id of the edits applied."""

    # --- one replica ---------------------------------------------------------------------------

    def reported(
        self, storage: Storage, block: Block, state: int, delete_hint: DataNode | None = None
    ) -> None:
        """A storage says that it has this replica in this state."""
        row = self._blocks.row(block.block_id)
        if row != NO_ROW and storage.scan is not None:
            storage.scan.add(row)
        if self.standby and self._is_ahead(block, row):
            self.queued.add(storage, block, state)
            return
        if row == NO_ROW:
            self._redundancy.invalidate(storage.node, block)
            return
        if self._redundancy.is_invalidated(storage.node, block):
            return
        bad = self._corruption(row, block, state)
        if bad is not None and self.standby:
            self.queued.add(storage, block, state)
            return
        self.queued.supersede(storage, block.block_id)
        if bad is not None:
            self._redundancy.mark_corrupt(row, storage, block, bad)
        elif self._is_being_written(row, state):
            self._blocks.open[row].note(storage, block.gen_stamp, state)
            if state == ReplicaState.FINALIZED:
                self.store(row, storage, delete_hint)
        elif state == ReplicaState.FINALIZED:
            self.store(row, storage, delete_hint)

    def received(self, storage: Storage, block: Block, delete_hint: DataNode | None) -> None:
        """A replica was finalized just now (incremental report)."""
        storage.node.arrived()
        row = self._blocks.row(block.block_id)
        if row != NO_ROW and self._blocks.gen_stamp(row) == block.gen_stamp:
            self._redundancy.received(block.block_id, storage)
        self.reported(storage, block, ReplicaState.FINALIZED, delete_hint)

    def deleted(self, storage: Storage, block: Block) -> None:
        """A replica was deleted (incremental report)."""
        row = self._blocks.row(block.block_id)
        if self.standby and self._is_ahead(block, row):
            self.queued.add(storage, block, None)
            return
        self.queued.supersede(storage, block.block_id)
        storage.left_over.pop(block.block_id, None)
        if row != NO_ROW:
            self.lost(row, storage)

    def lost(self, row: int, storage: Storage) -> None:
        """The storage has the replica no longer."""
        if self._blocks.remove_replica(row, storage):
            self._redundancy.removed(row, storage)

    def replay(self, block_id: BlockId) -> None:
        """The edit of a block was applied: judge what waits for it (it may have to wait on)."""
        if self.queued.count:
            self._replay(self.queued.take(block_id))

    def replay_all(self) -> None:
        """All edits are applied: nothing has to wait any more. Call after `standby` is off."""
        self._replay(self.queued.take_all())

    def _replay(self, messages: Iterable[QueuedMessage]) -> None:
        for message in messages:
            if message.state is None:
                self.deleted(message.storage, message.block)
            else:
                self.reported(message.storage, message.block, message.state)

    def _is_ahead(self, block: Block, row: int) -> bool:
        """Of an edit that this standby has not applied."""
        if block.gen_stamp > self.gen_stamp_seen:
            return True
        # The stamp of a new block is logged in an edit of its own, before the block.
        return row == NO_ROW and block.block_id > self.block_id_seen

    def _corruption(self, row: int, block: Block, state: int) -> CorruptReason | None:
        """Why this replica can't be a good one (BlockManager.checkReplicaCorrupt)."""
        blocks = self._blocks
        stored, stamp = blocks.state(row), blocks.gen_stamp(row)
        if state == ReplicaState.FINALIZED:
            if stored in (BlockState.COMPLETE, BlockState.COMMITTED):
                if block.gen_stamp != stamp:
                    return CorruptReason.GEN_STAMP
                wrong_size = block.num_bytes != blocks.length(row)
                return CorruptReason.SIZE if wrong_size else None
            older = stored == BlockState.UNDER_CONSTRUCTION and block.gen_stamp < stamp
            return CorruptReason.GEN_STAMP if older else None
        if state in _WRITING:
            if stored != BlockState.COMPLETE:
                return None
            if block.gen_stamp != stamp:
                return CorruptReason.GEN_STAMP
            # The last packet's report and the finalized one may cross: RBW is no news.
            return CorruptReason.STATE if state == ReplicaState.RWR else None
        return CorruptReason.STATE

    def _is_being_written(self, row: int, state: int) -> bool:
        """BlockManager.isBlockUnderConstruction."""
        stored = self._blocks.state(row)
        if state == ReplicaState.FINALIZED:
            return stored in _BEING_WRITTEN
        return state in _WRITING and stored != BlockState.COMPLETE

    def store(self, row: int, storage: Storage, delete_hint: DataNode | None = None) -> None:
        """A good finalized replica (BlockManager.addStoredBlock)."""
        blocks = self._blocks
        mark = blocks.corrupt_mark(row, storage)
        if mark is not None and mark.reason is CorruptReason.GEN_STAMP:
            # The right one was reported since; what a checksum found bad stays bad.
            blocks.unmark_corrupt(row, storage)
        blocks.add_replica(row, storage)
        if blocks.state(row) == BlockState.COMMITTED and blocks.live_count(row) >= self._minimum:
            blocks.set_state(row, BlockState.COMPLETE)
        self._redundancy.evaluate(row, delete_hint)

    # --- full reports --------------------------------------------------------------------------

    def full_report(self, storage: Storage, replicas: Iterable[Reported]) -> Iterator[None]:
        """All replicas of a storage; those in the map that are not among them are lost. Yields
        every STEP_REPLICAS. Raises UnregisteredNode when the node died, registered anew or
        began another report of the storage meanwhile; IOFault for a report that can't be read
        (nothing is lost then)."""
        registration = storage.node.registrations
        scan = storage.scan = RowSet()
        before = storage.rows.copy()
        gone = set(storage.left_over)
        budget = STEP_REPLICAS
        for block_id, length, stamp, state in replicas:
            if not self._is_known(storage, scan, block_id, length, stamp, state):
                block = Block(BlockId(block_id), length, GenStamp(stamp))
                self.reported(storage, block, state)
                gone.discard(block.block_id)
            budget -= 1
            if not budget:
                yield
                _check_current(storage, scan, registration)
                budget = STEP_REPLICAS
        for row in before.minus(scan):
            if row in storage.rows and row not in scan:
                self.lost(row, storage)
            budget -= 1
            if not budget:
                yield
                _check_current(storage, scan, registration)
                budget = STEP_REPLICAS
        for block_id in gone:
            storage.left_over.pop(block_id, None)
        storage.scan = None
        storage.reported()
        self._redundancy.remind(storage)

    def _is_known(
        self, storage: Storage, scan: RowSet, block_id: int, length: int, stamp: int, state: int
    ) -> bool:
        """Nearly every replica of a full report: exactly what the map has already."""
        blocks = self._blocks
        row = blocks.row(block_id)
        if (
            row == NO_ROW
            or state != ReplicaState.FINALIZED
            or row not in storage.rows
            or not blocks.is_complete(row)
            or blocks.gen_stamp(row) != stamp
            or blocks.length(row) != length
            or blocks.is_corrupt(row, storage)
            or self.queued.count
        ):
            return False
        scan.add(row)
        return True


def _check_current(storage: Storage, scan: RowSet, registration: int) -> None:
    node = storage.node
    if storage.scan is not scan or node.registrations != registration or not node.registered:
        raise UnregisteredNode(f"The full report of {storage} was overtaken; send it again")
