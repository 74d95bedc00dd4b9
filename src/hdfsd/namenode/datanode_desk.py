"""Driver. What the services for DataNodes need of the NameNode; the end of a block recovery."""

from __future__ import annotations

from hdfsd.base.errors import IOFault
from hdfsd.base.ids import Block, GenStamp, NamespaceInfo
from hdfsd.blocks.manager import BlockManager
from hdfsd.namenode.desk import Desk, block_of
from hdfsd.namenode.peer_service import HEARTBEAT_STATES
from hdfsd.namenode.turns import Busy
from hdfsd.namespace import mutate
from hdfsd.ports.clock import Clock
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import datanode, hdfs_server


class DatanodeDesk:
    """Implements namenode.datanode_service.DatanodeServiceState."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def namespace_info(self) -> NamespaceInfo:
        return self._desk.state.info

    @property
    def ha_state(self) -> hdfs_server.NNHAStatusHeartbeatProto.State:
        return HEARTBEAT_STATES[self._desk.state.ha_state]

    @property
    def busy(self) -> Busy:
        return self._desk.state

    @property
    def blocks(self) -> BlockManager:
        return self._desk.state.blocks

    @property
    def clock(self) -> Clock:
        return self._desk.clock

    def last_txid(self) -> int:
        return self._desk.state.applied_txid

    def commit_block_synchronization(
        self, request: datanode.CommitBlockSynchronizationRequestProto, call: Call
    ) -> datanode.CommitBlockSynchronizationResponseProto:
        """The primary DataNode says what the replicas agreed on (FSNamesystem, same name)."""
        desk, blocks = self._desk, self._desk.state.blocks
        namespace = desk.state.namespace
        answer = datanode.CommitBlockSynchronizationResponseProto()
        desk.refuse_in_safe_mode("Cannot commitBlockSynchronization while in safe mode")
        reported = block_of(request.block)
        stored = blocks.stored(reported.block_id)
        if stored is None:
            if request.deleteBlock:
                return answer
            raise IOFault(f"Block (={reported}) not found")
        inode_id = blocks.inode_of(reported.block_id)
        if inode_id is None or not namespace.has(inode_id) or not namespace.writer_of(inode_id):
            # A second primary of the same recovery comes too late: the file is closed, or deleted,
            # and only snapshots have the block.
            return answer
        found = namespace.blocks_of(inode_id)
        if found and blocks.copy_being_made(reported.block_id, found[-1].block_id):
            # The DataNode names the block that it copied from.
            stored = found[-1]
        recovery_id = blocks.recovery_id(stored.block_id)
        if recovery_id != request.newGenStamp:
            raise IOFault(
                f"The recovery id {request.newGenStamp} does not match current recovery id "
                f"{recovery_id} for block {reported}"
            )
        agreed = Block(stored.block_id, request.newLength, GenStamp(request.newGenStamp))
        ops = mutate.commit_block_synchronization(
            namespace,
            desk.clock.wall_ms(),
            inode_id,
            stored,
            agreed,
            close_file=request.closeFile,
            delete_block=request.deleteBlock,
        )
        desk.commit(ops)
        if not request.deleteBlock:
            targets = blocks.storages(
                [node.datanodeUuid for node in request.newTaragets],
                list(request.newTargetStorages),
            )
            blocks.finish_recovery(agreed, targets)
        return answer
