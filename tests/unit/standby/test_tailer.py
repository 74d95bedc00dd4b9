"""Following the journal: everything durable, nothing twice, patient with a journal that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from memory_journal import JournalContent, MemoryJournal
from small_namenode import Ports, settings

from hdfsd.base.errors import ConnectFailed, CorruptData, IOFault, QuorumLost
from hdfsd.base.ids import TxId
from hdfsd.editlog import codec
from hdfsd.editlog.ops import DeleteOp, EditOp
from hdfsd.ports.journal import EditsChunk
from hdfsd.sim.world import World
from hdfsd.standby.tailer import Tailer

SETTINGS = replace(settings(ha=True).tail, period_ms=250, backoff_max_ms=0, txns_per_call_max=3)


def op(number: int) -> DeleteOp:
    return DeleteOp(f"/{number}", number, b"", -2)


class Failing(MemoryJournal):
    """Raises these in turn before it answers; remembers when it was asked."""

    def __init__(self, content: JournalContent, errors: list[Exception]) -> None:
        super().__init__(content)
        self.errors = errors
        self.asked: list[tuple[int, int]] = []
        self.now_ms: Callable[[], int] = lambda: 0

    async def edits(self, since_txid: TxId, max_txns: int = 5000) -> EditsChunk:
        self.asked.append((self.now_ms(), since_txid))
        if self.errors:
            raise self.errors.pop(0)
        return await super().edits(since_txid, max_txns)


class Standby:
    def __init__(self, ports: Ports, errors: list[Exception], **changes: Any) -> None:
        self.content = JournalContent()
        self.reader = Failing(self.content, errors)
        self.reader.now_ms = ports.clock.now_ms
        self.clock = ports.clock
        self.applied: list[int] = []
        self.caught_up = 0
        self.tailer = Tailer(
            reader=self.reader,
            apply=self.apply,
            applied_txid=lambda: TxId(len(self.applied)),
            clock=ports.clock,
            settings=replace(SETTINGS, **changes),
            on_caught_up=self.count,
        )

    def apply(self, found: EditOp, txid: TxId) -> None:
        assert found == op(txid)
        self.applied.append(txid)

    def count(self) -> None:
        self.caught_up += 1

    def write(self, count: int) -> None:
        first = self.content.newest + 1
        self.content.add(*[op(number) for number in range(first, first + count)])


def play(
    story: Callable[[Standby], Coroutine[Any, Any, None]],
    *errors: Exception,
    **changes: Any,
) -> None:
    world = World("tailer")

    async def run() -> None:
        await story(Standby(Ports(world), list(errors), **changes))

    world.run(run())


def test_catching_up_takes_as_many_calls_as_it_needs() -> None:
    async def story(standby: Standby) -> None:
        standby.write(8)
        assert await standby.tailer.catch_up() == 8
        assert standby.applied == list(range(1, 9))
        assert [since for _, since in standby.reader.asked] == [1, 4, 7, 9]
        assert standby.caught_up == 1
        assert await standby.tailer.catch_up() == 0

    play(story)


def test_a_steady_stream_is_read_once_a_period() -> None:
    async def story(standby: Standby) -> None:
        standby.write(8)
        assert await standby.tailer.catch_up(to_the_last=False) == 8
        # The third answer was not full: that was all there was.
        assert [since for _, since in standby.reader.asked] == [1, 4, 7]
        assert standby.caught_up == 1
        assert await standby.tailer.catch_up(to_the_last=False) == 0
        assert standby.caught_up == 2

    play(story)


def test_only_what_is_durable_is_applied() -> None:
    async def story(standby: Standby) -> None:
        standby.write(2)
        writer = standby.content.open()
        await writer.recover()
        standby.content.held = []
        writer.write(TxId(3), 1, codec.encode(op(3), 3))
        await standby.tailer.catch_up()
        assert standby.applied == [1, 2]
        standby.content.release()
        await standby.tailer.catch_up()
        assert standby.applied == [1, 2, 3]

    play(story)


@pytest.mark.parametrize(
    "error",
    [
        QuorumLost("getJournaledEdits", {"jn1": "gone"}),
        ConnectFailed("refused"),
        IOFault("not formatted"),
    ],
)
def test_a_journal_that_is_away_is_asked_again(error: Exception) -> None:
    async def story(standby: Standby) -> None:
        standby.write(2)
        running = asyncio.ensure_future(standby.tailer.run())
        await asyncio.sleep(0.1)
        assert (standby.applied, standby.caught_up, standby.tailer.last_contact_ms) == ([], 0, 0)
        await asyncio.sleep(0.2)
        assert standby.applied == [1, 2]
        assert standby.tailer.last_contact_ms == standby.clock.now_ms() - 50
        running.cancel()

    play(story, error)


def test_what_is_written_later_is_found_a_period_later() -> None:
    async def story(standby: Standby) -> None:
        running = asyncio.ensure_future(standby.tailer.run())
        await asyncio.sleep(0.01)
        assert standby.caught_up == 1
        standby.write(1)
        await asyncio.sleep(0.25)
        assert standby.applied == [1]
        running.cancel()

    play(story)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda content: content.frames.pop(1),
        lambda content: content.frames.update({1: content.frames[1][:-1] + b"\0"}),
        lambda content: content.frames.update({1: content.frames[2]}),
    ],
)
def test_a_journal_that_does_not_fit_ends_the_standby(
    break_it: Callable[[JournalContent], object],
) -> None:
    async def story(standby: Standby) -> None:
        standby.write(3)
        break_it(standby.content)
        with pytest.raises(CorruptData):
            await standby.tailer.run()
        assert standby.applied == []

    play(story)


def test_an_idle_journal_is_asked_less_and_less_often() -> None:
    async def story(standby: Standby) -> None:
        running = asyncio.ensure_future(standby.tailer.run())
        await asyncio.sleep(6)
        times = [ms for ms, _ in standby.reader.asked]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert pauses == [500, 1000, 2000, 2000]
        standby.write(1)
        await asyncio.sleep(2.1)
        times = [ms for ms, _ in standby.reader.asked]
        assert times[-1] - times[-2] < 2000, "and often again once there is something"
        running.cancel()

    play(story, backoff_max_ms=2000)


def test_others_run_between_the_steps_of_a_long_catch_up() -> None:
    async def story(standby: Standby) -> None:
        standby.write(1_200)
        seen: list[int] = []

        async def look() -> None:
            while True:
                seen.append(len(standby.applied))
                await asyncio.sleep(0)

        looking = asyncio.ensure_future(look())
        await standby.tailer.catch_up()
        looking.cancel()
        assert {500, 1_000} <= set(seen)

    play(story, txns_per_call_max=5_000)
