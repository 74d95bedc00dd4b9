"""Core. What a recovery of these journals would decide and why, in sentences; nothing is changed.

The decision itself is `quorum.recovery.decide`, the epoch and the segment are those of
`quorum.writer`: what a NameNode runs when it becomes active. What each journal would answer follows
journal.acceptor (Hadoop Journal.prepareRecovery); a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from hdfsd.base.errors import InvariantBroken
from hdfsd.base.ids import Epoch, NodeId, TxId
from hdfsd.quorum import recovery, writer
from hdfsd.quorum.inspect import AcceptedRecovery, JournalContent
from hdfsd.quorum.tally import majority

ENUMERATED_MAX = 9
"""Of so many journals every majority is tried."""


@dataclass(slots=True)
class Forecast:
    """`sentences` in the order of the steps; the rest for programs."""

    sentences: list[str] = field(default_factory=list)
    possible: bool = False
    """A recovery would come to its end."""
    epoch: Epoch | None = None
    first_txid: TxId | None = None
    end_txid: TxId | None = None
    source: NodeId | None = None
    steps: dict[NodeId, str] = field(default_factory=dict)
    """What each journal would have to do."""


def newest_with_transactions(content: JournalContent) -> TxId | None:
    """What it answers to newEpoch: the first txid of its newest segment that is not empty."""
    holding = [first for first, report in content.best().items() if report.end_txid is not None]
    return max(holding, default=None)


def prepare_answer(content: JournalContent, first_txid: TxId) -> recovery.PrepareAnswer:
    """What it answers to prepareRecovery."""
    report = content.best().get(first_txid)
    end = None if report is None else report.end_txid
    finalized = report is not None and not report.file.in_progress
    accepted = (content.accepted or {}).get(first_txid)
    segment, accepted_epoch = None, Epoch(0)
    if accepted is not None and not finalized:
        segment = recovery.Segment(first_txid, accepted.last_txid, not accepted.in_progress)
        accepted_epoch = accepted.epoch
    elif end is not None:
        segment = recovery.Segment(first_txid, end, finalized)
    return recovery.PrepareAnswer(
        content.journal,
        segment,
        accepted_epoch,
        content.writer_epoch or Epoch(0),
        max(content.committed_txid or TxId(0), TxId(0)),
    )


def foretell(contents: Sequence[JournalContent]) -> Forecast:
    """The recovery that a NameNode would run now, if all journals that can be seen answer it."""
    found = Forecast()
    say = found.sentences.append
    needed = majority(len(contents))
    able = [content for content in contents if refusal(content) is None]
    for content in contents:
        why = refusal(content)
        if why is not None:
            say(f"{content.journal} would take no part: it {why}.")
            found.steps[content.journal] = "nothing: it takes no part"
    if len(able) < needed:
        say(
            f"Only {len(able)} of {len(contents)} journals would answer, and a majority is"
            f" {needed}: the NameNode could not become active."
        )
        return found
    say(f"{len(able)} of {len(contents)} journals would answer; a majority is {needed}.")
    _say_the_epoch(found, able)
    first = writer.segment_to_recover(newest_with_transactions(content) for content in able)
    if first is None:
        found.possible = True
        say("None of them holds a transaction: there is nothing to recover, txid 1 is next.")
        for content in able:
            found.steps[content.journal] = "promise the epoch"
        return found
    found.first_txid = first
    say(f"The newest segment that holds transactions begins at txid {first}: it is recovered.")
    able = _prepared(found, able, first)
    if len(able) < needed:
        say(f"Fewer than {needed} could answer: the NameNode could not become active.")
        return found
    answers = [prepare_answer(content, first) for content in able]
    for answer in answers:
        say(f"Asked for it, {answer.describe()}.")
    if any(content.accepted is None for content in able):
        say(
            "Whether a live JournalNode has accepted an earlier recovery can't be seen from outside"
            " (only its directory tells); if one has, that counts as a copy of its epoch."
        )
    _decide(found, able, answers, needed)
    return found


def refusal(content: JournalContent) -> str | None:
    """Why it would not answer a new writer; None: it would."""
    if content.error is not None:
        return f"can't be read ({content.error})"
    if not content.formatted:
        return "is not formatted"
    if content.learning_until is not None:
        return f"was formatted from its peers and has yet to catch up to {content.learning_until}"
    return None


def _say_the_epoch(found: Forecast, able: Sequence[JournalContent]) -> None:
    promises = {content.journal: content.promised or Epoch(0) for content in able}
    found.epoch = writer.next_epoch(list(promises.values()))
    highest = max(promises, key=lambda journal: promises[journal])
    found.sentences.append(
        f"The new epoch would be {found.epoch}, one above the highest promise"
        f" ({promises[highest]}, of {highest}); every older writer is fenced by it."
    )


def _prepared(
    found: Forecast, able: Sequence[JournalContent], first_txid: TxId
) -> list[JournalContent]:
    """Without those whose accepted recovery is not what lies on their disk: they fail the call."""
    kept = []
    for content in able:
        accepted = (content.accepted or {}).get(first_txid)
        report = content.best().get(first_txid)
        in_progress = report is None or report.file.in_progress
        if accepted is not None and in_progress:
            end = None if report is None else report.end_txid
            if end != accepted.last_txid:
                found.sentences.append(
                    f"{content.journal} would refuse: it accepted an end at {accepted.last_txid},"
                    f" its segment ends at {end}."
                )
                found.steps[content.journal] = "nothing: it refuses"
                continue
        kept.append(content)
    return kept


def _decide(
    found: Forecast,
    able: Sequence[JournalContent],
    answers: Sequence[recovery.PrepareAnswer],
    needed: int,
) -> None:
    say = found.sentences.append
    try:
        decision = recovery.decide(answers)
    except InvariantBroken as broken:
        # Here the question is what would happen: the NameNode would stop, and this says why.
        say(f"The NameNode would stop rather than decide: {broken}.")
        return
    if decision.segment is None or decision.source is None:
        say(f"It would decide that {decision.reason}.")
        found.possible = True
        return
    found.possible = True
    found.source, found.end_txid = decision.source, decision.segment.last_txid
    say(f"It would choose the copy of {decision.reason}.")
    say(f"The segment would end at txid {found.end_txid}; txid {found.end_txid + 1} is next.")
    for content in able:
        step = _step(content, decision)
        found.steps[content.journal] = step
        say(f"{content.journal} would {step}.")
    found.sentences.extend(_other_majorities(answers, needed, decision))


def _step(content: JournalContent, decision: recovery.Decision) -> str:
    assert decision.segment is not None
    first, last = decision.segment.first_txid, decision.segment.last_txid
    report = content.best().get(first)
    end = None if report is None else report.end_txid
    fetch = f"fetch {first}..{last} from {decision.source}, and finalize it"
    if report is None or end is None:
        return fetch
    if not report.file.in_progress:
        return "do nothing: it has finalized the segment" if end == last else "refuse: finalized"
    if end != last:
        kept = "drop" if end > last else "complete"
        return f"{kept} its copy, which ends at {end}: {fetch}"
    seen = max(content.writer_epoch or Epoch(0), _accepted_epoch(content, first))
    if content.journal != decision.source and seen != decision.seen_epoch:
        return f"replace its copy, which nothing proves to be the chosen one: {fetch}"
    return f"finalize its own copy, cut off behind txid {last}"


def _accepted_epoch(content: JournalContent, first_txid: TxId) -> Epoch:
    accepted: Mapping[TxId, AcceptedRecovery] = content.accepted or {}
    return accepted[first_txid].epoch if first_txid in accepted else Epoch(0)


def _other_majorities(
    answers: Sequence[recovery.PrepareAnswer], needed: int, decision: recovery.Decision
) -> Iterator[str]:
    """A recovery goes on with the first majority that answers: would another decide otherwise?"""
    if not needed < len(answers) <= ENUMERATED_MAX:
        return
    assert decision.segment is not None
    agree = True
    for group in combinations(answers, needed):
        names = " and ".join(answer.journal for answer in group)
        try:
            other = recovery.decide(group)
        except InvariantBroken as broken:
            agree = False
            yield f"If only {names} answered in time, the NameNode would stop: {broken}."
            continue
        end = None if other.segment is None else other.segment.last_txid
        if end != decision.segment.last_txid:
            agree = False
            ends = "drop the segment" if end is None else f"end it at txid {end}"
            yield (
                f"If only {names} answered in time, it would {ends}: nobody was told that the"
                " difference is durable."
            )
    if agree:
        yield "Every majority of them would decide the same end."
