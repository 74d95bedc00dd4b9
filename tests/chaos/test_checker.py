"""The judge of a chaos: it finds each kind of violation, and none where there is none."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from checker import Verdict, judge, judge_calls, judge_segments, readable
from histories import DIRECTORY, NO_FILE, Kind, Operation, Outcome
from stints import Reign, Stint

HOME = "/chaos/w"
FOREVER = float("inf")


class Story:
    """A history as it is told: each operation takes 0.5 s, and one begins each second."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._clock = count(1)

    def write(self, kind: Kind, name: str, *, target: str = "", **more: Any) -> Operation:
        began_s = float(next(self._clock))
        made = Operation(
            client="w",
            number=len(self.operations) + 1,
            kind=kind,
            path=f"{HOME}/{name}",
            target=target and f"{HOME}/{target}",
            began_s=began_s,
            ended_s=began_s + 0.5,
            outcome=Outcome.OK,
        )
        self.operations.append(replace(made, **more))
        return self.operations[-1]

    def read(self, kind: Kind, name: str, answer: Any, **more: Any) -> Operation:
        path = f"{HOME}/{name}".rstrip("/")
        began_s = float(next(self._clock))
        made = Operation("r", 0, kind, path, began_s, began_s + 0.5, Outcome.OK, answer=answer)
        self.operations.append(replace(made, **more))
        return self.operations[-1]

    def verdict(self, *stints: Stint, **more: Any) -> Verdict:
        return judge(self.operations, Reign(stints), **more)

    def accused(self, *stints: Stint, **more: Any) -> list[str]:
        return [str(each) for each in self.verdict(*stints, **more).accusations]


@pytest.fixture
def story() -> Story:
    return Story()


def the_only(accused: list[str]) -> str:
    (found,) = accused
    return found


# --- nothing wrong ---


def test_a_life_of_a_name(story: Story) -> None:
    story.read(Kind.LIST, "", {})
    made = story.write(Kind.WRITE, "a", size=100)
    story.read(Kind.LOOK, "a", 100)
    more = story.write(Kind.APPEND, "a", size=50)
    records = [[made.number, 100, -1], [more.number, 50, -1]]
    story.read(Kind.READ, "a", records)
    story.write(Kind.RENAME, "a", target="b")
    story.write(Kind.MKDIR, "a")
    story.write(Kind.CREATE, "c")
    story.read(Kind.LIST, "", {"a": DIRECTORY, "b": 150, "c": 0})
    story.write(Kind.DELETE, "a")
    story.read(Kind.LOOK, "a", None)
    story.read(Kind.READ, "a", NO_FILE)
    story.read(Kind.READ, "b", records, began_s=90.0, ended_s=91.0)
    story.read(Kind.READ, "c", [], began_s=90.0, ended_s=91.0)
    story.read(Kind.LIST, "", {"b": 150, "c": 0}, began_s=90.0, ended_s=91.0)
    assert story.accused(last_reads_from_s=80.0) == []
    assert readable(story.operations) == [HOME, f"{HOME}/b", f"{HOME}/c"]


@pytest.mark.parametrize("seen", [None, 0, 60, 100])
def test_a_read_beside_a_write_sees_it_half_done(story: Story, seen: int | None) -> None:
    story.write(Kind.WRITE, "a", size=100)
    story.read(Kind.LOOK, "a", seen, began_s=1.1, ended_s=1.2)
    assert story.accused() == []


@pytest.mark.parametrize(
    "rest", [[], [[1, 100, 7]], [[1, 100, -1], [2, 50, 20]], [[1, 100, -1], [0, 0, 3]]]
)
def test_a_read_beside_an_append_sees_a_beginning(story: Story, rest: list[list[int]]) -> None:
    story.write(Kind.WRITE, "a", size=100)
    story.write(Kind.APPEND, "a", size=50)
    story.read(Kind.READ, "a", rest, began_s=2.1, ended_s=2.2)
    assert story.accused() == []


def test_an_unknown_outcome_allows_both(story: Story) -> None:
    for name, seen in (("a", None), ("b", DIRECTORY)):
        story.write(Kind.MKDIR, name, outcome=Outcome.UNKNOWN, ended_s=FOREVER)
        story.read(Kind.LOOK, name, seen)
    assert story.accused() == []


def test_what_is_unknown_may_be_done_late(story: Story) -> None:
    story.write(Kind.MKDIR, "a", outcome=Outcome.UNKNOWN)
    story.write(Kind.CREATE, "b")
    story.read(Kind.LIST, "", {"b": 0})
    story.read(Kind.LIST, "", {"a": DIRECTORY, "b": 0})
    assert story.accused() == []


# --- acknowledged, and lost ---


def test_a_lost_acknowledgement(story: Story) -> None:
    story.write(Kind.CREATE, "a")
    story.read(Kind.LOOK, "a", None)
    assert "does not see what was acknowledged before it" in the_only(story.accused())


