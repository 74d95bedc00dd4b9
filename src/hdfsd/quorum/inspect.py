"""Core. The journals of a quorum beside each other: what a majority holds, where copies differ.

`verify` judges what lies there; `quorum.foretell` says what a recovery would make of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

from hdfsd.base.ids import Epoch, NodeId, StorageInfo, TxId
from hdfsd.editlog.checkup import SegmentReport
from hdfsd.quorum.tally import majority


class Severity(Enum):
    PROBLEM = "problem"
    NOTE = "note"
    """Worth knowing; the protocol leaves it, and lives with it."""


@dataclass(frozen=True, slots=True)
class Finding:
    severity: Severity
    text: str
    journal: NodeId | None = None
    """None: of the journals together."""


@dataclass(frozen=True, slots=True)
class AcceptedRecovery:
    """What a journal has accepted of a recovery that may not have finished."""

    last_txid: TxId
    in_progress: bool
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class JournalContent:
    """One journal, as far as it can be seen without changing it."""

    journal: NodeId
    error: str | None = None
    """Why nothing can be said of it."""
    formatted: bool = False
    storage: StorageInfo | None = None
    """None: this journal does not tell."""
    promised: Epoch | None = None
    writer_epoch: Epoch | None = None
    committed_txid: TxId | None = None
    """None: this journal does not tell."""
    accepted: Mapping[TxId, AcceptedRecovery] | None = field(default_factory=dict)
    """By first txid; None: a live JournalNode tells nobody but its writer."""
    segments: Sequence[SegmentReport] = ()
    learning_until: TxId | None = None
    """Formatted from its peers and not caught up: it takes no part in a recovery."""
    notes: Sequence[str] = ()

    @property
    def is_of_namenodes(self) -> bool:
        """A NameNode's own or shared directory: there is no epoch in it."""
        return self.promised is None

    def best(self) -> Mapping[TxId, SegmentReport]:
        """By first txid, the copy that counts: a finalized one before one in progress."""
        found: dict[TxId, SegmentReport] = {}
        for report in self.segments:
            known = found.get(report.file.first_txid)
            if known is None or known.file.in_progress:
                found[report.file.first_txid] = report
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Span:
    """Transactions that the very same journals hold with the very same bytes."""

    first_txid: TxId
    last_txid: TxId
    holders: tuple[NodeId, ...]
    """The largest group of journals that agree."""
    others: tuple[tuple[NodeId, ...], ...] = ()
    """Groups that hold other bytes under these txids."""
    finalized: bool = False
    """Some holder has them in a finalized segment."""


@dataclass(frozen=True, slots=True)
class Verdict:
    journals: int
    needed: int
    spans: Sequence[Span]
    durable: Sequence[tuple[TxId, TxId]]
    """Ranges of txids that a majority holds."""
    findings: Sequence[Finding]

    @property
    def problems(self) -> Sequence[Finding]:
        return [f for f in self.findings if f.severity is Severity.PROBLEM]


def verify(contents: Sequence[JournalContent]) -> Verdict:
    """Everything that can be said of these journals; they are taken for all of the quorum."""
    needed = majority(len(contents))
    spans = _merged(list(_spans(contents)))
    durable = _ranges([s for s in spans if len(s.holders) >= needed])
    findings = [
        *(finding for content in contents for finding in _of_one(content, len(contents) == 1)),
        *_storages(contents),
        *_divergences(spans),
        *_coverage(spans, durable, needed),
        *_committed(contents, durable),
        *_lagging(contents, durable, needed),
    ]
    return Verdict(len(contents), needed, spans, durable, findings)


# -- one journal -----------------------------------------------------------------------------


def _of_one(content: JournalContent, alone: bool) -> Iterator[Finding]:
    def problem(text: str) -> Finding:
        return Finding(Severity.PROBLEM, text, content.journal)

    def note(text: str) -> Finding:
        return Finding(Severity.NOTE, text, content.journal)

    if content.error is not None:
        yield problem(content.error)
        return
    if not content.formatted:
        yield problem("is not formatted")
    yield from map(note, content.notes)
    if (content.promised or 0) < (content.writer_epoch or 0):
        yield problem(
            f"has promised epoch {content.promised}, below its last writer's"
            f" {content.writer_epoch}: it could accept a fenced writer"
        )
    for report in content.segments:
        yield from (problem(f"{report.file.name} {text}") for text in report.problems())
        yield from (note(f"{report.file.name} {text}") for text in report.notes())
        surplus = report.surplus()
        if surplus is not None:
            finding = note if content.is_of_namenodes else problem
            yield finding(f"{report.file.name} {surplus}")
    yield from map(problem, _overlaps(content))
    yield from map(problem, _accepted_elsewhere(content))
    if alone:
        yield from map(problem, _gaps(content))


