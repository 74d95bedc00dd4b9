"""Driver. One NameNode as its DataNode sees it: registration, heartbeats, reports, commands.

Each actor goes on for ever, whatever its NameNode does. Reports leave one at a time, so that a
change that came after the snapshot of a full report also arrives after it. Commands are executed in
order, apart from the heartbeats. Source: data-transfer.md section 10; Hadoop's BPServiceActor.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hdfsd.base.errors import HdfsdError, UnregisteredNode
from hdfsd.base.ids import Address, Block, NodeId, TxId
from hdfsd.base.settings import DataNodeSettings
from hdfsd.datanode import registration
from hdfsd.datanode.dataset import Dataset, StorageUsage
from hdfsd.datanode.reporter import BlockChange, Pending, Schedule
from hdfsd.ports.clock import Clock
from hdfsd.ports.dice import Dice
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import Message, datanode, hdfs_server

log = logging.getLogger(__name__)
RETRY_MS_MIN = 100
RETRY_MS_MAX = 500
CHANGES_MAX = 1_000_000
"""Kept for a NameNode that does not answer; beyond it a full report is cheaper."""
COMMANDS_MAX = 10_000
"""Waiting to be executed; beyond it new ones are dropped, the NameNode repeats what matters."""


@dataclass(frozen=True, slots=True)
class ActorSettings:
    heartbeat_ms: int
    full_report_ms: int
    first_report_delay_ms: int
    incremental_ms: int
    """How long changes may gather before they are reported; 0: at once."""
    split_threshold: int
    """Replicas above which each storage has a report of its own."""
    call_ms: int = 60_000

    @classmethod
    def of(cls, settings: DataNodeSettings) -> ActorSettings:
        return cls(
            heartbeat_ms=settings.heartbeat_interval_ms,
            full_report_ms=settings.block_report_interval_ms,
            first_report_delay_ms=settings.block_report_delay_ms,
            incremental_ms=settings.incremental_report_interval_ms,
            split_threshold=settings.block_report_split_threshold,
        )


class Superior(Protocol):
    """What the actors of one nameservice have in common."""

    ports: registration.Ports

    @property
    def copies_running(self) -> int: ...

    @property
    def transfers_running(self) -> int: ...

    def registered(self, message: datanode.DatanodeRegistrationProto) -> None:
        """A NameNode has taken our registration, completed as it sees us."""
        ...

    def heard(self, node: NodeId, *, claims_active: bool, txid: TxId) -> None:
        """What a NameNode says of itself."""
        ...

    async def execute(self, node: NodeId, command: datanode.DatanodeCommandProto) -> None:
        """Whatever but registration; from the right NameNode only (invariant P5)."""
        ...


class Actor:
    """Talks with one NameNode. `run` is the whole of it; the rest may be called meanwhile."""

    def __init__(
        self,
        node: NodeId,
        client: RpcClient,
        dataset: Dataset,
        superior: Superior,
        *,
        settings: ActorSettings,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self.node = node
        self._client = client
        self._dataset = dataset
        self._superior = superior
        self._settings = settings
        self._clock = clock
        self._dice = dice
        self._pending = Pending()
        self._schedule = Schedule(settings.heartbeat_ms, settings.full_report_ms)
        self._registration: datanode.DatanodeRegistrationProto | None = None
        self._commands: asyncio.Queue[datanode.DatanodeCommandProto] = asyncio.Queue(COMMANDS_MAX)
        self._wake = asyncio.Event()
        self._oldest_change_ms = 0
        self._lease_id = 0
        self._reports_sent = 0
        self._bad: dict[tuple[str, Block], None] = {}

    @property
    def address(self) -> Address:
        return self._client.address

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._serve())
                group.create_task(self._obey())
        finally:
            await self._client.close()

    # -- called from elsewhere in the loop

    def changed(self, change: BlockChange) -> None:
        """To be reported."""
        if not self._pending.changes:
            self._oldest_change_ms = self._clock.now_ms()
        if len(self._pending.changes) >= CHANGES_MAX:
            self._pending.take()
            self._schedule.full_report_wanted(self._clock.now_ms())
        self._pending.add(change)
        self._wake.set()

    def corrupt(self, block: Block, storage_id: str) -> None:
        """To be reported as corrupt."""
        self._bad[(storage_id, block)] = None
        self._wake.set()

    def report_now(self, *, incremental: bool) -> None:
        """An administrator asks for a report (triggerBlockReport)."""
        self._oldest_change_ms = self._clock.now_ms() - self._settings.incremental_ms
        if not incremental:
            self._schedule.full_report_wanted(self._clock.now_ms())
        self._wake.set()

    # -- the conversation

    async def _serve(self) -> None:
        delay_ms, said = RETRY_MS_MIN, ""
        while True:
            try:
                if self._registration is None:
                    await self._register()
                delay_ms, said = RETRY_MS_MIN, ""
                await self._converse()
            except UnregisteredNode as error:
                log.info("%s knows us no more: %s", self.node, error)
                self._registration = None
            except HdfsdError as error:
                if str(error) != said:
                    log.warning("%s at %s: %s", self.node, self.address, error)
                said = str(error)
            # Chance keeps the DataNodes of a cluster from returning to a NameNode in step.
            await asyncio.sleep((delay_ms + self._dice.below(delay_ms)) / 2000)
            delay_ms = min(2 * delay_ms, RETRY_MS_MAX)

    async def _register(self) -> None:
        reply = await self._call("versionRequest", hdfs_server.VersionRequestProto())
        namespace = registration.namespace_of(reply.info)
        await self._dataset.attach(namespace)
        mine = registration.registration(
            self._superior.ports, self._dataset.datanode_uuid, namespace
        )
        answer = await self._call(
            "registerDatanode", datanode.RegisterDatanodeRequestProto(registration=mine)
        )
        self._registration = answer.registration
        self._lease_id = 0
        self._superior.registered(answer.registration)
        self._schedule.registered(self._clock.now_ms(), self._settings.first_report_delay_ms)
        log.info("registered with %s at %s", self.node, self.address)

    async def _converse(self) -> None:
        while self._registration is not None:
            now_ms = self._clock.now_ms()
            if now_ms >= self._schedule.next_heartbeat:
                await self._heartbeat(self._registration)
            elif self._bad:
                await self._report_bad(self._registration)
            elif self._changes_due(now_ms):
                await self._report_changes(self._registration)
            elif self._lease_id:
                await self._report_all(self._registration)
            else:
                await self._pause(now_ms)

    async def _pause(self, now_ms: int) -> None:
        until = self._schedule.next_heartbeat
        if self._pending.changes:
            until = min(until, self._oldest_change_ms + self._settings.incremental_ms)
        self._wake.clear()
        try:
            async with asyncio.timeout(max(0, until - now_ms) / 1000):
                await self._wake.wait()
        except TimeoutError:
            return

    def _changes_due(self, now_ms: int) -> bool:
        waited_ms = now_ms - self._oldest_change_ms
        return bool(self._pending.changes) and waited_ms >= self._settings.incremental_ms

    async def _heartbeat(self, registered: datanode.DatanodeRegistrationProto) -> None:
        now_ms = self._clock.now_ms()
        request = registration.heartbeat(
            registered,
            self._dataset.usage(),
            copies=self._superior.copies_running,
            transfers=self._superior.transfers_running,
            wants_lease=self._schedule.full_report_due(now_ms),
        )
        answer = await self._call("sendHeartbeat", request)
        self._schedule.heartbeat_sent(now_ms)
        status = answer.haStatus
        active = status.state == hdfs_server.NNHAStatusHeartbeatProto.ACTIVE
        self._superior.heard(self.node, claims_active=active, txid=TxId(status.txid))
        if answer.fullBlockReportLeaseId:
            self._lease_id = answer.fullBlockReportLeaseId
        self._take_commands(answer.cmds)

    def _take_commands(self, commands: Sequence[datanode.DatanodeCommandProto]) -> None:
        for command in commands:
            if command.cmdType == datanode.DatanodeCommandProto.RegisterCommand:
                log.info("%s wants us to register again", self.node)
                self._registration = None
            elif self._commands.full():
                log.warning("too many commands of %s are waiting, one is dropped", self.node)
            else:
                self._commands.put_nowait(command)

    async def _obey(self) -> None:
        while True:
            command = await self._commands.get()
            await self._superior.execute(self.node, command)

    # -- reports

    async def _report_changes(self, registered: datanode.DatanodeRegistrationProto) -> None:
        changes = self._pending.take()
        storages = self._storages()
        request = registration.incremental_report(
            registered,
            self._pool_id(),
            changes,
            {one.storage_id: one.storage_type for one in storages},
        )
        try:
            await self._call("blockReceivedAndDeleted", request)
        except HdfsdError:
            self._pending.put_back(changes)
            raise

    async def _report_bad(self, registered: datanode.DatanodeRegistrationProto) -> None:
        storages = {one.storage_id: one for one in self._storages()}
        for storage_id, block in list(self._bad):
            request = registration.bad_block(
                registered, self._pool_id(), block, storages[storage_id]
            )
            await self._call("reportBadBlocks", request)
            self._bad.pop((storage_id, block), None)

    async def _report_all(self, registered: datanode.DatanodeRegistrationProto) -> None:
        if self._pending.changes:
            await self._report_changes(registered)
        lease_id, self._lease_id = self._lease_id, 0
        reports = [
            registration.storage_report(one, self._dataset.replicas(one.storage_id))
            for one in self._storages()
        ]
        total = sum(report.numberOfBlocks for report in reports)
        whole = total < self._settings.split_threshold
        calls = [reports] if whole else [[report] for report in reports]
        self._reports_sent += 1
        # Said before it is sent: whoever wants another one meanwhile shall get it.
        self._schedule.full_report_sent(self._clock.now_ms())
        try:
            await self._send_reports(registered, calls, lease_id)
        except HdfsdError:
            self._schedule.full_report_wanted(self._clock.now_ms())
            raise
        log.info("full report to %s: %d replicas", self.node, total)

    async def _send_reports(
        self,
        registered: datanode.DatanodeRegistrationProto,
        calls: Sequence[Sequence[datanode.StorageBlockReportProto]],
        lease_id: int,
    ) -> None:
        report_id = self._report_id()
        for index, part in enumerate(calls):
            context = datanode.BlockReportContextProto(
                totalRpcs=len(calls), curRpc=index, id=report_id, leaseId=lease_id
            )
            request = datanode.BlockReportRequestProto(
                registration=registered, blockPoolId=self._pool_id(), reports=part, context=context
            )
            answer = await self._call("blockReport", request)
            if answer.HasField("cmd"):
                self._take_commands([answer.cmd])

    def _report_id(self) -> int:
        # Unlike that of every other report that the NameNode has seen of us.
        return (self._clock.wall_ms() << 20 | self._reports_sent & 0xFFFFF) & (1 << 62) - 1

    def _storages(self) -> list[StorageUsage]:
        return self._dataset.usage()

    def _pool_id(self) -> str:
        namespace = self._dataset.namespace
        assert namespace is not None, "registered before the volumes were attached"
        return namespace.block_pool_id

    async def commit_recovery(
        self, request: datanode.CommitBlockSynchronizationRequestProto
    ) -> None:
        """The outcome of a block recovery. Raises RemoteFault, LinkError."""
        await self._call("commitBlockSynchronization", request)

    async def _call(self, method: str, request: Message) -> Any:
        return await self._client.call(method, request, deadline_ms=self._settings.call_ms)
