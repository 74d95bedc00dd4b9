"""Data. Time as drivers see it. Sleeping is asyncio's: the loop itself is real or virtual."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Monotonic milliseconds; never goes back, its zero means nothing."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970; may jump. For timestamps that users see, never for waiting."""
        ...
