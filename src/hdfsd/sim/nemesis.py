"""Driver. What every nemesis has: faults at drawn moments, and for each of them a healer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hdfsd.sim.dice import SimDice
from hdfsd.sim.disk import Platter
from hdfsd.sim.network import NetworkFaults
from hdfsd.sim.world import Machine, Process, World

JUMP_MS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Pace:
    """Which faults come, how often, and how long each of them lasts."""

    faults: tuple[str, ...]
    rage_ms: int
    """How long faults go on."""
    gap_ms: float
    """Mean time between two of them."""
    fault_ms: float
    """Mean time until the healer of one comes."""

    def describe(self) -> str:
        return (
            f"faults: {', '.join(self.faults) or 'none'}; every {self.gap_ms:.0f} ms for"
            f" {self.rage_ms} ms, each for {self.fault_ms:.0f} ms"
        )


class Nemesis:
    """Subclasses say what each fault does; whatever is broken here is mended here."""

    def __init__(self, world: World, pace: Pace, dice: SimDice) -> None:
        self.world = world
        self.pace = pace
        self.fault_count = 0
        self.acts: Mapping[str, Callable[[], None]] = {}
        self.rages_until_s = 0.0
        self._dice = dice
        self._healers: dict[Callable[[], None], None] = {}

    async def rage(self, network: NetworkFaults, over: Callable[[], bool]) -> None:
        """Fault after fault, until the time or everything is over."""
        self.world.fabric.faults = network
        self.rages_until_s = self.world.loop.time() + self.pace.rage_ms / 1000
        self._begin()
        while self.world.loop.time() < self.rages_until_s and not over():
            await asyncio.sleep(self.pace.gap_ms * 2 * self._dice.fraction() / 1000)
            if self.pace.faults:
                fault = self._dice.pick(self.pace.faults)
                self.world.loop.note(f"fault: {fault}")
                self.fault_count += 1
                self.acts[fault]()

    def _begin(self) -> None:
        """For what has to be prepared."""

    def heal(self) -> None:
        """Everything, now."""
        for healer in list(self._healers):
            self.heal_one(healer)
        self.world.fabric.heal()
        self.world.fabric.faults = NetworkFaults()

    def heal_one(self, healer: Callable[[], None]) -> None:
        if healer in self._healers:
            del self._healers[healer]
            healer()

    def _heal_later(self, healer: Callable[[], None]) -> None:
        self._healers[healer] = None
        delay_s = self.pace.fault_ms * 2 * self._dice.fraction() / 1000
        self.world.loop.call_later(delay_s, self.heal_one, healer)

    # --- faults that any world may have ---

    def _pause(self, process: Process | None) -> None:
        if process is not None and process.running:
            process.pause()
            self._heal_later(process.resume)

    def _cut_paths(self, paths: Iterable[tuple[str, str]]) -> Callable[[], None]:
        """Cuts from each first to each second machine; returns what mends it."""
        fabric = self.world.fabric
        pairs = []
        for source, target in paths:
            near, far = fabric.resolve(source), fabric.resolve(target)
            assert near is not None, source
            assert far is not None, target
            fabric.cut(near, far)
            pairs.append((near, far))

        def mend() -> None:
            for near, far in pairs:
                fabric.mend(near, far)

        return mend

    def _fill(self, platter: Platter, left_bytes: int) -> None:
        """Leaves so much room on a disk."""
        before = platter.capacity_bytes
        platter.capacity_bytes = platter.used_bytes + left_bytes
        self.world.loop.note(f"{platter.name} has {left_bytes} bytes left")

        def empty() -> None:
            self.world.loop.note(f"{platter.name} has room again")
            platter.capacity_bytes = max(platter.capacity_bytes, before)

        self._heal_later(empty)

    def _jump(self, machines: Sequence[Machine]) -> None:
        """A wall clock is wrong from now on; nobody mends it."""
        machine = self._dice.pick(machines)
        jump_ms = self._dice.below(2 * JUMP_MS_MAX) - JUMP_MS_MAX
        self.world.loop.note(f"the clock of {machine.name} jumps by {jump_ms} ms")
        machine.clock.wall_skew_ms += jump_ms
