"""Adapter. Write outages of Hadoop and of hdfsd, every key of both at Hadoop's default.

    PYTHONPATH=tests/interop python bench/outages.py [--rounds N] [--only hdfsd|Hadoop]

Each with a real ZooKeeper. One client writes call after call; a NameNode that does not answer
within a second is left for the other one. What is printed goes into docs/FAILOVER.md.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from clusters import Cluster, HadoopCluster, HdfsdCluster
from failover import CALL_S, zookeeper
from hdfsd.base.ids import Address
from outage import outage_s

DEFAULTS = {
    "ha.health-monitor.check-interval.ms": 1000,
    "ha.health-monitor.connect-retry-interval.ms": 1000,
    "ha.health-monitor.sleep-after-disconnect.ms": 1000,
    "ha.health-monitor.rpc-timeout.ms": 45000,
    "ha.failover-controller.graceful-fence.rpc-timeout.ms": 5000,
    "ha.zookeeper.session-timeout.ms": 10000,
    # As where neither this key nor the one of the health checks is set.
    "hdfsd.ha.heartbeat.timeout": "3s",
}
"""`hdfsd cluster up` has shorter ones: tests are in a hurry."""


def killed(cluster: Cluster, active: Address) -> Callable[[], object]:
    """kill -9 of the active. Each cause returns what heals it."""
    cluster.kill(active)
    return lambda: cluster.revive(active)


def asked(cluster: Cluster, active: Address) -> Callable[[], object]:
    cluster.fail_over(active, cluster.other(active))
    return lambda: None


def frozen(cluster: Cluster, active: Address) -> Callable[[], object]:
    cluster.signal(active, signal.SIGSTOP)
    return lambda: cluster.thaw(active)


def gone(cluster: Cluster, active: Address) -> Callable[[], object]:
    """NameNode and controller at once. (The kernel still refuses connections.)"""
    cluster.kill_machine(active)
    return lambda: cluster.revive_machine(active)


CAUSES = {
    "kill -9 of the active": killed,
    "haadmin -failover": asked,
    "SIGSTOP of the active": frozen,
    "NameNode and controller killed": gone,
}


def outage(cluster: Cluster, cause: Callable[[Cluster, Address], Callable[[], object]]) -> float:
    """Seconds without an acknowledged write; the cluster is whole before."""
    active = cluster.active()
    healers: list[Callable[[], object]] = []
    try:
        return asyncio.run(
            outage_s(
                cluster.namenodes, active, lambda: healers.append(cause(cluster, active)), CALL_S
            )
        )
    finally:
        for heal in healers:
            heal()


def measure(cluster: Cluster, rounds: int) -> None:
    """Prints a line for each cause."""
    for name, cause in CAUSES.items():
        found = [outage(cluster, cause) for _ in range(rounds)]
        print(
            f"{cluster.name:<7} {name:<32} median {median(found):7.3f} s"
            f"  worst {max(found):7.3f} s  of {rounds}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("hdfsd", "Hadoop"))
    asked_for = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="hdfsd-outages-"))
    keys = [f"-D{key}={value}" for key, value in DEFAULTS.items()]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        clusters: list[Cluster] = []
        if asked_for.only != "Hadoop":
            quorum = stack.enter_context(zookeeper(root))
            clusters.append(HdfsdCluster("--zookeeper", quorum, *keys))
        if asked_for.only != "hdfsd":
            clusters.append(HadoopCluster())
        for cluster in clusters:
            try:
                cluster.start()
                measure(cluster, asked_for.rounds)
            finally:
                cluster.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
