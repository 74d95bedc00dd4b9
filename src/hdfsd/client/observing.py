"""Core. Where a read goes when there may be observers (Hadoop's ObserverReadProxyProvider).

A client reads what it has written, and what it has seen once it sees again: each answer carries the
last transaction that its NameNode has applied, each call the last one that this client has heard
of, and an observer answers when it has come so far. So a client must hear of the active before its
first read (msync), and again whenever what it knows is older than it may be.

`Observers` is what all calls of a client know; a `Reading` is the way of one read:

    reading = Reading(observers, now_ms)
    while True:
        step = reading.next(now_ms)     # Msync, Probe, Ask: do it, tell observers or reading
        ...                             # AskActive: no observer answered
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Step(Enum):
    MSYNC = "msync"
    """Ask the active how far it is; then `Observers.met_active`."""
    PROBE = "probe"
    """Ask the NameNode what it is; then `Observers.probed`."""
    ASK = "ask"
    """Send the read to it; when it fails, `Reading.failed`."""
    ASK_ACTIVE = "ask the active"


@dataclass(frozen=True, slots=True)
class Move:
    step: Step
    reason: str
    index: int = -1
    """Of the NameNode, for PROBE and ASK."""


class Observers:
    """Which NameNode is read from, and how much this client has heard of the active."""

    def __init__(self, order: Sequence[int], *, auto_msync_ms: int, probe_ms: int) -> None:
        """`order`: the numbers of all NameNodes, as they are tried."""
        self._order = tuple(order)
        self._auto_msync_ms = auto_msync_ms
        self._probe_ms = probe_ms
        self._place = 0
        self._is_observer: bool | None = None
        """Of the current one; None: not known."""
        self._met_active_ms: float | None = None
        self._none_found_ms: float | None = None

    def __len__(self) -> int:
        return len(self._order)

    @property
    def current(self) -> int:
        return self._order[self._place]

    @property
    def is_observer(self) -> bool | None:
        return self._is_observer

    def worth_looking(self, now_ms: float) -> bool:
        """False: none was there lately."""
        return self._none_found_ms is None or now_ms - self._none_found_ms >= self._probe_ms

    def must_msync(self, now_ms: float) -> bool:
        met_ms, period_ms = self._met_active_ms, self._auto_msync_ms
        if met_ms is None or period_ms == 0:
            return True
        return 0 < period_ms < now_ms - met_ms

    def met_active(self, now_ms: float) -> None:
        """The active has answered: whatever it answers, it has told how far it is."""
        self._met_active_ms = now_ms

    def probed(self, index: int, *, is_observer: bool) -> None:
        """What a NameNode says it is; one that does not say is none."""
        if index == self.current:
            self._is_observer = is_observer

    def leave(self, index: int) -> None:
        """The next one from now on, unless another call has moved on already."""
        if index == self.current:
            self._place = (self._place + 1) % len(self._order)
            self._is_observer = None

    def found(self) -> None:
        """An observer is there."""
        self._none_found_ms = None

    def none_found(self, now_ms: float) -> None:
        self._none_found_ms = now_ms


class Reading:
    """One read: it looks at each NameNode once, then it goes to the active."""

    def __init__(self, observers: Observers, now_ms: float) -> None:
        self._observers = observers
        self._looks = observers.worth_looking(now_ms)
        self._synced = not observers.must_msync(now_ms)
        self._left = len(observers)
        self._failures = 0
        self._sent_on = False

    def next(self, now_ms: float) -> Move:
        """What to do now."""
        observers = self._observers
        if not self._looks:
            return Move(Step.ASK_ACTIVE, "no observer was there lately")
        if not self._synced:
            self._synced = True
            return Move(Step.MSYNC, "what this client knows of the active is too old")
        while self._left and not self._sent_on:
            index, is_observer = observers.current, observers.is_observer
            if is_observer is None:
                return Move(Step.PROBE, "nobody knows what it is", index)
            self._left -= 1
            if is_observer:
                observers.found()
                return Move(Step.ASK, "it is an observer", index)
            observers.leave(index)
        return self._give_up(now_ms)

    def failed(self, index: int, *, on_active: bool = False) -> None:
        """The observer did not answer. `on_active`: it says that the active must."""
        if on_active:
            self._sent_on = True
            return
        self._failures += 1
        self._observers.leave(index)

    def _give_up(self, now_ms: float) -> Move:
        if self._sent_on:
            return Move(Step.ASK_ACTIVE, "the observer can't answer this one")
        if self._failures:
            return Move(Step.ASK_ACTIVE, f"{self._failures} observers failed")
        self._observers.none_found(now_ms)
        return Move(Step.ASK_ACTIVE, "there is no observer")
