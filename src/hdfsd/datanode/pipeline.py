"""Core. One hop of a write pipeline: where a packet's bytes go, and which acknowledgement when.

A packet is acknowledged upstream when this node has it *and* every node behind it has acknowledged
it (P8, and the length readers may see). Source: data-transfer.md section 4; Hadoop's
BlockReceiver.receivePacket and its PacketResponder.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from hdfsd.base.errors import PeerError
from hdfsd.wire.checksum import ChunkChecksum
from hdfsd.wire.packets import Ack, Packet, Status

# Plain numbers: the message module looks a name up anew at every use.
SUCCESS, ERROR = int(Status.SUCCESS), int(Status.ERROR)
ERROR_CHECKSUM = int(Status.ERROR_CHECKSUM)


class Write(Enum):
    """How the bytes of a packet reach the files."""

    NOTHING = "nothing to write"
    AS_IS = "data and checksums as they came"
    RECOMPUTE = "data as it came, checksums made anew from the chunk's start"


def plan_write(packet: Packet, on_disk: int, sent: ChunkChecksum, stored: ChunkChecksum) -> Write:
    """What to do with a data packet when `on_disk` bytes are there; raises PeerError.

    A packet may begin again at the start of the last chunk (after a flush inside of it), repeat
    bytes that are there already (after a recovery), but never leave a hole. When it begins inside a
    chunk, or the replica's file has another kind of checksum, its own checksums can't be stored.
    """
    if packet.offset_in_block > on_disk:
        raise PeerError(
            f"packet {packet.seqno} begins at {packet.offset_in_block}, after the {on_disk} bytes "
            "of the replica"
        )
    if packet.offset_in_block + packet.data_bytes <= on_disk:
        return Write.NOTHING
    if packet.offset_in_block % stored.bytes_per_checksum or sent != stored:
        return Write.RECOMPUTE
    return Write.AS_IS


class Queued(NamedTuple):
    """A packet that waits for the nodes behind; `end` is the block offset after it."""

    seqno: int
    end: int
    last: bool


class Release(NamedTuple):
    """An acknowledgement to send upstream, after `acked` bytes became visible; `last`: after the
    replica was finalized. `end`: the hop is over once it was sent."""

    seqno: int
    statuses: tuple[int, ...]
    acked: int
    last: bool
    end: bool


@dataclass(slots=True)
class Hop:
    """The packets of one hop between arrival and acknowledgement."""

    is_tail: bool
    """No node behind: this one verifies checksums and acknowledges at once."""
    waiting: deque[Queued] = field(default_factory=deque)
    mirror_failed: bool = False

    def stored(self, packets: Iterable[Queued]) -> list[Release]:
        """These packets are written here (and synced, if they asked for it)."""
        self.waiting.extend(packets)
        if not self.is_tail and not self.mirror_failed:
            return []
        behind = () if self.is_tail else (ERROR,)
        return [
            self._release(packet, (SUCCESS, *behind), end=bool(behind)) for packet in self._drain()
        ]

    def acknowledged(self, acks: Iterable[Ack]) -> list[Release]:
        """Acknowledgements of the node behind; raises PeerError for one that is out of order."""
        released = []
        for ack in acks:
            if not self.waiting or self.waiting[0].seqno != ack.seqno:
                expected = self.waiting[0].seqno if self.waiting else "none"
                raise PeerError(f"acknowledgement of packet {ack.seqno}, expected {expected}")
            if ack.statuses and ack.statuses[0] == ERROR_CHECKSUM:
                # What we sent was bad: this node is the one to leave, not the one that noticed.
                raise PeerError("the next node found the data of this one to be corrupt")
            bad = any(status != SUCCESS for status in ack.statuses)
            statuses = (SUCCESS, *ack.statuses)
            released.append(self._release(self.waiting.popleft(), statuses, end=bad))
        return released

    def mirror_lost(self) -> list[Release]:
        """The node behind is gone: say so upstream with every packet, the client rebuilds."""
        self.mirror_failed = True
        return self.stored(())

    def failed(self, status: int, seqno: int) -> Release:
        """This node can't go on with packet `seqno`; the oldest unanswered packet says so."""
        oldest = self.waiting[0].seqno if self.waiting else seqno
        return Release(oldest, (status,), -1, False, True)

    def _drain(self) -> list[Queued]:
        packets = list(self.waiting)
        self.waiting.clear()
        return packets

    def _release(self, packet: Queued, statuses: tuple[int, ...], *, end: bool) -> Release:
        # Bytes that not every node behind has are not to be seen by readers; the last packet
        # finalizes only when all is well.
        return Release(
            packet.seqno, statuses, -1 if end else packet.end, packet.last and not end, end
        )
