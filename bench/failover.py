"""Adapter. Write outages by cause, on clusters of ours: `python bench/failover.py [--rounds N]`.

One client writes call after call; each cause is brought about N times, the cluster healed after
each. With the embedded lock and with a real ZooKeeper (Debian's), each in its turn. What is printed
goes into docs/FAILOVER.md. Comparisons with Hadoop are in bench/run.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import hadoop
from kazoo.client import KazooClient

from hdfsd.base.ids import Address
from hdfsd.io.site import configuration_of
from hdfsd.minicluster.faults import ProcessFaults
from hdfsd.minicluster.topology import NAMESERVICE
from hdfsd.wire.messages import client_namenode
from namenode_client import CLIENT_METHODS, Connection
from outage import outage_s

HOST = "127.0.0.1"
HEALED_S = 60.0
CALL_S = 1.0
"""A client that waits longer for a frozen NameNode measures its own patience."""
ZOOKEEPER_JARS = "/usr/share/java/zookeeper.jar"
SMALL_VOLUME = Path("/dev/shm")
"""A file system that may be filled: nn1 counts it among its volumes."""
FILLED_BYTES = 64 << 20
HADOOPS_TIMES = {
    "ha.health-monitor.check-interval.ms": "1000",
    "ha.health-monitor.rpc-timeout.ms": "45000",
    "ha.failover-controller.graceful-fence.rpc-timeout.ms": "5000",
    "hdfsd.ha.heartbeat.timeout": "3s",
}
"""The defaults of both, as where none of these keys is set."""


class Measured:
    """One cluster, and what can happen to it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self._directory = directory
        self._hdfsd("cluster", "up", "--dir", str(directory), *options)
        self._faults = ProcessFaults(str(directory))

    def stop(self) -> None:
        self._hdfsd("cluster", "down", "--dir", str(self._directory))

    def _hdfsd(self, *words: str, said: str = "") -> str:
        command = [sys.executable, "-m", "hdfsd.cli.main", *words]
        done = subprocess.run(command, input=said, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"hdfsd {' '.join(words)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def _told(self) -> dict[str, Any]:
        conf = str(self._directory / "conf")
        told: dict[str, Any] = json.loads(
            self._hdfsd("haadmin", "--config", conf, "-explain", "--json")
        )
        return told

    def whole(self) -> dict[str, Any]:
        """Waits until one is active and another could take over."""
        end = monotonic() + HEALED_S
        while True:
            told = self._told()
            if told["active"] is not None and "becomes active" in told["forecast"][0]["then"]:
                return told
            if monotonic() > end:
                raise TimeoutError(f"not whole after {HEALED_S} s: {told['forecast']}")
            sleep(0.2)

    # Causes; each returns what heals it.

    def kill(self, active: str) -> list[Callable[[], object]]:
        self._faults.kill(active)
        return []

    def ask(self, active: str) -> list[Callable[[], object]]:
        other = {"nn1": "nn2", "nn2": "nn1"}[active]
        conf = str(self._directory / "conf")
        self._hdfsd("haadmin", "--config", conf, "-failover", active, other)
        return []

    def freeze(self, active: str) -> list[Callable[[], object]]:
        self._faults.freeze(active)
        return [lambda: self._faults.thaw(active)]

    def kill_controller(self, active: str) -> list[Callable[[], object]]:
        controller = active.replace("nn", "zkfc")
        self._faults.hold(controller)
        self._faults.kill(controller)
        return [lambda: self._faults.release(controller)]

    def freeze_controller(self, active: str) -> list[Callable[[], object]]:
        controller = active.replace("nn", "zkfc")
        self._faults.freeze(controller)
        return [lambda: self._faults.thaw(controller)]

    def by_hand(self, active: str) -> list[Callable[[], object]]:
        """An operator makes it standby, past its controller."""
        conf = str(self._directory / "conf")
        words = ("-transitionToStandby", "--forcemanual", active)
        self._hdfsd("haadmin", "--config", conf, *words, said="y\n")
        return []

    def fill(self, active: str) -> list[Callable[[], object]]:
        """A volume of nn1 has less room than it must keep free."""
        assert active == "nn1", "only nn1 looks at that volume"
        path = SMALL_VOLUME / f"hdfsd-bench-{os.getpid()}"
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, FILLED_BYTES)
        return [path.unlink, lambda: asyncio.run(self._leave_safe_mode())]

    async def _leave_safe_mode(self) -> None:
        """Which nn1 entered for want of room, and stays in until somebody ends it, as Hadoop's."""
        nodes = self._told()["namenodes"]
        address = next(Address.parse(node["address"]) for node in nodes if node["id"] == "nn1")
        connection = await Connection.open(address)
        action = client_namenode.SAFEMODE_LEAVE
        request = client_namenode.SetSafeModeRequestProto(action=action)
        await connection.call(CLIENT_METHODS["setSafeMode"], request)
        connection.close()

    def delete_lock(self, _: str) -> list[Callable[[], object]]:
        """Somebody's hand in ZooKeeper: the session of who held the lock lives on."""
        conf, _ = configuration_of(["--config", str(self._directory / "conf")])
        client = KazooClient(conf.get("ha.zookeeper.quorum"))
        client.start()
        try:
            parent = conf.get("ha.zookeeper.parent-znode")
            client.delete(f"{parent}/{NAMESERVICE}/ActiveStandbyElectorLock")
        finally:
            client.stop()
            client.close()
        return []

    def lead(self, wanted: str) -> None:
        """Has one of them be the active."""
        active = self.whole()["active"]["id"]
        if active != wanted:
            self.ask(active)

    def kill_both(self, active: str) -> list[Callable[[], object]]:
        """As when the machine is gone, but that its kernel still refuses connections."""
        names = (active.replace("nn", "zkfc"), active)
        for name in names:
            self._faults.hold(name)
        for name in names:
            self._faults.kill(name)
        return [lambda name=name: self._faults.release(name) for name in names]  # type: ignore[misc]

    def outage_of_nn1_s(self, cause: Callable[[str], list[Callable[[], object]]]) -> float:
        """The same, of a cause that only nn1 knows."""
        self.lead("nn1")
        return self.outage_s(cause)

    def outage_if_any_s(self, cause: Callable[[str], list[Callable[[], object]]]) -> float:
        """The same, of a cause that need not lead to a failover."""
        return self.outage_s(cause, disturbs=False)

    def outage_s(
        self, cause: Callable[[str], list[Callable[[], object]]], *, disturbs: bool = True
    ) -> float:
        told = self.whole()
        active = told["active"]["id"]
        by_id = {node["id"]: Address.parse(node["address"]) for node in told["namenodes"]}
        healers: list[Callable[[], object]] = []
        disturb = lambda: healers.extend(cause(active))  # noqa: E731
        try:
            return asyncio.run(
                outage_s([*by_id.values()], by_id[active], disturb, CALL_S, disturbs=disturbs)
            )
        finally:
            for heal in healers:
                heal()


