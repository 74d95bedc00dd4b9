"""WebHDFS of a NameNode: calls of its own RPC address, on a simulated network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from hdfsd.base.errors import SnapshotFault
from hdfsd.base.ids import Address
from hdfsd.ports.http import HttpRequest, HttpResponse
from hdfsd.rpc.server import Call, RpcServer
from hdfsd.sim.world import Process, World
from hdfsd.web.webhdfs import WebHdfs, is_concerned
from hdfsd.wire.messages import client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL

ADDRESS = Address("nn1", 8020)


class Service:
    """Handlers of two calls."""

    def __init__(self) -> None:
        self.callers: list[str] = []

    def create_snapshot(self, request: Any, call: Call) -> Any:
        self.callers.append(call.caller.user)
        path = f"{request.snapshotRoot}/.snapshot/{request.snapshotName}"
        return client_namenode.CreateSnapshotResponseProto(snapshotPath=path)

    def allow_snapshot(self, request: Any, call: Call) -> Any:
        if request.snapshotRoot != "/d":
            raise SnapshotFault(f"not {request.snapshotRoot}")
        return client_namenode.AllowSnapshotResponseProto()


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def request(path: str, **query: str) -> HttpRequest:
    return HttpRequest("PUT", f"/webhdfs/v1{path}", query, {}, nothing())


Story = Callable[[WebHdfs, Service], Awaitable[None]]


def play(story: Story, *, server: bool = True) -> None:
    """The story beside a NameNode, or beside none."""
    world = World("webhdfs")
    machine = world.add_machine(ADDRESS.host)
    service = Service()

    async def namenode(process: Process) -> None:
        web = WebHdfs(ADDRESS, network=process.network, dice=process.dice)
        if server:
            rpc = RpcServer({CLIENT_PROTOCOL: service}, clock=process.clock)
            await rpc.start(process.network, ADDRESS)
        await story(web, service)

    async def everything() -> None:
        process = machine.start("namenode", namenode)
        await process.ended
        if isinstance(process.outcome, BaseException):
            raise process.outcome

    world.run(everything())


def told(response: HttpResponse) -> Any:
    assert response.headers["Content-Type"] == "application/json"
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


def test_a_call_in_the_name_of_who_asks() -> None:
    async def story(web: WebHdfs, service: Service) -> None:
        asked = {"op": "CREATESNAPSHOT", "snapshotname": "s1"}
        first = await web.handle(request("/d", **asked, **{"user.name": "bob"}))
        assert (first.status, told(first)) == (200, {"Path": "/d/.snapshot/s1"})
        await web.handle(request("/d", **asked))
        assert service.callers == ["bob", "dr.who"]

    play(story)


def test_an_empty_answer() -> None:
    async def story(web: WebHdfs, service: Service) -> None:
        response = await web.handle(request("/d", op="ALLOWSNAPSHOT"))
        assert (response.status, response.body) == (200, b"")
        assert response.headers["Content-Type"] == "application/octet-stream"

    play(story)


def test_refusals_of_the_namenode_and_of_the_request() -> None:
    async def story(web: WebHdfs, service: Service) -> None:
        refused = await web.handle(request("/e", op="ALLOWSNAPSHOT"))
        assert refused.status == 403
        assert told(refused)["RemoteException"] == {
            "exception": "SnapshotException",
            "javaClassName": "org.apache.hadoop.hdfs.protocol.SnapshotException",
            "message": "not /e",
        }
        wrong = await web.handle(request("/e", op="NOTHING"))
        assert (wrong.status, told(wrong)["RemoteException"]["exception"]) == (
            400,
            "IllegalArgumentException",
        )
        not_served = await web.handle(request("/d", op="DISALLOWSNAPSHOT"))
        assert not_served.status == 400
        assert told(not_served)["RemoteException"]["exception"] == "UnsupportedOperationException"

    play(story)


def test_a_namenode_that_does_not_answer_is_told_as_one_to_ask_again() -> None:
    async def story(web: WebHdfs, service: Service) -> None:
        response = await web.handle(request("/d", op="ALLOWSNAPSHOT"))
        assert response.status == 403
        found = told(response)["RemoteException"]
        assert found["exception"] == "RetriableException"
        assert found["message"].startswith("allowSnapshot: the NameNode does not answer: ")

    play(story, server=False)


def test_requests_side_by_side() -> None:
    async def story(web: WebHdfs, service: Service) -> None:
        names = [f"s{number}" for number in range(20)]
        answers = await asyncio.gather(
            *(web.handle(request("/d", op="CREATESNAPSHOT", snapshotname=name)) for name in names)
        )
        assert [told(answer)["Path"] for answer in answers] == [
            f"/d/.snapshot/{name}" for name in names
        ]

    play(story)


def test_which_paths_are_its() -> None:
    assert is_concerned("/webhdfs/v1")
    assert is_concerned("/webhdfs/v1/d")
    assert not is_concerned("/webhdfs/v10")
    assert not is_concerned("/jmx")
