"""Data. The shared journal as a NameNode uses it (decision D10): one writer, many readers.

`qjournal://` (quorum.manager.QuorumJournal) and `file://` are implementations. Promises:

- P1: a future of `write` is done only when the batch is durable on the journal's own terms (fsynced
  on a majority of JournalNodes). Futures are done in the order of the writes.
- P2: after somebody else's `recover`, every method of the writer fails with QuorumLost; a writer
  that failed once fails for ever: make a new one after the process's restart.
- P3: `recover` decides what every later recovery would decide.
- `edits` returns durable transactions only: what a later recovery can never take back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, Epoch, NamespaceInfo, NodeId, TxId


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A segment as a reader sees it; `last_txid` is inclusive."""

    first_txid: TxId
    last_txid: TxId
    in_progress: bool


@dataclass(frozen=True, slots=True)
class EditsChunk:
    """Durable transactions in order: `data` is whole op frames, back to back, no segment header.

    `count` 0 with empty data: nothing newer is durable yet.
    """

    first_txid: TxId
    count: int
    data: bytes
    layout_version: int
    is_end: bool = False
    """Nothing newer was durable when it was read, as far as the journals told."""

    @property
    def last_txid(self) -> TxId:
        """The last transaction in it; `first_txid - 1` when it is empty."""
        return TxId(self.first_txid + self.count - 1)


@dataclass(frozen=True, slots=True)
class JournalHealth:
    """What the writer knows of one journal: for status pages and metrics."""

    journal: NodeId
    acked_txid: TxId
    """The last transaction it acknowledged; 0 before the first."""
    lag_txns: int
    """Committed transactions it has not acknowledged."""
    lag_ms: int
    """Age of the oldest batch it has not acknowledged; 0 when there is none."""
    queued_bytes: int
    in_sync: bool
    reason: str
    """Why it is out of sync; empty when it is in sync."""


class JournalWriter(Protocol):
    """The one writer of a journal. Raises QuorumLost when a majority failed, with every reason."""

    @property
    def epoch(self) -> Epoch:
        """Our epoch; 0 before `recover`."""
        ...

    @property
    def committed_txid(self) -> TxId:
        """The last transaction known to be durable; 0 when there is none."""
        ...

    async def recover(self) -> TxId:
        """Fences older writers with a new epoch and closes an unfinished segment.

        Returns the last transaction of the journal, 0 when it is empty.
        """
        ...

    async def start_segment(
        self, first_txid: TxId, layout_version: int = NAMENODE_LAYOUT_VERSION
    ) -> None:
        """Opens a segment; its first write must start at `first_txid`."""
        ...

    def write(self, first_txid: TxId, count: int, data: bytes) -> asyncio.Future[None]:
        """Sends a batch of whole op frames at once, without waiting for earlier ones.

        The future is done when the batch is durable, or fails with QuorumLost.
        """
        ...

    async def confirm(self) -> None:
        """Returns when a majority said that we are still their writer, as of after the call began.

        Raises QuorumLost when another writer has taken over, or nobody can be asked (P2).
        """
        ...

    async def finalize_segment(self, first_txid: TxId, last_txid: TxId) -> None:
        """Closes the open segment; all its writes must have been acknowledged."""
        ...

    async def purge(self, min_txid: TxId) -> None:
        """Lets the journals drop segments that end below `min_txid`; a failure is only logged."""
        ...

    async def format(self, namespace: NamespaceInfo, force: bool = False) -> None:
        """Makes the journal empty, on every node. Raises IOFault naming those that could not."""
        ...

    async def has_data(self) -> bool:
        """Whether any node is formatted. All must answer: raises QuorumLost otherwise."""
        ...

    def health(self) -> Sequence[JournalHealth]:
        """One row per journal, in configured order."""
        ...

    async def close(self) -> None: ...


class JournalReader(Protocol):
    """What a standby, a checkpointer and a bootstrap read. Raises QuorumLost without a majority."""

    async def manifest(
        self, since_txid: TxId, in_progress_ok: bool = False
    ) -> Sequence[SegmentInfo]:
        """Segments that hold `since_txid` or later, in order, without gap between them.

        The open one, when asked for, ends at its last durable transaction.
        """
        ...

    async def edits(self, since_txid: TxId, max_txns: int = 5000) -> EditsChunk:
        """Durable transactions from `since_txid` on; at most about `max_txns` of them.

        Raises CorruptData when no source holds `since_txid` though later ones exist.
        """
        ...

    async def newest_txid(self) -> TxId:
        """The last durable transaction; 0 when the journal is empty."""
        ...

    async def close(self) -> None: ...


class Journal(JournalWriter, JournalReader, Protocol):
    """Both sides in one: a standby reads, and writes once it is active."""
