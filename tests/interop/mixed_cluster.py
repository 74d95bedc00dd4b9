"""Adapter. One nameservice whose daemons are Hadoop's or ours by choice, on the same files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hadoop import (
    DATANODE,
    JOURNALNODE,
    NAMENODE,
    ZKFC,
    Hadoop,
    HadoopCluster,
    wait_for_port,
)
from java_shell import SUPERUSER, JavaShell

HADOOP, HDFSD = "hadoop", "hdfsd"
MAIN_CLASSES = {
    "namenode": NAMENODE,
    "datanode": DATANODE,
    "journalnode": JOURNALNODE,
    "zkfc": ZKFC,
}
DEADLINE_SECONDS = 90
MANUAL = {
    "dfs.ha.automatic-failover.enabled": "false",
    "dfs.ha.tail-edits.in-progress": "true",
    "dfs.ha.tail-edits.period": "500ms",
    "dfs.ha.log-roll.period": "5s",
    "dfs.namenode.redundancy.interval.seconds": "1s",
    "dfs.namenode.accesstime.precision": "3600000",
}
AUTOMATIC = {
    "dfs.ha.automatic-failover.enabled": "true",
    "ha.zookeeper.session-timeout.ms": "10000",
    "ha.health-monitor.rpc-timeout.ms": "8000",
    "dfs.namenode.heartbeat.recheck-interval": "60000",
    "ha.health-monitor.connect-retry-interval.ms": "200",
    "ha.health-monitor.sleep-after-disconnect.ms": "200",
    "ha.failover-controller.graceful-fence.rpc-timeout.ms": "2000",
    "dfs.client.failover.sleep.base.millis": "50",
    "dfs.client.failover.sleep.max.millis": "1000",
    "dfs.client.failover.max.attempts": "200",
}
"""A frozen process is found in seconds; one that only has to wait for a core is left alone."""


def wait_for(what: str, holds: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    """Until it is so. Raises AssertionError."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.2)


class MixedCluster:
    """NameNodes nn1 and nn2, JournalNodes and DataNodes; failover by hand, or by controllers
    (AUTOMATIC) that a test starts."""

    def __init__(
        self,
        hadoop: Hadoop,
        *,
        journalnodes: int = 1,
        datanodes: int = 1,
        overrides: Mapping[str, str] | None = None,
    ) -> None:
        self.hadoop = hadoop
        self.site = HadoopCluster(
            hadoop,
            journalnodes=journalnodes,
            datanodes=datanodes,
            overrides=MANUAL | dict(overrides or {}),
        )
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.local = hadoop.root / "local"
        self.local.mkdir()
        self.shell = JavaShell(hadoop, self.site.conf, self.local)

    # --- daemons ---

    def start(self, role: str, which: str | int, kind: str) -> None:
        """A daemon of one kind; it has its port when this returns."""
        name, conf, port = self._place(role, which)
        log = open(self.hadoop.root / f"{name}.log", "ab")  # noqa: SIM115 - for the process
        self.processes[name] = subprocess.Popen(
            self.command(kind, role, conf),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"HADOOP_USER_NAME": SUPERUSER},
            cwd=self.hadoop.root,
            start_new_session=True,
        )
        log.close()
        wait_for_port(port)

    def command(self, kind: str, role: str, conf: Path, *arguments: str) -> list[str]:
        if kind == HADOOP:
            return self.hadoop.command(conf, MAIN_CLASSES[role], *arguments, heap="512m")
        return [sys.executable, "-m", "hdfsd.cli.main", "--config", str(conf), role, *arguments]

    def prepare(self, which: str, kind: str, *arguments: str, role: str = "namenode") -> str:
        """`namenode -format` and the like, which must succeed; what it said."""
        _, conf, _ = self._place(role, which)
        done = subprocess.run(
            self.command(kind, role, conf, *arguments),
            capture_output=True,
            env=os.environ | {"HADOOP_USER_NAME": SUPERUSER},
            cwd=self.hadoop.root,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == 0, f"{kind} {arguments}: {done.returncode}\n{said[-4000:]}"
        return said

    def start_all(self, kind: str, *namenodes: str) -> None:
        """JournalNodes, the NameNodes named, DataNodes; all of one kind."""
        for index in range(len(self.site.journalnode_ports)):
            self.start("journalnode", index, kind)
        for name in namenodes:
            self.start("namenode", name, kind)
        for index in range(len(self.site.datanode_ports)):
            self.start("datanode", index, kind)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(60)

    def kill_all(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def close(self) -> None:
        self.kill_all()
        self.shell.close()
        self.hadoop.close()

    def log(self, name: str) -> str:
        return (self.hadoop.root / f"{name}.log").read_text(errors="replace")

    # --- by hand ---

    def activate(self, which: str) -> None:
        """Makes it active and waits until it takes writes."""
        order = ("haadmin", "-transitionToActive", "--forceactive", which)
        if "EOFException" in self.shell.run(*order).err:
            # The JVM had kept its connection to the process that was there before.
            self.shell.must(*order)
        wait_for(
            f"{which} out of safe mode",
            lambda: "OFF" in self.shell.run(*self._admin(which), "-safemode", "get").out,
        )
        all_live = f"Live datanodes ({len(self.site.datanode_ports)})"
        wait_for(all_live, lambda: all_live in self.shell.run(*self._admin(which), "-report").out)

    def hand_over(self, old: str, new: str) -> None:
        self.shell.must("haadmin", "-transitionToStandby", old)
        self.activate(new)

    def save(self, which: str, *, leave: bool = True) -> None:
        """Makes a NameNode save its image; without `leave` it stays in safe mode."""
        asked = [("-safemode", "enter"), ("-saveNamespace",), ("-safemode", "leave")]
        for words in asked if leave else asked[:2]:
            self.shell.must(*self._admin(which), *words)

    def _admin(self, which: str) -> tuple[str, ...]:
        address = f"hdfs://127.0.0.1:{self.site.namenode_ports[which]['rpc']}"
        return "dfsadmin", "-fs", address

    def current(self, which: str) -> Path:
        """The `current` of its name directory."""
        return self.hadoop.root / "data" / which / "current"

    def _place(self, role: str, which: str | int) -> tuple[str, Path, int]:
        if role == "namenode":
            name = str(which)
            return name, self.site.namenode_conf(name), self.site.namenode_ports[name]["rpc"]
        if role == "zkfc":
            name = str(which)
            port = self.site.namenode_ports[name]["zkfc"]
            return f"zkfc-{name}", self.site.namenode_conf(name), port
        index = int(which)
        if role == "journalnode":
            conf = self.site.journalnode_conf(index)
            return f"jn{index}", conf, self.site.journalnode_ports[index][0]
        return f"dn{index}", self.site.datanode_conf(index), self.site.datanode_ports[index][0]
