"""Driver. Calls to NameNodes about their HA state, and to other failover controllers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from hdfsd.base.errors import ServiceFailed
from hdfsd.base.ids import Address
from hdfsd.failover.policy import ServiceState
from hdfsd.ports.dice import Dice
from hdfsd.ports.network import Network
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import Message, generic_refresh, ha_service, zkfc
from hdfsd.wire.services import GENERIC_REFRESH_PROTOCOL, HA_SERVICE_PROTOCOL, ZKFC_PROTOCOL


class RequestSource(Enum):
    """HAServiceProtocol.RequestSource; the values are the wire's names."""

    USER = "REQUEST_BY_USER"
    USER_FORCED = "REQUEST_BY_USER_FORCED"
    CONTROLLER = "REQUEST_BY_ZKFC"


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    state: ServiceState
    ready: bool
    """Could become active."""
    not_ready_reason: str


class HaService(Protocol):
    """HAServiceProtocol of one NameNode, connecting at the first call. Every call raises
    RemoteFault, LinkError or PeerError."""

    async def connect(self, *, deadline_ms: int) -> None:
        """Connects without a call. Raises ConnectFailed."""
        ...

    async def status(self, *, deadline_ms: int) -> ServiceStatus: ...

    async def monitor_health(self, *, deadline_ms: int) -> None:
        """Raises HealthCheckFailed when the NameNode says that it is unhealthy."""
        ...

    async def transition(
        self, state: ServiceState, source: RequestSource, *, deadline_ms: int
    ) -> None:
        """Makes it ACTIVE, STANDBY or OBSERVER; returns when it is."""
        ...

    async def lost(self) -> None:
        """Returns when the connection ends (D8)."""
        ...

    async def close(self) -> None: ...


class ZkfcService(Protocol):
    """ZKFCProtocol of one failover controller."""

    async def cede_active(self, millis: int, *, deadline_ms: int) -> None: ...

    async def graceful_failover(self, *, deadline_ms: int) -> None: ...

    async def close(self) -> None: ...


class WordService(Protocol):
    """GenericRefreshProtocol of a daemon of ours. Hadoop's answer with a RemoteFault."""

    async def ask(self, word: str, *, deadline_ms: int) -> str:
        """What it answers. Raises RemoteFault, LinkError or PeerError."""
        ...

    async def close(self) -> None: ...


class Links(Protocol):
    """How to reach the others; each call makes a client of its own, not connected yet."""

    def ha_service(self, address: Address) -> HaService: ...

    def zkfc(self, address: Address) -> ZkfcService: ...

    def words(self, address: Address) -> WordService: ...


class RpcLinks:
    """The real ones."""

    def __init__(self, network: Network, dice: Dice, user: str) -> None:
        self._network = network
        self._dice = dice
        self._user = user

    def ha_service(self, address: Address) -> HaService:
        return RpcHaService(self._client(address, HA_SERVICE_PROTOCOL))

    def zkfc(self, address: Address) -> ZkfcService:
        return RpcZkfcService(self._client(address, ZKFC_PROTOCOL))

    def words(self, address: Address) -> WordService:
        return RpcWordService(self._client(address, GENERIC_REFRESH_PROTOCOL))

    def _client(self, address: Address, protocol: str) -> RpcClient:
        return RpcClient(self._network, address, protocol, user=self._user, dice=self._dice)


_TRANSITIONS: dict[ServiceState, tuple[str, type[Message]]] = {
    ServiceState.ACTIVE: ("transitionToActive", ha_service.TransitionToActiveRequestProto),
    ServiceState.STANDBY: ("transitionToStandby", ha_service.TransitionToStandbyRequestProto),
    ServiceState.OBSERVER: ("transitionToObserver", ha_service.TransitionToObserverRequestProto),
}


class RpcHaService:
    def __init__(self, client: RpcClient) -> None:
        self._client = client

    async def connect(self, *, deadline_ms: int) -> None:
        await self._client.connect(deadline_ms=deadline_ms)

    async def status(self, *, deadline_ms: int) -> ServiceStatus:
        request = ha_service.GetServiceStatusRequestProto()
        answer = await self._call("getServiceStatus", request, deadline_ms)
        return ServiceStatus(
            ServiceState(answer.state), answer.readyToBecomeActive, answer.notReadyReason
        )

    async def monitor_health(self, *, deadline_ms: int) -> None:
        await self._call("monitorHealth", ha_service.MonitorHealthRequestProto(), deadline_ms)

    async def transition(
        self, state: ServiceState, source: RequestSource, *, deadline_ms: int
    ) -> None:
        method, request_class = _TRANSITIONS[state]
        info = ha_service.HAStateChangeRequestInfoProto(reqSource=source.value)
        await self._call(method, request_class(reqInfo=info), deadline_ms)

    async def _call(self, method: str, request: Message, deadline_ms: int) -> Any:
        return await self._client.call(method, request, deadline_ms=deadline_ms)

    async def lost(self) -> None:
        await self._client.lost()

    async def close(self) -> None:
        await self._client.close()


class RpcZkfcService:
    def __init__(self, client: RpcClient) -> None:
        self._client = client

    async def cede_active(self, millis: int, *, deadline_ms: int) -> None:
        # A negative int32 travels in this uint32 field as its two's complement (ha-zk.md 4).
        request = zkfc.CedeActiveRequestProto(millisToCede=millis & 0xFFFFFFFF)
        await self._client.call("cedeActive", request, deadline_ms=deadline_ms)

    async def graceful_failover(self, *, deadline_ms: int) -> None:
        request = zkfc.GracefulFailoverRequestProto()
        await self._client.call("gracefulFailover", request, deadline_ms=deadline_ms)

    async def close(self) -> None:
        await self._client.close()


class RpcWordService:
    def __init__(self, client: RpcClient) -> None:
        self._client = client

    async def ask(self, word: str, *, deadline_ms: int) -> str:
        request = generic_refresh.GenericRefreshRequestProto(identifier=word)
        answer = await self._client.call("refresh", request, deadline_ms=deadline_ms)
        for response in answer.responses:
            if response.exitStatus == 0:
                return str(response.userMessage)
        said = "; ".join(response.userMessage for response in answer.responses)
        raise ServiceFailed(f"{word} is not answered: {said or 'nothing is said'}")

    async def close(self) -> None:
        await self._client.close()
