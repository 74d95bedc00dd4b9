"""Adapter. Reads through one observer and through two: `python bench/observers.py`.

getFileInfo from load.py, 64 in flight for each observer, every call with the state id of the last
write. Each observer has the same small part of a core (quota.py), as if the machine had cores
enough. Printed: reads per second, and CPU per read of an observer and of the active, which answers
none of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

from clusters import HdfsdCluster
from full_namespace import ask
from hdfsd.base.ids import Address
from namenode_client import ha_state
from quota import cores
from run import cpu_s

LOAD = Path(__file__).with_name("load.py")
OBSERVERS = ("nn3", "nn4")
OPTIONS = ("--namenodes", "4", "--datanodes", "1")
KEYS = ("dfs.namenode.state.context.enabled=true",)


class Readers:
    """A cluster of an active, a standby and two observers."""

    def __init__(self) -> None:
        self.cluster = HdfsdCluster(*OPTIONS, *(f"-D{key}" for key in KEYS))
        self.cluster.launch()

    def make_observers(self) -> list[Address]:
        """By an operator's word. Raises RuntimeError."""
        for name in OBSERVERS:
            words = ("haadmin", "-transitionToObserver", "-forcemanual", name)
            command = [sys.executable, "-m", "hdfsd.cli.main", "--config", str(self.cluster.conf)]
            done = subprocess.run(
                [*command, *words], input=b"y\n", capture_output=True, check=False
            )
            if done.returncode:
                raise RuntimeError(f"{' '.join(words)}: {done.stderr.decode()[-1000:]}")
        return [
            node for node in self.cluster.namenodes if asyncio.run(ha_state(node)) == "observer"
        ]

    def active(self) -> Address:
        """The one that takes writes. Raises StopIteration when there is none."""
        nodes = self.cluster.namenodes
        return next(node for node in nodes if asyncio.run(ha_state(node)) == "active")

    def state_id(self) -> int:
        """The active's newest transaction."""
        rolled: Any = asyncio.run(ask(self.active(), "rollEdits"))
        return cast(int, rolled.newSegmentTxId)

    def rate(self, observers: Sequence[Address], seconds: float) -> tuple[float, float, float]:
        """Reads per second, and microseconds of CPU per read: an observer's, the active's."""
        state_id = str(self.state_id())
        pids = [self.cluster.namenode_pid(node) for node in (*observers, self.active())]
        before = [cpu_s(pid) for pid in pids]
        options = ("stat", "--state-id", state_id, "--seconds", str(seconds))
        running = [
            subprocess.Popen(
                [sys.executable, str(LOAD), str(node), *options], stdout=subprocess.PIPE
            )
            for node in observers
        ]
        found = [json.loads(process.communicate()[0]) for process in running]
        if any(one["errors"] or one["empty"] for one in found):
            raise RuntimeError(f"wrong answers: {found}")
        *observing, active = (cpu_s(pid) - spent for pid, spent in zip(pids, before, strict=True))
        answered = sum(one["answered"] for one in found)
        per_second = sum(one["per_second"] for one in found)
        return per_second, sum(observing) / answered * 1e6, active / answered * 1e6


def measure(readers: Readers, observers: Sequence[Address], options: argparse.Namespace) -> None:
    """One and two in turns, so that whatever else the machine does meets both."""
    found: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
    for number in range(options.rounds):
        one = observers[number % 2]
        found[1].append(readers.rate([one], options.seconds))
        found[2].append(readers.rate(observers, options.seconds))
    for count, runs in found.items():
        rate, observing, active = (median(column) for column in zip(*runs, strict=True))
        print(
            f"{count} observer(s): {rate:9,.0f} reads/s, CPU per read {observing:5.1f} µs at the"
            f" observer, {active:6.3f} µs at the active"
        )
    ratios = [two[0] / one[0] for one, two in zip(found[1], found[2], strict=True)]
    print(f"two are {median(ratios):.2f} times one ({min(ratios):.2f}–{max(ratios):.2f})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--core", type=float, default=0.1, help="of a core, for each observer")
    options = parser.parse_args()
    readers = Readers()
    try:
        observers = readers.make_observers()
        prepared = [sys.executable, str(LOAD), str(readers.active()), "prepare"]
        subprocess.run(prepared, check=True, stdout=subprocess.DEVNULL)
        with cores([readers.cluster.namenode_pid(node) for node in observers], options.core):
            measure(readers, observers, options)
    finally:
        readers.cluster.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
