"""Driver. One story of the journal world, broken at every call, then at every pair of calls.

The story is a writer's life and its successor's: take over, start, write, roll, write, die; take
over, recover what was left open, write, close. Its calls are the operations that make something
durable on a JournalNode, and the bytes that arrive at it and from it. Each is a place for a fault:

- power before, power after: the machine loses it, and what was not durable;
- kill before: the process dies, and its machine remembers what was written;
- lose request, lose answer: the connection is reset in front of the bytes.

A place is counted in the run that it breaks, so that the second of a pair may lie in what the first
one causes. Demanded after each: nothing acknowledged is lost, copies agree (sim.checkers); when all
faults hit one journal, the first writer does not even notice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from hdfsd.base.errors import QuorumLost
from hdfsd.base.ids import TxId
from hdfsd.sim.checkers import Violation
from hdfsd.sim.disk import DiskFaults
from hdfsd.sim.journals import JOURNALS, WRITERS, Habits, Journals, finish
from hdfsd.sim.network import NetworkFaults
from hdfsd.sim.world import Process, World

LIVENESS_S = 30
DOWN_S = 0.012
"""How long a machine stays without power."""
CALM_NETWORK = NetworkFaults(slow_chance=0, split_chance=0)
CALM_DISK = DiskFaults(stall_chance=0)
CALLS = {
    "power before": "before",
    "kill before": "before",
    "power after": "after",
    "lose request": "request",
    "lose answer": "answer",
}
"""Fault to the calls that it is counted among."""


@dataclass(frozen=True, slots=True)
class Place:
    """A fault at the n-th call of its kind on a journal, from 0 on."""

    journal: str
    fault: str
    number: int

    def __str__(self) -> str:
        return f"{self.fault} {self.number} of {self.journal}"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one run."""

    places: tuple[Place, ...]
    failure: str
    """Empty when all promises held."""
    calls: Counter[tuple[str, str]]
    """How many calls of each kind each journal saw: (journal, kind)."""


def run(places: Sequence[Place] = ()) -> Result:
    """The story with these faults in it."""
    world = World("every call", network_faults=CALM_NETWORK, disk_faults=CALM_DISK)
    broken = _Broken(world, places)
    failure = ""
    try:
        world.run(broken.story())
    except Exception as error:  # noqa: BLE001 - outermost: whatever it is, the run has failed
        failure = f"{type(error).__name__}: {error}"
    violations = broken.journals.judge.violations
    return Result(tuple(places), "; ".join(violations) or failure, broken.calls)


def singles() -> list[Place]:
    """Every place of the story without faults."""
    calls = run().calls
    return [
        Place(journal, fault, number)
        for journal in JOURNALS
        for fault, kind in CALLS.items()
        for number in range(calls[journal, kind])
    ]


def pairs() -> Iterator[tuple[Place, Place]]:
    """Every two different places."""
    return combinations(singles(), 2)


class _Broken:
    """One run."""

    def __init__(self, world: World, places: Sequence[Place]) -> None:
        self.world = world
        self.journals = Journals(world, Habits(patience_ms=60, restart_ms=4, writers=0))
        self.calls: Counter[tuple[str, str]] = Counter()
        self._wanted = {(p.journal, CALLS[p.fault], p.number): p.fault for p in places}
        self._alone = len({place.journal for place in places}) <= 1

    async def story(self) -> None:
        """Raises Violation when a promise did not hold."""
        journals = self.journals
        tasks = journals.supervise()
        try:
            await asyncio.sleep(0.01)
            await self._in_time("format", WRITERS[0], journals.format)
            self._watch()
            lost = await self._in_time("the first writer", WRITERS[0], self._first)
            await self._in_time("its successor", WRITERS[1], lambda p: finish(journals, p))
            if self._alone and isinstance(lost, QuorumLost):
                raise Violation(f"liveness: two journals are well, and yet {lost}")
            journals.check()
        finally:
            for task in tasks:
                task.cancel()

    async def _first(self, process: Process) -> None:
        """Leaves its second segment open."""
        journals, who = self.journals, process.lane.name
        journal = journals.connect(process)
        first = await journals.take_over(journal)
        await journal.start_segment(first)
        await journals.write(journal, who, first, 1)
        waiting = [journals.write(journal, who, TxId(first + n), 1) for n in (1, 2)]
        await asyncio.gather(*waiting)
        await journal.finalize_segment(first, TxId(first + 2))
        await journal.start_segment(TxId(first + 3))
        await journals.write(journal, who, TxId(first + 3), 2)
        await journals.write(journal, who, TxId(first + 5), 1)
        # It dies with a batch under way.
        journals.write(journal, who, TxId(first + 6), 1)
        process.kill()

    async def _in_time(
        self, what: str, machine: str, main: Callable[[Process], Coroutine[Any, Any, None]]
    ) -> BaseException | None:
        """How it ended; only a lost quorum is no fault of its own."""
        process = self.journals.machines[machine].start("writer", main)
        end_s = self.world.loop.time() + LIVENESS_S
        while not process.ended.done():
            await asyncio.wait([process.ended], timeout=0.1)
            if self.world.loop.time() > end_s:
                raise Violation(f"liveness: {what}: not within {LIVENESS_S} s")
        outcome = process.outcome
        if not isinstance(outcome, BaseException):
            return None
        if not isinstance(outcome, QuorumLost):
            raise outcome
        return outcome

    # Places

    def _watch(self) -> None:
        for name in JOURNALS:
            platter = self.journals.machines[name].platter
            platter.half_done = 0.0
            platter.on_operation = lambda moment, _, name=name: self._operation(name, moment)
        self.world.fabric.on_arrival = self._arrival

    def _met(self, journal: str, kind: str) -> str:
        """The fault that lies here; "" for none."""
        number = self.calls[journal, kind]
        self.calls[journal, kind] += 1
        fault = self._wanted.get((journal, kind, number), "")
        if fault:
            self.world.loop.note(f"place: {Place(journal, fault, number)}")
        return fault

    def _operation(self, journal: str, moment: str) -> None:
        fault = self._met(journal, moment)
        if fault:
            # As soon as whoever asks for the operation waits for it.
            context = self.world.loop.world.context
            self.world.loop.call_soon(self._strike, journal, fault, context=context)

    def _strike(self, journal: str, fault: str) -> None:
        if fault == "kill before":
            self.journals.kill(journal)
        elif self.journals.power_off(journal):
            self.world.loop.call_later(DOWN_S, self.journals.power_on, journal)

    def _arrival(self, sender: str, receiver: str) -> bool:
        lost = [
            self._met(journal, kind)
            for journal, kind in ((receiver, "request"), (sender, "answer"))
            if journal in JOURNALS
        ]
        return not any(lost)
