"""Driver. Transactions of a journal's segments over HTTP, piece by piece in bounded memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hdfsd.base.errors import CorruptData, IOFault
from hdfsd.base.ids import TxId
from hdfsd.editlog.frames import FrameScanner, Run, offset_of
from hdfsd.ports.http import HttpClient, HttpReply


class SegmentStream:
    """One copy of a segment, read forward. `take` gives runs from a txid on."""

    def __init__(self, url: str, first_txid: TxId, last_txid: TxId) -> None:
        """Nothing behind `last_txid` is given, whatever the copy holds."""
        self.url = url
        self.last_txid = last_txid
        self.next_txid = first_txid
        self.layout_version = 0
        self._scanner = FrameScanner(url)
        self._reply: HttpReply | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._ready: Run | None = None

    async def open(self, http: HttpClient, *, connect_ms: int, read_ms: int) -> None:
        """Raises LinkError, or IOFault when the journal does not give it."""
        reply = await http.request("GET", self.url, connect_ms=connect_ms, read_ms=read_ms)
        if reply.status != 200:
            await reply.close()
            raise IOFault(f"{self.url}: HTTP {reply.status} {reply.reason}")
        if "content-length" not in reply.headers:
            await reply.close()
            raise IOFault(f"{self.url}: No Content-Length header is provided by the journal")
        self._reply, self._chunks = reply, reply.chunks()

    async def take(self, since_txid: TxId, max_txns: int) -> Run | None:
        """The next transactions from `since_txid` on, at most `max_txns`; None: no more of them.

        Raises LinkError when the link is cut, CorruptData when the copy ends before `last_txid`.
        """
        while self.next_txid <= self.last_txid:
            run = self._ready or await self._read()
            if run is None:
                damage = self._scanner.damage
                cause = f"ends before txid {self.last_txid}: {damage or 'no more transactions'}"
                raise CorruptData(self.url, self._scanner.end_offset, cause)
            self._ready = None
            self.next_txid = TxId(run.last_txid + 1)
            if run.last_txid < since_txid:
                continue
            return self._cut(run, max(since_txid, run.first_txid), max_txns)
        return None

    def _cut(self, run: Run, first_txid: TxId, max_txns: int) -> Run:
        last = min(run.last_txid, self.last_txid, TxId(first_txid + max_txns - 1))
        start = offset_of(run.data, run.first_txid, first_txid)
        end = len(run.data)
        if last < run.last_txid:
            end = offset_of(run.data, run.first_txid, last + 1)
            if last < self.last_txid:
                rest = Run(TxId(last + 1), run.last_txid - last, run.data[end:])
                self._ready, self.next_txid = rest, rest.first_txid
        whole = start == 0 and end == len(run.data)
        data = run.data if whole else run.data[start:end]
        return Run(first_txid, last - first_txid + 1, data)

    async def _read(self) -> Run | None:
        assert self._chunks is not None, "not open"
        async for chunk in self._chunks:
            run = self._scanner.feed(chunk)
            self.layout_version = self._scanner.layout_version or 0
            if run is not None:
                return run
            if self._scanner.at_padding or self._scanner.damage is not None:
                break
        return None

    async def close(self) -> None:
        if self._reply is not None:
            await self._reply.close()
            self._reply = self._chunks = None
