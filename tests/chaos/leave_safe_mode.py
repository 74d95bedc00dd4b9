"""Adapter. `dfsadmin -safemode leave` for one NameNode, whatever its state.

python leave_safe_mode.py HOST:PORT
"""

from __future__ import annotations

import asyncio
import sys

from hdfsd.base.ids import Address
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.io.site import current_user
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import client_namenode as pb
from hdfsd.wire.services import CLIENT_PROTOCOL

DEADLINE_MS = 10_000


async def leave(address: Address) -> None:
    client = RpcClient(TcpNetwork(), address, CLIENT_PROTOCOL, user=current_user(), dice=RealDice())
    request = pb.SetSafeModeRequestProto(action="SAFEMODE_LEAVE", checked=False)
    try:
        await client.call("setSafeMode", request, deadline_ms=DEADLINE_MS)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(leave(Address.parse(sys.argv[1])))
