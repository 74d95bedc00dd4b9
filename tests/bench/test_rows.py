"""The table of `make bench`: ratios, goals, rows that failed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(scope="module")
def rows() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_rows", BENCH / "rows.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses look their module up.
    spec.loader.exec_module(module)
    return module


def figures(rows: ModuleType, **values: float) -> Any:
    made = rows.Figures()
    for key, value in values.items():
        made.add(key, value)
    return made


def row(rows: ModuleType, key: str) -> Any:
    return next(found for found in rows.ROWS if found.key == key)


@pytest.mark.parametrize(
    ("key", "theirs", "ours", "ratio", "reached"),
    [
        ("stat", 10_000, 30_000, 3, True),
        ("stat", 10_000, 29_999, 2.9999, False),
        ("create_one", 2.0, 1.0, 2, True),
        ("create_one", 2.0, 1.5, 4 / 3, False),
        ("kill", 4.0, 0.3, 40 / 3, True),
        ("kill", 0.2, 0.31, 0.2 / 0.31, False),
        ("memory_idle", 200, 100, 2, None),
    ],
)
def test_ratio_and_goal(
    rows: ModuleType, key: str, theirs: float, ours: float, ratio: float, reached: bool | None
) -> None:
    found = row(rows, key)
    assert found.ratio(theirs, ours) == pytest.approx(ratio)
    assert found.is_reached(theirs, ours) is reached


def test_median_and_spread_of_several_runs(rows: ModuleType) -> None:
    theirs, ours = rows.Figures(), rows.Figures()
    for value in (1.0, 9.0, 2.0):
        theirs.add("kill", value)
        ours.add("kill", value / 100)
    line = next(line for line in rows.table(theirs, ours) if "kill -9" in line)
    assert "2.00 s (1.00–9.00)" in line
    assert "100.00×" in line
    assert "yes" in line


def test_a_failed_row_is_said_and_missed(rows: ModuleType) -> None:
    theirs, ours = figures(rows, kill=4.0), figures(rows, kill=0.1)
    ours.fail("kill", "no active NameNode")
    line = next(line for line in rows.table(theirs, ours) if "kill -9" in line)
    assert "failed: no active NameNode" in line
    assert "yes" not in line
    assert row(rows, "kill").title in rows.missed(theirs, ours)


def test_a_reached_row_is_not_missed(rows: ModuleType) -> None:
    missed = rows.missed(figures(rows, kill=4.0), figures(rows, kill=0.1))
    assert row(rows, "kill").title not in missed
    assert row(rows, "stat").title in missed, "a row without figures is not reached"
