"""Adapter. `hdfsd datanode`: wires settings, volumes, data port, RPC, one actor per NameNode."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from dataclasses import replace

from hdfsd.base.errors import ConfigError, NotBuilt
from hdfsd.base.ids import NodeId
from hdfsd.base.nameservices import WILDCARDS, NameNodeAddresses
from hdfsd.base.settings import DataNodeSettings
from hdfsd.daemons.world import World, run_daemon
from hdfsd.datanode.actor import Actor, ActorSettings
from hdfsd.datanode.listener import LoopListener
from hdfsd.datanode.offer import Offer
from hdfsd.datanode.peers import Peers, TransferSettings
from hdfsd.datanode.recoverer import Recoverer
from hdfsd.datanode.registration import Ports
from hdfsd.datanode.services import ClientDatanodeService, InterDatanodeService
from hdfsd.datanode.store import Store
from hdfsd.datanode.volume import Volume, open_volumes
from hdfsd.datanode.xceiver import XceiverServer
from hdfsd.io.site import configuration_of, current_user
from hdfsd.rpc.client import RpcClient
from hdfsd.rpc.server import RpcServer, ServerLimits
from hdfsd.wire.messages import hdfs
from hdfsd.wire.services import (
    CLIENT_DATANODE_PROTOCOL,
    DATANODE_PROTOCOL,
    INTER_DATANODE_PROTOCOL,
)

log = logging.getLogger(__name__)


class DataNodeDaemon:
    """One DataNode: startup, run, shutdown."""

    def __init__(self, settings: DataNodeSettings, world: World) -> None:
        self._settings = settings
        self._world = world
        self._namenodes = _namenodes(settings)
        self._volumes: list[Volume] = []
        self._xceivers: XceiverServer | None = None
        self._rpc: RpcServer | None = None
        self.offer: Offer | None = None

    async def startup(self) -> None:
        """Locks the volumes and opens the ports. Raises ConfigError or StorageError."""
        settings, world = self._settings, self._world
        self._volumes = open_volumes(
            settings.directories,
            mode=settings.directory_mode,
            reserved_bytes=settings.reserved_bytes,
            failures_max=settings.failed_volumes_tolerated,
            lock=world.disk.lock,
        )
        listener = LoopListener()
        store = Store(self._volumes, listener)
        self._xceivers = xceivers = XceiverServer(
            store, Peers(TransferSettings.of(settings), self._myself)
        )
        data = xceivers.start(settings.data)
        recoverer = Recoverer(
            store,
            network=world.network,
            dice=world.dice,
            user=current_user(),
            timeout_ms=settings.socket_timeout_ms,
            use_hostname=settings.use_hostname,
        )
        ports = Ports(_own_ip(settings), _own_name(settings), data.port, settings.http.port, 0)
        self.offer = offer = Offer(store, xceivers, recoverer, ports)
        listener.offer = offer
        client_service = ClientDatanodeService(
            store, offer, world.clock, balance_bandwidth=settings.balance_bandwidth
        )
        self._rpc = RpcServer(
            {
                CLIENT_DATANODE_PROTOCOL: client_service,
                INTER_DATANODE_PROTOCOL: InterDatanodeService(store),
            },
            clock=world.clock,
            limits=ServerLimits(frame_bytes_max=settings.rpc_frame_bytes_max),
        )
        await self._rpc.start(world.network, settings.ipc)
        offer.ports = replace(ports, ipc=self._rpc.address.port)
        offer.serve([self._actor(store, offer, namenode) for namenode in self._namenodes])
        log.info("DataNode up: data at %s, RPC at %s", data, self._rpc.address)

    def _actor(self, store: Store, offer: Offer, namenode: NameNodeAddresses) -> Actor:
        settings, world = self._settings, self._world
        return Actor(
            NodeId(namenode.node_id or str(namenode.for_servers)),
            RpcClient(
                world.network,
                namenode.for_servers,
                DATANODE_PROTOCOL,
                user=current_user(),
                dice=world.dice,
            ),
            store,
            offer,
            settings=ActorSettings.of(settings),
            clock=world.clock,
            dice=world.dice,
        )

    def _myself(self) -> hdfs.DatanodeIDProto:
        assert self.offer is not None
        return self.offer.myself

    async def run(self) -> None:
        """Serves until cancelled; raises InvariantBroken."""
        assert self._rpc is not None
        assert self.offer is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rpc.run())
            for actor in self.offer.actors:
                group.create_task(actor.run())

    async def shutdown(self) -> None:
        if self._xceivers is not None:
            self._xceivers.stop()
        if self._rpc is not None:
            await self._rpc.stop()
        for volume in self._volumes:
            volume.close()


def _namenodes(settings: DataNodeSettings) -> tuple[NameNodeAddresses, ...]:
    if len(settings.nameservices) != 1:
        raise NotBuilt(
            f"a DataNode of several nameservices ({', '.join(settings.nameservices)}); "
            "name one in dfs.internal.nameservices"
        )
    return next(iter(settings.nameservices.values()))


def _own_name(settings: DataNodeSettings) -> str:
    return settings.hostname or socket.gethostname()


def _own_ip(settings: DataNodeSettings) -> str:
    # A NameNode replaces it with the address that it sees our calls come from.
    host = settings.data.host if settings.data.host not in WILDCARDS else _own_name(settings)
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return "127.0.0.1"


async def serve(settings: DataNodeSettings, world: World) -> None:
    """The whole life of a DataNode; ends when it is cancelled."""
    daemon = DataNodeDaemon(settings, world)
    try:
        await daemon.startup()
        await daemon.run()
    finally:
        await daemon.shutdown()


def main(arguments: Sequence[str]) -> int:
    """`hdfsd datanode [-D key=value …]`."""
    conf, rest = configuration_of(arguments)
    if rest:
        raise ConfigError(f"datanode takes no argument {rest[0]!r}")
    settings = DataNodeSettings.from_configuration(conf)
    return run_daemon(lambda: serve(settings, World()))
