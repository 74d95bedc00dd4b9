"""Frames of ops: every opcode both ways, every kind of damage one precise error."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import CorruptData, IllegalArgument
from hdfsd.base.ids import Block
from hdfsd.editlog import codec, ops
from hdfsd.editlog.codec import FIELDS, Since, decode_frame, encode, iter_ops
from hdfsd.editlog.ops import EditOp

RULES = settings(derandomize=True, deadline=None, max_examples=150)

I64 = st.integers(-(2**63), 2**63 - 1)
I32 = st.integers(-(2**31), 2**31 - 1)
I16 = st.integers(-(2**15), 2**15 - 1)
SMALL = st.integers(0, 2**40)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
BLOCK = st.builds(Block, I64, SMALL, SMALL)
BLOCKS = st.lists(BLOCK, max_size=3).map(tuple)
ACL = st.builds(
    ops.AclEntry,
    st.integers(0, 3),
    st.integers(0, 1),
    st.integers(0, 7),
    st.none() | TEXT,
)
ACLS = st.lists(ACL, max_size=3).map(tuple)
XATTR = st.builds(ops.XAttr, st.integers(0, 4), TEXT, st.none() | st.binary(max_size=5))
XATTRS = st.lists(XATTR, max_size=3).map(tuple)
TOKEN = st.builds(ops.DelegationTokenIdentifier, TEXT, TEXT, TEXT, I64, I64, I32, I32)
OPTIONS = st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


VALUES: dict[int, st.SearchStrategy[Any]] = {
    id(codec.I8): st.integers(-128, 127),
    id(codec.I16): I16,
    id(codec.I32): I32,
    id(codec.I64): I64,
    id(codec.MODE): st.integers(0, 0xFFFF),
    id(codec.BOOL): st.booleans(),
    id(codec.UTF8): TEXT,
    id(codec.UTF8_ARRAY32): st.lists(TEXT, max_size=3).map(tuple),
    id(codec.BYTES32): st.binary(max_size=3),
    id(codec.CLIENT_ID): st.sampled_from([b"", bytes(range(16))]),
    id(codec.CALL_ID): I32,
    id(codec.PERMISSION_STATUS): st.builds(
        ops.PermissionStatus, TEXT, TEXT, st.integers(0, 0xFFFF)
    ),
    id(codec.BLOCKS_FULL): BLOCKS,
    id(codec.BLOCKS_COMPACT): BLOCKS,
    id(codec.LAST_BLOCKS): st.lists(BLOCK, min_size=1, max_size=2).map(tuple),
    id(codec.OPTIONAL_BLOCK): optional(BLOCK),
    id(codec.ACL_LIST): ACLS,
    id(codec.XATTR_LIST): XATTRS,
    id(codec.XATTR_PB): st.tuples(TEXT, XATTRS),
    id(codec.ACL_PB): st.tuples(TEXT, ACLS),
    id(codec.TOKEN): TOKEN,
    id(codec.KEY): st.builds(ops.DelegationKey, I32, I64, optional(st.binary(max_size=5))),
    id(codec.DIRECTIVE): st.builds(
        ops.CacheDirective, I64, optional(TEXT), optional(I16), optional(TEXT), optional(I64)
    ),
    id(codec.POOL): st.builds(
        ops.CachePool,
        TEXT,
        optional(TEXT),
        optional(TEXT),
        optional(st.integers(0, 0xFFFF)),
        optional(I64),
        optional(I64),
        optional(I16),
    ),
    id(codec.EC_POLICY): st.builds(ops.ErasureCodingPolicy, TEXT, I32, I32, I32, OPTIONS),
}


def ops_of(kind: type[EditOp]) -> st.SearchStrategy[EditOp]:
    """Any op of this class, by the field types that the codec's own table gives it."""
    types = [f.kind if isinstance(f, Since) else f for f in FIELDS[kind]]
    drawn = [VALUES[id(t)].map(lambda v, w=t.width: v if w > 1 else (v,)) for t in types]
    return st.tuples(*drawn).map(lambda parts: kind(*[v for part in parts for v in part]))


