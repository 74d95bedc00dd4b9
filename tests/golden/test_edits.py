"""Edit segments that Hadoop wrote or read: decoded, re-encoded, rendered, to the same bytes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from hdfsd.base.errors import CorruptData
from hdfsd.editlog import codec, segment, xml
from hdfsd.editlog.ops import OP_CLASSES

DATA = Path(__file__).parent / "data"
RENDERED = sorted(path.name.removesuffix(".xml.gz") for path in DATA.glob("edits*.xml.gz"))
RANGES = {
    "edits_0000000000000000001-0000000000000000330": (1, 330, 23240),
    "edits_0000000000000000331-0000000000000000382": (331, 382, 3666),
    "edits_inprogress_0000000000000000383": (383, 392, 689),
    "edits_plain": (3, 156, 11723),
}


def read(name: str) -> bytes:
    path = DATA / name
    return path.read_bytes() if path.exists() else gzip.decompress(read(f"{name}.gz"))


@pytest.mark.parametrize("name", RANGES)
def test_scan_finds_the_last_op_and_its_end(name: str) -> None:
    found = segment.scan(read(name), name)
    first_txid, last_txid, end = RANGES[name]
    assert (found.first_txid, found.last_txid, found.end_offset) == (first_txid, last_txid, end)
    assert found.op_count == last_txid - first_txid + 1
    assert found.damage is None


@pytest.mark.parametrize("name", [*RANGES, "edits_compressed", "all-opcodes.edits"])
def test_decoded_ops_encode_to_the_same_bytes(name: str) -> None:
    data = read(name)
    layout_version, offset = segment.read_header(data, name)
    while not codec.at_clean_end(data, offset):
        op, txid, end = codec.decode_frame(data, offset, layout_version, name)
        assert codec.encode(op, txid) == data[offset:end], op
        offset = end
    assert offset == segment.scan(data, name).end_offset


@pytest.mark.parametrize("name", [*RENDERED, "all-opcodes.edits"])
def test_rendered_as_hadoop_renders_it(name: str) -> None:
    data = read(name)
    layout_version, offset = segment.read_header(data, name)
    ops = codec.iter_ops(data, layout_version, offset, name)
    expected = read(f"{name.removesuffix('.edits')}.xml").decode()
    assert "".join(xml.render(ops, layout_version)) == expected


def test_the_samples_hold_every_opcode() -> None:
    data = read("all-opcodes.edits")
    kinds = {type(op) for op, _ in codec.iter_ops(data, offset=segment.HEADER_BYTES)}
    assert kinds == set(OP_CLASSES)


def test_a_preallocated_segment_with_something_in_its_padding_is_damaged() -> None:
    name = "edits_inprogress_0000000000000000383"
    data = bytearray(read(name))
    data[-1] = 0x01
    found = segment.scan(bytes(data), name)
    assert found.last_txid == 392
    assert isinstance(found.damage, CorruptData)
    assert found.damage.offset == found.end_offset == 689
