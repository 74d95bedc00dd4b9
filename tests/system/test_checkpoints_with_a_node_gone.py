"""Three NameNodes, of which one stands still or is gone: checkpoints neither stop nor loop."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from witnesses import bean, client_of, record_of, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

PERIOD_S = 3
WAIT_S = 180
SETTINGS = (
    f"dfs.namenode.checkpoint.period={PERIOD_S}s",
    "dfs.namenode.checkpoint.check.period=1s",
    "dfs.image.transfer.timeout=5s",
    "dfs.ha.log-roll.period=1s",
    # Nobody fails over because the machine is busy: that is not what is tested here.
    "ha.health-monitor.rpc-timeout.ms=120000",
    "dfs.qjournal.write-txns.timeout.ms=60000",
)
SAVED = re.compile(r"^(\S+ \S+) .*image (\d+) saved in", re.M)
UPLOADED = re.compile(r"image (\d+) uploaded to (\S+) in")


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    options = [word for setting in SETTINGS for word in ("-D", setting)]
    return start_cluster("--namenodes", "3", *options)


def log_of(cluster: Any, namenode: str) -> str:
    return Path(cluster.directory, "logs", f"{namenode}.log").read_text(errors="replace")


def http_of(cluster: Any, namenode: str) -> str:
    return str(record_of(cluster).plan.find(namenode).address("http"))


def checkpoints(cluster: Any, namenode: str) -> dict[str, Any]:
    """The bean."""
    return bean(cluster, namenode, "hdfsd:service=NameNode,name=Checkpoints")


def receiver(cluster: Any, namenode: str, peer: str) -> dict[str, Any]:
    rows = checkpoints(cluster, namenode)["Receivers"]
    (found,) = [row for row in rows if row["NameNode"] == http_of(cluster, peer)]
    return dict(found)


def assert_no_loop(cluster: Any, standby: str, active: str) -> None:
    """One save in a period, and no image to the active twice."""
    log = log_of(cluster, standby)
    moments = [datetime.fromisoformat(match[1].replace(",", ".")) for match in SAVED.finditer(log)]
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(moments)]
    assert gaps
    assert min(gaps) >= PERIOD_S - 0.1, gaps
    taken = [txid for txid, peer in UPLOADED.findall(log) if peer == http_of(cluster, active)]
    assert len(taken) == len(set(taken))


def roles(cluster: Any) -> tuple[str, str, str]:
    active = cluster.wait_for_active()["id"]
    one, two = sorted({"nn1", "nn2", "nn3"} - {active})
    return active, one, two


def received(cluster: Any, namenode: str) -> int:
    """The transaction of the last image that came to it; 0: none did."""
    last = checkpoints(cluster, namenode)["LastReceived"]
    return int(last["TxId"]) if last else 0


def wait_for_images(cluster: Any, namenode: str, count: int) -> None:
    """Until it has received so many more, each newer than the one before, while somebody writes."""
    client = client_of(cluster)
    for _ in range(count):
        before = received(cluster, namenode)

        def newer(before: int = before) -> bool:
            client.mkdirs(f"/{time.monotonic_ns()}", 0o755, True)
            return received(cluster, namenode) > before

        wait_for(newer, f"an image newer than {before} on {namenode}", WAIT_S)


def test_one_standby_stands_still_then_is_gone_then_comes_back(cluster: Any) -> None:
    active, standby, other = roles(cluster)
    wait_for_images(cluster, active, 2)
    pid = cluster.row(other)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(
            lambda: receiver(cluster, standby, other)["Outcome"] == "broken off",
            "an upload to a process that stands still is given up",
            WAIT_S,
        )
        wait_for_images(cluster, active, 3)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(
        lambda: receiver(cluster, standby, other)["Outcome"] == "not wanted",
        "a standby that wants no image says so again",
        WAIT_S,
    )
    cluster.hold(other)
    os.kill(pid, signal.SIGKILL)
    wait_for(
        lambda: receiver(cluster, standby, other)["Outcome"] == "unreachable",
        "nobody listens there",
        WAIT_S,
    )
    wait_for_images(cluster, active, 2)
    assert_no_loop(cluster, standby, active)
    cluster.release(other)


def test_an_observer_is_given_images_and_makes_none(cluster: Any) -> None:
    active, standby, other = roles(cluster)
    wait_for(lambda: len(cluster.in_state("standby")) == 2, "both standbys", WAIT_S)
    words = ("haadmin", "-transitionToObserver", "-forcemanual", other)
    done = cluster.hdfsd(*words, stdin=b"y\n")
    assert done.returncode == 0, done.stderr.decode()
    began = len(log_of(cluster, other))
    wait_for_images(cluster, other, 2)
    assert checkpoints(cluster, active)["LastReceived"] is not None
    assert not SAVED.search(log_of(cluster, other)[began:])
    assert_no_loop(cluster, standby, active)


def test_prometheus_is_told(cluster: Any) -> None:
    active, _, _ = roles(cluster)
    with urllib.request.urlopen(f"http://{http_of(cluster, active)}/metrics", timeout=30) as page:
        text = page.read().decode()
    found = re.search(r"^hdfsd_namenode_checkpoint_txid (\S+)$", text, re.M)
    assert found
    assert float(found[1]) > 0