def _overlaps(content: JournalContent) -> Iterator[str]:
    before: SegmentReport | None = None
    for report in content.best().values():
        if before is not None and before.end_txid is not None:
            if before.end_txid >= report.file.first_txid:
                yield f"{report.file.name} begins within {before.file.name}"
        before = report


def _gaps(content: JournalContent) -> Iterator[str]:
    end: TxId | None = None
    for report in content.best().values():
        if end is not None and report.file.first_txid > end + 1:
            yield f"has no transactions {end + 1} to {report.file.first_txid - 1}"
        end = report.end_txid or end


def _accepted_elsewhere(content: JournalContent) -> Iterator[str]:
    best = content.best()
    for first, accepted in (content.accepted or {}).items():
        report = best.get(first)
        if report is not None and not report.file.in_progress:
            continue
        end = None if report is None else report.end_txid
        if end != accepted.last_txid:
            held = "holds none of it" if end is None else f"holds it up to {end}"
            yield (
                f"accepted a recovery of the segment at {first} up to {accepted.last_txid} in epoch"
                f" {accepted.epoch}, but {held}"
            )


# -- all of them -----------------------------------------------------------------------------


def _spans(contents: Sequence[JournalContent]) -> Iterator[Span]:
    """Between two neighbouring ends of segments every journal holds all or nothing."""
    pieces = [
        (content.journal, report.first_txid, report.end_txid, report)
        for content in contents
        for report in content.best().values()
        if report.first_txid is not None and report.end_txid is not None
    ]
    cuts = sorted({cut for _, first, last, _ in pieces for cut in (first, last + 1)})
    starting = sorted(pieces, key=lambda piece: piece[1])
    active: list[tuple[NodeId, TxId, TxId, SegmentReport]] = []
    for first, end in pairwise(cuts):
        while starting and starting[0][1] <= first:
            active.append(starting.pop(0))
        active = [piece for piece in active if piece[2] >= first]
        held = {journal: report for journal, _, _, report in active}
        if held:
            yield from _agreed(TxId(first), TxId(end - 1), held)


def _agreed(first: TxId, last: TxId, held: Mapping[NodeId, SegmentReport]) -> Iterator[Span]:
    """One span, or two: up to the first difference, and from there on."""
    sums = {journal: _sums(report, first, last) for journal, report in held.items()}
    common = min(_common(a, b) for a in sums.values() for b in sums.values())
    if common:
        yield _span(first, TxId(first + common - 1), [tuple(held)], held)
    if common < last - first + 1:
        groups: dict[bytes, list[NodeId]] = {}
        for journal, values in sums.items():
            groups.setdefault(values[common:].tobytes(), []).append(journal)
        ordered = sorted(map(tuple, groups.values()), key=lambda group: -len(group))
        yield _span(TxId(first + common), last, ordered, held)


def _span(
    first: TxId,
    last: TxId,
    groups: Sequence[tuple[NodeId, ...]],
    held: Mapping[NodeId, SegmentReport],
) -> Span:
    finalized = any(not held[journal].file.in_progress for journal in groups[0])
    return Span(first, last, groups[0], tuple(groups[1:]), finalized)


def _sums(report: SegmentReport, first: TxId, last: TxId) -> memoryview[int]:
    assert report.first_txid is not None
    start = first - report.first_txid
    return memoryview(report.checksums)[start : start + last - first + 1]


def _common(one: memoryview[int], other: memoryview[int]) -> int:
    """How many entries agree from the start on."""
    if one == other:
        return len(one)
    pairs = enumerate(zip(one, other, strict=True))
    return next(index for index, (a, b) in pairs if a != b)


