"""Reads of an observer that wait for the transactions which their callers have seen."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from hdfsd.base.errors import RetriableError, StandbyError
from hdfsd.base.ids import TxId
from hdfsd.namenode.observer_reads import (
    BEHIND_TXNS_MAX,
    PATIENCE_MS,
    ObserverReads,
    txns_to_wait_for,
)
from hdfsd.sim.world import World


def play(story: Coroutine[Any, Any, None]) -> World:
    world = World("1")
    world.run(story)
    return world


@pytest.mark.parametrize(
    ("state_id", "applied", "expected"), [(0, 0, 0), (7, 7, 0), (5, 7, 0), (9, 7, 2)]
)
def test_how_far_a_caller_is_ahead(state_id: int, applied: int, expected: int) -> None:
    assert txns_to_wait_for(state_id, applied) == expected


def test_whom_an_observer_refuses() -> None:
    with pytest.raises(StandbyError, match="without stateId"):
        txns_to_wait_for(None, 7)
    assert txns_to_wait_for(7 + BEHIND_TXNS_MAX, 7) == BEHIND_TXNS_MAX == 160_000
    with pytest.raises(RetriableError, match="serverStateId = 7 clientStateId = 160008"):
        txns_to_wait_for(8 + BEHIND_TXNS_MAX, 7)


def test_reads_are_let_go_in_the_order_of_their_state_ids() -> None:
    async def story() -> None:
        reads = ObserverReads()
        assert reads.admit(3, TxId(3)) is None
        waiting = [(n, reads.admit(n, TxId(3))) for n in (6, 4, 5, 6, 5)]
        assert len(reads) == 5
        for applied, left in ((4, [6, 5, 6, 5]), (5, [6, 6]), (9, [])):
            reads.reached(TxId(applied))
            assert [n for n, future in waiting if future and not future.done()] == left
            assert len(reads) == len(left)

    play(story())


def test_patience_ends() -> None:
    async def story() -> None:
        reads = ObserverReads()
        waiting = reads.admit(9, TxId(3))
        assert waiting is not None
        reads.reached(TxId(8))
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        with pytest.raises(RetriableError, match="serverStateId = 8 clientStateId = 9"):
            await waiting
        assert loop.time() - began_s == pytest.approx(PATIENCE_MS / 1000)
        assert len(reads) == 0, "who has left is not kept until its transaction comes"
        reads.reached(TxId(9))

    play(story())


def test_who_waits_is_dismissed() -> None:
    async def story() -> None:
        reads = ObserverReads()
        waiting = reads.admit(9, TxId(3))
        assert waiting is not None
        reads.dismiss(StandbyError("no observer any more"))
        with pytest.raises(StandbyError, match="no observer any more"):
            await waiting
        assert len(reads) == 0

    play(story())
