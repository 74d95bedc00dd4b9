"""Listening to a heartbeat: what is told, and that its absence changes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from hdfsd.base.errors import ConnectFailed, CorruptData
from hdfsd.base.ids import Address
from hdfsd.failover.health import HealthState
from hdfsd.failover.monitor import HealthMonitor
from hdfsd.failover.pulse import RETRY_MS, PulseWatch
from hdfsd.ports.heartbeat import BEAT_MS, Beat, Evidence

World = Any
ADDRESS = Address("host1", 8020)
LIMIT_MS = 3000


class Heartbeats:
    """A NameNode that beats until it is told otherwise; a link of its own."""

    def __init__(self) -> None:
        self.states = "SS"
        self.beats = True
        self.ended = False
        self.error: Exception | None = None
        self.refused = False
        self.connected = 0
        self.open = 0

    async def connect(self, address: Address) -> Heartbeats:
        assert address == ADDRESS
        if self.refused:
            raise ConnectFailed("nobody gives one")
        self.connected, self.open, self.ended = self.connected + 1, self.open + 1, False
        return self

    async def next(self) -> Beat | None:
        await asyncio.sleep(BEAT_MS / 1000)
        while not self.beats and not self.ended:  # noqa: ASYNC110 (virtual time)
            await asyncio.sleep(0.01)
        if self.error is not None:
            raise self.error
        return None if self.ended else Beat(0, 5, "S")

    def evidence(self) -> Evidence | None:
        return Evidence(self.states, 500)

    def close(self) -> None:
        self.open -= 1


def watch(world: World, heartbeats: Heartbeats) -> PulseWatch:
    made = PulseWatch(heartbeats, ADDRESS, world.clock, limit_ms=LIMIT_MS)
    world.tasks["pulse"] = asyncio.ensure_future(made.run())
    return made


def test_a_freeze_is_known_until_the_next_beat(world: World) -> None:
    async def story() -> None:
        heartbeats = Heartbeats()
        pulse = watch(world, heartbeats)
        await asyncio.sleep(600)
        assert pulse.frozen is None
        heartbeats.beats, heartbeats.states = False, "TT"
        began_ms = world.clock.now_ms()
        assert "its process is stopped" in await pulse.until_frozen()
        assert LIMIT_MS - 2 * BEAT_MS <= world.clock.now_ms() - began_ms <= LIMIT_MS + 4 * BEAT_MS
        heartbeats.beats = True
        await world.until(lambda: pulse.frozen is None, within_ms=1000)
        heartbeats.beats = False
        await pulse.until_frozen()
        heartbeats.ended = True
        await world.until(lambda: pulse.frozen is None, within_ms=1000)

    world.run(story())


def test_what_ends_or_can_not_be_read_is_tried_again(world: World) -> None:
    async def story() -> None:
        heartbeats = Heartbeats()
        heartbeats.refused = True
        pulse = watch(world, heartbeats)
        await asyncio.sleep(60)
        heartbeats.refused = False
        await world.until(lambda: heartbeats.connected == 1, within_ms=2 * RETRY_MS)
        heartbeats.ended = True
        await world.until(lambda: heartbeats.connected == 2, within_ms=2 * RETRY_MS)
        heartbeats.error = CorruptData("the heartbeat", None, "no heartbeat of ours")
        await world.until(lambda: heartbeats.open == 0, within_ms=2 * RETRY_MS)
        heartbeats.error = None
        await world.until(lambda: heartbeats.connected == 3, within_ms=2 * RETRY_MS)
        assert pulse.frozen is None

    world.run(story())


def test_the_health_monitor_does_not_wait_for_an_answer_that_a_frozen_one_can_not_give(
    world: World,
) -> None:
    async def story() -> None:
        heartbeats = Heartbeats()
        told: list[tuple[int, str]] = []
        settings = world.settings("nn1").health
        assert settings.rpc_timeout_ms == 1000
        patient = type(settings)(
            connect_retry_interval_ms=1000,
            check_interval_ms=1000,
            pause_after_disconnect_ms=1000,
            rpc_timeout_ms=45_000,
            connect_retries_max=1,
            heartbeat_ms=LIMIT_MS,
        )

        def on_health(state: HealthState, reason: str) -> None:
            told.append((world.clock.now_ms(), f"{state.name}: {reason}"))

        monitor = HealthMonitor(
            lambda: world.ha_service(ADDRESS),
            patient,
            on_health=on_health,
            on_status=lambda _: None,
            pulse=PulseWatch(heartbeats, ADDRESS, world.clock, limit_ms=LIMIT_MS),
        )
        world.tasks["monitor"] = asyncio.ensure_future(monitor.run())
        await asyncio.sleep(10.5)
        began_ms = world.clock.now_ms()
        world.namenodes["nn1"].frozen, heartbeats.beats, heartbeats.states = True, False, "TT"
        await world.until(lambda: len(told) == 2, within_ms=LIMIT_MS + 4 * BEAT_MS)
        when_ms, what = told[-1]
        assert what.startswith("SERVICE_NOT_RESPONDING: it is frozen: it has given no heartbeat")
        await asyncio.sleep(100)
        world.namenodes["nn1"].frozen, heartbeats.beats = False, True
        await world.until(lambda: len(told) == 3, within_ms=3000)
        assert told[-1][1] == "SERVICE_HEALTHY: it answers that it is healthy"
        assert when_ms - began_ms < LIMIT_MS + 4 * BEAT_MS
        assert len(world.namenodes["nn1"].services) == 1, "one connection at a time"

    world.run(story())
