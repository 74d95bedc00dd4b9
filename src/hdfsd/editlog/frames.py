"""Core. Whole op frames out of bytes that arrive in pieces, without looking into the ops.

For those who move transactions without reading them: a JournalNode that scans a segment of any
size in bounded memory, a reader that takes one over HTTP. Layout: editlog.md section 2.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import TxId

FRAME_BYTES_MAX = 52_428_800
"""dfs.namenode.max.op.size: what Hadoop's reader accepts for one op."""
FRAME_BYTES_MIN = 17
TERMINATOR = 0xFF

_FRAME_HEAD = struct.Struct(">BIq")
_CHECKSUM = struct.Struct(">I")
_LINK = struct.Struct(">IBIq")
"""A checksum, and the head of the frame behind it."""
_FILE_HEAD = struct.Struct(">ii")
_TERMINATORS = b"\xff"
_LENGTH_MIN = FRAME_BYTES_MIN - 1 - _CHECKSUM.size
_LENGTH_MAX = FRAME_BYTES_MAX - 1 - _CHECKSUM.size
_PADDING = b"\xff\x00"
"""What Hadoop takes behind the terminator, in any mixture."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive transactions: whole frames, back to back."""

    first_txid: TxId
    count: int
    data: bytes

    @property
    def last_txid(self) -> TxId:
        return TxId(self.first_txid + self.count - 1)


