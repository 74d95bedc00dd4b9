"""Adapter. What readers of edit logs do with any bytes: they end in CorruptData or in ops."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION
from hdfsd.editlog.codec import LAYOUT_WITH_LENGTH, decode_frame, encode, iter_ops
from hdfsd.editlog.frames import FRAME_BYTES_MIN, FrameScanner
from hdfsd.editlog.segment import read_header, scan

HEAD = struct.Struct(">BIq")


def run(data: bytes) -> None:
    """One input: as it is, and with right checksums, so that the fields behind them are reached."""
    check(data)
    check(with_right_checksums(data))


def check(data: bytes) -> None:
    scanner = scanned((data,))
    for pieces in cuts(data):
        assert told(scanned(pieces)) == told(scanner), "pieces matter"
    try:
        layout_version, offset = read_header(data, "fuzz")
    except CorruptData:
        return
    found = scan(data, "fuzz")
    if layout_version <= LAYOUT_WITH_LENGTH and scanner.layout_version is not None:
        agree = found.last_txid == scanner.last_txid
        assert agree or scanner.damage is not None or found.damage is not None
    read_ops(data, layout_version, offset)


def read_ops(data: bytes, layout_version: int, offset: int) -> None:
    try:
        for op, txid in iter_ops(data, layout_version, offset, "fuzz"):
            if layout_version == NAMENODE_LAYOUT_VERSION:
                again, same_txid, _ = decode_frame(encode(op, txid), 0)
                assert (again, same_txid) == (op, txid)
    except CorruptData:
        return


def scanned(pieces: Sequence[bytes]) -> FrameScanner:
    scanner = FrameScanner("fuzz")
    for piece in pieces:
        scanner.feed(piece)
    scanner.finish()
    return scanner


def told(scanner: FrameScanner) -> tuple[object, ...]:
    return scanner.first_txid, scanner.last_txid, scanner.end_offset, scanner.damage is None


def cuts(data: bytes) -> list[tuple[bytes, ...]]:
    """The same in pieces; where they are cut depends on the bytes."""
    spot = zlib.crc32(data) % (len(data) + 1)
    return [(data[:spot], data[spot:]), (data[:3], data[3:9], data[9:spot], data[max(9, spot) :])]


def with_right_checksums(data: bytes) -> bytes:
    repaired, position = bytearray(data), 8
    while position + FRAME_BYTES_MIN <= len(repaired):
        opcode, length, _ = HEAD.unpack_from(repaired, position)
        end = position + 1 + length
        if opcode == 0xFF or end + 4 > len(repaired) or length < 12:
            break
        struct.pack_into(">I", repaired, end, zlib.crc32(repaired[position:end]))
        position = end + 4
    return bytes(repaired)
