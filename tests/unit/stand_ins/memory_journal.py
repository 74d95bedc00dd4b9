"""Driver. A shared journal in memory (ports.journal.Journal): one content, any number of handles.

Who recovers fences all older handles, as a quorum does. A test may hold acknowledgements back, or
make the journal fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from hdfsd.base.errors import CorruptData, QuorumLost
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, Epoch, NamespaceInfo, NodeId, TxId
from hdfsd.editlog import codec
from hdfsd.editlog.ops import EditOp
from hdfsd.ports.journal import EditsChunk, JournalHealth, SegmentInfo


@dataclass(slots=True)
class JournalContent:
    """What all handles share. `log` names the calls of writers, in their order."""

    frames: dict[int, bytes] = field(default_factory=dict)
    """Durable transactions by txid."""
    segments: list[SegmentInfo] = field(default_factory=list)
    epoch: int = 0
    purged_below: int = 0
    formatted: NamespaceInfo | None = None
    unreachable: bool = False
    """Every call fails with QuorumLost."""
    held: list[tuple[asyncio.Future[None], int, bytes]] | None = None
    """Set to a list: writes wait in it for `release`."""
    log: list[str] = field(default_factory=list)

    def open(self) -> MemoryJournal:
        return MemoryJournal(self)

    @property
    def newest(self) -> TxId:
        return TxId(max(self.frames, default=0))

    def ops(self) -> list[tuple[EditOp, int]]:
        return [pair for _, frame in sorted(self.frames.items()) for pair in codec.iter_ops(frame)]

    def add(self, *ops: EditOp) -> None:
        """As another NameNode would have written them."""
        for op in ops:
            txid = self.newest + 1
            self.frames[txid] = codec.encode(op, txid)

    def release(self) -> None:
        """Acknowledges what is held, and goes on holding."""
        assert self.held is not None
        while self.held:
            done, first_txid, data = self.held.pop(0)
            self.store(first_txid, data)
            done.set_result(None)

    def store(self, first_txid: int, data: bytes) -> None:
        offset = 0
        while offset < len(data):
            _, txid, end = codec.decode_frame(data, offset)
            assert txid == first_txid
            self.frames[txid] = data[offset:end]
            offset, first_txid = end, first_txid + 1


class MemoryJournal:
    """One NameNode's handle."""

    def __init__(self, content: JournalContent) -> None:
        self.content = content
        self.epoch = Epoch(0)
        self.committed_txid = TxId(0)
        self.closed = False

    def _check(self, what: str, *, writer: bool = True) -> None:
        if self.content.unreachable:
            raise QuorumLost(what, {"jn1": "gone", "jn2": "gone"})
        if writer and self.epoch != self.content.epoch:
            raise QuorumLost(what, {"jn1": f"epoch {self.content.epoch}, not {self.epoch}"})

    # --- writing ---

    async def recover(self) -> TxId:
        self._check("recover", writer=False)
        self.content.epoch += 1
        self.epoch = Epoch(self.content.epoch)
        newest = self.content.newest
        self.content.segments = [
            SegmentInfo(s.first_txid, newest, False) if s.in_progress else s
            for s in self.content.segments
        ]
        self.content.log.append(f"recover {self.epoch}")
        return newest

    async def start_segment(
        self, first_txid: TxId, layout_version: int = NAMENODE_LAYOUT_VERSION
    ) -> None:
        self._check("startLogSegment")
        self.content.segments.append(SegmentInfo(first_txid, first_txid, True))
        self.content.log.append(f"start {first_txid}")

    def write(self, first_txid: TxId, count: int, data: bytes) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._check("write")
        except QuorumLost as lost:
            done.set_exception(lost)
            return done
        if self.content.held is not None:
            self.content.held.append((done, first_txid, data))
        else:
            self.content.store(first_txid, data)
            done.set_result(None)
        return done

    async def confirm(self) -> None:
        self._check("heartbeat")

    async def finalize_segment(self, first_txid: TxId, last_txid: TxId) -> None:
        self._check("finalizeLogSegment")
        assert self.content.segments.pop() == SegmentInfo(first_txid, first_txid, True)
        self.content.segments.append(SegmentInfo(first_txid, last_txid, False))
        self.content.log.append(f"finalize {first_txid}-{last_txid}")

    async def purge(self, min_txid: TxId) -> None:
        self.content.purged_below = min_txid
        self.content.log.append(f"purge {min_txid}")

    async def format(self, namespace: NamespaceInfo, force: bool = False) -> None:
        self._check("format", writer=False)
        self.content.frames.clear()
        self.content.segments.clear()
        self.content.formatted = namespace

    async def has_data(self) -> bool:
        self._check("hasSomeData", writer=False)
        return self.content.formatted is not None

    def health(self) -> Sequence[JournalHealth]:
        return [JournalHealth(NodeId("jn1"), self.content.newest, 0, 0, 0, True, "")]

    # --- reading ---

    async def manifest(
        self, since_txid: TxId, in_progress_ok: bool = False
    ) -> Sequence[SegmentInfo]:
        return [s for s in self.content.segments if s.last_txid >= since_txid]

    async def edits(self, since_txid: TxId, max_txns: int = 5000) -> EditsChunk:
        self._check("getJournaledEdits", writer=False)
        frames = self.content.frames
        if since_txid not in frames and self.content.newest >= since_txid:
            raise CorruptData("the journal", None, f"transaction {since_txid} is missing")
        txids = [t for t in sorted(frames) if t >= since_txid][:max_txns]
        data = b"".join(frames[txid] for txid in txids)
        count = len(txids)
        return EditsChunk(since_txid, count, data, NAMENODE_LAYOUT_VERSION, is_end=count < max_txns)

    async def newest_txid(self) -> TxId:
        return self.content.newest

    async def close(self) -> None:
        self.closed = True
