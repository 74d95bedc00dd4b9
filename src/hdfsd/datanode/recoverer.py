"""Driver. Block recovery with this DataNode as the primary: ask, decide, update, tell the NameNode.

The decision is `recovery.decide`. Source: Hadoop's BlockRecoveryWorker.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from hdfsd.base.errors import HdfsdError, IOFault, NotBuilt, RecoveryInProgress
from hdfsd.base.ids import Address, Block, GenStamp
from hdfsd.datanode import registration
from hdfsd.datanode.dataset import Dataset
from hdfsd.datanode.recovery import Decision, Vote, decide
from hdfsd.datanode.replica import ReplicaState
from hdfsd.ports.dice import Dice
from hdfsd.ports.network import Network
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import datanode, hdfs, hdfs_server, inter_datanode
from hdfsd.wire.services import INTER_DATANODE_PROTOCOL

log = logging.getLogger(__name__)
Commit = Callable[[datanode.CommitBlockSynchronizationRequestProto], Awaitable[object]]


class Recoverer:
    """Runs recoveries that a NameNode asked for."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        network: Network,
        dice: Dice,
        user: str,
        timeout_ms: int,
        use_hostname: bool,
    ) -> None:
        self._dataset = dataset
        self._network = network
        self._dice = dice
        self._user = user
        self._timeout_ms = timeout_ms
        self._use_hostname = use_hostname

    async def recover(self, command: hdfs_server.RecoveringBlockProto, commit: Commit) -> None:
        """Logs how it ended; the NameNode orders another recovery when it hears nothing."""
        block = registration.extended_block_of(command.block.b)
        try:
            if command.HasField("ecPolicy"):
                raise NotBuilt("recovery of striped blocks")
            await _Recovery(self, command, block).run(commit)
        except RecoveryInProgress as error:
            log.info("recovery of %s is under way elsewhere: %s", block, error)
        except HdfsdError as error:
            log.warning("recovery of %s failed: %s", block, error)

    async def ask(
        self, node: hdfs.DatanodeIDProto, request: inter_datanode.InitReplicaRecoveryRequestProto
    ) -> inter_datanode.InitReplicaRecoveryResponseProto:
        if node.datanodeUuid == self._dataset.datanode_uuid:
            return await init_replica_recovery(self._dataset, request)
        answer: inter_datanode.InitReplicaRecoveryResponseProto = await self._call(
            node, "initReplicaRecovery", request
        )
        return answer

    async def update(
        self,
        node: hdfs.DatanodeIDProto,
        request: inter_datanode.UpdateReplicaUnderRecoveryRequestProto,
    ) -> inter_datanode.UpdateReplicaUnderRecoveryResponseProto:
        if node.datanodeUuid == self._dataset.datanode_uuid:
            return await update_replica_under_recovery(self._dataset, request)
        answer: inter_datanode.UpdateReplicaUnderRecoveryResponseProto = await self._call(
            node, "updateReplicaUnderRecovery", request
        )
        return answer

    async def _call(
        self,
        node: hdfs.DatanodeIDProto,
        method: str,
        request: inter_datanode.InitReplicaRecoveryRequestProto
        | inter_datanode.UpdateReplicaUnderRecoveryRequestProto,
    ) -> Any:
        host = node.hostName if self._use_hostname else node.ipAddr
        client = RpcClient(
            self._network,
            Address(host, node.ipcPort),
            INTER_DATANODE_PROTOCOL,
            user=self._user,
            dice=self._dice,
        )
        try:
            return await client.call(method, request, deadline_ms=self._timeout_ms)
        finally:
            await client.close()


