"""The client against the real server over a link in memory, and against a hand that breaks it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hdfsd.base.errors import (
    ConnectFailed,
    DeadlineExceeded,
    FileNotFound,
    OutcomeUnknown,
    PeerError,
    RpcVersionMismatch,
)
from hdfsd.base.ids import Address
from hdfsd.rpc.client import ClientLimits, RpcClient
from hdfsd.rpc.connection import (
    Caller,
    Output,
    Request,
    ServerConnection,
    failure_frame,
    success_frame,
)
from hdfsd.wire.messages import Message, client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL

ADDRESS = Address("nn1.example", 8020)
FileInfo = client_namenode.GetFileInfoRequestProto
EMPTY = client_namenode.GetFileInfoResponseProto()


class FixedDice:
    def token(self, count: int) -> bytes:
        return b"t" * count


class Peer:
    """The server's end of one connection, played by the test."""

    def __init__(self, client_protocol: asyncio.Protocol) -> None:
        self.protocol = client_protocol
        self.core = ServerConnection("127.0.0.1")
        self.requests: list[Request] = []
        self.reads = 0
        self.closed = False

    # the transport of the client's end

    def write(self, data: bytes) -> None:
        self.reads += 1
        for event in self.core.receive(data):
            if isinstance(event, Request):
                self.requests.append(event)
            elif isinstance(event, Output):
                self.say(event.data)

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.lose(None)

    # what the test does

    def say(self, data: bytes) -> None:
        if not self.closed:
            self.protocol.data_received(data)

    def answer(
        self, request: Request, message: Message = EMPTY, state_id: int | None = None
    ) -> None:
        tail = self.core.reply_tail(request.client_id, request.retry_count)
        self.say(success_frame(request.call_id, tail, message.SerializeToString(), state_id))

    def lose(self, error: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)


class PlayedNetwork:
    """Makes peers; `refuse` and `hang` say what becomes of the next connections."""

    def __init__(self) -> None:
        self.peers: list[Peer] = []
        self.refuse = False
        self.hang = False
        self.asked: list[Address] = []

    async def listen(self, address: Address, factory: Any) -> Any:
        raise AssertionError("a client listens to nobody")

    async def connect(
        self, address: Address, factory: Callable[[], Any], *, deadline_ms: int
    ) -> Any:
        self.asked.append(address)
        await asyncio.sleep(0)
        if self.hang:
            await asyncio.sleep(deadline_ms / 1000)
            raise ConnectFailed(f"{address}: no connection in {deadline_ms} ms")
        if self.refuse:
            raise ConnectFailed(f"{address}: Connection refused")
        protocol = factory()
        self.peers.append(Peer(protocol))
        protocol.connection_made(self.peers[-1])
        return protocol


class World:
    def __init__(self, **options: Any) -> None:
        self.network = PlayedNetwork()
        self.client = RpcClient(
            self.network,
            ADDRESS,
            CLIENT_PROTOCOL,
            user="alice",
            dice=FixedDice(),  # type: ignore[arg-type]
            **options,
        )

    @property
    def peer(self) -> Peer:
        return self.network.peers[-1]

    def send(self, src: str, deadline_ms: int = 60_000, **more: Any) -> asyncio.Future[Any]:
        return self.client.send("getFileInfo", FileInfo(src=src), deadline_ms=deadline_ms, **more)


