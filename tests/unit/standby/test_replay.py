"""Transactions in order, none twice, none missing, a few at a time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, TxId
from hdfsd.editlog import codec
from hdfsd.editlog.ops import DeleteOp, EditOp
from hdfsd.standby.replay import STEP_TXNS, replay


def op(txid: int) -> DeleteOp:
    return DeleteOp(f"/{txid}", txid, b"", -2)


def frames(first: int, last: int) -> bytes:
    return b"".join(codec.encode(op(txid), txid) for txid in range(first, last + 1))


def run(data: bytes, next_txid: int, **more: int) -> tuple[list[int], int]:
    """The txids applied, and how often the caller was let in between."""
    applied: list[int] = []

    def apply(found: EditOp, txid: TxId) -> None:
        assert found == op(txid)
        applied.append(txid)

    steps = replay(
        data,
        NAMENODE_LAYOUT_VERSION,
        next_txid=next_txid,
        where="a segment",
        apply=apply,
        **more,  # type: ignore[arg-type]
    )
    return applied, sum(1 for _ in steps)


@given(first=st.integers(1, 9), count=st.integers(0, 12), skip=st.integers(0, 12))
def test_what_is_applied_already_is_passed_over(first: int, count: int, skip: int) -> None:
    last = first + count - 1
    applied, _ = run(frames(first, last), first + skip)
    assert applied == list(range(first + skip, last + 1))


def test_a_missing_transaction_is_named() -> None:
    with pytest.raises(CorruptData, match="a segment: transaction 3 is missing before 4"):
        run(frames(4, 6), 3)
    with pytest.raises(CorruptData, match="txid 5 stands where 3 must follow"):
        run(frames(1, 2) + frames(5, 6), 1)


def test_the_caller_is_let_in_every_so_many_transactions() -> None:
    applied, steps = run(frames(1, 2 * STEP_TXNS + 1), 1)
    assert (len(applied), steps) == (2 * STEP_TXNS + 1, 2)


def test_nothing_is_applied_before_it_is_asked_for() -> None:
    applied: list[int] = []
    steps = replay(
        frames(1, STEP_TXNS + 1),
        NAMENODE_LAYOUT_VERSION,
        next_txid=1,
        where="",
        apply=lambda found, txid: applied.append(txid),
    )
    assert applied == []
    next(steps)
    assert len(applied) == STEP_TXNS


def test_data_may_begin_behind_a_header_and_end_before_a_torn_tail() -> None:
    header, torn = b"\xff\xff\xff\xbd\0\0\0\0", b"\x00\x01torn"
    data = header + frames(1, 3) + torn
    assert run(data, 1, offset=len(header), last_txid=3)[0] == [1, 2, 3]
    with pytest.raises(CorruptData):
        run(data, 1, offset=len(header))


@pytest.mark.parametrize("cut", range(1, 30))
def test_cut_frames_are_corrupt_data_and_what_was_whole_is_applied(cut: int) -> None:
    data = frames(1, 3)
    applied: list[int] = []
    steps = replay(
        data[:-cut],
        NAMENODE_LAYOUT_VERSION,
        next_txid=1,
        where="a segment",
        apply=lambda found, txid: applied.append(txid),
    )
    whole = [t for t in (1, 2, 3) if len(frames(1, t)) <= len(data) - cut]
    if len(frames(1, len(whole))) == len(data) - cut:
        list(steps)
    else:
        with pytest.raises(CorruptData, match="a segment"):
            list(steps)
    assert applied == whole
