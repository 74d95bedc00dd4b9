"""What operators of a simulated cluster do."""

from __future__ import annotations

import asyncio

from small_cluster import SmallCluster

from hdfsd.failover.elector import State
from hdfsd.failover.policy import ServiceState
from hdfsd.namenode.gate import HAState
from hdfsd.sim.cluster import Layout
from hdfsd.sim.world import Process


def test_a_failover_is_asked_for() -> None:
    small = SmallCluster()

    async def story(process: Process) -> None:
        before, after = small.active, small.standby
        await small.operators.fail_over(process, after)
        await small.until(lambda: small.cluster.actives() == [after])
        assert await small.operators.election_of(process, after) == State.ACTIVE.name
        assert await small.operators.election_of(process, before) != State.ACTIVE.name

    small.play(story)


def test_who_does_not_answer_has_no_state() -> None:
    small = SmallCluster()

    async def story(process: Process) -> None:
        name = small.standby
        small.cluster.power_off(name)
        assert await small.operators.election_of(process, name) == ""
        await small.operators.order(process, name, ServiceState.ACTIVE)
        await small.operators.fail_over(process, name)

    small.play(story)


def test_both_can_be_forced_to_be_active() -> None:
    small = SmallCluster()

    async def story(process: Process) -> None:
        leader = small.cluster.judge.leader
        await small.operators.make_all_active(process)
        assert small.cluster.judge.leader != leader

    small.play(story)


def test_an_observer_is_made_one_again_after_a_restart() -> None:
    small = SmallCluster(Layout(observers=("nn3",)))

    def observes() -> bool:
        state = small.cluster.state_of("nn3")
        return state is not None and state.ha_state is HAState.OBSERVER

    async def story(process: Process) -> None:
        small.outside.start("operators", small.operators.keep)
        await small.until(observes)
        running = small.cluster.nodes["nn3/namenode"].process
        assert running is not None
        running.kill()
        assert not observes()
        await small.until(observes)

    small.play(story)


def test_what_was_lent_is_taken_back() -> None:
    small = SmallCluster()

    async def story(process: Process) -> None:
        small.outside.start("operators", small.operators.keep)
        name = small.standby
        state = small.cluster.state_of(name)
        assert state is not None
        small.operators.lend(name)
        await small.until(lambda: state.ha_state is HAState.OBSERVER)
        small.operators.take_back(name)
        await small.until(lambda: state.ha_state is not HAState.OBSERVER)

    small.play(story)


def test_safe_mode_ends_when_the_disk_has_room_again() -> None:
    small = SmallCluster()

    async def story(process: Process) -> None:
        small.outside.start("operators", small.operators.keep)
        name = small.active
        state = small.cluster.state_of(name)
        assert state is not None
        platter = small.cluster.machines[name].platter
        room, platter.capacity_bytes = platter.capacity_bytes, platter.used_bytes + 5_000_000
        await small.until(lambda: state.blocks.safe_mode.resources_low)
        await asyncio.sleep(1)
        assert state.blocks.safe_mode.resources_low
        platter.capacity_bytes = room
        await small.until(lambda: not state.blocks.safe_mode.active)

    small.play(story)
