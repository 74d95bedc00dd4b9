"""Globs and chmod modes as Hadoop's shell has them."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.cli.patterns import (
    ModeChange,
    PatternError,
    component_regex,
    expand_braces_with_slashes,
    has_wildcard,
    is_pattern,
    permission_text,
    unescape,
)

MATCHES = [
    ("*", ["", "a", "a.b"], []),
    ("a*", ["a", "ab"], ["b", "ba"]),
    ("?", ["a"], ["", "ab"]),
    ("[ab]c", ["ac", "bc"], ["cc", "abc"]),
    ("[a-c]", ["b"], ["d"]),
    ("[^a]", ["b"], ["a"]),
    ("[!a]", ["b"], ["a"]),
    ("{a,bc}d", ["ad", "bcd"], ["bd"]),
    ("{a,{b,c}}", ["a", "b", "c"], ["d"]),
    ("a.b", ["a.b"], ["axb"]),
    (r"\*a", ["*a"], ["xa"]),
    ("a,b}", ["a,b}"], ["a"]),
    ("(a|b)+", ["(a|b)+"], ["a"]),
    ("[[]", ["["], ["]"]),
]


@pytest.mark.parametrize(("pattern", "hits", "misses"), MATCHES)
def test_one_component(pattern: str, hits: list[str], misses: list[str]) -> None:
    regex = component_regex(pattern)
    assert [text for text in hits + misses if regex.fullmatch(text)] == hits


@pytest.mark.parametrize("pattern", ["{a", "[a", "a\\", "[", "{a,[b}"])
def test_what_can_not_be_understood(pattern: str) -> None:
    with pytest.raises(PatternError):
        component_regex(pattern)


@given(st.text("ab.*?", max_size=8), st.text("ab.", max_size=8))
def test_plain_wildcards_are_those_of_a_shell(pattern: str, text: str) -> None:
    assert bool(component_regex(pattern).fullmatch(text)) == fnmatch.fnmatchcase(text, pattern)


@given(st.text(max_size=20))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    try:
        component_regex(text)
    except PatternError:
        assert is_pattern(text)


BRACES = [
    ("/a/{b,c}", ["/a/{b,c}"]),
    ("/{a/b,c}/d", ["/a/b/d", "/c/d"]),
    ("/{a/b,c}/{d/e,f}", ["/a/b/d/e", "/a/b/f", "/c/d/e", "/c/f"]),
    ("/{a,{b/c,d}}", ["/a", "/b/c", "/d"]),
    ("/x", ["/x"]),
]


@pytest.mark.parametrize(("pattern", "expected"), BRACES)
def test_braces_over_several_components(pattern: str, expected: list[str]) -> None:
    assert expand_braces_with_slashes(pattern) == expected


def test_an_open_brace_is_refused() -> None:
    with pytest.raises(PatternError):
        expand_braces_with_slashes("/{a/b,c")


def test_escapes() -> None:
    assert is_pattern(r"a\*")
    assert not has_wildcard(r"a\*")
    assert unescape(r"a\*\\") == "a*\\"
    assert not is_pattern("a]}b")


# mode, before, is a directory, after: as Hadoop 3.4.1 leaves it
MODES = [
    ("755", 0o644, False, 0o755),
    ("1777", 0o755, True, 0o1777),
    ("0755", 0o1777, True, 0o755),
    ("755", 0o1777, True, 0o755),
    ("+0755", 0o600, False, 0o755),
    ("u+x", 0o644, False, 0o744),
    ("a-w", 0o666, False, 0o444),
    ("+x", 0o644, False, 0o755),
    ("=r", 0o777, False, 0o444),
    ("u+x,g-r,o=w", 0o644, False, 0o702),
    ("go=", 0o644, False, None),
    ("a+X", 0o644, False, 0o644),
    ("a+X", 0o644, True, 0o755),
    ("a+X", 0o744, False, 0o755),
    ("a+rX,o-w", 0o702, False, 0o750),
    ("+t", 0o755, True, 0o1755),
    ("-t", 0o1755, True, 0o755),
    ("u+t", 0o755, True, 0o755),
    ("o=rx", 0o1777, True, 0o775),
    ("ug+rw,o-rwx", 0o444, False, 0o660),
    ("u+-x", 0o755, False, 0o655),
]


@pytest.mark.parametrize(("text", "before", "is_directory", "after"), MODES)
def test_modes(text: str, before: int, is_directory: bool, after: int | None) -> None:
    if after is None:
        with pytest.raises(PatternError):
            ModeChange.parse(text)
    else:
        assert ModeChange.parse(text).apply(before, is_directory) == after


@pytest.mark.parametrize("text", ["", "zz", "88", "7777", "u+z", "u+x,,g+x", "2755"])
def test_modes_that_are_none(text: str) -> None:
    with pytest.raises(PatternError, match="does not match the expected pattern"):
        ModeChange.parse(text)


def test_permission_text() -> None:
    shown = [permission_text(mode) for mode in (0o755, 0, 0o1777, 0o1776, 0o640)]
    assert shown == ["rwxr-xr-x", "---------", "rwxrwxrwt", "rwxrwxrwT", "rw-r-----"]
