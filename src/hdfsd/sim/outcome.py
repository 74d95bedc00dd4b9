"""Driver. How one seed is run to its verdict, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from hdfsd.sim.checkers import Judge
from hdfsd.sim.world import World

Watch = Callable[[World], None]
"""Shown the world before anything happens in it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one seed."""

    seed: int
    digest: str
    mix: str
    failure: str
    """Empty when all promises held."""
    counts: Mapping[str, int]
    """How much happened, by what it is called."""
    virtual_ms: int
    trace: tuple[str, ...]
    """The last lines of what happened; all of it when it was asked for."""

    def told(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in self.counts.items())


@dataclass(frozen=True, slots=True)
class Play:
    """A story that is ready to be played, and who judges it."""

    mix: str
    story: Callable[[], Coroutine[Any, Any, None]]
    judge: Judge
    counts: Callable[[], Mapping[str, int]]


def run_to_verdict(seed: int, world: World, play: Play) -> Outcome:
    """What the judge has heard outweighs what the story ended with."""
    failure = ""
    try:
        world.run(play.story())
    except Exception as error:  # noqa: BLE001 - outermost: whatever it is, the seed has failed
        failure = f"{type(error).__name__}: {error}"
    return Outcome(
        seed=seed,
        digest=world.digest(),
        mix=play.mix,
        failure="; ".join(play.judge.violations) or failure,
        counts=play.counts(),
        virtual_ms=int(world.loop.time() * 1000),
        trace=tuple(world.loop.trace.lines),
    )
