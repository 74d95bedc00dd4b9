"""A NameNode cut off from its journals never acknowledges, and another takes over (P1, P2)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hdfsd.base.ids import Address
from hdfsd.minicluster.faults import LinkProxy
from hdfsd.minicluster.processes import free_ports, ports_from
from hdfsd.minicluster.topology import Options, port_count

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]


class Proxies:
    """Link proxies of one NameNode's journals, in a thread of their own."""

    def __init__(self, ports: list[int], targets: list[Address]) -> None:
        self.loop = asyncio.new_event_loop()
        self.proxies = [LinkProxy(target) for target in targets]
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        for proxy, port in zip(self.proxies, ports, strict=True):
            self._run(proxy.start(port))

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def each(self, act: Callable[[LinkProxy], None]) -> None:
        """Cut, stall or heal all of them."""

        async def all_of_them() -> None:
            for proxy in self.proxies:
                act(proxy)

        self._run(all_of_them())

    def close(self) -> None:
        for proxy in self.proxies:
            self._run(proxy.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@pytest.fixture
def cluster_and_links(start_cluster: Callable[..., Any]) -> Iterator[tuple[Any, Proxies]]:
    """A cluster whose nn1 reaches its JournalNodes through proxies."""
    options = Options(datanodes=1)
    ports = free_ports(port_count(options) + 3)
    base, proxy_ports = ports[0], ports[-3:]
    # Ports are given out in order: three JournalNodes first, each with RPC and HTTP.
    journals = [Address("127.0.0.1", base + 2 * index) for index in range(3)]
    links = Proxies(proxy_ports, journals)
    uri = "qjournal://" + ";".join(f"127.0.0.1:{port}" for port in proxy_ports) + "/hdfsd"
    key = "dfs.namenode.shared.edits.dir.hdfsd.nn1"
    short = "dfs.qjournal.write-txns.timeout.ms=2000"
    given = ("--port-base", str(ports_from(base, 1)[0]), "--datanodes", "1")
    try:
        yield start_cluster(*given, "-D", f"{key}={uri}", "-D", short), links
    finally:
        links.close()


@pytest.mark.parametrize("fault", [LinkProxy.cut, LinkProxy.stall], ids=["cut", "stalled"])
def test_the_other_takes_over(
    cluster_and_links: tuple[Any, Proxies], fault: Callable[[LinkProxy], None]
) -> None:
    cluster, links = cluster_and_links
    assert cluster.wait_for_active()["id"] == "nn1"
    assert cluster.hdfsd("dfs", "-mkdir", "/before").returncode == 0
    cluster.hold("nn1")
    links.each(fault)
    # The client may wait for nn1's verdict; it must not be told "done" by nn1.
    done = cluster.hdfsd("dfs", "-mkdir", "/during")
    assert done.returncode == 0, done.stderr.decode()
    end = time.monotonic() + 30
    while (state := cluster.row("nn1")["state"]) != "stopped":
        assert time.monotonic() < end, f"nn1 is {state}" + cluster.last_logs()
        time.sleep(0.1)
    assert cluster.wait_for_active()["id"] == "nn2"
    # Why it ended is one line, with a reason for each journal.
    log = (cluster.directory / "logs/nn1.log").read_text()
    (reason,) = [line for line in log.splitlines() if " ERROR hdfsd.quorum.manager: " in line]
    assert "no quorum of journals (" in reason
    assert reason.count("127.0.0.1:") >= 3, reason
    links.each(LinkProxy.heal)
    cluster.release("nn1")
    listed = cluster.hdfsd("dfs", "-ls", "-C", "/")
    assert listed.stdout == b"/before\n/during\n"
