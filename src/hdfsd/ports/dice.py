"""Data. Chance, injected: real randomness in production, a seed in the simulator."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Dice(Protocol):
    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1; `limit` must be positive."""
        ...

    def fraction(self) -> float:
        """A number from 0 (inclusive) to 1 (exclusive)."""
        ...

    def pick(self, items: Sequence[T]) -> T:
        """One of the items; there must be one."""
        ...

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Reorders in place."""
        ...

    def token(self, count: int) -> bytes:
        """`count` bytes: client ids (16), uuids (16)."""
        ...
