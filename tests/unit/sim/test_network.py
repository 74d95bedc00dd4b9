"""The simulated network against what ports.network promises, and the faults one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from hdfsd.base.errors import ConfigError, ConnectFailed
from hdfsd.base.ids import Address
from hdfsd.ports.network import Network
from hdfsd.sim.network import NetworkFaults, SimListener
from hdfsd.sim.world import Machine, Process, World

SERVER = Address("server", 9000)
SEEDS = [str(seed) for seed in range(12)]


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.received = bytearray()
        self.pieces = 0
        self.log: list[str] = []
        self.lost: asyncio.Future[Exception | None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.log.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.pieces += 1

    def pause_writing(self) -> None:
        self.log.append("pause")

    def resume_writing(self) -> None:
        self.log.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.log.append("lost")
        self.lost.set_result(exc)


class Pair:
    """Two machines, each with a process that does nothing of itself, and a connection."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.server, self.client = world.add_machine("server"), world.add_machine("client")
        self.server_process = self.server.start("server", _wait)
        self.client_process = self.client.start("client", _wait)
        self.accepted: list[Recorder] = []
        self.listener: SimListener

    def accept(self) -> Recorder:
        self.accepted.append(Recorder())
        return self.accepted[-1]

    async def join(self) -> tuple[Recorder, Recorder]:
        """(near, far): near is the client's end."""
        self.listener = await self.server_process.network.listen(SERVER, self.accept)
        near = await self.connect()
        await asyncio.sleep(0.1)
        return near, self.accepted[-1]

    async def connect(self, deadline_ms: int = 5000) -> Recorder:
        return await self.client_process.network.connect(SERVER, Recorder, deadline_ms=deadline_ms)


async def _wait(process: Process) -> None:
    await asyncio.get_running_loop().create_future()


def play(
    story: Callable[[Pair], Coroutine[Any, Any, Any]], seed: str = "1", **faults: Any
) -> tuple[str, Any]:
    world = World(seed, network_faults=NetworkFaults(**faults))
    result = world.run(story(Pair(world)))
    return world.digest(), result


def test_it_is_a_network() -> None:
    async def story(pair: Pair) -> None:
        machine: Machine = pair.world.add_machine("m")
        network: Network = machine.start("p", _wait).network
        assert network is not None

    play(story)


@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_arrive_in_order_however_they_are_cut(seed: str) -> None:
    sent = [bytes((n % 256,)) * (n * 7 % 90) for n in range(200)]

    async def story(pair: Pair) -> int:
        near, far = await pair.join()
        for chunk in sent:
            near.transport.write(chunk)
            await asyncio.sleep(0.0001)
        await asyncio.sleep(1)
        assert bytes(far.received) == b"".join(sent)
        assert near.transport.get_extra_info("peername") == ("10.0.0.1", 9000)
        assert far.transport.get_extra_info("peername")[0] == "10.0.0.2"
        return far.pieces

    _, pieces = play(story, seed, split_chance=0.5)
    assert 1 < pieces < 400


def test_same_seed_same_digest() -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        for n in range(50):
            (near if n % 3 else far).transport.write(bytes(n))
            await asyncio.sleep(0.001)

    assert play(story, "7")[0] == play(story, "7")[0]
    assert play(story, "7")[0] != play(story, "8")[0]


def test_close_ends_both_sides_after_the_last_byte() -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        near.transport.write(b"x" * 1000)
        near.transport.close()
        assert near.transport.is_closing()
        near.transport.write(b"too late")
        assert await near.lost is None
        assert await far.lost is None
        assert len(far.received) == 1000

    play(story)


@pytest.mark.parametrize("seed", SEEDS)
def test_abort_ends_both_sides_at_once(seed: str) -> None:
    async def story(pair: Pair) -> int:
        near, far = await pair.join()
        near.transport.write(b"x" * 1000)
        near.transport.abort()
        assert await near.lost is None
        error = await far.lost
        assert error is None or isinstance(error, ConnectionResetError)
        return len(far.received)

    assert play(story, seed, split_chance=0.0)[1] in (0, 1000)


def test_data_for_a_closed_end_is_answered_with_a_reset() -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        far.transport.pause_reading()  # it will not see the end that comes
        near.transport.close()
        await asyncio.sleep(1)
        far.transport.write(b"hello?")
        await asyncio.sleep(1)
        far.transport.resume_reading()
        assert isinstance(await far.lost, ConnectionResetError)

    play(story)