def test_a_removal_that_is_undone(story: Story) -> None:
    story.write(Kind.CREATE, "a")
    story.write(Kind.DELETE, "a")
    story.read(Kind.LIST, "", {"a": 0})
    assert "does not see what was acknowledged before it" in the_only(story.accused())


def test_a_lost_append(story: Story) -> None:
    made = story.write(Kind.WRITE, "a", size=100)
    story.write(Kind.APPEND, "a", size=50)
    story.read(Kind.READ, "a", [[made.number, 100, -1]])
    assert the_only(story.accused()).startswith("P1: does not see")


def test_a_file_that_can_not_be_read_in_the_end(story: Story) -> None:
    story.write(Kind.CREATE, "a")
    story.read(Kind.LIST, "", {"a": 0})
    story.read(Kind.READ, "a", "blocks missing", outcome=Outcome.UNKNOWN)
    told = the_only(story.accused(last_reads_from_s=2.0))
    assert f"{HOME}/a can't be read when all is well again" in told


def test_a_directory_that_is_gone(story: Story) -> None:
    story.read(Kind.LIST, "", None)
    assert "the directory is gone" in the_only(story.accused())


# --- executed twice ---


@pytest.mark.parametrize("kind", [Kind.DELETE, Kind.RENAME])
def test_a_refusal_of_what_is_possible(story: Story, kind: Kind) -> None:
    story.write(Kind.CREATE, "a")
    target = "b" if kind is Kind.RENAME else ""
    story.write(kind, "a", target=target, outcome=Outcome.REFUSED, answer="false")
    assert the_only(story.accused()).startswith("P4: executed twice, or forgotten")


def test_an_append_that_is_done_twice(story: Story) -> None:
    made = story.write(Kind.CREATE, "a")
    more = story.write(Kind.APPEND, "a", size=50)
    assert made.number != more.number
    story.read(Kind.READ, "a", [[more.number, 50, -1], [more.number, 50, -1]])
    assert "saw what never was" in the_only(story.accused())


def test_a_delete_that_is_done_again_later(story: Story) -> None:
    story.write(Kind.CREATE, "a")
    story.write(Kind.DELETE, "a")
    story.write(Kind.CREATE, "a")
    story.read(Kind.LOOK, "a", None)
    assert len(story.accused()) == 1


def test_a_call_that_is_in_the_journal_twice() -> None:
    verdict = Verdict()
    judge_calls([("c/1", 10), ("c/2", 11), ("c/1", 12)], verdict)
    (found,) = verdict.accusations
    assert str(found) == "P4: call c/1 was executed in transaction 10 and in 12"


# --- back in time ---


def test_a_read_behind_an_earlier_read(story: Story) -> None:
    """The write is under way all the time, so both answers are possible, in one order only."""
    story.write(Kind.RENAME, "a", target="b", ended_s=50.0, outcome=Outcome.OK)
    story.operations.insert(
        0,
        replace(
            story.operations[0], kind=Kind.CREATE, target="", number=0, began_s=0.1, ended_s=0.2
        ),
    )
    story.read(Kind.LIST, "", {"b": 0})
    assert story.accused() == []
    story.read(Kind.LIST, "", {"a": 0})
    assert "went back in time behind an earlier read" in the_only(story.accused())


def test_reads_at_the_same_time_have_no_order(story: Story) -> None:
    story.write(Kind.MKDIR, "a", ended_s=50.0)
    story.read(Kind.LOOK, "a", DIRECTORY, began_s=2.0, ended_s=9.0)
    story.read(Kind.LOOK, "a", None, began_s=3.0, ended_s=4.0)
    assert story.accused() == []


def test_an_unknown_outcome_that_is_seen_and_undone(story: Story) -> None:
    story.write(Kind.CREATE, "a", outcome=Outcome.UNKNOWN, ended_s=FOREVER)
    story.read(Kind.LOOK, "a", 0)
    story.read(Kind.LOOK, "a", None)
    assert "it was seen done, and is undone" in the_only(story.accused())


def test_half_a_rename(story: Story) -> None:
    story.write(Kind.CREATE, "a")
    story.write(Kind.RENAME, "a", target="b", outcome=Outcome.UNKNOWN)
    story.read(Kind.LIST, "", {"a": 0, "b": 0})
    assert "one name is as before, the other as after" in the_only(story.accused())


def test_a_name_that_nobody_made(story: Story) -> None:
    story.write(Kind.CREATE, "a")
    story.read(Kind.LIST, "", {"a": 0, "x": DIRECTORY})
    assert "saw what never was" in the_only(story.accused())


def test_damaged_bytes(story: Story) -> None:
    story.read(Kind.READ, "a", "damaged at byte 7: b'?'")
    assert the_only(story.accused()).startswith("P8")


# --- who leads ---

