"""The viewer's XML: the rules; that all of it equals Hadoop's is a golden test."""

from __future__ import annotations

import pytest

from hdfsd.editlog import xml
from hdfsd.editlog.ops import (
    OP_CLASSES,
    CachePool,
    ModifyCachePoolOp,
    RenameOp,
    SetOwnerOp,
    StartLogSegmentOp,
)


def test_every_op_has_its_elements() -> None:
    assert set(xml.ELEMENTS) == set(OP_CLASSES)


def test_a_document() -> None:
    assert "".join(xml.render([(StartLogSegmentOp(), 7)], -67)) == (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        "<EDITS>\n"
        "  <EDITS_VERSION>-67</EDITS_VERSION>\n"
        "  <RECORD>\n"
        "    <OPCODE>OP_START_LOG_SEGMENT</OPCODE>\n"
        "    <DATA>\n"
        "      <TXID>7</TXID>\n"
        "    </DATA>\n"
        "  </RECORD>\n"
        "</EDITS>\n"
    )


def test_what_an_op_leaves_as_it_is_has_no_element() -> None:
    assert "USERNAME" not in "".join(xml.record(SetOwnerOp("/d", "", "dev"), 1))
    pool = CachePool("p", None, None, None, 0, None, None)
    text = "".join(xml.record(ModifyCachePoolOp(pool), 1))
    assert "<LIMIT>0</LIMIT>" in text
    assert "OWNERNAME" not in text


def test_an_unknown_rename_option_is_none_as_in_hadoop() -> None:
    assert "<OPTIONS>OVERWRITE|NONE</OPTIONS>" in "".join(
        xml.record(RenameOp("/a", "/b", 1, b"\x01\x07"), 1)
    )


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain é 中 \"'", "plain é 中 \"'"),
        ("<&>", "&lt;&amp;&gt;"),
        ("\\", "\\005c;"),
        ("\0\x1f\ufffe", "\\0000;\\001f;\\fffe;"),
        ("\t\n\r", "\t\n&#13;"),
        ("\x7f\x85\x9f\xa0", "&#127;&#133;&#159;\xa0"),
        ("\U0001f642", "&#128578;"),
        ("\u2028", "\u2028"),
    ],
)
def test_characters(text: str, escaped: str) -> None:
    assert xml.escape(text) == escaped
