"""Adapter. The two files of a replica, data and checksums, read and written at offsets.

Part of the bulk byte path (decision D11): called from transfer threads, by one writer at a time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from hdfsd.base.errors import CorruptData
from hdfsd.wire.checksum import META_HEADER_BYTES, BytesLike, ChunkChecksum

_VECTORS_MAX = 512
"""Fewer than the system's IOV_MAX."""
_COPY_BYTES = 1 << 20


def sync_directory(path: str) -> None:
    """Makes created and renamed names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: str, data: bytes) -> None:
    """Replaces a small file: the old content or the new one after a crash."""
    temporary = path + ".tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


@dataclass(slots=True)
class ReplicaFiles:
    """Open descriptors of a block file and its meta file."""

    data: int
    meta: int
    checksum: ChunkChecksum
    path: str
    was_synced: bool = False

    @classmethod
    def create(cls, path: str, meta_path: str, checksum: ChunkChecksum) -> ReplicaFiles:
        """New files with nothing but the meta header. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        data = os.open(path, flags, 0o644)
        try:
            meta = os.open(meta_path, flags, 0o644)
        except OSError:
            os.close(data)
            raise
        files = cls(data, meta, checksum, path)
        try:
            os.pwrite(meta, checksum.meta_header(), 0)
        except OSError:
            files.close()
            raise
        return files

    @classmethod
    def open(cls, path: str, meta_path: str, *, writable: bool = False) -> ReplicaFiles:
        """Existing files. Raises OSError, and CorruptData for a bad meta header."""
        flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
        data = os.open(path, flags)
        try:
            meta = os.open(meta_path, flags)
        except OSError:
            os.close(data)
            raise
        try:
            header = os.pread(meta, META_HEADER_BYTES, 0)
            return cls(data, meta, ChunkChecksum.of_meta_header(header, meta_path), path)
        except (OSError, CorruptData):
            os.close(data)
            os.close(meta)
            raise

    def data_bytes(self) -> int:
        return os.fstat(self.data).st_size

    def meta_bytes(self) -> int:
        return os.fstat(self.meta).st_size

    def write(self, offset: int, parts: Sequence[BytesLike], crcs: BytesLike) -> None:
        """Data that begins at `offset` and the checksums of its chunks. Raises OSError."""
        at = offset
        for first in range(0, len(parts), _VECTORS_MAX):
            at += _write_all(self.data, at, list(parts[first : first + _VECTORS_MAX]))
        if len(crcs):
            _write_all(self.meta, self.checksum.crc_offset(offset), [crcs])

    def read(self, offset: int, count: int) -> bytes:
        """Data; raises CorruptData when the file ends before."""
        data = os.pread(self.data, count, offset)
        if len(data) != count:
            raise CorruptData(self.path, offset + len(data), f"{count - len(data)} bytes missing")
        return data

    def crcs(self, offset: int, data_bytes: int) -> bytes:
        """Checksums of the chunks from `offset` (a chunk's start) for so many bytes of data."""
        count = self.checksum.crcs_bytes(data_bytes)
        stored = os.pread(self.meta, count, self.checksum.crc_offset(offset))
        if len(stored) != count:
            raise CorruptData(
                self.path, offset, f"the meta file lacks {count - len(stored)} bytes of checksums"
            )
        return stored

    def checked(self, offset: int, count: int) -> bytes:
        """Data from a chunk's start, verified; raises CorruptData.

        `offset + count` must be where a chunk ends or where the replica does.
        """
        data = self.read(offset, count)
        bad = self.checksum.first_mismatch(data, self.crcs(offset, count))
        if bad is not None:
            at = offset + bad * self.checksum.bytes_per_checksum
            raise CorruptData(self.path, at, "the checksum of the chunk is wrong")
        return data

    def verify(self, length: int) -> None:
        """Reads the first `length` bytes against their checksums; raises CorruptData."""
        step = self.checksum.chunk_start(_COPY_BYTES) or self.checksum.bytes_per_checksum
        for offset in range(0, length, step):
            self.checked(offset, min(step, length - offset))

    def truncate(self, old_length: int, new_length: int) -> None:
        """Cuts both files; the checksum of a chunk that gets shorter is made anew, from data that
        was verified first. Raises CorruptData, OSError."""
        start = self.checksum.chunk_start(new_length)
        tail = b""
        if start < new_length:
            whole = min(self.checksum.bytes_per_checksum, old_length - start)
            tail = self.checked(start, whole)[: new_length - start]
        os.ftruncate(self.data, new_length)
        os.ftruncate(self.meta, self.checksum.meta_bytes(new_length))
        if tail:
            _write_all(self.meta, self.checksum.crc_offset(start), [self.checksum.crcs(tail)])

    def copy_to(self, other: ReplicaFiles, length: int) -> None:
        """Copies the first `length` bytes, verified, into new files with the same checksum."""
        step = self.checksum.chunk_start(_COPY_BYTES) or self.checksum.bytes_per_checksum
        whole = self.checksum.chunk_start(length)
        for offset in range(0, whole, step):
            count = min(step, whole - offset)
            other.write(offset, [self.checked(offset, count)], self.crcs(offset, count))
        if whole < length:
            chunk = min(self.checksum.bytes_per_checksum, self.data_bytes() - whole)
            tail = self.checked(whole, chunk)[: length - whole]
            other.write(whole, [tail], self.checksum.crcs(tail))

    def sync(self) -> None:
        """Both files are durable when this returns."""
        os.fdatasync(self.data)
        os.fdatasync(self.meta)
        self.was_synced = True

    def close(self) -> None:
        """Closes both; closing twice does nothing."""
        if self.data >= 0:
            os.close(self.data)
            os.close(self.meta)
            self.data = self.meta = -1


def validated_length(path: str, meta_path: str) -> int:
    """Bytes of a replica that was being written when its writer died, as far as checksums go.

    Only the last chunk may be torn: what came before it has been written over its checksum before.
    Source: Hadoop's BlockPoolSlice.validateIntegrityAndSetLength.
    """
    files = ReplicaFiles.open(path, meta_path)
    try:
        checksum = files.checksum
        data_bytes, meta_bytes = files.data_bytes(), files.meta_bytes()
        if not checksum.crc_bytes:
            return data_bytes
        chunks = min(
            checksum.chunk_count(data_bytes),
            max(0, meta_bytes - META_HEADER_BYTES) // checksum.crc_bytes,
        )
        if chunks == 0:
            return 0
        start = (chunks - 1) * checksum.bytes_per_checksum
        size = min(checksum.bytes_per_checksum, data_bytes - start)
        try:
            files.checked(start, size)
        except CorruptData:
            return start
        return start + size
    finally:
        files.close()


def _write_all(descriptor: int, offset: int, parts: list[BytesLike]) -> int:
    total = sum(map(len, parts))
    written = os.pwritev(descriptor, parts, offset)
    if written != total:
        # The system took a part of it (a disk about to be full): the rest in one piece.
        rest = memoryview(b"".join(parts))[written:]
        while rest:
            count = os.pwrite(descriptor, rest, offset + total - len(rest))
            rest = rest[count:]
    return total
