"""Data. VERSION files: Java properties (wire fact: editlog.md section 5)."""

from __future__ import annotations

from collections.abc import Mapping

from hdfsd.base.errors import CorruptData

VERSION_BYTES_MAX = 1 << 16


def parse(text: str, where: str) -> dict[str, str]:
    """Properties of a VERSION file; raises CorruptData for a line without `=`."""
    properties: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#!":
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise CorruptData(where, None, f"line {number} is not key=value: {line[:80]!r}")
        properties[_unescape(key.strip())] = _unescape(value.strip())
    return properties


def render(properties: Mapping[str, str], comment: str) -> str:
    """The file's text; `comment` is the date line that java.util.Properties writes first."""
    lines = [f"#{comment}", *(f"{_escape(k)}={_escape(v)}" for k, v in properties.items())]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return "".join("\\" + c if c in ":=#!\\" else c for c in text)


def _unescape(text: str) -> str:
    # Java escapes ':' and '=' in values when it writes; only single-character escapes occur here.
    out, escaped = [], False
    for c in text:
        if escaped or c != "\\":
            out.append(c)
            escaped = False
        else:
            escaped = True
    return "".join(out)


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
