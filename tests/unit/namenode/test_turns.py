"""Long work makes way: for calls as long as it worked, and for a transition until it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import SimpleNamespace
from typing import Any

from hdfsd.namenode.turns import at_leisure
from hdfsd.sim.world import World

STEPS = 6


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    World("turns").run(story())


def busy(*, serving: bool = False) -> SimpleNamespace:
    return SimpleNamespace(in_transition=False, is_serving=serving)


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


def test_it_rests_as_long_as_it_worked_while_calls_are_served() -> None:
    """A step takes its time of the loop's clock, which only this step moves."""
    rests: list[tuple[bool, float]] = []

    async def story(serving: bool) -> None:
        loop = asyncio.get_running_loop()
        ended: list[float] = []

        def work() -> Generator[None, None, None]:
            for _ in range(STEPS):
                if ended:
                    rests.append((serving, loop.time() - ended[-1]))
                loop._now_s += 0.008  # type: ignore[attr-defined]
                ended.append(loop.time())
                yield

        await at_leisure(work(), busy(serving=serving))

    for serving in (True, False):
        play(lambda serving=serving: story(serving))  # type: ignore[misc]
    assert all(rest >= 0.0079 for serving, rest in rests if serving)
    assert all(rest < 0.001 for serving, rest in rests if not serving)
    assert len(rests) == 2 * (STEPS - 1)
