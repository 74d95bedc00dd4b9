"""Core. The double buffer of group commit (decision D3): ops collect here while a flush runs.

`append` fills the current half; `take` hands it over whole and starts an empty one, so what is
being written is never touched again. Hadoop: EditsDoubleBuffer.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdfsd.base.errors import InvariantBroken, ensure
from hdfsd.base.ids import TxId


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole op frames of consecutive transactions, `last_txid` inclusive."""

    first_txid: TxId
    last_txid: TxId
    count: int
    data: bytes


class EditsDoubleBuffer:
    """Encoded ops of consecutive transactions that wait for the next flush."""

    __slots__ = ("_bytes", "_first_txid", "_frames")

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._bytes = 0
        self._first_txid = 0

    def append(self, frame: bytes, txid: int) -> None:
        """Adds one encoded op; its txid must follow the one before it in this half."""
        frames = self._frames
        if not frames:
            self._first_txid = txid
        elif txid != self._first_txid + len(frames):
            raise InvariantBroken(f"P1: txid {txid} after {self._first_txid + len(frames) - 1}")
        frames.append(frame)
        self._bytes += len(frame)

    def take(self) -> Batch:
        """Everything appended since the last `take`; there must be something."""
        frames, first_txid = self._frames, self._first_txid
        ensure("P1", bool(frames), "took a batch from an empty buffer")
        self._frames, self._bytes = [], 0
        count = len(frames)
        return Batch(TxId(first_txid), TxId(first_txid + count - 1), count, b"".join(frames))

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def byte_count(self) -> int:
        """Bytes that wait; a driver that wants small batches looks here."""
        return self._bytes
