"""Hadoop's NameNodes write through our JournalNodes across a failover, and our writer on Hadoop's.

Also: journal directories change hands between the two kinds in the middle of a segment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hadoop import free_ports

from hdfsd.base.config import Configuration
from hdfsd.base.errors import HdfsdError
from hdfsd.base.ids import Address, NamespaceInfo, StorageInfo, TxId
from hdfsd.base.settings import QuorumSettings
from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.http import RealHttpClient
from hdfsd.io.network import TcpNetwork
from hdfsd.quorum.manager import QuorumJournal
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import ha_service
from hdfsd.wire.services import HA_SERVICE_PROTOCOL

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

HOST = "127.0.0.1"
NAMESERVICE = "mycluster"
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
JOURNALNODE = "org.apache.hadoop.hdfs.qjournal.server.JournalNode"
OPENS = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.nio", "sun.nio.ch", "java.util")
]


def wait_for(what: str, holds: Callable[[], bool], seconds: int = 90) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.1)


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


class Cluster:
    """Processes under one directory; whatever was started is killed at the end."""

    def __init__(self, root: Path, lib: Path, *, in_progress_tailing: bool) -> None:
        self.root = root
        self.lib = lib
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        ports = free_ports(10)
        self.journal_ports = [(ports[i], ports[3 + i]) for i in range(3)]
        self.rpc_ports = {"nn1": ports[6], "nn2": ports[7]}
        self.http_ports = {"nn1": ports[8], "nn2": ports[9]}
        journals = ";".join(f"{HOST}:{rpc}" for rpc, _ in self.journal_ports)
        self.keys = {
            "fs.defaultFS": f"hdfs://{NAMESERVICE}",
            "fs.hdfs.impl.disable.cache": "true",
            "dfs.nameservices": NAMESERVICE,
            f"dfs.ha.namenodes.{NAMESERVICE}": "nn1,nn2",
            "dfs.namenode.shared.edits.dir": f"qjournal://{journals}/{NAMESERVICE}",
            f"dfs.client.failover.proxy.provider.{NAMESERVICE}": (
                "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
            ),
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            "dfs.ha.tail-edits.in-progress": str(in_progress_tailing).lower(),
            "dfs.ha.tail-edits.period": "1s",
            "dfs.namenode.safemode.extension": "0",
        }
        for name in ("nn1", "nn2"):
            suffix = f"{NAMESERVICE}.{name}"
            self.keys[f"dfs.namenode.rpc-address.{suffix}"] = f"{HOST}:{self.rpc_ports[name]}"
            self.keys[f"dfs.namenode.http-address.{suffix}"] = f"{HOST}:{self.http_ports[name]}"

    def conf(self, name: str, extra: Mapping[str, str] = MappingProxyType({})) -> Path:
        directory = self.root / "conf" / name
        directory.mkdir(parents=True, exist_ok=True)
        keys = {
            **self.keys,
            "hadoop.tmp.dir": f"{self.root}/tmp/{name}",
            "dfs.namenode.name.dir": f"file://{self.root}/data/{name}/name",
            **({"dfs.ha.namenode.id": name} if name in self.rpc_ports else {}),
            **extra,
        }
        rows = "".join(
            f"<property><name>{key}</name><value>{value}</value></property>\n"
            for key, value in keys.items()
        )
        for site in ("core-site.xml", "hdfs-site.xml"):
            (directory / site).write_text(f"<configuration>\n{rows}</configuration>\n")
        (directory / "log4j.properties").write_text(
            "log4j.rootLogger=INFO,console\n"
            "log4j.appender.console=org.apache.log4j.ConsoleAppender\n"
            "log4j.appender.console.target=System.err\n"
            "log4j.appender.console.layout=org.apache.log4j.PatternLayout\n"
            "log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n\n"
        )
        return directory

    def java(self, conf: Path, *command: str) -> list[str]:
        return ["java", "-Xmx512m", *OPENS, "-cp", f"{conf}:{self.lib}/*", *command]

    def spawn(self, name: str, command: list[str]) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.root
            )

    def run(self, conf: Path, *command: str) -> str:
        done = subprocess.run(
            self.java(conf, *command),
            check=False,
            capture_output=True,
            text=True,
            cwd=self.root,
            timeout=180,
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-500:]}{done.stderr[-3000:]}"
        return done.stdout

    def start_journal(self, index: int, kind: str = "hdfsd") -> None:
        rpc, http = self.journal_ports[index]
        name = f"jn{index}"
        keys = {
            "dfs.journalnode.rpc-address": f"{HOST}:{rpc}",
            "dfs.journalnode.http-address": f"{HOST}:{http}",
            "dfs.journalnode.edits.dir": f"{self.root}/data/{name}",
        }
        conf = self.conf(name, keys)
        if kind == "hadoop":
            command = self.java(conf, JOURNALNODE)
        else:
            command = [sys.executable, "-m", "hdfsd.cli.main", "--config", str(conf), "journalnode"]
        self.spawn(name, command)
        wait_for(name, lambda: listens(rpc))

    def start_namenode(self, name: str) -> None:
        self.spawn(name, self.java(self.conf(name), f"-Dproc_{name}", NAMENODE))
        wait_for(name, lambda: listens(self.rpc_ports[name]))

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def make_active(self, name: str) -> None:
        async def ask() -> None:
            client = RpcClient(
                TcpNetwork(),
                Address(HOST, self.rpc_ports[name]),
                HA_SERVICE_PROTOCOL,
                user=os.environ.get("USER", "root"),
                dice=RealDice(),
            )
            request = ha_service.TransitionToActiveRequestProto()
            request.reqInfo.reqSource = ha_service.REQUEST_BY_USER
            await client.call("transitionToActive", request, deadline_ms=60_000)
            await client.close()

        def done() -> bool:
            try:
                asyncio.run(ask())
            except HdfsdError:
                return False
            return True

        wait_for(f"{name} active", done)

    def shell(self, *arguments: str) -> str:
        root = f"hdfs://{NAMESERVICE}"
        paths = [root + word if word.startswith("/") else word for word in arguments]
        return self.run(self.conf("client"), "org.apache.hadoop.fs.FsShell", *paths)


@pytest.fixture
def tailing() -> bool:
    return True


@pytest.fixture
def cluster(tailing: bool, hadoop_lib: Path, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, hadoop_lib, in_progress_tailing=tailing)
    try:
        yield cluster
    finally:
        cluster.stop()


def paths(listing: str) -> list[str]:
    """The paths of an `ls -R`, without the file system's name."""
    rows = [line.split() for line in listing.splitlines() if line.startswith(("d", "-"))]
    return sorted(row[-1].removeprefix(f"hdfs://{NAMESERVICE}") for row in rows)


