from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace

import pytest

from hdfsd.base.errors import IOFault, UnregisteredNode
from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId, NamespaceInfo, StorageInfo
from hdfsd.blocks.manager import BlockManager
from hdfsd.blocks.reconcile import STEP_REPLICAS
from hdfsd.blocks.settings import BlockSettings
from hdfsd.namenode.datanode_service import DatanodeLifelineService, DatanodeService
from hdfsd.rpc.coverage import missing_of
from hdfsd.rpc.server import handlers_of
from hdfsd.wire.messages import datanode, hdfs, hdfs_server
from hdfsd.wire.services import DATANODE_LIFELINE_PROTOCOL, DATANODE_PROTOCOL, PROTOCOLS

INFO = NamespaceInfo(StorageInfo(-67, 77, 3, "CID-1"), "BP-1")
CALL = SimpleNamespace(caller=SimpleNamespace(user="hdfs", address="10.1.1.1"))
Status = hdfs_server.NNHAStatusHeartbeatProto
FIRST = 1073741825


class FixedDice(random.Random):
    def below(self, limit):
        return self.randrange(limit)

    def pick(self, items):
        return self.choice(items)


class State:
    """What the service asks of a NameNode, with everything to be set by hand."""

    def __init__(self):
        self.namespace_info = INFO
        self.ha_state = Status.STANDBY
        self.busy = SimpleNamespace(in_transition=False, is_serving=False, long_works=0)
        self.blocks = BlockManager(BlockSettings(), FixedDice(1), INFO)
        self.blocks.loaded(0)
        self.clock = SimpleNamespace(now_ms=lambda: 1_000, wall_ms=lambda: 1_700_000_000_000)
        self.txid = 42
        self.synchronized = []

    def last_txid(self):
        return self.txid

    def commit_block_synchronization(self, request, call):
        self.synchronized.append((request, call))
        return "whatever the NameNode answers"


@pytest.fixture
def state():
    return State()


@pytest.fixture
def service(state):
    return DatanodeService(state)


def registration(cluster="CID-1"):
    return datanode.DatanodeRegistrationProto(
        datanodeID=hdfs.DatanodeIDProto(
            ipAddr="0.0.0.0",
            hostName="dn",
            datanodeUuid="uuid",
            xferPort=1,
            infoPort=2,
            ipcPort=3,
        ),
        storageInfo=hdfs_server.StorageInfoProto(
            layoutVersion=1, namespceID=77, clusterID=cluster, cTime=3
        ),
        keys=hdfs_server.ExportedBlockKeysProto(
            isBlockTokenEnabled=False,
            keyUpdateInterval=0,
            tokenLifeTime=0,
            currentKey=hdfs_server.BlockKeyProto(keyId=0, expiryDate=0),
        ),
        softwareVersion="3.4.1",
    )


def register(service):
    request = datanode.RegisterDatanodeRequestProto(registration=registration())
    return service.register_datanode(request, CALL).registration


def heartbeat(reg, **fields):
    return datanode.HeartbeatRequestProto(
        registration=reg,
        reports=[hdfs.StorageReportProto(storageUuid="s0", remaining=9)],
        **fields,
    )


def test_every_method_of_both_protocols_has_a_handler(state, service):
    for name, handlers in (
        (DATANODE_PROTOCOL, service),
        (DATANODE_LIFELINE_PROTOCOL, DatanodeLifelineService(state)),
    ):
        protocol = PROTOCOLS[name]
        assert set(handlers_of(name, handlers)) == set(protocol.methods)


def test_the_version_request_says_whose_namespace_it_is(state, service):
    state.ha_state = Status.ACTIVE
    info = service.version_request(hdfs_server.VersionRequestProto(), CALL).info
    assert info.IsInitialized()
    assert (info.blockPoolID, info.storageInfo.clusterID) == ("BP-1", "CID-1")
    assert (info.storageInfo.namespceID, info.storageInfo.cTime) == (77, 3)
    assert info.storageInfo.layoutVersion == (1 << 32) - 67
    assert (info.capabilities, info.softwareVersion, info.state) == (1, "3.4.1", Status.ACTIVE)


def test_a_registration_comes_back_with_the_callers_address(state, service):
    reg = register(service)
    assert reg.datanodeID.ipAddr == "10.1.1.1"
    assert state.blocks.node("uuid").registered


@pytest.mark.parametrize("ha_state", [Status.ACTIVE, Status.STANDBY, Status.OBSERVER])
def test_a_heartbeat_tells_the_state_and_its_txid(state, service, ha_state):
    reg = register(service)
    state.ha_state = ha_state
    reply = service.send_heartbeat(heartbeat(reg, requestFullBlockReportLease=True), CALL)
    assert (reply.haStatus.state, reply.haStatus.txid) == (ha_state, 42)
    assert reply.fullBlockReportLeaseId != 0
    assert list(reply.cmds) == []
    assert not reply.HasField("rollingUpgradeStatusV2")


def test_a_namenode_without_a_transaction_says_zero(state, service):
    state.txid = -1
    reply = service.send_heartbeat(heartbeat(register(service)), CALL)
    assert reply.haStatus.txid == 0


