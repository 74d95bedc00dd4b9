"""Adapter. A writer of transactions on our quorum journal: the program behind bench/journal.py.

    python bench/journal_writer.py JOURNAL HOST:PORT HOST:PORT HOST:PORT …

One command per line, one line of JSON back:

    rate WRITERS SECONDS   that many wait for one transaction each, and for the next, and so on
    roll                   finalizes the segment and starts the next: who fell behind rejoins
    fill BYTES             an unfinished segment of that size, in large batches
    recover                what a new writer does first, timed

One flush is under way at a time, as in every NameNode: transactions that come meanwhile go with the
next. So a writer's next batch is never sent before a majority has the last one.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from time import perf_counter
from typing import Any
from zlib import crc32

import uvloop

from hdfsd.base.config import Configuration
from hdfsd.base.ids import Address, NamespaceInfo, StorageInfo, TxId
from hdfsd.base.settings import QuorumSettings
from hdfsd.editlog.codec import encode
from hdfsd.editlog.ops import MkdirOp, PermissionStatus
from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.http import RealHttpClient
from hdfsd.io.network import TcpNetwork
from hdfsd.quorum.manager import QuorumJournal

NAMESPACE = NamespaceInfo(StorageInfo(-67, 4711, 1700000000000, "CID-bench"), "BP-1-127.0.0.1-1")
FILL_BYTES = 1 << 20
"""Of one batch of `fill`."""
FILL_WINDOW = 4
"""Batches of `fill` that wait at a time."""
SAMPLE = encode(
    MkdirOp(20_000, "/bench/mkdirs/0/x1234", 1, 1, PermissionStatus("hdfs", "supergroup", 0o755)), 1
)
HEAD, BODY = SAMPLE[:5], SAMPLE[13:-4]
_TXID = struct.Struct(">q")
_CHECKSUM = struct.Struct(">I")


def frames(first: int, count: int) -> bytes:
    """Whole transactions, as cheap as they can be made: only txid and checksum differ."""
    parts = []
    for txid in range(first, first + count):
        content = b"".join((HEAD, _TXID.pack(txid), BODY))
        parts += content, _CHECKSUM.pack(crc32(content))
    return b"".join(parts)


class Writer:
    """One writer after the other on one journal."""

    def __init__(self, journal_id: str, addresses: list[Address]) -> None:
        self._journal_id = journal_id
        self._addresses = addresses
        self._http = RealHttpClient()
        self._journal = self._new_journal()
        self._first = 0
        self._next = 0

    def _new_journal(self) -> QuorumJournal:
        return QuorumJournal(
            self._addresses,
            self._journal_id,
            NAMESPACE,
            network=TcpNetwork(),
            http=self._http,
            clock=RealClock(),
            dice=RealDice(),
            user="root",
            settings=QuorumSettings.from_configuration(Configuration.parse([], {})),
        )

    async def run(self, word: str, *arguments: str) -> dict[str, Any]:
        """One command."""
        work: dict[str, Any] = {
            "open": self.open,
            "rate": self.rate,
            "roll": self.roll,
            "fill": self.fill,
            "recover": self.recover,
        }
        found: dict[str, Any] = await work[word](*arguments)
        return found

    async def open(self) -> dict[str, Any]:
        """Formats the journals and starts the first segment."""
        await self._journal.format(NAMESPACE, force=True)
        last = await self._journal.recover()
        await self._start(last + 1)
        return {}

    async def _start(self, first: int) -> None:
        self._first = self._next = first
        await self._journal.start_segment(TxId(first))

    async def roll(self) -> dict[str, Any]:
        if self._next == self._first:
            await self._write(1)
        await self._journal.finalize_segment(TxId(self._first), TxId(self._next - 1))
        await self._start(self._next)
        return {}

    def _write(self, count: int) -> asyncio.Future[None]:
        first, self._next = self._next, self._next + count
        return self._journal.write(TxId(first), count, frames(first, count))

    async def rate(self, writers: str, seconds: str) -> dict[str, Any]:
        """All that wait are answered together and are back at once: the next flush takes all."""
        count, took = int(writers), []
        began = now = perf_counter()
        end = began + float(seconds)
        while now < end:
            asked = now
            await self._write(count)
            now = perf_counter()
            took.append(now - asked)
        return summary(took, len(took) * count / (now - began))

    async def fill(self, size: str) -> dict[str, Any]:
        per_batch = FILL_BYTES // len(SAMPLE)
        waiting: list[asyncio.Future[None]] = []
        for _ in range(int(size) // (per_batch * len(SAMPLE)) + 1):
            waiting.append(self._write(per_batch))
            if len(waiting) == FILL_WINDOW:
                await waiting.pop(0)
        await asyncio.gather(*waiting)
        # A majority is not enough: the third may be the one that a recovery asks.
        while any(row.in_sync and row.lag_txns for row in self._journal.health()):
            await self._journal.confirm()
        return {"last_txid": self._next - 1}

    async def recover(self) -> dict[str, Any]:
        await self._journal.close()
        self._journal = self._new_journal()
        began = perf_counter()
        last = await self._journal.recover()
        return {"seconds": perf_counter() - began, "last_txid": last}


def summary(took: list[float], per_second: float) -> dict[str, Any]:
    """Figures of a rate; `took` in seconds."""
    took.sort()
    return {
        "per_second": per_second,
        "count": len(took),
        "p50_ms": took[len(took) // 2] * 1e3,
        "p99_ms": took[len(took) * 99 // 100] * 1e3,
    }


async def main() -> None:
    journal_id, *hosts = sys.argv[1:]
    writer = Writer(journal_id, [Address.parse(host) for host in hosts])
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await writer.run(*line.split())), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
