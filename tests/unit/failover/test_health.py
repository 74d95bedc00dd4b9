from __future__ import annotations

import pytest

from hdfsd.base.settings import HealthSettings
from hdfsd.failover.health import RULES, Health, HealthState, Next, Observation

SETTINGS = HealthSettings(
    connect_retry_interval_ms=11,
    check_interval_ms=22,
    pause_after_disconnect_ms=33,
    rpc_timeout_ms=44,
    connect_retries_max=1,
    heartbeat_ms=0,
)

TABLE = [
    (Observation.HEALTHY, HealthState.SERVICE_HEALTHY, Next.CHECK, 22),
    (Observation.UNHEALTHY, HealthState.SERVICE_UNHEALTHY, Next.CHECK, 22),
    (Observation.NOT_CONNECTED, HealthState.SERVICE_NOT_RESPONDING, Next.CONNECT, 11),
    (Observation.LINK_LOST, HealthState.SERVICE_NOT_RESPONDING, Next.CONNECT, 33),
    (Observation.NO_ANSWER, HealthState.SERVICE_NOT_RESPONDING, Next.CONNECT, 33),
    (Observation.FROZEN, HealthState.SERVICE_NOT_RESPONDING, Next.CONNECT, 33),
    (Observation.REFUSED, HealthState.SERVICE_NOT_RESPONDING, Next.CONNECT, 33),
]


def test_every_observation_has_a_rule() -> None:
    assert set(RULES) == set(Observation) == {row[0] for row in TABLE}


@pytest.mark.parametrize("before", list(Observation), ids=lambda o: o.name)
@pytest.mark.parametrize(("observation", "state", "following", "pause_ms"), TABLE)
def test_cell(
    before: Observation,
    observation: Observation,
    state: HealthState,
    following: Next,
    pause_ms: int,
) -> None:
    health = Health(SETTINGS)
    assert health.state is HealthState.INITIALIZING
    health.step(before)
    changes = health.state is not state
    step = health.step(observation, "because")
    assert (step.following, step.pause_ms) == (following, pause_ms)
    assert step.entered is (state if changes else None)
    assert step.reason == f"it {observation.value}: because"
    assert health.state is state


@pytest.mark.parametrize("observation", list(Observation), ids=lambda o: o.name)
def test_who_is_mute_though_alive(observation: Observation) -> None:
    health = Health(SETTINGS)
    health.step(observation, "detail")
    assert health.is_mute is (observation in (Observation.FROZEN, Observation.NO_ANSWER))
    # It has been restarted meanwhile: whoever takes over may ask it again.
    health.step(Observation.NOT_CONNECTED)
    assert not health.is_mute
