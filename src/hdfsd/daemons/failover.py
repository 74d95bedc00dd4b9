"""Adapter. `hdfsd zkfc`: wires settings, lock, controller and its RPC server; `-formatZK`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import uvloop

from hdfsd.base.errors import ConfigError, LinkError
from hdfsd.base.settings import FailoverSettings
from hdfsd.daemons.world import World, run_daemon
from hdfsd.failover import server
from hdfsd.failover.fence_methods import METHODS_KEY, parse_methods
from hdfsd.failover.namenode_page import transitions
from hdfsd.failover.service import ADMINISTRATORS_KEY
from hdfsd.failover.target import describe
from hdfsd.io.election import coordination_of, host_name
from hdfsd.io.heartbeat import LocalHeartbeats
from hdfsd.io.prompt import confirm
from hdfsd.io.shell import RealShell
from hdfsd.io.site import configuration_of, current_user, is_local_host
from hdfsd.io.ssh import RealSsh

log = logging.getLogger(__name__)

FORMAT_DENIED, NO_PARENT, NO_FENCER, NOT_AUTOMATIC, NO_LOCK_SERVICE = 2, 3, 4, 5, 6
"""Exit codes of Hadoop's ZKFailoverController (ha-zk.md 4)."""
ASK_MS = 3000
"""For the NameNode's own record of a failover that is over."""
USAGE = """\
Usage: hdfsd zkfc [ -formatZK [-force] [-nonInteractive] ]
\t-force: formats the znode if the znode exists.
\t-nonInteractive: formats the znode aborts if the znode exists,
\tunless -force option is specified."""
ALREADY = """\
===============================================
The configured parent znode {0} already exists.
Are you sure you want to clear all failover information from
ZooKeeper?
WARNING: Before proceeding, ensure that all HDFS services and
failover controllers are stopped!
==============================================="""


def main(arguments: Sequence[str]) -> int:
    """`hdfsd zkfc [-formatZK [-force] [-nonInteractive]]`."""
    conf, rest = configuration_of(arguments)
    if rest and rest[0] in ("-h", "-help", "--help"):
        print(USAGE)
        return 0
    unknown = set(rest) - {"-formatZK", "-force", "-nonInteractive"}
    if unknown or (rest and rest[0] != "-formatZK"):
        print(f"{USAGE}\n\nBad argument: {' '.join(rest)}", file=sys.stderr)
        return 1
    settings = FailoverSettings.from_configuration(conf, is_local_host)
    if not settings.automatic_failover:
        log.error(
            "automatic failover is not enabled for %s: set dfs.ha.automatic-failover.enabled=true"
            " before running the failover controller",
            describe(settings.namenode),
        )
        return NOT_AUTOMATIC
    if rest:
        force, interactive = "-force" in rest, "-nonInteractive" not in rest
        return uvloop.run(format_lock(settings, force=force, interactive=interactive))
    code = uvloop.run(check(settings))
    # Raw: a list of groups alone begins with a space.
    administrators = conf.get_raw(ADMINISTRATORS_KEY) or ""
    return code or run_daemon(lambda: serve(settings, World(), administrators=administrators))


async def format_lock(settings: FailoverSettings, *, force: bool, interactive: bool) -> int:
    """`-formatZK`: makes the parent, after a question when it is there."""
    coordination, directory = coordination_of(settings)
    try:
        await coordination.open(lambda _: None)
        if await coordination.parent_exists() and not force:
            if not interactive:
                return FORMAT_DENIED
            print(ALREADY.format(directory), file=sys.stderr)
            if not confirm(f"Proceed formatting {directory}?"):
                return FORMAT_DENIED
        await coordination.format()
        log.info("successfully created %s", directory)
        return 0
    except LinkError as error:
        return _no_lock_service(error)
    finally:
        await coordination.close()


async def check(settings: FailoverSettings) -> int:
    """0 when the controller can start, else the exit code that says why not."""
    coordination, directory = coordination_of(settings)
    try:
        await coordination.open(lambda _: None)
        if not await coordination.parent_exists():
            log.error("%s does not exist: run with -formatZK to make it", directory)
            return NO_PARENT
    except LinkError as error:
        return _no_lock_service(error)
    finally:
        await coordination.close()
    try:
        if not parse_methods(settings.fencing_methods):
            raise ConfigError(f"{METHODS_KEY} is not set: write shell(command) for instance")
    except ConfigError as error:
        log.error("fencing is not configured for %s: %s", describe(settings.namenode), error)
        return NO_FENCER
    return 0


def _no_lock_service(error: LinkError) -> int:
    log.error("%s: check ha.zookeeper.quorum and that ZooKeeper is running", error)
    return NO_LOCK_SERVICE


async def serve(settings: FailoverSettings, world: World, *, administrators: str = "") -> None:
    """The whole life of a failover controller of this machine; ends when it is cancelled."""
    coordination, directory = coordination_of(settings)
    log.info("the lock is in %s", directory)
    await server.serve(
        settings,
        world,
        coordination=coordination,
        shell=RealShell(),
        ssh=RealSsh(),
        user=current_user(),
        hostname=host_name(settings.namenode.for_servers.host),
        administrators=administrators,
        transitions=lambda: transitions(world.http_client, settings.namenode.http, ask_ms=ASK_MS),
        heartbeats=LocalHeartbeats(),
    )
