"""The shell on this machine's own files: options, output and exit codes without a cluster."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from hdfsd.cli.dfs import COMMANDS, main


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with some files, the working directory; no configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(b"hello")
    (tmp_path / "d/b").write_bytes(bytes(2048))
    os.utime(tmp_path / "d/a", (1_000_000, 1_000_000))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str], list[str]]:
    code = main(words)
    found = capsys.readouterr()
    return code, found.out.splitlines(), found.err.splitlines()


def test_listing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-ls", "-C", "d") == (0, ["d/a", "d/b"], [])
    assert run(capsys, "-ls", "-C", "-r", "d")[1] == ["d/b", "d/a"]
    assert run(capsys, "-ls", "-C", "-t", "d")[1] == ["d/b", "d/a"]
    assert run(capsys, "-ls", "-C", "-S", "-r", "d")[1] == ["d/a", "d/b"]
    assert run(capsys, "-ls", "-C", "-d", "d")[1] == ["d"]
    assert run(capsys, "-ls", "-C", "-R", str(home))[1] == [
        f"{home}/{n}" for n in ("d", "d/a", "d/b")
    ]
    code, out, _ = run(capsys, "-ls", "-h", "d")
    assert (code, out[0]) == (0, "Found 2 items")
    assert out[1].startswith("-rw")
    assert out[1].endswith(" 1970-01-12 13:46 d/a") or "1970-01-1" in out[1]
    assert "       2 K " in out[2]
    assert run(capsys, "-ls", "none") == (1, [], ["ls: `none': No such file or directory"])


def test_looking(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-stat", "%n %b %F %r%%", "d/a", "d")[1] == [
        "a 5 regular file 1%",
        "d 0 directory 1%",
    ]
    assert run(capsys, "-stat", "d/a")[1] == ["1970-01-12 13:46:40"]
    assert run(capsys, "-du", "d")[1] == ["5     5     d/a", "2048  2048  d/b"]
    assert run(capsys, "-du", "-s", "-h", "d")[1] == ["2.0 K  2.0 K  d"]
    assert run(capsys, "-count", "d")[1] == ["           1            2               2053 d"]
    assert run(capsys, "-count", "-q", "d")[1] == [
        "        none             inf            none             inf"
        "            1            2               2053 d"
    ]
    assert run(capsys, "-df")[1][0].split() == ["Filesystem", "Size", "Used", "Available", "Use%"]


TESTS = [
    ("-e", "d", 0),
    ("-e", "none", 1),
    ("-d", "d", 0),
    ("-d", "d/a", 1),
    ("-f", "d/a", 0),
    ("-f", "d", 1),
    ("-s", "d/a", 0),
    ("-z", "d/a", 1),
    ("-r", "d/a", 0),
]


@pytest.mark.parametrize(("flag", "path", "code"), TESTS)
def test_test(
    home: Path, capsys: pytest.CaptureFixture[str], flag: str, path: str, code: int
) -> None:
    assert run(capsys, "-test", flag, path) == (code, [], [])


def test_copying(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-put", "d/a", "copy") == (0, [], [])
    assert (home / "copy").read_bytes() == b"hello"
    assert run(capsys, "-put", "d/a", "copy") == (1, [], ["put: `copy': File exists"])
    assert run(capsys, "-put", "-f", "d/b", "copy")[0] == 0
    assert (home / "copy").read_bytes() == bytes(2048)
    assert run(capsys, "-get", "d", "tree")[0] == 0
    assert sorted(os.listdir(home / "tree")) == ["a", "b"]
    assert run(capsys, "-cp", "-p", "d/a", "kept")[0] == 0
    assert (home / "kept").stat().st_mtime == 1_000_000
    missing = f"`no/x': No such file or directory: `file://{home}/no/x'"
    assert run(capsys, "-put", "d/a", "no/x") == (1, [], [f"put: {missing}"])
    assert run(capsys, "-cp", "d", "other") == (0, [], [])
    assert (home / "other/a").read_bytes() == b"hello"
    assert run(capsys, "-put", "d/a", "d/b", "copy")[2] == ["put: `copy': Is not a directory"]
    assert not list(home.rglob("*._COPYING_"))


def test_a_directory_does_not_go_into_itself(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "d/sub").mkdir()
    code, _, err = run(capsys, "-cp", "d", "d/sub")
    assert (code, err) == (1, ["cp: `d' to `d/sub/d': is a subdirectory of itself"])


def test_standard_input(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"typed")))
    assert run(capsys, "-put", "-", "in")[0] == 0
    assert (home / "in").read_bytes() == b"typed"


def test_changing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-mkdir", "x/y")[2] == [
        f"mkdir: `file://{home}/x': No such file or directory"
    ]
    assert run(capsys, "-mkdir", "-p", "x/y") == (0, [], [])
    assert run(capsys, "-mkdir", "x")[2] == ["mkdir: `x': File exists"]
    assert run(capsys, "-mkdir", "d/a")[2] == ["mkdir: `d/a': Is not a directory"]
    assert run(capsys, "-touchz", "x/t", "d/a")[2] == ["touchz: `d/a': Not a zero-length file"]
    assert (home / "x/t").read_bytes() == b""
    assert run(capsys, "-mv", "x/t", "x/y")[0] == 0
    assert (home / "x/y/t").exists()
    assert run(capsys, "-mv", "d/a", "d/b")[2] == ["mv: `d/b': File exists"]
    assert run(capsys, "-chmod", "600", "d/a")[0] == 0
    assert (home / "d/a").stat().st_mode & 0o777 == 0o600
    assert run(capsys, "-chmod", "-R", "g+w", "d")[0] == 0
    assert (home / "d/a").stat().st_mode & 0o777 == 0o620
    assert run(capsys, "-setrep", "2", "d/a")[1] == ["Replication 2 set: d/a"]


def test_removing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-rm", "d")[2] == ["rm: `d': Is a directory"]
    assert run(capsys, "-rmdir", "d")[2] == ["rmdir: `d': Directory is not empty"]
    assert run(capsys, "-rm", "d/a", "none") == (
        1,
        ["Deleted d/a"],
        ["rm: `none': No such file or directory"],
    )
    assert run(capsys, "-rm", "-f", "none", "no*") == (0, [], [])
    assert run(capsys, "-rm", "-r", "d") == (0, ["Deleted d"], [])
    assert not (home / "d").exists()


WRONG = [
    (["-ls", "-Z"], "-ls: Illegal option -Z"),
    (["-rm"], "-rm: Not enough arguments: expected 1 but got 0"),
    (["-chmod", "zz", "d"], "-chmod: chmod : mode 'zz' does not match the expected pattern."),
    (["-chown", ":", "d"], "-chown: ':' does not specify owner or group."),
    (["-chgrp", "a:b", "d"], "-chgrp: 'a:b' does not match expected pattern for group"),
    (["-test", "d"], "-test: No test flag given"),
    (["-test", "-e", "-d", "d"], "-test: Only one test flag is allowed"),
    (["-setrep", "0", "d"], "-setrep: replication must be >= 1"),
    (["-zap"], "-zap: Unknown command"),
    (["ls"], "ls: Unknown command"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_command_lines_end_with_255(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out, err[0]) == (255, [], message)
    assert any(line.startswith("Usage: hadoop fs [generic options]") for line in err)


def test_usage_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "-usage")
    assert code == 0
    assert [line.split()[0] for line in out[1:]] == [f"[-{name}" for name in COMMANDS]
    assert run(capsys, "-usage", "rm")[1] == [
        "Usage: hadoop fs [generic options] -rm [-f] [-r|-R] [-skipTrash] <src> ..."
    ]
    assert run(capsys)[0] == 255
