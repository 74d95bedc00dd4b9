"""Core. Block reports as they come: both encodings of the replicas of one storage.

Wire facts: data-transfer.md section 10 (blocksBuffers, and the old form in longs).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum

from hdfsd.base.errors import IOFault
from hdfsd.wire.messages import datanode

LENGTH_MASK = (1 << 48) - 1
STATE_MASK = 0xF
VARINT_BITS_MAX = 64

Reported = tuple[int, int, int, int]
"""Block id, length in bytes, generation stamp, ReplicaState."""


class ReplicaState(IntEnum):
    """ReplicaStateProto, by number."""

    FINALIZED = 0
    RBW = 1
    RWR = 2
    RUR = 3
    TEMPORARY = 4


def replicas_of(report: datanode.StorageBlockReportProto) -> Iterator[Reported]:
    """The replicas of a storage, decoded while iterating. Raises IOFault naming the storage and
    the place where the report is not what it should be."""
    where = f"block report of storage {report.storage.storageUuid}"
    if report.HasField("numberOfBlocks"):
        return decode_buffers(b"".join(report.blocksBuffers), report.numberOfBlocks, where)
    return decode_longs(report.blocks, where)


def decode_buffers(data: bytes, count: int, where: str) -> Iterator[Reported]:
    """Four varints per replica: zigzag id, length, stamp, state. The cuts between buffers fall
    anywhere, so `data` is all of them joined."""
    position, end, seen = 0, len(data), 0
    fields = [0, 0, 0, 0]
    while position < end:
        start = position
        for field in range(4):
            value = shift = 0
            while True:
                if position == end or shift >= VARINT_BITS_MAX:
                    raise _broken(where, f"offset {start}", "ends within a replica or varint")
                byte = data[position]
                position += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
            fields[field] = value
        zigzag, length, stamp, state = fields
        state &= STATE_MASK
        if state > ReplicaState.TEMPORARY or max(zigzag, stamp) >> VARINT_BITS_MAX:
            raise _broken(where, f"offset {start}", f"state {state}, stamp {stamp}")
        seen += 1
        yield (zigzag >> 1) ^ -(zigzag & 1), length & LENGTH_MASK, stamp, state
    if seen != count:
        raise _broken(where, f"offset {end}", f"{seen} replicas where {count} were announced")


def decode_longs(longs: Sequence[int], where: str) -> Iterator[Reported]:
    """The form of DataNodes before 2.7; signed values travel as unsigned 64 bits."""
    if not longs:
        return
    if len(longs) < 2:
        raise _broken(where, "long 0", "no counts")
    finalized, others = longs[0], longs[1]
    expected = 2 + 3 * finalized + 3 + 4 * others
    if expected != len(longs):
        raise _broken(where, "long 0", f"{len(longs)} longs where {expected} were announced")
    separator = 2 + 3 * finalized
    for at in range(2, separator, 3):
        block_id, length, stamp = longs[at : at + 3]
        yield _signed(block_id), length, stamp, ReplicaState.FINALIZED
    if any(_signed(value) != -1 for value in longs[separator : separator + 3]):
        raise _broken(where, f"long {separator}", "no separator after the finalized replicas")
    for at in range(separator + 3, expected, 4):
        block_id, length, stamp, state = longs[at : at + 4]
        if state > ReplicaState.TEMPORARY:
            raise _broken(where, f"long {at + 3}", f"state {state}")
        yield _signed(block_id), length, stamp, state


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _broken(where: str, place: str, cause: str) -> IOFault:
    return IOFault(f"{where}, {place}: {cause}")
