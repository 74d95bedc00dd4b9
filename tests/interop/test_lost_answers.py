"""Java's client is told once what was done once. The active executes a call, its answer is lost, it
is killed (lost_answers); the client asks the other NameNode, which knows the call from the journal.

Every call here would end differently if it were executed twice: a second rename or delete is false,
a second create or append finds a file that is being written, a second concat finds no source.
"""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hadoop import Hadoop
from lost_answers import LossyCluster
from witnesses import Watch, faults_of, record_of

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

DRIVER = Path(__file__).parent / "java/LostAnswers.java"
ANSWER_SECONDS = 180


class JavaClient:
    """One FileSystem in one JVM; `do` returns what it says of a call."""

    def __init__(self, command: list[str], cwd: Path) -> None:
        with open(cwd / "client.log", "wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=cwd,
                bufsize=0,
            )

    def do(self, *words: object) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(("\t".join(map(str, words)) + "\n").encode())
        said, end = b"", time.monotonic() + ANSWER_SECONDS
        while not said.endswith(b"\n"):
            rest = max(end - time.monotonic(), 0)
            ready, _, _ = select.select([self._process.stdout], [], [], rest)
            assert ready, f"{words}: no answer in {ANSWER_SECONDS} s"
            more = self._process.stdout.read(1 << 16)
            assert more, f"{words}: the client ended"
            said += more
        return said.decode().strip()

    def close(self) -> None:
        self._process.kill()
        self._process.wait(30)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture(scope="module")
def lossy(
    start_cluster: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LossyCluster]:
    made = LossyCluster.over(start_cluster(), tmp_path_factory.mktemp("lossy") / "conf")
    yield made
    made.close()


@pytest.fixture(scope="module")
def java(
    lossy: LossyCluster, hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JavaClient]:
    root = tmp_path_factory.mktemp("java")
    made = JavaClient(Hadoop(hadoop_lib, root).command(lossy.conf, str(DRIVER)), root)
    yield made
    made.close()


def test_rename(lossy: LossyCluster, java: JavaClient) -> None:
    assert java.do("put", "/rename/a", 10) == "done"
    with lossy.loses_answer("rename"):
        assert java.do("rename", "/rename/a", "/rename/b") == "true"
    assert java.do("exists", "/rename/a") == "false"
    with lossy.loses_answer("rename2"):
        assert java.do("rename2", "/rename/b", "/rename/c") == "done"
    assert java.do("length", "/rename/c") == "10"


def test_delete(lossy: LossyCluster, java: JavaClient) -> None:
    java.do("put", "/delete/a", 10)
    with lossy.loses_answer("delete"):
        assert java.do("delete", "/delete/a") == "true"
    assert java.do("delete", "/delete/a") == "false"


def test_create(lossy: LossyCluster, java: JavaClient) -> None:
    with lossy.loses_answer("create"):
        assert java.do("create", "/create/a") == "done"
    assert java.do("close", "/create/a", 1_000) == "done"
    assert java.do("length", "/create/a") == "1000"


def test_append(lossy: LossyCluster, java: JavaClient) -> None:
    java.do("put", "/append/a", 1_000)
    with lossy.loses_answer("append"):
        assert java.do("append", "/append/a") == "done"
    assert java.do("close", "/append/a", 500) == "done"
    assert java.do("length", "/append/a") == "1500"


def test_concat(lossy: LossyCluster, java: JavaClient) -> None:
    java.do("put", "/concat/a", 1_000)
    java.do("put", "/concat/b", 500)
    with lossy.loses_answer("concat"):
        assert java.do("concat", "/concat/a", "/concat/b") == "done"
    assert java.do("length", "/concat/a") == "1500"
    assert java.do("exists", "/concat/b") == "false"


def test_truncate(lossy: LossyCluster, java: JavaClient) -> None:
    """Hadoop's NameNode refuses this retry (HDFS-16381); ours goes on with what the other began."""
    java.do("put", "/truncate/a", 1_000)
    with lossy.loses_answer("truncate"):
        assert java.do("truncate", "/truncate/a", 400) == "false", "its block must be cut first"
    wait_until_closed(java, "/truncate/a")
    assert java.do("length", "/truncate/a") == "400"
    with lossy.loses_answer("truncate"):
        assert java.do("truncate", "/truncate/a", 0) == "true", "all blocks go: nothing to wait for"
    assert java.do("length", "/truncate/a") == "0"


def test_a_truncation_whose_client_has_heard_that_it_must_wait(
    lossy: LossyCluster, java: JavaClient
) -> None:
    """It does not ask again: the next active cuts by itself what no DataNode had time to cut."""
    faults = faults_of(lossy.cluster)
    datanodes = [daemon.id for daemon in record_of(lossy.cluster).plan.of_role("datanode")]
    java.do("put", "/truncate/b", 1_000)
    with Watch(lossy.cluster) as watch:
        watch.wait_for_states("ACTIVE", "STANDBY")
        active = watch.wait_for_active()
        for datanode in datanodes:
            faults.freeze(datanode)
        try:
            assert java.do("truncate", "/truncate/b", 400) == "false"
            faults.kill(active)
            watch.wait_for_active(other_than=active)
        finally:
            for datanode in datanodes:
                faults.thaw(datanode)
        wait_until_closed(java, "/truncate/b")
        watch.wait_for_states("ACTIVE", "STANDBY")
    assert java.do("length", "/truncate/b") == "400"


def wait_until_closed(java: JavaClient, path: str) -> None:
    end = time.monotonic() + ANSWER_SECONDS
    while java.do("isFileClosed", path) != "true":
        assert time.monotonic() < end, "nobody cuts it"
        time.sleep(0.2)


def test_extended_attributes(lossy: LossyCluster, java: JavaClient) -> None:
    java.do("put", "/xattr/a", 10)
    with lossy.loses_answer("setXAttr"):
        assert java.do("setXAttr", "/xattr/a") == "done"
    with lossy.loses_answer("removeXAttr"):
        assert java.do("removeXAttr", "/xattr/a") == "done"


def test_snapshots(lossy: LossyCluster, java: JavaClient) -> None:
    java.do("put", "/snapshots/a", 10)
    assert java.do("allowSnapshot", "/snapshots") == "done"
    with lossy.loses_answer("createSnapshot"):
        assert java.do("createSnapshot", "/snapshots", "s1").endswith("/snapshots/.snapshot/s1")
    with lossy.loses_answer("renameSnapshot"):
        assert java.do("renameSnapshot", "/snapshots", "s1", "s2") == "done"
    assert java.do("length", "/snapshots/.snapshot/s2/a") == "10"
    with lossy.loses_answer("deleteSnapshot"):
        assert java.do("deleteSnapshot", "/snapshots", "s2") == "done"
    assert java.do("exists", "/snapshots/.snapshot/s2") == "false"