ANY_OP = st.sampled_from(ops.OP_CLASSES).flatmap(ops_of)
SAMPLE = ops.AddBlockOp("/d/f", (Block(1, 5, 7), Block(2, 0, 8)), bytes(16), 3)  # type: ignore[arg-type]


def frame_of(opcode: int, fields: bytes, txid: int = 1) -> bytes:
    body = struct.pack(">Biq", opcode, len(fields) + 12, txid) + fields
    return body + struct.pack(">I", crc32(body))


def test_the_table_has_every_op_and_fills_all_its_fields() -> None:
    assert set(FIELDS) == set(ops.OP_CLASSES)
    for kind, types in FIELDS.items():
        width = sum(f.kind.width if isinstance(f, Since) else f.width for f in types)
        assert width == len(dataclasses.fields(kind)), kind  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ops.OP_CLASSES, ids=lambda kind: kind.NAME)
def test_every_opcode_both_ways(kind: type[EditOp]) -> None:
    @given(ops_of(kind), st.integers(1, 2**62))
    @settings(RULES, max_examples=30)
    def both_ways(op: EditOp, txid: int) -> None:
        frame = encode(op, txid)
        assert decode_frame(b"??" + frame + b"!", 2) == (op, txid, 2 + len(frame))

    both_ways()


@given(ops_of(ops.AddOp) | ops_of(ops.CloseOp))
@RULES
def test_straight_code_agrees_with_the_table(op: EditOp) -> None:
    fields = codec.table_encoder(type(op))(op)
    assert encode(op, 9) == frame_of(op.OPCODE, fields, 9)
    assert codec.table_decoder(type(op), -67)(fields, 0) == (op, len(fields))
    assert decode_frame(encode(op, 9), 0)[0] == op


def test_known_frame() -> None:
    """The first op of a real segment (wire/editlog.md section 2)."""
    raw = bytes.fromhex("180000000c00000000000000ab4640ba41")
    assert encode(ops.StartLogSegmentOp(), 171) == raw
    assert decode_frame(raw, 0) == (ops.StartLogSegmentOp(), 171, 17)


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (ops.DeleteOp("x" * 65536, 1), "65536 bytes does not fit"),
        (ops.DeleteOp("/x", 2**63), "OP_DELETE does not fit"),
        (ops.SetReplicationOp("/x", 40000), "OP_SET_REPLICATION does not fit"),
        (ops.DeleteOp("\ud800", 1), "OP_DELETE does not fit"),
        (ops.ConcatDeleteOp("/x", ("y" * 65000,) * 900, 1), "at most 52428800"),
    ],
)
def test_what_does_not_fit_is_refused(op: EditOp, reason: str) -> None:
    with pytest.raises(IllegalArgument, match=reason):
        encode(op, 1)


# -- damage ----------------------------------------------------------------------------------


def corrupt(data: bytes, offset: int = 0, layout_version: int = -67) -> CorruptData:
    with pytest.raises(CorruptData) as caught:
        decode_frame(data, offset, layout_version, "segment")
    assert caught.value.where == "segment"
    return caught.value


def test_a_frame_cut_at_every_byte() -> None:
    frame = encode(SAMPLE, 5)
    for size in range(len(frame)):
        error = corrupt(b"???" + frame[:size], 3)
        assert error.offset == 3
        assert "cut short" in error.cause


@given(st.data())
@RULES
def test_a_flipped_bit_is_found_and_nothing_else_is_raised(data: st.DataObject) -> None:
    frame = bytearray(encode(data.draw(ANY_OP), 5))
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    assert corrupt(bytes(frame)).offset == 0


