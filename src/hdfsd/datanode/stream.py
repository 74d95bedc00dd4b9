"""Adapter. A data connection as a transfer thread uses it: blocking, with one receive buffer.

Buffers are large, so that one system call brings many packets, and are used again by the next
connection, because fresh memory costs more than the copy into it (decision D11).
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TypeVar

from hdfsd.base.errors import ConnectFailed, LinkError, PeerError
from hdfsd.base.ids import Address
from hdfsd.wire.messages import Message
from hdfsd.wire.packets import (
    MESSAGE_BYTES_MAX,
    BytesLike,
    message_bounds,
    parse,
)

M = TypeVar("M", bound=Message)
BUFFER_BYTES = 1 << 20
_SPARE_BUFFERS_MAX = 8
_spare_buffers: list[bytearray] = []


class Stream:
    """Bytes received and not yet used are `view[start:end]`. Raises LinkError when the peer is
    gone or silent for longer than allowed, PeerError for bytes that can't be right."""

    __slots__ = ("_sock", "buffer", "end", "peer", "start", "view")

    def __init__(self, sock: socket.socket, peer: str, timeout_ms: int) -> None:
        self._sock = sock
        self.peer = peer
        self.buffer = _spare_buffers.pop() if _spare_buffers else bytearray(BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        self.start = self.end = 0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel's timeouts keep the socket in blocking mode: one system call per read.
        self.set_timeouts(timeout_ms, timeout_ms)

    @classmethod
    def connect(cls, address: Address, *, timeout_ms: int) -> Stream:
        """Resolves the name anew (D16). Raises ConnectFailed."""
        try:
            sock = socket.create_connection((address.host, address.port), timeout_ms / 1000)
        except OSError as error:
            raise ConnectFailed(f"{address}: {error}") from error
        sock.settimeout(None)
        return cls(sock, str(address), timeout_ms)

    def set_timeouts(self, receive_ms: int, send_ms: int) -> None:
        for option, ms in ((socket.SO_RCVTIMEO, receive_ms), (socket.SO_SNDTIMEO, send_ms)):
            value = struct.pack("ll", ms // 1000, ms % 1000 * 1000)
            self._sock.setsockopt(socket.SOL_SOCKET, option, value)

    def fileno(self) -> int:
        return self._sock.fileno()

    # -- receiving

    def fill(self) -> int:
        """Receives some bytes behind `end`; returns how many. The buffer must have room."""
        try:
            count = self._sock.recv_into(self.view[self.end :])
        except BlockingIOError:
            raise LinkError(f"{self.peer} sent nothing for too long") from None
        except OSError as error:
            raise LinkError(f"{self.peer}: {error}") from error
        if count == 0:
            raise LinkError(f"{self.peer} closed the connection")
        self.end += count
        return count

    def make_room(self, wanted: int) -> None:
        """Sees to it that `wanted` bytes from `start` on fit in the buffer."""
        if self.start == self.end:
            self.start = self.end = 0
        if self.start + wanted <= len(self.buffer) and self.end < len(self.buffer):
            return
        rest = bytes(self.view[self.start : self.end])
        if wanted > len(self.buffer):
            self.view.release()
            self.buffer = bytearray(wanted)
            self.view = memoryview(self.buffer)
        self.view[: len(rest)] = rest
        self.start, self.end = 0, len(rest)

    def take(self, count: int) -> bytes:
        """Exactly so many bytes."""
        while self.end - self.start < count:
            self.make_room(count)
            self.fill()
        taken = bytes(self.view[self.start : self.start + count])
        self.start += count
        return taken

    def message(self, kind: type[M]) -> M:
        """One delimited message."""
        while (bounds := message_bounds(self.view, self.start, self.end)) is None:
            if self.end - self.start > MESSAGE_BYTES_MAX + 5:
                raise PeerError(f"no end of {kind.__name__} in sight")
            self.make_room(min(MESSAGE_BYTES_MAX + 5, 2 * (self.end - self.start) + 64))
            self.fill()
        self.start = bounds[1]
        return parse(kind, self.view[bounds[0] : bounds[1]])

    def discard_until_closed(self) -> None:
        """Reads on until the peer closes, so that it can read what it was sent before: a socket
        closed with unread bytes resets the connection, and the peer loses our last words."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            while True:
                self.start = self.end = 0
                self.fill()
        except (OSError, LinkError):
            return

    # -- sending

    def send(self, data: BytesLike) -> None:
        """All of it."""
        try:
            self._sock.sendall(data)
        except BlockingIOError:
            raise LinkError(f"{self.peer} took nothing for too long") from None
        except OSError as error:
            raise LinkError(f"{self.peer}: {error}") from error

    def send_more(self, data: BytesLike) -> None:
        """All of it, held back until the bytes that follow at once."""
        try:
            self._sock.sendall(data, socket.MSG_MORE)
        except BlockingIOError:
            raise LinkError(f"{self.peer} took nothing for too long") from None
        except OSError as error:
            raise LinkError(f"{self.peer}: {error}") from error

    def send_file(self, descriptor: int, offset: int, count: int) -> None:
        """Bytes of a file, without a copy of ours; LinkError also when the file is too short."""
        sock, end = self._sock.fileno(), offset + count
        try:
            while offset < end:
                sent = os.sendfile(sock, descriptor, offset, end - offset)
                if sent == 0:
                    raise LinkError(f"the file ended {end - offset} bytes too early")
                offset += sent
        except BlockingIOError:
            raise LinkError(f"{self.peer} took nothing for too long") from None
        except OSError as error:
            raise LinkError(f"{self.peer}: {error}") from error

    # -- ending

    def interrupt(self) -> None:
        """From another thread: whoever waits in a call of this stream fails with LinkError."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Closes, and gives the buffer back; closing twice does nothing."""
        self._sock.close()
        self.view.release()
        if len(self.buffer) == BUFFER_BYTES and len(_spare_buffers) < _SPARE_BUFFERS_MAX:
            _spare_buffers.append(self.buffer)
        self.buffer = bytearray()
