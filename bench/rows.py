"""Data. The table of speed and memory that must be reached, and what came out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Row:
    """One line. The ratio says how many times better hdfsd is, whatever better means there."""

    key: str
    title: str
    unit: str
    more_is_better: bool = False
    ratio_min: float | None = None
    """The goal: hdfsd that many times better; or …"""
    most: float | None = None
    """… hdfsd at no more than that."""

    def ratio(self, theirs: float, ours: float) -> float:
        """Above 1: hdfsd is better."""
        good, bad = (ours, theirs) if self.more_is_better else (theirs, ours)
        return good / bad if bad else float("inf")

    def is_reached(self, theirs: float, ours: float) -> bool | None:
        """None: the row has no goal."""
        if self.most is not None:
            return ours <= self.most
        if self.ratio_min is not None:
            return self.ratio(theirs, ours) >= self.ratio_min
        return None

    @property
    def goal(self) -> str:
        if self.most is not None:
            return f"≤ {self.most:g} {self.unit}"
        return "" if self.ratio_min is None else f"{self.ratio_min:g}×"


def _rate(key: str, what: str, ratio: float) -> Row:
    return Row(key, f"{what}, 64 in flight on 2 connections", "/s", True, ratio)


ROWS: Sequence[Row] = (
    _rate("stat", "getFileInfo", 3),
    _rate("locations", "getBlockLocations", 3),
    _rate("mkdirs", "mkdirs", 2),
    _rate("create", "create", 2),
    _rate("delete", "delete", 2),
    Row("stat_one", "getFileInfo, one in flight (p50)", "ms", ratio_min=1),
    Row("create_one", "create, one in flight (p50)", "ms", ratio_min=2),
    Row("kill", "write outage: kill -9 of the active", "s", most=0.3),
    Row("failover", "write outage: haadmin -failover", "s", most=0.1),
    Row("start", "nothing running → first acknowledged write and file", "s", most=2),
    Row("memory", "memory of the whole cluster after the calls above, PSS", "MiB", most=250),
    Row("memory_idle", "the same, just started", "MiB"),
    Row("write", "512 MB file written by hdfs-native, 3 replicas", "MB/s", True, 1.5),
    Row("read", "the same file read", "MB/s", True, 2),
    Row("small", "4 KiB files written one after another, 3 replicas", "/s", True, 10),
)
MILLION_ROWS: Sequence[Row] = (
    Row("million_memory", "NameNode RSS per million files of one block", "MiB", most=400),
    Row("load", "image load, 1 M files and 1 M blocks", "s", most=3),
    Row("save", "image save, the same", "s", most=4),
    Row("stall", "longest wait of another call during the save", "ms", most=50),
    Row("replay", "replay of 2 M edits (1 M files with a block)", "s", ratio_min=1),
)
"""Of one NameNode with a million files (bench/million.py); a quick run leaves them out."""
ALL_ROWS = (*ROWS, *MILLION_ROWS)


@dataclass(slots=True)
class Figures:
    """What one cluster gave, run after run."""

    values: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    """CPU of the NameNode's process per call."""
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, value: float, cpu_us: float | None = None) -> None:
        """One measurement."""
        self.values.setdefault(key, []).append(value)
        if cpu_us is not None:
            self.cpu_us.setdefault(key, []).append(cpu_us)

    def fail(self, key: str, reason: str) -> None:
        """A row that could not be measured."""
        self.failures[key] = reason

    def median(self, key: str) -> float | None:
        """None when there is no measurement, or one of them failed."""
        if key in self.failures or key not in self.values:
            return None
        return median(self.values[key])


def number(value: float) -> str:
    """About three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    digits = 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:.{digits}f}"


def table(theirs: Figures, ours: Figures, keys: Collection[str] = ()) -> list[str]:
    """The rows in Markdown; with `keys` these alone."""
    lines = [
        "| work | Hadoop | hdfsd | better by | goal | reached |"
        " NameNode CPU per call, Hadoop / hdfsd |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in _measured(theirs, ours):
        if keys and row.key not in keys:
            continue
        lines.append(f"| {' | '.join(_cells(row, theirs, ours))} |")
    return lines


def _measured(theirs: Figures, ours: Figures) -> list[Row]:
    """The rows of the run; those of a million files only when somebody asked for them."""
    known = {*theirs.values, *theirs.failures, *ours.values, *ours.failures}
    return [row for row in ALL_ROWS if row in ROWS or row.key in known]


def _cells(row: Row, theirs: Figures, ours: Figures) -> list[str]:
    left, right = theirs.median(row.key), ours.median(row.key)
    shown = [_shown(row, theirs), _shown(row, ours)]
    if left is None or right is None:
        return [row.title, *shown, "", row.goal, "", ""]
    reached = {True: "yes", False: "no", None: ""}[row.is_reached(left, right)]
    ratio = f"{row.ratio(left, right):.2f}×"
    return [row.title, *shown, ratio, row.goal, reached, _cpu(row.key, theirs, ours)]


def _shown(row: Row, figures: Figures) -> str:
    value = figures.median(row.key)
    if value is None:
        return f"failed: {figures.failures.get(row.key, 'not measured')}"
    runs = figures.values[row.key]
    spread = f" ({number(min(runs))}–{number(max(runs))})" if len(runs) > 1 else ""
    return f"{number(value)} {row.unit}{spread}"


def _cpu(key: str, theirs: Figures, ours: Figures) -> str:
    if key not in theirs.cpu_us or key not in ours.cpu_us:
        return ""
    return f"{median(theirs.cpu_us[key]):.0f} µs / {median(ours.cpu_us[key]):.0f} µs"


def missed(theirs: Figures, ours: Figures) -> list[str]:
    """Titles of the rows whose goal is not reached."""
    found = []
    for row in _measured(theirs, ours):
        left, right = theirs.median(row.key), ours.median(row.key)
        if left is None or right is None or row.is_reached(left, right) is False:
            found.append(row.title)
    return found


def page(facts: Mapping[str, str], theirs: Figures, ours: Figures) -> str:
    """docs/BENCHMARKS.md."""
    lines = [
        "# hdfsd and Apache Hadoop on the same machine",
        "",
        "Written by `make bench`: the clusters run one after the other, in turns, with the same",
        "client programs (`bench/`). Medians; the smallest and the largest run in brackets.",
        "`better by` says how many times better hdfsd is, in rates, times and memory alike.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        *table(theirs, ours),
    ]
    return "\n".join(lines) + "\n"
