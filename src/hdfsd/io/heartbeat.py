"""Adapter. The heartbeat of a NameNode over a socket of this machine (ports.heartbeat).

The socket has an abstract name made of the NameNode's RPC address: nothing lies about on the disk,
and it is seen in the NameNode's own network namespace only. Who connects hears beats and can say
nothing. The controller believes them of a process of its own user, or of root's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from pathlib import Path

from hdfsd.base.errors import ConnectFailed
from hdfsd.base.ids import Address
from hdfsd.ports.heartbeat import BEAT_BYTES, Beat, Evidence

log = logging.getLogger(__name__)

LISTENERS_MAX = 16
THREADS_MAX = 512
"""Of a process, of which the states are looked at."""
CONNECT_S = 1.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
UCRED = struct.Struct("3i")


def _name(address: Address) -> str:
    # The kernel takes 107 bytes; what tells two of one machine apart is the end.
    return f"\0hdfsd-heartbeat-{str(address)[-80:]}"


class HeartbeatGiver:
    """The NameNode's end. `beat` is called by one thread, and never waits."""

    def __init__(self, address: Address) -> None:
        """Raises OSError when the name is taken."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind(_name(address))
            self._socket.listen(LISTENERS_MAX)
        except OSError:
            self._socket.close()
            raise
        self._listeners: list[socket.socket] = []

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def beat(self, beat: Beat) -> None:
        self._admit()
        data = beat.encode()
        for listener in list(self._listeners):
            try:
                sent = listener.send(data, socket.MSG_NOSIGNAL)
            except OSError:
                sent = 0  # It is gone, or has not listened for minutes.
            if sent != len(data):
                self._listeners.remove(listener)
                listener.close()

    def _admit(self) -> None:
        while True:
            try:
                listener, _ = self._socket.accept()
            except BlockingIOError:
                return
            listener.setblocking(False)
            self._listeners.append(listener)
            if len(self._listeners) > LISTENERS_MAX:
                self._listeners.pop(0).close()

    def close(self) -> None:
        """Whoever listens hears no silence, but an end. For the thread that beats."""
        for listener in self._listeners:
            listener.close()
        self._socket.close()


class LocalHeartbeats:
    """Implements ports.heartbeat.Heartbeats."""

    async def connect(self, address: Address) -> LocalLink:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(made, _name(address))
            pid = _process_behind(made, address)
        except (OSError, TimeoutError) as error:
            made.close()
            raise ConnectFailed(f"the NameNode at {address} gives none here: {error}") from error
        except ConnectFailed:
            made.close()
            raise
        return LocalLink(made, pid, address)


class LocalLink:
    """Implements ports.heartbeat.HeartbeatLink."""

    def __init__(self, connected: socket.socket, pid: int, address: Address) -> None:
        """`pid` 0: a process of another pid namespace."""
        self._socket = connected
        self._pid = pid
        self._address = address
        self._buffer = b""

    async def next(self) -> Beat | None:
        loop = asyncio.get_running_loop()
        while len(self._buffer) < BEAT_BYTES:
            try:
                data = await loop.sock_recv(self._socket, BEAT_BYTES - len(self._buffer))
            except ConnectionError:
                return None
            if not data:
                return None
            self._buffer += data
        data, self._buffer = self._buffer, b""
        return Beat.decode(data, f"the heartbeat of {self._address}")

    def evidence(self) -> Evidence | None:
        return evidence_of(self._pid) if self._pid else None

    def close(self) -> None:
        self._socket.close()


def _process_behind(connected: socket.socket, address: Address) -> int:
    data = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size)
    pid, user_id, _ = UCRED.unpack(data)
    own = os.getuid()
    if not is_believed(user_id, own=own):
        raise ConnectFailed(
            f"whoever gives the heartbeat of {address} is user {user_id}, neither {own} nor root:"
            " it is not believed"
        )
    return int(pid)


def is_believed(user_id: int, *, own: int) -> bool:
    """Anybody on this machine may take a name: only our own user's and root's processes count."""
    return own == 0 or user_id in (0, own)


def evidence_of(pid: int) -> Evidence | None:
    """What /proc tells of a process; None when it tells nothing."""
    states, ticks = "", 0
    try:
        for task in sorted(os.listdir(f"/proc/{pid}/task"))[:THREADS_MAX]:
            stat = Path(f"/proc/{pid}/task/{task}/stat").read_text("latin-1")
            fields = stat.rpartition(") ")[2].split()
            states += fields[0]
            ticks += int(fields[11]) + int(fields[12])
    except (OSError, ValueError, IndexError):
        return None
    return Evidence(states, ticks * 1000 // TICKS_PER_S)
