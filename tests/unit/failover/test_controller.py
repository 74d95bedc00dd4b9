"""Two or three controllers, their NameNodes and a lock service, in virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hdfsd.base.errors import ConnectFailed, RemoteFault, ServiceFailed, StorageError
from hdfsd.failover.calls import RequestSource
from hdfsd.failover.candidate import ElectionFailed
from hdfsd.failover.elector import State
from hdfsd.failover.policy import ServiceState
from hdfsd.failover.target import decode
from hdfsd.failover.timeline import LOCK_FOUND_FREE
from hdfsd.ports.coordination import Breadcrumb
from hdfsd.ports.shell import ShellResult

World = Any


def test_the_first_healthy_one_becomes_active(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        assert world.active() == ["nn1"]
        assert world.namenodes["nn2"].orders == [("STANDBY", RequestSource.CONTROLLER)]
        assert world.ensemble.content == world.ensemble.breadcrumb.data

    world.run(story())


def test_a_dead_namenode_is_known_at_once_and_replaced_in_milliseconds(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn1"].kill()
        # Virtual milliseconds: an operation costs one, a fencing command two.
        assert await world.until(lambda: world.active() == ["nn2"]) < 20
        assert [command for command, _ in world.shell.ran] == ["fence"]
        environment = world.shell.ran[0][1]
        assert environment["target_namenodeid"] == "nn1"
        assert environment["dfs_ha_fencing_methods"] == "shell(fence)"
        world.namenodes["nn1"].start()
        await world.until(lambda: world.controllers["nn1"].election is State.STANDBY)
        world.namenodes["nn2"].kill()
        await world.until(lambda: world.active() == ["nn1"])

    world.run(story())


def test_a_frozen_namenode_is_found_by_the_time_out(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn1"].frozen = True
        took_ms = await world.until(lambda: "nn2" in world.active())
        # Check interval, health time-out. Its own controller says that it does not respond: nobody
        # waits for the 5 s in which it could become standby.
        assert took_ms < 1000 + 1000 + 100
        assert len(world.shell.ran) == 1

    world.run(story())


def test_an_unhealthy_active_is_asked_to_become_standby(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn1"].sick = "no space left"
        await world.until(lambda: world.active() == ["nn2"])
        assert world.shell.ran == []
        assert world.controllers["nn1"].election is State.OUT
        world.namenodes["nn1"].sick = None
        await world.until(lambda: world.controllers["nn1"].election is State.STANDBY)

    world.run(story())


def test_the_controller_of_the_active_dies(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        await world.kill_controller("nn1")
        await world.until(lambda: world.active() == ["nn2"])
        assert world.namenodes["nn1"].state is ServiceState.STANDBY
        del world.tasks["nn1"]

    world.run(story())


def test_without_the_lock_service_nothing_changes(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        for session in world.sessions.values():
            session.suspend()
        await asyncio.sleep(120)
        assert world.active() == ["nn1"]
        for session in world.sessions.values():
            session.resume()
        await world.until(lambda: world.controllers["nn1"].election is State.ACTIVE)
        assert world.active() == ["nn1"]
        assert world.shell.ran == []

    world.run(story())


def test_a_session_expires(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.sessions["nn1"].expire()
        await world.until(lambda: world.ensemble.holder is not None)
        await asyncio.sleep(1)
        assert len(world.active()) == 1
        states = {controller.election for controller in world.controllers.values()}
        assert states == {State.ACTIVE, State.STANDBY}

    world.run(story())


def test_nobody_becomes_active_before_the_old_active_is_fenced(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.shell.answers["fence"] = ShellResult(1, "no route to power switch")
        world.namenodes["nn1"].frozen = True
        await asyncio.sleep(60)
        assert world.active() == ["nn1"]
        world.shell.answers["fence"] = ShellResult(0, "")
        await world.until(lambda: "nn2" in world.active())

    world.run(story())


def test_an_order_that_had_to_wait_is_not_given_when_the_election_went_on(world: World) -> None:
    """Simulator seed 2479: another had fenced the NameNode when it came (F3)."""

    async def story() -> None:
        namenode, session = world.namenodes["nn1"], world.sessions["nn1"]
        namenode.slow_ms = 2000
        controller = world.start("nn1")
        await world.until(lambda: len(namenode.orders) == 1)
        # The session ends, and the lock is won anew, while the NameNode still does as it was told.
        session.expire()
        await world.until(lambda: controller.election is State.PROMOTING)
        session.expire()
        session.reachable = False
        await asyncio.sleep(5)
        assert [state for state, _ in namenode.orders] == ["ACTIVE"]
        session.reachable = True
        await world.until(lambda: controller.election is State.ACTIVE)
        assert [state for state, _ in namenode.orders] == ["ACTIVE", "ACTIVE"]

    world.run(story())


def test_a_promotion_that_fails_leaves_the_lock_to_others(world: World) -> None:
    async def story() -> None:
        world.namenodes["nn1"].refusal = ServiceFailed("no quorum of journals")
        await world.start_all()
        await world.until(lambda: world.active() == ["nn2"])
        assert world.controllers["nn2"].election is State.ACTIVE

    world.run(story())


def test_garbage_in_the_breadcrumb_is_no_leave_to_become_active(world: World) -> None:
    async def story() -> None:
        world.ensemble.breadcrumb = Breadcrumb(b"\xff\xff garbage", 7)
        world.ensemble.versions = 7
        await world.start_all()
        await asyncio.sleep(10)
        assert world.active() == []
        told = await world.controllers["nn1"].explain()
        assert "nobody can say whom to fence" in told["failovers"][-1]["outcome"]
        assert "zkfc -formatZK" in told["failovers"][-1]["outcome"]
        world.ensemble.breadcrumb = None
        await world.until(lambda: len(world.active()) == 1)

    world.run(story())


def test_a_namenode_that_somebody_else_made_standby_leaves_the_election(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn1"].state = ServiceState.STANDBY
        await world.until(lambda: world.active() == ["nn2"])
        await world.until(lambda: world.controllers["nn1"].election is State.STANDBY)

    world.run(story())


def test_an_observer_is_never_elected(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn2"].state = ServiceState.OBSERVER
        await world.until(lambda: world.controllers["nn2"].election is State.OUT)
        world.namenodes["nn1"].kill()
        await asyncio.sleep(10)
        assert world.active() == []
        with pytest.raises(ServiceFailed, match="observer state"):
            await world.controllers["nn2"].graceful_failover()
        world.namenodes["nn2"].state = ServiceState.STANDBY
        await world.until(lambda: world.active() == ["nn2"])

    world.run(story())


def test_a_slow_transition_is_no_mismatch(world: World) -> None:
    async def story() -> None:
        world.namenodes["nn1"].slow_ms = 30_000
        await world.start_all()
        await world.until(lambda: world.active() == ["nn1"])
        assert world.sessions["nn1"].opened == 1

    world.run(story())


def test_graceful_failover_and_back(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        for new in ("nn2", "nn1", "nn2"):
            started_ms = world.clock.now_ms()
            await world.controllers[new].graceful_failover()
            assert world.active() == [new]
            assert world.clock.now_ms() - started_ms < 50
            await world.until(
                lambda: (
                    sorted(c.election.name for c in world.controllers.values())
                    == ["ACTIVE", "STANDBY"]
                ),
                within_ms=100,
            )
        assert world.shell.ran == []

    world.run(story())


def test_graceful_failover_to_the_active_changes_nothing(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        orders = list(world.namenodes["nn1"].orders)
        await world.controllers["nn1"].graceful_failover()
        assert world.namenodes["nn1"].orders == orders

    world.run(story())


def test_graceful_failover_among_three_passes_over_a_dead_controller(world_of: World) -> None:
    world = world_of(3)

    async def story() -> None:
        await world.start_all()
        world.zkfcs_dead.add("nn3")
        await world.controllers["nn2"].graceful_failover()
        assert world.active() == ["nn2"]

    world.run(story())


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("unhealthy", "not currently healthy"),
        ("nobody active", "No other node is currently active"),
        ("active's controller dead", "can't be asked"),
        ("refuses", "Failed to become active. Couldn't make NameNode at host2:8020 active"),
        ("lock unreadable", "Nobody knows who is active"),
        ("lock of a stranger", "no ActiveNodeInfo"),
        ("falls ill", "became unhealthy while trying"),
    ],
)
def test_graceful_failover_says_why_it_failed(world: World, harm: str, said: str) -> None:
    async def story() -> None:
        await world.start_all()
        nn2 = world.namenodes["nn2"]
        if harm == "unhealthy":
            nn2.sick = "no space left"
            await world.until(lambda: world.controllers["nn2"].election is State.OUT)
        elif harm == "nobody active":
            world.ensemble.holder = None
        elif harm == "active's controller dead":
            world.zkfcs_dead.add("nn1")
        elif harm == "refuses":
            nn2.refusal = RemoteFault("in safe mode")
        elif harm == "lock unreadable":
            world.sessions["nn2"].reachable = False
        elif harm == "lock of a stranger":
            world.ensemble.content = b"\xff"
        elif harm == "falls ill":
            nn2.slow_ms = 20_000
            asyncio.get_running_loop().call_later(1, nn2.kill)
        with pytest.raises(ServiceFailed, match=said):
            await world.controllers["nn2"].graceful_failover()
        nn2.refusal = None

    world.run(story())


def test_ceding_for_a_time_and_rejoining(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        started_ms = world.clock.now_ms()
        await world.controllers["nn1"].cede_active(5000, "a test")
        assert world.ensemble.holder is not world.sessions["nn1"], "the lock is gone by now"
        assert world.namenodes["nn1"].state is ServiceState.STANDBY
        await world.until(lambda: world.controllers["nn1"].election is State.STANDBY)
        assert world.clock.now_ms() - started_ms >= 5000
        assert world.active() == ["nn2"]

    world.run(story())


def test_a_namenode_that_does_not_cede_is_fenced(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn1"].refusal = RemoteFault("busy")
        await world.controllers["nn1"].cede_active(5000, "a test")
        assert world.ensemble.breadcrumb is not None, "whoever is next has to fence it"
        await world.until(lambda: len(world.shell.ran) == 1)

    world.run(story())


def test_a_lock_service_that_refuses_ends_the_controller(world: World) -> None:
    async def story() -> None:
        world.sessions["nn1"].error = StorageError("Parent znode /hadoop-ha/ns1 does not exist")
        world.start("nn1")
        with pytest.raises(ElectionFailed, match="Parent znode"):
            await world.tasks.pop("nn1")

    world.run(story())


def test_a_controller_explains_itself(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        await world.until(lambda: world.active() == ["nn1"])
        world.namenodes["nn1"].kill()
        await world.until(lambda: world.active() == ["nn2"])
        await asyncio.sleep(1)
        told = await world.controllers["nn2"].explain()
        assert told["namenode"] == {"nameservice": "ns1", "id": "nn2", "address": "host2:8020"}
        assert told["election"]["state"] == "ACTIVE"
        assert told["election"]["reason"] == "NameNode is active: now active"
        assert told["health"]["state"] == "SERVICE_HEALTHY"
        assert told["lock"] == {"holder": "nn2", "mine": True}
        assert (told["expected_state"], told["hold_ms"]) == ("ACTIVE", 0)
        assert told["fencing_methods"] == ["shell(fence)"]
        (failover,) = told["failovers"]
        assert failover["succeeded"] is True
        assert failover["namenode_record"] == "transition of nn2"
        assert failover["cause"].endswith("NameNode at host1:8020 was active before")
        steps = {step["step"]: step["detail"] for step in failover["steps"]}
        asked = steps["fencing of NameNode at host1:8020: asked to become standby"]
        assert asked == "it did not work: connection refused"
        assert steps["fencing of NameNode at host1:8020: shell(fence)"] == "done: exit code 0"
        assert list(steps)[-1] == "NameNode is active"
        assert failover["millis"] == sum(step["millis"] for step in failover["steps"])
        assert json.dumps(told)
        loser = await world.controllers["nn1"].explain()
        assert loser["health"]["state"] == "SERVICE_NOT_RESPONDING"
        assert loser["lock"] == {"holder": "nn2", "mine": False}
        assert loser["failovers"][0]["cause"] == LOCK_FOUND_FREE
        news = [news["what"] for news in loser["news"]]
        assert any("does not respond" in what for what in news)

    world.run(story())


def test_a_failover_that_was_asked_for_says_by_whom(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        await world.controllers["nn2"].graceful_failover("eve")
        told = await world.controllers["nn2"].explain()
        cause = "eve asked for a failover from NameNode at host1:8020"
        assert told["failovers"][0]["cause"] == cause
        ceded = await world.controllers["nn1"].explain()
        assert "a test asks to cede for 10000 ms" in [news["what"] for news in ceded["news"]]

    world.run(story())


def test_a_namenode_without_a_page_is_made_active_all_the_same(world: World) -> None:
    async def story() -> None:
        world.page_error = ConnectFailed("no page")
        await world.start_all()
        assert world.active() == ["nn1"]
        told = await world.controllers["nn1"].explain()
        assert told["failovers"][0]["succeeded"] is True
        assert told["failovers"][0]["namenode_record"] == ""

    world.run(story())


def test_an_explanation_when_the_lock_service_is_gone(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.sessions["nn2"].reachable = False
        told = await world.controllers["nn2"].explain()
        assert told["lock"] == {"error": "the lock service can't be reached"}

    world.run(story())


def test_a_controller_that_is_killed_and_restarted_costs_no_outage(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        # Its session lives on in ZooKeeper until it expires.
        old = world.sessions["nn1"]
        old.ensemble = type(world.ensemble)()
        await world.kill_controller("nn1")
        world.sessions["nn1"] = type(old)(world.ensemble)
        world.start("nn1")
        await asyncio.sleep(5)
        told = await world.controllers["nn1"].explain()
        assert "before a restart, or that of a second controller" in told["election"]["reason"]
        assert told["lock"] == {"holder": "nn1", "mine": False}
        states = [order for order, _ in world.namenodes["nn1"].orders]
        assert states == ["ACTIVE"], "nobody made it standby"
        world.ensemble.free()
        await world.until(lambda: world.ensemble.holder is not None)
        await asyncio.sleep(1)
        assert len(world.active()) == 1

    world.run(story())


@pytest.mark.parametrize("jump_ms", [-(10**10), 10**10])
def test_a_wall_clock_that_jumps_moves_nothing(world: World, jump_ms: int) -> None:
    async def story() -> None:
        await world.start_all()
        world.clock.jump_ms = jump_ms
        await world.controllers["nn1"].cede_active(5000, "a test")
        await world.until(lambda: world.active() == ["nn2"], within_ms=100)
        world.clock.jump_ms = 0
        waited_ms = await world.until(lambda: world.controllers["nn1"].election is State.STANDBY)
        assert 4500 < waited_ms <= 5100
        world.clock.jump_ms = jump_ms
        world.namenodes["nn2"].kill()
        assert await world.until(lambda: world.active() == ["nn1"]) < 20
        told = await world.controllers["nn1"].explain()
        assert 0 <= told["failovers"][-1]["millis"] < 20

    world.run(story())


def test_a_breadcrumb_of_our_own_under_another_port_fences_nobody(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        crumb = world.ensemble.breadcrumb
        info = decode(crumb.data, "x")
        info.zkfcPort += 1
        world.ensemble.breadcrumb = Breadcrumb(info.SerializeToString(), crumb.version)
        await world.kill_controller("nn2")
        world.sessions["nn1"].expire()
        await world.until(lambda: world.controllers["nn1"].election is State.ACTIVE)
        assert [order for order, _ in world.namenodes["nn1"].orders] == ["ACTIVE", "ACTIVE"]
        assert world.shell.ran == []

    world.run(story())


def test_a_lock_with_garbage_is_somebody_elses(world: World) -> None:
    async def story() -> None:
        world.ensemble.holder = type(world.sessions["nn1"])(world.ensemble)
        world.ensemble.content = b"\xff garbage"
        await world.start_all()
        await asyncio.sleep(10)
        assert world.active() == []
        told = await world.controllers["nn1"].explain()
        assert told["election"]["state"] == "STANDBY"
        assert "the lock" in told["lock"]["error"]
        world.ensemble.free()
        await world.until(lambda: len(world.active()) == 1)

    world.run(story())


# --- a NameNode that is not ready ---


def test_who_is_not_ready_lets_the_others_go_first(world_of: Any) -> None:
    async def story(world: World) -> None:
        await world.start_all()
        world.namenodes["nn2"].kill()
        await world.until(lambda: world.controllers["nn2"].election is State.OUT)
        world.namenodes["nn2"].ready = False
        world.namenodes["nn2"].start()
        await asyncio.sleep(30)
        late = world.controllers["nn2"]
        assert (late.health.value, late.election) == ("SERVICE_HEALTHY", State.OUT)
        told = await late.explain()
        assert "NameNode at host1:8020 is active: safe mode is ON" in told["waits"]
        world.namenodes["nn1"].kill()
        await world.until(lambda: world.active() == ["nn3"])
        assert late.election is State.OUT
        world.namenodes["nn2"].ready = True
        await world.until(lambda: late.election is State.STANDBY, within_ms=2000)
        assert (await late.explain())["waits"] == ""

    made = world_of(3)
    made.run(story(made))


def test_who_is_alone_takes_part_though_it_is_not_ready(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn2"].kill()
        await world.until(lambda: world.controllers["nn2"].election is State.OUT)
        world.namenodes["nn2"].ready = False
        world.namenodes["nn2"].start()
        await asyncio.sleep(10)
        assert world.controllers["nn2"].election is State.OUT
        world.namenodes["nn1"].kill()
        await world.until(lambda: world.active() == ["nn2"], within_ms=2000)

    world.run(story())


def test_a_wait_for_readiness_ends_when_the_namenode_fails(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn2"].kill()
        await world.until(lambda: world.controllers["nn2"].election is State.OUT)
        world.namenodes["nn2"].ready = False
        world.namenodes["nn2"].start()
        await asyncio.sleep(5)
        world.namenodes["nn2"].sick = "no space left"
        world.namenodes["nn2"].ready = True
        await asyncio.sleep(5)
        assert world.controllers["nn2"].election is State.OUT
        world.namenodes["nn2"].sick = None
        await world.until(lambda: world.controllers["nn2"].election is State.STANDBY)

    world.run(story())


def test_a_failover_by_request_replays_before_the_active_cedes(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn2"].ready, world.namenodes["nn2"].behind_ms = False, 9000
        asked = asyncio.ensure_future(world.controllers["nn2"].graceful_failover())
        await asyncio.sleep(8)
        assert world.active() == ["nn1"]
        began_ms = await world.until(lambda: world.active() != ["nn1"])
        outage_ms = await world.until(lambda: world.active() == ["nn2"])
        await asked
        assert (900 < began_ms < 1200, outage_ms < 100) == (True, True)

    world.run(story())


def test_a_failover_by_request_to_one_that_is_not_ready_changes_nothing(world: World) -> None:
    async def story() -> None:
        await world.start_all()
        orders = len(world.namenodes["nn1"].orders)
        world.namenodes["nn2"].ready = False
        for behind_ms in (None, 3_600_000):
            world.namenodes["nn2"].behind_ms = behind_ms
            with pytest.raises(
                ServiceFailed, match="is not ready to become active: safe mode is ON"
            ):
                await world.controllers["nn2"].graceful_failover()
        assert (world.active(), len(world.namenodes["nn1"].orders)) == (["nn1"], orders)

    world.run(story())


def test_a_failover_by_request_to_a_latecomer_waits_for_it_and_for_its_session(
    world: World,
) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn2"].kill()
        await world.until(lambda: world.controllers["nn2"].election is State.OUT)
        world.namenodes["nn2"].ready, world.namenodes["nn2"].behind_ms = False, 3000
        world.namenodes["nn2"].start()
        await world.until(lambda: world.controllers["nn2"].health.value == "SERVICE_HEALTHY")
        await world.controllers["nn2"].graceful_failover()
        assert world.active() == ["nn2"]

    world.run(story())


def test_one_that_does_not_respond_and_has_no_controller_is_asked_for_as_long_as_it_may_take(
    world: World,
) -> None:
    async def story() -> None:
        await world.start_all()
        world.namenodes["nn1"].frozen = True
        await world.kill_controller("nn1")
        took_ms = await world.until(lambda: "nn2" in world.active())
        assert 5000 <= took_ms < 5100
        del world.tasks["nn1"]

    world.run(story())
