"""Adapter. `make bench`: Hadoop and hdfsd in turns, the same client programs, ratios.

    PYTHONPATH=tests/interop python bench/run.py [--quick] [--rounds N] [--only hdfsd|Hadoop]
        [--rows KEY,...]

The full run writes docs/BENCHMARKS.md; `--quick` only prints.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import hadoop

import million
from clusters import Cluster, HadoopCluster, HdfsdCluster
from hdfsd.namespace import tree
from load import BASE
from outage import outage_s
from rows import ALL_ROWS, MILLION_ROWS, Figures, missed, page, table

ROOT = Path(__file__).resolve().parents[1]
BIG_BYTES = 512 << 20
OUTPUT = ROOT / "docs/BENCHMARKS.md"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Mode:
    """How long everything takes."""

    rounds: int
    warmup_s: float
    seconds: float
    """Of every rate."""
    small_s: float
    failovers: int
    """Per round; there and back again."""
    files: int
    """Of the NameNode with very many; 0: it is left out."""
    rows: frozenset[str] = frozenset()
    """The only ones to measure, beside the start; empty: all."""


FULL = Mode(rounds=3, warmup_s=2.0, seconds=4.0, small_s=6.0, failovers=2, files=1_000_000)
QUICK = Mode(rounds=1, warmup_s=1.0, seconds=1.5, small_s=2.0, failovers=1, files=0)


class Round:
    """All rows once, on one cluster that is made for it."""

    def __init__(self, cluster: Cluster, figures: Figures, mode: Mode) -> None:
        self._cluster = cluster
        self._figures = figures
        self._mode = mode
        self._small_count = 0
        self._created = 0

    def run(self) -> None:
        """A row that fails is noted; the others go on."""
        if not self._row("start", self._start):
            return
        self._row("small", self._small_files)
        self._program("load.py", str(self._cluster.active()), "prepare")
        for key in ("stat", "locations", "mkdirs", "create", "delete"):
            self._row(key, partial(self._rate, key))
        self._row("stat_one", lambda: self._latency("stat"))
        self._row("create_one", lambda: self._latency("create"))
        self._row("memory", lambda: self._figures.add("memory", self._cluster.pss_mib()))
        for work in ("write", "read"):
            self._row(work, partial(self._big_file, work))
        self._row("kill", self._kill)
        self._row("failover", self._fail_over)

    def _row(self, key: str, measure: Callable[[], None]) -> bool:
        if self._mode.rows and key not in self._mode.rows | {"start"}:
            return True
        try:
            measure()
        except (OSError, RuntimeError, TimeoutError, AssertionError) as error:
            self._figures.fail(key, " ".join(str(error).split())[:200])
            print(f"  {self._cluster.name:<7}{key:<12} failed: {error}", flush=True)
            return False
        value = self._figures.values[key][-1]
        unit = next(row.unit for row in ALL_ROWS if row.key == key)
        print(f"  {self._cluster.name:<7}{key:<12}{value:>12,.2f} {unit}", flush=True)
        return True

    def _start(self) -> None:
        self._figures.add("start", self._cluster.start())
        self._cluster.active()
        self._figures.add("memory_idle", self._cluster.pss_mib())

    def _program(self, name: str, *arguments: str) -> dict[str, Any]:
        """The figures that a client program prints. Raises RuntimeError with its last words."""
        command = [sys.executable, str(ROOT / "bench" / name), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name} {' '.join(arguments[:2])}: {done.stderr.strip()[-500:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def _load(self, operation: str, *arguments: str) -> tuple[dict[str, Any], float]:
        """The figures of a load, and microseconds of the NameNode's CPU per call."""
        active = self._cluster.active()
        pid = self._cluster.namenode_pid(active)
        before = cpu_s(pid)
        mode = ("--warmup", str(self._mode.warmup_s), "--seconds", str(self._mode.seconds))
        found = self._program("load.py", str(active), operation, *mode, *arguments)
        spent = cpu_s(pid) - before
        if found["errors"] or found["empty"] or not found["answered"]:
            raise RuntimeError(f"{operation}: wrong answers: {found}")
        return found, spent / found["answered"] * 1e6

    def _rate(self, key: str) -> None:
        arguments = {
            "locations": ("--files", f"{BASE}/small", "--count", str(self._small_count)),
            "delete": ("--count", str(self._created)),
        }.get(key, ())
        found, cpu_us = self._load(key, *arguments)
        if key == "create":
            self._created = found["answered"]
        self._figures.add(key, found["per_second"], cpu_us)

    def _latency(self, operation: str) -> None:
        one = ("--connections", "1", "--depth", "1", "--label", "one")
        found, cpu_us = self._load(operation, *one)
        self._figures.add(f"{operation}_one", found["p50_ms"], cpu_us)

    def _small_files(self) -> None:
        arguments = ("small", f"{BASE}/small", "--seconds", str(self._mode.small_s))
        found = self._program("files.py", str(self._cluster.conf), *arguments)
        self._small_count = int(found["count"])
        self._figures.add("small", found["per_second"])

    def _big_file(self, work: str) -> None:
        arguments = (work, f"{BASE}/big", "--bytes", str(BIG_BYTES))
        found = self._program("files.py", str(self._cluster.conf), *arguments)
        self._figures.add(work, found["mb_per_second"])

    def _kill(self) -> None:
        active = self._cluster.active()
        seconds = self._outage(lambda: self._cluster.kill(active))
        self._figures.add("kill", seconds)
        self._cluster.revive(active)
        self._cluster.active()

    def _fail_over(self) -> None:
        for _ in range(self._mode.failovers):
            active = self._cluster.active()
            other = self._cluster.other(active)
            seconds = self._outage(lambda: self._cluster.fail_over(active, other))  # noqa: B023
            self._figures.add("failover", seconds)

    def _outage(self, disturb: Callable[[], None]) -> float:
        cluster = self._cluster
        return asyncio.run(outage_s(cluster.namenodes, cluster.active(), disturb))


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def many_files(count: int, sides: list[tuple[type[million.Side], Figures]]) -> None:
    """The rows of one NameNode with very many files. A side that fails is noted."""
    with tempfile.TemporaryDirectory(prefix="hdfsd-bench-") as directory:
        edits = million.write_segment(Path(directory), count)
        for kind, figures in sides:
            try:
                found = million.measure(kind, edits, count)
            except (RuntimeError, OSError, TimeoutError) as error:
                for row in MILLION_ROWS:
                    figures.fail(row.key, str(error)[:200])
                print(f"  {kind.name:<7}failed: {error}", flush=True)
                continue
            for row in MILLION_ROWS:
                figures.add(row.key, found[row.key])
                print(
                    f"  {kind.name:<7}{row.key:<16}{found[row.key]:>8,.2f} {row.unit}", flush=True
                )


