"""A call is answered once, wherever its NameNode dies: before the request comes, between the
journals' acknowledgements, before the answer leaves, before it arrives.

One world per place: while each call is under way, the active is killed in front of the Nth message
that it sends or receives. Blocks need DataNodes, which are not simulated: concat, truncate and
pipelines are in tests/unit/namenode/test_answers.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tale import MODE, QUICK, creation, run, settled

from hdfsd.base.proxy_providers import Search
from hdfsd.client.proxy import NameNodeProxy
from hdfsd.sim.cluster import Cluster
from hdfsd.sim.world import World
from hdfsd.wire.messages import client_namenode, xattr

pytestmark = pytest.mark.sim

c = client_namenode
COLOR = xattr.XAttrProto(namespace=xattr.XAttrProto.USER, name="color", value=b"red")
PLACES_MAX = 100


def true(answer: Any, status: Any) -> bool:
    return bool(answer.result)


def done(answer: Any, status: Any) -> bool:
    return bool(answer.IsInitialized())


@dataclass(frozen=True)
class Step:
    """A call; what is at `path` afterwards, and whether the answer fits it."""

    method: str
    request: Any
    path: str
    is_there: bool
    fits: Callable[[Any, Any], bool]


STORY = (
    Step("create", creation("/f"), "/f", True, lambda answer, fs: answer.fs.fileId == fs.fileId),
    Step("complete", c.CompleteRequestProto(src="/f", clientName="c1"), "/f", True, true),
    Step("setXAttr", xattr.SetXAttrRequestProto(src="/f", xAttr=COLOR, flag=1), "/f", True, done),
    Step("removeXAttr", xattr.RemoveXAttrRequestProto(src="/f", xAttr=COLOR), "/f", True, done),
    Step(
        "append",
        c.AppendRequestProto(src="/f", clientName="c1"),
        "/f",
        True,
        lambda answer, fs: answer.stat.fileId == fs.fileId,
    ),
    Step("complete", c.CompleteRequestProto(src="/f", clientName="c1"), "/f", True, true),
    Step("rename", c.RenameRequestProto(src="/f", dst="/g"), "/f", False, true),
    Step(
        "rename2", c.Rename2RequestProto(src="/g", dst="/h", overwriteDest=False), "/g", False, done
    ),
    Step("delete", c.DeleteRequestProto(src="/h", recursive=False), "/h", False, true),
    Step(
        "mkdirs", c.MkdirsRequestProto(src="/d", masked=MODE, createParent=True), "/d", True, true
    ),
    Step(
        "allowSnapshot", c.AllowSnapshotRequestProto(snapshotRoot="/d"), "/d/.snapshot", True, done
    ),
    Step(
        "createSnapshot",
        c.CreateSnapshotRequestProto(snapshotRoot="/d", snapshotName="s"),
        "/d/.snapshot/s",
        True,
        lambda answer, fs: answer.snapshotPath == "/d/.snapshot/s",
    ),
    Step(
        "renameSnapshot",
        c.RenameSnapshotRequestProto(snapshotRoot="/d", snapshotOldName="s", snapshotNewName="t"),
        "/d/.snapshot/t",
        True,
        done,
    ),
    Step(
        "deleteSnapshot",
        c.DeleteSnapshotRequestProto(snapshotRoot="/d", snapshotName="t"),
        "/d/.snapshot/t",
        False,
        done,
    ),
)


class Trap:
    """Kills the active in front of its Nth message."""

    def __init__(self, cluster: Cluster, place: int) -> None:
        self._cluster = cluster
        self._place = place
        self._left = 0
        self._active = ""
        self._applied_txid = 0
        self.sprung = 0
        self.executed = 0
        """Of the kills: those of a NameNode that had carried the call out."""
        cluster.world.fabric.on_arrival = self._arrives

    def set(self, active: str) -> None:
        state = self._cluster.state_of(active)
        assert state is not None
        self._active, self._left = active, self._place
        self._applied_txid = state.applied_txid

    def lift(self) -> None:
        self._left = 0

    def _arrives(self, sender: str, receiver: str) -> bool:
        if not self._left or self._active not in (sender, receiver):
            return True
        self._left -= 1
        if self._left:
            return True
        node = self._cluster.nodes[f"{self._active}/namenode"]
        state = self._cluster.state_of(self._active)
        assert state is not None
        assert node.process is not None
        self.sprung += 1
        self.executed += state.applied_txid > self._applied_txid
        node.process.kill()
        return False


async def tell(cluster: Cluster, trap: Trap, proxy: NameNodeProxy) -> None:
    for step in STORY:
        trap.set(await settled(cluster))
        answer = await proxy.call(step.method, step.request)
        trap.lift()
        await settled(cluster)
        found = await proxy.call("getFileInfo", c.GetFileInfoRequestProto(src=step.path))
        assert found.HasField("fs") is step.is_there, step
        assert step.fits(answer, found.fs), step


def killed_at(place: int, search: Search) -> Trap:
    """The whole story, and what the trap saw of it."""
    world = World(f"lost answers {place} {search.name}")
    cluster = Cluster(world, QUICK, session_ms=300, restart_ms=30)
    trap = Trap(cluster, place)
    run(cluster, lambda proxy: tell(cluster, trap, proxy), search)
    return trap


@pytest.mark.parametrize("search", [Search.IN_TURN, Search.HEDGED], ids=lambda s: s.name)
def test_a_kill_in_front_of_each_message(search: Search) -> None:
    executed = 0
    for place in range(1, PLACES_MAX):
        trap = killed_at(place, search)
        executed += trap.executed
        if not trap.sprung:
            break
    assert executed > len(STORY), "calls were carried out whose answer nobody heard"
    assert trap.sprung == 0, f"calls with {PLACES_MAX} messages?"
