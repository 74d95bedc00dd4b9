"""Our failover controllers before Hadoop's own NameNodes, JournalNodes and ZooKeeper election."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hadoop import free_ports
from kazoo.client import KazooClient

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

HOST = "127.0.0.1"
NAMESERVICE = "mycluster"
PARENT = f"/hadoop-ha/{NAMESERVICE}"
LOCK = f"{PARENT}/ActiveStandbyElectorLock"
BREADCRUMB = f"{PARENT}/ActiveBreadCrumb"
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
ZKFC = "org.apache.hadoop.hdfs.tools.DFSZKFailoverController"
HAADMIN = "org.apache.hadoop.hdfs.tools.DFSHAAdmin"
OPENS = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.nio", "sun.nio.ch", "java.util")
]


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


def wait_for(what: str, holds: Callable[[], bool], seconds: int = 90) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


class Cluster:
    """Hadoop's ZooKeeper, three JournalNodes and two NameNodes; controllers as a test wants."""

    def __init__(self, root: Path, lib: Path) -> None:
        self.root = root
        self.lib = lib
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        ports = free_ports(13)
        self.zookeeper_port = ports[0]
        self.journals = [(ports[1 + i], ports[4 + i]) for i in range(3)]
        self.rpc = {"nn1": ports[7], "nn2": ports[8]}
        self.http = {"nn1": ports[9], "nn2": ports[10]}
        self.zkfc = {"nn1": ports[11], "nn2": ports[12]}
        journals = ";".join(f"{HOST}:{rpc}" for rpc, _ in self.journals)
        self.keys = {
            "fs.defaultFS": f"hdfs://{NAMESERVICE}",
            "ha.zookeeper.quorum": f"{HOST}:{self.zookeeper_port}",
            "dfs.nameservices": NAMESERVICE,
            f"dfs.ha.namenodes.{NAMESERVICE}": "nn1,nn2",
            "dfs.ha.automatic-failover.enabled": "true",
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            "dfs.namenode.shared.edits.dir": f"qjournal://{journals}/{NAMESERVICE}",
            "dfs.namenode.safemode.extension": "0",
        }
        for name in self.rpc:
            suffix = f"{NAMESERVICE}.{name}"
            self.keys[f"dfs.namenode.rpc-address.{suffix}"] = f"{HOST}:{self.rpc[name]}"
            self.keys[f"dfs.namenode.http-address.{suffix}"] = f"{HOST}:{self.http[name]}"
            self.keys[f"dfs.ha.zkfc.port.{suffix}"] = str(self.zkfc[name])

    def conf(self, name: str, extra: Mapping[str, str] = MappingProxyType({})) -> Path:
        directory = self.root / "conf" / name
        directory.mkdir(parents=True, exist_ok=True)
        keys = {
            **self.keys,
            "hadoop.tmp.dir": f"{self.root}/tmp/{name}",
            "dfs.namenode.name.dir": f"file://{self.root}/data/{name}/name",
            **({"dfs.ha.namenode.id": name} if name in self.rpc else {}),
            **extra,
        }
        rows = "".join(
            f"<property><name>{key}</name><value>{value}</value></property>\n"
            for key, value in keys.items()
        )
        (directory / "core-site.xml").write_text("<configuration/>")
        (directory / "hdfs-site.xml").write_text(f"<configuration>\n{rows}</configuration>\n")
        (directory / "log4j.properties").write_text(
            "log4j.rootLogger=INFO,console\n"
            "log4j.appender.console=org.apache.log4j.ConsoleAppender\n"
            "log4j.appender.console.target=System.err\n"
            "log4j.appender.console.layout=org.apache.log4j.PatternLayout\n"
            "log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n\n"
        )
        return directory

    def java(self, conf: Path, *command: str) -> list[str]:
        options = ["-Xmx384m", "-XX:TieredStopAtLevel=1", *OPENS]
        return ["java", *options, "-cp", f"{conf}:{self.lib}/*", *command]

    def spawn(self, name: str, command: list[str], conf: Path) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.root,
                env={**os.environ, "HADOOP_CONF_DIR": str(conf)},
            )

    def run(self, command: list[str], conf: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=self.root,
            timeout=180,
            env={**os.environ, "HADOOP_CONF_DIR": str(conf)},
        )

    def must(self, command: list[str], conf: Path) -> str:
        done = self.run(command, conf)
        assert done.returncode == 0, f"{command}: {done.stdout[-500:]}{done.stderr[-3000:]}"
        return done.stdout

    def hdfsd(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "hdfsd.cli.main", *words]

    def haadmin(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.hdfsd("haadmin", *words), self.conf("client"))

    def hadoop_haadmin(self, *words: str) -> subprocess.CompletedProcess[str]:
        conf = self.conf("client")
        return self.run(self.java(conf, HAADMIN, *words), conf)

    def start(self) -> None:
        client = self.conf("client")
        zookeeper = "org.apache.zookeeper.server.ZooKeeperServerMain"
        (self.root / "zk").mkdir()
        command = self.java(client, "-Dzookeeper.admin.enableServer=false", zookeeper)
        self.spawn("zk", [*command, str(self.zookeeper_port), str(self.root / "zk")], client)
        for index, (rpc, http) in enumerate(self.journals):
            conf = self.conf(
                f"jn{index}",
                {
                    "dfs.journalnode.rpc-address": f"{HOST}:{rpc}",
                    "dfs.journalnode.http-address": f"{HOST}:{http}",
                    "dfs.journalnode.edits.dir": f"{self.root}/data/jn{index}",
                },
            )
            journalnode = "org.apache.hadoop.hdfs.qjournal.server.JournalNode"
            self.spawn(f"jn{index}", self.java(conf, journalnode), conf)
        for port in (self.zookeeper_port, *(rpc for rpc, _ in self.journals)):
            wait_for(f"port {port}", lambda port=port: listens(port))  # type: ignore[misc]
        self.must(self.hdfsd("zkfc", "-formatZK", "-nonInteractive"), self.conf("nn1"))
        nn1, nn2 = self.conf("nn1"), self.conf("nn2")
        self.must(self.java(nn1, NAMENODE, "-format", "-force", "-nonInteractive"), nn1)
        self.start_namenode("nn1")
        self.must(self.java(nn2, NAMENODE, "-bootstrapStandby", "-force", "-nonInteractive"), nn2)
        self.start_namenode("nn2")

    def start_namenode(self, name: str) -> None:
        conf = self.conf(name)
        self.spawn(name, self.java(conf, NAMENODE), conf)
        wait_for(f"{name} listens", lambda: listens(self.rpc[name]))

    def start_ours(self, name: str) -> None:
        self.spawn(f"zkfc-{name}", self.hdfsd("zkfc"), self.conf(name))

    def start_hadoops(self, name: str) -> None:
        conf = self.conf(name)
        self.spawn(f"zkfc-{name}", self.java(conf, ZKFC), conf)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def state(self, name: str) -> str:
        return self.haadmin("-getServiceState", name).stdout.strip()

    def wait_active(self, name: str) -> None:
        wait_for(f"{name} is active", lambda: self.state(name) == "active")

    def active(self) -> str:
        """The one active NameNode, once there is one."""
        found: list[str] = []

        def one() -> bool:
            found[:] = [name for name in self.rpc if self.state(name) == "active"]
            return len(found) == 1

        wait_for("one active NameNode", one)
        return found[0]

    def znode(self, path: str) -> bytes:
        client = KazooClient(f"{HOST}:{self.zookeeper_port}")
        client.start()
        try:
            data: bytes = client.get(path)[0]
        finally:
            client.stop()
            client.close()
        return data


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, hadoop_lib: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path_factory.mktemp("zkfc"), hadoop_lib)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def other_than(name: str) -> str:
    return "nn2" if name == "nn1" else "nn1"