def run(story: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def whole() -> None:
        world = World(**options)
        try:
            await story(world)
        finally:
            await world.client.close()

    asyncio.run(whole())


async def turns(count: int = 4) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def sources(requests: list[Request]) -> list[str]:
    return [FileInfo.FromString(request.parameter or b"").src for request in requests]


def test_a_burst_leaves_in_order_as_one_write_after_the_opening() -> None:
    async def story(world: World) -> None:
        calls = [world.send(f"/{n}") for n in range(20)]
        await turns()
        assert world.peer.core.caller == Caller("alice", None, "127.0.0.1")
        assert sources(world.peer.requests) == [f"/{n}" for n in range(20)]
        assert world.peer.reads == 2
        assert [r.call_id for r in world.peer.requests] == list(range(20))
        assert {r.client_id for r in world.peer.requests} == {b"t" * 16}
        for request in reversed(world.peer.requests):
            world.peer.answer(request)
        assert await asyncio.gather(*calls) == [EMPTY] * 20

    run(story)


def test_a_proxy_user() -> None:
    async def story(world: World) -> None:
        await world.client.connect(deadline_ms=1000)
        assert world.peer.core.caller == Caller("alice", "hue", "127.0.0.1")
        assert world.client.connected

    run(story, real_user="hue")


def test_a_fault_is_raised_as_its_class() -> None:
    async def story(world: World) -> None:
        call = world.send("/a")
        await turns()
        world.peer.say(failure_frame(0, b"", 0, FileNotFound("gone\n\tat x.y(Z.java:1)")))
        with pytest.raises(FileNotFound) as caught:
            await call
        assert caught.value.message == "gone"

    run(story)


def test_a_repeated_call_keeps_its_ids() -> None:
    async def story(world: World) -> None:
        call_id = world.client.next_call_id()
        call = world.send("/a", call_id=call_id, retry_count=3)
        await turns()
        (request,) = world.peer.requests
        assert (request.call_id, request.retry_count, request.client_id) == (
            0,
            3,
            b"shared-client-id",
        )
        world.peer.answer(request)
        await call
        assert world.client.next_call_id() == 1

    run(story, client_id=b"shared-client-id")


def test_the_highest_state_id_is_sent_back() -> None:
    async def story(world: World) -> None:
        for state_id, expected in ((None, None), (50, None), (40, 50), (None, 50)):
            call = world.send("/a")
            await turns()
            request = world.peer.requests[-1]
            assert request.state_id == expected
            world.peer.answer(request, state_id=state_id)
            await call
        assert world.client.state_id == 50

    run(story)


# -- links that fail


def test_refused_before_anything_was_sent() -> None:
    async def story(world: World) -> None:
        world.network.refuse = True
        calls = [world.send("/a"), world.send("/b")]
        for call in calls:
            with pytest.raises(ConnectFailed, match="refused"):
                await call
        with pytest.raises(ConnectFailed, match="refused"):
            await world.client.connect(deadline_ms=1000)
        assert not world.client.connected

    run(story)


def test_lost_after_sending() -> None:
    async def story(world: World) -> None:
        sent = world.send("/a")
        await turns()
        unsent = world.send("/b")  # not flushed yet when the link goes
        world.peer.lose(OSError(104, "Connection reset by peer"))
        world.peer.protocol.connection_lost(OSError(104, "Connection reset by peer"))
        with pytest.raises(OutcomeUnknown, match="reset by peer") as caught:
            await sent
        assert not isinstance(caught.value, DeadlineExceeded)
        with pytest.raises(ConnectFailed):
            await unsent

    run(story)


def test_the_next_call_reconnects_with_the_same_client_id() -> None:
    async def story(world: World) -> None:
        first = world.send("/a")
        await turns()
        world.peer.lose(None)
        with pytest.raises(OutcomeUnknown, match="the server closed the connection"):
            await first
        second = world.send("/b")
        await turns()
        assert len(world.network.peers) == 2
        (request,) = world.peer.requests
        assert (request.call_id, request.client_id) == (1, b"t" * 16)
        world.peer.answer(request)
        await second

    run(story)


def test_no_answer_in_time_says_that_it_may_have_happened() -> None:
    async def story(world: World) -> None:
        call = world.send("/a", deadline_ms=200)
        await turns()
        (request,) = world.peer.requests
        with pytest.raises(DeadlineExceeded, match=r"getFileInfo to nn1\.example:8020: no answer"):
            await call
        world.peer.answer(request)  # too late: nobody is disturbed

    run(story)


def test_a_connection_that_stayed_silent_until_a_deadline_is_given_up() -> None:
    """TCP alone would send again for minutes to a machine that lost its power."""

    async def story(world: World) -> None:
        with pytest.raises(DeadlineExceeded):
            await world.send("/a", deadline_ms=20)
        assert not world.client.connected
        second = world.send("/b")
        await turns()
        assert len(world.network.peers) == 2
        world.peer.answer(world.peer.requests[-1])
        assert await second == EMPTY

    run(story)


def test_a_connection_is_kept_while_others_wait_or_are_answered_on_it() -> None:
    async def story(world: World) -> None:
        slow, patient = world.send("/slow", deadline_ms=20), world.send("/patient")
        with pytest.raises(DeadlineExceeded):
            await slow
        world.peer.answer(world.peer.requests[1])
        assert await patient == EMPTY
        slow, quick = world.send("/slow", deadline_ms=20), world.send("/quick")
        await turns()
        world.peer.answer(world.peer.requests[3])
        assert await quick == EMPTY
        with pytest.raises(DeadlineExceeded):
            await slow
        assert world.client.connected
        assert len(world.network.peers) == 1

    run(story)


def test_a_pause_of_this_process_is_not_taken_from_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGSTOP: when it goes on, deadlines have passed, and answers wait in the socket."""

    async def story(world: World) -> None:
        loop, slept_s = asyncio.get_running_loop(), 0.0
        time = loop.time
        monkeypatch.setattr(loop, "time", lambda: time() + slept_s)
        call, other = (world.send(path, deadline_ms=10_000) for path in ("/a", "/b"))
        await turns()
        slept_s = 60.0
        await turns()
        world.peer.answer(world.peer.requests[0])
        assert await call == EMPTY
        assert not other.done()
        # It has its whole time again, and no more.
        slept_s += 10.0
        with pytest.raises(DeadlineExceeded):
            await other

    run(story)


def test_no_connection_in_time_says_that_nothing_was_sent() -> None:
    async def story(world: World) -> None:
        world.network.hang = True
        with pytest.raises(ConnectFailed):
            await world.send("/a", deadline_ms=1)
        with pytest.raises(ConnectFailed, match="no connection in 1 ms"):
            await world.client.connect(deadline_ms=1)

    run(story)


def test_a_cancelled_caller_disturbs_nobody() -> None:
    async def story(world: World) -> None:
        first, second = world.send("/a"), world.send("/b")
        await turns()
        first.cancel()
        for request in world.peer.requests:
            world.peer.answer(request)
        assert await second == EMPTY

    run(story)


def test_a_fatal_answer_fails_every_call_with_its_fault() -> None:
    async def story(world: World) -> None:
        calls = [world.send("/a"), world.send("/b")]
        await turns()
        refusal = ServerConnection("").receive(b"hrpc\x0a\x00\x00")[0]
        assert isinstance(refusal, Output)
        world.peer.say(refusal.data)
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in errors] == [RpcVersionMismatch, RpcVersionMismatch]
        assert errors[0] is not errors[1]
        assert world.peer.closed

    run(story)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"\xff\xff", "can't be read"),
        (b"\x0a\x00", "missing required fields: fs.fileType"),
    ],
)
def test_an_answer_that_is_not_one(payload: bytes, text: str) -> None:
    async def story(world: World) -> None:
        call = world.send("/a")
        await turns()
        tail = world.peer.core.reply_tail(b"", 0)
        world.peer.say(success_frame(0, tail, payload))
        with pytest.raises(PeerError, match=text):
            await call
        assert world.client.connected

    run(story)


def test_garbage_from_the_server_ends_the_link() -> None:
    async def story(world: World) -> None:
        call = world.send("/a")
        await turns()
        world.peer.say(b"\x7f\xff\xff\xff")
        with pytest.raises(OutcomeUnknown, match="frame length 2147483647"):
            await call
        await turns()
        assert not world.client.connected

    run(story)


def test_lost_returns_when_the_connection_ends() -> None:
    async def story(world: World) -> None:
        await world.client.lost()  # there is none: at once
        await world.client.connect(deadline_ms=1000)
        waiting = asyncio.ensure_future(world.client.lost())
        await turns()
        assert not waiting.done()
        world.peer.lose(None)
        await asyncio.wait_for(waiting, 5)

    run(story)


def test_a_closed_client_fails_what_it_has_and_what_comes() -> None:
    async def story(world: World) -> None:
        sent = world.send("/a")
        await turns()
        await world.client.close()
        with pytest.raises(OutcomeUnknown, match="the client was closed"):
            await sent
        with pytest.raises(ConnectFailed, match="closed"):
            world.send("/b")
        with pytest.raises(ConnectFailed, match="closed"):
            await world.client.connect(deadline_ms=1)
        assert world.peer.closed

    run(story)


def test_closing_while_connecting() -> None:
    async def story(world: World) -> None:
        world.network.hang = True
        call = world.send("/a")
        await turns()
        await world.client.close()
        with pytest.raises(ConnectFailed, match="the client was closed"):
            await call
        assert len(asyncio.all_tasks()) == 1

    run(story)


def test_a_call_id_in_use_is_refused() -> None:
    async def story(world: World) -> None:
        call = world.send("/a", call_id=5)
        with pytest.raises(ValueError, match="call id 5 is in use"):
            world.send("/b", call_id=5)
        await turns()
        world.peer.answer(world.peer.requests[0])
        await call

    run(story)


def test_pings_go_out_only_while_answers_are_awaited() -> None:
    async def story(world: World) -> None:
        await world.client.connect(deadline_ms=1000)
        link = world.peer.protocol
        reads = world.peer.reads
        link._ping()  # type: ignore[attr-defined]
        assert world.peer.reads == reads
        call = world.send("/a")
        await turns()
        link._ping()  # type: ignore[attr-defined]
        assert world.peer.reads == reads + 2
        world.peer.answer(world.peer.requests[0])
        await call

    run(story, limits=ClientLimits(ping_ms=60_000))


def test_call_ids_wrap_at_31_bits() -> None:
    async def story(world: World) -> None:
        world.client._last_call_id = 2**31 - 2
        assert [world.client.next_call_id() for _ in range(2)] == [2**31 - 1, 0]

    run(story)
