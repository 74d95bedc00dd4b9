"""Seeds and former findings of the fuzz targets, replayed: see run.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import corpus
import edits_target
import journal_target
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterator[bytes]]]] = {
    "edits": (edits_target.run, corpus.edits),
    "journal": (journal_target.run, corpus.journal),
}


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    run, seeds = TARGETS[target]
    for data in seeds():
        run(data)


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_once_found(target: str) -> None:
    run, _ = TARGETS[target]
    for path in corpus.cases(target):
        run(path.read_bytes())


@settings(max_examples=100)
@given(st.lists(st.integers(0, 255), max_size=200).map(bytes))
def test_any_program_of_requests(data: bytes) -> None:
    journal_target.run(b"\1" + data)


def test_a_seed_writes_and_recovers() -> None:
    """The seeds reach what they are meant to reach."""
    rig_states: list[str] = []
    check = journal_target.Rig.check

    async def spying(rig: journal_target.Rig) -> None:
        await check(rig)
        rig_states.append(rig.node.journal("ns").acceptor.describe())

    journal_target.Rig.check = spying  # type: ignore[method-assign]
    try:
        journal_target.run(list(corpus.journal())[1])
    finally:
        journal_target.Rig.check = check  # type: ignore[method-assign]
    assert rig_states == [
        "promised=2 writer=2; 1..3 finalized; 4..6 in progress",
        "promised=3 writer=2; 1..3 finalized; 4..6 finalized",
    ]
