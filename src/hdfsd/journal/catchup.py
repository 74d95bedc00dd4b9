"""Core. What a journal lacks that its peers have, and whether it may be formatted from them.

A segment that is finalized on any JournalNode is decided (Q2): it may be copied whatever became of
our own copy, but for the one that a writer is filling. Two finalized copies that differ, or that
overlap, can't both be right: that is told, never mended.

A journal that lost its disk has forgotten what it promised and what it acknowledged; were it to
vote at once, a transaction that it and one other had acknowledged could be voted away. So it is
formatted only when enough peers answer that one of them is of every majority that it was part of;
it takes over their highest promise (J1); and until it holds what they had at that moment it takes
part in no recovery (P1). Hadoop's own (HDFS-16690) formats from the first peer and votes at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hdfsd.base.ids import Address, Epoch, StorageInfo, TxId
from hdfsd.journal.acceptor import AdoptStorage, Segment

RETRY_MS = 10_000
"""The next round, when this one left something to do that may soon be possible."""


@dataclass(frozen=True, slots=True)
class PeerView:
    """What a peer's manifest says."""

    finalized: tuple[Segment, ...]
    highest_txid: TxId
    """Of its unfinished segment too."""
    committed: TxId
    """INVALID_TXID when it knows of none."""
    http_url: str


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """What a peer's journal is, and what it promised."""

    storage: StorageInfo
    promised: Epoch
    highest_txid: TxId


@dataclass(frozen=True, slots=True)
class Wanted:
    """A segment to fetch, and where it is, first choice first."""

    segment: Segment
    sources: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    wanted: tuple[Wanted, ...]
    """By first txid."""
    divergent: tuple[str, ...]
    """Segments that can't both be right, each with a sentence."""


def plan(
    ours: Mapping[TxId, Segment],
    open_first: TxId | None,
    views: Mapping[Address, PeerView],
    turn: int,
) -> Plan:
    """What to fetch; `turn` rotates who is asked first, so that no peer serves everything."""
    order = list(views)
    order = order[turn % len(order) :] + order[: turn % len(order)] if order else order
    offers: dict[TxId, dict[TxId, list[Address]]] = {}
    for address in order:
        for segment in views[address].finalized:
            if segment.last_txid is not None:
                ends = offers.setdefault(segment.first_txid, {})
                ends.setdefault(segment.last_txid, []).append(address)
    wanted, divergent = [], []
    for first in sorted(offers):
        cause = _conflict(first, offers[first], ours)
        if cause is not None:
            divergent.append(cause)
            continue
        (last,) = offers[first]
        mine = ours.get(first)
        if mine is not None and mine.finalized:
            continue
        if open_first is not None and first <= open_first <= last:
            continue  # Its writer is about to finalize it here too, or we rejoined behind it.
        wanted.append(Wanted(Segment(first, last, True), tuple(offers[first][last])))
    return Plan(tuple(wanted), tuple(divergent))


def _conflict(
    first: TxId, ends: Mapping[TxId, Sequence[Address]], ours: Mapping[TxId, Segment]
) -> str | None:
    if len(ends) > 1:
        copies = ", ".join(f"{first}..{last} on {_names(at)}" for last, at in sorted(ends.items()))
        return f"finalized copies of segment {first} differ: {copies}"
    ((last, at),) = ends.items()
    for mine in ours.values():
        if (
            not mine.finalized
            or mine.last_txid is None
            or (mine.first_txid, mine.last_txid)
            == (
                first,
                last,
            )
        ):
            continue
        if mine.first_txid <= last and first <= mine.last_txid:
            return (
                f"finalized segment {first}..{last} on {_names(at)} overlaps ours,"
                f" {mine.first_txid}..{mine.last_txid}"
            )
    return None


def answers_needed(journal_count: int) -> int:
    """How many of the others must answer to have one of every majority that we were part of."""
    majority = journal_count // 2 + 1
    return journal_count - majority + 1


@dataclass(frozen=True, slots=True)
class Adoption:
    """`adopt` None: not now; `reason` says why, or on whose word."""

    adopt: AdoptStorage | None
    reason: str


def adoption(peers: Mapping[Address, PeerIdentity | str], journal_count: int) -> Adoption:
    """Whether an empty journal may be formatted; of a peer its identity, or why there is none."""
    known = {address: who for address, who in peers.items() if isinstance(who, PeerIdentity)}
    needed = answers_needed(journal_count)
    if len(known) < needed:
        told = "; ".join(
            f"{address}: {who}" for address, who in peers.items() if address not in known
        )
        return Adoption(None, f"{needed} formatted peers must answer, {len(known)} did ({told})")
    first = next(iter(known.values())).storage
    for address, who in known.items():
        theirs = who.storage
        if (theirs.namespace_id, theirs.cluster_id, theirs.ctime_ms) != (
            first.namespace_id,
            first.cluster_id,
            first.ctime_ms,
        ):
            return Adoption(
                None,
                f"peers are of different namespaces: {first.colon_form()}, but"
                f" {theirs.colon_form()} on {address}",
            )
    promised = max(who.promised for who in known.values())
    until = max(who.highest_txid for who in known.values())
    adopt = AdoptStorage(first, promised, until if until > 0 else None)
    return Adoption(adopt, f"{_names(list(known))} agree on {first.colon_form()}")


def still_missing(
    ours: Mapping[TxId, Segment],
    until_txid: TxId,
    views: Mapping[Address, PeerView],
    journal_count: int,
) -> str | None:
    """Why a journal that was formatted from its peers can't vote yet; None: it holds it all."""
    if len(views) < answers_needed(journal_count):
        return f"{answers_needed(journal_count)} peers must answer, {len(views)} did"
    firsts = {s.first_txid for view in views.values() for s in view.finalized}
    lacking = sorted(first for first in firsts if first not in ours or not ours[first].finalized)
    if lacking:
        return f"segment {lacking[0]} is not here yet"
    end = None
    for segment in sorted(
        (s for s in ours.values() if s.finalized and s.last_txid is not None),
        key=lambda s: s.first_txid,
    ):
        if end is not None and segment.first_txid != end + 1:
            return f"transactions {end + 1}..{segment.first_txid - 1} are not here yet"
        end = segment.last_txid
        assert end is not None
        if end >= until_txid:
            return None
    return f"transactions up to {until_txid} are not finalized yet"


def pause_ms(interval_ms: int, *, complete: bool) -> int:
    """Until the next round; sooner when a peer or a segment could not be had."""
    return interval_ms if complete else min(interval_ms, RETRY_MS)


def _names(addresses: Sequence[Address]) -> str:
    return ", ".join(map(str, addresses))
