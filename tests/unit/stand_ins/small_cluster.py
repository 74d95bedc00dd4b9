"""A simulated cluster that serves, for tests of what stands around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hdfsd.sim.cluster import PAIR, Cluster, Layout
from hdfsd.sim.dice import SimDice
from hdfsd.sim.operators import Operators
from hdfsd.sim.swarm import draw
from hdfsd.sim.workload import first_write
from hdfsd.sim.world import Machine, Process, World

RESTART_MS = 50


class SmallCluster:
    """Its limits are those of a seed; there are operators and a machine outside."""

    def __init__(self, layout: Layout = PAIR, **options: str) -> None:
        self.world = World("1")
        limits = {key.replace("_", "."): value for key, value in options.items()}
        drawn = draw(SimDice("1")).options
        self.cluster = Cluster(
            self.world,
            {**drawn, **limits},
            session_ms=300,
            restart_ms=RESTART_MS,
            layout=layout,
        )
        self.outside: Machine = self.world.add_machine("outside")
        self.operators = Operators(self.cluster)

    def play(self, story: Callable[[Process], Awaitable[None]]) -> None:
        """Runs the story, on the machine outside, once the cluster serves."""

        async def main(process: Process) -> None:
            await first_write(self.cluster, process, "/before")
            await story(process)

        async def run() -> None:
            cluster, loop = self.cluster, self.world.loop
            tasks = [loop.create_task(cluster.locks.watch()), *cluster.supervise("journalnode")]
            await asyncio.sleep(0.05)
            await cluster.format()
            tasks += cluster.supervise("namenode", "zkfc")
            process = self.outside.start("test", main)
            await process.ended
            for task in tasks:
                task.cancel()
            if isinstance(process.outcome, BaseException):
                raise process.outcome

        self.world.run(run())

    @property
    def active(self) -> str:
        (name,) = self.cluster.actives()
        return name

    @property
    def standby(self) -> str:
        (name,) = (n for n in self.cluster.layout.voters if n != self.active)
        return name

    async def until(self, what: Callable[[], bool]) -> None:
        """Within a virtual minute."""
        for _ in range(600):
            if what():
                return
            await asyncio.sleep(0.1)
        raise AssertionError("it does not come about")
