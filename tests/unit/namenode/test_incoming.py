"""An image on its way in: checked as it comes, kept when its sender may go on."""

from __future__ import annotations

import asyncio
import hashlib
import pathlib
from collections.abc import AsyncIterator

import pytest

from hdfsd.base.errors import CorruptData, OutcomeUnknown
from hdfsd.base.ids import TxId
from hdfsd.io.disk import RealDisk
from hdfsd.namenode.incoming import Announced, IncomingImage

DATA = b"0123456789"
ANNOUNCED = Announced(TxId(3), len(DATA), hashlib.md5(DATA).hexdigest())


async def body(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


def made(where: pathlib.Path, announced: Announced = ANNOUNCED) -> IncomingImage:
    return IncomingImage(RealDisk(), announced, [str(where / "one"), str(where / "two")])


def test_it_comes_in_pieces_and_after_a_break(tmp_path: pathlib.Path) -> None:
    async def story() -> None:
        incoming = made(tmp_path)
        await incoming.begin()
        with pytest.raises(OutcomeUnknown):
            await incoming.take(body(DATA[:3], DATA[3:4], error=OutcomeUnknown("cut")))
        assert incoming.done == 4
        await incoming.take(body(DATA[4:]))
        written = await incoming.finish()
        assert (written.size, written.md5_hex) == (10, ANNOUNCED.md5_hex)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == DATA

    asyncio.run(story())


def test_what_lies_there_from_before_does_not_count(tmp_path: pathlib.Path) -> None:
    async def story() -> None:
        (tmp_path / "one").write_bytes(b"much longer than what comes now")
        incoming = made(tmp_path)
        await incoming.begin()
        await incoming.take(body(DATA))
        await incoming.finish()
        assert (tmp_path / "one").read_bytes() == DATA

    asyncio.run(story())


@pytest.mark.parametrize(
    ("announced", "cause"),
    [
        (Announced(TxId(3), 9, None), "more than the announced 9 bytes"),
        (Announced(TxId(3), 11, None), "11 bytes were announced"),
        (Announced(TxId(3), 10, "0" * 32), "MD5"),
    ],
)
def test_what_was_not_announced_is_not_taken(
    tmp_path: pathlib.Path, announced: Announced, cause: str
) -> None:
    async def story() -> None:
        incoming = made(tmp_path, announced)
        await incoming.begin()
        with pytest.raises(CorruptData, match=cause):
            await incoming.take(body(DATA))
            await incoming.finish()
        await incoming.drop()
        assert list(tmp_path.iterdir()) == []

    asyncio.run(story())
