"""`hdfsd dfs` and Java's FsShell do the same to a Hadoop cluster and say the same about it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hadoop import FS_SHELL, Hadoop, HadoopCluster, hadoop_cluster

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(1200)]

TRANSCRIPT = """
-mkdir @ @/x
-mkdir @/x
-mkdir @/n/o
-mkdir -p @/n/o
-put a.txt b.bin @/x
-put a.txt @/x
-put -f b.bin @/x/a.txt
-put -f a.txt @/x/a.txt
-put none @/x
-put a.txt @/q/r
-put dir @/x
-put - @/x/typed
-ls @
-ls @/x @/n
-ls -h -S @/x
-ls -S -r -C @/x
-ls -d @/x
-ls -R @
-ls @/zz
-ls @/zz*
-ls @/x/{a,b}*
-ls @/x/?.[bt]*
-ls hdfs:@/x/a.txt
-ls @/x/../n
-du @/x
-du -s -h @/x
-du -v @/x
-count @/x @/x/a.txt
-count -q -h @/x
-count -q -v @/x
-stat @/zz
-stat '%a %A %b %F %g %n %o %r %u %%%z%' @/x/a.txt @/x
-cat @/x/a.txt @/x/typed
-cat @/x
-cat @/zz
-get @/x/a.txt got
-get @/x/a.txt got
-get -f @/x/b.bin got
-get @/zz got2
-get @/x gotdir
-cp
-cp @/x/a.txt @/x/copy
-cp @/x/a.txt @/x/copy
-cp -f @/x/b.bin @/x/copy
-cp @/x @/n/all
-cp @/x @/x/dir
-rm -r @/n/all @/x/copy
-mv @/x/a.txt @/x/c.txt
-mv @/x/a.txt @/x/d.txt
-mv @/x/c.txt @/x/b.bin
-mv @/x/c.txt @/q/w
-mv @/x @/x/dir
-mv @/x/c.txt @/x/typed @/n
-mv @/n/c.txt @/x
-chmod u+x,g-r,o=w @/x/c.txt
-chmod 1777 @/n
-chmod +0755 @/x/dir
-chmod u+t,o=rx,g+X @/n
-chmod -R a+rX,o-w @/x
-chmod zz @/n
-chown bob:staff @/x/c.txt
-chown -R :staff @/x/dir
-chown :x%y @/x
-chown : @/x
-chgrp staff @/x/b.bin
-ls @/x
-setrep 1 @/x/b.bin
-setrep 2 @/x/zz
-setrep a @/x
-setrep -R 1 @/x
-touchz @/x/t0 @/x/b.bin
-touchz @/x
-touchz @/q/r/s
-test -e @/x
-test -e @/zz
-test -d @/x/b.bin
-test -f @/x/b.bin
-test -s @/x/t0
-test -z @/x/t0
-test -w @/x
-test -q @/x
-test @/x
-rm @/x
-rm @/x/t0 @/x/zz
-rm -f @/x/zz
-rm -r -skipTrash @/n
-rmdir @/x
-D fs.trash.interval=10 -rm -r @/x/dir
-ls -R @ /user/root/.Trash/Current@
-rm
foo
ls
-put -Q a
"""


@dataclass(frozen=True)
class Outcome:
    """What a person sees of one command."""

    code: int
    out: list[str]
    err: list[str]


@pytest.fixture(scope="module")
def peer(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HadoopCluster]:
    root = tmp_path_factory.mktemp("hadoop")
    with hadoop_cluster(Hadoop(hadoop_lib, root), datanodes=1) as cluster:
        yield cluster


def prepare(directory: Path) -> Path:
    """The local files that the commands speak of."""
    (directory / "dir").mkdir(parents=True)
    (directory / "a.txt").write_text("hello\n")
    (directory / "b.bin").write_bytes(bytes(3000))
    (directory / "dir/inner").write_text("inner\n")
    return directory


def outcome(done: subprocess.CompletedProcess[bytes], root: str) -> Outcome:
    out = done.stdout.decode("utf-8", "replace")
    err = done.stderr.decode("utf-8", "replace")
    return Outcome(done.returncode, _plain(out, root), _errors(err, root))


def _plain(text: str, root: str) -> list[str]:
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d(,\d{3})?)?", "DATE", text.replace(root, "@"))
    return text.splitlines()


def _errors(text: str, root: str) -> list[str]:
    # Hadoop lists the usage of all commands at every wrong option; we that of the one concerned.
    lines = [line for line in _plain(text, root) if not line.startswith(("Usage:", "\t[-"))]
    generic = next((i for i, line in enumerate(lines) if line.startswith("Generic options")), None)
    lines = lines[:generic]
    # The class that logs where something went is named by each log configuration in its own way.
    return [
        re.sub(r"INFO \S*TrashPolicyDefault", "INFO TrashPolicyDefault", line)
        for line in lines
        if line
    ]


def test_same_words_same_codes(peer: HadoopCluster, tmp_path: Path) -> None:
    java_home, our_home = prepare(tmp_path / "java"), prepare(tmp_path / "ours")
    environment = {
        **os.environ,
        "HADOOP_CONF_DIR": str(peer.conf),
        "HADOOP_USER_NAME": "root",
        "HADOOP_ROOT_LOGGER": "WARN,console",
    }
    different = []
    for line in TRANSCRIPT.strip().splitlines():
        typed = b"typed in\n" if " - " in line else b""
        java = peer.hadoop.run(
            peer.conf,
            FS_SHELL,
            *shlex.split(line.replace("@", "/java")),
            stdin=typed,
            user="root",
            cwd=java_home,
        )
        ours = subprocess.run(
            [
                sys.executable,
                "-m",
                "hdfsd.cli.main",
                "dfs",
                *shlex.split(line.replace("@", "/ours")),
            ],
            input=typed,
            capture_output=True,
            env=environment,
            cwd=our_home,
            timeout=120,
            check=False,
        )
        expected, found = outcome(java, "/java"), outcome(ours, "/ours")
        if expected != found:
            different.append(f"{line}\n  Hadoop {expected}\n  hdfsd  {found}")
    assert not different, "\n".join(different)
    assert (our_home / "got").read_bytes() == (java_home / "got").read_bytes()
    assert _tree(our_home) == _tree(java_home)


def _tree(directory: Path) -> dict[str, bytes]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}
