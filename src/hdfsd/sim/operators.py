"""Driver. What operators of a simulated cluster do, from a machine outside of it.

They keep everybody in its role (an observer that was started anew is a standby until somebody makes
it an observer again) and end the safe mode of a NameNode whose disk has room again, as nobody else
does. Asked by the nemesis, they fail over gracefully, or force a NameNode into another state.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hdfsd.base.errors import HdfsdError
from hdfsd.base.ids import Address
from hdfsd.failover.calls import RequestSource, RpcLinks
from hdfsd.failover.policy import ServiceState
from hdfsd.namenode.gate import HAState
from hdfsd.rpc.client import RpcClient
from hdfsd.sim.cluster import CONTROLLER_PORT, RPC_PORT, USER, Cluster
from hdfsd.sim.world import Process
from hdfsd.wire.messages import Message, client_namenode, generic_refresh
from hdfsd.wire.services import CLIENT_PROTOCOL, GENERIC_REFRESH_PROTOCOL
from hdfsd.wire.words import EXPLAIN

LOOK_S = 0.2
PATIENCE_MS = 3_000
RESERVED_BYTES = 100 << 20
"""dfs.namenode.resource.du.reserved, as it is by default."""


class Operators:
    """Those of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lent: dict[str, None] = {}
        """NameNodes that shall be observers for a while."""

    def lend(self, name: str) -> None:
        """This NameNode shall be an observer from now on."""
        self._lent[name] = None

    def take_back(self, name: str) -> None:
        self._lent.pop(name, None)

    async def keep(self, process: Process) -> None:
        """Looks after everybody until killed."""
        while True:
            await asyncio.sleep(LOOK_S)
            for name in self._cluster.layout.namenodes:
                await self._look_after(process, name)

    async def _look_after(self, process: Process, name: str) -> None:
        state = self._cluster.state_of(name)
        if state is None:
            return
        observes = name in self._cluster.layout.observers or name in self._lent
        if observes and state.ha_state is HAState.STANDBY:
            await self.order(process, name, ServiceState.OBSERVER)
        elif not observes and state.ha_state is HAState.OBSERVER:
            await self.order(process, name, ServiceState.STANDBY)
        platter = self._cluster.machines[name].platter
        roomy = platter.capacity_bytes - platter.used_bytes > RESERVED_BYTES
        if state.blocks.safe_mode.resources_low and roomy:
            await self._leave_safe_mode(process, name)

    async def _leave_safe_mode(self, process: Process, name: str) -> None:
        """As `dfsadmin -safemode leave`."""
        request = client_namenode.SetSafeModeRequestProto(action=client_namenode.SAFEMODE_LEAVE)
        address = Address(name, RPC_PORT)
        await _ask(process, address, CLIENT_PROTOCOL, "setSafeMode", request)

    async def order(self, process: Process, name: str, state: ServiceState) -> None:
        """As `haadmin -transitionTo… --forcemanual`; what becomes of it is seen."""
        service = _links(process).ha_service(Address(name, RPC_PORT))
        try:
            await service.transition(state, RequestSource.USER_FORCED, deadline_ms=PATIENCE_MS)
        except HdfsdError:
            pass
        finally:
            await service.close()

    async def make_all_active(self, process: Process) -> None:
        """All at once."""
        async with asyncio.TaskGroup() as group:
            for name in self._cluster.layout.voters:
                group.create_task(self.order(process, name, ServiceState.ACTIVE))

    async def fail_over(self, process: Process, name: str) -> None:
        """As `haadmin -failover` with controllers: this one is asked to take over."""
        service = _links(process).zkfc(Address(name, CONTROLLER_PORT))
        try:
            await service.graceful_failover(deadline_ms=PATIENCE_MS)
        except HdfsdError:
            pass
        finally:
            await service.close()

    async def election_of(self, process: Process, name: str) -> str:
        """What a controller says of itself, as `haadmin -explain` asks it; "" for no answer."""
        request = generic_refresh.GenericRefreshRequestProto(identifier=EXPLAIN)
        address = Address(name, CONTROLLER_PORT)
        answer = await _ask(process, address, GENERIC_REFRESH_PROTOCOL, "refresh", request)
        if answer is None:
            return ""
        return str(json.loads(answer.responses[0].userMessage)["election"]["state"])


def _links(process: Process) -> RpcLinks:
    return RpcLinks(process.network, process.dice, USER)


async def _ask(
    process: Process, address: Address, protocol: str, method: str, request: Message
) -> Any:
    """The answer, None when there is none."""
    client = RpcClient(process.network, address, protocol, user=USER, dice=process.dice)
    try:
        return await client.call(method, request, deadline_ms=PATIENCE_MS)
    except HdfsdError:
        return None
    finally:
        await client.close()
