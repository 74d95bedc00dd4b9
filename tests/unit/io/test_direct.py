"""What goes past the page cache is in the file, whatever else was done to it before."""

from __future__ import annotations

import asyncio
import errno
import os
import pathlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdfsd.io import disk as plain
from hdfsd.io.direct import BLOCK_BYTES, PIECE_BYTES, DirectFile, DiskOfLogs

ALLOCATED = 5 * PIECE_BYTES // 2
FILLER = b"\xff"


@pytest.fixture(autouse=True)
def every_sync_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "QUICK_S", 3600.0)


@pytest.fixture
def direct_writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(offset, bytes) of every write with O_DIRECT."""
    seen: list[tuple[int, int]] = []
    honest = DirectFile._write_through

    def watched(self: DirectFile) -> None:
        seen.append((self._start + self._low, self._high - self._low))
        honest(self)

    monkeypatch.setattr(DirectFile, "_write_through", watched)
    return seen


async def preallocated(directory: pathlib.Path) -> tuple[DiskOfLogs, DirectFile]:
    """A file as a JournalNode opens it, on a disk that has shown to be quick."""
    disk = DiskOfLogs()
    file = disk.create(str(directory / "edits"))
    file.write_at(0, FILLER * ALLOCATED)
    for _ in range(plain.QUICK_IN_A_ROW):
        await file.sync()
    assert isinstance(file, DirectFile)
    return disk, file


def test_small_appends_are_written_directly(
    tmp_path: pathlib.Path, direct_writes: list[tuple[int, int]]
) -> None:
    async def story() -> None:
        disk, file = await preallocated(tmp_path)
        offset = 8
        for number in range(3000):
            data = b"%06d" % number * 30
            file.write_at(offset, data)
            offset += len(data)
            assert file.sync_now()
        wanted = b"".join(b"%06d" % number * 30 for number in range(3000))
        assert disk.read(file.path, offset=8, limit=len(wanted)) == wanted
        assert disk.read(file.path, offset=offset, limit=ALLOCATED) == FILLER * (ALLOCATED - offset)
        assert file.size() == ALLOCATED
        file.close()

    asyncio.run(story())
    assert len(direct_writes) == 3000


def test_several_appends_share_a_write(
    tmp_path: pathlib.Path, direct_writes: list[tuple[int, int]]
) -> None:
    async def story() -> None:
        disk, file = await preallocated(tmp_path)
        file.write_at(BLOCK_BYTES - 3, b"abc")
        file.write_at(BLOCK_BYTES, b"defg")
        assert file.sync_now()
        assert disk.read(file.path, offset=BLOCK_BYTES - 3, limit=8) == b"abcdefg" + FILLER
        file.close()

    asyncio.run(story())
    assert direct_writes == [(BLOCK_BYTES - 3, 7)]


CHANGES = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"), st.integers(0, ALLOCATED + 100), st.sampled_from((1, 87, 5000))
        ),
        st.tuples(st.just("append"), st.just(0), st.sampled_from((1, 87, 5000, PIECE_BYTES + 1))),
        st.tuples(st.just("truncate"), st.integers(0, ALLOCATED), st.just(0)),
        st.tuples(st.sampled_from(("sync", "sync in the thread", "open")), st.just(0), st.just(0)),
    ),
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(CHANGES, st.booleans())
def test_the_file_has_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, int, int]], refused: bool
) -> None:
    async def story() -> None:
        disk, file = await preallocated(tmp_path_factory.mktemp("log"))
        file._refused = refused
        model, end = bytearray(FILLER * ALLOCATED), 0
        for number, (what, offset, size) in enumerate(changes):
            data = bytes((number,)) * size
            if what == "append":
                offset, end = end, end + size
            if what in ("write", "append"):
                file.write_at(offset, data)
                model += bytes(max(0, offset - len(model)))
                model[offset : offset + size] = data
                continue
            if what == "truncate":
                file.truncate(offset)
                model += bytes(max(0, offset - len(model)))
                del model[offset:]
            elif what == "open":
                file.close()
                opened: Any = disk.open(file.path)
                file = opened
            elif what == "sync":
                await file.sync()
            else:
                file._pace.note(float("inf"))
                await file.sync()
                for _ in range(plain.QUICK_IN_A_ROW):
                    await file.sync()
            assert file.size() == len(model)
            if what != "truncate":
                assert disk.read(file.path, limit=1 << 30) == model
        file.close()
        assert disk.read(file.path, limit=1 << 30) == model

    asyncio.run(story())


def test_a_file_system_without_it_is_written_as_any_other(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, direct_writes: list[tuple[int, int]]
) -> None:
    honest = os.open

    def refusing(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument", path)
        return honest(path, flags, mode)

    async def story() -> None:
        disk, file = await preallocated(tmp_path)
        monkeypatch.setattr(os, "open", refusing)
        file.write_at(8, b"abc")
        assert file.sync_now()
        assert disk.read(file.path, offset=8, limit=3) == b"abc"
        file.close()

    asyncio.run(story())
    assert direct_writes == []


def test_a_write_that_fails_is_told_with_the_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: DirectFile) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def story() -> None:
        _, file = await preallocated(tmp_path)
        monkeypatch.setattr(DirectFile, "_write_through", failing)
        file.write_at(8, b"abc")
        with pytest.raises(OSError, match="edits"):
            file.sync_now()

    asyncio.run(story())


def test_nothing_stays_open(tmp_path: pathlib.Path) -> None:
    async def story() -> None:
        before = len(os.listdir("/proc/self/fd"))
        _, file = await preallocated(tmp_path)
        file.write_at(8, b"abc")
        assert file.sync_now()
        file.close()
        file.close()
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(story())
