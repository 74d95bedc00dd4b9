"""Our failover controllers before Hadoop's own NameNodes, JournalNodes and ZooKeeper election."""

from __future__ import annotations

import json
import os
import re
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

    def __init__(self, root: Path, lib: Path, *, automatic: bool = True) -> None:
        """Without automatic failover there is one JournalNode, and no ZooKeeper."""
        self.root = root
        self.lib = lib
        self.automatic = automatic
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        ports = free_ports(13)
        self.zookeeper_port = ports[0]
        self.journals = [(ports[1 + i], ports[4 + i]) for i in range(3 if automatic else 1)]
        self.rpc = {"nn1": ports[7], "nn2": ports[8]}
        self.http = {"nn1": ports[9], "nn2": ports[10]}
        self.zkfc = {"nn1": ports[11], "nn2": ports[12]}
        journals = ";".join(f"{HOST}:{rpc}" for rpc, _ in self.journals)
        self.keys = {
            "fs.defaultFS": f"hdfs://{NAMESERVICE}",
            "ha.zookeeper.quorum": f"{HOST}:{self.zookeeper_port}",
            "dfs.nameservices": NAMESERVICE,
            f"dfs.ha.namenodes.{NAMESERVICE}": "nn1,nn2",
            "dfs.ha.automatic-failover.enabled": str(automatic).lower(),
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

    def run(
        self, command: list[str], conf: Path, typed: str = ""
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            input=typed,
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

    def haadmin(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return self.run(self.hdfsd("haadmin", *words), self.conf("client"), typed)

    def hadoop_haadmin(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        conf = self.conf("client")
        return self.run(self.java(conf, HAADMIN, *words), conf, typed)

    def start_zookeeper(self) -> None:
        client = self.conf("client")
        zookeeper = "org.apache.zookeeper.server.ZooKeeperServerMain"
        (self.root / "zk").mkdir()
        command = self.java(client, "-Dzookeeper.admin.enableServer=false", zookeeper)
        self.spawn("zk", [*command, str(self.zookeeper_port), str(self.root / "zk")], client)
        wait_for("ZooKeeper", lambda: listens(self.zookeeper_port))
        self.must(self.hdfsd("zkfc", "-formatZK", "-nonInteractive"), self.conf("nn1"))

    def start(self) -> None:
        if self.automatic:
            self.start_zookeeper()
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
        for port, _ in self.journals:
            wait_for(f"port {port}", lambda port=port: listens(port))  # type: ignore[misc]
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


def test_one_of_ours_that_lets_hadoops_go_first(cluster: Cluster) -> None:
    """Hadoop's knows nothing of it: it wins what it contends for, and loses the rest as ever."""
    cluster.keys["hdfsd.ha.election.yield"] = "3s"
    try:
        cluster.start_ours("nn2")
        cluster.start_hadoops("nn1")
        cluster.active()
        wait_for("both controllers listen", lambda: all(map(listens, cluster.zkfc.values())))
        fail_over_and_back(cluster)
    finally:
        del cluster.keys["hdfsd.ha.election.yield"]
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


@pytest.mark.parametrize(("ours", "hadoops"), [("nn1", "nn2"), ("nn2", "nn1")])
def test_graceful_failover_between_the_two_kinds(cluster: Cluster, ours: str, hadoops: str) -> None:
    """To and fro, asked for by both tools; each controller cedes to the other, nobody is fenced."""
    cluster.start_ours(ours)
    cluster.start_hadoops(hadoops)
    cluster.active()
    wait_for("both controllers listen", lambda: all(map(listens, cluster.zkfc.values())))
    if cluster.active() != hadoops:
        wait_for("hadoop's takes over", lambda: failed_over(cluster.haadmin, ours, hadoops))
    for tool in (cluster.haadmin, cluster.hadoop_haadmin) * 2:
        wait_for("ours takes over", lambda tool=tool: failed_over(tool, hadoops, ours))  # type: ignore[misc]
        assert (cluster.state(ours), cluster.state(hadoops)) == ("active", "standby")
        assert f"\x12\x03{ours}".encode() in cluster.znode(BREADCRUMB)
        wait_for("hadoop's takes over", lambda tool=tool: failed_over(tool, ours, hadoops))  # type: ignore[misc]
        assert (cluster.state(ours), cluster.state(hadoops)) == ("standby", "active")
        assert f"\x12\x03{hadoops}".encode() in cluster.znode(BREADCRUMB)
    told = json.loads(cluster.haadmin("-explain", "--json").stdout)
    assert told["active"]["id"] == hadoops
    by_id = {node["id"]: node for node in told["namenodes"]}
    assert "does not explain itself" in by_id[hadoops]["controller"]["error"]
    assert by_id[ours]["controller"]["lock"] == {"holder": hadoops, "mine": False}
    steps = [step["step"] for f in told["failovers"] for step in f["steps"]]
    assert len([f for f in told["failovers"] if f["succeeded"]]) >= 4
    assert not [step for step in steps if step.startswith("fencing of") and "shell" in step]
    for name in cluster.rpc:
        cluster.kill(f"zkfc-{name}")


def failed_over(tool: Callable[..., subprocess.CompletedProcess[str]], old: str, new: str) -> bool:
    """False while the new one has not joined the election yet."""
    return "successful" in tool("-failover", old, new).stdout


def test_formatting_ends_as_hadoops_does(cluster: Cluster) -> None:
    """-formatZK, by both tools in turn, on znodes of its own."""
    conf = cluster.conf("nn1", {"ha.zookeeper.parent-znode": "/formatted/deep"})
    nowhere = cluster.conf("nn2", {"ha.zookeeper.quorum": f"{HOST}:1"})
    manual = cluster.conf("nn2x", {"dfs.ha.automatic-failover.enabled": "false"} | NN2)
    forms = [
        (conf, ("-formatZK", "-nonInteractive"), ""),
        (conf, ("-formatZK", "-nonInteractive"), ""),
        (conf, ("-formatZK", "-force", "-nonInteractive"), ""),
        (conf, ("-formatZK", "-nonInteractive", "-force"), ""),
        (conf, ("-formatZK", "-force"), ""),
        (conf, ("-formatZK",), "n\n"),
        (conf, ("-formatZK",), "y\n"),
        (conf, ("-formatZK", "-bogus"), ""),
        (conf, ("-bogus",), ""),
        (nowhere, ("-formatZK",), ""),
        (manual, ("-formatZK",), ""),
    ]

    def codes(tool: Callable[[Path, tuple[str, ...]], list[str]]) -> list[int]:
        found = [cluster.run(tool(c, words), c, typed).returncode for c, words, typed in forms]
        client = KazooClient(f"{HOST}:{cluster.zookeeper_port}")
        client.start()
        try:
            assert client.get(f"/formatted/deep/{NAMESERVICE}")[0] == b""
            client.delete("/formatted", recursive=True)
        finally:
            client.stop()
            client.close()
        return found

    hadoops = codes(lambda conf, words: cluster.java(conf, ZKFC, *words))
    assert codes(lambda _, words: cluster.hdfsd("zkfc", *words)) == hadoops


NN2 = {"dfs.ha.namenode.id": "nn2"}


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
        (),
        ("bogus",),
        ("-bogus",),
        ("-help",),
        ("-help", "bogus"),
        ("-help", "-transitionToActive"),
        ("-help", "transitionToObserver"),
        ("-help", "-checkHealth", "x"),
        ("-ns",),
        ("-ns", NAMESERVICE),
        ("-ns", NAMESERVICE, "-getServiceState", "nn1"),
        ("-ns", NAMESERVICE, "-getAllServiceState"),
        ("-ns", "elsewhere", "-getServiceState", "nn1"),
        ("-getServiceState", "nn1", "nn2"),
        ("-getAllServiceState", "x"),
        ("-checkHealth",),
        ("-checkHealth", "nn3"),
        ("-transitionToActive",),
        ("-transitionToActive", "--forceactive", "nn1"),
        ("-transitionToActive", "--bogus", "nn1"),
        ("-transitionToObserver",),
        ("-failover", "nn1", "nn3"),
        ("-failover", "nn1", "nn2", "nn1"),
        ("-failover", "--forceactive", "nn1", "nn2"),
        ("-failover", "nn1", "nn2"),
    ],
    ids=" ".join,
)
def test_haadmin_says_what_hadoops_says(cluster: Cluster, words: tuple[str, ...]) -> None:
    """No controller runs: what asks for one is refused alike."""
    assert said(cluster.haadmin(*words)) == said(cluster.hadoop_haadmin(*words))


def test_a_forced_transition_by_hand_asks_first(cluster: Cluster) -> None:
    words = ("-transitionToStandby", "--forcemanual", "nn1")
    for typed in ("n\n", "what\ny\n"):
        ours, hadoops = (
            said(tool(*words, typed=typed)) for tool in (cluster.haadmin, cluster.hadoop_haadmin)
        )
        assert ours == hadoops


TWO_NODES = {
    "dfs.nameservices": "a",
    "dfs.ha.namenodes.a": "nn1,nn2",
    "dfs.namenode.rpc-address.a.nn1": f"{HOST}:1",
    "dfs.namenode.rpc-address.a.nn2": f"{HOST}:2",
}
PORTS_APART = {
    f"dfs.namenode.{kind}-address.a.nn{number}": f"{HOST}:{3 + index + 2 * number}"
    for index, kind in enumerate(("servicerpc", "lifeline.rpc"))
    for number in (1, 2)
}


@pytest.mark.parametrize(
    "keys",
    [
        {"fs.defaultFS": f"hdfs://{HOST}:1"},
        TWO_NODES,
        {**TWO_NODES, **PORTS_APART, "dfs.ha.automatic-failover.enabled.a": "true"},
    ],
    ids=["no nameservice", "by hand", "automatic, ports apart"],
)
def test_haadmin_in_other_configurations(
    hadoop_lib: Path, tmp_path: Path, keys: dict[str, str]
) -> None:
    """Nobody listens anywhere."""
    rows = (f"<property><name>{k}</name><value>{v}</value></property>" for k, v in keys.items())
    (tmp_path / "core-site.xml").write_text("<configuration/>")
    (tmp_path / "hdfs-site.xml").write_text(f"<configuration>{''.join(rows)}</configuration>")
    tool = Cluster(tmp_path, hadoop_lib)
    for words in (
        "-getServiceState nn1",
        "-getAllServiceState",
        "-checkHealth nn2",
        "-transitionToActive nn1",
        "-transitionToStandby nn1",
        "-failover nn1 nn2",
        "-ns a -getServiceState nn2",
    ):
        ours = tool.run(tool.hdfsd("haadmin", *words.split()), tmp_path)
        hadoops = tool.run(tool.java(tmp_path, HAADMIN, *words.split()), tmp_path)
        assert said(ours) == said(hadoops), words


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, list[str], list[str]]:
    """Exit code and output, without Java's logs and what only one of the two can have."""
    return done.returncode, _lines(done.stdout), _lines(done.stderr)


LOGS = ("SLF4J", "log4j", "20", "java.", "Caused by: ", "\tat ", "\t... ")
GENERIC = ("-jt ", "-files ", "-libjars ", "-archives ", "--config ")
"""Options that the other tool does not take."""
LOGGED = re.compile(r"20\d\d-\d\d-\d\d [\d:,]+ (?:WARN|ERROR) HAAdmin: ")
"""What Hadoop's tool says to the operator by way of its log."""


def _lines(text: str) -> list[str]:
    found = [line for line in LOGGED.sub("", text).splitlines() if line and "-explain" not in line]
    return [line for line in found if not line.startswith((*LOGS, *GENERIC))]


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory, hadoop_lib: Path) -> Iterator[Cluster]:
    """Two NameNodes that an operator makes active."""
    found = Cluster(tmp_path_factory.mktemp("manual"), hadoop_lib, automatic=False)
    try:
        found.start()
        yield found
    finally:
        found.stop()


