"""Driver. Clients that change names through the client's own proxy, and know what they were told.

Each client has a directory of its own, where nobody else changes anything: what it was told decides
what it must be told next. An operation ends known (done, or refused), or not known: its names are
not used again. A known state makes the check of P4 sharp: a call that is executed twice, or whose
answer is forgotten in a failover, gets a wrong answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hdfsd.base.errors import (
    HdfsdError,
    LinkError,
    PeerError,
    RemoteFault,
    RetriableError,
    StandbyError,
)
from hdfsd.client.proxy import NameNodeProxy
from hdfsd.namespace.tree import Namespace
from hdfsd.rpc.retry import Backoff
from hdfsd.sim.cluster import USER, Cluster
from hdfsd.sim.dice import SimDice
from hdfsd.sim.world import Process
from hdfsd.wire.messages import Message, acl
from hdfsd.wire.messages import client_namenode as pb

BACKOFF = Backoff(base_ms=100, max_ms=800, attempts_max=12)
MODE = acl.FsPermissionProto(perm=0o755)
CREATE = pb.CREATE


@dataclass(slots=True)
class Counts:
    """What became of operations, over all clients."""

    known: int = 0
    unknown: int = 0
    stale: int = 0
    """Told by a NameNode that another one had replaced already."""


@dataclass(slots=True)
class Names:
    """What one client knows of its directory."""

    there: dict[str, bool] = field(default_factory=dict)
    """Path to whether it is a directory."""
    gone: dict[str, None] = field(default_factory=dict)
    doubtful: dict[str, None] = field(default_factory=dict)

    def doubt(self, *paths: str) -> None:
        for path in paths:
            self.there.pop(path, None)
            self.gone.pop(path, None)
            self.doubtful[path] = None


class Client:
    """One client: one operation after the other."""

    def __init__(self, cluster: Cluster, name: str, counts: Counts, *, pause_ms: float) -> None:
        self._cluster = cluster
        self._name = name
        self._counts = counts
        self._pause_ms = pause_ms
        self._next = 0
        self._stopping = False
        self._began_s = 0.0
        self.names = Names()
        self._proxy: NameNodeProxy
        self._dice: SimDice

    def stop(self) -> None:
        """After the operation at work."""
        self._stopping = True

    async def run(self, process: Process) -> None:
        self._dice = process.dice.fork("operations")
        self._proxy = NameNodeProxy(
            self._cluster.addresses(),
            network=process.network,
            dice=process.dice,
            user=USER,
            backoff=BACKOFF,
            timeout_ms=2_000,
        )
        while not self._stopping:
            await self.step()
            await asyncio.sleep(self._pause_ms * 2 * self._dice.fraction() / 1000)
        await self._proxy.close()

    async def step(self) -> None:
        """One operation, drawn by its weight among those that are possible."""
        choices: list[Callable[[], object]] = [self._mkdirs, self._create, self._create]
        if self.names.there:
            choices += [self._delete, self._rename, self._rename, self._look]
        if self.names.gone:
            choices += [self._look_for_gone]
        await self._dice.pick(choices)()  # type: ignore[misc]

    # --- operations ---

    async def _mkdirs(self) -> None:
        path = self._new_path()
        request = pb.MkdirsRequestProto(src=path, masked=MODE, createParent=True)
        answer = await self._call("mkdirs", request, path)
        if answer is not None:
            self.names.there[path] = True

    async def _create(self) -> None:
        path = self._new_path()
        request = pb.CreateRequestProto(
            src=path,
            masked=MODE,
            clientName=self._name,
            createFlag=CREATE,
            createParent=True,
            replication=3,
            blockSize=1 << 20,
        )
        answer = await self._call("create", request, path)
        if answer is None:
            return
        self.names.there[path] = False
        await self._call("complete", pb.CompleteRequestProto(src=path, clientName=self._name))

    async def _delete(self) -> None:
        path = self._known_path()
        request = pb.DeleteRequestProto(src=path, recursive=True)
        answer = await self._call("delete", request, path)
        if answer is None:
            return
        if not answer.result:
            self._surprised("P4", f"delete of {path}, which is there, answers false", path)
            return
        del self.names.there[path]
        self.names.gone[path] = None

    async def _rename(self) -> None:
        source, target = self._known_path(), self._new_path()
        if self._dice.chance(0.5):
            request = pb.Rename2RequestProto(src=source, dst=target, overwriteDest=False)
            answer = await self._call("rename2", request, source, target)
        else:
            old = pb.RenameRequestProto(src=source, dst=target)
            answer = await self._call("rename", old, source, target)
            if answer is not None and not answer.result:
                self._surprised("P4", f"rename of {source} to {target} answers false", source)
                self.names.doubt(target)
                return
        if answer is None:
            return
        self.names.there[target] = self.names.there.pop(source)
        self.names.gone[source] = None

    async def _look(self) -> None:
        path = self._known_path()
        answer = await self._call("getFileInfo", pb.GetFileInfoRequestProto(src=path))
        if answer is not None and not answer.HasField("fs"):
            self._surprised("P1", f"{path} was acknowledged and is not there", None)

    async def _look_for_gone(self) -> None:
        path = self._dice.pick(list(self.names.gone))
        answer = await self._call("getFileInfo", pb.GetFileInfoRequestProto(src=path))
        if answer is not None and answer.HasField("fs"):
            self._surprised("P1", f"{path} is there though its removal was acknowledged", None)

    # --- knowing ---

    async def _call(self, method: str, request: Message, *paths: str) -> Any:
        """The answer; None when nobody knows what happened to `paths` or it was refused."""
        self._began_s = self._cluster.world.loop.time()
        try:
            answer = await self._proxy.call(method, request)
        except (LinkError, PeerError, StandbyError, RetriableError):
            self._counts.unknown += 1
            self.names.doubt(*paths)
            return None
        except RemoteFault as fault:
            what = f"{method} of {', '.join(paths)} is refused: {fault}"
            self._surprised("P4", what, *paths)
            return None
        self._counts.known += 1
        return answer

    def _surprised(self, promise: str, what: str, *paths: str | None) -> None:
        """What we were told can't be, unless it comes from one who leads no more."""
        told_by = self._cluster.world.fabric.resolve(self._proxy.address.host)
        assert told_by is not None
        forgotten = promise == "P4" and self._cluster.forgets(told_by.name, self._began_s)
        if self._cluster.judge.leader == told_by.ip and not forgotten:
            self._cluster.judge.accuse(promise, f"{self._name} hears of {told_by.name}: {what}")
        self._counts.stale += 1
        self.names.doubt(*(path for path in paths if path is not None))

    def _new_path(self) -> str:
        self._next += 1
        return f"/{self._name}/{self._next}"

    def _known_path(self) -> str:
        return self._dice.pick(list(self.names.there))

    # --- in the end ---

    def missing(self, namespace: Namespace) -> list[str]:
        """What was acknowledged and is not so in this namespace."""
        wrong = []
        for path in self.names.there:
            if namespace.lookup(path) < 0:
                wrong.append(f"{path} is lost")
        for path in self.names.gone:
            if namespace.lookup(path) >= 0:
                wrong.append(f"{path} has come back")
        return wrong


async def first_write(cluster: Cluster, process: Process, path: str) -> None:
    """Returns when a new directory was made; tries for ever."""
    proxy = NameNodeProxy(
        cluster.addresses(),
        network=process.network,
        dice=process.dice,
        user=USER,
        backoff=BACKOFF,
        timeout_ms=2_000,
    )
    while True:
        try:
            await proxy.call(
                "mkdirs", pb.MkdirsRequestProto(src=path, masked=MODE, createParent=True)
            )
        except HdfsdError:
            await asyncio.sleep(0.2)
        else:
            await proxy.close()
            return
