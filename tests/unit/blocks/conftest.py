"""A small world of DataNodes around one BlockManager, driven by hand."""

from __future__ import annotations

import random

import pytest

from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId, NamespaceInfo, StorageInfo
from hdfsd.blocks.manager import BlockManager
from hdfsd.blocks.settings import BlockSettings
from hdfsd.wire.messages import datanode, hdfs, hdfs_server

POOL = "BP-1-127.0.0.1-1"
INFO = NamespaceInfo(StorageInfo(-67, 77, 0, "CID-1"), POOL)
FIRST = 1073741825
TERABYTE = 1 << 40
RECEIVING, RECEIVED, DELETED = 1, 2, 3


class SeededDice:
    def __init__(self, seed=0):
        self._random = random.Random(seed)

    def below(self, limit):
        return self._random.randrange(limit)

    def fraction(self):
        return self._random.random()

    def pick(self, items):
        return self._random.choice(items)

    def shuffle(self, items):
        self._random.shuffle(items)

    def token(self, count):
        return self._random.randbytes(count)


def block(number, length=100, stamp=1001):
    return Block(BlockId(FIRST + number), length, GenStamp(stamp))


def registration(name, number, *, cluster="CID-1", ip=None):
    return datanode.DatanodeRegistrationProto(
        datanodeID=hdfs.DatanodeIDProto(
            ipAddr=ip or f"10.0.0.{number}",
            hostName=name,
            datanodeUuid=f"uuid-{name}",
            xferPort=9866,
            infoPort=9864,
            ipcPort=9867,
        ),
        storageInfo=hdfs_server.StorageInfoProto(
            layoutVersion=(-57) & 0xFFFFFFFF, namespceID=77, clusterID=cluster, cTime=0
        ),
        keys=hdfs_server.ExportedBlockKeysProto(
            isBlockTokenEnabled=False,
            keyUpdateInterval=0,
            tokenLifeTime=0,
            currentKey=hdfs_server.BlockKeyProto(keyId=0, expiryDate=0),
        ),
        softwareVersion="3.4.1",
    )


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_replicas(replicas):
    """The compact form of (id, length, stamp, state) rows."""
    return b"".join(
        varint((r[0] << 1 ^ r[0] >> 63) & (1 << 64) - 1) + b"".join(varint(v) for v in r[1:])
        for r in replicas
    )


