"""The simulated disk against what ports.disk promises, and what crashes may and may not do."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from hdfsd.base.errors import StorageError
from hdfsd.ports.disk import Disk
from hdfsd.sim.disk import SimDisk
from hdfsd.sim.world import Machine, Process, World

SEEDS = [str(seed) for seed in range(40)]


async def _wait(process: Process) -> None:
    await asyncio.get_running_loop().create_future()


class Box:
    """One machine whose process can be started again."""

    def __init__(self, seed: str) -> None:
        self.world = World(seed)
        self.machine: Machine = self.world.add_machine("jn1")
        self.start()

    def start(self) -> None:
        self.process = self.machine.start("p", _wait)
        self.disk: SimDisk = self.process.disk

    def power_cycle(self) -> None:
        self.machine.power_off()
        self.machine.power_on()
        self.start()

    def kill(self) -> None:
        self.process.kill()
        self.start()


def play(story: Callable[[Box], Coroutine[Any, Any, Any]], seed: str = "1") -> Any:
    box = Box(seed)
    return box.world.run(story(box))


def over_seeds(story: Callable[[Box], Coroutine[Any, Any, Any]]) -> set[Any]:
    """All outcomes of a story."""
    return {play(story, seed) for seed in SEEDS}


def read(disk: Disk, path: str) -> bytes:
    return disk.read(path, limit=1 << 20)


def test_files_and_directories() -> None:
    async def story(box: Box) -> None:
        disk: Disk = box.disk
        disk.make_dirs("/data/current")
        disk.make_dirs("/data/current")
        file = disk.create("/data/current/edits")
        file.write_at(5, memoryview(b"abc"))
        assert (file.size(), read(disk, "/data/current/edits")) == (8, b"\0\0\0\0\0abc")
        assert disk.read("/data/current/edits", offset=4, limit=2) == b"\0a"
        file.truncate(6)
        file.truncate(7)
        assert read(disk, "/data/current/edits") == b"\0\0\0\0\0a\0"
        await file.sync()
        file.close()
        await disk.write_atomic("/data/seen_txid", b"7")
        await disk.rename("/data/seen_txid", "/data/current/seen")
        assert disk.list("/data") == ["current"]
        assert disk.list("/data/current") == ["edits", "seen"]
        assert disk.is_dir("/data")
        assert not disk.is_dir("/data/current/seen")
        assert disk.size("/data/current/seen") == 1
        assert disk.mtime_ms("/data/current/seen") > 1_600_000_000_000
        await disk.remove("/data/current/seen")
        await disk.remove("/data/current/seen")
        assert not disk.exists("/data/current/seen")
        disk.link("/data/current/edits", "/data/linked")
        disk.open("/data/current/edits").write_at(0, b"x")
        assert read(disk, "/data/linked") == b"x\0\0\0\0a\0"
        with pytest.raises(FileExistsError):
            disk.link("/data/current/edits", "/data/linked")
        await disk.remove_tree("/data")
        await disk.remove_tree("/data")
        assert not disk.exists("/data/current/edits")
        assert disk.free_bytes("/") == 1 << 40

    play(story)


def test_errors_are_the_operating_system_s_with_the_path_in_them() -> None:
    async def story(box: Box) -> None:
        disk = box.disk
        disk.make_dirs("/d")
        disk.create("/d/f").close()
        cases: list[tuple[type[OSError], Callable[[], object], str]] = [
            (FileNotFoundError, lambda: disk.read("/d/x", limit=1), "/d/x"),
            (FileNotFoundError, lambda: disk.open("/d/x"), "/d/x"),
            (FileNotFoundError, lambda: disk.create("/x/y"), "/x"),
            (FileNotFoundError, lambda: disk.list("/x"), "/x"),
            (FileNotFoundError, lambda: disk.mtime_ms("/x"), "/x"),
            (FileExistsError, lambda: disk.create("/d/f"), "/d/f"),
            (NotADirectoryError, lambda: disk.list("/d/f"), "/d/f"),
            (NotADirectoryError, lambda: disk.make_dirs("/d/f/g"), "/d/f/g"),
            (IsADirectoryError, lambda: disk.read("/d", limit=1), "/d"),
        ]
        for kind, act, path in cases:
            with pytest.raises(kind) as caught:
                act()
            assert caught.value.filename == path
        for work in (
            disk.write_atomic("/x/y", b""),
            disk.rename("/d/x", "/d/y"),
            disk.sync_dir("/x"),
        ):
            with pytest.raises(FileNotFoundError):
                await work
        file = disk.open("/d/f")
        file.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            file.write_at(0, b"x")

    play(story)


def test_a_full_disk() -> None:
    async def story(box: Box) -> None:
        disk = box.disk
        box.machine.platter.capacity_bytes = 100
        file = disk.create("/f")
        file.write_at(0, b"x" * 90)
        file.write_at(0, b"y" * 90)
        with pytest.raises(OSError, match="No space left") as caught:
            file.write_at(90, b"x" * 11)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/f")
        with pytest.raises(OSError, match="No space left"):
            await disk.write_atomic("/g", b"x" * 11)
        assert not disk.exists("/g")
        await disk.write_atomic("/g", b"x" * 10)
        assert disk.free_bytes("/") == 0
        await disk.remove("/f")
        assert disk.free_bytes("/") == 90
        await disk.write_atomic("/g", b"")
        assert disk.free_bytes("/") == 100

    play(story)


# -- loss of power


async def _synced_then_not(box: Box) -> bytes:
    file = box.disk.create("/f")
    file.write_at(0, b"durable")
    await file.sync()
    await box.disk.sync_dir("/")
    file.write_at(7, b"+")
    file.write_at(8, b"torn?")
    file.write_at(13, b"x" * 1200)
    box.power_cycle()
    return read(box.disk, "/f")


def test_what_was_synced_stays_and_the_rest_is_kept_lost_or_torn() -> None:
    outcomes = over_seeds(_synced_then_not)
    assert all(outcome.startswith(b"durable") for outcome in outcomes)
    whole = b"durable+torn?" + b"x" * 1200
    assert {b"durable", b"durable+", b"durable+torn?", whole} <= outcomes
    assert any(outcome.startswith(b"durable\0t") for outcome in outcomes)  # the hole of a lost one
    # A tear lies between two sectors, never within one.
    assert {512, 1024} <= {len(outcome) for outcome in outcomes}
    assert not any(len(outcome) in range(9, 13) for outcome in outcomes)


def test_a_sync_covers_what_was_written_before_it_was_asked_for() -> None:
    async def story(box: Box) -> bytes:
        file = box.disk.create("/f")
        await box.disk.sync_dir("/")
        file.write_at(0, b"one")
        first = asyncio.ensure_future(file.sync())
        await asyncio.sleep(0)
        file.write_at(3, b"two")
        second = asyncio.ensure_future(file.sync())
        await asyncio.sleep(0)
        file.write_at(6, b"three")
        await first
        await second
        box.power_cycle()
        return read(box.disk, "/f")

    outcomes = over_seeds(story)
    assert all(outcome.startswith(b"onetwo") for outcome in outcomes)
    assert {b"onetwo", b"onetwothree"} <= outcomes


def test_an_unsynced_truncation_may_be_undone() -> None:
    async def story(box: Box) -> bytes:
        file = box.disk.create("/f")
        file.write_at(0, b"long")
        await file.sync()
        await box.disk.sync_dir("/")
        file.truncate(1)
        box.power_cycle()
        return read(box.disk, "/f")

    assert over_seeds(story) == {b"long", b"l"}


def test_a_create_may_be_undone_until_its_directory_is_synced() -> None:
    async def create(box: Box, sync: bool) -> bool:
        box.disk.make_dirs("/a/b")
        file = box.disk.create("/a/b/f")
        file.write_at(0, b"x")
        await file.sync()
        if sync:
            await box.disk.sync_dir("/a/b")
        box.power_cycle()
        return box.disk.exists("/a/b/f") and read(box.disk, "/a/b/f") == b"x"

    assert over_seeds(lambda box: create(box, sync=False)) == {True, False}
    assert over_seeds(lambda box: create(box, sync=True)) == {True}


def test_write_atomic_leaves_the_old_or_the_new() -> None:
    async def story(box: Box) -> tuple[bytes, tuple[str, ...]]:
        await box.disk.write_atomic("/f", b"old")
        asyncio.ensure_future(box.disk.write_atomic("/f", b"new content"))
        await asyncio.sleep(0)
        box.power_cycle()
        outcome = read(box.disk, "/f"), tuple(box.disk.list("/"))
        await box.disk.write_atomic("/f", b"after")
        assert (read(box.disk, "/f"), box.disk.list("/")) == (b"after", ["f"])
        return outcome

    assert over_seeds(story) == {(b"old", ("f", "f.tmp")), (b"new content", ("f",))}


def test_what_has_returned_is_durable() -> None:
    async def story(box: Box) -> tuple[bytes, tuple[str, ...]]:
        disk = box.disk
        disk.make_dirs("/d")
        await disk.write_atomic("/d/a", b"a")
        await disk.write_atomic("/d/b", b"b")
        await disk.rename("/d/a", "/d/c")
        await disk.remove("/d/b")
        box.power_cycle()
        return read(box.disk, "/d/c"), tuple(box.disk.list("/d"))

    assert over_seeds(story) == {(b"a", ("c",))}


# -- death of a process


def test_what_a_killed_process_wrote_stays() -> None:
    async def story(box: Box) -> bytes:
        box.disk.create("/f").write_at(0, b"never synced")
        box.kill()
        return read(box.disk, "/f")

    assert over_seeds(story) == {b"never synced"}


def test_the_operation_under_way_at_a_kill_is_done_or_not() -> None:
    async def story(box: Box) -> bool:
        await box.disk.write_atomic("/a", b"")
        asyncio.ensure_future(box.disk.rename("/a", "/b"))
        await asyncio.sleep(0)
        box.kill()
        assert len(box.disk.list("/")) == 1
        return box.disk.exists("/b")

    assert over_seeds(story) == {True, False}


def test_a_dead_process_touches_nothing() -> None:
    async def story(box: Box) -> None:
        disk, file = box.disk, box.disk.create("/f")
        lock = disk.lock("/")
        box.kill()
        with pytest.raises(OSError, match="Input/output error"):
            file.write_at(0, b"ghost")
        with pytest.raises(OSError, match="Input/output error"):
            disk.create("/g")
        new_lock = box.disk.lock("/")
        lock.release()
        assert box.disk.exists("/in_use.lock")
        new_lock.release()
        assert box.disk.list("/") == ["f"]

    play(story)


def test_a_cancelled_caller_does_not_stop_what_was_asked_for() -> None:
    async def story(box: Box) -> None:
        writing = asyncio.ensure_future(box.disk.write_atomic("/f", b"x"))
        await asyncio.sleep(0)
        writing.cancel()
        await box.disk.sync_dir("/")  # comes after it
        assert read(box.disk, "/f") == b"x"

    play(story)


def test_a_lock_excludes_other_processes_of_the_machine() -> None:
    async def story(box: Box) -> None:
        other = box.machine.start("other", _wait)
        lock = box.disk.lock("/")
        with pytest.raises(StorageError, match="in use by jn1/p"):
            other.disk.lock("/")
        lock.release()
        other.disk.lock("/").release()
        assert box.disk.list("/") == []

    play(story)


def test_what_is_durable_of_a_file() -> None:
    async def story(box: Box) -> None:
        platter = box.machine.platter
        box.disk.make_dirs("/d")
        file = box.disk.create("/d/f")
        file.write_at(0, b"abc")
        assert platter.durable("/d/f") == b""
        await file.sync()
        assert platter.durable("/d/f") == b""
        await box.disk.sync_dir("/d")
        file.write_at(3, b"def")
        assert platter.durable("/d/f") == b"abc"
        assert platter.durable("/d/f/g") == platter.durable("/d") == platter.durable("/x") == b""

    play(story)


def test_rot() -> None:
    async def story(box: Box) -> None:
        await box.disk.write_atomic("/f", b"\x00\x01\x02")
        box.machine.platter.corrupt("/f", 1)
        assert read(box.disk, "/f") == b"\x00\x03\x02"
        box.power_cycle()
        assert read(box.disk, "/f") == b"\x00\x03\x02"

    play(story)


def test_operations_take_time_one_after_the_other() -> None:
    async def story(box: Box) -> list[float]:
        loop = asyncio.get_running_loop()
        ends: list[float] = []

        async def one(n: int) -> None:
            await box.disk.write_atomic(f"/{n}", b"")
            ends.append(loop.time())

        await asyncio.gather(*(one(n) for n in range(5)))
        return ends

    ends = play(story)
    assert ends == sorted(ends)
    assert len(set(ends)) == 5
    assert ends[0] > 0
