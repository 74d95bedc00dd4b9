"""What is a freeze and what is only a pause: one story per row of the module's table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.failover.heartbeat import LATE_MS, TICK_MS, Pulse
from hdfsd.ports.heartbeat import Beat, Evidence

LIMIT_MS = 3000
CALM = Beat(0, 100, "S")


class Story:
    """Ticks in time, and when the NameNode was first said to be frozen."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.pulse = Pulse(LIMIT_MS, self.now_ms)

    def tick(self, evidence: Evidence | None = None, *, late_ms: int = 0) -> str | None:
        self.now_ms += TICK_MS + late_ms
        return self.pulse.tick(self.now_ms, evidence)

    def silence(self, evidence: Iterator[Evidence | None], ms: int) -> tuple[int, str] | None:
        began_ms = self.now_ms
        while self.now_ms < began_ms + ms:
            frozen = self.tick(next(evidence))
            if frozen is not None:
                return self.now_ms - began_ms, frozen
        return None


def always(states: str, cpu_ms: int = 500, step_ms: int = 0) -> Iterator[Evidence]:
    while True:
        yield Evidence(states, cpu_ms)
        cpu_ms += step_ms


def beating() -> Story:
    story = Story()
    for _ in range(20):
        story.pulse.beat(CALM)
        assert story.tick() is None
    return story


def test_a_stopped_process_is_frozen_at_the_limit() -> None:
    found = beating().silence(always("TTT"), 60_000)
    assert found is not None
    assert LIMIT_MS <= found[0] <= LIMIT_MS + 2 * TICK_MS
    assert "its process is stopped" in found[1]


def test_one_that_was_stopped_before_anybody_listened_is_frozen_too() -> None:
    assert Story().silence(always("TT"), LIMIT_MS + 2 * TICK_MS) is not None


def test_one_whose_threads_all_sleep_is_frozen() -> None:
    found = beating().silence(always("SSS"), 60_000)
    assert found is not None
    assert "uses no processor time (threads: SSS)" in found[1]


@pytest.mark.parametrize(
    "evidence",
    [
        always("SSS", step_ms=10),  # It works, though its threads sleep whenever we look.
        always("SRS"),  # It waits for its turn: the machine is busy.
        always("SDS"),  # It waits for a disk.
        always("TTR"),
        iter(lambda: None, 0),  # Nothing is known of it.
    ],
    ids=["works", "would like to run", "disk", "half stopped", "unknown"],
)
def test_a_pause_is_no_freeze(evidence: Iterator[Evidence | None]) -> None:
    assert beating().silence(evidence, 600_000) is None


def test_one_that_worked_and_then_stops_is_found_then() -> None:
    story = beating()
    assert story.silence(always("SRS", step_ms=100), 30_000) is None
    found = story.silence(always("SSS", 99_999), 30_000)
    assert found is not None
    assert found[0] <= 3 * TICK_MS


def test_a_beat_ends_a_silence() -> None:
    story = beating()
    stopped = always("T")
    for _ in range(10):
        assert story.silence(stopped, LIMIT_MS - TICK_MS) is None
        story.pulse.beat(CALM)
        assert story.tick() is None


def test_time_in_which_we_stood_still_does_not_count() -> None:
    story = beating()
    asleep = always("S")
    for _ in range(LIMIT_MS // TICK_MS // 2 - 1):
        assert story.tick(next(asleep), late_ms=3_600_000) is None
    story.pulse.beat(CALM)
    assert story.tick() is None


def stuck(story: Story, ms: int, *, state: str = "S", cpu_step_ms: int = 0) -> str | None:
    late_ms, cpu_ms = 0, 100
    for _ in range(ms // TICK_MS):
        late_ms, cpu_ms = late_ms + TICK_MS, cpu_ms + cpu_step_ms
        story.pulse.beat(Beat(late_ms, cpu_ms, state))
        frozen = story.tick()
        if frozen is not None:
            return frozen
    return None


def test_a_loop_whose_thread_sleeps_is_wedged() -> None:
    assert stuck(beating(), LIMIT_MS) is None
    frozen = stuck(beating(), LIMIT_MS + LATE_MS)
    assert frozen is not None
    assert "event loop has not come round" in frozen


@pytest.mark.parametrize(("state", "cpu_step_ms"), [("R", 0), ("D", 0), ("S", 200)])
def test_a_loop_that_works_or_waits_for_a_disk_is_not(state: str, cpu_step_ms: int) -> None:
    assert stuck(beating(), 600_000, state=state, cpu_step_ms=cpu_step_ms) is None


@given(st.lists(st.sampled_from(["beat", "silent", "pause"]), max_size=200))
def test_beats_more_often_than_the_limit_are_never_a_freeze(events: list[str]) -> None:
    """Whatever the order of beats, short silences and stops of ours, as the dumb count says."""
    story, silent = beating(), 0
    for event in events:
        if event == "beat":
            story.pulse.beat(CALM)
            silent = 0
            assert story.tick() is None
            continue
        late_ms = 10_000 if event == "pause" else 0
        silent += 2 * TICK_MS if late_ms else TICK_MS
        frozen = story.tick(Evidence("TT", 500), late_ms=late_ms)
        assert (frozen is not None) == (silent >= LIMIT_MS)
