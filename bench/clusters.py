"""Adapter. The two clusters that are measured, behind one face: Apache Hadoop's, and ours."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from time import monotonic, sleep

import hadoop
from hdfs_native import Client

from hdfsd.base.ids import Address
from hdfsd.minicluster.faults import ProcessFaults
from hdfsd.minicluster.processes import pss_kib
from hdfsd.minicluster.record import Record
from hdfsd.wire.messages import acl, client_namenode
from namenode_client import CLIENT_METHODS, Connection, Refused, ha_state

WRITABLE_S = 120.0
POLL_S = 0.02
CLIENT_JVM = ("-Xmx1g",)
"""Of daemons: Java's own defaults else, as an installation has them."""


class Cluster(ABC):
    """2 NameNodes with their failover controllers, 3 JournalNodes, 3 DataNodes."""

    name: str
    conf: Path
    namenodes: list[Address]

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="hdfsd-bench-"))

    def start(self) -> float:
        """From nothing to the first acknowledged write and the first file, in seconds."""
        began = monotonic()
        self.launch()
        asyncio.run(self._first_write())
        self._first_file()
        return monotonic() - began

    @abstractmethod
    def launch(self) -> None:
        """Formats and starts everything."""

    @abstractmethod
    def namenode_pid(self, address: Address) -> int:
        """The process of a NameNode."""

    @abstractmethod
    def pids(self) -> list[int]:
        """All its processes, ZooKeeper left out."""

    @abstractmethod
    def revive(self, address: Address) -> None:
        """Sees to it that a killed NameNode comes back."""

    @abstractmethod
    def fail_over(self, old: Address, new: Address) -> None:
        """haadmin -failover, with the cluster's own tool."""

    @abstractmethod
    def stop(self) -> None:
        """Ends all processes."""

    def close(self) -> None:
        """Ends all processes and removes the data."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def active(self) -> Address:
        """The active NameNode, when the other is a standby. Raises TimeoutError."""
        end = monotonic() + WRITABLE_S
        while True:
            states = [asyncio.run(ha_state(address)) for address in self.namenodes]
            if sorted(states) == ["active", "standby"]:
                return self.namenodes[states.index("active")]
            if monotonic() > end:
                raise TimeoutError(f"the NameNodes are {states}")
            sleep(POLL_S)

    def other(self, address: Address) -> Address:
        """The other NameNode."""
        return next(found for found in self.namenodes if found != address)

    @abstractmethod
    def kill_machine(self, address: Address) -> None:
        """kill -9 of a NameNode and its controller at once; nobody starts them again."""

    @abstractmethod
    def revive_machine(self, address: Address) -> None:
        """Starts both again."""

    def signal(self, address: Address, number: signal.Signals) -> None:
        """To a NameNode: SIGSTOP freezes it, SIGCONT thaws it."""
        os.kill(self.namenode_pid(address), number)

    def thaw(self, address: Address) -> None:
        """Heals SIGSTOP: a NameNode that was overtaken meanwhile follows, or is started again."""
        self.signal(address, signal.SIGCONT)

    def kill(self, address: Address) -> None:
        """kill -9 of a NameNode."""
        self.signal(address, signal.SIGKILL)

    def pss_mib(self) -> float:
        """Memory of all processes, shared pages divided among those that share them."""
        return sum(pss_kib(pid) or 0 for pid in self.pids()) / 1024

    async def _first_write(self) -> None:
        request = client_namenode.MkdirsRequestProto(
            src="/bench", masked=acl.FsPermissionProto(perm=0o777), createParent=True
        )
        end = monotonic() + WRITABLE_S
        while True:
            for address in self.namenodes:
                try:
                    connection = await Connection.open(address)
                    try:
                        await connection.call(CLIENT_METHODS["mkdirs"], request)
                        return
                    finally:
                        connection.close()
                except (OSError, TimeoutError, Refused) as error:
                    if monotonic() > end:
                        raise TimeoutError(f"{self.name}: no write is taken: {error}") from error
            await asyncio.sleep(POLL_S)

    def _first_file(self) -> None:
        end = monotonic() + WRITABLE_S
        while True:
            try:
                client = Client(config_dir=str(self.conf))
                with client.create(f"/bench/first-{monotonic()}") as target:
                    target.write(b"x")
                return
            except (OSError, RuntimeError):
                if monotonic() > end:
                    raise
                sleep(POLL_S)


class HdfsdCluster(Cluster):
    """`hdfsd cluster up`."""

    name = "hdfsd"

    def __init__(self, *options: str) -> None:
        """`options` of `hdfsd cluster up`."""
        super().__init__()
        self._options = options

    def launch(self) -> None:
        self._hdfsd("cluster", "up", "--dir", str(self.directory / "cluster"), *self._options)
        self.conf = self.directory / "cluster/conf"
        plan = self._record().plan
        self._ids = {
            address: daemon.id
            for daemon in plan.of_role("namenode")
            if (address := daemon.address("rpc")) is not None
        }
        self.namenodes = list(self._ids)

    def name_of(self, address: Address) -> str:
        """nn1, nn2, …"""
        return self._ids[address]

    def namenode_pid(self, address: Address) -> int:
        return self._record().running[self._ids[address]].process.pid

    def pids(self) -> list[int]:
        record = self._record()
        assert record.launcher is not None
        running = [entry.process.pid for entry in record.running.values()]
        # The daemons share their pages with it, so it belongs to the sum.
        return [record.launcher.pid, *running]

    def revive(self, address: Address) -> None:
        """Its launcher does it."""

    def kill_machine(self, address: Address) -> None:
        faults = ProcessFaults(str(self.directory / "cluster"))
        names = self._on_machine(address)
        for name in names:
            faults.hold(name)
        for name in names:
            faults.kill(name)

    def revive_machine(self, address: Address) -> None:
        faults = ProcessFaults(str(self.directory / "cluster"))
        for name in self._on_machine(address):
            faults.release(name)

    def _on_machine(self, address: Address) -> tuple[str, str]:
        return self._ids[address].replace("nn", "zkfc"), self._ids[address]

    def fail_over(self, old: Address, new: Address) -> None:
        words = ("haadmin", "--config", str(self.conf))
        self._hdfsd(*words, "-failover", self._ids[old], self._ids[new])

    def stop(self) -> None:
        if (self.directory / "cluster/cluster.json").exists():
            self._hdfsd("cluster", "down", "--dir", str(self.directory / "cluster"))

    def _record(self) -> Record:
        record = Record.load(str(self.directory / "cluster"))
        assert record is not None
        return record

    @staticmethod
    def _hdfsd(*words: str) -> None:
        command = [sys.executable, "-m", "hdfsd.cli.main", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"hdfsd {' '.join(words)}: {done.stderr.strip()[-2000:]}")


class Installed(hadoop.Hadoop):
    """Hadoop with the JVM of an installation: the tests' is tuned for short lives."""

    def command(
        self, conf: Path, main_class: str, *arguments: str, heap: str = "256m"
    ) -> list[str]:
        opens = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in hadoop.OPENED_PACKAGES]
        class_path = f"{conf}:{self.lib}/*"
        return ["java", *CLIENT_JVM, *opens, "-cp", class_path, main_class, *arguments]


