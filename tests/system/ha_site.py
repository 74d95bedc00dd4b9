"""Adapter. An HA cluster whose every daemon is a process on a machine of its own (machines).

What a test breaks is then what breaks in life: a process ends or freezes, a packet is lost, a whole
machine is gone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from machines import Machines

NAMESERVICE = "ns1"
NAMENODE_PORT = 8020
ZOOKEEPER_PORT = 2181
COMMAND_S = 300
"""How long a command may take on a machine that has no time."""
SETTINGS = {
    "fs.defaultFS": f"hdfs://{NAMESERVICE}",
    "dfs.nameservices": NAMESERVICE,
    "dfs.ha.automatic-failover.enabled": "true",
    "dfs.ha.fencing.methods": "shell(/bin/true)",
    "dfs.ha.tail-edits.in-progress": "true",
    "dfs.ha.tail-edits.period": "100ms",
    "ha.zookeeper.session-timeout.ms": "3000",
    "ha.health-monitor.check-interval.ms": "500",
    "ha.health-monitor.connect-retry-interval.ms": "100",
    "ha.health-monitor.sleep-after-disconnect.ms": "100",
    "ha.health-monitor.rpc-timeout.ms": "1000",
    "ha.failover-controller.graceful-fence.rpc-timeout.ms": "1000",
    "dfs.qjournal.write-txns.timeout.ms": "3000",
}


class HaSite:
    """NameNodes with their controllers, JournalNodes, perhaps DataNodes, and a ZooKeeper."""

    def __init__(
        self,
        root: Path,
        zookeeper_command: Sequence[str],
        *,
        namenodes: Sequence[str],
        journals: Mapping[str, tuple[str, int]],
        datanodes: Sequence[str] = (),
        others: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`journals`: the machine and the port of each; `others`: more machines, for clients."""
        self.root = root
        self.namenodes, self.journals, self.datanodes = namenodes, journals, datanodes
        journal_machines = (machine for machine, _ in journals.values())
        names = (*namenodes, *journal_machines, *datanodes, "zookeeper", *others)
        self.machines = Machines(root, *dict.fromkeys(names))
        self._zookeeper_command = zookeeper_command
        self._keys = {**SETTINGS, **self._addresses(), **(settings or {})}

    def _addresses(self) -> dict[str, str]:
        hosts = self.machines.hosts
        journals = ";".join(f"{hosts[machine]}:{port}" for machine, port in self.journals.values())
        keys = {
            f"dfs.ha.namenodes.{NAMESERVICE}": ",".join(self.namenodes),
            "dfs.namenode.shared.edits.dir": f"qjournal://{journals}/{NAMESERVICE}",
            "ha.zookeeper.quorum": f"{hosts['zookeeper']}:{ZOOKEEPER_PORT}",
        }
        for name in self.namenodes:
            suffix = f"{NAMESERVICE}.{name}"
            keys[f"dfs.namenode.rpc-address.{suffix}"] = f"{hosts[name]}:{NAMENODE_PORT}"
            keys[f"dfs.namenode.http-address.{suffix}"] = f"{hosts[name]}:9870"
            keys[f"dfs.ha.zkfc.port.{suffix}"] = "8019"
        return keys

    # Configurations.

    def conf(self, name: str, **own: str) -> dict[str, str]:
        """The environment that a daemon finds its configuration by; keys have `__` for `.`."""
        directory = self.root / "conf" / name
        directory.mkdir(parents=True, exist_ok=True)
        keys = {
            **self._keys,
            "hadoop.tmp.dir": f"{self.root}/{name}/tmp",
            **{key.replace("__", "."): value for key, value in own.items()},
        }
        rows = "".join(
            f"<property><name>{key}</name><value>{value}</value></property>"
            for key, value in keys.items()
        )
        (directory / "core-site.xml").write_text("<configuration/>")
        (directory / "hdfs-site.xml").write_text(f"<configuration>{rows}</configuration>")
        return {"HADOOP_CONF_DIR": str(directory)}

    def namenode_conf(self, name: str) -> dict[str, str]:
        """Of a NameNode and its controller."""
        return self.conf(
            name,
            dfs__ha__namenode__id=name,
            dfs__namenode__name__dir=f"file://{self.root}/{name}/name",
            **self.more_of_namenode(name),
        )

    def more_of_namenode(self, name: str) -> dict[str, str]:
        """Keys of one NameNode beyond the usual."""
        return {}

    def _journal_conf(self, name: str) -> dict[str, str]:
        machine, port = self.journals[name]
        host = self.machines.hosts[machine]
        return self.conf(
            name,
            **{
                "dfs__journalnode__rpc-address": f"{host}:{port}",
                "dfs__journalnode__http-address": f"{host}:{port + 100}",
                "dfs__journalnode__edits__dir": f"{self.root}/{name}",
            },
        )

    def _datanode_conf(self, name: str) -> dict[str, str]:
        host = self.machines.hosts[name]
        return self.conf(
            name,
            dfs__datanode__address=f"{host}:9866",
            dfs__datanode__http__address=f"{host}:9864",
            dfs__datanode__ipc__address=f"{host}:9867",
            dfs__datanode__hostname=host,
            dfs__datanode__data__dir=f"file://{self.root}/{name}/data",
        )

    # Processes.

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """From nothing to a cluster with an active NameNode and one that could take over."""
        self.machines.make()
        self.spawn_zookeeper()
        for name in self.journals:
            self.spawn_journal(name)
        first, *rest = self.namenodes
        self.must(first, "namenode", "-format", "-force", "-nonInteractive")
        self.must(first, "zkfc", "-formatZK", "-force", "-nonInteractive")
        self.spawn(first, "namenode")
        for name in rest:
            self.must(name, "namenode", "-bootstrapStandby", "-force", "-nonInteractive")
            self.spawn(name, "namenode")
        for name in self.namenodes:
            self.spawn(name, "zkfc")
        for name in self.datanodes:
            self.spawn_datanode(name)
        self.until_whole()

    def hdfsd(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "hdfsd.cli.main", *words]

    def spawn(self, machine: str, role: str) -> None:
        """A `namenode` or a `zkfc`, as the process ROLE-MACHINE."""
        conf = self.namenode_conf(machine)
        self.machines.spawn(f"{role}-{machine}", machine, self.hdfsd(role), conf)

    def spawn_journal(self, name: str) -> None:
        machine, _ = self.journals[name]
        self.machines.spawn(name, machine, self.hdfsd("journalnode"), self._journal_conf(name))

    def spawn_datanode(self, name: str) -> None:
        self.machines.spawn(name, name, self.hdfsd("datanode"), self._datanode_conf(name))

    def spawn_zookeeper(self) -> None:
        # Tick time 500 ms: sessions may be as short as 1 s.
        words = [f"{ZOOKEEPER_PORT}", str(self.root / "zookeeper"), "500"]
        self.machines.spawn("zookeeper", "zookeeper", [*self._zookeeper_command, *words], {})

    def must(self, machine: str, *words: str) -> None:
        """Until it succeeds: what it talks to may have just been started."""
        command = self.machines.on(machine, self.hdfsd(*words))
        environment = {**os.environ, **self.namenode_conf(machine)}
        done: list[subprocess.CompletedProcess[str]] = []

        def succeeds() -> bool:
            done[:] = [
                subprocess.run(
                    command,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=COMMAND_S,
                    stdin=subprocess.DEVNULL,
                    env=environment,
                )
            ]
            return done[0].returncode == 0

        self.until(f"{words}", succeeds, lambda: done[0].stderr)

    @staticmethod
    def until(
        what: str, holds: Callable[[], bool], why: Callable[[], str] = str, seconds: int = 300
    ) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"{what}: not within {seconds} s: {why()}"
            time.sleep(0.1)

    def explain(self) -> dict[str, Any]:
        """As an operator on the router sees it."""
        done = subprocess.run(
            self.machines.on(None, self.hdfsd("haadmin", "-explain", "--json")),
            capture_output=True,
            text=True,
            check=True,
            timeout=COMMAND_S,
            env={**os.environ, **self.conf("operator")},
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def until_whole(self, seconds: int = 300) -> str:
        """One active, and another that could take over; who the active is."""
        told: list[dict[str, Any]] = []

        def whole() -> bool:
            told[:] = [self.explain()]
            active = told[0]["active"]
            return active is not None and "becomes active" in told[0]["forecast"][0]["then"]

        self.until("whole", whole, lambda: json.dumps(told[0]["namenodes"]), seconds)
        found: str = told[0]["active"]["id"]
        return found

    def stop(self) -> None:
        self.machines.stop()
