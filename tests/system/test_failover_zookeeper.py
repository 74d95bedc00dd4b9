"""Failover through a real ZooKeeper: NameNodes, controllers, sessions and the server fail."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from kazoo.client import KazooClient
from witnesses import (
    Watch,
    assert_all_there,
    assert_journals_agree,
    faults_of,
    record_of,
    wait_for,
    writing,
)

pytestmark = [pytest.mark.system, pytest.mark.zookeeper, pytest.mark.timeout(300)]

KILLS = 10


@pytest.fixture(scope="module")
def cluster(zookeeper: Any, start_cluster: Callable[..., Any]) -> Any:
    return start_cluster("--zookeeper", zookeeper.quorum, "-D", "dfs.ha.log-roll.period=1s")


def test_the_active_killed_ten_times_in_a_row(cluster: Any) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster, seed=21) as work:
        work.wait_for_more()
        for _ in range(KILLS):
            watch.wait_for_states("ACTIVE", "STANDBY")
            active = watch.wait_for_active()
            with work.fault():
                faults.kill(active).wait_gone(10)
                watch.wait_for_active(other_than=active)
                work.wait_for_more(1)
            work.wait_for_more()
    watch.assert_never_two_active()
    work.assert_only_calls_in_flight_failed()
    assert_all_there(cluster, work.writers)
    assert_journals_agree(cluster)


def controller_of(namenode: str) -> str:
    return namenode.replace("nn", "zkfc")


@pytest.mark.parametrize("which", ["of the active", "of the standby"])
def test_a_controller_killed(cluster: Any, which: str) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster, seed=len(which)) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        work.wait_for_more()
        active = watch.wait_for_active()
        victim = active if which == "of the active" else {"nn1": "nn2", "nn2": "nn1"}[active]
        with work.fault():
            faults.hold(controller_of(victim))
            faults.kill(controller_of(victim)).wait_gone(10)
            if victim == active:
                # Nobody watches over the old one any more: it is fenced, the other takes over.
                watch.wait_for_active(other_than=active)
            work.wait_for_more()
            faults.release(controller_of(victim))
        watch.wait_for_states("ACTIVE", "STANDBY")
        if victim != active:
            assert watch.the_active() == active
            assert not [failure for writer in work.writers for failure in writer.failures]
    watch.assert_never_two_active()
    assert_all_there(cluster, work.writers)


def test_a_session_that_expires(cluster: Any) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster, seed=31) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        work.wait_for_more()
        active = watch.wait_for_active()
        with work.fault():
            # Without heartbeats ZooKeeper ends its session, and the lock is free.
            faults.freeze(controller_of(active))
            watch.wait_for_active(other_than=active)
            work.wait_for_more()
            faults.thaw(controller_of(active))
        watch.wait_for_states("ACTIVE", "STANDBY")
        assert watch.the_active() != active
        work.wait_for_more()
    watch.assert_never_two_active()
    assert_all_there(cluster, work.writers)


def test_a_lock_taken_away(cluster: Any, zookeeper: Any) -> None:
    with Watch(cluster) as watch, writing(cluster, seed=32) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        work.wait_for_more()
        with work.fault():
            delete_lock(cluster, zookeeper)
            work.wait_for_more()
        watch.wait_for_states("ACTIVE", "STANDBY")
        wait_for(lambda: lock_owner(cluster, zookeeper), "the lock held again")
        work.wait_for_more()
    watch.assert_never_two_active()
    assert_all_there(cluster, work.writers)


def lock_path(cluster: Any) -> str:
    ports = [port for daemon in record_of(cluster).plan.daemons for port in daemon.ports.values()]
    return f"/hdfsd-{min(ports)}/hdfsd/ActiveStandbyElectorLock"


def lock_owner(cluster: Any, zookeeper: Any) -> int:
    """The session that holds the lock; 0: nobody's."""
    client = KazooClient(zookeeper.quorum)
    client.start()
    try:
        found = client.exists(lock_path(cluster))
        return int(found.ephemeralOwner) if found else 0
    finally:
        client.stop()
        client.close()


def delete_lock(cluster: Any, zookeeper: Any) -> None:
    """Somebody's hand in ZooKeeper; the session of the lock's owner lives on."""
    client = KazooClient(zookeeper.quorum)
    client.start()
    try:
        client.delete(lock_path(cluster))
    finally:
        client.stop()
        client.close()


def test_zookeeper_itself_stands_still(cluster: Any, zookeeper: Any) -> None:
    with Watch(cluster) as watch, writing(cluster, seed=41) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        active = watch.wait_for_active()
        zookeeper.signal(signal.SIGSTOP)
        try:
            work.wait_for_more(30)
            assert watch.the_active() == active
        finally:
            zookeeper.signal(signal.SIGCONT)
        work.wait_for_more()
        watch.wait_for_states("ACTIVE", "STANDBY")
    watch.assert_never_two_active()
    assert_all_there(cluster, work.writers)
