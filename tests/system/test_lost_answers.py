"""Our own client, each of its ways to find the active: what is executed is answered once, whoever
answers. The answer is lost, its NameNode killed (lost_answers); Java's client: interop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lost_answers import LossyCluster

from hdfsd.base.ids import Address
from hdfsd.base.proxy_providers import ProxyProvider, Search
from hdfsd.client.proxy import NameNodeProxy
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.io.site import current_user
from hdfsd.rpc.retry import Backoff
from hdfsd.wire.messages import acl, client_namenode

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

c = client_namenode
MODE = acl.FsPermissionProto(perm=0o755)
BACKOFF = Backoff(base_ms=50, max_ms=500, attempts_max=200)


@pytest.fixture(scope="module")
def lossy(
    start_cluster: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LossyCluster]:
    cluster = start_cluster("-D", "dfs.namenode.state.context.enabled=true")
    made = LossyCluster.over(cluster, tmp_path_factory.mktemp("lossy") / "conf")
    yield made
    made.close()


class Client:
    """One client for the whole of a test."""

    def __init__(self, lossy: LossyCluster, search: Search) -> None:
        self._runner = asyncio.Runner()
        self._proxy = NameNodeProxy(
            [Address.parse(relay.address) for relay in lossy.relays.values()],
            network=TcpNetwork(),
            dice=RealDice(),
            user=current_user(),
            backoff=BACKOFF,
            timeout_ms=60_000,
            provider=ProxyProvider(search),
        )

    def call(self, method: str, request: Any) -> Any:
        return self._runner.run(self._proxy.call(method, request))

    def exists(self, path: str) -> bool:
        answer = self.call("getFileInfo", c.GetFileInfoRequestProto(src=path))
        return bool(answer.HasField("fs"))

    def close(self) -> None:
        self._runner.run(self._proxy.close())
        self._runner.close()


@pytest.mark.parametrize(
    "search", [Search.IN_TURN, Search.HEDGED, Search.READING_OBSERVERS], ids=lambda s: s.name
)
def test_each_of_our_providers(lossy: LossyCluster, search: Search) -> None:
    with closing(Client(lossy, search)) as client:
        lose_three_answers(lossy, client, f"/{search.name}")


def lose_three_answers(lossy: LossyCluster, client: Client, top: str) -> None:
    creation = c.CreateRequestProto(
        src=f"{top}/a/f",
        masked=MODE,
        clientName="c1",
        createFlag=c.CREATE,
        createParent=True,
        replication=1,
        blockSize=1 << 20,
    )
    with lossy.loses_answer("create"):
        created = client.call("create", creation)
        assert created.fs.permission.perm == 0o755
    assert client.call("complete", c.CompleteRequestProto(src=f"{top}/a/f", clientName="c1")).result
    with lossy.loses_answer("rename"):
        assert client.call("rename", c.RenameRequestProto(src=f"{top}/a", dst=f"{top}/b")).result
    assert (client.exists(f"{top}/a"), client.exists(f"{top}/b/f")) == (False, True)
    with lossy.loses_answer("delete"):
        request = c.DeleteRequestProto(src=f"{top}/b", recursive=True)
        assert client.call("delete", request).result
    assert not client.exists(f"{top}/b")


def test_snapshots(lossy: LossyCluster) -> None:
    with closing(Client(lossy, Search.IN_TURN)) as client:
        client.call("mkdirs", c.MkdirsRequestProto(src="/s", masked=MODE, createParent=True))
        client.call("allowSnapshot", c.AllowSnapshotRequestProto(snapshotRoot="/s"))
        with lossy.loses_answer("createSnapshot"):
            answer = client.call("createSnapshot", c.CreateSnapshotRequestProto(snapshotRoot="/s"))
        assert client.exists(answer.snapshotPath), "a second one would have another name"
        (made,) = snapshots_of(client, "/s")
        rename = c.RenameSnapshotRequestProto(
            snapshotRoot="/s", snapshotOldName=made, snapshotNewName="kept"
        )
        with lossy.loses_answer("renameSnapshot"):
            client.call("renameSnapshot", rename)
        assert snapshots_of(client, "/s") == ["kept"]
        delete = c.DeleteSnapshotRequestProto(snapshotRoot="/s", snapshotName="kept")
        with lossy.loses_answer("deleteSnapshot"):
            client.call("deleteSnapshot", delete)
        assert snapshots_of(client, "/s") == []


def snapshots_of(client: Client, directory: str) -> list[str]:
    request = c.GetSnapshotListingRequestProto(snapshotRoot=directory)
    listing = client.call("getSnapshotListing", request).snapshotList.snapshotListing
    return [entry.dirStatus.path.decode() for entry in listing]


def test_the_command_line_comes_through_as_well(lossy: LossyCluster, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("kept\n")

    def dfs(*words: str) -> str:
        done = lossy.cluster.hdfsd("--config", str(lossy.conf), "dfs", *words)
        assert done.returncode == 0, done.stderr.decode()
        return str(done.stdout.decode())

    dfs("-mkdir", "/shell")
    dfs("-put", str(source), "/shell/f")
    with lossy.loses_answer("rename"):
        dfs("-mv", "/shell/f", "/shell/g")
    with lossy.loses_answer("delete"):
        dfs("-rm", "-skipTrash", "/shell/g")
    assert "/shell/g" not in dfs("-ls", "/shell")
