from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hdfsd.base.errors import ConnectFailed, RemoteFault, StorageError
from hdfsd.failover.candidate import Candidate, ElectionFailed
from hdfsd.failover.elector import State
from hdfsd.ports.coordination import SessionState

World = Any


class Acts:
    def __init__(self, name: str) -> None:
        self.name = name
        self.done: list[str] = []
        self.failing: set[str] = set()
        self.slow_s = 0.0

    async def _do(self, what: str) -> None:
        await asyncio.sleep(self.slow_s)
        if what in self.failing:
            raise RemoteFault(f"{what} refused")
        self.done.append(what)

    def is_namesake(self, data: bytes) -> bool:
        return data == self.name.encode()

    async def fence(self, data: bytes) -> str:
        await self._do("fence")
        return f"fenced {data.decode()}"

    async def promote(self) -> None:
        await self._do("promote")

    async def demote(self) -> None:
        await self._do("demote")


def candidate(world: World, name: str) -> tuple[Candidate, Acts]:
    acts = Acts(name)
    made = Candidate(world.sessions[name], acts)
    world.tasks[name] = asyncio.get_running_loop().create_task(made.run())
    return made, acts


def test_winning_losing_and_leaving(world: World) -> None:
    async def story() -> None:
        one, acts1 = candidate(world, "nn1")
        two, acts2 = candidate(world, "nn2")
        await asyncio.sleep(0)
        one.join(b"nn1")
        await world.until(lambda: one.state is State.ACTIVE)
        two.join(b"nn2")
        await world.until(lambda: two.state is State.STANDBY)
        holder = await two.lock_holder()
        assert holder is not None
        assert (holder.data, holder.mine) == (b"nn1", False)
        one.quit(need_fence=False)
        await one.left()
        assert world.ensemble.holder is not world.sessions["nn1"]
        await world.until(lambda: two.state is State.ACTIVE)
        assert (acts1.done, acts2.done) == (["promote"], ["demote", "promote"])
        one.join(b"nn1")
        await world.until(lambda: one.state is State.STANDBY)
        two.quit(need_fence=True)
        await world.until(lambda: one.state is State.ACTIVE)
        assert acts1.done == ["promote", "demote", "fence", "promote"]

    world.run(story())


def test_quitting_abandons_what_was_asked(world: World) -> None:
    async def story() -> None:
        one, acts = candidate(world, "nn1")
        await asyncio.sleep(0)
        for steps_ms in range(8):
            one.join(b"nn1")
            await asyncio.sleep(steps_ms / 1000)
            one.quit(need_fence=True)
            await one.left()
            assert one.state is State.OUT
            assert world.ensemble.holder is None
        assert len(acts.done) <= 8

    world.run(story())


def test_a_promotion_is_waited_for_whatever_happens_to_the_session(world: World) -> None:
    async def story() -> None:
        one, acts = candidate(world, "nn1")
        acts.slow_s = 5
        await asyncio.sleep(0)
        one.join(b"nn1")
        await world.until(lambda: one.state is State.PROMOTING)
        world.sessions["nn1"].suspend()
        assert one.state is State.PROMOTING_BLIND
        await asyncio.sleep(6)
        assert acts.done == ["promote"]
        assert one.state is State.NEUTRAL
        world.sessions["nn1"].resume()
        await world.until(lambda: one.state is State.ACTIVE)

    world.run(story())


def test_without_a_lock_service_it_tries_on(world: World) -> None:
    async def story() -> None:
        one, _ = candidate(world, "nn1")
        world.sessions["nn1"].reachable = False
        await asyncio.sleep(0)
        one.join(b"nn1")
        await asyncio.sleep(60)
        assert one.state in (State.RESTING, State.OPENING)
        world.sessions["nn1"].reachable = True
        await world.until(lambda: one.state is State.ACTIVE, within_ms=2000)

    world.run(story())


@pytest.mark.parametrize("at_ms", range(1, 6))
def test_an_operation_that_fails_once_is_no_end(world: World, at_ms: int) -> None:
    async def story() -> None:
        one, acts = candidate(world, "nn1")
        await asyncio.sleep(0)
        one.join(b"nn1")
        await asyncio.sleep(at_ms / 1000)
        world.sessions["nn1"].error = ConnectFailed("lost")
        await world.until(lambda: one.state is State.ACTIVE and acts.done != [])
        await asyncio.sleep(5)
        assert one.state is State.ACTIVE

    world.run(story())


@pytest.mark.parametrize("act", ["fence", "promote"])
def test_an_act_that_fails_gives_the_lock_back(world: World, act: str) -> None:
    async def story() -> None:
        one, acts1 = candidate(world, "nn1")
        two, acts2 = candidate(world, "nn2")
        acts2.failing.add(act)
        await asyncio.sleep(0)
        one.join(b"nn1")
        await world.until(lambda: one.state is State.ACTIVE)
        two.join(b"nn2")
        await world.until(lambda: two.state is State.STANDBY)
        one.quit(need_fence=True)
        await world.until(lambda: two.state is State.RESTING)
        await world.until(lambda: world.ensemble.holder is None)
        one.join(b"nn1")
        await world.until(lambda: one.state is State.ACTIVE)
        assert acts1.done[-1] == "promote"

    world.run(story())


def test_news_of_a_closed_session_are_dropped(world: World) -> None:
    async def story() -> None:
        one, _ = candidate(world, "nn1")
        await asyncio.sleep(0)
        one.join(b"nn1")
        await world.until(lambda: one.state is State.ACTIVE)
        old = world.sessions["nn1"].on_session
        one.quit(need_fence=True)
        one.join(b"nn1")
        await world.until(lambda: one.state is State.ACTIVE)
        old(SessionState.EXPIRED)
        assert one.state is State.ACTIVE

    world.run(story())


def test_a_refusal_ends_it_with_its_cause(world: World) -> None:
    async def story() -> None:
        one, _ = candidate(world, "nn1")
        await asyncio.sleep(0)
        one.join(b"nn1")
        await world.until(lambda: one.state is State.CONTENDING)
        world.sessions["nn1"].error = StorageError("no permission")
        with pytest.raises(ElectionFailed, match="no permission"):
            await world.tasks.pop("nn1")
        assert world.ensemble.holder is None

    world.run(story())


def test_a_lock_of_our_own_name_is_waited_for_and_nobody_is_demoted(world: World) -> None:
    async def story() -> None:
        one, acts1 = candidate(world, "nn1")
        two, acts2 = candidate(world, "nn2")
        acts2.name = "nn1"
        await asyncio.sleep(0)
        one.join(b"nn1")
        await world.until(lambda: one.state is State.ACTIVE)
        two.join(b"nn1")
        await world.until(lambda: two.state is State.STANDBY)
        await asyncio.sleep(1)
        assert acts2.done == [], "its NameNode is the one that is active"
        one.quit(need_fence=True)
        await world.until(lambda: two.state is State.ACTIVE)
        assert (acts1.done, acts2.done) == (["promote"], ["promote"])

    world.run(story())
