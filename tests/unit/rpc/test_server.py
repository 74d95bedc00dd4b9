"""The server over a transport that records what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hdfsd.base.errors import (
    ConfigError,
    FileNotFound,
    InvariantBroken,
    NotBuilt,
    RemoteFault,
    StandbyError,
)
from hdfsd.base.ids import Address
from hdfsd.rpc.connection import Caller, ClientConnection, Hangup, Response
from hdfsd.rpc.server import (
    DEFERRED,
    Call,
    Deferred,
    RpcServer,
    ServerLimits,
    handlers_of,
)
from hdfsd.wire.framing import delimited, frame
from hdfsd.wire.messages import Message, client_namenode, ha_service, protocol_info
from hdfsd.wire.services import (
    CLIENT_PROTOCOL,
    HA_SERVICE_PROTOCOL,
    PROTOCOL_META_INFO,
    PROTOCOLS,
    Method,
)

CLIENT_ID = b"0123456789abcdef"
METHODS = PROTOCOLS[CLIENT_PROTOCOL].methods
Delete = client_namenode.DeleteRequestProto
FileInfo = client_namenode.GetFileInfoRequestProto
Mkdirs = client_namenode.MkdirsRequestProto


class ManualClock:
    def __init__(self) -> None:
        self.ms = 1_000

    def now_ms(self) -> int:
        return self.ms

    def wall_ms(self) -> int:
        return self.ms


class RecordingTransport:
    """What the server told its transport; `slow` makes each write fill the peer's buffer."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.writes: list[bytes] = []
        self.log: list[str] = []
        self.closing = False
        self.slow = False

    def get_extra_info(self, name: str) -> object:
        return ("10.1.2.3", 4711) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self.slow:
            self.protocol.pause_writing()

    def pause_reading(self) -> None:
        self.log.append("pause")

    def resume_reading(self) -> None:
        self.log.append("resume")

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.log.append("close")
        self.closing = True

    def abort(self) -> None:
        self.log.append("abort")
        self.closing = True
        self.protocol.connection_lost(None)


class OneAddress:
    """A network that keeps the factory, for the test to make connections with."""

    def __init__(self) -> None:
        self.factory: Callable[[], Any] | None = None
        self.closed = False
        self.address = Address("127.0.0.1", 8020)

    async def listen(self, address: Address, factory: Callable[[], Any]) -> OneAddress:
        self.factory = factory
        return self

    async def connect(self, address: Address, factory: Any, *, deadline_ms: int) -> Any:
        raise AssertionError("a server connects to nobody")

    async def close(self) -> None:
        self.closed = True


class Namespace:
    """Handlers of every kind."""

    def __init__(self) -> None:
        self.parked: list[Call] = []
        self.on_parked: Callable[[Call], None] = lambda call: None
        self.calls: list[Call] = []
        self.may_go = asyncio.Event()

    def get_file_info(self, request: Any, call: Call) -> Message:
        self.calls.append(call)
        if request.src == "/missing":
            raise FileNotFound("/missing is not there")
        if request.src == "/bug":
            raise KeyError("bug")
        if request.src == "/full":
            raise OSError(28, "No space left on device", "/data")
        if request.src == "/later":
            raise NotBuilt("symlinks")
        if request.src == "/broken":
            raise InvariantBroken("P1: lost")
        response = client_namenode.GetFileInfoResponseProto()
        if request.src == "/half":
            response.fs.path = b"half"
        return response

    def delete(self, request: Any, call: Call) -> Deferred:
        self.parked.append(call)
        self.on_parked(call)
        return DEFERRED

    async def mkdirs(self, request: Any, call: Call) -> Message:
        await self.may_go.wait()
        if request.src == "/denied":
            raise StandbyError("not here")
        return client_namenode.MkdirsResponseProto(result=True)


