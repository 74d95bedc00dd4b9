"""Ops out of XML: whatever `xml` renders comes back; that Hadoop agrees is an interop test."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.editlog import codec, ops, segment, xml
from hdfsd.editlog.from_xml import READERS, read_op
from hdfsd.editlog.ops import OP_CLASSES, EditOp
from hdfsd.editlog.stanza import BadXml, DocumentReader, Record

GOLDEN = Path(__file__).resolve().parents[2] / "golden/data/all-opcodes.edits"
LOSES_BLANKS = (68, 71, 72, 76)
"""Txids of paths that begin or end with blanks or control characters."""


def document(body: str) -> list[Record]:
    text = f"<EDITS><EDITS_VERSION>-67</EDITS_VERSION>{body}</EDITS>"
    records, damage = DocumentReader("f.xml").feed(text.encode(), last=True)
    assert damage is None, damage
    return records


def again(op: EditOp, txid: int = 7) -> EditOp:
    """The op through XML."""
    (record,) = document(xml.document_record(op, txid))
    found, found_txid = read_op(record)
    assert found_txid == txid
    return found


def test_every_op_has_its_reader_and_every_field_is_read() -> None:
    assert set(READERS) == set(OP_CLASSES)
    for kind, readers in READERS.items():
        names = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
        assert set(readers) == names, kind


def without_what_xml_omits(op: EditOp) -> EditOp:
    if isinstance(op, ops.AddOp):
        return dataclasses.replace(op, xattrs=(), storage_policy_id=0)
    return op


def test_every_opcode_comes_back() -> None:
    data = GOLDEN.read_bytes()
    seen = set()
    for op, txid in codec.iter_ops(data, offset=segment.HEADER_BYTES):
        if txid not in LOSES_BLANKS:
            assert again(op, txid) == without_what_xml_omits(op)
            seen.add(type(op))
    assert seen == set(OP_CLASSES)


BLOCK = Block(BlockId(5), 6, GenStamp(7))
CORNERS: list[Any] = [
    ops.RenameOp("/a", "/b", 1, b""),
    ops.RenameOp("/a", "/b", 1, b"\2\1\0"),
    ops.TruncateOp("/a", "c", "m", 5, 6, BLOCK),
    ops.UpdateMasterKeyOp(ops.DelegationKey(1, 2, None)),
    ops.UpdateMasterKeyOp(ops.DelegationKey(1, 2, b"")),
    ops.UpdateBlocksOp("/a", ()),
    ops.SetOwnerOp("/a", "", ""),
    ops.ConcatDeleteOp("/t", tuple(f"/{n}" for n in range(12)), 1),
    ops.ModifyCachePoolOp(ops.CachePool("p", None, "g", 0, None, -1, None)),
    ops.SetXAttrOp("/a", (ops.XAttr(1, "n", b""), ops.XAttr(3, "m", None))),
]


@pytest.mark.parametrize("op", CORNERS, ids=lambda op: op.NAME)
def test_corners_come_back(op: EditOp) -> None:
    assert again(op) == op


@pytest.mark.parametrize(
    ("text", "value"),
    [('"quoted"', b"quoted"), ("0XaB", b"\xab"), ("0sAQI=", b"\1\2"), ("plain", b"plain")],
)
def test_values_of_extended_attributes_as_users_write_them(text: str, value: bytes) -> None:
    rendered = xml.document_record(ops.SetXAttrOp("/a", (ops.XAttr(0, "n", b"\7"),)), 1)
    (record,) = document(rendered.replace("0x07", text))
    op, _ = read_op(record)
    assert isinstance(op, ops.SetXAttrOp)
    assert op.xattrs[0].value == value


WRONG = [
    (ops.DeleteOp("/a", 1), "<TXID>7</TXID>", "", "no entry found for TXID"),
    (ops.DeleteOp("/a", 1), "<TXID>7<", f"<TXID>{1 << 63}<", "not a number of 64 bits"),
    (ops.DeleteOp("/a", 1), "OP_DELETE", "OP_NOPE", "no opcode 'OP_NOPE'"),
    (ops.DeleteOp("/a", 1), "<PATH>/a</PATH>", "", "no entry found for PATH"),
    (ops.DeleteOp("/a", 1), "<PATH>/a</PATH>", "<PATH>/a</PATH><PATH/>", "More than one value"),
    (ops.DeleteOp("/a", 1), "<RPC_CLIENTID/>", "<RPC_CLIENTID>x</RPC_CLIENTID>", "not a UUID"),
    (ops.RenameOp("/a", "/b", 1, b"\1"), "OVERWRITE", "FOO", "error parsing Rename value: 'FOO'"),
    (ops.AddBlockOp("/a", (BLOCK,)), "BLOCK>", "CUBE>", "0 BLOCK elements"),
    (ops.SetXAttrOp("/a", (ops.XAttr(0, "n", b"\7"),)), "0x07", "0x7", "VALUE is '0x7'"),
    (ops.SetXAttrOp("/a", (ops.XAttr(0, "n", b"\7"),)), "USER", "YOU", "not one of USER"),
]


@pytest.mark.parametrize(("op", "old", "new", "cause"), WRONG)
def test_what_is_wrong_with_a_record(op: EditOp, old: str, new: str, cause: str) -> None:
    (record,) = document(xml.document_record(op, 7).replace(old, new))
    with pytest.raises(BadXml, match=cause):
        read_op(record)