def _merged(spans: Sequence[Span]) -> Sequence[Span]:
    """Neighbours with the same holders in one."""
    found: list[Span] = []
    for span in spans:
        before = found[-1] if found else None
        if (
            before is not None
            and before.last_txid + 1 == span.first_txid
            and (set(before.holders), before.others, before.finalized)
            == (set(span.holders), span.others, span.finalized)
        ):
            found[-1] = Span(
                before.first_txid, span.last_txid, span.holders, span.others, span.finalized
            )
        else:
            found.append(span)
    return found


def _ranges(spans: Sequence[Span]) -> Sequence[tuple[TxId, TxId]]:
    found: list[tuple[TxId, TxId]] = []
    for span in spans:
        if found and found[-1][1] + 1 == span.first_txid:
            found[-1] = (found[-1][0], span.last_txid)
        else:
            found.append((span.first_txid, span.last_txid))
    return found


def _storages(contents: Sequence[JournalContent]) -> Iterator[Finding]:
    """Journals of other namespaces: only one of them can be right."""
    by_storage: dict[tuple[int, str, int], list[NodeId]] = {}
    for content in contents:
        if content.storage is not None:
            s = content.storage
            key = (s.namespace_id, s.cluster_id, s.ctime_ms)
            by_storage.setdefault(key, []).append(content.journal)
    if len(by_storage) > 1:
        told = "; ".join(
            f"{', '.join(journals)}: namespace {namespace}, cluster {cluster}, cTime {ctime}"
            for (namespace, cluster, ctime), journals in by_storage.items()
        )
        yield Finding(Severity.PROBLEM, f"the journals are of different namespaces: {told}")


def _divergences(spans: Sequence[Span]) -> Iterator[Finding]:
    for span in spans:
        if span.others:
            groups = " and ".join(", ".join(group) for group in (span.holders, *span.others))
            yield Finding(
                Severity.PROBLEM,
                f"txids {span.first_txid} to {span.last_txid} have other bytes on {groups}",
            )


def _coverage(
    spans: Sequence[Span], durable: Sequence[tuple[TxId, TxId]], needed: int
) -> Iterator[Finding]:
    end: TxId | None = None
    for span in spans:
        if end is not None and span.first_txid > end + 1:
            text = f"no journal holds txids {end + 1} to {span.first_txid - 1}"
            yield Finding(Severity.PROBLEM, text)
        end = span.last_txid
        if len(span.holders) >= needed:
            continue
        holders = ", ".join(span.holders)
        text = f"txids {span.first_txid} to {span.last_txid} are on {holders} only"
        if durable and span.last_txid < durable[0][0]:
            why = "older than what a majority keeps"
            yield Finding(Severity.NOTE, f"{text}: {why}")
        elif not span.finalized and (not durable or span.first_txid > durable[-1][1]):
            why = "nobody was told that they are durable; a recovery keeps or drops them"
            yield Finding(Severity.NOTE, f"{text}: {why}")
        else:
            yield Finding(Severity.PROBLEM, f"{text}: less than a majority of {needed}")


def _committed(
    contents: Sequence[JournalContent], durable: Sequence[tuple[TxId, TxId]]
) -> Iterator[Finding]:
    newest = durable[-1][1] if durable else 0
    for content in contents:
        if content.committed_txid is not None and content.committed_txid > newest:
            yield Finding(
                Severity.PROBLEM,
                f"was told that txid {content.committed_txid} is durable, but a majority holds"
                f" {'none' if newest == 0 else f'only up to {newest}'}",
                content.journal,
            )


def _lagging(
    contents: Sequence[JournalContent], durable: Sequence[tuple[TxId, TxId]], needed: int
) -> Iterator[Finding]:
    """What a journal misses of that which a majority holds."""
    if needed == 1:
        return
    for content in contents:
        if content.error is not None:
            continue
        missing = list(_missing(content, durable))
        if missing:
            told = ", ".join(f"{first} to {last}" for first, last in missing)
            text = f"misses txids {told}, which a majority holds"
            yield Finding(Severity.NOTE, text, content.journal)


def _missing(
    content: JournalContent, durable: Sequence[tuple[TxId, TxId]]
) -> Iterator[tuple[TxId, TxId]]:
    held = [
        (r.first_txid, r.end_txid)
        for r in content.best().values()
        if r.first_txid is not None and r.end_txid is not None
    ]
    for first, last in durable:
        at = first
        for begin, end in held:
            if end < at or begin > last:
                continue
            if begin > at:
                yield at, TxId(begin - 1)
            at = TxId(end + 1)
        if at <= last:
            yield at, last
