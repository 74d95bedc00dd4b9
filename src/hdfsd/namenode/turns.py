"""Driver. How long work goes on beside the calls: step by step, and never in their way (P7).

A write is a dozen turns of the loop, a transition twenty round trips; each turn would wait for a
step of every report and scan that goes on. Nobody waits for those: while there are calls to answer
they all together take half of the time, and they wait for the end of a transition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Protocol, TypeVar

LOOK_S = 0.01
T = TypeVar("T")


class Busy(Protocol):
    """What else the NameNode does."""

    long_works: int
    """How many are under way."""

    @property
    def in_transition(self) -> bool: ...

    @property
    def is_serving(self) -> bool:
        """Whether clients may be waiting for answers."""
        ...


async def at_leisure(work: Generator[None, None, T], state: Busy) -> T:
    """Runs work to its end; its value."""
    loop = asyncio.get_running_loop()
    state.long_works += 1
    try:
        while True:
            began_s = loop.time()
            next(work)
            await _rest(loop.time() - began_s, state)
    except StopIteration as done:
        value: T = done.value
        return value
    finally:
        state.long_works -= 1


async def _rest(worked_s: float, state: Busy) -> None:
    """Others need as much rest for this one as it does, and all as much again for the calls."""
    await asyncio.sleep(worked_s * (2 * state.long_works - 1) if state.is_serving else 0)
    while state.in_transition:  # noqa: ASYNC110 (the state is a core's: it has no event)
        await asyncio.sleep(LOOK_S)
