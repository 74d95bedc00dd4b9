"""Both ends of a connection as tables of bytes; expected answers were seen from Hadoop 3.4.1."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import (
    FileNotFound,
    NoSuchMethod,
    RemoteFault,
    RpcVersionMismatch,
    StandbyError,
)
from hdfsd.rpc.connection import (
    NOT_HTTP,
    REFUSALS,
    TRANSITIONS,
    Arrival,
    Caller,
    ClientConnection,
    Hangup,
    Output,
    Refused,
    Request,
    Response,
    ServerConnection,
    State,
    failure_frame,
    message_of,
    success_frame,
)
from hdfsd.wire.framing import delimited, frame, read_delimited
from hdfsd.wire.messages import client_namenode, rpc_header
from hdfsd.wire.services import CLIENT_PROTOCOL, PROTOCOLS

CLIENT_ID = b"0123456789abcdef"
GET_FILE_INFO = PROTOCOLS[CLIENT_PROTOCOL].methods["getFileInfo"]
PARAMETER = client_namenode.GetFileInfoRequestProto(src="/a").SerializeToString()
SASL = rpc_header.RpcSaslProto
RPC_SERVER_EXCEPTION = "org.apache.hadoop.ipc.RpcServerException"
VERSION_MISMATCH = "org.apache.hadoop.ipc.RPC$VersionMismatch"

client = ClientConnection(CLIENT_ID)
OPENING = client.opening(CLIENT_PROTOCOL, "alice", None)
HEADER, CONTEXT = OPENING[:7], OPENING[7:]
SASL_HEADER = b"hrpc\x09\x00\xdf"
CALL = client.request(GET_FILE_INFO, PARAMETER, call_id=1)
PING = client.ping()


def header(**fields: object) -> bytes:
    """A delimited request header; a field given as None is left out."""
    values = {"rpcKind": 2, "rpcOp": 0, "callId": 5, "clientId": CLIENT_ID, "retryCount": 0}
    kept = {name: value for name, value in {**values, **fields}.items() if value is not None}
    message = rpc_header.RpcRequestHeaderProto(**kept)  # type: ignore[arg-type]
    return delimited(message.SerializeToString())


def sasl(state: int, method: str | None = None) -> bytes:
    message = SASL(state=state)  # type: ignore[arg-type]
    if method is not None:
        message.auths.add(method=method, mechanism="")
    body = delimited(message.SerializeToString())
    return frame(header(callId=-33, clientId=b"", retryCount=-1) + body)


def call_frame(**fields: object) -> bytes:
    return frame(header(**fields) + GET_FILE_INFO.request_header + delimited(PARAMETER))


def read_header(data: bytes) -> rpc_header.RpcResponseHeaderProto:
    """The header of a frame that has nothing after it."""
    body, end = read_delimited(data[4:], 0)
    assert end == len(data) - 4 == int.from_bytes(data[:4], "big")
    return rpc_header.RpcResponseHeaderProto.FromString(body)


REQUEST = Request(
    1, CLIENT_ID, 0, None, read_delimited(GET_FILE_INFO.request_header, 0)[0], PARAMETER
)

VARIANTS = st.fixed_dictionaries(
    {},
    optional={
        "callId": st.sampled_from([0, 5, -1]),
        "clientId": st.sampled_from([CLIENT_ID, b"fedcba9876543210", b"", b"x" * 130]),
        "retryCount": st.sampled_from([0, 1, -1, None]),
        "stateId": st.sampled_from([0, 7]),
        "rpcKind": st.sampled_from([0, 1, 2, None]),
        "rpcOp": st.sampled_from([0, 1, None]),
        "traceInfo": st.sampled_from([rpc_header.RPCTraceInfoProto(traceId=1)]),
    },
)


CALL_IDS = st.sampled_from([0, 63, 64, 2**31 - 1, -1, -4, -7])


@settings(max_examples=300)
@given(
    st.lists(st.fixed_dictionaries({"callId": CALL_IDS}) | VARIANTS, max_size=6),
    st.integers(0, 60),
    st.integers(0, 8),
)
def test_a_call_means_the_same_whatever_came_before_it(
    headers: list[dict[str, object]], at: int, change: int
) -> None:
    """Headers like the last one are recognised by their bytes: never wrongly."""
    frames = [call_frame(**fields) for fields in headers]
    if frames and change < 8 and at < len(frames[-1]) - 4:  # One bit of the last frame is another.
        damaged = bytearray(frames[-1])
        damaged[4 + at] ^= 1 << change
        frames[-1] = bytes(damaged)
    old = ServerConnection("1.2.3.4")
    old.receive(OPENING)
    for data in frames:
        fresh = ServerConnection("1.2.3.4")
        fresh.receive(OPENING)
        assert old.receive(data) == fresh.receive(data)
        if old.closed:
            break


# -- good sequences


def test_opening_bytes() -> None:
    assert HEADER == b"hrpc\x09\x00\x00"
    body = CONTEXT[4:]
    head, offset = read_delimited(body, 0)
    assert head.hex(" ") == (
        "08 02 10 00 18 05 22 10 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 28 01"
    )
    context, end = read_delimited(body, offset)
    assert end == len(body)
    assert context == b"\x12\x07\x0a\x05alice\x1a" + delimited(CLIENT_PROTOCOL.encode())


GOOD = {
    "simple": (OPENING + CALL, [REQUEST]),
    "pings are not answered": (HEADER + PING + CONTEXT + PING + CALL + PING, [REQUEST]),
    "two calls": (OPENING + CALL + CALL, [REQUEST, REQUEST]),
    "bytes after the parameter": (
        OPENING + frame(CALL[4:] + b"junk"),
        [REQUEST],
    ),
    "state id and retry count": (
        OPENING
        + client.request(GET_FILE_INFO, PARAMETER, call_id=2**31 - 1, retry_count=3, state_id=7),
        [REQUEST._replace(call_id=2**31 - 1, retry_count=3, state_id=7)],
    ),
    "no client id": (
        OPENING + call_frame(callId=1, clientId=b""),
        [REQUEST._replace(client_id=b"")],
    ),
    "sasl, negotiated": (
        SASL_HEADER + sasl(SASL.NEGOTIATE) + sasl(SASL.INITIATE, "SIMPLE") + CONTEXT + CALL,
        ["offer", REQUEST],
    ),
    "sasl, SIMPLE chosen at once": (
        SASL_HEADER + PING + sasl(SASL.INITIATE, "SIMPLE") + CONTEXT + CALL,
        [REQUEST],
    ),
}


def offers_simple(data: bytes) -> bool:
    head, offset = read_delimited(data[4:], 0)
    answer = rpc_header.RpcResponseHeaderProto.FromString(head)
    message = SASL.FromString(read_delimited(data[4:], offset)[0])
    return (
        answer.callId == 2**32 - 33
        and answer.status == answer.SUCCESS
        and message.state == SASL.NEGOTIATE
        and [(a.method, a.mechanism) for a in message.auths] == [("SIMPLE", "")]
    )


@pytest.mark.parametrize("step", [1, 2, 5, 64, 10**6])
@pytest.mark.parametrize("name", GOOD)
def test_good_sequences(name: str, step: int) -> None:
    data, expected = GOOD[name]
    server, events = ServerConnection("10.0.0.1"), []
    for offset in range(0, len(data), step):
        events += server.receive(data[offset : offset + step])
    seen = ["offer" if isinstance(e, Output) and offers_simple(e.data) else e for e in events]
    assert seen == expected
    assert server.state is State.OPEN
    assert server.caller == Caller("alice", None, "10.0.0.1")


def test_proxy_user() -> None:
    server = ServerConnection("10.0.0.1")
    server.receive(client.opening(CLIENT_PROTOCOL, "alice", "hue"))
    assert server.caller == Caller("alice", "hue", "10.0.0.1")


# -- bad headers

BAD_HEADERS = {
    "version 8": (
        b"hrpc\x08\x00\x00",
        bytes.fromhex("ffffffffffffffff00000029")
        + VERSION_MISMATCH.encode()
        + bytes.fromhex("0000003d")
        + b"Server IPC version 9 cannot communicate with client version 8",
    ),
    "version 2": (
        b"hrpc\x02\x00\x00",
        bytes.fromhex("000000000100000029")
        + VERSION_MISMATCH.encode()
        + bytes.fromhex("0000003d")
        + b"Server IPC version 9 cannot communicate with client version 2",
    ),
    "version 1": (b"hrpc\x01\x00\x00", b""),
    "version 255": (b"hrpc\xff\x00\x00", b""),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", NOT_HTTP),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_bad_headers_answered_in_old_forms(name: str) -> None:
    data, expected = BAD_HEADERS[name]
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))]):
        server = ServerConnection("")
        events = [event for piece in pieces for event in server.receive(piece)]
        assert b"".join(e.data for e in events if isinstance(e, Output)) == expected
        assert isinstance(events[-1], Hangup)
        assert server.state is State.CLOSED


@pytest.mark.parametrize(
    ("data", "java_class", "detail", "text"),
    [
        (b"hrpc\x0a\x00\x00", VERSION_MISMATCH, 14, "client version 10"),
        (b"hrpx\x09\x00\x00", VERSION_MISMATCH, 14, "client version 9"),
        (b"hrpc\x09\x00\x55", "org.apache.hadoop.ipc.IpcException", 15, "auth protocol:85"),
        (b"hrpc\x09\x00\x81", "org.apache.hadoop.ipc.IpcException", 15, "auth protocol:-127"),
    ],
)
def test_bad_headers_answered_in_the_modern_form(
    data: bytes, java_class: str, detail: int, text: str
) -> None:
    output, hangup = ServerConnection("").receive(data + CONTEXT)
    assert isinstance(output, Output)
    assert isinstance(hangup, Hangup)
    answer = read_header(output.data)
    assert (answer.callId, answer.status, answer.errorDetail) == (2**32 - 1, 2, detail)
    assert (answer.clientId, answer.retryCount) == (b"", -1)
    assert answer.serverIpcVersionNum == 9
    assert answer.exceptionClassName == java_class
    assert answer.errorMsg.endswith(text)


# -- FATAL answers: data, call id as uint32, exception class, detail, text

SASL_EXCEPTION = "javax.security.sasl.SaslException"
ACCESS_CONTROL = "org.apache.hadoop.security.AccessControlException"
FATALS = {
    "call before context": (HEADER + CALL, 1, RPC_SERVER_EXCEPTION, 12, "context not established"),
    "call during sasl": (SASL_HEADER + CALL, 1, RPC_SERVER_EXCEPTION, 12, "not established"),
    "two contexts": (OPENING + CONTEXT, 2**32 - 3, RPC_SERVER_EXCEPTION, 12, "already processed"),
    "sasl on simple": (HEADER + sasl(1), 2**32 - 33, RPC_SERVER_EXCEPTION, 12, "not requested"),
    "sasl after context": (
        OPENING + sasl(1),
        2**32 - 33,
        RPC_SERVER_EXCEPTION,
        12,
        "not requested",
    ),
    "context during sasl": (
        SASL_HEADER + CONTEXT,
        2**32 - 3,
        RPC_SERVER_EXCEPTION,
        12,
        "Connection header sent during SASL negotiation",
    ),
    "unknown id": (
        OPENING + frame(header(callId=-7)),
        2**32 - 7,
        RPC_SERVER_EXCEPTION,
        12,
        "Unknown out of band call #-7",
    ),
    "no operation": (OPENING + call_frame(rpcOp=None), 5, RPC_SERVER_EXCEPTION, 12, "No rpc op"),
    "operation 1": (
        OPENING + call_frame(rpcOp=1),
        5,
        RPC_SERVER_EXCEPTION,
        12,
        "IPC Server does not implement rpc header operationRPC_CONTINUATION_PACKET",
    ),
    "no kind": (OPENING + call_frame(rpcKind=None), 5, RPC_SERVER_EXCEPTION, 12, "No rpc kind"),
    "kind 1": (
        OPENING + call_frame(rpcKind=1),
        5,
        RPC_SERVER_EXCEPTION,
        12,
        "Unknown rpc kind in rpc headerRPC_WRITABLE",
    ),
    "empty frame": (OPENING + frame(), 2**32 - 1, RPC_SERVER_EXCEPTION, 13, "Error decoding"),
    "random bytes": (
        OPENING + frame(b"\xff" * 40),
        2**32 - 1,
        RPC_SERVER_EXCEPTION,
        13,
        "decoding",
    ),
    "header without call id": (
        OPENING + frame(delimited(b"\x08\x02")),
        2**32 - 1,
        RPC_SERVER_EXCEPTION,
        13,
        "missing required fields: callId, clientId",
    ),
    "context that is not one": (
        HEADER + frame(header(callId=-3) + delimited(b"\xff\xff")),
        2**32 - 3,
        RPC_SERVER_EXCEPTION,
        13,
        "Error decoding IpcConnectionContextProto",
    ),
    "a user that is not text": (
        HEADER + frame(header(callId=-3) + delimited(b"\x12" + delimited(b"\x0a\x02\xff\xfe"))),
        2**32 - 3,
        RPC_SERVER_EXCEPTION,
        13,
        "userInfo.effectiveUser is not UTF-8",
    ),
    "sasl kerberos": (
        SASL_HEADER + sasl(SASL.NEGOTIATE) + sasl(SASL.INITIATE, "KERBEROS"),
        2**32 - 33,
        ACCESS_CONTROL,
        15,
        "KERBEROS authentication is not enabled.  Available:[SIMPLE]",
    ),
    "sasl twice": (
        SASL_HEADER + sasl(SASL.NEGOTIATE) + sasl(SASL.NEGOTIATE),
        2**32 - 33,
        ACCESS_CONTROL,
        15,
        "Client already attempted negotiation",
    ),
    "sasl wrap": (SASL_HEADER + sasl(SASL.WRAP), 2**32 - 33, SASL_EXCEPTION, 12, "not wrapping"),
    "sasl success": (
        SASL_HEADER + sasl(SASL.SUCCESS),
        2**32 - 33,
        SASL_EXCEPTION,
        15,
        "Client sent unsupported state SUCCESS",
    ),
}


@pytest.mark.parametrize("step", [1, 10**6])
@pytest.mark.parametrize("name", FATALS)
def test_fatal_answers(name: str, step: int) -> None:
    data, call_id, java_class, detail, text = FATALS[name]
    data += CALL  # what comes after a fatal error is not looked at
    server, events = ServerConnection(""), []
    for offset in range(0, len(data), step):
        events += server.receive(data[offset : offset + step])
    output, hangup = events[-2:]
    assert isinstance(output, Output)
    assert isinstance(hangup, Hangup)
    answer = read_header(output.data)
    assert (answer.callId, answer.status, answer.errorDetail) == (call_id, 2, detail)
    assert answer.exceptionClassName == java_class
    assert text in answer.errorMsg
    assert answer.clientId == b""
    assert server.state is State.CLOSED
    assert server.receive(OPENING + CALL) == []


@pytest.mark.parametrize("length", ["ffffffff", "80000000", "7fffffff", "08000001"])
def test_absurd_lengths_close_without_an_answer(length: str) -> None:
    server = ServerConnection("")
    events = server.receive(OPENING + CALL + bytes.fromhex(length) + CALL)
    assert events[0] == REQUEST
    assert isinstance(events[1], Hangup)
    assert len(events) == 2


def test_errors_after_the_header_do_not_end_the_connection() -> None:
    server = ServerConnection("")
    no_parameter = frame(header(callId=1) + GET_FILE_INFO.request_header)
    no_method = frame(header(callId=1))
    assert server.receive(OPENING + no_parameter + no_method + CALL) == [
        REQUEST._replace(parameter=None),
        REQUEST._replace(header=b"", parameter=None),
        REQUEST,
    ]


def test_every_cell_of_the_machine_is_allowed_or_refused_with_a_text() -> None:
    frames = {a for a in Arrival if not a.name.endswith("HEADER")} - {Arrival.SASL_DONE}
    for state in (State.SASL, State.CONTEXT, State.OPEN):
        for arrival in frames:
            assert ((state, arrival) in TRANSITIONS) != ((state, arrival) in REFUSALS)
    assert all(state is not State.CLOSED for state, _ in TRANSITIONS)


# -- hostile bytes


def test_a_conversation_cut_at_every_byte() -> None:
    data = OPENING + PING + CALL + CALL
    for length in range(len(data)):
        server = ServerConnection("")
        events = server.receive(data[:length])
        assert all(event == REQUEST for event in events)
        assert events + server.receive(data[length:]) == [REQUEST, REQUEST]


@given(st.binary(max_size=200))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_frames_of_random_bytes(body: bytes) -> None:
    server = ServerConnection("")
    server.receive(OPENING)
    for event in server.receive(frame(body) + CALL):
        assert isinstance(event, Request | Output | Hangup)


@pytest.mark.parametrize("seed", range(50))
def test_a_conversation_with_flipped_bits(seed: int) -> None:
    dice = random.Random(seed)
    data = bytearray(OPENING + CALL * 3)
    for _ in range(4):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    for event in ServerConnection("").receive(bytes(data)):
        assert isinstance(event, Request | Output | Hangup)


@given(st.binary(max_size=64))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_headers_of_random_bytes(data: bytes) -> None:
    server = ServerConnection("")
    events = server.receive(data)
    assert server.state is State.HEADER or len(data) >= 7
    assert not any(isinstance(event, Request) for event in events)


# -- answers

SAMPLE = bytes.fromhex(
    "00000049 1a 0801 1000 1809 3a10 30313233343536373839616263646566 4000 2d 0a2b 0801 1200 1800"
    "2203 08ed03 2a04 726f6f74 3204 726f6f74 3800 4000 5000 5800 688180 01 7000 8001 00 9001 08"
)
"""The reply of Hadoop 3.4.1 to getFileInfo("/") (rpc-framing.md 10)."""


def test_success_frame_is_byte_for_byte_hadoop_s() -> None:
    payload, _ = read_delimited(SAMPLE[4:], 27)
    tail = ServerConnection("").reply_tail(CLIENT_ID, 0)
    assert success_frame(1, tail, payload) == SAMPLE
    parsed = client_namenode.GetFileInfoResponseProto.FromString(payload)
    assert parsed.fs.permission.perm == 0o755
    assert parsed.fs.fileId == 16385


def test_success_frame_reads_as_protobuf() -> None:
    server = ServerConnection("")
    for call_id in (0, 127, 128, 2**31 - 1, -33):
        for retry_count in (-1, 0, 5):
            tail = server.reply_tail(CLIENT_ID, retry_count)
            data = success_frame(call_id, tail, b"x" * 200, state_id=-1)
            head, offset = read_delimited(data[4:], 0)
            answer = rpc_header.RpcResponseHeaderProto.FromString(head)
            assert answer.callId == call_id % 2**32
            assert (answer.clientId, answer.retryCount) == (CLIENT_ID, retry_count)
            assert (answer.status, answer.serverIpcVersionNum, answer.stateId) == (0, 9, -1)
            assert read_delimited(data[4:], offset) == (b"x" * 200, len(data) - 4)


def test_an_empty_result_is_one_zero_byte() -> None:
    tail = ServerConnection("").reply_tail(b"", -1)
    assert success_frame(0, tail, b"")[-1:] == b"\x00"


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        (StandbyError("no"), 1),
        (NoSuchMethod("no"), 2),
        (RpcVersionMismatch("no"), 6),
        (RemoteFault("no", "com.example.Strange"), 1),
    ],
)
def test_failure_frames_through_the_client(fault: RemoteFault, detail: int) -> None:
    data = failure_frame(9, CLIENT_ID, 2, fault, state_id=77)
    answer = read_header(data)
    assert (answer.errorDetail, answer.clientId, answer.retryCount) == (detail, CLIENT_ID, 2)
    (event,) = ClientConnection(CLIENT_ID).receive(data)
    assert isinstance(event, Response)
    assert (event.call_id, event.payload, event.state_id) == (9, b"", 77)
    assert type(event.fault) is type(fault)
    assert event.fault is not None
    assert event.fault.wire_class == fault.wire_class


# -- the client's end


@pytest.mark.parametrize("step", [1, 3, 10**6])
def test_answers_in_pieces(step: int) -> None:
    tail = ServerConnection("").reply_tail(CLIENT_ID, 0)
    data = success_frame(3, tail, b"abc") + success_frame(2, tail, b"") + SAMPLE
    end, events = ClientConnection(CLIENT_ID), []
    for offset in range(0, len(data), step):
        events += end.receive(data[offset : offset + step])
    assert events[:2] == [Response(3, None, b"abc", None), Response(2, None, b"", None)]
    assert isinstance(events[2], Response)
    assert events[2].call_id == 1


def test_only_the_message_is_kept_of_a_java_stack_trace() -> None:
    text = "File does not exist: /a\nin two lines\n\tat org.apache.Foo.bar(Foo.java:1)\n\tat x"
    assert message_of(text) == "File does not exist: /a\nin two lines"
    (event,) = ClientConnection(CLIENT_ID).receive(failure_frame(1, b"", 0, FileNotFound(text)))
    assert isinstance(event, Response)
    assert isinstance(event.fault, FileNotFound)
    assert event.fault.message == "File does not exist: /a\nin two lines"


def test_a_fatal_answer_ends_the_connection() -> None:
    output = ServerConnection("").receive(b"hrpc\x0a\x00\x00")[0]
    assert isinstance(output, Output)
    end = ClientConnection(CLIENT_ID)
    (event,) = end.receive(output.data + SAMPLE)
    assert isinstance(event, Refused)
    assert isinstance(event.fault, RpcVersionMismatch)
    assert end.receive(SAMPLE) == []


@pytest.mark.parametrize(
    "data",
    [
        frame(),
        frame(b"\xff" * 20),
        frame(delimited(b"\x08\x01")),
        frame(delimited(b"\x08\x01\x10\x00") + b"\x05abc"),
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
    ],
)
def test_answers_that_can_t_be_read_end_the_connection(data: bytes) -> None:
    end = ClientConnection(CLIENT_ID)
    (event,) = end.receive(data)
    assert isinstance(event, Hangup)
    assert end.receive(SAMPLE) == []
