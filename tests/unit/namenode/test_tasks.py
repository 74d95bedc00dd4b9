"""Background tasks by name: the first failure is the process's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hdfsd.namenode.tasks import Tasks


def play(story: Callable[[Tasks], Awaitable[None]]) -> None:
    async def run() -> None:
        await story(Tasks())

    asyncio.run(run())


async def forever(ended: list[str] | None = None) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        if ended is not None:
            ended.append("ended")


async def fail(text: str = "broken") -> None:
    raise ValueError(text)


def test_a_failing_task_ends_run_with_its_error_and_the_others() -> None:
    async def story(tasks: Tasks) -> None:
        ended: list[str] = []
        tasks.start("other", forever(ended))
        await asyncio.sleep(0)
        tasks.start("bad", fail())
        with pytest.raises(ValueError, match="broken"):
            await tasks.run()
        assert ended == ["ended"]

    play(story)


def test_the_first_failure_is_the_cause() -> None:
    async def story(tasks: Tasks) -> None:
        tasks.fail(ValueError("first"))
        tasks.fail(ValueError("second"))
        with pytest.raises(ValueError, match="first"):
            await tasks.run()

    play(story)


def test_end_waits_until_the_named_ones_are_gone_and_takes_no_others() -> None:
    async def story(tasks: Tasks) -> None:
        ended: list[str] = []
        tasks.start("a", forever(ended))
        tasks.start("b", forever(ended))
        await asyncio.sleep(0)
        await tasks.end("a", "unknown")
        assert ended == ["ended"]
        tasks.start("a", forever(ended))
        await asyncio.sleep(0)
        await tasks.end_all()
        assert ended == ["ended"] * 3

    play(story)


def test_a_cancelled_or_finished_task_is_no_failure_and_frees_its_name() -> None:
    async def story(tasks: Tasks) -> None:
        async def once() -> None:
            await asyncio.sleep(0)

        tasks.start("a", once())
        for _ in range(3):
            await asyncio.sleep(0)
        tasks.start("a", forever())
        await tasks.end("a")
        running = asyncio.ensure_future(tasks.run())
        await asyncio.sleep(0)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    play(story)


def test_a_name_is_used_by_one_task_at_a_time() -> None:
    async def story(tasks: Tasks) -> None:
        tasks.start("a", forever())
        second = forever()
        with pytest.raises(AssertionError, match="task a runs already"):
            tasks.start("a", second)
        second.close()
        await tasks.end_all()

    play(story)


def test_a_task_that_fails_while_it_is_ended_is_heard() -> None:
    async def story(tasks: Tasks) -> None:
        async def stubborn() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("could not flush")

        tasks.start("a", stubborn())
        await asyncio.sleep(0)
        await tasks.end("a")
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="could not flush"):
            await tasks.run()

    play(story)
