"""Time-outs, and pauses of our own that must not use them up."""

from __future__ import annotations

from hdfsd.quorum.patience import PAUSE_MS, TICK_MS, Patience


def test_a_deadline_passes() -> None:
    patience = Patience(1000, 1200)
    assert [patience.look(now) for now in (1000, 1500, 2000, 2199, 2200, 2300)] == [
        TICK_MS,
        TICK_MS,
        200,
        1,
        0,
        0,
    ]


def test_a_pause_is_given_back() -> None:
    patience = Patience(0, 1200)
    assert patience.look(400) == TICK_MS
    assert patience.look(60_000) > 0
    assert patience.deadline_ms == 1200 + 59_600 - TICK_MS


def test_a_late_look_is_no_pause() -> None:
    patience = Patience(0, 1200)
    assert patience.look(PAUSE_MS) == 0
    assert patience.deadline_ms == 1200