def test_an_unknown_node_is_told_to_register(service):
    reply = service.send_heartbeat(heartbeat(registration()), CALL)
    assert [command.cmdType for command in reply.cmds] == [
        datanode.DatanodeCommandProto.RegisterCommand
    ]


def test_another_cluster_is_refused(service):
    with pytest.raises(UnregisteredNode):
        service.send_heartbeat(heartbeat(registration("CID-other")), CALL)


def long_report(state, service):
    """Of three steps."""
    reg = register(service)
    service.send_heartbeat(heartbeat(reg), CALL)
    longs = [3 * STEP_REPLICAS, 0]
    for number in range(3 * STEP_REPLICAS):
        what = Block(BlockId(FIRST + number), 10, GenStamp(1001))
        state.blocks.add_block(InodeId(16386 + number), what, 1, False)
        longs += [what.block_id, 10, 1001]
    longs += [(1 << 64) - 1] * 3
    return datanode.BlockReportRequestProto(
        registration=reg,
        blockPoolId="BP-1",
        reports=[
            datanode.StorageBlockReportProto(
                storage=hdfs.DatanodeStorageProto(storageUuid="s0"), blocks=longs
            )
        ],
    )


def test_the_loop_runs_between_the_steps_of_a_full_report(state, service):
    request = long_report(state, service)

    async def scene():
        seen = []
        report = asyncio.ensure_future(service.block_report(request, CALL))
        while not report.done():
            await asyncio.sleep(0)
            seen.append(state.blocks.blocks.safe_count)
        return seen, report.result()

    seen, reply = asyncio.run(scene())
    assert seen[:3] == [STEP_REPLICAS, 2 * STEP_REPLICAS, 3 * STEP_REPLICAS]
    assert not reply.HasField("cmd")


def test_a_full_report_waits_while_a_transition_is_under_way(state, service):
    request = long_report(state, service)

    async def scene():
        state.busy.in_transition = True
        report = asyncio.ensure_future(service.block_report(request, CALL))
        await asyncio.sleep(0.05)
        assert state.blocks.blocks.safe_count == STEP_REPLICAS
        state.busy.in_transition = False
        await report

    asyncio.run(scene())
    assert state.blocks.blocks.safe_count == 3 * STEP_REPLICAS


def test_a_report_of_an_unknown_node_is_answered_with_register(service):
    request = datanode.BlockReportRequestProto(registration=registration(), blockPoolId="BP-1")
    reply = asyncio.run(service.block_report(request, CALL))
    assert reply.cmd.cmdType == datanode.DatanodeCommandProto.RegisterCommand


def test_incremental_reports_reach_the_map(state, service):
    reg = register(service)
    state.blocks.add_block(InodeId(16386), Block(BlockId(FIRST), 10, GenStamp(1001)), 1, False)
    request = datanode.BlockReceivedAndDeletedRequestProto(
        registration=reg,
        blockPoolId="BP-1",
        blocks=[
            datanode.StorageReceivedDeletedBlocksProto(
                storageUuid="s0",
                blocks=[
                    datanode.ReceivedDeletedBlockInfoProto(
                        block=hdfs.BlockProto(blockId=FIRST, genStamp=1001, numBytes=10),
                        status=datanode.ReceivedDeletedBlockInfoProto.RECEIVED,
                    )
                ],
            )
        ],
    )
    service.block_received_and_deleted(request, CALL)
    assert state.blocks.blocks.safe_count == 1
    bad = state.blocks.located_block(BlockId(FIRST), 0)
    service.report_bad_blocks(datanode.ReportBadBlocksRequestProto(blocks=[bad]), CALL)
    assert state.blocks.blocks.safe_count == 0
    request.registration.datanodeID.datanodeUuid = "nobody"
    with pytest.raises(IOFault):
        service.block_received_and_deleted(request, CALL)


def test_a_fatal_error_ends_a_node(state, service):
    reg = register(service)
    for code, alive in ((0, True), (1, True), (3, False)):
        request = datanode.ErrorReportRequestProto(registartion=reg, errorCode=code, msg="disk")
        service.error_report(request, CALL)
        assert state.blocks.node("uuid").alive == alive


def test_cache_reports_are_accepted_and_ignored(service):
    request = datanode.CacheReportRequestProto(
        registration=registration(), blockPoolId="BP-1", blocks=[1]
    )
    assert service.cache_report(request, CALL) == datanode.CacheReportResponseProto()
    assert missing_of(service.cache_report)


def test_the_end_of_a_block_recovery_is_the_namenodes_own(state, service):
    request = datanode.CommitBlockSynchronizationRequestProto()
    answer = service.commit_block_synchronization(request, CALL)
    assert answer == "whatever the NameNode answers"
    assert state.synchronized == [(request, CALL)]


def test_a_lifeline_updates_the_figures_only(state, service):
    reg = register(service)
    DatanodeLifelineService(state).send_lifeline(heartbeat(reg), CALL)
    assert state.blocks.node("uuid").storages["s0"].remaining == 9
