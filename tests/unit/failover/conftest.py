"""What the drivers of failover meet in their tests: a lock service, NameNodes and virtual time."""

from __future__ import annotations

import asyncio
import heapq
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import (
    ConnectFailed,
    DeadlineExceeded,
    HdfsdError,
    HealthCheckFailed,
    IllegalArgument,
    OutcomeUnknown,
)
from hdfsd.base.ids import Address
from hdfsd.base.settings import FailoverSettings
from hdfsd.failover.calls import RequestSource, ServiceStatus
from hdfsd.failover.controller import FailoverController
from hdfsd.failover.policy import ServiceState
from hdfsd.ports.coordination import Breadcrumb, LockView, SessionState
from hdfsd.ports.shell import ShellResult
from hdfsd.ports.ssh import SshTarget
from hdfsd.wire.words import CATCH_UP

ZKFC_PORT = 8019


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time stands still while there is work, and jumps to the next timer when there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            assert scheduled, "everybody waits, and nothing will happen"
            self.now_s = max(self.now_s, scheduled[0]._when)
        super()._run_once()  # type: ignore[misc]


class Ensemble:
    """A lock service of which sessions can be cut off or ended."""

    def __init__(self) -> None:
        self.holder: Coordination | None = None
        self.content = b""
        self.breadcrumb: Breadcrumb | None = None
        self.watches: list[Callable[[], None]] = []
        self.versions = 0

    def free(self) -> None:
        self.holder = None
        watches, self.watches = self.watches, []
        for watch in watches:
            asyncio.get_running_loop().call_soon(watch)


class Coordination:
    """One controller's sessions with the ensemble."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble
        self.on_session: Callable[[SessionState], None] | None = None
        self.reachable = True
        self.error: HdfsdError | None = None
        """What the next operation raises."""
        self.opened = 0

    async def open(self, on_session: Callable[[SessionState], None]) -> None:
        await self._operation()
        self.on_session = on_session
        self.opened += 1
        on_session(SessionState.CONNECTED)

    async def _operation(self) -> None:
        await asyncio.sleep(0.001)
        error, self.error = self.error, None
        if error is not None:
            raise error
        if not self.reachable:
            raise OutcomeUnknown("the lock service can't be reached")

    def suspend(self) -> None:
        self.reachable = False
        assert self.on_session is not None
        self.on_session(SessionState.SUSPENDED)

    def resume(self) -> None:
        self.reachable = True
        assert self.on_session is not None
        self.on_session(SessionState.CONNECTED)

    def expire(self) -> None:
        if self.ensemble.holder is self:
            self.ensemble.free()
        assert self.on_session is not None
        self.on_session(SessionState.EXPIRED)

    async def parent_exists(self) -> bool:
        return True

    async def format(self) -> None:
        self.ensemble.breadcrumb = None

    async def try_lock(self, data: bytes) -> bool:
        await self._operation()
        if self.ensemble.holder not in (None, self):
            return False
        self.ensemble.holder, self.ensemble.content = self, data
        return True

    async def read_lock(self, on_change: Callable[[], None] | None = None) -> LockView | None:
        await self._operation()
        if self.ensemble.holder is None:
            return None
        if on_change is not None:
            self.ensemble.watches.append(on_change)
        return LockView(self.ensemble.content, self.ensemble.holder is self)

    async def unlock(self) -> None:
        if self.ensemble.holder is self:
            self.ensemble.free()

    async def read_breadcrumb(self) -> Breadcrumb | None:
        await self._operation()
        return self.ensemble.breadcrumb

    async def write_breadcrumb(self, data: bytes, version: int | None) -> None:
        await self._operation()
        found = self.ensemble.breadcrumb
        if (found and found.version) != version:
            raise OutcomeUnknown("another version is there")
        self.ensemble.versions += 1
        self.ensemble.breadcrumb = Breadcrumb(data, self.ensemble.versions)

    async def delete_breadcrumb(self, version: int) -> None:
        await self._operation()
        self.ensemble.breadcrumb = None

    async def close(self) -> None:
        self.on_session = None
        await self.unlock()


@dataclass
class NameNode:
    """What one NameNode does when it is called."""

    state: ServiceState = ServiceState.STANDBY
    alive: bool = True
    frozen: bool = False
    gone: bool = False
    """Its whole machine is: nobody refuses a connection."""
    connects_in_turns: int = 0
    """How many turns a connection takes of a process that waits a second for each."""
    ready: bool = True
    sick: str | None = None
    """What its health check says when it is not healthy."""
    refusal: HdfsdError | None = None
    """What it answers to transitions."""
    behind_ms: int | None = None
    """How long it has to replay until it is ready; None: it can't be asked to catch up."""
    slow_ms: int = 0
    """How long a transition takes."""
    orders: list[tuple[str, RequestSource]] = field(default_factory=list)
    services: list[HaService] = field(default_factory=list)

    def kill(self) -> None:
        self.alive = False
        self.state = ServiceState.INITIALIZING
        for service in self.services:
            service.ended.set()

    def start(self) -> None:
        self.alive = True
        self.state = ServiceState.STANDBY