class FrameScanner:
    """Cuts a segment file that is fed piece by piece; checksums and order of txids are verified.

    It stops at the padding or at the first damage: what is fed later is only counted as tail.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.layout_version: int | None = None
        """None until the header was seen."""
        self.first_txid: TxId | None = None
        self.last_txid: TxId | None = None
        self.end_offset = 0
        """After the last good frame."""
        self.damage: CorruptData | None = None
        self.at_padding = False
        self._pending = b""

    def feed(self, data: bytes) -> Run | None:
        """The whole frames that this piece completes, or None when it completes none."""
        if self.damage is not None:
            return None
        if self.at_padding:
            self._check_padding(data, self.end_offset)
            return None
        buffer = self._pending + data if self._pending else data
        start = 0
        if self.layout_version is None:
            if len(buffer) < _FILE_HEAD.size:
                self._pending = buffer
                return None
            if not self._take_header(buffer):
                return None
            start = _FILE_HEAD.size
        return self._take_frames(buffer, start)

    def finish(self) -> None:
        """Says that the file ended here: what is left over is a torn frame."""
        if self.damage is None and not self.at_padding:
            if self.layout_version is None:
                self._damaged(0, "the file ends before its header")
            elif self._pending:
                self._damaged(self.end_offset, "the file ends within an op")

    def _take_header(self, buffer: bytes) -> bool:
        layout_version, flags_length = _FILE_HEAD.unpack_from(buffer)
        if layout_version >= 0 or flags_length != 0:
            self._damaged(0, f"not a segment header: {buffer[:8].hex()}")
            return False
        self.layout_version = layout_version
        self.end_offset = _FILE_HEAD.size
        return True

    def _take_frames(self, buffer: bytes, start: int) -> Run | None:
        position, before = start, self.last_txid
        base = self.end_offset - start
        if before is not None:
            position, next_txid = _walk(buffer, start, before + 1)
            self.last_txid = TxId(next_txid - 1)
        # What the walk stopped at, or could not begin with.
        while (size := self._frame_size(buffer, position, base)) > 0:
            position += size
        self.end_offset = base + position
        self._pending = b"" if self.at_padding or self.damage else buffer[position:]
        if self.at_padding:
            self._check_padding(buffer[position:], self.end_offset)
        if position == start or self.last_txid is None or self.first_txid is None:
            return None
        first = self.first_txid if before is None else TxId(before + 1)
        return Run(first, self.last_txid - first + 1, buffer[start:position])

    def _frame_size(self, buffer: bytes, position: int, base: int) -> int:
        """Bytes of the good frame at `position`; 0 when there is none (yet)."""
        available = len(buffer) - position
        if available <= 0:
            return 0
        if buffer[position] == TERMINATOR:
            self.at_padding = True
            return 0
        if available < _FRAME_HEAD.size:
            return 0
        _, length, txid = _FRAME_HEAD.unpack_from(buffer, position)
        size: int = 1 + length + _CHECKSUM.size
        if not FRAME_BYTES_MIN <= size <= FRAME_BYTES_MAX:
            self._damaged(base + position, f"an op of {size} bytes")
            return 0
        if available < size:
            return 0
        body = position + size - _CHECKSUM.size
        if zlib.crc32(memoryview(buffer)[position:body]) != _CHECKSUM.unpack_from(buffer, body)[0]:
            self._damaged(base + position, f"wrong checksum of the op with txid {txid}")
            return 0
        if txid <= 0 or (self.last_txid is not None and txid != self.last_txid + 1):
            self._damaged(base + position, f"txid {txid} after {self.last_txid}")
            return 0
        if self.first_txid is None:
            self.first_txid = TxId(txid)
        self.last_txid = TxId(txid)
        return size

    def _check_padding(self, tail: bytes, offset: int) -> None:
        # Nearly always it is all terminators: comparing is ten times as fast as stripping.
        if tail != _TERMINATORS * len(tail) and tail.strip(_PADDING):
            self._damaged(offset, "bytes behind the last op that are neither ops nor padding")

    def _damaged(self, offset: int, cause: str) -> None:
        self.damage = CorruptData(self.where, offset, cause)


def check_run(data: bytes, first_txid: int, count: int) -> None:
    """Raises CorruptData unless `data` is `count` whole frames, good ones, from `first_txid` on."""
    position, next_txid = _walk(data, 0, first_txid)
    found = next_txid - first_txid
    if position == len(data) and found == count:
        return
    cause = f"{found} transactions, not {count}"
    if position < len(data):
        cause = f"no whole op of txid {next_txid} with the right checksum"
    raise CorruptData("edits", position, cause)


def _walk(data: bytes, position: int, txid: int) -> tuple[int, int]:
    """(offset, txid) behind the good frames at `position`, of which the first has `txid`.

    Every transaction that is written or loaded comes through here: one straight loop, which reads
    a checksum and the head of the frame behind it at once, and copies small pieces, as that takes
    less time than views of them.
    """
    crc32, link = zlib.crc32, _LINK.unpack_from
    last = len(data) - _LINK.size
    if position > len(data) - FRAME_BYTES_MIN:
        return position, txid
    opcode, length, found = _FRAME_HEAD.unpack_from(data, position)
    while found == txid and _LENGTH_MIN <= length <= _LENGTH_MAX and opcode != TERMINATOR:
        body_end = position + 1 + length
        if body_end > last:
            # Nothing but a checksum fits behind it.
            tail = data[body_end : body_end + _CHECKSUM.size]
            whole = len(tail) == _CHECKSUM.size
            if whole and _CHECKSUM.pack(crc32(data[position:body_end])) == tail:
                position, txid = body_end + _CHECKSUM.size, txid + 1
            break
        checksum, opcode, length, found = link(data, body_end)
        if crc32(data[position:body_end]) != checksum:
            break
        position, txid = body_end + 4, txid + 1
    return position, txid


def offset_of(data: bytes, first_txid: int, txid: int) -> int:
    """Where the frame of `txid` starts in whole frames whose first is `first_txid`.

    `txid` may be one more than the last: then it is the end. Lengths alone are read. Raises
    CorruptData when the frames end before.
    """
    position, end = 0, len(data)
    for _ in range(txid - first_txid):
        if position + 5 > end:
            raise CorruptData("edits", position, f"no frame of txid {txid} after {first_txid}")
        position += 5 + int.from_bytes(data[position + 1 : position + 5], "big")
    if position > end:
        raise CorruptData("edits", end, f"a torn frame before txid {txid}")
    return position
