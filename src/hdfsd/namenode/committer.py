"""Driver. Group commit: replies leave when their transaction is durable. Holds P1, P2, P6.

A flush writes all that has collected to the local edits directories and the shared journal in
parallel (decision D3); whatever was parked up to the flushed txid is released then. The next one
may be on its way before (D5): calls are carried out while the disks are at work. They end in order.
A lost quorum or a lost epoch ends `run` with its cause, and with it the process: a NameNode that is
not sure of its journal must not answer anybody. Nor does one that has not heard of a majority for
SURE_MS: after a stop of the process (SIGSTOP, a frozen machine) another may be active by now, so
answers wait until the journals say that we are still their writer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from hdfsd.base.errors import ensure
from hdfsd.base.ids import TxId
from hdfsd.editlog import codec
from hdfsd.editlog.buffer import Batch, EditsDoubleBuffer
from hdfsd.editlog.ops import EditOp, EndLogSegmentOp, StartLogSegmentOp
from hdfsd.ports.clock import Clock
from hdfsd.ports.journal import JournalWriter
from hdfsd.wire.messages import Message
from hdfsd.wire.services import HA_SERVICE_PROTOCOL, Method

SURE_MS = 2_000
"""How long a majority's word that we are its writer is trusted."""
CONFIRM_MS = 500
"""How often an idle writer asks for that word."""
FLIGHTS_MAX = 2
"""Flushes under way at once: one at the disks and one behind it."""
UNHELD = frozenset({HA_SERVICE_PROTOCOL})
"""Answered whatever the journal does: a controller must see a slow journal, not a dead NameNode."""


class EditsDirectories(Protocol):
    """What a committer needs of namenode.local_edits."""

    async def start_segment(self, first_txid: TxId) -> None: ...

    async def write(self, data: bytes) -> None: ...

    async def finalize_segment(self, first_txid: TxId, last_txid: TxId) -> None: ...


class Replier(Protocol):
    """The part of rpc.server.Call that parking needs."""

    method: Method

    def reply(self, response: Message) -> None: ...

    def fail(self, error: Exception) -> None: ...


Results = list[BaseException | None]
"""How each of several works ended, all of which were waited for."""


@dataclass(slots=True)
class _Flight:
    """A flush that is under way."""

    batch: Batch
    began_ms: int
    done: asyncio.Future[Results]


