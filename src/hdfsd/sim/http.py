"""Driver. HTTP between simulated processes (ports.http), over the simulated network.

What handlers and clients see is what the port promises; the bytes between them are frames of our
own, since both ends are simulated: a head as JSON, then the body in pieces, then an empty frame.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from hdfsd.base.errors import ConnectFailed, DeadlineExceeded, OutcomeUnknown
from hdfsd.base.ids import Address
from hdfsd.ports.http import FileBody, Handler, HttpRequest, HttpResponse
from hdfsd.ports.network import Listener, Network
from hdfsd.sim.disk import SimDisk
from hdfsd.wire.framing import FrameReader, frame

log = logging.getLogger(__name__)

PIECE_BYTES = 1 << 16
GO_ON = b"100"
"""What a reader of a body says first to who expects it."""
DEFAULT_PORT = 80
T = TypeVar("T")


class _Stream(asyncio.Protocol):
    """Frames in and out of one connection, holding back whichever side is ahead."""

    def __init__(self) -> None:
        self.peer = ""
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peer = str(transport.get_extra_info("peername")[0])

    def data_received(self, data: bytes) -> None:
        for body in self._reader.feed(data):
            self._frames.put_nowait(body)
        if self._transport is not None and self._frames.qsize() > 4:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._frames.put_nowait(None)
        self._may_write.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    async def read(self) -> bytes:
        """The next frame; raises OutcomeUnknown when the connection ends first."""
        body = await self._frames.get()
        if body is None:
            self._frames.put_nowait(None)
            raise OutcomeUnknown(f"{self.peer}: the connection was lost")
        if self._transport is not None and not self._lost and not self._frames.qsize():
            self._transport.resume_reading()
        return body

    async def write(self, body: bytes) -> None:
        await self._may_write.wait()
        if self._lost or self._transport is None:
            raise OutcomeUnknown(f"{self.peer}: the connection was lost")
        self._transport.write(frame(body))

    async def body(self, what: str) -> AsyncIterator[bytes]:
        """The pieces up to the empty frame."""
        while True:
            try:
                piece = await self.read()
            except OutcomeUnknown as error:
                raise OutcomeUnknown(f"{what} was cut: {error}") from error
            if not piece:
                return
            yield piece

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class SimHttpServer:
    def __init__(self, network: Network, disk: SimDisk) -> None:
        self._network = network
        self._disk = disk

    async def serve(self, address: Address, handler: Handler) -> Listener:
        tasks: dict[asyncio.Task[None], None] = {}

        def accept() -> _Stream:
            stream = _Stream()
            task = asyncio.ensure_future(_serve(stream, handler, self._disk))
            tasks[task] = None
            task.add_done_callback(lambda done: tasks.pop(done, None))
            return stream

        listener = await self._network.listen(address, accept)
        return _HttpListener(listener, tasks)


class _HttpListener:
    def __init__(self, listener: Listener, tasks: dict[asyncio.Task[None], None]) -> None:
        self._listener = listener
        self._tasks = tasks

    @property
    def address(self) -> Address:
        return self._listener.address

    async def close(self) -> None:
        await self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _serve(stream: _Stream, handler: Handler, disk: SimDisk) -> None:
    """One request, one answer, one connection."""
    try:
        request = _request_of(json.loads(await stream.read()), stream)
        try:
            response = await handler(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = HttpResponse(500)
        await _answer(stream, response, disk)
    except (OutcomeUnknown, FileNotFoundError) as error:
        log.info("an HTTP exchange ended early: %s", error)
    finally:
        stream.close()


def _request_of(head: dict[str, str], stream: _Stream) -> HttpRequest:
    target = urlsplit(head["target"])
    query: dict[str, str] = {}
    for name, value in parse_qsl(target.query, keep_blank_values=True):
        query.setdefault(name, value)
    headers = json.loads(head["headers"])
    return HttpRequest(
        method=head["method"],
        path=unquote(target.path),
        query=query,
        headers=headers,
        body=_body_of(stream, expected="expect" in headers),
        peer=stream.peer,
    )


async def _body_of(stream: _Stream, *, expected: bool) -> AsyncIterator[bytes]:
    if expected:
        await stream.write(GO_ON)
    async for piece in stream.body(f"the body from {stream.peer}"):
        yield piece


async def _answer(stream: _Stream, response: HttpResponse, disk: SimDisk) -> None:
    body = response.body
    size = body.size if isinstance(body, FileBody) else len(body)
    reason = response.reason if response.reason is not None else _phrase(response.status)
    headers = {name.lower(): value for name, value in response.headers.items()}
    headers["content-length"] = str(size)
    head = {"status": response.status, "reason": reason, "headers": headers}
    await stream.write(json.dumps(head).encode())
    # Opened once: a file that is renamed or removed meanwhile is still sent.
    file = disk.open(body.path) if isinstance(body, FileBody) else None
    for offset in range(0, size, PIECE_BYTES):
        length = min(PIECE_BYTES, size - offset)
        if file is not None:
            piece = file.read_at(offset, length)
        else:
            assert isinstance(body, bytes)
            piece = body[offset : offset + length]
        if len(piece) < length:
            return  # the file has become shorter: the reader sees a cut body
        await stream.write(piece)
    await stream.write(b"")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


class SimHttpReply:
    def __init__(self, stream: _Stream, head: dict[str, object], url: str, read_ms: int) -> None:
        self._stream = stream
        self._url = url
        self._read_ms = read_ms
        self.status = int(str(head["status"]))
        self.reason = str(head["reason"])
        headers = head["headers"]
        assert isinstance(headers, dict)
        self.headers: Mapping[str, str] = headers

    async def chunks(self) -> AsyncIterator[bytes]:
        pieces = self._stream.body(f"{self._url}: the body")
        while True:
            try:
                async with asyncio.timeout(self._read_ms / 1000):
                    piece = await anext(pieces, None)
            except TimeoutError:
                raise DeadlineExceeded(f"{self._url}: no more bytes in time") from None
            if piece is None:
                return
            yield piece

    async def close(self) -> None:
        self._stream.close()


class SimHttpClient:
    def __init__(self, network: Network) -> None:
        self._network = network

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | None = None,
        connect_ms: int,
        read_ms: int,
    ) -> SimHttpReply:
        parts = urlsplit(url)
        if parts.hostname is None:
            raise ConnectFailed(f"{url}: no host in it")
        address = Address(parts.hostname, parts.port or DEFAULT_PORT)
        stream = await self._network.connect(address, _Stream, deadline_ms=connect_ms)
        lowered = {name.lower(): value for name, value in (headers or {}).items()}
        target = parts._replace(scheme="", netloc="").geturl() or "/"
        head = {"method": method, "target": target, "headers": json.dumps(lowered)}
        try:
            await stream.write(json.dumps(head).encode())
            said = await _in_time(stream.read(), read_ms) if "expect" in lowered else GO_ON
            if said == GO_ON:
                if body is not None:
                    await _upload(stream, body, read_ms)
                await stream.write(b"")
                said = await _in_time(stream.read(), read_ms)
            answer = json.loads(said)
        except TimeoutError:
            stream.close()
            raise DeadlineExceeded(f"{url}: no answer in {read_ms} ms") from None
        except BaseException:
            stream.close()
            raise
        return SimHttpReply(stream, answer, url, read_ms)

    async def close(self) -> None:
        """Every exchange has a connection of its own: there is nothing to close."""


async def _upload(stream: _Stream, body: AsyncIterator[bytes], read_ms: int) -> None:
    async for piece in body:
        for offset in range(0, len(piece), PIECE_BYTES):
            await _in_time(stream.write(piece[offset : offset + PIECE_BYTES]), read_ms)


async def _in_time(work: Awaitable[T], wait_ms: int) -> T:
    async with asyncio.timeout(wait_ms / 1000):
        return await work
