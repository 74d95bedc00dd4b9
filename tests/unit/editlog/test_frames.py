"""Frames cut from pieces of every size; damage is found where it is."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import TxId
from hdfsd.editlog.frames import FRAME_BYTES_MAX, FrameScanner, Run, check_run, offset_of

HEADER = bytes.fromhex("ffffffbd00000000")


def frame(txid: int, body: bytes = b"", opcode: int = 24) -> bytes:
    head = struct.pack(">BIq", opcode, 12 + len(body), txid) + body
    return head + struct.pack(">I", zlib.crc32(head))


FRAMES = [frame(171), frame(172, b"x" * 40, 3), frame(173, b"", 23)]
SEGMENT = HEADER + b"".join(FRAMES)


def scan(data: bytes, piece_bytes: int) -> tuple[FrameScanner, list[Run]]:
    scanner = FrameScanner("edits")
    runs = []
    for start in range(0, len(data), piece_bytes):
        run = scanner.feed(data[start : start + piece_bytes])
        if run is not None:
            runs.append(run)
    scanner.finish()
    return scanner, runs


def test_the_sample_of_a_real_segment() -> None:
    """Wire fact editlog.md section 2: the first 25 bytes of a segment at txid 171."""
    real = bytes.fromhex("ffffffbd00000000180000000c00000000000000ab4640ba41")
    scanner, runs = scan(real + b"\xff" * 100, 1000)
    assert (scanner.first_txid, scanner.last_txid, scanner.end_offset) == (171, 171, 25)
    assert (scanner.layout_version, scanner.damage) == (-67, None)
    assert runs == [Run(TxId(171), 1, real[8:])]


@pytest.mark.parametrize("tail", [b"", b"\xff", b"\xff" * 30, b"\xff" + b"\x00" * 9])
@pytest.mark.parametrize("piece_bytes", [1, 2, 7, 17, 64, 1000])
def test_pieces_of_every_size(piece_bytes: int, tail: bytes) -> None:
    scanner, runs = scan(SEGMENT + tail, piece_bytes)
    assert scanner.damage is None
    assert (scanner.first_txid, scanner.last_txid) == (171, 173)
    assert scanner.end_offset == len(SEGMENT)
    assert b"".join(run.data for run in runs) == b"".join(FRAMES)
    txids = [txid for run in runs for txid in range(run.first_txid, run.last_txid + 1)]
    assert txids == [171, 172, 173]


@pytest.mark.parametrize("cut", range(len(SEGMENT)))
def test_cut_at_every_byte(cut: int) -> None:
    scanner, _ = scan(SEGMENT[:cut], 1000)
    ends = [8]
    for one in FRAMES:
        ends.append(ends[-1] + len(one))
    whole = sum(end <= cut for end in ends) - 1
    assert scanner.last_txid == (None if whole < 1 else 170 + whole)
    if cut in ends:
        assert scanner.damage is None
    else:
        assert scanner.damage is not None
        assert "ends" in str(scanner.damage)


@pytest.mark.parametrize(
    ("data", "last", "offset", "cause"),
    [
        (b"\x00" * 30, None, 0, "not a segment header"),
        (b"\xff" * 30, None, 0, "not a segment header"),
        (HEADER + frame(0), None, 8, "txid 0"),
        (HEADER + frame(1) + frame(3), 1, 25, "txid 3 after 1"),
        (HEADER + frame(1) + frame(1), 1, 25, "txid 1 after 1"),
        (HEADER + frame(1)[:-1] + b"\x00", None, 8, "wrong checksum"),
        (HEADER + frame(1) + b"\x18\xff\xff\xff\xff" + b"z" * 20, 1, 25, "an op of 4294967300"),
        (HEADER + frame(1) + b"\x18\x00\x00\x00\x0b" + b"z" * 20, 1, 25, "an op of 16"),
        (HEADER + frame(1) + b"\xff\x00\x01\xff", 1, 25, "neither ops nor padding"),
    ],
)
def test_damage(data: bytes, last: int | None, offset: int, cause: str) -> None:
    for piece_bytes in (1000, 1):
        scanner, _ = scan(data, piece_bytes)
        assert scanner.last_txid == last
        assert scanner.damage is not None
        assert cause in str(scanner.damage)
        if piece_bytes == 1000:
            assert scanner.damage.offset == offset


def test_nothing_is_taken_after_damage() -> None:
    scanner, _ = scan(HEADER + frame(1) + frame(3), 1000)
    assert scanner.feed(frame(2)) is None
    assert scanner.last_txid == 1


def test_a_length_at_the_limit_is_waited_for() -> None:
    scanner = FrameScanner("edits")
    head = struct.pack(">BIq", 3, FRAME_BYTES_MAX - 5, 1)
    assert scanner.feed(HEADER + head) is None
    assert scanner.damage is None


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=20), st.data())
def test_offsets(bodies: list[bytes], data: st.DataObject) -> None:
    frames = [frame(10 + i, body) for i, body in enumerate(bodies)]
    index = data.draw(st.integers(0, len(frames)))
    assert offset_of(b"".join(frames), 10, 10 + index) == len(b"".join(frames[:index]))


def test_offset_behind_the_end() -> None:
    for txid in (173, 400):
        with pytest.raises(CorruptData):
            offset_of(frame(171), 171, txid)
    with pytest.raises(CorruptData, match="torn"):
        offset_of(frame(171)[:-3], 171, 172)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.data())
def test_a_run_is_good_when_a_scanner_takes_all_of_it(
    bodies: list[bytes], data: st.DataObject
) -> None:
    """The straight loop against the one that looks at every frame by itself."""
    frames = [frame(171 + number, body) for number, body in enumerate(bodies)]
    run = b"".join(frames)
    check_run(run, 171, len(frames))
    place = data.draw(st.integers(0, len(run) - 1))
    flipped = run[:place] + bytes([run[place] ^ data.draw(st.integers(1, 255))]) + run[place + 1 :]
    scanner, _ = scan(HEADER + flipped, 1 << 20)
    assert scanner.last_txid != 170 + len(frames)
    with pytest.raises(CorruptData) as refused:
        check_run(flipped, 171, len(frames))
    good = 0
    while good < len(frames) and flipped.startswith(b"".join(frames[: good + 1])):
        good += 1
    assert refused.value.offset == len(b"".join(frames[:good]))


@pytest.mark.parametrize(
    ("first", "count", "cause"),
    [
        (172, 3, "no whole op of txid 172"),
        (171, 2, "3 transactions, not 2"),
        (171, 4, "3 transactions, not 4"),
    ],
)
def test_a_run_of_other_transactions_than_is_said(first: int, count: int, cause: str) -> None:
    with pytest.raises(CorruptData, match=cause):
        check_run(b"".join(FRAMES), first, count)
