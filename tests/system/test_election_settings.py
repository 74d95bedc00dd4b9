"""Three NameNodes: one goes first, one lets others go first, one is never elected."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest
from witnesses import wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SETTINGS = (
    "hdfsd.ha.election.yield.hdfsd.nn2=60s",
    "hdfsd.ha.election.eligible.hdfsd.nn3=false",
    # Nobody fails over because the machine is busy: that is not what is tested here.
    "ha.health-monitor.rpc-timeout.ms=120000",
    "dfs.qjournal.write-txns.timeout.ms=60000",
)
WAIT_S = 180


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    options = [word for setting in SETTINGS for word in ("-D", setting)]
    return start_cluster("--namenodes", "3", *options)


def failover(cluster: Any, old: str, new: str) -> tuple[int, str]:
    done = cluster.hdfsd("haadmin", "-failover", old, new)
    return done.returncode, (done.stdout + done.stderr).decode()


def test_whoever_does_not_wait_is_active_first(cluster: Any) -> None:
    assert cluster.wait_for_active(WAIT_S)["id"] == "nn1"


def test_an_operator_does_not_wait_either(cluster: Any) -> None:
    for old, new in (("nn1", "nn2"), ("nn2", "nn1")):
        code, said = failover(cluster, old, new)
        assert code == 0, said
        assert cluster.wait_for_active(WAIT_S)["id"] == new


def test_nobody_makes_the_third_one_active(cluster: Any) -> None:
    code, said = failover(cluster, "nn1", "nn3")
    assert code != 0
    assert "is never elected (hdfsd.ha.election.eligible=false)" in said
    assert cluster.wait_for_active(WAIT_S)["id"] == "nn1"
    told = json.loads(cluster.hdfsd("haadmin", "-explain", "--json").stdout)
    assert "hdfsd.ha.election.eligible=false: it is never elected" in json.dumps(told)
    said = cluster.hdfsd("haadmin", "-explain").stdout.decode()
    assert "nn2 becomes active" in said
    assert "nn3 becomes active" not in said


def test_when_the_first_is_gone_the_second_takes_over_after_its_while(cluster: Any) -> None:
    cluster.hold("nn1")
    cluster.signal("nn1", signal.SIGKILL)
    try:
        wait_for(
            lambda: [row["id"] for row in cluster.in_state("active")] == ["nn2"],
            "nn2 takes over",
            WAIT_S,
        )
    finally:
        cluster.release("nn1")
