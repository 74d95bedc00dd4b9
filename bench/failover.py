"""Adapter. Write outages by cause, on clusters of ours: `python bench/failover.py [--rounds N]`.

One client writes call after call; each cause is brought about N times, the cluster healed after
each. With the embedded lock and with a real ZooKeeper (Debian's), each in its turn. What is printed
goes into docs/FAILOVER.md. Comparisons with Hadoop are in bench/run.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
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

from hdfsd.base.ids import Address
from hdfsd.minicluster.faults import ProcessFaults
from outage import outage_s

HOST = "127.0.0.1"
HEALED_S = 60.0
CALL_S = 1.0
"""A client that waits longer for a frozen NameNode measures its own patience."""
ZOOKEEPER_JARS = "/usr/share/java/zookeeper.jar"


class Measured:
    """One cluster, and what can happen to it."""

    def __init__(self, directory: Path, *options: str) -> None:
        self._directory = directory
        self._hdfsd("cluster", "up", "--dir", str(directory), *options)
        self._faults = ProcessFaults(str(directory))

    def stop(self) -> None:
        self._hdfsd("cluster", "down", "--dir", str(self._directory))

    def _hdfsd(self, *words: str) -> str:
        command = [sys.executable, "-m", "hdfsd.cli.main", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
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

    def kill_both(self, active: str) -> list[Callable[[], object]]:
        """As when the machine is gone, but that its kernel still refuses connections."""
        names = (active.replace("nn", "zkfc"), active)
        for name in names:
            self._faults.hold(name)
        for name in names:
            self._faults.kill(name)
        return [lambda name=name: self._faults.release(name) for name in names]  # type: ignore[misc]

    def outage_s(self, cause: Callable[[str], list[Callable[[], object]]]) -> float:
        told = self.whole()
        active = told["active"]["id"]
        by_id = {node["id"]: Address.parse(node["address"]) for node in told["namenodes"]}
        healers: list[Callable[[], object]] = []
        disturb = lambda: healers.extend(cause(active))  # noqa: E731
        try:
            return asyncio.run(outage_s([*by_id.values()], by_id[active], disturb, CALL_S))
        finally:
            for heal in healers:
                heal()


CAUSES: dict[str, tuple[Callable[[Measured, str], list[Callable[[], object]]], bool]] = {
    "the process of the active is killed": (Measured.kill, True),
    "an operator asks (haadmin -failover)": (Measured.ask, True),
    "the active freezes (SIGSTOP)": (Measured.freeze, True),
    "the active's controller is killed": (Measured.kill_controller, True),
    "the active's controller freezes": (Measured.freeze_controller, False),
    "NameNode and controller are killed at once": (Measured.kill_both, True),
}
"""What happens, and whether it leads to a failover with the embedded lock too."""


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


def measure(directory: Path, lock: str, rounds: int, *options: str) -> None:
    cluster = Measured(directory, *options)
    try:
        for name, (cause, embedded_too) in CAUSES.items():
            if lock == "embedded" and not embedded_too:
                continue
            happens = partial(cause, cluster)
            found = [cluster.outage_s(happens) for _ in range(rounds)]
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
    rounds = parser.parse_args().rounds
    root = Path(tempfile.mkdtemp(prefix="hdfsd-failover-"))
    try:
        measure(root / "embedded", "embedded", rounds)
        with zookeeper(root) as quorum:
            measure(root / "with-zookeeper", "ZooKeeper", rounds, "--zookeeper", quorum)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