class Committer:
    """The write side of one active NameNode, from `open` to `close`."""

    def __init__(
        self,
        *,
        local: EditsDirectories,
        shared: JournalWriter | None,
        clock: Clock,
        on_segment: Callable[[TxId], Awaitable[None]] | None = None,
    ) -> None:
        self._local = local
        self._shared = shared
        self._buffer = EditsDoubleBuffer()
        self._parked: deque[tuple[TxId, Replier, Message | Exception]] = deque()
        self._waiters: deque[tuple[TxId, asyncio.Future[None]]] = deque()
        self._flights: deque[_Flight] = deque()
        self._wake = asyncio.Event()
        self._roll: asyncio.Future[TxId] | None = None
        self._closing: asyncio.Future[None] | None = None
        self._on_segment = on_segment
        self._clock = clock
        self._heard_ms = 0
        """A majority took us for its writer at this time or later."""
        self.segment_first_txid = TxId(0)
        """First txid of the open segment; 0 while none is open."""
        self.last_txid = TxId(0)
        """The newest transaction in memory."""
        self.durable_txid = TxId(0)
        """The newest transaction that is on a majority of the journals."""

    # --- called by handlers, synchronously ---

    def append(self, frame: bytes) -> TxId:
        """Takes an op, encoded for the next txid and applied already, into the current buffer."""
        txid = TxId(self.last_txid + 1)
        self._buffer.append(frame, txid)
        self.last_txid = txid
        self._wake.set()
        return txid

    def log(self, op: EditOp) -> TxId:
        """The same for an op that changes nothing in memory: the ends of a segment."""
        return self.append(codec.encode(op, self.last_txid + 1))

    def hold(self, call: Replier, outcome: Message | Exception) -> bool:
        """Parks an answer or error until all that it may show is durable (P6) and we are sure to
        be the writer (P2); False: let it go now."""
        if self.durable_txid >= self.last_txid and self._is_sure():
            return False
        if call.method.protocol in UNHELD:
            return False
        self._parked.append((self.last_txid, call, outcome))
        return True

    def _is_sure(self) -> bool:
        return self._shared is None or self._clock.now_ms() - self._heard_ms < SURE_MS

    async def durable(self) -> None:
        """Returns when every transaction logged so far is durable."""
        if self.durable_txid < self.last_txid:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((self.last_txid, waiter))
            await waiter

    async def roll(self) -> TxId:
        """Closes the open segment and starts the next; returns its first txid."""
        if self._roll is None:
            self._roll = asyncio.get_running_loop().create_future()
            self._wake.set()
        return await asyncio.shield(self._roll)

    # --- life ---

    async def open(self, last_txid: TxId) -> None:
        """Starts a segment after `last_txid`; the shared journal has been recovered already."""
        self.last_txid = self.durable_txid = last_txid
        self.log(StartLogSegmentOp())
        await self._start_segment(self.last_txid)

    async def run(self) -> None:
        """Flushes until closed. Raises QuorumLost or EditsLost when it can't be durable."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._settle_done()
                if self._roll is not None:
                    await self._roll_segment()
                if len(self._flights) < FLIGHTS_MAX:
                    self._take_off()
                if self._closing is not None:
                    await self._end_segment()
                    self._closing.set_result(None)
                    return
        except Exception as error:
            if self._closing is not None and not self._closing.done():
                self._closing.set_exception(error)
            raise
        finally:
            for flight in self._flights:
                flight.done.cancel()

    async def watch(self) -> None:
        """Asks the journals for their word whenever it grows old, until cancelled."""
        while True:
            await asyncio.sleep(CONFIRM_MS / 1000)
            if self._clock.now_ms() - self._heard_ms >= CONFIRM_MS:
                await self._confirm()
                self._release()

    async def _confirm(self) -> None:
        """Raises QuorumLost when we are not the writer any more."""
        while True:
            began_ms = self._clock.now_ms()
            if self._shared is not None:
                await self._shared.confirm()
            self._heard_ms = max(self._heard_ms, began_ms)
            if self._is_sure():
                return

    async def close(self) -> None:
        """Has `run` flush what is there, end the segment in order, and return. No call may log any
        more. Raises what `run` raises."""
        self._closing = asyncio.get_running_loop().create_future()
        self._wake.set()
        await self._closing

    async def _end_segment(self) -> None:
        self.log(EndLogSegmentOp())
        await self._flush_all()
        await self._finalize_segment()

    async def _roll_segment(self) -> None:
        # Both ops are logged in one step: what arrives while the old segment is closed belongs to
        # the new one.
        self.log(EndLogSegmentOp())
        self._take_off()
        first_txid = self.log(StartLogSegmentOp())
        await self._settle_all()
        await self._finalize_segment()
        # Who asks from now on asks for the end of the new one.
        waiter, self._roll = self._roll, None
        await self._start_segment(first_txid)
        if waiter is not None:
            waiter.set_result(first_txid)

    async def _start_segment(self, first_txid: TxId) -> None:
        """Returns when it is there everywhere, and its first transaction with it."""
        starts = [self._local.start_segment(first_txid)]
        if self._shared is not None:
            starts.append(self._shared.start_segment(first_txid))
        _raise_first(await asyncio.gather(*starts, return_exceptions=True))
        self.segment_first_txid = first_txid
        # Side by side: a disk has to sync for each.
        self._take_off()
        if self._on_segment is not None:
            await self._on_segment(first_txid)
        await self._settle_all()

    async def _finalize_segment(self) -> None:
        first, last = self.segment_first_txid, self.durable_txid
        ends = [self._local.finalize_segment(first, last)]
        if self._shared is not None:
            ends.append(self._shared.finalize_segment(first, last))
        _raise_first(await asyncio.gather(*ends, return_exceptions=True))
        self.segment_first_txid = TxId(0)

    # --- flushes ---

    def _take_off(self) -> None:
        """Sends what has collected on its way, if there is anything."""
        if not len(self._buffer):
            return
        batch = self._buffer.take()
        before = self._flights[-1].batch.last_txid if self._flights else self.durable_txid
        ensure("P1", batch.first_txid == before + 1, batch.first_txid, before)
        began_ms = self._clock.now_ms()
        writes: list[Awaitable[None]] = [self._local.write(batch.data)]
        if self._shared is not None:
            writes.append(self._shared.write(batch.first_txid, batch.count, batch.data))
        done = asyncio.gather(*writes, return_exceptions=True)
        done.add_done_callback(self._landed)
        self._flights.append(_Flight(batch, began_ms, done))

    def _landed(self, _: asyncio.Future[Results]) -> None:
        self._wake.set()

    async def _settle_done(self) -> None:
        while self._flights and self._flights[0].done.done():
            await self._settle()

    async def _settle_all(self) -> None:
        while self._flights:
            await self._settle()

    async def _flush_all(self) -> None:
        self._take_off()
        await self._settle_all()

    async def _settle(self) -> None:
        """Waits for the oldest flush, and releases what waits for it. Raises what it failed of."""
        flight = self._flights[0]
        _raise_first(await flight.done)
        self._flights.popleft()
        self.durable_txid = flight.batch.last_txid
        self._heard_ms = max(self._heard_ms, flight.began_ms)
        if not self._is_sure():
            # We were stopped while it was under way: what is parked may be out of date.
            await self._confirm()
        self._release()

    def _release(self) -> None:
        durable, parked, waiters = self.durable_txid, self._parked, self._waiters
        while parked and parked[0][0] <= durable:
            _, call, outcome = parked.popleft()
            if isinstance(outcome, Exception):
                call.fail(outcome)
            else:
                call.reply(outcome)
        while waiters and waiters[0][0] <= durable:
            _, waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)


def _raise_first(results: Results) -> None:
    for result in results:
        if isinstance(result, BaseException):
            raise result
