"""Bugs of failovers that the simulator must find: each within 1,000 seeds, here near the find.

As in test_planted_bugs, a range that finds nothing any more is widened first and doubted second.
"""

from __future__ import annotations

import planted
import pytest

from hdfsd.sim.swarm import run_seed

pytestmark = pytest.mark.sim

LIVENESS = r"liveness: "


@pytest.mark.parametrize(
    ("plant", "seeds", "found"),
    [
        (planted.take_over_without_fencing, range(120), r"F2 at .* while nn\d is active"),
        (planted.leave_no_breadcrumb, range(20), r"F3 at .* the breadcrumb names nobody"),
        (planted.take_the_lock_of_a_former_life_for_ones_own, range(60), r"F1 at"),
        (planted.look_away_from_the_lock, range(10, 80), LIVENESS),
        (
            planted.close_the_gate_after_draining,
            range(40, 250),
            r"P[14] at|P4: OP_\w+ does not fit",
        ),
        (planted.leave_the_election_with_the_lock, range(60), LIVENESS),
        (planted.trust_what_the_election_decided, range(120, 300), LIVENESS),
        (planted.follow_only_before_the_first_lead, range(40), LIVENESS),
        (planted.checkpoint_again_and_again, range(10, 130), r"F4 at .* wrote \d+ images"),
        (planted.observe_from_the_past, range(60), r"F5 at .* is not on nn3"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: planted.Plant, seeds: range, found: str
) -> None:
    plant(monkeypatch)
    planted.must_be_found(run_seed, seeds, found)
