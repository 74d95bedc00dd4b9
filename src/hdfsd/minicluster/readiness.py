"""Adapter. What a running cluster's daemons say about themselves over RPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from hdfsd.base.errors import HdfsdError, StandbyError
from hdfsd.base.ids import Address
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.io.site import current_user
from hdfsd.minicluster.topology import HOST, Plan
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import client_namenode, ha_service
from hdfsd.wire.services import CLIENT_PROTOCOL, HA_SERVICE_PROTOCOL

CALL_MS = 1_000
POLL_S = 0.01


async def namenode_state(address: Address) -> str:
    """`active`, `standby`, `observer`, `initializing`; `unreachable` when it does not answer."""
    client = _client(address, HA_SERVICE_PROTOCOL)
    try:
        request = ha_service.GetServiceStatusRequestProto()
        response = await client.call("getServiceStatus", request, deadline_ms=CALL_MS)
        return str(ha_service.HAServiceStateProto.Name(response.state)).lower()
    except HdfsdError:
        return "unreachable"
    finally:
        await client.close()


async def namenode_states(addresses: Sequence[Address]) -> list[str]:
    """All at once."""
    return list(await asyncio.gather(*map(namenode_state, addresses)))


async def wait_for_first_write(plan: Plan, seconds: float) -> str | None:
    """Until a write would succeed; None then, else what is still missing after that time."""
    namenodes = [Address(HOST, daemon.ports["rpc"]) for daemon in plan.of_role("namenode")]
    clients = [_client(address, CLIENT_PROTOCOL) for address in namenodes]
    wanted = min(plan.replication, plan.options.datanodes)
    end = time.monotonic() + seconds
    try:
        while True:
            missing = await _missing(clients, wanted)
            if missing is None or time.monotonic() > end:
                return missing
            await asyncio.sleep(POLL_S)
    finally:
        for client in clients:
            await client.close()


async def _missing(clients: Sequence[RpcClient], datanodes: int) -> str | None:
    reasons = []
    for client in clients:
        try:
            return await _missing_at(client, datanodes)
        except StandbyError:
            reasons.append(f"{client.address} is not active")
        except HdfsdError as error:
            reasons.append(str(error))
    return "no NameNode is active: " + "; ".join(reasons)


async def _missing_at(client: RpcClient, datanodes: int) -> str | None:
    # A standby refuses a checked question about safe mode, so this also finds the active one.
    query = client_namenode.SetSafeModeRequestProto(action="SAFEMODE_GET", checked=True)
    safe = await client.call("setSafeMode", query, deadline_ms=CALL_MS)
    if safe.result:
        return "the active NameNode is in safe mode"
    report = client_namenode.GetDatanodeReportRequestProto(type="LIVE")
    live = await client.call("getDatanodeReport", report, deadline_ms=CALL_MS)
    if len(live.di) < datanodes:
        return f"{len(live.di)} of {datanodes} DataNodes have registered"
    return None


def _client(address: Address, protocol: str) -> RpcClient:
    return RpcClient(TcpNetwork(), address, protocol, user=current_user(), dice=RealDice())
