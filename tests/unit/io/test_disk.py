"""Files of the operating system: what ports.disk promises."""

from __future__ import annotations

import asyncio
import errno
import os
import pathlib
import resource
import subprocess
import sys
from collections.abc import Awaitable

import pytest

from hdfsd.base.errors import StorageError
from hdfsd.io.disk import QUICK_IN_A_ROW, QUICK_S, RealDisk, SyncPace


@pytest.fixture
def disk() -> RealDisk:
    return RealDisk()


def test_files_are_written_at_offsets(disk: RealDisk, tmp_path: pathlib.Path) -> None:
    async def story() -> None:
        path = str(tmp_path / "edits")
        file = disk.create(path)
        file.write_at(0, b"\0" * 100)
        file.write_at(3, memoryview(bytearray(b"abc")))
        await file.sync()
        assert file.size() == 100
        assert disk.read(path, offset=2, limit=5) == b"\0abc\0"
        file.truncate(6)
        assert (file.size(), disk.size(path)) == (6, 6)
        file.close()
        file.close()
        again = disk.open(path)
        again.write_at(6, b"def")
        again.close()
        assert disk.read(path, limit=1 << 40) == b"\0\0\0abcdef"
        assert disk.read(path, offset=9, limit=10) == b""

    asyncio.run(story())


def test_a_file_closed_during_its_sync_is_closed_after_it(
    disk: RealDisk, tmp_path: pathlib.Path
) -> None:
    async def story() -> None:
        file = disk.create(str(tmp_path / "f"))
        descriptor = file._descriptor
        syncs = [asyncio.ensure_future(file.sync()) for _ in range(3)]
        await asyncio.sleep(0)
        file.close()
        os.fstat(descriptor)
        await asyncio.gather(*syncs)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)

    asyncio.run(story())


def test_a_cancelled_caller_does_not_stop_what_was_asked_for(
    disk: RealDisk, tmp_path: pathlib.Path
) -> None:
    async def story() -> None:
        path = str(tmp_path / "f")
        writing = asyncio.ensure_future(disk.write_atomic(path, b"x"))
        await asyncio.sleep(0)
        writing.cancel()
        await disk.sync_dir(str(tmp_path))  # comes after it: one worker, in order
        assert disk.read(path, limit=9) == b"x"

    asyncio.run(story())


def test_create_and_open_refuse(disk: RealDisk, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "f")
    with pytest.raises(FileNotFoundError, match="f'"):
        disk.open(path)
    disk.create(path).close()
    with pytest.raises(FileExistsError, match="f'"):
        disk.create(path)


def test_errors_of_writes_name_the_file(disk: RealDisk, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "f")
    file = disk.create(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            file.write_at(500, b"x" * 600)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        file.close()
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, path)


def test_write_atomic_replaces_and_leaves_no_temporary_file(
    disk: RealDisk, tmp_path: pathlib.Path
) -> None:
    async def story() -> None:
        path = str(tmp_path / "seen_txid")
        for content in (b"1\n", b"22\n", b""):
            await disk.write_atomic(path, content)
            assert disk.read(path, limit=100) == content
        assert disk.list(str(tmp_path)) == ["seen_txid"]
        with pytest.raises(FileNotFoundError, match="no-directory"):
            await disk.write_atomic(str(tmp_path / "no-directory" / "f"), b"")

    asyncio.run(story())


def test_rename_remove_and_directories(disk: RealDisk, tmp_path: pathlib.Path) -> None:
    async def story() -> None:
        top = str(tmp_path / "a")
        disk.make_dirs(f"{top}/b/c", 0o700)
        disk.make_dirs(f"{top}/b/c", 0o700)
        assert (tmp_path / "a/b/c").stat().st_mode & 0o777 == 0o700
        for name in ("z", "y"):
            await disk.write_atomic(f"{top}/{name}", name.encode())
        await disk.rename(f"{top}/z", f"{top}/b/y")
        await disk.rename(f"{top}/y", f"{top}/b/y")
        assert disk.read(f"{top}/b/y", limit=9) == b"y"
        assert disk.list(top) == ["b"]
        assert disk.list(f"{top}/b") == ["c", "y"]
        assert disk.is_dir(f"{top}/b")
        assert not disk.is_dir(f"{top}/b/y")
        assert disk.mtime_ms(f"{top}/b/y") > 1_600_000_000_000
        disk.link(f"{top}/b/y", f"{top}/linked")
        assert (tmp_path / "a/linked").samefile(tmp_path / "a/b/y")
        with pytest.raises(FileExistsError):
            disk.link(f"{top}/b/y", f"{top}/linked")
        await disk.remove(f"{top}/b/y")
        await disk.remove(f"{top}/b/y")
        assert not disk.exists(f"{top}/b/y")
        await disk.remove_tree(top)
        await disk.remove_tree(top)
        assert not disk.exists(top)
        assert disk.free_bytes(str(tmp_path)) > 0

    asyncio.run(story())


