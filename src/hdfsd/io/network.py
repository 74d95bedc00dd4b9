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
    """A listening socket and the connections it has accepted."""

    def __init__(
        self, listening: socket.socket, address: Address, factory: Callable[[], asyncio.Protocol]
    ) -> None:
        self._listening = listening
        self._address = address
        self._factory = factory
        self._accepted: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._accepting = asyncio.ensure_future(self._accept())

    @property
    def address(self) -> Address:
        return self._address

    async def close(self) -> None:
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._listening.close()
        for transport in list(self._accepted):
            transport.abort()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listening)
            except OSError as error:
                log.warning("can't accept on %s: %s", self._address, error)
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            await self._serve(loop, accepted)

    async def _serve(self, loop: asyncio.AbstractEventLoop, accepted: socket.socket) -> None:
        try:
            _set_options(accepted)
            serving = asyncio.ensure_future(loop.connect_accepted_socket(self._factory, accepted))
            try:
                transport, _ = await asyncio.shield(serving)
            except asyncio.CancelledError:
                transport, _ = await serving
                transport.abort()
                raise
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
