"""The simulator must find the bugs that its promises are about, one at a time, within few seeds.

Each range holds the seed that finds it, with some before it: a change of the mix moves the seeds,
so a range that finds nothing any more is widened first and doubted second.
"""

from __future__ import annotations

import planted
import pytest

from hdfsd.sim.swarm import run_seed

pytestmark = pytest.mark.sim


@pytest.mark.parametrize(
    ("plant", "seeds", "found"),
    [
        (planted.acknowledge_before_fsync, range(300), "P1 at"),
        (planted.forget_the_promise_after_restart, range(300), "P2 at"),
        (planted.promise_an_epoch_twice, range(300), "P2 at"),
        (planted.refuse_no_old_epoch, range(300), "P2 at"),
        (planted.finalize_whatever_is_there, range(300), "P1: "),
        (planted.answer_before_the_quorum, range(300), "P"),  # what a client misses, or we do
        (planted.forget_retries_of_the_former_active, range(300), "P4 at"),
        (planted.serve_before_catching_up, range(300), "P"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: planted.Plant, seeds: range, found: str
) -> None:
    plant(monkeypatch)
    planted.must_be_found(run_seed, seeds, found)
