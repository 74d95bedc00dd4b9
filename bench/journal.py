"""Adapter. `make bench-journal`: Hadoop's JournalNodes and ours under the same writers, ratios.

    PYTHONPATH=tests/interop python bench/journal.py [--quick] [--rounds N] [--output FILE]

Three JournalNodes of each kind are up all the time; every figure is taken of one kind and at once
of the other. The writers are two: our quorum journal, and Hadoop's QuorumJournalManager in a JVM.
The full run writes docs/BENCHMARKS-journal.md; `--quick` only prints.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import hadoop
from journals import HADOOP, HDFSD, JournalNodes

from clusters import Installed
from hdfsd.minicluster.processes import pss_kib
from journal_rows import DISTURBED, WRITERS, Figures, missed, page, table
from run import cpu_s, facts

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"
OUTPUT = ROOT / "docs/BENCHMARKS-journal.md"
NAMES = ("jn1", "jn2", "jn3")
DISTURBED_NODE = "jn3"
SLOW_MS = 500
SEGMENT_BYTES = 512 << 20
ANSWER_S = 300.0
JAVA_WRITER = BENCH / "java/JournalLoad.java"
MANY, ONE = 64, 1


@dataclass(frozen=True, slots=True)
class Mode:
    """How long everything takes."""

    rounds: int
    warmup_s: float
    seconds: float
    """Of every rate."""
    segment_bytes: int


FULL = Mode(rounds=3, warmup_s=4.0, seconds=1.5, segment_bytes=SEGMENT_BYTES)
QUICK = Mode(rounds=1, warmup_s=2.0, seconds=1.0, segment_bytes=SEGMENT_BYTES // 8)


class Program:
    """A writer's process: lines to it, one line of JSON back for each."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("ab") as target:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=target,
                env=os.environ | {"HADOOP_USER_NAME": "root"},
            )

    def ask(self, *words: object) -> dict[str, Any]:
        """Raises RuntimeError with its last words when it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_S)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            last = self._log.read_text(errors="replace").strip()[-800:]
            raise RuntimeError(f"{' '.join(map(str, words))}: no answer: {last}")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait(30)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


class Side:
    """Three JournalNodes of one kind, and the writers on them."""

    def __init__(self, kind: str, directory: Path, lib: Path) -> None:
        self.name = "Hadoop" if kind == HADOOP else "hdfsd"
        self._directory = directory / kind
        self._directory.mkdir()
        self.nodes = JournalNodes(self._directory, lib, dict.fromkeys(NAMES, kind))
        self.nodes.hadoop = Installed(lib, self._directory)
        self._link_port = hadoop.free_ports(1)[0]
        self._link: subprocess.Popen[bytes] | None = None
        self._programs: dict[str, Program] = {}

    def start(self) -> None:
        self.nodes.start(*NAMES)
        slowed = str(self.nodes.address(DISTURBED_NODE))
        link = [sys.executable, str(BENCH / "slow_link.py"), str(self._link_port), slowed]
        self._link = subprocess.Popen([*link, str(SLOW_MS)])
        hadoop.wait_for_port(self._link_port)

    def program(self, writer: str, journal_id: str, *, slow: bool = False) -> Program:
        """The writer of a journal; it is started, and the journal formatted, at the first call."""
        known = self._programs.get(journal_id)
        if known is not None:
            return known
        hosts = [str(address) for address in self.nodes.addresses(NAMES)]
        if slow:
            hosts[NAMES.index(DISTURBED_NODE)] = f"{hadoop.HOST}:{self._link_port}"
        if writer == HADOOP:
            conf = hadoop.write_conf(self._directory / "conf/writer", {}, {})
            command = self.nodes.hadoop.command(conf, str(JAVA_WRITER), journal_id, *hosts)
        else:
            command = [sys.executable, str(BENCH / "journal_writer.py"), journal_id, *hosts]
        program = Program(command, self._directory / f"{journal_id}.log")
        self._programs[journal_id] = program
        program.ask("open")
        return program

    def cpu_s(self) -> float:
        """Processor time of the three JournalNodes so far."""
        return sum(cpu_s(process.pid) for process in self.nodes.processes.values())

    def memory_mib(self) -> float:
        """PSS of the largest JournalNode."""
        pids = [process.pid for process in self.nodes.processes.values()]
        return max(pss_kib(pid) or 0 for pid in pids) / 1024

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """One JournalNode is stopped meanwhile."""
        self.nodes.signal(DISTURBED_NODE, signal.SIGSTOP)
        try:
            yield
        finally:
            self.nodes.signal(DISTURBED_NODE, signal.SIGCONT)

    def unfinalize(self, journal_id: str) -> None:
        """The segment that a recovery finalized is unfinished again; JournalNodes are down."""
        for name in NAMES:
            current = self.nodes.current(name, journal_id)
            # A recovery needs a majority: one of them may not have come so far.
            for finalized in current.glob("edits_0000000000000000001-*"):
                finalized.rename(current / "edits_inprogress_0000000000000000001")

    def close(self) -> None:
        for program in self._programs.values():
            program.close()
        if self._link is not None:
            self._link.kill()
            self._link.wait(30)
        self.nodes.close()


class Run:
    """All rows; `figures` by the name of the side."""

    def __init__(self, sides: Sequence[Side], figures: dict[str, Figures], mode: Mode) -> None:
        self._sides = sides
        self._figures = figures
        self._mode = mode

    def run(self, rounds: int) -> None:
        for side in self._sides:
            side.start()
            side.program(HDFSD, HDFSD).ask("rate", MANY, self._mode.warmup_s)
            self._add(side, "memory", side.memory_mib())
            for writer in WRITERS:
                for slow in (False, True):
                    program = side.program(writer, _journal(writer, slow=slow), slow=slow)
                    program.ask("rate", MANY, self._mode.warmup_s / 2)
                    program.ask("rate", ONE, self._mode.warmup_s / 4)
        for number in range(rounds):
            print(f"round {number + 1}", flush=True)
            for writer in WRITERS:
                for count in (MANY, ONE):
                    for disturbance in ("", *DISTURBED):
                        self._in_turns(number, writer, count, disturbance)
        for side in self._sides:
            self._add(side, "memory_many", side.memory_mib())
        for side in self._sides:
            self._recover(side)

    def _in_turns(self, number: int, writer: str, count: int, disturbance: str) -> None:
        # Who is first changes with the round: what comes second may find a busier disk.
        for side in self._sides if number % 2 == 0 else tuple(reversed(self._sides)):
            self._rate(side, writer, count, disturbance)

    def _rate(self, side: Side, writer: str, count: int, disturbance: str) -> None:
        slow = disturbance == "slowed"
        program = side.program(writer, _journal(writer, slow=slow))
        # Who was stopped or slowed rejoins, and whatever waited for it is forgotten.
        program.ask("roll")
        words = ("rate", count, self._mode.seconds)
        before = side.cpu_s()
        if disturbance == "stopped":
            with side.stopped():
                found = program.ask(*words)
            sleep(0.2)
        else:
            found = program.ask(*words)
        cpu_us = (side.cpu_s() - before) / (found["per_second"] * self._mode.seconds) * 1e6
        key = "_".join(filter(None, (writer, str(count), disturbance)))
        self._add(side, key, found["per_second"], cpu_us)
        self._figures[side.name].add(f"{key}_p99", found["p99_ms"])

    def _recover(self, side: Side) -> None:
        """A writer is gone; then, on the same segment, its journals too."""
        program = side.program(HDFSD, "big")
        program.ask("fill", self._mode.segment_bytes)
        self._add(side, "recovery", program.ask("recover")["seconds"])
        self._add(side, "memory_big", side.memory_mib())
        side.nodes.kill(*NAMES)
        side.unfinalize("big")
        began = monotonic()
        side.nodes.start(*NAMES)
        program.ask("recover")
        self._add(side, "restart", monotonic() - began)

    def _add(self, side: Side, key: str, value: float, cpu_us: float | None = None) -> None:
        self._figures[side.name].add(key, value, cpu_us)
        cpu = "" if cpu_us is None else f"   {cpu_us:8.1f} µs of the JournalNodes' CPU each"
        print(f"  {side.name:<7}{key:<18}{value:>12,.2f}{cpu}", flush=True)


def _journal(writer: str, *, slow: bool) -> str:
    return f"{writer}-slow" if slow else writer


def main() -> int:
    """0 when every row was measured; goals that are missed are named, and no failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short round, nothing written")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--output", type=Path, default=None, help=f"default: {OUTPUT.name}")
    options = parser.parse_args()
    lib = hadoop.jars()
    if lib is None:
        raise SystemExit("Hadoop's jars or java are missing: make bench-journal gets the jars")
    mode = QUICK if options.quick else FULL
    theirs, ours = Figures(), Figures()
    began = monotonic()
    directory = Path(tempfile.mkdtemp(prefix="hdfsd-bench-"))
    sides = [Side(kind, directory, lib) for kind in (HADOOP, HDFSD)]
    try:
        Run(sides, {"Hadoop": theirs, "hdfsd": ours}, mode).run(options.rounds or mode.rounds)
    finally:
        for side in sides:
            side.close()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"\n{monotonic() - began:.0f} s; a segment of {mode.segment_bytes >> 20} MB\n")
    print("\n".join(table(theirs, ours)))
    not_reached = missed(theirs, ours)
    if not_reached:
        print(f"\nNot reached: {'; '.join(not_reached)}.")
    output = options.output or (None if options.quick else OUTPUT)
    if output is not None:
        output.write_text(page(facts(), theirs, ours))
        print(f"\nWritten: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