BY_HAND = [
    "-getAllServiceState",
    "-transitionToActive nn1",
    "-getServiceState nn1",
    "-transitionToActive nn2",
    "-transitionToActive nn1",
    "-failover nn1 nn1",
    "-failover nn1 nn2",
    "-failover nn1 nn2",
    "-failover --forcefence nn2 nn1",
    "-failover --forceactive nn1 nn2",
    "-failover --forcefence --forceactive nn2 nn1",
    "-getAllServiceState",
    "-transitionToStandby nn1",
    "-failover nn1 nn2",
    "-transitionToObserver nn1",
    "-getAllServiceState",
    "-transitionToActive nn1",
    "-failover nn2 nn1",
    "-transitionToObserver nn2",
    "-transitionToStandby nn1",
    "-transitionToStandby nn2",
    "-transitionToActive --forceactive nn1",
    "-checkHealth nn1",
    "-getAllServiceState",
    "-transitionToStandby nn1",
    "-getAllServiceState",
]
"""From both standby to both standby again."""
WITH_NN2_DEAD = [
    "-getServiceState nn2",
    "-getAllServiceState",
    "-checkHealth nn2",
    "-transitionToActive nn2",
    "-transitionToActive nn1",
    "-getAllServiceState",
    "-transitionToActive --forceactive nn1",
    "-failover nn1 nn2",
    "-failover --forceactive nn1 nn2",
    "-transitionToStandby nn1",
    "-failover nn2 nn1",
    "-transitionToStandby nn1",
    "-transitionToStandby nn2",
    "-getAllServiceState",
]


def test_a_day_of_an_operator_by_both_tools(manual: Cluster) -> None:
    hadoops = [(words, said(manual.hadoop_haadmin(*words.split()))) for words in BY_HAND]
    ours = [(words, said(manual.haadmin(*words.split()))) for words in BY_HAND]
    assert ours == hadoops


def test_the_same_when_one_is_dead(manual: Cluster) -> None:
    manual.kill("nn2")
    hadoops = [(words, said(manual.hadoop_haadmin(*words.split()))) for words in WITH_NN2_DEAD]
    ours = [(words, said(manual.haadmin(*words.split()))) for words in WITH_NN2_DEAD]
    assert ours == hadoops
