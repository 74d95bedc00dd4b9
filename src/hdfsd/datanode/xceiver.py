"""Adapter. The data port: one thread per connection, one operation after another on it.

Source: data-transfer.md; Hadoop's DataXceiver. An operation that can't be done is answered with the
reason where the protocol has room for one; a connection whose bytes make no sense is closed.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Sequence

from hdfsd.base.errors import (
    ConfigError,
    CorruptData,
    IOFault,
    LinkError,
    PeerError,
)
from hdfsd.base.ids import Address, Block
from hdfsd.datanode.copying import BlockCopy
from hdfsd.datanode.dataset import Copier
from hdfsd.datanode.peers import REFUSALS, Peers, checksum_of, op_reply, reason_of
from hdfsd.datanode.receiver import BadChecksum, Receiver
from hdfsd.datanode.registration import extended_block_of
from hdfsd.datanode.replica import ReplicaState
from hdfsd.datanode.sender import COPY_PACKET_BYTES, READ_PACKET_BYTES, Range, Sender
from hdfsd.datanode.store import Snapshot, Store, Writer
from hdfsd.datanode.stream import Stream
from hdfsd.datanode.writing import BlockWrite
from hdfsd.wire.checksum import block_md5
from hdfsd.wire.messages import Message, data_transfer, hdfs
from hdfsd.wire.packets import (
    OP_PREFIX_BYTES,
    Op,
    Stage,
    Status,
    delimited,
    operation,
    split_operation,
)

log = logging.getLogger(__name__)
LISTEN_BACKLOG = 1024
READ_WAIT_ATTEMPTS = 30
READ_WAIT_MS = 100
"""A reader may know of bytes that are still on their way to this node of the pipeline."""


class XceiverServer(Copier):
    """Accepts data connections, and opens those that copy replicas elsewhere."""

    def __init__(self, store: Store, peers: Peers) -> None:
        self._store = store
        self._peers = peers
        self._settings = peers.settings
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._copies = 0

    def start(self, address: Address) -> Address:
        """Listens; returns the address with its real port. Raises ConfigError."""
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        try:
            self._listener = socket.create_server(
                (address.host, address.port), family=family, backlog=LISTEN_BACKLOG
            )
        except OSError as error:
            raise ConfigError(
                f"dfs.datanode.address: can't listen on {address}: {error.strerror}; "
                "stop what uses the port or choose another one"
            ) from error
        port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return Address(address.host, port)

    def stop(self) -> None:
        """Stops accepting and interrupts every transfer; stopping twice does nothing more."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            streams = list(self._streams.values())
        for stream in streams:
            stream.interrupt()

    @property
    def transfers_running(self) -> int:
        # Hadoop's count has the accepting thread in it, and a NameNode avoids nodes with more than
        # twice the average: without that one, every busy node of an idle cluster.
        return len(self._streams) + 1

    @property
    def copies_running(self) -> int:
        return self._copies

    def copy(
        self,
        block: Block,
        targets: Sequence[hdfs.DatanodeInfoProto],
        storage_types: Sequence[int],
        storage_ids: Sequence[str],
    ) -> None:
        def work() -> None:
            try:
                copy = BlockCopy(block, targets, storage_types, storage_ids)
                copy.run(self._store, self._peers, stage=Stage.PIPELINE_SETUP_CREATE, client="")
                log.info("copied %s to %s", block, ", ".join(t.id.hostName for t in targets))
            except REFUSALS as error:
                log.warning("copy of %s failed: %s", block, error)
            finally:
                with self._lock:
                    self._copies -= 1

        with self._lock:
            self._copies += 1
        threading.Thread(target=work, name=f"copy-{block.name}", daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            if len(self._streams) >= self._settings.transfers_max:
                log.error(
                    "Xceiver count %d exceeds the limit of concurrent xceivers: %d "
                    "(dfs.datanode.max.transfer.threads); %s is turned away",
                    len(self._streams),
                    self._settings.transfers_max,
                    peer,
                )
                sock.close()
                continue
            stream = Stream(sock, f"{peer[0]}:{peer[1]}", self._settings.timeout_ms)
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def _serve(self, stream: Stream) -> None:
        with self._lock:
            self._streams[id(stream)] = stream
        try:
            Xceiver(self._store, self._peers, stream).run()
        except LinkError as error:
            log.debug("%s", error)
        except REFUSALS as error:
            log.warning("%s: %s", stream.peer, error)
        except Exception:
            log.exception("%s: a defect in a data operation", stream.peer)
        finally:
            with self._lock:
                del self._streams[id(stream)]
            stream.close()


class Xceiver:
    """The operations of one connection."""

    def __init__(self, store: Store, peers: Peers, stream: Stream) -> None:
        self._store = store
        self._peers = peers
        self._settings = peers.settings
        self._stream = stream

    def run(self) -> None:
        """Until an operation ends the connection or the peer does. Raises what it ended of."""
        while True:
            op = split_operation(self._stream.take(OP_PREFIX_BYTES))
            self._stream.set_timeouts(self._settings.timeout_ms, self._settings.write_timeout_ms)
            if not self._dispatch(op):
                return
            self._stream.set_timeouts(self._settings.keepalive_ms, self._settings.write_timeout_ms)

    def _dispatch(self, op: int) -> bool:
        """Whether another operation may follow."""
        stream = self._stream
        if op == Op.READ_BLOCK:
            return self._read_block(stream.message(data_transfer.OpReadBlockProto))
        if op == Op.WRITE_BLOCK:
            self._write_block(stream.message(data_transfer.OpWriteBlockProto))
            return False
        if op == Op.BLOCK_CHECKSUM:
            return self._block_checksum(stream.message(data_transfer.OpBlockChecksumProto))
        if op == Op.TRANSFER_BLOCK:
            return self._transfer_block(stream.message(data_transfer.OpTransferBlockProto))
        if op == Op.COPY_BLOCK:
            return self._copy_block(stream.message(data_transfer.OpCopyBlockProto))
        if op == Op.REPLACE_BLOCK:
            return self._replace_block(stream.message(data_transfer.OpReplaceBlockProto))
        return self._unsupported(op)

    def _unsupported(self, op: int) -> bool:
        name = Op(op).name if op in tuple(Op) else f"operation {op}"
        reason = f"{name} is not built in hdfsd"
        if op == Op.REQUEST_SHORT_CIRCUIT_SHM:
            answer: Message = data_transfer.ShortCircuitShmResponseProto(
                status=Status.ERROR_UNSUPPORTED, error=reason
            )
        elif op == Op.RELEASE_SHORT_CIRCUIT_FDS:
            answer = data_transfer.ReleaseShortCircuitAccessResponseProto(
                status=Status.ERROR_UNSUPPORTED, error=reason
            )
        elif op in (Op.REQUEST_SHORT_CIRCUIT_FDS, Op.BLOCK_GROUP_CHECKSUM):
            answer = op_reply(Status.ERROR_UNSUPPORTED, reason)
        else:
            raise PeerError(reason)
        self._stream.send(delimited(answer))
        self._stream.discard_until_closed()
        return False

    # -- reading

    def _read_block(self, request: data_transfer.OpReadBlockProto) -> bool:
        block = extended_block_of(request.header.baseHeader.block)
        try:
            snapshot = self._snapshot(block, request.offset + request.len)
        except REFUSALS as error:
            return self._decline(f"opReadBlock {block} received exception {reason_of(error)}")
        try:
            span = Range.of(snapshot, request.offset, request.len)
        except IOFault as error:
            snapshot.files.close()
            return self._decline(f"opReadBlock {block} received exception {reason_of(error)}")
        try:
            sender = Sender(
                snapshot,
                span,
                with_checksums=request.sendChecksums,
                packet_bytes=READ_PACKET_BYTES,
            )
            self._send_with_reply(sender)
            return self._read_status(snapshot)
        finally:
            snapshot.files.close()

    def _send_with_reply(self, sender: Sender) -> None:
        reply = op_reply(Status.SUCCESS)
        reply.readOpChecksumInfo.CopyFrom(sender.info())
        self._stream.send_more(delimited(reply))
        sender.send(self._stream)

    def _read_status(self, snapshot: Snapshot) -> bool:
        status = self._stream.message(data_transfer.ClientReadStatusProto).status
        if status == Status.ERROR_CHECKSUM:
            self._suspect(snapshot)
        return True

    def _suspect(self, snapshot: Snapshot) -> None:
        """A client found a bad checksum: our own eyes decide whether the disk is to blame (P8)."""
        replica = snapshot.replica
        if replica.state is not ReplicaState.FINALIZED:
            return
        try:
            snapshot.files.verify(replica.on_disk)
        except CorruptData as error:
            log.error("%s", error)
            self._store.mark_corrupt(replica, str(error))

    def _snapshot(self, block: Block, wanted: int) -> Snapshot:
        for _ in range(READ_WAIT_ATTEMPTS):
            snapshot = self._store.open_for_read(block)
            growing = snapshot.replica.state is ReplicaState.RBW
            if snapshot.replica.on_disk >= wanted or not growing:
                return snapshot
            snapshot.files.close()
            time.sleep(READ_WAIT_MS / 1000)
        return self._store.open_for_read(block)

    def _decline(self, reason: str) -> bool:
        log.info("%s: %s", self._stream.peer, reason)
        self._stream.send(delimited(op_reply(Status.ERROR, reason)))
        self._stream.discard_until_closed()
        return False

    # -- checksums

    def _block_checksum(self, request: data_transfer.OpBlockChecksumProto) -> bool:
        block = extended_block_of(request.header.block)
        options = request.blockChecksumOptions
        try:
            snapshot = self._snapshot(block, 0)
            try:
                answer = _block_checksum_of(snapshot, block.num_bytes, options.blockChecksumType)
            finally:
                snapshot.files.close()
        except (*REFUSALS, ValueError) as error:
            return self._decline(f"opBlockChecksum {block} received exception {reason_of(error)}")
        reply = op_reply(Status.SUCCESS)
        reply.checksumResponse.CopyFrom(answer)
        self._stream.send(delimited(reply))
        return True

    # -- writing

    def _write_block(self, request: data_transfer.OpWriteBlockProto) -> None:
        write = BlockWrite(self._store, self._peers, self._stream, request)
        try:
            write.run()
        except BadChecksum as error:
            log.error("%s", error)
        except LinkError as error:
            log.info("%s: %s", write.block, error)

    # -- copies between DataNodes

    def _transfer_block(self, request: data_transfer.OpTransferBlockProto) -> bool:
        """A client whose pipeline lost a node has this one copy its replica to the new node."""
        block = extended_block_of(request.header.baseHeader.block)
        copy = BlockCopy(
            block, request.targets, request.targetStorageTypes, request.targetStorageIds
        )
        try:
            replica = self._store.find(block.block_id)
            writing = replica is not None and replica.state is ReplicaState.RBW
            stage = Stage.TRANSFER_RBW if writing else Stage.TRANSFER_FINALIZED
            copy.run(self._store, self._peers, stage=stage, client=request.header.clientName)
        except REFUSALS as error:
            return self._decline(f"opTransferBlock {block} received exception {reason_of(error)}")
        self._stream.send(delimited(op_reply(Status.SUCCESS)))
        return True

    def _copy_block(self, request: data_transfer.OpCopyBlockProto) -> bool:
        """The balancer's target asks for the replica."""
        block = extended_block_of(request.header.block)
        try:
            snapshot = self._snapshot(block, 0)
        except REFUSALS as error:
            return self._decline(f"opCopyBlock {block} received exception {reason_of(error)}")
        try:
            span = Range.of(snapshot, 0, snapshot.replica.on_disk)
            self._send_with_reply(
                Sender(snapshot, span, with_checksums=True, packet_bytes=COPY_PACKET_BYTES)
            )
        finally:
            snapshot.files.close()
        return False

    def _replace_block(self, request: data_transfer.OpReplaceBlockProto) -> bool:
        """The balancer moves a replica here; its source may then be deleted (`delHint`)."""
        block = extended_block_of(request.header.block)
        try:
            self._receive_copy(block, request)
        except REFUSALS as error:
            return self._decline(f"opReplaceBlock {block} received exception {reason_of(error)}")
        self._stream.send(delimited(op_reply(Status.SUCCESS)))
        return True

    def _receive_copy(self, block: Block, request: data_transfer.OpReplaceBlockProto) -> None:
        source = self._peers.connect(request.source, 1)
        try:
            source.send(
                operation(Op.COPY_BLOCK, data_transfer.OpCopyBlockProto(header=request.header))
            )
            reply = source.message(data_transfer.BlockOpResponseProto)
            if reply.status != Status.SUCCESS:
                raise IOFault(f"copy block {block} from {source.peer} failed: {reply.message}")
            sent = checksum_of(reply.readOpChecksumInfo.checksum)
            opened = self._store.create_temporary(
                block,
                sent,
                Writer(source.interrupt),
                storage_type=hdfs.StorageTypeProto.Name(request.storageType),
                storage_id=request.storageId,
                transfer=False,
            )
            try:
                Receiver(self._store, opened, source, None, sent=sent, answers=False).run()
                self._store.finalize(opened, request.delHint)
            finally:
                self._store.leave(opened)
        finally:
            source.close()


def _block_checksum_of(
    snapshot: Snapshot, wanted: int, kind: int
) -> data_transfer.OpBlockChecksumResponseProto:
    """Of the first `wanted` bytes, or of all when the replica has no more."""
    files, checksum = snapshot.files, snapshot.files.checksum
    length = snapshot.replica.visible
    if 0 < wanted < length:
        length = wanted
    whole = checksum.chunk_start(length)
    crcs = files.crcs(0, whole)
    if whole < length:
        chunk = min(checksum.bytes_per_checksum, snapshot.replica.on_disk - whole)
        crcs += checksum.crcs(files.read(whole, chunk)[: length - whole])
    composite = kind == hdfs.BlockChecksumTypeProto.COMPOSITE_CRC
    digest = checksum.composite(crcs, length).to_bytes(4, "big") if composite else block_md5(crcs)
    answer = data_transfer.OpBlockChecksumResponseProto(
        bytesPerCrc=checksum.bytes_per_checksum,
        crcPerBlock=len(crcs) // checksum.crc_bytes if checksum.crc_bytes else 0,
        blockChecksum=digest,
        crcType=int(checksum.kind),  # type: ignore[arg-type]
    )
    answer.blockChecksumOptions.blockChecksumType = (
        hdfs.BlockChecksumTypeProto.COMPOSITE_CRC
        if composite
        else hdfs.BlockChecksumTypeProto.MD5CRC
    )
    return answer
