"""Core. Which NameNodes are asked for the active one's answer, given what earlier ones said.

Source: Hadoop's ConfiguredFailoverProxyProvider and RequestHedgingProxyProvider. Numbers are places
in the list of NameNodes. Calls overlap: a failure that is told late, of one that is not asked any
more, changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Route(Protocol):
    @property
    def first(self) -> int:
        """The one that is asked first: the last that answered."""
        ...

    def targets(self) -> Sequence[int]:
        """Whom to send the next attempt of a call to, all at once."""
        ...

    def answered(self, index: int) -> None:
        """This one took a call."""
        ...

    def failed(self, asked: Sequence[int]) -> None:
        """None of those that were asked took the call."""
        ...


class InTurn:
    """One at a time; the next when it is not the active."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.first = 0

    def targets(self) -> Sequence[int]:
        return (self.first,)

    def answered(self, index: int) -> None:
        """It is asked already."""

    def failed(self, asked: Sequence[int]) -> None:
        if self.first in asked:
            self.first = (self.first + 1) % self._count


class Hedged:
    """All at once; the first that answers alone, until it fails; then the others at once, and if
    none of them is the active either, all again."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._chosen: int | None = None
        self._passed_over: int | None = None

    @property
    def first(self) -> int:
        return 0 if self._chosen is None else self._chosen

    def targets(self) -> Sequence[int]:
        if self._chosen is not None:
            return (self._chosen,)
        everybody = range(self._count)
        return [index for index in everybody if index != self._passed_over] or everybody

    def answered(self, index: int) -> None:
        self._chosen, self._passed_over = index, None

    def failed(self, asked: Sequence[int]) -> None:
        if self._chosen is None:
            self._passed_over = None
        elif self._chosen in asked:
            self._chosen, self._passed_over = None, self._chosen
