"""The machine of the active is gone: NameNode, controller and a JournalNode with it, and nobody
refuses a connection to it any more.

    OUTAGES=5 pytest --log-cli-level=INFO tests/system/test_machine_gone.py

says how long each outage was, and the steps of each failover. The keys that bound waiting are at
their defaults but for the session's, 3 s; ZooKeeper's tick is 500 ms, and it rounds the end of a
session up to ticks.
"""

from __future__ import annotations

import logging
import os
import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from ha_site import HaSite
from site_writer import writer_of

log = logging.getLogger(__name__)
OUTAGES = int(os.environ.get("OUTAGES", "1"))
pytestmark = [pytest.mark.system, pytest.mark.zookeeper, pytest.mark.timeout(600 + 120 * OUTAGES)]

JOURNALS = {"jn1": ("nn1", 8485), "jn2": ("nn2", 8485), "jn3": ("third", 8485)}
DEFAULTS = {
    "ha.health-monitor.check-interval.ms": "1000",
    "ha.health-monitor.rpc-timeout.ms": "45000",
    "hdfsd.ha.heartbeat.timeout": "3s",
    "dfs.qjournal.write-txns.timeout.ms": "20000",
    # Longer than the test is patient: who waits for an answer of that machine does not take over.
    "ha.failover-controller.graceful-fence.rpc-timeout.ms": "3600000",
}


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
        journals=JOURNALS,
        settings=DEFAULTS,
    ) as found:
        yield found


def start_again(site: HaSite, name: str) -> None:
    """The machine has lost its power, and now it has it again."""
    for role in ("namenode", "zkfc"):
        process = site.machines.processes[f"{role}-{name}"]
        process.kill()
        process.wait()
    site.machines.heal()
    for role in ("namenode", "zkfc"):
        site.spawn(name, role)


def last_failover(site: HaSite) -> dict[str, Any]:
    failovers: list[dict[str, Any]] = site.explain()["failovers"]
    return failovers[-1]


def test_the_machine_of_the_active_is_gone_with_its_journal(site: HaSite) -> None:
    outages = []
    for _ in range(OUTAGES):
        old = site.until_whole()
        new = {"nn1": "nn2", "nn2": "nn1"}[old]
        writer = writer_of(site)
        try:
            writer.until_acknowledged_by(old)
            site.machines.unplug(old)
            writer.until_acknowledged_by(new, 100)
        finally:
            writer.stop()
        told = last_failover(site)
        outages.append((writer.outage_s(), told["millis"]))
        log.info("outage %.3f s: %s", writer.outage_s(), told)
        asking = next(step for step in told["steps"] if "asked to become standby" in step["step"])
        assert "no connection in 200 ms" in asking["detail"]
        assert writer.changes() == [old, new]
        start_again(site, old)
    for what, found in zip(("outage (s)", "of it after the lock was free (ms)"), zip(*outages)):
        log.info("%s: median %s, worst %s", what, statistics.median(found), max(found))
