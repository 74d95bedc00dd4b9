"""Core. The sections of an image file to and from bytes: summary, records, compression.

An image is a magic, sections of length-delimited records, and a summary that says where each
section lies (fsimage.md). Reading checks every length against what is there; errors name the file,
the section and the offset.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from hdfsd.base.errors import CorruptData, NotBuilt
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, TxId
from hdfsd.wire.messages import DecodeError, Message, client_namenode
from hdfsd.wire.messages import fsimage as pb

MAGIC = b"HDFSIMG1"
ONDISK_VERSION = 1
OLDEST_LAYOUT_VERSION = -61
"""Hadoop's minimum compatible layout; older images must be upgraded by Hadoop first."""
CHUNK_BYTES = 1 << 20
SECTION_BYTES_MAX = 1 << 36
"""Of a decompressed section: an absurd one ends in an error, not in a dead process."""

NS_INFO = "NS_INFO"
ERASURE_CODING = "ERASURE_CODING"
INODE = "INODE"
INODE_DIR = "INODE_DIR"
FILES_UNDERCONSTRUCTION = "FILES_UNDERCONSTRUCTION"
SNAPSHOT = "SNAPSHOT"
SNAPSHOT_DIFF = "SNAPSHOT_DIFF"
INODE_REFERENCE = "INODE_REFERENCE"
SECRET_MANAGER = "SECRET_MANAGER"
CACHE_MANAGER = "CACHE_MANAGER"
STRING_TABLE = "STRING_TABLE"

WRITTEN_ORDER = (
    NS_INFO,
    ERASURE_CODING,
    INODE,
    INODE_DIR,
    FILES_UNDERCONSTRUCTION,
    SNAPSHOT,
    SNAPSHOT_DIFF,
    INODE_REFERENCE,
    SECRET_MANAGER,
    CACHE_MANAGER,
    STRING_TABLE,
)
SUB_SECTIONS = frozenset({"INODE_SUB", "INODE_DIR_SUB", "INODE_REFERENCE_SUB", "SNAPSHOT_DIFF_SUB"})
"""Ranges inside a whole section, for parallel loading by Hadoop: the whole one says it all."""

NO_CODEC = ""
DEFAULT_CODEC = "org.apache.hadoop.io.compress.DefaultCodec"
ZLIB_WINDOW: Mapping[str, int] = {
    DEFAULT_CODEC: zlib.MAX_WBITS,
    "org.apache.hadoop.io.compress.DeflateCodec": zlib.MAX_WBITS,
    "org.apache.hadoop.io.compress.GzipCodec": zlib.MAX_WBITS | 16,
}
"""Hadoop's compression classes that are zlib underneath → its window bits."""

