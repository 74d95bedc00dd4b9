"""Adapter. The neighbours of a data operation: who we are to them, how to reach them, how to speak.

What the operations of the data port have in common.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hdfsd.base.errors import HdfsdError, RemoteFault
from hdfsd.base.ids import Address
from hdfsd.base.settings import DataNodeSettings
from hdfsd.datanode.stream import Stream
from hdfsd.wire.checksum import ChunkChecksum
from hdfsd.wire.messages import data_transfer, hdfs

PER_NODE_EXTRA_MS = 5_000
"""Hadoop's READ_TIMEOUT_EXTENSION: a set-up takes longer with every node behind."""
REFUSALS = (HdfsdError, OSError)
"""What an operation may fail of without the connection's thread having a defect."""


@dataclass(frozen=True, slots=True)
class TransferSettings:
    timeout_ms: int
    write_timeout_ms: int
    keepalive_ms: int
    transfers_max: int
    use_hostname: bool

    @classmethod
    def of(cls, settings: DataNodeSettings) -> TransferSettings:
        return cls(
            timeout_ms=settings.socket_timeout_ms,
            write_timeout_ms=settings.write_timeout_ms,
            keepalive_ms=settings.keepalive_ms,
            transfers_max=settings.transfers_max,
            use_hostname=settings.use_hostname,
        )


@dataclass(frozen=True, slots=True)
class Peers:
    """How this DataNode meets others."""

    settings: TransferSettings
    myself: Callable[[], hdfs.DatanodeIDProto]
    """How the NameNodes know this DataNode."""

    def connect(self, target: hdfs.DatanodeInfoProto, nodes: int) -> Stream:
        """To the data port of another DataNode, with `nodes` nodes behind it, itself included."""
        host = target.id.hostName if self.settings.use_hostname else target.id.ipAddr
        timeout_ms = self.settings.timeout_ms + PER_NODE_EXTRA_MS * nodes
        stream = Stream.connect(Address(host, target.id.xferPort), timeout_ms=timeout_ms)
        stream.set_timeouts(timeout_ms, self.settings.write_timeout_ms)
        return stream


def checksum_of(message: data_transfer.ChecksumProto) -> ChunkChecksum:
    """Raises PeerError for one that hdfsd does not have."""
    return ChunkChecksum.checked(message.type, message.bytesPerChecksum)


def op_reply(status: int, reason: str = "") -> data_transfer.BlockOpResponseProto:
    """The answer to most operations."""
    reply = data_transfer.BlockOpResponseProto(status=status)  # type: ignore[arg-type]
    if reason:
        reply.message = reason
    return reply


def reason_of(error: BaseException) -> str:
    """An error as the other side reads it: the Java class and the message of ours."""
    return str(error) if isinstance(error, RemoteFault) else f"{type(error).__name__}: {error}"
