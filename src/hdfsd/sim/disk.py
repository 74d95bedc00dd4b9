"""Driver. A simulated disk (ports.disk): what was not made durable may be lost, torn or undone.

What the system must survive here, and what this disk does for it: a killed process (its writes
stay, the operation it waited for is done or not, or its new name is seen and not durable yet); a
machine that loses power (each write after
the last `sync` of its file is kept, lost or torn; each name made after the last `sync_dir` of its
directory is kept or undone; the operation under way is done or not); slow and stalling syncs; a
full disk; bytes that rot. A directory in which something was made durable is durable itself, as
on file systems with a journal.
"""

from __future__ import annotations

import asyncio
import errno
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hdfsd.base.errors import StorageError
from hdfsd.ports.disk import BytesLike
from hdfsd.sim.clock import SimClock
from hdfsd.sim.dice import SimDice
from hdfsd.sim.loop import Lane, SimLoop

LOCK_NAME = "in_use.lock"
SECTOR_BYTES = 512
"""What a disk writes whole or not at all: a torn write ends between two of them."""


@dataclass(frozen=True, slots=True)
class DiskFaults:
    """How the disk misbehaves by itself."""

    sync_ms: tuple[float, float] = (0.1, 2.0)
    stall_chance: float = 0.005
    """Of an operation that takes `stall_ms` more."""
    stall_ms: tuple[float, float] = (20.0, 400.0)
    quick_chance: float = 0.0
    """Of a sync that may be done in line to take no time at all."""


