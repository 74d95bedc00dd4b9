"""Driver. What a NameNode looks after by itself: blocks, leases, disk space. No decisions here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from hdfsd.base.errors import RemoteFault
from hdfsd.base.ids import InodeId
from hdfsd.base.settings import NameNodeSettings
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage
from hdfsd.namenode.turns import at_leisure
from hdfsd.namespace import mutate
from hdfsd.ports.clock import Clock
from hdfsd.ports.disk import Disk

log = logging.getLogger(__name__)


class Monitors:
    def __init__(
        self,
        *,
        state: NameNodeState,
        storage: NameStorage,
        clock: Clock,
        disk: Disk,
        settings: NameNodeSettings,
    ) -> None:
        self._state = state
        self._storage = storage
        self._clock = clock
        self._disk = disk
        self._settings = settings
        self.unhealthy: str | None = None
        """Why this NameNode should not be active (NameNodeResourceChecker); None when it may."""

    async def watch_blocks(self) -> None:
        """Dead DataNodes, safe mode, replication work: in every state, commands only as active."""
        while True:
            await asyncio.sleep(self._settings.replication.redundancy_interval_ms / 1000)
            await at_leisure(self._state.blocks.tick(self._clock.now_ms()), self._state)

    async def watch_removals(self) -> None:
        """Frees big trees that were deleted, beside the calls, in every state."""
        more = asyncio.Event()
        more.set()  # The log that was read at the start may have left some.
        self._state.on_detached = more.set
        while True:
            await more.wait()
            more.clear()
            await at_leisure(self._state.free_detached(), self._state)

    async def watch_leases(self) -> None:
        """Releases what is past the hard limit (LeaseManager.Monitor); active only.

        First of all those of files that another NameNode had begun to cut: who truncated them was
        told to wait for that, and will not come again."""
        leases, blocks = self._state.namespace.leases, self._state.blocks
        looked_for_uncut = False
        while True:
            await asyncio.sleep(self._settings.lease.recheck_ms / 1000)
            if blocks.safe_mode.active:
                continue
            if not looked_for_uncut:
                looked_for_uncut = True
                await self._release_all(blocks.left_uncut())
            for holder, inode_ids in leases.hard_expired(self._clock.now_ms()):
                log.info("the lease of %s is past its hard limit", holder)
                await self._release_all(inode_ids)

    async def _release_all(self, inode_ids: Iterable[InodeId]) -> None:
        for inode_id in inode_ids:
            try:
                self._release(inode_id)
            except RemoteFault as error:
                # Its blocks still lack replicas, say: nobody hears it, it is tried again.
                log.warning("inode %d keeps its lease for now: %s", inode_id, error)
            await asyncio.sleep(0)

    def _release(self, inode_id: InodeId) -> None:
        state, now_ms = self._state, self._clock.now_ms()
        if not state.namespace.has(inode_id) or state.namespace.writer_of(inode_id) is None:
            return
        plan = mutate.release_lease(state.namespace, self._clock.wall_ms(), inode_id, state.blocks)
        state.commit(plan.ops, now_ms)
        if plan.recovery is not None:
            state.blocks.start_recovery(
                plan.recovery.block.block_id,
                plan.recovery.recovery_id,
                now_ms,
                new_length=plan.recovery.new_length,
            )

    async def watch_resources(self) -> None:
        """Free space under the reserve: safe mode, and unhealthy for the failover controller."""
        while True:
            self.look_at_disks()
            await asyncio.sleep(self._settings.resources.check_interval_ms / 1000)

    def look_at_disks(self) -> None:
        """Once; `unhealthy` says what was found."""
        resources = self._settings.resources
        low = []
        directories = [*self._storage.all_dirs, *resources.more_directories]
        for directory in directories:
            free = self._disk.free_bytes(directory)
            if free < resources.reserved_bytes:
                low.append(f"{directory} has {free} bytes free of {resources.reserved_bytes}")
        before = self.unhealthy
        enough = len(directories) - len(low) >= resources.volumes_min
        self.unhealthy = None if enough else f"disk space is low: {'; '.join(low)}"
        if self.unhealthy and not before:
            log.warning("%s", self.unhealthy)
            if self._state.is_active:
                self._state.blocks.enter_safe_mode(resources_low=True)