def test_a_lock_names_its_holder_and_goes_with_release(
    disk: RealDisk, tmp_path: pathlib.Path
) -> None:
    directory = str(tmp_path)
    lock = disk.lock(directory)
    text = disk.read(f"{directory}/in_use.lock", limit=100).decode()
    assert text == f"{os.getpid()}@{os.uname().nodename}"
    with pytest.raises(StorageError, match=f"in use by this process, {os.getpid()}"):
        disk.lock(directory)
    lock.release()
    lock.release()
    assert disk.list(directory) == []
    disk.lock(directory).release()


HOLD = """
import sys
from collections.abc import Awaitable
from hdfsd.io.disk import QUICK_IN_A_ROW, QUICK_S, RealDisk, SyncPace
lock = RealDisk().lock(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_excludes_other_processes_until_they_die(
    disk: RealDisk, tmp_path: pathlib.Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            with pytest.raises(StorageError, match=f"in use by {holder.pid}@"):
                disk.lock(str(tmp_path))
        finally:
            holder.kill()
    disk.lock(str(tmp_path)).release()


def test_a_failed_attempt_does_not_let_go_of_the_lock(
    disk: RealDisk, tmp_path: pathlib.Path
) -> None:
    lock = disk.lock(str(tmp_path))
    with pytest.raises(StorageError):
        disk.lock(str(tmp_path))
    probe = "import sys; from hdfsd.io.disk import RealDisk; RealDisk().lock(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", probe, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "StorageError" in other.stderr
    lock.release()


def test_syncs_are_done_in_line_while_the_disk_is_quick() -> None:
    pace = SyncPace(in_line=True)
    assert not pace.in_line
    for _ in range(QUICK_IN_A_ROW):
        pace.note(QUICK_S)
    assert pace.in_line
    pace.note(QUICK_S * 1.1)
    assert not pace.in_line
    for _ in range(QUICK_IN_A_ROW - 1):
        pace.note(0.0)
    assert not pace.in_line
    pace.note(0.0)
    assert pace.in_line


def test_who_does_not_ask_for_it_syncs_in_the_thread_only() -> None:
    pace = SyncPace(in_line=False)
    for _ in range(2 * QUICK_IN_A_ROW):
        pace.note(0.0)
    assert not pace.in_line


def test_syncs_in_line_and_in_the_thread_keep_their_order(tmp_path: pathlib.Path) -> None:
    done: list[str] = []

    async def note(sync: Awaitable[None], name: str) -> None:
        await sync
        done.append(name)

    async def story() -> None:
        disk = RealDisk(quick_syncs_in_line=True)
        file = disk.create(str(tmp_path / "edits"))
        slow = asyncio.ensure_future(note(file.sync(), "in the thread"))
        await asyncio.sleep(0)
        for _ in range(QUICK_IN_A_ROW):
            disk._pace.note(0.0)
        # One of this file is under way: whoever comes now waits for it.
        await note(file.sync(), "behind it")
        await slow
        for _ in range(QUICK_IN_A_ROW):
            disk._pace.note(0.0)
        in_line = file.sync()
        with pytest.raises(StopIteration):
            in_line.send(None)
        file.close()

    asyncio.run(story())
    assert done == ["in the thread", "behind it"]


def test_errors_of_syncs_in_line_name_the_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def story() -> None:
        disk = RealDisk(quick_syncs_in_line=True)
        file = disk.create(str(tmp_path / "edits"))
        for _ in range(QUICK_IN_A_ROW):
            disk._pace.note(0.0)
        monkeypatch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output error") as failed:
            await file.sync()
        assert failed.value.filename == file.path
        file.close()

    asyncio.run(story())
