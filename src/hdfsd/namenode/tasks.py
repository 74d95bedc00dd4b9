"""Driver. The background tasks of a NameNode, by name: started and ended with its HA state.

The first task that fails ends `run` with its error, and with it the process: nothing here is ever
caught and passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` until it ends or `end` is called; a name is used by one task at a time."""
        assert name not in self._tasks, f"task {name} runs already"
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(self._ended)

    async def end(self, *names: str) -> None:
        """Cancels those of the named tasks that run, and waits until they are gone."""
        found = [self._tasks.pop(name) for name in names if name in self._tasks]
        for task in found:
            task.cancel()
        await asyncio.gather(*found, return_exceptions=True)

    async def end_all(self) -> None:
        await self.end(*self._tasks)

    def fail(self, error: BaseException) -> None:
        """Ends `run` with this error."""
        if not self._failure.done():
            self._failure.set_exception(error)

    async def run(self) -> None:
        """Waits until something fails, and raises it."""
        try:
            await asyncio.shield(self._failure)
        finally:
            await self.end_all()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if self._tasks.get(task.get_name()) is task:
            del self._tasks[task.get_name()]
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)
