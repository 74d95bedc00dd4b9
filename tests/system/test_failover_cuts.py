"""Machines that are gone or cut off from each other, as NameNodes, journals and ZooKeeper see it.

Every daemon is a process of its own on a machine of its own (machines): two NameNodes with their
controllers, three JournalNodes together on one machine, ZooKeeper on another.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from machines import Machines

log = logging.getLogger(__name__)
"""What docs/FAILOVER.md says was measured: --log-cli-level=INFO shows it."""
pytestmark = [pytest.mark.system, pytest.mark.zookeeper, pytest.mark.timeout(400)]

JOURNAL_PORTS = (8485, 8486, 8487)
WRITER = """
import asyncio, itertools, os, sys
from time import monotonic
from hdfsd.base.errors import HdfsdError
from hdfsd.base.ids import Address
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import acl, client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL

async def write(addresses):
    clients = itertools.cycle([
        RpcClient(TcpNetwork(), Address.parse(a), CLIENT_PROTOCOL, user="root", dice=RealDice())
        for a in addresses])
    client = next(clients)
    for number in itertools.count():
        request = client_namenode.MkdirsRequestProto(
            src=f"/w{os.getpid()}/{number}", masked=acl.FsPermissionProto(perm=0o755),
            createParent=True)
        try:
            await client.call("mkdirs", request, deadline_ms=1000)
            print(f"{client.address.host} {monotonic()}", flush=True)
        except HdfsdError:
            client = next(clients)
        await asyncio.sleep(0.01)

