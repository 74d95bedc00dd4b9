"""Driver. One NameNode without its RPC server: state, desk, services and life, by hand.

`Desktop` is enough for handlers: a log that takes every frame, a clock set by hand, DataNodes that
say what a test makes them say. `World` puts the whole life on virtual time and a simulated disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

from memory_journal import JournalContent

from hdfsd.base.config import Configuration
from hdfsd.base.ids import Block, BlockId, GenStamp, NamespaceInfo, StorageInfo, TxId
from hdfsd.base.settings import NameNodeSettings
from hdfsd.blocks.manager import BlockManager
from hdfsd.editlog import codec
from hdfsd.editlog.ops import EditOp
from hdfsd.image.save import save
from hdfsd.image.sections import ImageHeader
from hdfsd.namenode.client_service import ClientService
from hdfsd.namenode.datanode_desk import DatanodeDesk
from hdfsd.namenode.datanode_service import DatanodeService
from hdfsd.namenode.desk import Desk
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.loader import load_image
from hdfsd.namenode.local_edits import LocalEdits
from hdfsd.namenode.monitors import Monitors
from hdfsd.namenode.principals import Rights
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage
from hdfsd.namenode.views import block_settings, new_namespace
from hdfsd.ports.snapshot import WrittenFile
from hdfsd.rpc.connection import Caller
from hdfsd.sim.clock import EPOCH_MS
from hdfsd.sim.dice import SimDice
from hdfsd.sim.disk import SimDisk
from hdfsd.sim.http import SimHttpClient, SimHttpServer
from hdfsd.sim.network import SimNetwork
from hdfsd.sim.world import World as SimWorld
from hdfsd.wire.messages import datanode, hdfs, hdfs_server
from hdfsd.wire.services import CLIENT_PROTOCOL, PROTOCOLS

T = TypeVar("T")
POOL = "BP-1-127.0.0.1-1"
INFO = NamespaceInfo(StorageInfo(-67, 77, 1234, "CID-x"), POOL)
CLIENT = b"0123456789abcdef"
TERABYTE = 1 << 40
RECEIVING, RECEIVED = 1, 2
HA_KEYS = {
    "dfs.nameservices": "ns1",
    "dfs.ha.namenodes.ns1": "nn1,nn2",
    "dfs.ha.namenode.id": "nn1",
    "dfs.namenode.rpc-address.ns1.nn1": "127.0.0.1:8020",
    "dfs.namenode.rpc-address.ns1.nn2": "127.0.0.1:8021",
    "dfs.namenode.http-address.ns1.nn1": "127.0.0.1:9870",
    "dfs.namenode.http-address.ns1.nn2": "127.0.0.1:9871",
    "dfs.namenode.shared.edits.dir": "qjournal://j1:8485;j2:8485;j3:8485/ns1",
}
KEYS = {
    "fs.defaultFS": "hdfs://127.0.0.1:8020",
    "dfs.namenode.name.dir": "/name",
    "dfs.namenode.fs-limits.min-block-size": "1",
    "dfs.namenode.safemode.extension": "0",
}


def settings(*, ha: bool = False, **keys: str) -> NameNodeSettings:
    """Small ones; a key's dots are written `__` and its dashes `_`."""
    more = {name.replace("__", ".").replace("_", "-"): value for name, value in keys.items()}
    values = {**KEYS, **(HA_KEYS if ha else {}), **more}
    return NameNodeSettings.from_configuration(Configuration.parse([], values), lambda host: True)


class Groups:
    """`hdfs` is the superuser; `root` is one by its group."""

    async def of(self, user: str) -> tuple[str, ...]:
        return self.at_once(user)

    def at_once(self, user: str) -> tuple[str, ...]:
        return ("supergroup",) if user == "root" else (f"{user}-group",)


class HandClock:
    def __init__(self) -> None:
        self.ms = 1_000_000
        self.jumped_ms = 0
        """How far somebody has set the wall clock forward."""

    def now_ms(self) -> int:
        return self.ms

    def wall_ms(self) -> int:
        return EPOCH_MS + self.ms + self.jumped_ms


