"""Core. Too few, too many and bad replicas: what DataNodes must copy and delete.

Works only while `populating` (an active NameNode out of startup safe mode). Never deletes while a
replica's storage is stale after a failover (P5). Behaviour: Hadoop's BlockManager,
LowRedundancyBlocks, PendingReconstructionBlocks, ExcessRedundancyMap, InvalidateBlocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.blocks.blockmap import NO_ROW, BlockMap, BlockState, CorruptMark, CorruptReason
from hdfsd.blocks.datanodes import DataNode, Registry, Storage, Transfer
from hdfsd.blocks.placement import Placement
from hdfsd.blocks.settings import BlockSettings
from hdfsd.ports.dice import Dice

HIGHEST, VERY_LOW, LOW, BADLY_DISTRIBUTED, MISSING = range(5)
"""LowRedundancyBlocks' queues; the fourth stays empty: racks are not repaired yet."""
QUEUES = 5
STEP_BLOCKS = 1_000


@dataclass(slots=True)
class Counts:
    """Replicas of one block by what they are worth (NumberReplicas)."""

    live: int = 0
    """Neither corrupt nor chosen for deletion."""
    corrupt: int = 0
    excess: int = 0
    stale: int = 0
    """Of the live and corrupt ones, those on storages with stale contents."""


@dataclass(slots=True)
class _Pending:
    targets: list[Storage]
    since_ms: int
    written: bool = False
    """Its writer was told that they have it: only their reports are on the way."""


