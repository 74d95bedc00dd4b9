"""Virtual clocks."""

from __future__ import annotations

from hdfsd.sim.clock import EPOCH_MS, SimClock


def test_clocks_follow_the_loop_and_disagree_by_a_constant() -> None:
    times_s = [0.0]
    here = SimClock(lambda: times_s[-1], uptime_ms=5_000, wall_skew_ms=-30)
    there = SimClock(lambda: times_s[-1])
    for time_s in (0.0, 0.0015, 2.5):
        times_s.append(time_s)
        assert here.now_ms() - there.now_ms() == 5_000
        assert here.wall_ms() - there.wall_ms() == -30
    assert there.now_ms() == 2_500
    assert there.wall_ms() == EPOCH_MS + 2_500
    here.wall_skew_ms = 60_000
    assert here.wall_ms() - there.wall_ms() == 60_000
    assert here.now_ms() == 7_500
