"""Adapter. Files of the operating system (ports.disk).

Whatever waits for the platter runs in a worker thread of this disk, in the order it was asked
for; the event loop goes on meanwhile. A daemon that does little but sync may have quick syncs done
in line: on a good disk they take less time than a thread takes to be woken and to wake the loop.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TypeVar

from hdfsd.base.errors import StorageError
from hdfsd.io.worker import Worker
from hdfsd.ports.disk import BytesLike

T = TypeVar("T")

LOCK_NAME = "in_use.lock"
LOCK_TEXT_BYTES_MAX = 512
QUICK_S = 0.001
"""A sync that holds the loop no longer than a large request does."""
QUICK_IN_A_ROW = 3
"""So many quick ones, and the next is expected to be quick as well."""


class SyncPace:
    """Whether the next sync is done in line: one that is slow sends those behind it to the thread
    until the disk is quick again."""

    def __init__(self, *, in_line: bool) -> None:
        self._allowed = in_line
        self._quick_in_a_row = 0

    @property
    def in_line(self) -> bool:
        return self._quick_in_a_row >= QUICK_IN_A_ROW and self._allowed

    def note(self, seconds: float) -> None:
        """A sync took so long."""
        self._quick_in_a_row = self._quick_in_a_row + 1 if seconds <= QUICK_S else 0


class RealFile:
    """An open file (ports.disk.AppendFile)."""

    def __init__(self, path: str, descriptor: int, worker: Worker, pace: SyncPace) -> None:
        self.path = path
        self._descriptor = descriptor
        self._timed_sync = partial(_timed_sync, descriptor)
        self._worker = worker
        self._pace = pace
        self._syncs = 0
        self._closed = False

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def write_at(self, offset: int, data: BytesLike) -> None:
        rest = memoryview(data).cast("B")
        try:
            while rest:
                written = os.pwrite(self._descriptor, rest, offset)
                rest, offset = rest[written:], offset + written
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from error

    def sync_now(self) -> bool:
        assert not self._closed, f"{self.path} is closed"
        if self._syncs or not self._pace.in_line:
            return False
        try:
            self._pace.note(self._sync_in_line())
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from error
        return True

    def _sync_in_line(self) -> float:
        """Seconds that it took."""
        return self._timed_sync()

    async def sync(self) -> None:
        if not self.sync_now():
            await self._sync_in_thread()

    async def _sync_in_thread(self) -> None:
        try:
            self._syncs += 1
            self._pace.note(await self._worker.run(self._timed_sync, self._synced))
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path) from error

    def _synced(self) -> None:
        self._syncs -= 1
        if self._closed and not self._syncs:
            os.close(self._descriptor)

    def close(self) -> None:
        """A sync under way keeps the descriptor until it is done: its number must not be reused."""
        if self._closed:
            return
        self._closed = True
        if not self._syncs:
            os.close(self._descriptor)


class RealLock:
    """`in_use.lock` of a directory (ports.disk.DiskLock)."""

    def __init__(self, path: str, descriptor: int, held: dict[str, None]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._held = held

    def release(self) -> None:
        if self._path not in self._held:
            return
        del self._held[self._path]
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        os.close(self._descriptor)


class RealDisk:
    """The machine's file system, with one worker thread for what makes things durable."""

    _make_file: type[RealFile] = RealFile

    def __init__(self, *, quick_syncs_in_line: bool = False) -> None:
        self._worker = Worker("disk")
        self._pace = SyncPace(in_line=quick_syncs_in_line)
        self._locks: dict[str, None] = {}

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def is_dir(self, path: str) -> bool:
        return os.path.isdir(path)

    def list(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def mtime_ms(self, path: str) -> int:
        return os.stat(path).st_mtime_ns // 1_000_000

    def read(self, path: str, *, offset: int = 0, limit: int) -> bytes:
        with open(path, "rb", buffering=0) as file:
            parts: list[bytes] = []
            while limit > 0:
                part = os.pread(file.fileno(), min(limit, 1 << 24), offset)
                if not part:
                    break
                parts.append(part)
                offset, limit = offset + len(part), limit - len(part)
        return b"".join(parts)

    def make_dirs(self, path: str, mode: int = 0o755) -> None:
        os.makedirs(path, mode, exist_ok=True)

    def create(self, path: str) -> RealFile:
        return self._open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def open(self, path: str) -> RealFile:
        return self._open(path, os.O_RDWR)

    def _open(self, path: str, flags: int) -> RealFile:
        descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
        return self._make_file(path, descriptor, self._worker, self._pace)

    def link(self, source: str, target: str) -> None:
        os.link(source, target)

    async def write_atomic(self, path: str, data: bytes) -> None:
        await self._run(lambda: _write_atomic(path, data))

    async def rename(self, source: str, target: str) -> None:
        await self._run(lambda: _rename(source, target))

    async def remove(self, path: str) -> None:
        await self._run(lambda: _remove(path))

    async def remove_tree(self, path: str) -> None:
        await self._run(lambda: _remove_tree(path))

    async def sync_dir(self, path: str) -> None:
        await self._run(lambda: _sync_dir(path))

    def free_bytes(self, path: str) -> int:
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize

    def lock(self, directory: str) -> RealLock:
        # POSIX record locks, as Java's FileChannel.tryLock takes: each side sees the other's.
        # They do not exclude their own process, and closing any descriptor of the file lets go of
        # them: what this process holds is remembered, and its file is not opened again.
        path = os.path.join(os.path.realpath(directory), LOCK_NAME)
        if path in self._locks:
            raise StorageError(f"{directory} is in use by this process, {os.getpid()}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, LOCK_TEXT_BYTES_MAX, 0).decode(errors="replace").strip()
            os.close(descriptor)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise StorageError(
                f"{directory} is in use by {holder or 'another process'}: stop that daemon first"
            ) from error
        self._locks[path] = None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}@{socket.gethostname()}".encode(), 0)
        return RealLock(path, descriptor, self._locks)

    async def _run(self, work: Callable[[], T]) -> T:
        """Runs it in the worker thread; goes on there even when the caller is cancelled."""
        return await self._worker.run(work)


def _timed_sync(descriptor: int) -> float:
    begun_s = perf_counter()
    os.fdatasync(descriptor)
    return perf_counter() - begun_s


def _write_atomic(path: str, data: bytes) -> None:
    temporary = path + ".tmp"
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _rename(temporary, path)


def _rename(source: str, target: str) -> None:
    os.replace(source, target)
    _sync_dir(os.path.dirname(target))
    if os.path.dirname(source) != os.path.dirname(target):
        _sync_dir(os.path.dirname(source))


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    _sync_dir(os.path.dirname(path))


def _remove_tree(path: str) -> None:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    _sync_dir(os.path.dirname(path))


def _sync_dir(path: str) -> None:
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
