"""Counts of a journal: percentiles against a sorted list, windows that follow the clock."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hdfsd.journal.metrics import (
    BOUNDS_MICROS,
    PERCENTILES,
    RECENT_MAX,
    JournalMetrics,
    Window,
)

MINUTE_MS = 60_000


@given(st.lists(st.integers(1, 60_000_000), min_size=1, max_size=200))
def test_percentiles_are_within_a_tenth_of_the_exact_ones(times: list[int]) -> None:
    window = Window(60)
    for micros in times:
        window.add({micros: 1}, 0)
    ordered = sorted(times)
    for percent in PERCENTILES:
        exact = ordered[-(-len(ordered) * percent // 100) - 1]
        assert abs(window.percentile(percent, MINUTE_MS) - exact) <= max(1, exact / 10)


def test_a_window_shows_the_last_whole_one() -> None:
    window = Window(60)
    window.add({100: 1}, 0)
    window.add({100: 1}, MINUTE_MS - 1)
    assert window.count(MINUTE_MS - 1) == 0
    assert window.percentile(99, MINUTE_MS - 1) == 0
    assert window.count(MINUTE_MS) == 2
    window.add({9000: 1}, MINUTE_MS)
    assert window.count(2 * MINUTE_MS - 1) == 2
    assert window.count(2 * MINUTE_MS) == 1
    # One in which nothing happened, then long silence.
    assert window.count(3 * MINUTE_MS) == 0
    window.add({5: 1}, 3 * MINUTE_MS)
    assert window.count(9 * MINUTE_MS) == 0


def test_memory_does_not_grow_with_what_happens() -> None:
    window = Window(60)
    for micros in range(1, 200_000):
        window.add({micros: 1}, 0)
    assert len(window._counts) < 200


def test_attributes_have_hadoops_names() -> None:
    metrics = JournalMetrics()
    metrics.wrote(5, 100, lagging=False)
    metrics.wrote(1, 20, lagging=True)
    metrics.served(7, 70)
    metrics.served(0, 0)
    metrics.missed(4)
    metrics.missed(8)
    metrics.synced(2000, 0)
    metrics.synced(BOUNDS_MICROS[-1] + 1, 0)
    found = metrics.attributes(MINUTE_MS)
    assert found["Syncs60sNumOps"] == 2
    assert found["Syncs300sNumOps"] == 0
    assert abs(found["Syncs60s50thPercentileLatencyMicros"] - 2000) <= 200
    assert len([key for key in found if key.startswith("Syncs")]) == 18
    rest = {key: value for key, value in found.items() if not key.startswith("Syncs")}
    assert rest == {
        "RpcRequestCacheMissAmountNumMisses": 2,
        "RpcRequestCacheMissAmountAvgTxns": 6.0,
        "BatchesWritten": 2,
        "BatchesWrittenWhileLagging": 1,
        "BytesServedViaRpc": 70,
        "BytesWritten": 120,
        "RpcEmptyResponses": 1,
        "TxnsServedViaRpc": 7,
        "TxnsWritten": 6,
        "LastJournalTimestamp": 0,
    }
    assert sum(metrics.sync_counts) == metrics.syncs == 2
    assert metrics.sync_counts[BOUNDS_MICROS.index(2000)] == 1
    assert metrics.sync_counts[-1] == 1


def test_syncs_are_counted_in_the_window_in_which_they_were() -> None:
    metrics = JournalMetrics()
    for _ in range(RECENT_MAX + 3):
        metrics.synced(100, 0)
    metrics.synced(100, MINUTE_MS)
    assert metrics.attributes(MINUTE_MS)["Syncs60sNumOps"] == RECENT_MAX + 3
    assert metrics.attributes(2 * MINUTE_MS)["Syncs60sNumOps"] == 1
    assert metrics.syncs == RECENT_MAX + 4
