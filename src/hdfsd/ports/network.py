"""Data. Ordered byte streams between addresses, in asyncio's own Protocol and Transport terms.

Order and loss: bytes of one connection arrive in order or not at all; a lost connection is told by
`connection_lost`, at the latest when a keep-alive or write fails. Nothing is promised between two
connections. A write is buffered; `pause_writing`/`resume_writing` tell when to hold back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from hdfsd.base.ids import Address

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Listener(Protocol):
    @property
    def address(self) -> Address:
        """Where it listens, with the port that port 0 became."""
        ...

    async def close(self) -> None:
        """Stops accepting and aborts what was accepted."""
        ...


class Network(Protocol):
    async def listen(self, address: Address, factory: Callable[[], asyncio.Protocol]) -> Listener:
        """Raises ConfigError when the address is in use or not ours, naming it."""
        ...

    async def connect(self, address: Address, factory: Callable[[], P], *, deadline_ms: int) -> P:
        """A connected protocol. Raises ConnectFailed (refused, unreachable, unknown name, late).

        The name is resolved anew at every call (decision D16).
        """
        ...