def fail_over_and_back(cluster: Cluster) -> None:
    """Kills the active, brings it back as standby, then the same with the other one."""
    for _ in range(2):
        old = cluster.active()
        new = other_than(old)
        cluster.kill(old)
        cluster.wait_active(new)
        assert cluster.znode(LOCK) == cluster.znode(BREADCRUMB)
        assert f"\x12\x03{new}".encode() in cluster.znode(LOCK)
        cluster.start_namenode(old)
        wait_for(f"{old} is standby", lambda old=old: cluster.state(old) == "standby")  # type: ignore[misc]
        # Healthy and back in the election: only then it can take over.
        wait_for(
            f"{old} can take over",
            lambda old=old, new=new: (  # type: ignore[misc]
                "successful" in cluster.haadmin("-failover", new, old).stdout
                and "successful" in cluster.haadmin("-failover", old, new).stdout
            ),
        )


def test_two_controllers_of_ours_before_hadoops_namenodes(cluster: Cluster) -> None:
    for name in cluster.rpc:
        cluster.start_ours(name)
    old = cluster.active()
    new = other_than(old)
    done = cluster.hadoop_haadmin("-failover", old, new)
    expected = f"Failover to NameNode at localhost/{HOST}:{cluster.rpc[new]} successful\n"
    assert (done.returncode, done.stdout[-len(expected) :]) == (0, expected)
    assert cluster.active() == new
    done = cluster.haadmin("-failover", new, old)
    assert (done.returncode, done.stdout) == (
        0,
        expected.replace(*map(str, (cluster.rpc[new], cluster.rpc[old]))),
    )
    assert cluster.active() == old
    fail_over_and_back(cluster)
    for name in cluster.rpc:
        cluster.kill(f"zkfc-{name}")


