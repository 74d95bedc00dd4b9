from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.datanode.reporter import (
    BUFFER_BYTES,
    BlockChange,
    BlockStatus,
    Pending,
    Schedule,
    encode_report,
)


def change(block_id: int, status: BlockStatus, storage: str = "DS-1") -> BlockChange:
    return BlockChange(storage, status, Block(BlockId(block_id), 5, GenStamp(1001)))


def test_the_newest_change_of_a_block_is_reported_in_order() -> None:
    pending = Pending()
    pending.add(change(1, BlockStatus.RECEIVING))
    pending.add(change(2, BlockStatus.DELETED))
    pending.add(change(1, BlockStatus.RECEIVED))
    pending.add(change(1, BlockStatus.RECEIVED, "DS-2"))
    assert pending.take() == [
        change(2, BlockStatus.DELETED),
        change(1, BlockStatus.RECEIVED),
        change(1, BlockStatus.RECEIVED, "DS-2"),
    ]
    assert pending.take() == []


def test_a_failed_report_is_repeated_without_overtaking() -> None:
    pending = Pending()
    pending.add(change(1, BlockStatus.RECEIVED))
    pending.add(change(2, BlockStatus.RECEIVED))
    taken = pending.take()
    pending.add(change(1, BlockStatus.DELETED))
    pending.put_back(taken)
    assert pending.take() == [change(2, BlockStatus.RECEIVED), change(1, BlockStatus.DELETED)]


def test_schedule() -> None:
    schedule = Schedule(heartbeat_ms=3000, full_report_ms=60_000)
    schedule.registered(1_000, first_report_delay_ms=500)
    assert schedule.next_heartbeat == 1_000
    assert [schedule.full_report_due(at) for at in (1_000, 1_499, 1_500)] == [False, False, True]
    schedule.heartbeat_sent(1_000)
    schedule.full_report_sent(1_500)
    assert schedule.next_heartbeat == 4_000
    assert not schedule.full_report_due(61_499)
    schedule.full_report_wanted(2_000)
    assert schedule.full_report_due(2_000)
    assert schedule.next_heartbeat == 2_000


def decode(buffers: list[bytes]) -> list[tuple[int, int, int, int]]:
    values = []
    for buffer in buffers:
        value = shift = 0
        for byte in buffer:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                values.append(value)
                value = shift = 0
        assert shift == 0, "an entry crosses two buffers"
    rows = list(zip(*[iter(values)] * 4, strict=True))
    return [((i >> 1) ^ -(i & 1), length, stamp, state) for i, length, stamp, state in rows]


ROW = st.tuples(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 1 << 47),
    st.integers(0, 1 << 40),
    st.integers(0, 4),
)


@given(st.lists(ROW, max_size=40))
def test_report_round_trip(rows: list[tuple[int, int, int, int]]) -> None:
    count, buffers = encode_report(rows)
    assert count == len(rows)
    assert decode(buffers) == rows


def test_long_reports_have_several_buffers() -> None:
    rows = [(1073741825 + i, 134217728, 1001 + i, 0) for i in range(30_000)]
    count, buffers = encode_report(rows)
    assert count == 30_000
    assert len(buffers) > 4
    assert all(len(buffer) < BUFFER_BYTES + 64 for buffer in buffers)
    assert decode(buffers) == rows
