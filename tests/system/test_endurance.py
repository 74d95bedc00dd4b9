"""One cluster fails over again and again under load, and its processes hold no more for that.

    FAILOVERS=500 pytest -s tests/system/test_endurance.py

prints what every daemon holds after each hundred, and how long the failovers took.
"""

from __future__ import annotations

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from failover_operator import Operator
from hdfs_native import Client
from vitals import Reading, Vitals, growth_kib, reading, table
from witnesses import (
    LOST_CONNECTION,
    assert_journals_agree,
    client_of,
    digest,
    never_drop,
    read_whole,
    record_of,
    wait_for,
)

FAILOVERS = int(os.environ.get("FAILOVERS", "60"))
WARM_UP = 20
"""Failovers until every path has been walked and the allocator has what it needs."""
ROWS = 5
WRITERS = 3
KEPT = 20
"""Files that each writer leaves: the namespace does not grow, so memory need not either."""
GROWTH_FIXED_KIB, GROWTH_KIB = 4 << 10, 8
"""Allowed beyond the warm-up: once, and for each failover."""
POOL_THREADS = 8
"""Pools start their threads when there is work for one more."""
KEYS = (
    # What is remembered for a time or up to a size: its end is to be seen, too.
    "dfs.namenode.retrycache.expirytime.millis=5000",
    "dfs.journalnode.edit-cache-size.bytes=65536",
    # Nobody takes over but who is asked to, and nobody is dead, however long they wait for a core.
    "ha.health-monitor.rpc-timeout.ms=45000",
    "ha.zookeeper.session-timeout.ms=10000",
    "ha.failover-controller.graceful-fence.rpc-timeout.ms=20000",
    "dfs.namenode.heartbeat.recheck-interval=60000",
)
pytestmark = [
    pytest.mark.system,
    pytest.mark.zookeeper,
    pytest.mark.timeout(240 + 4 * FAILOVERS),
]


@dataclass(slots=True)
class Churn:
    """One writer: creates a file, deletes the one that it created KEPT files ago."""

    name: str
    client: Client
    kept: dict[str, str] = field(default_factory=dict)
    """Path and digest of what was acknowledged and not asked to be deleted."""
    failures: list[str] = field(default_factory=list)
    written: int = 0

    def step(self) -> None:
        path, data = f"/churn/{self.name}/{self.written}", f"{self.name} {self.written}\n".encode()
        self.written += 1
        if self._attempt(lambda: self._create(path, data)):
            self.kept[path] = digest(data)
        if len(self.kept) > KEPT:
            oldest = next(iter(self.kept))
            del self.kept[oldest]
            self._attempt(lambda: self.client.delete(oldest))

    def _create(self, path: str, data: bytes) -> None:
        target = self.client.create(path)
        try:
            target.write(data)
            target.close()
        except BaseException:
            never_drop(target)
            raise

    def _attempt(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except (RuntimeError, OSError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            return False
        return True


@contextmanager
def churning(cluster: Any) -> Iterator[list[Churn]]:
    """The writers, at work until the end."""
    writers = [Churn(str(number), client_of(cluster)) for number in range(WRITERS)]
    over = threading.Event()

    def work(writer: Churn) -> None:
        while not over.is_set():
            writer.step()

    threads = [threading.Thread(target=work, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        yield writers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def operator_of(cluster: Any) -> Operator:
    """For the NameNodes and controllers of a cluster of ours."""
    plan = record_of(cluster).plan
    addresses = {daemon.id: daemon.address("rpc") for daemon in plan.daemons}
    namenodes = {daemon.id: addresses[daemon.id] for daemon in plan.of_role("namenode")}
    controllers = {name: addresses[name.replace("nn", "zkfc")] for name in namenodes}
    return Operator(namenodes, controllers)


@pytest.fixture(scope="module")
def elected(start_cluster: Callable[..., Any], zookeeper: Any) -> Any:
    return start_cluster("--zookeeper", zookeeper.quorum, *(f"-D{pair}" for pair in KEYS))


def test_failovers_leave_nothing_behind(elected: Any) -> None:
    operator, readings = operator_of(elected), dict[int, Reading]()
    with churning(elected) as writers:
        for count in range(1, WARM_UP + FAILOVERS + 1):
            operator.fail_over()
            wait_for_writes(writers)
            if count >= WARM_UP and (count - WARM_UP) % max(1, FAILOVERS // ROWS) == 0:
                readings[count - WARM_UP] = settled(elected)
    sys.stdout.write("\n" + "\n".join([*table(readings), *times(operator.seconds)]) + "\n")
    assert_all_kept(elected, writers)
    assert_journals_agree(elected)
    assert_flat(list(readings.values()))


def wait_for_writes(writers: list[Churn]) -> None:
    """Until files have been written through the new active."""
    goal = sum(writer.written for writer in writers) + WRITERS + 1
    wait_for(
        lambda: sum(writer.written for writer in writers) >= goal,
        f"files written: {[writer.failures[-2:] for writer in writers]}",
    )


def settled(cluster: Any) -> Reading:
    """The reading with the fewest descriptors of a few: calls under way hold some for a moment."""
    found = []
    for _ in range(10):
        found.append(reading(cluster))
        time.sleep(0.1)
    return {
        name: min((each[name] for each in found), key=lambda vitals: vitals.descriptors)
        for name in found[0]
    }


def times(seconds: list[float]) -> Iterator[str]:
    """The failovers' medians, a hundred or a fifth at a time."""
    size = max(1, min(100, len(seconds) // ROWS))
    for first in range(0, len(seconds), size):
        part = sorted(seconds[first : first + size])
        median = statistics.median(part)
        yield f"failovers {first + 1:>4}..: median {median:.3f} s, worst {part[-1]:.3f} s"


def assert_all_kept(cluster: Any, writers: list[Churn]) -> None:
    """P1; and nothing failed but calls that were under way when a connection ended."""
    client = client_of(cluster)
    for writer in writers:
        assert set(writer.failures) <= LOST_CONNECTION
        assert len(writer.kept) >= KEPT
        for path, known in writer.kept.items():
            assert digest(read_whole(client, path)) == known, path


def assert_flat(readings: list[Reading]) -> None:
    """Nobody was started anew, and nobody holds more than at the end of the warm-up."""
    first, last = readings[0], readings[-1]
    assert {name: v.pid for name, v in last.items()} == {name: v.pid for name, v in first.items()}
    bound = GROWTH_FIXED_KIB + GROWTH_KIB * FAILOVERS
    grown = {name: growth_kib(readings, name) for name in first}
    assert {name: kib for name, kib in grown.items() if kib > bound} == {}
    for name in first:
        assert last[name].descriptors <= first[name].descriptors + 2, name
        assert last[name].threads <= first[name].threads + POOL_THREADS, name


GOOD = Vitals(pid=1, memory_kib=50_000, descriptors=30, threads=7)


@pytest.mark.parametrize(
    "grown",
    [
        replace(GOOD, pid=2),
        replace(GOOD, memory_kib=50_000 + GROWTH_FIXED_KIB + 100 * FAILOVERS),
        replace(GOOD, descriptors=30 + FAILOVERS // 2),
        replace(GOOD, threads=7 + FAILOVERS),
    ],
)
def test_what_is_left_behind_is_found(grown: Vitals) -> None:
    """A new process, 100 KiB of each failover, a descriptor of every second one, a thread."""
    assert_flat([{"nn1": GOOD}, {"nn1": GOOD}])
    with pytest.raises(AssertionError):
        assert_flat([{"nn1": GOOD}, {"nn1": grown}])