_SIZE = struct.Struct(">i")
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image says of itself beside the tree; `txid` is of the last op included."""

    namespace_id: int
    txid: TxId
    layout_version: int = NAMENODE_LAYOUT_VERSION


# -- reading ---------------------------------------------------------------------------------


class Records:
    """The records of one section in order; `pos` is where the last one taken begins."""

    __slots__ = ("_data", "_end", "_next", "pos", "where")

    def __init__(self, data: bytes, start: int, end: int, where: str) -> None:
        self._data = data
        self._next = self.pos = start
        self._end = end
        self.where = where

    def __bool__(self) -> bool:
        """Whether there are more."""
        return self._next < self._end

    def take(self, kind: type[M]) -> M:
        """The next record. Raises CorruptData when there is no such record."""
        data, at = self._data, self._next
        self.pos = at
        size = shift = 0
        while True:
            if at >= self._end or shift > 28:
                raise self.corrupt("the section ends where a record's length should stand")
            byte = data[at]
            at += 1
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        end = at + size
        if end > self._end:
            raise self.corrupt(f"a record of {size} bytes, {self._end - at} are left")
        self._next = end
        try:
            message = kind.FromString(data[at:end])
        except DecodeError as error:
            raise self.corrupt(f"no {kind.DESCRIPTOR.name}: {error}") from error
        # The parser itself lets a message without its required fields pass.
        if not message.IsInitialized():
            raise self.corrupt(f"{kind.DESCRIPTOR.name} without its required fields")
        return message

    def finish(self) -> None:
        """Raises CorruptData unless all records were taken."""
        if self._next != self._end:
            self.pos = self._next
            raise self.corrupt(f"{self._end - self._next} bytes follow the last record")

    def corrupt(self, cause: str) -> CorruptData:
        """An error about the record taken last."""
        return CorruptData(self.where, self.pos, cause)


class ImageReader:
    """The summary of an image and, by name, the records of its sections."""

    def __init__(self, data: bytes, where: str) -> None:
        """Raises CorruptData for bytes that are no image, NotBuilt for what can't be read yet."""
        self._data = data
        self.where = where
        summary, self._sections_end = _read_summary(data, where)
        self.codec = summary.codec
        self.layout_version = _signed32(summary.layoutVersion)
        self._check_versions(summary.ondiskVersion)
        if self.codec and self.codec not in ZLIB_WINDOW:
            raise NotBuilt(f"{where}: images compressed by {self.codec} can't be read")
        self.sections: dict[str, tuple[int, int]] = {}
        """Name → (offset, length) in the file, sub-sections left out."""
        for section in summary.sections:
            self._add(section)

    def _check_versions(self, ondisk_version: int) -> None:
        if ondisk_version != ONDISK_VERSION:
            raise CorruptData(
                self.where, self._sections_end, f"unknown on-disk version {ondisk_version}"
            )
        if not NAMENODE_LAYOUT_VERSION <= self.layout_version <= OLDEST_LAYOUT_VERSION:
            raise CorruptData(
                self.where,
                self._sections_end,
                f"layout version {self.layout_version} is not between {NAMENODE_LAYOUT_VERSION}"
                f" and {OLDEST_LAYOUT_VERSION}, which can be read",
            )

    def _add(self, section: pb.FileSummary.Section) -> None:
        name, offset, length = section.name, section.offset, section.length
        if offset < len(MAGIC) or offset + length > self._sections_end:
            raise CorruptData(
                self.where,
                self._sections_end,
                f"section {name} lies at {offset}..{offset + length}, outside the image's"
                f" {len(MAGIC)}..{self._sections_end}",
            )
        if name in SUB_SECTIONS:
            return
        if name not in MESSAGES:
            raise NotBuilt(f"{self.where}: the section {name!r} is not known here")
        if name in self.sections:
            raise CorruptData(self.where, self._sections_end, f"two sections {name}")
        self.sections[name] = (offset, length)

    def records(self, name: str) -> Records:
        """The records of a section; none when the image doesn't have the section."""
        offset, length = self.sections.get(name, (len(MAGIC), 0))
        if not self.codec or not length:
            return Records(self._data, offset, offset + length, f"{self.where} ({name})")
        raw = self._decompress(name, offset, length)
        return Records(raw, 0, len(raw), f"{self.where} ({name}, decompressed)")

    def _decompress(self, name: str, offset: int, length: int) -> bytes:
        inflater = zlib.decompressobj(ZLIB_WINDOW[self.codec])
        where = f"{self.where} ({name})"
        try:
            raw = inflater.decompress(self._data[offset : offset + length], SECTION_BYTES_MAX)
        except zlib.error as error:
            raise CorruptData(where, offset, f"can't be decompressed: {error}") from error
        if not inflater.eof or inflater.unused_data:
            cause = "goes on behind its end" if inflater.unused_data else "is cut short"
            raise CorruptData(where, offset, f"the compressed section {cause}")
        return raw

    def messages(self, name: str) -> Iterator[Message]:
        """Every record of a section as its message, the counts of head messages checked."""
        records = self.records(name)
        if name in self.sections:
            yield from MESSAGES[name](records)
            records.finish()


