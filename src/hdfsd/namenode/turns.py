"""Driver. When long work beside the calls takes its next step.

A transition is some twenty round trips, and each would wait for a step of everything that goes on:
reports, dead DataNodes, scans. Nobody waits for those; all clients wait for a transition.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

LOOK_S = 0.01


class Changing(Protocol):
    """Whoever knows whether a transition is under way."""

    @property
    def in_transition(self) -> bool: ...


async def next_turn(state: Changing) -> None:
    """Lets everybody else have a turn, and a transition all that it needs."""
    await asyncio.sleep(0)
    while state.in_transition:  # noqa: ASYNC110 (the state is a core's: it has no event)
        await asyncio.sleep(LOOK_S)
