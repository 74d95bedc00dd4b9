"""A file written by a forked child: what memory was, whatever the parent does meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hdfsd.io.snapshot import (
    BUFFER_BYTES,
    ForkingSnapshotWriter,
    SnapshotFailed,
    _while_child_of,
)
from hdfsd.ports.snapshot import WrittenFile


def write(paths: list[Path], *chunks: bytes) -> WrittenFile:
    names = [str(path) for path in paths]
    return asyncio.run(ForkingSnapshotWriter().write(names, lambda: iter(chunks)))


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (b"",),
        (b"one", b"two"),
        (b"x" * (BUFFER_BYTES - 1), b"yy", b"z" * (3 * BUFFER_BYTES)),
    ],
)
def test_every_path_gets_the_same_bytes_and_their_digest(
    tmp_path: Path, chunks: tuple[bytes, ...]
) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    paths[1].write_bytes(b"left over from a crash, and longer" * 1000)
    data = b"".join(chunks)
    written = write(paths, *chunks)
    assert written == WrittenFile(len(data), hashlib.md5(data).hexdigest())
    assert [path.read_bytes() for path in paths] == [data, data]


def test_the_parent_goes_on_and_the_child_writes_what_was(tmp_path: Path) -> None:
    memory = [b"before"]
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    def chunks() -> Iterator[bytes]:
        with open(gate, "rb") as waiting:
            waiting.read()
        yield memory[0]

    async def story() -> None:
        path = str(tmp_path / "image")
        writing = asyncio.ensure_future(ForkingSnapshotWriter().write([path], chunks))
        for _ in range(3):
            await asyncio.sleep(0)
        assert not writing.done()
        memory[0] = b"after"
        with open(gate, "wb"):
            pass
        await writing

    asyncio.run(story())
    assert (tmp_path / "image").read_bytes() == b"before"


def test_a_path_that_cannot_be_written_is_named_and_the_others_removed(tmp_path: Path) -> None:
    paths = [tmp_path / "good", tmp_path / "no such directory" / "bad"]
    with pytest.raises(SnapshotFailed, match=r"cannot write .*good: FileNotFoundError.*bad"):
        write(paths, b"data")
    assert list(tmp_path.iterdir()) == []


def test_what_fails_in_the_child_is_told_by_the_parent(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * (2 * BUFFER_BYTES)
        raise ValueError("inode 7 has no name")

    with pytest.raises(SnapshotFailed, match="ValueError: inode 7 has no name"):
        asyncio.run(ForkingSnapshotWriter().write([str(tmp_path / "image")], chunks))
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x" * (2 * BUFFER_BYTES)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(SnapshotFailed, match="the writing process died"):
        asyncio.run(ForkingSnapshotWriter().write([str(tmp_path / "image")], chunks))
    assert list(tmp_path.iterdir()) == []


def test_a_cancelled_write_ends_its_child_and_leaves_nothing(tmp_path: Path) -> None:
    ready, never = tmp_path / "ready", tmp_path / "never"
    os.mkfifo(ready)
    os.mkfifo(never)

    def chunks() -> Iterator[bytes]:
        yield b"x" * (2 * BUFFER_BYTES)
        with open(ready, "wb") as told:
            told.write(str(os.getpid()).encode())
        with open(never, "rb") as waiting:
            waiting.read()

    async def story() -> int:
        path = str(tmp_path / "image")
        writing = asyncio.ensure_future(ForkingSnapshotWriter().write([path], chunks))
        await asyncio.sleep(0)
        with open(ready, "rb") as child:
            pid = int(child.read())
        assert (tmp_path / "image").exists()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        return pid

    pid = asyncio.run(story())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not (tmp_path / "image").exists()


def test_a_child_without_its_parent_stops() -> None:
    chunks = _while_child_of(os.getppid(), iter([b"one"]))
    assert next(chunks) == b"one"
    with pytest.raises(SnapshotFailed, match="the parent process is gone"):
        list(_while_child_of(os.getpid(), iter([b"one"])))
