"""Our NameNode and controller beside Hadoop's, in one election, fail over to and fro under load.

    MIXED_FAILOVERS=50 pytest tests/interop/test_mixed_failovers.py

A failover is asked for (by both tools), forced by kill -9, or by SIGSTOP, in turn. What was
acknowledged, to Java's client or to hdfs-native, is there afterwards through either NameNode, and
both save the same image.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from failover_operator import Operator
from hadoop import HOST, Hadoop
from hdfs_native import Client
from mixed_cluster import AUTOMATIC, HADOOP, HDFSD, MixedCluster, wait_for
from test_java_failover import WRITER, lines_of
from witnesses import Writer, digest, read_whole

from hdfsd.base.ids import Address

FAILOVERS = int(os.environ.get("MIXED_FAILOVERS", "6"))
"""Of each kind of journals. Three causes and two directions: six are all pairs."""
KINDS = {"nn1": HDFSD, "nn2": HADOOP}
PATIENCE_S = 240
FILES_BETWEEN = 20
pytestmark = [
    pytest.mark.interop,
    pytest.mark.zookeeper,
    pytest.mark.timeout(600 + 120 * FAILOVERS),
]


class Pair:
    """The NameNodes with their controllers, and what can happen to the active."""

    def __init__(self, cluster: MixedCluster) -> None:
        self.cluster = cluster
        ports = cluster.site.namenode_ports
        self._operator = Operator(
            {name: Address(HOST, ports[name]["rpc"]) for name in KINDS},
            {name: Address(HOST, ports[name]["zkfc"]) for name in KINDS},
        )
        self.story: list[str] = []

    def wait_for(self, what: str, holds: Callable[[], bool], *supervised: str) -> None:
        """Starts NameNodes again that have ended meanwhile, as whoever lost its journal to the
        other one must."""

        def supervised_and_holds() -> bool:
            for name in supervised:
                if self.cluster.processes[name].poll() is not None:
                    self.cluster.start("namenode", name, KINDS[name])
            return holds()

        wait_for(f"{what} after {self.story[-3:]}", supervised_and_holds, PATIENCE_S)

    def whole(self) -> tuple[str, str]:
        """(active, standby), once there are one of each."""
        found: dict[str, str] = {}

        def one_of_each() -> bool:
            found.clear()
            found.update(self._operator.states())
            return sorted(found.values()) == ["ACTIVE", "STANDBY"]

        self.wait_for("an active and a standby", one_of_each, *KINDS)
        active, standby = sorted(found, key=found.__getitem__)
        return active, standby

    def asked(self, active: str, standby: str) -> None:
        """By Hadoop's tool for every second one, by ours for the others."""
        words = ("haadmin", "-failover", active, standby)
        theirs = len(self.story) % 2 == 0

        def succeeds() -> bool:
            said = self.cluster.shell.run(*words).out if theirs else self._ours(*words)
            return said.rstrip().endswith("successful")

        # The standby may not be in the election yet: then its controller refuses.
        self.wait_for(f"failover to {standby}", succeeds, *KINDS)

    def _ours(self, *words: str) -> str:
        conf = str(self.cluster.site.conf)
        command = [sys.executable, "-m", "hdfsd.cli.main", "--config", conf, *words]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        ).stdout

    def killed(self, active: str, standby: str) -> None:
        self.cluster.processes[active].send_signal(signal.SIGKILL)
        self.cluster.processes[active].wait(60)
        self._taken_over(standby)

    def frozen(self, active: str, standby: str) -> None:
        """It wakes up when the other is active, and knows nothing of that."""
        self.cluster.processes[active].send_signal(signal.SIGSTOP)
        try:
            self._taken_over(standby)
        finally:
            self.cluster.processes[active].send_signal(signal.SIGCONT)

    def _taken_over(self, standby: str) -> None:
        self.wait_for(
            f"{standby} takes over",
            lambda: self._operator.states()[standby] == "ACTIVE",
            standby,
        )

    def fail_over(self, number: int) -> None:
        """The cause by its number."""
        active, standby = self.whole()
        cause = (self.asked, self.killed, self.frozen)[number % 3]
        self.story.append(f"{number}: {cause.__name__}, {active} → {standby}")
        cause(active, standby)


@pytest.fixture(params=[HDFSD, HADOOP])
def pair(request: pytest.FixtureRequest, hadoop_lib: Path, tmp_path: Path) -> Iterator[Pair]:
    """On journals of either kind, with a DataNode of each kind."""
    cluster = MixedCluster(
        Hadoop(hadoop_lib, tmp_path), journalnodes=3, datanodes=2, overrides=AUTOMATIC
    )
    try:
        start(cluster, request.param)
        yield Pair(cluster)
    finally:
        cluster.close()


