"""A frozen NameNode is found by its heartbeat, long before a health check has waited in vain.

What is a freeze and what is not: failover.heartbeat, decided in its unit tests. Here real processes
are stopped by a real SIGSTOP.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from witnesses import Watch, faults_of, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

HADOOPS_MS = 600_000
"""Longer than the tests may take: what happens here is the heartbeat's doing."""
SHORT_STOPS = 6


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    return start_cluster(
        "-D",
        f"ha.health-monitor.rpc-timeout.ms={HADOOPS_MS}",
        "-D",
        "hdfsd.ha.heartbeat.timeout=3s",
        "-D",
        "ha.failover-controller.graceful-fence.rpc-timeout.ms=60000",
    )


def told(cluster: Any) -> dict[str, Any]:
    done = cluster.hdfsd("haadmin", "-explain", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_stopped_active_is_replaced_and_comes_back(cluster: Any) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch:
        watch.wait_for_states("ACTIVE", "STANDBY")
        active = watch.wait_for_active()
        faults.freeze(active)
        try:
            other = watch.wait_for_active(other_than=active)
        finally:
            faults.thaw(active)
        watch.wait_for_states("ACTIVE", "STANDBY")
    news = json.dumps(told(cluster)["namenodes"])
    assert "it is frozen: it has given no heartbeat for" in news
    assert "its process is stopped" in news
    assert other != active


def test_stops_that_are_short_are_no_freeze(cluster: Any) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch:
        watch.wait_for_states("ACTIVE", "STANDBY")
        active = watch.wait_for_active()
        count = len(told(cluster)["failovers"])
        for _ in range(SHORT_STOPS):
            faults.freeze(active)
            time.sleep(1)
            faults.thaw(active)
            time.sleep(1)
        wait_for(lambda: watch.wait_for_active() == active, "still the same")
    assert len(told(cluster)["failovers"]) == count
