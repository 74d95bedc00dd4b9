"""Who joins the election though it is not ready: the whole table."""

from __future__ import annotations

import pytest

from hdfsd.failover.policy import ServiceState
from hdfsd.failover.readiness import OTHERS_FIRST_MS, Other, decide

ACTIVE, STANDBY = ServiceState.ACTIVE, ServiceState.STANDBY
GONE = Other("nn9", None, False)
LATE = Other("nn8", STANDBY, False)
ABLE = Other("nn7", STANDBY, True)
LEADER = Other("nn6", ACTIVE, True)
OBSERVER = Other("nn5", ServiceState.OBSERVER, False)


@pytest.mark.parametrize(
    ("obstacle", "others", "waited_ms", "joins", "reason"),
    [
        ("", [LEADER], 0, True, "it is ready"),
        ("replays", [], 0, True, "nobody else could be active, though it is not ready: replays"),
        ("replays", [GONE, LATE, OBSERVER], 0, True, "nobody else could be active"),
        ("replays", [GONE, LEADER], 0, False, "not ready, and nn6 is active: replays"),
        ("replays", [LEADER], 1 << 40, False, "nn6 is active"),
        ("replays", [LATE, ABLE], 0, False, "not ready, and nn7 could be active: replays"),
        ("replays", [ABLE], OTHERS_FIRST_MS - 1, False, "nn7 could be active"),
        ("replays", [ABLE], OTHERS_FIRST_MS, True, "nn7 does not become active, though"),
    ],
)
def test_table(
    obstacle: str, others: list[Other], waited_ms: int, joins: bool, reason: str
) -> None:
    verdict = decide(obstacle, others, waited_ms)
    assert verdict.joins is joins
    assert reason in verdict.reason
