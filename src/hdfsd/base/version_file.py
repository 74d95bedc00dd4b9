"""Data. VERSION files: Java properties (wire fact: editlog.md section 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hdfsd.base.errors import CorruptData

VERSION_BYTES_MAX = 1 << 16


_NAMED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_NAMES = {character: name for name, character in _NAMED.items()}
_LINE = re.compile(r"\r\n|\r|\n")
"""Java knows these ends of a line only; str.splitlines knows more of them."""
_SEPARATOR = re.compile(r"(?<!\\)(?:\\\\)*([=:])")
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_BLANKS = " \t\f"


def parse(text: str, where: str) -> dict[str, str]:
    """Properties of a VERSION file; raises CorruptData for a line without `=`."""
    properties: dict[str, str] = {}
    for number, line in enumerate(_LINE.split(text), 1):
        line = line.lstrip(_BLANKS)
        if not line or line[0] in "#!":
            continue
        separator = _SEPARATOR.search(line)
        if separator is None:
            raise CorruptData(where, None, f"line {number} is not key=value: {line[:80]!r}")
        key = line[: separator.start(1)].rstrip(_BLANKS)
        value = line[separator.end(1) :].lstrip(_BLANKS)
        properties[_unescape(key)] = _unescape(value)
    return properties


def render(properties: Mapping[str, str], comment: str) -> str:
    """The file's text, all ASCII; `comment` is the date line that java.util.Properties writes
    first."""
    lines = [f"#{comment}", *(f"{_escape(k)}={_escape(v)}" for k, v in properties.items())]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    """java.util.Properties.saveConvert; of blanks only the first needs it in a value, and no key
    has one."""
    out = "".join(map(_escaped, text))
    return "\\" + out if out.startswith(" ") else out


def _escaped(character: str) -> str:
    if character in ":=#!\\":
        return "\\" + character
    if character in _NAMES:
        return "\\" + _NAMES[character]
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex().upper()}" for at in range(0, len(units), 2))


def _unescape(text: str) -> str:
    found = _ESCAPED.sub(_unescaped, text)
    # Two halves of a character beyond 16 bits become one again.
    return found.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "surrogatepass")


def _unescaped(found: re.Match[str]) -> str:
    word = found[1]
    return chr(int(word[1:], 16)) if len(word) == 5 else _NAMED.get(word, word)


def require(properties: Mapping[str, str], key: str, where: str) -> str:
    """The value of a key that must be there; raises CorruptData naming it."""
    try:
        return properties[key]
    except KeyError:
        raise CorruptData(where, None, f"the property {key} is missing") from None


def require_int(properties: Mapping[str, str], key: str, where: str) -> int:
    """The same, as a number."""
    text = require(properties, key, where)
    try:
        return int(text)
    except ValueError:
        raise CorruptData(where, None, f"{key}={text!r} is not a number") from None
