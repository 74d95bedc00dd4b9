"""Who is asked next, walked through from every state."""

from __future__ import annotations

import itertools

import pytest

from hdfsd.client.route import Hedged, InTurn


def test_in_turn_asks_one_until_it_fails() -> None:
    route = InTurn(3)
    assert route.targets() == (0,)
    route.answered(0)
    assert route.targets() == (0,)
    for expected in (1, 2, 0):
        route.failed(route.targets())
        assert (route.targets(), route.first) == ((expected,), expected)


def test_in_turn_a_late_failure_of_another_one_changes_nothing() -> None:
    route = InTurn(2)
    route.failed((0,))
    route.failed((0,))
    assert route.targets() == (1,)


def test_hedged_asks_all_until_one_answers_and_that_one_until_it_fails() -> None:
    route = Hedged(3)
    assert list(route.targets()) == [0, 1, 2]
    route.answered(1)
    assert (list(route.targets()), route.first) == ([1], 1)
    route.failed((1,))
    assert list(route.targets()) == [0, 2], "the one that failed is passed over once"
    route.failed((0, 2))
    assert list(route.targets()) == [0, 1, 2]


def test_hedged_of_one() -> None:
    route = Hedged(1)
    route.answered(0)
    route.failed((0,))
    assert list(route.targets()) == [0], "there is nobody else"


def test_hedged_a_late_failure_of_those_asked_before_changes_nothing() -> None:
    route = Hedged(2)
    route.answered(1)
    route.failed((0,))
    assert list(route.targets()) == [1]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", [InTurn, Hedged])
def test_whatever_happens_everybody_is_asked_within_two_rounds(
    kind: type[InTurn] | type[Hedged], count: int
) -> None:
    """From every state that three events lead to, failures alone reach each NameNode."""
    told = [("answered", index) for index in range(count)] + [("failed", None)]
    for events in itertools.product(told, repeat=3):
        route = kind(count)
        for what, index in events:
            if what == "failed":
                route.failed(route.targets())
            elif index in route.targets():
                assert index is not None
                route.answered(index)
        asked: set[int] = set()
        for _ in range(2 * count):
            asked |= set(route.targets())
            route.failed(route.targets())
        assert asked == set(range(count)), events
