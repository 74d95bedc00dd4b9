"""Core. A history in, accusations out: what no client of a sound cluster can have been told.

P1: what was acknowledged is seen by every later read. P4: nothing is executed twice, so nobody is
refused what is possible by all that he knows. P6 and P1: reads never go back in time. P2: an epoch
has one owner, and who was replaced acknowledges nothing more. P3: journals agree.

The names of a writer are checked as one register, whose states follow from what it was told: a read
must fit a state between the last one that was acknowledged before it (or that an earlier read saw)
and the last one that was asked for before its end. Names of which an outcome is not known are let
out from then on, and checked for what is possible with them (`Doubt`).

An answer of a NameNode that another one has replaced meanwhile, and that does not know it yet, may
be as old as the moment of its replacement (`Reign.fresh_until_s`); it is counted, not accused.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from histories import (
    DIRECTORY,
    IN_STEPS,
    NO_FILE,
    READS,
    ROOT,
    Content,
    Kind,
    Operation,
    Outcome,
    Record,
    Value,
)
from stints import Reign

Seen = str | int | Content | None
"""Of one name: nothing, DIRECTORY, NO_FILE, a length, or records."""


@dataclass(frozen=True, slots=True)
class Accusation:
    promise: str
    text: str
    at_s: float
    """Where in the history to look."""

    def __str__(self) -> str:
        return f"{self.promise}: {self.text}"


@dataclass(slots=True)
class Verdict:
    accusations: list[Accusation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def accuse(self, promise: str, text: str, at_s: float) -> None:
        self.accusations.append(Accusation(promise, text, at_s))


def judge(
    operations: Iterable[Operation], reign: Reign, *, last_reads_from_s: float = math.inf
) -> Verdict:
    """`last_reads_from_s`: when all was well again; each known name must have been read since."""
    verdict = Verdict()
    writes: dict[str, list[Operation]] = {}
    reads: dict[str, list[Operation]] = {}
    for operation in operations:
        verdict.counts[f"{operation.kind.value} {operation.outcome.value}"] += 1
        if operation.kind in READS:
            reads.setdefault(operation.directory, []).append(operation)
        else:
            writes.setdefault(operation.directory, []).append(operation)
    for directory in sorted({*writes, *reads}):
        register = Register(directory, writes.get(directory, []), reign)
        register.judge_refusals(verdict)
        register.judge_reads(reads.get(directory, []), verdict)
        if not math.isinf(last_reads_from_s):
            register.judge_end(reads.get(directory, []), last_reads_from_s, verdict)
    _judge_acknowledgements(writes.values(), reign, verdict)
    judge_epochs(reign, verdict)
    return verdict


# --- the names of one writer ---


@dataclass(slots=True)
class Doubt:
    """An operation whose outcome nobody knows, and what its names were before."""

    operation: Operation
    step: int
    """How many known operations came before it."""
    before: dict[str, Value]
    after_seen_s: float = math.inf
    """When a read that saw it done had ended."""

    def judge(self, read: Operation, fresh_s: float, seen: Mapping[str, Seen]) -> str:
        """What can't be of the names of it that a read saw; "" when all is possible."""
        states = {path: self._state(path, seen[path]) for path in self.before if path in seen}
        wrong = [path for path, state in states.items() if state is None]
        if wrong:
            return f"{wrong[0]} can't be {_draw(seen[wrong[0]])}"
        if "before" in states.values() and "after" in states.values():
            return "one name is as before, the other as after"
        if "after" in states.values():
            self.after_seen_s = min(self.after_seen_s, read.ended_s)
        elif "before" in states.values() and self.after_seen_s < fresh_s:
            return "it was seen done, and is undone"
        return ""

    def _state(self, path: str, seen: Seen) -> str | None:
        """ "before", "after", "either", or None when it is neither."""
        was, becomes = fits(self.before[path], seen), self._done(path, seen)
        if was and becomes:
            return "either"
        return "before" if was else "after" if becomes else None

    def _done(self, path: str, seen: Seen) -> bool:
        operation = self.operation
        if operation.kind in IN_STEPS:
            return not fits(None, seen) and half_done(self.before[path], operation, seen)
        return fits(effect(operation, self.before).get(path), seen)


