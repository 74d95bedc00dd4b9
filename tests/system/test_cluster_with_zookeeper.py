"""A cluster whose controllers elect through a real ZooKeeper."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.zookeeper, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def elected(start_cluster: Callable[..., Any], zookeeper: Any) -> Any:
    return start_cluster("--datanodes", "1", "--zookeeper", zookeeper.quorum)


def wait_for_active(cluster: Any, daemon_id: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while [row["id"] for row in cluster.in_state("active")] != [daemon_id]:
        assert time.monotonic() < end, f"{daemon_id} is not active" + cluster.last_logs()
        time.sleep(0.05)


def mkdir(cluster: Any, path: str) -> None:
    done = cluster.hdfsd("dfs", "-mkdir", path)
    assert done.returncode == 0, done.stderr.decode() + cluster.last_logs()


def test_a_killed_namenode_is_replaced(elected: Any) -> None:
    first = elected.wait_for_active()["id"]
    other = {"nn1": "nn2", "nn2": "nn1"}[first]
    mkdir(elected, "/one")
    elected.signal(first, signal.SIGKILL)
    wait_for_active(elected, other)
    mkdir(elected, "/two")
    assert elected.hdfsd("dfs", "-ls", "-C", "/").stdout == b"/one\n/two\n"


def test_a_killed_controller_gives_up_the_lock(elected: Any) -> None:
    first = elected.wait_for_active()["id"]
    other = {"nn1": "nn2", "nn2": "nn1"}[first]
    elected.hold(f"zkfc{first[-1]}")
    elected.signal(f"zkfc{first[-1]}", signal.SIGKILL)
    # Its session expires, and the other controller fences the NameNode that is still active.
    wait_for_active(elected, other)
    elected.release(f"zkfc{first[-1]}")
    mkdir(elected, "/three")


def test_without_zookeeper_nothing_changes(elected: Any, zookeeper: Any) -> None:
    first = elected.wait_for_active()["id"]
    zookeeper.signal(signal.SIGSTOP)
    try:
        mkdir(elected, "/four")
        assert [row["id"] for row in elected.in_state("active")] == [first]
    finally:
        zookeeper.signal(signal.SIGCONT)
    mkdir(elected, "/five")
    elected.wait_for_active()
