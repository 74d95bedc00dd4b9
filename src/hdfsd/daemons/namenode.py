"""Adapter. `hdfsd namenode`: settings and the real world for namenode.server."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from dataclasses import replace

from hdfsd.base.errors import ConfigError
from hdfsd.base.settings import NameNodeSettings
from hdfsd.base.stalls import Stall, Stalls
from hdfsd.daemons import format as formatting
from hdfsd.daemons.world import World, run_daemon
from hdfsd.io.groups import UnixGroups
from hdfsd.io.heartbeat import HeartbeatGiver
from hdfsd.io.loop_watch import LoopWatch
from hdfsd.io.site import configuration_of, current_user, is_local_host
from hdfsd.io.snapshot import ForkingSnapshotWriter
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.server import NameNodeServer
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage
from hdfsd.ports.http import Handler
from hdfsd.web.namenode_http import NameNodeHttp
from hdfsd.web.webhdfs import WebHdfs

log = logging.getLogger(__name__)


def name_node(
    settings: NameNodeSettings, world: World, user: str, stalls: Stalls | None = None
) -> NameNodeServer:
    """A NameNode of this machine; `stalls` are shown on its pages."""
    shown = stalls or Stalls()

    def make_handler(state: NameNodeState, storage: NameStorage, lifecycle: Lifecycle) -> Handler:
        return NameNodeHttp(
            settings=settings,
            state=state,
            storage=storage,
            lifecycle=lifecycle,
            disk=world.disk,
            clock=world.clock,
            stalls=shown,
            webhdfs=WebHdfs(settings.addresses.rpc, network=world.network, dice=world.dice).handle,
        ).handle

    return NameNodeServer(
        settings,
        world,
        user=user,
        groups=UnixGroups(settings.group_overrides, settings.group_lookups_max),
        snapshots=ForkingSnapshotWriter(),
        make_handler=make_handler,
        on_loaded=_keep_for_good,
    )


YOUNG_OBJECTS_MAX = 10_000
OBSERVER = "-observer"
START_OPTIONS = frozenset({"-regular", OBSERVER})
"""How Hadoop's NameNode can be told to start; the others of its options are work to be done."""


def _keep_for_good() -> None:
    # The collector must not walk what was loaded again and again (D12), nor the calls in flight,
    # of which there are more than its first threshold by default.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, *gc.get_threshold()[1:])


async def serve(settings: NameNodeSettings, world: World, user: str) -> None:
    """The whole life of a NameNode; ends when it is cancelled."""
    stalls = Stalls()
    daemon = name_node(settings, world, user, stalls)
    try:
        await daemon.startup()
        watch = watch_loop(settings, stalls)
        try:
            await daemon.run()
        finally:
            watch.stop()
    finally:
        await daemon.shutdown()


def watch_loop(settings: NameNodeSettings, stalls: Stalls) -> LoopWatch:
    """Tells of stalls, and gives the heartbeat that a failover controller listens to."""

    def on_stall(stall: Stall) -> None:
        if stalls.add(stall):
            log.warning("%s", stall.describe())

    try:
        giver = HeartbeatGiver(settings.addresses.for_servers)
    except OSError as error:
        log.warning("no heartbeat for a failover controller: %s", error)
        return LoopWatch(on_stall, on_beat=lambda _: None, on_end=lambda: None)
    return LoopWatch(on_stall, on_beat=giver.beat, on_end=giver.close)


def as_started(settings: NameNodeSettings, option: str) -> NameNodeSettings:
    """What a start option of Hadoop's changes. Raises ConfigError."""
    if option != OBSERVER:
        return settings
    if not settings.ha:
        # Hadoop's starts as an active then, and says nothing.
        raise ConfigError(
            "namenode -observer: there is no active NameNode to follow without"
            " dfs.ha.namenodes.<nameservice>: configure HA, or leave the option out"
        )
    return replace(settings, observer=True)


def main(arguments: Sequence[str]) -> int:
    """`hdfsd namenode [-format … | -bootstrapStandby … | -initializeSharedEdits … | START | ]`."""
    conf, rest = configuration_of(arguments)
    settings = NameNodeSettings.from_configuration(conf, is_local_host)
    user = current_user()
    if rest and rest[0].lower() in START_OPTIONS:
        if rest[1:]:
            raise ConfigError(f"namenode {rest[0]} takes nothing more, not {' '.join(rest[1:])!r}")
        settings = as_started(settings, rest[0].lower())
    elif rest:
        work = formatting.COMMANDS.get(rest[0])
        if work is None:
            raise ConfigError(f"namenode takes no argument {rest[0]!r}")
        return work(settings, rest[1:], user)
    return run_daemon(lambda: serve(settings, World(), user))
