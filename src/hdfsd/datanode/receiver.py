"""Adapter. Receives the packets of one block: to disk, to the next node, acknowledgements back.

One thread per hop. It waits for its two neighbours with poll; the bytes of all packets that one
system call brought go on to the next node as they are, then to disk with one write for the data and
one for the checksums, then are acknowledged together. What to do with a packet and which
acknowledgement is due is decided in `pipeline`. Source: data-transfer.md section 4.
"""

from __future__ import annotations

import logging
import select
from collections.abc import Sequence
from dataclasses import dataclass

from hdfsd.base.errors import HdfsdError, LinkError, PeerError
from hdfsd.datanode.pipeline import Hop, Queued, Release, Write, plan_write
from hdfsd.datanode.store import OpenReplica, Store
from hdfsd.datanode.stream import Stream
from hdfsd.wire.checksum import BytesLike, ChunkChecksum
from hdfsd.wire.packets import (
    Packet,
    Status,
    ack_message,
    packet_bytes_wanted,
    scan_acks,
    scan_packet,
)

log = logging.getLogger(__name__)


class BadChecksum(HdfsdError):
    """The data of a packet and its checksums don't agree."""


@dataclass(slots=True)
class _Batch:
    """Packets that follow each other in the block and can be written in one go."""

    offset: int
    end: int
    parts: list[BytesLike]
    crcs: list[BytesLike]


