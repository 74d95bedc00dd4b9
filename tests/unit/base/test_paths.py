"""paths: which names are valid, too long, reserved."""

from __future__ import annotations

import pytest

from hdfsd.base import paths


@pytest.mark.parametrize(
    ("path", "valid"),
    [
        ("/", True),
        ("/a", True),
        ("/a/", True),
        ("/a/b.c/.hidden/..x", True),
        ("/a/...", True),
        ("", False),
        ("a", False),
        ("a/b", False),
        ("//", False),
        ("/a//b", False),
        ("/a//", False),
        ("/.", False),
        ("/..", False),
        ("/a/./b", False),
        ("/a/../b", False),
        ("/a:b", False),
        ("/:", False),
        ("/.reserved/.inodes/16385/..", True),
        ("/.reserved/.inodes/..", False),
        ("/.reserved/raw/a/..", False),
        ("/.reserved/.inodes/16385/.", False),
        ("/tab\tand\x01control", True),
    ],
)
def test_is_valid_name(path: str, valid: bool) -> None:
    assert paths.is_valid_name(path) is valid


@pytest.mark.parametrize(("path", "depth"), [("/", 0), ("/a", 1), ("/a/b/", 2), ("//a", 1)])
def test_depth(path: str, depth: int) -> None:
    assert paths.depth(path) == depth


@pytest.mark.parametrize(
    ("path", "too_long"),
    [
        ("/" + "x" * 7999, False),
        ("/" + "x" * 8000, True),
        ("/d" * 1000, False),
        ("/d" * 1001, True),
        ("/d" * 500, False),
    ],
)
def test_is_too_long(path: str, too_long: bool) -> None:
    assert paths.is_too_long(path) is too_long


@pytest.mark.parametrize(
    ("path", "reserved"),
    [("/.reserved", True), ("/.reserved/x", True), ("/.reservedx", False), ("/a", False)],
)
def test_is_reserved(path: str, reserved: bool) -> None:
    assert paths.is_reserved(path) is reserved
