"""Core. How healthy the local NameNode is, from what its checks show (Hadoop's HealthMonitor).

The driver keeps one connection open (D8): its end is an observation like a failed check, so a dead
process is known when the kernel closes the socket and not at the next check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from hdfsd.base.settings import HealthSettings


class HealthState(Enum):
    """HealthMonitor.State, without HEALTH_MONITOR_FAILED: an error of ours ends the process."""

    INITIALIZING = "INITIALIZING"
    SERVICE_NOT_RESPONDING = "SERVICE_NOT_RESPONDING"
    SERVICE_HEALTHY = "SERVICE_HEALTHY"
    SERVICE_UNHEALTHY = "SERVICE_UNHEALTHY"


class Observation(Enum):
    """What one look at the NameNode showed."""

    HEALTHY = "answers that it is healthy"
    UNHEALTHY = "answers that it is unhealthy"
    NOT_CONNECTED = "can't be connected to"
    LINK_LOST = "closed the connection"
    NO_ANSWER = "does not answer in time"
    FROZEN = "is frozen"
    REFUSED = "refuses the check"


class Next(Enum):
    CHECK = "check again on this connection"
    CONNECT = "make a new connection"


class Pause(Enum):
    """Which of Hadoop's keys says how long to wait before the next step."""

    CHECK_INTERVAL = "ha.health-monitor.check-interval.ms"
    CONNECT_RETRY = "ha.health-monitor.connect-retry-interval.ms"
    AFTER_DISCONNECT = "ha.health-monitor.sleep-after-disconnect.ms"


@dataclass(frozen=True, slots=True)
class Rule:
    state: HealthState
    following: Next
    pause: Pause


_H, _N, _P = HealthState, Next, Pause

RULES: Mapping[Observation, Rule] = {
    Observation.HEALTHY: Rule(_H.SERVICE_HEALTHY, _N.CHECK, _P.CHECK_INTERVAL),
    Observation.UNHEALTHY: Rule(_H.SERVICE_UNHEALTHY, _N.CHECK, _P.CHECK_INTERVAL),
    Observation.NOT_CONNECTED: Rule(_H.SERVICE_NOT_RESPONDING, _N.CONNECT, _P.CONNECT_RETRY),
    Observation.LINK_LOST: Rule(_H.SERVICE_NOT_RESPONDING, _N.CONNECT, _P.AFTER_DISCONNECT),
    Observation.NO_ANSWER: Rule(_H.SERVICE_NOT_RESPONDING, _N.CONNECT, _P.AFTER_DISCONNECT),
    Observation.FROZEN: Rule(_H.SERVICE_NOT_RESPONDING, _N.CONNECT, _P.AFTER_DISCONNECT),
    Observation.REFUSED: Rule(_H.SERVICE_NOT_RESPONDING, _N.CONNECT, _P.AFTER_DISCONNECT),
}
"""The last observation alone decides: what was before it says nothing about now."""


MUTE = frozenset((Observation.FROZEN, Observation.NO_ANSWER))
"""Alive, and does not answer. One that ended, or starts again, refuses a connection or answers."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do after an observation."""

    following: Next
    pause_ms: int
    entered: HealthState | None
    """The new state, when it is another one than before."""
    reason: str


class Health:
    """The health of one NameNode."""

    def __init__(self, settings: HealthSettings) -> None:
        self.state = HealthState.INITIALIZING
        self.is_mute = False
        """Whether the last look found it alive and without an answer."""
        self._pauses_ms: Mapping[Pause, int] = {
            Pause.CHECK_INTERVAL: settings.check_interval_ms,
            Pause.CONNECT_RETRY: settings.connect_retry_interval_ms,
            Pause.AFTER_DISCONNECT: settings.pause_after_disconnect_ms,
        }

    def step(self, observation: Observation, detail: str = "") -> Step:
        rule = RULES[observation]
        entered = rule.state if rule.state is not self.state else None
        self.state, self.is_mute = rule.state, observation in MUTE
        reason = f"it {observation.value}" + (f": {detail}" if detail else "")
        return Step(rule.following, self._pauses_ms[rule.pause], entered, reason)

    def describe(self) -> str:
        return self.state.value
