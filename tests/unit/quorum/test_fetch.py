"""A segment over HTTP: pieces of any size, from any txid, never behind its end."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hdfsd.base.errors import CorruptData, IOFault
from hdfsd.base.ids import TxId
from hdfsd.quorum.fetch import SegmentStream

HEADER = bytes.fromhex("ffffffbd00000000")


def frame(txid: int) -> bytes:
    head = struct.pack(">BIq", 24, 12, txid)
    return head + struct.pack(">I", zlib.crc32(head))


def frames(first: int, last: int) -> bytes:
    return b"".join(frame(txid) for txid in range(first, last + 1))


class Peer:
    """Client and reply in one."""

    reason = "as told"

    def __init__(self, body: bytes, piece: int = 50, status: int = 200, told: bool = True) -> None:
        self.body = body
        self.piece = piece
        self.status = status
        self.headers = {"content-length": str(len(body))} if told else {}
        self.closed = False

    async def request(self, method: str, url: str, **_: Any) -> Peer:
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), self.piece):
            yield self.body[start : start + self.piece]

    async def close(self) -> None:
        self.closed = True


async def opened(peer: Any, last: int = 20) -> SegmentStream:
    stream = SegmentStream("http://jn1/getJournal", TxId(1), TxId(last))
    await stream.open(peer, connect_ms=1, read_ms=1)
    return stream


@pytest.mark.parametrize("piece", [1, 16, 17, 50, 10_000])
@pytest.mark.parametrize("max_txns", [1, 3, 7, 100])
@pytest.mark.parametrize("since", [1, 2, 19, 20])
def test_reading_on(piece: int, max_txns: int, since: int) -> None:
    async def story() -> None:
        body = (HEADER + frames(1, 25)).ljust(2000, b"\xff")
        stream = await opened(Peer(body, piece))
        read, txid = b"", since
        while (run := await stream.take(TxId(txid), max_txns)) is not None:
            assert run.first_txid == txid
            assert 1 <= run.count <= max_txns
            read, txid = read + run.data, run.last_txid + 1
            assert stream.next_txid >= txid
        assert read == frames(since, 20)
        assert stream.layout_version == -67
        await stream.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (HEADER + frames(1, 9), "ends before txid 20: no more transactions"),
        ((HEADER + frames(1, 9)).ljust(1000, b"\xff"), "ends before txid 20"),
        (HEADER + frames(1, 9) + frames(11, 30), "txid 11 after 9"),
        (b"<html>" * 30, "not a segment header"),
        (b"", "no more transactions"),
    ],
)
def test_a_copy_that_is_too_short(body: bytes, text: str) -> None:
    async def story() -> None:
        stream = await opened(Peer(body))
        with pytest.raises(CorruptData, match=text):
            while await stream.take(TxId(15), 5):
                pass
        await stream.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("peer", "text"), [(Peer(b"", status=404), "HTTP 404"), (Peer(b"", told=False), "No Content-")]
)
def test_a_journal_that_does_not_give_it(peer: Peer, text: str) -> None:
    with pytest.raises(IOFault, match=text):
        asyncio.run(opened(peer))
    assert peer.closed
