"""Core. Blocks, nodes and storages as clients see them: protobuf messages of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import is_
from typing import NamedTuple

from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.blocks.datanodes import DataNode, Storage
from hdfsd.wire.messages import client_namenode, datanode, hdfs, hdfs_server

TEMPLATES_MAX = 10_000
"""Of located blocks: so many orders of storages are remembered, a kilobyte each."""
_NO_BLOCK = Block(BlockId(0), 0, GenStamp(0))


def extended_block(block: Block, pool: str) -> hdfs.ExtendedBlockProto:
    return hdfs.ExtendedBlockProto(
        poolId=pool,
        blockId=block.block_id & (1 << 64) - 1,
        generationStamp=block.gen_stamp,
        numBytes=block.num_bytes,
    )


def block_proto(block: Block) -> hdfs.BlockProto:
    return hdfs.BlockProto(
        blockId=block.block_id & (1 << 64) - 1,
        genStamp=block.gen_stamp,
        numBytes=block.num_bytes,
    )


def signed_id(block_id: int) -> int:
    """A block id as it travels (uint64) as the signed number it is."""
    return block_id - (1 << 64) if block_id >> 63 else block_id


def node_info(node: DataNode) -> hdfs.DatanodeInfoProto:
    """Made once per heartbeat; the caller must not change it."""
    if node.info is None:
        node.info = _make_info(node)
    return node.info


def _make_info(node: DataNode) -> hdfs.DatanodeInfoProto:
    storages = list(node.storages.values())
    return hdfs.DatanodeInfoProto(
        id=hdfs.DatanodeIDProto(
            ipAddr=node.ip,
            hostName=node.host,
            datanodeUuid=node.uuid,
            xferPort=node.xfer_port,
            infoPort=node.info_port,
            ipcPort=node.ipc_port,
            infoSecurePort=node.info_secure_port,
        ),
        capacity=sum(s.capacity for s in storages),
        dfsUsed=sum(s.dfs_used for s in storages),
        nonDfsUsed=sum(s.non_dfs_used for s in storages),
        remaining=sum(s.remaining for s in storages),
        blockPoolUsed=sum(s.block_pool_used for s in storages),
        lastUpdate=node.last_update_wall_ms,
        lastUpdateMonotonic=node.last_update_ms,
        xceiverCount=node.xceivers,
        location=node.location,
        cacheCapacity=node.cache_capacity,
        cacheUsed=node.cache_used,
        lastBlockReportTime=node.last_report_wall_ms,
        lastBlockReportMonotonic=node.last_report_ms,
        numBlocks=node.num_blocks,
    )


def located_block(
    block: Block, pool: str, offset: int, storages: Sequence[Storage], *, corrupt: bool = False
) -> hdfs.LocatedBlockProto:
    """With the storages in the given order, and an empty token (there is no security yet)."""
    located = hdfs.LocatedBlockProto(
        b=extended_block(block, pool),
        offset=offset,
        locs=[node_info(storage.node) for storage in storages],
        corrupt=corrupt,
        isCached=[False] * len(storages),
        storageTypes=[storage.storage_type for storage in storages],
        storageIDs=[storage.storage_id for storage in storages],
    )
    token = located.blockToken
    token.identifier = token.password = b""
    token.kind = token.service = ""
    return located


class LocatedBlocks:
    """Located blocks of one pool. What those on the same storages have in common is made once and
    copied, which takes a fraction of the time, until a heartbeat changes what is said of a node."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._templates: dict[tuple[Storage, ...], _Template] = {}

    def fill(
        self,
        into: hdfs.LocatedBlockProto,
        block: Block,
        offset: int,
        storages: Sequence[Storage],
        *,
        corrupt: bool,
    ) -> None:
        """Makes `into` what `located_block` gives."""
        into.CopyFrom(self._template(tuple(storages)))
        into.corrupt = corrupt
        into.offset = offset
        extended = into.b
        extended.blockId = block.block_id & (1 << 64) - 1
        extended.generationStamp = block.gen_stamp
        extended.numBytes = block.num_bytes

    def _template(self, storages: tuple[Storage, ...]) -> hdfs.LocatedBlockProto:
        infos = [node_info(storage.node) for storage in storages]
        known = self._templates.get(storages)
        if known is not None and all(map(is_, infos, known.infos)):
            return known.message
        if len(self._templates) >= TEMPLATES_MAX:
            self._templates.clear()
        message = located_block(_NO_BLOCK, self._pool, 0, storages)
        self._templates[storages] = _Template(infos, message)
        return message


