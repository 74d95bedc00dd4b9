"""The life of a writer: every cell of its table, and the order in which batches are released."""

from __future__ import annotations

import itertools

import pytest

from hdfsd.base.errors import InvariantBroken
from hdfsd.base.ids import Epoch, TxId
from hdfsd.quorum.writer import (
    TRANSITIONS,
    Phase,
    Step,
    WriterState,
    next_epoch,
    segment_to_recover,
)


def in_segment() -> WriterState[str]:
    state: WriterState[str] = WriterState()
    state.begin_recovery()
    state.recovered(Epoch(3), TxId(10))
    state.start(TxId(11))
    return state


def take(state: WriterState[str], step: Step) -> None:
    match step:
        case Step.RECOVER:
            state.begin_recovery()
        case Step.RECOVERED:
            state.recovered(Epoch(1), TxId(0))
        case Step.START:
            state.start(TxId(11))
        case Step.WRITE:
            state.batch(TxId(11), 1, "a")
        case Step.FINALIZE:
            state.finalize(TxId(11), TxId(10))
        case Step.LOSE:
            state.lose()


@pytest.mark.parametrize(("phase", "step"), list(itertools.product(Phase, Step)))
def test_every_cell(phase: Phase, step: Step) -> None:
    state = in_segment()
    state.phase = phase
    target = TRANSITIONS.get((phase, step))
    if target is None:
        with pytest.raises(InvariantBroken, match="Q4"):
            take(state, step)
        assert state.phase is phase
    else:
        take(state, step)
        assert state.phase is target


def test_batches_are_released_in_order_when_a_majority_has_them() -> None:
    state = in_segment()
    for first, waiter in ((11, "a"), (13, "b"), (15, "c")):
        state.batch(TxId(first), 2, waiter)
    assert state.commit(TxId(11)) == []
    assert state.commit(TxId(14)) == ["a", "b"]
    assert (state.committed, state.next_txid) == (14, 17)
    assert state.commit(TxId(13)) == []
    assert state.oldest is state.newest
    assert state.commit(TxId(16)) == ["c"]
    assert state.oldest is None
    state.finalize(TxId(11), TxId(16))
    state.start(TxId(17))


def test_a_gap_between_batches_is_refused() -> None:
    state = in_segment()
    for first, count in ((12, 1), (10, 1), (11, 0)):
        with pytest.raises(InvariantBroken, match="Q4"):
            state.batch(TxId(first), count, "a")


def test_nothing_is_finalized_while_batches_wait() -> None:
    state = in_segment()
    state.batch(TxId(11), 2, "a")
    with pytest.raises(InvariantBroken, match="wait"):
        state.finalize(TxId(11), TxId(12))
    state.commit(TxId(12))
    with pytest.raises(InvariantBroken, match="Q4"):
        state.finalize(TxId(11), TxId(13))
    assert "in a segment, epoch 3, segment 11, next 13, committed 12, 0 waiting" in state.describe()


def test_a_segment_never_starts_below_what_is_committed() -> None:
    state: WriterState[str] = WriterState()
    state.begin_recovery()
    state.recovered(Epoch(3), TxId(10))
    with pytest.raises(InvariantBroken, match="Q4"):
        state.start(TxId(10))


def test_everybody_is_told_of_a_loss_once() -> None:
    state = in_segment()
    state.batch(TxId(11), 2, "a")
    state.batch(TxId(13), 1, "b")
    assert state.lose() == ["a", "b"]
    assert state.lose() == []


def test_epochs_and_segments() -> None:
    assert next_epoch([Epoch(2), Epoch(7), Epoch(0)]) == 8
    assert segment_to_recover([None, TxId(5), TxId(9), None]) == 9
    assert segment_to_recover([None, None]) is None
