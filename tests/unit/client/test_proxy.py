"""The proxy against real servers of ours that play the NameNodes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hdfsd.base.errors import (
    AccessControl,
    ConnectFailed,
    FileNotFound,
    OutcomeUnknown,
    RetriableError,
    StandbyError,
)
from hdfsd.base.ids import Address
from hdfsd.client.proxy import NameNodeProxy
from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.rpc.retry import Backoff
from hdfsd.rpc.server import Call, RpcServer
from hdfsd.wire.messages import client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL

HOST = "127.0.0.1"
FileInfo = client_namenode.GetFileInfoRequestProto(src="/f")
Delete = client_namenode.DeleteRequestProto(src="/f", recursive=False)


class NameNode:
    """Answers calls, or raises what it was told to, once for each entry of `faults`."""

    def __init__(self) -> None:
        self.faults: list[Exception] = []
        self.standby = False
        self.stuck: asyncio.Event | None = None
        """Set when a delete has arrived that will not be answered."""
        self.calls: list[tuple[bytes, int, int]] = []
        self.server = RpcServer({CLIENT_PROTOCOL: self}, clock=RealClock())

    def _arrived(self, call: Call) -> None:
        self.calls.append((call.client_id, call.call_id, call.retry_count))
        if self.faults:
            raise self.faults.pop(0)
        if self.standby:
            raise StandbyError("Operation category READ is not supported in state standby")

    def get_file_info(self, request: Any, call: Call) -> Any:
        self._arrived(call)
        return client_namenode.GetFileInfoResponseProto()

    async def delete(self, request: Any, call: Call) -> Any:
        self._arrived(call)
        if self.stuck is not None:
            self.stuck.set()
            await asyncio.Event().wait()
        return client_namenode.DeleteResponseProto(result=True)


Story = Callable[[NameNodeProxy, NameNode, NameNode], Awaitable[None]]


def play(story: Story, *, attempts_max: int = 5) -> None:
    async def tell() -> None:
        network = TcpNetwork()
        nodes = (NameNode(), NameNode())
        for node in nodes:
            await node.server.start(network, Address(HOST, 0))
        proxy = NameNodeProxy(
            [node.server.address for node in nodes],
            network=network,
            dice=RealDice(),
            user="hdfs",
            backoff=Backoff(base_ms=1, max_ms=2, attempts_max=attempts_max),
            timeout_ms=10_000,
        )
        try:
            await story(proxy, *nodes)
        finally:
            await proxy.close()
            for node in nodes:
                await node.server.stop()

    asyncio.run(tell())


def test_the_active_is_found_and_kept() -> None:
    async def story(proxy: NameNodeProxy, one: NameNode, two: NameNode) -> None:
        one.standby = True
        for _ in range(3):
            await proxy.call("getFileInfo", FileInfo)
        assert len(one.calls) == 1
        assert len(two.calls) == 3
        assert proxy.address == two.server.address
        one.standby, two.standby = False, True
        await proxy.call("getFileInfo", FileInfo)
        assert proxy.address == one.server.address

    play(story)


def test_a_dead_one_is_passed_over() -> None:
    async def story(proxy: NameNodeProxy, one: NameNode, two: NameNode) -> None:
        await one.server.stop()
        await proxy.call("delete", Delete)
        assert [retry for _, _, retry in two.calls] == [1]

    play(story)


def test_what_may_have_happened_is_repeated_under_the_same_ids() -> None:
    async def story(proxy: NameNodeProxy, one: NameNode, two: NameNode) -> None:
        await proxy.call("getFileInfo", FileInfo)
        one.stuck = asyncio.Event()
        deleting = asyncio.ensure_future(proxy.call("delete", Delete))
        await one.stuck.wait()
        await one.server.stop()
        assert (await deleting).result
        first, second = one.calls[-1], two.calls[-1]
        assert first[:2] == second[:2]
        assert (first[2], second[2]) == (0, 1)
        await proxy.call("getFileInfo", FileInfo)
        ids = [call[1] for call in (*one.calls, *two.calls)]
        assert len(set(ids)) == 3, "another call has another id, whoever is asked"
        assert len({call[0] for call in (*one.calls, *two.calls)}) == 1

    play(story)


def test_a_retriable_error_is_for_the_same_server() -> None:
    async def story(proxy: NameNodeProxy, one: NameNode, two: NameNode) -> None:
        one.faults = [RetriableError("busy"), RetriableError("busy")]
        await proxy.call("getFileInfo", FileInfo)
        assert [retry for _, _, retry in one.calls] == [0, 1, 2]
        assert two.calls == []

    play(story)


@pytest.mark.parametrize("error", [FileNotFound("/f"), AccessControl("denied")])
def test_an_answer_is_an_answer(error: Exception) -> None:
    async def story(proxy: NameNodeProxy, one: NameNode, two: NameNode) -> None:
        one.faults = [error]
        with pytest.raises(type(error)):
            await proxy.call("getFileInfo", FileInfo)
        assert two.calls == []

    play(story)


def test_there_is_an_end_to_trying() -> None:
    async def story(proxy: NameNodeProxy, one: NameNode, two: NameNode) -> None:
        one.standby = two.standby = True
        with pytest.raises(StandbyError):
            await proxy.call("getFileInfo", FileInfo)
        assert len(one.calls) + len(two.calls) == 4
        await one.server.stop()
        await two.server.stop()
        with pytest.raises((ConnectFailed, OutcomeUnknown)):
            await proxy.call("getFileInfo", FileInfo)

    play(story, attempts_max=3)


def test_many_calls_at_once_move_on_together() -> None:
    async def story(proxy: NameNodeProxy, one: NameNode, two: NameNode) -> None:
        one.standby = True
        await asyncio.gather(*(proxy.call("getFileInfo", FileInfo) for _ in range(20)))
        assert len(two.calls) == 20
        assert proxy.address == two.server.address

    play(story)
