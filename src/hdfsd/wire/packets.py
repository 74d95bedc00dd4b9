"""Core. Bytes of the data transfer protocol, version 28: operations, packets, acknowledgements.

Source: data-transfer.md sections 1 to 5. Nothing here waits: every reader says with None that more
bytes are needed, and raises PeerError for bytes that no longer can become right.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeVar

from hdfsd.base.errors import PeerError
from hdfsd.wire import framing
from hdfsd.wire.messages import DecodeError, Message, data_transfer

TRANSFER_VERSION = 28
OP_PREFIX_BYTES = 3
MESSAGE_BYTES_MAX = 1 << 20
"""Of an operation or a reply; the longest real ones carry a few dozen target nodes."""
PACKET_BYTES_MAX = 16 << 20
"""Hadoop's dfs.data.transfer.max.packet.size."""
PACKET_HEADER_BYTES_MAX = 33
Status = data_transfer.Status
BytesLike = bytes | bytearray | memoryview
M = TypeVar("M", bound=Message)


class Op(IntEnum):
    """The byte after the version."""

    WRITE_BLOCK = 80
    READ_BLOCK = 81
    READ_METADATA = 82
    REPLACE_BLOCK = 83
    COPY_BLOCK = 84
    BLOCK_CHECKSUM = 85
    TRANSFER_BLOCK = 86
    REQUEST_SHORT_CIRCUIT_FDS = 87
    RELEASE_SHORT_CIRCUIT_FDS = 88
    REQUEST_SHORT_CIRCUIT_SHM = 89
    BLOCK_GROUP_CHECKSUM = 90
    CUSTOM = 127


class Stage(IntEnum):
    """OpWriteBlockProto.BlockConstructionStage: why a block is being written."""

    PIPELINE_SETUP_APPEND = 0
    PIPELINE_SETUP_APPEND_RECOVERY = 1
    DATA_STREAMING = 2
    PIPELINE_SETUP_STREAMING_RECOVERY = 3
    PIPELINE_CLOSE = 4
    PIPELINE_CLOSE_RECOVERY = 5
    PIPELINE_SETUP_CREATE = 6
    TRANSFER_RBW = 7
    TRANSFER_FINALIZED = 8


def delimited(message: Message) -> bytes:
    """The message after its length as a varint."""
    return framing.delimited(message.SerializeToString())


def operation(op: Op, message: Message) -> bytes:
    """A whole request: version, operation, message."""
    return struct.pack(">HB", TRANSFER_VERSION, op) + delimited(message)


def split_operation(data: BytesLike) -> int:
    """The operation byte of OP_PREFIX_BYTES bytes; raises PeerError for another version."""
    version, op = struct.unpack_from(">HB", data)
    if version != TRANSFER_VERSION:
        raise PeerError(f"data transfer version {version} is not {TRANSFER_VERSION}")
    return int(op)


def message_bounds(data: BytesLike, start: int, end: int) -> tuple[int, int] | None:
    """Where the body of the delimited message at `start` begins and ends, if all of it is there.

    Raises PeerError for a length above MESSAGE_BYTES_MAX or no varint.
    """
    size = shift = 0
    for at in range(start, min(end, start + 5)):
        byte = data[at]
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            if size > MESSAGE_BYTES_MAX:
                raise PeerError(f"a message of {size} bytes exceeds {MESSAGE_BYTES_MAX}")
            return (at + 1, at + 1 + size) if at + 1 + size <= end else None
        shift += 7
    if end - start >= 5:
        raise PeerError("a message length is no varint of 32 bits")
    return None


def parse(kind: type[M], data: BytesLike) -> M:
    """A message from exactly these bytes; raises PeerError."""
    message = kind()
    try:
        message.ParseFromString(bytes(data))
    except DecodeError as error:
        raise PeerError(f"{kind.__name__}: {error}") from None
    if not message.IsInitialized():
        raise PeerError(f"{kind.__name__}: a required field is missing")
    return message


class Packet(NamedTuple):
    """One packet lying in a buffer: fields of its header, and where its parts are."""

    offset_in_block: int
    seqno: int
    last: bool
    data_bytes: int
    sync: bool
    start: int
    crcs_start: int
    data_start: int
    end: int


_LENGTHS = struct.Struct(">iH")
_HEADER = struct.Struct("<BqBqBBBi")
_HEADER_TAGS = (0x09, 0x11, 0x18, 0x25)
_SYNC_TAIL = b"\x28\x01"


