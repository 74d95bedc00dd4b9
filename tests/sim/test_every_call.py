"""A fault at every call of a writer's life and its successor's; every pair: `hdfsd sim --pairs`."""

from __future__ import annotations

import planted
import pytest

from hdfsd.sim import every_call
from hdfsd.sim.every_call import CALLS, Place, run, singles
from hdfsd.sim.journals import JOURNALS

pytestmark = pytest.mark.sim


def test_the_story_has_calls_of_every_kind_on_every_journal() -> None:
    result = run()
    assert result.failure == ""
    for journal in JOURNALS:
        for kind in CALLS.values():
            assert result.calls[journal, kind] > 10


@pytest.mark.parametrize("journal", JOURNALS)
def test_every_call(journal: str) -> None:
    failed = {}
    places = [place for place in singles() if place.journal == journal]
    for place in places:
        result = run([place])
        if result.failure:
            failed[str(place)] = result.failure
    assert len(places) > 60
    assert not failed


def test_every_place_is_met() -> None:
    """In a run that it breaks, a place is counted as in the one that it was counted in."""
    for place in singles()[::17]:
        calls = run([place]).calls
        assert calls[place.journal, CALLS[place.fault]] > place.number


def test_pairs_on_two_journals_may_stop_the_first_writer() -> None:
    pair = [Place("jn1", "power after", 2), Place("jn2", "power after", 2)]
    assert run(pair).failure == ""


def test_pairs_are_all_pairs() -> None:
    count = len(singles())
    assert sum(1 for _ in every_call.pairs()) == count * (count - 1) // 2


def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    planted.acknowledge_before_fsync(monkeypatch)
    assert "P1 at" in run([Place("jn1", "lose request", 0)]).failure
