"""Adapter. A forked child writes from its copy of memory; the parent goes on (decision D7, P7)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence

from hdfsd.base.errors import HdfsdError
from hdfsd.ports.snapshot import WrittenFile

BUFFER_BYTES = 1 << 20
REPORT_BYTES_MAX = 1 << 14
FILE_MODE = 0o644
WRITTEN = "written"
"""The first word of a child that has done its work."""


class SnapshotFailed(HdfsdError):
    """The child could not write the file; the text is its cause."""


class ForkingSnapshotWriter:
    """Implements ports.snapshot.SnapshotWriter with one child process per file."""

    async def write(
        self, paths: Sequence[str], chunks: Callable[[], Iterator[bytes]]
    ) -> WrittenFile:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _child(writer, paths, chunks)
        os.close(writer)
        report = ""
        try:
            report = await _read_all(reader)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            raise
        finally:
            os.close(reader)
            # The pipe's end came from the child's exit, so this wait is over at once.
            os.waitpid(child, 0)  # noqa: ASYNC222
            if not report.startswith(WRITTEN):
                _remove(paths)
        word, _, rest = report.partition(" ")
        if word != WRITTEN:
            raise SnapshotFailed(f"cannot write {paths[0]}: {rest or 'the writing process died'}")
        size, md5_hex = rest.split()
        return WrittenFile(int(size), md5_hex)


def _remove(paths: Sequence[str]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            os.unlink(path)


async def _read_all(pipe: int) -> str:
    """What the child says until its end of the pipe is closed, which is at its exit."""
    os.set_blocking(pipe, False)
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(pipe, readable.set)
    report = b""
    try:
        while True:
            await readable.wait()
            readable.clear()
            try:
                piece = os.read(pipe, REPORT_BYTES_MAX)
            except BlockingIOError:
                continue
            if not piece:
                return report.decode("utf-8", "replace")
            report = (report + piece)[:REPORT_BYTES_MAX]
    finally:
        loop.remove_reader(pipe)


def _child(pipe: int, paths: Sequence[str], chunks: Callable[[], Iterator[bytes]]) -> None:
    """Never returns: the child must not run the parent's loop, handlers or exit hooks."""
    code = 1
    parent = os.getppid()
    try:
        # Sockets and locks held here would outlive a killed parent.
        os.closerange(3, pipe)
        os.closerange(pipe + 1, os.sysconf("SC_OPEN_MAX"))
        # A collection would touch every page and undo copy-on-write.
        gc.disable()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with contextlib.suppress(OSError):
            os.nice(5)
        size, digest = _write_files(paths, _while_child_of(parent, chunks()))
        report, code = f"{WRITTEN} {size} {digest}", 0
    except BaseException as error:  # noqa: BLE001 - told to the parent, which raises it
        report = f"failed {type(error).__name__}: {error}"
    finally:
        with contextlib.suppress(OSError):
            os.write(pipe, report.encode()[:REPORT_BYTES_MAX])
        os._exit(code)


def _while_child_of(parent: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if os.getppid() != parent:
            raise SnapshotFailed("the parent process is gone")
        yield chunk


def _write_files(paths: Sequence[str], chunks: Iterator[bytes]) -> tuple[int, str]:
    files = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE) for path in paths]
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        if len(buffer) >= BUFFER_BYTES:
            size += _flush(files, buffer, digest)
    size += _flush(files, buffer, digest)
    for file in files:
        os.fsync(file)
        os.close(file)
    return size, digest.hexdigest()


def _flush(files: list[int], buffer: bytearray, digest: hashlib._Hash) -> int:
    size = len(buffer)
    digest.update(buffer)
    for file in files:
        view = memoryview(buffer)
        while view:
            view = view[os.write(file, view) :]
        view.release()
    buffer.clear()
    return size
