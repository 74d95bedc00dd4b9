"""A thread for blocking work: order, errors, cancelled callers, and its end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading

import pytest

from hdfsd.io.worker import Worker


def test_work_is_done_in_order_and_told_to_who_asked() -> None:
    async def story() -> None:
        worker, done = Worker("w"), []
        numbers = [worker.run(lambda n=n: done.append(n) or n) for n in range(100)]  # type: ignore[misc]
        assert await asyncio.gather(*numbers) == done == list(range(100))

    asyncio.run(story())


def test_what_the_work_raises_is_raised_and_the_next_is_done() -> None:
    def fail() -> None:
        raise OSError(5, "I/O error")

    async def story() -> None:
        worker = Worker("w")
        failing, next_one = worker.run(fail), worker.run(lambda: 7)
        with pytest.raises(OSError, match="I/O error"):
            await failing
        assert await next_one == 7

    asyncio.run(story())


def test_a_cancelled_caller_stops_neither_the_work_nor_what_comes_after_it() -> None:
    async def story() -> None:
        worker, go, told = Worker("w"), threading.Event(), []
        asked = worker.run(lambda: go.wait(30), lambda: told.append("after"))
        asked.cancel()
        go.set()
        assert await worker.run(lambda: "next") == "next"
        assert told == ["after"]
        assert asked.cancelled()

    asyncio.run(story())


def test_several_loops_may_ask_one_after_the_other() -> None:
    worker = Worker("w")

    async def ask() -> int:
        return await worker.run(lambda: 3)

    assert [asyncio.run(ask()), asyncio.run(ask())] == [3, 3]


def test_work_for_a_loop_that_is_closed_is_done_and_forgotten() -> None:
    worker, go, done = Worker("w"), threading.Event(), threading.Event()

    async def leave() -> None:
        worker.run(lambda: (go.wait(30), done.set()))

    async def ask() -> int:
        return await worker.run(lambda: 3)

    asyncio.run(leave())
    go.set()
    assert asyncio.run(ask()) == 3
    assert done.is_set()


def test_the_thread_ends_with_its_worker() -> None:
    async def story() -> threading.Thread:
        worker = Worker("w")
        return await worker.run(threading.current_thread)

    thread = asyncio.run(story())
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_the_end_of_the_process_waits_for_what_was_asked_for() -> None:
    program = """
import asyncio, time
from hdfsd.io.worker import Worker
worker = Worker("w")
async def ask():
    worker.run(lambda: (time.sleep(0.5), print("done", flush=True)))
asyncio.run(ask())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
