"""How a seed is run to its verdict."""

from __future__ import annotations

import asyncio

from hdfsd.sim.checkers import Judge
from hdfsd.sim.outcome import Outcome, Play, run_to_verdict
from hdfsd.sim.world import World


def played(accusation: str = "", error: Exception | None = None) -> Outcome:
    world = World("1")
    judge = Judge(world.loop, 2)

    async def story() -> None:
        await asyncio.sleep(1.5)
        if accusation:
            judge.accuse("P1", accusation)
        if error is not None:
            raise error

    return run_to_verdict(7, world, Play("a mix", story, judge, lambda: {"faults": 3, "calls": 4}))


def test_a_seed_that_holds() -> None:
    outcome = played()
    assert (outcome.seed, outcome.mix, outcome.failure) == (7, "a mix", "")
    assert outcome.virtual_ms == 1500
    assert outcome.told() == "3 faults, 4 calls"


def test_what_ends_a_story_fails_its_seed() -> None:
    assert played(error=KeyError("cause")).failure == "KeyError: 'cause'"


def test_what_the_judge_heard_comes_first() -> None:
    outcome = played("it is lost", ValueError("the end"))
    assert outcome.failure == "P1 at 1.500 s: it is lost"
    assert any("violation of P1" in line for line in outcome.trace)
    assert outcome.digest != played().digest