@dataclass(eq=False, slots=True)
class _File:
    data: bytearray = field(default_factory=bytearray)
    """What programs see."""
    durable: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Since the last sync: (offset, bytes), or (size, None) for a truncation."""
    synced_count: int = 0
    """Changes that have been synced, of all that were ever made."""
    mtime_ms: int = 0

    def sync(self, upto_count: int) -> None:
        """Makes the first changes durable, as many as had been made when the sync was asked for."""
        count = max(0, upto_count - self.synced_count)
        for offset, data in self.unsynced[:count]:
            _write(self.durable, offset, data)
        del self.unsynced[:count]
        self.synced_count += count

    @property
    def change_count(self) -> int:
        return self.synced_count + len(self.unsynced)


@dataclass(eq=False, slots=True)
class _Directory:
    entries: dict[str, _File | _Directory] = field(default_factory=dict)
    durable: dict[str, _File | _Directory] = field(default_factory=dict)
    renamed: bool = False
    """A rename is not durable yet: it is kept or undone as a whole, with all that came since."""
    mtime_ms: int = 0


@dataclass(eq=False, slots=True)
class _Operation:
    """Something durable on its way to the platter."""

    lane: Lane
    done: asyncio.Future[None]
    apply: Callable[[], None]
    cut: Callable[[], None]
    """What is left of it when it is stopped in its middle."""
    seen: Callable[[], None] | None
    """What other processes see of it before it is durable; None: nothing yet."""


class Platter:
    """The storage of one machine; it outlives processes and power."""

    def __init__(
        self, loop: SimLoop, name: str, dice: SimDice, clock: SimClock, faults: DiskFaults
    ) -> None:
        self.loop = loop
        self.name = name
        self.dice = dice
        self.clock = clock
        self.faults = faults
        self.capacity_bytes = 1 << 40
        """May be lowered at any time: the disk is full then."""
        self.root = _Directory()
        self.used_bytes = 0
        self.locks: dict[str, Lane] = {}
        self.on_operation: Callable[[str, str], None] | None = None
        """Told "before" and "after" each operation that makes something durable."""
        self.half_done = 0.5
        """The chance of an operation under way to be done when its process or the power ends."""
        self._under_way: list[_Operation] = []
        self._free_at_s = 0.0

    # -- operations that take time

    def submit(
        self,
        lane: Lane,
        what: str,
        apply: Callable[[], None],
        cut: Callable[[], None],
        seen: Callable[[], None] | None,
    ) -> asyncio.Future[None]:
        """Runs after those before it; goes on when its caller is cancelled."""
        loop, dice, faults = self.loop, self.dice, self.faults
        if self.on_operation is not None:
            self.on_operation("before", what)
        took_ms = dice.between(*faults.sync_ms)
        if dice.chance(faults.stall_chance):
            took_ms += dice.between(*faults.stall_ms)
        self._free_at_s = max(self._free_at_s, loop.time()) + took_ms / 1000
        operation = _Operation(lane, loop.create_future(), apply, cut, seen)
        self._under_way.append(operation)
        context = loop.world.context
        loop.call_at(self._free_at_s, self._finish, operation, what, context=context)
        return operation.done

    def is_quick_now(self) -> bool:
        """Whether a sync takes no time: never while another operation is under way."""
        chance = self.faults.quick_chance
        return chance > 0 and not self._under_way and self.dice.chance(chance)

    def _finish(self, operation: _Operation, what: str) -> None:
        if operation not in self._under_way:
            return
        self._under_way.remove(operation)
        self.loop.note(f"{self.name} {what}")
        error = _error_of(operation.apply)
        if self.on_operation is not None:
            self.on_operation("after", what)
        if operation.done.cancelled():
            return
        if error is None:
            operation.done.set_result(None)
        else:
            operation.done.set_exception(error)

    def process_died(self, lane: Lane) -> None:
        """What it was waiting for is done, or not, or half."""
        for operation in [o for o in self._under_way if o.lane is lane]:
            self._under_way.remove(operation)
            done = operation.apply if self.dice.chance(self.half_done) else operation.cut
            if operation.seen is not None and self.dice.chance(self.half_done):
                done = operation.seen
            _error_of(done)

    def lose_power(self) -> None:
        for operation in self._under_way:
            _error_of(operation.apply if self.dice.chance(self.half_done) else operation.cut)
        self._under_way.clear()
        self._free_at_s = 0.0
        self._settle_directory(self.root)
        self.used_bytes = sum(len(file.data) for file in _files(self.root))

    def _settle_directory(self, directory: _Directory) -> None:
        if directory.renamed:
            directory.renamed = False
            if self.dice.chance(0.5):
                directory.entries = dict(directory.durable)
            else:
                directory.durable = dict(directory.entries)
        for name in sorted({*directory.entries, *directory.durable}):
            seen, durable = directory.entries.get(name), directory.durable.get(name)
            kept = seen if seen is durable or self.dice.chance(0.5) else durable
            if kept is None:
                del directory.entries[name]
                continue
            directory.entries[name] = kept
            if isinstance(kept, _Directory):
                self._settle_directory(kept)
            else:
                self._settle_file(kept)
        directory.durable = dict(directory.entries)

    def _settle_file(self, file: _File) -> None:
        for offset, data in file.unsynced:
            fate = self.dice.below(3)
            if fate == 0:
                _write(file.durable, offset, data)
            elif fate == 1 and data is not None:
                torn_at = (offset + self.dice.below(len(data) + 1)) // SECTOR_BYTES * SECTOR_BYTES
                if torn_at > offset:
                    _write(file.durable, offset, data[: torn_at - offset])
        file.synced_count = file.change_count
        file.unsynced.clear()
        file.data = bytearray(file.durable)

    def corrupt(self, path: str, offset: int) -> None:
        """A bit flips, on the platter and in every cache."""
        file = self.file(path)
        for content in (file.data, file.durable):
            if offset < len(content):
                content[offset] ^= 1 << offset % 8

    # -- names

    def find(self, path: str) -> _File | _Directory | None:
        node: _File | _Directory | None = self.root
        for part in _parts(path):
            node = node.entries.get(part) if isinstance(node, _Directory) else None
        return node

    def file(self, path: str) -> _File:
        node = self.find(path)
        if node is None:
            raise _os_error(errno.ENOENT, path)
        if isinstance(node, _Directory):
            raise _os_error(errno.EISDIR, path)
        return node

    def directory(self, path: str) -> _Directory:
        node = self.find(path)
        if node is None:
            raise _os_error(errno.ENOENT, path)
        if isinstance(node, _File):
            raise _os_error(errno.ENOTDIR, path)
        return node

    def durable(self, path: str) -> bytes:
        """What the power leaves of a file at least; nothing while its name is not durable."""
        node: _File | _Directory | None = self.root
        for part in _parts(path):
            node = node.durable.get(part) if isinstance(node, _Directory) else None
        return bytes(node.durable) if isinstance(node, _File) else b""

    def make_durable(self, path: str) -> None:
        """The names of a directory, and of those above it on the way down to it."""
        directory = self.root
        for part in _parts(path):
            below = directory.entries[part]
            directory.durable[part] = below
            assert isinstance(below, _Directory)
            directory = below
        directory.durable = dict(directory.entries)
        directory.renamed = False

    def take(self, count: int, path: str) -> None:
        """Room for so many bytes more (or fewer)."""
        if count > 0 and self.used_bytes + count > self.capacity_bytes:
            raise _os_error(errno.ENOSPC, path)
        self.used_bytes += count


class SimFile:
    """An open file (ports.disk.AppendFile)."""

    def __init__(self, disk: SimDisk, path: str, file: _File) -> None:
        self.path = path
        self._disk = disk
        self._file = file
        self._closed = False

    def size(self) -> int:
        return len(self._file.data)

    def read_at(self, offset: int, limit: int) -> bytes:
        """As a descriptor reads: whatever the file is called by now."""
        return bytes(self._file.data[offset : offset + limit])

    def write_at(self, offset: int, data: BytesLike) -> None:
        content = bytes(data)
        platter = self._check()
        platter.take(max(0, offset + len(content) - len(self._file.data)), self.path)
        self._change(offset, content)

    def truncate(self, size: int) -> None:
        self._check().take(size - len(self._file.data), self.path)
        self._change(size, None)

    def _change(self, offset: int, content: bytes | None) -> None:
        _write(self._file.data, offset, content)
        self._file.unsynced.append((offset, content))
        self._file.mtime_ms = self._disk.platter.clock.wall_ms()

    async def sync(self) -> None:
        self._check()
        file, count = self._file, self._file.change_count
        await self._disk.submit(f"syncs {self.path} of {len(file.data)}", lambda: file.sync(count))

    def sync_now(self) -> bool:
        if not self._check().is_quick_now():
            return False
        self._file.sync(self._file.change_count)
        return True

    def close(self) -> None:
        self._closed = True

    def _check(self) -> Platter:
        if self._closed:
            raise _os_error(errno.EBADF, self.path)
        return self._disk.check(self.path)


class SimLock:
    """`in_use.lock` of a directory (ports.disk.DiskLock)."""

    def __init__(self, disk: SimDisk, directory: str) -> None:
        self._disk = disk
        self._directory = directory

    def release(self) -> None:
        platter = self._disk.platter
        if self._disk.lane.alive and platter.locks.get(self._directory) is self._disk.lane:
            del platter.locks[self._directory]
            directory = platter.directory(self._directory)
            for names in (directory.entries, directory.durable):
                names.pop(LOCK_NAME, None)


class SimDisk:
    """A machine's storage as one process on it sees it (ports.disk.Disk)."""

    def __init__(self, platter: Platter, lane: Lane) -> None:
        self.platter = platter
        self.lane = lane

    def check(self, path: str) -> Platter:
        """A process that has ended touches nothing any more."""
        if not self.lane.alive:
            raise _os_error(errno.EIO, path)
        return self.platter

    async def submit(
        self,
        what: str,
        apply: Callable[[], None],
        cut: Callable[[], None] | None = None,
        seen: Callable[[], None] | None = None,
    ) -> None:
        await asyncio.shield(self.platter.submit(self.lane, what, apply, cut or _nothing, seen))

    # -- reading

    def exists(self, path: str) -> bool:
        return self.platter.find(path) is not None

    def is_dir(self, path: str) -> bool:
        return isinstance(self.platter.find(path), _Directory)

    def list(self, path: str) -> list[str]:
        return sorted(self.platter.directory(path).entries)

    def size(self, path: str) -> int:
        return len(self.platter.file(path).data)

    def mtime_ms(self, path: str) -> int:
        node = self.platter.find(path)
        if node is None:
            raise _os_error(errno.ENOENT, path)
        return node.mtime_ms

    def read(self, path: str, *, offset: int = 0, limit: int) -> bytes:
        return bytes(self.platter.file(path).data[offset : offset + limit])

    def free_bytes(self, path: str) -> int:
        return max(0, self.platter.capacity_bytes - self.platter.used_bytes)

    # -- making names

    def make_dirs(self, path: str, mode: int = 0o755) -> None:
        platter = self.check(path)
        node = platter.root
        for part in _parts(path):
            below = node.entries.setdefault(part, _Directory())
            if isinstance(below, _File):
                raise _os_error(errno.ENOTDIR, path)
            node = below

    def create(self, path: str) -> SimFile:
        platter = self.check(path)
        directory, name = platter.directory(posixpath.dirname(path)), posixpath.basename(path)
        if name in directory.entries:
            raise _os_error(errno.EEXIST, path)
        file = _File(mtime_ms=platter.clock.wall_ms())
        directory.entries[name] = file
        return SimFile(self, path, file)

    def open(self, path: str) -> SimFile:
        return SimFile(self, path, self.check(path).file(path))

    def link(self, source: str, target: str) -> None:
        platter = self.check(target)
        directory, name = platter.directory(posixpath.dirname(target)), posixpath.basename(target)
        if name in directory.entries:
            raise _os_error(errno.EEXIST, target)
        file = platter.file(source)
        platter.take(len(file.data), target)
        directory.entries[name] = file

    def lock(self, directory: str) -> SimLock:
        platter = self.check(directory)
        directory = posixpath.normpath(directory)
        names = platter.directory(directory).entries
        holder = platter.locks.get(directory)
        if holder is not None and holder.alive:
            raise StorageError(f"{directory} is in use by {holder.name}: stop that daemon first")
        platter.locks[directory] = self.lane
        names[LOCK_NAME] = _File(data=bytearray(f"{self.lane.name}@{platter.name}".encode()))
        return SimLock(self, directory)

    # -- what is durable when it returns

    async def write_atomic(self, path: str, data: bytes) -> None:
        platter = self.check(path)

        def apply() -> None:
            directory = platter.directory(posixpath.dirname(path))
            old = directory.entries.get(posixpath.basename(path))
            size = len(old.data) if isinstance(old, _File) else 0
            platter.take(len(data) - size, path)
            directory.entries[posixpath.basename(path)] = _File(
                bytearray(data), bytearray(data), mtime_ms=platter.clock.wall_ms()
            )
            directory.entries.pop(posixpath.basename(path) + ".tmp", None)
            platter.make_durable(posixpath.dirname(path))

        def cut() -> None:
            directory = platter.directory(posixpath.dirname(path))
            part = bytearray(data[: platter.dice.below(len(data) + 1)])
            name = posixpath.basename(path) + ".tmp"
            directory.entries[name] = directory.durable[name] = _File(part, bytearray(part))

        await self.submit(f"replaces {path} with {len(data)}", apply, cut)

    async def rename(self, source: str, target: str) -> None:
        platter = self.check(source)

        old, new = posixpath.dirname(source), posixpath.dirname(target)

        def move() -> None:
            leaving, entering = platter.directory(old), platter.directory(new)
            if posixpath.basename(source) not in leaving.entries:
                raise _os_error(errno.ENOENT, source)
            platter.used_bytes -= _size(entering.entries.get(posixpath.basename(target)))
            node = leaving.entries.pop(posixpath.basename(source))
            entering.entries[posixpath.basename(target)] = node

        def apply() -> None:
            move()
            for directory in (new, old):
                platter.make_durable(directory)

        def seen() -> None:
            move()
            platter.directory(new).renamed = True

        # Between two directories the journal of a file system has both names or none.
        await self.submit(f"renames {source} to {target}", apply, seen=seen if old == new else None)

    async def remove(self, path: str) -> None:
        await self._remove(path, "removes")

    async def remove_tree(self, path: str) -> None:
        await self._remove(path, "removes the tree")

    async def _remove(self, path: str, verb: str) -> None:
        platter = self.check(path)

        def apply() -> None:
            above = platter.find(posixpath.dirname(path))
            if isinstance(above, _Directory) and posixpath.basename(path) in above.entries:
                platter.used_bytes -= _size(above.entries.pop(posixpath.basename(path)))
                platter.make_durable(posixpath.dirname(path))

        await self.submit(f"{verb} {path}", apply)

    async def sync_dir(self, path: str) -> None:
        platter = self.check(path)

        def apply() -> None:
            platter.directory(path)
            platter.make_durable(path)

        await self.submit(f"syncs the directory {path}", apply)


