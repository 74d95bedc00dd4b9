"""Frames and varints: whole, byte by byte, with bad lengths."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import PeerError
from hdfsd.wire.framing import (
    FrameReader,
    delimited,
    frame,
    read_delimited,
    read_varint,
    varint,
    zigzag,
)

VARINTS = [
    (0, "00"),
    (1, "01"),
    (127, "7f"),
    (128, "8001"),
    (300, "ac02"),
    (2**32 - 1, "ffffffff0f"),
    (2**64 - 1, "ffffffffffffffffff01"),
]


@pytest.mark.parametrize(("value", "hexed"), VARINTS)
def test_varint_both_ways(value: int, hexed: str) -> None:
    data = bytes.fromhex(hexed)
    assert varint(value) == data
    assert read_varint(b"xx" + data + b"yy", 2) == (value, 2 + len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\xff" * 10, b"\xff" * 40])
def test_varint_cut_or_too_long(data: bytes) -> None:
    with pytest.raises(PeerError, match="varint at offset 0"):
        read_varint(data, 0)


@pytest.mark.parametrize("value", [-1, 2**64])
def test_varint_refuses_what_does_not_fit(value: int) -> None:
    with pytest.raises(ValueError):
        varint(value)


@pytest.mark.parametrize(
    ("value", "coded"), [(0, 0), (-1, 1), (1, 2), (-2, 3), (-33, 65), (2**31 - 1, 2**32 - 2)]
)
def test_zigzag(value: int, coded: int) -> None:
    assert zigzag(value) == coded


@given(st.binary(max_size=300), st.binary(max_size=20))
@settings(derandomize=True, deadline=None, max_examples=100)
def test_delimited_both_ways(body: bytes, rest: bytes) -> None:
    data = b"??" + delimited(body) + rest
    assert read_delimited(data, 2) == (body, len(data) - len(rest))


def test_delimited_cut_at_every_byte() -> None:
    data = delimited(b"x" * 200)
    for length in range(len(data)):
        with pytest.raises(PeerError):
            read_delimited(data[:length], 0)


def test_delimited_with_a_length_of_two_exbibytes() -> None:
    with pytest.raises(PeerError, match="message of"):
        read_delimited(varint(2**61) + b"abc", 0)


BODIES = [b"", b"a", b"b" * 127, b"c" * 128, b"d" * 70_000]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, 65536, 10**6])
def test_frames_in_pieces(step: int) -> None:
    stream = b"".join(frame(body) for body in BODIES)
    reader, got = FrameReader(), []
    for offset in range(0, len(stream), step):
        got += reader.feed(stream[offset : offset + step])
    assert got == BODIES
    assert reader.error is None
    assert not reader.waiting


@given(st.lists(st.binary(max_size=40), max_size=8), st.data())
@settings(derandomize=True, deadline=None, max_examples=100)
def test_frames_cut_anywhere(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(body) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reader, got = FrameReader(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)]):
        got += reader.feed(stream[start:stop])
    assert got == bodies


@pytest.mark.parametrize("size", [-1, -(2**31), 101, 2**31 - 1])
@pytest.mark.parametrize("step", [1, 1000])
def test_bad_length_comes_after_the_good_frames(size: int, step: int) -> None:
    stream = frame(b"first") + frame(b"") + struct.pack(">i", size) + frame(b"never")
    reader, got = FrameReader(100), []
    for offset in range(0, len(stream), step):
        got += reader.feed(stream[offset : offset + step])
    assert got == [b"first", b""]
    assert reader.error == f"frame length {size} is not within 0..100"


def test_frame_of_exactly_the_limit() -> None:
    reader = FrameReader(100)
    assert reader.feed(frame(b"x" * 100)) == [b"x" * 100]


def test_an_announced_length_allocates_nothing() -> None:
    reader = FrameReader()
    assert reader.feed(struct.pack(">i", 128 * 1024 * 1024) + b"abc") == []
    assert reader.waiting
    assert len(reader._buffer) == 7
