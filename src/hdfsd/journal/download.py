"""Driver. A segment from a peer over HTTP into a file, every op checked on the way."""

from __future__ import annotations

import asyncio
import logging

from hdfsd.base.errors import IOFault, LinkError
from hdfsd.base.ids import TxId
from hdfsd.editlog.frames import FrameScanner
from hdfsd.ports.clock import Clock
from hdfsd.ports.disk import AppendFile, Disk
from hdfsd.ports.http import HttpClient, HttpReply

log = logging.getLogger(__name__)


class Downloader:
    """Fetches segments. A file is durable when `fetch` returns, or is not there."""

    def __init__(
        self,
        *,
        disk: Disk,
        http: HttpClient,
        clock: Clock,
        timeout_ms: int,
        bandwidth: int,
    ) -> None:
        """`bandwidth`: bytes per second at most, 0 without a limit."""
        self._disk = disk
        self._http = http
        self._clock = clock
        self._timeout_ms = timeout_ms
        self._bandwidth = bandwidth

    async def fetch(self, url: str, path: str, first_txid: TxId, last_txid: TxId) -> None:
        """Raises IOFault when the peer's segment can't be had whole or is another one."""
        log.info("fetching %s..%s from %s", first_txid, last_txid, url)
        await self._disk.remove(path)
        file = self._disk.create(path)
        try:
            scanner = await self._download(url, file)
            ends = (scanner.first_txid, scanner.last_txid)
            if ends != (first_txid, last_txid) or scanner.damage is not None:
                raise IOFault(
                    f"{url} holds txids {ends[0]}..{ends[1]}, not {first_txid}..{last_txid}"
                    + (f" ({scanner.damage})" if scanner.damage else "")
                )
            await file.sync()
            await self._disk.sync_dir(path.rpartition("/")[0])
        except BaseException:
            file.close()
            await self._disk.remove(path)
            raise
        file.close()

    async def _download(self, url: str, file: AppendFile) -> FrameScanner:
        timeout_ms = self._timeout_ms
        try:
            reply = await self._http.request("GET", url, connect_ms=timeout_ms, read_ms=timeout_ms)
            try:
                return await self._receive(reply, url, file)
            finally:
                await reply.close()
        except LinkError as error:
            raise IOFault(f"{url}: {error}") from error

    async def _receive(self, reply: HttpReply, url: str, file: AppendFile) -> FrameScanner:
        if reply.status != 200:
            raise IOFault(f"{url}: HTTP {reply.status} {reply.reason}")
        length = _content_length(reply.headers.get("content-length"), url)
        free = self._disk.free_bytes(file.path.rpartition("/")[0])
        if length > free:
            raise IOFault(f"{url}: {length} bytes are more than is free: {free} for {file.path}")
        scanner, offset, begun_ms = FrameScanner(url), 0, self._clock.now_ms()
        async for chunk in reply.chunks():
            if offset + len(chunk) > length:
                raise IOFault(f"{url}: more than its Content-Length of {length} bytes")
            file.write_at(offset, chunk)
            offset += len(chunk)
            scanner.feed(chunk)
            await self._hold_back(offset, begun_ms)
        if offset != length:
            raise IOFault(f"{url}: {offset} bytes of {length}")
        scanner.finish()
        return scanner

    async def _hold_back(self, offset: int, begun_ms: int) -> None:
        if self._bandwidth > 0:
            due_ms = begun_ms + offset * 1000 // self._bandwidth
            await asyncio.sleep(max(0, due_ms - self._clock.now_ms()) / 1000)


def _content_length(text: str | None, url: str) -> int:
    if text is None or not text.isdigit():
        raise IOFault(f"{url}: No Content-Length header is provided by the peer")
    return int(text)
