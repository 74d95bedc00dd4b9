"""Core. What a controller did and why, for people: its last failovers step by step, its last news.

Durations are of the monotonic clock; the wall clock only says when something began, so a wall
clock that jumps shows in that time alone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hdfsd.failover.elector import Happening, State, Turn

FAILOVERS_MAX = 20
NEWS_MAX = 100
STEPS_MAX = 50
TEXT_CHARS_MAX = 1000

TAKING_OVER = frozenset(
    {State.READING, State.FENCING, State.CLAIMING, State.PROMOTING, State.PROMOTING_BLIND}
)
"""States of an election that was won, until the NameNode is active."""
LOCK_FREED = "the lock was freed: its holder gave it up, or its session ended"
LOCK_FOUND_FREE = "nobody held the lock when this controller asked"
LOCK_FOUND_OURS = "the lock was this controller's already"


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, by both clocks."""

    now_ms: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    millis: int
    """Since the step before."""
    detail: str

    def describe(self) -> str:
        return f"{self.name} {self.millis} ms" + (f" ({self.detail})" if self.detail else "")


@dataclass(slots=True)
class Failover:
    """One attempt to make the local NameNode active."""

    cause: str
    began: Moment
    steps: list[Step] = field(default_factory=list)
    millis: int = 0
    """Of all steps so far."""
    outcome: str = ""
    succeeded: bool | None = None
    """None: it is on its way."""
    namenode: str = ""
    """The NameNode's own record of it: its steps, and the last transaction."""

    def describe(self) -> str:
        """One line for the log."""
        how = {True: "became active", False: "did not become active", None: "on its way"}
        parts = "; ".join(step.describe() for step in self.steps)
        outcome = f": {self.outcome}" if self.outcome else ""
        verdict = how[self.succeeded]
        return f"{verdict} in {self.millis} ms{outcome}. Cause: {self.cause}. Steps: {parts}"

    def as_json(self) -> dict[str, Any]:
        return {
            "cause": self.cause,
            "began_wall_ms": self.began.wall_ms,
            "millis": self.millis,
            "succeeded": self.succeeded,
            "outcome": self.outcome,
            "namenode_record": self.namenode,
            "steps": [
                {"step": step.name, "millis": step.millis, "detail": step.detail}
                for step in self.steps
            ],
        }


class Timeline:
    """The last failovers and news of one controller; bounded."""

    def __init__(self) -> None:
        self.failovers: deque[Failover] = deque(maxlen=FAILOVERS_MAX)
        self._news: deque[tuple[int, str]] = deque(maxlen=NEWS_MAX)
        self._current: Failover | None = None
        self._contending: tuple[Moment, str] | None = None
        """Since when the lock is wanted, and why; None while somebody has it."""
        self.wish = ""
        """Who asked for the failover that is about to come; "" when nobody did."""

    @property
    def current(self) -> Failover | None:
        """The failover that is on its way."""
        return self._current

    def begin(self, cause: str, now: Moment) -> None:
        """A failover begins; one that was on its way is given up for it."""
        self.end("another one began", now, succeeded=False)
        self._current = Failover(_clipped(cause), now)
        self.failovers.append(self._current)

    def name_cause(self, cause: str) -> None:
        """More is known now of why it is done."""
        if self._current is not None:
            self._current.cause = _clipped(f"{self._current.cause}; {cause}")

    def step(self, name: str, now: Moment, detail: str = "") -> None:
        """Something was done, which took the time since the step before."""
        current = self._current
        if current is None or len(current.steps) >= STEPS_MAX:
            return
        total_ms = now.now_ms - current.began.now_ms
        current.steps.append(Step(name, total_ms - current.millis, _clipped(detail)))
        current.millis = total_ms

    def end(self, outcome: str, now: Moment, *, succeeded: bool) -> Failover | None:
        """The failover that was on its way has ended; None when there was none."""
        ended, self._current = self._current, None
        if ended is not None:
            ended.outcome, ended.succeeded = _clipped(outcome), succeeded
            ended.millis = now.now_ms - ended.began.now_ms
        return ended

    def turned(self, turn: Turn, now: Moment) -> Failover | None:
        """The election took a step; the failover that ended with it, if one did."""
        self.note(f"election: {turn.reason}", now)
        if turn.happening is Happening.LOCK_CHANGED:
            self._contending = (now, LOCK_FREED)
        elif turn.after is State.CONTENDING and self._contending is None:
            self._contending = (now, LOCK_FOUND_FREE)
        elif turn.after is State.STANDBY:
            self._contending = None
        if turn.after is State.READING:
            began, cause = self._contending or (now, LOCK_FOUND_OURS)
            self.begin(self.wish or cause, began)
            self.wish = ""
        self.step(turn.happening.value, now, turn.detail)
        if self._current is None or turn.after in TAKING_OVER:
            return None
        succeeded = turn.happening is Happening.PROMOTED
        return self.end(turn.detail or turn.happening.value, now, succeeded=succeeded)

    def note(self, text: str, now: Moment) -> None:
        """Something that may matter later: a change of health, an order, a reason."""
        self._news.append((now.wall_ms, _clipped(text)))

    def as_json(self) -> dict[str, Any]:
        return {
            "failovers": [failover.as_json() for failover in self.failovers],
            "news": [{"wall_ms": wall_ms, "what": text} for wall_ms, text in self._news],
        }


def _clipped(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 1]}…"