@pytest.mark.parametrize("tailing", [False, True], ids=["finished-segments", "in-progress-tailing"])
def test_files_outlive_the_active_namenode(cluster: Cluster) -> None:
    for index in range(3):
        cluster.start_journal(index)
    nn1 = cluster.conf("nn1")
    cluster.run(nn1, NAMENODE, "-format", "-force", "-nonInteractive")
    cluster.start_namenode("nn1")
    nn2 = cluster.conf("nn2")
    cluster.run(nn2, NAMENODE, "-bootstrapStandby", "-force", "-nonInteractive")
    cluster.start_namenode("nn2")
    cluster.make_active("nn1")
    cluster.shell("-mkdir", "-p", *(f"/a/{i}" for i in range(20)))
    cluster.shell("-touchz", *(f"/a/{i}/file" for i in range(20)))
    before = paths(cluster.shell("-ls", "-R", "/"))
    assert len(before) == 41

    cluster.kill("nn1")
    cluster.make_active("nn2")
    assert paths(cluster.shell("-ls", "-R", "/")) == before

    # One journal less is still a quorum; it comes back with what its disk says.
    cluster.kill("jn1")
    cluster.shell("-touchz", "/b", "/c")
    cluster.start_journal(1)
    cluster.start_namenode("nn1")
    cluster.kill("nn2")
    cluster.make_active("nn1")
    assert paths(cluster.shell("-ls", "-R", "/")) == [*before, "/b", "/c"]
    current = cluster.root / "data/jn0" / NAMESERVICE / "current"
    assert (current / "last-promised-epoch").read_text() == "3\n"
    assert (current / "last-writer-epoch").read_text() == "3\n"


NAMESPACE = NamespaceInfo(StorageInfo(-67, 4711, 1700000000000, "CID-interop"), "BP-1-127.0.0.1-1")


