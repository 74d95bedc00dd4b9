"""Adapter. Commands of the operator's, each in a process group of its own (ports.shell)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping

from hdfsd.ports.shell import OUTPUT_BYTES_MAX, ShellResult

EXIT_CODE_KILLED = -1
DRAIN_S = 0.5
"""How long to wait for output after the command has ended: a child it left behind may hold it."""
_CHUNK_BYTES = 1 << 13


class RealShell:
    async def run(
        self, command: str, *, environment: Mapping[str, str], deadline_ms: int
    ) -> ShellResult:
        # A pipe of our own, since asyncio's waits for its pipes to close before it tells of an
        # exit, and a child left behind may keep them.
        read_end, write_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                "bash",
                "-c",
                command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        output = bytearray()
        reading = asyncio.ensure_future(_read(read_end, output))
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                exit_code = await process.wait()
        except TimeoutError:
            exit_code = EXIT_CODE_KILLED
        finally:
            # Children of a command that has ended may live on; those of a late one may not.
            if process.returncode is None:
                _kill_group(process.pid)
                await process.wait()
            await _finish(reading)
        return ShellResult(exit_code, output.decode(errors="replace"))


async def _read(read_end: int, output: bytearray) -> None:
    """Keeps the first OUTPUT_BYTES_MAX bytes and drops the rest, so that no writer blocks."""
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(read_end, "rb", buffering=0)
    )
    try:
        while chunk := await stream.read(_CHUNK_BYTES):
            output += chunk[: OUTPUT_BYTES_MAX - len(output)]
    finally:
        transport.close()


async def _finish(reading: asyncio.Future[None]) -> None:
    await asyncio.wait((reading,), timeout=DRAIN_S)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


def _kill_group(process_id: int) -> None:
    try:
        os.killpg(process_id, signal.SIGKILL)
    except ProcessLookupError:
        pass
