"""`hdfsd zkfc` processes before stand-ins for NameNodes.

The stand-ins speak HAServiceProtocol and nothing else; each is a process that can be killed and
frozen. What real NameNodes do is shown in tests/interop and by the tests of whole clusters.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hadoop import free_ports

NAMENODE = """
import asyncio, os, sys
from hdfsd.base.errors import HealthCheckFailed
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
        if os.path.exists(sys.argv[2]):
            raise HealthCheckFailed("no room left")
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
    def __init__(self, root: Path, count: int = 2, **changes: str) -> None:
        """`changes`: of the configuration, `__` for `.`."""
        self.root = root
        ports = free_ports(2 * count)
        self.rpc = {f"nn{number}": ports[number - 1] for number in range(1, count + 1)}
        self.fenced = root / "fenced"
        keys = {
            "dfs.nameservices": "ns1",
            "dfs.ha.namenodes.ns1": ",".join(self.rpc),
            "dfs.ha.automatic-failover.enabled": "true",
            "dfs.ha.fencing.methods": f"shell(echo $target_namenodeid &gt;&gt; {self.fenced})",
            "hdfsd.ha.lock.dir": f"{root}/lock",
            "ha.health-monitor.check-interval.ms": "200",
            "ha.health-monitor.connect-retry-interval.ms": "100",
            "ha.health-monitor.sleep-after-disconnect.ms": "100",
            "ha.health-monitor.rpc-timeout.ms": "1000",
            "ha.failover-controller.graceful-fence.rpc-timeout.ms": "500",
            **{key.replace("__", "."): value for key, value in changes.items()},
        }
        for name, zkfc in zip(self.rpc, ports[count:]):
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
        self.spawn(name, "-c", NAMENODE, str(self.rpc[name]), str(self.sickness_of(name)))

    def sickness_of(self, name: str) -> Path:
        """While this file is there the NameNode is unhealthy."""
        return self.root / f"{name}-is-sick"

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

    def explain(self) -> dict[str, Any]:
        done = self.hdfsd("haadmin", "-explain", "--json")
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def log_of(self, name: str) -> str:
        return (self.root / f"zkfc-{name}.log").read_text()

    def takes_part(self, name: str) -> bool:
        return any(f"now {state}" in self.log_of(name) for state in ("active", "standby"))

    def start(self) -> None:
        """nn1 active, the others standby."""
        done = self.hdfsd("zkfc", "-D", "dfs.ha.namenode.id=nn1", "-formatZK")
        assert done.returncode == 0, done.stderr
        for name in self.rpc:
            self.start_namenode(name)
        for name in self.rpc:
            self.start_controller(name)
            self.until_state(name, "active" if name == "nn1" else "standby")
            self.until(f"{name} takes part", lambda name=name: self.takes_part(name))  # type: ignore[misc]


@contextmanager
def started(root: Path, count: int = 2, **changes: str) -> Iterator[Pair]:
    found = Pair(root, count, **changes)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def in_zookeeper(zookeeper: Any, parent: str) -> dict[str, str]:
    return {
        "ha__zookeeper__quorum": zookeeper.quorum,
        "ha__zookeeper__parent-znode": parent,
        "ha__zookeeper__session-timeout__ms": "3000",
    }
