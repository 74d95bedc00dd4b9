"""Driver. HAServiceProtocol of a NameNode: state, health, transitions."""

from __future__ import annotations

from hdfsd.base.errors import AccessControl, HealthCheckFailed, ServiceFailed
from hdfsd.namenode.client_reads import HA_STATES
from hdfsd.namenode.desk import Desk
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.monitors import Monitors
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import ha_service


class HaService:
    """org.apache.hadoop.ha.HAServiceProtocol; superusers only, as Hadoop."""

    def __init__(
        self,
        desk: Desk,
        lifecycle: Lifecycle,
        monitors: Monitors,
        *,
        automatic_failover: bool,
        active_in_safemode: bool,
    ) -> None:
        self._desk = desk
        self._lifecycle = lifecycle
        self._monitors = monitors
        self._automatic = automatic_failover
        self._active_in_safemode = active_in_safemode

    def monitor_health(
        self, request: ha_service.MonitorHealthRequestProto, call: Call
    ) -> ha_service.MonitorHealthResponseProto:
        self._desk.require_superuser(call.caller, "monitorHealth")
        if self._monitors.unhealthy is not None:
            raise HealthCheckFailed(
                f"The NameNode has no resources available: {self._monitors.unhealthy}"
            )
        return ha_service.MonitorHealthResponseProto()

    def get_service_status(
        self, request: ha_service.GetServiceStatusRequestProto, call: Call
    ) -> ha_service.GetServiceStatusResponseProto:
        self._desk.require_superuser(call.caller, "getServiceStatus")
        state = self._desk.state.ha_state
        reason = self._not_ready(state)
        return ha_service.GetServiceStatusResponseProto(
            state=HA_STATES[state],
            readyToBecomeActive=reason is None,
            notReadyReason=reason or "",
        )

    def _not_ready(self, state: HAState) -> str | None:
        if state is HAState.INITIALIZING or state is HAState.OBSERVER:
            return f"State is {state.value}"
        if state is not HAState.STANDBY:
            return None
        if self._lifecycle.not_ready is not None:
            return self._lifecycle.not_ready
        safe_mode = self._desk.state.blocks.safe_mode
        if not self._active_in_safemode and safe_mode.active:
            tip = safe_mode.message(self._desk.clock.now_ms())
            return f"The NameNode is in safemode. {tip}"
        return None

    async def transition_to_active(
        self, request: ha_service.TransitionToActiveRequestProto, call: Call
    ) -> ha_service.TransitionToActiveResponseProto:
        self._desk.require_superuser(call.caller, "transitionToActive")
        self._check_source(request.reqInfo.reqSource, call)
        state = self._desk.state
        if not self._active_in_safemode and state.blocks.safe_mode.active:
            raise ServiceFailed("NameNode still not leave safemode")
        await self._lifecycle.become_active()
        return ha_service.TransitionToActiveResponseProto()

    async def transition_to_standby(
        self, request: ha_service.TransitionToStandbyRequestProto, call: Call
    ) -> ha_service.TransitionToStandbyResponseProto:
        self._desk.require_superuser(call.caller, "transitionToStandby")
        source = request.reqInfo.reqSource
        self._check_source(source, call)
        observing = self._desk.state.ha_state is HAState.OBSERVER
        # An operator may have made it an observer since its controller decided. That it is not
        # active is all that a controller asks for.
        if not (observing and source == ha_service.REQUEST_BY_ZKFC):
            await self._lifecycle.become_standby()
        return ha_service.TransitionToStandbyResponseProto()

    async def transition_to_observer(
        self, request: ha_service.TransitionToObserverRequestProto, call: Call
    ) -> ha_service.TransitionToObserverResponseProto:
        self._desk.require_superuser(call.caller, "transitionToObserver")
        self._check_source(request.reqInfo.reqSource, call)
        await self._lifecycle.become_observer()
        return ha_service.TransitionToObserverResponseProto()

    def _check_source(self, source: int, call: Call) -> None:
        """Who may ask for a change of state (NameNode.checkHaStateChange)."""
        if source == ha_service.REQUEST_BY_USER and self._automatic:
            raise AccessControl(
                "Manual HA control for this NameNode is disallowed, because automatic HA "
                "is enabled."
            )
        if source == ha_service.REQUEST_BY_ZKFC and not self._automatic:
            raise AccessControl(
                f"Request from ZK failover controller at {call.caller.address} denied since "
                "automatic HA is not enabled"
            )
