"""Driver. An HA cluster in a simulated world: the servers that ship, on simulated ports.

Three JournalNodes, two or three NameNodes, a failover controller beside each, perhaps an
observer, and a lock service. What is ours here is what an operator's machine brings: who is
started again when it ends, what a fencing command does, and how an image is written without a
second process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hdfsd.base.config import Configuration
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, Address, NamespaceInfo, StorageInfo, TxId
from hdfsd.base.settings import FailoverSettings, JournalNodeSettings, NameNodeSettings
from hdfsd.failover import server as failover_server
from hdfsd.image.load import load
from hdfsd.image.save import save
from hdfsd.image.sections import ImageHeader
from hdfsd.journal.node import JournalNode
from hdfsd.journal.server import JournalNodeServer
from hdfsd.journal.service import JournalService
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.server import NameNodeServer
from hdfsd.namenode.shared_journal import open_journal
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage
from hdfsd.namenode.views import new_namespace
from hdfsd.namespace.tree import Namespace
from hdfsd.ports.disk import Disk
from hdfsd.ports.http import Handler
from hdfsd.ports.shell import ShellResult
from hdfsd.ports.snapshot import WrittenFile
from hdfsd.sim.checkers import Judge, WitnessedService
from hdfsd.sim.clock import EPOCH_MS
from hdfsd.sim.coordination import LockService, SimCoordination
from hdfsd.sim.world import Machine, Process, World
from hdfsd.web.edits_transfer import EditsTransfer
from hdfsd.web.namenode_http import NameNodeHttp

USER = "hdfs"
NAMESERVICE = "ns1"
JOURNALNODES = ("jn1", "jn2", "jn3")
RPC_PORT, HTTP_PORT, JOURNAL_PORT, CONTROLLER_PORT = 8020, 9870, 8485, 8019
PREALLOCATION_BYTES = 4096
"""Of a JournalNode's segment: a MiB each takes longer to copy than all the rest of a seed."""
JOURNAL_DIR = f"/journal/{NAMESERVICE}/current"
INFO = NamespaceInfo(
    StorageInfo(NAMENODE_LAYOUT_VERSION, 7, EPOCH_MS, "CID-simulated"), "BP-1-10.0.0.1-1"
)