def _signed32(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def _read_summary(data: bytes, where: str) -> tuple[pb.FileSummary, int]:
    """The summary, and its offset, where the sections must have ended."""
    if data[: len(MAGIC)] != MAGIC:
        raise CorruptData(where, 0, f"no image: it begins with {data[: len(MAGIC)]!r}")
    if len(data) < len(MAGIC) + _SIZE.size:
        raise CorruptData(where, len(data), "the image is cut short")
    end = len(data) - _SIZE.size
    size: int = _SIZE.unpack_from(data, end)[0]
    start = end - size
    if size <= 0 or start < len(MAGIC):
        raise CorruptData(
            where, end, f"a summary of {size} bytes in an image of {len(data)}: it is cut short"
        )
    records = Records(data, start, end, f"{where} (summary)")
    summary = records.take(pb.FileSummary)
    records.finish()
    return summary, start


def _only(kind: type[Message]) -> Callable[[Records], Iterator[Message]]:
    def walk(records: Records) -> Iterator[Message]:
        yield records.take(kind)

    return walk


def _each(kind: type[Message]) -> Callable[[Records], Iterator[Message]]:
    def walk(records: Records) -> Iterator[Message]:
        while records:
            yield records.take(kind)

    return walk


def _headed(
    head: type[Message], *parts: tuple[type[Message], str]
) -> Callable[[Records], Iterator[Message]]:
    """A head message whose fields count the records that follow, kind after kind."""

    def walk(records: Records) -> Iterator[Message]:
        first = records.take(head)
        yield first
        for kind, counted_by in parts:
            for _ in range(getattr(first, counted_by)):
                yield records.take(kind)

    return walk


def _snapshot_diffs(records: Records) -> Iterator[Message]:
    section = pb.SnapshotDiffSection
    while records:
        entry = records.take(section.DiffEntry)
        yield entry
        for _ in range(entry.numOfDiff):
            if entry.type == section.DiffEntry.FILEDIFF:
                yield records.take(section.FileDiff)
                continue
            diff = records.take(section.DirectoryDiff)
            yield diff
            for _ in range(diff.createdListSize):
                yield records.take(section.CreatedListEntry)


MESSAGES: Mapping[str, Callable[[Records], Iterator[Message]]] = {
    NS_INFO: _only(pb.NameSystemSection),
    ERASURE_CODING: _only(pb.ErasureCodingSection),
    INODE: _headed(pb.INodeSection, (pb.INodeSection.INode, "numInodes")),
    INODE_DIR: _each(pb.INodeDirectorySection.DirEntry),
    FILES_UNDERCONSTRUCTION: _each(pb.FilesUnderConstructionSection.FileUnderConstructionEntry),
    SNAPSHOT: _headed(pb.SnapshotSection, (pb.SnapshotSection.Snapshot, "numSnapshots")),
    SNAPSHOT_DIFF: _snapshot_diffs,
    INODE_REFERENCE: _each(pb.INodeReferenceSection.INodeReference),
    SECRET_MANAGER: _headed(
        pb.SecretManagerSection,
        (pb.SecretManagerSection.DelegationKey, "numKeys"),
        (pb.SecretManagerSection.PersistToken, "numTokens"),
    ),
    CACHE_MANAGER: _headed(
        pb.CacheManagerSection,
        (client_namenode.CachePoolInfoProto, "numPools"),
        (client_namenode.CacheDirectiveInfoProto, "numDirectives"),
    ),
    STRING_TABLE: _headed(pb.StringTableSection, (pb.StringTableSection.Entry, "numEntry")),
}
"""How the records of each section follow one another."""


# -- writing ---------------------------------------------------------------------------------


def delimited(message: Message) -> bytes:
    """A record: the length as a varint, then the message."""
    raw = message.SerializeToString()
    size = len(raw)
    if size < 0x80:
        return bytes((size,)) + raw
    head = bytearray()
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + raw


def write(
    sections: Iterable[tuple[str, Iterable[bytes]]],
    layout_version: int = NAMENODE_LAYOUT_VERSION,
    codec: str = NO_CODEC,
) -> Iterator[bytes]:
    """A whole image, in chunks, from (name, delimited records) in the order of WRITTEN_ORDER.

    Sections are drawn one after the other, so that a later one may depend on what an earlier one
    has counted (the string table is written last for that reason).
    """
    summary = pb.FileSummary(
        ondiskVersion=ONDISK_VERSION, layoutVersion=layout_version & 0xFFFFFFFF
    )
    if codec:
        summary.codec = codec
    yield MAGIC
    offset = len(MAGIC)
    for name, records in sections:
        start = offset
        for chunk in _compressed(_chunks(records), codec):
            offset += len(chunk)
            yield chunk
        summary.sections.add(name=name, length=offset - start, offset=start)
    if codec:
        # Hadoop closes its stream once more behind the last section (fsimage.md section 2).
        yield b"".join(_compressed((), codec))
    trailer = delimited(summary)
    yield trailer + _SIZE.pack(len(trailer))


def _chunks(records: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    size = 0
    for record in records:
        waiting.append(record)
        size += len(record)
        if size >= CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


def _compressed(chunks: Iterable[bytes], codec: str) -> Iterator[bytes]:
    if not codec:
        yield from chunks
        return
    deflater = zlib.compressobj(wbits=ZLIB_WINDOW[codec])
    for chunk in chunks:
        yield deflater.compress(chunk)
    yield deflater.flush()
