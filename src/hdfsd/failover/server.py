"""Driver. One failover controller: the controller and its RPC address. Wiring, no decisions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from hdfsd.base.settings import FailoverSettings
from hdfsd.failover.calls import RpcLinks
from hdfsd.failover.controller import FailoverController
from hdfsd.failover.service import (
    ExplanationService,
    ZkfcProtocolService,
    parse_administrators,
)
from hdfsd.failover.target import describe
from hdfsd.ports.coordination import Coordination
from hdfsd.ports.heartbeat import Heartbeats
from hdfsd.ports.process import ProcessPorts
from hdfsd.ports.shell import Shell
from hdfsd.ports.ssh import Ssh
from hdfsd.rpc.server import RpcServer
from hdfsd.wire.services import GENERIC_REFRESH_PROTOCOL, ZKFC_PROTOCOL

log = logging.getLogger(__name__)


async def serve(
    settings: FailoverSettings,
    ports: ProcessPorts,
    *,
    coordination: Coordination,
    shell: Shell,
    user: str,
    hostname: str,
    administrators: str = "",
    ssh: Ssh | None = None,
    transitions: Callable[[], Awaitable[Sequence[str]]] | None = None,
    heartbeats: Heartbeats | None = None,
) -> None:
    """The whole life of a failover controller; ends when it is cancelled.

    `hostname`: of the local NameNode, as target.encode wants it. `administrators`:
    dfs.cluster.administrators, who may ask it to cede or to take over. `ssh`: for sshfence.
    `transitions`: what the NameNode says of its last ones. `heartbeats`: where its heartbeat is.
    """
    links = RpcLinks(ports.network, ports.dice, user)
    controller = FailoverController(
        settings,
        coordination,
        links,
        shell,
        ports.clock,
        hostname=hostname,
        ssh=ssh,
        transitions=transitions,
        heartbeats=heartbeats,
    )
    allowed = parse_administrators(administrators) | {user}
    rpc = RpcServer(
        {
            ZKFC_PROTOCOL: ZkfcProtocolService(controller, allowed),
            GENERIC_REFRESH_PROTOCOL: ExplanationService(controller, allowed),
        },
        clock=ports.clock,
    )
    await rpc.start(ports.network, settings.bind)
    log.info("failover controller of %s up: RPC at %s", describe(settings.namenode), rpc.address)
    try:
        await controller.run()
    finally:
        await rpc.stop()
        await ports.http_client.close()