class Conversation:
    """One connection to a server under test."""

    def __init__(self, server: RpcServer, network: OneAddress, user: str) -> None:
        assert network.factory is not None
        self.client = ClientConnection(CLIENT_ID)
        self.transport = RecordingTransport()
        self.protocol = self.transport.protocol = network.factory()
        self.protocol.connection_made(self.transport)
        self.say(self.client.opening(CLIENT_PROTOCOL, user, None))

    def say(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def request(self, name: str, request: Message, call_id: int, **more: Any) -> bytes:
        payload = request.SerializeToString()
        return self.client.request(METHODS[name], payload, call_id=call_id, **more)

    def call(self, name: str, request: Message, call_id: int, **more: Any) -> None:
        self.say(self.request(name, request, call_id, **more))

    def answers(self) -> list[Response]:
        """All answers since the last time."""
        events = self.client.receive(b"".join(self.transport.writes))
        self.transport.writes.clear()
        assert all(isinstance(event, Response) for event in events), events
        return events  # type: ignore[return-value]


class World:
    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        self.namespace = Namespace()
        self.network = OneAddress()
        self.server = RpcServer({CLIENT_PROTOCOL: self.namespace}, clock=self.clock, **options)

    def connect(self, user: str = "alice") -> Conversation:
        return Conversation(self.server, self.network, user)


def run(story: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def whole() -> None:
        world = World(**options)
        await world.server.start(world.network, Address("127.0.0.1", 0))
        try:
            await story(world)
        finally:
            await world.server.stop()

    asyncio.run(whole())


@contextmanager
def logged(caplog: pytest.LogCaptureFixture, text: str) -> Iterator[None]:
    caplog.clear()
    yield
    assert text in caplog.text


async def turns(count: int = 3) -> None:
    """Lets what is ready in the loop run."""
    for _ in range(count):
        await asyncio.sleep(0)


def fault(response: Response) -> tuple[str, str]:
    assert response.fault is not None
    return response.fault.wire_class, response.fault.message


# -- the straight path


def test_a_batch_is_one_write_in_order() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.say(b"".join(talk.request("getFileInfo", FileInfo(src=f"/{n}"), n) for n in range(50)))
        assert len(talk.transport.writes) == 1
        assert [answer.call_id for answer in talk.answers()] == list(range(50))

    run(story)


def test_what_is_left_for_the_end_of_a_batch_is_answered_with_it() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        parked, works = world.namespace.parked, []

        def work() -> None:
            works.append(len(parked))
            for call in parked:
                call.reply(client_namenode.DeleteResponseProto(result=True))

        world.namespace.on_parked = lambda call: call.after_batch(work)
        wanted = [Delete(src=f"/{n}", recursive=False) for n in range(3)]
        talk.say(b"".join(talk.request("delete", each, n) for n, each in enumerate(wanted)))
        assert works == [3]
        assert len(talk.transport.writes) == 1
        assert [answer.call_id for answer in talk.answers()] == [0, 1, 2]
        # Outside of a batch there is nothing to wait for.
        parked[0].after_batch(lambda: works.append(0))
        assert works == [3, 0]
        await turns()
        assert talk.transport.writes == []

    run(story)


def test_what_a_handler_is_told() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.call("getFileInfo", FileInfo(src="/a"), 7, retry_count=2, state_id=99)
        (call,) = world.namespace.calls
        assert (call.call_id, call.client_id, call.retry_count) == (7, CLIENT_ID, 2)
        assert call.state_id == 99
        assert call.method is METHODS["getFileInfo"]
        assert (call.caller.user, call.caller.real_user) == ("alice", None)
        assert call.caller.address == "10.1.2.3"
        assert repr(call) == "Call(getFileInfo#7 of alice)"

    run(story)


def test_the_state_id_goes_with_every_answer() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.call("getFileInfo", FileInfo(src="/a"), 1)
        talk.call("getFileInfo", FileInfo(src="/missing"), 2)
        assert [answer.state_id for answer in talk.answers()] == [4711, 4711]

    run(story, state_id=lambda: 4711)


def test_without_a_state_context_there_is_no_state_id() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.call("getFileInfo", FileInfo(src="/a"), 1, state_id=5)
        assert talk.answers()[0].state_id is None

    run(story)


# -- who is it


class Introductions:
    """Who is known; strangers wait for `answered`."""

    def __init__(self, server: RpcServer) -> None:
        self.known = False
        self.asked = 0
        self.answered = asyncio.Event()
        server.introduce = self.introduce

    def introduce(self, caller: Caller) -> Awaitable[None] | None:
        self.asked += 1
        return None if self.known or caller.user != "alice" else self._wait()

    async def _wait(self) -> None:
        await self.answered.wait()


def test_calls_of_a_stranger_wait_in_their_order_and_those_of_others_do_not() -> None:
    async def story(world: World) -> None:
        introductions = Introductions(world.server)
        talk, other = world.connect(), world.connect(user="bob")
        talk.call("getFileInfo", FileInfo(src="/a"), 1)
        talk.say(b"".join(talk.request("getFileInfo", FileInfo(src="/b"), n) for n in (2, 3)))
        await turns()
        assert talk.transport.log == ["pause"], "no more is read than was sent already"
        assert talk.answers() == []
        other.call("getFileInfo", FileInfo(src="/a"), 1)
        assert [answer.call_id for answer in other.answers()] == [1]
        introductions.answered.set()
        await turns()
        assert [answer.call_id for answer in talk.answers()] == [1, 2, 3]
        assert talk.transport.log == ["pause", "resume"]
        introductions.known = True
        asked = introductions.asked
        talk.say(b"".join(talk.request("getFileInfo", FileInfo(src="/a"), n) for n in range(4, 9)))
        assert [answer.call_id for answer in talk.answers()] == [4, 5, 6, 7, 8]
        assert introductions.asked == asked + 1, "once for what came together"

    run(story)


def test_a_stranger_that_nobody_could_tell_is_heard_all_the_same() -> None:
    """Then the handler says what is wrong: it is not asked again for the same calls."""

    async def story(world: World) -> None:
        introductions = Introductions(world.server)
        introductions.answered.set()
        talk = world.connect()
        talk.call("getFileInfo", FileInfo(src="/missing"), 1)
        await turns()
        assert fault(talk.answers()[0])[1] == "/missing is not there"
        assert introductions.asked == 1

    run(story)


def test_a_stranger_that_does_not_read_either() -> None:
    async def story(world: World) -> None:
        introductions = Introductions(world.server)
        talk = world.connect()
        talk.call("getFileInfo", FileInfo(src="/a"), 1)
        talk.protocol.pause_writing()
        introductions.answered.set()
        await turns()
        assert talk.answers() == [], "it is known now, and its answers would find no room"
        introductions.known = True
        talk.protocol.resume_writing()
        assert [answer.call_id for answer in talk.answers()] == [1]
        assert talk.transport.log == ["pause", "resume"]

    run(story)


def test_a_stranger_that_goes_is_forgotten() -> None:
    async def story(world: World) -> None:
        introductions = Introductions(world.server)
        talk = world.connect()
        talk.call("getFileInfo", FileInfo(src="/a"), 1)
        talk.transport.abort()
        introductions.answered.set()
        await turns()
        assert world.namespace.calls == []

    run(story)


# -- errors

RUNTIME = "java.lang.RuntimeException"
UNSUPPORTED = "java.lang.UnsupportedOperationException"


@pytest.mark.parametrize(
    ("src", "java_class", "text"),
    [
        ("/missing", "java.io.FileNotFoundException", "/missing is not there"),
        ("/bug", RUNTIME, "KeyError: 'bug'"),
        ("/full", "java.io.IOException", "[Errno 28] No space left on device: '/data'"),
        ("/later", UNSUPPORTED, "symlinks (see docs/COVERAGE.md)"),
    ],
)
def test_errors_of_handlers(src: str, java_class: str, text: str) -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.call("getFileInfo", FileInfo(src=src), 1)
        talk.call("getFileInfo", FileInfo(src="/a"), 2)
        wrong, right = talk.answers()
        assert fault(wrong) == (java_class, text)
        assert right.fault is None

    run(story)


def test_a_bug_is_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        with logged(caplog, "in get_file_info"):
            talk.call("getFileInfo", FileInfo(src="/bug"), 1)

    run(story)


def test_an_answer_that_lacks_a_field_is_an_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        with logged(caplog, "can't be serialised"):
            talk.call("getFileInfo", FileInfo(src="/half"), 1)
        (answer,) = talk.answers()
        assert fault(answer)[0] == RUNTIME

    run(story)


def header(method: str, protocol: str = CLIENT_PROTOCOL, version: int = 1) -> bytes:
    from hdfsd.wire.messages import rpc_engine

    return delimited(
        rpc_engine.RequestHeaderProto(
            methodName=method,
            declaringClassProtocolName=protocol,
            clientProtocolVersion=version,
        ).SerializeToString()
    )


RPC_HEADER = delimited(b"\x08\x02\x10\x00\x18\x0a\x22\x10" + CLIENT_ID + b"\x28\x00")
INVALID_BUFFER = "org.apache.hadoop.thirdparty.protobuf.InvalidProtocolBufferException"


@pytest.mark.parametrize(
    ("body", "java_class", "text"),
    [
        (
            header("nope") + b"\x00",
            "org.apache.hadoop.ipc.RpcNoSuchMethodException",
            f"Unknown method nope called on {CLIENT_PROTOCOL} protocol.",
        ),
        (
            header("getFileInfo", "nope") + b"\x00",
            "org.apache.hadoop.ipc.RpcNoSuchProtocolException",
            "Unknown protocol: nope",
        ),
        (
            header("getServiceStatus", HA_SERVICE_PROTOCOL) + b"\x00",
            "org.apache.hadoop.ipc.RpcNoSuchProtocolException",
            f"Unknown protocol: {HA_SERVICE_PROTOCOL}",
        ),
        (
            header("getFileInfo", version=7) + b"\x00",
            "org.apache.hadoop.ipc.RPC$VersionMismatch",
            f"Protocol {CLIENT_PROTOCOL} version mismatch. (client = 7, server = 1)",
        ),
        (
            header("msync") + b"\x00",
            UNSUPPORTED,
            "msync is not built in hdfsd; see docs/COVERAGE.md",
        ),
        (header("getFileInfo") + b"\x00", INVALID_BUFFER, "Message missing required fields: src"),
        (header("getFileInfo"), INVALID_BUFFER, "the frame ends before the parameter of the call"),
        (header("getFileInfo") + b"\x09\x0a", INVALID_BUFFER, "the frame ends before"),
        (header("getFileInfo") + b"\x02\xff\xff", INVALID_BUFFER, "Wire format was corrupt"),
        (header("getFileInfo") + b"\x03\x0a\x01\xff", INVALID_BUFFER, "src is not UTF-8"),
        (b"", INVALID_BUFFER, "Message missing required fields: methodName"),
        (b"\x02\xff\xff\x00", INVALID_BUFFER, "RequestHeaderProto"),
    ],
)
def test_calls_that_reach_no_handler(body: bytes, java_class: str, text: str) -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.say(frame(RPC_HEADER + body))
        talk.call("getFileInfo", FileInfo(src="/a"), 6)
        wrong, right = talk.answers()
        assert wrong.call_id == 5
        assert fault(wrong)[0] == java_class
        assert text in fault(wrong)[1]
        assert right.fault is None

    run(story)


def test_a_request_cut_at_every_byte_is_answered_or_awaited() -> None:
    async def story(world: World) -> None:
        whole = RPC_HEADER + header("getFileInfo") + b"\x03\x0a\x01/"
        for length in range(len(RPC_HEADER), len(whole)):
            talk = world.connect()
            talk.say(frame(whole[:length]))
            (answer,) = talk.answers()
            assert fault(answer)[0] == INVALID_BUFFER
        talk = world.connect()
        talk.say(frame(whole))
        assert talk.answers()[0].fault is None

    run(story)


def test_a_fatal_error_closes_after_the_answers_before_it() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.say(talk.request("getFileInfo", FileInfo(src="/a"), 1) + frame())
        assert talk.transport.log == ["close"]
        answers = talk.client.receive(b"".join(talk.transport.writes))
        assert isinstance(answers[0], Response)
        assert len(answers) == 2

    run(story)


def test_the_gate_comes_before_the_handler() -> None:
    async def story(world: World) -> None:
        def closed(method: Method) -> None:
            assert method is METHODS["getFileInfo"]
            raise StandbyError("Operation category READ is not supported in state standby")

        world.server.gate = closed
        talk = world.connect()
        talk.call("getFileInfo", FileInfo(src="/a"), 1)
        assert fault(talk.answers()[0])[0] == "org.apache.hadoop.ipc.StandbyException"
        assert world.namespace.calls == []

    run(story)


def test_a_coordinated_call_waits_to_be_admitted_and_the_gate_is_asked_again() -> None:
    async def story(world: World) -> None:
        asked: list[int | None] = []
        doors: list[asyncio.Future[None]] = []

        def admit(call: Call) -> Awaitable[None] | None:
            asked.append(call.state_id)
            doors.append(asyncio.get_running_loop().create_future())
            return doors[-1] if len(asked) < 4 else None

        def closed(method: Method) -> None:
            raise StandbyError("not any more")

        world.server.admit = admit
        talk = world.connect()
        for n in range(3):
            talk.call("getFileInfo", FileInfo(src=f"/{n}"), n)
        talk.call("delete", Delete(src="/", recursive=True), 7)
        await turns()
        assert [call.call_id for call in world.namespace.parked] == [7], "it is not coordinated"
        assert (asked, world.namespace.calls) == ([None] * 3, [])
        doors[1].set_result(None)
        doors[2].set_exception(StandbyError("too far"))
        await turns()
        second, third = talk.answers()
        assert (second.call_id, second.fault) == (1, None)
        assert "too far" in fault(third)[1]
        world.server.gate = closed
        doors[0].set_result(None)
        await turns()
        assert "not any more" in fault(talk.answers()[0])[1]
        world.server.gate = None
        talk.call("getFileInfo", FileInfo(src="/"), 9)
        assert talk.answers()[0].call_id == 9, "who needs not wait is answered at once"

    run(story)


# -- answers that come later


def test_deferred_answers_released_together_are_one_write() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        for n in range(10):
            talk.call("delete", Delete(src="/", recursive=True), n)
        assert talk.transport.writes == []
        for call in reversed(world.namespace.parked):
            call.reply(client_namenode.DeleteResponseProto(result=True))
        await turns()
        assert len(talk.transport.writes) == 1
        assert [answer.call_id for answer in talk.answers()] == list(range(9, -1, -1))

    run(story)


def test_a_deferred_call_fails() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.call("delete", Delete(src="/", recursive=True), 3)
        world.namespace.parked[0].fail(StandbyError("moved"))
        await turns()
        assert fault(talk.answers()[0]) == ("org.apache.hadoop.ipc.StandbyException", "moved")

    run(story)


def test_an_answer_to_a_lost_connection_goes_nowhere() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.call("delete", Delete(src="/", recursive=True), 3)
        talk.protocol.connection_lost(None)
        world.namespace.parked[0].reply(client_namenode.DeleteResponseProto(result=True))
        await turns()
        assert talk.transport.writes == []
        assert world.server.connection_count == 0

    run(story)


def test_coroutines_answer_when_they_are_done() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        for n, src in enumerate(("/a", "/denied")):
            talk.call("mkdirs", Mkdirs(src=src, masked={"perm": 0o755}, createParent=True), n)
        await turns()
        assert talk.transport.writes == []
        world.namespace.may_go.set()
        await turns(5)
        first, second = talk.answers()
        assert first.fault is None
        assert fault(second)[0] == "org.apache.hadoop.ipc.StandbyException"

    run(story)


def test_stop_cancels_coroutines_and_aborts_connections() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.call("mkdirs", Mkdirs(src="/a", masked={"perm": 0o755}, createParent=True), 1)
        await turns()
        await world.server.stop()
        assert world.network.closed
        assert talk.transport.log == ["abort"]
        assert talk.transport.writes == []
        assert len(asyncio.all_tasks()) == 1

    run(story)


# -- back-pressure


def test_reading_stops_while_the_peer_does_not_read() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.protocol.pause_writing()
        talk.protocol.resume_writing()
        assert talk.transport.log == ["pause", "resume"]

    run(story)


def test_a_batch_waits_in_its_middle_for_a_slow_peer() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.transport.slow = True
        requests = [talk.request("getFileInfo", FileInfo(src="/a"), n) for n in range(10)]
        talk.say(b"".join(requests[:9]))
        assert len(world.namespace.calls) == 2  # 2 answers exceed 50 bytes
        assert talk.transport.log == ["pause"]
        talk.say(requests[9])
        assert len(world.namespace.calls) == 2
        for expected in (4, 6, 8, 10):
            talk.protocol.resume_writing()
            assert len(world.namespace.calls) == expected
        assert [answer.call_id for answer in talk.answers()] == list(range(10))

    run(story, limits=ServerLimits(output_bytes_max=50))


def test_reading_stops_at_too_many_unanswered_calls() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        for n in range(3):
            assert talk.transport.log == []
            talk.call("delete", Delete(src="/", recursive=True), n)
        assert talk.transport.log == ["pause"]
        world.namespace.parked[0].reply(client_namenode.DeleteResponseProto(result=True))
        assert talk.transport.log == ["pause", "resume"]

    run(story, limits=ServerLimits(unanswered_max=3))


# -- idleness


def test_idle_connections_are_closed_beyond_the_threshold() -> None:
    async def story(world: World) -> None:
        old, busy, fresh = world.connect(), world.connect(), world.connect()
        busy.call("delete", Delete(src="/", recursive=True), 1)
        world.clock.ms += 101
        fresh.call("getFileInfo", FileInfo(src="/a"), 1)
        world.server._close_idle()
        assert old.transport.log == ["close"]
        assert busy.transport.log == fresh.transport.log == []

    run(story, limits=ServerLimits(idle_ms=100, idle_connections_min=2))


def test_few_connections_are_left_alone() -> None:
    async def story(world: World) -> None:
        old = world.connect()
        world.clock.ms += 10**6
        world.server._close_idle()
        assert old.transport.log == []

    run(story, limits=ServerLimits(idle_ms=100, idle_connections_min=2))


# -- broken invariants


def test_a_broken_invariant_stops_the_server_without_an_answer() -> None:
    told: list[InvariantBroken] = []

    async def story(world: World) -> None:
        running = asyncio.ensure_future(world.server.run())
        talk, other = world.connect(), world.connect()
        talk.call("getFileInfo", FileInfo(src="/broken"), 1)
        assert talk.transport.writes == []
        assert talk.transport.log == other.transport.log == ["abort"]
        assert [str(error) for error in told] == ["P1: lost"]
        with pytest.raises(InvariantBroken, match="P1: lost"):
            await running
        late = world.connect()
        assert late.transport.log == ["abort"]

    run(story, on_broken=told.append)


# -- several protocols


def test_handlers_of_an_object() -> None:
    class Two:
        def get_service_status(self, request: Any, call: Call) -> Message:
            return ha_service.GetServiceStatusResponseProto(state=0)  # type: ignore[arg-type]

        def not_a_method(self) -> None: ...

    assert list(handlers_of(HA_SERVICE_PROTOCOL, Two())) == ["getServiceStatus"]
    assert set(handlers_of(CLIENT_PROTOCOL, Namespace())) == {"getFileInfo", "delete", "mkdirs"}


def test_every_server_answers_protocol_meta_info() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        method = PROTOCOLS[PROTOCOL_META_INFO].methods["getProtocolSignature"]
        request = protocol_info.GetProtocolSignatureRequestProto(
            protocol="org.apache.hadoop.hdfs.protocolPB.ClientNamenodeProtocolPB",
            rpcKind="RPC_PROTOCOL_BUFFER",
        )
        talk.say(talk.client.request(method, request.SerializeToString(), call_id=1))
        (answer,) = talk.answers()
        response = protocol_info.GetProtocolSignatureResponseProto.FromString(answer.payload)
        assert len(response.protocolSignature[0].methods) == 111

    run(story)


def test_invented_headers_are_not_remembered_for_ever() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        for n in range(20):
            extra = b"\x50" + bytes((n,))  # a field nobody knows
            body, rest = header("getFileInfo")[1:], b"\x03\x0a\x01/"
            talk.say(frame(RPC_HEADER + delimited(body + extra) + rest))
        assert all(answer.fault is None for answer in talk.answers())
        assert len(world.server._routes) == 8

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hdfsd.rpc.server.ROUTES_MAX", 8)
        run(story)


def test_an_address_that_can_t_be_had() -> None:
    class Taken(OneAddress):
        async def listen(self, address: Address, factory: Any) -> OneAddress:
            raise ConfigError(f"can't listen on {address}: Address already in use")

    async def whole() -> None:
        server = RpcServer({}, clock=ManualClock())
        with pytest.raises(ConfigError, match="in use"):
            await server.start(Taken(), Address("127.0.0.1", 1))
        await server.stop()

    asyncio.run(whole())


def test_unknown_faults_keep_their_class() -> None:
    async def story(world: World) -> None:
        talk = world.connect()
        talk.call("delete", Delete(src="/", recursive=True), 1)
        world.namespace.parked[0].fail(RemoteFault("odd", "com.example.Odd"))
        await turns()
        assert fault(talk.answers()[0]) == ("com.example.Odd", "odd")

    run(story)


def test_hangup_is_not_an_answer() -> None:
    assert ClientConnection(CLIENT_ID).receive(b"\xff\xff\xff\xff") == [
        Hangup("frame length -1 is not within 0..134217728")
    ]
