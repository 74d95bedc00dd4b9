"""Majorities against the obvious way to count them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.ids import NodeId, TxId
from hdfsd.quorum.tally import Tally, Verdict, committed, majority


@pytest.mark.parametrize(("total", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_majority(total: int, needed: int) -> None:
    assert majority(total) == needed


def test_two_majorities_always_meet() -> None:
    for total in range(1, 8):
        sets = list(itertools.combinations(range(total), majority(total)))
        assert all(set(a) & set(b) for a in sets for b in sets)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 6).map(TxId), min_size=1, max_size=7))
def test_committed_is_what_a_majority_has(acked: list[TxId]) -> None:
    dumb = max(t for t in range(7) if sum(a >= t for a in acked) > len(acked) / 2)
    assert committed(acked) == dumb


JOURNALS = [NodeId(name) for name in ("jn1", "jn2", "jn3")]


@pytest.mark.parametrize("needed", [None, 1, 2, 3])
def test_every_sequence_of_answers(needed: int | None) -> None:
    for votes in itertools.product("+-?", repeat=3):
        tally: Tally[int] = Tally(JOURNALS, needed)
        for journal, vote in zip(JOURNALS, votes):
            if vote == "+":
                tally.answer(journal, 1)
            elif vote == "-":
                tally.fail(journal, "down")
        least = needed or 2
        won, able = votes.count("+") >= least, votes.count("+") + votes.count("?") >= least
        expected = Verdict.WON if won else Verdict.PENDING if able else Verdict.LOST
        assert tally.verdict is expected
        assert tally.complete == ("?" not in votes)


def test_answers_and_reasons_keep_the_order_of_the_journals() -> None:
    tally: Tally[str] = Tally(JOURNALS)
    tally.fail(JOURNALS[2], "refused")
    tally.answer(JOURNALS[1], "b")
    assert tally.describe() == "jn1? jn2+ jn3- of 2 needed: pending"
    assert tally.reasons("silent") == {"jn1": "silent", "jn3": "refused"}
    tally.answer(JOURNALS[0], "a")
    assert list(tally.answers.items()) == [("jn1", "a"), ("jn2", "b")]
    assert tally.failures == {"jn3": "refused"}
    assert [tally.has_heard(j) for j in JOURNALS] == [True, True, True]


def test_nobody_votes_twice() -> None:
    tally: Tally[int] = Tally(JOURNALS)
    tally.answer(JOURNALS[0], 1)
    for journal in (JOURNALS[0], NodeId("stranger")):
        with pytest.raises(AssertionError):
            tally.fail(journal, "again")