def test_our_controller_and_hadoops_share_one_election(cluster: Cluster) -> None:
    cluster.start_hadoops("nn1")
    cluster.start_ours("nn2")
    cluster.active()
    wait_for("both controllers listen", lambda: all(map(listens, cluster.zkfc.values())))
    fail_over_and_back(cluster)
    hadoops = cluster.hadoop_haadmin("-getAllServiceState")
    assert cluster.haadmin("-getAllServiceState").stdout in hadoops.stdout
    for name in cluster.rpc:
        cluster.kill(f"zkfc-{name}")


def test_the_controller_of_the_active_dies(cluster: Cluster) -> None:
    """Its session ends, the lock goes; the other one asks the old active to become standby."""
    for name in cluster.rpc:
        cluster.start_ours(name)
    old = cluster.active()
    new = other_than(old)
    wait_for("both controllers listen", lambda: all(map(listens, cluster.zkfc.values())))
    cluster.kill(f"zkfc-{old}")
    cluster.wait_active(new)
    assert cluster.state(old) == "standby"
    cluster.kill(f"zkfc-{new}")


@pytest.mark.parametrize(
    "words",
    [
        ("-help", "failover"),
        ("-help", "-getAllServiceState"),
        ("-getServiceState",),
        ("-getServiceState", "nn3"),
        ("-getServiceState", "-x", "nn1"),
        ("-getServiceState", "nn1"),
        ("-checkHealth", "nn1"),
        ("-failover", "nn1"),
        ("-failover", "--forcefence", "nn1", "nn2"),
        ("-transitionToStandby", "nn1", "nn2"),
        ("-transitionToStandby", "nn1"),
        ("-transitionToActive", "nn1"),
        ("-transitionToObserver", "nn1"),
    ],
    ids=" ".join,
)
def test_haadmin_says_what_hadoops_says(cluster: Cluster, words: tuple[str, ...]) -> None:
    hadoops, ours = cluster.hadoop_haadmin(*words), cluster.haadmin(*words)
    errors = [line for line in hadoops.stderr.splitlines() if not _is_log(line)]
    assert (ours.returncode, ours.stdout) == (hadoops.returncode, hadoops.stdout)
    assert ours.stderr.splitlines() == errors


def _is_log(line: str) -> bool:
    return line.startswith(("SLF4J", "log4j")) or line[:2] == "20"