class Register:
    """The states that the names of one writer went through."""

    def __init__(self, directory: str, writes: Sequence[Operation], reign: Reign) -> None:
        self._directory = directory
        self._reign = reign
        self._steps: list[Operation] = []
        self._values: dict[str, tuple[list[int], list[Value]]] = {}
        self._doubts: dict[str, Doubt] = {}
        self._refused: list[tuple[Operation, dict[str, Value]]] = []
        for operation in sorted(writes, key=lambda each: each.number):
            self._add(operation)
        self._began = [step.began_s for step in self._steps]
        self._ended = [step.ended_s for step in self._steps]

    def _add(self, operation: Operation) -> None:
        before = {path: self._value(path, len(self._steps)) for path in names_of(operation)}
        if operation.outcome is Outcome.OK:
            self._steps.append(operation)
            for path, value in effect(operation, before).items():
                steps, values = self._values.setdefault(path, ([], []))
                steps.append(len(self._steps))
                values.append(value)
            return
        if operation.outcome is Outcome.REFUSED:
            self._refused.append((operation, before))
        doubt = Doubt(operation, len(self._steps), before)
        for path in before:
            assert path not in self._doubts, f"{path} is used again: {operation.describe()}"
            self._doubts[path] = doubt

    def _value(self, path: str, step: int) -> Value:
        """After so many known operations."""
        steps, values = self._values.get(path, ([], []))
        at = bisect_right(steps, step)
        return values[at - 1] if at else None

    def judge_refusals(self, verdict: Verdict) -> None:
        """A writer asks only for what is possible."""
        for operation, before in self._refused:
            fresh_s = self._reign.fresh_until_s(
                operation.namenode, operation.began_s, operation.ended_s
            )
            if fresh_s < operation.began_s:
                verdict.counts["refused by a NameNode that was replaced"] += 1
                continue
            known = ", ".join(f"{path} is {_draw(value)}" for path, value in before.items())
            text = f"executed twice, or forgotten: {operation.describe()}, though {known}"
            verdict.accuse("P4", text, operation.began_s)

    # Reads.

    def judge_reads(self, reads: Sequence[Operation], verdict: Verdict) -> None:
        over: list[tuple[float, int]] = []
        """Ends of reads, and the least position that each may have seen."""
        past = Peaks()
        for read in sorted(reads, key=lambda each: each.began_s):
            if read.outcome is not Outcome.OK:
                continue
            fresh_s = self._reign.fresh_until_s(read.namenode, read.began_s, read.ended_s)
            if fresh_s < read.began_s:
                verdict.counts["read from a NameNode that was replaced"] += 1
            while over and over[0][0] < read.began_s:
                past.add(*heapq.heappop(over))
            position = self._judge_read(read, fresh_s, past.before(fresh_s), verdict)
            heapq.heappush(over, (read.ended_s, position))

    def _judge_read(self, read: Operation, fresh_s: float, seen: int, verdict: Verdict) -> int:
        """The least position that fits: 2n is after n known operations, 2n + 1 during the next."""
        if isinstance(read.answer, str) and read.answer.startswith("damaged"):
            verdict.accuse("P8", read.describe(), read.began_s)
            return seen
        if read.kind is Kind.LIST and read.answer is None:
            verdict.accuse("P1", f"the directory is gone: {read.describe()}", read.began_s)
            return seen
        self._judge_doubts(read, fresh_s, verdict)
        names = self._names_seen(read)
        acknowledged = 2 * bisect_left(self._ended, fresh_s)
        last = 2 * bisect_right(self._began, read.ended_s)
        first = max(acknowledged, seen)
        for position in range(first, last + 1):
            if self._matches(position, names):
                return position
        self._accuse_read(read, names, first, acknowledged, verdict)
        return min(first, last)

    def _names_seen(self, read: Operation) -> dict[str, Seen]:
        """All names that the read tells something of and that are beyond doubt."""
        seen = seen_of(read)
        if read.kind is Kind.LIST:
            everything = {*self._values, *seen}
            seen = {path: seen.get(path) for path in everything}
        return {
            path: value for path, value in seen.items() if not self._is_doubted(path, read.ended_s)
        }

    def _is_doubted(self, path: str, by_s: float) -> bool:
        doubt = self._doubts.get(path)
        return doubt is not None and doubt.operation.began_s <= by_s

    def _matches(self, position: int, names: Mapping[str, Seen]) -> bool:
        step, during = divmod(position, 2)
        if not during:
            return all(fits(self._value(path, step), seen) for path, seen in names.items())
        operation = self._steps[step]
        if operation.kind not in IN_STEPS:
            return False
        return all(
            half_done(self._value(path, step), operation, seen)
            if path == operation.path
            else fits(self._value(path, step), seen)
            for path, seen in names.items()
        )

    def _accuse_read(
        self,
        read: Operation,
        names: Mapping[str, Seen],
        first: int,
        acknowledged: int,
        verdict: Verdict,
    ) -> None:
        """In the words that fit best: lost, gone back, or never so."""
        wrong = {
            path: seen
            for path, seen in names.items()
            if not any(
                self._matches(position, {path: seen})
                for position in range(first, 2 * bisect_right(self._began, read.ended_s) + 1)
            )
        }
        parts = [
            f"{path} was seen as {_draw(seen)}, it is {_draw(self._value(path, first // 2))}"
            for path, seen in list((wrong or names).items())[:4]
        ]
        earlier = any(self._matches(position, names) for position in range(first))
        if earlier and first > acknowledged:
            how = "went back in time behind an earlier read"
        elif earlier:
            how = "does not see what was acknowledged before it"
        else:
            how = "saw what never was"
        text = f"{how}: {read.describe()[:600]}: {'; '.join(parts)}"
        verdict.accuse("P1", text, read.began_s)

    def _judge_doubts(self, read: Operation, fresh_s: float, verdict: Verdict) -> None:
        seen = seen_of(read)
        known = {id(doubt): doubt for doubt in self._doubts.values()}
        for doubt in known.values():
            if doubt.operation.began_s > read.began_s:
                continue
            if read.kind is Kind.LIST:
                about = {path: seen.get(path) for path in doubt.before}
            else:
                about = {path: seen[path] for path in doubt.before if path in seen}
            wrong = doubt.judge(read, fresh_s, about) if about else ""
            if wrong:
                text = f"{wrong}: {read.describe()[:400]} after {doubt.operation.describe()}"
                verdict.accuse("P1", text, read.began_s)

    def readable(self) -> list[str]:
        """In the end: the directory, and every file that is known to be there."""
        files = [
            path
            for path in self._values
            if path not in self._doubts and isinstance(self._value(path, len(self._steps)), tuple)
        ]
        return [self._directory, *files]

    def judge_end(self, reads: Sequence[Operation], from_s: float, verdict: Verdict) -> None:
        """Whatever is known to be there could be read when all was well again."""
        done = {
            (read.path, read.kind)
            for read in reads
            if read.began_s >= from_s and read.outcome is Outcome.OK
        }
        for path in self.readable():
            kind = Kind.LIST if path == self._directory else Kind.READ
            if (path, kind) not in done:
                text = f"{path} can't be read when all is well again"
                verdict.accuse("P1", text, from_s)


