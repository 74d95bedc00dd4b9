"""Adapter. `hdfsd journalnode`: settings and the real world for journal.server."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from hdfsd.base.errors import ConfigError
from hdfsd.base.settings import JournalNodeSettings
from hdfsd.daemons.world import World, run_daemon
from hdfsd.io.direct import DiskOfLogs
from hdfsd.io.memory import return_large_blocks
from hdfsd.io.site import configuration_of, current_user, is_local_host
from hdfsd.journal.server import JournalNodeServer
from hdfsd.web.edits_transfer import EditsTransfer


class JournalNodeDaemon(JournalNodeServer):
    """A JournalNode of this machine."""

    def __init__(self, settings: JournalNodeSettings, world: World) -> None:
        super().__init__(
            settings,
            world,
            make_handler=lambda node: EditsTransfer(node, world.clock).handle,
            is_local_host=is_local_host,
            user=current_user(),
        )


async def serve(settings: JournalNodeSettings, world: World) -> None:
    """The whole life of a JournalNode; ends when it is cancelled."""
    return_large_blocks()
    daemon = JournalNodeDaemon(settings, world)
    try:
        await daemon.startup()
        await daemon.run()
    finally:
        await daemon.shutdown()


def main(arguments: Sequence[str]) -> int:
    """`hdfsd journalnode [-D key=value …]`."""
    conf, rest = configuration_of(arguments)
    if rest:
        raise ConfigError(f"journalnode takes no argument {rest[0]!r}")
    settings = JournalNodeSettings.from_configuration(conf)
    # What was imported stays: the collector need not look at it again.
    gc.freeze()
    world = World(disk=DiskOfLogs())
    return run_daemon(lambda: serve(settings, world))
