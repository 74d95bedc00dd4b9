"""Core. What of the journals' answers is durable, and where to read it. Holds Q5.

Q5 (P6): a reader is shown a transaction only when no later recovery can take it back: it is in a
finalized segment, or a majority of all journals holds it with the very same bytes. (Hadoop's
QuorumJournalManager.selectRpcInputStreams counts journals only; a journal that was cut off from a
newer writer holds other transactions under the same txids.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hdfsd.base.ids import NodeId, TxId
from hdfsd.editlog.frames import Run


@dataclass(frozen=True, slots=True)
class Tail:
    """Choice among journals' newest transactions."""

    run: Run | None
    """None: nothing is durable from the asked txid on, or the copies disagree."""
    more_possible: bool
    """Journals that did not answer yet could make it longer."""
    agreed: bool
    """False: journals hold different bytes for one txid; read finalized segments."""


def durable_tail(since_txid: TxId, answers: Sequence[Run], needed: int) -> Tail:
    """The longest answer that `needed` journals agree on; every answer starts at `since_txid`.

    An empty answer (count 0) says that the journal has nothing newer.
    """
    ranked = sorted(answers, key=lambda run: run.count, reverse=True)
    if len(ranked) < needed:
        return Tail(None, more_possible=True, agreed=True)
    chosen = ranked[needed - 1]
    more_possible = ranked[0].count > chosen.count
    if chosen.count == 0:
        return Tail(None, more_possible, agreed=True)
    same = sum(run.data.startswith(chosen.data) for run in ranked)
    if same < needed:
        return Tail(None, more_possible, agreed=False)
    return Tail(chosen, more_possible, agreed=True)


@dataclass(frozen=True, slots=True)
class RemoteSegment:
    """A segment as one journal's manifest has it; `last_txid` is inclusive."""

    first_txid: TxId
    last_txid: TxId
    finalized: bool


@dataclass(frozen=True, slots=True)
class Source:
    """A segment and the journals that have this very copy, in their configured order."""

    segment: RemoteSegment
    journals: tuple[NodeId, ...]


def chain(
    since_txid: TxId, manifests: Mapping[NodeId, Sequence[RemoteSegment]], needed: int
) -> Sequence[Source]:
    """Segments without gap from the one that holds `since_txid` on; the last may be unfinished.

    Finalized copies are decided and end alike. An unfinished one is offered only where no journal
    knows a finalized copy, ends where `needed` journals reach, and must be read from that many.
    """
    finalized, unfinished = _sorted_out(manifests)
    found = _from(since_txid, finalized)
    next_txid = TxId(found[-1].segment.last_txid + 1) if found else since_txid
    for first in sorted(unfinished, reverse=True):
        tail = _agreed(first, unfinished[first], needed)
        if first <= next_txid and tail is not None and tail.segment.last_txid >= next_txid:
            return [*found, tail]
    return found


def newest_txid(manifests: Mapping[NodeId, Sequence[RemoteSegment]], needed: int) -> TxId:
    """The last durable transaction that these manifests prove; 0 when there is none."""
    finalized, unfinished = _sorted_out(manifests)
    sources = [*finalized.values(), *(_agreed(f, c, needed) for f, c in unfinished.items())]
    return max((s.segment.last_txid for s in sources if s is not None), default=TxId(0))


_Copies = list[tuple[TxId, NodeId]]
"""(last txid, journal) of unfinished copies of one segment."""


def _sorted_out(
    manifests: Mapping[NodeId, Sequence[RemoteSegment]],
) -> tuple[dict[TxId, Source], dict[TxId, _Copies]]:
    """By first txid: finalized segments, and unfinished ones that nobody has finalized."""
    finalized: dict[TxId, Source] = {}
    unfinished: dict[TxId, _Copies] = {}
    for journal, segments in manifests.items():
        for segment in segments:
            first = segment.first_txid
            if not segment.finalized:
                unfinished.setdefault(first, []).append((segment.last_txid, journal))
                continue
            known = finalized.get(first)
            journals = (*known.journals, journal) if known else (journal,)
            finalized[first] = Source(segment, journals)
    return finalized, {f: copies for f, copies in unfinished.items() if f not in finalized}


def _agreed(first_txid: TxId, copies: _Copies, needed: int) -> Source | None:
    """An unfinished segment as far as `needed` journals reach; None: too few have it."""
    if len(copies) < needed:
        return None
    end = sorted((last for last, _ in copies), reverse=True)[needed - 1]
    journals = tuple(journal for _, journal in copies)
    return Source(RemoteSegment(first_txid, end, finalized=False), journals)


def _from(since_txid: TxId, finalized: Mapping[TxId, Source]) -> list[Source]:
    found: list[Source] = []
    for first in sorted(finalized):
        source = finalized[first]
        if source.segment.last_txid < since_txid:
            continue
        if found and first != found[-1].segment.last_txid + 1:
            break
        if not found and first > since_txid:
            break
        found.append(source)
    return found