Cause = Callable[[Measured, str], list[Callable[[], object]]]

CAUSES: dict[str, tuple[Cause, bool]] = {
    "the process of the active is killed": (Measured.kill, True),
    "an operator asks (haadmin -failover)": (Measured.ask, True),
    "the active freezes (SIGSTOP)": (Measured.freeze, True),
    "the active's controller is killed": (Measured.kill_controller, True),
    "the active's controller freezes": (Measured.freeze_controller, False),
    "NameNode and controller are killed at once": (Measured.kill_both, True),
    "the lock is deleted": (Measured.delete_lock, False),
    "an operator makes it standby (--forcemanual)": (Measured.by_hand, True),
    "the active is unhealthy (a volume is full)": (Measured.fill, True),
}
"""What happens, and whether it leads to a failover with the embedded lock too."""
FROZEN = "the active freezes; default time-outs"


@contextmanager
def zookeeper(directory: Path) -> Iterator[str]:
    """Debian's server, which `apt-get install zookeeper` brings."""
    if not Path(ZOOKEEPER_JARS).exists():
        raise SystemExit("no ZooKeeper: apt-get install zookeeper")
    (port,) = hadoop.free_ports(1)
    main = "org.apache.zookeeper.server.ZooKeeperServerMain"
    command = ["java", "-Xmx128m", "-Dzookeeper.admin.enableServer=false", "-cp", ZOOKEEPER_JARS]
    with (directory / "zookeeper.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, main, str(port), str(directory / "zookeeper"), "500"],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"{HOST}:{port}"
    finally:
        process.kill()
        process.wait()


def of_small_volume() -> list[str]:
    """Options that have nn1 keep almost all of a small volume free."""
    free = os.statvfs(SMALL_VOLUME)
    kept = free.f_bavail * free.f_frsize - FILLED_BYTES // 2
    resource = "dfs.namenode.resource"
    keys = {
        f"{resource}.checked.volumes.{NAMESERVICE}.nn1": str(SMALL_VOLUME),
        f"{resource}.checked.volumes.minimum.{NAMESERVICE}.nn1": "2",
        f"{resource}.du.reserved.{NAMESERVICE}.nn1": str(kept),
        f"{resource}.check.interval": "500",
    }
    return options_of(keys)


def options_of(keys: dict[str, str]) -> list[str]:
    return [word for key, value in keys.items() for word in ("-D", f"{key}={value}")]


def measure(
    directory: Path, lock: str, rounds: int, causes: dict[str, Cause], *options: str
) -> None:
    cluster = Measured(directory, *options)
    try:
        for name, cause in causes.items():
            happens = partial(cause, cluster)
            outage_s = {
                Measured.fill: cluster.outage_of_nn1_s,
                Measured.delete_lock: cluster.outage_if_any_s,
            }.get(cause, cluster.outage_s)
            found = [outage_s(happens) for _ in range(rounds)]
            print(
                f"{lock:<10} {name:<45} median {statistics.median(found):7.3f} s"
                f"  worst {max(found):7.3f} s  of {rounds}",
                flush=True,
            )
    finally:
        cluster.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="causes with these words in their name")
    parsed = parser.parse_args()
    rounds = parsed.rounds
    causes = {name: pair for name, pair in CAUSES.items() if parsed.only in name}
    embedded = {name: cause for name, (cause, everywhere) in causes.items() if everywhere}
    by_defaults = {FROZEN: Measured.freeze} if parsed.only in FROZEN else {}
    volume = of_small_volume()
    root = Path(tempfile.mkdtemp(prefix="hdfsd-failover-"))
    try:
        if embedded:
            measure(root / "embedded", "embedded", rounds, embedded, *volume)
        if by_defaults:
            keys = options_of(HADOOPS_TIMES)
            measure(root / "defaults", "embedded", rounds, by_defaults, *keys)
        every = {name: cause for name, (cause, _) in causes.items()}
        with zookeeper(root) as quorum:
            found = (*volume, "--zookeeper", quorum)
            measure(root / "with-zookeeper", "ZooKeeper", rounds, every, *found)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
