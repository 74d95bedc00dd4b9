"""hdfsd.ha.election.*: who lets others go first, and who is never elected; in whole controllers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from hdfsd.base.errors import ServiceFailed
from hdfsd.failover.elector import State
from hdfsd.failover.policy import ServiceState

World = Any
YIELD = {"hdfsd.ha.election.yield.ns1.nn3": "5s"}
NEVER = {"hdfsd.ha.election.eligible.ns1.nn3": "false"}


def world_with(world_of: Callable[[int], World], changes: dict[str, str]) -> World:
    world = world_of(3)
    world.conf = world.conf.with_overrides(changes)
    return world


async def all_joined(world: World) -> None:
    await world.start_all()
    await world.until(lambda: world.active() == ["nn1"])


def test_whoever_goes_first_takes_over_and_the_other_when_nobody_does(
    world_of: Callable[[int], World],
) -> None:
    world = world_with(world_of, YIELD)

    async def story() -> None:
        await all_joined(world)
        await world.until(lambda: world.controllers["nn3"].election is State.STANDBY)
        world.namenodes["nn1"].kill()
        assert await world.until(lambda: world.active() == ["nn2"]) < 2_500
        await world.until(lambda: world.controllers["nn3"].election is State.STANDBY)
        world.namenodes["nn2"].kill()
        took_ms = await world.until(lambda: world.active() == ["nn3"])
        assert 5_000 <= took_ms < 7_500, "the while, and what a failover takes"
        world.namenodes["nn1"].start()
        await asyncio.sleep(30)
        assert world.active() == ["nn3"], "nobody is made to give the lock back"

    world.run(story())


def test_at_the_start_the_others_go_first_whoever_comes_first(
    world_of: Callable[[int], World],
) -> None:
    world = world_with(world_of, YIELD)

    async def story() -> None:
        world.start("nn3")
        await asyncio.sleep(1)
        world.start("nn2")
        await world.until(lambda: world.active() == ["nn2"])
        await asyncio.sleep(10)
        assert world.active() == ["nn2"]
        assert world.controllers["nn3"].election is State.STANDBY

    world.run(story())


def test_an_operator_who_wants_it_does_not_wait(world_of: Callable[[int], World]) -> None:
    world = world_with(world_of, {"hdfsd.ha.election.yield.ns1.nn3": "60s"})

    async def story() -> None:
        await all_joined(world)
        await world.until(lambda: world.controllers["nn3"].election is State.STANDBY)
        began_ms = world.clock.now_ms()
        await world.controllers["nn3"].graceful_failover()
        assert world.active() == ["nn3"]
        assert world.clock.now_ms() - began_ms < 1_000
        world.namenodes["nn3"].kill()
        await world.until(lambda: world.active() == ["nn1"] or world.active() == ["nn2"])
        world.namenodes["nn3"].start()
        await world.until(lambda: world.controllers["nn3"].election is State.STANDBY)
        for name in ("nn1", "nn2"):
            world.namenodes[name].kill()
        assert await world.until(lambda: world.active() == ["nn3"], 90_000) >= 60_000

    world.run(story())


def test_one_that_is_not_eligible_is_never_active(world_of: Callable[[int], World]) -> None:
    world = world_with(world_of, NEVER)

    async def story() -> None:
        world.start("nn3")
        await asyncio.sleep(10)
        assert world.active() == []
        await all_joined(world)
        with pytest.raises(ServiceFailed, match=r"never elected \(hdfsd.ha.election.eligible=fal"):
            await world.controllers["nn3"].graceful_failover()
        assert world.active() == ["nn1"]
        for name in ("nn1", "nn2"):
            world.namenodes[name].kill()
        await asyncio.sleep(60)
        assert world.active() == []
        assert world.controllers["nn3"].election is State.OUT
        explained = await world.controllers["nn3"].explain()
        assert explained["eligible"] is False
        told = explained["election"]
        assert told["reason"] == "hdfsd.ha.election.eligible=false: it is never elected"
        world.namenodes["nn2"].start()
        await world.until(lambda: world.active() == ["nn2"])

    world.run(story())


def test_an_observer_is_not_elected_by_a_controller_that_starts_beside_it(
    world_of: Callable[[int], World],
) -> None:
    world = world_of(2)

    async def story() -> None:
        world.namenodes["nn2"].state = ServiceState.OBSERVER
        world.start("nn2")
        await asyncio.sleep(10)
        assert world.namenodes["nn2"].state is ServiceState.OBSERVER
        assert world.controllers["nn2"].election is State.OUT
        world.namenodes["nn2"].state = ServiceState.STANDBY
        await world.until(lambda: world.active() == ["nn2"])

    world.run(story())