class World:
    """Nodes are called by name; each has the storages `<name>-s0`, `<name>-s1` …"""

    POOL, INFO, FIRST, Dice = POOL, INFO, FIRST, SeededDice
    RECEIVING, RECEIVED, DELETED = RECEIVING, RECEIVED, DELETED
    block = staticmethod(block)
    registration = staticmethod(registration)
    encode_replicas = staticmethod(encode_replicas)
    varint = staticmethod(varint)

    def __init__(self, *, active=True, seed=0, racks=None, **settings):
        settings = {"safemode_extension_ms": 0, **settings}
        self.settings = BlockSettings(**settings)
        self.manager = BlockManager(self.settings, SeededDice(seed), INFO, racks)
        self.now_ms = 1_000
        self.registrations = {}
        self.storage_counts = {}
        self.manager.loaded(self.now_ms)
        if active:
            self.activate()

    def activate(self):
        for _ in self.manager.become_active(self.now_ms):
            pass

    def add_node(self, name, *, storages=1, remaining=TERABYTE, xceivers=0, report=True):
        """Registers, sends a heartbeat, and an empty full report unless told not to."""
        number = len(self.registrations) + 1
        self.registrations[name] = registration(name, number)
        self.storage_counts[name] = storages
        self.register(name)
        self.heartbeat(name, remaining=remaining, xceivers=xceivers)
        if report:
            for index in range(storages):
                self.full_report(name, [], storage=index)
        return self.manager.node(f"uuid-{name}")

    def register(self, name):
        reg = self.registrations[name]
        self.registrations[name] = self.manager.register(reg, reg.datanodeID.ipAddr, self.now_ms)

    def heartbeat(self, name, *, remaining=TERABYTE, xceivers=0, xmits=0, failed=(), lease=False):
        """The commands; storages in `failed` (by index) are reported failed."""
        request = datanode.HeartbeatRequestProto(
            registration=self.registrations[name],
            xceiverCount=xceivers,
            xmitsInProgress=xmits,
            requestFullBlockReportLease=lease,
            reports=[
                hdfs.StorageReportProto(
                    storageUuid=f"{name}-s{index}",
                    storage=hdfs.DatanodeStorageProto(storageUuid=f"{name}-s{index}"),
                    capacity=2 * TERABYTE,
                    dfsUsed=TERABYTE // 2,
                    remaining=remaining,
                    blockPoolUsed=TERABYTE // 4,
                    failed=index in failed,
                )
                for index in range(self.storage_counts[name])
            ],
        )
        commands, self.lease = self.manager.heartbeat(request, self.now_ms, 1_700_000_000_000)
        return commands

    def lifeline(self, name):
        request = datanode.HeartbeatRequestProto(
            registration=self.registrations[name],
            reports=[
                hdfs.StorageReportProto(storageUuid=f"{name}-s{index}", remaining=TERABYTE)
                for index in range(self.storage_counts[name])
            ],
        )
        self.manager.lifeline(request, self.now_ms, 0)

    def report_request(self, name, replicas, *, storage=0, lease=0):
        return datanode.BlockReportRequestProto(
            registration=self.registrations[name],
            blockPoolId=POOL,
            reports=[
                datanode.StorageBlockReportProto(
                    storage=hdfs.DatanodeStorageProto(storageUuid=f"{name}-s{storage}"),
                    numberOfBlocks=len(replicas),
                    blocksBuffers=[encode_replicas(replicas)],
                )
            ],
            context=datanode.BlockReportContextProto(totalRpcs=1, curRpc=0, id=1, leaseId=lease),
        )

    def full_report(self, name, replicas, *, storage=0, lease=0):
        """`replicas`: Blocks (finalized) or (Block, state)."""
        rows = []
        for replica in replicas:
            what, state = replica if isinstance(replica, tuple) else (replica, 0)
            rows.append((what.block_id, what.num_bytes, what.gen_stamp, state))
        request = self.report_request(name, rows, storage=storage, lease=lease)
        steps = self.manager.report_steps(request, self.now_ms, 0)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                return done.value

    def change(self, name, status, what, *, storage=0, hint=""):
        """An incremental report of one block."""
        self.manager.received_and_deleted(
            datanode.BlockReceivedAndDeletedRequestProto(
                registration=self.registrations[name],
                blockPoolId=POOL,
                blocks=[
                    datanode.StorageReceivedDeletedBlocksProto(
                        storageUuid=f"{name}-s{storage}",
                        storage=hdfs.DatanodeStorageProto(storageUuid=f"{name}-s{storage}"),
                        blocks=[
                            datanode.ReceivedDeletedBlockInfoProto(
                                block=hdfs.BlockProto(
                                    blockId=what.block_id & (1 << 64) - 1,
                                    genStamp=what.gen_stamp,
                                    numBytes=what.num_bytes,
                                ),
                                status=status,
                                deleteHint=hint,
                            )
                        ],
                    )
                ],
            ),
            self.now_ms,
        )

    def received(self, name, what, **kwargs):
        self.change(name, RECEIVED, what, **kwargs)

    def deleted(self, name, what, **kwargs):
        self.change(name, DELETED, what, **kwargs)

    def tick(self, ms=3_000):
        self.now_ms += ms
        for _ in self.manager.tick(self.now_ms):
            pass

    def add_block(self, number=0, *, replication=3, length=100, stamp=1001, open_=False):
        what = block(number, length, stamp)
        self.manager.add_block(InodeId(16386 + number), what, replication, open_)
        return what

    def storage(self, name, index=0):
        return self.manager.node(f"uuid-{name}").storages[f"{name}-s{index}"]

    def holders(self, what):
        """Names of the nodes with a finalized replica in the map."""
        row = self.manager.blocks.row(what.block_id)
        return sorted(s.node.host for s in self.manager.blocks.holders(row))

    def counts(self, what):
        return self.manager.redundancy.counts(self.manager.blocks.need(what.block_id))


def deletions(commands):
    """Block ids that an INVALIDATE among the commands names."""
    return sorted(
        proto.blockId
        for command in commands
        if command.HasField("blkCmd")
        and command.blkCmd.action == datanode.BlockCommandProto.INVALIDATE
        for proto in command.blkCmd.blocks
    )


def transfers(commands):
    """(block id, names of the targets) of each TRANSFER."""
    return [
        (proto.blockId, sorted(node.id.hostName for node in targets.datanodes))
        for command in commands
        if command.HasField("blkCmd")
        and command.blkCmd.action == datanode.BlockCommandProto.TRANSFER
        for proto, targets in zip(command.blkCmd.blocks, command.blkCmd.targets)
    ]


World.deletions = staticmethod(deletions)
World.transfers = staticmethod(transfers)


@pytest.fixture(scope="session")
def worlds():
    """The class: for tests that make their own, and for its little builders."""
    return World


@pytest.fixture
def world():
    """An active NameNode out of safe mode, without DataNodes."""
    return World()
