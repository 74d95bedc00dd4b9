"""Adapter. TCP over the running event loop (ports.network)."""

from __future__ import annotations

import asyncio
import logging
import socket
import weakref
from collections.abc import Callable
from typing import TypeVar

from hdfsd.base.errors import ConfigError, ConnectFailed
from hdfsd.base.ids import Address

P = TypeVar("P", bound=asyncio.BaseProtocol)

log = logging.getLogger(__name__)

BACKLOG = 1024
ACCEPTS_PER_TURN = 64
ACCEPT_PAUSE_S = 0.5
"""After an accept that failed for want of file descriptors or memory."""
_SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""A peer whose machine has gone is known after about a minute."""


class TcpListener:
    """A listening socket and the connections it has accepted.

    Accepts by itself as soon as the socket can: what loop.sock_accept has accepted is lost, and
    left open, when its caller is cancelled at that moment.
    """

    def __init__(
        self, listening: socket.socket, address: Address, factory: Callable[[], asyncio.Protocol]
    ) -> None:
        self._listening = listening
        self._address = address
        self._factory = factory
        self._loop = asyncio.get_running_loop()
        self._accepted: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._beginning: dict[asyncio.Task[None], None] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._watch()

    @property
    def address(self) -> Address:
        return self._address

    async def close(self) -> None:
        """A second time it does nothing."""
        if self._listening.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()
        await asyncio.gather(*self._beginning)
        for transport in list(self._accepted):
            transport.abort()

    def _watch(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("can't accept on %s: %s", self._address, error)
                self._loop.remove_reader(self._listening)
                self._pause = self._loop.call_later(ACCEPT_PAUSE_S, self._watch)
                return
            task = self._loop.create_task(self._begin(accepted))
            self._beginning[task] = None
            task.add_done_callback(lambda done: self._beginning.pop(done, None))

    async def _begin(self, accepted: socket.socket) -> None:
        try:
            accepted.setblocking(False)
            _set_options(accepted)
            transport, _ = await self._loop.connect_accepted_socket(self._factory, accepted)
        except OSError as error:
            # The peer may have gone again before it was its turn.
            log.info("a connection to %s was lost at once: %s", self._address, error)
            accepted.close()
        else:
            self._accepted.add(transport)


class TcpNetwork:
    """The real network."""

    async def listen(
        self, address: Address, factory: Callable[[], asyncio.Protocol]
    ) -> TcpListener:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            listening = _listen(found[0][0], found[0][4])
        except OSError as error:
            raise ConfigError(f"can't listen on {address}: {error.strerror or error}") from error
        port = listening.getsockname()[1]
        return TcpListener(listening, Address(address.host, port), factory)

    async def connect(self, address: Address, factory: Callable[[], P], *, deadline_ms: int) -> P:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                transport, protocol = await loop.create_connection(
                    factory, address.host, address.port
                )
        except TimeoutError:
            raise ConnectFailed(f"{address}: no connection in {deadline_ms} ms") from None
        except OSError as error:
            raise ConnectFailed(f"{address}: {error.strerror or error}") from error
        connected = transport.get_extra_info("socket")
        if connected is not None:
            _set_options(connected)
        return protocol


def _listen(family: int, where: tuple[object, ...]) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        listening.bind(where)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _set_options(connected: socket.socket) -> None:
    for level, option, value in _SOCKET_OPTIONS:
        connected.setsockopt(level, option, value)
