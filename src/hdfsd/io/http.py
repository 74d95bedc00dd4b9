"""Adapter. HTTP over aiohttp (ports.http): streams in and out, headers as given and no others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import aiohttp
from aiohttp import web

from hdfsd.base.errors import ConfigError, ConnectFailed, DeadlineExceeded, OutcomeUnknown
from hdfsd.base.ids import Address
from hdfsd.ports.http import FileBody, Handler, HttpRequest, HttpResponse

log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 18
_AUTOMATIC = ("Content-Type", "Date", "Server")
BACKLOG = 128
CONTINUE = "100-continue"


class RealHttpListener:
    def __init__(self, runner: web.AppRunner, address: Address) -> None:
        self._runner = runner
        self._address = address

    @property
    def address(self) -> Address:
        return self._address

    async def close(self) -> None:
        await self._runner.cleanup()


class RealHttpServer:
    async def serve(self, address: Address, handler: Handler) -> RealHttpListener:
        application = web.Application()
        application.router.add_route(
            "*", "/{path:.*}", _answering(handler), expect_handler=_let_the_handler_say
        )
        application.on_response_prepare.append(_only_given_headers)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.0)
        await runner.setup()
        site = web.TCPSite(runner, address.host, address.port, backlog=BACKLOG, reuse_address=True)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(f"can't listen on {address}: {error.strerror or error}") from error
        port = runner.addresses[0][1]
        return RealHttpListener(runner, Address(address.host, port))


class _Watched:
    """A body on its way out, and whether it still moves."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self.pieces = 0

    async def pieces_of_it(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            self.pieces += 1
            yield piece


class RealHttpReply:
    """An answer whose body is still on its way (ports.http.HttpReply)."""

    def __init__(self, response: aiohttp.ClientResponse, read_ms: int) -> None:
        self._response = response
        self._read_ms = read_ms
        self.status = response.status
        self.reason = response.reason or ""
        self.headers: Mapping[str, str] = {k.lower(): v for k, v in response.headers.items()}

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while True:
                async with asyncio.timeout(self._read_ms / 1000):
                    chunk = await self._response.content.read(CHUNK_BYTES)
                if not chunk:
                    return
                yield chunk
        except TimeoutError as error:
            raise DeadlineExceeded(f"{self._response.url}: no more bytes in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise OutcomeUnknown(f"{self._response.url}: the body was cut: {error}") from error

    async def close(self) -> None:
        self._response.close()


class RealHttpClient:
    """Makes a session at its first request, in the loop that runs then."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | None = None,
        connect_ms: int,
        read_ms: int,
    ) -> RealHttpReply:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False, connector=aiohttp.TCPConnector(limit=0, force_close=True)
            )
        timeout = aiohttp.ClientTimeout(
            total=None,
            connect=connect_ms / 1000,
            # aiohttp's own would run while a long body goes out, or not at all (see _while_moving).
            sock_read=read_ms / 1000 if body is None else None,
        )
        watched = None if body is None else _Watched(body)
        exchange = self._session.request(
            method,
            url,
            headers=headers,
            data=None if watched is None else watched.pieces_of_it(),
            timeout=timeout,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        try:
            if watched is None:
                response = await exchange
            else:
                response = await _while_moving(exchange, watched, connect_ms, read_ms)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ConnectFailed(f"{url}: {error}") from error
        except TimeoutError as error:
            raise DeadlineExceeded(f"{url}: no answer in {read_ms} ms") from error
        except (aiohttp.ClientError, OSError) as error:
            raise OutcomeUnknown(f"{url}: {error}") from error
        return RealHttpReply(response, read_ms)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _while_moving(
    exchange: Awaitable[aiohttp.ClientResponse], body: _Watched, connect_ms: int, read_ms: int
) -> aiohttp.ClientResponse:
    """The answer; raises TimeoutError when neither it comes nor another piece goes out in time."""
    task = asyncio.ensure_future(exchange)
    wait_ms = connect_ms + read_ms
    try:
        while True:
            before = body.pieces
            done, _ = await asyncio.wait({task}, timeout=wait_ms / 1000)
            if done:
                return task.result()
            if body.pieces == before:
                raise TimeoutError
            wait_ms = read_ms
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _let_the_handler_say(request: web.Request) -> None:
    """`Expect: 100-continue` is answered when the handler begins to read (see _body_of): one that
    refuses has not been sent anything."""


def _answering(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        query: dict[str, str] = {}
        for name, value in request.query.items():
            query.setdefault(name, value)
        response = await handler(
            HttpRequest(
                method=request.method,
                path=request.path,
                query=query,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=_body_of(request),
                peer=request.remote or "",
            )
        )
        return await _send(request, response)

    return answer


async def _body_of(request: web.Request) -> AsyncIterator[bytes]:
    """Chunks as they come; a reader that stops holds the sender back."""
    try:
        if request.headers.get("Expect", "").lower() == CONTINUE:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        async for chunk in request.content.iter_chunked(CHUNK_BYTES):
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise OutcomeUnknown(f"the body from {request.remote} was cut: {error}") from error


class _Answer(web.StreamResponse):
    """A response that knows which headers its handler gave."""

    given: frozenset[str] = frozenset()
    """Their names in lower case."""


async def _only_given_headers(request: web.Request, response: web.StreamResponse) -> None:
    given = response.given if isinstance(response, _Answer) else frozenset()
    for name in _AUTOMATIC:
        if name.lower() not in given:
            response.headers.popall(name, None)


async def _send(request: web.Request, answer: HttpResponse) -> web.StreamResponse:
    body = answer.body
    response = _Answer(status=answer.status, reason=answer.reason, headers=dict(answer.headers))
    response.given = frozenset(name.lower() for name in answer.headers)
    response.content_length = body.size if isinstance(body, FileBody) else len(body)
    try:
        await response.prepare(request)
        if request.method != "HEAD":
            if isinstance(body, FileBody):
                await _send_file(request, response, body)
            elif body:
                await response.write(body)
        await response.write_eof()
    except ConnectionError as error:
        log.info("%s hung up during %s %s: %s", request.remote, request.method, request.path, error)
    return response


async def _send_file(request: web.Request, response: web.StreamResponse, body: FileBody) -> None:
    """Cuts the connection when the file has become shorter than was announced."""
    loop = asyncio.get_running_loop()
    with open(body.path, "rb", buffering=0) as file:
        rest = body.size
        while rest:
            chunk = await loop.run_in_executor(None, file.read, min(rest, CHUNK_BYTES))
            if not chunk:
                if request.transport is not None:
                    request.transport.close()
                return
            await response.write(chunk)
            rest -= len(chunk)