class _Measured(hadoop.HadoopCluster):
    """Whoever measures finds out when writes are taken."""

    def wait_for_write(self, seconds: float = WRITABLE_S) -> None:
        pass


class HadoopCluster(Cluster):
    """The jars' own daemons."""

    name = "Hadoop"

    def __init__(self) -> None:
        super().__init__()
        lib = hadoop.jars()
        if lib is None:
            raise SystemExit("Hadoop's jars or java are missing: make bench gets the jars")
        self._hadoop = Installed(lib, self.directory)

    def launch(self) -> None:
        self._cluster = _Measured(self._hadoop)
        self.conf = self._cluster.conf
        self._ids = {
            Address(hadoop.HOST, ports["rpc"]): name
            for name, ports in self._cluster.namenode_ports.items()
        }
        self.namenodes = list(self._ids)
        self._cluster.start()

    def namenode_pid(self, address: Address) -> int:
        return self._hadoop.daemons[self._ids[address]].pid

    def pids(self) -> list[int]:
        return [daemon.pid for name, daemon in self._hadoop.daemons.items() if name != "zk"]

    def kill(self, address: Address) -> None:
        super().kill(address)
        self._hadoop.daemons[self._ids[address]].process.wait(10)

    def thaw(self, address: Address) -> None:
        super().thaw(address)
        process = self._hadoop.daemons[self._ids[address]].process
        end = monotonic() + WRITABLE_S
        while asyncio.run(ha_state(address)) != "standby":
            if process.poll() is not None:
                self.revive(address)
                return
            if monotonic() > end:
                raise TimeoutError(f"{address} neither follows nor ends")
            sleep(POLL_S)

    def revive(self, address: Address) -> None:
        self._cluster.start_namenode(self._ids[address])

    def kill_machine(self, address: Address) -> None:
        name = self._ids[address]
        for daemon in (f"zkfc-{name}", name):
            self._hadoop.daemons[daemon].kill()

    def revive_machine(self, address: Address) -> None:
        name = self._ids[address]
        self._cluster.start_namenode(name)
        self._cluster.start_zkfc(name)

    def fail_over(self, old: Address, new: Address) -> None:
        arguments = ("-failover", self._ids[old], self._ids[new])
        done = self._hadoop.run(self.conf, hadoop.HA_ADMIN, *arguments)
        if done.returncode:
            raise RuntimeError(f"haadmin -failover: {done.stderr.decode()[-2000:]}")

    def stop(self) -> None:
        self._hadoop.close()
