"""Driver. Makes sure that a NameNode is not active any more: by asking it, else by force.

Order: the NameNode is asked to become standby; if it can't be reached or refuses, the methods of
`dfs.ha.fencing.methods` are run one after the other until one succeeds. A dead process refuses the
connection at once, so that fencing it costs milliseconds (Hadoop waits a second and asks again).
A machine that is gone refuses nothing. Since the kernel of one that is there connects in a round
trip, whatever its NameNode does, the connection has a limit of its own, far below the answer's.
Source: Hadoop FailoverController.tryGracefulFence, NodeFencer.fence, SshFenceByTcpPort.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hdfsd.base.errors import ConnectFailed, HdfsdError, NotBuilt
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.base.settings import FailoverSettings
from hdfsd.failover.calls import HaService, Links, RequestSource
from hdfsd.failover.fence_methods import (
    METHODS_KEY,
    FenceMethod,
    MethodKind,
    Subject,
    command_for,
    environment_for,
    is_nothing,
    parse_methods,
)
from hdfsd.failover.policy import ServiceState
from hdfsd.failover.ssh_fence import (
    after_check,
    after_kill,
    check_command,
    kill_command,
    parse_argument,
)
from hdfsd.failover.target import describe
from hdfsd.ports.clock import Clock
from hdfsd.ports.shell import Shell, ShellResult
from hdfsd.ports.ssh import Ssh, SshSession, SshTarget

log = logging.getLogger(__name__)

SAID_CHARS_MAX = 500
"""How much of a method's output goes into an error; the log has more of it."""
LOGGED_CHARS_MAX = 8000
CONNECT_LOOKS = 8
"""How often is looked whether a connection is there until its limit is over: as many times this
process must have had its turn, so that one that is short of processor time gives nobody up."""


class FencingFailed(HdfsdError):
    """Nobody can say that the node is not active: nobody else may become active."""


@dataclass(frozen=True, slots=True)
class FencingPlan:
    """What the configuration says about fencing."""

    methods: Sequence[FenceMethod]
    environment: Mapping[str, str]
    """Every configuration value, for scripts."""
    graceful_timeout_ms: int
    """Of the answer of a NameNode that is asked to become standby."""
    connect_ms: int
    """Of the connection to it."""
    timeout_ms: int
    """Of one command."""
    ssh_connect_timeout_ms: int
    ssh_key_files: Sequence[str]

    @classmethod
    def of(cls, settings: FailoverSettings) -> FencingPlan:
        """Raises ConfigError."""
        return cls(
            methods=parse_methods(settings.fencing_methods),
            environment=settings.environment,
            graceful_timeout_ms=settings.graceful_fence_timeout_ms,
            connect_ms=settings.graceful_fence_connect_ms,
            timeout_ms=settings.fencing_timeout_ms,
            ssh_connect_timeout_ms=settings.ssh_connect_timeout_ms,
            ssh_key_files=settings.ssh_key_files,
        )


@dataclass(frozen=True, slots=True)
class Means:
    """What fencing reaches the world by."""

    links: Links
    shell: Shell
    clock: Clock
    ssh: Ssh | None = None
    """None: there is no ssh where this runs."""


@dataclass(frozen=True, slots=True)
class FenceAttempt:
    """One thing that was tried, for the record."""

    node: str
    how: str
    succeeded: bool
    millis: int
    said: str