def test_half_closing() -> None:
    class Half(Recorder):
        def eof_received(self) -> bool:
            self.log.append("eof")
            return True

    async def story(pair: Pair) -> None:
        pair.accept = lambda: pair.accepted.append(Half()) or pair.accepted[-1]  # type: ignore[func-returns-value,method-assign]
        near, far = await pair.join()
        assert near.transport.can_write_eof()
        near.transport.write(b"question")
        near.transport.write_eof()
        await asyncio.sleep(1)
        assert far.log == ["made", "eof"]
        far.transport.write(b"answer")
        far.transport.close()
        await near.lost
        assert (bytes(far.received), bytes(near.received)) == (b"question", b"answer")

    play(story)


def test_connecting_to_nobody() -> None:
    async def story(pair: Pair) -> None:
        network = pair.client_process.network
        with pytest.raises(ConnectFailed, match="server:9000: Connection refused"):
            await pair.connect()
        with pytest.raises(ConnectFailed, match="not known"):
            await network.connect(Address("nobody", 1), Recorder, deadline_ms=1000)

    play(story)


def test_listening_where_one_can_t() -> None:
    async def story(pair: Pair) -> None:
        network = pair.server_process.network
        await network.listen(SERVER, Recorder)
        with pytest.raises(ConfigError, match="in use"):
            await network.listen(Address("0.0.0.0", 9000), Recorder)
        with pytest.raises(ConfigError, match="not an address of server"):
            await network.listen(Address("client", 9000), Recorder)
        free = await network.listen(Address("10.0.0.1", 0), Recorder)
        assert free.address.port >= 32768

    play(story)


def test_closing_a_listener_ends_what_it_accepted_and_frees_the_port() -> None:
    async def story(pair: Pair) -> None:
        near, _ = await pair.join()
        await pair.listener.close()
        await near.lost
        with pytest.raises(ConnectFailed, match="refused"):
            await pair.connect()
        await pair.join()

    play(story)


def test_a_slow_reader_pauses_the_writer() -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        far.transport.pause_reading()
        assert not far.transport.is_reading()
        near.transport.write(b"x" * 100_000)
        await asyncio.sleep(1)
        assert near.log == ["made", "pause"]
        assert near.transport.get_write_buffer_size() == 100_000
        far.transport.resume_reading()
        await asyncio.sleep(1)
        assert near.log == ["made", "pause", "resume"]
        assert len(far.received) == 100_000

    play(story)


def test_buffered_protocols_get_their_bytes() -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(7)
            self.received = bytearray()

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.received += self.buffer[:nbytes]

    async def story(pair: Pair) -> None:
        _, far = await pair.join()
        near = await pair.client_process.network.connect(SERVER, Buffered, deadline_ms=1000)
        await asyncio.sleep(1)
        pair.accepted[-1].transport.write(bytes(range(100)))
        await asyncio.sleep(1)
        assert near.received == bytes(range(100))
        assert far.pieces == 0

    play(story)


# -- cuts


def test_bytes_wait_for_a_short_cut_to_end() -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        fabric = pair.world.fabric
        fabric.cut(pair.client.host, pair.server.host)
        near.transport.write(b"patience")
        far.transport.write(b"this way is open")
        await asyncio.sleep(5)
        assert not far.received
        assert near.received == b"this way is open"
        fabric.mend(pair.client.host, pair.server.host)
        await asyncio.sleep(1)
        assert far.received == b"patience"
        await asyncio.sleep(60)
        assert (near.log, far.log) == (["made"], ["made"])

    play(story)


def test_a_long_cut_loses_the_connection_at_both_ends() -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        start_s = pair.world.loop.time()
        pair.world.fabric.partition([pair.client.host], [pair.server.host])
        near.transport.write(b"lost")
        assert isinstance(await near.lost, TimeoutError)
        assert isinstance(await far.lost, TimeoutError)
        assert 10 <= pair.world.loop.time() - start_s < 10.1
        pair.world.fabric.heal()
        await asyncio.sleep(1)
        assert not far.received
        await pair.connect()

    play(story, give_up_ms=10_000)


def test_a_cut_that_was_mended_in_time_and_came_again_starts_anew() -> None:
    async def story(pair: Pair) -> None:
        near, _ = await pair.join()
        fabric, ends = pair.world.fabric, (pair.client.host, pair.server.host)
        fabric.cut(*ends)
        await asyncio.sleep(8)
        fabric.mend(*ends)
        await asyncio.sleep(1)
        fabric.cut(*ends)
        await asyncio.sleep(8)
        assert near.log == ["made"]
        fabric.heal()
        await asyncio.sleep(60)
        assert near.log == ["made"]

    play(story, give_up_ms=10_000)


