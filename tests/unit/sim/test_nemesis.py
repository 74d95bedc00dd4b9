"""What every nemesis has: drawn moments, healers, and the faults that any world may have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hdfsd.sim.dice import SimDice
from hdfsd.sim.nemesis import Nemesis, Pace
from hdfsd.sim.network import NetworkFaults
from hdfsd.sim.world import Process, World

PACE = Pace(faults=("spoil",), rage_ms=1_000, gap_ms=50.0, fault_ms=200.0)


class Spoiler(Nemesis):
    """Something is spoilt until it is mended."""

    def __init__(self, world: World, pace: Pace = PACE) -> None:
        super().__init__(world, pace, SimDice("1"))
        self.spoilt = 0
        self.acts = {"spoil": self._spoil}

    def _spoil(self) -> None:
        self.spoilt += 1

        def mend() -> None:
            self.spoilt -= 1

        self._heal_later(mend)


def play(world: World, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    world.run(story())


def test_a_pace_describes_itself() -> None:
    assert PACE.describe() == "faults: spoil; every 50 ms for 1000 ms, each for 200 ms"
    assert Pace((), 1, 1.0, 1.0).describe().startswith("faults: none;")


def test_every_fault_is_healed_in_time_or_in_the_end() -> None:
    world = World("1")
    nemesis = Spoiler(world)

    async def story() -> None:
        await nemesis.rage(NetworkFaults(), lambda: False)
        assert world.loop.time() >= 1
        assert nemesis.fault_count > 5
        assert 0 < nemesis.spoilt < nemesis.fault_count
        nemesis.heal()
        assert nemesis.spoilt == 0
        await asyncio.sleep(1)
        assert nemesis.spoilt == 0

    play(world, story)


def test_rage_ends_when_everything_is_over() -> None:
    world = World("1")
    nemesis = Spoiler(world)

    async def story() -> None:
        await nemesis.rage(NetworkFaults(), lambda: nemesis.fault_count == 2)

    play(world, story)
    assert nemesis.fault_count == 2


def test_cuts_pauses_full_disks_and_clocks() -> None:
    world = World("1")
    nemesis = Spoiler(world)
    one, other = world.add_machine("one"), world.add_machine("other")

    async def idle(process: Process) -> None:
        await asyncio.get_running_loop().create_future()

    async def story() -> None:
        process = one.start("p", idle)
        mend = nemesis._cut_paths([("one", "other")])
        assert world.fabric.blocked(one.host, other.host)
        assert not world.fabric.blocked(other.host, one.host)
        mend()
        assert not world.fabric.blocked(one.host, other.host)
        nemesis._pause(process)
        nemesis._pause(None)
        room = one.platter.capacity_bytes
        nemesis._fill(one.platter, 10)
        assert process.lane.paused
        assert process.disk.free_bytes("/") == 10
        nemesis.heal()
        assert not process.lane.paused
        assert one.platter.capacity_bytes == room
        wall_ms = one.clock.wall_ms()
        nemesis._jump([one])
        assert one.clock.wall_ms() != wall_ms

    play(world, story)
