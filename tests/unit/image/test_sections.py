"""The file around the sections: what is written is read; everything else is a precise error."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import CorruptData, NotBuilt
from hdfsd.image import sections
from hdfsd.image.sections import (
    DEFAULT_CODEC,
    MAGIC,
    NO_CODEC,
    ImageReader,
    Records,
    delimited,
    write,
)
from hdfsd.wire.messages import Message
from hdfsd.wire.messages import fsimage as pb

RULES = settings(derandomize=True, deadline=None, max_examples=200)
ENTRY = pb.StringTableSection.Entry
CODECS = [NO_CODEC, *sections.ZLIB_WINDOW]


def strings(count: int) -> list[bytes]:
    head = pb.StringTableSection(numEntry=count, maskBits=3)
    return [delimited(head), *(delimited(ENTRY(id=i, str=f"name {i}")) for i in range(count))]


def image(codec: str = NO_CODEC, layout_version: int = -67, **named: Iterable[bytes]) -> bytes:
    return b"".join(write(named.items(), layout_version, codec))


def with_summary(body: bytes, summary: Message) -> bytes:
    trailer = delimited(summary)
    return MAGIC + body + trailer + struct.pack(">i", len(trailer))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("count", [0, 1, 300])
def test_what_is_written_is_read(codec: str, count: int) -> None:
    info = pb.NameSystemSection(namespaceId=7)
    data = image(codec, NS_INFO=[delimited(info)], STRING_TABLE=strings(count))
    reader = ImageReader(data, "image")
    assert (reader.codec, reader.layout_version) == (codec, -67)
    assert list(reader.sections) == ["NS_INFO", "STRING_TABLE"]
    assert list(reader.messages("NS_INFO")) == [info]
    read = list(reader.messages("STRING_TABLE"))
    assert [delimited(message) for message in read] == strings(count)
    assert list(reader.messages("INODE")) == []


def test_chunks_stay_small_however_long_a_section_is() -> None:
    record = delimited(ENTRY(id=1, str="x" * 1000))
    chunks = list(write([("INODE_DIR", (record for _ in range(3000)))]))
    assert len(chunks) > 3
    assert max(map(len, chunks)) < sections.CHUNK_BYTES + len(record)


def test_a_compressed_image_has_an_empty_stream_before_its_summary() -> None:
    data = image(DEFAULT_CODEC, NS_INFO=[])
    assert zlib.compress(b"") in data
    offset, length = ImageReader(data, "image").sections["NS_INFO"]
    assert data[offset + length :].startswith(zlib.compress(b""))


@given(st.binary(max_size=300))
@RULES
def test_records_both_ways(raw: bytes) -> None:
    message = ENTRY(id=3, str=raw.hex())
    data = b"??" + delimited(message) + b"!"
    records = Records(data, 2, len(data) - 1, "image")
    assert records.take(ENTRY) == message
    assert not records
    records.finish()


# -- damage ----------------------------------------------------------------------------------


def corrupt(data: bytes) -> CorruptData:
    """The error of reading an image and all that is in it."""
    with pytest.raises(CorruptData) as caught:
        read_all(data)
    assert caught.value.where.startswith("image")
    return caught.value


def read_all(data: bytes) -> None:
    reader = ImageReader(data, "image")
    for name in reader.sections:
        for _ in reader.messages(name):
            pass


SAMPLE = image(NS_INFO=[delimited(pb.NameSystemSection(namespaceId=7))], STRING_TABLE=strings(4))


def test_an_image_cut_at_every_byte() -> None:
    for size in range(len(SAMPLE)):
        corrupt(SAMPLE[:size])


@pytest.mark.parametrize("codec", [NO_CODEC, DEFAULT_CODEC])
def test_a_flipped_bit_gives_another_image_or_a_precise_error(codec: str) -> None:
    sample = image(codec, STRING_TABLE=strings(2))
    for bit in range(len(sample) * 8):
        data = bytearray(sample)
        data[bit // 8] ^= 1 << bit % 8
        with suppress(CorruptData, NotBuilt):  # nothing else may come
            read_all(bytes(data))


@given(st.binary(max_size=100))
@RULES
def test_random_bytes_are_no_image(data: bytes) -> None:
    corrupt(data)
    corrupt(MAGIC + data)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"offset": 7}, "section STRING_TABLE lies at 7..12, outside"),
        ({"offset": 8, "length": 2**40}, "outside"),
        ({"offset": 2**63, "length": 2**63}, "outside"),
        ({"length": 4}, "a record of 4 bytes, 3 are left"),
        ({"length": 0}, "the section ends where a record's length should stand"),
        ({"offset": 9, "length": 4}, ""),
    ],
)
def test_wrong_places_and_lengths(change: dict[str, int], reason: str) -> None:
    body = delimited(pb.StringTableSection(numEntry=0, maskBits=3))
    assert len(body) == 5
    place = {"offset": 8, "length": 5} | change
    summary = pb.FileSummary(ondiskVersion=1, layoutVersion=2**32 - 67)
    summary.sections.add(name="STRING_TABLE", **place)
    assert reason in str(corrupt(with_summary(body, summary)))


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (strings(3)[:-1], "the section ends where a record's length should stand"),
        ([*strings(3), b"\0"], "1 bytes follow the last record"),
        ([strings(1)[0], b"\x7f\x00"], "a record of 127 bytes, 1 are left"),
        ([strings(1)[0], b"\xff\xff\xff\xff\xff\x01"], "a record's length"),
        ([strings(1)[0], b"\x01\xff"], "no Entry"),
    ],
)
@pytest.mark.parametrize("codec", [NO_CODEC, DEFAULT_CODEC])
def test_sections_whose_records_do_not_add_up(
    codec: str, records: list[bytes], reason: str
) -> None:
    assert reason in str(corrupt(image(codec, STRING_TABLE=records)))


def test_a_record_without_its_required_fields() -> None:
    head = delimited(pb.INodeSection(numInodes=1))
    assert "INode without its required fields" in str(corrupt(image(INODE=[head, b"\0"])))


@pytest.mark.parametrize("version", [-68, -60, 0, 67])
def test_layouts_that_are_not_read(version: int) -> None:
    assert f"layout version {version} is not between -67 and -61" in str(
        corrupt(image(layout_version=version))
    )


def test_layouts_of_a_rolling_upgrade_are_read() -> None:
    assert ImageReader(image(layout_version=-61), "image").layout_version == -61


def test_another_on_disk_version() -> None:
    summary = pb.FileSummary(ondiskVersion=2, layoutVersion=2**32 - 67)
    assert "unknown on-disk version 2" in str(corrupt(with_summary(b"", summary)))


@pytest.mark.parametrize("size", [0, -1, 2**31 - 1])
def test_absurd_sizes_of_the_summary(size: int) -> None:
    assert f"a summary of {size} bytes" in str(corrupt(SAMPLE[:-4] + struct.pack(">i", size)))


def test_a_section_that_stands_there_twice() -> None:
    summary = pb.FileSummary(ondiskVersion=1, layoutVersion=2**32 - 67)
    for _ in range(2):
        summary.sections.add(name="NS_INFO", offset=8, length=0)
    assert "two sections NS_INFO" in str(corrupt(with_summary(b"", summary)))


def test_what_is_not_known_is_not_dropped() -> None:
    with pytest.raises(NotBuilt, match="section 'EXTENDED_ACL' is not known"):
        ImageReader(image(EXTENDED_ACL=[]), "image")
    summary = pb.FileSummary(ondiskVersion=1, layoutVersion=2**32 - 67, codec="x.SnappyCodec")
    with pytest.raises(NotBuilt, match=r"compressed by x\.SnappyCodec"):
        ImageReader(with_summary(b"", summary), "image")


def test_sub_sections_are_ranges_of_their_whole() -> None:
    body = b"".join(strings(2))
    summary = pb.FileSummary(ondiskVersion=1, layoutVersion=2**32 - 67)
    for name in sorted(sections.SUB_SECTIONS):
        summary.sections.add(name=name, offset=8, length=1)
    summary.sections.add(name="STRING_TABLE", offset=8, length=len(body))
    assert list(ImageReader(with_summary(body, summary), "image").sections) == ["STRING_TABLE"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda raw: raw[:-1], "is cut short"),
        (lambda raw: raw + b"x", "goes on behind its end"),
        (lambda raw: b"\0" + raw, "can't be decompressed"),
        (lambda raw: raw[:-1] + bytes((raw[-1] ^ 1,)), "can't be decompressed"),
    ],
)
def test_damaged_compressed_sections(damage: object, reason: str) -> None:
    assert callable(damage)
    body = damage(zlib.compress(b"".join(strings(2))))
    summary = pb.FileSummary(ondiskVersion=1, layoutVersion=2**32 - 67, codec=DEFAULT_CODEC)
    summary.sections.add(name="STRING_TABLE", offset=8, length=len(body))
    error = corrupt(with_summary(body, summary))
    assert reason in error.cause
    assert error.offset == 8


def test_a_bomb_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "SECTION_BYTES_MAX", 1000)
    data = image(DEFAULT_CODEC, STRING_TABLE=[bytes(100_000)])
    assert "is cut short" in corrupt(data).cause


def test_snapshot_diffs_follow_their_counts() -> None:
    section = pb.SnapshotDiffSection
    records = [
        section.DiffEntry(type=section.DiffEntry.DIRECTORYDIFF, inodeId=1, numOfDiff=1),
        section.DirectoryDiff(snapshotId=1, createdListSize=2),
        section.CreatedListEntry(name=b"a"),
        section.CreatedListEntry(name=b"b"),
        section.DiffEntry(type=section.DiffEntry.FILEDIFF, inodeId=2, numOfDiff=2),
        section.FileDiff(snapshotId=1),
        section.FileDiff(snapshotId=0),
    ]
    data = image(SNAPSHOT_DIFF=map(delimited, records))
    assert list(ImageReader(data, "image").messages("SNAPSHOT_DIFF")) == records
    corrupt(image(SNAPSHOT_DIFF=map(delimited, records[:-1])))
