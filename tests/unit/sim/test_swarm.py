"""The mix of a seed, and a run without any fault."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hdfsd.sim import swarm
from hdfsd.sim.cluster import Layout
from hdfsd.sim.dice import SimDice
from hdfsd.sim.nemesis import Pace
from hdfsd.sim.network import NetworkFaults
from hdfsd.sim.outages import FAULTS
from hdfsd.sim.swarm import LAYOUTS, Mix, Swarm, draw, run_seed
from hdfsd.sim.world import World

OBSERVED = Layout(observers=("nn3",))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def mix(seed: str = "1") -> Mix:
    return draw(SimDice(seed))


def test_a_seed_draws_its_own_mix() -> None:
    assert mix("1") == mix("1")
    mixes = [mix(str(seed)) for seed in range(60)]
    assert {fault for drawn in mixes for fault in drawn.pace.faults} == set(FAULTS)
    assert {drawn.layout for drawn in mixes} == set(LAYOUTS)
    assert len({drawn.describe() for drawn in mixes}) == len(mixes)


def calm(drawn: Mix) -> Mix:
    return replace(
        drawn, pace=replace(drawn.pace, faults=()), network=NetworkFaults(), layout=OBSERVED
    )


def test_a_description_names_faults_and_limits() -> None:
    drawn = replace(mix(), pace=Pace(("cut", "kill namenode"), 1, 1, 1), layout=OBSERVED)
    assert drawn.describe().startswith("faults: cut, kill namenode; every ")
    assert "; nn1, nn2 observed by nn3; " in drawn.describe()
    assert "ha.fencing.methods=shell(" in drawn.describe()


def test_without_faults_everything_is_known() -> None:
    world = World("1")
    made = Swarm(world, calm(mix()), SimDice("1"))
    world.run(made.story())
    assert made.cluster.judge.violations == []
    assert made.counts.known > 10
    assert made.counts.observed > 0
    assert (made.counts.stale, made.outages.fault_count) == (0, 0)
    assert made.cluster.judge.leader in [
        made.cluster.machines[name].host.ip for name in OBSERVED.voters
    ]


def test_a_result_tells_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swarm, "LIVENESS_S", 0)
    result = run_seed(1)
    assert "liveness: a write succeeds before any fault: not within 0 s" in result.failure
    assert result.trace
    assert result.mix == draw(SimDice("seed 1").fork("mix")).describe()
