"""Core. The newest durable transactions of a journal in memory, for tailers (JournaledEditsCache).

Bounded in bytes, oldest first out; always one range without a gap. Several journals may share room
besides: whose last batch is oldest gives way first.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from hdfsd.base.errors import EditsCacheMiss
from hdfsd.base.ids import TxId
from hdfsd.editlog.codec import LAYOUT_WITH_LENGTH
from hdfsd.editlog.frames import Run, offset_of
from hdfsd.editlog.segment import header

MERGED_BYTES = 4096
"""Smaller batches are joined: alone each would take several times its size in memory."""


class SharedRoom:
    """Bytes for the caches of all journals together."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._caches: dict[EditsCache, None] = {}
        """Those that hold something; who stored last comes last."""

    def stored(self, cache: EditsCache) -> None:
        """Something came into a cache: room is made for it."""
        self._caches.pop(cache, None)
        self._caches[cache] = None
        excess = sum(each.size_bytes for each in self._caches) - self._capacity_bytes
        while excess > 0:
            oldest = next(iter(self._caches))
            if oldest.size_bytes:
                excess -= oldest.drop_oldest()
            else:
                del self._caches[oldest]


class EditsCache:
    """Batches as they were appended, or several small ones as one."""

    def __init__(self, capacity_bytes: int, room: SharedRoom | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self._room = room
        self._merged_bytes = min(MERGED_BYTES, capacity_bytes // 256)
        self.size_bytes = 0
        self._runs: deque[Run] = deque()
        self._layout_version = 0

    @property
    def first_txid(self) -> TxId:
        """The oldest transaction in it; 0 when it is empty."""
        return self._runs[0].first_txid if self._runs else TxId(0)

    def store(self, run: Run, layout_version: int) -> None:
        """Adds a batch that is durable; a gap or another layout version empties it first."""
        follows = not self._runs or run.first_txid == self._runs[-1].last_txid + 1
        if not follows or layout_version != self._layout_version:
            self.clear()
        self._layout_version = layout_version
        self.size_bytes += len(run.data)
        mergeable = layout_version <= LAYOUT_WITH_LENGTH
        if self._runs and mergeable and len(self._runs[-1].data) < self._merged_bytes:
            last = self._runs.pop()
            run = Run(last.first_txid, last.count + run.count, last.data + run.data)
        self._runs.append(run)
        while self.size_bytes > self.capacity_bytes:
            self.drop_oldest()
        if self._room is not None:
            self._room.stored(self)

    def drop_oldest(self) -> int:
        """Forgets the oldest batch and says how many bytes it had."""
        size = len(self._runs.popleft().data)
        self.size_bytes -= size
        return size

    def clear(self) -> None:
        """What is on disk was replaced: nothing here may be served any more."""
        self._runs.clear()
        self.size_bytes = 0

    def drop_from(self, first_txid: TxId) -> None:
        """A segment starts there, maybe anew: what was written from there on is gone."""
        while self._runs and self._runs[-1].last_txid >= first_txid:
            run = self._runs.pop()
            self.size_bytes -= len(run.data)
            if run.first_txid < first_txid:
                count = first_txid - run.first_txid
                kept = run.data[: offset_of(run.data, run.first_txid, first_txid)]
                self._runs.append(Run(run.first_txid, count, kept))
                self.size_bytes += len(kept)

    def retrieve(self, since_txid: TxId, max_txns: int) -> tuple[int, bytes]:
        """(count, segment header + frames) from `since_txid` on. Raises EditsCacheMiss."""
        if not self._runs:
            raise EditsCacheMiss(
                "Cache is empty; either it was never initialized or all edits were cleared"
            )
        lowest, highest = self._runs[0].first_txid, self._runs[-1].last_txid
        if since_txid < lowest:
            raise EditsCacheMiss(
                f"Oldest txn ID available in the cache is {lowest}, but requested txns starting at"
                f" {since_txid}. The cache size (dfs.journalnode.edit-cache-size.bytes) may need to"
                f" be increased to hold more transactions (currently {self.capacity_bytes} bytes"
                f" containing {highest - lowest + 1} transactions)"
            )
        if since_txid > highest:
            raise EditsCacheMiss(
                f"Newest txn ID available in the cache is {highest}, but requested txns starting"
                f" at {since_txid}"
            )
        return self._collect(since_txid, min(max_txns, highest - since_txid + 1))

    def _collect(self, since_txid: TxId, count: int) -> tuple[int, bytes]:
        end_txid = since_txid + count
        pieces = [header(self._layout_version)]
        index = bisect_right(self._runs, since_txid, key=lambda run: run.first_txid) - 1
        while index < len(self._runs) and (run := self._runs[index]).first_txid < end_txid:
            start = offset_of(run.data, run.first_txid, max(since_txid, run.first_txid))
            if end_txid > run.last_txid:
                pieces.append(run.data[start:] if start else run.data)
            else:
                pieces.append(run.data[start : offset_of(run.data, run.first_txid, end_txid)])
            index += 1
        return count, b"".join(pieces)
