"""The JournalNode as one process has it: settings in, two addresses out, data kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError, StorageError
from hdfsd.base.ids import Address
from hdfsd.base.settings import JournalNodeSettings
from hdfsd.daemons import journalnode
from hdfsd.daemons.journalnode import JournalNodeDaemon
from hdfsd.daemons.world import World
from hdfsd.journal import server
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import qjournal
from hdfsd.wire.services import QJOURNAL_PROTOCOL


def settings(root: Path, **other: str) -> JournalNodeSettings:
    keys = {
        "dfs.journalnode.rpc-address": "127.0.0.1:0",
        "dfs.journalnode.http-address": "127.0.0.1:0",
        "dfs.journalnode.edits.dir": str(root),
        **{name.replace("__", ".").replace("_", "-"): value for name, value in other.items()},
    }
    return JournalNodeSettings.from_configuration(Configuration.parse([], keys))


def format_request() -> qjournal.FormatRequestProto:
    return qjournal.FormatRequestProto(
        jid={"identifier": "ns1"},
        nsInfo={
            "buildVersion": "",
            "unused": 0,
            "blockPoolID": "BP",
            "softwareVersion": "3.4.1",
            "storageInfo": {
                "layoutVersion": 4294967229,
                "namespceID": 7,
                "clusterID": "CID",
                "cTime": 1,
            },
        },
    )


def test_it_serves_rpc_and_http(tmp_path: Path) -> None:
    async def story() -> None:
        world = World()
        daemon = JournalNodeDaemon(settings(tmp_path / "jn"), world)
        await daemon.startup()
        client = RpcClient(
            world.network, daemon.rpc.address, QJOURNAL_PROTOCOL, user="t", dice=world.dice
        )
        await client.call("format", format_request(), deadline_ms=20_000)
        ask = qjournal.GetJournalStateRequestProto(jid={"identifier": "ns1"})
        state = await client.call("getJournalState", ask, deadline_ms=20_000)
        assert state.fromURL == f"http://127.0.0.1:{state.httpPort}"
        url = f"{state.fromURL}/getJournal?jid=ns1&segmentTxId=1"
        reply = await world.http_client.request("GET", url, connect_ms=20_000, read_ms=20_000)
        assert (reply.status, reply.reason) == (404, "No edit log found starting at txid 1")
        await reply.close()
        journal = daemon.node.journal("ns1")
        assert journal.is_own_url(url)
        assert not journal.is_own_url(url.replace("127.0.0.1", "192.0.2.1"))
        await client.close()
        await daemon.shutdown()

    asyncio.run(story())


def test_serve_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    async def story() -> None:
        life = asyncio.ensure_future(journalnode.serve(settings(tmp_path / "jn"), World()))
        async with asyncio.timeout(20):
            while not (tmp_path / "jn").exists():  # noqa: ASYNC110 - the first thing it does
                await asyncio.sleep(0.001)
        life.cancel()
        with pytest.raises(asyncio.CancelledError):
            await life

    asyncio.run(story())


def test_a_port_in_use_and_a_directory_in_use(tmp_path: Path) -> None:
    async def story() -> None:
        world = World()
        first = JournalNodeDaemon(settings(tmp_path / "jn"), world)
        await first.startup()
        taken = str(first.rpc.address)
        with pytest.raises(ConfigError, match="can't listen"):
            await journalnode.serve(
                settings(tmp_path / "other", dfs__journalnode__rpc_address=taken), World()
            )
        client = RpcClient(
            world.network, Address.parse(taken), QJOURNAL_PROTOCOL, user="t", dice=world.dice
        )
        await client.call("format", format_request(), deadline_ms=20_000)
        with pytest.raises(StorageError, match="in use"):
            await journalnode.serve(settings(tmp_path / "jn"), world)
        await client.close()
        await first.shutdown()

    asyncio.run(story())


def test_words_it_does_not_know() -> None:
    with pytest.raises(ConfigError, match="-format"):
        journalnode.main(["-format"])


@pytest.mark.parametrize(
    ("tailing", "size", "expected"),
    [("false", "", None), ("true", "", 8 << 20), ("true", "1000", 1000)],
)
def test_the_cache_of_recent_edits(
    tmp_path: Path, tailing: str, size: str, expected: int | None
) -> None:
    keys = {"dfs__ha__tail_edits__in_progress": tailing}
    if size:
        keys["dfs__journalnode__edit_cache_size__bytes"] = size
    assert server._cache_bytes(settings(tmp_path, **keys)) == expected