class Receiver:
    """One block on its way through this node."""

    def __init__(
        self,
        store: Store,
        opened: OpenReplica,
        upstream: Stream,
        mirror: Stream | None,
        *,
        sent: ChunkChecksum,
        answers: bool,
    ) -> None:
        """`sent`: the checksums in the packets. `answers`: a client waits for acknowledgements and
        for the replica to be finalized; copies between DataNodes are silent, and each node of
        theirs verifies."""
        self._store = store
        self._opened = opened
        self._upstream = upstream
        self._mirror = mirror
        self._sent = sent
        self._stored = opened.files.checksum
        self._answers = answers
        self._verifies = mirror is None or not answers
        self._hop = Hop(is_tail=mirror is None)
        self._on_disk = opened.replica.on_disk
        self._seqno = 0
        self._last_seen = False
        self._over = False

    def run(self) -> None:
        """Until the last packet is through. Raises LinkError, PeerError, OSError, BadChecksum; the
        neighbours have been told then, and the replica is the caller's to finalize or leave."""
        try:
            self._take_packets(self._upstream.start)
            while not self._over:
                self._turn()
        except BadChecksum:
            self._refuse(Status.ERROR_CHECKSUM)
            raise
        except OSError:
            self._refuse(Status.ERROR)
            raise

    # -- waiting

    def _turn(self) -> None:
        if self._mirror is None or not self._answers:
            self._receive()
            return
        for ready in self._wait():
            if ready == self._mirror.fileno():
                self._receive_acks(self._mirror)
            else:
                self._receive()
            if self._over:
                return

    def _wait(self) -> list[int]:
        assert self._mirror is not None
        poll = select.poll()
        if not self._last_seen:
            # After its last packet a client may close its side at once; the last word is ours.
            poll.register(self._upstream.fileno(), select.POLLIN)
        if not self._hop.mirror_failed:
            poll.register(self._mirror.fileno(), select.POLLIN)
        ready = [fd for fd, _ in poll.poll(self.silence_ms)]
        if not ready:
            raise LinkError(f"{self._upstream.peer} and {self._mirror.peer} are silent")
        return ready

    silence_ms = 65_000
    """Longer than a client's heartbeat packets are apart (half of its socket timeout)."""

    # -- packets

    def _receive(self) -> None:
        stream = self._upstream
        stream.make_room(packet_bytes_wanted(stream.view, stream.start, stream.end))
        before = stream.end
        stream.fill()
        self._take_packets(before)

    def _take_packets(self, fresh: int) -> None:
        """Uses all whole packets; bytes from `fresh` on have not gone to the next node yet."""
        stream = self._upstream
        if stream.end > fresh:
            self._forward(stream.view[fresh : stream.end])
        packets: list[Packet] = []
        while (packet := scan_packet(stream.view, stream.start, stream.end)) is not None:
            packets.append(packet)
            stream.start = packet.end
            if packet.last:
                self._last_seen = True
                break
        if packets:
            self._store_packets(packets)

    def _forward(self, data: memoryview) -> None:
        if self._mirror is None or self._hop.mirror_failed:
            return
        try:
            self._mirror.send(data)
        except LinkError as error:
            self._lose_mirror(error)

    def _lose_mirror(self, error: HdfsdError) -> None:
        log.warning("%s: the next node is lost: %s", self._opened.replica.describe(), error)
        releases = self._hop.mirror_lost()
        if self._answers:
            self._release(releases)

    def _store_packets(self, packets: Sequence[Packet]) -> None:
        batch: _Batch | None = None
        queued: list[Queued] = []
        view, sync = self._upstream.view, False
        for packet in packets:
            self._seqno = packet.seqno
            data = view[packet.data_start : packet.end]
            crcs = view[packet.crcs_start : packet.data_start]
            if data and not crcs:
                # Who writes a lazily persisted file leaves the checksums to us.
                crcs = memoryview(self._sent.crcs(data))
            self._verify(packet, data, crcs)
            end_so_far = batch.end if batch else self._on_disk
            plan = plan_write(packet, end_so_far, self._sent, self._stored)
            if plan is Write.AS_IS and batch and packet.offset_in_block == batch.end:
                batch.parts.append(data)
                batch.crcs.append(crcs)
                batch.end += packet.data_bytes
            elif plan is not Write.NOTHING:
                self._write(batch)
                batch = self._begin(plan, packet, data, crcs)
            sync = sync or packet.sync
            queued.append(
                Queued(packet.seqno, packet.offset_in_block + packet.data_bytes, packet.last)
            )
        self._write(batch)
        if sync:
            self._opened.files.sync()
        if self._answers:
            self._release(self._hop.stored(queued))
        elif packets[-1].last:
            self._over = True

    def _verify(self, packet: Packet, data: memoryview, crcs: memoryview) -> None:
        if len(crcs) != self._sent.crcs_bytes(len(data)):
            raise PeerError(
                f"packet {packet.seqno} has {len(crcs)} bytes of checksums for {len(data)} of data"
            )
        if not self._verifies and self._sent == self._stored:
            return
        bad = self._sent.first_mismatch(data, crcs)
        if bad is not None:
            at = packet.offset_in_block + bad * self._sent.bytes_per_checksum
            raise BadChecksum(
                f"{self._opened.replica.describe()}: packet {packet.seqno} from "
                f"{self._upstream.peer}: the checksum of the chunk at {at} is wrong"
            )

    def _begin(
        self, plan: Write, packet: Packet, data: memoryview, crcs: memoryview
    ) -> _Batch | None:
        offset = packet.offset_in_block
        if plan is Write.AS_IS:
            return _Batch(offset, offset + len(data), [data], [crcs])
        start = self._stored.chunk_start(offset)
        whole = self._before(start, offset) + data
        batch = _Batch(start, offset + len(data), [whole], [self._stored.crcs(whole)])
        self._write(batch)
        return None

    def _before(self, start: int, offset: int) -> bytes:
        """The bytes of a chunk that are there already, verified: their sum is about to change."""
        if start == offset:
            return b""
        present = min(self._stored.bytes_per_checksum, self._on_disk - start)
        return self._opened.files.checked(start, present)[: offset - start]

    def _write(self, batch: _Batch | None) -> None:
        if batch is None:
            return
        crcs = batch.crcs[0] if len(batch.crcs) == 1 else b"".join(batch.crcs)
        self._opened.files.write(batch.offset, batch.parts, crcs)
        self._on_disk = batch.end
        unfinished = batch.end % self._stored.bytes_per_checksum
        last_crc = bytes(crcs[-self._stored.crc_bytes :]) if unfinished else b""
        self._store.advance(self._opened, batch.end, last_crc)

    # -- acknowledgements

    def _receive_acks(self, mirror: Stream) -> None:
        try:
            mirror.make_room(64)
            mirror.fill()
            acks, mirror.start = scan_acks(mirror.view, mirror.start, mirror.end)
        except LinkError as error:
            self._lose_mirror(error)
            return
        self._release(self._hop.acknowledged(acks))

    def _release(self, releases: Sequence[Release]) -> None:
        if not releases:
            return
        acked = max(release.acked for release in releases)
        if acked >= 0:
            self._store.acknowledge(self._opened, acked)
        if releases[-1].last:
            self._store.finalize(self._opened)
            self._over = True
        self._upstream.send(b"".join(ack_message(r.seqno, r.statuses) for r in releases))
        if any(release.end for release in releases):
            self._over = True
            self._upstream.discard_until_closed()

    def _refuse(self, status: int) -> None:
        if not self._answers:
            return
        refusal = self._hop.failed(status, self._seqno)
        try:
            self._upstream.send(ack_message(refusal.seqno, refusal.statuses))
        except LinkError as error:
            log.info("nobody left to tell of the failure: %s", error)
            return
        self._upstream.discard_until_closed()
