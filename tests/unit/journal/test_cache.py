"""The tail of a journal in memory, against a plain list of transactions."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import EditsCacheMiss
from hdfsd.base.ids import TxId
from hdfsd.editlog.frames import Run
from hdfsd.journal.cache import EditsCache, SharedRoom

HEADER = bytes.fromhex("ffffffbd00000000")


def frame(txid: int) -> bytes:
    head = struct.pack(">BIq", 24, 12, txid)
    return head + struct.pack(">I", zlib.crc32(head))


def run(first: int, last: int) -> Run:
    data = b"".join(frame(txid) for txid in range(first, last + 1))
    return Run(TxId(first), last - first + 1, data)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 40), st.integers(1, 12))
def test_against_a_list(counts: list[int], since: int, max_txns: int) -> None:
    cache = EditsCache(17 * 20)
    last = 0
    batches: list[range] = []
    for count in counts:
        cache.store(run(last + 1, last + count), -67)
        batches.append(range(last + 1, last + count + 1))
        last += count
    kept = list(batches)
    while sum(len(batch) for batch in kept) > 20:
        kept.pop(0)
    have = [txid for batch in kept for txid in batch]
    assert cache.size_bytes == 17 * len(have)
    if since not in have:
        with pytest.raises(EditsCacheMiss):
            cache.retrieve(TxId(since), max_txns)
        return
    wanted = [txid for txid in have if txid >= since][:max_txns]
    expected = HEADER + b"".join(map(frame, wanted))
    assert cache.retrieve(TxId(since), max_txns) == (len(wanted), expected)


def test_misses_say_what_is_there() -> None:
    cache = EditsCache(1000)
    with pytest.raises(EditsCacheMiss, match="Cache is empty"):
        cache.retrieve(TxId(1), 1)
    cache.store(run(5, 7), -67)
    with pytest.raises(EditsCacheMiss, match="Oldest txn ID available in the cache is 5"):
        cache.retrieve(TxId(4), 1)
    with pytest.raises(EditsCacheMiss, match="Newest txn ID available in the cache is 7"):
        cache.retrieve(TxId(8), 1)
    cache.clear()
    with pytest.raises(EditsCacheMiss, match="Cache is empty"):
        cache.retrieve(TxId(5), 1)


@pytest.mark.parametrize(("first", "layout_version"), [(9, -67), (7, -67), (8, -66)])
def test_a_gap_or_another_layout_starts_anew(first: int, layout_version: int) -> None:
    cache = EditsCache(1000)
    cache.store(run(5, 7), -67)
    cache.store(run(first, first), layout_version)
    with pytest.raises(EditsCacheMiss):
        cache.retrieve(TxId(5), 9)
    count, data = cache.retrieve(TxId(first), 9)
    assert (count, data[:4]) == (1, struct.pack(">i", layout_version))


def test_a_batch_above_the_capacity_is_not_kept() -> None:
    cache = EditsCache(40)
    cache.store(run(1, 3), -67)
    assert cache.size_bytes == 0


def test_what_a_segment_started_anew_replaces_is_dropped() -> None:
    cache = EditsCache(1000)
    for first, last in ((5, 6), (7, 7), (8, 9)):
        cache.store(run(first, last), -67)
    cache.drop_from(TxId(7))
    assert (cache.retrieve(TxId(5), 9)[0], cache.size_bytes) == (2, len(run(5, 6).data))
    cache.drop_from(TxId(7))
    assert cache.retrieve(TxId(6), 9)[0] == 1


def test_small_batches_are_kept_as_few() -> None:
    cache = EditsCache(1 << 20)
    for txid in range(1, 1001):
        cache.store(run(txid, txid), -67)
    assert len(cache._runs) < 10
    assert cache.size_bytes == 17_000
    assert cache.retrieve(TxId(500), 3) == (3, HEADER + run(500, 502).data)
    # A segment starts in the midst of what was joined.
    cache.drop_from(TxId(700))
    assert cache.size_bytes == 17 * 699
    assert cache.retrieve(TxId(690), 100) == (10, HEADER + run(690, 699).data)
    cache.store(run(700, 701), -67)
    assert cache.retrieve(TxId(699), 9) == (3, HEADER + run(699, 701).data)


def test_who_stored_last_keeps_most_of_the_shared_room() -> None:
    room = SharedRoom(17 * 30)
    first, second, third = (EditsCache(17 * 20, room) for _ in range(3))

    def fill(cache: EditsCache, last: int) -> None:
        for txid in range(1, last + 1):
            cache.store(run(txid, txid), -67)
            assert first.size_bytes + second.size_bytes + third.size_bytes <= 17 * 30

    fill(first, 15)
    fill(second, 20)
    assert (first.first_txid, second.first_txid) == (6, 1)
    fill(third, 5)
    assert (first.first_txid, second.first_txid, third.first_txid) == (11, 1, 1)
    first.clear()
    fill(third, 12)
    assert (first.size_bytes, second.first_txid, third.first_txid) == (0, 3, 1)
