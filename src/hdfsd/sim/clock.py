"""Driver. Virtual time as one machine sees it (ports.clock)."""

from __future__ import annotations

from collections.abc import Callable

EPOCH_MS = 1_700_000_000_000
"""What the calendar says when a world begins."""


class SimClock:
    """Reads the loop's time; machines disagree about both clocks by a constant each."""

    def __init__(
        self, time_s: Callable[[], float], *, uptime_ms: int = 0, wall_skew_ms: int = 0
    ) -> None:
        """`uptime_ms`: what the monotonic clock shows at the beginning of the world."""
        self._time_s = time_s
        self._uptime_ms = uptime_ms
        self.wall_skew_ms = wall_skew_ms
        """May be changed at any time: a wall clock jumps."""

    def now_ms(self) -> int:
        return self._uptime_ms + int(self._time_s() * 1000)

    def wall_ms(self) -> int:
        return EPOCH_MS + self.wall_skew_ms + int(self._time_s() * 1000)