def frame(txid: int) -> bytes:
    """A whole op that every version knows: OP_START_LOG_SEGMENT, no fields."""
    head = struct.pack(">BIq", 24, 12, txid)
    return head + struct.pack(">I", zlib.crc32(head))


def frames(first_txid: int, last_txid: int) -> bytes:
    return b"".join(frame(txid) for txid in range(first_txid, last_txid + 1))


def journal_of(cluster: Cluster, http: RealHttpClient) -> QuorumJournal:
    return QuorumJournal(
        [Address(HOST, rpc) for rpc, _ in cluster.journal_ports],
        NAMESERVICE,
        NAMESPACE,
        network=TcpNetwork(),
        http=http,
        clock=RealClock(),
        dice=RealDice(),
        user="root",
        settings=QuorumSettings.from_configuration(Configuration.parse([], {})),
    )


async def write_and_crash(cluster: Cluster, *, crash_after: int) -> None:
    """A finished segment 1..100, and one from 101 that is left open after `crash_after`."""
    http = RealHttpClient()
    journal = journal_of(cluster, http)
    await journal.format(NAMESPACE)
    assert await journal.has_data()
    assert await journal.recover() == 0
    await journal.start_segment(TxId(1))
    # Many batches at once: one after the other reaches a journal that answers in no order.
    await asyncio.gather(*(journal.write(TxId(t), 1, frame(t)) for t in range(1, 101)))
    assert all(row.in_sync for row in journal.health())
    await journal.finalize_segment(TxId(1), TxId(100))
    await journal.start_segment(TxId(101))
    await journal.write(TxId(101), crash_after - 100, frames(101, crash_after))
    # A majority has it. Before the crash all shall: what only some have proves nothing to a reader.
    async with asyncio.timeout(30):
        while any(row.acked_txid < crash_after for row in journal.health()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await journal.close()
    await http.close()


async def take_over(cluster: Cluster, *, last_txid: int) -> None:
    http = RealHttpClient()
    journal = journal_of(cluster, http)
    assert await journal.newest_txid() == last_txid
    assert await journal.recover() == last_txid
    await journal.start_segment(TxId(last_txid + 1))
    await journal.write(TxId(last_txid + 1), 1, frame(last_txid + 1))
    reader = journal_of(cluster, http)
    tail = await reader.edits(TxId(last_txid + 1))
    assert tail.data == frame(last_txid + 1)
    await journal.finalize_segment(TxId(last_txid + 1), TxId(last_txid + 1))
    read, txid = b"", 1
    while txid <= last_txid + 1:
        chunk = await reader.edits(TxId(txid), 64)
        assert chunk.first_txid == txid
        assert 0 < chunk.count <= 64
        read, txid = read + chunk.data, txid + chunk.count
    assert read == frames(1, last_txid + 1)
    assert [segment.first_txid for segment in await reader.manifest(TxId(1))] == [
        1,
        101,
        last_txid + 1,
    ]
    await reader.close()
    await journal.close()
    await http.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["hadoop"] * 3, ["hadoop"] * 3),
        (["hadoop", "hadoop", "hdfsd"], ["hdfsd", "hdfsd", "hadoop"]),
        (["hdfsd", "hdfsd", "hadoop"], ["hadoop", "hadoop", "hdfsd"]),
    ],
    ids=["hadoop", "change-hands-1", "change-hands-2"],
)
def test_our_writer_on_hadoops_journals(
    cluster: Cluster, before: list[str], after: list[str]
) -> None:
    for index, kind in enumerate(before):
        cluster.start_journal(index, kind)
    asyncio.run(write_and_crash(cluster, crash_after=150))
    for index in range(3):
        cluster.kill(f"jn{index}")
    for index, kind in enumerate(after):
        cluster.start_journal(index, kind)
    asyncio.run(take_over(cluster, last_txid=150))
    sizes = [
        {
            path.name: path.stat().st_size
            for path in (cluster.root / f"data/jn{index}" / NAMESERVICE / "current").glob("edits*")
        }
        for index in range(3)
    ]
    finished = "edits_0000000000000000001-0000000000000000100"
    # The third may have missed the finalize of a writer that had its majority and was gone.
    assert sum(names.get(finished) == 8 + 17 * 100 for names in sizes) >= 2
