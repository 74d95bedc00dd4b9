"""Driver. One JournalNode: its journals behind an RPC and an HTTP address. Wiring, no decisions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hdfsd.base.ids import Address
from hdfsd.base.nameservices import LocalHost
from hdfsd.base.settings import JournalNodeSettings
from hdfsd.journal.node import EDIT_CACHE_BYTES, JournalNode
from hdfsd.journal.peers import Peer
from hdfsd.journal.service import JournalService
from hdfsd.journal.syncer import JournalSyncer, SyncOptions
from hdfsd.ports.http import Handler
from hdfsd.ports.network import Listener
from hdfsd.ports.process import ProcessPorts
from hdfsd.rpc.server import RpcServer, ServerLimits
from hdfsd.wire.services import INTER_QJOURNAL_PROTOCOL, QJOURNAL_PROTOCOL

log = logging.getLogger(__name__)

PEER_TIMEOUT_MS = 20_000
"""For one question to another JournalNode; a healthy one answers from memory."""


class JournalNodeServer:
    """One JournalNode: startup, run, shutdown."""

    def __init__(
        self,
        settings: JournalNodeSettings,
        ports: ProcessPorts,
        *,
        make_handler: Callable[[JournalNode], Handler],
        is_local_host: LocalHost,
        make_service: Callable[[JournalNode], JournalService] = JournalService,
        user: str = "hdfs",
    ) -> None:
        """`make_handler` gives the handler of the HTTP address (web.edits_transfer); `user` is who
        peers are asked as."""
        self._settings = settings
        self._ports = ports
        self._make_handler = make_handler
        self._is_local_host = is_local_host
        self._user = user
        self._http: Listener | None = None
        self._syncing: list[asyncio.Task[None]] = []
        self.node = JournalNode(
            settings.edits_dir_of,
            disk=ports.disk,
            http=ports.http_client,
            clock=ports.clock,
            cache_bytes=_cache_bytes(settings),
            directory_mode=settings.directory_mode,
            fetch_timeout_ms=settings.transfer_timeout_ms,
            fetch_bandwidth=settings.transfer_bandwidth,
        )
        service = make_service(self.node)
        self.rpc = RpcServer(
            {QJOURNAL_PROTOCOL: service, INTER_QJOURNAL_PROTOCOL: service},
            clock=ports.clock,
            limits=ServerLimits(frame_bytes_max=settings.rpc_frame_bytes_max),
        )

    async def startup(self) -> None:
        """Opens the journals, then both addresses. Raises ConfigError or StorageError."""
        settings, ports = self._settings, self._ports
        self._http = await ports.http_server.serve(
            settings.http_bind, self._make_handler(self.node)
        )
        self.node.http_address = Address(settings.http.host, self._http.address.port)
        self.node.is_own_host = self._is_own_host
        await self.node.open_all((settings.edits_dir, *settings.edits_dirs.values()))
        await self.rpc.start(ports.network, settings.rpc_bind)
        self.node.rpc_address = Address(settings.rpc.host, self.rpc.address.port)
        log.info(
            "JournalNode up: RPC at %s, HTTP at %s, journals in %s",
            self.rpc.address,
            self.node.http_address,
            settings.edits_dir,
        )

        self._syncing = [asyncio.ensure_future(syncer.run()) for syncer in self._syncers()]

    def _syncers(self) -> list[JournalSyncer]:
        """One for each journal that the configuration names with other JournalNodes."""
        settings = self._settings
        if not settings.sync_enabled:
            return []
        options = SyncOptions(settings.sync_interval_ms, settings.sync_may_format)
        found = []
        for journal in settings.journals:
            addresses = settings.peers_of(journal.journal_id, self._is_local_host)
            if addresses:
                found.append(
                    JournalSyncer(
                        self.node,
                        journal.journal_id,
                        addresses,
                        options=options,
                        make_peer=self._peer,
                    )
                )
        return found

    def _peer(self, address: Address, journal_id: str) -> Peer:
        ports = self._ports
        return Peer(
            address,
            journal_id,
            network=ports.network,
            http=ports.http_client,
            dice=ports.dice,
            user=self._user,
            timeout_ms=PEER_TIMEOUT_MS,
        )

    def _is_own_host(self, host: str) -> bool:
        own = (self._settings.rpc.host, self._settings.http.host)
        return host in own or self._is_local_host(host)

    async def run(self) -> None:
        """Serves until cancelled; raises InvariantBroken."""
        await self.rpc.run()

    async def shutdown(self) -> None:
        for task in self._syncing:
            task.cancel()
        await asyncio.gather(*self._syncing, return_exceptions=True)
        await self.rpc.stop()
        if self._http is not None:
            await self._http.close()
        await self.node.close()
        await self._ports.http_client.close()


def _cache_bytes(settings: JournalNodeSettings) -> int | None:
    if not settings.in_progress_tailing:
        return None
    return EDIT_CACHE_BYTES if settings.edit_cache_bytes is None else settings.edit_cache_bytes
