"""Long work makes way: half of the time for calls, and for a transition until it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import SimpleNamespace
from typing import Any

import pytest

from hdfsd.base.errors import IOFault
from hdfsd.namenode.turns import at_leisure
from hdfsd.sim.world import World

STEPS, STEP_S = 20, 0.008


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    World("turns").run(story())


def busy(*, serving: bool = False) -> SimpleNamespace:
    return SimpleNamespace(in_transition=False, is_serving=serving, long_works=0)


def counted(done: list[int]) -> Generator[None, None, str]:
    for step in range(STEPS):
        done.append(step)
        yield
    return "the value"


def test_a_transition_is_waited_for() -> None:
    async def story() -> None:
        state, done = busy(), list[int]()
        working = asyncio.ensure_future(at_leisure(counted(done), state))
        await asyncio.sleep(0)
        state.in_transition = True
        await asyncio.sleep(30)
        assert 1 <= len(done) <= 2, "the step that had its turn already may be done"
        state.in_transition = False
        assert await working == "the value"
        assert done == list(range(STEPS))

    play(story)


def test_others_have_a_turn_between_two_steps() -> None:
    async def story() -> None:
        order: list[str] = []

        def work(name: str) -> Generator[None, None, None]:
            for _ in range(3):
                order.append(name)
                yield

        await asyncio.gather(*(at_leisure(work(name), busy()) for name in ("one", "other")))
        assert order == ["one", "other"] * 3

    play(story)


@pytest.mark.parametrize(("serving", "works"), [(True, 1), (True, 3), (False, 3)])
def test_half_of_the_time_is_left_to_calls(serving: bool, works: int) -> None:
    """A step takes its time of the loop's clock, which only the steps move."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        state = busy(serving=serving)

        def work() -> Generator[None, None, None]:
            for _ in range(STEPS):
                loop._now_s += STEP_S  # type: ignore[attr-defined]
                yield

        began_s = loop.time()
        await asyncio.gather(*(at_leisure(work(), state) for _ in range(works)))
        took_s, worked_s = loop.time() - began_s, works * STEPS * STEP_S
        if serving:
            assert 1.7 * worked_s < took_s < 2.7 * worked_s
        else:
            assert took_s < 1.1 * worked_s
        assert state.long_works == 0

    play(story)


def test_work_that_fails_is_work_no_more() -> None:
    async def story() -> None:
        state = busy()

        def work() -> Generator[None, None, None]:
            yield
            raise IOFault("no luck")

        with pytest.raises(IOFault):
            await at_leisure(work(), state)
        assert state.long_works == 0

    play(story)
