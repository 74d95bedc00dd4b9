"""TCP on loopback: what ports.network promises."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import Any, cast

import pytest
import uvloop

from hdfsd.base.errors import ConfigError, ConnectFailed
from hdfsd.base.ids import Address
from hdfsd.io.network import TcpNetwork

LOOPBACK = Address("127.0.0.1", 0)


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.received = b""
        self.made: asyncio.Future[asyncio.Transport] = loop.create_future()
        self.lost: asyncio.Future[Exception | None] = loop.create_future()
        self.arrived = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made.set_result(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Any:
    def runner(story: Any) -> None:
        with asyncio.Runner(loop_factory=request.param) as loop:
            loop.run(asyncio.wait_for(story, 20))

    return runner


async def pair(network: TcpNetwork) -> tuple[Any, Recorder, Recorder]:
    """A listener and the two ends of one connection to it."""
    accepted: asyncio.Queue[Recorder] = asyncio.Queue()

    def accept() -> Recorder:
        accepted.put_nowait(recorder := Recorder())
        return recorder

    listener = await network.listen(LOOPBACK, accept)
    near = await network.connect(listener.address, Recorder, deadline_ms=5000)
    far = await accepted.get()
    await far.made
    return listener, near, far


def test_bytes_go_both_ways(run: Any) -> None:
    async def story() -> None:
        listener, near, far = await pair(TcpNetwork())
        (await near.made).write(b"hello")
        await far.arrived.wait()
        (await far.made).write(b"good day")
        await near.arrived.wait()
        assert (far.received, near.received) == (b"hello", b"good day")
        (await near.made).close()
        assert await far.lost is None
        await listener.close()

    run(story())


def test_both_ends_send_at_once_and_notice_the_dead(run: Any) -> None:
    async def story() -> None:
        listener, near, far = await pair(TcpNetwork())
        for end in (near, far):
            connected = (await end.made).get_extra_info("socket")
            for level, option in (
                (socket.IPPROTO_TCP, socket.TCP_NODELAY),
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            ):
                assert connected.getsockopt(level, option) != 0
        await listener.close()
        await near.lost

    run(story())


def test_close_stops_accepting_and_aborts_what_was_accepted(run: Any) -> None:
    async def story() -> None:
        network = TcpNetwork()
        listener, near, far = await pair(network)
        await listener.close()
        await near.lost
        await far.lost
        with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1:\d+: "):
            await network.connect(listener.address, Recorder, deadline_ms=5000)

    run(story())


def test_an_address_in_use_is_named(run: Any) -> None:
    async def story() -> None:
        network = TcpNetwork()
        listener = await network.listen(LOOPBACK, Recorder)
        assert listener.address.port > 0
        with pytest.raises(ConfigError, match=f"{listener.address}: .*in use"):
            await network.listen(listener.address, Recorder)
        await listener.close()
        again = await network.listen(listener.address, Recorder)  # at once (SO_REUSEADDR)
        await again.close()

    run(story())


def test_an_address_that_is_not_ours() -> None:
    async def story() -> None:
        with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
            await TcpNetwork().listen(Address("192.0.2.1", 0), Recorder)

    asyncio.run(story())


def test_a_name_that_does_not_exist(run: Any) -> None:
    async def story() -> None:
        network = TcpNetwork()
        with pytest.raises(ConnectFailed, match="nowhere"):
            await network.connect(Address("nowhere.invalid", 1), Recorder, deadline_ms=5000)
        with pytest.raises(ConfigError, match="nowhere"):
            await network.listen(Address("nowhere.invalid", 1), Recorder)

    run(story())


def test_a_connection_that_is_late(run: Any) -> None:
    async def story() -> None:
        # A listener that accepts nobody: its queue fills, and then connecting waits.
        full = socket.socket()
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        try:
            with pytest.raises(ConnectFailed, match="no connection in 50 ms"):
                await TcpNetwork().connect(Address(*full.getsockname()), Recorder, deadline_ms=50)
        finally:
            for one in (full, *waiting):
                one.close()

    run(story())


def test_an_accepted_peer_that_has_gone_already_disturbs_nobody(run: Any) -> None:
    async def story() -> None:
        listener, near, far = await pair(TcpNetwork())
        for _ in range(20):
            with socket.create_connection((listener.address.host, listener.address.port)) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        (await near.made).write(b"still here")
        await far.arrived.wait()
        await listener.close()
        await near.lost

    run(story())


@pytest.mark.parametrize("turns", range(6))
def test_whoever_connects_just_before_the_end_is_hung_up_on(run: Any, turns: int) -> None:
    """At whatever moment: accepted or not, no socket is left open."""

    async def story() -> None:
        listener = await TcpNetwork().listen(LOOPBACK, Recorder)
        peer = socket.create_connection(("127.0.0.1", listener.address.port))
        peer.settimeout(5)
        for _ in range(turns):
            await asyncio.sleep(0)
        await listener.close()
        await listener.close()
        await asyncio.sleep(0.01)
        with peer:
            try:
                assert await asyncio.to_thread(peer.recv, 1) == b""
            except ConnectionResetError:
                pass
        gc.collect()

    run(story())
