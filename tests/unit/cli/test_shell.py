"""What all shell commands share: options, tables, paths, messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdfsd.base.config import Configuration
from hdfsd.base.errors import AccessControl, HdfsdError
from hdfsd.cli.filesystems import FileSystems
from hdfsd.cli.shell import (
    PathError,
    UsageError,
    expand,
    has_scheme,
    item_at,
    message_of,
    not_found,
    parse_options,
    table_lines,
)


@pytest.fixture
def filesystems() -> FileSystems:
    return FileSystems(Configuration.parse([]))


OPTIONS = [
    (["-a", "x"], {"a"}, ["x"]),
    (["-a", "-b", "x", "-a"], {"a", "b"}, ["x", "-a"]),
    (["--", "-a"], set(), ["-a"]),
    (["-a", "-", "x"], {"a"}, ["-", "x"]),
    (["x"], set(), ["x"]),
]


@pytest.mark.parametrize(("words", "flags", "rest"), OPTIONS)
def test_options_come_first(words: list[str], flags: set[str], rest: list[str]) -> None:
    found = parse_options(words, ("a", "b"), 1)
    assert (set(found.flags), found.arguments) == (flags, rest)


WRONG = [
    (["-z", "x"], "Illegal option -z"),
    ([], "Not enough arguments: expected 1 but got 0"),
    (["-a"], "Not enough arguments: expected 1 but got 0"),
    (["x", "y", "z"], "Too many arguments: expected 2 but got 3"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_command_lines(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        parse_options(words, ("a",), 1, 2)


def test_tables() -> None:
    rows = [("Name", "Size"), ("a", "10"), ("long", "5")]
    assert table_lines(rows, frozenset({1})) == ["Name  Size", "a       10", "long     5"]
    assert table_lines(rows, frozenset()) == ["Name  Size", "a     10", "long  5"]


def test_messages() -> None:
    assert message_of(AccessControl("Permission denied\n\tat x.y")) == "Permission denied"
    assert message_of(HdfsdError("two\nlines")) == "two\nlines"
    assert message_of(FileNotFoundError(2, "No such file", "/x")) == "/x: No such file"
    assert str(PathError("/x")) == "`/x': Input/output error"
    assert str(not_found("/x")) == "`/x': No such file or directory"
    assert str(not_found("/x", "hdfs://n/x")) == "`/x': No such file or directory: `hdfs://n/x'"


def test_schemes() -> None:
    texts = ["hdfs://n/a", "file:/a", "file:///a", "/a:b/c", "a:b", ":/a", "a/b:c/d", "c:/d"]
    assert [has_scheme(text) for text in texts] == [True] * 3 + [False] * 4 + [True]


def test_items_are_shown_as_typed(
    filesystems: FileSystems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    for name in ("a1", "a2", "b"):
        (tmp_path / "d" / name).write_text(name)
    shown = {
        pattern: [item.text for item in expand(filesystems, pattern)]
        for pattern in ("d/a*", f"{tmp_path}/d/[b-z]", f"file://{tmp_path}/d/b", "d/../d", "none")
    }
    assert shown == {
        "d/a*": ["d/a1", "d/a2"],
        f"{tmp_path}/d/[b-z]": [f"{tmp_path}/d/b"],
        f"file://{tmp_path}/d/b": [f"file://{tmp_path}/d/b"],
        "d/../d": ["d"],
        "none": ["none"],
    }
    assert expand(filesystems, "x*") == []
    assert not expand(filesystems, "none")[0].exists


def test_children_and_parents(filesystems: FileSystems, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"12345")
    directory = item_at(filesystems, f"{tmp_path}/d/", local=True)
    assert [child.text for child in directory.children()] == [f"{tmp_path}/d/f"]
    assert directory.child("f").need().length == 5
    assert directory.child("f").sibling(".x").text == f"{tmp_path}/d/f.x"
    missing = item_at(filesystems, f"{tmp_path}/none/x", local=True)
    assert not missing.parent_exists()
    assert directory.parent_exists()
    with pytest.raises(PathError, match="No such file"):
        missing.need()


def test_an_empty_path_is_refused(filesystems: FileSystems) -> None:
    with pytest.raises(UsageError, match="empty string"):
        expand(filesystems, "")
