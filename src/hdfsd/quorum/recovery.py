"""Core. Which content of an unfinished segment a new writer must propagate (HDFS-3077, recovery).

Holds Q1 (a committed txid is never lost) and Q2 (two decisions of one segment agree).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hdfsd.base.errors import ensure
from hdfsd.base.ids import Epoch, NodeId, TxId


@dataclass(frozen=True, slots=True)
class Segment:
    """`last_txid` is inclusive. An accepted recovery may call an unfinished copy finalized."""

    first_txid: TxId
    last_txid: TxId
    finalized: bool

    def describe(self) -> str:
        state = "finalized" if self.finalized else "in progress"
        return f"{self.first_txid}..{self.last_txid} {state}"


@dataclass(frozen=True, slots=True)
class PrepareAnswer:
    """What one journal says of the segment to recover."""

    journal: NodeId
    segment: Segment | None
    """The accepted recovery's when there is one; None: it has no such segment."""
    accepted_epoch: Epoch
    """In which epoch it accepted a recovery of this segment; 0: it has not."""
    writer_epoch: Epoch
    """The last epoch that started a segment here; 0: none did."""
    committed_txid: TxId
    """The highest txid it knows to be on a quorum; 0: none."""

    @property
    def seen_epoch(self) -> Epoch:
        return max(self.accepted_epoch, self.writer_epoch)

    def describe(self) -> str:
        if self.segment is None:
            return f"{self.journal} has nothing"
        accepted = f", accepted in epoch {self.accepted_epoch}" if self.accepted_epoch else ""
        drawn = self.segment.describe()
        return f"{self.journal} has {drawn}, writer epoch {self.writer_epoch}{accepted}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What every journal is asked to accept; None: the segment was never on a quorum."""

    segment: Segment | None
    source: NodeId | None
    reason: str
    seen_epoch: Epoch | None = None
    """Of the unfinished copy that was chosen: copies of that epoch and length are the same copy.
    None: it is finalized, and an unfinished copy of its length proves nothing."""


def decide(answers: Sequence[PrepareAnswer]) -> Decision:
    """Pick what every later recovery would pick too; `answers` come from a quorum.

    Order of Hadoop's SegmentRecoveryComparator. Raises InvariantBroken when the answers can't come
    from journals that kept the protocol.
    """
    holders = [(a, a.segment) for a in answers if a.segment is not None]
    if not holders:
        return Decision(None, None, "no journal of this quorum holds the segment")
    firsts = {segment.first_txid for _, segment in holders}
    ensure("Q2", len(firsts) == 1, "answers about different segments", _draw(answers))
    finalized = {segment.last_txid for _, segment in holders if segment.finalized}
    ensure("Q2", len(finalized) <= 1, "finalized with different ends", _draw(answers))
    best, segment = max(holders, key=lambda holder: _rank(*holder))
    newest = max(answers, key=lambda a: a.committed_txid)
    ensure(
        "Q1",
        newest.committed_txid <= segment.last_txid,
        f"would end at {segment.last_txid} but {newest.journal} saw"
        f" {newest.committed_txid} committed",
        _draw(answers),
    )
    seen_epoch = None if segment.finalized else best.seen_epoch
    return Decision(segment, best.journal, _explain(best, segment, holders), seen_epoch)


def _rank(answer: PrepareAnswer, segment: Segment) -> tuple[bool, Epoch, TxId]:
    # A finalized copy is already decided; else the newest epoch wins; length breaks ties.
    if segment.finalized:
        return (True, Epoch(0), segment.last_txid)
    return (False, answer.seen_epoch, segment.last_txid)


def _explain(
    best: PrepareAnswer, segment: Segment, holders: Sequence[tuple[PrepareAnswer, Segment]]
) -> str:
    name = f"{best.journal} with {segment.describe()}"
    others = [(a, s) for a, s in holders if a is not best]
    if not others:
        return f"{name}: the only copy of this quorum"
    if segment.finalized:
        if all(s.finalized for _, s in others):
            return f"{name}: every copy is finalized and ends alike"
        return f"{name}: finalized beats in progress"
    if any(a.seen_epoch < best.seen_epoch for a, _ in others):
        kind = "accepted recovery" if best.accepted_epoch >= best.writer_epoch else "writer"
        return f"{name}: {kind} of epoch {best.seen_epoch} is the newest"
    if any(s.last_txid < segment.last_txid for _, s in others):
        return f"{name}: longest of epoch {best.seen_epoch}"
    return f"{name}: all copies of epoch {best.seen_epoch} end alike"


def _draw(answers: Sequence[PrepareAnswer]) -> str:
    return "; ".join(a.describe() for a in answers)
