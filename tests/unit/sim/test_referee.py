"""Elections and checkpoints: what is accused, and what is not."""

from __future__ import annotations

import asyncio

import pytest
from small_cluster import SmallCluster

from hdfsd.ports.coordination import Breadcrumb
from hdfsd.sim.coordination import Claim
from hdfsd.sim.referee import Referee
from hdfsd.sim.world import Process


def judged(small: SmallCluster, *, forced: bool = False, kills: bool = True) -> Referee:
    return Referee(small.cluster, forced=forced, fencing_kills=kills)


def lead(small: SmallCluster, name: str, *, waits: bool = True) -> None:
    """A majority of the journals gives an epoch to a NameNode, which still `waits` for it."""
    judge, state = small.cluster.judge, small.cluster.state_of(name)
    assert judge.on_leader is not None
    assert state is not None
    state.in_transition = waits
    judge.on_leader(small.cluster.machines[name].host.ip)
    state.in_transition = False


def test_an_honest_failover_is_not_accused() -> None:
    small = SmallCluster()
    judged(small)

    async def story(process: Process) -> None:
        for _ in range(3):
            before, after = small.active, small.standby
            await small.operators.fail_over(process, after)
            await small.until(lambda: len(small.cluster.actives()) == 1)
            assert (small.active, small.standby) == (after, before)

    small.play(story)
    assert small.cluster.judge.violations == []


def test_a_breadcrumb_without_the_lock() -> None:
    small = SmallCluster()
    judged(small)

    async def story(process: Process) -> None:
        small.cluster.locks.on_claim(Claim(small.active, holds_lock=True))
        assert small.cluster.judge.violations == []
        small.cluster.locks.on_claim(Claim(small.active, holds_lock=False))

    small.play(story)
    (accusation,) = small.cluster.judge.violations
    assert "F1 at" in accusation
    assert "without the lock" in accusation


@pytest.mark.parametrize(("forced", "kills"), [(False, True), (True, True), (False, False)])
def test_taking_over_beside_an_active(forced: bool, kills: bool) -> None:
    small = SmallCluster()
    judged(small, forced=forced, kills=kills)

    async def story(process: Process) -> None:
        small.cluster.locks.held_since_s = small.world.loop.time()
        small.cluster.locks.on_claim(Claim(small.standby, holds_lock=True))

    small.play(story)
    accused = [told.partition(" at")[0] for told in small.cluster.judge.violations]
    assert accused == (["F2"] if kills and not forced else [])


def test_an_active_that_was_late_is_nobody_whom_a_breadcrumb_could_name() -> None:
    small = SmallCluster()
    judged(small)

    async def story(process: Process) -> None:
        locks = small.cluster.locks
        locks.holder = None
        lead(small, small.active)
        locks.held_since_s = small.world.loop.time()
        locks.on_claim(Claim(small.standby, holds_lock=True))

    small.play(story)
    assert small.cluster.judge.violations == []


@pytest.mark.parametrize("crumb", [True, False])
def test_a_leader_whom_the_breadcrumb_does_not_name(crumb: bool) -> None:
    small = SmallCluster()
    judged(small)

    async def story(process: Process) -> None:
        if not crumb:
            small.cluster.locks.breadcrumb = None
        lead(small, small.active)
        lead(small, small.standby)

    small.play(story)
    accused = [told.partition(" at")[0] for told in small.cluster.judge.violations]
    assert accused == ([] if crumb else ["F3"])


def test_an_epoch_that_comes_when_nobody_waits_for_it_any_more() -> None:
    """A stopped JournalNode answers a request whose sender was started anew meanwhile."""
    small = SmallCluster()
    judged(small)

    async def story(process: Process) -> None:
        small.cluster.locks.breadcrumb = None
        lead(small, small.active, waits=False)

    small.play(story)
    assert small.cluster.judge.violations == []


def test_a_breadcrumb_is_read_when_a_leader_is_heard_of() -> None:
    """That of another one is as bad as none."""
    small = SmallCluster()
    judged(small)

    async def story(process: Process) -> None:
        locks = small.cluster.locks
        assert locks.breadcrumb is not None
        after = small.standby
        other = locks.breadcrumb.data.replace(small.active.encode(), after.encode())
        locks.breadcrumb = Breadcrumb(other, locks.breadcrumb.version)
        lead(small, small.active)

    small.play(story)
    (accusation,) = small.cluster.judge.violations
    assert "and the breadcrumb names" in accusation


def test_images_that_are_written_again_and_again() -> None:
    small = SmallCluster()
    judged(small)

    async def story(process: Process) -> None:
        wrote = small.cluster.on_image
        assert wrote is not None
        name = small.standby
        await asyncio.sleep(3)
        for _ in range(3):
            wrote(small.active)
        assert small.cluster.judge.violations == []
        for _ in range(20):
            wrote(name)

    small.play(story)
    assert "F4 at" in small.cluster.judge.violations[0]
