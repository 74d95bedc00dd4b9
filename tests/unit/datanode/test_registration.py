from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.errors import StorageError
from hdfsd.base.ids import Block, BlockId, GenStamp, NamespaceInfo, StorageInfo
from hdfsd.datanode import registration
from hdfsd.datanode.dataset import StorageUsage
from hdfsd.datanode.replica import Replica, ReplicaState
from hdfsd.datanode.reporter import BlockChange, BlockStatus
from hdfsd.wire.messages import datanode, hdfs_server

NAMESPACE = NamespaceInfo(StorageInfo(-67, 42, 1_700_000_000_000, "CID-1"), "BP-1-127.0.0.1-1")
PORTS = registration.Ports("127.0.0.1", "host", 9866, 9864, 9867)
REGISTERED = registration.registration(PORTS, "uuid", NAMESPACE)
BLOCK = Block(BlockId(1073741825), 5, GenStamp(1001))


def usage(storage_id: str = "DS-1", kind: str = "SSD") -> StorageUsage:
    return StorageUsage(storage_id, kind, "/data", 100, 10, 80, 5)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_block_ids_are_signed(number: int) -> None:
    block = Block(BlockId(number), 9, GenStamp(3))
    assert registration.block_of(registration.block_message(block)) == block
    message = registration.extended_block_message(block, "BP-1")
    assert registration.extended_block_of(message) == block
    assert message.poolId == "BP-1"


def test_namespace_of_a_namenode() -> None:
    message = hdfs_server.NamespaceInfoProto(
        buildVersion="b", unused=0, blockPoolID=NAMESPACE.block_pool_id, softwareVersion="3.4.1"
    )
    message.storageInfo.layoutVersion = -67 & 0xFFFFFFFF
    message.storageInfo.namespceID = 42
    message.storageInfo.cTime = 1_700_000_000_000
    message.storageInfo.clusterID = "CID-1"
    message.capabilities = 1
    assert registration.namespace_of(message) == NAMESPACE
    message.capabilities = 0
    with pytest.raises(StorageError, match="takes no block report buffers"):
        registration.namespace_of(message)


def test_registration_is_complete() -> None:
    assert REGISTERED.IsInitialized()
    assert REGISTERED.storageInfo.layoutVersion == 0xFFFFFFC7
    assert (REGISTERED.datanodeID.xferPort, REGISTERED.datanodeID.ipcPort) == (9866, 9867)


def test_heartbeat() -> None:
    request = registration.heartbeat(
        REGISTERED, [usage(), usage("DS-2", "DISK")], copies=2, transfers=3, wants_lease=True
    )
    assert request.IsInitialized()
    assert request.requestFullBlockReportLease
    assert [r.storage.storageUuid for r in request.reports] == ["DS-1", "DS-2"]
    assert (request.reports[0].capacity, request.reports[0].remaining) == (100, 80)
    assert (request.xmitsInProgress, request.xceiverCount, request.failedVolumes) == (2, 3, 0)


def test_incremental_report_is_grouped_by_storage() -> None:
    changes = [
        BlockChange("DS-1", BlockStatus.RECEIVED, BLOCK, "other"),
        BlockChange("DS-2", BlockStatus.DELETED, BLOCK),
        BlockChange("DS-1", BlockStatus.RECEIVING, BLOCK),
    ]
    types = {"DS-1": "SSD", "DS-2": "DISK"}
    request = registration.incremental_report(REGISTERED, "BP-1", changes, types)
    assert request.IsInitialized()
    rows = [
        (p.storage.storageUuid, [(b.status, b.deleteHint) for b in p.blocks])
        for p in request.blocks
    ]
    assert rows == [("DS-1", [(2, "other"), (1, "")]), ("DS-2", [(3, "")])]


def test_full_report_has_corrupt_replicas_too() -> None:
    replicas = [
        Replica(BlockId(1), GenStamp(2), ReplicaState.FINALIZED, 3, 3, "DS-1"),
        Replica(BlockId(4), GenStamp(5), ReplicaState.RWR, 6, 6, "DS-1", corrupt="short"),
    ]
    report = registration.storage_report(usage(), replicas)
    assert report.numberOfBlocks == 2
    assert report.blocksBuffers == [bytes([2, 3, 2, 0, 8, 6, 5, 2])]
    empty = registration.storage_report(usage(), [])
    assert (empty.numberOfBlocks, list(empty.blocksBuffers)) == (0, [b""])
    assert datanode.BlockReportRequestProto(
        registration=REGISTERED, blockPoolId="BP-1", reports=[report, empty]
    ).IsInitialized()


def test_bad_block_names_this_node_and_storage() -> None:
    request = registration.bad_block(REGISTERED, "BP-1", BLOCK, usage())
    assert request.IsInitialized()
    (located,) = request.blocks
    assert located.locs[0].id.datanodeUuid == "uuid"
    assert list(located.storageIDs) == ["DS-1"]
