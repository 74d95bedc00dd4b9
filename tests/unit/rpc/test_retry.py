"""The retry table, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hdfsd.base.errors import (
    AccessControl,
    ConnectFailed,
    DeadlineExceeded,
    FileNotFound,
    InvalidToken,
    ObserverRetryOnActive,
    OutcomeUnknown,
    RemoteFault,
    RetriableError,
    StandbyError,
)
from hdfsd.rpc.retry import Action, Backoff, decide, delay_ms, is_answer, weightiest
from hdfsd.wire.services import RetryClass

IDEMPOTENT, ONCE, NONE = RetryClass.IDEMPOTENT, RetryClass.AT_MOST_ONCE, RetryClass.NONE


@pytest.mark.parametrize(
    ("error", "actions"),
    [
        (StandbyError("x"), dict.fromkeys(RetryClass, Action.FAIL_OVER)),
        (ObserverRetryOnActive("x"), dict.fromkeys(RetryClass, Action.FAIL_OVER)),
        (ConnectFailed("x"), dict.fromkeys(RetryClass, Action.FAIL_OVER)),
        (RetriableError("x"), dict.fromkeys(RetryClass, Action.RETRY_HERE)),
        (AccessControl("x"), dict.fromkeys(RetryClass, Action.FAIL)),
        (InvalidToken("x"), dict.fromkeys(RetryClass, Action.FAIL)),
        (FileNotFound("x"), dict.fromkeys(RetryClass, Action.FAIL)),
        (RemoteFault("x", "com.example.Odd"), dict.fromkeys(RetryClass, Action.FAIL)),
        (KeyError("x"), dict.fromkeys(RetryClass, Action.FAIL)),
        (
            OutcomeUnknown("x"),
            {IDEMPOTENT: Action.FAIL_OVER, ONCE: Action.FAIL_OVER, NONE: Action.FAIL},
        ),
        (
            DeadlineExceeded("x"),
            {IDEMPOTENT: Action.FAIL_OVER, ONCE: Action.FAIL_OVER, NONE: Action.FAIL},
        ),
    ],
)
def test_decisions(error: Exception, actions: dict[RetryClass, Action]) -> None:
    for retry, action in actions.items():
        decision = decide(error, retry)
        assert decision.action is action
        assert decision.reason


def test_the_reason_names_the_retry_class() -> None:
    assert decide(OutcomeUnknown("x"), ONCE).reason == "it may have happened, and is at-most-once"
    assert decide(OutcomeUnknown("x"), NONE).reason == (
        "it may have happened, and must not happen twice"
    )


def test_an_answer_is_what_asking_elsewhere_does_not_change() -> None:
    assert is_answer(FileNotFound("x"), ONCE)
    assert is_answer(AccessControl("x"), ONCE)
    for error in (StandbyError("x"), RetriableError("x"), OutcomeUnknown("x"), KeyError("x")):
        assert not is_answer(error, NONE)


def test_of_several_errors_the_one_that_leaves_least_room() -> None:
    standby, gone, busy = StandbyError("x"), OutcomeUnknown("x"), RetriableError("x")
    assert weightiest([standby, gone], IDEMPOTENT) is standby
    assert weightiest([standby, busy, gone], IDEMPOTENT) is busy
    assert weightiest([standby, busy, gone], NONE) is gone, "it may have happened there"


class Loaded:
    """Dice that show the given fractions."""

    def __init__(self, fractions: Sequence[float]) -> None:
        self._fractions = iter(fractions)

    def fraction(self) -> float:
        return next(self._fractions)


@pytest.mark.parametrize(
    ("failovers", "fraction", "expected"),
    [(0, 0.0, 0), (1, 0.0, 500), (1, 0.5, 1000), (2, 0.5, 2000), (5, 0.5, 15_000), (99, 0.0, 7500)],
)
def test_delays(failovers: int, fraction: float, expected: int) -> None:
    dice = Loaded([fraction])
    assert delay_ms(Backoff(), failovers, dice) == expected  # type: ignore[arg-type]
