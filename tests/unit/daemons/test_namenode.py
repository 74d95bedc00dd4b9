"""The NameNode as one process has it: words in, addresses out, data kept over a restart."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from small_namenode import KEYS, settings

from hdfsd.base.errors import ConfigError, QuorumLost, StorageError
from hdfsd.base.settings import NameNodeSettings
from hdfsd.daemons import namenode
from hdfsd.daemons.namenode import name_node, serve
from hdfsd.daemons.world import World
from hdfsd.namenode.server import NameNodeServer
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import acl, client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL

c = client_namenode


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """A NameNode freezes what it loaded; other tests want their garbage collected."""
    yield
    gc.unfreeze()


def keys(root: Path) -> dict[str, str]:
    return {
        **KEYS,
        "fs.defaultFS": "hdfs://127.0.0.1:0",
        "dfs.namenode.name.dir": str(root / "name"),
        "dfs.namenode.http-address": "127.0.0.1:0",
        "hadoop.user.group.static.mapping.overrides": "hadoop=staff;",
    }


def run(root: Path, *words: str) -> int:
    options = [word for key, value in keys(root).items() for word in ("-D", f"{key}={value}")]
    return namenode.main([*options, *words])


def of(root: Path) -> NameNodeSettings:
    return settings(**keys(root))


def life(root: Path, story: Callable[[NameNodeServer, RpcClient], Awaitable[None]]) -> None:
    """Starts a NameNode, has the story talk to it over TCP, and shuts it down."""

    async def play() -> None:
        world = World()
        daemon = name_node(of(root), world, "hadoop")
        await daemon.startup()
        address = daemon._servers[0].address
        client = RpcClient(world.network, address, CLIENT_PROTOCOL, user="hadoop", dice=world.dice)
        try:
            await story(daemon, client)
        finally:
            await client.close()
            await daemon.shutdown()

    asyncio.run(play())


async def mkdirs(client: RpcClient, path: str) -> None:
    request = c.MkdirsRequestProto(
        src=path, masked=acl.FsPermissionProto(perm=0o755), createParent=True
    )
    answer = await client.call("mkdirs", request, deadline_ms=20_000)
    assert answer.result


async def exists(client: RpcClient, path: str) -> bool:
    request = c.GetFileInfoRequestProto(src=path)
    answer = await client.call("getFileInfo", request, deadline_ms=20_000)
    return bool(answer.HasField("fs"))


def test_words_that_are_no_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="namenode takes no argument '-upgrade'"):
        run(tmp_path, "-upgrade")
    with pytest.raises(ConfigError, match="is no option here"):
        run(tmp_path, "-format", "-quickly")


def test_start_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[NameNodeSettings] = []

    async def keep(chosen: NameNodeSettings, world: World, user: str) -> None:
        started.append(chosen)

    monkeypatch.setattr(namenode, "serve", keep)
    monkeypatch.setattr(namenode, "run_daemon", lambda life: asyncio.run(life()) or 0)
    for words in ((), ("-regular",), ("-REGULAR",)):
        assert run(tmp_path, *words) == 0
        assert not started.pop().observer
    with pytest.raises(ConfigError, match="no active NameNode to follow"):
        run(tmp_path, "-observer")
    with pytest.raises(ConfigError, match="takes nothing more, not '-force'"):
        run(tmp_path, "-observer", "-force")
    assert not started
    with_ha = settings(ha=True)
    assert not with_ha.observer
    assert namenode.as_started(with_ha, "-observer").observer


def test_format_then_a_life_then_another(tmp_path: Path) -> None:
    assert run(tmp_path, "-format", "-nonInteractive") == 0
    assert run(tmp_path, "-format", "-nonInteractive") == 1

    async def first(daemon: NameNodeServer, client: RpcClient) -> None:
        await mkdirs(client, "/kept")
        await client.call("saveNamespace", c.SaveNamespaceRequestProto(), deadline_ms=20_000)
        await mkdirs(client, "/kept/too")

    async def second(daemon: NameNodeServer, client: RpcClient) -> None:
        assert await exists(client, "/kept/too")
        assert not await exists(client, "/other")
        assert daemon.state is not None
        assert daemon.state.is_active

    life(tmp_path, first)
    life(tmp_path, second)


def test_http_is_served_beside(tmp_path: Path) -> None:
    run(tmp_path, "-format", "-nonInteractive")

    async def story(daemon: NameNodeServer, client: RpcClient) -> None:
        assert daemon._http is not None
        http = World().http_client
        url = f"http://{daemon._http.address}/isActive"
        reply = await http.request("GET", url, connect_ms=20_000, read_ms=20_000)
        assert reply.status == 200
        await reply.close()
        await http.close()

    life(tmp_path, story)


def test_an_unformatted_directory_does_not_start_and_is_let_go(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="NameNode is not formatted"):
        asyncio.run(serve(of(tmp_path), World(), "hadoop"))
    assert not (tmp_path / "name/in_use.lock").exists()
    assert run(tmp_path, "-format", "-nonInteractive") == 0


def test_serve_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    run(tmp_path, "-format", "-nonInteractive")

    async def story() -> None:
        serving = asyncio.ensure_future(serve(of(tmp_path), World(), "hadoop"))
        opened = tmp_path / "name/current/edits_inprogress_0000000000000000001"
        async with asyncio.timeout(20):
            while not opened.exists():  # noqa: ASYNC110 - the last thing before it serves
                await asyncio.sleep(0.01)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not (tmp_path / "name/in_use.lock").exists()

    asyncio.run(story())


def test_what_ends_it_is_told_as_one_error(tmp_path: Path) -> None:
    run(tmp_path, "-format", "-nonInteractive")
    lost = QuorumLost("sendEdits", {"jn1": "gone"})

    async def story(daemon: NameNodeServer, client: RpcClient) -> None:
        daemon.lifecycle._tasks.fail(lost)
        with pytest.raises(QuorumLost) as caught:
            await daemon.run()
        assert caught.value is lost

    life(tmp_path, story)