class Peaks:
    """The highest position of all reads that had ended before some moment."""

    def __init__(self) -> None:
        self._ends: list[float] = []
        self._peaks: list[int] = []

    def add(self, ended_s: float, position: int) -> None:
        """In the order of the ends."""
        self._ends.append(ended_s)
        self._peaks.append(max(position, self._peaks[-1] if self._peaks else 0))

    def before(self, moment_s: float) -> int:
        at = bisect_left(self._ends, moment_s)
        return self._peaks[at - 1] if at else 0


# --- what operations do ---


def names_of(operation: Operation) -> list[str]:
    """That a write is about."""
    return [path for path in (operation.path, operation.target) if path]


def effect(operation: Operation, before: Mapping[str, Value]) -> dict[str, Value]:
    """What its names are when it is done."""
    path = operation.path
    match operation.kind:
        case Kind.MKDIR:
            return {path: DIRECTORY}
        case Kind.CREATE:
            return {path: ()}
        case Kind.WRITE:
            return {path: (Record(operation.number, operation.size),)}
        case Kind.APPEND:
            content = before[path]
            assert isinstance(content, tuple), operation.describe()
            return {path: (*content, Record(operation.number, operation.size))}
        case Kind.RENAME:
            return {path: None, operation.target: before[path]}
        case Kind.DELETE:
            return {path: None}
        case _:
            raise AssertionError(operation.describe())


def fits(value: Value, seen: Seen) -> bool:
    """Whether a name with this value can be seen so."""
    if isinstance(value, tuple) and isinstance(seen, int):
        return sum(record.size for record in value) == seen
    if seen == NO_FILE:
        return not isinstance(value, tuple)
    return value == seen


