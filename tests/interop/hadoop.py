"""Adapter. Apache Hadoop itself, from its jars: one tool, one daemon, or a whole HA cluster.

The jars come from $HDFSD_HADOOP_LIB or .hadoop/lib (`make interop` downloads them with pom.xml).
Everything listens on 127.0.0.1 only.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

HOST = "127.0.0.1"
NAMESERVICE = "mycluster"
PORT_FIRST, PORT_END = 10_000, 20_000
"""Below those that `hdfsd cluster up` takes."""
SLICES = 8
"""Tests that run side by side take theirs from different parts: a port is bound some time after it
was found free."""
ROOT = Path(__file__).resolve().parents[2]

NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
JOURNALNODE = "org.apache.hadoop.hdfs.qjournal.server.JournalNode"
ZKFC = "org.apache.hadoop.hdfs.tools.DFSZKFailoverController"
FS_SHELL = "org.apache.hadoop.fs.FsShell"
HA_ADMIN = "org.apache.hadoop.hdfs.tools.DFSHAAdmin"
DFS_ADMIN = "org.apache.hadoop.hdfs.tools.DFSAdmin"
GETCONF = "org.apache.hadoop.hdfs.tools.GetConf"
OIV = "org.apache.hadoop.hdfs.tools.offlineImageViewer.OfflineImageViewerPB"
OEV = "org.apache.hadoop.hdfs.tools.offlineEditsViewer.OfflineEditsViewer"
ZOOKEEPER = "org.apache.zookeeper.server.ZooKeeperServerMain"

OPENED_PACKAGES = ("java.lang", "java.nio", "sun.nio.ch", "java.util")
LOG4J = """log4j.rootLogger=WARN,console
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
log4j.logger.org.apache.hadoop.fs.TrashPolicyDefault=INFO
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""


def jars() -> Path | None:
    """The directory of Hadoop's jars, if they are there and Java is."""
    lib = Path(os.environ.get("HDFSD_HADOOP_LIB") or ROOT / ".hadoop/lib").resolve()
    there = any(lib.glob("hadoop-hdfs-[0-9]*.jar")) and shutil.which("java") is not None
    return lib if there else None


def free_ports(count: int) -> list[int]:
    """Consecutive ports that nobody listens on."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % SLICES
    size = (PORT_END - PORT_FIRST) // SLICES
    begin = PORT_FIRST + worker * size
    for _ in range(200):
        first = random.randrange(begin, begin + size - count)
        ports = list(range(first, first + count))
        if all(_is_free(port) for port in ports):
            return ports
    raise RuntimeError(f"no {count} free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex((HOST, port)) != 0 and _binds(probe, port)


def _binds(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind((HOST, port))
    except OSError:
        return False
    return True


def wait_for_port(port: int, seconds: float = 90) -> None:
    """Until somebody listens there. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        if time.monotonic() > end:
            raise TimeoutError(f"nobody listens on {port} after {seconds} s")
        time.sleep(0.05)


def write_conf(directory: Path, core: Mapping[str, str], hdfs: Mapping[str, str]) -> Path:
    """A configuration directory, for Hadoop's programs and ours."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "core-site.xml").write_text(site_xml(core))
    (directory / "hdfs-site.xml").write_text(site_xml(hdfs))
    (directory / "log4j.properties").write_text(LOG4J)
    return directory


def site_xml(values: Mapping[str, str]) -> str:
    """The text of a site file."""
    rows = "".join(
        f"<property><name>{escape(k)}</name><value>{escape(v)}</value></property>\n"
        for k, v in values.items()
    )
    return f"<?xml version='1.0'?>\n<configuration>\n{rows}</configuration>\n"


@dataclass(slots=True)
class JavaDaemon:
    """A Java process that a test started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signals it and waits for its end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(60)