class FrameLog:
    """Takes every transaction; `closed` as a journal's whose NameNode steps back."""

    def __init__(self, last_txid: int = 0) -> None:
        self.last_txid = TxId(last_txid)
        self.frames: list[bytes] = []

    def append(self, frame: bytes) -> TxId:
        self.frames.append(frame)
        self.last_txid = TxId(self.last_txid + 1)
        return self.last_txid

    def ops(self) -> list[EditOp]:
        return [op for frame in self.frames for op, _ in codec.iter_ops(frame)]


class Keeper:
    """namenode.client_admin.Keeper, counting."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.recent = False

    def has_recent_image(self, *, within_s: int, within_txns: int) -> bool:
        self.calls.append(f"recent {within_s} {within_txns}")
        return self.recent

    async def roll_edits(self) -> TxId:
        self.calls.append("roll")
        return TxId(42)

    async def save_namespace(self) -> TxId:
        self.calls.append("save")
        return TxId(41)


def call(
    method: str = "getFileInfo",
    user: str = "hdfs",
    *,
    call_id: int = 7,
    client_id: bytes = CLIENT,
    address: str = "10.0.0.1",
    protocol: str = CLIENT_PROTOCOL,
) -> Any:
    """What a handler sees of a call."""
    return SimpleNamespace(
        caller=Caller(user, None, address),
        client_id=client_id,
        call_id=call_id,
        retry_count=0,
        method=PROTOCOLS[protocol].methods[method],
    )


def new_state(chosen: NameNodeSettings, dice: Any | None = None) -> NameNodeState:
    """An empty namespace, as after a format."""
    return NameNodeState(
        info=INFO,
        namespace=new_namespace(chosen, "hdfs", EPOCH_MS),
        blocks=BlockManager(block_settings(chosen), dice or SimDice("nn"), INFO),
        applied_txid=TxId(0),
        retry_life_ms=600_000,
    )


class Desktop:
    """The handlers of an active NameNode out of safe mode, or of a standby that replays."""

    def __init__(self, *, active: bool = True, ha: bool = True, **keys: str) -> None:
        self.settings = settings(ha=ha, **keys)
        self.clock = HandClock()
        self.state = new_state(self.settings)
        self.desk = new_desk(self.settings, self.state, self.clock)
        self.keeper = Keeper()
        self.client = ClientService(self.desk, self.settings.server_defaults, self.keeper)
        self.datanode = DatanodeService(DatanodeDesk(self.desk))
        self.log = FrameLog()
        self.nodes: dict[str, datanode.DatanodeRegistrationProto] = {}
        self.state.blocks.loaded(self.clock.now_ms())
        self.state.ha_state = HAState.STANDBY
        if active:
            self.activate()

    def activate(self) -> None:
        self.log = FrameLog(self.state.applied_txid)
        self.state.log = self.log
        self.state.ha_state = HAState.ACTIVE
        for _ in self.state.blocks.become_active(self.clock.now_ms()):
            pass

    def ask(self, handler: str, request: Any, user: str = "hdfs", **about: Any) -> Any:
        """Calls a handler of ClientProtocol by its Python name."""
        method = next(
            m for m in PROTOCOLS[CLIENT_PROTOCOL].methods.values() if m.handler == handler
        )
        return getattr(self.client, handler)(request, call(method.name, user, **about))

    def replay_into(self, other: Desktop) -> None:
        """What a standby makes of all that was committed here."""
        for op in self.log.ops():
            now_ms = other.clock.now_ms()
            other.state.replay(op, TxId(other.state.applied_txid + 1), now_ms)

    # --- DataNodes ---

    def add_nodes(self, *names: str) -> None:
        """Each registers, sends a heartbeat and an empty full report."""
        for name in names:
            number = len(self.nodes) + 1
            reg = registration(name, number)
            blocks, now_ms = self.state.blocks, self.clock.now_ms()
            self.nodes[name] = blocks.register(reg, reg.datanodeID.ipAddr, now_ms)
            self.heartbeat(name)
            for _ in blocks.report_steps(
                datanode.BlockReportRequestProto(
                    registration=self.nodes[name],
                    blockPoolId=POOL,
                    reports=[
                        datanode.StorageBlockReportProto(
                            storage=hdfs.DatanodeStorageProto(storageUuid=f"{name}-s0"),
                            numberOfBlocks=0,
                            blocksBuffers=[b""],
                        )
                    ],
                    context=datanode.BlockReportContextProto(totalRpcs=1, curRpc=0, id=1),
                ),
                now_ms,
                0,
            ):
                pass

    def heartbeat(self, name: str) -> list[datanode.DatanodeCommandProto]:
        request = datanode.HeartbeatRequestProto(
            registration=self.nodes[name],
            reports=[
                hdfs.StorageReportProto(
                    storageUuid=f"{name}-s0",
                    storage=hdfs.DatanodeStorageProto(storageUuid=f"{name}-s0"),
                    capacity=2 * TERABYTE,
                    remaining=TERABYTE,
                )
            ],
        )
        commands, _ = self.state.blocks.heartbeat(request, self.clock.now_ms(), 0)
        return commands

    def received(self, block: Block, *names: str) -> None:
        """These nodes finished a replica."""
        for name in names:
            self.state.blocks.received_and_deleted(
                datanode.BlockReceivedAndDeletedRequestProto(
                    registration=self.nodes[name],
                    blockPoolId=POOL,
                    blocks=[
                        datanode.StorageReceivedDeletedBlocksProto(
                            storageUuid=f"{name}-s0",
                            blocks=[
                                datanode.ReceivedDeletedBlockInfoProto(
                                    block=hdfs.BlockProto(
                                        blockId=block.block_id,
                                        genStamp=block.gen_stamp,
                                        numBytes=block.num_bytes,
                                    ),
                                    status=RECEIVED,
                                )
                            ],
                        )
                    ],
                ),
                self.clock.now_ms(),
            )

    # --- what must not change ---

    def dump(self) -> list[object]:
        """All that a refused request could have changed."""
        namespace, blocks = self.state.namespace, self.state.blocks.blocks
        rows: list[object] = []
        for inode in namespace.inodes():
            values = inode._asdict()
            rows.append(tuple(sorted(values.items(), key=lambda item: item[0])))
            for block in values.get("blocks") or ():
                row = blocks.row(block.block_id)
                open_at = blocks.open.get(row)
                where = [r.storage.storage_id for r in open_at.replicas] if open_at else None
                rows.append((blocks.block(row), blocks.state(row), where))
        rows.extend((i, namespace.child_ids(i)) for i in namespace.directories_with_children())
        rows.append((namespace.last_inode_id, namespace.gen_stamp, namespace.last_block_id))
        rows.append(list(namespace.leases.open_files()))
        rows.append((len(self.log.frames), self.state.applied_txid, len(self.state.retry)))
        return rows


def new_desk(chosen: NameNodeSettings, state: NameNodeState, clock: Any) -> Desk:
    rights = Rights("hdfs", chosen.superuser_group, chosen.permissions_enabled)
    return Desk(
        state=state,
        clock=clock,
        principal_of=lambda user: rights.principal(user, Groups().at_once(user)),
        hostname=chosen.addresses.rpc.host,
        ha=chosen.ha,
    )


def registration(name: str, number: int) -> datanode.DatanodeRegistrationProto:
    return datanode.DatanodeRegistrationProto(
        datanodeID=hdfs.DatanodeIDProto(
            ipAddr=f"10.0.0.{number}",
            hostName=name,
            datanodeUuid=f"uuid-{name}",
            xferPort=9866,
            infoPort=9864,
            ipcPort=9867,
        ),
        storageInfo=hdfs_server.StorageInfoProto(
            layoutVersion=(-57) & 0xFFFFFFFF, namespceID=77, clusterID="CID-x", cTime=1234
        ),
        keys=hdfs_server.ExportedBlockKeysProto(
            isBlockTokenEnabled=False,
            keyUpdateInterval=0,
            tokenLifeTime=0,
            currentKey=hdfs_server.BlockKeyProto(keyId=0, expiryDate=0),
        ),
        softwareVersion="3.4.1",
    )


def block_of(located: hdfs.LocatedBlockProto, num_bytes: int | None = None) -> Block:
    b = located.b
    length = b.numBytes if num_bytes is None else num_bytes
    return Block(BlockId(b.blockId), length, GenStamp(b.generationStamp))


def extended(block: Block, pool: str = POOL) -> hdfs.ExtendedBlockProto:
    return hdfs.ExtendedBlockProto(
        poolId=pool,
        blockId=block.block_id,
        generationStamp=block.gen_stamp,
        numBytes=block.num_bytes,
    )


class DiskWriter:
    """ports.snapshot over a simulated disk; `fail` makes the next write end with this error."""

    def __init__(self, disk: Any) -> None:
        self._disk = disk
        self.fail: Exception | None = None
        self.written: list[Sequence[str]] = []

    async def write(
        self, paths: Sequence[str], chunks: Callable[[], Iterator[bytes]]
    ) -> WrittenFile:
        data = b"".join(chunks())
        if self.fail is not None:
            raise self.fail
        for path in paths:
            await self._disk.write_atomic(path, data)
        self.written.append(paths)
        return WrittenFile(len(data), hashlib.md5(data).hexdigest())


@dataclass
class Ports:
    """One machine's ports on the loop of the world itself, so that errors reach the test."""

    world: SimWorld
    name: str = "nn1"

    def __post_init__(self) -> None:
        machine = self.world.add_machine(self.name)
        lane = self.world.loop.world
        self.machine = machine
        self.clock = machine.clock
        self.dice = self.world.dice.fork(self.name)
        self.disk = SimDisk(machine.platter, lane)
        self.network = SimNetwork(self.world.fabric, machine.host, lane)
        self.http_server = SimHttpServer(self.network, self.disk)
        self.http_client = SimHttpClient(self.network)


