"""Machines that are gone or cut off from each other, as NameNodes, journals and ZooKeeper see it.

Every daemon is a process of its own on a machine of its own (machines): two NameNodes with their
controllers, three JournalNodes together on one machine, ZooKeeper on another.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from ha_site import NAMENODE_PORT, HaSite

log = logging.getLogger(__name__)
"""What docs/FAILOVER.md says was measured: --log-cli-level=INFO shows it."""
pytestmark = [pytest.mark.system, pytest.mark.zookeeper, pytest.mark.timeout(1200)]

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


def writer_of(site: HaSite) -> Writer:
    """On the router, as it sees both NameNodes."""
    addresses = [f"{site.machines.hosts[name]}:{NAMENODE_PORT}" for name in site.namenodes]
    command = [sys.executable, "-c", WRITER, *addresses]
    names = {host: name for name, host in site.machines.hosts.items()}
    return Writer(site.machines.on(None, command), names)


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
) -> Iterator[HaSite]:
    found = HaSite(
        tmp_path_factory.mktemp("site"),
        zookeeper_command,
        namenodes=("nn1", "nn2"),
        journals={f"jn{port}": ("journals", port) for port in JOURNAL_PORTS},
    )
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def writer(site: HaSite) -> Iterator[Writer]:
    made = writer_of(site)
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


def expect_failover(site: HaSite, writer: Writer, harm: Callable[[str, str], None]) -> None:
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


def test_the_machine_of_the_active_is_gone(site: HaSite, writer: Writer) -> None:
    expect_failover(site, writer, lambda old, _: site.machines.unplug(old))


def test_the_active_is_cut_from_everybody_but_its_clients(site: HaSite, writer: Writer) -> None:
    """The worst cut: clients still reach a NameNode that is not the active one any more."""

    def harm(old: str, new: str) -> None:
        site.machines.cut(old, new, "journals", "zookeeper")

    expect_failover(site, writer, harm)


def test_its_controller_is_cut_from_zookeeper(site: HaSite, writer: Writer) -> None:
    expect_failover(site, writer, lambda old, _: site.machines.cut(old, "zookeeper"))


@pytest.mark.parametrize("direction", ["to", "from"])
def test_a_one_way_cut_from_zookeeper(site: HaSite, writer: Writer, direction: str) -> None:
    def harm(old: str, _: str) -> None:
        ends = (old, "zookeeper") if direction == "to" else ("zookeeper", old)
        site.machines.cut(*ends, back=False)

    expect_failover(site, writer, harm)


@pytest.mark.parametrize("back", [True, False], ids=["both ways", "one way"])
def test_the_active_is_cut_from_the_journals(site: HaSite, writer: Writer, back: bool) -> None:
    def harm(old: str, _: str) -> None:
        site.machines.cut(old, "journals", back=back)

    expect_failover(site, writer, harm)


def expect_nothing(site: HaSite, writer: Writer, harm: Callable[[str, str], None]) -> None:
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


def test_the_namenodes_are_cut_from_each_other(site: HaSite, writer: Writer) -> None:
    expect_nothing(site, writer, site.machines.cut)


def test_the_standby_is_gone(site: HaSite, writer: Writer) -> None:
    expect_nothing(site, writer, lambda _, other: site.machines.unplug(other))


def test_zookeeper_is_gone_for_everybody(site: HaSite, writer: Writer) -> None:
    active = site.until_whole()
    writer.until_acknowledged_by(active)
    site.machines.unplug("zookeeper")
    # Longer than a session lives, at a hundred writes a second at the most.
    writer.until_acknowledged_by(active, 800)
    assert writer.changes() == [active]
    site.machines.heal()
    # All sessions have ended there: whoever comes first has the lock.
    writer.until_acknowledged_by(site.until_whole(), 100)
