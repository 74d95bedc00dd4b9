"""Two `hdfsd zkfc` processes with the embedded lock, before stand-ins for NameNodes.

The stand-ins speak HAServiceProtocol and nothing else; each is a process that can be killed and
frozen. What real NameNodes do is shown in tests/interop and by the tests of whole clusters.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hadoop import free_ports

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

NAMENODE = """
import asyncio, sys
from hdfsd.base.ids import Address
from hdfsd.io.clock import RealClock
from hdfsd.io.network import TcpNetwork
from hdfsd.rpc.server import RpcServer
from hdfsd.wire.messages import ha_service as ha
from hdfsd.wire.services import HA_SERVICE_PROTOCOL

class Service:
    state = "STANDBY"
    def get_service_status(self, request, call):
        return ha.GetServiceStatusResponseProto(state=self.state, readyToBecomeActive=True)
    def monitor_health(self, request, call):
        return ha.MonitorHealthResponseProto()
    def transition_to_active(self, request, call):
        assert request.reqInfo.reqSource == ha.REQUEST_BY_ZKFC
        self.state = "ACTIVE"
        return ha.TransitionToActiveResponseProto()
    def transition_to_standby(self, request, call):
        assert request.reqInfo.reqSource == ha.REQUEST_BY_ZKFC
        self.state = "STANDBY"
        return ha.TransitionToStandbyResponseProto()

async def main():
    server = RpcServer({HA_SERVICE_PROTOCOL: Service()}, clock=RealClock())
    await server.start(TcpNetwork(), Address("127.0.0.1", int(sys.argv[1])))
    await server.run()
asyncio.run(main())
"""


class Pair:
    def __init__(self, root: Path) -> None:
        self.root = root
        ports = free_ports(4)
        self.rpc = {"nn1": ports[0], "nn2": ports[1]}
        self.fenced = root / "fenced"
        keys = {
            "dfs.nameservices": "ns1",
            "dfs.ha.namenodes.ns1": "nn1,nn2",
            "dfs.ha.automatic-failover.enabled": "true",
            "dfs.ha.fencing.methods": f"shell(echo $target_namenodeid &gt;&gt; {self.fenced})",
            "hdfsd.ha.lock.dir": f"{root}/lock",
            "ha.health-monitor.check-interval.ms": "200",
            "ha.health-monitor.connect-retry-interval.ms": "100",
            "ha.health-monitor.sleep-after-disconnect.ms": "100",
            "ha.health-monitor.rpc-timeout.ms": "1000",
            "ha.failover-controller.graceful-fence.rpc-timeout.ms": "500",
        }
        for name, zkfc in zip(self.rpc, ports[2:]):
            keys[f"dfs.namenode.rpc-address.ns1.{name}"] = f"127.0.0.1:{self.rpc[name]}"
            keys[f"dfs.ha.zkfc.port.ns1.{name}"] = str(zkfc)
        rows = "".join(
            f"<property><name>{key}</name><value>{value}</value></property>"
            for key, value in keys.items()
        )
        (root / "hdfs-site.xml").write_text(f"<configuration>{rows}</configuration>")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str, *command: str) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HADOOP_CONF_DIR": str(self.root)},
            )

    def start_namenode(self, name: str) -> None:
        self.spawn(name, "-c", NAMENODE, str(self.rpc[name]))

    def start_controller(self, name: str) -> None:
        words = ("zkfc", "-D", f"dfs.ha.namenode.id={name}")
        self.spawn(f"zkfc-{name}", "-m", "hdfsd.cli.main", *words)

    def hdfsd(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "hdfsd.cli.main", "--config", str(self.root), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def send(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)
        if number is signal.SIGKILL:
            self.processes.pop(name).wait()

    def state(self, name: str) -> str:
        words = ("-D", "ha.failover-controller.cli-check.rpc-timeout.ms=500")
        return self.hdfsd("haadmin", *words, "-getServiceState", name).stdout.strip()

    def logs(self) -> str:
        return "".join(f"\n--- {p.name}\n{p.read_text()}" for p in self.root.glob("*.log"))

    def until(self, what: str, holds: Callable[[], bool], seconds: int = 30) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"{what}: not within {seconds} s{self.logs()}"
            time.sleep(0.05)

    def until_state(self, name: str, state: str) -> None:
        self.until(f"{name} is {state}", lambda: self.state(name) == state)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """nn1 active, nn2 standby."""
    found = Pair(tmp_path)
    try:
        assert found.hdfsd("zkfc", "-D", "dfs.ha.namenode.id=nn1", "-formatZK").returncode == 0
        for name in found.rpc:
            found.start_namenode(name)
        for name, state in (("nn1", "active"), ("nn2", "standby")):
            found.start_controller(name)
            found.until_state(name, state)
            found.until(f"{name} takes part", lambda name=name: takes_part(found, name))  # type: ignore[misc]
        yield found
    finally:
        found.stop()


def takes_part(pair: Pair, name: str) -> bool:
    log = (pair.root / f"zkfc-{name}.log").read_text()
    return "now active" in log or "now standby" in log


def test_a_killed_namenode_is_fenced_and_replaced(pair: Pair) -> None:
    pair.send("nn1", signal.SIGKILL)
    pair.until_state("nn2", "active")
    assert pair.fenced.read_text() == "nn1\n"
    pair.start_namenode("nn1")
    pair.until_state("nn1", "standby")
    pair.until(
        "nn1 takes over when it is asked",
        lambda: pair.hdfsd("haadmin", "-failover", "nn2", "nn1").returncode == 0,
    )
    assert (pair.state("nn1"), pair.state("nn2")) == ("active", "standby")
    assert pair.fenced.read_text() == "nn1\n", "a graceful failover fences nobody"


def test_a_killed_controller_loses_the_lock_and_its_namenode_the_state(pair: Pair) -> None:
    pair.send("zkfc-nn1", signal.SIGKILL)
    pair.until_state("nn2", "active")
    assert pair.state("nn1") == "standby"
    assert not pair.fenced.exists()
    pair.start_controller("nn1")
    pair.send("zkfc-nn2", signal.SIGKILL)
    pair.until_state("nn1", "active")


def test_a_frozen_namenode_is_found_and_replaced(pair: Pair) -> None:
    pair.send("nn1", signal.SIGSTOP)
    pair.until_state("nn2", "active")
    assert pair.fenced.read_text() == "nn1\n"
    pair.send("nn1", signal.SIGCONT)
    pair.until_state("nn1", "standby")


def test_a_controller_that_is_asked_to_stop_stops(pair: Pair) -> None:
    process = pair.processes.pop("zkfc-nn1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    pair.until_state("nn2", "active")


def test_a_second_controller_of_the_same_node_is_told_why_not(pair: Pair) -> None:
    done = pair.hdfsd("zkfc", "-D", "dfs.ha.namenode.id=nn1")
    assert done.returncode == 1
    assert "can't listen on 127.0.0.1" in done.stderr
    assert pair.state("nn1") == "active"
