"""Driver. Clients that change names through the client's own proxy, and know what they were told.

Each client has a directory of its own, where nobody else changes anything: what it was told decides
what it must be told next. An operation ends known (done, or refused), or not known: then its names
are in doubt until a read shows that it was done, which no later read may take back. A known state
makes the check of P4 sharp: a call that is executed twice, or whose answer is forgotten in a
failover, gets a wrong answer.
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
    SafeModeFault,
    StandbyError,
)
from hdfsd.base.ids import Address
from hdfsd.base.proxy_providers import ProxyProvider, Search
from hdfsd.client.proxy import NameNodeProxy
from hdfsd.namenode.committer import SURE_MS
from hdfsd.namespace.tree import Namespace
from hdfsd.rpc.client import RpcClient
from hdfsd.rpc.retry import Backoff
from hdfsd.sim.cluster import RPC_PORT, USER, Cluster
from hdfsd.sim.dice import SimDice
from hdfsd.sim.network import Host
from hdfsd.sim.world import Process
from hdfsd.wire.messages import Message, acl, hdfs
from hdfsd.wire.messages import client_namenode as pb
from hdfsd.wire.services import CLIENT_PROTOCOL

TIMEOUT_MS = 2_000
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
    observed: int = 0
    """Reads that an observer answered."""


@dataclass(slots=True)
class Names:
    """What one client knows of its directory."""

    there: dict[str, bool] = field(default_factory=dict)
    """Path to whether it is a directory."""
    gone: dict[str, None] = field(default_factory=dict)
    doubtful: dict[str, bool] = field(default_factory=dict)
    """Path to whether it is there once what is not known was done."""

    def doubt(self, path: str, *, there: bool) -> None:
        self.there.pop(path, None)
        self.gone.pop(path, None)
        if path:
            self.doubtful[path] = there

    def seen(self, path: str, *, there: bool, is_dir: bool) -> None:
        """A doubtful path as a read shows it: what was done stays done."""
        if self.doubtful[path] is not there:
            return
        del self.doubtful[path]
        if there:
            self.there[path] = is_dir
        else:
            self.gone[path] = None


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
        self._observers: list[RpcClient] = []
        self._dice: SimDice

    def stop(self) -> None:
        """After the operation at work."""
        self._stopping = True

    async def run(self, process: Process) -> None:
        self._dice = process.dice.fork("operations")
        self._proxy = proxy_of(self._cluster, process)
        self._observers = [
            RpcClient(
                process.network,
                Address(name, RPC_PORT),
                CLIENT_PROTOCOL,
                user=USER,
                dice=process.dice,
            )
            for name in self._cluster.layout.observers
        ]
        while not self._stopping:
            await self.step()
            await asyncio.sleep(self._pause_ms * 2 * self._dice.fraction() / 1000)
        await self._proxy.close()
        for observer in self._observers:
            await observer.close()

    async def step(self) -> None:
        """One operation, drawn by its weight among those that are possible."""
        choices: list[Callable[[], object]] = [self._mkdirs, self._create, self._create]
        if self.names.there:
            choices += [self._delete, self._rename, self._rename, self._look]
        if self.names.gone:
            choices += [self._look_for_gone]
        if self.names.doubtful:
            choices += [self._look_at_doubtful]
        if self._observers and self.names.there and self._proxy.state_id is not None:
            choices += [self._look_at_observer]
        await self._dice.pick(choices)()  # type: ignore[misc]

    # --- operations ---

    async def _mkdirs(self) -> None:
        path = self._new_path()
        request = pb.MkdirsRequestProto(src=path, masked=MODE, createParent=True)
        answer = await self._call("mkdirs", request, makes=path)
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
        answer = await self._call("create", request, makes=path)
        if answer is None:
            return
        self.names.there[path] = False
        await self._call("complete", pb.CompleteRequestProto(src=path, clientName=self._name))

    async def _delete(self) -> None:
        path = self._known_path()
        request = pb.DeleteRequestProto(src=path, recursive=True)
        answer = await self._call("delete", request, removes=path)
        if answer is None:
            return
        if not answer.result:
            self._surprised("P4", f"delete of {path}, which is there, answers false")
            self.names.doubt(path, there=False)
            return
        del self.names.there[path]
        self.names.gone[path] = None

    async def _rename(self) -> None:
        source, target = self._known_path(), self._new_path()
        if self._dice.chance(0.5):
            request = pb.Rename2RequestProto(src=source, dst=target, overwriteDest=False)
            answer = await self._call("rename2", request, makes=target, removes=source)
        else:
            old = pb.RenameRequestProto(src=source, dst=target)
            answer = await self._call("rename", old, makes=target, removes=source)
            if answer is not None and not answer.result:
                self._surprised("P4", f"rename of {source} to {target} answers false")
                self.names.doubt(source, there=False)
                self.names.doubt(target, there=True)
                return
        if answer is None:
            return
        self.names.there[target] = self.names.there.pop(source)
        self.names.gone[source] = None

    async def _look(self) -> None:
        path = self._known_path()
        answer = await self._read(path)
        if answer is not None and not answer.HasField("fs"):
            self._surprised("P1", f"{path} was acknowledged and is not there")

    async def _look_for_gone(self) -> None:
        path = self._dice.pick(list(self.names.gone))
        answer = await self._read(path)
        if answer is not None and answer.HasField("fs"):
            self._surprised("P1", f"{path} is there though its removal was acknowledged")

    async def _look_at_doubtful(self) -> None:
        path = self._dice.pick(list(self.names.doubtful))
        answer = await self._read(path)
        if answer is not None:
            is_dir = answer.fs.fileType == hdfs.HdfsFileStatusProto.IS_DIR
            self.names.seen(path, there=answer.HasField("fs"), is_dir=is_dir)

    async def _look_at_observer(self) -> None:
        """What this client knows of must be seen there (F5): it says which transaction that is."""
        path = self._known_path()
        observer = self._dice.pick(self._observers)
        observer.state_id = self._proxy.state_id
        request = pb.GetFileInfoRequestProto(src=path)
        try:
            answer = await observer.call("getFileInfo", request, deadline_ms=TIMEOUT_MS)
        except HdfsdError:
            # It is no observer now, or behind, or can't be reached.
            self._counts.unknown += 1
            return
        self._counts.observed += 1
        if not answer.HasField("fs"):
            told = f"{path}, of {observer.state_id} or before, is not on {observer.address.host}"
            self._cluster.judge.accuse("F5", told)

    # --- knowing ---

    async def _read(self, path: str) -> Any:
        answer = await self._call("getFileInfo", pb.GetFileInfoRequestProto(src=path))
        if answer is not None:
            self._check_currency()
        return answer

    def _check_currency(self) -> None:
        """P2: a NameNode that was replaced trusts in its epoch for SURE_MS at most."""
        judge = self._cluster.judge
        if judge.leader is None or judge.leader == self._teller.ip:
            return
        replaced_s = self._began_s - judge.led_since_s[judge.leader]
        if replaced_s * 1000 > SURE_MS:
            what = f"{self._teller.name} answers a read {replaced_s:.3f} s after it was replaced"
            judge.accuse("P2", what)

    async def _call(
        self, method: str, request: Message, *, makes: str = "", removes: str = ""
    ) -> Any:
        """The answer; None when nobody knows whether it was done, or it was refused."""
        self._began_s = self._cluster.world.loop.time()
        try:
            answer = await self._proxy.call(method, request)
        except (LinkError, PeerError, StandbyError, RetriableError, SafeModeFault):
            self._counts.unknown += 1
        except RemoteFault as fault:
            self._surprised("P4", f"{method} of {removes or makes} is refused: {fault}")
        else:
            self._counts.known += 1
            return answer
        self.names.doubt(makes, there=True)
        self.names.doubt(removes, there=False)
        return None

    @property
    def _teller(self) -> Host:
        """Who has answered."""
        host = self._cluster.world.fabric.resolve(self._proxy.address.host)
        assert host is not None
        return host

    def _surprised(self, promise: str, what: str) -> None:
        """What we were told can't be, unless it comes from one who leads no more."""
        teller = self._teller
        forgotten = promise == "P4" and self._cluster.forgets(teller.name, self._began_s)
        if self._cluster.judge.leader == teller.ip and not forgotten:
            self._cluster.judge.accuse(promise, f"{self._name} hears of {teller.name}: {what}")
        self._counts.stale += 1

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


def proxy_of(
    cluster: Cluster,
    process: Process,
    *,
    backoff: Backoff = BACKOFF,
    timeout_ms: int = TIMEOUT_MS,
    search: Search = Search.IN_TURN,
) -> NameNodeProxy:
    """What a client of the cluster calls its NameNodes by."""
    return NameNodeProxy(
        cluster.addresses(),
        network=process.network,
        dice=process.dice,
        user=USER,
        backoff=backoff,
        timeout_ms=timeout_ms,
        provider=ProxyProvider(search),
    )


async def first_write(cluster: Cluster, process: Process, path: str) -> None:
    """Returns when a new directory was made; tries for ever."""
    proxy = proxy_of(cluster, process)
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
