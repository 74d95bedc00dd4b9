"""Adapter. `hdfsd namenode`: settings and the real world for namenode.server."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from hdfsd.base.errors import ConfigError
from hdfsd.base.settings import NameNodeSettings
from hdfsd.daemons import format as formatting
from hdfsd.daemons.world import World, run_daemon
from hdfsd.io.groups import UnixGroups
from hdfsd.io.site import configuration_of, current_user, is_local_host
from hdfsd.io.snapshot import ForkingSnapshotWriter
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.server import NameNodeServer
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage
from hdfsd.ports.http import Handler
from hdfsd.web.namenode_http import NameNodeHttp


def name_node(settings: NameNodeSettings, world: World, user: str) -> NameNodeServer:
    """A NameNode of this machine."""

    def make_handler(state: NameNodeState, storage: NameStorage, lifecycle: Lifecycle) -> Handler:
        return NameNodeHttp(
            settings=settings,
            state=state,
            storage=storage,
            lifecycle=lifecycle,
            disk=world.disk,
            clock=world.clock,
        ).handle

    return NameNodeServer(
        settings,
        world,
        user=user,
        groups=UnixGroups(settings.group_overrides, settings.group_cache_ms // 1000),
        snapshots=ForkingSnapshotWriter(),
        make_handler=make_handler,
        on_loaded=_keep_for_good,
    )


YOUNG_OBJECTS_MAX = 10_000


def _keep_for_good() -> None:
    # The collector must not walk what was loaded again and again (D12), nor the calls in flight,
    # of which there are more than its first threshold by default.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, *gc.get_threshold()[1:])


async def serve(settings: NameNodeSettings, world: World, user: str) -> None:
    """The whole life of a NameNode; ends when it is cancelled."""
    daemon = name_node(settings, world, user)
    try:
        await daemon.startup()
        await daemon.run()
    finally:
        await daemon.shutdown()


def main(arguments: Sequence[str]) -> int:
    """`hdfsd namenode [-format … | -bootstrapStandby … | -initializeSharedEdits … | ]`."""
    conf, rest = configuration_of(arguments)
    settings = NameNodeSettings.from_configuration(conf, is_local_host)
    user = current_user()
    if rest:
        work = formatting.COMMANDS.get(rest[0])
        if work is None:
            raise ConfigError(f"namenode takes no argument {rest[0]!r}")
        return work(settings, rest[1:], user)
    return run_daemon(lambda: serve(settings, World(), user))
