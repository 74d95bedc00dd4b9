"""Data. HTTP as the daemons use it: handlers that return a response, a client that streams one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from hdfsd.base.ids import Address
from hdfsd.ports.network import Listener


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    path: str
    query: Mapping[str, str]
    """Decoded; of a repeated parameter the first."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: AsyncIterator[bytes]
    peer: str = ""
    """IP address of the caller."""


@dataclass(frozen=True, slots=True)
class FileBody:
    """A file sent as it lies: `size` bytes from its start, fixed when the answer was made."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileBody = b""
    reason: str | None = None
    """Status line text; the standard one when None."""


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class HttpServer(Protocol):
    async def serve(self, address: Address, handler: Handler) -> Listener:
        """One handler for all paths of an address. Raises ConfigError when it can't listen."""
        ...


class HttpReply(Protocol):
    status: int
    reason: str
    headers: Mapping[str, str]
    """Names in lower case."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body; raises OutcomeUnknown when it ends before its Content-Length."""
        ...

    async def close(self) -> None: ...


class HttpClient(Protocol):
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | None = None,
        connect_ms: int,
        read_ms: int,
    ) -> HttpReply:
        """The status and headers are there when this returns; the caller reads chunks and closes.

        Raises ConnectFailed, OutcomeUnknown, DeadlineExceeded. `read_ms` bounds each wait, for
        an answer or for the next piece of the body to be taken. With the header `Expect:
        100-continue` the body goes out when the other side begins to read it, and never when it
        refuses first.
        """
        ...

    async def close(self) -> None: ...