class _Template(NamedTuple):
    infos: Sequence[hdfs.DatanodeInfoProto]
    """Of which it was made: a node whose info is another object now has changed."""
    message: hdfs.LocatedBlockProto


def storage_report(node: DataNode) -> client_namenode.DatanodeStorageReportProto:
    return client_namenode.DatanodeStorageReportProto(
        datanodeInfo=node_info(node),
        storageReports=[
            hdfs.StorageReportProto(
                storageUuid=storage.storage_id,
                failed=storage.failed,
                capacity=storage.capacity,
                dfsUsed=storage.dfs_used,
                remaining=storage.remaining,
                blockPoolUsed=storage.block_pool_used,
                nonDfsUsed=storage.non_dfs_used,
                mount=storage.mount,
                storage=hdfs.DatanodeStorageProto(
                    storageUuid=storage.storage_id,
                    storageType=storage.storage_type,
                    state=(
                        hdfs.DatanodeStorageProto.READ_ONLY_SHARED
                        if storage.read_only
                        else hdfs.DatanodeStorageProto.NORMAL
                    ),
                ),
            )
            for storage in node.storages.values()
        ],
    )


# --- commands -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlockRecovery:
    """What a primary is told about one block."""

    block: Block
    recovery_id: GenStamp
    storages: Sequence[Storage]
    truncate_to: int | None
    result_id: BlockId
    """Of the block that it ends in: another one, when a truncation copies it."""


_Command = datanode.DatanodeCommandProto


def register_command() -> datanode.DatanodeCommandProto:
    return _Command(cmdType=_Command.RegisterCommand, registerCmd=datanode.RegisterCommandProto())


def finalize_command(pool: str) -> datanode.DatanodeCommandProto:
    return _Command(
        cmdType=_Command.FinalizeCommand,
        finalizeCmd=datanode.FinalizeCommandProto(blockPoolId=pool),
    )


def transfer_command(
    work: Sequence[tuple[Block, Sequence[Storage]]], pool: str
) -> datanode.DatanodeCommandProto:
    return _Command(
        cmdType=_Command.BlockCommand,
        blkCmd=datanode.BlockCommandProto(
            action=datanode.BlockCommandProto.TRANSFER,
            blockPoolId=pool,
            blocks=[block_proto(block) for block, _ in work],
            targets=[
                hdfs.DatanodeInfosProto(datanodes=[node_info(t.node) for t in targets])
                for _, targets in work
            ],
            targetStorageUuids=[
                hdfs.StorageUuidsProto(storageUuids=[t.storage_id for t in targets])
                for _, targets in work
            ],
            targetStorageTypes=[
                hdfs.StorageTypesProto(storageTypes=[t.storage_type for t in targets])
                for _, targets in work
            ],
        ),
    )


def invalidate_command(blocks: Sequence[Block], pool: str) -> datanode.DatanodeCommandProto:
    nothing = [hdfs.DatanodeInfosProto() for _ in blocks]
    return _Command(
        cmdType=_Command.BlockCommand,
        blkCmd=datanode.BlockCommandProto(
            action=datanode.BlockCommandProto.INVALIDATE,
            blockPoolId=pool,
            blocks=[block_proto(block) for block in blocks],
            targets=nothing,
            targetStorageUuids=[hdfs.StorageUuidsProto() for _ in blocks],
            targetStorageTypes=[hdfs.StorageTypesProto() for _ in blocks],
        ),
    )


def recovery_command(work: Sequence[BlockRecovery], pool: str) -> datanode.DatanodeCommandProto:
    blocks = []
    for task in work:
        recovering = hdfs_server.RecoveringBlockProto(
            newGenStamp=task.recovery_id,
            block=located_block(task.block, pool, 0, task.storages),
        )
        if task.truncate_to is not None:
            cut = Block(task.result_id, task.truncate_to, task.recovery_id)
            recovering.truncateBlock.CopyFrom(block_proto(cut))
        blocks.append(recovering)
    return _Command(
        cmdType=_Command.BlockRecoveryCommand,
        recoveryCmd=datanode.BlockRecoveryCommandProto(blocks=blocks),
    )