def scan_packet(data: BytesLike, start: int, end: int) -> Packet | None:
    """The packet at `start`, or None when not all of it lies before `end`.

    Raises PeerError for lengths that no packet can have.
    """
    if end - start < _LENGTHS.size:
        return None
    packet_bytes, header_bytes = _LENGTHS.unpack_from(data, start)
    header_start = start + _LENGTHS.size
    crcs_start = header_start + header_bytes
    _check_lengths(packet_bytes, header_bytes)
    if end < crcs_start:
        return None
    offset, seqno, last, data_bytes, sync = _header(data, header_start, crcs_start)
    data_start = crcs_start + packet_bytes - 4 - data_bytes
    if data_bytes < 0 or data_start < crcs_start or offset < 0:
        raise PeerError(
            f"a packet of {packet_bytes} bytes can't hold {data_bytes} at offset {offset}"
        )
    if end < data_start + data_bytes:
        return None
    return Packet(
        offset,
        seqno,
        last,
        data_bytes,
        sync,
        start,
        crcs_start,
        data_start,
        data_start + data_bytes,
    )


def packet_bytes_wanted(data: BytesLike, start: int, end: int) -> int:
    """Bytes of the whole packet at `start`; a lower bound until its lengths are there."""
    if end - start < _LENGTHS.size:
        return _LENGTHS.size
    packet_bytes, header_bytes = _LENGTHS.unpack_from(data, start)
    _check_lengths(packet_bytes, header_bytes)
    return int(_LENGTHS.size + header_bytes + packet_bytes - 4)


def packet_header(
    *, offset: int, seqno: int, data_bytes: int, crcs_bytes: int, last: bool, sync: bool = False
) -> bytes:
    """The bytes of a packet before its checksums."""
    header = _HEADER.pack(0x09, offset, 0x11, seqno, 0x18, last, 0x25, data_bytes)
    if sync:
        header += _SYNC_TAIL
    return _LENGTHS.pack(4 + crcs_bytes + data_bytes, len(header)) + header


class Ack(NamedTuple):
    """PipelineAckProto: one status per node from the sender of it to the end of the pipeline."""

    seqno: int
    statuses: tuple[int, ...]


def ack_message(seqno: int, statuses: Sequence[int]) -> bytes:
    """A delimited PipelineAckProto; the flags say "no congestion, no slow node known"."""
    message = data_transfer.PipelineAckProto(seqno=seqno)
    message.reply.extend(statuses)  # type: ignore[arg-type]
    message.flag.extend(statuses)
    return delimited(message)


def scan_acks(data: BytesLike, start: int, end: int) -> tuple[list[Ack], int]:
    """All whole acknowledgements and where the first unfinished one begins; raises PeerError."""
    acks: list[Ack] = []
    while bounds := message_bounds(data, start, end):
        message = parse(data_transfer.PipelineAckProto, data[bounds[0] : bounds[1]])
        acks.append(Ack(message.seqno, tuple(message.reply)))
        start = bounds[1]
    return acks, start


def _header(data: BytesLike, start: int, end: int) -> tuple[int, int, bool, int, bool]:
    # Every known writer puts the five fixed-size fields in this order; others go the long way.
    if end - start >= _HEADER.size:
        tag1, offset, tag2, seqno, tag3, last, tag4, data_bytes = _HEADER.unpack_from(data, start)
        rest = end - start - _HEADER.size
        if (tag1, tag2, tag3, tag4) == _HEADER_TAGS and last < 2:
            if rest == 0:
                return offset, seqno, last == 1, data_bytes, False
            if rest == 2 and data[start + _HEADER.size : end] == _SYNC_TAIL:
                return offset, seqno, last == 1, data_bytes, True
    message = parse(data_transfer.PacketHeaderProto, data[start:end])
    return (
        message.offsetInBlock,
        message.seqno,
        message.lastPacketInBlock,
        message.dataLen,
        message.syncBlock,
    )


def _check_lengths(packet_bytes: int, header_bytes: int) -> None:
    if not 4 <= packet_bytes <= PACKET_BYTES_MAX:
        raise PeerError(f"a packet of {packet_bytes} bytes is not possible")
    if header_bytes > PACKET_HEADER_BYTES_MAX * 8:
        raise PeerError(f"a packet header of {header_bytes} bytes is not possible")
