"""Core. The blocks of one NameNode: map, nodes, redundancy and safe mode under one roof.

What the namespace says comes in as effects (`add_block` … `move_blocks`), what DataNodes say as
requests (`register`, `heartbeat`, `report_steps`, `received_and_deleted`); what they must do goes
out as commands in heartbeat replies, from an active NameNode only (P5). Behaviour: Hadoop's
BlockManager and DatanodeManager.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence

from hdfsd.base.errors import IOFault, UnregisteredNode
from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId, NamespaceInfo
from hdfsd.blocks import located
from hdfsd.blocks.blockmap import (
    NO_ROW,
    BlockMap,
    BlockState,
    CorruptReason,
    WrittenReplica,
)
from hdfsd.blocks.datanodes import DEFAULT_RACK, DataNode, Registry, Storage
from hdfsd.blocks.leases import NO_LEASE, ReportLeases
from hdfsd.blocks.placement import Placement
from hdfsd.blocks.reconcile import Reconciler
from hdfsd.blocks.recovery import choose_primary, participants
from hdfsd.blocks.redundancy import Redundancy
from hdfsd.blocks.reports import ReplicaState, replicas_of
from hdfsd.blocks.safemode import SafeMode
from hdfsd.blocks.settings import BlockSettings
from hdfsd.ports.dice import Dice
from hdfsd.wire.messages import client_namenode, datanode, hdfs

STEP_LOST = 1_000
"""Replicas of a dead node or failed storage taken out per step."""
_OPEN = (BlockState.UNDER_CONSTRUCTION, BlockState.UNDER_RECOVERY)


class BlockManager:
    """`blocks`, `datanodes`, `redundancy`, `safe_mode` are public to read."""

    def __init__(
        self,
        settings: BlockSettings,
        dice: Dice,
        namespace_info: NamespaceInfo,
        racks: Mapping[str, str] | None = None,
    ) -> None:
        """`racks`: IP address or host name of a DataNode -> network location."""
        self._settings = settings
        self._dice = dice
        self._pool = namespace_info.block_pool_id
        self._located = located.LocatedBlocks(self._pool)
        self._racks = racks or {}
        self._now_ms = 0
        """As of the last call that told the time: heartbeats and ticks do, every few seconds."""
        self._leaving: list[Storage] = []
        """Storages of dead nodes and failed ones, whose replicas must be taken out."""
        self._scan: Iterator[None] = iter(())
        self.active = False
        self.datanodes = Registry(settings, namespace_info, racks)
        self.blocks = BlockMap(self.datanodes.storages, settings.safe_replication)
        self.safe_mode = SafeMode(settings, self.blocks, self.datanodes)
        self._placement = Placement(settings, self.datanodes, dice)
        self.redundancy = Redundancy(settings, self.blocks, self.datanodes, self._placement, dice)
        self._reconciler = Reconciler(settings.replication_min, self.blocks, self.redundancy)
        self._leases = ReportLeases(settings, dice)

    # --- effects of the namespace, in the order of transactions --------------------------------

    def add_block(
        self,
        inode_id: InodeId,
        block: Block,
        replication: int,
        under_construction: bool,
        targets: Sequence[Storage] = (),
    ) -> None:
        """A block of a file; complete at once unless under construction."""
        state = BlockState.UNDER_CONSTRUCTION if under_construction else BlockState.COMPLETE
        self.blocks.add(inode_id, block, replication, state)
        self.saw_gen_stamp(block.gen_stamp)
        if block.block_id > self._reconciler.block_id_seen:
            self._reconciler.block_id_seen = block.block_id
        if targets:
            self.set_expected(block.block_id, targets)
        self._reconciler.replay(block.block_id)

    def add_copy(self, inode_id: InodeId, block: Block, replication: int, source: BlockId) -> None:
        """A block that a recovery will make where `source` is, which stays as it is."""
        holders = self.blocks.holders(self.blocks.need(source))
        self.add_block(inode_id, block, replication, True, holders)
        construction = self.blocks.open[self.blocks.need(block.block_id)]
        construction.truncate_to, construction.copy_of = block.num_bytes, source

    def copy_being_made(self, source: BlockId, of: BlockId) -> bool:
        """Whether a block is being made from another one (copy on truncate)."""
        construction = self.blocks.open.get(self.blocks.row(of))
        return construction is not None and construction.copy_of == source

    def update_block(self, inode_id: InodeId, old: Block, new: Block, complete: bool) -> None:
        """New length or generation stamp. `complete`: an active NameNode commits the block and
        completes it when enough replicas are there; a standby completes it by force."""
        row = self.blocks.need(new.block_id)
        self.blocks.set_inode(row, inode_id)
        self._set_block(row, new)
        self.saw_gen_stamp(new.gen_stamp)
        if complete and not self.blocks.is_complete(row):
            if self.active:
                self._commit(row)
            else:
                self.blocks.set_state(row, BlockState.COMPLETE)
        self._reconciler.replay(new.block_id)

    def reopen_block(
        self,
        block_id: BlockId,
        targets: Sequence[Storage] | None = None,
        *,
        truncate_to: int | None = None,
    ) -> None:
        """A complete block becomes under construction (append, truncate); expected at `targets`,
        or where its replicas are. Those that its pipeline wrote and nobody reported yet belong to
        them: a client that appends right after it closed would else have a node added that refuses
        a second replica."""
        row = self.blocks.need(block_id)
        holders = [*self.blocks.holders(row), *self.redundancy.unreported(block_id)]
        self.redundancy.forget(block_id)
        for storage in holders:
            storage.node.invalidate.pop(block_id, None)
        self.blocks.set_state(row, BlockState.UNDER_CONSTRUCTION)
        self.blocks.open[row].truncate_to = truncate_to
        self.set_expected(block_id, holders if targets is None else targets)

    def remove_blocks(self, block_ids: Sequence[BlockId]) -> None:
        """Blocks without a file; an active NameNode has their replicas deleted."""
        for block_id in block_ids:
            row = self.blocks.need(block_id)
            block = self.blocks.block(row)
            for storage in self.blocks.holders(row):
                mark = self.blocks.corrupt_mark(row, storage)
                stamp = block.gen_stamp if mark is None else GenStamp(mark.gen_stamp)
                self.redundancy.delete(storage, Block(block_id, block.num_bytes, stamp))
            self.redundancy.forget(block_id)
            self._reconciler.queued.take(block_id)
            self.blocks.remove(row)

    def set_replication(self, block_ids: Sequence[BlockId], replication: int) -> None:
        for block_id in block_ids:
            row = self.blocks.need(block_id)
            self.blocks.set_replication(row, replication)
            self.redundancy.evaluate(row)

    def move_blocks(
        self, inode_id: InodeId, block_ids: Sequence[BlockId], replication: int
    ) -> None:
        """The blocks belong to another file now (concat), with that file's replication."""
        for block_id in block_ids:
            self.blocks.set_inode(self.blocks.need(block_id), inode_id)
        self.set_replication(block_ids, replication)

    def saw_gen_stamp(self, gen_stamp: GenStamp) -> None:
        """The namespace's generation stamp: a standby queues what is reported beyond it."""
        if gen_stamp > self._reconciler.gen_stamp_seen:
            self._reconciler.gen_stamp_seen = gen_stamp

    def _set_block(self, row: int, block: Block) -> None:
        """With a new stamp, replicas that are not known to be finalized under it count no longer
        (BlockManager.removeStaleReplicas)."""
        restamped = self.blocks.gen_stamp(row) != block.gen_stamp
        self.blocks.set_block(row, block)
        if not restamped:
            return
        construction = self.blocks.open.get(row)
        written = construction.replicas if construction is not None else []
        current = {
            r.storage.index
            for r in written
            if r.gen_stamp == block.gen_stamp and r.state == ReplicaState.FINALIZED
        }
        for storage in self.blocks.holders(row):
            if storage.index not in current:
                self._reconciler.lost(row, storage)
        if construction is not None:
            construction.replicas = [r for r in written if r.gen_stamp == block.gen_stamp]

    def _commit(self, row: int) -> None:
        construction = self.blocks.open[row]
        expected = [replica.storage for replica in construction.replicas]
        if self.blocks.state(row) != BlockState.COMMITTED:
            self.blocks.set_state(row, BlockState.COMMITTED)
            self.redundancy.expect(row, expected, self._now_ms)
        if self.blocks.live_count(row) >= self._settings.replication_min:
            self.blocks.set_state(row, BlockState.COMPLETE)
            self.redundancy.evaluate(row)

    # --- HA state and safe mode ----------------------------------------------------------------

    def become_active(self, now_ms: int) -> Generator[None, None, None]:
        """Call when the last edit is applied. At once: queued messages are processed, every
        storage is stale until its next full report (P5). The steps returned fill the redundancy
        queues; run them in the background (namenode.turns)."""
        self._now_ms = now_ms
        self.active = True
        self._reconciler.standby = False
        self.redundancy.clear()
        self.datanodes.stale_after_failover()
        if not self.safe_mode.is_startup:
            self._populate()
        self._reconciler.replay_all()
        self.check_safe_mode(now_ms)
        return self._run_scan()

    def become_standby(self) -> None:
        """From here on nothing is deleted or copied on our word."""
        self.active = False
        self._reconciler.standby = True
        self._scan = iter(())
        self.redundancy.clear()

    def loaded(self, now_ms: int) -> None:
        """The image and edits are loaded: safe mode starts to count (may be left at once)."""
        self._now_ms = now_ms
        self.safe_mode.start(now_ms)
        self._left_safe_mode()

    def enter_safe_mode(self, *, resources_low: bool = False) -> None:
        self.safe_mode.enter(resources_low=resources_low)

    def leave_safe_mode(self, now_ms: int) -> Generator[None, None, None]:
        """By hand; run the steps as with `become_active`."""
        self._now_ms = now_ms
        self.safe_mode.leave()
        self._left_safe_mode()
        return self._run_scan()

    def check_safe_mode(self, now_ms: int) -> None:
        """O(1); heartbeats and reports call it too, so that it is left at once."""
        if self.safe_mode.check(now_ms):
            self._left_safe_mode()

    def _left_safe_mode(self) -> None:
        if self.active and not self.safe_mode.is_startup and not self.redundancy.populating:
            self._populate()

    def _populate(self) -> None:
        self._scan = self.redundancy.populate()

    def _run_scan(self) -> Generator[None, None, None]:
        yield from self._scan

    def tick(self, now_ms: int) -> Generator[None, None, None]:
        """Every redundancy interval: dead nodes, safe mode, timeouts, new replication work. Run
        the steps to their end before the next tick."""
        self._now_ms = now_ms
        if not self.safe_mode.is_startup:
            self._bury(now_ms)
        self.check_safe_mode(now_ms)
        yield from self._take_out_leaving()
        yield from self._run_scan()
        if self._may_command():
            self.redundancy.expire_pending(now_ms)
            yield from self.redundancy.rescan_postponed()
        if self._may_command():
            self.redundancy.schedule(now_ms)

    def _may_command(self) -> bool:
        return self.active and self.redundancy.populating and not self.safe_mode.active

    def _bury(self, now_ms: int) -> None:
        for node in self.datanodes.overdue(now_ms):
            self._retire(node)

    def _retire(self, node: DataNode) -> None:
        node.alive = False
        node.info = None
        self._leases.release(node.uuid)
        self._reconciler.queued.forget(node)
        self.redundancy.node_gone(node)
        for storage in node.storages.values():
            storage.clear_statistics()
            self._leaving.append(storage)

    def _take_out_leaving(self) -> Iterator[None]:
        while self._leaving:
            storage = self._leaving.pop()
            for number, row in enumerate(storage.rows, 1):
                if storage.node.alive and not storage.failed:
                    break  # It came back, and will report in full.
                self._reconciler.lost(row, storage)
                if number % STEP_LOST == 0:
                    yield

    # --- files being written -------------------------------------------------------------------

    def choose_targets(
        self,
        count: int,
        block_size: int,
        *,
        writer: str | None,
        excluded: Collection[str] = (),
        favored: Sequence[str] = (),
        path: str = "",
    ) -> list[Storage]:
        """At most `count` storages for a new block. `writer`: the caller's IP address or host;
        `excluded`: DataNode uuids; `favored`: host:port. Raises IOFault with Hadoop's text when
        fewer than the minimal replication are found."""
        wanted = [node for node in map(self.datanodes.by_name, favored) if node is not None]
        targets = self._placement.choose(
            count,
            block_size,
            self._now_ms,
            writer=self._placement.writer_node(writer),
            excluded=excluded,
            favored=wanted,
        )
        if len(targets) < self._settings.replication_min:
            raise IOFault(
                f"File {path} could only be written to {len(targets)} of the "
                f"{self._settings.replication_min} minReplication nodes. There are "
                f"{self.datanodes.live_count()} datanode(s) running and "
                f"{len(excluded) or 'no'} node(s) are excluded in this operation."
            )
        for storage in targets:
            storage.node.schedule()
        return targets

    def choose_additional(
        self,
        count: int,
        block_size: int,
        *,
        writer: str | None,
        existing: Sequence[Storage],
        excluded: Collection[str] = (),
    ) -> list[Storage]:
        """Further storages for a pipeline that lost nodes (getAdditionalDatanode)."""
        targets = self._placement.choose(
            count,
            block_size,
            self._now_ms,
            writer=self._placement.writer_node(writer),
            chosen=existing,
            excluded=excluded,
        )
        for storage in targets:
            storage.node.schedule()
        return targets

    def storages(self, node_uuids: Sequence[str], storage_ids: Sequence[str]) -> list[Storage]:
        """Those of the pairs that are known; extra or unknown ones are left out."""
        return self.datanodes.select(node_uuids, storage_ids)

    def set_expected(self, block_id: BlockId, targets: Sequence[Storage]) -> None:
        """Where an under-construction block is being written (addBlock, updatePipeline)."""
        row = self.blocks.need(block_id)
        stamp = self.blocks.gen_stamp(row)
        self.blocks.open[row].replicas = [WrittenReplica(storage, stamp) for storage in targets]

    def expected(self, block_id: BlockId) -> list[Storage]:
        """Where a block that is not complete is being written; the holders of a complete one."""
        row = self.blocks.need(block_id)
        construction = self.blocks.open.get(row)
        if construction is None:
            return self.blocks.holders(row)
        return [replica.storage for replica in construction.replicas]

    def state(self, block_id: BlockId) -> BlockState:
        """Raises KeyError for a block that is not there."""
        return self.blocks.state(self.blocks.need(block_id))

    def inode_of(self, block_id: BlockId) -> InodeId | None:
        """The file of a block, None when there is no such block."""
        row = self.blocks.row(block_id)
        return None if row == NO_ROW else self.blocks.inode_id(row)

    def stored(self, block_id: BlockId) -> Block | None:
        """The block as the map knows it."""
        row = self.blocks.row(block_id)
        return None if row == NO_ROW else self.blocks.block(row)

    def commit_block(self, block: Block) -> bool:
        """The client's last word on its block: COMMITTED, and COMPLETE when enough replicas are
        there; True if the call changed it. Raises IOFault for another generation stamp or a
        length below the one known (BlockManager.commitBlock). The namespace still logs it."""
        row = self.blocks.need(block.block_id)
        if self.blocks.state(row) not in _OPEN:
            return False
        stored = self.blocks.block(row)
        if stored.gen_stamp != block.gen_stamp:
            raise IOFault(
                f"Commit block with mismatching GS. NN has {stored}, client submits {block}"
            )
        if block.num_bytes < stored.num_bytes:
            raise IOFault(
                f"Commit block {block} with {block.num_bytes} bytes, of which "
                f"{stored.num_bytes} are known already"
            )
        self.blocks.set_block(row, block)
        self._commit(row)
        return True

    def is_complete(self, block_id: BlockId) -> bool:
        """False also while fewer than the minimal replicas were reported."""
        return self.blocks.is_complete(self.blocks.need(block_id))

    def is_committed(self, block_id: BlockId) -> bool:
        return self.state(block_id) == BlockState.COMMITTED

    def is_under_recovery(self, block_id: BlockId) -> bool:
        return self.state(block_id) == BlockState.UNDER_RECOVERY

    def truncating_to(self, block_id: BlockId) -> int | None:
        """The length that a recovery cuts it to, whether one has been started (by us, that is, and
        not by the NameNode that was active then) or not; None: no truncation is under way."""
        construction = self.blocks.open.get(self.blocks.need(block_id))
        return None if construction is None else construction.truncate_to

    def left_uncut(self) -> list[InodeId]:
        """Files that a truncation waits for, and whose last block nobody recovers."""
        return [
            self.blocks.inode_id(row)
            for row, construction in self.blocks.open.items()
            if construction.truncate_to is not None
            and self.blocks.state(row) == BlockState.UNDER_CONSTRUCTION
        ]

    def has_minimum_replicas(self, block_id: BlockId) -> bool:
        """Enough finalized replicas to be complete."""
        return self.blocks.live_count(self.blocks.need(block_id)) >= self._settings.replication_min

    def is_sufficiently_replicated(self, block_id: BlockId) -> bool:
        """The minimum, or a replica on every live node when there are fewer; one at least: without
        any (Hadoop takes it while no node lives) an append has nobody to write to."""
        wanted = max(1, min(self._settings.replication_min, self.datanodes.live_count()))
        return self.redundancy.counts(self.blocks.need(block_id)).live >= wanted

    def location_count(self, block_id: BlockId) -> int:
        """Expected locations of a block under construction."""
        return len(self.expected(block_id))

    def check_complete(self, block_ids: Sequence[BlockId]) -> BlockId | None:
        """The first block that is not complete: penultimate check (NotReplicatedYet), close."""
        return next((b for b in block_ids if not self.is_complete(b)), None)

    def start_recovery(
        self,
        block_id: BlockId,
        recovery_id: GenStamp,
        now_ms: int,
        *,
        new_length: int | None = None,
    ) -> bool:
        """UNDER_RECOVERY under the new stamp; a primary DataNode is told in its next heartbeat.
        `new_length`: cut the block to it (truncate); None: to what it was to be cut to before, so
        that the recovery of a lease ends a truncation that nobody ended.
        False when no live replica is known: nobody can be told now. Raises KeyError for a block
        that is complete or not there."""
        self._now_ms = now_ms
        row = self.blocks.need(block_id)
        construction = self.blocks.open.get(row)
        if construction is None:
            raise KeyError(block_id)
        if not construction.replicas:
            source = row if construction.copy_of is None else self.blocks.need(construction.copy_of)
            self.set_expected(block_id, self.blocks.holders(source))
        self.blocks.set_state(row, BlockState.UNDER_RECOVERY)
        construction.recovery_id = recovery_id
        if new_length is not None:
            construction.truncate_to = new_length
        primary = choose_primary(construction)
        if primary is None:
            return False
        primary.recoveries[block_id] = None
        return True

    def finish_recovery(self, block: Block, targets: Sequence[Storage]) -> None:
        """The replicas at `targets` agreed on `block`, whose edit is applied already: they are
        finalized when it was closed, else they are where it is written on
        (FSNamesystem.commitBlockSynchronization)."""
        row = self.blocks.need(block.block_id)
        if self.blocks.state(row) in _OPEN:
            self.blocks.set_state(row, BlockState.UNDER_CONSTRUCTION)
            self.blocks.open[row].recovery_id = None
            self.blocks.open[row].truncate_to = None
            self.set_expected(block.block_id, targets)
            return
        for storage in targets:
            self._reconciler.store(row, storage)

    def recovery_id(self, block_id: BlockId) -> GenStamp | None:
        """The stamp of the recovery going on, None outside of one."""
        construction = self.blocks.open.get(self.blocks.need(block_id))
        return construction.recovery_id if construction is not None else None

    # --- reading -------------------------------------------------------------------------------

    def located_block(
        self,
        block_id: BlockId,
        offset: int,
        *,
        reader: str | None = None,
        into: hdfs.LocatedBlockProto | None = None,
    ) -> hdfs.LocatedBlockProto:
        """Replicas sorted for `reader` (IP or host): local first, then random; stale ones last if
        so configured. `into`: the message to fill, e.g. one inside an answer. Raises KeyError."""
        row = self.blocks.need(block_id)
        construction = self.blocks.open.get(row)
        corrupt = False
        if construction is not None:
            storages = [replica.storage for replica in construction.replicas]
        else:
            storages = self.blocks.holders(row)
            marks = self.blocks.corrupt.get(row)
            if marks:
                corrupt = len(marks) == len(storages)
                storages = [s for s in storages if corrupt or s.index not in marks]
        storages = [storage for storage in storages if not storage.failed]
        self._sort_for_reader(storages, reader)
        answer = hdfs.LocatedBlockProto() if into is None else into
        self._located.fill(answer, self.blocks.block(row), offset, storages, corrupt=corrupt)
        return answer

    def _sort_for_reader(self, storages: list[Storage], reader: str | None) -> None:
        """NetworkTopology.sortByDistance: own node, own rack, the rest; random among equals."""
        self._dice.shuffle(storages)
        rack = self._racks.get(reader, DEFAULT_RACK) if reader else None
        avoid_stale = self._settings.avoid_read_stale

        def distance(storage: Storage) -> tuple[bool, int]:
            node = storage.node
            stale = avoid_stale and self.datanodes.is_stale(node, self._now_ms)
            if reader and reader in (node.ip, node.host):
                return stale, 0
            return stale, 2 if node.location == rack else 4

        storages.sort(key=distance)

    def new_located_block(
        self, block: Block, targets: Sequence[Storage], offset: int
    ) -> hdfs.LocatedBlockProto:
        """The answer to addBlock and the like: exactly these storages, in this order."""
        return located.located_block(block, self._pool, offset, targets)

    def fs_stats(self) -> client_namenode.GetFsStatsResponseProto:
        infos = [located.node_info(node) for node in self.datanodes.live()]
        return client_namenode.GetFsStatsResponseProto(
            capacity=sum(info.capacity for info in infos),
            used=sum(info.dfsUsed for info in infos),
            remaining=sum(info.remaining for info in infos),
            under_replicated=self.redundancy.low_count,
            corrupt_blocks=len(self.blocks.corrupt),
            missing_blocks=self.redundancy.missing_count,
            missing_repl_one_blocks=self.redundancy.missing_single_count,
            blocks_in_future=0,
            pending_deletion_blocks=self.redundancy.deletion_count,
        )

    def datanode_report(self, kind: int, now_ms: int) -> list[hdfs.DatanodeInfoProto]:
        """`kind` is a DatanodeReportTypeProto; nobody is decommissioned or in maintenance yet."""
        return [located.node_info(node) for node in self._nodes_of(kind, now_ms)]

    def datanode_storage_report(
        self, kind: int, now_ms: int
    ) -> list[client_namenode.DatanodeStorageReportProto]:
        return [located.storage_report(node) for node in self._nodes_of(kind, now_ms)]

    def _nodes_of(self, kind: int, now_ms: int) -> list[DataNode]:
        nodes = self.datanodes.nodes()
        if kind == client_namenode.ALL:
            return nodes
        if kind in (client_namenode.LIVE, client_namenode.DEAD):
            dead = kind == client_namenode.DEAD
            return [node for node in nodes if self.datanodes.is_dead(node, now_ms) == dead]
        return []

    # --- what DataNodes say --------------------------------------------------------------------

    def register(
        self, registration: datanode.DatanodeRegistrationProto, ip: str, now_ms: int
    ) -> datanode.DatanodeRegistrationProto:
        """The registration as accepted, with the address the caller came from."""
        self._now_ms = now_ms
        node, replaced = self.datanodes.register(registration, ip, now_ms)
        for old in replaced:
            self._retire(old)
        for storage in node.storages.values():
            storage.scan = None
        node.forget_work()
        self.check_safe_mode(now_ms)
        accepted = datanode.DatanodeRegistrationProto()
        accepted.CopyFrom(registration)
        accepted.datanodeID.ipAddr = ip
        return accepted

    def heartbeat(
        self, request: datanode.HeartbeatRequestProto, now_ms: int, wall_ms: int
    ) -> tuple[list[datanode.DatanodeCommandProto], int]:
        """Commands (RegisterCommand alone for a node we don't know) and the report lease id.
        Raises UnregisteredNode for a DataNode of another namespace."""
        self._now_ms = now_ms
        node = self._known(request.registration)
        if node is None:
            return [located.register_command()], NO_LEASE
        self._leaving.extend(self.datanodes.heartbeat(node, request, now_ms, wall_ms))
        self.check_safe_mode(now_ms)
        lease = NO_LEASE
        if request.requestFullBlockReportLease:
            lease = self._leases.request(node.uuid, now_ms)
        if not self._may_command():
            return [], lease
        if node.report_wanted:
            # The only command that makes a DataNode report in full: to register again.
            node.report_wanted, node.report_asked = False, True
            return [located.register_command()], lease
        return self._commands(node), lease

    def _commands(self, node: DataNode) -> list[datanode.DatanodeCommandProto]:
        """In Hadoop's order; recovery alone when there is any (DatanodeManager.handleHeartbeat)."""
        recoveries = self._take_recoveries(node)
        if recoveries:
            return [located.recovery_command(recoveries, self._pool)]
        commands = []
        transfers = self.redundancy.take_transfers(node)
        if transfers:
            commands.append(located.transfer_command(transfers, self._pool))
        deletions = self.redundancy.take_invalidations(node)
        if deletions:
            commands.append(located.invalidate_command(deletions, self._pool))
        return commands

    def _take_recoveries(self, node: DataNode) -> list[located.BlockRecovery]:
        taken = []
        for block_id in node.recoveries:
            row = self.blocks.row(block_id)
            construction = self.blocks.open.get(row)
            if construction is None or construction.recovery_id is None:
                continue
            members = participants(construction.replicas, self.datanodes, self._now_ms)
            source = row if construction.copy_of is None else self.blocks.need(construction.copy_of)
            taken.append(
                located.BlockRecovery(
                    self.blocks.block(source),
                    construction.recovery_id,
                    [replica.storage for replica in members],
                    construction.truncate_to,
                    block_id,
                )
            )
        node.recoveries.clear()
        return taken

    def _known(self, registration: datanode.DatanodeRegistrationProto) -> DataNode | None:
        """None for whoever must register first, also when another node has its uuid."""
        self.datanodes.verify(registration)
        try:
            return self.datanodes.find(registration)
        except UnregisteredNode:
            return None

    def lifeline(self, request: datanode.HeartbeatRequestProto, now_ms: int, wall_ms: int) -> None:
        """A heartbeat without commands; of an unknown node it is ignored."""
        node = self._known(request.registration)
        if node is not None:
            self._leaving.extend(self.datanodes.heartbeat(node, request, now_ms, wall_ms))

    def report_steps(
        self, request: datanode.BlockReportRequestProto, now_ms: int, wall_ms: int
    ) -> Generator[None, None, datanode.DatanodeCommandProto | None]:
        """Processes a full report some thousand blocks per step, one storage after the other; the
        generator's value is the command of the reply. Raises UnregisteredNode (another namespace,
        or overtaken by a new registration) and IOFault (not readable)."""
        node = self._known(request.registration)
        if node is None:
            return located.register_command()
        context = request.context
        if not self._leases.valid(node.uuid, context.leaseId, now_ms):
            return None
        for report in request.reports:
            storage = self.datanodes.storage(node, report.storage)
            if not storage.failed:
                yield from self._reconciler.full_report(storage, replicas_of(report))
        node.last_report_ms, node.last_report_wall_ms = now_ms, wall_ms
        node.info = None
        if context.curRpc >= context.totalRpcs - 1:
            self._leases.release(node.uuid)
        self.check_safe_mode(max(now_ms, self._now_ms))
        if self.active and not any(s.contents_stale for s in node.storages.values()):
            return located.finalize_command(self._pool)
        return None

    def received_and_deleted(
        self, request: datanode.BlockReceivedAndDeletedRequestProto, now_ms: int
    ) -> None:
        """Raises IOFault for a node that is not registered."""
        self.datanodes.verify(request.registration)
        node = self.datanodes.find(request.registration)
        if node is None:
            raise IOFault("Got incremental block report from unregistered or dead node")
        for entry in request.blocks:
            proto = (
                entry.storage
                if entry.HasField("storage")
                else hdfs.DatanodeStorageProto(storageUuid=entry.storageUuid)
            )
            storage = self.datanodes.storage(node, proto)
            if not storage.failed:
                for change in entry.blocks:
                    self._change(storage, change)
        self.check_safe_mode(now_ms)

    def _change(self, storage: Storage, change: datanode.ReceivedDeletedBlockInfoProto) -> None:
        proto = change.block
        block = Block(
            BlockId(located.signed_id(proto.blockId)), proto.numBytes, GenStamp(proto.genStamp)
        )
        if change.status == datanode.ReceivedDeletedBlockInfoProto.RECEIVED:
            self._reconciler.received(storage, block, self.datanodes.get(change.deleteHint))
        elif change.status == datanode.ReceivedDeletedBlockInfoProto.RECEIVING:
            self._reconciler.reported(storage, block, ReplicaState.RBW)
        else:
            self._reconciler.deleted(storage, block)

    def report_bad_blocks(self, blocks: Sequence[hdfs.LocatedBlockProto]) -> None:
        """Replicas that a client or DataNode found corrupt. What is not held by the named node is
        ignored (BlockManager.findAndMarkBlockAsCorrupt)."""
        for bad in blocks:
            row = self.blocks.row(located.signed_id(bad.b.blockId))
            if row == NO_ROW:
                continue
            reported = Block(
                self.blocks.block_id(row), bad.b.numBytes, GenStamp(bad.b.generationStamp)
            )
            for info in bad.locs:
                for storage in self.blocks.holders(row):
                    if storage.node.uuid == info.id.datanodeUuid:
                        self.redundancy.mark_corrupt(row, storage, reported, CorruptReason.REPORTED)

    def error_report(
        self, registration: datanode.DatanodeRegistrationProto, error_code: int
    ) -> None:
        """A node whose disks all failed is dead at once (NameNodeRpcServer.errorReport)."""
        node = self._known(registration)
        if node is not None and error_code == datanode.ErrorReportRequestProto.FATAL_DISK_ERROR:
            self._retire(node)

    def node(self, uuid: str) -> DataNode | None:
        return self.datanodes.get(uuid)
