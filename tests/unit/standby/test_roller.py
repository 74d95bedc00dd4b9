"""The standby has whoever is active roll its log, if there is anything to roll."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from small_namenode import settings

from hdfsd.base.errors import ConnectFailed, DeadlineExceeded, StandbyError
from hdfsd.base.ids import TxId
from hdfsd.sim.world import World
from hdfsd.standby.roller import Roller

SETTINGS = replace(settings(ha=True).tail, log_roll_period_ms=120_000, roll_timeout_ms=60_000)


class Peer:
    """Answers, or raises what it was given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[str, int]] = []

    async def call(self, name: str, request: Any, *, deadline_ms: int) -> None:
        self.calls.append((name, deadline_ms))
        if self.error is not None:
            raise self.error


class Story:
    def __init__(self, *peers: Peer, **changes: Any) -> None:
        self.peers = peers
        self.applied = 1
        self.roller = Roller(
            peers=peers,  # type: ignore[arg-type]
            applied_txid=lambda: TxId(self.applied),
            settings=replace(SETTINGS, **changes),
        )

    def rolls(self) -> list[int]:
        return [len(peer.calls) for peer in self.peers]


def play(story: Story, tell: Callable[[Story], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        running = asyncio.ensure_future(story.roller.run())
        await tell(story)
        running.cancel()

    World("roller").run(run())


def test_a_roll_every_period_if_anything_was_written() -> None:
    async def tell(story: Story) -> None:
        await asyncio.sleep(119)
        assert story.rolls() == [0]
        await asyncio.sleep(2)
        assert story.peers[0].calls == [("rollEditLog", 60_000)]
        await asyncio.sleep(240)
        assert story.rolls() == [1], "nothing was written since"
        story.applied += 1
        await asyncio.sleep(120)
        assert story.rolls() == [2]

    play(Story(Peer()), tell)


@pytest.mark.parametrize(
    "error", [StandbyError("not me"), ConnectFailed("refused"), DeadlineExceeded("slow")]
)
def test_who_is_not_active_is_passed_over(error: Exception) -> None:
    async def tell(story: Story) -> None:
        await asyncio.sleep(121)
        assert story.rolls() == [1, 1, 0]

    play(Story(Peer(error), Peer(), Peer()), tell)


def test_when_nobody_rolls_it_is_tried_again_though_nothing_is_new() -> None:
    async def tell(story: Story) -> None:
        await asyncio.sleep(121)
        assert story.rolls() == [1, 1]
        story.peers[1].error = None
        await asyncio.sleep(120)
        assert story.rolls() == [2, 2]
        await asyncio.sleep(120)
        assert story.rolls() == [2, 2]

    play(Story(Peer(StandbyError("no")), Peer(StandbyError("no"))), tell)


def test_a_negative_period_means_never() -> None:
    async def tell(story: Story) -> None:
        await asyncio.sleep(1_000_000)
        assert story.rolls() == [0]

    play(Story(Peer(), log_roll_period_ms=-1_000), tell)
