"""The active NameNode dies, freezes and loses journals under writers: nothing acknowledged is lost.

P1, P2 and P4 of docs/invariants.md, seen from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from witnesses import (
    Watch,
    Workload,
    ask_active,
    assert_all_there,
    assert_journals_agree,
    client_of,
    faults_of,
    journals_in_step,
    record_of,
    rpc_client,
    wait_for,
    writing,
)

from hdfsd.base.errors import HdfsdError, OutcomeUnknown
from hdfsd.wire.messages import client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

KILLS = 10


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    """One cluster for the whole module: it must come through all of it."""
    # A JournalNode that missed something takes part again from the next segment on, as Hadoop's.
    return start_cluster("-D", "dfs.ha.log-roll.period=1s")


def test_the_active_killed_ten_times_in_a_row(cluster: Any) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster) as work:
        work.wait_for_more()
        for _ in range(KILLS):
            active = watch.wait_for_active()
            with work.fault():
                faults.kill(active).wait_gone(10)
                watch.wait_for_active(other_than=active)
                work.wait_for_more(1)
            work.wait_for_more()
            watch.wait_for_states("ACTIVE", "STANDBY")
    watch.assert_never_two_active()
    work.assert_only_calls_in_flight_failed()
    assert_all_there(cluster, work.writers)
    assert_journals_agree(cluster)


def test_a_journalnode_killed_while_the_active_dies(cluster: Any) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster, seed=2) as work:
        for journal in ("jn1", "jn2", "jn3"):
            watch.wait_for_states("ACTIVE", "STANDBY")
            faults.hold(journal)
            faults.kill(journal).wait_gone(10)
            work.wait_for_more()
            active = watch.wait_for_active()
            with work.fault():
                faults.kill(active).wait_gone(10)
                watch.wait_for_active(other_than=active)
                work.wait_for_more(1)
            faults.release(journal)
            wait_for(lambda: journals_in_step(cluster), f"{journal} in step again")
        watch.wait_for_states("ACTIVE", "STANDBY")
    watch.assert_never_two_active()
    work.assert_only_calls_in_flight_failed()
    assert_all_there(cluster, work.writers)
    assert_journals_agree(cluster)


def test_a_journalnode_frozen_while_the_active_dies(cluster: Any) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster, seed=3) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        wait_for(lambda: journals_in_step(cluster), "all journals in step")
        faults.freeze("jn2")
        try:
            work.wait_for_more()
            active = watch.wait_for_active()
            with work.fault():
                faults.kill(active).wait_gone(10)
                watch.wait_for_active(other_than=active)
                work.wait_for_more(1)
            work.wait_for_more()
        finally:
            faults.thaw("jn2")
        work.wait_for_more()
        watch.wait_for_states("ACTIVE", "STANDBY")
    watch.assert_never_two_active()
    work.assert_only_calls_in_flight_failed()
    assert_all_there(cluster, work.writers)
    assert_journals_agree(cluster)


def test_datanodes_killed_under_writers_and_with_the_active(cluster: Any) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster, seed=4) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        work.wait_for_more()
        with work.fault():
            faults.kill("dn1").wait_gone(10)
            work.wait_for_more()
        active = watch.wait_for_active()
        with work.fault():
            faults.kill("dn2").wait_gone(10)
            faults.kill(active).wait_gone(10)
            watch.wait_for_active(other_than=active)
            work.wait_for_more()
        watch.wait_for_states("ACTIVE", "STANDBY")
    watch.assert_never_two_active()
    assert_all_there(cluster, work.writers)


def test_a_frozen_active_wakes_up_deposed(cluster: Any) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster, seed=5) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        work.wait_for_more()
        frozen = watch.wait_for_active()
        process = faults.freeze(frozen)
        late = asyncio.run(late_mkdir(cluster, frozen, lambda: thaw(cluster, watch, frozen, work)))
        assert not isinstance(late, client_namenode.MkdirsResponseProto), late
        # Its journals refuse it: it ends, and its launcher starts it again as a standby.
        wait_for(lambda: not process.is_alive or watch.states()[frozen] != "ACTIVE", "its end")
        watch.wait_for_states("ACTIVE", "STANDBY")
        work.wait_for_more()
    assert_all_there(cluster, work.writers)
    assert_journals_agree(cluster)
    client = client_of(cluster)
    assert "/late" not in [row.path for row in client.list_status("/", False)]


def thaw(cluster: Any, watch: Watch, frozen: str, work: Workload) -> None:
    """Once the other one has acknowledged writes."""
    watch.wait_for_active(other_than=frozen)
    # Calls sent to the frozen one hang until it wakes up: only new clients get through.
    client_of(cluster).mkdirs("/by-the-other", 0o755, True)
    faults_of(cluster).thaw(frozen)


async def late_mkdir(cluster: Any, frozen: str, thaw_it: Callable[[], None]) -> object:
    """What a frozen NameNode answers to a call that waited in its socket while it was deposed."""
    address = record_of(cluster).plan.find(frozen).address("rpc")
    assert address is not None
    client = rpc_client(address, CLIENT_PROTOCOL)
    request = client_namenode.MkdirsRequestProto(src="/late", createParent=True)
    request.masked.perm = 0o755
    call = asyncio.create_task(client.call("mkdirs", request, deadline_ms=60_000))
    try:
        await asyncio.to_thread(thaw_it)
        return await call
    except HdfsdError as error:
        return error
    finally:
        await client.close()


def test_without_a_majority_of_journals_nothing_is_acknowledged(cluster: Any) -> None:
    faults = faults_of(cluster)
    stopped = ("jn1", "jn3")
    with Watch(cluster) as watch, writing(cluster, seed=6) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        work.wait_for_more()
        with work.fault():
            for journal in stopped:
                faults.hold(journal)
                faults.kill(journal)
            # The active must not outlive its quorum (P2).
            wait_for(lambda: "ACTIVE" not in watch.states().values(), "no active NameNode")
            before = work.acknowledged_count
            request = client_namenode.MkdirsRequestProto(src="/never", createParent=True)
            request.masked.perm = 0o755
            # Refused, or cut off by the end of one that was asked to take over without a quorum.
            with pytest.raises((AssertionError, OutcomeUnknown)):
                ask_active(cluster, "mkdirs", request)
            assert work.acknowledged_count == before
            for journal in stopped:
                faults.release(journal)
            watch.wait_for_active()
            work.wait_for_more()
        watch.wait_for_states("ACTIVE", "STANDBY")
    watch.assert_never_two_active()
    assert_all_there(cluster, work.writers)
    assert_journals_agree(cluster)
    assert "/never" not in [row.path for row in client_of(cluster).list_status("/", False)]
