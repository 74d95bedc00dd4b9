"""Core. The life of a writer: its epoch, its open segment, what is committed, what still waits.

- Q3 (P2): an epoch is used by one writer only: above every epoch that a majority has promised.
- Q4 (P1): a batch is released when a majority has acknowledged it, in order of txids; a segment is
  finalized or followed by the next only when all of its batches are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from hdfsd.base.errors import ensure
from hdfsd.base.ids import Epoch, TxId

T = TypeVar("T")


class Phase(Enum):
    NEW = "new"
    RECOVERING = "recovering"
    BETWEEN_SEGMENTS = "between segments"
    IN_SEGMENT = "in a segment"
    LOST = "lost"


class Step(Enum):
    RECOVER = "recover"
    RECOVERED = "recovered"
    START = "start"
    WRITE = "write"
    FINALIZE = "finalize"
    LOSE = "lose"


TRANSITIONS: Mapping[tuple[Phase, Step], Phase] = {
    (Phase.NEW, Step.RECOVER): Phase.RECOVERING,
    (Phase.RECOVERING, Step.RECOVERED): Phase.BETWEEN_SEGMENTS,
    (Phase.BETWEEN_SEGMENTS, Step.START): Phase.IN_SEGMENT,
    (Phase.IN_SEGMENT, Step.WRITE): Phase.IN_SEGMENT,
    (Phase.IN_SEGMENT, Step.FINALIZE): Phase.BETWEEN_SEGMENTS,
    **{(phase, Step.LOSE): Phase.LOST for phase in Phase},
}
"""An absent key is a step that the caller must not take."""


def next_epoch(promised: Collection[Epoch]) -> Epoch:
    """Above every promise of a majority; the journals refuse it if another writer took it."""
    return Epoch(max(promised) + 1)


def segment_to_recover(newest_segments: Iterable[TxId | None]) -> TxId | None:
    """First txid of the segment that may be unfinished; None: no journal has any."""
    return max((first for first in newest_segments if first is not None), default=None)


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What waits for its majority; `waiter` is the driver's."""

    first_txid: TxId
    last_txid: TxId
    waiter: T


class WriterState(Generic[T]):
    """What the writer may do next."""

    def __init__(self) -> None:
        self.phase = Phase.NEW
        self.epoch = Epoch(0)
        self.segment_first = TxId(0)
        self.next_txid = TxId(0)
        self.committed = TxId(0)
        self._waiting: deque[Batch[T]] = deque()

    def begin_recovery(self) -> None:
        self._go(Step.RECOVER)

    def recovered(self, epoch: Epoch, last_txid: TxId) -> None:
        """The journal ends at `last_txid`, finalized on a majority; 0: it is empty."""
        self._go(Step.RECOVERED)
        self.epoch, self.committed = epoch, last_txid
        self.next_txid = TxId(last_txid + 1)

    def start(self, first_txid: TxId) -> None:
        ensure("Q4", not self._waiting, "a segment starts while batches wait", self.describe())
        ensure("Q4", first_txid > self.committed, first_txid, self.describe())
        self._go(Step.START)
        self.segment_first = self.next_txid = first_txid

    def batch(self, first_txid: TxId, count: int, waiter: T) -> Batch[T]:
        """Takes a batch in; the caller sends it."""
        self._go(Step.WRITE)
        if first_txid != self.next_txid or count <= 0:
            ensure("Q4", False, first_txid, self.describe())
        batch = Batch(first_txid, TxId(first_txid + count - 1), waiter)
        self.next_txid = TxId(first_txid + count)
        self._waiting.append(batch)
        return batch

    def finalize(self, first_txid: TxId, last_txid: TxId) -> None:
        expected = (self.segment_first, TxId(self.next_txid - 1))
        ensure("Q4", (first_txid, last_txid) == expected, first_txid, last_txid, self.describe())
        ensure("Q4", not self._waiting, "finalized while batches wait", self.describe())
        self._go(Step.FINALIZE)

    def commit(self, txid: TxId) -> list[T]:
        """A majority has everything up to `txid`: whom to release, in order."""
        if txid <= self.committed:
            return []
        released = []
        while self._waiting and self._waiting[0].last_txid <= txid:
            batch = self._waiting.popleft()
            self.committed = batch.last_txid
            released.append(batch.waiter)
        return released

    def lose(self) -> list[T]:
        """The quorum or the epoch is gone, for good: whom to tell."""
        self._go(Step.LOSE)
        told = [batch.waiter for batch in self._waiting]
        self._waiting.clear()
        return told

    @property
    def oldest(self) -> Batch[T] | None:
        """The batch that has waited longest."""
        return self._waiting[0] if self._waiting else None

    @property
    def newest(self) -> Batch[T] | None:
        return self._waiting[-1] if self._waiting else None

    def describe(self) -> str:
        return (
            f"{self.phase.value}, epoch {self.epoch}, segment {self.segment_first},"
            f" next {self.next_txid}, committed {self.committed}, {len(self._waiting)} waiting"
        )

    def _go(self, step: Step) -> None:
        target = TRANSITIONS.get((self.phase, step))
        if target is None:
            ensure("Q4", False, f"{step.value} while {self.describe()}")
        assert target is not None
        self.phase = target
