"""Each fault of a cluster's nemesis does what it says, and its healer undoes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from small_cluster import SmallCluster

from hdfsd.sim.cluster import JOURNALNODES, Layout
from hdfsd.sim.dice import SimDice
from hdfsd.sim.nemesis import Pace
from hdfsd.sim.outages import FAULTS, FORCED, Outages
from hdfsd.sim.world import Process

LONG = Pace(faults=FAULTS, rage_ms=1, gap_ms=1, fault_ms=1e6)
"""No fault is healed before the end."""


def outages(small: SmallCluster, seed: str = "1") -> Outages:
    return Outages(
        small.cluster, LONG, SimDice(seed), outside=small.outside, operators=small.operators
    )


def test_every_fault_has_its_act() -> None:
    assert set(outages(SmallCluster()).acts) == set(FAULTS)
    assert set(FORCED) <= set(FAULTS)


def processes(small: SmallCluster, role: str) -> list[Process]:
    found = [node.process for node in small.cluster.nodes.values() if node.role == role]
    return [process for process in found if process is not None]


Count = Callable[[SmallCluster], int]


def dead(small: SmallCluster, role: str) -> int:
    return sum(not process.running for process in processes(small, role))


def paused(small: SmallCluster, role: str) -> int:
    return sum(process.lane.paused for process in processes(small, role))


def cuts(small: SmallCluster) -> int:
    return len(small.world.fabric._cuts)


def off(small: SmallCluster) -> int:
    return sum(m.host.down_since_s is not None for m in small.cluster.machines.values())


def full(small: SmallCluster) -> int:
    return sum(m.platter.capacity_bytes < 1 << 40 for m in small.cluster.machines.values())


@pytest.mark.parametrize(
    ("fault", "count", "expected"),
    [
        ("kill namenode", lambda s: dead(s, "namenode"), 1),
        ("kill journalnode", lambda s: dead(s, "journalnode"), 1),
        ("kill controller", lambda s: dead(s, "zkfc"), 1),
        ("kill namenode and controller", lambda s: dead(s, "namenode") + dead(s, "zkfc"), 2),
        ("pause namenode", lambda s: paused(s, "namenode"), 1),
        ("pause journalnode", lambda s: paused(s, "journalnode"), 1),
        ("pause controller", lambda s: paused(s, "zkfc"), 1),
        ("pause namenode and controller", lambda s: paused(s, "namenode") + paused(s, "zkfc"), 2),
        ("pause two journalnodes", lambda s: paused(s, "journalnode"), 2),
        ("cut one way", cuts, 1),
        ("cut", cuts, 2),
        ("power of a journalnode", off, 1),
        ("power of all journalnodes", off, len(JOURNALNODES)),
        ("power of a namenode", off, 1),
        ("full disk of a journalnode", full, 1),
        ("low disk of a namenode", full, 1),
    ],
)
def test_what_is_broken(fault: str, count: Count, expected: int) -> None:
    small = SmallCluster()

    async def story(process: Process) -> None:
        nemesis = outages(small)
        assert count(small) == 0
        nemesis.acts[fault]()
        assert count(small) == expected
        nemesis.heal()
        await small.until(lambda: count(small) == 0)

    small.play(story)


def test_a_machine_is_cut_off_from_some_of_those_it_needs() -> None:
    small = SmallCluster(Layout(observers=("nn3",)))
    seen: set[frozenset[str]] = set()

    async def story(process: Process) -> None:
        for seed in range(60):
            nemesis = outages(small, str(seed))
            nemesis.acts["cut off"]()
            pairs = [
                (small.world.name_of(one), small.world.name_of(other))
                for one, other in small.world.fabric._cuts
            ]
            nemesis.heal()
            (name,) = set.intersection(*(set(pair) & {"nn1", "nn2", "nn3"} for pair in pairs))
            ways = {pair[0] == name for pair in pairs}
            others = {other for pair in pairs for other in pair if other != name}
            assert not others & set(JOURNALNODES) or set(JOURNALNODES) <= others
            seen.add(frozenset(ways))
            seen.add(frozenset({f"{len(others)}"}))

    small.play(story)
    assert {frozenset({True}), frozenset({False}), frozenset({True, False})} <= seen
    assert len(seen) > 8


def test_sessions_and_locks() -> None:
    small = SmallCluster()

    async def story(process: Process) -> None:
        nemesis, locks = outages(small), small.cluster.locks
        assert locks.holding_machine == small.active
        nemesis.acts["delete the lock"]()
        assert locks.holding_machine == ""
        await small.until(lambda: locks.holding_machine != "")
        nemesis.acts["lock service gone"]()
        assert not locks.reaches(small.outside.host)
        nemesis.heal()
        assert locks.reaches(small.outside.host)
        for _ in range(10):
            nemesis.acts["expire session"]()
        assert locks.holding_machine == ""

    small.play(story)


@pytest.mark.parametrize("fault", ["ask for a failover", "force a state", "make all active"])
def test_operators_are_asked(fault: str) -> None:
    """Whatever they did, one is active again when they have gone."""
    small = SmallCluster()

    async def story(process: Process) -> None:
        small.outside.start("operators", small.operators.keep)
        changes: list[str] = []
        small.cluster.judge.on_leader = changes.append
        for seed in range(6):
            nemesis = outages(small, str(seed))
            nemesis.acts[fault]()
            await asyncio.sleep(0.5)
            nemesis.heal()
        await small.until(lambda: len(small.cluster.actives()) == 1)
        assert changes

    small.play(story)


def test_a_clock_jumps() -> None:
    small = SmallCluster()
    before = [machine.clock.wall_ms() for machine in small.cluster.machines.values()]
    outages(small).acts["clock jump"]()
    after = [machine.clock.wall_ms() for machine in small.cluster.machines.values()]
    assert sum(one != other for one, other in zip(before, after)) == 1