@dataclass(slots=True)
class Hadoop:
    """The programs of one Hadoop installation, run with the files of `root`."""

    lib: Path
    root: Path
    daemons: dict[str, JavaDaemon] = field(default_factory=dict)

    def command(
        self, conf: Path, main_class: str, *arguments: str, heap: str = "256m"
    ) -> list[str]:
        """The java command line."""
        opens = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED_PACKAGES]
        # Serial collection and one tier of compilation: these programs live for a second.
        tuned = [f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        if not (conf / "log4j.properties").exists():
            logs = self.root / "log4j"
            logs.mkdir(parents=True, exist_ok=True)
            (logs / "log4j.properties").write_text(LOG4J)
            class_path = f"{conf}:{logs}:{self.lib}/*"
        else:
            class_path = f"{conf}:{self.lib}/*"
        return ["java", *tuned, *opens, "-cp", class_path, main_class, *arguments]

    def run(
        self,
        conf: Path,
        main_class: str,
        *arguments: str,
        stdin: bytes = b"",
        user: str | None = None,
        cwd: Path | None = None,
        timeout: float = 180,
    ) -> subprocess.CompletedProcess[bytes]:
        """One tool, to its end; check returncode, stdout, stderr yourself."""
        environment = dict(os.environ)
        if user is not None:
            environment["HADOOP_USER_NAME"] = user
        return subprocess.run(
            self.command(conf, main_class, *arguments),
            input=stdin,
            capture_output=True,
            env=environment,
            cwd=cwd or self.root,
            timeout=timeout,
            check=False,
        )

    def fs(self, conf: Path, *arguments: str, stdin: bytes = b"") -> str:
        """FsShell, which must succeed; its standard output."""
        return self._must(self.run(conf, FS_SHELL, *arguments, stdin=stdin), arguments)

    def oiv_xml(self, conf: Path, image: Path) -> str:
        """An fsimage as XML."""
        target = self.root / f"{image.name}.xml"
        arguments = ("-p", "XML", "-i", str(image), "-o", str(target))
        self._must(self.run(conf, OIV, *arguments), arguments)
        return target.read_text()

    def oev_xml(self, conf: Path, edits: Path) -> str:
        """An edits file as XML."""
        target = self.root / f"{edits.name}.xml"
        arguments = ("-p", "xml", "-i", str(edits), "-o", str(target))
        self._must(self.run(conf, OEV, *arguments), arguments)
        return target.read_text()

    @staticmethod
    def _must(done: subprocess.CompletedProcess[bytes], arguments: Sequence[str]) -> str:
        text = done.stderr.decode("utf-8", "replace")
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.returncode}\n{text[-4000:]}"
        return done.stdout.decode()

    def start(self, name: str, conf: Path, main_class: str, *arguments: str) -> JavaDaemon:
        """A daemon; `stop` or `close` ends it."""
        logs = self.root / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        path = logs / f"{name}.log"
        with open(path, "ab") as target:
            process = subprocess.Popen(
                self.command(conf, main_class, *arguments, heap="512m"),
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                cwd=self.root,
                start_new_session=True,
            )
        self.daemons[name] = JavaDaemon(name, process, path)
        return self.daemons[name]

    def stop(self, name: str) -> None:
        """Ends one daemon at once."""
        self.daemons.pop(name).kill()

    def close(self) -> None:
        """Ends all daemons."""
        for name in list(self.daemons):
            self.stop(name)


