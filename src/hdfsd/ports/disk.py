"""Data. Files as storage needs them, with their order and durability said aloud.

Small metadata calls are synchronous. Whatever makes something durable is a coroutine, so that one
event loop is never held by a slow disk. What a crash may do: lose or tear every byte written after
the last `sync` of that file; undo a create after the last `sync_dir` of its directory.
`write_atomic` leaves the old content or the new one, never a mixture, and is durable when it
returns.

Errors: FileNotFoundError, FileExistsError and other OSError as the operating system says them, with
the path in them; DiskFull (an OSError with errno ENOSPC) when space ran out.
"""

from __future__ import annotations

from typing import Protocol

BytesLike = bytes | bytearray | memoryview


class AppendFile(Protocol):
    """A file that is written at given offsets by one owner."""

    path: str

    def size(self) -> int:
        """Bytes in the file, preallocation included."""
        ...

    def write_at(self, offset: int, data: BytesLike) -> None:
        """Writes all of it or raises OSError; not durable yet."""
        ...

    def truncate(self, size: int) -> None: ...

    async def sync(self) -> None:
        """All that was written before this call is durable when it returns (fdatasync)."""
        ...

    def sync_now(self) -> bool:
        """The same in line, where the disk is so quick that waiting elsewhere would take longer.

        False: nothing was done, `sync` has to.
        """
        ...

    def close(self) -> None: ...


class DiskLock(Protocol):
    def release(self) -> None:
        """Unlocks and removes the lock file."""
        ...


class Disk(Protocol):
    def exists(self, path: str) -> bool: ...

    def is_dir(self, path: str) -> bool: ...

    def list(self, path: str) -> list[str]:
        """Names in a directory, sorted."""
        ...

    def size(self, path: str) -> int: ...

    def mtime_ms(self, path: str) -> int:
        """Last modification, milliseconds since 1970."""
        ...

    def read(self, path: str, *, offset: int = 0, limit: int) -> bytes:
        """At most `limit` bytes from `offset`; fewer at the end of the file."""
        ...

    def make_dirs(self, path: str, mode: int = 0o755) -> None:
        """Creates the directory and its parents; content when it is there."""
        ...

    def create(self, path: str) -> AppendFile:
        """A new empty file; raises FileExistsError."""
        ...

    def open(self, path: str) -> AppendFile:
        """An existing file, for writing on."""
        ...

    def link(self, source: str, target: str) -> None:
        """Another name of the same file; raises FileExistsError. Durable after `sync_dir`."""
        ...

    async def write_atomic(self, path: str, data: bytes) -> None:
        """Replaces the content through `<path>.tmp`, fsync, rename, fsync of the directory."""
        ...

    async def rename(self, source: str, target: str) -> None:
        """Atomic replacement, durable when it returns."""
        ...

    async def remove(self, path: str) -> None:
        """Removes a file; content when it is not there. Durable when it returns."""
        ...

    async def remove_tree(self, path: str) -> None: ...

    async def sync_dir(self, path: str) -> None: ...

    def free_bytes(self, path: str) -> int: ...

    def lock(self, directory: str) -> DiskLock:
        """Holds `<directory>/in_use.lock` (`<pid>@<host>`); the kernel lets go at death.

        Raises StorageError naming the holder when another process has it.
        """
        ...
