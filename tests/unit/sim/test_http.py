"""HTTP between simulated processes: what ports.http promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest

from hdfsd.base.errors import ConnectFailed, DeadlineExceeded, OutcomeUnknown
from hdfsd.base.ids import Address
from hdfsd.ports.http import FileBody, HttpClient, HttpRequest, HttpResponse, HttpServer
from hdfsd.sim.world import Process, World

SERVER = Address("jn1", 8480)
Handle = Callable[[HttpRequest], Awaitable[HttpResponse]]


async def _wait(process: Process) -> None:
    await asyncio.get_running_loop().create_future()


class Pair:
    def __init__(self, world: World) -> None:
        self.world = world
        self.server = world.add_machine("jn1").start("journalnode", _wait)
        self.client = world.add_machine("nn1").start("namenode", _wait)

    async def ask(self, method: str, path: str, **more: Any) -> tuple[Any, bytes]:
        client: HttpClient = self.client.http_client
        more = {"connect_ms": 5000, "read_ms": 5000, **more}
        reply = await client.request(method, f"http://{SERVER}{path}", **more)
        content = b"".join([chunk async for chunk in reply.chunks()])
        await reply.close()
        return reply, content


def play(
    handler: Handle, story: Callable[[Pair], Coroutine[Any, Any, Any]], seed: str = "1"
) -> str:
    world = World(seed)

    async def whole() -> None:
        pair = Pair(world)
        server: HttpServer = pair.server.http_server

        async def listen() -> None:
            listener = await server.serve(SERVER, handler)
            assert listener.address == SERVER

        await world.loop.spawn(pair.server.lane, listen())
        await story(pair)

    world.run(whole())
    return world.digest()


async def pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for n in range(count):
        yield bytes((n,)) * size


def test_requests_and_answers() -> None:
    seen: list[HttpRequest] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        total = sum([len(chunk) async for chunk in request.body])
        return HttpResponse(200, {"X-Total": str(total)}, b"fine")

    async def story(pair: Pair) -> None:
        reply, content = await pair.ask(
            "PUT", "/image%20x?txid=1&a=b%20c&a=d&e=", headers={"X-Up": "1"}, body=pieces(9, 99_999)
        )
        assert (reply.status, reply.reason, content) == (200, "OK", b"fine")
        assert reply.headers == {"x-total": "899991", "content-length": "4"}
        request = seen.pop()
        assert (request.method, request.path, request.peer) == ("PUT", "/image x", "10.0.0.2")
        assert request.query == {"txid": "1", "a": "b c", "e": ""}
        assert request.headers == {"x-up": "1"}

    assert play(handler, story) == play(handler, story)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (HttpResponse(404), (404, "Not Found")),
        (HttpResponse(403, reason="Wrong cluster"), (403, "Wrong cluster")),
        (HttpResponse(299), (299, "")),
    ],
)
def test_status_lines(response: HttpResponse, expected: tuple[int, str]) -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return response

    async def story(pair: Pair) -> None:
        reply, content = await pair.ask("GET", "/")
        assert (reply.status, reply.reason) == expected
        assert content == b""

    play(handler, story)


def test_files_are_sent_as_far_as_announced() -> None:
    size = 200_000

    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, body=FileBody("/edits", size if request.path == "/" else 999_999))

    async def story(pair: Pair) -> None:
        await pair.server.disk.write_atomic("/edits", bytes(range(250)) * 1000)
        _, content = await pair.ask("GET", "/")
        assert content == (bytes(range(250)) * 1000)[:size]
        with pytest.raises(OutcomeUnknown, match="the body was cut"):
            await pair.ask("GET", "/short")

    play(handler, story)


def test_a_handler_that_raises_answers_500() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        raise KeyError("bug")

    async def story(pair: Pair) -> None:
        reply, _ = await pair.ask("GET", "/")
        assert reply.status == 500

    play(handler, story)


def test_failures_of_the_link_have_their_kinds() -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(60)
        return HttpResponse(200)

    async def story(pair: Pair) -> None:
        client = pair.client.http_client
        with pytest.raises(ConnectFailed, match="refused"):
            await client.request("GET", "http://jn1:1/", connect_ms=1000, read_ms=1000)
        with pytest.raises(ConnectFailed, match="no host"):
            await client.request("GET", "/path", connect_ms=1000, read_ms=1000)
        with pytest.raises(DeadlineExceeded, match="no answer in 1000 ms"):
            await pair.ask("GET", "/", read_ms=1000)
        asking = asyncio.ensure_future(pair.ask("GET", "/", read_ms=100_000))
        await asyncio.sleep(1)
        pair.server.kill()
        with pytest.raises(OutcomeUnknown):
            await asking

    play(handler, story)


def test_an_upload_cut_in_its_middle_reaches_the_handler() -> None:
    told: list[str] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        try:
            async for _ in request.body:
                pass
        except OutcomeUnknown as error:
            told.append(str(error))
            raise
        return HttpResponse(200)

    async def story(pair: Pair) -> None:
        async def upload() -> None:
            async def endless() -> AsyncIterator[bytes]:
                for _ in range(10**6):
                    yield b"x" * 1000
                    await asyncio.sleep(0.01)

            await pair.ask("PUT", "/", body=endless())

        pair.world.loop.spawn(pair.client.lane, upload())
        await asyncio.sleep(1)
        pair.client.kill()
        await asyncio.sleep(1)
        assert len(told) == 1
        assert "the body from 10.0.0.2 was cut" in told[0]

    play(handler, story)


def test_a_closed_listener_ends_its_exchanges() -> None:
    ended: list[str] = []

    async def handler(request: HttpRequest) -> HttpResponse:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("handler")
        return HttpResponse(200)

    async def story(pair: Pair) -> None:
        listener = await pair.server.http_server.serve(Address("jn1", 8481), handler)
        asking = asyncio.ensure_future(
            pair.client.http_client.request(
                "GET", "http://jn1:8481/", connect_ms=1000, read_ms=100_000
            )
        )
        await asyncio.sleep(1)
        await listener.close()
        with pytest.raises(OutcomeUnknown):
            await asking
        assert ended == ["handler"]

    play(handler, story)


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

    async def story(pair: Pair) -> None:
        expect = {"Expect": "100-continue"}
        reply, _ = await pair.ask("PUT", "/no", headers=expect, body=body())
        assert (reply.status, reply.reason, sent) == (409, "Not Wanted", 0)
        reply, content = await pair.ask("PUT", "/yes", headers=expect, body=body())
        assert (reply.status, content, sent) == (200, b"300000", 300_000)

    play(handler, story)
