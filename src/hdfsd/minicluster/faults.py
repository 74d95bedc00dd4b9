"""Adapter. Faults for a running cluster, each with what heals it: killed, frozen, held, cut off.

Processes are signalled; links are cut by a proxy that stands in for the real address, for example
with `-D dfs.namenode.shared.edits.dir=qjournal://<proxies>/hdfsd`.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
from pathlib import Path

from hdfsd.base.errors import ConfigError
from hdfsd.base.ids import Address
from hdfsd.minicluster.processes import ProcessId
from hdfsd.minicluster.record import Record

CHUNK_BYTES = 1 << 16
LINGER_NOT = struct.pack("ii", 1, 0)
"""struct linger: on, for zero seconds."""


class ProcessFaults:
    """Faults of the daemons of one cluster, by their ids."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def process(self, daemon_id: str) -> ProcessId:
        """The running process. Raises ConfigError when there is none."""
        record = Record.load(self._directory)
        if record is None:
            raise ConfigError(f"{self._directory}: no cluster here")
        record.plan.find(daemon_id)
        entry = record.running.get(daemon_id)
        if entry is None or not entry.process.is_alive:
            raise ConfigError(f"{daemon_id} is not running")
        return entry.process

    def kill(self, daemon_id: str) -> ProcessId:
        """kill -9; the launcher starts it again, unless it is held."""
        process = self.process(daemon_id)
        process.send(signal.SIGKILL)
        return process

    def freeze(self, daemon_id: str) -> ProcessId:
        """It keeps its memory, files and connections, and does nothing until `thaw`."""
        process = self.process(daemon_id)
        process.send(signal.SIGSTOP)
        return process

    def thaw(self, daemon_id: str) -> None:
        """Heals `freeze`."""
        self.process(daemon_id).send(signal.SIGCONT)

    def hold(self, daemon_id: str) -> None:
        """Once it ends, it stays down until `release`."""
        self._mark(daemon_id).touch()

    def release(self, daemon_id: str) -> None:
        """Heals `hold`."""
        self._mark(daemon_id).unlink(missing_ok=True)

    def _mark(self, daemon_id: str) -> Path:
        return Path(self._directory, "held", daemon_id)


class LinkProxy:
    """A TCP proxy in front of one address: its connections can be cut, its bytes can stall."""

    def __init__(self, target: Address) -> None:
        self.target = target
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> Address:
        """Where to connect in place of the target."""
        host = self.target.host
        self._server = await asyncio.start_server(self._accept, host, port)
        return Address(host, self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Resets every connection and refuses new ones, until `heal`."""
        self._is_cut = True
        for writer in self._writers:
            _reset(writer)

    def stall(self) -> None:
        """Bytes are taken and not passed on, as behind a dead switch, until `heal`."""
        self._flowing.clear()

    def heal(self) -> None:
        """Ends `cut` and `stall`; stalled bytes go their way."""
        self._is_cut = False
        self._flowing.set()

    async def close(self) -> None:
        """Ends all connections and the listener."""
        self.cut()
        self._flowing.set()
        if self._server is not None:
            self._server.close()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            _reset(writer)
            return
        try:
            there = await asyncio.open_connection(self.target.host, self.target.port)
        except OSError:
            _reset(writer)
            return
        for source, sink in ((reader, there[1]), (there[0], writer)):
            pump = asyncio.ensure_future(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        self._writers.add(sink)
        try:
            while data := await source.read(CHUNK_BYTES):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass  # Cut, by us or by either end; the other direction ends the same way.
        finally:
            self._writers.discard(sink)
            sink.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with a reset: the peer is not to take it for an orderly close."""
    connected = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    writer.transport.abort()