def start(cluster: MixedCluster, journals: str) -> None:
    cluster.site.start_zookeeper()
    for index in range(3):
        cluster.start("journalnode", index, journals)
    cluster.prepare("nn1", HADOOP, "-formatZK", "-force", "-nonInteractive", role="zkfc")
    cluster.prepare("nn1", HDFSD, "-format", "-force", "-nonInteractive")
    cluster.start("namenode", "nn1", HDFSD)
    cluster.start("zkfc", "nn1", HDFSD)
    cluster.prepare("nn2", HADOOP, "-bootstrapStandby", "-force", "-nonInteractive")
    cluster.start("namenode", "nn2", HADOOP)
    cluster.start("zkfc", "nn2", HADOOP)
    for index, kind in enumerate((HDFSD, HADOOP)):
        cluster.start("datanode", index, kind)


def client_of(cluster: MixedCluster) -> Client:
    return Client("hdfs://mycluster", config_dir=str(cluster.site.conf))


@contextmanager
def native_writer(cluster: MixedCluster) -> Iterator[Writer]:
    """At work in a thread until the end."""
    writer, over = Writer("native", client_of(cluster), random.Random(1)), threading.Event()

    def work() -> None:
        while not over.is_set():
            writer.step()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield writer
    finally:
        over.set()
        thread.join()


class JavaWriter:
    """FailoverWriter: it ends at the first error that its client lets through."""

    def __init__(self, cluster: MixedCluster) -> None:
        self._root = cluster.hadoop.root
        with open(self._root / "java.out", "wb") as out, open(self._root / "java.err", "wb") as err:
            self.process = subprocess.Popen(
                cluster.hadoop.command(cluster.site.conf, str(WRITER)),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                cwd=self._root,
            )

    @property
    def written(self) -> int:
        return lines_of(self._root / "java.out")

    def check(self) -> str:
        """Ends it; it reads back every file. Its last line."""
        self.process.communicate(b"\n", timeout=PATIENCE_S * 2)
        assert self.process.returncode == 0, self.said()
        return (self._root / "java.out").read_text().splitlines()[-1]

    def said(self) -> str:
        return (self._root / "java.err").read_text("utf-8", "replace")[-6000:]

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_to_and_fro(pair: Pair) -> None:
    cluster = pair.cluster
    pair.whole()
    java = JavaWriter(cluster)
    try:
        with native_writer(cluster) as native:
            for number in range(FAILOVERS):
                wait_for_writes(pair, java, native)
                pair.fail_over(number)
            wait_for_writes(pair, java, native)
        last = java.check()
    finally:
        java.close()
    sys.stdout.write(f"\n{last}, {len(native.acknowledged)} natively\n" + "\n".join(pair.story))
    assert last.startswith("all ")
    first = seen_through_the_active(pair, native)
    pair.asked(*pair.whole())
    assert seen_through_the_active(pair, native) == first
    assert_same_images(pair)


def wait_for_writes(pair: Pair, java: JavaWriter, native: Writer) -> None:
    """Both write on; Java's client has let no error through."""
    files, acknowledged = java.written + FILES_BETWEEN, len(native.acknowledged) + 2

    def written() -> bool:
        assert java.process.poll() is None, java.said()
        return java.written >= files and len(native.acknowledged) >= acknowledged

    pair.wait_for(f"files written (failed: {native.failures[-2:]})", written, *KINDS)


def seen_through_the_active(pair: Pair, native: Writer) -> str:
    """Every entry there is; the files of the native client have been read."""
    pair.whole()
    client = client_of(pair.cluster)
    for path, known in native.acknowledged.items():
        assert digest(read_whole(client, path)) == known, path
    return pair.cluster.shell.must("dfs", "-ls", "-R", "/")


def assert_same_images(pair: Pair) -> None:
    """Saved without writers and controllers, and read by Hadoop's own viewer."""
    cluster = pair.cluster
    active, standby = pair.whole()
    for name in KINDS:
        cluster.kill(f"zkfc-{name}")
    xml = {}
    for name in (active, standby):
        cluster.save(name, leave=False)
        newest = max(cluster.current(name).glob("fsimage_" + "[0-9]" * 19))
        xml[name] = cluster.hadoop.oiv_xml(cluster.site.conf, newest)
    assert facts(xml["nn1"]) == facts(xml["nn2"])


def facts(xml: str) -> list[str]:
    """The lines of an image in an order of their own, without what belongs to the saving."""
    return sorted(re.sub(r"<txid>\d+</txid>", "", xml).replace("><", ">\n<").splitlines())