@given(st.integers(0, 255), st.binary(max_size=60), st.sampled_from([-67, -64, -57]))
@settings(RULES, max_examples=1500)
def test_fields_of_random_bytes_give_an_op_or_corrupt_data(
    opcode: int, fields: bytes, layout_version: int
) -> None:
    frame = frame_of(opcode, fields)
    try:
        _, _, end = decode_frame(frame, 0, layout_version)
    except CorruptData:
        return
    assert end == len(frame)


@given(st.binary(max_size=80), st.integers(-67, -47))
@settings(RULES, max_examples=500)
def test_random_bytes_in_any_layout_are_corrupt_data(data: bytes, layout_version: int) -> None:
    assert corrupt(data, 0, layout_version).offset == 0


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (11, "a size of 16 bytes; it must be 17 to 52428800"),
        (-1, "a size of 4 bytes"),
        (-(2**31), "a size of -2147483643 bytes"),
        (2**31 - 1, "a size of 2147483652 bytes"),
        (52428800 - 4, "a size of 52428801 bytes"),
        (52428800 - 5, "op 1 is cut short: 52428800 bytes are announced, 17 are left"),
    ],
)
def test_absurd_lengths(length: int, reason: str) -> None:
    assert reason in corrupt(struct.pack(">Biq", 24, length, 1) + b"\0\0\0\0").cause


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (frame_of(5, b""), "opcode 5 is obsolete (OP_DATANODE_ADD)"),
        (frame_of(53, b""), "opcode 53 is unknown"),
        (frame_of(255, b""), "opcode 255 is unknown"),
        (frame_of(24, b"\0"), "the fields of op 1 (OP_START_LOG_SEGMENT) take 0 bytes"),
        (frame_of(32, bytes(7)), "op 1 is malformed"),
        (frame_of(32, bytes(9)), "take 8 bytes, its frame holds 9"),
        (frame_of(29, b"\0\5/abc"), "take 7 bytes, its frame holds 6"),
        (frame_of(29, b"\0\1\xff"), "op 1 is malformed"),
    ],
)
def test_good_checksums_over_bad_fields(frame: bytes, reason: str) -> None:
    assert reason in corrupt(frame).cause


def test_a_wrong_checksum_is_named_with_both_values() -> None:
    frame = bytearray(encode(ops.StartLogSegmentOp(), 171))
    frame[-1] ^= 1
    assert corrupt(bytes(frame)).cause == (
        "the checksum of op 171 is 0x4640ba40, its bytes give 0x4640ba41"
    )


# -- layouts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "reason"), [(-68, "newer than -67"), (-46, "older than -47")])
def test_layouts_that_are_not_read(version: int, reason: str) -> None:
    assert reason in corrupt(encode(SAMPLE, 1), 0, version).cause
    with pytest.raises(CorruptData, match=reason):
        next(iter_ops(encode(SAMPLE, 1), version))


def fields_in(op: EditOp, layout_version: int) -> bytes:
    """As an old writer wrote them: a second, dumb encoder."""
    out = b""
    values = [getattr(op, f.name) for f in dataclasses.fields(op)]  # type: ignore[arg-type]
    for field, value in zip(FIELDS[type(op)], values, strict=True):
        if not isinstance(field, Since):
            out += field.write(value)
        elif layout_version <= field.layout_version:
            out += field.kind.write(value)
    return out


OLD_ADD = ops.AddOp(
    16386,
    "/d/f",
    3,
    1,
    2,
    4096,
    (Block(1, 2, 3),),  # type: ignore[arg-type]
    ops.PermissionStatus("u", "g", 0o644),
    (ops.AclEntry(0, 0, 7, "bob"),),
    (ops.XAttr(0, "x", b"v"),),
    "client",
    "127.0.0.1",
    True,
    7,
    1,
    bytes(16),
    4,
)
NOTHING_OLD: dict[str, Any] = {
    "acl_entries": (),
    "xattrs": (),
    "overwrite": False,
    "storage_policy_id": 0,
    "erasure_coding_policy_id": 0,
}