def half_done(before: Value, operation: Operation, seen: Seen) -> bool:
    """Whether the file of a CREATE, WRITE or APPEND can be seen so before it is acknowledged.

    hdfs-native reads a file without its unfinished last block, which an append makes of one that
    was finished: it may see less than was there before.
    """
    content: Content = before if isinstance(before, tuple) else ()
    if isinstance(seen, int):
        length = sum(record.size for record in content)
        return length <= seen <= length + operation.size
    if not isinstance(seen, tuple):
        return operation.kind is not Kind.APPEND and fits(None, seen)
    whole = (*content, Record(operation.number, operation.size))
    return len(seen) <= len(whole) and all(map(_begins, whole, seen))


def _begins(record: Record, seen: Record) -> bool:
    """Whether it is this record or its beginning: cut within its first line it has no number."""
    return seen == record or (not seen.is_whole and seen.number in (0, record.number))


def seen_of(read: Operation) -> dict[str, Seen]:
    """What a read tells of the names that it names."""
    answer = read.answer
    if read.kind is Kind.LIST:
        return {f"{read.path}/{name}": value for name, value in (answer or {}).items()}
    if read.kind is Kind.READ and isinstance(answer, list):
        return {read.path: tuple(Record(*row) for row in answer)}
    return {read.path: answer}


def _draw(seen: Seen) -> str:
    if seen is None:
        return "nothing"
    if isinstance(seen, int):
        return f"{seen} bytes"
    if isinstance(seen, tuple):
        return f"records {[(r.number, r.size, r.seen_bytes) for r in seen]}"
    return seen


# --- who led ---


def readable(operations: Iterable[Operation]) -> list[str]:
    """What must be readable when all is well again."""
    writes: dict[str, list[Operation]] = {}
    for operation in operations:
        if operation.kind not in READS:
            writes.setdefault(operation.directory, []).append(operation)
    nobody = Reign([])
    return [
        path
        for directory, found in writes.items()
        for path in Register(directory, found, nobody).readable()
    ]


def _judge_acknowledgements(
    writes: Iterable[Sequence[Operation]], reign: Reign, verdict: Verdict
) -> None:
    for operations in writes:
        for operation in operations:
            if operation.outcome is not Outcome.OK or not operation.namenode:
                continue
            stint = reign.led_only_before(operation.namenode, operation.began_s, operation.ended_s)
            if stint is not None:
                text = f"acknowledged in epoch {stint.epoch} of {stint.namenode}, which was over"
                verdict.accuse("P2", f"{text}: {operation.describe()}", operation.began_s)


def judge_epochs(reign: Reign, verdict: Verdict) -> None:
    """One active in one epoch."""
    owners: dict[int, list[str]] = {}
    for stint in reign.stints:
        owners.setdefault(stint.epoch, []).append(f"{stint.namenode} at {stint.claimed_s:.3f}")
        if len(owners[stint.epoch]) > 1:
            text = f"epoch {stint.epoch} is of {' and of '.join(owners[stint.epoch])}"
            verdict.accuse("P2", text, stint.claimed_s)
    verdict.counts["epochs"] = len(owners)
    verdict.counts["stints"] = sum(not math.isinf(s.active_s) for s in reign.stints)


# --- what lies in the journals ---


def judge_calls(calls: Iterable[tuple[str, int]], verdict: Verdict) -> None:
    """`calls`: the identity of each logged call that has one, and its transaction."""
    known: dict[str, int] = {}
    for call, txid in calls:
        if call in known:
            text = f"call {call} was executed in transaction {known[call]} and in {txid}"
            verdict.accuse("P4", text, 0.0)
        known.setdefault(call, txid)
    verdict.counts["calls in the journal"] = len(known)


def judge_segments(copies: Mapping[str, Mapping[str, Sequence[str]]], verdict: Verdict) -> None:
    """`copies`: of each finalized segment its contents, and which journals have each (P3)."""
    for name, by_content in copies.items():
        if len(by_content) > 1:
            holders = " against ".join(",".join(who) for who in by_content.values())
            verdict.accuse("P3", f"{name} differs: {holders}", 0.0)
    verdict.counts["segments"] = len(copies)


def around(
    operations: Iterable[Operation], accusation: Accusation, seconds: float = 3.0
) -> Iterator[Operation]:
    """What clients did near it."""
    for operation in operations:
        if (
            operation.began_s <= accusation.at_s + seconds
            and operation.ended_s >= accusation.at_s - seconds
        ):
            yield operation


def directory_of(client: str) -> str:
    """Where a writer writes."""
    return f"{ROOT}/{client}"
