"""Driver. Chance from a seed (ports.dice): the same seed shows the same faces."""

from __future__ import annotations

import random
from collections.abc import MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")


class SimDice:
    """A stream of chance named by its seed; streams of different names are independent."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self._random = random.Random(seed)
        self._getrandbits = self._random.getrandbits

    def fork(self, name: str) -> SimDice:
        """A stream of its own, so that a draw here changes nothing elsewhere."""
        return SimDice(f"{self.seed}/{name}")

    def below(self, limit: int) -> int:
        # As random.Random.randrange draws it, without its checks: nothing here is drawn as often.
        bits = limit.bit_length()
        drawn = self._getrandbits(bits)
        while drawn >= limit:
            drawn = self._getrandbits(bits)
        return drawn

    def fraction(self) -> float:
        return self._random.random()

    def pick(self, items: Sequence[T]) -> T:
        return self._random.choice(items)

    def shuffle(self, items: MutableSequence[T]) -> None:
        self._random.shuffle(items)

    def token(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random.random() < probability

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._random.random()
