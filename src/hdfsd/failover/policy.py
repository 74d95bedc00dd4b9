"""Core. Whether the local NameNode should be in the election, and why.

Health says whether it can serve, its HA state whether it does what the election decided, a hold
(after ceding) that it must wait. Source: Hadoop ZKFailoverController.recheckElectability and
verifyChangedServiceState.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from hdfsd.failover.health import HealthState

HOLD_AFTER_MISMATCH_MS = 1000
"""verifyChangedServiceState: how long a node stays out whose state somebody else changed."""
INELIGIBLE = "hdfsd.ha.election.eligible=false"


class ServiceState(Enum):
    """HAServiceProtocol.HAServiceState; the values are the wire's numbers."""

    INITIALIZING = 0
    ACTIVE = 1
    STANDBY = 2
    OBSERVER = 3


class Action(Enum):
    JOIN = "join the election"
    QUIT = "quit the election"
    QUIT_FENCED = "quit the election, to be fenced by the next active"
    WAIT = "stay out until the hold ends"
    NOTHING = "change nothing"


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    reason: str
    wait_ms: int = 0
    """Of WAIT: look again after this long."""


_H, _A = HealthState, Action

ELECTABILITY: Mapping[HealthState, tuple[Action, str]] = {
    _H.INITIALIZING: (_A.QUIT, "its health is not known yet"),
    _H.SERVICE_HEALTHY: (_A.JOIN, "it is healthy"),
    _H.SERVICE_UNHEALTHY: (_A.QUIT_FENCED, "it is unhealthy"),
    _H.SERVICE_NOT_RESPONDING: (_A.QUIT_FENCED, "it does not respond"),
}
"""What each health means for the election, when nothing else is in the way."""


class Policy:
    """What the controller knows of its NameNode, and what follows from it."""

    def __init__(self, *, eligible: bool = True) -> None:
        """`eligible`: False for one that the configuration keeps out of every election."""
        self.eligible = eligible
        self.health = HealthState.INITIALIZING
        self.expected = ServiceState.INITIALIZING
        """The HA state that the election last gave the NameNode; INITIALIZING is none."""
        self._hold_until_ms = 0
        self._mismatches = 0
        self._left_for_mismatch = False

    def health_changed(self, health: HealthState, now_ms: int) -> Decision:
        self.health = health
        return self.recheck(now_ms)

    def became(self, state: ServiceState) -> None:
        """The election made the NameNode this, or tried to."""
        self.expected = state
        self._mismatches = 0

    def ceded(self, hold_ms: int, now_ms: int) -> None:
        """The NameNode left the election for this long, so that another can win it."""
        self._hold_until_ms = now_ms + hold_ms
        self.expected = ServiceState.INITIALIZING

    def hold_ended(self, now_ms: int) -> Decision:
        """Another controller says that we may join again (cedeActive with a time of 0 or less)."""
        self._hold_until_ms = now_ms
        return self.recheck(now_ms)

    def recheck(self, now_ms: int) -> Decision:
        """Should the NameNode be in the election?"""
        remaining_ms = self._hold_until_ms - now_ms
        if remaining_ms > 0:
            return Decision(_A.WAIT, f"it ceded for {remaining_ms} ms more", remaining_ms)
        action, reason = ELECTABILITY[self.health]
        if action is _A.JOIN:
            self._left_for_mismatch = False
            if not self.eligible:
                return Decision(_A.NOTHING, f"{INELIGIBLE}: it is never elected")
            if self.expected is ServiceState.OBSERVER:
                return Decision(_A.NOTHING, "it is an observer, which is never elected")
        else:
            self.expected = ServiceState.INITIALIZING
        return Decision(action, reason)

    def state_reported(self, reported: ServiceState, now_ms: int) -> Decision:
        """The NameNode said what it is. Twice another state than expected: somebody else made it
        that (an operator; a crash and a restart between two checks), so it leaves for a while."""
        if reported is ServiceState.OBSERVER and self.expected is not ServiceState.OBSERVER:
            # Also one that was so before this controller began, which Hadoop's would elect.
            self.expected = reported
            return Decision(_A.QUIT_FENCED, "it is an observer, which is never elected")
        if self.expected is ServiceState.INITIALIZING:
            if self._left_for_mismatch:
                return self.recheck(now_ms)
            return Decision(_A.NOTHING, "the election has not given it a state")
        if reported is self.expected:
            self._mismatches = 0
            return Decision(_A.NOTHING, f"it is {reported.name} as expected")
        if self._mismatches == 0:
            self._mismatches = 1
            return Decision(_A.NOTHING, f"it says {reported.name}: perhaps on its way")
        reason = f"it is {reported.name} where {self.expected.name} was expected"
        self.ceded(HOLD_AFTER_MISMATCH_MS, now_ms)
        self._mismatches = 0
        self._left_for_mismatch = True
        return Decision(_A.QUIT_FENCED, reason)

    def hold_ms(self, now_ms: int) -> int:
        """How much longer it stays out of the election after ceding."""
        return max(0, self._hold_until_ms - now_ms)

    def describe(self, now_ms: int) -> str:
        """One line for scenarios and status."""
        hold_ms = self.hold_ms(now_ms)
        return f"health {self.health.value}, expected {self.expected.name}, hold {hold_ms} ms"
