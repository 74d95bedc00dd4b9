"""Data. The table of the journals: what must be reached, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rows import Figures, Row, number

WRITERS = ("hdfsd", "hadoop")
DISTURBED = ("stopped", "slowed")
TITLES = {"hdfsd": "our writer", "hadoop": "Hadoop's writer"}
CHANGE_MAX = 0.1
"""How much worse a rate may be with one journal disturbed."""
DISTURBED_TITLES = {"stopped": "one journal stopped", "slowed": "one journal slowed by 500 ms"}


@dataclass(frozen=True, slots=True)
class JournalRow:
    """A row; `base` names the undisturbed row that it is held against, instead of Hadoop."""

    row: Row
    base: str | None = None

    def is_reached(self, theirs: Figures, ours: Figures) -> bool | None:
        """None: no goal, or not measured."""
        left, right = theirs.median(self.row.key), ours.median(self.row.key)
        if left is None or right is None:
            return None
        if self.base is None:
            return self.row.is_reached(left, right)
        change = self.change(ours)
        return None if change is None else change >= -CHANGE_MAX

    def change(self, figures: Figures) -> float | None:
        """How much better than undisturbed; negative: worse."""
        assert self.base is not None
        base, value = figures.median(self.base), figures.median(self.row.key)
        return None if base is None or value is None else self.row.ratio(base, value) - 1


def _rows_of(writer: str) -> list[JournalRow]:
    found = []
    for count, goal in ((64, 2.0), (1, 1.0)):
        waiting = f"{count} waiting" if count > 1 else "one waiting"
        key, title = f"{writer}_{count}", f"{TITLES[writer]}, {waiting}"
        found.append(JournalRow(Row(key, f"transactions, {title}", "/s", True, goal)))
        latency_goal = 1.0 if count == 1 else None
        found.append(
            JournalRow(Row(f"{key}_p99", f"p99 of a write, {title}", "ms", ratio_min=latency_goal))
        )
        for word in DISTURBED:
            also = f"{title}, {DISTURBED_TITLES[word]}"
            found.append(
                JournalRow(Row(f"{key}_{word}", f"transactions, {also}", "/s", True), base=key)
            )
            found.append(
                JournalRow(
                    Row(f"{key}_{word}_p99", f"p99 of a write, {also}", "ms"), base=f"{key}_p99"
                )
            )
    return found


ROWS: Sequence[JournalRow] = (
    *(row for writer in WRITERS for row in _rows_of(writer)),
    JournalRow(
        Row("recovery", "recovery of a 512 MB segment, its writer gone", "s", ratio_min=1.0)
    ),
    JournalRow(
        Row("restart", "the same, the journals killed too: start and recovery", "s", ratio_min=1.0)
    ),
    JournalRow(Row("memory", "memory of a JournalNode with one journal, PSS", "MiB", most=60)),
    JournalRow(Row("memory_many", "the same with four, after all the rates above", "MiB", most=60)),
    JournalRow(Row("memory_big", "the same with five, after the recovery", "MiB", most=60)),
)


def table(theirs: Figures, ours: Figures) -> list[str]:
    """The rows in Markdown."""
    lines = [
        "| work | Hadoop | hdfsd | better by | goal | reached |"
        " CPU of 3 JournalNodes per transaction, Hadoop / hdfsd |",
        "|---|---|---|---|---|---|---|",
    ]
    return lines + [f"| {' | '.join(_cells(row, theirs, ours))} |" for row in ROWS]


def _cells(row: JournalRow, theirs: Figures, ours: Figures) -> list[str]:
    key, unit = row.row.key, row.row.unit
    left, right = theirs.median(key), ours.median(key)
    if left is None or right is None:
        return [row.row.title, "", "", "", row.row.goal, "not measured", ""]
    reached = {True: "yes", False: "no", None: ""}[row.is_reached(theirs, ours)]
    ratio = f"{row.row.ratio(left, right):.2f}×"
    goal, shown = row.row.goal, [_shown(theirs, key, unit), _shown(ours, key, unit)]
    if row.base is not None:
        goal = "at most a tenth worse than undisturbed"
        shown = [
            f"{text}, {_percent(row.change(figures))}"
            for text, figures in zip(shown, (theirs, ours), strict=True)
        ]
    return [row.row.title, *shown, ratio, goal, reached, _cpu(key, theirs, ours)]


def _shown(figures: Figures, key: str, unit: str) -> str:
    value, runs = figures.median(key), figures.values[key]
    assert value is not None
    spread = f" ({number(min(runs))}–{number(max(runs))})" if len(runs) > 1 else ""
    return f"{number(value)} {unit}{spread}"


def _percent(change: float | None) -> str:
    return "" if change is None else f"{change:+.0%}"


def _cpu(key: str, theirs: Figures, ours: Figures) -> str:
    spent = [sorted(f.cpu_us.get(key, ())) for f in (theirs, ours)]
    return " / ".join(f"{runs[len(runs) // 2]:.1f} µs" for runs in spent if runs)


def missed(theirs: Figures, ours: Figures) -> list[str]:
    """Titles of the rows whose goal is not reached."""
    return [row.row.title for row in ROWS if row.is_reached(theirs, ours) is False]


def page(facts: Mapping[str, str], theirs: Figures, ours: Figures) -> str:
    """docs/BENCHMARKS-journal.md."""
    lines = [
        "# JournalNodes: hdfsd's and Apache Hadoop's under the same writers",
        "",
        "Written by `make bench-journal`: three JournalNodes of each kind are up on one machine",
        "and one disk; each figure is taken of one kind and at once of the other, by the same",
        "writer. Medians; the smallest and the largest run in brackets. `better by` says how many",
        "times better hdfsd's are, in rates, times and memory alike; a change in per cent is",
        "against the same JournalNodes undisturbed, and + is better.",
        "",
        "Our writer is `quorum.manager`, Hadoop's is QuorumJournalManager in a JVM. Both flush one",
        "batch at a time, as NameNodes do: the next is not sent before a majority has the last. So",
        "what our JournalNodes allow beyond Hadoop's, to send a batch before the last is answered,",
        "plays a part only for a journal that is behind. Whoever waits has one transaction of 87",
        "bytes under way; 64 are released together and come back together.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        *table(theirs, ours),
    ]
    return "\n".join(lines) + "\n"
