from __future__ import annotations

import pytest

from hdfsd.failover.health import HealthState
from hdfsd.failover.policy import (
    ELECTABILITY,
    HOLD_AFTER_MISMATCH_MS,
    Action,
    Decision,
    Policy,
    ServiceState,
)

HEALTHY = HealthState.SERVICE_HEALTHY


def policy(expected: ServiceState = ServiceState.INITIALIZING) -> Policy:
    made = Policy()
    made.health_changed(HEALTHY, 0)
    made.became(expected)
    return made


@pytest.mark.parametrize(
    ("health", "action", "reason"),
    [
        (HealthState.INITIALIZING, Action.QUIT, "its health is not known yet"),
        (HealthState.SERVICE_HEALTHY, Action.JOIN, "it is healthy"),
        (HealthState.SERVICE_UNHEALTHY, Action.QUIT_FENCED, "it is unhealthy"),
        (HealthState.SERVICE_NOT_RESPONDING, Action.QUIT_FENCED, "it does not respond"),
    ],
)
@pytest.mark.parametrize("expected", list(ServiceState), ids=lambda s: s.name)
def test_health_decides(
    health: HealthState, action: Action, reason: str, expected: ServiceState
) -> None:
    made = policy(expected)
    decision = made.health_changed(health, 5)
    if (action, expected) == (Action.JOIN, ServiceState.OBSERVER):
        assert decision.action is Action.NOTHING
        assert "observer" in decision.reason
    else:
        assert decision == Decision(action, reason)
    if action is not Action.JOIN:
        assert made.expected is ServiceState.INITIALIZING


def test_every_health_is_decided() -> None:
    assert set(ELECTABILITY) == set(HealthState)


@pytest.mark.parametrize("health", list(HealthState), ids=lambda h: h.name)
def test_a_hold_outweighs_health(health: HealthState) -> None:
    made = policy()
    made.ceded(10_000, 100)
    decision = made.health_changed(health, 4_100)
    assert decision == Decision(Action.WAIT, "it ceded for 6000 ms more", 6_000)
    assert made.describe(4_100) == f"health {health.value}, expected INITIALIZING, hold 6000 ms"
    assert made.recheck(10_100).action is ELECTABILITY[health][0]


def test_a_hold_ends_when_it_is_said_to() -> None:
    made = policy()
    made.ceded(10_000, 100)
    assert made.hold_ended(200).action is Action.JOIN


@pytest.mark.parametrize("expected", [ServiceState.ACTIVE, ServiceState.STANDBY])
def test_the_expected_state_is_no_news(expected: ServiceState) -> None:
    decision = policy(expected).state_reported(expected, 0)
    assert decision == Decision(Action.NOTHING, f"it is {expected.name} as expected")


def test_another_state_twice_in_a_row_is_somebody_elses_work() -> None:
    made = policy(ServiceState.ACTIVE)
    once = made.state_reported(ServiceState.STANDBY, 0)
    assert once == Decision(Action.NOTHING, "it says STANDBY: perhaps on its way")
    assert made.state_reported(ServiceState.ACTIVE, 1).action is Action.NOTHING
    assert made.state_reported(ServiceState.STANDBY, 2).action is Action.NOTHING
    twice = made.state_reported(ServiceState.STANDBY, 3)
    assert twice == Decision(Action.QUIT_FENCED, "it is STANDBY where ACTIVE was expected")
    waiting = made.state_reported(ServiceState.STANDBY, 4)
    assert (waiting.action, waiting.wait_ms) == (Action.WAIT, HOLD_AFTER_MISMATCH_MS - 1)
    back = made.state_reported(ServiceState.STANDBY, 3 + HOLD_AFTER_MISMATCH_MS)
    assert back.action is Action.JOIN
    assert made.state_reported(ServiceState.STANDBY, 2000).action is Action.NOTHING


def test_a_new_election_result_forgets_a_mismatch() -> None:
    made = policy(ServiceState.ACTIVE)
    made.state_reported(ServiceState.STANDBY, 0)
    made.became(ServiceState.ACTIVE)
    assert made.state_reported(ServiceState.STANDBY, 1).action is Action.NOTHING


def test_nothing_is_expected_outside_the_election() -> None:
    for state in set(ServiceState) - {ServiceState.OBSERVER}:
        assert policy().state_reported(state, 0).action is Action.NOTHING


def test_an_observer_leaves_and_comes_back_as_standby() -> None:
    made = policy(ServiceState.STANDBY)
    left = made.state_reported(ServiceState.OBSERVER, 0)
    assert left.action is Action.QUIT_FENCED
    assert "observer" in left.reason
    assert made.state_reported(ServiceState.OBSERVER, 1).action is Action.NOTHING
    assert made.recheck(2).action is Action.NOTHING
    made.state_reported(ServiceState.STANDBY, 3)
    assert made.state_reported(ServiceState.STANDBY, 4).action is Action.QUIT_FENCED
    assert made.recheck(4 + HOLD_AFTER_MISMATCH_MS).action is Action.JOIN


def test_one_that_is_an_observer_when_its_controller_starts_does_not_join() -> None:
    """Hadoop's would: it forgets what it was told while it knows of no election."""
    made = policy()
    made.state_reported(ServiceState.OBSERVER, 0)
    joined = made.health_changed(HealthState.SERVICE_HEALTHY, 0)
    assert joined == Decision(Action.NOTHING, "it is an observer, which is never elected")
    made.health_changed(HealthState.SERVICE_NOT_RESPONDING, 1)
    made.state_reported(ServiceState.OBSERVER, 2)
    assert made.health_changed(HealthState.SERVICE_HEALTHY, 2).action is Action.NOTHING


@pytest.mark.parametrize("reported", list(ServiceState))
def test_one_that_is_not_eligible_never_joins(reported: ServiceState) -> None:
    made = Policy(eligible=False)
    for now_ms in range(3):
        assert made.state_reported(reported, now_ms).action is not Action.JOIN
        decision = made.health_changed(HealthState.SERVICE_HEALTHY, now_ms)
        assert decision.action is Action.NOTHING
    assert Policy(eligible=False).health_changed(HealthState.SERVICE_HEALTHY, 0) == Decision(
        Action.NOTHING, "hdfsd.ha.election.eligible=false: it is never elected"
    )
    made.ceded(1000, 10)
    assert made.recheck(11).action is Action.WAIT
    assert made.recheck(1010).action is Action.NOTHING
