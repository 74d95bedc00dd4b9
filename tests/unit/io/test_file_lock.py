from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hdfsd.base.errors import ConnectFailed, OutcomeUnknown, StorageError
from hdfsd.io.file_lock import FileLockCoordination
from hdfsd.ports.coordination import SessionState

HOLDER = """
import asyncio, sys
from hdfsd.io.file_lock import FileLockCoordination
async def main():
    lock = FileLockCoordination(sys.argv[1])
    await lock.open(lambda state: None)
    assert await lock.try_lock(b"the other process")
    print("locked", flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
Story = Callable[[FileLockCoordination, FileLockCoordination], Awaitable[None]]


def play(directory: Path, story: Story) -> None:
    """Two controllers of one machine, both with an open session."""

    async def tell() -> None:
        one, two = FileLockCoordination(str(directory)), FileLockCoordination(str(directory))
        await one.open(lambda _: None)
        await one.format()
        await two.open(lambda _: None)
        try:
            async with asyncio.timeout(30):
                await story(one, two)
        finally:
            await one.close()
            await two.close()

    asyncio.run(tell())


def test_one_holds_it_and_all_see_who(tmp_path: Path) -> None:
    async def story(one: FileLockCoordination, two: FileLockCoordination) -> None:
        assert await one.read_lock() is None
        assert await one.try_lock(b"a longer content")
        assert await one.try_lock(b"one"), "it is ours already"
        assert not await two.try_lock(b"two")
        mine, others = await one.read_lock(), await two.read_lock()
        assert mine is not None
        assert others is not None
        assert (mine.data, mine.mine) == (b"one", True)
        assert (others.data, others.mine) == (b"one", False)
        await two.unlock()
        assert not await two.try_lock(b"two")

    play(tmp_path / "new" / "directory", story)


@pytest.mark.parametrize("how", ["unlock", "close"])
def test_who_watches_is_told_when_it_is_free(tmp_path: Path, how: str) -> None:
    async def story(one: FileLockCoordination, two: FileLockCoordination) -> None:
        assert await one.try_lock(b"one")
        for _ in range(3):
            changed = asyncio.Event()
            await two.read_lock(lambda: None)
            assert await two.read_lock(changed.set) is not None
            assert await two.read_lock() is not None, "a look without a watch leaves the watch"
            await getattr(one, how)()
            await changed.wait()
            assert await two.try_lock(b"two")
            await two.unlock()
            await one.open(lambda _: None)
            assert await one.try_lock(b"one")

    play(tmp_path, story)


def test_the_kernel_frees_the_lock_of_a_killed_process(tmp_path: Path) -> None:
    async def story(one: FileLockCoordination, two: FileLockCoordination) -> None:
        command = [sys.executable, "-c", HOLDER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"locked\n"
            changed = asyncio.Event()
            view = await one.read_lock(changed.set)
            assert view is not None
            assert view.data == b"the other process"
            assert not await one.try_lock(b"one")
            holder.send_signal(signal.SIGKILL)
            await changed.wait()
        assert await one.try_lock(b"one")

    play(tmp_path, story)


def test_all_who_wait_are_told_and_one_wins(tmp_path: Path) -> None:
    async def story(one: FileLockCoordination, two: FileLockCoordination) -> None:
        assert await one.try_lock(b"one")
        others = [FileLockCoordination(str(tmp_path)) for _ in range(4)]
        told = []
        for other in others:
            await other.open(lambda _: None)
            changed = asyncio.Event()
            await other.read_lock(changed.set)
            told.append(changed)
        await one.unlock()
        for changed in told:
            await changed.wait()
        assert sum([await other.try_lock(b"x") for other in others]) == 1
        for other in others:
            await other.close()

    play(tmp_path, story)


def test_a_session_that_was_closed_tells_nothing(tmp_path: Path) -> None:
    async def story(one: FileLockCoordination, two: FileLockCoordination) -> None:
        told: list[str] = []
        assert await one.try_lock(b"one")
        await two.read_lock(lambda: told.append("old"))
        await two.close()
        with pytest.raises(ConnectFailed):
            await two.try_lock(b"two")
        states: list[SessionState] = []
        await two.open(states.append)
        assert states == [SessionState.CONNECTED]
        changed = asyncio.Event()
        await two.read_lock(changed.set)
        await one.unlock()
        await changed.wait()
        assert told == []

    play(tmp_path, story)


def test_breadcrumb(tmp_path: Path) -> None:
    async def story(one: FileLockCoordination, two: FileLockCoordination) -> None:
        assert await one.read_breadcrumb() is None
        await one.write_breadcrumb(b"one", None)
        with pytest.raises(OutcomeUnknown):
            await two.write_breadcrumb(b"two", None)
        found = await two.read_breadcrumb()
        assert found is not None
        assert (found.data, found.version) == (b"one", 0)
        await two.write_breadcrumb(b"two", found.version)
        with pytest.raises(OutcomeUnknown):
            await one.write_breadcrumb(b"one", found.version)
        with pytest.raises(OutcomeUnknown):
            await one.delete_breadcrumb(found.version)
        await two.delete_breadcrumb(found.version + 1)
        assert await one.read_breadcrumb() is None
        with pytest.raises(OutcomeUnknown):
            await one.delete_breadcrumb(0)

    play(tmp_path, story)


def test_formatting_removes_what_a_former_election_left(tmp_path: Path) -> None:
    async def story(one: FileLockCoordination, two: FileLockCoordination) -> None:
        await one.write_breadcrumb(b"one", None)
        await two.format()
        assert await one.read_breadcrumb() is None
        assert await one.parent_exists()

    play(tmp_path, story)


@pytest.mark.parametrize("length", range(8))
def test_a_breadcrumb_that_is_cut_off(tmp_path: Path, length: int) -> None:
    async def story(one: FileLockCoordination, two: FileLockCoordination) -> None:
        (tmp_path / "ActiveBreadCrumb").write_bytes(bytes(length))
        with pytest.raises(StorageError, match=f"ActiveBreadCrumb at offset {length}.*remove it"):
            await one.read_breadcrumb()

    play(tmp_path, story)


def test_without_its_directory(tmp_path: Path) -> None:
    async def story() -> None:
        lock = FileLockCoordination(str(tmp_path / "missing"))
        await lock.open(lambda _: None)
        assert not await lock.parent_exists()
        with pytest.raises(StorageError, match="-formatZK"):
            await lock.try_lock(b"x")
        with pytest.raises(StorageError, match="-formatZK"):
            await lock.read_lock()
        with pytest.raises(StorageError, match="-formatZK"):
            await lock.write_breadcrumb(b"x", None)

    asyncio.run(story())


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    async def story() -> None:
        lock = FileLockCoordination(str(tmp_path / "file"))
        with pytest.raises(StorageError, match="can't be formatted"):
            await lock.format()

    asyncio.run(story())
