"""Driver. A world of JournalNodes, writers and a reader alone: what the quorum journal must bear.

The servers and the quorum driver are those that ship; NameNodes are left out, so that a story takes
hundredths of a second. A writer takes the journal over, writes small segments and goes on until it
loses; then it is started anew. Nothing elects one of them: they duel whenever both want to.

What is known of each transaction is its bytes: what a writer was told to be durable, and what a
reader was shown, must be what the journal holds in the end (P1, P3, P6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from hdfsd.base.config import Configuration
from hdfsd.base.errors import CorruptData, HdfsdError, LinkError, QuorumLost, RemoteFault
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, Address, NamespaceInfo, StorageInfo, TxId
from hdfsd.base.settings import JournalNodeSettings, QuorumSettings
from hdfsd.editlog import codec, ops
from hdfsd.editlog.frames import offset_of
from hdfsd.journal.node import JournalNode
from hdfsd.journal.server import JournalNodeServer
from hdfsd.journal.service import JournalService
from hdfsd.quorum.manager import QuorumJournal
from hdfsd.sim.checkers import Copy, Judge, Violation, WitnessedService, copies, history
from hdfsd.sim.clock import EPOCH_MS
from hdfsd.sim.dice import SimDice
from hdfsd.sim.world import Machine, Process, World
from hdfsd.web.edits_transfer import EditsTransfer
from hdfsd.wire.messages import Message, qjournal

JOURNALS = ("jn1", "jn2", "jn3")
WRITERS = ("nn1", "nn2")
READER = "nn3"
JOURNAL_ID = "ns1"
RPC_PORT, HTTP_PORT = 8485, 8480
CURRENT_DIR = f"/journal/{JOURNAL_ID}/current"
HURRY_S = 0.003
MAJORITY = len(JOURNALS) // 2 + 1
INFO = NamespaceInfo(
    StorageInfo(NAMENODE_LAYOUT_VERSION, 7, EPOCH_MS, "CID-simulated"), "BP-1-10.0.0.1-1"
)


@dataclass(frozen=True, slots=True)
class Habits:
    """How writers and the reader go about it; small and odd."""

    patience_ms: int = 300
    segment_batches_max: int = 4
    batch_txns_max: int = 3
    pause_ms: float = 5.0
    """Mean time between two batches of a writer."""
    takeover_ms: float = 60.0
    """Mean time until a writer that has ended comes again."""
    restart_ms: int = 20
    """How long a JournalNode that ended stays down."""
    read_ms: float = 15.0
    read_txns_max: int = 3
    cache_bytes: int = 300
    preallocation_bytes: int = 512
    writers: int = 2

    def quorum_settings(self) -> QuorumSettings:
        ms = self.patience_ms
        return QuorumSettings(
            start_segment_ms=ms,
            prepare_recovery_ms=ms,
            accept_recovery_ms=ms,
            finalize_segment_ms=ms,
            select_streams_ms=ms,
            journal_state_ms=ms,
            new_epoch_ms=ms,
            write_ms=ms,
            operations_ms=60_000,
            queue_bytes_max=1_000,
            http_connect_ms=ms,
            http_read_ms=ms,
        )


@dataclass(slots=True)
class Record:
    """What writers and readers were told of each transaction."""

    acked: dict[int, bytes] = field(default_factory=dict)
    shown: dict[int, bytes] = field(default_factory=dict)
    recoveries: int = 0
    last_acked: int = 0

    def differing(self, held: dict[int, bytes]) -> str:
        """What is not in this journal as it was told; "" when all is."""
        for promise, told in (("P1", self.acked), ("P6", self.shown)):
            for txid in sorted(told):
                if txid not in held:
                    return f"{promise}: txid {txid} is lost: {told[txid]!r}"
                if held[txid] != told[txid]:
                    return f"{promise}: txid {txid} was {told[txid]!r}, it is {held[txid]!r}"
        return ""


class Journals:
    """The machines, who runs on them, and what they were told."""

    def __init__(self, world: World, habits: Habits) -> None:
        self.world = world
        self.habits = habits
        self.judge = Judge(world.loop, MAJORITY)
        self.judge.current_dir = CURRENT_DIR
        self.judge.name_of = world.name_of
        self.record = Record()
        self.machines: dict[str, Machine] = {}
        self.running: dict[str, Process | None] = {}
        self.services: dict[str, WitnessedService] = {}
        """Of the newest life of each JournalNode."""
        self.resting = False
        """Writers and readers that end are not started again."""
        self._may_run: dict[str, asyncio.Event] = {}
        self._hurried: dict[str, asyncio.Event] = {}
        for name in (*JOURNALS, *WRITERS, READER):
            self.machines[name] = world.add_machine(name)
            self.running[name] = None
            self._hurried[name] = asyncio.Event()
            self._may_run[name] = asyncio.Event()
            self._may_run[name].set()
        for name in JOURNALS:
            self.judge.platters[name] = self.machines[name].platter
        self._settings = {name: _journalnode_settings(name, habits) for name in JOURNALS}
        self._quorum_settings = habits.quorum_settings()
        self._dice = world.dice.fork("supervisors")

    # Processes

    def connect(self, process: Process) -> QuorumJournal:
        return QuorumJournal(
            [Address(name, RPC_PORT) for name in JOURNALS],
            JOURNAL_ID,
            INFO,
            network=process.network,
            http=process.http_client,
            clock=process.clock,
            dice=process.dice,
            user="hdfs",
            settings=self._quorum_settings,
        )

    async def journalnode(self, process: Process) -> None:
        name = process.machine.name

        def make_service(node: JournalNode) -> JournalService:
            self.services[name] = WitnessedService(node, name, self.judge)
            return self.services[name]

        server = JournalNodeServer(
            self._settings[name],
            process,
            make_handler=lambda node: EditsTransfer(node, process.clock).handle,
            is_local_host=lambda host: host == name,
            make_service=make_service,
        )
        server.node.preallocation_bytes = self.habits.preallocation_bytes
        try:
            await server.startup()
            await server.run()
        finally:
            await server.shutdown()

    async def format(self, process: Process) -> None:
        journal = self.connect(process)
        await journal.format(INFO)
        await journal.close()

    async def writer(self, process: Process) -> None:
        """One life of a writer; it ends by losing the quorum, or by its own choice."""
        journal = self.connect(process)
        dice = process.dice.fork("writer")
        try:
            txid = await self.take_over(journal)
            for _ in range(1 + dice.below(6)):
                txid = await self._segment(journal, process.lane.name, txid, dice)
        except QuorumLost:
            return
        finally:
            await journal.close()

    async def take_over(self, journal: QuorumJournal) -> TxId:
        """The next txid, after a recovery."""
        before = self.record.last_acked
        last = await journal.recover()
        self.record.recoveries += 1
        self.world.loop.note(f"recovered up to {last} in epoch {journal.epoch}")
        if last < before:
            self.judge.accuse("P1", f"recovery ends at {last}, {before} was acknowledged")
        return TxId(last + 1)

    async def _segment(self, journal: QuorumJournal, who: str, first: TxId, dice: SimDice) -> TxId:
        habits = self.habits
        await journal.start_segment(first)
        txid, waiting = first, []
        for _ in range(1 + dice.below(habits.segment_batches_max)):
            count = 1 + dice.below(habits.batch_txns_max)
            waiting.append(self.write(journal, who, txid, count))
            txid = TxId(txid + count)
            if dice.chance(0.7):
                await asyncio.sleep(habits.pause_ms * 2 * dice.fraction() / 1000)
        await asyncio.gather(*waiting)
        if dice.chance(0.15):
            raise QuorumLost("the writer leaves its segment open", {})
        await journal.finalize_segment(first, TxId(txid - 1))
        return txid

    def write(
        self, journal: QuorumJournal, who: str, first: TxId, count: int
    ) -> asyncio.Future[None]:
        """A batch; what it holds is remembered when it is acknowledged."""
        frames = [
            codec.encode(ops.DeleteOp(f"/{who}/{journal.epoch}", txid), txid)
            for txid in range(first, first + count)
        ]
        future = journal.write(first, count, b"".join(frames))
        future.add_done_callback(lambda done: self._acknowledged(done, first, frames))
        return future

    def _acknowledged(self, done: asyncio.Future[None], first: TxId, frames: list[bytes]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        for txid, frame in enumerate(frames, first):
            known = self.record.acked.setdefault(txid, frame)
            if known != frame:
                self.judge.accuse("P1", f"txid {txid} acknowledged as {known!r} and {frame!r}")
        self.record.last_acked = max(self.record.last_acked, first + len(frames) - 1)

    async def reader(self, process: Process) -> None:
        """A tailer, as a standby has it."""
        journal = self.connect(process)
        dice = process.dice.fork("reader")
        next_txid = TxId(1)
        try:
            while not self.resting:
                try:
                    chunk = await journal.edits(
                        next_txid, 1 + dice.below(self.habits.read_txns_max)
                    )
                except (QuorumLost, LinkError, RemoteFault, CorruptData):
                    await asyncio.sleep(self.habits.read_ms / 1000)
                    continue
                for txid, frame in frames_of(chunk.first_txid, chunk.count, chunk.data):
                    known = self.record.shown.setdefault(txid, frame)
                    if known != frame:
                        self.judge.accuse("P6", f"txid {txid} shown as {known!r} and {frame!r}")
                next_txid = TxId(next_txid + chunk.count)
                await asyncio.sleep(self.habits.read_ms * 2 * dice.fraction() / 1000)
        finally:
            await journal.close()

    # Life

    def supervise(self) -> list[asyncio.Task[None]]:
        """Starts the JournalNodes; whatever ends is started again."""
        loop = self.world.loop
        return [loop.create_task(self._supervise(name)) for name in JOURNALS]

    def contend(self) -> list[asyncio.Task[None]]:
        """Starts writers and the reader."""
        names = [*WRITERS[: self.habits.writers], READER]
        return [self.world.loop.create_task(self._supervise(name)) for name in names]

    async def _supervise(self, name: str) -> None:
        while not self.resting or name in JOURNALS:
            await self._may_run[name].wait()
            machine = self.machines[name]
            if name in JOURNALS:
                process = machine.start("journalnode", self.journalnode)
            else:
                main = self.reader if name == READER else self.writer
                process = machine.start("reader" if name == READER else "writer", main)
            self.running[name] = process
            await process.ended
            self.judge.ended(process.lane.name, process.outcome)
            await self._rest(name)

    async def _rest(self, name: str) -> None:
        if name in JOURNALS:
            await asyncio.sleep(self.habits.restart_ms / 1000)
            return
        rest_s = self.habits.takeover_ms * 2 * self._dice.fraction() / 1000
        self._hurried[name].clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._hurried[name].wait()

    def hurry(self, name: str) -> None:
        """A writer that has ended, or is just ending, comes again soon."""
        self.world.loop.call_later(HURRY_S, self._hurried[name].set)

    def kill(self, name: str) -> None:
        process = self.running[name]
        if process is not None:
            process.kill()

    def repeat(self, name: str, method: str, request: Message, caller: str) -> None:
        """A request reaches a JournalNode once more; it is lost when nobody runs there."""
        process = self.running[name]
        if process is not None and process.running and name in self.services:
            again, journal_id = (
                self.services[name].again,
                qjournal.JournalIdProto(identifier=JOURNAL_ID),
            )
            self.world.loop.note(f"{method} arrives at {name} once more")
            self.world.loop.call_soon(
                again, method, journal_id, request, caller, context=process.lane.context
            )

    def power_off(self, name: str) -> bool:
        """False when it is off already."""
        if self.machines[name].host.down_since_s is not None:
            return False
        self._may_run[name].clear()
        self.machines[name].power_off()
        return True

    def power_on(self, name: str) -> None:
        self.machines[name].power_on()
        self._may_run[name].set()

    # In the end

    def check(self, *, without: str = "") -> None:
        """What the platters say. `without`: a journal whose bytes rot. Raises Violation."""
        platters = {n: p for n, p in self.judge.platters.items() if n != without}
        held: dict[int, bytes] = {}
        for copy in history(copies(platters, CURRENT_DIR), MAJORITY, purged=False):
            held.update(_frames(copy))
        wrong = self.record.differing(held)
        if wrong:
            raise Violation(wrong)


def _journalnode_settings(name: str, habits: Habits) -> JournalNodeSettings:
    key = (name, habits.cache_bytes, habits.patience_ms)
    known = _SETTINGS.get(key)
    if known is None:
        options = {
            "dfs.journalnode.edits.dir": "/journal",
            "dfs.journalnode.rpc-address": f"{name}:{RPC_PORT}",
            "dfs.journalnode.http-address": f"{name}:{HTTP_PORT}",
            "dfs.journalnode.enable.sync": "false",
            "dfs.journalnode.edit-cache-size.bytes": str(habits.cache_bytes),
            "dfs.edit.log.transfer.timeout": str(habits.patience_ms),
        }
        conf = Configuration.parse([], options)
        known = _SETTINGS[key] = JournalNodeSettings.from_configuration(conf)
    return known


_SETTINGS: dict[tuple[str, int, int], JournalNodeSettings] = {}
"""Parsed once: what a seed draws, it draws from few values."""


def frames_of(first_txid: int, count: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each transaction of a run with its bytes."""
    start = 0
    for txid in range(first_txid, first_txid + count):
        end = start + offset_of(data[start:], txid, txid + 1)
        yield txid, data[start:end]
        start = end


def _frames(copy: Copy) -> Iterator[tuple[int, bytes]]:
    return frames_of(copy.first_txid, copy.last_txid - copy.first_txid + 1, copy.frames)


async def finish(journals: Journals, process: Process) -> None:
    """A writer of a healed world: takes over, writes one transaction, closes its segment."""
    journal = journals.connect(process)
    while True:
        try:
            first = await journals.take_over(journal)
            await journal.start_segment(first)
            await journals.write(journal, process.lane.name, first, 1)
            await journal.finalize_segment(first, first)
        except HdfsdError as error:
            if not isinstance(error, QuorumLost):
                raise
            await journal.close()
            await asyncio.sleep(0.1)
            journal = journals.connect(process)
        else:
            await journal.close()
            return