class HaService:
    def __init__(self, namenode: NameNode) -> None:
        self.namenode = namenode
        self.ended = asyncio.Event()
        namenode.services.append(self)

    async def connect(self, *, deadline_ms: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self.namenode.connects_in_turns):
            assert isinstance(loop, VirtualLoop)
            loop.now_s += 1
            await asyncio.sleep(0)
        if self.namenode.gone:
            await asyncio.sleep(deadline_ms / 1000)
            raise ConnectFailed(f"no connection in {deadline_ms} ms")
        if not self.namenode.alive:
            raise ConnectFailed("connection refused")

    async def _arrive(self, deadline_ms: int) -> None:
        await self.connect(deadline_ms=deadline_ms)
        self.ended.clear()
        await asyncio.sleep(0.001)
        if self.namenode.frozen:
            await asyncio.sleep(deadline_ms / 1000)
            raise DeadlineExceeded(f"no answer in {deadline_ms} ms")
        if self.ended.is_set():
            raise OutcomeUnknown("connection lost")

    async def status(self, *, deadline_ms: int) -> ServiceStatus:
        await self._arrive(deadline_ms)
        ready = self.namenode.ready
        return ServiceStatus(self.namenode.state, ready, "" if ready else "safe mode is ON")

    async def monitor_health(self, *, deadline_ms: int) -> None:
        await self._arrive(deadline_ms)
        if self.namenode.sick is not None:
            raise HealthCheckFailed(self.namenode.sick)

    async def transition(
        self, state: ServiceState, source: RequestSource, *, deadline_ms: int
    ) -> None:
        await self._arrive(deadline_ms)
        self.namenode.orders.append((state.name, source))
        await asyncio.sleep(self.namenode.slow_ms / 1000)
        if self.namenode.refusal is not None:
            raise self.namenode.refusal
        self.namenode.state = state

    async def lost(self) -> None:
        await self.ended.wait()

    async def close(self) -> None:
        self.namenode.services.remove(self)


class Words:
    """What a NameNode does at the word of its controller, or a controller at that of another."""

    def __init__(self, namenode: NameNode | None, controller: FailoverController | None) -> None:
        self._namenode = namenode
        self._controller = controller

    async def ask(self, word: str, *, deadline_ms: int) -> str:
        namenode = self._namenode
        if namenode is None:
            if self._controller is None:
                raise ConnectFailed("connection refused")
            await asyncio.sleep(0.001)
            return json.dumps(await self._controller.explain())
        if word != CATCH_UP or namenode.behind_ms is None:
            raise IllegalArgument(f"Identifier '{word}' does not exist in RefreshRegistry")
        if namenode.behind_ms > deadline_ms:
            await asyncio.sleep(deadline_ms / 1000)
            raise DeadlineExceeded(f"no answer in {deadline_ms} ms")
        await asyncio.sleep(namenode.behind_ms / 1000)
        namenode.ready = True
        return "4711"

    async def close(self) -> None:
        pass


class Zkfc:
    """Calls of one controller to another, without a wire between them."""

    def __init__(self, find: Callable[[], FailoverController | None]) -> None:
        self._find = find

    def _controller(self) -> FailoverController:
        found = self._find()
        if found is None:
            raise ConnectFailed("connection refused")
        return found

    async def cede_active(self, millis: int, *, deadline_ms: int) -> None:
        await self._controller().cede_active(millis, "a test")

    async def graceful_failover(self, *, deadline_ms: int) -> None:
        await self._controller().graceful_failover("a test")

    async def close(self) -> None:
        pass


class Shell:
    """Answers fencing commands, and remembers them."""

    def __init__(self) -> None:
        self.answers: dict[str, ShellResult] = {}
        self.ran: list[tuple[str, Mapping[str, str]]] = []

    async def run(
        self, command: str, *, environment: Mapping[str, str], deadline_ms: int
    ) -> ShellResult:
        command = command.removeprefix("set -e\n")
        self.ran.append((command, environment))
        await asyncio.sleep(0.002)
        if command == "no-such-shell":
            raise FileNotFoundError(2, "No such file or directory", "bash")
        return self.answers.get(command, ShellResult(0, ""))


class SshSession:
    def __init__(self, ssh: Ssh) -> None:
        self._ssh = ssh

    async def run(self, command: str, *, deadline_ms: int) -> ShellResult:
        self._ssh.ran.append(command)
        await asyncio.sleep(0.003)
        word = "fuser" if "fuser" in command else "nc"
        result = self._ssh.answers.get(word, ShellResult(0, ""))
        if isinstance(result, HdfsdError):
            raise result
        return result

    async def close(self) -> None:
        self._ssh.opened -= 1


