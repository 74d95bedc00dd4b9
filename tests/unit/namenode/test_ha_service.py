"""HAServiceProtocol: for superusers, from the right source, with the lifecycle's answer."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from small_namenode import Desktop, call

from hdfsd.base.errors import AccessControl, HealthCheckFailed, ServiceFailed
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.ha_service import HaService
from hdfsd.rpc.server import handlers_of
from hdfsd.wire.messages import ha_service
from hdfsd.wire.services import HA_SERVICE_PROTOCOL, PROTOCOLS

h = ha_service
USER, FORCED, ZKFC = h.REQUEST_BY_USER, h.REQUEST_BY_USER_FORCED, h.REQUEST_BY_ZKFC


class Life:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.not_ready: str | None = None

    async def become_active(self) -> None:
        self.calls.append("active")

    async def become_standby(self) -> None:
        self.calls.append("standby")

    async def become_observer(self) -> None:
        self.calls.append("observer")


class Service:
    def __init__(
        self, *, automatic: bool = False, in_safemode: bool = True, active: bool = False
    ) -> None:
        self.desktop = Desktop(active=active)
        self.life = Life()
        self.monitors = SimpleNamespace(unhealthy=None)
        self.service = HaService(
            self.desktop.desk,
            self.life,  # type: ignore[arg-type]
            self.monitors,  # type: ignore[arg-type]
            automatic_failover=automatic,
            active_in_safemode=in_safemode,
        )

    def ask(self, name: str, request: Any, user: str = "hdfs") -> Any:
        method = next(
            m for m in PROTOCOLS[HA_SERVICE_PROTOCOL].methods.values() if m.handler == name
        )
        about = call(method.name, user, protocol=HA_SERVICE_PROTOCOL)

        async def play() -> Any:
            answer = getattr(self.service, name)(request, about)
            return await answer if inspect.isawaitable(answer) else answer

        return asyncio.run(play())


def source(number: int) -> h.HAStateChangeRequestInfoProto:
    return h.HAStateChangeRequestInfoProto(reqSource=number)


def to_active(number: int = USER) -> h.TransitionToActiveRequestProto:
    return h.TransitionToActiveRequestProto(reqInfo=source(number))


def to_standby(number: int = USER) -> h.TransitionToStandbyRequestProto:
    return h.TransitionToStandbyRequestProto(reqInfo=source(number))


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("monitor_health", h.MonitorHealthRequestProto()),
        ("get_service_status", h.GetServiceStatusRequestProto()),
        ("transition_to_active", to_active()),
        ("transition_to_standby", to_standby()),
    ],
)
def test_superusers_only(name: str, request_: Any) -> None:
    made = Service()
    with pytest.raises(AccessControl, match="Superuser privilege is required"):
        made.ask(name, request_, "eve")
    assert made.life.calls == []
    assert made.ask(name, request_).IsInitialized()


def test_every_handler_is_a_method() -> None:
    found = handlers_of(HA_SERVICE_PROTOCOL, Service().service)
    assert {
        "monitorHealth",
        "getServiceStatus",
        "transitionToActive",
        "transitionToStandby",
    } <= set(found)


@pytest.mark.parametrize(
    ("automatic", "number", "refusal"),
    [
        (False, USER, None),
        (False, FORCED, None),
        (False, ZKFC, "denied since automatic HA is not enabled"),
        (True, USER, "Manual HA control for this NameNode is disallowed"),
        (True, FORCED, None),
        (True, ZKFC, None),
    ],
)
def test_who_may_change_the_state(automatic: bool, number: int, refusal: str | None) -> None:
    for name, request, done in (
        ("transition_to_active", to_active(number), "active"),
        ("transition_to_standby", to_standby(number), "standby"),
    ):
        made = Service(automatic=automatic)
        if refusal is None:
            made.ask(name, request)
            assert made.life.calls == [done]
            continue
        with pytest.raises(AccessControl, match=refusal):
            made.ask(name, request)
        assert made.life.calls == []


def test_a_full_disk_fails_the_health_check() -> None:
    made = Service()
    made.monitors.unhealthy = "disk space is low: /name has 5 bytes free"
    text = "The NameNode has no resources available: disk space is low: /name has 5 bytes free"
    with pytest.raises(HealthCheckFailed, match=text):
        made.ask("monitor_health", h.MonitorHealthRequestProto())


@pytest.mark.parametrize(
    ("state", "told", "ready", "reason"),
    [
        (HAState.ACTIVE, h.ACTIVE, True, ""),
        (HAState.STANDBY, h.STANDBY, True, ""),
        (HAState.INITIALIZING, h.INITIALIZING, False, "State is initializing"),
        (HAState.OBSERVER, h.OBSERVER, False, "State is observer"),
    ],
)
def test_status(state: HAState, told: int, ready: bool, reason: str) -> None:
    made = Service()
    made.desktop.state.ha_state = state
    status = made.ask("get_service_status", h.GetServiceStatusRequestProto())
    assert (status.state, status.readyToBecomeActive, status.notReadyReason) == (
        told,
        ready,
        reason,
    )


def test_safe_mode_keeps_from_leading_only_if_so_configured() -> None:
    for in_safemode in (True, False):
        made = Service(in_safemode=in_safemode)
        made.desktop.state.blocks.enter_safe_mode()
        status = made.ask("get_service_status", h.GetServiceStatusRequestProto())
        assert status.readyToBecomeActive is in_safemode
        if in_safemode:
            made.ask("transition_to_active", to_active())
            assert made.life.calls == ["active"]
            continue
        assert status.notReadyReason.startswith("The NameNode is in safemode. It was turned on")
        with pytest.raises(ServiceFailed, match="NameNode still not leave safemode"):
            made.ask("transition_to_active", to_active())
        assert made.life.calls == []


@pytest.mark.parametrize(("source", "calls"), [(ZKFC, []), (FORCED, ["standby"])])
def test_a_controller_leaves_an_observer_as_it_is(source: int, calls: list[str]) -> None:
    """What it asks for, it may have decided before an operator made it an observer."""
    made = Service(automatic=True)
    made.desktop.state.ha_state = HAState.OBSERVER
    info = h.HAStateChangeRequestInfoProto(reqSource=source)  # type: ignore[arg-type]
    made.ask("transition_to_standby", h.TransitionToStandbyRequestProto(reqInfo=info))
    assert made.life.calls == calls


def test_who_may_make_it_an_observer() -> None:
    made = Service(automatic=True)
    for source, user in ((USER, "hdfs"), (FORCED, "alice")):
        info = h.HAStateChangeRequestInfoProto(reqSource=source)
        with pytest.raises(AccessControl):
            made.ask(
                "transition_to_observer", h.TransitionToObserverRequestProto(reqInfo=info), user
            )
    info = h.HAStateChangeRequestInfoProto(reqSource=FORCED)
    made.ask("transition_to_observer", h.TransitionToObserverRequestProto(reqInfo=info))
    assert made.life.calls == ["observer"]


def test_a_standby_that_still_replays_is_not_ready_to_become_active() -> None:
    made = Service()
    made.life.not_ready = "The NameNode has not read the journal to its end yet"
    for state, reason in (
        (HAState.STANDBY, made.life.not_ready),
        (HAState.ACTIVE, ""),
        (HAState.OBSERVER, "State is observer"),
    ):
        made.desktop.state.ha_state = state
        status = made.ask("get_service_status", h.GetServiceStatusRequestProto())
        assert (status.readyToBecomeActive, status.notReadyReason) == (not reason, reason)
    made.desktop.state.ha_state = HAState.STANDBY
    made.ask("transition_to_active", to_active())
    assert made.life.calls == ["active"], "who has no other may order it all the same"
