"""Decisions of a recovery: tables, all small answer sets, and every reachable state of a model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from hdfsd.base.errors import InvariantBroken
from hdfsd.base.ids import Epoch, NodeId, TxId
from hdfsd.quorum.recovery import Decision, PrepareAnswer, Segment, decide

JOURNALS = ("jn1", "jn2", "jn3")


def answer(
    journal: str,
    last: int | None = None,
    *,
    finalized: bool = False,
    writer: int = 1,
    accepted: int = 0,
    committed: int = 0,
) -> PrepareAnswer:
    segment = None if last is None else Segment(TxId(1), TxId(last), finalized)
    return PrepareAnswer(NodeId(journal), segment, Epoch(accepted), Epoch(writer), TxId(committed))


@pytest.mark.parametrize(
    ("answers", "end", "source", "reason"),
    [
        (
            [answer("jn1"), answer("jn2")],
            None,
            None,
            "no journal of this quorum holds the segment",
        ),
        (
            [answer("jn1"), answer("jn2", 3)],
            3,
            "jn2",
            "jn2 with 1..3 in progress: the only copy of this quorum",
        ),
        (
            [answer("jn1", 4), answer("jn2", 3, finalized=True)],
            3,
            "jn2",
            "jn2 with 1..3 finalized: finalized beats in progress",
        ),
        (
            [answer("jn1", 3, finalized=True), answer("jn2", 3, finalized=True)],
            3,
            "jn1",
            "jn1 with 1..3 finalized: every copy is finalized and ends alike",
        ),
        (
            [answer("jn1", 4, writer=1), answer("jn2", 2, writer=2)],
            2,
            "jn2",
            "jn2 with 1..2 in progress: writer of epoch 2 is the newest",
        ),
        (
            [answer("jn1", 4, writer=1), answer("jn2", 2, writer=1, accepted=2)],
            2,
            "jn2",
            "jn2 with 1..2 in progress: accepted recovery of epoch 2 is the newest",
        ),
        (
            [answer("jn1", 4), answer("jn2", 5), answer("jn3", 3)],
            5,
            "jn2",
            "jn2 with 1..5 in progress: longest of epoch 1",
        ),
        (
            [answer("jn1", 4), answer("jn2", 4)],
            4,
            "jn1",
            "jn1 with 1..4 in progress: all copies of epoch 1 end alike",
        ),
    ],
)
def test_decisions(
    answers: list[PrepareAnswer], end: int | None, source: str | None, reason: str
) -> None:
    decision = decide(answers)
    assert (decision.segment.last_txid if decision.segment else None) == end
    assert decision.source == source
    assert decision.reason == reason


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        ([answer("jn1", 3, finalized=True), answer("jn2", 4, finalized=True)], "Q2"),
        ([answer("jn1", 3, committed=4), answer("jn2", 2)], "Q1"),
        ([answer("jn1", committed=4), answer("jn2", 3)], "Q1"),
        (
            [answer("jn1", 3), replace(answer("jn2"), segment=Segment(TxId(2), TxId(3), False))],
            "Q2",
        ),
    ],
)
def test_answers_that_no_protocol_gives(answers: list[PrepareAnswer], what: str) -> None:
    with pytest.raises(InvariantBroken, match=what) as caught:
        decide(answers)
    assert "jn1 has" in str(caught.value)


def _possible_answers(journal: str) -> list[PrepareAnswer]:
    rows = [answer(journal, writer=w) for w in range(3)]
    for last, finalized, writer, accepted in itertools.product(
        range(1, 4), (False, True), range(1, 3), range(3)
    ):
        rows.append(answer(journal, last, finalized=finalized, writer=writer, accepted=accepted))
    return rows


def test_every_answer_set_of_three_journals() -> None:
    """The choice does not depend on the order of the answers, and obeys the comparator's order."""
    rows = [_possible_answers(journal) for journal in JOURNALS]
    seen = 0
    for answers in itertools.product(*rows):
        finalized = {a.segment.last_txid for a in answers if a.segment and a.segment.finalized}
        if len(finalized) > 1:
            with pytest.raises(InvariantBroken):
                decide(answers)
            continue
        chosen = decide(answers).segment
        assert decide(answers[::-1]).segment == chosen
        held = [a for a in answers if a.segment is not None]
        if not held:
            assert chosen is None
            continue
        assert chosen is not None
        if finalized:
            assert (chosen.finalized, chosen.last_txid) == (True, finalized.pop())
        else:
            newest = max(a.seen_epoch for a in held)
            ends = [a.segment.last_txid for a in held if a.segment and a.seen_epoch == newest]
            assert chosen.last_txid == max(ends)
        seen += 1
    assert seen > 20_000


