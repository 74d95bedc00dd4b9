"""Adapter. A client of NameNodes as light as can be, so that the server is what is measured.

The same for Hadoop and hdfsd. It shares only the messages and the framing with the project.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import uuid
from typing import Any, NamedTuple, cast

from hdfsd.base.ids import Address
from hdfsd.wire.framing import FrameReader, delimited, frame, read_delimited, read_varint
from hdfsd.wire.messages import Message, ha_service, ipc_connection_context, rpc_header
from hdfsd.wire.services import CLIENT_PROTOCOL, HA_SERVICE_PROTOCOL, PROTOCOLS, Method

PREAMBLE = b"hrpc\x09\x00\x00"
"""Version 9, service class 0, no authentication."""
CONTEXT_CALL_ID = -3
CALL_ID_TAG, SUCCESS = b"\x08", b"\x10\x00"
"""What the header of a successful answer begins with, its number between them."""
ONE_BYTE = [bytes((number,)) for number in range(128)]
CONNECT_S = 2.0
CALL_S = 10.0
USER = os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
CLIENT_METHODS = PROTOCOLS[CLIENT_PROTOCOL].methods


class Refused(Exception):
    """The server answered with an exception."""

    def __init__(self, java_class: str, text: str) -> None:
        super().__init__(f"{java_class}: {text}")
        self.java_class = java_class


class Answer(NamedTuple):
    """One reply: whose call it answers, its error if it is one, else the bytes of the message."""

    call_id: int
    error: Refused | None
    body: bytes

    @classmethod
    def parse(cls, data: bytes) -> Answer:
        """The content of one frame."""
        head, offset = read_delimited(data, 0)
        if head[:1] == CALL_ID_TAG:
            call_id, end = read_varint(head, 1)
            if head[end : end + 2] == SUCCESS and call_id < 1 << 31:
                return cls(call_id, None, data[offset:])
        header = rpc_header.RpcResponseHeaderProto.FromString(head)
        if header.status == rpc_header.RpcResponseHeaderProto.SUCCESS:
            return cls(header.callId, None, data[offset:])
        return cls(header.callId, Refused(header.exceptionClassName, header.errorMsg), b"")

    def message(self, method: Method) -> Any:
        """The reply itself. Raises Refused."""
        if self.error is not None:
            raise self.error
        return method.response.FromString(read_delimited(self.body, 0)[0])


class Requests:
    """The frames of one connection."""

    def __init__(self, protocol: str, state_id: int | None = None) -> None:
        """`state_id`: the last transaction that must be seen, as clients of observers say it."""
        self._protocol = protocol
        self._header = rpc_header.RpcRequestHeaderProto(
            rpcKind=rpc_header.RPC_PROTOCOL_BUFFER,
            rpcOp=rpc_header.RpcRequestHeaderProto.RPC_FINAL_PACKET,
            clientId=uuid.uuid4().bytes,
            retryCount=0,
            stateId=state_id,
        )

    def opening(self) -> bytes:
        """What a connection begins with."""
        header = rpc_header.RpcRequestHeaderProto()
        header.CopyFrom(self._header)
        header.callId, header.retryCount = CONTEXT_CALL_ID, -1
        context = ipc_connection_context.IpcConnectionContextProto(protocol=self._protocol)
        context.userInfo.effectiveUser = USER
        parts = (header.SerializeToString(), context.SerializeToString())
        return PREAMBLE + frame(*map(delimited, parts))

    def call(self, call_id: int, method: Method, request: bytes) -> bytes:
        """One call; `request` is the serialised message."""
        self._header.callId = call_id
        head = self._header.SerializeToString()
        return frame(ONE_BYTE[len(head)], head, method.request_header, delimited(request))


class Connection(asyncio.Protocol):
    """One call after another; a lost connection fails the pending call at once."""

    def __init__(self, protocol: str) -> None:
        self._requests = Requests(protocol)
        self._reader = FrameReader()
        self._next_id = 0
        self._pending: dict[int, asyncio.Future[Answer]] = {}
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, address: Address, protocol: str = CLIENT_PROTOCOL) -> Connection:
        """Raises OSError, TimeoutError."""
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(lambda: cls(protocol), address.host, address.port)
        _, connection = await asyncio.wait_for(connecting, CONNECT_S)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._requests.opening())

    def data_received(self, data: bytes) -> None:
        for body in self._reader.feed(data):
            answer = Answer.parse(body)
            waiting = self._pending.pop(answer.call_id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        for waiting in self._pending.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("the server closed the connection"))
        self._pending.clear()

    async def call(self, method: Method, request: Message, seconds: float = CALL_S) -> Any:
        """The reply. Raises Refused, OSError, TimeoutError."""
        if self._transport is None:
            raise ConnectionResetError("the server closed the connection")
        call_id, self._next_id = self._next_id, self._next_id + 1
        waiting = asyncio.get_running_loop().create_future()
        self._pending[call_id] = waiting
        self._transport.write(self._requests.call(call_id, method, request.SerializeToString()))
        answer = await asyncio.wait_for(waiting, seconds)
        return answer.message(method)

    def close(self) -> None:
        """Ends the connection."""
        if self._transport is not None:
            self._transport.abort()


async def ha_state(address: Address) -> str:
    """`active`, `standby`, …; `down` when nobody answers."""
    method = PROTOCOLS[HA_SERVICE_PROTOCOL].methods["getServiceStatus"]
    try:
        connection = await Connection.open(address, HA_SERVICE_PROTOCOL)
        try:
            status = await connection.call(method, method.request())
        finally:
            connection.close()
    except (OSError, TimeoutError, Refused):
        return "down"
    return ha_service.HAServiceStateProto.Name(status.state).lower()
