"""Driver. One journal: its requests one after the other, batches in groups that share an fsync.

Requests of one journal are executed strictly in the order of their arrival; different journals do
not wait for each other. Batches that arrive while an fsync runs share the next one, and are
answered after it (J4, P1).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from hdfsd.base.errors import EditsCacheMiss, HdfsdError, IOFault, RemoteFault
from hdfsd.base.ids import INVALID_TXID, TxId
from hdfsd.editlog.frames import Run
from hdfsd.journal.acceptor import (
    Acceptor,
    Append,
    FetchSegment,
    NoteCommitted,
    OpenSegment,
    Refuse,
    Reply,
    Request,
    Rollback,
    SetAside,
)
from hdfsd.journal.cache import EditsCache
from hdfsd.journal.metrics import JournalMetrics
from hdfsd.journal.store import JournalStore
from hdfsd.wire.messages import Message, qjournal

log = logging.getLogger(__name__)

GROUP_BYTES_MAX = 8 << 20
"""Edits that one fsync may cover: bounds the memory of a group and the wait of its first batch."""
TAILING_OFF = (
    "The journal edits cache is not enabled, which is a requirement to fetch journaled edits via"
    " RPC. Please enable it via dfs.ha.tail-edits.in-progress"
)

Waits = Generator[Callable[[], Awaitable[Any]], Any, None]
"""Work that seldom has to wait: it gives what to wait for, and takes what came of it."""

ANSWERS = (Reply, Refuse)
REPLACING = ("format", "discard_segments")
"""Requests after which the newest transactions are others."""


class Caller(Protocol):
    """Who waits for the answer: an rpc.server.Call."""

    def reply(self, message: Message) -> None: ...

    def fail(self, error: Exception) -> None: ...

    def after_batch(self, work: Callable[[], None]) -> None:
        """Does it when all requests that came together have been submitted."""
        ...


@dataclass(slots=True)
class SyncStatus:
    """What the syncer found, for /jmx and /metrics."""

    rounds: int = 0
    segments_synced: int = 0
    divergent: tuple[str, ...] = ()
    peers_committed: TxId = INVALID_TXID
    """The highest txid that a peer knows to be committed."""


class _Waiting:
    """A caller in this process."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def reply(self, message: Message) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def after_batch(self, work: Callable[[], None]) -> None:
        work()


