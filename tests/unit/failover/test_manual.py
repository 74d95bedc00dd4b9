from __future__ import annotations

from typing import Any

import pytest

from hdfsd.base.errors import RemoteFault, ServiceFailed
from hdfsd.failover.calls import RequestSource
from hdfsd.failover.fence_methods import parse_methods
from hdfsd.failover.fencing import Fencer, FencingPlan, Means
from hdfsd.failover.manual import FailoverFailed, ManualFailover
from hdfsd.failover.policy import ServiceState
from hdfsd.ports.shell import ShellResult

World = Any
USER = RequestSource.USER


async def failover(world: World, **options: bool) -> None:
    settings = world.settings("nn1")
    plan = FencingPlan(parse_methods(["shell(fence)"]), {}, 5000, 200, 60_000, 30_000, ())
    fencer = Fencer(plan, Means(world, world.shell, world.clock), USER)
    manual = ManualFailover(world, fencer, USER, new_active_timeout_ms=60_000)
    await manual.failover(
        settings.namenode,
        settings.peers[0],
        force_fence=options.get("force_fence", False),
        force_active=options.get("force_active", False),
    )


def prepared(world: World) -> tuple[Any, Any]:
    world.namenodes["nn1"].state = ServiceState.ACTIVE
    return world.namenodes["nn1"], world.namenodes["nn2"]


def test_one_is_made_standby_and_then_the_other_active(world: World) -> None:
    async def story() -> None:
        old, new = prepared(world)
        await failover(world)
        assert (old.state, new.state) == (ServiceState.STANDBY, ServiceState.ACTIVE)
        assert (old.orders, new.orders) == ([("STANDBY", USER)], [("ACTIVE", USER)])
        assert world.shell.ran == []
        assert old.services == new.services == []

    world.run(story())


@pytest.mark.parametrize("force", [False, True])
def test_a_dead_one_is_fenced_and_a_willing_one_only_by_force(world: World, force: bool) -> None:
    async def story() -> None:
        old, _ = prepared(world)
        if not force:
            old.kill()
        await failover(world, force_fence=force)
        assert world.active() == ["nn2"]
        assert len(world.shell.ran) == 2, "Hadoop fences the new one first, then the old one"

    world.run(story())


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("dead", "Unable to get service state for NameNode at host2:8020"),
        ("active", "Can't failover to an active service"),
        ("observer", "Can't failover to an observer service"),
        ("not ready", "NameNode at host2:8020 is not ready to become active: safe mode is ON"),
        ("sick", "Can't failover to an unhealthy service"),
    ],
)
def test_checks_come_before_everything(world: World, harm: str, said: str) -> None:
    async def story() -> None:
        old, new = prepared(world)
        if harm == "dead":
            new.kill()
        elif harm == "active":
            new.state = ServiceState.ACTIVE
        elif harm == "observer":
            new.state = ServiceState.OBSERVER
        elif harm == "not ready":
            new.ready = False
        else:
            new.sick = "no space left"
        with pytest.raises(FailoverFailed) as caught:
            await failover(world)
        assert str(caught.value) == said
        assert old.state is ServiceState.ACTIVE
        assert old.orders == []

    world.run(story())


def test_not_ready_can_be_overruled(world: World) -> None:
    async def story() -> None:
        _, new = prepared(world)
        new.ready = False
        await failover(world, force_active=True)
        assert world.active() == ["nn2"]

    world.run(story())


def test_a_failed_promotion_goes_back(world: World) -> None:
    async def story() -> None:
        old, new = prepared(world)
        new.refusal = ServiceFailed("no quorum")
        with pytest.raises(FailoverFailed) as caught:
            await failover(world)
        assert str(caught.value) == "Unable to failover to NameNode at host2:8020"
        assert old.state is ServiceState.ACTIVE

    world.run(story())


def test_a_failed_way_back_is_told(world: World) -> None:
    async def story() -> None:
        old, new = prepared(world)
        new.refusal = ServiceFailed("no quorum")
        old.sick = "no space left"
        with pytest.raises(FailoverFailed, match="Failback to NameNode at host1:8020 failed"):
            await failover(world)

    world.run(story())


def test_no_way_back_to_one_that_was_fenced(world: World) -> None:
    async def story() -> None:
        old, new = prepared(world)
        old.kill()
        new.refusal = RemoteFault("no quorum")
        with pytest.raises(FailoverFailed):
            await failover(world)
        assert old.orders == []

    world.run(story())


def test_fencing_that_fails_ends_it(world: World) -> None:
    async def story() -> None:
        old, _ = prepared(world)
        old.kill()
        world.shell.answers["fence"] = ShellResult(1, "")
        expected = "Unable to fence NameNode at host1:8020. Fencing failed."
        with pytest.raises(FailoverFailed, match=expected):
            await failover(world)
        assert world.active() == []

    world.run(story())


def test_a_node_is_no_other_node(world: World) -> None:
    async def story() -> None:
        settings = world.settings("nn1")
        manual = ManualFailover(world, Any, USER, new_active_timeout_ms=1)  # type: ignore[arg-type]
        with pytest.raises(FailoverFailed, match="to itself"):
            await manual.failover(
                settings.namenode, settings.namenode, force_fence=False, force_active=False
            )

    world.run(story())
