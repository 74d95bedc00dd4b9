"""Seeds of the journal world that nobody has looked at before, and bugs that they must find.

Each planted bug is to be found within 1,000 seeds, and accused of what it breaks: six that somebody
could make, two that were ours until the simulator found them, and two more. As in
test_planted_bugs, a range that finds nothing any more is widened first and doubted second.
"""

from __future__ import annotations

import planted
import pytest

from hdfsd.sim.dice import SimDice
from hdfsd.sim.duel import FAULTS, Duel, draw, run_seed
from hdfsd.sim.world import World

pytestmark = pytest.mark.sim

SHARDS = 4
SEEDS_PER_SHARD = 60
OTHER_END = (
    r"P1: \w+:edits_\d+-\d+ ends at|P1 at .* presents .*, not durable"
    r"|P3: finalized copies of segment \d+ differ"
)
OTHER_CONTENT = r"P3 at .* finalized segment|P3: finalized copies|P[16]: txid|P1 at .* acknowledged"
"""A segment is decided twice, or something that was told is not so in the end."""


@pytest.mark.parametrize("shard", range(SHARDS))
def test_fresh_seeds(shard: int) -> None:
    first = 100_000 + shard * SEEDS_PER_SHARD
    failed = {}
    for seed in range(first, first + SEEDS_PER_SHARD):
        result = run_seed(seed)
        if result.failure:
            failed[seed] = result.failure
    assert not failed


def test_same_seed_same_digest() -> None:
    assert run_seed(5).digest == run_seed(5).digest
    assert run_seed(5).digest != run_seed(6).digest


def test_every_fault_has_its_act() -> None:
    assert set(Duel(World("1"), draw(SimDice("1")), SimDice("1")).acts) == set(FAULTS)


def test_seeds_write_and_recover() -> None:
    results = [run_seed(seed) for seed in range(30)]
    assert sum(result.counts["transactions"] for result in results) > 100
    assert sum(result.counts["recoveries"] for result in results) > 60


@pytest.mark.parametrize(
    ("plant", "seeds", "found"),
    [
        (planted.acknowledge_before_fsync, range(40), r"P1 at .* acknowledged .*, not durable"),
        (planted.promise_an_epoch_twice, range(50), r"P2 at .* promised epoch (\d+) after \1"),
        (planted.recovery_prefers_length, range(1000), OTHER_CONTENT),
        (planted.forget_accepted_recoveries_after_restart, range(400), r"P3 at .* forgot that it"),
        (planted.finalize_whatever_is_there, range(400), OTHER_END),
        (planted.serve_unsynced_edits, range(100), r"P6 at .* shows .*, not durable"),
        (planted.present_what_may_be_lost, range(1000), r"P1 at .* presents .*, not durable"),
        (planted.start_anew_what_was_written, range(1000), r"P1 at .* starts segment \d+ again"),
        (planted.forget_the_promise_after_restart, range(100), r"P2 at .* promised epoch"),
        (planted.refuse_no_old_epoch, range(100), r"P2 at .* accepted .* of epoch"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_bug_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: planted.Plant, seeds: range, found: str
) -> None:
    plant(monkeypatch)
    planted.must_be_found(run_seed, seeds, found)
