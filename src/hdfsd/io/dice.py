"""Adapter. Chance from the operating system (ports.dice)."""

from __future__ import annotations

import secrets
from collections.abc import MutableSequence, Sequence
from random import SystemRandom
from typing import TypeVar

T = TypeVar("T")


class RealDice:
    def __init__(self) -> None:
        self._random = SystemRandom()

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)

    def fraction(self) -> float:
        return self._random.random()

    def pick(self, items: Sequence[T]) -> T:
        return self._random.choice(items)

    def shuffle(self, items: MutableSequence[T]) -> None:
        self._random.shuffle(items)

    def token(self, count: int) -> bytes:
        return secrets.token_bytes(count)
