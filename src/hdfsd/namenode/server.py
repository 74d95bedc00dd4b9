"""Driver. One NameNode: state, services, web and life, wired to the ports of its process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hdfsd.base.errors import cause_of
from hdfsd.base.ids import Address, NamespaceInfo
from hdfsd.base.settings import NameNodeSettings
from hdfsd.blocks.manager import BlockManager
from hdfsd.namenode.client_service import ClientService
from hdfsd.namenode.datanode_desk import DatanodeDesk
from hdfsd.namenode.datanode_service import DatanodeLifelineService, DatanodeService
from hdfsd.namenode.desk import Desk
from hdfsd.namenode.ha_service import HaService
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.loader import load_image, replay_local
from hdfsd.namenode.local_edits import LocalEdits
from hdfsd.namenode.monitors import Monitors
from hdfsd.namenode.peer_service import PeerService
from hdfsd.namenode.principals import Lives, Principals, Rights
from hdfsd.namenode.refresh_service import RefreshService
from hdfsd.namenode.shared_journal import open_journal, tell_what_it_needs
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage
from hdfsd.namenode.views import block_settings, new_namespace
from hdfsd.ports.groups import Groups
from hdfsd.ports.http import Handler
from hdfsd.ports.journal import Journal
from hdfsd.ports.network import Listener
from hdfsd.ports.process import ProcessPorts
from hdfsd.ports.snapshot import SnapshotWriter
from hdfsd.rpc.client import RpcClient
from hdfsd.rpc.server import RpcServer, ServerLimits
from hdfsd.wire.services import (
    CLIENT_PROTOCOL,
    DATANODE_LIFELINE_PROTOCOL,
    DATANODE_PROTOCOL,
    GENERIC_REFRESH_PROTOCOL,
    HA_SERVICE_PROTOCOL,
    NAMENODE_PROTOCOL,
)

log = logging.getLogger(__name__)

MakeHandler = Callable[[NameNodeState, NameStorage, Lifecycle], Handler]
"""The handler of the HTTP address (web.namenode_http), which lies above this room."""


class NameNodeServer:
    """One NameNode: startup, run, shutdown."""

    def __init__(
        self,
        settings: NameNodeSettings,
        ports: ProcessPorts,
        *,
        user: str,
        groups: Groups,
        snapshots: SnapshotWriter,
        make_handler: MakeHandler,
        on_loaded: Callable[[], None] | None = None,
    ) -> None:
        """`on_loaded` is called once, when what was loaded is in memory to stay."""
        self._settings = settings
        self._ports = ports
        self._user = user
        self._groups = groups
        self._snapshots = snapshots
        self._make_handler = make_handler
        self._on_loaded = on_loaded
        self._storage = NameStorage(
            disk=ports.disk, image_dirs=settings.name_dirs, edits_dirs=settings.edits_dirs
        )
        self.state: NameNodeState | None = None
        """None until `startup` has loaded it."""
        self._servers: list[RpcServer] = []
        self._peers: list[RpcClient] = []
        self._principals: Principals | None = None
        self._http: Listener | None = None
        self._lifecycle: Lifecycle | None = None

    async def startup(self) -> None:
        """Loads, opens the addresses, becomes standby. Raises StorageError or ConfigError."""
        settings, ports, storage = self._settings, self._ports, self._storage
        tell_what_it_needs(settings)
        storage.lock()
        info = storage.read_info()
        self.state = state = load_image(
            storage,
            info=info,
            make_namespace=lambda: new_namespace(settings, self._user, ports.clock.wall_ms()),
            blocks=BlockManager(block_settings(settings), ports.dice, info),
            retry_life_ms=settings.retry_cache_expiry_ms,
        )
        local = LocalEdits(
            disk=ports.disk, storage=storage, directories_min=settings.edits_dirs_min
        )
        if settings.journal is None:
            seen_txid = storage.read_seen_txid()
            await replay_local(state, local, seen_txid=seen_txid, now_ms=ports.clock.now_ms())
        monitors = Monitors(
            state=state, storage=storage, clock=ports.clock, disk=ports.disk, settings=settings
        )
        self._peers = [self._client(peer.for_servers, NAMENODE_PROTOCOL) for peer in settings.peers]
        self._lifecycle = lifecycle = Lifecycle(
            settings=settings,
            state=state,
            storage=storage,
            local=local,
            make_journal=self._journal_maker(info),
            peers=self._peers,
            clock=ports.clock,
            disk=ports.disk,
            http=ports.http_client,
            snapshots=self._snapshots,
            monitors=monitors,
        )
        self._principals = principals = Principals(
            self._groups,
            ports.clock,
            Rights(self._user, settings.superuser_group, settings.permissions_enabled),
            Lives(settings.group_cache_ms, settings.group_negative_cache_ms),
        )
        desk = Desk(
            state=state,
            clock=ports.clock,
            principal_of=principals.of,
            hostname=settings.addresses.rpc.host,
            ha=settings.ha,
        )
        self._http = await ports.http_server.serve(
            settings.http_bind, self._make_handler(state, storage, lifecycle)
        )
        services = self._services(desk, lifecycle, monitors)
        await lifecycle.start()
        if self._on_loaded is not None:
            self._on_loaded()
        for address in (settings.rpc_bind, settings.service_rpc_bind):
            if address is not None:
                server = RpcServer(
                    services,
                    clock=ports.clock,
                    limits=ServerLimits(frame_bytes_max=settings.rpc_frame_bytes_max),
                    state_id=(lambda: state.applied_txid) if settings.state_context else None,
                )
                server.introduce = principals.introduce
                lifecycle.guard(server)
                await server.start(ports.network, address)
                self._servers.append(server)
                log.info("NameNode %s up: RPC at %s", settings.node_id, server.address)

    def _services(self, desk: Desk, lifecycle: Lifecycle, monitors: Monitors) -> dict[str, object]:
        datanodes = DatanodeDesk(desk)
        return {
            CLIENT_PROTOCOL: ClientService(desk, self._settings.server_defaults, lifecycle),
            DATANODE_PROTOCOL: DatanodeService(datanodes),
            DATANODE_LIFELINE_PROTOCOL: DatanodeLifelineService(datanodes),
            NAMENODE_PROTOCOL: PeerService(desk, lifecycle, self._storage, self._ports.disk),
            GENERIC_REFRESH_PROTOCOL: RefreshService(desk, lifecycle),
            HA_SERVICE_PROTOCOL: HaService(
                desk,
                lifecycle,
                monitors,
                automatic_failover=self._settings.automatic_failover,
                active_in_safemode=self._settings.active_in_safemode,
            ),
        }

    def _journal_maker(self, info: NamespaceInfo) -> Callable[[], Journal] | None:
        if self._settings.journal is None:
            return None
        return lambda: open_journal(self._settings, info, self._ports, self._user)

    def _client(self, address: Address, protocol: str) -> RpcClient:
        ports = self._ports
        return RpcClient(ports.network, address, protocol, user=self._user, dice=ports.dice)

    async def run(self) -> None:
        """Serves until cancelled; raises what ended a background task, a transition, a server."""
        assert self._lifecycle is not None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._lifecycle.run())
                for server in self._servers:
                    group.create_task(server.run())
        except BaseExceptionGroup as failures:
            # A lost quorum is one line of a log, not the traceback of a group.
            cause = cause_of(failures)
            raise cause from cause.__cause__

    async def shutdown(self) -> None:
        for server in self._servers:
            await server.stop()
        if self._lifecycle is not None:
            await self._lifecycle.stop()
        if self._principals is not None:
            await self._principals.close()
        for peer in self._peers:
            await peer.close()
        if self._http is not None:
            await self._http.close()
        await self._ports.http_client.close()
        self._storage.unlock()

    @property
    def lifecycle(self) -> Lifecycle:
        """Only after `startup`."""
        assert self._lifecycle is not None, "not started"
        return self._lifecycle
