"""Core. Messages between a DataNode and its NameNodes: who we are, and what our replicas are.

Source: data-transfer.md section 10; messages.tsv.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hdfsd.base.errors import StorageError
from hdfsd.base.ids import (
    DATANODE_LAYOUT_VERSION,
    Block,
    BlockId,
    GenStamp,
    NamespaceInfo,
    StorageInfo,
)
from hdfsd.datanode.dataset import StorageUsage
from hdfsd.datanode.replica import Replica
from hdfsd.datanode.reporter import BlockChange, encode_report
from hdfsd.wire.messages import datanode, hdfs, hdfs_server

SOFTWARE_VERSION = "3.4.1"
"""What a NameNode compares with dfs.namenode.min.supported.datanode.version."""
CAPABILITY_REPORT_BUFFERS = 1


@dataclass(frozen=True, slots=True)
class Ports:
    """Where this DataNode can be reached, as it tells its NameNodes."""

    ip: str
    host_name: str
    data: int
    http: int
    ipc: int


def block_of(message: hdfs.BlockProto) -> Block:
    return Block(signed(message.blockId), message.numBytes, GenStamp(message.genStamp))


def extended_block_of(message: hdfs.ExtendedBlockProto) -> Block:
    return Block(signed(message.blockId), message.numBytes, GenStamp(message.generationStamp))


def signed(block_id: int) -> BlockId:
    """Block ids are signed, the messages' fields are not; striped groups are negative."""
    return BlockId(block_id - (1 << 64) if block_id >> 63 else block_id)


def unsigned(block_id: BlockId) -> int:
    return block_id & 0xFFFFFFFFFFFFFFFF


def block_message(block: Block) -> hdfs.BlockProto:
    return hdfs.BlockProto(
        blockId=unsigned(block.block_id), genStamp=block.gen_stamp, numBytes=block.num_bytes
    )


def extended_block_message(block: Block, pool_id: str) -> hdfs.ExtendedBlockProto:
    return hdfs.ExtendedBlockProto(
        poolId=pool_id,
        blockId=unsigned(block.block_id),
        generationStamp=block.gen_stamp,
        numBytes=block.num_bytes,
    )


def namespace_of(message: hdfs_server.NamespaceInfoProto) -> NamespaceInfo:
    """From versionRequest. Raises StorageError when the NameNode reads no report buffers."""
    if not message.capabilities & CAPABILITY_REPORT_BUFFERS:
        raise StorageError(
            f"the NameNode ({message.softwareVersion}) takes no block report buffers: it is older "
            "than Hadoop 2.7"
        )
    storage = message.storageInfo
    layout = storage.layoutVersion
    return NamespaceInfo(
        StorageInfo(
            layout - (1 << 32) if layout >> 31 else layout,
            storage.namespceID,
            storage.cTime,
            storage.clusterID,
        ),
        message.blockPoolID,
    )


def registration(
    ports: Ports, uuid: str, namespace: NamespaceInfo
) -> datanode.DatanodeRegistrationProto:
    message = datanode.DatanodeRegistrationProto(softwareVersion=SOFTWARE_VERSION)
    node = message.datanodeID
    node.ipAddr, node.hostName, node.datanodeUuid = ports.ip, ports.host_name, uuid
    node.xferPort, node.infoPort, node.ipcPort = ports.data, ports.http, ports.ipc
    storage = message.storageInfo
    storage.layoutVersion = DATANODE_LAYOUT_VERSION & 0xFFFFFFFF
    storage.namespceID = namespace.storage.namespace_id
    storage.clusterID = namespace.storage.cluster_id
    storage.cTime = namespace.storage.ctime_ms
    message.keys.isBlockTokenEnabled = False
    message.keys.keyUpdateInterval = message.keys.tokenLifeTime = 0
    message.keys.currentKey.keyId = message.keys.currentKey.expiryDate = 0
    return message


def storage_message(storage_id: str, storage_type: str) -> hdfs.DatanodeStorageProto:
    return hdfs.DatanodeStorageProto(storageUuid=storage_id, storageType=storage_type)


def heartbeat(
    registered: datanode.DatanodeRegistrationProto,
    usage: Iterable[StorageUsage],
    *,
    copies: int,
    transfers: int,
    wants_lease: bool,
) -> datanode.HeartbeatRequestProto:
    request = datanode.HeartbeatRequestProto(
        registration=registered,
        xmitsInProgress=copies,
        xceiverCount=transfers,
        requestFullBlockReportLease=wants_lease,
    )
    for one in usage:
        request.failedVolumes += one.failed
        request.reports.add(
            storageUuid=one.storage_id,
            failed=one.failed,
            capacity=one.capacity,
            dfsUsed=one.used,
            remaining=one.remaining,
            blockPoolUsed=one.used,
            nonDfsUsed=one.non_dfs_used,
            storage=storage_message(one.storage_id, one.storage_type),
        )
    return request


def incremental_report(
    registered: datanode.DatanodeRegistrationProto,
    pool_id: str,
    changes: Sequence[BlockChange],
    types: dict[str, str],
) -> datanode.BlockReceivedAndDeletedRequestProto:
    """`types`: storage type by storage id."""
    request = datanode.BlockReceivedAndDeletedRequestProto(
        registration=registered, blockPoolId=pool_id
    )
    parts: dict[str, datanode.StorageReceivedDeletedBlocksProto] = {}
    for change in changes:
        part = parts.get(change.storage_id)
        if part is None:
            storage = storage_message(change.storage_id, types[change.storage_id])
            part = request.blocks.add(storageUuid=change.storage_id, storage=storage)
            parts[change.storage_id] = part
        line = part.blocks.add(
            block=block_message(change.block),
            status=int(change.status),
        )
        if change.delete_hint:
            line.deleteHint = change.delete_hint
    return request


def storage_report(
    storage: StorageUsage, replicas: Iterable[Replica]
) -> datanode.StorageBlockReportProto:
    """Everything on one storage. Corrupt replicas are in it, as they lie: hiding them would make
    the NameNode believe that they are gone."""
    count, buffers = encode_report((r.block_id, r.on_disk, r.gen_stamp, r.state) for r in replicas)
    return datanode.StorageBlockReportProto(
        storage=storage_message(storage.storage_id, storage.storage_type),
        numberOfBlocks=count,
        blocksBuffers=buffers,
    )


def bad_block(
    registered: datanode.DatanodeRegistrationProto,
    pool_id: str,
    block: Block,
    storage: StorageUsage,
) -> datanode.ReportBadBlocksRequestProto:
    request = datanode.ReportBadBlocksRequestProto()
    located = request.blocks.add(
        b=extended_block_message(block, pool_id),
        offset=0,
        corrupt=False,
        storageIDs=[storage.storage_id],
    )
    located.locs.add(id=registered.datanodeID)
    kind = hdfs.StorageTypeProto.Value(storage.storage_type)
    located.storageTypes.append(kind)  # type: ignore[arg-type]
    located.blockToken.identifier = located.blockToken.password = b""
    located.blockToken.kind = located.blockToken.service = ""
    return request
