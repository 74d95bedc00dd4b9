"""Driver. The life of one NameNode: load, follow the journal, lead, step back. Holds P2, P4, P5.

What a transition consists of stands in namenode.transition; here each step is carried out, timed
and told. A transition that fails half-way has no safe state to go back to: the process stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from hdfsd.base.errors import HdfsdError, ServiceFailed, StandbyError, ensure
from hdfsd.base.ids import TxId
from hdfsd.base.settings import NameNodeSettings
from hdfsd.editlog.ops import EditOp
from hdfsd.image.save import save
from hdfsd.image.sections import ImageHeader
from hdfsd.namenode.committer import Committer
from hdfsd.namenode.gate import FAQ, Category, HAState, gate_for, refusal
from hdfsd.namenode.local_edits import LocalEdits
from hdfsd.namenode.monitors import Monitors
from hdfsd.namenode.observer_reads import ObserverReads
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage, Retention
from hdfsd.namenode.tasks import Tasks
from hdfsd.namenode.transition import Step, StepRecord, TransitionRecord, steps
from hdfsd.namenode.turns import at_leisure
from hdfsd.ports.clock import Clock
from hdfsd.ports.disk import Disk
from hdfsd.ports.http import HttpClient
from hdfsd.ports.journal import Journal
from hdfsd.ports.snapshot import SnapshotWriter
from hdfsd.rpc.client import RpcClient
from hdfsd.rpc.server import Call, RpcServer
from hdfsd.standby.checkpointer import Checkpointer, SavedImage
from hdfsd.standby.roller import Roller
from hdfsd.standby.tailer import Tailer

log = logging.getLogger(__name__)

TIMELINE_ENTRIES = 100
STANDBY_TASKS = ("tail", "checkpoint", "roll")
ACTIVE_TASKS = ("leases", "claim blocks")
FOLLOWING = (HAState.STANDBY, HAState.OBSERVER)


class Lifecycle:
    """One per process. `servers` get their gate and their holding of answers from here."""

    def __init__(
        self,
        *,
        settings: NameNodeSettings,
        state: NameNodeState,
        storage: NameStorage,
        local: LocalEdits,
        make_journal: Callable[[], Journal] | None,
        peers: Sequence[RpcClient],
        clock: Clock,
        disk: Disk,
        http: HttpClient,
        snapshots: SnapshotWriter,
        monitors: Monitors,
    ) -> None:
        """`make_journal` opens the shared journal; None without HA."""
        self._settings = settings
        self._state = state
        self._storage = storage
        self._local = local
        self._make_journal = make_journal
        self._clock = clock
        self._disk = disk
        self._http = http
        self._snapshots = snapshots
        self._monitors = monitors
        self._peers = peers
        self._tasks = Tasks()
        self._reader = make_journal() if make_journal is not None else None
        self._writer: Journal | None = None
        self._recovered_txid = TxId(0)
        self._replayed: int | None = None
        """Transactions that the transition under way has caught up with."""
        self._is_complete = False
        self._committer: Committer | None = None
        self.checkpointer: Checkpointer | None = None
        """Of the last time as a standby, for those who look."""
        self._changing = asyncio.Lock()
        self._stood_down = 0
        """How often somebody asked us not to be active."""
        self._saving = asyncio.Lock()
        self._servers: list[RpcServer] = []
        self._reads = ObserverReads()
        self.timeline: deque[TransitionRecord] = deque(maxlen=TIMELINE_ENTRIES)
        self.last_transition_wall_ms = 0
        self._carry_out: dict[Step, Callable[[], Awaitable[None]]] = {
            Step.STOP_TAILING: self._stop_tailing,
            Step.CLAIM_EPOCH: self._claim_epoch,
            Step.CATCH_UP: self._catch_up,
            Step.CLOSE_LOCAL: self._local.recover_unclosed,
            Step.OPEN_SEGMENT: self._open_segment,
            Step.RENEW_LEASES: self._renew_leases,
            Step.CLAIM_BLOCKS: self._claim_blocks,
            Step.SERVE: self._serve,
            Step.REFUSE: self._refuse,
            Step.STOP_MONITORS: self._stop_monitors,
            Step.DRAIN: self._drain,
            Step.FORGET_COMMANDS: self._forget_commands,
            Step.TAIL: self._tail,
            Step.END_CHECKPOINTS: self._end_checkpoints,
            Step.DISMISS_READERS: self._dismiss_readers,
            Step.CHECKPOINT: self._checkpoint,
        }

    # --- life ---

    def guard(self, server: RpcServer) -> None:
        """The server asks our gate before each call from now on."""
        self._servers.append(server)
        self._set_gates()

    async def start(self) -> None:
        """From INITIALIZING to standby and observer, as set, or without HA to active.

        Safe mode begins to count blocks when the namespace is as complete as the journal: at once
        without HA, else when the journal has been read to its end for the first time.
        """
        self._tasks.start("resources", self._monitors.watch_resources())
        self._tasks.start("blocks", self._monitors.watch_blocks())
        self._tasks.start("removals", self._monitors.watch_removals())
        if self._make_journal is None:
            self._caught_up()
            await self._change(HAState.ACTIVE)
            return
        await self._change(HAState.STANDBY)
        if self._settings.observer:
            await self._change(HAState.OBSERVER)

    async def run(self) -> None:
        """Until cancelled. Raises what ended a background task or a transition."""
        await self._tasks.run()

    async def stop(self) -> None:
        """Leaves everything as a crash would: the next start recovers in any case."""
        await self._tasks.end_all()
        self._local.close()
        for journal in (self._reader, self._writer):
            if journal is not None:
                await journal.close()

    @property
    def not_ready(self) -> str | None:
        """Why a standby had better not become active now; None when it may.

        One that has just started replays what it missed. It would do that before it serves, so
        whoever can choose waits for it while another one is active.
        """
        if self._is_complete:
            return None
        return (
            "The NameNode has not read the journal to its end yet: it has applied transaction "
            f"{self._state.applied_txid}"
        )

    async def catch_up(self) -> TxId:
        """Reads the journal to its end now, not at the next period; the last transaction applied.

        Asked of a standby that shall take over soon, so that little is left for then. Raises
        QuorumLost, LinkError or RemoteFault when the journal can't be read.
        """
        async with self._changing:
            if self._state.ha_state in FOLLOWING:
                await self._tasks.end("tail")
                try:
                    await self._tailer().catch_up(to_the_last=False)
                finally:
                    self._tasks.start("tail", self._follow())
            return self._state.applied_txid

    async def become_active(self) -> None:
        await self._change(HAState.ACTIVE)

    async def become_standby(self) -> None:
        await self._change(HAState.STANDBY)

    async def become_observer(self) -> None:
        await self._change(HAState.OBSERVER)

    async def _change(self, wanted: HAState) -> None:
        """One transition at a time; a failure stops the process with its cause. Raises
        ServiceFailed when we shall become active, and before that could begin somebody asked for
        the opposite: whoever fenced us must not see us rise again (F3)."""
        if wanted is not HAState.ACTIVE:
            self._stood_down += 1
        stood_down = self._stood_down
        async with self._changing:
            source = self._state.ha_state
            if source is wanted:
                return
            if wanted is HAState.ACTIVE and self._stood_down > stood_down:
                raise ServiceFailed(
                    "This NameNode does not become active: while the request waited for what the"
                    " NameNode was doing, another one came, not to be active"
                )
            path = steps(source, wanted)
            try:
                await self._walk(source, wanted, path)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                failure = HdfsdError(f"{source.value} → {wanted.value} failed: {error}")
                failure.__cause__ = error
                self._tasks.fail(failure)
                raise ServiceFailed(str(failure)) from error

    async def _walk(self, source: HAState, wanted: HAState, path: Sequence[Step]) -> None:
        began_wall_ms = self._clock.wall_ms()
        records = []
        self._replayed = None
        self._state.in_transition = True
        try:
            for step in path:
                began_ms = self._clock.now_ms()
                await self._carry_out[step]()
                records.append(StepRecord(step, self._clock.now_ms() - began_ms))
            self._state.ha_state = wanted
        finally:
            self._state.in_transition = False
        self._set_gates()
        record = TransitionRecord(
            source,
            wanted,
            began_wall_ms,
            tuple(records),
            self._state.applied_txid,
            self._replayed,
        )
        self.timeline.append(record)
        self.last_transition_wall_ms = began_wall_ms
        log.info("%s", record.describe())

    def _set_gates(self) -> None:
        gate = gate_for(self._state.ha_state, allow_stale_reads=self._settings.allow_stale_reads)
        for server in self._servers:
            server.gate = gate
            server.hold = self._committer.hold if self._committer is not None else None
            # Whoever knows of no state ids would be told what is old.
            observing = self._state.ha_state is HAState.OBSERVER
            server.admit = self._admit if observing else None

    def _admit(self, call: Call) -> Awaitable[None] | None:
        return self._reads.admit(call.state_id, self._state.applied_txid)

    # --- steps to active ---

    async def _stop_tailing(self) -> None:
        await self._tasks.end(*STANDBY_TASKS)

    async def _claim_epoch(self) -> None:
        if self._make_journal is not None:
            self._writer = self._make_journal()
            self._recovered_txid = await self._writer.recover()
            log.info("epoch %d, last transaction %d", self._writer.epoch, self._recovered_txid)

    async def _catch_up(self) -> None:
        if self._reader is None:
            return
        self._replayed = await self._tailer().catch_up()
        applied, last = self._state.applied_txid, self._recovered_txid
        if applied > last:
            raise HdfsdError(
                f"another writer has gone on to {applied}, our recovery ended at {last}"
            )
        ensure("P4", applied == last, f"applied {applied} of {last} transactions")

    async def _open_segment(self) -> None:
        committer = Committer(
            local=self._local,
            shared=self._writer,
            clock=self._clock,
            on_segment=self._storage.write_seen_txid,
        )
        await committer.open(self._state.applied_txid)
        self._state.applied_txid = committer.last_txid
        self._state.log = self._committer = committer
        self._tasks.start("commit", committer.run())
        self._tasks.start("confirm", committer.watch())

    async def _renew_leases(self) -> None:
        self._state.namespace.leases.renew_all(self._clock.now_ms())

    async def _claim_blocks(self) -> None:
        work = self._state.blocks.become_active(self._clock.now_ms())
        self._tasks.start("claim blocks", at_leisure(work, self._state))

    async def _serve(self) -> None:
        self._tasks.start("leases", self._monitors.watch_leases())

    # --- steps to standby ---

    async def _refuse(self) -> None:
        self._state.ha_state = HAState.STANDBY
        # Handlers that wait for something may come back: they must find the log closed.
        self._state.log = None
        gate = gate_for(HAState.STANDBY, allow_stale_reads=False)
        for server in self._servers:
            server.gate = gate

    async def _stop_monitors(self) -> None:
        await self._tasks.end(*ACTIVE_TASKS)

    async def _drain(self) -> None:
        committer, writer = self._committer, self._writer
        if committer is None:
            return
        await self._tasks.end("confirm")
        await committer.close()
        self._state.applied_txid = committer.last_txid
        self._committer = None
        if writer is not None:
            await writer.close()
            self._writer = None

    async def _forget_commands(self) -> None:
        self._state.blocks.become_standby()

    async def _tail(self) -> None:
        """Also the way in from INITIALIZING."""
        self._tasks.start("tail", self._follow())
        await self._checkpoint()
        roller = Roller(
            peers=self._peers,
            applied_txid=lambda: self._state.applied_txid,
            settings=self._settings.tail,
        )
        self._tasks.start("roll", roller.run())

    # --- steps to observer and back ---

    async def _end_checkpoints(self) -> None:
        await self._tasks.end("checkpoint")

    async def _dismiss_readers(self) -> None:
        self._state.ha_state = HAState.STANDBY
        self._set_gates()
        self._reads.dismiss(refusal(HAState.STANDBY, Category.READ))

    async def _checkpoint(self) -> None:
        if self._settings.checkpoint.on_standby:
            self.checkpointer = self._new_checkpointer()
            self._tasks.start("checkpoint", self.checkpointer.run())

    def _caught_up(self) -> None:
        if not self._is_complete:
            self._is_complete = True
            self._state.blocks.loaded(self._clock.now_ms())

    async def _follow(self) -> None:
        await self._tailer().run()

    def _tailer(self) -> Tailer:
        assert self._reader is not None
        return Tailer(
            reader=self._reader,
            apply=self._replay,
            applied_txid=lambda: self._state.applied_txid,
            clock=self._clock,
            settings=self._settings.tail,
            on_caught_up=self._caught_up,
        )

    def _replay(self, op: EditOp, txid: TxId) -> None:
        self._state.replay(op, txid, self._clock.now_ms())
        if self._reads:
            self._reads.reached(txid)

    def _new_checkpointer(self) -> Checkpointer:
        return Checkpointer(
            clock=self._clock,
            disk=self._disk,
            http=self._http,
            peers=[peer.http for peer in self._settings.peers],
            storage=self._state.info.storage,
            settings=self._settings.checkpoint,
            applied_txid=lambda: self._state.applied_txid,
            image_txid=lambda: self._storage.newest_image_txid() or TxId(0),
            save=self._save,
        )

    # --- images and segments ---

    async def roll_edits(self) -> TxId:
        """First txid of the new segment. Raises StandbyError unless active."""
        if self._committer is None:
            raise StandbyError(
                f"Operation category JOURNAL is not supported in state standby. {FAQ}"
            )
        committer = self._committer
        first_txid = await committer.roll()
        if self._committer is committer:
            # The marks at the ends of segments are transactions as well.
            self._state.applied_txid = committer.last_txid
        return first_txid

    async def save_namespace(self) -> TxId:
        """Writes an image of the namespace as it is now; returns its txid."""
        if self._committer is not None:
            await self.roll_edits()
        return (await self._save()).txid

    def has_recent_image(self, *, within_s: int, within_txns: int) -> bool:
        """Whether the newest image is young enough and near enough (FSImage.saveNamespace)."""
        images = self._storage.images()
        if not images:
            return False
        age_ms = self._clock.wall_ms() - self._disk.mtime_ms(images[0].path)
        return (
            age_ms <= within_s * 1000 and images[0].txid >= self._state.applied_txid - within_txns
        )

    async def _save(self) -> SavedImage:
        async with self._saving:
            txid = self._state.applied_txid
            namespace = self._state.namespace
            header = ImageHeader(self._state.info.storage.namespace_id, txid)
            codec = self._settings.checkpoint.codec
            image = await self._storage.save_image(
                txid,
                lambda: save(namespace, header, codec),
                self._snapshots,
                before_publishing=self._all_durable,
            )
            await self.purge()
            return SavedImage(txid, image.path, self._storage.stored_md5(image.path))

    async def _all_durable(self) -> None:
        """P3: an image with what no journal kept would bring it back at the next start."""
        if self._committer is not None:
            await self._committer.durable()

    async def purge(self) -> None:
        """Drops images and edits that are not needed any more, here and on the journal."""
        checkpoint = self._settings.checkpoint
        retention = Retention(
            checkpoint.images_retained,
            checkpoint.extra_edits_retained,
            checkpoint.extra_segments_retained,
        )
        first_txid = await self._storage.purge(retention)
        if self._writer is not None and first_txid > 0:
            await self._writer.purge(first_txid)

    @property
    def writer(self) -> Journal | None:
        """The shared journal while active: for metrics."""
        return self._writer

    @property
    def committer(self) -> Committer | None:
        return self._committer
