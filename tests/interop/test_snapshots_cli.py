"""Snapshots with `hdfsd` and with Hadoop's tools, of Hadoop's NameNode and of ours: the same words.

What Hadoop's tools say of Hadoop's NameNode is the measure. Diff reports come in pages of two
entries. Left out of the comparison: moments, ids, Java's stack traces, and usages of all commands.
A directory is counted before things in it are renamed: Hadoop then counts what a snapshot shows
once for each of its names.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hadoop import Hadoop
from java_shell import SUPERUSER, JavaShell
from snapshot_servers import hadoop_server, our_server

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(900)]

PAGED = {"dfs.namenode.snapshotdiff.listing.limit": "2"}
TRANSCRIPT = """
dfs -mkdir -p @/d/x @/d/y/z @/e
dfs -put a.txt @/d/f
dfs -createSnapshot @/d
dfs -createSnapshot @/d s1
dfs -createSnapshot
dfs -createSnapshot @/d a b
dfs -createSnapshot -x @/d
dfs -createSnapshot @/none s1
dfs -createSnapshot @/d/f s1
dfs -deleteSnapshot
dfs -deleteSnapshot @/d
dfs -deleteSnapshot @/none s1
dfs -renameSnapshot @/d s1
dfs -renameSnapshot @/none s1 s2
dfs -renameSnapshot @/d/f s1 s2
dfsadmin -allowSnapshot
dfsadmin -allowSnapshot @/d @/e
dfsadmin -allowSnapshot @/none
dfsadmin -allowSnapshot @/d/f
dfsadmin -allowSnapshot @/d
dfsadmin -allowSnapshot @/d
dfsadmin -allowSnapshot @/d/x
dfsadmin -allowSnapshot file:@/d
dfsadmin -allowSnapshot hdfs:@/d
alice: dfsadmin -allowSnapshot @/e
dfsadmin -disallowSnapshot
dfsadmin -disallowSnapshot @/none
dfsadmin -disallowSnapshot @/e
dfsadmin -foo
dfsadmin
lsSnapshottableDir x
lsSnapshottableDir
lsSnapshot
lsSnapshot @/d x
lsSnapshot @/none
lsSnapshot @/d
lsSnapshot @/e
dfs -ls @/d/.snapshot
dfs -createSnapshot @/d s1
dfs -createSnapshot @/d s1
dfs -createSnapshot @/d .snapshot
dfs -createSnapshot @/d/ s0
dfs -createSnapshot hdfs:@/d sfull
dfs -createSnapshot @/d a/b
dfs -createSnapshot @/d ''
dfs -createSnapshot @/e s1
alice: dfs -createSnapshot @/d s9
dfs -createSnapshot @/{d,e} s8
dfs -createSnapshot @/d
dfs -ls @/d/.snapshot
dfs -ls @/d/.snapshot/s1
dfs -ls -R @/d/.snapshot/s1
dfs -ls -d @/d/.snapshot/s*
dfs -put b.txt @/d/x/w
dfs -createSnapshot @/d s5
dfs -rm -skipTrash @/d/x/w
dfs -count -v @/d @/d/.snapshot/s5
dfs -count -x -v @/d
dfs -count -q -x -v @/d
dfs -du -s @/d
dfs -du -s -x @/d
dfs -deleteSnapshot @/d s5
dfs -count -v @/d
dfs -mv @/d/f @/d/g
dfs -mv @/d/y @/e/y
dfs -put b.txt @/d/x/b
dfs -put b.txt @/d/x/ö
dfs -setrep 2 @/d/g
dfs -mkdir @/d/new
dfs -touchz @/d/new/n1 @/d/new/n2 @/d/new/n3
dfs -createSnapshot @/d s2
dfs -rm -skipTrash @/d/new/n3 @/d/x/b
dfs -rm -skipTrash @/d/.snapshot/s1/f
dfs -rm @/d/.snapshot/s1/f
dfs -rm -r @/d/.snapshot/s1
dfs -mkdir @/d/.snapshot/s1/n
dfs -mkdir @/d/.snapshot/s7
dfs -put a.txt @/d/.snapshot/s1/n
dfs -touchz @/d/.snapshot/s1/f
dfs -touchz @/d/.snapshot/s1/new
dfs -cp @/d/.snapshot/s1/f @/e/f
dfs -cp -p @/d/.snapshot/s1/f @/e/fp
dfs -cp @/d/.snapshot/s2 @/e/all
dfs -ls -R @/e
dfs -mv @/d/.snapshot/s1/f @/e/m
dfs -cat @/d/.snapshot/s1/f
dfs -cat @/d/.snapshot/s2/x/*
dfs -cat @/d/.snapshot/s1
dfs -du @/d @/d/.snapshot/s1
dfs -du -s @/d/.snapshot/s1
dfs -du -x @/d
dfs -count -v @/d/.snapshot/s1 @/d/.snapshot
dfs -stat '%n %b %F %u %g %r %a' @/d/.snapshot/s1 @/d/.snapshot/s1/f @/d/.snapshot
dfs -test -e @/d/.snapshot/s1/f
dfs -test -d @/d/.snapshot
dfs -test -e @/d/.snapshot/none
dfs -ls @/d/.snapshot/none
dfs -ls -d @/d/.snapshot
dfs -chmod 700 @/d/.snapshot/s1
dfs -chown bob @/d/.snapshot/s1/f
dfs -setrep 1 @/d/.snapshot/s1/f
dfs -rm -r -skipTrash @/d
dfs -rmdir @/d
dfs -mkdir @/e/.snapshot
dfs -ls @/e/.snapshot
dfs -get @/d/.snapshot/s1/f got
snapshotDiff
snapshotDiff @/d s1
snapshotDiff @/d s1 s2
snapshotDiff @/d s2 s1
snapshotDiff @/d s2 .
snapshotDiff @/d . s1
snapshotDiff @/d . .
snapshotDiff @/d s1 s1
snapshotDiff @/d .snapshot/s1 /.snapshot/s2
snapshotDiff @/d s1 none
snapshotDiff @/d none s1
snapshotDiff @/d none .
snapshotDiff /none s1 s2
snapshotDiff @/d/none s1 s2
snapshotDiff @/e s1 s2
snapshotDiff @/d/x s1 s2
snapshotDiff hdfs:@/d s1 s2
snapshotDiff file:@/d s1 s2
alice: snapshotDiff @/d s1 s2
lsSnapshottableDir
lsSnapshot @/d
lsSnapshot @/d/
alice: lsSnapshottableDir
alice: lsSnapshot @/d
dfs -renameSnapshot @/d s1 s2
dfs -renameSnapshot @/d none s3
dfs -renameSnapshot @/d s1 s1b
dfs -renameSnapshot @/d s1b .snapshot
dfs -renameSnapshot @/d s1b s1b
dfs -renameSnapshot @/e s1b s1c
alice: dfs -renameSnapshot @/d s1b s1c
lsSnapshot @/d
snapshotDiff @/d s1b s2
alice: dfs -deleteSnapshot @/d s1b
dfs -deleteSnapshot @/d none
dfs -deleteSnapshot @/d s1b
dfs -deleteSnapshot @/d s1b
dfs -deleteSnapshot @/e s1b
dfsadmin -disallowSnapshot @/d
dfs -deleteSnapshot @/d s2
dfs -deleteSnapshot @/d s0
dfs -deleteSnapshot @/d sfull
dfs -deleteSnapshot @/d s8
lsSnapshot @/d
alice: dfsadmin -disallowSnapshot @/d
dfsadmin -disallowSnapshot @/d
dfs -ls -R @
"""
NORMAL_FORMS = (
    (re.compile(r"hdfs://(127\.0\.0\.1:\d+|hdfsd)\b"), "hdfs://ns"),
    (re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d"), "DATE"),
    (re.compile(r"\bs20\d{6}-\d{6}\.\d{3}"), "sMOMENT"),
    (re.compile(r" +\d+ (ACTIVE|DELETED)"), r" ID \1"),
    # Java names the path once more around the server's message, and the message again behind it.
    (re.compile(r"`+([^'`]*)': Is not a directory.*"), r"`\1': Is not a directory"),
)
STACK = re.compile(r"\s+at |\s+\.\.\. \d+ more|Caused by: |[a-z]+(\.\w+)+(\$\w+)?: |': Is not a ")
ALL_USAGES = ("Usage: hadoop fs [generic options]", "Usage: hdfs dfsadmin")

Run = Callable[[str, list[str]], subprocess.CompletedProcess[bytes]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a person sees of one command."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class Servers:
    """Both NameNodes, by their configuration directories, and what there is to start tools."""

    hadoop: Path
    hdfsd: Path
    java: Hadoop
    root: Path

    def transcript(self, client: str, server: str) -> dict[str, Outcome]:
        """What one client's tools say of one server, command by command."""
        conf = self.hadoop if server == "Hadoop" else self.hdfsd
        home = local_files(self.root / f"{client}-{server}")
        top = f"/by-{client}"
        if client == "Hadoop":
            shell = JavaShell(self.java, conf, home)
            try:
                return {key: _java(shell, line, top) for key, line in numbered()}
            finally:
                shell.close()
        return {key: _ours(conf, home, line, top) for key, line in numbered()}


@pytest.fixture(scope="module")
def servers(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    root = tmp_path_factory.mktemp("snapshots")
    with ExitStack() as stack:
        yield Servers(
            stack.enter_context(hadoop_server(hadoop_lib, root / "hadoop", PAGED)),
            stack.enter_context(our_server(root / "hdfsd", PAGED)),
            Hadoop(hadoop_lib, root),
            root,
        )


@pytest.fixture(scope="module")
def expected(servers: Servers) -> dict[str, Outcome]:
    return servers.transcript("Hadoop", "Hadoop")


def numbered() -> list[tuple[str, str]]:
    """The commands, each under a key of its own: some come more than once."""
    lines = TRANSCRIPT.strip().splitlines()
    return [(f"{number}. {line}", line) for number, line in enumerate(lines, 1)]


def local_files(directory: Path) -> Path:
    """What the commands read of the local disk."""
    directory.mkdir()
    (directory / "a.txt").write_text("hello\n")
    (directory / "b.txt").write_text("other\n")
    return directory


def _words(line: str, top: str) -> tuple[str, list[str]]:
    """The user and the words of a line."""
    user, colon, rest = line.partition(": ")
    if not colon:
        user, rest = SUPERUSER, line
    return user, [word.replace("@", top) for word in shlex.split(rest)]


def _java(shell: JavaShell, line: str, top: str) -> Outcome:
    user, words = _words(line, top)
    answer = shell.run(*words, user=user)
    return _outcome(answer.code, answer.out, answer.err.replace("\\t", "\t"), top)


def _ours(conf: Path, home: Path, line: str, top: str) -> Outcome:
    user, words = _words(line, top)
    done = subprocess.run(
        [sys.executable, "-m", "hdfsd.cli.main", *words],
        capture_output=True,
        env={**os.environ, "HADOOP_CONF_DIR": str(conf), "HADOOP_USER_NAME": user},
        cwd=home,
        timeout=120,
        check=False,
    )
    return _outcome(done.returncode, done.stdout.decode(), done.stderr.decode(), top)


def _outcome(code: int, out: str, err: str, top: str) -> Outcome:
    shown = [line for line in _plain(out, top).split("\n") if "/by-" not in line]
    return Outcome(code & 255, "\n".join(shown).replace("\\t", "\t"), _errors(_plain(err, top)))


def _plain(text: str, top: str) -> str:
    text = text.replace(top, "@")
    for pattern, replacement in NORMAL_FORMS:
        text = pattern.sub(replacement, text)
    return text


def _errors(text: str) -> str:
    found = []
    for line in text.splitlines():
        if line.startswith(ALL_USAGES[0]) or line == ALL_USAGES[1]:
            break
        if line.strip() and not STACK.match(line):
            found.append(line)
    return "\n".join(found)


@pytest.mark.parametrize(
    ("client", "server"), [("hdfsd", "Hadoop"), ("Hadoop", "hdfsd"), ("hdfsd", "hdfsd")]
)
def test_the_same_words_and_codes(
    servers: Servers, expected: dict[str, Outcome], client: str, server: str
) -> None:
    told = servers.transcript(client, server)
    different = [
        f"{line}\n  Hadoop of Hadoop {expected[line]}\n  {client} of {server} {outcome}"
        for line, outcome in told.items()
        if outcome != expected[line]
    ]
    assert not different, "\n".join(different)


def test_the_transcript_is_no_row_of_refusals(expected: dict[str, Outcome]) -> None:
    """Much of what is compared must have worked, and reports must have several pages."""
    assert sum(outcome.code == 0 for outcome in expected.values()) > len(expected) // 3
    (report,) = (o for key, o in expected.items() if key.endswith(". snapshotDiff @/d s1 s2"))
    assert report.out.count("\n") > 6
