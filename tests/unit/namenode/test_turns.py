"""Long work makes way: for everybody after each step, and for a transition until it is over."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from hdfsd.namenode.turns import next_turn
from hdfsd.sim.world import World


def test_a_step_waits_for_the_end_of_a_transition() -> None:
    world = World("turns")
    state, done = SimpleNamespace(in_transition=False), []

    async def long_work() -> None:
        for step in range(6):
            done.append((step, state.in_transition))
            await next_turn(state)

    async def story() -> None:
        working = asyncio.ensure_future(long_work())
        await asyncio.sleep(0)
        state.in_transition = True
        await asyncio.sleep(30)
        assert 1 <= len(done) <= 2
        state.in_transition = False
        await working

    world.run(story())
    assert [step for step, _ in done] == list(range(6))
    assert sum(during for _, during in done) <= 1, "the step that had its turn already"


def test_others_have_a_turn_between_two_steps() -> None:
    state, order = SimpleNamespace(in_transition=False), []

    async def count(name: str) -> None:
        for _ in range(3):
            order.append(name)
            await next_turn(state)

    async def story() -> None:
        await asyncio.gather(count("one"), count("other"))

    asyncio.run(story())
    assert order == ["one", "other"] * 3
