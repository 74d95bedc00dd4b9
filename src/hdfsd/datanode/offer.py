"""Driver. One nameservice: its actors, whose word counts, and the commands that are obeyed.

Invariant P5: block commands are executed only when they come from the NameNode with the newest
claim to be active at the moment of execution. Source: Hadoop's BPOfferService.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from hdfsd.base.ids import Block, NodeId, TxId
from hdfsd.datanode import registration
from hdfsd.datanode.actor import Actor
from hdfsd.datanode.authority import Authority
from hdfsd.datanode.dataset import Copier, Dataset
from hdfsd.datanode.recoverer import Recoverer
from hdfsd.datanode.reporter import BlockChange
from hdfsd.wire.messages import datanode, hdfs

log = logging.getLogger(__name__)
Command = datanode.DatanodeCommandProto


class Offer:
    """Implements `actor.Superior`, and the loop's side of `dataset.Listener`."""

    def __init__(
        self, dataset: Dataset, copier: Copier, recoverer: Recoverer, ports: registration.Ports
    ) -> None:
        self.ports = ports
        self.authority = Authority()
        self.balance_bandwidth = 0
        """Bytes per second as last set by an administrator; 0: as configured."""
        self._dataset = dataset
        self._copier = copier
        self._recoverer = recoverer
        self._actors: Mapping[NodeId, Actor] = {}
        self._id = hdfs.DatanodeIDProto(
            ipAddr=ports.ip,
            hostName=ports.host_name,
            datanodeUuid=dataset.datanode_uuid,
            xferPort=ports.data,
            infoPort=ports.http,
            ipcPort=ports.ipc,
        )

    def serve(self, actors: Sequence[Actor]) -> None:
        """These are the NameNodes; called once."""
        self._actors = {actor.node: actor for actor in actors}

    @property
    def actors(self) -> Sequence[Actor]:
        return list(self._actors.values())

    @property
    def myself(self) -> hdfs.DatanodeIDProto:
        """As the NameNodes see us."""
        return self._id

    # -- Listener, in the loop

    def changed(self, change: BlockChange) -> None:
        for actor in self._actors.values():
            actor.changed(change)

    def corrupt(self, block: Block, storage_id: str, reason: str) -> None:
        log.error("corrupt replica %s on %s: %s", block, storage_id, reason)
        for actor in self._actors.values():
            actor.corrupt(block, storage_id)

    # -- Superior

    @property
    def copies_running(self) -> int:
        return self._copier.copies_running

    @property
    def transfers_running(self) -> int:
        return self._copier.transfers_running

    def registered(self, message: datanode.DatanodeRegistrationProto) -> None:
        self._id = message.datanodeID

    def heard(self, node: NodeId, *, claims_active: bool, txid: TxId) -> None:
        self.authority, reason = self.authority.heard(node, claims_active=claims_active, txid=txid)
        if reason:
            log.info("%s", reason)

    async def execute(self, node: NodeId, command: Command) -> None:
        kind = command.cmdType
        if kind in (Command.KeyUpdateCommand, Command.NullDatanodeCommand):
            return
        if not self.authority.obeys(node):
            log.warning(
                "%s of %s is not obeyed: the active NameNode is %s",
                Command.Type.Name(kind),
                node,
                self.authority.active,
            )
            return
        if kind == Command.BlockCommand:
            await self._block_command(command.blkCmd)
        elif kind == Command.BlockRecoveryCommand:
            await self._recover(node, command.recoveryCmd)
        elif kind == Command.BalancerBandwidthCommand:
            self.balance_bandwidth = command.balancerCmd.bandwidth
        elif kind == Command.FinalizeCommand:
            log.info("nothing to finalize: no upgrade is pending")
        else:
            log.error("%s is not built in hdfsd", Command.Type.Name(kind))

    async def _block_command(self, command: datanode.BlockCommandProto) -> None:
        blocks = [registration.block_of(block) for block in command.blocks]
        if command.action == datanode.BlockCommandProto.INVALIDATE:
            await self._dataset.invalidate(blocks)
        elif command.action == datanode.BlockCommandProto.TRANSFER:
            for index, block in enumerate(blocks):
                self._copier.copy(
                    block,
                    command.targets[index].datanodes,
                    command.targetStorageTypes[index].storageTypes,
                    command.targetStorageUuids[index].storageUuids,
                )
        else:
            log.error("a NameNode may not shut this DataNode down")

    async def _recover(self, node: NodeId, command: datanode.BlockRecoveryCommandProto) -> None:
        for block in command.blocks:
            await self._recoverer.recover(block, self._actors[node].commit_recovery)
