"""Core. Both ends of an RPC connection, version 9: handshake, call ids, pings, replies.

Bytes in, events out; bytes to send are made by the same object. Wire facts: rpc-framing.md;
order of the checks: Hadoop Server.Connection.processOneRpc. Bad input is answered as Hadoop
answers it, and ends this connection alone (P9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeVar

from hdfsd.base.errors import (
    NoSuchMethod,
    NoSuchProtocol,
    PeerError,
    RemoteFault,
    RpcServerError,
    RpcVersionMismatch,
)
from hdfsd.rpc.sasl import SaslFailed, SaslMessage, SaslNegotiation
from hdfsd.wire.framing import (
    FRAME_BYTES_MAX,
    LENGTH,
    FrameReader,
    delimited,
    frame,
    read_delimited,
    read_varint,
    varint,
    zigzag,
)
from hdfsd.wire.messages import (
    DecodeError,
    EncodeError,
    Message,
    ipc_connection_context,
    rpc_header,
)
from hdfsd.wire.services import Method
from hdfsd.wire.strings import bad_string

RequestHeader = rpc_header.RpcRequestHeaderProto
ResponseHeader = rpc_header.RpcResponseHeaderProto
Context = ipc_connection_context.IpcConnectionContextProto
Detail = ResponseHeader.RpcErrorCodeProto

MAGIC = b"hrpc"
VERSION = 9
HEADER_BYTES = 7
AUTH_NONE = 0x00
AUTH_SASL = 0xDF

CALL_ID_FAILED = -1
CALL_ID_CONTEXT = -3
CALL_ID_PING = -4
CALL_ID_SASL = -33
CALL_ID_MAX = 0x7FFFFFFF
RETRY_COUNT_NONE = -1
CALL_HEAD = b"\x08\x02\x10\x00\x18"
"""How the header of a call begins: RPC_PROTOCOL_BUFFER, RPC_FINAL_PACKET, the tag of its id."""
CALL_ID_OFFSET = 6
"""In a frame whose header takes less than 128 bytes."""
ZIGZAG_MAX = 0xFFFFFFFF

M = TypeVar("M", bound=Message)

NOT_HTTP = (
    b"HTTP/1.1 404 Not Found\r\nContent-type: text/plain\r\n\r\n"
    b"This is a Hadoop IPC port and speaks no HTTP; the web pages have a port of their own.\r\n"
)

_DETAILS: Mapping[type[RemoteFault], Detail] = {
    NoSuchMethod: ResponseHeader.ERROR_NO_SUCH_METHOD,
    NoSuchProtocol: ResponseHeader.ERROR_NO_SUCH_PROTOCOL,
    RpcServerError: ResponseHeader.ERROR_RPC_SERVER,
    RpcVersionMismatch: ResponseHeader.ERROR_RPC_VERSION_MISMATCH,
}
"""errorDetail by class; ERROR_APPLICATION for all others."""


class State(Enum):
    """Of the server's end."""

    HEADER = "header"
    """Waiting for the seven bytes that open a connection."""
    SASL = "sasl"
    CONTEXT = "context"
    """Waiting for who is calling."""
    OPEN = "open"
    CLOSED = "closed"


class Arrival(Enum):
    """What came from the client."""

    SIMPLE_HEADER = "header, auth NONE"
    SASL_HEADER = "header, auth SASL"
    SASL_MESSAGE = "sasl message"
    SASL_DONE = "sasl message that ends the negotiation"
    CONTEXT_MESSAGE = "context"
    PING = "ping"
    CALL = "call"


TRANSITIONS: Mapping[tuple[State, Arrival], State] = {
    (State.HEADER, Arrival.SIMPLE_HEADER): State.CONTEXT,
    (State.HEADER, Arrival.SASL_HEADER): State.SASL,
    (State.SASL, Arrival.SASL_MESSAGE): State.SASL,
    (State.SASL, Arrival.SASL_DONE): State.CONTEXT,
    (State.SASL, Arrival.PING): State.SASL,
    (State.CONTEXT, Arrival.CONTEXT_MESSAGE): State.OPEN,
    (State.CONTEXT, Arrival.PING): State.CONTEXT,
    (State.OPEN, Arrival.PING): State.OPEN,
    (State.OPEN, Arrival.CALL): State.OPEN,
}
"""What is allowed; anything else is refused with a text of REFUSALS."""

