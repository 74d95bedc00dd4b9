"""A loop that is held up is seen by the thread beside it, with the name of what held it up."""

from __future__ import annotations

import asyncio
import select
import threading
import time
from typing import Any

from hdfsd.base.stalls import Stall
from hdfsd.io.loop_watch import LoopWatch
from hdfsd.ports.heartbeat import Beat

PATIENCE_S = 60.0
LONG_S = 0.4


class Told:
    def __init__(self) -> None:
        self.stalls: list[Stall] = []
        self.beats: list[Beat] = []
        self.ended = 0

    def end(self) -> None:
        self.ended += 1

    def watch(self) -> LoopWatch:
        return LoopWatch(self.stalls.append, self.beats.append, self.end)

    async def until_told_of(self, word: str) -> Stall:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for stall in self.stalls:
                    if word in stall.name:
                        return stall
                await asyncio.sleep(0.05)


def run(story: Any) -> Told:
    told = Told()

    async def play() -> None:
        watch = told.watch()
        try:
            await story(told)
        finally:
            watch.stop()

    asyncio.run(play())
    return told


def hold_up_by_work() -> None:
    end = time.thread_time() + LONG_S
    while time.thread_time() < end:
        pass


def hold_up_by_wait() -> None:
    select.select([], [], [], LONG_S)


def test_a_stall_is_told_with_its_name_and_how_much_of_it_was_work() -> None:
    async def story(told: Told) -> None:
        await asyncio.sleep(0.2)
        asyncio.get_running_loop().call_soon(hold_up_by_wait)
        waited = await told.until_told_of("hold_up_by_wait")
        asyncio.create_task(work(), name="leases")
        worked = await told.until_told_of("hold_up_by_work")
        assert worked.name.startswith("task leases: ")
        for stall in (waited, worked):
            assert stall.millis >= LONG_S * 1000 - 50
        assert waited.cpu_ms < LONG_S * 1000 / 2
        assert worked.cpu_ms >= LONG_S * 1000 - 50

    async def work() -> None:
        hold_up_by_work()

    run(story)


def test_beats_come_while_the_loop_is_held_up_and_say_so() -> None:
    async def story(told: Told) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not told.beats:  # noqa: ASYNC110 (they come from a thread)
                await asyncio.sleep(0.05)
        count = len(told.beats)
        select.select([], [], [], 2.5)
        late = [beat for beat in told.beats[count:] if beat.loop_late_ms > 1000]
        assert late
        assert {beat.loop_state for beat in late} <= set("SRD")

    run(story)


def test_its_thread_ends_with_it_and_says_so() -> None:
    async def story(told: Told) -> None:
        await asyncio.sleep(0.1)

    before = threading.active_count()
    told = run(story)
    assert told.ended == 1
    assert threading.active_count() == before