class Journal:
    """One journal id of a JournalNode."""

    def __init__(self, journal_id: str, store: JournalStore, *, cache: EditsCache | None) -> None:
        """`cache` None: in-progress tailing is off."""
        self.journal_id = journal_id
        self.store = store
        self.is_own_url: Callable[[str], bool] = lambda url: False
        """Whether a URL that a writer gives for fetching is this very JournalNode."""
        self.sync_status = SyncStatus()
        self.metrics = JournalMetrics()
        self._lagging_since_ms: int | None = None
        self._cache = cache
        self._acceptor: Acceptor | None = None
        self._queue: deque[tuple[str, Request, Caller]] = deque()
        self._working = False
        self._worker: asyncio.Task[None] | None = None
        """Who goes on with the work when it has to wait."""

    @property
    def is_open(self) -> bool:
        return self._acceptor is not None

    @property
    def acceptor(self) -> Acceptor:
        assert self._acceptor is not None, "the journal is not open"
        return self._acceptor

    async def open(self) -> None:
        """Loads it from disk unless it is open. Raises CorruptData, StorageError, OSError."""
        if self._acceptor is not None:
            return
        state = await self.store.load()
        if self._acceptor is None:
            self._acceptor = Acceptor(self.journal_id, self.store.root, state)
            if state.storage is not None:
                log.info("journal %s: %s", self.journal_id, self._acceptor.describe())

    @property
    def lag_txns(self) -> int:
        """Transactions that are committed, as the writer or a peer says, and not durable here."""
        acceptor = self.acceptor
        committed = max(acceptor.state.committed, self.sync_status.peers_committed)
        return max(committed - acceptor.durable_txid, 0)

    @property
    def lag_ms(self) -> int:
        """For how long we have been behind; 0 when we are not."""
        since = self._lagging_since_ms
        return 0 if since is None else max(self.store.clock.now_ms() - since, 0)

    def note_lag(self) -> None:
        """To be called when `lag_txns` may have changed."""
        if self._acceptor is None or self.lag_txns == 0:
            self._lagging_since_ms = None
        elif self._lagging_since_ms is None:
            self._lagging_since_ms = self.store.clock.now_ms()

    def submit(self, method: str, request: Request, caller: Caller) -> None:
        """Queues a request (a key of acceptor.REQUESTS); the caller is answered when it is done."""
        self._queue.append((method, request, caller))
        if not self._working:
            caller.after_batch(self._begin)

    async def perform(self, method: str, request: Request) -> None:
        """A request of this process, in the same queue. Raises what a caller would be told."""
        waiting = _Waiting()
        self.submit(method, request, waiting)
        await waiting.done

    def journaled_edits(self, since_txid: TxId, max_txns: int) -> tuple[int, bytes]:
        """Durable transactions from memory, with a segment header. Raises RemoteFault."""
        if self._cache is None:
            raise IOFault(TAILING_OFF)
        count, data = 0, b""
        if not self.acceptor.nothing_newer(since_txid):
            try:
                count, data = self._cache.retrieve(since_txid, max_txns)
            except EditsCacheMiss:
                self.metrics.missed(max(self._cache.first_txid - since_txid, 0))
                raise
        self.metrics.served(count, len(data))
        return count, data

    async def close(self) -> None:
        """Stops after the request at work; those that wait are not answered."""
        self._queue.clear()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        self.store.close()
        self._acceptor = None

    def _begin(self) -> None:
        # Mostly there is a batch of edits, and a disk that makes it durable in less time than it
        # takes to begin a task: then all is done, and its answer given, before this returns.
        if self._working:
            return
        self._working = True
        work = self._work()
        for waits_for in work:
            self._worker = asyncio.get_running_loop().create_task(_go_on(work, waits_for))
            break

    def _work(self) -> Waits:
        try:
            while self._queue:
                if self._acceptor is None and not (yield self._reopen):
                    continue
                if self._queue[0][0] == "journal":
                    yield from self._append_group()
                else:
                    yield partial(self._execute, *self._queue.popleft())
                self.note_lag()
        finally:
            self._working = False
            self._worker = None

    async def _reopen(self) -> bool:
        """Whether the journal is open; if it can't be, the first request is answered with why."""
        try:
            await self.open()
        except (HdfsdError, OSError) as error:
            log.error("journal %s can't be opened: %s", self.journal_id, error)
            self._queue.popleft()[2].fail(IOFault(f"{error} ; journal id: {self.journal_id}"))
            return False
        return True

    async def _execute(self, method: str, request: Request, caller: Caller) -> None:
        answer: Callable[[], None] | None = None
        if isinstance(request, qjournal.AcceptRecoveryRequestProto):
            self.acceptor.source_is_us = self.is_own_url(request.fromURL)
        try:
            for effect in self.acceptor.step(method, request):
                if isinstance(effect, ANSWERS):
                    answer = _answer(caller, effect)
                    continue
                if isinstance(effect, FetchSegment | SetAside) and self._cache is not None:
                    # What tailers were shown of this segment may be about to be replaced.
                    self._cache.clear()
                if isinstance(effect, OpenSegment) and self._cache is not None:
                    self._cache.drop_from(effect.first_txid)
                await self.store.execute(effect)
                if isinstance(effect, Rollback):
                    self._forget()
        except Exception as error:  # noqa: BLE001 - outermost: the disk and memory disagree now
            self._give_up(error, [caller])
            return
        if method in REPLACING and self._cache is not None:
            self._cache.clear()
        assert answer is not None
        answer()

    def _append_group(self) -> Waits:
        """Takes the batches at the head of the queue, writes all, syncs once, answers all."""
        callers: list[Caller] = []
        answers: list[Callable[[], None]] = []
        written: list[Append] = []
        size = 0
        try:
            while self._queue and self._queue[0][0] == "journal" and size < GROUP_BYTES_MAX:
                method, request, caller = self._queue.popleft()
                callers.append(caller)
                for effect in self.acceptor.step(method, request):
                    if isinstance(effect, Append):
                        self.store.append(effect)
                        written.append(effect)
                        size += len(effect.data)
                        self._count(effect)
                    elif isinstance(effect, NoteCommitted):
                        self.store.note_committed(effect.txid)
                    elif isinstance(effect, ANSWERS):
                        answers.append(_answer(caller, effect))
                    else:
                        # Rare: a new promise, or an abort. What was appended before stands.
                        yield from self._sync(written)
                        yield partial(self.store.execute, effect)
            yield from self._sync(written)
        except Exception as error:  # noqa: BLE001 - outermost: the disk and memory disagree now
            self._give_up(error, callers)
            return
        for answer in answers:
            answer()

    def _count(self, batch: Append) -> None:
        lagging = batch.last_txid <= self.acceptor.state.committed
        count = batch.last_txid - batch.first_txid + 1
        self.metrics.wrote(count, len(batch.data), lagging=lagging)

    def _sync(self, written: list[Append]) -> Waits:
        if not written:
            return
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        if not self.store.sync_now():
            yield self.store.sync
        micros = int((loop.time() - begun_s) * 1_000_000)
        self.metrics.synced(micros, self.store.clock.now_ms())
        self.metrics.last_journal_wall_ms = self.store.clock.wall_ms()
        self.acceptor.synced(written[-1].last_txid)
        if self._cache is not None:
            for batch in written:
                count = batch.last_txid - batch.first_txid + 1
                run = Run(batch.first_txid, count, batch.data)
                self._cache.store(run, self.store.layout_version)
        written.clear()

    def _forget(self) -> None:
        """The next request loads it from disk."""
        self._acceptor = None
        if self._cache is not None:
            self._cache.clear()

    def _give_up(self, error: Exception, callers: list[Caller]) -> None:
        """The disk failed in the middle: what is in memory is forgotten and loaded anew."""
        log.error("journal %s: %s: reloading it", self.journal_id, error)
        self._forget()
        fault = error
        if isinstance(error, OSError | HdfsdError) and not isinstance(error, RemoteFault):
            fault = IOFault(f"{error} ; journal id: {self.journal_id}")
        for caller in callers:
            caller.fail(fault)


async def _go_on(work: Waits, waits_for: Callable[[], Awaitable[Any]]) -> None:
    """Waits in place of work that was begun without a task, until it is done."""
    try:
        while True:
            try:
                found = await waits_for()
            except BaseException as error:  # noqa: BLE001 - all of it is the work's to handle
                waits_for = work.throw(error)
            else:
                waits_for = work.send(found)
    except StopIteration:
        return


def _answer(caller: Caller, effect: Reply | Refuse) -> Callable[[], None]:
    if isinstance(effect, Reply):
        message = effect.message
        return lambda: caller.reply(message)
    fault = effect.fault
    return lambda: caller.fail(fault)
