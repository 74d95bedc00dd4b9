from __future__ import annotations

import asyncio
from typing import Any

from hdfsd.base.errors import PeerError
from hdfsd.base.settings import HealthSettings
from hdfsd.failover.calls import ServiceStatus
from hdfsd.failover.health import HealthState
from hdfsd.failover.monitor import HealthMonitor
from hdfsd.failover.policy import ServiceState

World = Any
SETTINGS = HealthSettings(
    connect_retry_interval_ms=100,
    check_interval_ms=1000,
    pause_after_disconnect_ms=500,
    rpc_timeout_ms=2000,
    connect_retries_max=1,
    heartbeat_ms=0,
)


class Watch:
    """A monitor of nn1, and what it told at which millisecond."""

    def __init__(self, world: World) -> None:
        self.told: list[tuple[int, str]] = []
        self.statuses: list[ServiceState] = []
        self._clock = world.clock
        address = world.settings("nn1").namenode.rpc
        self.monitor = HealthMonitor(
            lambda: world.ha_service(address),
            SETTINGS,
            on_health=self._health,
            on_status=self._status,
        )
        self.task = asyncio.get_running_loop().create_task(self.monitor.run())
        world.tasks["monitor"] = self.task

    def _health(self, state: HealthState, reason: str) -> None:
        self.told.append((self._clock.now_ms(), f"{state.name}: {reason}"))

    def _status(self, status: ServiceStatus) -> None:
        self.statuses.append(status.state)

    @property
    def last(self) -> tuple[int, str]:
        return self.told[-1]


def test_health_is_told_once_and_the_state_at_every_check(world: World) -> None:
    async def story() -> None:
        watch = Watch(world)
        await asyncio.sleep(3.5)
        assert watch.told == [(2, "SERVICE_HEALTHY: it answers that it is healthy")]
        assert watch.statuses == [ServiceState.STANDBY] * 4

    world.run(story())


def test_death_is_told_when_it_happens_and_life_soon_after(world: World) -> None:
    async def story() -> None:
        watch = Watch(world)
        await asyncio.sleep(0.3)
        world.namenodes["nn1"].kill()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert watch.last == (300, "SERVICE_NOT_RESPONDING: it closed the connection")
        await asyncio.sleep(0.55)
        world.namenodes["nn1"].start()
        await asyncio.sleep(0.1)
        # 500 ms after the disconnection, then every 100 ms.
        assert watch.last[0] == 902
        assert watch.last[1].startswith("SERVICE_HEALTHY")

    world.run(story())


def test_illness(world: World) -> None:
    async def story() -> None:
        watch = Watch(world)
        world.namenodes["nn1"].sick = "no space left"
        await asyncio.sleep(0.3)
        assert watch.last[1] == "SERVICE_UNHEALTHY: it answers that it is unhealthy: no space left"
        assert watch.statuses == [ServiceState.STANDBY]
        world.namenodes["nn1"].sick = None
        await asyncio.sleep(1)
        assert watch.last[1].startswith("SERVICE_HEALTHY")

    world.run(story())


def test_a_frozen_one_does_not_answer_in_time(world: World) -> None:
    async def story() -> None:
        watch = Watch(world)
        await asyncio.sleep(0.3)
        world.namenodes["nn1"].frozen = True
        await asyncio.sleep(3)
        assert watch.last[1].startswith("SERVICE_NOT_RESPONDING: it does not answer in time")
        world.namenodes["nn1"].frozen = False
        await asyncio.sleep(3)
        assert watch.last[1].startswith("SERVICE_HEALTHY")

    world.run(story())


def test_nonsense_is_no_health(world: World) -> None:
    async def story() -> None:
        watch = Watch(world)
        await asyncio.sleep(0.3)

        async def nonsense(*, deadline_ms: int) -> None:
            raise PeerError("a frame of random bytes")

        world.namenodes["nn1"].services[0].monitor_health = nonsense
        await asyncio.sleep(1)
        expected = "SERVICE_NOT_RESPONDING: it refuses the check: a frame of random bytes"
        assert watch.last[1] == expected

    world.run(story())


def test_every_connection_is_closed(world: World) -> None:
    async def story() -> None:
        watch = Watch(world)
        for _ in range(3):
            await asyncio.sleep(1)
            world.namenodes["nn1"].kill()
            await asyncio.sleep(1)
            world.namenodes["nn1"].start()
        assert len(world.namenodes["nn1"].services) <= 1
        watch.task.cancel()
        await asyncio.wait({watch.task})
        assert world.namenodes["nn1"].services == []

    world.run(story())
