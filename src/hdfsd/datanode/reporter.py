"""Core. What one NameNode has to be told of this DataNode's replicas, and when.

Order: a full report is a snapshot, so changes after it must reach the NameNode after it; the driver
sends one report at a time. Source: data-transfer.md section 10; Hadoop's
IncrementalBlockReportManager and BPServiceActor.Scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from hdfsd.base.ids import Block, BlockId
from hdfsd.wire.framing import varint


class BlockStatus(IntEnum):
    """ReceivedDeletedBlockInfoProto.BlockStatus."""

    RECEIVING = 1
    RECEIVED = 2
    DELETED = 3


@dataclass(frozen=True, slots=True)
class BlockChange:
    """One line of an incremental report."""

    storage_id: str
    status: BlockStatus
    block: Block
    delete_hint: str = ""


@dataclass(slots=True)
class Pending:
    """Changes that the NameNode has not acknowledged; of one block on one storage the newest."""

    changes: dict[tuple[str, BlockId], BlockChange] = field(default_factory=dict)

    def add(self, change: BlockChange) -> None:
        key = (change.storage_id, change.block.block_id)
        self.changes.pop(key, None)
        self.changes[key] = change

    def take(self) -> list[BlockChange]:
        """All of them, oldest first."""
        taken = list(self.changes.values())
        self.changes.clear()
        return taken

    def put_back(self, taken: Iterable[BlockChange]) -> None:
        """The report failed; what happened to the same blocks since then is newer and stays."""
        newer = self.changes
        self.changes = {(c.storage_id, c.block.block_id): c for c in taken}
        for change in newer.values():
            self.add(change)


@dataclass(slots=True)
class Schedule:
    """When to send a heartbeat and a full block report; `now_ms` is monotonic."""

    heartbeat_ms: int
    full_report_ms: int
    next_heartbeat: int = 0
    next_full_report: int = 0

    def registered(self, now_ms: int, first_report_delay_ms: int) -> None:
        """A NameNode that has just taken our registration knows none of our replicas."""
        self.next_heartbeat = now_ms
        self.next_full_report = now_ms + first_report_delay_ms

    def heartbeat_sent(self, now_ms: int) -> None:
        self.next_heartbeat = now_ms + self.heartbeat_ms

    def full_report_due(self, now_ms: int) -> bool:
        return now_ms >= self.next_full_report

    def full_report_sent(self, now_ms: int) -> None:
        self.next_full_report = now_ms + self.full_report_ms

    def full_report_wanted(self, now_ms: int) -> None:
        """An administrator asked for one, or a replica was lost behind our back."""
        self.next_full_report = now_ms
        self.next_heartbeat = now_ms


BUFFER_BYTES = 64 << 10


def encode_report(replicas: Iterable[tuple[int, int, int, int]]) -> tuple[int, list[bytes]]:
    """Count and buffers of a storage's report; entries are block id, length, stamp, state.

    Each entry: zigzag varint id, varints of the rest; no entry crosses two buffers.
    """
    count, buffers, current = 0, [], bytearray()
    for block_id, length, stamp, state in replicas:
        zigzag = (block_id << 1) ^ (block_id >> 63)
        current += varint(zigzag) + varint(length) + varint(stamp) + varint(state)
        count += 1
        if len(current) >= BUFFER_BYTES:
            buffers.append(bytes(current))
            current.clear()
    if current or not buffers:
        buffers.append(bytes(current))
    return count, buffers
