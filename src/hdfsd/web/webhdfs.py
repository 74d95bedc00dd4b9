"""Driver. WebHDFS of a NameNode: each request makes one call of its own RPC address.

So it goes through the same doors as any client's: HA state, permissions, durability before the
answer. The caller's name is as good as that of an RPC without Kerberos.
"""

from __future__ import annotations

from hdfsd.base.errors import LinkError, RemoteFault, RetriableError
from hdfsd.base.ids import Address
from hdfsd.ports.dice import Dice
from hdfsd.ports.http import HttpRequest, HttpResponse
from hdfsd.ports.network import Network
from hdfsd.rpc.client import RpcClient
from hdfsd.web import webhdfs_json
from hdfsd.web.webhdfs_operations import ROOT, Asked, understood
from hdfsd.wire.messages import Message
from hdfsd.wire.services import CLIENT_PROTOCOL

JSON = {"Content-Type": "application/json"}
NOTHING = {"Content-Type": "application/octet-stream", "Content-Length": "0"}
CALL_MS = 60_000
CONCERNED = f"{ROOT}/"


def is_concerned(path: str) -> bool:
    """Whether a path is one of WebHDFS."""
    return path == ROOT or path.startswith(CONCERNED)


class WebHdfs:
    """Serves what lies below /webhdfs/v1."""

    def __init__(self, address: Address, *, network: Network, dice: Dice) -> None:
        """`address`: where the NameNode's RPC server listens."""
        self._address = address
        self._network = network
        self._dice = dice

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """One operation."""
        try:
            asked = understood(request.method, request.path, request.query)
            response = await self._call(asked)
        except RemoteFault as error:
            status, told = webhdfs_json.fault(error)
            return HttpResponse(status, JSON, webhdfs_json.encoded(told))
        if asked.operation.answer is None:
            return HttpResponse(200, NOTHING)
        return HttpResponse(200, JSON, webhdfs_json.encoded(asked.operation.answer(response)))

    async def _call(self, asked: Asked) -> Message:
        client = RpcClient(
            self._network, self._address, CLIENT_PROTOCOL, user=asked.user, dice=self._dice
        )
        method = asked.operation.method
        try:
            answer: Message = await client.call(method, asked.request, deadline_ms=CALL_MS)
        except LinkError as error:
            raise RetriableError(f"{method}: the NameNode does not answer: {error}") from error
        finally:
            await client.close()
        return answer