class Ssh:
    """A machine that lets everybody in, unless it has an error."""

    def __init__(self) -> None:
        self.answers: dict[str, ShellResult | HdfsdError] = {}
        """By `fuser` and `nc`."""
        self.error: HdfsdError | None = None
        self.targets: list[tuple[SshTarget, tuple[str, ...]]] = []
        self.ran: list[str] = []
        self.opened = 0

    async def connect(
        self, target: SshTarget, *, key_files: Sequence[str], deadline_ms: int
    ) -> SshSession:
        self.targets.append((target, tuple(key_files)))
        await asyncio.sleep(0.004)
        if self.error is not None:
            raise self.error
        self.opened += 1
        return SshSession(self)


class Clock:
    def __init__(self) -> None:
        self.jump_ms = 0
        """How far the wall clock was set aside."""

    def now_ms(self) -> int:
        return int(asyncio.get_running_loop().time() * 1000)

    def wall_ms(self) -> int:
        return 1_700_000_000_000 + self.now_ms() + self.jump_ms


def configuration(count: int, **changes: str) -> Configuration:
    """Of a cluster of NameNodes; keys of `changes` have `__` for `.`."""
    names = [f"nn{number}" for number in range(1, count + 1)]
    values = {
        "dfs.nameservices": "ns1",
        "dfs.ha.namenodes.ns1": ",".join(names),
        "dfs.ha.automatic-failover.enabled": "true",
        "dfs.ha.fencing.methods": "shell(fence)",
        "ha.zookeeper.quorum": "zk:2181",
        "ha.health-monitor.rpc-timeout.ms": "1000",
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    for number, name in enumerate(names, 1):
        values[f"dfs.namenode.rpc-address.ns1.{name}"] = f"host{number}:8020"
        values[f"dfs.namenode.http-address.ns1.{name}"] = f"host{number}:9870"
    return Configuration.parse([], values)


class World:
    """NameNodes, their controllers and the lock service, in virtual time."""

    def __init__(self, count: int = 2) -> None:
        self.conf = configuration(count)
        self.ensemble = Ensemble()
        self.shell = Shell()
        self.ssh = Ssh()
        self.clock = Clock()
        self.names = [f"nn{number}" for number in range(1, count + 1)]
        self.namenodes = {name: NameNode() for name in self.names}
        self.sessions = {name: Coordination(self.ensemble) for name in self.names}
        self.controllers: dict[str, FailoverController] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.zkfcs_dead: set[str] = set()
        self.page_error: HdfsdError | None = None

    def name_of(self, address: Address) -> str:
        return address.host.replace("host", "nn")

    def ha_service(self, address: Address) -> HaService:
        return HaService(self.namenodes[self.name_of(address)])

    def zkfc(self, address: Address) -> Zkfc:
        name = self.name_of(address)
        return Zkfc(lambda: None if name in self.zkfcs_dead else self.controllers.get(name))

    def words(self, address: Address) -> Words:
        name = self.name_of(address)
        if address.port != ZKFC_PORT:
            return Words(self.namenodes[name], None)
        alive = name not in self.zkfcs_dead
        return Words(None, self.controllers.get(name) if alive else None)

    async def transitions_of(self, name: str) -> list[str]:
        """As the page of a NameNode says them."""
        await asyncio.sleep(0.005)
        if self.page_error is not None:
            raise self.page_error
        return [f"transition of {name}"]

    def settings(self, name: str) -> FailoverSettings:
        return FailoverSettings.from_configuration(
            self.conf, lambda host: host == name.replace("nn", "host")
        )

    def start(self, name: str) -> FailoverController:
        controller = FailoverController(
            self.settings(name),
            self.sessions[name],
            self,
            self.shell,
            self.clock,
            hostname=name.replace("nn", "host"),
            ssh=self.ssh,
            transitions=lambda: self.transitions_of(name),
        )
        self.controllers[name] = controller
        self.tasks[name] = asyncio.get_running_loop().create_task(controller.run())
        return controller

    async def start_all(self) -> None:
        for name in self.names:
            self.start(name)
            await asyncio.sleep(0.1)

    async def kill_controller(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.wait({self.tasks[name]})
        del self.controllers[name]

    def active(self) -> list[str]:
        return [n for n, node in self.namenodes.items() if node.state is ServiceState.ACTIVE]

    async def until(self, holds: Callable[[], bool], within_ms: int = 60_000) -> int:
        """Waits for something; how many virtual milliseconds it took."""
        started_ms = self.clock.now_ms()
        while not holds():
            assert self.clock.now_ms() - started_ms < within_ms, "it did not happen"
            await asyncio.sleep(0.001)
        return self.clock.now_ms() - started_ms

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        async def tell() -> None:
            try:
                await story
                for name, task in self.tasks.items():
                    assert not task.done() or task.cancelled(), f"{name} ended"
            finally:
                for task in self.tasks.values():
                    task.cancel()
                await asyncio.gather(*self.tasks.values(), return_exceptions=True)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(tell())


@pytest.fixture
def world() -> World:
    """Two NameNodes."""
    return World()


@pytest.fixture
def world_of() -> Callable[[int], World]:
    """As many as are asked for."""
    return World


@pytest.fixture
def configuration_of() -> Callable[..., Configuration]:
    return configuration
