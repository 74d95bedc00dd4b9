"""The virtual loop: time, lanes, and what becomes of lanes that end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from hdfsd.sim.dice import SimDice
from hdfsd.sim.loop import NothingLeft, SimLoop


def run(loop: SimLoop, work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return loop.run_until_complete(loop.spawn(loop.world, work))
    finally:
        loop.close()


def test_hours_pass_in_no_time_and_timers_are_never_early() -> None:
    loop = SimLoop(SimDice("1"))
    lane = loop.add_lane("p")
    woken: list[tuple[float, float]] = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((seconds, loop.time()))

    async def story() -> None:
        await asyncio.gather(*(loop.spawn(lane, sleeper(s)) for s in (7200.0, 0.5, 0.0, 3.0)))

    run(loop, story())
    assert [seconds for seconds, _ in woken] == [0.0, 0.5, 3.0, 7200.0]
    assert all(seconds <= at <= seconds + 0.001 for seconds, at in woken)


def order_of(seed: str) -> str:
    """Two lanes of five callbacks each, and what order they ran in."""
    loop = SimLoop(SimDice(seed))
    seen: list[str] = []

    async def story() -> None:
        for name in "ab":
            context = loop.add_lane(name).context
            for n in range(5):
                loop.call_soon(seen.append, f"{name}{n}", context=context)
        await asyncio.sleep(1)

    run(loop, story())
    return " ".join(seen)


def test_a_lane_keeps_its_order_and_lanes_are_mixed_by_the_seed() -> None:
    orders = {order_of(str(seed)) for seed in range(20)}
    assert len(orders) > 10
    for order in orders:
        for name in "ab":
            assert [x for x in order.split() if x[0] == name] == [f"{name}{n}" for n in range(5)]
    assert order_of("5") == order_of("5")


def test_a_paused_lane_waits_and_goes_on() -> None:
    loop = SimLoop(SimDice("1"))
    lane = loop.add_lane("p")
    ticks: list[float] = []

    async def ticker() -> None:
        while True:
            ticks.append(loop.time())
            await asyncio.sleep(1)

    async def story() -> None:
        loop.spawn(lane, ticker())
        await asyncio.sleep(2.5)
        lane.paused = True
        await asyncio.sleep(10.2)
        lane.paused = False
        await asyncio.sleep(1.5)

    run(loop, story())
    assert [round(tick) for tick in ticks] == [0, 1, 2, 13, 14]


def test_a_lane_that_ended_runs_nothing_more() -> None:
    loop = SimLoop(SimDice("1"))
    lane = loop.add_lane("p")
    seen: list[str] = []

    async def victim() -> None:
        try:
            await asyncio.sleep(1)
            seen.append("survived")
        finally:
            # Runs as the coroutine is thrown away, and must have no consequence.
            asyncio.get_running_loop().call_soon(seen.append, "from the grave")

    async def story() -> None:
        task = loop.spawn(lane, victim())
        loop.call_soon(seen.append, "queued", context=lane.context)
        await asyncio.sleep(0)
        loop.end_lane(lane)
        seen.clear()
        await asyncio.sleep(5)
        assert not task.done()

    run(loop, story())
    assert seen == []


def test_a_coroutine_that_refuses_to_go_is_not_heard() -> None:
    loop = SimLoop(SimDice("1"))
    lane = loop.add_lane("p")

    async def stubborn() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            raise ValueError("not yet")

    async def story() -> None:
        loop.spawn(lane, stubborn())
        await asyncio.sleep(0.5)
        loop.end_lane(lane)

    run(loop, story())
    assert loop.errors == []


def test_what_a_dying_task_starts_dies_with_it() -> None:
    loop = SimLoop(SimDice("1"))
    lane = loop.add_lane("process")
    done: list[str] = []

    async def last_will() -> None:
        done.append("never")

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            done.append("buried")
            task = asyncio.ensure_future(last_will())
            await task

    async def story() -> None:
        tasks = [loop.spawn(lane, work()) for _ in range(2)]
        await asyncio.sleep(0.1)
        loop.end_lane(lane)
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in tasks)

    run(loop, story())
    assert done == ["buried", "buried"]
    assert loop.errors == []


def test_a_coroutine_that_awaits_in_its_finally_is_closed_with_those_around_it() -> None:
    loop = SimLoop(SimDice("1"))
    lane = loop.add_lane("process")
    heard: list[str] = []

    async def inner() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(1)
            heard.append("inner went on")

    async def outer(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - what it hears is what is tested
            heard.append(repr(error))

    work = inner()

    async def story() -> None:
        loop.spawn(lane, outer(work))
        await asyncio.sleep(0.1)
        loop.end_lane(lane)

    run(loop, story())
    assert heard == ["RuntimeError('coroutine ignored GeneratorExit')"]
    assert work.cr_frame is None


def test_what_is_closed_with_the_loop_belongs_to_it_to_the_end() -> None:
    loop = SimLoop(SimDice("1"))
    seen: list[object] = []

    async def daemon() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append(asyncio.get_running_loop())

    async def story() -> None:
        loop.spawn(loop.add_lane("p"), daemon())
        await asyncio.sleep(1)

    run(loop, story())
    assert seen == [loop]


def test_waiting_for_ever_is_an_error() -> None:
    loop = SimLoop(SimDice("1"))

    async def story() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(NothingLeft, match="nothing can happen after"):
        run(loop, story())


def test_spinning_without_time_passing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdfsd.sim.loop.STEPS_MAX", 1000)
    loop = SimLoop(SimDice("1"))

    async def story() -> None:
        for _ in range(10**6):
            await asyncio.sleep(0)

    with pytest.raises(NothingLeft, match="time stands at"):
        run(loop, story())


def test_threads_are_refused() -> None:
    loop = SimLoop(SimDice("1"))

    async def story() -> None:
        with pytest.raises(RuntimeError, match="threads are not simulated"):
            await asyncio.to_thread(print)

    run(loop, story())


def test_errors_nobody_caught_are_kept() -> None:
    loop = SimLoop(SimDice("1"))

    async def story() -> None:
        loop.call_soon({}.__getitem__, "missing")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(loop, story())
    assert [type(error) for error in loop.errors] == [KeyError]


def test_the_digest_depends_on_text_time_and_order() -> None:
    digests = set()
    for notes in ([(0.0, "a"), (1.0, "b")], [(0.0, "b"), (1.0, "a")], [(0.0, "a"), (2.0, "b")]):
        loop = SimLoop(SimDice("1"))
        for time_s, text in notes:
            loop.trace.note(time_s, text)
        digests.add(loop.trace.digest())
        assert len(loop.trace.lines) == 2
        loop.close()
    assert len(digests) == 3
