"""Adapter. The election's lock as a file lock, for the controllers of one machine (D9).

The lock is `flock` on a file: the kernel gives it back when its holder dies, however it dies. Those
who wait for it sleep in the kernel, in a thread, and wake within a millisecond. What the holder
says of itself is the file's content; it counts only while somebody holds the lock. The breadcrumb
is a file next to it. Nothing here has to outlive the machine: with it all NameNodes are gone too.

Unlike ZooKeeper, a file lock has no session time-out: a holder that is frozen keeps the lock.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hdfsd.base.errors import ConnectFailed, CorruptData, OutcomeUnknown, StorageError
from hdfsd.ports.coordination import Breadcrumb, LockView, SessionState

log = logging.getLogger(__name__)

LOCK_NAME = "ActiveStandbyElectorLock"
BREADCRUMB_NAME = "ActiveBreadCrumb"
MUTEX_NAME = "mutex"
CONTENT_BYTES_MAX = 1 << 16
_VERSION_BYTES = 8


class FileLockCoordination:
    def __init__(self, directory: str) -> None:
        """`directory` belongs to one nameservice."""
        self._directory = Path(directory)
        self._lock_path = self._directory / LOCK_NAME
        self._breadcrumb_path = self._directory / BREADCRUMB_NAME
        self._opened = False
        self._held: int | None = None
        """File descriptor of the lock while it is ours."""
        self._on_change: Callable[[], None] | None = None
        self._waiter: threading.Thread | None = None

    async def open(self, on_session: Callable[[SessionState], None]) -> None:
        await self.close()
        self._opened = True
        on_session(SessionState.CONNECTED)

    async def close(self) -> None:
        self._opened = False
        self._on_change = None
        self._release()

    async def parent_exists(self) -> bool:
        return self._directory.is_dir()

    async def format(self) -> None:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._breadcrumb_path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self._directory}: can't be formatted: {error}") from error

    async def try_lock(self, data: bytes) -> bool:
        self._check_open()
        if self._held is None:
            descriptor = self._open_lock()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._held = descriptor
        os.ftruncate(self._held, 0)
        os.pwrite(self._held, data, 0)
        return True

    async def read_lock(self, on_change: Callable[[], None] | None = None) -> LockView | None:
        self._check_open()
        if self._held is not None:
            return LockView(os.pread(self._held, CONTENT_BYTES_MAX, 0), True)
        descriptor = self._open_lock()
        try:
            if _is_free(descriptor):
                return None
            if on_change is not None:
                self._watch(on_change)
            return LockView(os.pread(descriptor, CONTENT_BYTES_MAX, 0), False)
        finally:
            os.close(descriptor)

    async def unlock(self) -> None:
        self._release()

    async def read_breadcrumb(self) -> Breadcrumb | None:
        self._check_open()
        return self._read_breadcrumb()

    def _read_breadcrumb(self) -> Breadcrumb | None:
        try:
            content = self._breadcrumb_path.read_bytes()[:CONTENT_BYTES_MAX]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"{self._breadcrumb_path}: {error}") from error
        if len(content) < _VERSION_BYTES:
            raise StorageError(
                str(CorruptData(str(self._breadcrumb_path), len(content), "the file is cut off"))
                + ": remove it when you know that no NameNode is active"
            )
        version = int.from_bytes(content[:_VERSION_BYTES], "big")
        return Breadcrumb(content[_VERSION_BYTES:], version)

    async def write_breadcrumb(self, data: bytes, version: int | None) -> None:
        self._check_open()
        with self._mutex():
            self._check_version(version)
            following = 0 if version is None else version + 1
            content = following.to_bytes(_VERSION_BYTES, "big") + data
            temporary = self._breadcrumb_path.with_suffix(".tmp")
            temporary.write_bytes(content)
            temporary.replace(self._breadcrumb_path)

    async def delete_breadcrumb(self, version: int) -> None:
        self._check_open()
        with self._mutex():
            self._check_version(version)
            self._breadcrumb_path.unlink()

    def _check_version(self, version: int | None) -> None:
        found = self._read_breadcrumb()
        if (None if found is None else found.version) != version:
            raise OutcomeUnknown(f"{self._breadcrumb_path} was changed by somebody else")

    @contextmanager
    def _mutex(self) -> Iterator[None]:
        """Keeps other processes from reading a version that is about to be replaced."""
        descriptor = self._open_file(self._directory / MUTEX_NAME)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise StorageError(f"{self._directory}: {error}") from error
        finally:
            os.close(descriptor)

    def _check_open(self) -> None:
        if not self._opened:
            raise ConnectFailed("the lock directory is not open")

    def _open_lock(self) -> int:
        return self._open_file(self._lock_path)

    def _open_file(self, path: Path) -> int:
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError as error:
            raise StorageError(
                f"Lock directory {self._directory} does not exist."
                " Run with -formatZK flag to make it."
            ) from error
        except OSError as error:
            raise StorageError(f"{path}: {error}") from error

    def _release(self) -> None:
        if self._held is not None:
            # Empty first: whoever looks in between must not take us for the holder.
            os.ftruncate(self._held, 0)
            os.close(self._held)
            self._held = None

    def _watch(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        if self._waiter is not None and self._waiter.is_alive():
            return  # A thread that waits since an earlier look will tell.
        descriptor = self._open_lock()
        loop = asyncio.get_running_loop()
        self._waiter = threading.Thread(
            target=_wait_until_free,
            args=(descriptor, loop, self._changed),
            name="file lock",
            daemon=True,
        )
        self._waiter.start()

    def _changed(self) -> None:
        on_change, self._on_change = self._on_change, None
        self._waiter = None
        if on_change is not None:
            on_change()


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _wait_until_free(
    descriptor: int, loop: asyncio.AbstractEventLoop, changed: Callable[[], None]
) -> None:
    """In a thread: sleeps until nobody holds the lock alone, gives it back, then tells."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)
    try:
        loop.call_soon_threadsafe(changed)
    except RuntimeError:
        log.debug("the event loop is closed: nobody is left to tell")
