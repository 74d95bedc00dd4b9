"""Driver. NameNodes that play their parts on a simulated network: who is active, who observes,
whose answer is lost. One journal that all of them share remembers what was executed, and for whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from hdfsd.base.errors import StandbyError
from hdfsd.base.ids import Address
from hdfsd.base.proxy_providers import ProxyProvider
from hdfsd.client.proxy import NameNodeProxy
from hdfsd.rpc.retry import Backoff
from hdfsd.rpc.server import Call, RpcServer
from hdfsd.sim.world import Process, World
from hdfsd.wire.messages import client_namenode, ha_service
from hdfsd.wire.services import CLIENT_PROTOCOL

PORT = 8020
TIMEOUT_MS = 5_000
BACKOFF = Backoff(base_ms=20, max_ms=100, attempts_max=40)
ACTIVE, STANDBY, OBSERVER = ha_service.ACTIVE, ha_service.STANDBY, ha_service.OBSERVER
LOOK = client_namenode.GetFileInfoRequestProto(src="/f")
DELETE = client_namenode.DeleteRequestProto(src="/f", recursive=False)


class Journal:
    """What was executed: (client id, call id), in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, int]] = []


class ScriptedNameNode:
    """One of them; what it was asked is in `asked`."""

    def __init__(self, world: World, name: str, journal: Journal, role: int) -> None:
        self.name = name
        self.role = role
        self.machine = world.add_machine(name)
        self.asked: list[str] = []
        self.fault: Exception | None = None
        """Raised to every call that is no question about the role."""
        self.loses_answers = False
        self.silent = False
        """Takes every call and answers none."""
        self.lag = 0
        """Transactions that it is behind the journal."""
        self.caught_up = asyncio.Event()
        self.retries: list[int] = []
        self._journal = journal
        self.process: Process | None = None

    @property
    def applied(self) -> int:
        return len(self._journal.calls) - self.lag

    def start(self) -> None:
        self.process = self.machine.start("namenode", self._main)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()

    async def _main(self, process: Process) -> None:
        server = RpcServer(
            {CLIENT_PROTOCOL: self}, clock=process.clock, state_id=lambda: self.applied
        )
        await server.start(process.network, Address(self.name, PORT))
        await asyncio.Event().wait()

    async def _arrived(self, call: Call) -> None:
        self.asked.append(call.method.name)
        self.retries.append(call.retry_count)
        if self.silent:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault

    async def get_ha_service_state(self, request: Any, call: Call) -> Any:
        self.asked.append(call.method.name)
        if self.silent:
            await asyncio.Event().wait()
        return client_namenode.HAServiceStateResponseProto(state=self.role)

    async def msync(self, request: Any, call: Call) -> Any:
        await self._arrived(call)
        self._refuse_unless(ACTIVE)
        return client_namenode.MsyncResponseProto()

    async def get_file_info(self, request: Any, call: Call) -> Any:
        """Answers as an observer does: once it knows what its caller knows."""
        await self._arrived(call)
        self._refuse_unless(ACTIVE, OBSERVER)
        if self.role == OBSERVER:
            if call.state_id is None:
                raise StandbyError("Observer Node received request without stateId")
            while self.applied < call.state_id:
                await self.caught_up.wait()
        return client_namenode.GetFileInfoResponseProto()

    async def delete(self, request: Any, call: Call) -> Any:
        """Executed once per pair of ids; every try of it is answered with true."""
        await self._arrived(call)
        self._refuse_unless(ACTIVE)
        if (call.client_id, call.call_id) not in self._journal.calls:
            self._journal.calls.append((call.client_id, call.call_id))
        if self.loses_answers:
            await asyncio.Event().wait()
        return client_namenode.DeleteResponseProto(result=True)

    def _refuse_unless(self, *roles: int) -> None:
        if self.role not in roles:
            raise StandbyError("Operation category is not supported in state standby")

    def catch_up(self) -> None:
        self.lag = 0
        self.caught_up.set()


class Stage:
    """NameNodes nn1, nn2, … and one client."""

    def __init__(self, world: World, roles: tuple[int, ...]) -> None:
        self.world = world
        self.journal = Journal()
        self.nodes = [
            ScriptedNameNode(world, f"nn{number}", self.journal, role)
            for number, role in enumerate(roles, 1)
        ]
        self.proxy: NameNodeProxy

    def asked(self) -> list[list[str]]:
        """What each was asked since the last look."""
        found = [node.asked[:] for node in self.nodes]
        for node in self.nodes:
            node.asked.clear()
        return found


Story = Callable[[Stage], Coroutine[Any, Any, None]]


def play(provider: ProxyProvider, roles: tuple[int, ...], story: Story) -> None:
    """Tells the story in the client's process; it fails as the story does."""
    world = World("proxy")
    stage = Stage(world, roles)

    async def client(process: Process) -> None:
        stage.proxy = NameNodeProxy(
            [Address(node.name, PORT) for node in stage.nodes],
            network=process.network,
            dice=process.dice,
            user="hdfs",
            backoff=BACKOFF,
            timeout_ms=TIMEOUT_MS,
            provider=provider,
        )
        try:
            await story(stage)
        finally:
            await stage.proxy.close()

    async def everything() -> None:
        for node in stage.nodes:
            node.start()
        machine = world.add_machine("client")
        process = machine.start("client", client)
        await process.ended
        if isinstance(process.outcome, BaseException):
            raise process.outcome

    world.run(everything())


async def until(condition: Callable[[], bool]) -> None:
    """Virtual time costs nothing."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to that")


def later(story: Awaitable[Any]) -> asyncio.Future[Any]:
    return asyncio.ensure_future(story)