@pytest.mark.parametrize(
    ("layout_version", "missing"),
    [
        (-67, ()),
        (-64, ()),
        (-63, ("erasure_coding_policy_id",)),
        (-60, ("erasure_coding_policy_id",)),
        (-59, ("erasure_coding_policy_id", "storage_policy_id")),
        (-58, ("erasure_coding_policy_id", "storage_policy_id")),
        (-57, ("erasure_coding_policy_id", "storage_policy_id", "overwrite")),
        (-56, ("erasure_coding_policy_id", "storage_policy_id", "overwrite", "xattrs")),
        (-55, ("erasure_coding_policy_id", "storage_policy_id", "overwrite", "xattrs")),
        (-47, tuple(NOTHING_OLD)),
    ],
)
def test_add_in_older_layouts(layout_version: int, missing: tuple[str, ...]) -> None:
    fields = fields_in(OLD_ADD, layout_version)
    if layout_version > codec.LAYOUT_WITH_LENGTH:
        body = struct.pack(">Bq", 0, 7) + fields
        frame = body + struct.pack(">I", crc32(body))
    else:
        frame = frame_of(0, fields, 7)
    expected = dataclasses.replace(OLD_ADD, **{name: NOTHING_OLD[name] for name in missing})
    assert decode_frame(frame, 0, layout_version) == (expected, 7, len(frame))


def test_snapshot_ops_have_no_time_before_minus_66() -> None:
    op = ops.RenameSnapshotOp("/d", "a", "b", 0, b"", -2)
    frame = frame_of(28, fields_in(op, -65))
    assert decode_frame(frame, 0, -65) == (op, 1, len(frame))
    assert "malformed" in corrupt(frame).cause or "take" in corrupt(frame).cause


def test_a_frame_without_length_cut_at_every_byte() -> None:
    body = struct.pack(">Bq", 0, 7) + fields_in(OLD_ADD, -50)
    frame = body + struct.pack(">I", crc32(body))
    assert decode_frame(frame, 0, -50)[2] == len(frame)
    for size in range(len(frame)):
        assert corrupt(frame[:size], 0, -50).offset == 0


# -- streams ---------------------------------------------------------------------------------


@given(st.lists(ANY_OP, max_size=5), st.sampled_from([b"", b"\xff", b"\xff\xff\0", b"\xff" * 50]))
@RULES
def test_a_stream_ends_at_its_end_or_at_its_padding(stream: list[EditOp], tail: bytes) -> None:
    data = b"".join(encode(op, 40 + i) for i, op in enumerate(stream)) + tail
    assert list(iter_ops(data)) == [(op, 40 + i) for i, op in enumerate(stream)]


@pytest.mark.parametrize("tail", [b"\0", b"\xff\x01", b"\xff\xff\x18", b"\x18\xff"])
def test_a_tail_that_is_no_padding(tail: bytes) -> None:
    data = encode(SAMPLE, 1) + tail
    stream = iter_ops(data, where="segment")
    assert next(stream) == (SAMPLE, 1)
    with pytest.raises(CorruptData) as caught:
        next(stream)
    assert caught.value.offset == len(data) - len(tail)


def test_what_stands_behind_the_last_transaction_is_not_looked_at() -> None:
    data = encode(SAMPLE, 1) + encode(SAMPLE, 2) + b"torn"
    assert list(iter_ops(data, last_txid=2)) == [(SAMPLE, 1), (SAMPLE, 2)]
    with pytest.raises(CorruptData):
        list(iter_ops(data, last_txid=3))


def test_a_gap_between_transactions() -> None:
    data = encode(SAMPLE, 1) + encode(SAMPLE, 3)
    stream = iter_ops(data, where="segment")
    next(stream)
    with pytest.raises(CorruptData, match="txid 3 stands where 2 must follow"):
        next(stream)
