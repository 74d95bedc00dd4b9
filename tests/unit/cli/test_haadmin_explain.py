"""What is made of answers; that the answers are so is shown in tests/system and tests/interop."""

from __future__ import annotations

from typing import Any

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.ids import Address
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.cli.haadmin_explain import Seen, explanation, lines_of, timing_of
from hdfsd.failover.policy import ServiceState

WALL_MS = 1_700_000_000_000
CONF = Configuration.parse(
    [],
    {
        "dfs.ha.automatic-failover.enabled": "true",
        "ha.zookeeper.quorum": "zk:2181",
        "dfs.ha.fencing.methods": "shell(fence)",
    },
)


def addresses(node_id: str) -> NameNodeAddresses:
    address = Address(node_id, 8020)
    return NameNodeAddresses("ns1", node_id, address, None, None, address, address)


def controller(state: str, **changes: Any) -> dict[str, Any]:
    return {
        "election": {
            "state": state,
            "means": state.lower(),
            "since_wall_ms": WALL_MS,
            "reason": "it happened",
        },
        "health": {"state": "SERVICE_HEALTHY", "since_wall_ms": WALL_MS, "reason": "it answers"},
        "hold_ms": 0,
        "lock": {"holder": "nn1", "mine": state == "ACTIVE"},
        "failovers": [],
        **changes,
    }


def failover(succeeded: bool | None, began_wall_ms: int = WALL_MS) -> dict[str, Any]:
    return {
        "cause": "the lock was freed",
        "began_wall_ms": began_wall_ms,
        "millis": 42,
        "succeeded": succeeded,
        "outcome": "no method worked",
        "namenode_record": "standby → active at txid 7" if succeeded else "",
        "steps": [{"step": "lock taken", "millis": 3, "detail": "said"}],
    }


def seen(node_id: str, state: ServiceState | None, **facts: Any) -> Seen:
    return Seen(addresses(node_id), state, controller_lives=True, **facts)


def told_of(*nodes: Seen) -> dict[str, Any]:
    return explanation("ns1", nodes, timing_of(CONF), WALL_MS)


def test_two_controllers_that_explain_themselves() -> None:
    one = controller("ACTIVE", failovers=[failover(False), failover(True, WALL_MS + 1000)])
    two = controller("STANDBY", failovers=[failover(True, WALL_MS + 500)])
    told = told_of(
        seen("nn1", ServiceState.ACTIVE, controller=one, transitions=["standby → active"]),
        seen("nn2", ServiceState.STANDBY, controller=two),
    )
    assert told["active"] == {
        "id": "nn1",
        "since_wall_ms": WALL_MS + 1042,
        "because": "the lock was freed",
    }
    assert [f["namenode"] for f in told["failovers"]] == ["nn1", "nn2", "nn1"]
    text = "\n".join(lines_of(told))
    assert "because the lock was freed." in text
    assert "nn2 becomes active, after it fences it by shell(fence)" in text
    assert "sees the lock is held by nn1" in text
    assert "NameNode: standby → active" in text
    assert "nn1 did not become active in 42 ms" in text
    assert "ended: no method worked" in text
    assert "3 ms  lock taken: said" in text
    assert "    NameNode: standby → active at txid 7" in text


def test_hadoops_controllers_and_namenodes() -> None:
    told = told_of(
        seen("nn1", ServiceState.ACTIVE, controller_trouble="unknown", since_wall_ms=WALL_MS),
        seen("nn2", ServiceState.STANDBY, controller_trouble="unknown protocol"),
    )
    assert told["active"] == {"id": "nn1", "since_wall_ms": WALL_MS, "because": ""}
    assert "nn2 becomes active" in told["forecast"][0]["then"]
    text = lines_of(told)
    assert "  controller: unknown protocol" in text
    assert text[-1] == "  none that a controller remembers"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hold_ms": 700}, "its controller ceded, and waits 700 ms more"),
        ({"eligible": False}, "it is never elected (hdfsd.ha.election.eligible=false)"),
        (
            {"health": {"state": "SERVICE_NOT_RESPONDING", "since_wall_ms": 1, "reason": "gone"}},
            "its controller is out of the election: SERVICE_NOT_RESPONDING: gone",
        ),
    ],
)
def test_why_nobody_would_take_over(changes: dict[str, Any], why: str) -> None:
    told = told_of(
        seen("nn1", ServiceState.ACTIVE, controller=controller("ACTIVE")),
        seen("nn2", ServiceState.STANDBY, controller=controller("OUT", **changes)),
    )
    assert told["forecast"][0]["then"].endswith(f"NOBODY takes over (nn2: {why})")
    assert any("stays out of the election for 700 ms" in line for line in lines_of(told)) == (
        "hold_ms" in changes
    )


def test_nobody_answers() -> None:
    gone = Seen(addresses("nn1"), trouble="connection refused", controller_trouble="refused too")
    told = told_of(gone)
    assert told["active"] is None
    text = lines_of(told)
    assert "There is not exactly one active NameNode." in text
    assert "nn1 at nn1:8020: does not answer, unhealthy: connection refused" in text
