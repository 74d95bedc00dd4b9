"""Segments: header, and how far the ops are good, whatever happened to the file."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import CorruptData
from hdfsd.editlog import codec, segment
from hdfsd.editlog.ops import DeleteOp, EndLogSegmentOp, StartLogSegmentOp
from hdfsd.editlog.segment import Scan, scan

RULES = settings(derandomize=True, deadline=None, max_examples=200)
OPS = (
    StartLogSegmentOp(),
    *(DeleteOp(f"/f{i}", i, bytes(16), i) for i in range(3)),
    EndLogSegmentOp(),
)
FIRST = 171
FRAMES = [codec.encode(op, FIRST + i) for i, op in enumerate(OPS)]
WHOLE = segment.header() + b"".join(FRAMES)
ENDS = [8 + sum(map(len, FRAMES[:count])) for count in range(len(FRAMES) + 1)]
"""Offset after so many ops."""


def ops_before(offset: int) -> int:
    return sum(end <= offset for end in ENDS[1:])


def test_header_both_ways() -> None:
    assert segment.header() == bytes.fromhex("ffffffbd00000000")
    assert segment.read_header(segment.header(), "s") == (-67, 8)
    assert segment.read_header(segment.header(-61), "s") == (-61, 8)
    assert segment.read_header(struct.pack(">i", -49), "s") == (-49, 4)
    # A JournalNode keeps what a newer NameNode writes.
    assert segment.read_header(segment.header(-70), "s") == (-70, 8)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut short: 0 bytes"),
        (WHOLE[:3], "cut short: 3 bytes"),
        (WHOLE[:7], "cut short: 7 bytes"),
        (bytes(8), "0 is no layout version"),
        (b"\xff" * 8, "-1 is no layout version"),
        (struct.pack(">ii", -46, 0), "-46 is no layout version"),
        (b"HDFSIMG1", "is no layout version"),
        (struct.pack(">ii", -67, 4), "layout flags of 4 bytes"),
    ],
)
def test_bad_headers(data: bytes, reason: str) -> None:
    for read in segment.read_header, scan:
        with pytest.raises(CorruptData, match=reason) as caught:
            read(data, "s")
        assert caught.value.where == "s"


@pytest.mark.parametrize("tail", [b"", b"\xff", b"\xff" * 4096, b"\xff" + bytes(100)])
def test_a_whole_segment_padded_or_not(tail: bytes) -> None:
    assert scan(WHOLE + tail, "s") == Scan(-67, FIRST, FIRST + 4, 5, len(WHOLE), None)


@pytest.mark.parametrize("tail", [b"", b"\xff" * 100])
def test_a_segment_without_ops(tail: bytes) -> None:
    assert scan(segment.header() + tail, "s") == Scan(-67, None, None, 0, 8, None)


@pytest.mark.parametrize("padding", [b"", b"\xff" * 300])
def test_cut_at_every_byte(padding: bytes) -> None:
    """A torn op ends the segment at the op before it; a cut between ops is a clean end."""
    for size in range(8, len(WHOLE)):
        found = scan(WHOLE[:size] + padding, "s")
        good = ops_before(size)
        assert found.op_count == good
        assert found.end_offset == ENDS[good]
        assert found.last_txid == (FIRST + good - 1 if good else None)
        assert (found.damage is None) == (size in ENDS)
        if found.damage is not None:
            assert (found.damage.where, found.damage.offset) == ("s", ENDS[good])


@given(st.integers(8 * 8, len(WHOLE) * 8 - 1))
@RULES
def test_a_flipped_bit_ends_the_scan_at_its_op(bit: int) -> None:
    data = bytearray(WHOLE)
    data[bit // 8] ^= 1 << bit % 8
    found = scan(bytes(data), "s")
    good = ops_before(bit // 8)
    assert (found.op_count, found.end_offset) == (good, ENDS[good])
    assert found.damage is not None
    assert found.damage.offset == ENDS[good]


@given(st.binary(max_size=200))
@RULES
def test_random_bytes_after_the_ops_are_damage_or_padding(tail: bytes) -> None:
    found = scan(WHOLE + tail, "s")
    assert found.end_offset == len(WHOLE)
    assert (found.damage is None) == (not tail or (tail[0] == 0xFF and not tail.strip(b"\0\xff")))


def test_txids_that_do_not_follow_are_damage() -> None:
    data = segment.header() + FRAMES[0] + FRAMES[2]
    found = scan(data, "s")
    assert (found.last_txid, found.end_offset) == (FIRST, ENDS[1])
    assert found.damage is not None
    assert "txid 173 stands where 172 must follow" in found.damage.cause


def test_nothing_behind_damage_counts() -> None:
    data = bytearray(WHOLE)
    data[ENDS[1]] ^= 1
    assert scan(bytes(data), "s").last_txid == FIRST


def test_a_scan_can_stop_early() -> None:
    found = scan(WHOLE, "s", last_txid_max=FIRST + 1)
    assert (found.last_txid, found.end_offset, found.damage) == (FIRST + 1, ENDS[2], None)
    assert scan(WHOLE, "s", last_txid_max=FIRST + 99).last_txid == FIRST + 4


def test_ops_of_a_newer_layout_are_scanned_not_read() -> None:
    body = struct.pack(">Biq", 99, 12 + 3, 7) + b"new"
    data = segment.header(-70) + body + struct.pack(">I", crc32(body))
    assert scan(data, "s") == Scan(-70, 7, 7, 1, len(data), None)


def test_a_segment_of_a_layout_without_lengths() -> None:
    body = struct.pack(">Bq", 24, 7)
    frame = body + struct.pack(">I", crc32(body))
    data = struct.pack(">i", -48) + frame
    assert scan(data, "s") == Scan(-48, 7, 7, 1, len(data), None)
    found = scan(data[:-1], "s")
    assert (found.op_count, found.end_offset) == (0, 4)
    assert found.damage is not None
