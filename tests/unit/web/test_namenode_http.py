"""The HTTP address of a NameNode: who is active, what it counts, images by its side."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from small_namenode import LivingNameNode, call, on_virtual_time

from hdfsd.namenode.gate import HAState
from hdfsd.ports.http import Handler, HttpRequest, HttpResponse
from hdfsd.web.namenode_http import NameNodeHttp
from hdfsd.wire.messages import acl, client_namenode

NAMES = [
    "Hadoop:service=NameNode,name=NameNodeStatus",
    "Hadoop:service=NameNode,name=NameNodeInfo",
    "Hadoop:service=NameNode,name=FSNamesystem",
    "hdfsd:service=NameNode,name=Failover",
    "hdfsd:service=NameNode,name=Checkpoints",
]


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def webhdfs(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, {}, f"{request.method} {request.path}".encode())


async def ask(
    made: LivingNameNode,
    path: str,
    query: dict[str, str] | None = None,
    method: str = "GET",
    *,
    webhdfs: Handler | None = None,
) -> HttpResponse:
    http = NameNodeHttp(
        settings=made.settings,
        state=made.state,
        storage=made.storage,
        lifecycle=made.lifecycle,
        disk=made.ports.disk,
        clock=made.ports.clock,
        webhdfs=webhdfs,
    )
    return await http.handle(HttpRequest(method, path, query or {}, {}, nothing()))


async def beans(made: LivingNameNode, **query: str) -> dict[str, dict[str, Any]]:
    response = await ask(made, "/jmx", query)
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("application/json")
    assert isinstance(response.body, bytes)
    return {bean["name"]: bean for bean in json.loads(response.body)["beans"]}


def play(story: Callable[[LivingNameNode], Coroutine[Any, Any, None]]) -> None:
    async def run(made: LivingNameNode) -> None:
        await made.lifecycle.start()
        await story(made)

    on_virtual_time(run)


def test_a_load_balancer_learns_who_is_active() -> None:
    async def story(made: LivingNameNode) -> None:
        standby = await ask(made, "/isActive")
        assert (standby.status, standby.body) == (405, b"NameNode is not Active!")
        await made.lifecycle.become_active()
        active = await ask(made, "/isActive")
        assert (active.status, active.body) == (200, b"NameNode is Active!")

    play(story)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, NAMES),
        ({"qry": NAMES[0]}, NAMES[:1]),
        ({"qry": "Hadoop:*"}, NAMES[:3]),
        ({"qry": "Hadoop:service=NameNode,name=NameNode*"}, NAMES[:2]),
        ({"qry": "nothing"}, []),
    ],
)
def test_beans_by_name(query: dict[str, str], names: list[str]) -> None:
    async def story(made: LivingNameNode) -> None:
        found = [name for name in await beans(made, **query) if name in NAMES]
        assert found == names

    play(story)


def test_what_the_beans_say_of_a_standby() -> None:
    async def story(made: LivingNameNode) -> None:
        found = await beans(made)
        status, info, system, failover = (found[name] for name in NAMES[:4])
        assert (status["State"], status["HostAndPort"]) == ("standby", "127.0.0.1:8020")
        assert status["LastHATransitionTime"] > 0
        assert (info["ClusterId"], info["BlockPoolId"]) == ("CID-x", "BP-1-127.0.0.1-1")
        assert info["Safemode"].startswith("Safe mode is ON. ")
        assert (system["tag.HAState"], system["FilesTotal"]) == ("standby", 1)
        assert (failover["Epoch"], failover["Journals"]) == (0, [])

    play(story)


def test_what_the_beans_say_of_an_active() -> None:
    async def story(made: LivingNameNode) -> None:
        await made.lifecycle.become_active()
        request = client_namenode.MkdirsRequestProto(
            src="/a", masked=acl.FsPermissionProto(perm=0o755), createParent=True
        )
        made.client.mkdirs(request, call("mkdirs"))
        found = await beans(made)
        status, info, system, failover = (found[name] for name in NAMES[:4])
        assert (status["State"], info["Safemode"]) == ("active", "")
        assert json.loads(info["JournalTransactionInfo"]) == {"LastAppliedOrWrittenTxId": "2"}
        assert (system["LastWrittenTransactionId"], system["FilesTotal"]) == (2, 2)
        assert failover["Epoch"] == 1
        assert [journal["Journal"] for journal in failover["Journals"]] == ["jn1"]
        assert failover["Timeline"][-1].startswith("standby → active in ")
        assert failover["Transitions"][-1]["to"] == "active"
        assert made.state.ha_state is HAState.ACTIVE

    play(story)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("HEAD", "/jmx", 200),
        ("GET", "/metrics", 200),
        ("POST", "/jmx", 405),
        ("PUT", "/isActive", 405),
        ("DELETE", "/", 405),
        ("GET", "/imagetransfer", 410),
        ("PUT", "/imagetransfer", 410),
        ("POST", "/imagetransfer", 405),
    ],
)
def test_paths_and_methods(method: str, path: str, status: int) -> None:
    async def story(made: LivingNameNode) -> None:
        assert (await ask(made, path, method=method)).status == status

    play(story)


def test_an_image_can_be_fetched_here() -> None:
    async def story(made: LivingNameNode) -> None:
        response = await ask(made, "/imagetransfer", {"getimage": "1", "txid": "latest"})
        assert response.status == 200

    play(story)


def test_webhdfs_is_served_where_there_is_one() -> None:
    async def story(made: LivingNameNode) -> None:
        path = "/webhdfs/v1/d"
        found = await ask(made, path, method="PUT", webhdfs=webhdfs)
        assert found.body == b"PUT /webhdfs/v1/d"
        assert (await ask(made, "/isActive", webhdfs=webhdfs)).status == 405
        assert (await ask(made, path)).status == 404

    play(story)
