"""Driver. A simulated world: machines and their processes under one virtual time and one seed.

The drivers that run here are those that ship, with simulated ports in their hands. Same seed, same
digest: nothing here depends on the real clock, on hashes, or on the order of sets.

    world = World("seed 1")
    machine = world.add_machine("jn1")
    process = machine.start("journalnode", lambda process: serve(process.network, process.disk))
    world.run(scenario(world))
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hdfsd.sim.clock import SimClock
from hdfsd.sim.dice import SimDice
from hdfsd.sim.disk import DiskFaults, Platter, SimDisk
from hdfsd.sim.http import SimHttpClient, SimHttpServer
from hdfsd.sim.loop import Lane, SimLoop
from hdfsd.sim.network import Fabric, NetworkFaults, SimNetwork

T = TypeVar("T")

UPTIME_MS_MAX = 1_000_000
WALL_SKEW_MS_MAX = 2_000
KILLED = "killed"


class SimulationFailed(Exception):
    """A callback raised what nobody caught; the trace's last lines follow."""


class Process:
    """One process: its lane, and the world as it sees it."""

    def __init__(self, machine: Machine, name: str, number: int) -> None:
        world = machine.world
        self.machine = machine
        self.name = name
        self.lane: Lane = world.loop.add_lane(f"{machine.name}/{name}")
        self.clock = machine.clock
        self.dice = world.dice.fork(f"process {machine.name}/{name}/{number}")
        self.network = SimNetwork(world.fabric, machine.host, self.lane)
        self.disk = SimDisk(machine.platter, self.lane)
        self.http_server = SimHttpServer(self.network, self.disk)
        self.http_client = SimHttpClient(self.network)
        self.ended: asyncio.Future[None] = world.loop.create_future()
        """Done when the process has ended, whichever way."""
        self.outcome: BaseException | str | None = None
        """None while it runs, and when its main returned; else what it raised, or KILLED."""

    @property
    def running(self) -> bool:
        return self.lane.alive

    def kill(self) -> None:
        """As SIGKILL: at once, without a word; what it wrote stays in the machine's caches."""
        self._end(KILLED)

    def pause(self) -> None:
        """As SIGSTOP: its machine goes on receiving for it, nobody answers."""
        self.machine.world.loop.note(f"pause {self.lane.name}")
        self.lane.paused = True

    def resume(self) -> None:
        self.machine.world.loop.note(f"resume {self.lane.name}")
        self.lane.paused = False

    def begin(self, main: Callable[[Process], Coroutine[Any, Any, None]]) -> None:
        self.machine.world.loop.spawn(self.lane, self._main(main))

    async def _main(self, main: Callable[[Process], Coroutine[Any, Any, None]]) -> None:
        outcome: BaseException | None = None
        try:
            await main(self)
        except Exception as error:  # noqa: BLE001 - how the process ends is its outcome
            outcome = error
        # Ended from outside, so that this very coroutine is not among the buried.
        loop = self.machine.world.loop
        loop.call_soon(self._end, outcome, context=loop.world.context)

    def _end(self, outcome: BaseException | str | None) -> None:
        if not self.lane.alive:
            return
        world = self.machine.world
        how = type(outcome).__name__ if isinstance(outcome, BaseException) else outcome
        world.loop.note(f"end {self.lane.name}: {how}")
        self.outcome = outcome
        world.loop.end_lane(self.lane)
        self.network.die()
        self.machine.platter.process_died(self.lane)
        self.machine.processes.pop(self, None)
        self.ended.set_result(None)


class Machine:
    """A host with a disk and clocks; processes come and go on it."""

    def __init__(self, world: World, name: str) -> None:
        dice = world.dice.fork(f"machine {name}")
        self.world = world
        self.name = name
        self.host = world.fabric.add_host(name)
        self.clock = SimClock(
            world.loop.time,
            uptime_ms=dice.below(UPTIME_MS_MAX),
            wall_skew_ms=dice.below(2 * WALL_SKEW_MS_MAX + 1) - WALL_SKEW_MS_MAX,
        )
        self.platter = Platter(world.loop, name, dice.fork("disk"), self.clock, world.disk_faults)
        self.processes: dict[Process, None] = {}
        self._started_count = 0

    def start(self, name: str, main: Callable[[Process], Coroutine[Any, Any, None]]) -> Process:
        """Runs `main` as a process; when it returns or raises, the process ends."""
        assert self.host.down_since_s is None, f"{self.name} is without power"
        process = Process(self, name, self._started_count)
        self._started_count += 1
        self.processes[process] = None
        self.world.loop.note(f"start {process.lane.name}")
        process.begin(main)
        return process

    def power_off(self) -> None:
        """Everything stops at once; what was not durable is lost, torn or kept."""
        self.world.loop.note(f"power off {self.name}")
        self.world.fabric.power_off(self.host)
        self.platter.lose_power()
        for process in list(self.processes):
            process.kill()

    def power_on(self) -> None:
        self.world.loop.note(f"power on {self.name}")
        self.world.fabric.power_on(self.host)


class World:
    """All machines. `run` may be called once."""

    def __init__(
        self,
        seed: str,
        *,
        network_faults: NetworkFaults | None = None,
        disk_faults: DiskFaults | None = None,
    ) -> None:
        self.dice = SimDice(seed)
        self.loop = SimLoop(self.dice.fork("order"))
        self.disk_faults = disk_faults or DiskFaults()
        self.fabric = Fabric(
            self.loop, self.dice.fork("network"), network_faults or NetworkFaults()
        )
        self.machines: dict[str, Machine] = {}

    def add_machine(self, name: str) -> Machine:
        machine = self.machines[name] = Machine(self, name)
        return machine

    def name_of(self, ip: str) -> str:
        """The machine that has this address."""
        host = self.fabric.resolve(ip)
        return ip if host is None else host.name

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        """Runs the story, outside of all processes, until it returns; then everything ends.

        Raises what the story raises, NothingLeft when everybody waits for ever, and
        SimulationFailed when a callback somewhere raised what nobody caught.
        """
        # Cyclic garbage is collected whenever enough was allocated, which differs between runs.
        collecting = gc.isenabled()
        gc.disable()
        with warnings.catch_warnings():
            # A process may be killed between the making of a task and its first step.
            warnings.filterwarnings("ignore", message="coroutine .* was never awaited")
            try:
                result = self.loop.run_until_complete(self.loop.spawn(self.loop.world, story))
            finally:
                self._close()
                if collecting:
                    gc.enable()
        if self.loop.errors:
            raise SimulationFailed(self._report(self.loop.errors[0]))
        return result

    def digest(self) -> str:
        """Of everything that happened, in order, with its time."""
        return self.loop.trace.digest()

    def _close(self) -> None:
        for machine in self.machines.values():
            for process in list(machine.processes):
                process.lane.alive = False
        self.loop.close()

    def _report(self, error: BaseException | str) -> str:
        lines = "\n".join(list(self.loop.trace.lines)[-30:])
        return f"{error!r}\n{lines}"
