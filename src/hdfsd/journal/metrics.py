"""Core. What one journal counts and times, for /jmx (Hadoop's JournalMetrics) and /metrics.

Times are kept as counts by size, each size 9 % above the one before: the memory of a window does
not depend on how much happens in it. As in Hadoop, percentiles are those of the last whole window.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

WINDOWS_S = (60, 300, 3600)
PERCENTILES = (50, 75, 90, 95, 99)
SIZES_PER_DOUBLING = 8
BOUNDS_MICROS = tuple(125 << power for power in range(16))
"""Of the histogram: 125 µs to 4 s."""
RECENT_MAX = 4096
RECENT_MS = 1000


def _size_of(micros: int) -> int:
    return 0 if micros < 1 else round(math.log2(micros) * SIZES_PER_DOUBLING)


def _micros_of(size: int) -> int:
    return round(2 ** (size / SIZES_PER_DOUBLING))


class Window:
    """Counts of times within the running window and the last whole one."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._length_ms = seconds * 1000
        self._begun_ms: int | None = None
        self._counts: dict[int, int] = {}
        self._last: dict[int, int] = {}

    def add(self, times: Mapping[int, int], now_ms: int) -> None:
        """How many took how many microseconds."""
        self._roll(now_ms)
        for micros, count in times.items():
            size = _size_of(micros)
            self._counts[size] = self._counts.get(size, 0) + count

    def count(self, now_ms: int) -> int:
        """Of the last whole window."""
        self._roll(now_ms)
        return sum(self._last.values())

    def percentile(self, percent: int, now_ms: int) -> int:
        """In microseconds, of the last whole window; 0 when nothing happened in it."""
        total = self.count(now_ms)
        wanted = math.ceil(total * percent / 100)
        for size in sorted(self._last):
            wanted -= self._last[size]
            if wanted <= 0:
                return _micros_of(size)
        return 0

    def _roll(self, now_ms: int) -> None:
        if self._begun_ms is None:
            self._begun_ms = now_ms
        passed = (now_ms - self._begun_ms) // self._length_ms
        if passed > 0:
            self._last = self._counts if passed == 1 else {}
            self._counts = {}
            self._begun_ms += passed * self._length_ms


def _windows() -> tuple[Window, ...]:
    return tuple(Window(seconds) for seconds in WINDOWS_S)


@dataclass(slots=True)
class JournalMetrics:
    """Since the daemon started."""

    batches_written: int = 0
    batches_written_while_lagging: int = 0
    txns_written: int = 0
    bytes_written: int = 0
    txns_served: int = 0
    """By getJournaledEdits."""
    bytes_served: int = 0
    empty_responses: int = 0
    cache_misses: int = 0
    cache_misses_txns: int = 0
    """By how many transactions the requests were below the cache, in sum."""
    last_journal_wall_ms: int = 0
    """When the last batch came."""
    syncs: int = 0
    syncs_micros: int = 0
    windows: tuple[Window, ...] = field(default_factory=_windows)
    sync_counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MICROS) + 1))
    """By BOUNDS_MICROS; the last of them is beyond all bounds."""
    _recent: list[int] = field(default_factory=list)
    """Syncs of one second that are not in the windows yet: many at once take less time."""
    _recent_ms: int = 0
    """When the first of them was."""

    def wrote(self, txns: int, size: int, *, lagging: bool) -> None:
        """A batch was written."""
        self.batches_written += 1
        self.batches_written_while_lagging += lagging
        self.txns_written += txns
        self.bytes_written += size

    def served(self, txns: int, size: int) -> None:
        """A tailer was answered."""
        self.txns_served += txns
        self.bytes_served += size
        self.empty_responses += not txns

    def missed(self, txns: int) -> None:
        """A tailer asked for what the cache does not hold, `txns` below it."""
        self.cache_misses += 1
        self.cache_misses_txns += txns

    def synced(self, micros: int, now_ms: int) -> None:
        """An fsync took so long."""
        self.syncs += 1
        self.syncs_micros += micros
        self.sync_counts[bisect_left(BOUNDS_MICROS, micros)] += 1
        if now_ms - self._recent_ms >= RECENT_MS or len(self._recent) >= RECENT_MAX:
            self._count_recent()
            self._recent_ms = now_ms
        self._recent.append(micros)

    def _count_recent(self) -> None:
        if not self._recent:
            return
        times = Counter(self._recent)
        for window in self.windows:
            window.add(times, self._recent_ms)
        self._recent.clear()

    def attributes(self, now_ms: int) -> dict[str, int | float]:
        """Under the names that Hadoop's JournalMetrics has in JMX."""
        self._count_recent()
        found: dict[str, int | float] = {}
        for window in self.windows:
            name = f"Syncs{window.seconds}s"
            found[f"{name}NumOps"] = window.count(now_ms)
            for percent in PERCENTILES:
                key = f"{name}{percent}thPercentileLatencyMicros"
                found[key] = window.percentile(percent, now_ms)
        misses = self.cache_misses
        return found | {
            "RpcRequestCacheMissAmountNumMisses": misses,
            "RpcRequestCacheMissAmountAvgTxns": self.cache_misses_txns / misses if misses else 0.0,
            "BatchesWritten": self.batches_written,
            "BatchesWrittenWhileLagging": self.batches_written_while_lagging,
            "BytesServedViaRpc": self.bytes_served,
            "BytesWritten": self.bytes_written,
            "RpcEmptyResponses": self.empty_responses,
            "TxnsServedViaRpc": self.txns_served,
            "TxnsWritten": self.txns_written,
            "LastJournalTimestamp": self.last_journal_wall_ms,
        }
