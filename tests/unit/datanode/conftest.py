"""Adapter. DataNodes without NameNodes, and a client that sends what it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hdfsd.base.ids import Address, Block, BlockId, GenStamp, NamespaceInfo, StorageInfo
from hdfsd.datanode.peers import Peers, TransferSettings
from hdfsd.datanode.registration import extended_block_message
from hdfsd.datanode.reporter import BlockChange, BlockStatus
from hdfsd.datanode.store import Store
from hdfsd.datanode.stream import Stream
from hdfsd.datanode.volume import Volume
from hdfsd.datanode.xceiver import XceiverServer
from hdfsd.io.disk import RealDisk
from hdfsd.wire.checksum import ChunkChecksum
from hdfsd.wire.messages import data_transfer, hdfs
from hdfsd.wire.packets import Op, Stage, Status, delimited, operation, packet_header, scan_packet

NAMESPACE = NamespaceInfo(StorageInfo(-67, 42, 1_700_000_000_000, "CID-1"), "BP-1-127.0.0.1-1")
TIMEOUT_MS = 10_000
CRC = ChunkChecksum()


class News:
    """A listener that keeps what it hears, and can be waited for."""

    def __init__(self) -> None:
        self.changes: list[BlockChange] = []
        self.corrupted: list[tuple[Block, str]] = []
        self._more = threading.Condition()

    def changed(self, change: BlockChange) -> None:
        with self._more:
            self.changes.append(change)
            self._more.notify_all()

    def corrupt(self, block: Block, storage_id: str, reason: str) -> None:
        with self._more:
            self.corrupted.append((block, reason))
            self._more.notify_all()

    def wait(self, holds: Callable[[], object]) -> None:
        with self._more:
            assert self._more.wait_for(holds, TIMEOUT_MS / 1000), (self.changes, self.corrupted)

    def wait_for(self, status: BlockStatus, block_id: int) -> None:
        self.wait(lambda: (status, block_id) in self.seen())

    def seen(self) -> list[tuple[BlockStatus, int]]:
        return [(c.status, c.block.block_id) for c in self.changes]


@dataclass
class Node:
    """One DataNode: its directories, its store, its data port."""

    root: Path
    volume_types: Sequence[str] = ("DISK",)
    news: News = field(default_factory=News)
    connections: list[Stream] = field(default_factory=list)

    def __post_init__(self) -> None:
        lock = RealDisk().lock
        self.volumes = [
            Volume.open(
                str(self.root / f"volume{index}"), kind, mode=0o700, reserved_bytes=0, lock=lock
            )
            for index, kind in enumerate(self.volume_types)
        ]
        self.store = Store(self.volumes, self.news)
        asyncio.run(self.store.attach(NAMESPACE))
        settings = TransferSettings(TIMEOUT_MS, TIMEOUT_MS, 2_000, 100, use_hostname=False)
        self.server = XceiverServer(self.store, Peers(settings, self.myself))
        self.address = self.server.start(Address("127.0.0.1", 0))

    def myself(self) -> hdfs.DatanodeIDProto:
        return self.target.id

    @property
    def target(self) -> hdfs.DatanodeInfoProto:
        info = hdfs.DatanodeInfoProto()
        info.id.ipAddr, info.id.hostName = "127.0.0.1", "localhost"
        info.id.datanodeUuid = self.store.datanode_uuid
        info.id.xferPort, info.id.infoPort, info.id.ipcPort = self.address.port, 0, 0
        return info

    def stop(self) -> None:
        self.server.stop()
        for stream in self.connections:
            stream.close()
        for volume in self.volumes:
            volume.close()

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.root.glob(f"volume*/current/BP-*/{pattern}"))

    def connect(self) -> Stream:
        """A connection that ends with the node, unless the test closes it before."""
        self.connections.append(Stream.connect(self.address, timeout_ms=TIMEOUT_MS))
        return self.connections[-1]


def block(block_id: int = 1073741825, stamp: int = 1001, size: int = 0) -> Block:
    return Block(BlockId(block_id), size, GenStamp(stamp))


def base_header(wanted: Block) -> data_transfer.BaseHeaderProto:
    header = data_transfer.BaseHeaderProto()
    header.block.CopyFrom(extended_block_message(wanted, NAMESPACE.block_pool_id))
    header.token.identifier = header.token.password = b""
    header.token.kind = header.token.service = ""
    return header


class Writing:
    """A client in the middle of a block; packets are sent and acknowledged one by one or many."""

    def __init__(
        self,
        nodes: Sequence[Node],
        wanted: Block,
        *,
        stage: Stage = Stage.PIPELINE_SETUP_CREATE,
        new_stamp: int = 0,
        bytes_min: int = 0,
        bytes_max: int = 0,
        client: str = "client",
        checksum: ChunkChecksum = CRC,
        targets: Sequence[hdfs.DatanodeInfoProto] | None = None,
    ) -> None:
        self.checksum = checksum
        self.seqno = 0
        self.stream = nodes[0].connect()
        request = data_transfer.OpWriteBlockProto(
            stage=int(stage),  # type: ignore[arg-type]
            pipelineSize=len(nodes),
            minBytesRcvd=bytes_min,
            maxBytesRcvd=bytes_max,
            latestGenerationStamp=new_stamp,
            targets=[n.target for n in nodes[1:]] if targets is None else targets,
        )
        request.header.baseHeader.CopyFrom(base_header(wanted))
        request.header.clientName = client
        request.requestedChecksum.type = int(checksum.kind)  # type: ignore[assignment]
        request.requestedChecksum.bytesPerChecksum = checksum.bytes_per_checksum
        self.stream.send(operation(Op.WRITE_BLOCK, request))
        self.reply: data_transfer.BlockOpResponseProto | None = None
        if client and stage not in (Stage.TRANSFER_RBW, Stage.TRANSFER_FINALIZED):
            self.reply = self.stream.message(data_transfer.BlockOpResponseProto)

    def send(
        self,
        offset: int,
        data: bytes,
        *,
        last: bool = False,
        sync: bool = False,
        crcs: bytes | None = None,
    ) -> int:
        """One packet; returns its seqno."""
        crcs = self.checksum.crcs(data) if crcs is None else crcs
        header = packet_header(
            offset=offset,
            seqno=self.seqno,
            data_bytes=len(data),
            crcs_bytes=len(crcs),
            last=last,
            sync=sync,
        )
        self.stream.send(header + crcs + data)
        self.seqno += 1
        return self.seqno - 1

    def ack(self) -> tuple[int, list[int]]:
        message = self.stream.message(data_transfer.PipelineAckProto)
        return message.seqno, list(message.reply)

    def finish(self, length: int) -> None:
        """The last packet and all acknowledgements that are still to come."""
        last = self.send(length, b"", last=True)
        while True:
            seqno, statuses = self.ack()
            assert not any(statuses), (seqno, statuses)
            if seqno == last:
                break
        self.stream.close()


def write(nodes: Sequence[Node], wanted: Block, data: bytes, packet_bytes: int = 64512) -> None:
    """A whole block through a pipeline."""
    writing = Writing(nodes, wanted)
    assert writing.reply is not None
    assert writing.reply.status == Status.SUCCESS, writing.reply
    for offset in range(0, len(data), packet_bytes):
        writing.send(offset, data[offset : offset + packet_bytes])
    writing.finish(len(data))


@dataclass
class Read:
    """The answer to a read."""

    reply: data_transfer.BlockOpResponseProto
    start: int = 0
    data: bytes = b""
    crcs: bytes = b""


def read(
    node: Node,
    wanted: Block,
    offset: int,
    length: int,
    *,
    with_checksums: bool = True,
    stream: Stream | None = None,
    status: int = Status.CHECKSUM_OK,
) -> Read:
    """A range of a block, verified; over a stream that is kept when it is given."""
    own = stream is None
    stream = node.connect() if stream is None else stream
    request = data_transfer.OpReadBlockProto(
        offset=offset, len=length, sendChecksums=with_checksums
    )
    request.header.baseHeader.CopyFrom(base_header(wanted))
    request.header.clientName = "client"
    stream.send(operation(Op.READ_BLOCK, request))
    reply = stream.message(data_transfer.BlockOpResponseProto)
    if reply.status != Status.SUCCESS:
        stream.close()
        return Read(reply)
    info = reply.readOpChecksumInfo
    checksum = ChunkChecksum.checked(info.checksum.type, info.checksum.bytesPerChecksum)
    data, crcs = _packets(stream, checksum, info.chunkOffset)
    stream.send(delimited(data_transfer.ClientReadStatusProto(status=status)))  # type: ignore[arg-type]
    if own:
        stream.close()
    return Read(reply, info.chunkOffset, data, crcs)


def _packets(stream: Stream, checksum: ChunkChecksum, offset: int) -> tuple[bytes, bytes]:
    data, crcs = b"", b""
    while True:
        while (packet := scan_packet(stream.view, stream.start, stream.end)) is None:
            stream.make_room(2 << 20)
            stream.fill()
        assert packet.offset_in_block == offset + len(data)
        crcs += bytes(stream.view[packet.crcs_start : packet.data_start])
        data += bytes(stream.view[packet.data_start : packet.end])
        stream.start = packet.end
        if packet.last:
            assert checksum.first_mismatch(data, crcs) is None
            return data, crcs


class Lab:
    """DataNodes that a test starts, and what it can do with them."""

    block = staticmethod(block)
    base_header = staticmethod(base_header)
    write = staticmethod(write)
    read = staticmethod(read)
    Writing = Writing

    def __init__(self, root: Path) -> None:
        self._root = root
        self._started: list[Node] = []

    def start(self, *volume_types: str) -> Node:
        node = Node(self._root / f"dn{len(self._started)}", volume_types or ("DISK",))
        self._started.append(node)
        return node

    def restart(self, node: Node) -> Node:
        """The same directories in a new process, so to speak."""
        node.stop()
        self._started.remove(node)
        again = Node(node.root, node.volume_types)
        self._started.append(again)
        return again

    def close(self) -> None:
        for node in self._started:
            node.stop()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()
