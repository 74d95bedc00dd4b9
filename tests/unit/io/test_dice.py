"""Chance, as far as chance can be tested."""

from __future__ import annotations

import pytest

from hdfsd.io.dice import RealDice

dice = RealDice()


def test_below_reaches_every_number_and_no_other() -> None:
    assert {dice.below(3) for _ in range(300)} == {0, 1, 2}
    with pytest.raises(ValueError):
        dice.below(0)


def test_fraction_is_from_0_to_1() -> None:
    assert all(0 <= dice.fraction() < 1 for _ in range(100))


def test_pick_and_shuffle_keep_the_items() -> None:
    assert {dice.pick("ab") for _ in range(100)} == {"a", "b"}
    items = list(range(20))
    dice.shuffle(items)
    assert sorted(items) == list(range(20))


def test_tokens_differ() -> None:
    tokens = {dice.token(16) for _ in range(20)}
    assert len(tokens) == 20
    assert {len(token) for token in tokens} == {16}