@contextmanager
def closing(cluster: Cluster) -> Any:
    """Ends the cluster whatever happens."""
    try:
        yield cluster
    finally:
        cluster.close()


def facts() -> dict[str, str]:
    """The machine, the versions, the day."""
    cpu_info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpu_info)
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}),"
        f" {memory_kib / (1 << 20):.0f} GiB, Linux {platform.release().partition('-')[0]}",
        "hdfsd": f"{version('hdfsd')} ({_output('git', '-C', str(ROOT), 'describe', '--always')}),"
        f" Python {platform.python_version()}, protobuf {version('protobuf')}, "
        + ("compiled cores" if tree.__file__.endswith(".so") else "from source"),
        "Hadoop": f"{_hadoop_version()}, {_output('java', '-version')}, heap limit 1 GiB a daemon",
        "hdfs-native": version("hdfs-native"),
    }


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).partition("\n")[0].strip()


def _hadoop_version() -> str:
    lib = hadoop.jars()
    names = sorted(path.name for path in lib.glob("hadoop-common-[0-9]*.jar")) if lib else []
    plain = [name for name in names if "tests" not in name]
    return plain[0].removeprefix("hadoop-common-").removesuffix(".jar") if plain else "unknown"


def main() -> int:
    """0 when every row was measured; goals that are missed are named, and no failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", choices=("Hadoop", "hdfsd"))
    parser.add_argument("--rows", help="these alone, as in rows.py: kill,failover; nothing written")
    parser.add_argument("--output", type=Path, default=None, help=f"default: {OUTPUT.name}")
    options = parser.parse_args()
    mode = QUICK if options.quick else FULL
    if options.rows:
        mode = replace(mode, files=0, rows=frozenset(options.rows.split(",")))
    theirs, ours = Figures(), Figures()
    began = monotonic()
    for number in range(options.rounds or mode.rounds):
        for kind, figures in ((HadoopCluster, theirs), (HdfsdCluster, ours)):
            if options.only in (None, kind.name):
                print(f"round {number + 1}: {kind.name}", flush=True)
                with closing(kind()) as cluster:
                    Round(cluster, figures, mode).run()
    if mode.files:
        print(f"{mode.files} files", flush=True)
        pairs = ((million.HadoopSide, theirs), (million.HdfsdSide, ours))
        many_files(mode.files, [p for p in pairs if options.only in (None, p[0].name)])
    print(f"\n{monotonic() - began:.0f} s\n")
    print("\n".join(table(theirs, ours, mode.rows)))
    not_reached = missed(theirs, ours)
    if not_reached and options.only is None and not mode.rows:
        print(f"\nNot reached: {'; '.join(not_reached)}.")
    output = options.output or (None if options.quick or options.only or options.rows else OUTPUT)
    if output is not None:
        output.write_text(page(facts(), theirs, ours))
        print(f"\nWritten: {output}")
    return 1 if theirs.failures or ours.failures else 0


if __name__ == "__main__":
    sys.exit(main())
