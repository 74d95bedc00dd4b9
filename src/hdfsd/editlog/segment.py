"""Core. A segment file: header, and how far its ops are good (editlog.md section 2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, TxId
from hdfsd.editlog.codec import (
    CHECKSUM_BYTES,
    LAYOUT_WITH_LENGTH,
    OLDEST_LAYOUT_VERSION,
    at_clean_end,
    check_layout,
    decode_frame,
    frame_end,
)

HEADER_BYTES = 8
PREALLOCATION_BYTES = 1 << 20
PADDING = b"\xff"
_LAYOUT_WITH_FLAGS = -50
_LAYOUT_VERSION_MIN = -1000
_HEADER = struct.Struct(">ii")
_VERSION = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class Scan:
    """What the frames of a segment say; fields of ops are not looked at, checksums are."""

    layout_version: int
    first_txid: TxId | None
    last_txid: TxId | None
    """Of the last good op (inclusive); both None when there is none."""
    op_count: int
    end_offset: int
    """After the last good op: where padding, damage or the end of the file begins."""
    damage: CorruptData | None
    """Why the scan ended, unless at a clean end (end of file, or padding to the end of file)."""


def header(layout_version: int = NAMENODE_LAYOUT_VERSION) -> bytes:
    """The first bytes of a segment that is being started."""
    return _HEADER.pack(layout_version, 0)


def read_header(data: bytes, where: str) -> tuple[int, int]:
    """(layout version, offset of the first op); raises CorruptData when there is no good header.

    A layout newer than ours is let through, as in Hadoop: a JournalNode keeps and scans what a
    newer NameNode writes. `codec.check_layout` refuses it where ops must be understood.
    """
    try:
        layout_version: int = _VERSION.unpack_from(data, 0)[0]
        if not _LAYOUT_VERSION_MIN <= layout_version <= OLDEST_LAYOUT_VERSION:
            raise CorruptData(
                where,
                0,
                f"{layout_version} is no layout version of an edit log from"
                f" {OLDEST_LAYOUT_VERSION} on",
            )
        if layout_version > _LAYOUT_WITH_FLAGS:
            return layout_version, 4
        flags_bytes: int = _VERSION.unpack_from(data, 4)[0]
    except struct.error:
        raise CorruptData(
            where, 0, f"the header of the segment is cut short: {len(data)} bytes"
        ) from None
    if flags_bytes != 0:
        raise CorruptData(where, 4, f"layout flags of {flags_bytes} bytes; there are none")
    return layout_version, HEADER_BYTES


def scan(data: bytes, where: str, last_txid_max: int | None = None) -> Scan:
    """Walks the frames until `last_txid_max`, a clean end or the first damage.

    Raises CorruptData only for a bad header. A segment without any op has `first_txid` None.
    Other than Hadoop's FSEditLogLoader.scanEditLog, it never looks for good ops behind damage:
    what stands there can't be replayed without what is lost in between.
    """
    layout_version, offset = read_header(data, where)
    first_txid: int | None = None
    last_txid = 0
    damage = None
    while not at_clean_end(data, offset):
        if last_txid_max is not None and first_txid is not None and last_txid >= last_txid_max:
            break
        try:
            txid, end = _next_frame(data, offset, layout_version, where)
            if first_txid is None:
                first_txid = txid
            elif txid != last_txid + 1:
                raise CorruptData(
                    where, offset, f"txid {txid} stands where {last_txid + 1} must follow"
                )
        except CorruptData as error:
            damage = error
            break
        last_txid, offset = txid, end
    if first_txid is None:
        return Scan(layout_version, None, None, 0, offset, damage)
    count = last_txid - first_txid + 1
    return Scan(layout_version, TxId(first_txid), TxId(last_txid), count, offset, damage)


def _next_frame(data: bytes, offset: int, layout_version: int, where: str) -> tuple[int, int]:
    """(txid, offset after the frame)."""
    if layout_version <= LAYOUT_WITH_LENGTH:
        txid, end = frame_end(data, offset, where)
        return txid, end + CHECKSUM_BYTES
    check_layout(layout_version, where)
    _, txid, end = decode_frame(data, offset, layout_version, where)
    return txid, end
