"""Data. Which groups a user belongs to, as this machine knows it."""

from __future__ import annotations

from typing import Protocol


class Groups(Protocol):
    def of(self, user: str) -> tuple[str, ...]:
        """Group names, the primary one first; none for a user nobody knows. Answers from memory."""
        ...
