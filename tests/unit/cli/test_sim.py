"""`hdfsd sim`: what it prints and returns."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from hdfsd.cli import sim
from hdfsd.sim.every_call import Place, Result
from hdfsd.sim.outcome import Outcome
from hdfsd.sim.world import World


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers = handlers
    logging.disable(logging.NOTSET)


def _outcome(seed: int, failure: str) -> Outcome:
    counts = {"faults": 3, "operations": 7}
    return Outcome(seed, f"d{seed}", "faults: cut", failure, counts, 1234, ("a line",))


def run_with(patch: pytest.MonkeyPatch, failure: str, name: str = "cluster") -> None:
    def run_seed(seed: int, *, watch: Callable[[World], None] | None = None) -> Outcome:
        if watch is not None:
            watch(World("1"))
        return _outcome(seed, failure)

    patch.setitem(sim.WORLDS, name, run_seed)


def test_a_seed_that_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_with(monkeypatch, "")
    assert sim.main(["--seed", "5"]) == 0
    out = capsys.readouterr().out
    assert "seed 5 holds d5 (3 faults, 7 operations, 1234 ms)" in out
    assert "1 of 1 seeds hold" in out


def test_a_seed_that_fails_says_how_to_see_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_with(monkeypatch, "P1: lost")
    assert sim.main(["--seed", "5"]) == 1
    out = capsys.readouterr().out
    assert "seed 5 FAILED d5: P1: lost" in out
    assert "hdfsd sim --seed 5 --trace" in out


def test_the_story_of_a_seed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_with(monkeypatch, "")
    assert sim.main(["--seed", "5", "--trace"]) == 0
    assert capsys.readouterr().out == (
        "seed 5: faults: cut\na line\nseed 5 d5: all promises hold\n"
    )


def test_several_seeds_in_two_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim.main(["--seed", "3", "--seeds", "2", "--jobs", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["3", "4"]
    assert lines[2].startswith("2 of 2 seeds hold")


def test_the_journal_world_and_how_to_see_a_seed_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_with(monkeypatch, "P3: differ", "journal")
    assert sim.main(["--world", "journal", "--seed", "5"]) == 1
    assert "hdfsd sim --world journal --seed 5 --trace" in capsys.readouterr().out


def test_many_seeds_are_told_in_brief(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = [_outcome(seed, "P1: lost" if seed == 3 else "") for seed in range(6)]
    assert sim._report("cluster", range(6), iter(outcomes), every=4) == 1
    told = [line.partition(" d")[0] for line in capsys.readouterr().out.splitlines()]
    assert [line for line in told if line.startswith("seed ")] == ["seed 3 FAILED"]
    outcomes[3] = _outcome(3, "")
    assert sim._report("cluster", range(6), iter(outcomes), every=4) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.partition(" holds")[0] for line in told[:-1]] == ["seed 3"]


@pytest.mark.parametrize("failure", ["", "P1: lost"])
def test_faults_alone_and_in_pairs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: str
) -> None:
    places = [Place("jn1", "power before", 3), Place("jn2", "lose answer", 7)]
    monkeypatch.setattr(sim.every_call, "singles", lambda: places)
    monkeypatch.setattr(
        sim.every_call,
        "run",
        lambda chosen: Result(tuple(chosen), failure if len(chosen) == 2 else "", Counter()),
    )
    assert sim.main(["--pairs"]) == (1 if failure else 0)
    out = capsys.readouterr().out
    assert ("power before 3 of jn1 and lose answer 7 of jn2 FAILED: P1: lost" in out) == bool(
        failure
    )
    assert f"2 faults and 1 pairs: {len(failure) // 8} fail" in out
