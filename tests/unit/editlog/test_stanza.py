"""The XML of the viewer as records: in pieces, escapes, and what is no such document."""

from __future__ import annotations

import pytest

from hdfsd.editlog.stanza import BadXml, DocumentReader, Record, unescape

HEAD = "<EDITS><EDITS_VERSION>-67</EDITS_VERSION>"
ONE = (
    "<RECORD><OPCODE>OP_X</OPCODE><DATA><TXID>1</TXID>"
    "<B><ID>1</ID></B><B><ID>2</ID></B><P> /a&lt;\\005c; </P></DATA></RECORD>"
)


def read(text: str, piece: int = 1 << 20) -> tuple[list[Record], str | None]:
    """The records before the damage, and the damage."""
    document, found = DocumentReader("f.xml"), []
    data = text.encode()
    for start in range(0, len(data), piece):
        records, damage = document.feed(data[start : start + piece])
        found += records
        if damage is not None:
            return found, str(damage)
    records, damage = document.feed(b"", last=True)
    return found + records, None if damage is None else str(damage)


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_records_are_the_same_in_pieces_of_any_size(piece: int) -> None:
    records, damage = read(f"{HEAD}\n{ONE}\n{ONE}\n</EDITS>\n", piece)
    assert damage is None
    assert [record.opcode for record in records] == ["OP_X", "OP_X"]
    data = records[0].data
    assert data.text("P") == "/a<\\"
    assert [b.text("ID") for b in data.all("B")] == ["1", "2"]
    assert data.text_or_none("Q") is None
    with pytest.raises(BadXml, match="More than one value found for B"):
        data.text("B")
    with pytest.raises(BadXml, match="no entry found for Q"):
        data.one("Q")


def test_the_layout_version() -> None:
    document = DocumentReader("f.xml")
    document.feed(HEAD.encode())
    assert document.layout_version == -67


WRONG = [
    ("<FOO/>", "line 1: you must put <EDITS> at the top of the XML file! Got tag FOO instead"),
    ("<EDITS><A/>", "you must put <EDITS_VERSION> at the top"),
    ("<EDITS><EDITS_VERSION>x</EDITS_VERSION>", "EDITS_VERSION is 'x', not a number"),
    (f"{HEAD}<DATA/>", "expected a <RECORD> tag, not <DATA>"),
    (f"{HEAD}<RECORD><DATA/>", "expected a <OPCODE> tag, not <DATA>"),
    (f"{HEAD}<RECORD><OPCODE>A</OPCODE></RECORD>", "</RECORD> where DATA is expected"),
    (f"{HEAD}\n{ONE}", "line 2: no element found"),
    ("", "no element found"),
    (f"{HEAD}</EDITS><ERROR>torn</ERROR>", "junk after document element"),
    ('<!DOCTYPE a [<!ENTITY b "c">]><EDITS/>', "document type declaration"),
    (f"{HEAD}<RECORD><OPCODE>A</OPCODE><DATA>" + "<A>" * 40, "more than 16 elements deep"),
    (f"{HEAD}<RECORD><OPCODE>A</OPCODE><DATA><A>\\00zz;</A>", "error parsing unmangling"),
]


@pytest.mark.parametrize(("text", "cause"), WRONG)
def test_what_is_no_edit_log_is_said_with_its_line(text: str, cause: str) -> None:
    _, damage = read(text)
    assert damage is not None
    assert damage.startswith("f.xml: line ")
    assert cause in damage


def test_records_before_the_damage_are_given() -> None:
    records, damage = read(f"{HEAD}{ONE}<RECORD>")
    assert len(records) == 1
    assert damage is not None


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("plain", "plain"),
        ("a\\005c;b\\0000;", "a\\b\0"),
        ("\\d83d;\\de42;", "\U0001f642"),
        ("\\ffff;", "\uffff"),
    ],
)
def test_escapes(escaped: str, text: str) -> None:
    assert unescape(escaped) == text


@pytest.mark.parametrize("text", ["\\", "\\00", "\\0041", "\\00411;", "\\zzzz;", "a\\ 41;"])
def test_a_backslash_that_begins_no_escape(text: str) -> None:
    with pytest.raises(BadXml):
        unescape(text)
