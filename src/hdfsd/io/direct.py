"""Adapter. A file whose growing end goes past the page cache, where syncs are done in line.

The end of an edit log lies in what was preallocated. Such a piece is kept in memory, and its
changed blocks are written with O_DIRECT and O_DSYNC: one system call that is durable when it
returns, and costs the kernel half of what a write to the page cache and fdatasync do. Whatever does
not fit (preallocation itself, a large batch, a file system without O_DIRECT, a slow disk whose
syncs have a thread) goes the way of every file.
"""

from __future__ import annotations

import errno
import mmap
import os
from time import perf_counter

from hdfsd.io.disk import RealDisk, RealFile, SyncPace
from hdfsd.io.worker import Worker
from hdfsd.ports.disk import BytesLike

BLOCK_BYTES = 4096
"""What O_DIRECT is aligned to: no block of a common file system or device is larger."""
PIECE_BYTES = 64 * BLOCK_BYTES


class DirectFile(RealFile):
    """ports.disk.AppendFile. Nobody may read the file while what was written is not synced: the
    changed blocks are in this process only. They are in the file when it is closed."""

    def __init__(self, path: str, descriptor: int, worker: Worker, pace: SyncPace) -> None:
        super().__init__(path, descriptor, worker, pace)
        self._direct: int | None = None
        """A second descriptor, with O_DIRECT; None before its first use."""
        self._refused = False
        """Whether the file system has no O_DIRECT."""
        self._piece = mmap.mmap(-1, PIECE_BYTES)
        self._view = memoryview(self._piece)
        self._start = self._end = 0
        """Where in the file the piece lies; it is empty when the two are equal."""
        self._length = os.fstat(descriptor).st_size
        self._low, self._high = PIECE_BYTES, 0
        """What was changed, as offsets in the piece."""
        self._cached = False
        """Whether the page cache has changes that are not durable yet."""

    def write_at(self, offset: int, data: BytesLike) -> None:
        size = len(data)
        if not (self._holds(offset, size) or self._move_to(offset, size)):
            self._write_cached(offset, data)
            return
        low = offset - self._start
        self._view[low : low + size] = data
        self._low, self._high = min(self._low, low), max(self._high, low + size)

    def _holds(self, offset: int, size: int) -> bool:
        return self._start <= offset and offset + size <= self._end

    def _move_to(self, offset: int, size: int) -> bool:
        """Whether the piece could be laid around these bytes: whole blocks that are there."""
        start = offset - offset % BLOCK_BYTES
        end = min(start + PIECE_BYTES, self._length - self._length % BLOCK_BYTES)
        if offset + size > end or not self._pace.in_line or not self._may_be_direct():
            return False
        self._put_back()
        length = end - start
        if os.preadv(self._descriptor, [self._view[:length]], start) != length:
            raise OSError(errno.EIO, "shorter than it was written", self.path)
        self._start, self._end = start, end
        return True

    def _may_be_direct(self) -> bool:
        if self._direct is None and not self._refused:
            try:
                self._direct = os.open(
                    self.path, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC | os.O_CLOEXEC
                )
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._refused = True
        return not self._refused

    def _write_cached(self, offset: int, data: BytesLike) -> None:
        self._put_back()
        self._end = self._start
        super().write_at(offset, data)
        self._length = max(self._length, offset + len(data))
        self._cached = True

    def _put_back(self) -> None:
        """What was changed in the piece is in the page cache, as if it had been written there."""
        if self._low < self._high:
            changed = self._view[self._low : self._high]
            super().write_at(self._start + self._low, changed)
            self._cached = True
            self._low, self._high = PIECE_BYTES, 0

    def truncate(self, size: int) -> None:
        self._put_back()
        self._end = self._start
        super().truncate(size)
        self._length = size
        self._cached = True

    def _sync_in_line(self) -> float:
        begun_s = perf_counter()
        if self._cached:
            os.fdatasync(self._descriptor)
            self._cached = False
        if self._low < self._high:
            self._write_through()
            self._low, self._high = PIECE_BYTES, 0
        return perf_counter() - begun_s

    def _write_through(self) -> None:
        assert self._direct is not None
        low = self._low - self._low % BLOCK_BYTES
        high = self._high + -self._high % BLOCK_BYTES
        while low < high:
            low += os.pwrite(self._direct, self._view[low:high], self._start + low)

    async def sync(self) -> None:
        if self.sync_now():
            return
        # The thread must find it in the page cache: the piece may be written to meanwhile, and a
        # file system with checksums takes that for damage.
        self._put_back()
        self._cached = False
        await self._sync_in_thread()

    def close(self) -> None:
        if self._closed:
            return
        self._put_back()
        if self._direct is not None:
            os.close(self._direct)
        self._view.release()
        self._piece.close()
        super().close()


class DiskOfLogs(RealDisk):
    """For a daemon that does little but append and sync: quick syncs are done in line, and what is
    appended goes past the page cache then."""

    _make_file = DirectFile

    def __init__(self) -> None:
        super().__init__(quick_syncs_in_line=True)
