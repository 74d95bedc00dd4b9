"""The calls as messages, against a real server of ours that speaks through memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hdfsd.base.errors import HealthCheckFailed, ServiceFailed
from hdfsd.base.ids import Address
from hdfsd.failover.calls import RequestSource, RpcLinks, ServiceStatus
from hdfsd.failover.policy import ServiceState
from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.rpc.server import Call, RpcServer
from hdfsd.wire.messages import generic_refresh, ha_service, zkfc
from hdfsd.wire.services import GENERIC_REFRESH_PROTOCOL, HA_SERVICE_PROTOCOL, ZKFC_PROTOCOL


class Recorder:
    """Handlers of both protocols."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def get_service_status(self, request: Any, call: Call) -> Any:
        return ha_service.GetServiceStatusResponseProto(
            state="OBSERVER", readyToBecomeActive=False, notReadyReason="safe mode"
        )

    def monitor_health(self, request: Any, call: Call) -> Any:
        raise HealthCheckFailed("no space left")

    def transition_to_active(self, request: Any, call: Call) -> Any:
        self.asked.append((call.method.name, request.reqInfo.reqSource, call.caller.user))
        return ha_service.TransitionToActiveResponseProto()

    def transition_to_standby(self, request: Any, call: Call) -> Any:
        self.asked.append((call.method.name, request.reqInfo.reqSource, call.caller.user))
        return ha_service.TransitionToStandbyResponseProto()

    def transition_to_observer(self, request: Any, call: Call) -> Any:
        self.asked.append((call.method.name, request.reqInfo.reqSource, call.caller.user))
        return ha_service.TransitionToObserverResponseProto()

    def refresh(self, request: Any, call: Call) -> Any:
        status = 0 if request.identifier == "known" else 255
        answer = generic_refresh.GenericRefreshResponseProto(
            exitStatus=status, userMessage=f"to {request.identifier}"
        )
        return generic_refresh.GenericRefreshResponseCollectionProto(responses=[answer])

    def cede_active(self, request: Any, call: Call) -> Any:
        self.asked.append(request.millisToCede)
        return zkfc.CedeActiveResponseProto()

    def graceful_failover(self, request: Any, call: Call) -> Any:
        self.asked.append("graceful")
        return zkfc.GracefulFailoverResponseProto()


def test_every_call_arrives_as_hadoop_sends_it() -> None:
    async def story() -> None:
        handlers = Recorder()
        network = TcpNetwork()
        server = RpcServer(
            {
                HA_SERVICE_PROTOCOL: handlers,
                ZKFC_PROTOCOL: handlers,
                GENERIC_REFRESH_PROTOCOL: handlers,
            },
            clock=RealClock(),
        )
        await server.start(network, Address("127.0.0.1", 0))
        links = RpcLinks(network, RealDice(), "hdfs")
        service, controller = links.ha_service(server.address), links.zkfc(server.address)
        status = await service.status(deadline_ms=5000)
        assert status == ServiceStatus(ServiceState.OBSERVER, False, "safe mode")
        with pytest.raises(HealthCheckFailed, match="no space left"):
            await service.monitor_health(deadline_ms=5000)
        for state, source in zip(
            (ServiceState.ACTIVE, ServiceState.STANDBY, ServiceState.OBSERVER), RequestSource
        ):
            await service.transition(state, source, deadline_ms=5000)
        await controller.cede_active(10_000, deadline_ms=5000)
        await controller.cede_active(-1, deadline_ms=5000)
        await controller.graceful_failover(deadline_ms=5000)
        words = links.words(server.address)
        assert await words.ask("known", deadline_ms=5000) == "to known"
        with pytest.raises(ServiceFailed, match="other is not answered: to other"):
            await words.ask("other", deadline_ms=5000)
        await words.close()
        assert handlers.asked == [
            ("transitionToActive", 0, "hdfs"),
            ("transitionToStandby", 1, "hdfs"),
            ("transitionToObserver", 2, "hdfs"),
            10_000,
            4_294_967_295,
            "graceful",
        ]
        lost = asyncio.ensure_future(service.lost())
        await server.stop()
        await lost
        await service.close()
        await controller.close()

    asyncio.run(story())
