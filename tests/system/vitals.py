"""Adapter. What a process holds, as the kernel counts it; a table of it; what has grown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from witnesses import record_of


@dataclass(frozen=True, slots=True)
class Vitals:
    """One process at one moment."""

    pid: int
    memory_kib: int
    """Its own, that no file is behind: RssAnon."""
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Vitals:
        """Raises OSError when it has ended."""
        process = Path(f"/proc/{pid}")
        fields = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        return cls(
            pid,
            int(fields["RssAnon"].split()[0]),
            sum(1 for _ in (process / "fd").iterdir()),
            int(fields["Threads"]),
        )


Reading = Mapping[str, Vitals]
"""All daemons of a cluster by their ids."""


def reading(cluster: object) -> Reading:
    """Of every daemon that runs."""
    running = record_of(cluster).running
    return {name: Vitals.of(entry.process.pid) for name, entry in sorted(running.items())}


def table(readings: Mapping[int, Reading]) -> Iterator[str]:
    """Lines: memory (MiB), descriptors and threads of each daemon after so many failovers."""
    first, *_ = readings.values()
    yield f"{'failovers':>9} " + " ".join(f"{name:>15}" for name in first)
    for count, found in readings.items():
        cells = (f"{v.memory_kib / 1024:.1f}/{v.descriptors}/{v.threads}" for v in found.values())
        yield f"{count:>9} " + " ".join(f"{cell:>15}" for cell in cells)


def growth_kib(readings: Sequence[Reading], name: str) -> int:
    """How much more memory a daemon has at the end than it had at the beginning."""
    return readings[-1][name].memory_kib - readings[0][name].memory_kib