def _parts(path: str) -> list[str]:
    return [part for part in posixpath.normpath(path).split("/") if part not in ("", ".")]


def _write(content: bytearray, offset: int, data: bytes | None) -> None:
    """A write at an offset, or with None a truncation to it; a gap is zeros."""
    if data is None:
        del content[offset:]
    if len(content) < offset:
        content += bytes(offset - len(content))
    if data is not None:
        content[offset : offset + len(data)] = data


def _files(directory: _Directory) -> Iterator[_File]:
    for node in directory.entries.values():
        if isinstance(node, _File):
            yield node
        else:
            yield from _files(node)


def _size(node: _File | _Directory | None) -> int:
    if isinstance(node, _Directory):
        return sum(len(file.data) for file in _files(node))
    return 0 if node is None else len(node.data)


_TEXTS = {
    errno.ENOENT: "No such file or directory",
    errno.EEXIST: "File exists",
    errno.EISDIR: "Is a directory",
    errno.ENOTDIR: "Not a directory",
    errno.ENOSPC: "No space left on device",
    errno.EBADF: "Bad file descriptor",
    errno.EIO: "Input/output error",
}


def _os_error(code: int, path: str) -> OSError:
    """The subclass that Python has for the code: FileNotFoundError and so on."""
    return OSError(code, _TEXTS[code], path)


def _error_of(work: Callable[[], None]) -> OSError | None:
    try:
        work()
    except OSError as error:
        return error
    return None


def _nothing() -> None: ...
