"""The machine's clocks."""

from __future__ import annotations

import time

from hdfsd.io.clock import RealClock


def test_monotonic_time_never_goes_back_and_counts_milliseconds() -> None:
    clock = RealClock()
    before = time.monotonic()
    reads = [clock.now_ms() for _ in range(1000)]
    after = time.monotonic()
    assert reads == sorted(reads)
    assert int(before * 1000) <= reads[0] <= reads[-1] <= int(after * 1000) + 1


def test_wall_time_counts_milliseconds_since_1970() -> None:
    before = time.time()
    wall_ms = RealClock().wall_ms()
    assert int(before * 1000) - 1 <= wall_ms <= int(time.time() * 1000) + 1
