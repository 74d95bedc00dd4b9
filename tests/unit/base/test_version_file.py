"""VERSION files as Java properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.errors import CorruptData
from hdfsd.base.version_file import parse, render, require, require_int

HADOOPS = """#Sun Nov 22 01:57:03 UTC 2026
namespaceID=1234
clusterID=CID-1
cTime=1795314774497
storageType=NAME_NODE
blockpoolID=BP-1-127.0.0.1-1
layoutVersion=-67
"""


def test_hadoops_file() -> None:
    found = parse(HADOOPS, "VERSION")
    assert require(found, "clusterID", "VERSION") == "CID-1"
    assert require_int(found, "layoutVersion", "VERSION") == -67
    assert render(found, "Sun Nov 22 01:57:03 UTC 2026") == HADOOPS


def test_escapes_comments_and_blanks() -> None:
    text = "! note\n\n  a = b\\:c \nd:e=f\r\n\\u00e4=\\ud83d\\uDE00\\t\\z\r"
    assert parse(text, "f") == {"a": "b:c ", "d": "e=f", "\u00e4": "\U0001f600\tz"}


def test_what_java_writes_for_odd_values() -> None:
    """As java.util.Properties.store of OpenJDK 17 has it."""
    odd = {"a": " two  blanks ", "b": "\n\r\t\f\x01\x85", "c": "\u00e4\U0001f600", "d": "=:#!\\"}
    assert render(odd, "now").splitlines()[1:] == [
        r"a=\ two  blanks ",
        r"b=\n\r\t\f\u0001\u0085",
        r"c=\u00E4\uD83D\uDE00",
        r"d=\=\:\#\!\\",
    ]


@given(
    st.dictionaries(
        st.from_regex(r"[a-zA-Z]{1,8}", fullmatch=True),
        st.text(max_size=12),
    )
)
def test_what_is_rendered_is_parsed(properties: dict[str, str]) -> None:
    assert parse(render(properties, "now"), "f") == properties


def test_what_is_missing_or_no_number() -> None:
    with pytest.raises(CorruptData, match="f: line 2 is not key=value"):
        parse("a=1\nnonsense\n", "f")
    with pytest.raises(CorruptData, match="the property x is missing"):
        require({}, "x", "f")
    with pytest.raises(CorruptData, match="x='y' is not a number"):
        require_int({"x": "y"}, "x", "f")
