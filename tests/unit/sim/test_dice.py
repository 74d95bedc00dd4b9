"""Seeded chance."""

from __future__ import annotations

from hdfsd.sim.dice import SimDice


def draws(dice: SimDice) -> list[object]:
    items = list(range(10))
    dice.shuffle(items)
    return [dice.below(1000), dice.fraction(), dice.pick("abcdef"), dice.token(16), items]


def test_the_same_seed_shows_the_same_faces() -> None:
    assert draws(SimDice("a")) == draws(SimDice("a"))
    assert draws(SimDice("a")) != draws(SimDice("b"))


def test_a_fork_is_not_moved_by_draws_of_its_parent() -> None:
    quiet, busy = SimDice("a"), SimDice("a")
    draws(busy)
    assert draws(quiet.fork("x")) == draws(busy.fork("x"))
    assert draws(quiet.fork("x")) != draws(quiet.fork("y"))


def test_chance_and_between() -> None:
    dice = SimDice("a")
    assert not any(dice.chance(0.0) for _ in range(100))
    assert all(dice.chance(1.0) for _ in range(100))
    assert all(2.0 <= dice.between(2.0, 3.0) <= 3.0 for _ in range(100))
    assert len(dice.token(16)) == 16
