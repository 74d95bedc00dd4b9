"""Machines that are gone or cut off from each other, as NameNodes, journals and ZooKeeper see it.

Every daemon is a process of its own on a machine of its own (machines): two NameNodes with their
controllers, three JournalNodes together on one machine, ZooKeeper on another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from ha_site import HaSite
from site_writer import Writer, writer_of

log = logging.getLogger(__name__)
"""What docs/FAILOVER.md says was measured: --log-cli-level=INFO shows it."""
pytestmark = [pytest.mark.system, pytest.mark.zookeeper, pytest.mark.timeout(1200)]

JOURNAL_PORTS = (8485, 8486, 8487)


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    zookeeper_command: list[str],
    network_namespaces: None,
) -> Iterator[HaSite]:
    with HaSite(
        tmp_path_factory.mktemp("site"),
        zookeeper_command,
        namenodes=("nn1", "nn2"),
        journals={f"jn{port}": ("journals", port) for port in JOURNAL_PORTS},
    ) as found:
        yield found


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
