"""Adapter. Operation 80, a block being written: the pipeline's set-up, its packets, its end.

Source: data-transfer.md section 4; Hadoop's DataXceiver.writeBlock and BlockReceiver.
"""

from __future__ import annotations

import logging

from hdfsd.base.errors import ConnectFailed, IOFault, LinkError, PeerError
from hdfsd.base.ids import GenStamp
from hdfsd.datanode.peers import REFUSALS, Peers, checksum_of, op_reply, reason_of
from hdfsd.datanode.receiver import Receiver
from hdfsd.datanode.registration import extended_block_of
from hdfsd.datanode.store import OpenReplica, Store, Writer
from hdfsd.datanode.stream import Stream
from hdfsd.wire.messages import data_transfer, hdfs
from hdfsd.wire.packets import Op, Stage, Status, delimited, operation

log = logging.getLogger(__name__)
_TRANSFERS = (Stage.TRANSFER_RBW, Stage.TRANSFER_FINALIZED)


class BlockWrite:
    """One WRITE_BLOCK: set the pipeline up, pass the packets on, see to the replica's end."""

    def __init__(
        self, store: Store, peers: Peers, stream: Stream, request: data_transfer.OpWriteBlockProto
    ) -> None:
        self._peers = peers
        self._store = store
        self._stream = stream
        self._request = request
        self._stage = Stage(request.stage)
        self._transfer = self._stage in _TRANSFERS
        self._client = bool(request.header.clientName)
        self._answers = self._client and not self._transfer
        self._sent = checksum_of(request.requestedChecksum)
        self.block = extended_block_of(request.header.baseHeader.block)
        self._new_stamp = GenStamp(request.latestGenerationStamp or self.block.gen_stamp)
        self._mirror: Stream | None = None

    def run(self) -> None:
        """Raises LinkError, BadChecksum, PeerError, RemoteFault, OSError; the peer was told."""
        try:
            if self._stage is Stage.PIPELINE_CLOSE_RECOVERY:
                self._close_recovered()
                return
            opened = self._open()
        except REFUSALS as error:
            self._refuse(error)
            raise
        discard = False
        try:
            if self._set_up():
                self._receive(opened)
        except OSError:
            discard = True
            raise
        finally:
            self._store.leave(opened, discard=discard)
            self._close_mirror()

    def _interrupt(self) -> None:
        self._stream.interrupt()
        if self._mirror is not None:
            self._mirror.interrupt()

    def _open(self) -> OpenReplica:
        request, store, block = self._request, self._store, self.block
        writer = Writer(self._interrupt)
        kind = hdfs.StorageTypeProto.Name(request.storageType)
        stage, bytes_min = self._stage, request.minBytesRcvd
        if self._transfer or not self._client:
            return store.create_temporary(
                block,
                self._sent,
                writer,
                storage_type=kind,
                storage_id=request.storageId,
                transfer=self._transfer,
            )
        if stage is Stage.PIPELINE_SETUP_CREATE:
            return store.create_rbw(
                block, self._sent, writer, storage_type=kind, storage_id=request.storageId
            )
        if stage is Stage.PIPELINE_SETUP_APPEND:
            return store.append(block, self._new_stamp, bytes_min, writer)
        if stage is Stage.PIPELINE_SETUP_APPEND_RECOVERY:
            return store.recover_append(block, self._new_stamp, bytes_min, writer)
        if stage is Stage.PIPELINE_SETUP_STREAMING_RECOVERY:
            return store.recover_rbw(
                block,
                self._new_stamp,
                writer,
                bytes_min=bytes_min,
                bytes_max=request.maxBytesRcvd,
            )
        raise IOFault(f"Unsupported stage {stage.name} while receiving block {block}")

    def _refuse(self, error: Exception) -> None:
        log.warning("opWriteBlock %s received exception %s", self.block, reason_of(error))
        if not self._answers:
            return
        myself = self._peers.myself()
        reply = op_reply(Status.ERROR, f"opWriteBlock {self.block}: {reason_of(error)}")
        # Named as the bad link, lest the client blames the first node of the pipeline.
        reply.firstBadLink = f"{myself.ipAddr}:{myself.xferPort}"
        self._stream.send(delimited(reply))
        self._stream.discard_until_closed()

    def _set_up(self) -> bool:
        """Connects to the rest of the pipeline and answers the set-up; False: it failed there."""
        status, bad_link = self._connect_mirror()
        if not self._answers:
            return True
        reply = data_transfer.BlockOpResponseProto(status=status, firstBadLink=bad_link)  # type: ignore[arg-type]
        self._stream.send(delimited(reply))
        if status != Status.SUCCESS:
            self._stream.discard_until_closed()
            return False
        return True

    def _connect_mirror(self) -> tuple[int, str]:
        targets = self._request.targets
        if not targets:
            return Status.SUCCESS, ""
        try:
            self._mirror = self._peers.connect(targets[0], len(targets))
            self._mirror.send(operation(Op.WRITE_BLOCK, self._for_mirror()))
            if not self._answers:
                return Status.SUCCESS, ""
            reply = self._mirror.message(data_transfer.BlockOpResponseProto)
            return reply.status, reply.firstBadLink
        except (ConnectFailed, LinkError, PeerError) as error:
            log.warning("%s: no pipeline to the next node: %s", self.block, error)
            self._close_mirror()
            if not self._client:
                return Status.SUCCESS, ""
            return Status.ERROR, f"{targets[0].id.ipAddr}:{targets[0].id.xferPort}"

    def _for_mirror(self) -> data_transfer.OpWriteBlockProto:
        request = data_transfer.OpWriteBlockProto()
        request.CopyFrom(self._request)
        del request.targets[:1]
        if request.targetStorageTypes:
            request.storageType = request.targetStorageTypes.pop(0)
        if request.targetStorageIds:
            request.storageId = request.targetStorageIds.pop(0)
        if request.targetPinnings:
            request.pinning = request.targetPinnings[0]
        return request

    def _receive(self, opened: OpenReplica) -> None:
        receiver = Receiver(
            self._store,
            opened,
            self._stream,
            self._mirror,
            sent=self._sent,
            answers=self._answers,
        )
        receiver.run()
        if self._answers:
            return
        if self._stage is Stage.TRANSFER_RBW:
            self._store.convert_to_rbw(opened)
        else:
            self._store.finalize(opened)
        if self._transfer:
            self._stream.send(delimited(op_reply(Status.SUCCESS)))

    def _close_recovered(self) -> None:
        self._store.recover_close(self.block, self._new_stamp, self._request.minBytesRcvd)
        try:
            self._set_up()
        finally:
            self._close_mirror()

    def _close_mirror(self) -> None:
        if self._mirror is not None:
            self._mirror.close()
            self._mirror = None
