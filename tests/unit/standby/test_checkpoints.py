"""What is due, who is offered what, and when again: tables, and that none of it loops."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_namenode import settings

from hdfsd.base.ids import Address, TxId
from hdfsd.standby.checkpoints import Checkpoints, Outcome, Receiver

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
SETTINGS = replace(settings(ha=True).checkpoint, period_ms=HOUR, check_period_ms=MINUTE, txns=100)
NN2, NN3 = Address("nn2", 9870), Address("nn3", 9870)
FAILURES = (Outcome.UNREACHABLE, Outcome.BROKEN, Outcome.BUSY, Outcome.REFUSED)


def plan(**changes: int) -> Checkpoints:
    return Checkpoints(replace(SETTINGS, **changes), [NN2, NN3], now_ms=0)


def answer(made: Checkpoints, receiver: Receiver, outcome: Outcome, now_ms: int) -> int | None:
    made.began(receiver)
    return made.ended(receiver, outcome, outcome.value, now_ms)


def offered(made: Checkpoints, now_ms: int) -> list[tuple[str, int | None]]:
    return [(receiver.peer.host, receiver.wanted_txid) for receiver in made.offers(now_ms)]


@pytest.mark.parametrize(
    ("applied", "image", "now_ms", "due"),
    [
        (0, 0, 10**9, None),
        (50, 50, 10**9, None),
        (50, 60, 10**9, None),
        (99, 0, 0, None),
        (100, 0, 0, "100 transactions since the last image"),
        (150, 60, 0, None),
        (1, 0, HOUR - 1, None),
        (1, 0, HOUR, "3600 s since the last look, 1 transactions"),
    ],
)
def test_when_a_save_is_due(applied: int, image: int, now_ms: int, due: str | None) -> None:
    made = plan()
    found = made.due(applied_txid=TxId(applied), image_txid=TxId(image), now_ms=now_ms)
    assert found == due


def test_how_often_it_looks() -> None:
    assert plan().look_ms == MINUTE
    assert plan(period_ms=30 * SECOND).look_ms == 30 * SECOND
    assert plan().quiet_ms == 1.5 * HOUR


def test_a_save_that_fails_is_tried_again_less_and_less_often() -> None:
    made = plan()
    waits = [made.save_failed(0) // MINUTE for _ in range(9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    due = {"applied_txid": TxId(500), "image_txid": TxId(0)}
    assert made.due(**due, now_ms=HOUR - 1) is None
    assert made.due(**due, now_ms=HOUR) is not None
    made.saved(TxId(500), HOUR)
    assert made.save_failed(HOUR) == MINUTE, "it begins anew"


def test_everybody_is_offered_a_new_image_once() -> None:
    made = plan()
    assert offered(made, 10**9) == []
    made.saved(TxId(5), 0)
    assert offered(made, 0) == [("nn2", 5), ("nn3", 5)]
    nn2, nn3 = made.offers(0)
    made.began(nn2)
    assert offered(made, 0) == [("nn3", 5)], "one upload to a peer at a time"
    assert made.ended(nn2, Outcome.TAKEN, "", 10) is None
    assert answer(made, nn3, Outcome.NOT_WANTED, 20) is None
    assert offered(made, 10**9) == []
    assert (nn2.taken_txid, nn2.taken_ms, nn3.taken_txid) == (5, 10, None)


@pytest.mark.parametrize("outcome", FAILURES)
def test_what_was_not_settled_is_tried_again_less_and_less_often(outcome: Outcome) -> None:
    made = plan()
    made.saved(TxId(5), 0)
    receiver, now_ms, waits = made.receivers[NN2], 0, []
    for _ in range(9):
        assert receiver in made.offers(now_ms)
        wait_ms = answer(made, receiver, outcome, now_ms)
        assert wait_ms is not None
        assert receiver not in made.offers(now_ms + wait_ms - 1)
        now_ms += wait_ms
        waits.append(wait_ms // MINUTE)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    made.saved(TxId(9), now_ms)
    assert ("nn2", 9) in offered(made, now_ms), "a new image is offered at once"
    assert answer(made, receiver, outcome, now_ms) == HOUR
    made.saved(TxId(10), now_ms)
    answer(made, receiver, Outcome.NOT_WANTED, now_ms)
    made.saved(TxId(11), now_ms)
    assert answer(made, receiver, outcome, now_ms) == MINUTE, "an answer is a new beginning"


def test_the_newer_image_is_next_when_one_was_saved_meanwhile() -> None:
    made = plan()
    made.saved(TxId(5), 0)
    receiver = made.receivers[NN2]
    made.began(receiver)
    made.saved(TxId(9), HOUR)
    assert offered(made, HOUR) == [("nn3", 9)]
    assert made.ended(receiver, Outcome.BROKEN, "cut", HOUR) is None
    assert offered(made, HOUR) == [("nn2", 9), ("nn3", 9)]


@pytest.mark.parametrize(
    ("taken", "offered_after"),
    [(None, 0.0), (0.0, 1.5)],
    ids=["none of ours was ever taken", "one of ours was taken"],
)
def test_a_peer_that_another_supplies_is_left_alone_for_a_quiet_period(
    taken: float | None, offered_after: float
) -> None:
    made = plan()
    receiver = made.receivers[NN2]
    if taken is not None:
        made.saved(TxId(1), 0)
        answer(made, receiver, Outcome.TAKEN, 0)
    made.saved(TxId(2), 1)
    answer(made, receiver, Outcome.NOT_WANTED, 1)
    for halves in range(1, 8):
        now_ms = halves * HOUR // 2
        made.saved(TxId(2 + halves), now_ms)
        assert (receiver in made.offers(now_ms)) == (now_ms >= offered_after * HOUR)


def test_a_supplier_that_comes_back_into_favour_stays_there() -> None:
    made = plan()
    receiver = made.receivers[NN2]
    for txid, outcome, now_ms in (
        (1, Outcome.TAKEN, 0),
        (2, Outcome.NOT_WANTED, HOUR),
        (3, Outcome.TAKEN, 2 * HOUR),
    ):
        made.saved(TxId(txid), now_ms)
        answer(made, receiver, outcome, now_ms)
    made.saved(TxId(4), 3 * HOUR)
    assert receiver in made.offers(3 * HOUR)


def test_no_answer_without_an_upload() -> None:
    made = plan()
    made.saved(TxId(1), 0)
    (receiver, _) = made.offers(0)
    with pytest.raises(AssertionError):
        made.ended(receiver, Outcome.TAKEN, "", 0)
    made.began(receiver)
    with pytest.raises(AssertionError):
        made.began(receiver)
