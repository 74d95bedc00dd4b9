"""Core. Stalls of an event loop: how often it did not come round in time, and what held it up."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STALL_MS = 50
"""A loop that is late by more than this made others wait (P7)."""
LAST_MAX = 20
NAMES_MAX = 100
OTHERS = "others"
UNSEEN = "something that was over before it was looked at"
IDLE = "nothing: the loop itself waited for a processor"
TOLD_PER_MINUTE_MAX = 20
MINUTE_MS = 60_000
LOOP = ("asyncio.runners", "asyncio.base_events", "asyncio.events", "uvloop")
"""What stands above every step of a loop, and above it whatever started the process."""
PACKAGE = "hdfsd."
PLUMBING = ("hdfsd.rpc.", "hdfsd.io.", "hdfsd.daemons.")
"""Stands below whatever is done, and names nothing of it."""


@dataclass(frozen=True, slots=True)
class Place:
    """One frame of a stack."""

    module: str
    function: str
    line: int

    def __str__(self) -> str:
        return f"{self.module.removeprefix(PACKAGE)}.{self.function}"


@dataclass(frozen=True, slots=True)
class Stall:
    name: str
    """Of what the loop did; a handler is named like the method of the wire."""
    millis: int
    cpu_ms: int
    """Of them, on a processor: the rest is a disk, a lock, or other processes."""
    wall_ms: int

    def describe(self) -> str:
        return (
            f"the event loop did not come round for {self.millis} ms"
            f" ({self.cpu_ms} ms on a processor): {self.name}"
        )


def name_of(stack: Sequence[Place], task: str) -> str:
    """What a loop is at: its outermost function of ours and the innermost one with its line.

    `stack` begins outside; `task` is the task's name, "" when there is none.
    """
    loops = [n for n, place in enumerate(stack, 1) if place.module.startswith(LOOP)]
    stack = stack[loops[-1] if loops else 0 :]
    if not stack:
        return IDLE
    own = [place for place in stack if place.module.startswith(PACKAGE)]
    telling = [place for place in own if not place.module.startswith(PLUMBING)] or own
    parts = [f"task {task}"] if task and not task.startswith("Task-") else []
    if not telling:
        inner = stack[-1:]
        return ": ".join([*parts, *(f"{place} (line {place.line})" for place in inner)])
    first, last = telling[0], telling[-1]
    path = f"{first} (line {first.line})"
    if first is not last:
        path = f"{first} → {last} (line {last.line})"
    return ": ".join([*parts, path])


class Stalls:
    """All of one loop; bounded."""

    def __init__(self) -> None:
        self.count = 0
        self.max_ms = 0
        self.total_ms = 0
        self.last: deque[Stall] = deque(maxlen=LAST_MAX)
        self.by_name: Counter[str] = Counter()
        self._told_ms: deque[int] = deque(maxlen=TOLD_PER_MINUTE_MAX)

    def add(self, stall: Stall) -> bool:
        """Whether a log has room for it: not when the machine is to blame, nor for too many."""
        self.count += 1
        self.total_ms += stall.millis
        self.max_ms = max(self.max_ms, stall.millis)
        self.last.append(stall)
        known = stall.name in self.by_name or len(self.by_name) < NAMES_MAX
        self.by_name[stall.name if known else OTHERS] += 1
        full = len(self._told_ms) == TOLD_PER_MINUTE_MAX
        if stall.name == IDLE or (full and stall.wall_ms - self._told_ms[0] < MINUTE_MS):
            return False
        self._told_ms.append(stall.wall_ms)
        return True

    def as_json(self) -> dict[str, Any]:
        """Attributes of a bean."""
        return {
            "Count": self.count,
            "MaxMillis": self.max_ms,
            "TotalMillis": self.total_ms,
            "ByName": dict(self.by_name.most_common()),
            "Last": [
                {
                    "WallMillis": stall.wall_ms,
                    "Millis": stall.millis,
                    "CpuMillis": stall.cpu_ms,
                    "Name": stall.name,
                }
                for stall in self.last
            ],
        }
