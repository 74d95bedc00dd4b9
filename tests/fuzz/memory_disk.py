"""Adapter. ports.disk in a dictionary: fast, and gone with the test."""

from __future__ import annotations

import posixpath

from hdfsd.ports.disk import BytesLike


class MemoryFile:
    def __init__(self, disk: MemoryDisk, path: str) -> None:
        self.path = path
        self._data = disk.files[path]

    def size(self) -> int:
        return len(self._data)

    def write_at(self, offset: int, data: BytesLike) -> None:
        if offset > len(self._data):
            self._data.extend(bytes(offset - len(self._data)))
        self._data[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        if size <= len(self._data):
            del self._data[size:]
        else:
            self._data.extend(bytes(size - len(self._data)))

    async def sync(self) -> None:
        pass

    def sync_now(self) -> bool:
        return False

    def close(self) -> None:
        pass


class MemoryLock:
    def release(self) -> None:
        pass


class MemoryDisk:
    """Directories are names that were made; files are bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.directories: set[str] = {"/"}

    def exists(self, path: str) -> bool:
        return path in self.files or path in self.directories

    def is_dir(self, path: str) -> bool:
        return path in self.directories

    def list(self, path: str) -> list[str]:
        if path not in self.directories:
            raise FileNotFoundError(path)
        known = (*self.files, *self.directories)
        return sorted(posixpath.basename(p) for p in known if posixpath.dirname(p) == path != p)

    def size(self, path: str) -> int:
        return len(self._of(path))

    def mtime_ms(self, path: str) -> int:
        return 0

    def read(self, path: str, *, offset: int = 0, limit: int) -> bytes:
        return bytes(self._of(path)[offset : offset + limit])

    def make_dirs(self, path: str, mode: int = 0o755) -> None:
        while path not in self.directories:
            if path in self.files:
                raise FileExistsError(path)
            self.directories.add(path)
            path = posixpath.dirname(path)

    def create(self, path: str) -> MemoryFile:
        if self.exists(path):
            raise FileExistsError(path)
        self._parent(path)
        self.files[path] = bytearray()
        return MemoryFile(self, path)

    def open(self, path: str) -> MemoryFile:
        self._of(path)
        return MemoryFile(self, path)

    def link(self, source: str, target: str) -> None:
        if self.exists(target):
            raise FileExistsError(target)
        self._parent(target)
        self.files[target] = self._of(source)

    async def write_atomic(self, path: str, data: bytes) -> None:
        self._parent(path)
        self.files[path] = bytearray(data)

    async def rename(self, source: str, target: str) -> None:
        self._parent(target)
        if source in self.directories:
            self._rename_tree(source, target)
        else:
            data = self._of(source)
            del self.files[source]
            self.files[target] = data

    def _rename_tree(self, source: str, target: str) -> None:
        if self.exists(target):
            raise FileExistsError(target)
        inside = f"{source}/"
        for path in [p for p in self.files if p.startswith(inside)]:
            self.files[target + path.removeprefix(source)] = self.files.pop(path)
        for path in [p for p in self.directories if p == source or p.startswith(inside)]:
            self.directories.remove(path)
            self.directories.add(target + path.removeprefix(source))

    async def remove(self, path: str) -> None:
        self.files.pop(path, None)

    async def remove_tree(self, path: str) -> None:
        inside = f"{path}/"
        for name in [p for p in self.files if p.startswith(inside)]:
            del self.files[name]
        self.directories -= {p for p in self.directories if p == path or p.startswith(inside)}

    async def sync_dir(self, path: str) -> None:
        pass

    def free_bytes(self, path: str) -> int:
        return 1 << 40

    def lock(self, directory: str) -> MemoryLock:
        return MemoryLock()

    def _of(self, path: str) -> bytearray:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def _parent(self, path: str) -> None:
        if posixpath.dirname(path) not in self.directories:
            raise FileNotFoundError(path)
