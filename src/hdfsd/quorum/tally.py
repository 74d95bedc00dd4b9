"""Core. Majorities: who has answered, what a majority has, when it can't be had any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Generic, TypeVar

from hdfsd.base.ids import NodeId, TxId

T = TypeVar("T")


def majority(total: int) -> int:
    """The least count of `total` that overlaps every other such count."""
    return total // 2 + 1


def committed(acked: Sequence[TxId]) -> TxId:
    """The highest txid that a majority has acknowledged; `acked` has one entry per journal."""
    return sorted(acked, reverse=True)[majority(len(acked)) - 1]


class Verdict(Enum):
    PENDING = "pending"
    WON = "won"
    LOST = "lost"


class Tally(Generic[T]):
    """Answers of a set of journals to one question: each answers or fails once."""

    def __init__(self, journals: Sequence[NodeId], needed: int | None = None) -> None:
        """`needed` answers win; a majority when it is None."""
        assert len(set(journals)) == len(journals)
        self._journals = tuple(journals)
        self._needed = majority(len(journals)) if needed is None else needed
        self._answers: dict[NodeId, T] = {}
        self._failures: dict[NodeId, str] = {}

    def answer(self, journal: NodeId, value: T) -> None:
        self._record(journal)
        self._answers[journal] = value

    def fail(self, journal: NodeId, reason: str) -> None:
        self._record(journal)
        self._failures[journal] = reason

    def has_heard(self, journal: NodeId) -> bool:
        """Whether it answered or failed already."""
        return journal in self._answers or journal in self._failures

    def _record(self, journal: NodeId) -> None:
        assert journal in self._journals, journal
        assert journal not in self._answers, journal
        assert journal not in self._failures, journal

    @property
    def verdict(self) -> Verdict:
        if len(self._answers) >= self._needed:
            return Verdict.WON
        if len(self._failures) > len(self._journals) - self._needed:
            return Verdict.LOST
        return Verdict.PENDING

    @property
    def complete(self) -> bool:
        """Everybody has answered or failed."""
        return len(self._answers) + len(self._failures) == len(self._journals)

    @property
    def answers(self) -> Mapping[NodeId, T]:
        """In the order of the journals, not of their arrival."""
        return {j: self._answers[j] for j in self._journals if j in self._answers}

    @property
    def failures(self) -> Mapping[NodeId, str]:
        return {j: self._failures[j] for j in self._journals if j in self._failures}

    def reasons(self, silent: str) -> Mapping[str, str]:
        """Why each journal did not answer; `silent` for those that said nothing yet."""
        open_journals = (j for j in self._journals if j not in self._answers)
        return {j: self._failures.get(j, silent) for j in open_journals}

    def describe(self) -> str:
        def mark(journal: NodeId) -> str:
            if journal in self._answers:
                return "+"
            return "-" if journal in self._failures else "?"

        drawn = " ".join(f"{j}{mark(j)}" for j in self._journals)
        return f"{drawn} of {self._needed} needed: {self.verdict.value}"