class _Recovery:
    """One block."""

    def __init__(
        self, recoverer: Recoverer, command: hdfs_server.RecoveringBlockProto, block: Block
    ) -> None:
        self._recoverer = recoverer
        self._command = command
        self._block = block
        self._nodes = [info.id for info in command.block.locs]
        self._recovery_id = GenStamp(command.newGenStamp)

    async def run(self, commit: Commit) -> None:
        """Raises RecoveryInProgress, and HdfsdError for whatever else ends it early."""
        votes, failed = await self._votes()
        truncate = self._command.HasField("truncateBlock")
        decision = decide(
            votes,
            asked=len(self._nodes),
            failed=failed,
            gen_stamp=self._block.gen_stamp,
            truncate_to=self._command.truncateBlock.numBytes if truncate else None,
        )
        log.info("recovery of %s: %d bytes, %s", self._block, decision.length, decision.reason)
        lengths = {vote.node: vote.num_bytes for vote in votes}
        updated = await self._update(decision, lengths)
        if decision.nodes and not updated:
            raise IOFault("no replica could be updated")
        await commit(self._outcome(decision, updated))

    async def _votes(self) -> tuple[list[Vote], int]:
        votes, failed = [], 0
        request = inter_datanode.InitReplicaRecoveryRequestProto(block=self._command)
        for place, node in enumerate(self._nodes):
            try:
                answer = await self._recoverer.ask(node, request)
            except RecoveryInProgress:
                raise
            except HdfsdError as error:
                log.warning(
                    "recovery of %s: %s:%d: %s", self._block, node.ipAddr, node.ipcPort, error
                )
                failed += 1
                continue
            if answer.replicaFound:
                stamp = GenStamp(answer.block.genStamp)
                state = ReplicaState(answer.state)
                votes.append(Vote(place, state, answer.block.numBytes, stamp))
        return votes, failed

    async def _update(self, decision: Decision, lengths: dict[int, int]) -> list[tuple[int, str]]:
        updated = []
        for place in decision.nodes:
            node = self._nodes[place]
            request = inter_datanode.UpdateReplicaUnderRecoveryRequestProto(
                recoveryId=self._recovery_id,
                newLength=decision.length,
                newBlockId=self._new_block_id(),
            )
            request.block.CopyFrom(self._command.block.b)
            request.block.numBytes = lengths[place]
            try:
                answer = await self._recoverer.update(node, request)
            except HdfsdError as error:
                log.warning("update of %s on %s failed: %s", self._block, node.ipAddr, error)
                continue
            updated.append((place, answer.storageUuid))
        return updated

    def _new_block_id(self) -> int:
        if self._command.HasField("truncateBlock"):
            return self._command.truncateBlock.blockId
        return self._command.block.b.blockId

    def _outcome(
        self, decision: Decision, updated: list[tuple[int, str]]
    ) -> datanode.CommitBlockSynchronizationRequestProto:
        return datanode.CommitBlockSynchronizationRequestProto(
            block=self._command.block.b,
            newGenStamp=self._recovery_id,
            newLength=decision.length,
            closeFile=True,
            deleteBlock=decision.delete,
            newTaragets=[self._nodes[place] for place, _ in updated],
            newTargetStorages=[storage for _, storage in updated],
        )


async def init_replica_recovery(
    dataset: Dataset, request: inter_datanode.InitReplicaRecoveryRequestProto
) -> inter_datanode.InitReplicaRecoveryResponseProto:
    """Our own vote. Raises RemoteFault."""
    block = registration.extended_block_of(request.block.block.b)
    replica = await dataset.start_recovery(block, GenStamp(request.block.newGenStamp))
    if replica is None:
        return inter_datanode.InitReplicaRecoveryResponseProto(replicaFound=False)
    original = replica.original
    assert original is not None
    return inter_datanode.InitReplicaRecoveryResponseProto(
        replicaFound=True,
        state=int(original),  # type: ignore[arg-type]
        block=registration.block_message(replica.block),
    )


async def update_replica_under_recovery(
    dataset: Dataset, request: inter_datanode.UpdateReplicaUnderRecoveryRequestProto
) -> inter_datanode.UpdateReplicaUnderRecoveryResponseProto:
    """Our own replica gets the agreed length. Raises RemoteFault."""
    replica = await dataset.update_recovered(
        registration.extended_block_of(request.block),
        GenStamp(request.recoveryId),
        request.newLength,
        registration.signed(request.newBlockId),
    )
    return inter_datanode.UpdateReplicaUnderRecoveryResponseProto(storageUuid=replica.storage_id)