# A model of the protocol for one segment, explored whole. The content of a copy is a tuple with one
# entry per transaction: the epoch of the writer that wrote it.

Content = tuple[int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Copy:
    """One journal of the model."""

    promised: int = 0
    writer: int = 0
    content: Content = ()
    finalized: bool = False
    accepted: tuple[int, int] = (0, 0)
    """(epoch, length)"""


@dataclass(frozen=True, slots=True, order=True)
class Writer:
    phase: str
    content: Content = ()
    seen_epoch: int = -1
    """Of the copy that was chosen; -1: not told."""


@dataclass(frozen=True, slots=True)
class World:
    copies: tuple[Copy, ...] = (Copy(), Copy(), Copy())
    writers: tuple[Writer, ...] = ()
    """The writer of epoch e is writers[e - 1]."""
    acked: Content = ()
    """The longest content that a writer was told to be on a majority."""
    decided: Content | None = None
    """What a majority accepted in one epoch, or a writer finalized."""


Decide = Callable[[Sequence[PrepareAnswer]], Decision]
MustFetch = Callable[[Copy, int | None], bool]
MayFinalize = Callable[[Copy, int], bool]


class Violation(AssertionError):
    """The model reached a state that the invariants forbid."""


def must_fetch(copy: Copy, seen_epoch: int | None) -> bool:
    """journal.acceptor's rule for a copy that already has the decided length."""
    return seen_epoch != max(copy.writer, copy.accepted[0])


def may_finalize(copy: Copy, epoch: int) -> bool:
    """journal.acceptor's rule for a copy that is not open and has the length to finalize."""
    return copy.finalized or epoch in (copy.writer, copy.accepted[0])


def _subsets(least: int) -> Iterator[tuple[int, ...]]:
    for size in range(least, 4):
        yield from itertools.combinations(range(3), size)


class Model:
    """All successors of a world. Messages are delivered to any subset of the journals."""

    def __init__(
        self,
        choose: Decide = decide,
        fetch_rule: MustFetch = must_fetch,
        finalize_rule: MayFinalize = may_finalize,
        *,
        writers: int = 3,
        txns: int = 2,
    ) -> None:
        self.choose = choose
        self.fetch_rule = fetch_rule
        self.finalize_rule = finalize_rule
        self.writers = writers
        self.txns = txns

    def explore(self) -> int:
        """Number of worlds; raises Violation at the first that is wrong."""
        start = World()
        seen = {start}
        todo = [start]
        while todo:
            world = todo.pop()
            for following in self.successors(world):
                # Journals are alike: keep one order of them.
                canonical = replace(following, copies=tuple(sorted(following.copies)))
                self.check(canonical)
                if canonical not in seen:
                    seen.add(canonical)
                    todo.append(canonical)
        return len(seen)

    def check(self, world: World) -> None:
        finals = {copy.content for copy in world.copies if copy.finalized}
        if world.decided is not None:
            finals.add(world.decided)
        if len(finals) > 1:
            raise Violation(f"Q2: {world}")
        for content in finals:
            if content[: len(world.acked)] != world.acked:
                raise Violation(f"Q1: {world}")

    def successors(self, world: World) -> Iterator[World]:
        if len(world.writers) < self.writers:
            for subset in _subsets(2):
                yield from self.recover(world, subset)
        for number, writer in enumerate(world.writers, 1):
            if writer.phase == "writing" and len(writer.content) < self.txns:
                for subset in _subsets(0):
                    yield self.write(world, number, subset)
            elif writer.phase == "starting":
                for subset in _subsets(0):
                    yield self.start(world, number, subset)
            elif writer.phase == "accepting":
                for subset in _subsets(0):
                    yield self.accept(world, number, subset)
            elif writer.phase == "finalizing":
                for subset in _subsets(1):
                    yield self.finalize(world, number, subset)

    def recover(self, world: World, subset: tuple[int, ...]) -> Iterator[World]:
        """newEpoch and prepareRecovery on a quorum, and the decision."""
        epoch = len(world.writers) + 1
        copies = list(world.copies)
        answers = []
        for j in subset:
            copies[j] = replace(copies[j], promised=epoch)
            answers.append(self.prepare(j, copies[j]))
        decision = self.choose(answers)
        if decision.segment is None:
            writer = Writer("starting")
        else:
            source = copies[int(decision.source or 0)]
            if len(source.content) != decision.segment.last_txid:
                raise Violation(f"accepted {decision} but the copy is {source}")
            told = -1 if decision.seen_epoch is None else decision.seen_epoch
            writer = Writer("accepting", source.content, told)
        yield replace(world, copies=tuple(copies), writers=(*world.writers, writer))

    def prepare(self, j: int, copy: Copy) -> PrepareAnswer:
        segment = None
        if copy.content:
            segment = Segment(TxId(1), TxId(len(copy.content)), copy.finalized)
        return PrepareAnswer(
            NodeId(str(j)), segment, Epoch(copy.accepted[0]), Epoch(copy.writer), TxId(0)
        )

    def _set(self, world: World, epoch: int, writer: Writer, copies: list[Copy]) -> World:
        writers = list(world.writers)
        writers[epoch - 1] = writer
        return replace(world, copies=tuple(copies), writers=tuple(writers))

    def start(self, world: World, epoch: int, subset: tuple[int, ...]) -> World:
        copies, took = list(world.copies), 0
        for j in subset:
            copy = copies[j]
            # A copy with more than the opening transaction refuses to be started anew.
            if copy.promised <= epoch and not copy.finalized and len(copy.content) <= 1:
                copies[j] = Copy(promised=epoch, writer=epoch)
                took += 1
        return self._set(world, epoch, Writer("writing" if took >= 2 else "dead"), copies)

    def write(self, world: World, epoch: int, subset: tuple[int, ...]) -> World:
        before = world.writers[epoch - 1].content
        content = (*before, epoch)
        copies, took = list(world.copies), 0
        for j in subset:
            copy = copies[j]
            fits = copy.promised == epoch == copy.writer and copy.content == before
            if fits and not copy.finalized:
                copies[j] = replace(copy, content=content)
                took += 1
        if took < 2:
            return self._set(world, epoch, Writer("dead"), copies)
        return replace(self._set(world, epoch, Writer("writing", content), copies), acked=content)

    def accept(self, world: World, epoch: int, subset: tuple[int, ...]) -> World:
        writer = world.writers[epoch - 1]
        content = writer.content
        copies, took = list(world.copies), 0
        for j in subset:
            copy = copies[j]
            if copy.promised > epoch or (copy.finalized and len(copy.content) != len(content)):
                continue
            same_length = len(copy.content) == len(content)
            if not copy.finalized and (not same_length or self.fetch_rule(copy, writer.seen_epoch)):
                copy = replace(copy, content=content)
            copies[j] = replace(copy, promised=epoch, accepted=(epoch, len(content)))
            took += 1
        if took < 2:
            return self._set(world, epoch, Writer("dead"), copies)
        following = self._set(world, epoch, Writer("finalizing", content), copies)
        return self._decided(following, content)

    def finalize(self, world: World, epoch: int, subset: tuple[int, ...]) -> World:
        content = world.writers[epoch - 1].content
        copies = list(world.copies)
        for j in subset:
            copy = copies[j]
            fits = copy.promised <= epoch and len(copy.content) == len(content)
            if fits and self.finalize_rule(copy, epoch):
                copies[j] = replace(copy, promised=epoch, finalized=True, accepted=(0, 0))
        return self._set(world, epoch, Writer("dead"), copies)

    def _decided(self, world: World, content: Content) -> World:
        if world.decided is not None and world.decided != content:
            raise Violation(f"Q2: decided {content} after {world.decided}: {world}")
        return replace(world, decided=content)


def test_no_committed_transaction_is_lost_and_decisions_agree() -> None:
    """Q1 and Q2 in every world that three writers and three transactions can reach."""
    assert Model(txns=3).explore() > 10_000


def longest(answers: Sequence[PrepareAnswer]) -> Decision:
    held = [a for a in answers if a.segment is not None]
    if not held:
        return Decision(None, None, "")
    best = max(held, key=lambda a: (a.segment.finalized, a.segment.last_txid))  # type: ignore[union-attr]
    return Decision(best.segment, best.journal, "the longest")


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(Model(longest), id="length-over-epoch"),
        pytest.param(Model(fetch_rule=lambda copy, seen: False), id="same-length-same-copy"),
        pytest.param(Model(finalize_rule=lambda copy, epoch: True), id="finalize-by-length"),
    ],
)
def test_the_model_finds_planted_bugs(model: Model) -> None:
    """The last two are what Hadoop's JournalNodes do; it takes three writers to hurt."""
    with pytest.raises(Violation):
        model.explore()
