"""Data. The heartbeat of a NameNode beside its RPC: what a thread says a few times a second.

A health check is answered by the event loop, so it comes late when the loop has much to do; the
heartbeat does not. Whoever listens learns three things apart: whether the process runs at all,
whether its loop comes round, and whether the loop works meanwhile.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import Address

BEAT_MS = 250
"""Between two beats."""
_FORMAT = struct.Struct("!4sIQc")
BEAT_BYTES = _FORMAT.size
MAGIC = b"hdb1"


@dataclass(frozen=True, slots=True)
class Beat:
    loop_late_ms: int
    """Since when the event loop has not come round."""
    loop_cpu_ms: int
    """Processor time that the loop's thread has used in its life."""
    loop_state: str
    """Of that thread, as /proc has it: R runs, S sleeps, D waits for a disk, T is stopped."""

    def encode(self) -> bytes:
        late_ms = min(self.loop_late_ms, 0xFFFFFFFF)
        return _FORMAT.pack(MAGIC, late_ms, self.loop_cpu_ms, self.loop_state.encode("ascii"))

    @classmethod
    def decode(cls, data: bytes, where: str) -> Beat:
        """Raises CorruptData."""
        magic, late_ms, cpu_ms, state = _FORMAT.unpack(data)
        if magic != MAGIC:
            raise CorruptData(where, None, f"no heartbeat of ours: {data!r}")
        return cls(late_ms, cpu_ms, state.decode("latin-1"))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the kernel says of a process."""

    states: str
    """One letter for each of its threads."""
    cpu_ms: int
    """Processor time that all of them have used."""


class HeartbeatLink(Protocol):
    """One connection to the heartbeat of a NameNode."""

    async def next(self) -> Beat | None:
        """The next beat; None when the connection has ended. Raises CorruptData."""
        ...

    def evidence(self) -> Evidence | None:
        """Of the process at the other end; None when nothing can be known of it."""
        ...

    def close(self) -> None: ...


class Heartbeats(Protocol):
    """Where a failover controller finds its NameNode's."""

    async def connect(self, address: Address) -> HeartbeatLink:
        """To the NameNode of this address on this machine. Raises LinkError when it has none."""
        ...
