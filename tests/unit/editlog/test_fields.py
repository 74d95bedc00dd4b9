"""Field types: known bytes, both ways, and bytes that are none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import IllegalArgument
from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.editlog import fields, ops
from hdfsd.editlog.fields import MALFORMED, FieldType

RULES = settings(derandomize=True, deadline=None, max_examples=200)
LONGS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def block(block_id: int, num_bytes: int, gen_stamp: int) -> Block:
    return Block(BlockId(block_id), num_bytes, GenStamp(gen_stamp))


KNOWN: list[tuple[FieldType, Any, str]] = [
    (fields.I8, -1, "ff"),
    (fields.I16, -2, "fffe"),
    (fields.MODE, 0o177777, "ffff"),
    (fields.I32, -67, "ffffffbd"),
    (fields.I64, 171, "00000000000000ab"),
    (fields.BOOL, True, "01"),
    (fields.UTF8, "", "0000"),
    (fields.UTF8, "é中", "0005c3a9e4b8ad"),
    # Measured with Hadoop's FSImageSerialization: surrogates apart, NUL as two bytes.
    (fields.UTF8, "a\0b", "000461c08062"),
    (fields.UTF8, "\U0001f600x", "0007eda0bdedb88078"),
    (fields.UTF8_ARRAY32, ("a", ""), "000000020001610000"),
    (fields.BYTES32, b"\x01\x02", "000000020102"),
    (fields.CLIENT_ID, b"", "0000"),
    (fields.CALL_ID, -2, "fffffffe"),
    (
        fields.PERMISSION_STATUS,
        ops.PermissionStatus("ann", "", 0o1755),
        "03616e6e0003ed",
    ),
    (
        fields.BLOCKS_FULL,
        (block(-16, 5, 1001),),
        "00000001fffffffffffffff0000000000000000500000000000003e9",
    ),
    (
        fields.BLOCKS_COMPACT,
        (block(1, 4096, 1001), block(2, 0, 1002)),
        "0200000000000000018e10008e03e90000000000000002860fff01",
    ),
    (fields.OPTIONAL_BLOCK, None, "00"),
    (
        fields.ACL_LIST,
        (ops.AclEntry(0, 0, 7, "bob"), ops.AclEntry(3, 1, 4)),
        "00000002470003626f623c",
    ),
    (fields.XATTR_LIST, (), "00"),
    (fields.XATTR_LIST, (ops.XAttr(1, "t", b"\0"),), "0a120808011201741a0100"),
    (fields.XATTR_PB, ("/d", (ops.XAttr(0, "x"),)), "0b0a022f6412050800120178"),
    (fields.ACL_PB, ("/", (ops.AclEntry(1, 0, 5),)), "0b0a012f1206080110001805"),
    (fields.KEY, ops.DelegationKey(1, -1, None), "01ffff"),
    (fields.KEY, ops.DelegationKey(1, 200, b"k"), "018fc8016b"),
    (
        fields.TOKEN,
        ops.DelegationTokenIdentifier("o", "", "r", 1, 2, 3, 4),
        "00016f00017201020304",
    ),
    (
        fields.DIRECTIVE,
        ops.CacheDirective(1, None, 2, None, None),
        "0000000000000001000000020002",
    ),
    (
        fields.POOL,
        ops.CachePool("p", "o", None, 0o750, None, None, 1),
        "0001700000002500016f01e80001",
    ),
    (
        fields.EC_POLICY,
        ops.ErasureCodingPolicy("rs", 3, 2, 64, (("k", "v"),)),
        "000272730000000300000002000000400000000100016b000176",
    ),
]


@pytest.mark.parametrize(("kind", "value", "raw"), KNOWN, ids=lambda v: str(v)[:40])
def test_known_bytes_both_ways(kind: FieldType, value: object, raw: str) -> None:
    data = bytes.fromhex(raw)
    assert kind.write(value) == data
    assert kind.read(b"??" + data + b"!!", 2) == (value, 2 + len(data))


@pytest.mark.parametrize(("kind", "value", "raw"), KNOWN, ids=lambda v: str(v)[:40])
def test_cut_at_every_byte_is_noticed(kind: FieldType, value: object, raw: str) -> None:
    """Either the reader complains, or its end lies beyond the data, or the value is another."""
    data = bytes.fromhex(raw)
    for size in range(len(data)):
        try:
            got, end = kind.read(data[:size], 0)
        except MALFORMED:
            continue
        assert end > size or got != value


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (fields.BYTES32, "ffffffff"),
        (fields.UTF8_ARRAY32, "80000000"),
        (fields.BLOCKS_FULL, "ffffffff"),
        (fields.BLOCKS_FULL, "7fffffff"),
        (fields.BLOCKS_COMPACT, "ff"),
        (fields.BLOCKS_COMPACT, "01000000000000000180ffffffffffffffff00"),
        (fields.BLOCKS_COMPACT, "02" + ("0000000000000001887fffffffffffffff00") * 2),
        (fields.LAST_BLOCKS, "00"),
        (fields.LAST_BLOCKS, "03" + ("00000000000000010000") * 3),
        (fields.OPTIONAL_BLOCK, "02" + ("00000000000000010000") * 2),
        (fields.ACL_LIST, "ffffffff"),
        (fields.PERMISSION_STATUS, "ff000000"),
        (fields.PERMISSION_STATUS, "01ff000000"),
        (fields.UTF8, "0001ff"),
        (fields.UTF8, "0003eda0bd"),
        (fields.XATTR_PB, "00"),
        (fields.XATTR_PB, "ffffffffff7f"),
        (fields.XATTR_PB, "080a022f6412020800"),
        (fields.XATTR_LIST, "0412020800"),
        (fields.XATTR_LIST, "0412020809"),
        (fields.ACL_PB, "00"),
        (fields.TOKEN, "01"),
        (fields.KEY, "0101fe"),
        (fields.KEY, "8b010000000001ff"),
        (fields.DIRECTIVE, "000000000000000100000010"),
        (fields.POOL, "00017000000040"),
        (fields.EC_POLICY, "0000000000030000000200000040ffffffff"),
    ],
)
def test_bytes_that_are_no_value(kind: FieldType, raw: str) -> None:
    with pytest.raises(MALFORMED):
        kind.read(bytes.fromhex(raw), 0)


@given(LONGS)
@RULES
def test_variable_integers_both_ways(value: int) -> None:
    data = fields.write_vlong(value)
    assert fields.read_vlong(data, 0) == (value, len(data))
    assert len(data) == 1 if -112 <= value <= 127 else 1 < len(data) <= 9


@pytest.mark.parametrize("value", [-113, -112, -1, 0, 127, 128, 255, 256, -256, -257])
def test_variable_integers_at_their_edges(value: int) -> None:
    data = fields.write_vlong(value)
    assert fields.read_vlong(data, 0) == (value, len(data))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_number_beyond_64_bits_is_refused(value: int) -> None:
    with pytest.raises(OverflowError):
        fields.write_vlong(value)


@given(TEXTS)
@RULES
def test_strings_both_ways(text: str) -> None:
    data = fields.encode_utf8(text)
    assert fields.read_utf8(data, 0) == (text, len(data))
    assert b"\0" not in data[2:]


def test_four_byte_sequences_are_read_too() -> None:
    assert fields.decode_utf8("\U0001f600".encode()) == "\U0001f600"


def test_a_string_that_does_not_fit_is_refused_not_cut() -> None:
    assert len(fields.encode_utf8("x" * 65535)) == 65537
    with pytest.raises(IllegalArgument, match="65536 bytes does not fit"):
        fields.encode_utf8("x" * 65536)


def test_equal_permissions_are_one_object() -> None:
    data = fields.write_permission_status(ops.PermissionStatus("u", "g", 0o644))
    first, _ = fields.read_permission_status(data, 0)
    second, _ = fields.read_permission_status(b"!" + data, 1)
    assert first is second
