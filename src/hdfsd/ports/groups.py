"""Data. Which groups a user belongs to, as this machine knows it."""

from __future__ import annotations

from typing import Protocol


class Groups(Protocol):
    async def of(self, user: str) -> tuple[str, ...]:
        """Asks the user database: group names, the primary one first; none for a user nobody knows.

        It may take its time, while others go on. Raises OSError.
        """
        ...