def test_connecting_through_a_cut_waits_until_it_ends_or_is_late() -> None:
    async def story(pair: Pair) -> None:
        await pair.join()
        fabric = pair.world.fabric
        fabric.cut(pair.server.host, pair.client.host)  # the answer can't come back
        with pytest.raises(ConnectFailed, match="no connection in 500 ms"):
            await pair.connect(deadline_ms=500)
        connecting = asyncio.ensure_future(pair.connect())
        await asyncio.sleep(1)
        assert not connecting.done()
        fabric.heal()
        await connecting

    play(story)


@pytest.mark.parametrize("seed", SEEDS)
def test_connections_are_reset_by_themselves_when_asked_for(seed: str) -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        for end in (near, far):
            assert isinstance(await end.lost, ConnectionResetError)
        assert pair.world.loop.time() < 21

    play(story, seed, reset_mean_ms=10_000)


@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_that_may_not_arrive_reset_even_what_one_end_has_closed(seed: str) -> None:
    asked: list[tuple[str, str]] = []

    def may_arrive(sender: str, receiver: str) -> bool:
        asked.append((sender, receiver))
        return len(asked) > 1

    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        pair.world.fabric.on_arrival = may_arrive
        for piece in (b"head", b"body", b"end"):
            far.transport.write(piece)
        far.transport.close()
        assert isinstance(await near.lost, ConnectionResetError)
        assert near.received == b""
        assert asked == [("server", "client")]

    play(story, seed)


# -- processes and machines


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_process_closes_its_connections(seed: str) -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        far.transport.write(b"last words")
        pair.server_process.kill()
        error = await near.lost
        assert error is None or isinstance(error, ConnectionResetError)
        assert far.log == ["made"]
        with pytest.raises(ConnectFailed, match="refused"):
            await pair.connect()
        pair.server_process = pair.server.start("server", _wait)
        await pair.join()

    play(story, seed)


def test_a_machine_without_power_falls_silent() -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        pair.server.power_off()
        near.transport.write(b"anybody?")
        with pytest.raises(ConnectFailed, match="no connection in 1000 ms"):
            await pair.connect(deadline_ms=1000)
        assert near.log == ["made"]
        assert isinstance(await near.lost, TimeoutError)
        assert far.log == ["made"]

    play(story)


def test_a_machine_that_came_back_resets_what_it_has_forgotten() -> None:
    async def story(pair: Pair) -> None:
        talking, _ = await pair.join()
        silent = await pair.connect()
        pair.server.power_off()
        await asyncio.sleep(1)
        pair.server.power_on()
        with pytest.raises(ConnectFailed, match="refused"):
            await pair.connect()
        talking.transport.write(b"as I was saying")
        await asyncio.sleep(1)
        assert isinstance(talking.lost.result(), ConnectionResetError)
        assert silent.log == ["made"]
        assert isinstance(await silent.lost, ConnectionResetError)  # by a keep-alive

    play(story)


def test_a_reset_that_was_lost_with_the_power_is_said_again() -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        fabric, server, client = pair.world.fabric, pair.server.host, pair.client.host
        fabric.cut(server, client)
        far.transport.close()
        near.transport.write(b"anybody?")
        await asyncio.sleep(1)  # The reset waits for the path to open.
        pair.server.power_off()
        await asyncio.sleep(1)
        pair.server.power_on()
        fabric.mend(server, client)
        await asyncio.sleep(1)
        assert near.log == ["made"]
        near.transport.write(b"still nobody?")
        await asyncio.sleep(1)
        assert isinstance(near.lost.result(), ConnectionResetError)

    play(story)


def test_a_paused_process_accepts_and_answers_later() -> None:
    async def story(pair: Pair) -> None:
        near, far = await pair.join()
        pair.server_process.pause()
        near.transport.write(b"take your time")
        late = await pair.connect()
        late.transport.write(b"me too")
        await asyncio.sleep(10)
        assert not far.received
        assert len(pair.accepted) == 1
        pair.server_process.resume()
        await asyncio.sleep(0.1)
        assert far.received == b"take your time"
        assert pair.accepted[1].received == b"me too"

    play(story)


def test_a_protocol_that_raises_loses_its_connection_and_the_world_hears_of_it() -> None:
    class Clumsy(Recorder):
        def data_received(self, data: bytes) -> None:
            raise KeyError("clumsy")

    async def story(pair: Pair) -> None:
        await pair.server_process.network.listen(SERVER, Clumsy)
        near = await pair.connect()
        near.transport.write(b"x")
        await asyncio.sleep(1)
        assert [type(error) for error in pair.world.loop.errors] == [KeyError]
        pair.world.loop.errors.clear()

    play(story)
