"""Adapter. Copies a replica of ours to other DataNodes, as one pipeline of them.

By order of a NameNode (replication), or of a client whose pipeline lost a node (operation 86).
Source: data-transfer.md section 4; Hadoop's DataNode.DataTransfer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hdfsd.base.errors import IOFault
from hdfsd.base.ids import Block
from hdfsd.datanode.peers import Peers
from hdfsd.datanode.registration import extended_block_message
from hdfsd.datanode.replica import Replica, ReplicaState
from hdfsd.datanode.sender import COPY_PACKET_BYTES, Range, Sender
from hdfsd.datanode.store import Snapshot, Store
from hdfsd.datanode.stream import Stream
from hdfsd.wire.messages import data_transfer, hdfs
from hdfsd.wire.packets import Op, Stage, Status, operation


@dataclass(frozen=True, slots=True)
class BlockCopy:
    """A replica of ours and the DataNodes that shall have it, as one pipeline."""

    block: Block
    targets: Sequence[hdfs.DatanodeInfoProto]
    storage_types: Sequence[int]
    storage_ids: Sequence[str]

    def run(self, store: Store, peers: Peers, *, stage: Stage, client: str) -> None:
        """Sends it. Raises RemoteFault, LinkError, CorruptData, OSError."""
        snapshot = store.open_for_read(self.block)
        try:
            replica = self._check(store, snapshot, stage)
            span = Range.of(snapshot, 0, replica.visible)
            sender = Sender(snapshot, span, with_checksums=True, packet_bytes=COPY_PACKET_BYTES)
            stream = peers.connect(self.targets[0], len(self.targets))
            try:
                stream.send(
                    operation(Op.WRITE_BLOCK, self._request(store, peers, sender, stage, client))
                )
                sender.send(stream)
                if client:
                    self._await_close(stream)
            finally:
                stream.close()
        finally:
            snapshot.files.close()

    def _check(self, store: Store, snapshot: Snapshot, stage: Stage) -> Replica:
        replica = snapshot.replica
        if stage is not Stage.TRANSFER_RBW:
            if replica.state is not ReplicaState.FINALIZED:
                raise IOFault(f"Can't send unfinalized {replica.describe()}")
            if replica.on_disk < self.block.num_bytes:
                reason = f"{replica.on_disk} bytes, the NameNode has {self.block.num_bytes}"
                store.mark_corrupt(replica, reason)
                raise IOFault(f"Can't replicate {replica.describe()}: {reason}")
        return replica

    def _request(
        self, store: Store, peers: Peers, sender: Sender, stage: Stage, client: str
    ) -> data_transfer.OpWriteBlockProto:
        request = data_transfer.OpWriteBlockProto(
            stage=int(stage),  # type: ignore[arg-type]
            pipelineSize=0,
            minBytesRcvd=0,
            maxBytesRcvd=0,
            latestGenerationStamp=0,
            targets=self.targets[1:],
            targetStorageTypes=self.storage_types[1:],  # type: ignore[arg-type]
            targetStorageIds=self.storage_ids[1:],
        )
        header = request.header.baseHeader
        namespace = store.namespace
        pool_id = namespace.block_pool_id if namespace else ""
        header.block.CopyFrom(extended_block_message(self.block, pool_id))
        header.token.identifier = header.token.password = b""
        header.token.kind = header.token.service = ""
        request.header.clientName = client
        request.source.id.CopyFrom(peers.myself())
        request.requestedChecksum.CopyFrom(sender.info().checksum)
        if self.storage_types:
            request.storageType = self.storage_types[0]  # type: ignore[assignment]
        if self.storage_ids:
            request.storageId = self.storage_ids[0]
        return request

    def _await_close(self, stream: Stream) -> None:
        status = stream.message(data_transfer.DNTransferAckProto).status
        if status != Status.SUCCESS:
            raise IOFault(f"{stream.peer} did not take {self.block}: status {status}")
