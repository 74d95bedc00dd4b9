"""How often a NameNode that is not ready is looked at, and what ends that."""

from __future__ import annotations

import asyncio
from typing import Any

from hdfsd.failover.calls import ServiceStatus
from hdfsd.failover.latecomer import LOOK_MAX_MS, Latecomer, obstacle_of, status_of
from hdfsd.failover.policy import ServiceState

World = Any


def latecomer(world: World) -> Latecomer:
    settings = world.settings("nn2")
    return Latecomer(world, world.clock, settings.namenode, settings.peers)


def test_it_waits_while_another_is_active_and_looks_less_and_less_often(world: World) -> None:
    async def story() -> None:
        world.namenodes["nn1"].state = ServiceState.ACTIVE
        world.namenodes["nn2"].ready = False
        looks: list[str] = []
        waiting = asyncio.ensure_future(latecomer(world).wait(looks.append))
        await asyncio.sleep(60)
        assert 60_000 / LOOK_MAX_MS - 5 < len(looks) < 60_000 / LOOK_MAX_MS + 10
        assert set(looks) == {
            "it is not ready, and NameNode at host1:8020 is active: safe mode is ON"
        }
        world.namenodes["nn2"].ready = True
        assert await waiting == "it is ready"

    world.run(story())


def test_nobody_else_answers(world: World) -> None:
    async def story() -> None:
        world.namenodes["nn1"].kill()
        world.namenodes["nn2"].ready = False
        reason = await latecomer(world).wait(lambda _: None)
        assert reason == "nobody else could be active, though it is not ready: safe mode is ON"

    world.run(story())


def test_what_keeps_a_namenode_from_becoming_active(world: World) -> None:
    async def story() -> None:
        local = world.settings("nn1").namenode
        assert obstacle_of(await status_of(world, local)) == ""
        world.namenodes["nn1"].ready = False
        assert obstacle_of(await status_of(world, local)) == "safe mode is ON"
        world.namenodes["nn1"].kill()
        assert obstacle_of(await status_of(world, local)) == "it does not answer"
        mute = ServiceStatus(ServiceState.STANDBY, False, "")
        assert obstacle_of(mute) == "it gives no reason"

    world.run(story())