Main = Callable[[Process], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which NameNodes there are."""

    voters: tuple[str, ...] = ("nn1", "nn2")
    """Those with a controller."""
    observers: tuple[str, ...] = ()

    @property
    def namenodes(self) -> tuple[str, ...]:
        return (*self.voters, *self.observers)


PAIR = Layout()


def base_options(layout: Layout) -> dict[str, str]:
    """What every node of the cluster reads; seeds add their own limits."""
    journals = ";".join(f"{name}:{JOURNAL_PORT}" for name in JOURNALNODES)
    options = {
        "dfs.nameservices": NAMESERVICE,
        f"dfs.ha.namenodes.{NAMESERVICE}": ",".join(layout.namenodes),
        "dfs.namenode.shared.edits.dir": f"qjournal://{journals}/{NAMESERVICE}",
        "dfs.namenode.name.dir": "/name",
        "dfs.journalnode.edits.dir": "/journal",
        "dfs.ha.automatic-failover.enabled": "true",
        "dfs.ha.fencing.methods": "shell(true)",
        "dfs.namenode.safemode.extension": "0",
        "dfs.namenode.state.context.enabled": "true" if layout.observers else "false",
    }
    for name in layout.namenodes:
        options[f"dfs.namenode.rpc-address.{NAMESERVICE}.{name}"] = f"{name}:{RPC_PORT}"
        options[f"dfs.namenode.http-address.{NAMESERVICE}.{name}"] = f"{name}:{HTTP_PORT}"
    return options


class Node:
    """A process that is started again whenever it ends, unless somebody holds it down."""

    def __init__(self, machine: Machine, role: str, main: Main) -> None:
        self.machine = machine
        self.role = role
        self.main = main
        self.process: Process | None = None
        self.may_run = asyncio.Event()
        self.may_run.set()

    @property
    def name(self) -> str:
        return f"{self.machine.name}/{self.role}"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running


class Cluster:
    """Machines and nodes. `restart_ms`: how long a node that ended stays down."""

    def __init__(
        self,
        world: World,
        options: Mapping[str, str],
        *,
        session_ms: int,
        restart_ms: int,
        layout: Layout = PAIR,
    ) -> None:
        self.world = world
        self.layout = layout
        self.judge = Judge(world.loop, len(JOURNALNODES) // 2 + 1)
        self.judge.name_of = world.name_of
        self.locks = LockService(world, "zk", session_ms=session_ms)
        self.options = {**base_options(layout), **options}
        self.namenodes: dict[str, NameNodeServer] = {}
        """The newest life of each, whether it is still running or not."""
        self.first_image = b""
        self._loaded: dict[str, tuple[float, int]] = {}
        """NameNode to when it loaded its image, and the image's txid."""
        self.on_image: Callable[[str], None] | None = None
        """Told of every image that a NameNode has written."""
        self._restart_ms = restart_ms
        self.machines = {n: world.add_machine(n) for n in (*JOURNALNODES, *layout.namenodes)}
        self.nodes: dict[str, Node] = {}
        for name in JOURNALNODES:
            self._add(name, "journalnode", self._journalnode)
            self.judge.platters[name] = self.machines[name].platter
        for name in layout.namenodes:
            self._add(name, "namenode", self._namenode)
        for name in layout.voters:
            self._add(name, "zkfc", self._controller)
        self.judge.current_dir = JOURNAL_DIR
        self._settings = {name: self._namenode_settings(name) for name in layout.namenodes}

    def _add(self, machine: str, role: str, main: Main) -> None:
        node = Node(self.machines[machine], role, main)
        self.nodes[node.name] = node

    def _namenode_settings(self, name: str) -> NameNodeSettings:
        conf = Configuration.parse([], self.options)
        return NameNodeSettings.from_configuration(conf, lambda host: host == name)

    # --- the mains of processes: the wiring of the daemons, on our ports ---

    async def _journalnode(self, process: Process) -> None:
        name = process.machine.name
        own = {
            "dfs.journalnode.rpc-address": f"{name}:{JOURNAL_PORT}",
            "dfs.journalnode.http-address": f"{name}:8480",
        }
        conf = Configuration.parse([], {**self.options, **own})

        def make_service(node: JournalNode) -> JournalService:
            return WitnessedService(node, name, self.judge)

        server = JournalNodeServer(
            JournalNodeSettings.from_configuration(conf),
            process,
            make_handler=lambda node: EditsTransfer(node, process.clock).handle,
            is_local_host=lambda host: host == name,
            make_service=make_service,
        )
        server.node.preallocation_bytes = PREALLOCATION_BYTES
        try:
            await server.startup()
            await server.run()
        finally:
            await server.shutdown()

    async def _namenode(self, process: Process) -> None:
        name = process.machine.name
        settings = self._settings[name]

        def make_handler(
            state: NameNodeState, storage: NameStorage, lifecycle: Lifecycle
        ) -> Handler:
            self._loaded[name] = (self.world.loop.time(), state.applied_txid)
            return NameNodeHttp(
                settings=settings,
                state=state,
                storage=storage,
                lifecycle=lifecycle,
                disk=process.disk,
                clock=process.clock,
            ).handle

        server = self.namenodes[name] = NameNodeServer(
            settings,
            process,
            user=USER,
            groups=NoGroups(),
            snapshots=InlineSnapshots(process.disk, lambda: self._written(name)),
            make_handler=make_handler,
        )
        try:
            await server.startup()
            await server.run()
        finally:
            await server.shutdown()

    def _written(self, name: str) -> None:
        if self.on_image is not None:
            self.on_image(name)

    async def _controller(self, process: Process) -> None:
        name = process.machine.name
        conf = Configuration.parse([], self.options)
        await failover_server.serve(
            FailoverSettings.from_configuration(conf, lambda host: host == name),
            process,
            coordination=SimCoordination(self.locks, process),
            shell=FencingShell(self),
            user=USER,
            hostname=name,
        )

    # --- life ---

    async def format(self) -> None:
        """Journals, lock and name directories as `-format`, `-formatZK` and `-bootstrapStandby`
        leave them. The JournalNodes must be running."""
        namespace = self.new_namespace()
        self.first_image = b"".join(
            save(namespace, ImageHeader(INFO.storage.namespace_id, TxId(0)))
        )
        for name in self.layout.namenodes:
            process = self.machines[name].start("format", self._format)
            await process.ended
            if isinstance(process.outcome, BaseException):
                raise process.outcome
        self.locks.formatted = True

    async def _format(self, process: Process) -> None:
        settings = self._settings[process.machine.name]
        if process.machine.name == self.layout.voters[0]:
            journal = open_journal(settings, INFO, process, USER)
            await journal.format(INFO)
            await journal.close()
        storage = NameStorage(
            disk=process.disk, image_dirs=settings.name_dirs, edits_dirs=settings.edits_dirs
        )
        storage.lock()
        await storage.format(INFO, "")

        async def body() -> AsyncIterator[bytes]:
            yield self.first_image

        await storage.receive_image(TxId(0), body(), size=len(self.first_image), md5_hex=None)

    def supervise(self, *roles: str) -> list[asyncio.Task[None]]:
        """Starts every node of these roles, and starts it again whenever it ends."""
        loop = self.world.loop
        nodes = [node for node in self.nodes.values() if node.role in roles]
        return [loop.create_task(self._supervise(node)) for node in nodes]

    async def _supervise(self, node: Node) -> None:
        while True:
            await node.may_run.wait()
            node.process = node.machine.start(node.role, node.main)
            await node.process.ended
            self.judge.ended(node.name, node.process.outcome)
            await asyncio.sleep(self._restart_ms / 1000)

    def nodes_of(self, machine: str) -> list[Node]:
        return [node for node in self.nodes.values() if node.machine.name == machine]

    def power_off(self, machine: str) -> None:
        for node in self.nodes_of(machine):
            node.may_run.clear()
        self.machines[machine].power_off()

    def power_on(self, machine: str) -> None:
        self.machines[machine].power_on()
        for node in self.nodes_of(machine):
            node.may_run.set()

    # --- what is seen from outside ---

    def state_of(self, name: str) -> NameNodeState | None:
        """What a running NameNode knows; None while it is down or not loaded yet."""
        if not self.nodes[f"{name}/namenode"].running or name not in self.namenodes:
            return None
        return self.namenodes[name].state

    def forgets(self, name: str, since_s: float) -> bool:
        """Whether a NameNode may not know answers given after this time: it has been started anew
        from an image since, and answers are in the journal only (as Hadoop's retry cache)."""
        loaded_s, image_txid = self._loaded.get(name, (0.0, 0))
        return loaded_s > since_s and image_txid > 0

    def actives(self) -> list[str]:
        """NameNodes that take themselves for active."""
        found = []
        for name in self.layout.namenodes:
            state = self.state_of(name)
            if state is not None and state.ha_state is HAState.ACTIVE:
                found.append(name)
        return found

    def new_namespace(self) -> Namespace:
        return new_namespace(self._settings[self.layout.voters[0]], USER, EPOCH_MS)

    def formatted_namespace(self) -> Namespace:
        """A namespace with the first image in it, for a reader of the journal."""
        namespace = self.new_namespace()
        load(self.first_image, namespace, "the first image")
        return namespace

    def loaded_txid(self, name: str) -> int:
        """What the image held with which the newest life of a NameNode began."""
        return self._loaded.get(name, (0.0, 0))[1]

    def addresses(self) -> Sequence[Address]:
        """Of those that may be active."""
        return [Address(name, RPC_PORT) for name in self.layout.voters]


class NoGroups:
    """ports.groups: the superuser needs none."""

    async def of(self, user: str) -> tuple[str, ...]:
        return ()


class InlineSnapshots:
    """ports.snapshot: what is written is collected at once, so memory need not be frozen."""

    def __init__(self, disk: Disk, on_written: Callable[[], None]) -> None:
        self._disk = disk
        self._on_written = on_written

    async def write(
        self, paths: Sequence[str], chunks: Callable[[], Iterator[bytes]]
    ) -> WrittenFile:
        data = b"".join(chunks())
        for path in paths:
            await self._disk.remove(path)
            file = self._disk.create(path)
            file.write_at(0, data)
            await file.sync()
            file.close()
        self._on_written()
        return WrittenFile(len(data), hashlib.md5(data, usedforsecurity=False).hexdigest())


class FencingShell:
    """ports.shell: `kill` cuts the power of the NameNode's process, `true` only says so."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def run(
        self, command: str, *, environment: Mapping[str, str], deadline_ms: int
    ) -> ShellResult:
        await asyncio.sleep(self._cluster.world.fabric.latency_s())
        if command.endswith("kill"):
            node = self._cluster.nodes[f"{environment['target_namenodeid']}/namenode"]
            if node.process is not None:
                node.process.kill()
        return ShellResult(0, "")