class HadoopCluster:
    """A Hadoop HA cluster: ZooKeeper, JournalNodes, two NameNodes with controllers, DataNodes."""

    def __init__(
        self,
        hadoop: Hadoop,
        *,
        journalnodes: int = 3,
        datanodes: int = 3,
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        self.hadoop = hadoop
        self.root = hadoop.root
        ports = iter(free_ports(1 + 2 * 3 + 2 * journalnodes + 3 * datanodes))
        self.zookeeper_port = next(ports)
        self.namenode_ports = {
            name: {"rpc": next(ports), "http": next(ports), "zkfc": next(ports)}
            for name in ("nn1", "nn2")
        }
        self.journalnode_ports = [(next(ports), next(ports)) for _ in range(journalnodes)]
        self.datanode_ports = [(next(ports), next(ports), next(ports)) for _ in range(datanodes)]
        self._overrides = dict(overrides or {})
        self.conf = self.conf_of("client", {})

    @property
    def core_site(self) -> dict[str, str]:
        return {
            "fs.defaultFS": f"hdfs://{NAMESERVICE}",
            "ha.zookeeper.quorum": f"{HOST}:{self.zookeeper_port}",
            "hadoop.tmp.dir": str(self.root / "tmp"),
        }

    @property
    def hdfs_site(self) -> dict[str, str]:
        journals = ";".join(f"{HOST}:{rpc}" for rpc, _ in self.journalnode_ports)
        provider = "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
        values = {
            "dfs.nameservices": NAMESERVICE,
            f"dfs.ha.namenodes.{NAMESERVICE}": "nn1,nn2",
            "dfs.namenode.shared.edits.dir": f"qjournal://{journals}/{NAMESERVICE}",
            f"dfs.client.failover.proxy.provider.{NAMESERVICE}": provider,
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            "dfs.ha.automatic-failover.enabled": "true",
            "dfs.replication": str(min(3, len(self.datanode_ports))),
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.namenode.fs-limits.min-block-size": "0",
            "dfs.namenode.safemode.extension": "0",
            "dfs.heartbeat.interval": "1",
            "dfs.namenode.heartbeat.recheck-interval": "1000",
        }
        for name, ports in self.namenode_ports.items():
            suffix = f"{NAMESERVICE}.{name}"
            values[f"dfs.namenode.rpc-address.{suffix}"] = f"{HOST}:{ports['rpc']}"
            values[f"dfs.namenode.http-address.{suffix}"] = f"{HOST}:{ports['http']}"
            values[f"dfs.namenode.name.dir.{suffix}"] = f"file://{self.root}/data/{name}"
            values[f"dfs.ha.zkfc.port.{suffix}"] = str(ports["zkfc"])
        return values | self._overrides

    def conf_of(self, name: str, own: Mapping[str, str]) -> Path:
        """A configuration directory of the cluster with a daemon's own values."""
        return write_conf(self.root / "conf" / name, self.core_site, self.hdfs_site | dict(own))

    def namenode_conf(self, name: str) -> Path:
        return self.conf_of(name, {"dfs.ha.namenode.id": name})

    def journalnode_conf(self, index: int) -> Path:
        rpc, http = self.journalnode_ports[index]
        own = {
            "dfs.journalnode.rpc-address": f"{HOST}:{rpc}",
            "dfs.journalnode.http-address": f"{HOST}:{http}",
            "dfs.journalnode.edits.dir": f"{self.root}/data/jn{index}",
        }
        return self.conf_of(f"jn{index}", own)

    def datanode_conf(self, index: int) -> Path:
        data, http, ipc = self.datanode_ports[index]
        own = {
            "dfs.datanode.address": f"{HOST}:{data}",
            "dfs.datanode.http.address": f"{HOST}:{http}",
            "dfs.datanode.ipc.address": f"{HOST}:{ipc}",
            "dfs.datanode.data.dir": f"file://{self.root}/data/dn{index}",
        }
        return self.conf_of(f"dn{index}", own)

    def start_zookeeper(self) -> None:
        data = self.root / "data/zk"
        data.mkdir(parents=True, exist_ok=True)
        # Its web server would take port 8080, which the next cluster's wants too: both would end.
        site = data / "zoo.cfg"
        site.write_text(
            f"dataDir={data}\nclientPort={self.zookeeper_port}\nadmin.enableServer=false\n"
        )
        self.hadoop.start("zk", self.conf, ZOOKEEPER, str(site))
        wait_for_port(self.zookeeper_port)

    def start_journalnode(self, index: int) -> None:
        self.hadoop.start(f"jn{index}", self.journalnode_conf(index), JOURNALNODE)

    def start_namenode(self, name: str) -> None:
        self.hadoop.start(name, self.namenode_conf(name), NAMENODE)

    def start_zkfc(self, name: str) -> None:
        self.hadoop.start(f"zkfc-{name}", self.namenode_conf(name), ZKFC)

    def start_datanode(self, index: int) -> None:
        self.hadoop.start(f"dn{index}", self.datanode_conf(index), DATANODE)

    def prepare(self, conf: Path, main_class: str, *arguments: str) -> None:
        """A step such as -format, which must succeed."""
        done = self.hadoop.run(conf, main_class, *arguments)
        text = done.stderr.decode("utf-8", "replace")
        assert done.returncode == 0, f"{main_class} {arguments}: {done.returncode}\n{text[-4000:]}"

    def start(self) -> None:
        """Everything; formats what was never formatted. Returns when a write succeeds."""
        self.start_zookeeper()
        for index in range(len(self.journalnode_ports)):
            self.start_journalnode(index)
        for rpc, _ in self.journalnode_ports:
            wait_for_port(rpc)
        fresh = not (self.root / "data/nn1/current/VERSION").exists()
        if fresh:
            first = self.namenode_conf("nn1")
            self.prepare(first, NAMENODE, "-format", "-force", "-nonInteractive")
            self.prepare(first, ZKFC, "-formatZK", "-force", "-nonInteractive")
        self.start_namenode("nn1")
        for index in range(len(self.datanode_ports)):
            self.start_datanode(index)
        wait_for_port(self.namenode_ports["nn1"]["rpc"])
        if fresh:
            second = self.namenode_conf("nn2")
            self.prepare(second, NAMENODE, "-bootstrapStandby", "-force", "-nonInteractive")
        self.start_namenode("nn2")
        for name in self.namenode_ports:
            self.start_zkfc(name)
        self.wait_for_write()

    def wait_for_write(self, seconds: float = 120) -> None:
        """Until a file can be written. Raises TimeoutError with FsShell's last words."""
        end = time.monotonic() + seconds
        while True:
            arguments = ("-put", "-f", "-", "/.written")
            done = self.hadoop.run(self.conf, FS_SHELL, *arguments, stdin=b"x")
            if done.returncode == 0:
                break
            if time.monotonic() > end:
                raise TimeoutError(done.stderr.decode("utf-8", "replace")[-2000:])
            time.sleep(0.5)
        self.hadoop.fs(self.conf, "-rm", "-skipTrash", "/.written")


@contextmanager
def hadoop_cluster(hadoop: Hadoop, **options: object) -> Iterator[HadoopCluster]:
    """A running cluster, stopped at the end."""
    cluster = HadoopCluster(hadoop, **options)  # type: ignore[arg-type]
    try:
        cluster.start()
        yield cluster
    finally:
        hadoop.close()