class Redundancy:
    """All queues about replicas. Rows come from the caller, block ids are kept."""

    def __init__(
        self,
        settings: BlockSettings,
        blocks: BlockMap,
        datanodes: Registry,
        placement: Placement,
        dice: Dice,
    ) -> None:
        self._settings = settings
        self._blocks = blocks
        self._datanodes = datanodes
        self._placement = placement
        self._dice = dice
        self.populating = False
        self._needed: list[dict[BlockId, None]] = [{} for _ in range(QUEUES)]
        self._queue_of: dict[BlockId, int] = {}
        self._pending: dict[BlockId, _Pending] = {}
        self._excess: dict[BlockId, set[int]] = {}
        self._postponed: dict[BlockId, None] = {}

    # --- figures -------------------------------------------------------------------------------

    @property
    def low_count(self) -> int:
        """Blocks below their replication, missing ones included."""
        return len(self._queue_of)

    @property
    def missing_count(self) -> int:
        return len(self._needed[MISSING])

    @property
    def missing_single_count(self) -> int:
        """Missing blocks of files with replication 1."""
        rows = (self._blocks.row(block_id) for block_id in self._needed[MISSING])
        return sum(row != NO_ROW and self._blocks.replication(row) == 1 for row in rows)

    @property
    def pending_count(self) -> int:
        return len(self._pending)

    @property
    def excess_count(self) -> int:
        return sum(len(indexes) for indexes in self._excess.values())

    @property
    def postponed_count(self) -> int:
        return len(self._postponed)

    @property
    def deletion_count(self) -> int:
        """Replicas that a DataNode still has to be told to delete."""
        return sum(len(node.invalidate) for node in self._datanodes.nodes())

    def missing(self) -> list[BlockId]:
        """Blocks without any good replica."""
        return list(self._needed[MISSING])

    def counts(self, row: int) -> Counts:
        counts = Counts()
        excess = self._excess.get(self._blocks.block_id(row), ())
        for storage in self._blocks.holders(row):
            if self._blocks.is_corrupt(row, storage):
                counts.corrupt += 1
            elif storage.index in excess:
                counts.excess += 1
                continue
            else:
                counts.live += 1
            counts.stale += storage.contents_stale
        return counts

    # --- changes -------------------------------------------------------------------------------

    def clear(self) -> None:
        """No longer active: another NameNode decides from here on."""
        self.populating = False
        for queue in self._needed:
            queue.clear()
        self._queue_of.clear()
        self._pending.clear()
        self._excess.clear()
        self._postponed.clear()
        for node in self._datanodes.nodes():
            node.forget_work()

    def forget(self, block_id: BlockId) -> None:
        """The block is gone from the map, or being written again."""
        self._dequeue(block_id)
        self._pending.pop(block_id, None)
        self._excess.pop(block_id, None)
        self._postponed.pop(block_id, None)

    def evaluate(self, row: int, delete_hint: DataNode | None = None) -> None:
        """Something about a complete block changed: its replicas, its replication."""
        if not self.populating or not self._blocks.is_complete(row):
            return
        counts = self._requeue(row)
        replication = self._blocks.replication(row)
        if counts.live > replication:
            self._choose_excess(row, replication, delete_hint)
        if counts.corrupt and counts.live >= replication:
            self._invalidate_corrupt(row)

    def expect(self, row: int, targets: Sequence[Storage], now_ms: int) -> None:
        """A block was committed and these will report it soon: no reason to copy it yet
        (BlockManager.addExpectedReplicasToPending)."""
        waiting = [t for t in targets if not self._blocks.holds(row, t)]
        if self.populating and waiting:
            self._pending[self._blocks.block_id(row)] = _Pending(waiting, now_ms, written=True)

    def unreported(self, block_id: BlockId) -> list[Storage]:
        """Who finalized a replica in the writer's pipeline and did not report it yet."""
        pending = self._pending.get(block_id)
        return list(pending.targets) if pending is not None and pending.written else []

    def received(self, block_id: BlockId, storage: Storage) -> None:
        """A replica arrived: no longer pending."""
        pending = self._pending.get(block_id)
        if pending is None:
            return
        pending.targets = [t for t in pending.targets if t.node is not storage.node]
        if not pending.targets:
            del self._pending[block_id]

    def removed(self, row: int, storage: Storage) -> None:
        """A replica is gone from the map."""
        self._drop_excess(self._blocks.block_id(row), storage)
        self.evaluate(row)

    def mark_corrupt(
        self, row: int, storage: Storage, reported: Block, reason: CorruptReason
    ) -> None:
        """The replica counts no longer; it is deleted once enough good ones are there
        (BlockManager.markBlockAsCorrupt)."""
        if not self._blocks.holds(row, storage):
            self._blocks.add_replica(row, storage)
        self._blocks.mark_corrupt(row, storage, CorruptMark(reason, reported.gen_stamp))
        self._drop_excess(reported.block_id, storage)
        if not self.populating:
            return
        counts = self.counts(row)
        replication = self._blocks.replication(row)
        enough = counts.live >= self._settings.replication_min
        during_write = self._blocks.gen_stamp(row) > reported.gen_stamp
        if counts.live >= replication or (
            enough and (during_write or counts.live + counts.corrupt > replication)
        ):
            self._delete_corrupt(row, storage, reported, counts)
        else:
            self._requeue(row)

    def invalidate(self, node: DataNode, block: Block) -> None:
        """The node must delete its replica, at its next heartbeat."""
        if self.populating and node.alive:
            node.invalidate[block.block_id] = (block.num_bytes, block.gen_stamp)

    def delete(self, storage: Storage, block: Block) -> None:
        """The block of this replica was deleted. Who isn't active remembers it until the DataNode
        says that the replica is gone, or it becomes active itself."""
        if self.populating:
            self.invalidate(storage.node, block)
        else:
            storage.left_over[block.block_id] = (block.num_bytes, block.gen_stamp)

    def populate(self) -> Iterator[None]:
        """From here on replicas are copied and deleted on our word. The steps look at every
        block."""
        self.populating = True
        for node in self._datanodes.nodes():
            for storage in node.storages.values():
                if node.alive:
                    node.invalidate.update(storage.left_over)
                storage.left_over.clear()
        return self.scan_all()

    def remind(self, storage: Storage) -> None:
        """A full report of the storage ended: what it should have deleted and still holds must be
        told again, the command may have been lost."""
        for block_id, indexes in self._excess.items():
            row = self._blocks.row(block_id)
            if storage.index in indexes and self._blocks.holds(row, storage):
                self.invalidate(storage.node, self._blocks.block(row))

    def is_invalidated(self, node: DataNode, block: Block) -> bool:
        waiting = node.invalidate.get(block.block_id)
        return waiting is not None and waiting[1] == block.gen_stamp

    def node_gone(self, node: DataNode) -> None:
        """Its replicas were removed one by one; this is the rest."""
        node.forget_work()
        for block_id, pending in list(self._pending.items()):
            kept = [target for target in pending.targets if target.node is not node]
            if len(kept) < len(pending.targets):
                pending.targets = kept
                if not kept:
                    del self._pending[block_id]
                self._requeue_id(block_id)

    # --- too few -------------------------------------------------------------------------------

    def _requeue(self, row: int) -> Counts:
        """Puts the block into the queue it belongs to, or none."""
        counts = self.counts(row)
        block_id = self._blocks.block_id(row)
        pending = self._pending.get(block_id)
        effective = counts.live + (len(pending.targets) if pending else 0)
        replication = self._blocks.replication(row)
        queue = None
        if effective < replication and self._blocks.is_complete(row):
            queue = priority(counts.live, replication)
        if self._queue_of.get(block_id) != queue:
            self._dequeue(block_id)
            if queue is not None:
                self._queue_of[block_id] = queue
                self._needed[queue][block_id] = None
        return counts

    def _requeue_id(self, block_id: BlockId) -> None:
        row = self._blocks.row(block_id)
        if row != NO_ROW and self.populating:
            self._requeue(row)

    def _dequeue(self, block_id: BlockId) -> None:
        queue = self._queue_of.pop(block_id, None)
        if queue is not None:
            del self._needed[queue][block_id]

    def expire_pending(self, now_ms: int) -> None:
        """Copies that never arrived are needed again."""
        limit = now_ms - self._settings.pending_timeout_ms
        late = [b for b, pending in self._pending.items() if pending.since_ms <= limit]
        for block_id in late:
            del self._pending[block_id]
            self._requeue_id(block_id)

    def schedule(self, now_ms: int) -> int:
        """One round of new copies, at most `work_multiplier` blocks per live node, the most
        endangered first; returns how many blocks. What can't be copied now goes to the end of
        its queue (BlockManager.computeReconstructionWorkForBlocks)."""
        budget = self._settings.work_multiplier * self._datanodes.live_count()
        scheduled = 0
        for queue in (HIGHEST, VERY_LOW, LOW):
            waiting = self._needed[queue]
            for _ in range(min(budget, len(waiting))):
                block_id = next(iter(waiting))
                budget -= 1
                if self._schedule_block(block_id, queue, now_ms):
                    scheduled += 1
                elif block_id in waiting:
                    del waiting[block_id]
                    waiting[block_id] = None
        return scheduled

    def _schedule_block(self, block_id: BlockId, queue: int, now_ms: int) -> bool:
        row = self._blocks.row(block_id)
        if row == NO_ROW or not self._blocks.is_complete(row):
            self._dequeue(block_id)
            return False
        source = self._source(row, queue)
        pending = self._pending.get(block_id)
        on_the_way = pending.targets if pending else []
        missing = self._blocks.replication(row) - self.counts(row).live - len(on_the_way)
        if source is None or missing <= 0:
            return False
        targets = self._placement.choose(
            missing,
            self._blocks.length(row),
            now_ms,
            writer=source,
            chosen=[*self._blocks.holders(row), *on_the_way],
        )
        if not targets:
            return False
        source.transfers.append(Transfer(block_id, tuple(targets)))
        self._pending[block_id] = _Pending([*on_the_way, *targets], now_ms)
        for target in targets:
            target.node.schedule()
        self._requeue(row)
        return True

    def _source(self, row: int, queue: int) -> DataNode | None:
        """A node with a good replica and a free stream; the endangered may use more streams."""
        limit = (
            self._settings.max_streams_hard_limit
            if queue == HIGHEST
            else self._settings.max_streams
        )
        excess = self._excess.get(self._blocks.block_id(row), ())
        good = [
            storage.node
            for storage in self._blocks.holders(row)
            if not self._blocks.is_corrupt(row, storage)
            and storage.index not in excess
            and storage.node.registered
            and len(storage.node.transfers) < limit
        ]
        return self._dice.pick(good) if good else None

    # --- too many, and bad ---------------------------------------------------------------------

    def _choose_excess(self, row: int, replication: int, delete_hint: DataNode | None) -> None:
        block_id = self._blocks.block_id(row)
        chosen = self._excess.get(block_id, set())
        holders = self._blocks.holders(row)
        good = [
            storage
            for storage in holders
            if storage.index not in chosen and not self._blocks.is_corrupt(row, storage)
        ]
        if any(storage.contents_stale for storage in holders):
            # P5: one of them may be gone already, deleted for the NameNode before us.
            self._postpone(block_id, holders)
            return
        block = self._blocks.block(row)
        while len(good) > replication:
            victim = _victim(good, delete_hint)
            good.remove(victim)
            self._excess.setdefault(block_id, set()).add(victim.index)
            self.invalidate(victim.node, block)
        self._requeue(row)

    def _invalidate_corrupt(self, row: int) -> None:
        for storage in self._blocks.holders(row):
            mark = self._blocks.corrupt_mark(row, storage)
            if mark is not None:
                replica = replace(self._blocks.block(row), gen_stamp=GenStamp(mark.gen_stamp))
                self._delete_corrupt(row, storage, replica, self.counts(row))

    def _delete_corrupt(self, row: int, storage: Storage, block: Block, counts: Counts) -> None:
        if counts.stale:
            self._postpone(block.block_id, self._blocks.holders(row))
            return
        self._blocks.remove_replica(row, storage)
        self.invalidate(storage.node, block)
        self._requeue(row)

    def _postpone(self, block_id: BlockId, holders: Sequence[Storage]) -> None:
        """Until all holders have reported in full. Those that did so before the failover would
        not do it again for hours (Hadoop waits as long): they are asked."""
        self._postponed[block_id] = None
        for storage in holders:
            if storage.contents_stale and storage.report_count and not storage.node.report_asked:
                storage.node.report_wanted = True

    def _drop_excess(self, block_id: BlockId, storage: Storage) -> None:
        indexes = self._excess.get(block_id)
        if indexes is not None:
            indexes.discard(storage.index)
            if not indexes:
                del self._excess[block_id]

    # --- scans ---------------------------------------------------------------------------------

    def rescan_postponed(self) -> Iterator[None]:
        """Looks again at what had to wait for full reports."""
        waiting, self._postponed = self._postponed, {}
        for number, block_id in enumerate(waiting, 1):
            row = self._blocks.row(block_id)
            if row != NO_ROW:
                self.evaluate(row)
            if number % STEP_BLOCKS == 0:
                yield

    def scan_all(self) -> Iterator[None]:
        """Looks at every block (processMisReplicatedBlocks)."""
        for number, row in enumerate(self._blocks.rows(), 1):
            self.evaluate(row)
            if number % STEP_BLOCKS == 0:
                yield

    # --- work for a heartbeat ------------------------------------------------------------------

    def take_transfers(self, node: DataNode) -> list[tuple[Block, Sequence[Storage]]]:
        """As many copies as the node has streams free."""
        taken: list[tuple[Block, Sequence[Storage]]] = []
        while node.transfers and len(taken) < self._settings.max_streams - node.xmits:
            transfer = node.transfers.popleft()
            row = self._blocks.row(transfer.block_id)
            if row != NO_ROW and self._blocks.state(row) == BlockState.COMPLETE:
                taken.append((self._blocks.block(row), transfer.targets))
        return taken

    def take_invalidations(self, node: DataNode) -> list[Block]:
        """At most `invalidate_limit` replicas. An excess replica that is needed after all, since
        others were lost meanwhile, is kept (P5)."""
        taken: list[Block] = []
        while node.invalidate and len(taken) < self._settings.invalidate_limit:
            block_id = next(iter(node.invalidate))
            block = Block(block_id, *node.invalidate.pop(block_id))
            if not self._is_needed_after_all(node, block):
                taken.append(block)
        return taken

    def _is_needed_after_all(self, node: DataNode, block: Block) -> bool:
        row = self._blocks.row(block.block_id)
        if row == NO_ROW or self._blocks.gen_stamp(row) != block.gen_stamp:
            return False
        held = [s for s in self._blocks.holders(row) if s.node is node]
        if not held or self._blocks.is_corrupt(row, held[0]):
            return False
        if self.counts(row).live >= self._blocks.replication(row):
            return False
        self._drop_excess(block.block_id, held[0])
        self._requeue(row)
        return True


def priority(live: int, replication: int) -> int:
    """The queue of a block with fewer than its replicas (LowRedundancyBlocks.getPriority)."""
    if live == 0:
        return MISSING
    if live == 1:
        return HIGHEST
    return VERY_LOW if live * 3 < replication else LOW


def _victim(good: list[Storage], delete_hint: DataNode | None) -> Storage:
    """Which replica to give up: the hinted one, else from a rack that has several, there the one
    with least space left (BlockPlacementPolicyDefault.chooseReplicasToDelete)."""
    racks = [storage.node.location for storage in good]
    crowded = [s for s in good if racks.count(s.node.location) > 1] or good
    for storage in crowded:
        if storage.node is delete_hint:
            return storage
    return min(crowded, key=lambda storage: storage.remaining)
