"""Core. One segment file, every checksum and txid of it, fed piece by piece in bounded memory.

Other than the scans of daemons it goes on looking behind damage: a torn end is what a crash leaves,
good operations behind the damage are a loss.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, TxId
from hdfsd.editlog.codec import LAYOUT_WITH_LENGTH
from hdfsd.editlog.files import SegmentFile
from hdfsd.editlog.frames import FRAME_BYTES_MAX, FRAME_BYTES_MIN, FrameScanner, Run

LOOK_BEHIND_BYTES = 1 << 20
"""How far behind damage a good operation is looked for."""
_TXIDS_AHEAD_MAX = 1 << 20
_LAYOUT_MIN = -1000
_HEAD = struct.Struct(">BIq")
_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What a segment file says by its name and what it holds."""

    file: SegmentFile
    layout_version: int | None
    first_txid: TxId | None
    last_txid: TxId | None
    """Of the good operations, without gap; both None when there is none."""
    checksums: array[int]
    """Of each good operation, in order: they tell copies apart."""
    size_bytes: int
    damage: str | None
    """What ended the reading, with its offset; None: a clean end."""
    good_txid_behind: TxId | None
    """A good operation that stands behind the damage."""

    @property
    def count(self) -> int:
        return len(self.checksums)

    @property
    def end_txid(self) -> TxId | None:
        """The last transaction that counts: none behind the end in the name."""
        if self.last_txid is None or self.file.last_txid is None:
            return self.last_txid
        return min(self.last_txid, self.file.last_txid)

    @property
    def _reaches_its_end(self) -> bool:
        """False for an open segment, whose name has none."""
        return self.file.last_txid is not None and self.end_txid == self.file.last_txid

    def problems(self) -> Iterator[str]:
        """What must not be in any journal."""
        named_first, named_last = self.file.first_txid, self.file.last_txid
        layout = self.layout_version
        if layout is not None and not _LAYOUT_MIN <= layout <= LAYOUT_WITH_LENGTH:
            yield f"says that its layout is {layout}, not one that has frames"
        if self.first_txid is not None and self.first_txid != named_first:
            yield f"begins with txid {self.first_txid}, its name says {named_first}"
        if self.good_txid_behind is not None and not self._reaches_its_end:
            yield f"{self.damage}; a good operation, txid {self.good_txid_behind}, stands behind it"
        if named_last is not None and not self._reaches_its_end:
            ends = "holds nothing" if self.last_txid is None else f"ends at {self.last_txid}"
            cause = f" ({self.damage})" if self.damage else ""
            yield f"{ends}, its name says {named_last}{cause}"

    def surplus(self) -> str | None:
        """Operations behind the end in the name. In a directory of NameNodes a writer that was
        replaced may leave them (Hadoop's recovery doesn't cut a segment either) and every reader
        stops before; no JournalNode has them."""
        named_last = self.file.last_txid
        if named_last is None or not self._reaches_its_end:
            return None
        last = max(self.last_txid or 0, self.good_txid_behind or 0)
        if last <= named_last:
            return None
        return f"holds txids up to {last} behind its end {named_last}"

    def notes(self) -> Iterator[str]:
        """What a crash or another version leaves, and nobody must mend."""
        layout = self.layout_version
        if layout is not None and _LAYOUT_MIN <= layout < NAMENODE_LAYOUT_VERSION:
            yield f"has layout {self.layout_version}, newer than {NAMENODE_LAYOUT_VERSION}"
        if self.damage is not None and self.good_txid_behind is None:
            if self.file.in_progress or self._reaches_its_end:
                yield f"has a torn end, which counts for nothing: {self.damage}"
        elif self.file.in_progress and self.count == 0:
            yield "holds no transaction yet"


class SegmentCheck:
    """Feed it the whole file, then `finish`."""

    def __init__(self, file: SegmentFile) -> None:
        self._file = file
        self._scanner = FrameScanner(file.name)
        self._checksums: array[int] = array("I")
        self._fed = 0
        self._behind = bytearray()

    def feed(self, data: bytes) -> None:
        run = self._scanner.feed(data)
        if run is not None:
            self._checksums.extend(_checksums(run))
        damage = self._scanner.damage
        if damage is not None and len(self._behind) < LOOK_BEHIND_BYTES:
            start = max(0, (damage.offset or 0) + 1 - self._fed)
            self._behind += data[start : start + LOOK_BEHIND_BYTES]
        self._fed += len(data)

    def finish(self) -> SegmentReport:
        scanner = self._scanner
        scanner.finish()
        damage = scanner.damage
        return SegmentReport(
            self._file,
            scanner.layout_version,
            scanner.first_txid,
            scanner.last_txid,
            self._checksums,
            self._fed,
            None if damage is None else f"at offset {damage.offset}: {damage.cause}",
            _good_txid(bytes(self._behind), scanner.last_txid or TxId(0)),
        )


def _checksums(run: Run) -> Iterator[int]:
    data, position = run.data, 0
    while position < len(data):
        position += 5 + int.from_bytes(data[position + 1 : position + 5], "big")
        yield int.from_bytes(data[position - _CHECKSUM_BYTES : position], "big")


def _good_txid(data: bytes, after: TxId) -> TxId | None:
    """The first whole operation anywhere in the bytes with a txid that may follow `after`."""
    for position in range(len(data) - FRAME_BYTES_MIN + 1):
        _, length, txid = _HEAD.unpack_from(data, position)
        if not after < txid <= after + _TXIDS_AHEAD_MAX:
            continue
        end = position + 1 + length
        if not FRAME_BYTES_MIN <= length + 5 <= FRAME_BYTES_MAX or end + 4 > len(data):
            continue
        if zlib.crc32(data[position:end]) == int.from_bytes(data[end : end + 4], "big"):
            return TxId(txid)
    return None
