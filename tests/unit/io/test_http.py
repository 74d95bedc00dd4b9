"""HTTP both ways over loopback, and against plain sockets where bytes matter."""

from __future__ import annotations

import asyncio
import logging
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from hdfsd.base.errors import ConfigError, ConnectFailed, DeadlineExceeded, OutcomeUnknown
from hdfsd.base.ids import Address
from hdfsd.io.http import RealHttpClient, RealHttpServer
from hdfsd.ports.http import FileBody, HttpRequest, HttpResponse

LOOPBACK = Address("127.0.0.1", 0)
Handle = Callable[[HttpRequest], Awaitable[HttpResponse]]


class World:
    def __init__(self, handler: Handle) -> None:
        self.handler = handler
        self.client = RealHttpClient()
        self.listener: Any = None

    async def __aenter__(self) -> World:
        self.listener = await RealHttpServer().serve(LOOPBACK, self.handler)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        await self.listener.close()

    def url(self, path: str) -> str:
        return f"http://{self.listener.address}{path}"

    async def ask(self, method: str, path: str, **more: Any) -> tuple[Any, bytes]:
        more = {"connect_ms": 5000, "read_ms": 5000, **more}
        reply = await self.client.request(method, self.url(path), **more)
        try:
            return reply, b"".join([chunk async for chunk in reply.chunks()])
        finally:
            await reply.close()

    async def raw(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(
            self.listener.address.host, self.listener.address.port
        )
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer


def run(handler: Handle, story: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with World(handler) as world:
            await story(world)

    asyncio.run(asyncio.wait_for(whole(), 30))


async def pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for n in range(count):
        yield bytes((n,)) * size


def test_what_a_handler_is_told() -> None:
    seen: list[HttpRequest] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse(200)

    async def story(world: World) -> None:
        await world.ask(
            "GET", "/getJournal?jid=a%20b&jid=c&txid=1&empty=", headers={"X-Thing": "Yes"}
        )
        (request,) = seen
        assert (request.method, request.path, request.peer) == ("GET", "/getJournal", "127.0.0.1")
        assert request.query == {"jid": "a b", "txid": "1", "empty": ""}
        assert request.headers["x-thing"] == "Yes"

    run(handler, story)


def test_bytes_on_the_wire_have_only_the_given_headers() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(
            410, {"Content-Type": "text/plain", "X-Journal": "1"}, b"gone", reason="Too Old"
        )

    async def story(world: World) -> None:
        answer = await world.raw(b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert body == b"gone"
        assert sorted(head.split(b"\r\n")) == [
            b"Connection: close",
            b"Content-Length: 4",
            b"Content-Type: text/plain",
            b"HTTP/1.1 410 Too Old",
            b"X-Journal: 1",
        ]

    run(handler, story)


def test_the_client_sends_only_the_given_headers() -> None:
    seen: list[HttpRequest] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse(302, {"Location": "http://elsewhere/"})

    async def story(world: World) -> None:
        reply, content = await world.ask("GET", "/", headers={"X-One": "1"})
        assert set(seen[0].headers) <= {"host", "connection", "x-one"}
        assert (reply.status, reply.reason) == (302, "Found")  # not followed
        assert reply.headers["location"] == "http://elsewhere/"
        assert content == b""

    run(handler, story)


def test_bodies_stream_both_ways() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        total = sum([len(chunk) async for chunk in request.body])
        return HttpResponse(201, body=str(total).encode())

    async def story(world: World) -> None:
        reply, content = await world.ask("PUT", "/image", body=pieces(40, 100_000))
        assert (reply.status, content) == (201, b"4000000")

    run(handler, story)


@pytest.mark.parametrize("size", [0, 1, 1 << 18, (1 << 20) + 3])
def test_a_file_is_sent_as_far_as_announced(size: int, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "edits"
    data = bytes(range(256)) * ((size >> 8) + 1)
    path.write_bytes(data)

    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, body=FileBody(str(path), size))

    async def story(world: World) -> None:
        reply, content = await world.ask("GET", "/")
        assert reply.headers["content-length"] == str(size)
        assert content == data[:size]
        head = await world.raw(b"HEAD / HTTP/1.0\r\n\r\n")
        assert f"Content-Length: {size}".encode() in head
        assert head.endswith(b"\r\n\r\n")

    run(handler, story)


def test_a_file_that_became_shorter_is_a_cut_body(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "edits"
    path.write_bytes(b"x" * 1000)

    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, body=FileBody(str(path), 2000))

    async def story(world: World) -> None:
        with pytest.raises(OutcomeUnknown, match="was cut"):
            await world.ask("GET", "/")

    run(handler, story)


def test_an_upload_that_is_cut_reaches_the_handler_as_an_error() -> None:
    ended: asyncio.Queue[str] = asyncio.Queue()

    async def handler(request: HttpRequest) -> HttpResponse:
        try:
            async for _ in request.body:
                pass
        except OutcomeUnknown as error:
            ended.put_nowait(str(error))
        return HttpResponse(200)

    async def story(world: World) -> None:
        _, writer = await asyncio.open_connection(
            world.listener.address.host, world.listener.address.port
        )
        writer.write(b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\npart")
        await writer.drain()
        writer.close()
        assert "the body from 127.0.0.1 was cut" in await ended.get()

    run(handler, story)


EXPECT = {"Expect": "100-continue"}


def test_who_expects_to_be_told_sends_nothing_to_who_refuses() -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for piece in [b"x" * 100_000] * 3:
            sent += len(piece)
            yield piece

    async def handler(request: HttpRequest) -> HttpResponse:
        if request.path == "/no":
            return HttpResponse(409, reason="Not Wanted")
        return HttpResponse(200, body=b"%d" % sum([len(chunk) async for chunk in request.body]))

    async def story(world: World) -> None:
        reply, _ = await world.ask("PUT", "/no", headers=EXPECT, body=body())
        assert (reply.status, reply.reason, sent) == (409, "Not Wanted", 0)
        reply, content = await world.ask("PUT", "/yes", headers=EXPECT, body=body())
        assert (reply.status, content, sent) == (200, b"300000", 300_000)

    run(handler, story)


def test_a_client_of_another_kind_is_told_to_go_on_and_only_then() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        if request.path == "/no":
            return HttpResponse(409)
        return HttpResponse(200, body=b"".join([chunk async for chunk in request.body]))

    async def story(world: World) -> None:
        address = world.listener.address
        reader, writer = await asyncio.open_connection(address.host, address.port)
        head = b"PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        writer.write(head % b"/yes")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(4) == b"body"
        writer.write(head % b"/no")
        assert (await reader.readline()).startswith(b"HTTP/1.1 409")
        writer.close()

    run(handler, story)


@pytest.mark.parametrize("headers", [{}, EXPECT])
def test_a_peer_that_takes_no_more_of_a_body_is_not_waited_for(headers: dict[str, str]) -> None:
    release = asyncio.Event()

    async def handler(request: HttpRequest) -> HttpResponse:
        if headers:
            await anext(aiter(request.body))
        await release.wait()
        return HttpResponse(200)

    async def story(world: World) -> None:
        with pytest.raises(DeadlineExceeded, match="in 200 ms"):
            body = pieces(200, 1 << 20)
            await world.ask("PUT", "/", headers=headers, body=body, connect_ms=100, read_ms=200)
        release.set()

    run(handler, story)


def test_a_body_may_take_longer_than_any_wait_while_it_moves() -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(8):
            await asyncio.sleep(0.2)
            yield b"x"

    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, body=b"%d" % sum([len(chunk) async for chunk in request.body]))

    async def story(world: World) -> None:
        for headers in ({}, EXPECT):
            _, content = await world.ask(
                "PUT", "/", headers=headers, body=slowly(), connect_ms=500, read_ms=1000
            )
            assert content == b"8"

    run(handler, story)


def test_failures_of_the_link_have_their_kinds() -> None:
    release = asyncio.Event()

    async def handler(request: HttpRequest) -> HttpResponse:
        await release.wait()
        return HttpResponse(200)

    async def story(world: World) -> None:
        with pytest.raises(DeadlineExceeded, match="no answer in 30 ms"):
            await world.ask("GET", "/", read_ms=30)
        release.set()
        closed = await RealHttpServer().serve(LOOPBACK, handler)
        await closed.close()
        with pytest.raises(ConnectFailed):
            await world.client.request(
                "GET", f"http://{closed.address}/", connect_ms=5000, read_ms=5000
            )

    run(handler, story)


def test_a_server_that_hangs_up_without_an_answer() -> None:
    async def whole() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = RealHttpClient()
        with pytest.raises(OutcomeUnknown):
            await client.request("GET", f"http://127.0.0.1:{port}/", connect_ms=5000, read_ms=5000)
        await client.close()
        server.close()
        await server.wait_closed()

    asyncio.run(whole())


def test_an_address_in_use_is_named() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200)

    async def story(world: World) -> None:
        with pytest.raises(ConfigError, match=f"{world.listener.address}: "):
            await RealHttpServer().serve(world.listener.address, handler)

    run(handler, story)


def test_who_hangs_up_during_a_file_leaves_one_line_in_the_log(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "edits"
    with path.open("wb") as file:
        file.truncate(256 << 20)
    records: list[logging.LogRecord] = []
    told = asyncio.Event()

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)
            told.set()

    async def handler(request: HttpRequest) -> HttpResponse:
        size = path.stat().st_size
        headers = {"Content-Length": str(size)}
        return HttpResponse(200, headers, FileBody(str(path), size))

    async def story(world: World) -> None:
        address = world.listener.address
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET /getJournal HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(1000)
        writer.transport.abort()
        await told.wait()
        # The server lives.
        assert (await world.ask("HEAD", "/"))[0].status == 200

    listening = Listening()
    loggers = [logging.getLogger(name) for name in ("hdfsd.io.http", "aiohttp.server", "asyncio")]
    for logger in loggers:
        logger.addHandler(listening)
    loggers[0].setLevel(logging.INFO)
    try:
        run(handler, story)
    finally:
        loggers[0].setLevel(logging.NOTSET)
        for logger in loggers:
            logger.removeHandler(listening)
    (record,) = records
    assert record.getMessage().startswith("127.0.0.1 hung up during GET /getJournal: ")
    assert record.exc_info is None
