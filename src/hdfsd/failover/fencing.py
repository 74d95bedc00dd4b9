"""Driver. Makes sure that a NameNode is not active any more: by asking it, else by force.

Order: the NameNode is asked to become standby; if it can't be reached or refuses, the methods of
`dfs.ha.fencing.methods` are run one after the other until one succeeds. A dead process refuses the
connection at once, so that fencing it costs milliseconds (Hadoop waits a second and asks again).
Source: Hadoop FailoverController.tryGracefulFence, NodeFencer.fence.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from hdfsd.base.errors import ConfigError, HdfsdError, NotBuilt
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.failover.calls import Links, RequestSource
from hdfsd.failover.fence_methods import (
    METHODS_KEY,
    FenceMethod,
    MethodKind,
    Subject,
    command_for,
    environment_for,
)
from hdfsd.failover.policy import ServiceState
from hdfsd.failover.target import describe
from hdfsd.ports.shell import Shell

log = logging.getLogger(__name__)

SCRIPT_DEADLINE_MS = 300_000
"""Hadoop lets a script run for ever, and with it the failover; five minutes are a way out."""


class FencingFailed(HdfsdError):
    """Nobody can say that the node is not active: nobody else may become active."""


class Fencer:
    """Fences NameNodes by the configured methods."""

    def __init__(
        self,
        methods: Sequence[FenceMethod],
        *,
        links: Links,
        shell: Shell,
        environment: Mapping[str, str],
        source: RequestSource,
        graceful_timeout_ms: int,
    ) -> None:
        self._methods = methods
        self._links = links
        self._shell = shell
        self._environment = environment
        self._source = source
        self._graceful_timeout_ms = graceful_timeout_ms

    async def fence(self, namenode: NameNodeAddresses) -> str:
        """Says how it was done. Raises FencingFailed with what every method said."""
        refusal = await self.try_graceful(namenode)
        if refusal is None:
            return f"{describe(namenode)} became standby when it was asked"
        return await self.force((namenode, None))

    async def try_graceful(self, namenode: NameNodeAddresses) -> str | None:
        """Asks the NameNode to become standby; None when it did, else why not."""
        service = self._links.ha_service(namenode.for_servers)
        try:
            await service.transition(
                ServiceState.STANDBY, self._source, deadline_ms=self._graceful_timeout_ms
            )
        except HdfsdError as error:
            log.warning("unable to make %s standby by asking it: %s", describe(namenode), error)
            return str(error)
        finally:
            await service.close()
        return None

    async def force(self, *nodes: tuple[NameNodeAddresses, Subject | None]) -> str:
        """Runs the methods until one succeeds on all nodes, in their order; says which it was."""
        names = " and ".join(describe(node) for node, _ in nodes)
        said = []
        for method in self._methods:
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
        for namenode, subject in nodes:
            try:
                failure = await self._run(method, namenode, subject)
            except (ConfigError, NotBuilt, OSError) as error:
                return str(error)
            if failure is not None:
                return failure
        return None

    async def _run(
        self, method: FenceMethod, namenode: NameNodeAddresses, subject: Subject | None
    ) -> str | None:
        if method.kind is MethodKind.SSH:
            raise NotBuilt("sshfence is not built: use shell(...) with a script that runs ssh")
        result = await self._shell.run(
            "set -e\n" + command_for(method.argument, subject),
            environment=environment_for(self._environment, namenode, subject),
            deadline_ms=SCRIPT_DEADLINE_MS,
        )
        if result.exit_code == 0:
            return None
        output = result.output.strip()[-500:]
        return f"exit code {result.exit_code}" + (f": {output}" if output else "")