OLD = Stint("nn1", 1, 0.0, 0.0, 30.0)
NEW = Stint("nn2", 2, 4.9, 5.0)


def test_two_actives_in_an_epoch(story: Story) -> None:
    told = the_only(story.accused(OLD, replace(NEW, epoch=1)))
    assert told == "P2: epoch 1 is of nn1 at 0.000 and of nn2 at 4.900"


def test_who_was_replaced_acknowledges(story: Story) -> None:
    story.write(Kind.MKDIR, "a", began_s=6.0, ended_s=6.1, namenode="nn1")
    told = the_only(story.accused(OLD, NEW))
    assert "acknowledged in epoch 1 of nn1, which was over" in told


@pytest.mark.parametrize("began_s", [1.0, 4.5])
def test_who_is_replaced_may_end_what_was_asked_before(story: Story, began_s: float) -> None:
    story.write(Kind.MKDIR, "a", began_s=began_s, ended_s=6.0, namenode="nn1")
    assert story.accused(OLD, NEW) == []


@pytest.mark.parametrize(("namenode", "wrong"), [("nn1", 0), ("nn2", 1), ("", 0)])
def test_who_was_replaced_may_not_know_it_yet(story: Story, namenode: str, wrong: int) -> None:
    story.write(Kind.MKDIR, "a", began_s=6.0, ended_s=6.1, namenode="nn2")
    story.read(Kind.LOOK, "a", None, began_s=7.0, ended_s=7.1, namenode=namenode)
    verdict = story.verdict(OLD, NEW)
    assert len(verdict.accusations) == wrong
    assert verdict.counts["read from a NameNode that was replaced"] == 1 - wrong


def test_who_was_replaced_knows_what_was_before(story: Story) -> None:
    story.write(Kind.MKDIR, "a", namenode="nn1")
    story.read(Kind.LOOK, "a", None, began_s=7.0, ended_s=7.1, namenode="nn1")
    assert "does not see" in the_only(story.accused(OLD, NEW))


def test_no_excuse_after_the_end_of_a_stint(story: Story) -> None:
    story.write(Kind.MKDIR, "a", began_s=31.0, ended_s=31.1, namenode="nn2")
    story.read(Kind.LOOK, "a", None, began_s=32.0, ended_s=32.1)
    assert len(story.accused(OLD, NEW)) == 1


def test_journals_that_disagree() -> None:
    verdict = Verdict()
    judge_segments(
        {"edits_1-9": {"x": ["jn1", "jn2"], "y": ["jn3"]}, "edits_10-12": {"z": ["jn1"]}}, verdict
    )
    (found,) = verdict.accusations
    assert str(found) == "P3: edits_1-9 differs: jn1,jn2 against jn3"


# --- at random ---


def test_a_true_register_is_never_accused_and_a_false_read_always() -> None:
    """A store that does each write at some moment of its interval, read at some moment of the
    read's: no accusation. One of the reads is then of an older state: always one."""
    for seed in range(60):
        dice = random.Random(seed)
        operations, states = _true_history(dice)
        assert judge(operations, Reign([])).accusations == [], seed
        index, read = dice.choice([(i, r) for i, r in enumerate(operations) if r.client == "r"])
        older = [names for at_s, names in states if at_s < read.began_s - 2.0]
        different = [names for names in older[:-1] if names != older[-1]]
        if not different:
            continue
        false = [*operations]
        false[index] = replace(read, answer=different[-1])
        accusations = judge(false, Reign([])).accusations
        # States may come again: what was so before and is so again is no lie.
        still_true = [n for at_s, n in states if at_s >= read.began_s - 3.0]
        assert accusations or different[-1] in still_true, seed


def _true_history(
    dice: random.Random,
) -> tuple[list[Operation], list[tuple[float, dict[str, str]]]]:
    now_s, names = 0.0, {}
    operations: list[Operation] = []
    states: list[tuple[float, dict[str, str]]] = [(0.0, {})]
    for number in range(1, 30):
        began_s = now_s + dice.random() * 0.2
        done_s = began_s + dice.random()
        ended_s = done_s + dice.random()
        name = f"n{dice.randrange(4)}"
        kind = Kind.DELETE if name in names else Kind.MKDIR
        names = {k: v for k, v in names.items() if k != name}
        if kind is Kind.MKDIR:
            names[name] = DIRECTORY
        states.append((done_s, names))
        operations.append(
            Operation("w", number, kind, f"{HOME}/{name}", began_s, ended_s, Outcome.OK)
        )
        now_s = ended_s
    for number in range(1, 60):
        at_s = dice.random() * now_s
        answer = [names for done_s, names in states if done_s <= at_s][-1]
        began_s, ended_s = at_s - dice.random(), at_s + dice.random()
        operations.append(
            Operation("r", number, Kind.LIST, HOME, began_s, ended_s, Outcome.OK, answer=answer)
        )
    return operations, states