asyncio.run(write(sys.argv[1:]))
"""
"""Says who acknowledged, and when; goes from one NameNode to the other at every error."""


class Site:
    """A cluster on its machines."""

    def __init__(self, root: Path, zookeeper_command: list[str]) -> None:
        self.root = root
        self.machines = Machines(root, "nn1", "nn2", "journals", "zookeeper")
        hosts = self.machines.hosts
        self._zookeeper_command = zookeeper_command
        journals = ";".join(f"{hosts['journals']}:{port}" for port in JOURNAL_PORTS)
        self._keys = {
            "fs.defaultFS": "hdfs://ns1",
            "dfs.nameservices": "ns1",
            "dfs.ha.namenodes.ns1": "nn1,nn2",
            "dfs.namenode.shared.edits.dir": f"qjournal://{journals}/ns1",
            "dfs.ha.automatic-failover.enabled": "true",
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            "dfs.ha.tail-edits.in-progress": "true",
            "dfs.ha.tail-edits.period": "100ms",
            "ha.zookeeper.quorum": f"{hosts['zookeeper']}:2181",
            "ha.zookeeper.session-timeout.ms": "3000",
            "ha.health-monitor.check-interval.ms": "500",
            "ha.health-monitor.connect-retry-interval.ms": "100",
            "ha.health-monitor.sleep-after-disconnect.ms": "100",
            "ha.health-monitor.rpc-timeout.ms": "1000",
            "ha.failover-controller.graceful-fence.rpc-timeout.ms": "1000",
            "dfs.qjournal.write-txns.timeout.ms": "3000",
        }
        for name in ("nn1", "nn2"):
            self._keys[f"dfs.namenode.rpc-address.ns1.{name}"] = f"{hosts[name]}:8020"
            self._keys[f"dfs.namenode.http-address.ns1.{name}"] = f"{hosts[name]}:9870"
            self._keys[f"dfs.ha.zkfc.port.ns1.{name}"] = "8019"

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
        return self.conf(
            name,
            dfs__ha__namenode__id=name,
            dfs__namenode__name__dir=f"file://{self.root}/{name}/name",
        )

    @staticmethod
    def hdfsd(*words: str) -> list[str]:
        return [sys.executable, "-m", "hdfsd.cli.main", *words]

    def start(self) -> None:
        self.machines.make()
        zookeeper = [*self._zookeeper_command, "2181", str(self.root / "zookeeper"), "500"]
        self.machines.spawn("zookeeper", "zookeeper", zookeeper, {})
        for port in JOURNAL_PORTS:
            conf = self.conf(
                f"jn{port}",
                **{
                    "dfs__journalnode__rpc-address": f"{self.machines.hosts['journals']}:{port}",
                    "dfs__journalnode__http-address": (
                        f"{self.machines.hosts['journals']}:{port + 100}"
                    ),
                    "dfs__journalnode__edits__dir": f"{self.root}/jn{port}",
                },
            )
            self.machines.spawn(f"jn{port}", "journals", self.hdfsd("journalnode"), conf)
        self.must("nn1", "namenode", "-format", "-force", "-nonInteractive")
        self.must("nn1", "zkfc", "-formatZK", "-force", "-nonInteractive")
        self.spawn("nn1", "namenode")
        self.must("nn2", "namenode", "-bootstrapStandby", "-force", "-nonInteractive")
        self.spawn("nn2", "namenode")
        for name in ("nn1", "nn2"):
            self.spawn(name, "zkfc")
        self.until_whole()

    def spawn(self, machine: str, role: str) -> None:
        conf = self.namenode_conf(machine)
        self.machines.spawn(f"{role}-{machine}", machine, self.hdfsd(role), conf)

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
                    timeout=60,
                    stdin=subprocess.DEVNULL,
                    env=environment,
                )
            ]
            return done[0].returncode == 0

        self.until(f"{words}", succeeds, lambda: done[0].stderr)

    def until(
        self, what: str, holds: Callable[[], bool], why: Callable[[], str] = str, seconds: int = 60
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
            timeout=60,
            env={**os.environ, **self.conf("operator")},
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def until_whole(self) -> str:
        """One active, and another that could take over; who the active is."""
        told: list[dict[str, Any]] = []

        def whole() -> bool:
            told[:] = [self.explain()]
            active = told[0]["active"]
            return active is not None and "becomes active" in told[0]["forecast"][0]["then"]

        self.until("whole", whole, lambda: json.dumps(told[0]["namenodes"]))
        found: str = told[0]["active"]["id"]
        return found

    def writer(self) -> Writer:
        addresses = [f"{self.machines.hosts[name]}:8020" for name in ("nn1", "nn2")]
        command = [sys.executable, "-c", WRITER, *addresses]
        names = {host: name for name, host in self.machines.hosts.items()}
        return Writer(self.machines.on(None, command), names)

    def stop(self) -> None:
        self.machines.stop()


class Writer:
    """Acknowledged writes, as they come."""

    def __init__(self, command: list[str], names: dict[str, str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._names = names
        self.acknowledged: list[tuple[str, float]] = []

    def next(self) -> tuple[str, float]:
        """By which NameNode, and when."""
        assert self._process.stdout is not None
        host, when = self._process.stdout.readline().split()
        self.acknowledged.append((self._names[host], float(when)))
        return self.acknowledged[-1]

    def until_acknowledged_by(self, name: str, count: int = 20) -> None:
        while count:
            count -= self.next()[0] == name

    def outage_s(self) -> float:
        """The longest time without an acknowledgement."""
        times = [when for _, when in self.acknowledged]
        return max(after - before for before, after in pairwise(times))

    def changes(self) -> list[str]:
        """Who acknowledged, each time that it was another one."""
        found: list[str] = []
        for name, _ in self.acknowledged:
            if found[-1:] != [name]:
                found.append(name)
        return found

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    zookeeper_command: list[str],
    network_namespaces: None,
) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("site"), zookeeper_command)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def writer(site: Site) -> Iterator[Writer]:
    made = site.writer()
    try:
        yield made
    finally:
        made.stop()
        site.machines.heal()
        for name in ("nn1", "nn2"):
            for role in ("namenode", "zkfc"):
                if site.machines.processes[f"{role}-{name}"].poll() is not None:
                    site.spawn(name, role)
        site.until_whole()


def other_than(name: str) -> str:
    return {"nn1": "nn2", "nn2": "nn1"}[name]


def expect_failover(site: Site, writer: Writer, harm: Callable[[str, str], None]) -> None:
    """The other one takes over for good: the former active acknowledges nothing any more."""
    old = site.until_whole()
    new = other_than(old)
    writer.until_acknowledged_by(old)
    harm(old, new)
    writer.until_acknowledged_by(new, 100)
    log.info("outage of %s: %.3f s", harm, writer.outage_s())
    site.machines.heal()
    writer.until_acknowledged_by(new, 200)
    assert writer.changes() == [old, new]


def test_the_machine_of_the_active_is_gone(site: Site, writer: Writer) -> None:
    expect_failover(site, writer, lambda old, _: site.machines.unplug(old))


def test_the_active_is_cut_from_everybody_but_its_clients(site: Site, writer: Writer) -> None:
    """The worst cut: clients still reach a NameNode that is not the active one any more."""

    def harm(old: str, new: str) -> None:
        site.machines.cut(old, new, "journals", "zookeeper")

    expect_failover(site, writer, harm)


def test_its_controller_is_cut_from_zookeeper(site: Site, writer: Writer) -> None:
    expect_failover(site, writer, lambda old, _: site.machines.cut(old, "zookeeper"))


@pytest.mark.parametrize("direction", ["to", "from"])
def test_a_one_way_cut_from_zookeeper(site: Site, writer: Writer, direction: str) -> None:
    def harm(old: str, _: str) -> None:
        ends = (old, "zookeeper") if direction == "to" else ("zookeeper", old)
        site.machines.cut(*ends, back=False)

    expect_failover(site, writer, harm)


@pytest.mark.parametrize("back", [True, False], ids=["both ways", "one way"])
def test_the_active_is_cut_from_the_journals(site: Site, writer: Writer, back: bool) -> None:
    def harm(old: str, _: str) -> None:
        site.machines.cut(old, "journals", back=back)

    expect_failover(site, writer, harm)


def expect_nothing(site: Site, writer: Writer, harm: Callable[[str, str], None]) -> None:
    """The active serves on, also when all is well again."""
    active = site.until_whole()
    writer.until_acknowledged_by(active)
    harm(active, other_than(active))
    # Longer than a session lives, at a hundred writes a second at the most.
    writer.until_acknowledged_by(active, 800)
    site.machines.heal()
    writer.until_acknowledged_by(active, 100)
    assert writer.changes() == [active]
    assert site.until_whole() == active


def test_the_namenodes_are_cut_from_each_other(site: Site, writer: Writer) -> None:
    expect_nothing(site, writer, site.machines.cut)


def test_the_standby_is_gone(site: Site, writer: Writer) -> None:
    expect_nothing(site, writer, lambda _, other: site.machines.unplug(other))


def test_zookeeper_is_gone_for_everybody(site: Site, writer: Writer) -> None:
    expect_nothing(site, writer, lambda *_: site.machines.unplug("zookeeper"))
