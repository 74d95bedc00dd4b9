"""Core. What a client of an HA pair does with a failed call, as a table (rpc-framing.md 5).

Source: Hadoop RetryPolicies.FailoverOnNetworkExceptionRetry and RetryUtils.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from hdfsd.base.errors import (
    AccessControl,
    ConnectFailed,
    HdfsdError,
    InvalidToken,
    ObserverRetryOnActive,
    OutcomeUnknown,
    RemoteFault,
    RetriableError,
    StandbyError,
)
from hdfsd.ports.dice import Dice
from hdfsd.wire.services import RetryClass


class Action(Enum):
    FAIL = "fail"
    RETRY_HERE = "retry here"
    """Ask the same server again after a delay."""
    FAIL_OVER = "fail over"
    """Ask the next server, with the same call id if the call may have happened."""


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    reason: str


RULES: Mapping[type[Exception], tuple[Action, str]] = {
    StandbyError: (Action.FAIL_OVER, "the server is not active"),
    ObserverRetryOnActive: (Action.FAIL_OVER, "the observer sends this call to the active"),
    ConnectFailed: (Action.FAIL_OVER, "nothing was sent"),
    RetriableError: (Action.RETRY_HERE, "the server asks to try again"),
    AccessControl: (Action.FAIL, "permission is denied everywhere"),
    InvalidToken: (Action.FAIL, "the token is refused everywhere"),
}
"""By class of the error, whatever the method."""


def decide(error: Exception, retry: RetryClass) -> Decision:
    """What to do with a call of this retry class that ended in `error`."""
    rule = RULES.get(type(error))
    if rule is not None:
        return Decision(*rule)
    if isinstance(error, OutcomeUnknown):
        if retry is RetryClass.NONE:
            return Decision(Action.FAIL, "it may have happened, and must not happen twice")
        return Decision(Action.FAIL_OVER, f"it may have happened, and is {retry.value}")
    if isinstance(error, RemoteFault):
        return Decision(Action.FAIL, "the server has answered")
    return Decision(Action.FAIL, "not an error of the network")


def is_answer(error: Exception, retry: RetryClass) -> bool:
    """Whether a server said it that takes such calls: asking another one would not help."""
    return isinstance(error, RemoteFault) and decide(error, retry).action is Action.FAIL


def weightiest(errors: Sequence[HdfsdError], retry: RetryClass) -> HdfsdError:
    """Of several servers that were asked at once, the error that decides what to do: one that ends
    the call, else one of a server that wants to be asked again, else any."""
    return min(errors, key=lambda error: _WEIGHTS.index(decide(error, retry).action))


_WEIGHTS = (Action.FAIL, Action.RETRY_HERE, Action.FAIL_OVER)


@dataclass(frozen=True, slots=True)
class Backoff:
    """dfs.client.failover.sleep.base.millis and .max.millis, max.attempts."""

    base_ms: int = 500
    max_ms: int = 15_000
    attempts_max: int = 15


def delay_ms(backoff: Backoff, failovers: int, dice: Dice) -> int:
    """How long to wait before the next failover; the first is free.

    Exponential with a factor from 0.5 to 1.5, so that clients do not come back all at once.
    """
    if failovers == 0:
        return 0
    exponential = min(backoff.base_ms << min(failovers, 32), backoff.max_ms)
    return int(exponential * (0.5 + dice.fraction()))