REFUSALS: Mapping[tuple[State, Arrival], str] = {
    (State.SASL, Arrival.CONTEXT_MESSAGE): "Connection header sent during SASL negotiation",
    (State.SASL, Arrival.CALL): "Connection context not established",
    (State.CONTEXT, Arrival.CALL): "Connection context not established",
    (State.CONTEXT, Arrival.SASL_MESSAGE): "SASL protocol not requested by client",
    (State.OPEN, Arrival.CONTEXT_MESSAGE): "Connection context already processed",
    (State.OPEN, Arrival.SASL_MESSAGE): "SASL protocol not requested by client",
}

_ARRIVALS: Mapping[int, Arrival] = {
    CALL_ID_CONTEXT: Arrival.CONTEXT_MESSAGE,
    CALL_ID_PING: Arrival.PING,
    CALL_ID_SASL: Arrival.SASL_MESSAGE,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, as the connection context says it."""

    user: str
    real_user: str | None
    """Who acts for `user`, when that is somebody else (a proxy user)."""
    address: str
    """IP address of the other end."""


class Request(NamedTuple):
    """One call as it came; header and parameter are not parsed yet."""

    call_id: int
    client_id: bytes
    retry_count: int
    state_id: int | None
    header: bytes
    """Serialised RequestHeaderProto; empty when the frame ends before it does."""
    parameter: bytes | None
    """Serialised request message; None when the frame ends before it does."""


class Output(NamedTuple):
    """Bytes to send now, in their place among the replies."""

    data: bytes


class Hangup(NamedTuple):
    """Close the connection after what was to be sent; nothing more comes."""

    reason: str


ServerEvent = Request | Output | Hangup


class _Fatal(Exception):
    """Ends the connection with a FATAL response."""

    def __init__(self, detail: Detail, fault: RemoteFault) -> None:
        super().__init__(str(fault))
        self.detail = detail
        self.fault = fault


def _invalid_header(text: str) -> _Fatal:
    return _Fatal(ResponseHeader.FATAL_INVALID_RPC_HEADER, RpcServerError(text))


def _decode(kind: type[M], data: bytes, offset: int) -> tuple[M, int]:
    """A delimited header message and the offset after it, or a FATAL answer."""
    try:
        body, end = read_delimited(data, offset)
        message = kind.FromString(body)
        if not message.IsInitialized():
            raise PeerError(missing_fields(message))
        if field := bad_string(message, body):
            raise PeerError(f"String field {field} is not UTF-8")
    except (PeerError, DecodeError) as error:
        text = f"Error decoding {kind.DESCRIPTOR.name}: {error}"
        raise _Fatal(ResponseHeader.FATAL_DESERIALIZING_REQUEST, RpcServerError(text)) from error
    return message, end


def _read_or_none(data: bytes, offset: int) -> tuple[bytes | None, int]:
    """A delimited message; None when the frame ends before it does."""
    try:
        return read_delimited(data, offset)
    except PeerError:
        return None, len(data)


def missing_fields(message: Message) -> str:
    """What Java's parser says of a message that lacks required fields."""
    try:
        message.SerializeToString()
    except EncodeError as error:
        names = str(error).rpartition(": ")[2]
        return "Message missing required fields: " + ", ".join(names.split(","))
    return "Message missing required fields"


class ServerConnection:
    """The server's end. `receive` never raises; after a Hangup it gives no more events."""

    __slots__ = (
        "_frames",
        "_head",
        "_last",
        "_last_method",
        "_last_tail",
        "_reply_key",
        "_reply_tail",
        "_sasl",
        "address",
        "caller",
        "state",
    )

    def __init__(self, address: str, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self.address = address
        self.state = State.HEADER
        self.caller: Caller | None = None
        """Who is calling; set once the context has come."""
        self._head = b""
        self._frames = FrameReader(frame_bytes_max)
        self._sasl = SaslNegotiation()
        self._reply_key: tuple[bytes, int] | None = None
        self._reply_tail = b""
        self._last: Request | None = None
        self._last_tail = b""
        """Of the header of the last call: what follows its call id."""
        self._last_method = b""
        """Its request header, delimited; mostly the next one's too."""

    def receive(self, data: bytes) -> list[ServerEvent]:
        """Events of all frames that are complete now, in order."""
        events: list[ServerEvent] = []
        if self.state is State.HEADER:
            data = self._receive_header(data, events)
        if self.closed or not data:
            return events
        for body in self._frames.feed(data):
            if not self._receive_frame(body, events):
                return events
        if self._frames.error is not None:
            # Hadoop's checkDataLength closes without an answer.
            self._hang_up(self._frames.error, events)
        return events

    @property
    def closed(self) -> bool:
        return self.state is State.CLOSED

    # -- the header of seven bytes

    def _receive_header(self, data: bytes, events: list[ServerEvent]) -> bytes:
        """Takes the header; gives back what follows it."""
        self._head += data
        if len(self._head) < HEADER_BYTES:
            return b""
        head, rest = self._head[:HEADER_BYTES], self._head[HEADER_BYTES:]
        self._head = b""
        refusal = _refuse_header(head)
        if refusal is None:
            sasl = head[6] == AUTH_SASL
            self._move(Arrival.SASL_HEADER if sasl else Arrival.SIMPLE_HEADER)
            return rest
        if refusal.data:
            events.append(Output(refusal.data))
        self._hang_up(refusal.reason, events)
        return b""

    # -- frames

    def _receive_frame(self, body: bytes, events: list[ServerEvent]) -> bool:
        """False when this frame ended the connection."""
        request = self._like_the_last(body)
        if request is not None:
            events.append(request)
            return True
        call_id, retry_count = CALL_ID_FAILED, RETRY_COUNT_NONE
        try:
            header, end = _decode(RequestHeader, body, 0)
            call_id, retry_count = header.callId, header.retryCount
            _check_header(header)
            if call_id < 0:
                self._out_of_band(call_id, body, end, events)
            else:
                events.append(self._request(header, call_id, retry_count, body, end))
        except _Fatal as fatal:
            reply = failure_frame(
                call_id,
                b"",
                retry_count,
                fatal.fault,
                status=ResponseHeader.FATAL,
                detail=fatal.detail,
            )
            events.append(Output(reply))
            self._hang_up(str(fatal.fault), events)
            return False
        return True

    def _like_the_last(self, body: bytes) -> Request | None:
        """The call, when its header differs from the last one's in the call id only: nearly all
        do, and comparing bytes is much faster than decoding them."""
        last = self._last
        if last is None or self.state is not State.OPEN or body[1:CALL_ID_OFFSET] != CALL_HEAD:
            return None
        end = 1 + body[0]
        try:
            number, after_id = read_varint(body, CALL_ID_OFFSET)
        except PeerError:
            return None
        if number & 1 or number > ZIGZAG_MAX or body[after_id:end] != self._last_tail:
            return None
        behind = end + len(self._last_method)
        if body[end:behind] == self._last_method:
            method: bytes | None = last.header
        else:
            method, behind = _read_or_none(body, end)
        parameter = _read_or_none(body, behind)[0]
        return Request(
            number >> 1, last.client_id, last.retry_count, last.state_id, method or b"", parameter
        )

    def _remember(self, request: Request, body: bytes, end: int) -> Request:
        """`end` of its header. One of more than 127 bytes is not remembered."""
        if body[0] < 128 and body[1:CALL_ID_OFFSET] == CALL_HEAD:
            self._last_tail = body[read_varint(body, CALL_ID_OFFSET)[1] : end]
            self._last_method = delimited(request.header)
            self._last = request
        return request

    def _request(
        self, header: RequestHeader, call_id: int, retry_count: int, body: bytes, end: int
    ) -> Request:
        if self.state is not State.OPEN:
            raise self._refusal(Arrival.CALL)
        if header.rpcKind != rpc_header.RPC_PROTOCOL_BUFFER:
            kind = rpc_header.RpcKindProto.Name(header.rpcKind)
            raise _invalid_header(f"Unknown rpc kind in rpc header{kind}")
        # A call that is cut behind its header is answered ERROR, and the connection goes on.
        method, offset = _read_or_none(body, end)
        parameter = _read_or_none(body, offset)[0]
        state_id = header.stateId if header.HasField("stateId") else None
        request = Request(call_id, header.clientId, retry_count, state_id, method or b"", parameter)
        return self._remember(request, body, end)

    def _out_of_band(
        self, call_id: int, body: bytes, offset: int, events: list[ServerEvent]
    ) -> None:
        arrival = _ARRIVALS.get(call_id)
        if arrival is None:
            raise _invalid_header(f"Unknown out of band call #{call_id}")
        if (self.state, arrival) not in TRANSITIONS:
            raise self._refusal(arrival)
        if arrival is Arrival.SASL_MESSAGE:
            arrival = self._step_sasl(_decode(SaslMessage, body, offset)[0], events)
        elif arrival is Arrival.CONTEXT_MESSAGE:
            self.caller = _caller_of(_decode(Context, body, offset)[0], self.address)
        self._move(arrival)

    def _step_sasl(self, message: SaslMessage, events: list[ServerEvent]) -> Arrival:
        if message.state == SaslMessage.WRAP:
            fault = SaslFailed("Server is not wrapping data")
            raise _Fatal(ResponseHeader.FATAL_INVALID_RPC_HEADER, fault)
        try:
            step = self._sasl.step(message)
        except RemoteFault as fault:
            raise _Fatal(ResponseHeader.FATAL_UNAUTHORIZED, fault) from fault
        if step.reply is not None:
            payload = step.reply.SerializeToString()
            events.append(
                Output(success_frame(CALL_ID_SASL, _reply_tail(b"", RETRY_COUNT_NONE), payload))
            )
        return Arrival.SASL_DONE if step.simple else Arrival.SASL_MESSAGE

    def _move(self, arrival: Arrival) -> None:
        self.state = TRANSITIONS[self.state, arrival]

    def _refusal(self, arrival: Arrival) -> _Fatal:
        return _invalid_header(REFUSALS[self.state, arrival])

    def _hang_up(self, reason: str, events: list[ServerEvent]) -> None:
        self.state = State.CLOSED
        events.append(Hangup(reason))

    # -- replies

    def reply_tail(self, client_id: bytes, retry_count: int) -> bytes:
        """The fields of a SUCCESS header after the call id; the last caller's is remembered."""
        key = (client_id, retry_count)
        if key != self._reply_key:
            self._reply_key, self._reply_tail = key, _reply_tail(client_id, retry_count)
        return self._reply_tail


class _HeaderRefusal(NamedTuple):
    data: bytes
    reason: str


def _refuse_header(head: bytes) -> _HeaderRefusal | None:
    """What to answer to a bad header; None for a good one (Server.readAndProcess)."""
    version = int.from_bytes(head[4:5], "big", signed=True)
    if head[:4] == b"GET ":
        return _HeaderRefusal(NOT_HTTP, "an HTTP request on an IPC port")
    if head[:4] != MAGIC:
        return _HeaderRefusal(_version_reply(version), f"{head[:4]!r} is not {MAGIC!r}")
    if version != VERSION:
        return _HeaderRefusal(_version_reply(version), f"IPC version {version} is not {VERSION}")
    if head[6] not in (AUTH_NONE, AUTH_SASL):
        auth = int.from_bytes(head[6:7], "big", signed=True)
        fault = RemoteFault(f"Unknown auth protocol:{auth}", "org.apache.hadoop.ipc.IpcException")
        return _HeaderRefusal(_refused(fault, ResponseHeader.FATAL_UNAUTHORIZED), fault.message)
    return None


def _version_reply(version: int) -> bytes:
    """The answer in the form that this version of client understands (setupBadVersionResponse)."""
    text = f"Server IPC version {VERSION} cannot communicate with client version {version}"
    fault = RpcVersionMismatch(text)
    strings = b"".join(LENGTH.pack(len(t)) + t.encode() for t in (fault.wire_class, text))
    if version >= 9:
        return _refused(fault, ResponseHeader.FATAL_VERSION_MISMATCH)
    if version >= 3:
        return LENGTH.pack(CALL_ID_FAILED) + LENGTH.pack(-1) + strings
    if version == 2:
        return LENGTH.pack(0) + b"\x01" + strings
    return b""


def _refused(fault: RemoteFault, detail: Detail) -> bytes:
    return failure_frame(
        CALL_ID_FAILED, b"", RETRY_COUNT_NONE, fault, status=ResponseHeader.FATAL, detail=detail
    )


def _check_header(header: RequestHeader) -> None:
    """Server.checkRpcHeaders; an unknown number of an enum counts as not sent."""
    if not header.HasField("rpcOp"):
        raise _invalid_header(" IPC Server: No rpc op in rpcRequestHeader")
    if header.rpcOp != RequestHeader.RPC_FINAL_PACKET:
        operation = RequestHeader.OperationProto.Name(header.rpcOp)
        raise _invalid_header(f"IPC Server does not implement rpc header operation{operation}")
    if not header.HasField("rpcKind"):
        raise _invalid_header(" IPC Server: No rpc kind in rpcRequestHeader")


def _caller_of(context: Context, address: str) -> Caller:
    """Empty names stay empty: what nobody is may be refused by the handlers."""
    info = context.userInfo
    return Caller(info.effectiveUser, info.realUser or None, address)


def _reply_tail(client_id: bytes, retry_count: int) -> bytes:
    return b"\x10\x00\x18\x09\x3a" + delimited(client_id) + b"\x40" + varint(zigzag(retry_count))


def success_frame(call_id: int, tail: bytes, payload: bytes, state_id: int | None = None) -> bytes:
    """A SUCCESS response; `tail` from ServerConnection.reply_tail."""
    number = varint(call_id & 0xFFFFFFFF)
    if state_id is not None:
        tail += b"\x48" + varint(state_id & 0xFFFFFFFFFFFFFFFF)
    size, payload_size = 1 + len(number) + len(tail), len(payload)
    header_length, payload_length = varint(size), varint(payload_size)
    total = len(header_length) + size + len(payload_length) + payload_size
    return b"".join(
        (LENGTH.pack(total), header_length, b"\x08", number, tail, payload_length, payload)
    )


def failure_frame(
    call_id: int,
    client_id: bytes,
    retry_count: int,
    fault: RemoteFault,
    *,
    status: ResponseHeader.RpcStatusProto = ResponseHeader.ERROR,
    detail: Detail | None = None,
    state_id: int | None = None,
) -> bytes:
    """An ERROR or FATAL response: a header and nothing after it."""
    header = ResponseHeader(
        callId=call_id & 0xFFFFFFFF,
        status=status,
        serverIpcVersionNum=VERSION,
        exceptionClassName=fault.wire_class,
        errorMsg=fault.message,
        errorDetail=_DETAILS.get(type(fault), ResponseHeader.ERROR_APPLICATION)
        if detail is None
        else detail,
        clientId=client_id,
        retryCount=retry_count,
    )
    if state_id is not None:
        header.stateId = state_id
    return frame(delimited(header.SerializeToString()))


class Response(NamedTuple):
    """The answer to one call."""

    call_id: int
    fault: RemoteFault | None
    payload: bytes
    """Serialised response message; empty with a fault."""
    state_id: int | None


class Refused(NamedTuple):
    """A FATAL response: the server closes the connection, all calls on it are lost."""

    fault: RemoteFault


ClientEvent = Response | Refused | Hangup


class ClientConnection:
    """The client's end, SIMPLE authentication without SASL. `receive` never raises."""

    __slots__ = ("_closed", "_frames", "_request_tail")

    def __init__(self, client_id: bytes, frame_bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._frames = FrameReader(frame_bytes_max)
        self._request_tail = b"\x22" + delimited(client_id) + b"\x28"
        self._closed = False

    def opening(self, protocol: str, user: str, real_user: str | None) -> bytes:
        """The first bytes of a connection; calls may follow at once."""
        context = Context(protocol=protocol)
        context.userInfo.effectiveUser = user
        if real_user is not None:
            context.userInfo.realUser = real_user
        header = MAGIC + bytes((VERSION, 0, AUTH_NONE))
        body = delimited(context.SerializeToString())
        return header + self._frame(CALL_ID_CONTEXT, RETRY_COUNT_NONE, None, body)

    def ping(self) -> bytes:
        return self._frame(CALL_ID_PING, RETRY_COUNT_NONE, None, b"")

    def request(
        self,
        method: Method,
        payload: bytes,
        *,
        call_id: int,
        retry_count: int = 0,
        state_id: int | None = None,
    ) -> bytes:
        """The frame of one call."""
        body = method.request_header + varint(len(payload)) + payload
        return self._frame(call_id, retry_count, state_id, body)

    def _frame(self, call_id: int, retry_count: int, state_id: int | None, body: bytes) -> bytes:
        header = b"".join(
            (
                b"\x08\x02\x10\x00\x18",
                varint(zigzag(call_id)),
                self._request_tail,
                varint(zigzag(retry_count)),
            )
        )
        if state_id is not None:
            header += b"\x40" + varint(state_id & 0xFFFFFFFFFFFFFFFF)
        return frame(delimited(header), body)

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Answers of all frames that are complete now, in order."""
        events: list[ClientEvent] = []
        if self._closed:
            return events
        for body in self._frames.feed(data):
            event = _response(body)
            events.append(event)
            if not isinstance(event, Response):
                self._closed = True
                return events
        if self._frames.error is not None:
            self._closed = True
            events.append(Hangup(self._frames.error))
        return events


def _response(body: bytes) -> ClientEvent:
    try:
        head, offset = read_delimited(body, 0)
        header = ResponseHeader.FromString(head)
        if not header.IsInitialized():
            return Hangup("a response header without call id or status")
        state_id = header.stateId if header.HasField("stateId") else None
        if header.status == ResponseHeader.SUCCESS:
            payload = read_delimited(body, offset)[0]
            return Response(header.callId, None, payload, state_id)
    except (PeerError, DecodeError) as error:
        return Hangup(f"a response that can't be read: {error}")
    fault = RemoteFault.of(header.exceptionClassName, message_of(header.errorMsg))
    if header.status == ResponseHeader.FATAL:
        return Refused(fault)
    return Response(header.callId, fault, b"", state_id)


def message_of(error_text: str) -> str:
    """The message in front of the Java stack trace that errorMsg carries."""
    return error_text.partition("\n\tat ")[0]
