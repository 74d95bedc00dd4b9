"""Actors and their offer before two NameNodes that do what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hdfsd.base.errors import ConnectFailed, IOFault, UnregisteredNode
from hdfsd.base.ids import Address, Block, BlockId, GenStamp, NamespaceInfo, NodeId
from hdfsd.datanode import registration
from hdfsd.datanode.actor import Actor, ActorSettings
from hdfsd.datanode.dataset import StorageUsage
from hdfsd.datanode.offer import Offer
from hdfsd.datanode.recoverer import Recoverer
from hdfsd.datanode.replica import Replica, ReplicaState
from hdfsd.datanode.reporter import BlockChange, BlockStatus
from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.rpc.client import RpcClient
from hdfsd.rpc.server import RpcServer
from hdfsd.wire.messages import datanode, hdfs, hdfs_server
from hdfsd.wire.services import DATANODE_PROTOCOL

Command = datanode.DatanodeCommandProto
PORTS = registration.Ports("10.0.0.1", "host", 9866, 9864, 9867)
BLOCK = Block(BlockId(7), 5, GenStamp(1001))


class NameNode:
    """Serves DatanodeProtocol; every call is written down in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.active = False
        self.txid = 1
        self.cluster = "CID-1"
        self.commands: list[Command] = []
        self.failures: dict[str, list[Exception]] = {}
        self.lease_id = 77
        self.changed = asyncio.Event()
        self.server = RpcServer({DATANODE_PROTOCOL: self}, clock=RealClock())
        self.address = Address("127.0.0.1", 0)

    async def start(self) -> None:
        await self.server.start(TcpNetwork(), self.address)
        self.address = self.server.address

    def _called(self, name: str, request: Any) -> None:
        self.calls.append((name, request))
        self.changed.set()
        if self.failures.get(name):
            raise self.failures[name].pop(0)

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def last(self, name: str) -> Any:
        return next(request for found, request in reversed(self.calls) if found == name)

    async def wait(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def version_request(self, request: Any, call: Any) -> Any:
        self._called("version", request)
        response = hdfs_server.VersionResponseProto()
        info = response.info
        info.buildVersion, info.unused, info.blockPoolID = "b", 0, "BP-1-x-1"
        info.softwareVersion, info.capabilities = "3.4.1", 1
        info.storageInfo.layoutVersion = -67 & 0xFFFFFFFF
        info.storageInfo.namespceID = 42
        info.storageInfo.clusterID, info.storageInfo.cTime = self.cluster, 5
        return response

    def register_datanode(self, request: Any, call: Any) -> Any:
        self._called("register", request)
        answer = datanode.RegisterDatanodeResponseProto(registration=request.registration)
        answer.registration.datanodeID.ipAddr = "127.0.0.1"
        return answer

    def send_heartbeat(self, request: Any, call: Any) -> Any:
        self._called("heartbeat", request)
        commands, self.commands = self.commands, []
        response = datanode.HeartbeatResponseProto(cmds=commands)
        states = hdfs_server.NNHAStatusHeartbeatProto
        response.haStatus.state = states.ACTIVE if self.active else states.STANDBY
        response.haStatus.txid = self.txid
        if request.requestFullBlockReportLease:
            response.fullBlockReportLeaseId = self.lease_id
        return response

    def block_report(self, request: Any, call: Any) -> Any:
        self._called("report", request)
        return datanode.BlockReportResponseProto()

    def block_received_and_deleted(self, request: Any, call: Any) -> Any:
        self._called("changes", request)
        return datanode.BlockReceivedAndDeletedResponseProto()

    def report_bad_blocks(self, request: Any, call: Any) -> Any:
        self._called("bad", request)
        return datanode.ReportBadBlocksResponseProto()

    def commit_block_synchronization(self, request: Any, call: Any) -> Any:
        self._called("commit", request)
        return datanode.CommitBlockSynchronizationResponseProto()


class Replicas:
    """A dataset of one replica that remembers what was ordered."""

    datanode_uuid = "uuid"

    def __init__(self) -> None:
        self.namespace: NamespaceInfo | None = None
        self.invalidated: list[Block] = []
        self.copied: list[tuple[Block, list[int]]] = []
        self.copies_running = 0
        self.transfers_running = 1
        self.replica = Replica(
            BLOCK.block_id, BLOCK.gen_stamp, ReplicaState.FINALIZED, 5, 5, "DS-1"
        )
        self.ordered = asyncio.Event()

    async def attach(self, namespace: NamespaceInfo) -> None:
        self.namespace = namespace

    def usage(self) -> list[StorageUsage]:
        return [StorageUsage("DS-1", "DISK", "/d", 100, 5, 90, 0)]

    def replicas(self, storage_id: str) -> list[Replica]:
        return [self.replica]

    def find(self, block_id: BlockId) -> Replica | None:
        return self.replica

    async def invalidate(self, blocks: Sequence[Block]) -> None:
        self.invalidated.extend(blocks)
        self.ordered.set()

    async def start_recovery(self, block: Block, recovery_id: GenStamp) -> Replica | None:
        return Replica(
            block.block_id,
            block.gen_stamp,
            ReplicaState.RUR,
            5,
            5,
            "DS-1",
            recovery_id=recovery_id,
            original=ReplicaState.RBW,
        )

    async def update_recovered(
        self, block: Block, recovery_id: GenStamp, new_length: int, new_block_id: BlockId
    ) -> Replica:
        assert (block.num_bytes, new_length, new_block_id) == (5, 5, block.block_id)
        return self.replica

    def copy(self, block: Block, targets: Any, storage_types: Any, storage_ids: Any) -> None:
        self.copied.append((block, [t.id.xferPort for t in targets]))
        self.ordered.set()


class Scene:
    """Two NameNodes and the DataNode's side of the talk."""

    def __init__(self) -> None:
        self.one, self.two = NameNode(), NameNode()
        self.replicas = Replicas()

    def settings(self) -> ActorSettings:
        return ActorSettings(20, 3_600_000, 0, 0, 1_000_000, call_ms=5_000)

    async def play(self, act: Callable[[Scene], Awaitable[None]]) -> None:
        await self.one.start()
        await self.two.start()
        network, dice = TcpNetwork(), RealDice()
        recoverer = Recoverer(
            self.replicas, network=network, dice=dice, user="u", timeout_ms=5000, use_hostname=False
        )
        self.offer = Offer(self.replicas, self.replicas, recoverer, PORTS)
        actors = [
            Actor(
                NodeId(name),
                RpcClient(network, node.address, DATANODE_PROTOCOL, user="u", dice=dice),
                self.replicas,
                self.offer,
                settings=self.settings(),
                clock=RealClock(),
                dice=dice,
            )
            for name, node in (("nn1", self.one), ("nn2", self.two))
        ]
        self.offer.serve(actors)
        tasks = [asyncio.ensure_future(actor.run()) for actor in actors]
        try:
            await act(self)
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.one.server.stop()
            await self.two.server.stop()

    async def wait_for_beats(self, node: NameNode, count: int = 2) -> None:
        """The answers to all heartbeats but the last have been taken in."""
        before = node.names().count("heartbeat")
        await node.wait(lambda: node.names().count("heartbeat") >= before + count)


def play(act: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        await Scene().play(act)

    asyncio.run(run())


def block_command(action: int, *ports: int) -> Command:
    command = Command(cmdType=Command.BlockCommand)
    command.blkCmd.action, command.blkCmd.blockPoolId = action, "BP-1-x-1"
    command.blkCmd.blocks.append(registration.block_message(BLOCK))
    if ports:
        infos = command.blkCmd.targets.add()
        for port in ports:
            node = hdfs.DatanodeIDProto(
                ipAddr="i", hostName="h", datanodeUuid="u", xferPort=port, infoPort=0, ipcPort=0
            )
            infos.datanodes.add(id=node)
        command.blkCmd.targetStorageTypes.add(storageTypes=[1] * len(ports))
        command.blkCmd.targetStorageUuids.add(storageUuids=[""] * len(ports))
    return command


INVALIDATE = datanode.BlockCommandProto.INVALIDATE
TRANSFER = datanode.BlockCommandProto.TRANSFER


def test_registration_then_heartbeat_then_full_report() -> None:
    async def act(scene: Scene) -> None:
        for node in (scene.one, scene.two):
            await node.wait(lambda node=node: "report" in node.names())
            assert node.names()[:4] == ["version", "register", "heartbeat", "report"]
            request = node.last("report")
            assert request.context.leaseId == 77
            assert request.reports[0].numberOfBlocks == 1
            assert request.registration.datanodeID.ipAddr == "127.0.0.1"
        assert scene.offer.myself.ipAddr == "127.0.0.1"

    play(act)


def test_changes_go_to_every_namenode_at_once() -> None:
    async def act(scene: Scene) -> None:
        for node in (scene.one, scene.two):
            await node.wait(lambda node=node: "report" in node.names())
        scene.offer.changed(BlockChange("DS-1", BlockStatus.RECEIVED, BLOCK))
        for node in (scene.one, scene.two):
            await node.wait(lambda node=node: "changes" in node.names())
            assert node.last("changes").blocks[0].blocks[0].status == BlockStatus.RECEIVED

    play(act)


def test_a_failed_report_is_sent_again() -> None:
    async def act(scene: Scene) -> None:
        await scene.one.wait(lambda: "report" in scene.one.names())
        scene.one.failures["changes"] = [IOFault("not now")]
        scene.offer.changed(BlockChange("DS-1", BlockStatus.DELETED, BLOCK))
        await scene.one.wait(lambda: scene.one.names().count("changes") == 2)
        assert scene.one.last("changes").blocks[0].blocks[0].status == BlockStatus.DELETED

    play(act)


def test_corrupt_replicas_are_told() -> None:
    async def act(scene: Scene) -> None:
        await scene.one.wait(lambda: "report" in scene.one.names())
        scene.offer.corrupt(BLOCK, "DS-1", "too short")
        await scene.one.wait(lambda: "bad" in scene.one.names())
        assert scene.one.last("bad").blocks[0].b.blockId == BLOCK.block_id

    play(act)


def test_commands_are_obeyed_from_the_newest_active_only() -> None:
    async def act(scene: Scene) -> None:
        scene.one.active, scene.one.txid = True, 10
        await scene.wait_for_beats(scene.one, 3)
        scene.two.commands.append(block_command(INVALIDATE))
        await scene.wait_for_beats(scene.two, 3)
        assert scene.replicas.invalidated == []
        scene.two.active, scene.two.txid = True, 11
        await scene.wait_for_beats(scene.two, 3)
        scene.one.commands.append(block_command(INVALIDATE))
        await scene.wait_for_beats(scene.one, 3)
        assert scene.replicas.invalidated == []
        scene.two.commands.append(block_command(INVALIDATE))
        await scene.replicas.ordered.wait()
        assert scene.replicas.invalidated == [BLOCK]

    play(act)


def test_copies() -> None:
    async def act(scene: Scene) -> None:
        scene.one.active = True
        scene.one.commands.append(block_command(TRANSFER, 1, 2))
        await scene.replicas.ordered.wait()
        assert scene.replicas.copied == [(BLOCK, [1, 2])]

    play(act)


def test_a_namenode_that_forgot_us_gets_everything_again() -> None:
    async def act(scene: Scene) -> None:
        await scene.one.wait(lambda: "report" in scene.one.names())
        scene.one.commands.append(Command(cmdType=Command.RegisterCommand))
        await scene.one.wait(lambda: scene.one.names().count("report") == 2)
        assert scene.one.names().count("register") == 2
        scene.one.failures["heartbeat"] = [UnregisteredNode("who are you")]
        await scene.one.wait(lambda: scene.one.names().count("report") == 3)

    play(act)


def test_a_namenode_that_restarts_is_found_again() -> None:
    async def act(scene: Scene) -> None:
        await scene.one.wait(lambda: "report" in scene.one.names())
        await scene.one.server.stop()
        again = NameNode()
        again.address = scene.one.address
        again.commands.append(Command(cmdType=Command.RegisterCommand))
        await again.start()
        scene.one = again
        await again.wait(lambda: "report" in again.names())
        assert "register" in again.names()

    play(act)


def test_an_error_at_registration_is_not_the_end() -> None:
    async def act(scene: Scene) -> None:
        await scene.one.wait(lambda: "report" in scene.one.names())
        assert scene.one.names().count("register") == 3

    async def run() -> None:
        scene = Scene()
        scene.one.failures["register"] = [IOFault("starting"), IOFault("starting")]
        await scene.play(act)

    asyncio.run(run())


def test_without_a_lease_there_is_no_full_report_yet() -> None:
    async def act(scene: Scene) -> None:
        await scene.wait_for_beats(scene.one, 3)
        assert "report" not in scene.one.names()
        scene.one.lease_id = 5
        await scene.one.wait(lambda: "report" in scene.one.names())

    async def run() -> None:
        scene = Scene()
        scene.one.lease_id = 0
        await scene.play(act)

    asyncio.run(run())


def test_an_administrator_may_ask_for_a_report() -> None:
    async def act(scene: Scene) -> None:
        await scene.one.wait(lambda: "report" in scene.one.names())
        scene.offer.actors[0].report_now(incremental=False)
        await scene.one.wait(lambda: scene.one.names().count("report") == 2)

    play(act)


def test_block_recovery_with_us_as_the_primary() -> None:
    async def act(scene: Scene) -> None:
        scene.one.active = True
        command = Command(cmdType=Command.BlockRecoveryCommand)
        block = command.recoveryCmd.blocks.add(newGenStamp=1009)
        located = block.block
        located.b.CopyFrom(registration.extended_block_message(BLOCK, "BP-1-x-1"))
        located.offset, located.corrupt = 0, False
        located.blockToken.identifier = located.blockToken.password = b""
        located.blockToken.kind = located.blockToken.service = ""
        for uuid, port in (("uuid", 1), ("gone", 1)):
            node = hdfs.DatanodeIDProto(
                ipAddr="127.0.0.1",
                hostName="h",
                datanodeUuid=uuid,
                xferPort=1,
                infoPort=0,
                ipcPort=port,
            )
            located.locs.add(id=node)
        scene.one.commands.append(command)
        await scene.one.wait(lambda: "commit" in scene.one.names())
        request = scene.one.last("commit")
        assert (request.newGenStamp, request.newLength) == (1009, 5)
        assert (request.closeFile, request.deleteBlock) == (True, False)
        assert [t.datanodeUuid for t in request.newTaragets] == ["uuid"]
        assert list(request.newTargetStorages) == ["DS-1"]

    play(act)


def test_what_is_not_built_is_no_harm() -> None:
    async def act(scene: Scene) -> None:
        scene.one.active = True
        for kind in (
            Command.FinalizeCommand,
            Command.KeyUpdateCommand,
            Command.BlockIdCommand,
            Command.BlockECReconstructionCommand,
            Command.UnusedUpgradeCommand,
        ):
            scene.one.commands.append(Command(cmdType=kind))
        scene.one.commands.append(block_command(datanode.BlockCommandProto.SHUTDOWN))
        bandwidth = Command(cmdType=Command.BalancerBandwidthCommand)
        bandwidth.balancerCmd.bandwidth = 9
        scene.one.commands.append(bandwidth)
        scene.one.commands.append(block_command(INVALIDATE))
        await scene.replicas.ordered.wait()
        assert scene.offer.balance_bandwidth == 9

    play(act)


def test_unreachable_namenodes_are_tried_for_ever() -> None:
    class Unreachable:
        """A network without anybody on it."""

        def __init__(self) -> None:
            self.attempts = 0
            self.enough = asyncio.Event()

        async def connect(self, address: Address, factory: Any, *, deadline_ms: int) -> Any:
            self.attempts += 1
            if self.attempts == 4:
                self.enough.set()
            raise ConnectFailed(f"{address}: refused")

        async def listen(self, address: Address, factory: Any) -> Any:
            raise AssertionError("nobody listens here")

    async def run() -> None:
        network, replicas = Unreachable(), Replicas()
        client = RpcClient(network, Address("x", 1), DATANODE_PROTOCOL, user="u", dice=RealDice())
        recoverer = Recoverer(
            replicas,
            network=network,
            dice=RealDice(),
            user="u",
            timeout_ms=100,
            use_hostname=False,
        )
        actor = Actor(
            NodeId("nn1"),
            client,
            replicas,
            Offer(replicas, replicas, recoverer, PORTS),
            settings=Scene.settings(Scene()),
            clock=RealClock(),
            dice=RealDice(),
        )
        task = asyncio.ensure_future(actor.run())
        async with asyncio.timeout(20):
            await network.enough.wait()
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
