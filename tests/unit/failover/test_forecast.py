from __future__ import annotations

import pytest

from hdfsd.failover.forecast import UNKNOWN, NodeView, Timing, forecast, obstacle_of
from hdfsd.failover.policy import ServiceState

A, S, OBSERVER = ServiceState.ACTIVE, ServiceState.STANDBY, ServiceState.OBSERVER


def timing(**changes: object) -> Timing:
    values: dict[str, object] = {
        "automatic": True,
        "session_timeout_ms": 10_000,
        "check_interval_ms": 1000,
        "check_timeout_ms": 45_000,
        "graceful_fence_ms": 5000,
        "connect_ms": 200,
        "methods": ("sshfence", "shell(/bin/true)"),
    }
    return Timing(**{**values, **changes})  # type: ignore[arg-type]


NN1 = NodeView("nn1", A, "", "ACTIVE")
NN2 = NodeView("nn2", S, "", "STANDBY")
NN3 = NodeView("nn3", S, "", UNKNOWN)


def told(*nodes: NodeView, **changes: object) -> dict[str, tuple[str, int | None]]:
    found = forecast(nodes, timing(**changes))
    return {entry.event: (entry.then, entry.within_ms) for entry in found}


def test_two_namenodes() -> None:
    force = "fences it by sshfence, then shell(/bin/true)"
    assert told(NN1, NN2) == {
        "the process of nn1 dies": (
            "its controller sees the connection end at once and gives up the lock;"
            f" nn2 becomes active, after it {force}",
            0,
        ),
        "nn1 freezes": (
            f"its controller has no answer for 45000 ms; nn2 becomes active, after it {force}",
            46_000,
        ),
        "the machine of nn1 is gone": (
            "its session ends after 10000 ms;"
            f" nn2 becomes active, after it has tried to reach it for 200 ms and {force}",
            10_200,
        ),
        "the controller of nn1 dies": (
            "its lock is freed after 10000 ms; nn2 becomes active,"
            " after it has asked the old one to become standby, which it does",
            10_000,
        ),
        "ZooKeeper is gone": (
            "no state changes: nn1 serves on, and nobody takes over until it is back",
            None,
        ),
        "nn2 fails": ("nn1 serves on; nobody could take over then", None),
    }


def test_a_freeze_is_found_by_a_heartbeat_where_there_is_one() -> None:
    then, within_ms = told(NN1, NN2, heartbeat_ms=3000)["nn1 freezes"]
    assert then.startswith("its controller has no heartbeat for 3000 ms; nn2 becomes active")
    assert within_ms == 3500
    hadoops = NodeView("nn1", A, "", UNKNOWN)
    then, within_ms = told(hadoops, NN2, heartbeat_ms=3000)["nn1 freezes"]
    assert "no answer for 45000 ms; nn2 becomes active, after it has asked it for 5000 ms" in then
    assert within_ms == 51_000
    assert told(NN1, NN3, heartbeat_ms=3000)["nn1 freezes"][1] == 8500


def test_three_namenodes() -> None:
    found = told(NN2, NN1, NN3)
    assert "one of nn2 and nn3 becomes active" in found["nn1 freezes"][0]
    then, within_ms = found["the machine of nn1 is gone"]
    assert "has tried to reach it for 5000 ms" in then, "nn3 may be the one, and is Hadoop's"
    assert within_ms == 15_000
    assert found["nn2 fails"] == ("nn1 serves on; nn3 could still take over", None)


def test_nobody_to_take_over() -> None:
    sick = NodeView("nn2", S, "no space left", "OUT", "out: it is unhealthy")
    then, within_ms = told(NN1, sick)["the process of nn1 dies"]
    assert then.endswith("NOBODY takes over (nn2: its NameNode is unhealthy: no space left)")
    assert within_ms is None
    assert "there is no other NameNode" in told(NN1)["nn1 freezes"][0]


def test_sshfence_alone_can_not_fence_a_machine_that_is_gone() -> None:
    then, within_ms = told(NN1, NN2, methods=("sshfence(hdfs:22)",))["the machine of nn1 is gone"]
    assert then.startswith("NOBODY takes over until it is back: sshfence(hdfs:22) can't fence")
    assert within_ms is None


def test_nobody_watches_the_active_one() -> None:
    found = told(NodeView("nn1", A, "", ""), NN2)
    for event in ("the process of nn1 dies", "nn1 freezes"):
        assert found[event] == ("nobody watches it: its controller does not answer", None)


def test_the_embedded_lock() -> None:
    found = told(NN1, NN2, session_timeout_ms=None)
    assert found["the machine of nn1 is gone"][0] == "all NameNodes are on it: nobody is left"
    assert found["the controller of nn1 dies"][0].startswith("its lock is freed at once; nn2")
    assert "the lock's directory is gone" in found


def test_by_hand() -> None:
    assert told(NN1, NN2, automatic=False) == {
        "nn1 fails": ("nothing happens by itself: use haadmin -failover", None)
    }


@pytest.mark.parametrize(
    ("nodes", "then"),
    [((NN2, NN3), "nobody is active now"), ((NN1, NN1), "nn1, nn1 is active now")],
)
def test_not_exactly_one_active(nodes: tuple[NodeView, ...], then: str) -> None:
    assert told(*nodes) == {"anything fails": (then, None)}


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (NN2, ""),
        (NN3, ""),
        (NodeView("x", S, "", "YIELDING"), ""),
        (NodeView("x", None, "refused", "STANDBY"), "its NameNode does not answer"),
        (NodeView("x", OBSERVER, "", "OUT"), "its NameNode is observer"),
        (NodeView("x", S, "", ""), "its controller does not answer"),
        (NodeView("x", S, "", "OUT", "it ceded"), "it ceded"),
        (NodeView("x", S, "", "NEUTRAL"), "its controller is NEUTRAL"),
    ],
)
def test_obstacles(node: NodeView, why: str) -> None:
    assert obstacle_of(node) == why


def test_a_line_for_people() -> None:
    dies, freezes, *_ = forecast((NN1, NN2), timing())
    assert dies.describe().endswith(
        "[at once, and what the fencing methods take if they are needed]"
    )
    assert "[within 46000 ms, and what" in freezes.describe()