class LivingNameNode:
    """Formatted and loaded; `lifecycle` is there, not started."""

    def __init__(self, ports: Ports, content: JournalContent | None, **keys: str) -> None:
        self.ports = ports
        self.content = content
        self.settings = settings(ha=content is not None, **keys)
        self.storage = NameStorage(
            disk=ports.disk,
            image_dirs=self.settings.name_dirs,
            edits_dirs=self.settings.edits_dirs,
        )
        self.writer = DiskWriter(ports.disk)

    async def format(self) -> None:
        await self.storage.format(INFO, "a date")
        namespace = new_namespace(self.settings, "hdfs", self.ports.clock.wall_ms())
        header = ImageHeader(77, TxId(0))
        data = b"".join(save(namespace, header))

        async def body() -> AsyncIterator[bytes]:
            yield data

        await self.storage.receive_image(TxId(0), body(), size=len(data), md5_hex=None)

    def load(self) -> None:
        ports, chosen = self.ports, self.settings
        self.state = load_image(
            self.storage,
            info=INFO,
            make_namespace=lambda: new_namespace(chosen, "hdfs", ports.clock.wall_ms()),
            blocks=BlockManager(block_settings(chosen), ports.dice, INFO),
            retry_life_ms=chosen.retry_cache_expiry_ms,
        )
        self.local = LocalEdits(
            disk=ports.disk, storage=self.storage, directories_min=chosen.edits_dirs_min
        )
        self.monitors = Monitors(
            state=self.state,
            storage=self.storage,
            clock=ports.clock,
            disk=ports.disk,
            settings=chosen,
        )
        self.lifecycle = Lifecycle(
            settings=chosen,
            state=self.state,
            storage=self.storage,
            local=self.local,
            make_journal=self.content.open if self.content is not None else None,
            peers=[],
            clock=ports.clock,
            disk=ports.disk,
            http=ports.http_client,
            snapshots=self.writer,
            monitors=self.monitors,
        )
        self.desk = new_desk(chosen, self.state, ports.clock)
        self.client = ClientService(self.desk, chosen.server_defaults, self.lifecycle)


def on_virtual_time(
    story: Callable[[LivingNameNode], Coroutine[Any, Any, T]],
    *,
    ha: bool = True,
    **keys: str,
) -> T:
    """Plays a story with one formatted, loaded NameNode; without `ha` it has no journal."""
    world = SimWorld("namenode")

    async def play() -> T:
        made = LivingNameNode(Ports(world), JournalContent() if ha else None, **keys)
        await made.format()
        made.load()
        return await story(made)

    return world.run(play())
