"""Adapter. Sends a range of a replica as packets: checksums from the meta file, data by sendfile.

Packets are large, so that a megabyte costs a handful of system calls; every client takes packets of
up to 16 MiB. Source: data-transfer.md section 5; Hadoop's BlockSender.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdfsd.base.errors import CorruptData, IOFault
from hdfsd.datanode.store import Snapshot
from hdfsd.datanode.stream import Stream
from hdfsd.wire.checksum import ChecksumType, ChunkChecksum
from hdfsd.wire.messages import data_transfer
from hdfsd.wire.packets import packet_header

READ_PACKET_BYTES = 1 << 20
COPY_PACKET_BYTES = 256 << 10
"""To other DataNodes, whose buffers are made for packets of clients."""


@dataclass(frozen=True, slots=True)
class Range:
    """What goes over the wire for a read: whole chunks around what was asked for."""

    start: int
    end: int

    @classmethod
    def of(cls, snapshot: Snapshot, offset: int, length: int) -> Range:
        """Raises IOFault when the replica does not have the range."""
        on_disk, checksum = snapshot.replica.on_disk, snapshot.files.checksum
        if offset > on_disk or offset + length > on_disk:
            raise IOFault(
                f" Offset {offset} and length {length} don't match block "
                f"{snapshot.replica.block} ( blockLen {on_disk} )"
            )
        step = checksum.bytes_per_checksum
        end = -(-(offset + length) // step) * step
        return cls(checksum.chunk_start(offset), min(end, on_disk))


class Sender:
    """One range of one replica; the snapshot's files stay the caller's."""

    def __init__(
        self, snapshot: Snapshot, span: Range, *, with_checksums: bool, packet_bytes: int
    ) -> None:
        self._snapshot = snapshot
        self._span = span
        self._with_checksums = with_checksums
        step = snapshot.files.checksum.bytes_per_checksum
        self._packet_bytes = max(step, packet_bytes - packet_bytes % step)

    @property
    def checksum(self) -> ChunkChecksum:
        """What the packets carry."""
        stored = self._snapshot.files.checksum
        if self._with_checksums:
            return stored
        return ChunkChecksum(ChecksumType.NULL, stored.bytes_per_checksum)

    def info(self) -> data_transfer.ReadOpChecksumInfoProto:
        """For the reply before the packets."""
        info = data_transfer.ReadOpChecksumInfoProto(chunkOffset=self._span.start)
        info.checksum.type = int(self.checksum.kind)  # type: ignore[assignment]
        info.checksum.bytesPerChecksum = self.checksum.bytes_per_checksum
        return info

    def send(self, stream: Stream) -> None:
        """All packets and the empty last one. Raises LinkError, and CorruptData when checksums are
        missing; the peer then sees a range that ends too early."""
        files, at, seqno = self._snapshot.files, self._span.start, 0
        while at < self._span.end:
            count = min(self._packet_bytes, self._span.end - at)
            crcs = self._crcs(at, count)
            header = packet_header(
                offset=at, seqno=seqno, data_bytes=count, crcs_bytes=len(crcs), last=False
            )
            stream.send_more(header + crcs)
            stream.send_file(files.data, at, count)
            at += count
            seqno += 1
        stream.send(packet_header(offset=at, seqno=seqno, data_bytes=0, crcs_bytes=0, last=True))

    def _crcs(self, offset: int, count: int) -> bytes:
        if not self._with_checksums:
            return b""
        snapshot = self._snapshot
        crcs = snapshot.files.crcs(offset, count)
        if len(crcs) != self.checksum.crcs_bytes(count):
            raise CorruptData(snapshot.files.path, offset, "checksums are missing")
        if snapshot.last_crc and offset + count == snapshot.replica.on_disk:
            # The writer may have made the last chunk longer since, and its checksum with it.
            crcs = crcs[: -len(snapshot.last_crc)] + snapshot.last_crc
        return crcs
