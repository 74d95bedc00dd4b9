"""Java's shells see no difference between a Hadoop cluster and ours: same words, same exit codes.

data/fsshell/*.txt are transcripts of a Hadoop cluster; a line "$ [USER:] TOOL ARGUMENTS" is a
command, lines up to "= CODE" are what it answered ("!" before what went to standard error).
`HDFSD_RECORD=1` writes them anew from a real Hadoop cluster; review the difference.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hadoop import Hadoop, hadoop_cluster
from java_shell import SUPERUSER, Answer, JavaShell

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
SCRIPTS = sorted((HERE / "data/fsshell").glob("*.txt"))
KEYS = {"dfs.namenode.fs-limits.max-component-length": "200"}
"""What the transcripts count on beside the defaults."""

NORMAL_FORMS = (
    (re.compile(r"hdfs://(mycluster|hdfsd)\b"), "hdfs://ns"),
    # A moment of the run; the year 2020 is what commands set themselves.
    (re.compile(r"20(?!20)\d\d-\d\d-\d\d \d\d:\d\d(:\d\d([.,]\d+)?)?"), "DATE"),
    (re.compile(r"\bDFSClient_NONMAPREDUCE_-?\d+_\d+"), "CLIENT"),
    # Hadoop sends the stack of an error behind its message; we don't, and there is one.
    (re.compile(r"\n\\tat .*(?:\n(?=[],]|$))?"), ""),
    (re.compile(r"(?s)(?m:^)Usage: hadoop fs \[generic options\]\n.*"), "Usage: ..."),
    (re.compile(r"\. Consider using -skipTrash option"), ""),
    (re.compile(r"(?<= )/\S+/local\d*/"), "LOCAL/"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST:PORT"),
    (re.compile(r"\.\.+ done"), "... done"),
    (re.compile(r"\b17\d{11}\b|\b18\d{11}\b"), "MILLIS"),
    (re.compile(r"Trash/\d{12}\b"), "Trash/TIME"),
    (re.compile(r"/Current\d{13}\b"), "/CurrentMILLIS"),
)
LEFT_OUT = (" -df ",)
"""What says how much space there is; its form is compared, its numbers are not."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line of a transcript."""

    line: str
    user: str
    words: tuple[str, ...]

    @classmethod
    def parse(cls, line: str) -> Command:
        user, colon, rest = line.partition(": ")
        if not colon or not user.isalpha():
            user, rest = SUPERUSER, line
        return cls(line, user, tuple(shlex.split(rest)))


def commands_of(script: Path) -> list[Command]:
    lines = script.read_text().splitlines()
    return [Command.parse(line[2:]) for line in lines if line.startswith("$ ")]


def local_files(directory: Path) -> Path:
    """What the commands read of the local disk."""
    (directory / "dir/deep").mkdir(parents=True)
    (directory / "a.txt").write_text("hello\n")
    (directory / "b.bin").write_bytes(bytes(range(256)) * 20)
    (directory / "long.txt").write_text("".join(f"line {i}\n" for i in range(400)))
    (directory / "empty").write_bytes(b"")
    (directory / "dir/inner").write_text("inner\n")
    (directory / "dir/deep/most").write_text("inmost\n")
    (directory / "acl.spec").write_text("user::rwx\n")
    return directory


def transcript(line: str, answer: Answer) -> list[str]:
    """The command and its answer as the files keep it."""
    out, err = answer.out, answer.err
    for pattern, form in NORMAL_FORMS:
        out, err = pattern.sub(form, out), pattern.sub(form, err)
    if any(word in f"{line} " for word in LEFT_OUT):
        out = re.sub(r" +[\d.]+( [KMGT])?(?=\s|%)", " N", out)
        out = re.sub(r"(?m)^(Filesystem) +(Size) +(Used) +(Available) +", r"\1 \2 \3 \4 ", out)
    return [
        f"$ {line}",
        *(f" {text}" for text in out.splitlines()),
        *(f"!{text}" for text in err.splitlines()),
        f"= {answer.code}",
    ]


def transcripts(hadoop: Hadoop, conf: Path, cwd: Path) -> dict[Path, list[str]]:
    """Every script's transcript, as this cluster answers it."""
    shell = JavaShell(hadoop, conf, cwd)
    try:
        return {
            script: [
                text
                for command in commands_of(script)
                for text in transcript(command.line, shell.run(*command.words, user=command.user))
            ]
            for script in SCRIPTS
        }
    finally:
        shell.close()


def comments_of(script: Path) -> dict[int, list[str]]:
    """Comment lines ("# ...") before the n-th command."""
    found: dict[int, list[str]] = {}
    number = 0
    for line in script.read_text().splitlines():
        if line.startswith("$ "):
            number += 1
        elif line.startswith("#"):
            found.setdefault(number, []).append(line)
    return found


def record(script: Path, lines: Sequence[str]) -> None:
    """Writes the transcript with the comments it had."""
    comments = comments_of(script)
    text: list[str] = []
    number = 0
    for line in lines:
        if line.startswith("$ "):
            text += comments.get(number, [])
            number += 1
        text.append(line)
    script.write_text("\n".join(text) + "\n")


@pytest.fixture(scope="module")
def hadoop(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Hadoop:
    return Hadoop(hadoop_lib, tmp_path_factory.mktemp("hadoop"))


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def answers(
    hadoop: Hadoop,
    start_cluster: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch_module: pytest.MonkeyPatch,
) -> dict[Path, list[str]]:
    """What our cluster says to all scripts."""
    monkeypatch_module.setenv("HADOOP_USER_NAME", SUPERUSER)
    local = local_files(tmp_path_factory.mktemp("local"))
    if os.environ.get("HDFSD_RECORD") == "1":
        with hadoop_cluster(hadoop, overrides=KEYS) as cluster:
            for script, lines in transcripts(hadoop, cluster.conf, local).items():
                record(script, lines)
        local = local_files(tmp_path_factory.mktemp("local"))
    cluster = start_cluster(
        *(word for key, value in KEYS.items() for word in ("-D", f"{key}={value}"))
    )
    return transcripts(hadoop, Path(cluster.conf_dir), local)


def expected(script: Path) -> list[str]:
    return [line for line in script.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_transcript(script: Path, answers: dict[Path, list[str]]) -> None:
    assert answers[script] == expected(script)
