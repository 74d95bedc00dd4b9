"""One segment, checked: what is a problem, and what a crash leaves."""

from __future__ import annotations

import pytest

from hdfsd.editlog import ops, segment
from hdfsd.editlog.checkup import SegmentCheck, SegmentReport
from hdfsd.editlog.codec import encode
from hdfsd.editlog.files import finalized_name, inprogress_name, parse_segment

PADDING = b"\xff" * 500


def frames(first: int, last: int) -> bytes:
    return b"".join(encode(ops.DeleteOp(f"/{txid}", 1), txid) for txid in range(first, last + 1))


def check(name: str, data: bytes, piece: int = 1 << 20) -> SegmentReport:
    file = parse_segment(name)
    assert file is not None
    checking = SegmentCheck(file)
    for start in range(0, len(data), piece):
        checking.feed(data[start : start + piece])
    return checking.finish()


def said(name: str, data: bytes) -> tuple[list[str], list[str]]:
    report = check(name, data)
    return list(report.problems()), list(report.notes())


WHOLE = segment.header() + frames(5, 9)
OPEN, CLOSED = inprogress_name(5), finalized_name(5, 9)


@pytest.mark.parametrize("piece", [1, 13, 1 << 20])
def test_a_good_segment(piece: int) -> None:
    report = check(CLOSED, WHOLE, piece)
    assert (report.first_txid, report.last_txid, report.count) == (5, 9, 5)
    assert report.checksums[1] == int.from_bytes(encode(ops.DeleteOp("/6", 1), 6)[-4:], "big")
    assert (list(report.problems()), list(report.notes())) == ([], [])
    assert report.size_bytes == len(WHOLE)


def test_padding_is_a_clean_end_and_a_torn_end_is_no_problem() -> None:
    assert said(OPEN, WHOLE + PADDING) == ([], [])
    problems, notes = said(OPEN, WHOLE + encode(ops.DeleteOp("/10", 1), 10)[:-2] + PADDING)
    assert problems == []
    assert "torn end" in notes[0]


def test_a_torn_end_behind_the_last_of_a_finalized_segment_is_no_problem() -> None:
    problems, notes = said(CLOSED, WHOLE + b"\x02\x00\x00")
    assert problems == []
    assert "torn end" in notes[0]


def test_an_open_segment_without_transactions() -> None:
    assert said(OPEN, segment.header() + PADDING) == ([], ["holds no transaction yet"])
    assert said(OPEN, b"")[1] == [
        "has a torn end, which counts for nothing: at offset 0: the file ends before its header"
    ]


def flipped(at: int) -> bytes:
    data = bytearray(WHOLE)
    data[at] ^= 1
    return bytes(data)


@pytest.mark.parametrize("name", [OPEN, CLOSED])
@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_a_flipped_bit_in_the_middle(name: str, piece: int) -> None:
    at = len(segment.header() + frames(5, 6)) + 20
    report = check(name, flipped(at), piece)
    assert report.last_txid == 6
    assert report.good_txid_behind == 8
    problems = list(report.problems())
    assert "wrong checksum of the op with txid 7" in problems[0]
    assert "txid 8, stands behind it" in problems[0]
    assert list(report.notes()) == []


WRONG = [
    (CLOSED, segment.header() + frames(5, 8), "ends at 8, its name says 9"),
    (CLOSED, segment.header(), "holds nothing, its name says 9"),
    (CLOSED, flipped(0), "says that its layout is -16777283, not one that has frames"),
    (CLOSED, b"hello, I am no segment", "holds nothing, its name says 9 (at offset 0: not a seg"),
    (OPEN, segment.header() + frames(4, 9), "begins with txid 4, its name says 5"),
    (
        CLOSED,
        segment.header() + frames(5, 6) + frames(8, 9),
        "txid 8 after 6; a good operation, txid 9, stands behind it",
    ),
]


@pytest.mark.parametrize(("name", "data", "text"), WRONG)
def test_problems(name: str, data: bytes, text: str) -> None:
    assert text in "; ".join(said(name, data)[0])


def test_a_newer_layout_is_told() -> None:
    assert said(OPEN, segment.header(-70) + frames(5, 9))[1] == ["has layout -70, newer than -67"]


@pytest.mark.parametrize("hole", [b"", bytes(40)])
def test_what_counts_ends_where_the_name_says(hole: bytes) -> None:
    report = check(CLOSED, WHOLE + hole + frames(10, 11))
    assert report.end_txid == 9
    assert list(report.problems()) == []
    assert report.surplus() == f"holds txids up to {10 if hole else 11} behind its end 9"


def test_what_ends_there_has_nothing_behind_it() -> None:
    assert check(CLOSED, WHOLE).surplus() is None
    assert check(OPEN, WHOLE).surplus() is None
    assert check(CLOSED, segment.header() + frames(5, 6) + frames(8, 9)).surplus() is None