class Fencer:
    """Fences NameNodes by the configured methods."""

    def __init__(
        self,
        plan: FencingPlan,
        means: Means,
        source: RequestSource,
        *,
        record: Callable[[FenceAttempt], None] = lambda _: None,
    ) -> None:
        """`record` is told of every attempt."""
        self._plan = plan
        self._means = means
        self._source = source
        self._record = record

    @property
    def methods(self) -> Sequence[FenceMethod]:
        return self._plan.methods

    async def fence(
        self, namenode: NameNodeAddresses, hopeless: Awaitable[str | None] | None = None
    ) -> str:
        """Says how it was done. Raises FencingFailed with what every method said.

        `hopeless`: why the NameNode will not answer, if somebody knows that; None if nobody does.
        """
        refusal = await self.try_graceful(namenode, hopeless)
        if refusal is None:
            return f"{describe(namenode)} became standby when it was asked"
        return await self.force((namenode, None))

    async def try_graceful(
        self, namenode: NameNodeAddresses, hopeless: Awaitable[str | None] | None = None
    ) -> str | None:
        """Asks the NameNode to become standby; None when it did, else why not."""
        began_ms = self._means.clock.now_ms()
        refusal = await _unless(hopeless, self._ask(namenode))
        if refusal is not None:
            log.warning("unable to make %s standby by asking it: %s", describe(namenode), refusal)
        self._note(namenode, "asked to become standby", began_ms, refusal is None, refusal or "")
        return refusal

    async def _ask(self, namenode: NameNodeAddresses) -> str | None:
        service = self._means.links.ha_service(namenode.for_servers)
        try:
            await self._connect(service)
            await service.transition(
                ServiceState.STANDBY, self._source, deadline_ms=self._plan.graceful_timeout_ms
            )
        except HdfsdError as error:
            return str(error)
        finally:
            await service.close()
        return None

    async def _connect(self, service: HaService) -> None:
        """Raises ConnectFailed."""
        limit_ms = self._plan.connect_ms
        connecting = asyncio.ensure_future(
            service.connect(deadline_ms=max(limit_ms, self._plan.graceful_timeout_ms))
        )
        try:
            for _ in range(CONNECT_LOOKS):
                done, _ = await asyncio.wait({connecting}, timeout=limit_ms / 1000 / CONNECT_LOOKS)
                if done:
                    return connecting.result()
            raise ConnectFailed(f"no connection in {limit_ms} ms: its machine is gone or cut off")
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)

    async def force(self, *nodes: tuple[NameNodeAddresses, Subject | None]) -> str:
        """Runs the methods until one succeeds on all nodes, in their order; says which it was."""
        names = " and ".join(describe(node) for node, _ in nodes)
        said = []
        for number, method in enumerate(self._plan.methods, 1):
            log.info("fencing %s: method %d/%d: %s", names, number, len(self._plan.methods), method)
            failure = await self._try(method, nodes)
            if failure is None:
                log.info("fenced %s by %s", names, method)
                return f"{names} fenced by {method}"
            log.warning("fencing %s by %s did not work: %s", names, method, failure)
            said.append(f"{method}: {failure}")
        tried = "; ".join(said) or f"{METHODS_KEY} is empty"
        raise FencingFailed(f"Unable to fence {names}: {tried}")

    async def _try(
        self, method: FenceMethod, nodes: Sequence[tuple[NameNodeAddresses, Subject | None]]
    ) -> str | None:
        """None when all are fenced, else why the first one is not that could not be."""
        for namenode, subject in nodes:
            if method.kind is MethodKind.SSH and subject is Subject.TARGET:
                continue  # Hadoop kills it too, the very one that shall become active.
            began_ms = self._means.clock.now_ms()
            try:
                if method.kind is MethodKind.SSH:
                    fenced, said = await self._by_ssh(method, namenode)
                else:
                    fenced, said = await self._by_shell(method, namenode, subject)
            except (HdfsdError, OSError) as error:
                fenced, said = False, str(error)
            self._note(namenode, str(method), began_ms, fenced, said)
            if not fenced:
                return said
        return None

    async def _by_shell(
        self, method: FenceMethod, namenode: NameNodeAddresses, subject: Subject | None
    ) -> tuple[bool, str]:
        command = command_for(method.argument, subject)
        if is_nothing(command):
            return True, "nothing needs to be done"
        result = await self._means.shell.run(
            "set -e\n" + command,
            environment=environment_for(self._plan.environment, namenode, subject),
            deadline_ms=self._plan.timeout_ms,
        )
        _log_output(command, result)
        ending = f"exit code {result.exit_code}"
        if result.exit_code < 0:
            ending = f"killed: it did not end by itself within {self._plan.timeout_ms} ms"
        return result.exit_code == 0, _with_output(ending, result)

    async def _by_ssh(self, method: FenceMethod, namenode: NameNodeAddresses) -> tuple[bool, str]:
        if self._means.ssh is None:
            raise NotBuilt(f"{method}: no machine can be reached by ssh from here")
        argument = parse_argument(method.argument)
        session = await self._means.ssh.connect(
            SshTarget(namenode.for_servers.host, argument.port, argument.user),
            key_files=self._plan.ssh_key_files,
            deadline_ms=self._plan.ssh_connect_timeout_ms,
        )
        try:
            return await self._kill_listener(session, namenode)
        finally:
            await session.close()

    async def _kill_listener(
        self, session: SshSession, namenode: NameNodeAddresses
    ) -> tuple[bool, str]:
        killing = await self._run(session, kill_command(namenode.for_servers))
        verdict = after_kill(killing.exit_code)
        if verdict.fenced is not None:
            return verdict.fenced, _with_output(verdict.reason, killing)
        looking = await self._run(session, check_command(namenode.for_servers))
        second = after_check(looking.exit_code)
        reason = f"{verdict.reason}, and {second.reason}"
        return bool(second.fenced), _with_output(reason, looking)

    async def _run(self, session: SshSession, command: str) -> ShellResult:
        result = await session.run(command, deadline_ms=self._plan.timeout_ms)
        _log_output(f"{command} (through ssh)", result)
        return result

    def _note(
        self, namenode: NameNodeAddresses, how: str, began_ms: int, succeeded: bool, said: str
    ) -> None:
        millis = self._means.clock.now_ms() - began_ms
        self._record(FenceAttempt(describe(namenode), how, succeeded, millis, said))


async def _unless(
    hopeless: Awaitable[str | None] | None, asking: Coroutine[Any, Any, str | None]
) -> str | None:
    """What was answered; before that, why nothing will be, when that is known first."""
    if hopeless is None:
        return await asking
    answer, known = asyncio.ensure_future(asking), asyncio.ensure_future(hopeless)
    try:
        await asyncio.wait((answer, known), return_when=asyncio.FIRST_COMPLETED)
        if known.done() and not answer.done() and known.result() is not None:
            return known.result()
        return await answer
    finally:
        answer.cancel()
        known.cancel()
        await asyncio.gather(answer, known, return_exceptions=True)


def _log_output(command: str, result: ShellResult) -> None:
    output = result.output.strip()
    if output:
        log.info("%s said: %s", command, output[:LOGGED_CHARS_MAX])


def _with_output(text: str, result: ShellResult) -> str:
    output = result.output.strip()[-SAID_CHARS_MAX:]
    return f"{text}: {output}" if output else text
