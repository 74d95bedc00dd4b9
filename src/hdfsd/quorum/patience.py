"""Core. Deadlines that a pause of our own process does not use up.

A stall of the writer (swapping, SIGSTOP) makes every time-out pass at once although no journal was
given time to answer. Who looks at the clock every `TICK_MS` and sees far more gone has slept, and
gets the time back (Hadoop's QuorumCall does so for pauses of its JVM).
"""

from __future__ import annotations

TICK_MS = 500
PAUSE_MS = 3 * TICK_MS
"""Between two looks: longer than this counts as a pause of our own."""


class Patience:
    """One deadline; `now_ms` must be looked at every TICK_MS or sooner."""

    def __init__(self, now_ms: int, timeout_ms: int) -> None:
        self.deadline_ms = now_ms + timeout_ms
        self._seen_ms = now_ms

    def look(self, now_ms: int) -> int:
        """How long to wait until the next look, in ms; 0 when time is up."""
        gone_ms = now_ms - self._seen_ms
        self._seen_ms = now_ms
        if gone_ms > PAUSE_MS:
            self.deadline_ms += gone_ms - TICK_MS
        return max(min(self.deadline_ms - now_ms, TICK_MS), 0)
