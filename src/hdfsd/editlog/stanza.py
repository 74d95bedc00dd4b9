"""Core. The XML of the offline edits viewer, fed piece by piece, as records (Hadoop XMLUtils).

As Hadoop's reader does, it takes away blanks and control characters around every text, escaped ones
too: a path that begins or ends with one does not survive the way through XML. A document type
declaration is refused: nothing in this format needs one, and entities can blow up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from xml.parsers import expat

from hdfsd.base.errors import CorruptData

DEPTH_MAX = 16
"""Of elements inside DATA; Hadoop's deepest record has three."""
_ESCAPE = re.compile(r"\\([^;]{0,4})(;?)")
_HEX = re.compile("[0-9a-fA-F]{4}")
_JAVA_BLANKS = "".join(map(chr, range(33)))
"""What String.trim takes away."""


class BadXml(ValueError):
    """The document is no edit log; the text says what is missing or wrong."""


@dataclass(slots=True)
class Stanza:
    """An element with its text and its children by name, in their order."""

    value: str = ""
    children: dict[str, list[Stanza]] = field(default_factory=dict)

    def add(self, name: str, child: Stanza) -> None:
        self.children.setdefault(name, []).append(child)

    def all(self, name: str) -> Sequence[Stanza]:
        """The children of this name; none is fine."""
        return self.children.get(name, ())

    def one(self, name: str) -> Stanza:
        """The first child of this name. Raises BadXml when there is none."""
        found = self.children.get(name)
        if not found:
            raise BadXml(f"no entry found for {name}")
        return found[0]

    def text(self, name: str) -> str:
        """The text of the only child of this name. Raises BadXml when there is none or more."""
        value = self.text_or_none(name)
        if value is None:
            raise BadXml(f"no entry found for {name}")
        return value

    def text_or_none(self, name: str) -> str | None:
        found = self.children.get(name)
        if found is None:
            return None
        if len(found) > 1:
            raise BadXml(f"More than one value found for {name}")
        return found[0].value


@dataclass(frozen=True, slots=True)
class Record:
    """One RECORD: the name of its opcode and what stands in DATA."""

    opcode: str
    data: Stanza
    line: int
    """Where its DATA ends in the document."""


def unescape(text: str) -> str:
    """Undoes `\\xxxx;`. Raises BadXml for a backslash that begins nothing of the kind."""
    if "\\" not in text:
        return text

    def character(match: re.Match[str]) -> str:
        code, end = match[1], match[2]
        if len(code) < 4 and not end:
            raise BadXml("unterminated code point escape: string broke off in the middle")
        if not end:
            raise BadXml("unterminated code point escape: expected semicolon at end.")
        if not _HEX.fullmatch(code):
            raise BadXml("error parsing unmangling escape code")
        return chr(int(code, 16))

    units = _ESCAPE.sub(character, text).encode("utf-16-le", "surrogatepass")
    return units.decode("utf-16-le", "surrogatepass")


class _Expect(Enum):
    EDITS = auto()
    VERSION = auto()
    RECORD = auto()
    OPCODE = auto()
    DATA = auto()
    INSIDE_DATA = auto()
    NOTHING = auto()


_OPENING = {
    _Expect.EDITS: ("EDITS", _Expect.VERSION),
    _Expect.VERSION: ("EDITS_VERSION", _Expect.VERSION),
    _Expect.RECORD: ("RECORD", _Expect.OPCODE),
    _Expect.OPCODE: ("OPCODE", _Expect.OPCODE),
    _Expect.DATA: ("DATA", _Expect.INSIDE_DATA),
}
"""Which element must open next, and what is expected within it."""
_AT_THE_TOP = (_Expect.EDITS, _Expect.VERSION)


class DocumentReader:
    """Takes the document in pieces of any size; `feed` gives the records that each completes."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.layout_version: int | None = None
        """None until EDITS_VERSION was read."""
        self._expect = _Expect.EDITS
        self._opcode = ""
        self._text: list[str] = []
        self._stack: list[Stanza] = []
        self._records: list[Record] = []
        self._parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._open
        parser.EndElementHandler = self._close
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = self._refuse_doctype

    def feed(self, data: bytes, *, last: bool = False) -> tuple[list[Record], CorruptData | None]:
        """The records that are complete now, and what is wrong behind them."""
        damage = None
        try:
            self._parser.Parse(data, last)
            if last and self._expect is not _Expect.NOTHING:
                raise BadXml("expecting </EDITS>")
        except expat.ExpatError as error:
            cause = f"line {error.lineno}: {expat.ErrorString(error.code)}"
            damage = CorruptData(self._where, None, cause)
        except BadXml as error:
            damage = self.damage(str(error), self._parser.CurrentLineNumber)
        records, self._records = self._records, []
        return records, damage

    def damage(self, cause: str, line: int) -> CorruptData:
        """An error with the name of the document and the line."""
        return CorruptData(self._where, None, f"line {line}: {cause}")

    def _refuse_doctype(self, *_: object) -> None:
        raise BadXml("a document type declaration has no place in an edit log")

    def _open(self, name: str, _: object) -> None:
        if self._expect is _Expect.INSIDE_DATA:
            if len(self._stack) > DEPTH_MAX:
                raise BadXml(f"<{name}> is more than {DEPTH_MAX} elements deep")
            child = Stanza()
            self._stack[-1].add(name, child)
            self._stack.append(child)
            return
        if self._expect is _Expect.NOTHING:
            raise BadXml("not expecting anything after </EDITS>")
        wanted, within = _OPENING[self._expect]
        if name != wanted:
            if self._expect in _AT_THE_TOP:
                raise BadXml(
                    f"you must put <{wanted}> at the top of the XML file! Got tag {name} instead"
                )
            raise BadXml(f"expected a <{wanted}> tag, not <{name}>")
        self._expect = within
        if within is _Expect.INSIDE_DATA:
            self._stack = [Stanza()]

    def _close(self, name: str) -> None:
        text = unescape("".join(self._text)).strip(_JAVA_BLANKS)
        self._text.clear()
        match self._expect, name:
            case _Expect.VERSION, "EDITS_VERSION":
                self.layout_version = _layout_version(text)
                self._expect = _Expect.RECORD
            case _Expect.OPCODE, "OPCODE":
                self._opcode = text
                self._expect = _Expect.DATA
            case _Expect.INSIDE_DATA, _:
                self._close_within_data(text)
            case _Expect.RECORD, "EDITS":
                self._expect = _Expect.NOTHING
            case _Expect.RECORD, "RECORD":
                pass
            case _:
                raise BadXml(f"</{name}> where {self._expect.name} is expected")

    def _close_within_data(self, text: str) -> None:
        stanza = self._stack.pop()
        stanza.value = text
        if not self._stack:
            line = self._parser.CurrentLineNumber
            self._records.append(Record(self._opcode, stanza, line))
            self._expect = _Expect.RECORD


def _layout_version(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadXml(f"EDITS_VERSION is {text!r}, not a number") from None
