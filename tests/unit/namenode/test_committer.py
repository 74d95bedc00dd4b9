"""Group commit against a journal whose acknowledgements the test gives out by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hdfsd.base.errors import QuorumLost
from hdfsd.base.ids import TxId
from hdfsd.editlog import codec
from hdfsd.editlog.ops import DeleteOp, EndLogSegmentOp, StartLogSegmentOp
from hdfsd.namenode.committer import FLIGHTS_MAX, Committer
from hdfsd.wire.messages import client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL, HA_SERVICE_PROTOCOL, PROTOCOLS


class Local:
    def __init__(self) -> None:
        self.segments: dict[int, bytes] = {}
        self.finalized: list[tuple[int, int]] = []
        self._open = 0

    async def start_segment(self, first_txid: TxId) -> None:
        self._open = first_txid
        self.segments[first_txid] = b""

    async def write(self, data: bytes) -> None:
        self.segments[self._open] += data

    async def finalize_segment(self, first_txid: TxId, last_txid: TxId) -> None:
        self.finalized.append((first_txid, last_txid))


class Shared(Local):
    """Acknowledges at once unless `waiting` is set to a list."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Future[None]] | None = None
        self.confirmed = 0
        self.superseded = False

    async def confirm(self) -> None:
        self.confirmed += 1
        if self.superseded:
            raise QuorumLost("heartbeat", {"jn1": "epoch 2", "jn2": "epoch 2"})

    def write(self, first_txid: TxId, count: int, data: bytes) -> asyncio.Future[None]:  # type: ignore[override]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.segments[self._open] += data
        if self.waiting is None:
            done.set_result(None)
        else:
            self.waiting.append(done)
        return done


class Replier:
    def __init__(self, protocol: str = CLIENT_PROTOCOL, name: str = "delete") -> None:
        self.method = PROTOCOLS[protocol].methods[name]
        self.got: list[Any] = []

    def reply(self, response: Any) -> None:
        self.got.append(response)

    def fail(self, error: Exception) -> None:
        self.got.append(error)


class HandClock:
    def __init__(self) -> None:
        self.ms = 1_000

    def now_ms(self) -> int:
        return self.ms

    def wall_ms(self) -> int:
        return self.ms


ANSWER = client_namenode.DeleteResponseProto(result=True)


def op(path: str) -> DeleteOp:
    return DeleteOp(path=path, timestamp=1, client_id=b"", call_id=-2)


def scenario(run: Callable[[Committer, Local, Shared], Awaitable[None]]) -> None:
    async def play() -> None:
        local, shared = Local(), Shared()
        committer = Committer(local=local, shared=shared, clock=HandClock())  # type: ignore[arg-type]
        await committer.open(TxId(10))
        task = asyncio.ensure_future(committer.run())
        try:
            await run(committer, local, shared)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(play())


def ops_of(data: bytes) -> list[tuple[type, int]]:
    return [(type(found), txid) for found, txid in codec.iter_ops(data)]


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_an_answer_waits_for_its_transaction_and_no_longer() -> None:
    async def run(committer: Committer, local: Local, shared: Shared) -> None:
        shared.waiting = []
        first, second = Replier(), Replier()
        assert committer.log(op("/a")) == 12
        assert committer.hold(first, ANSWER)
        await turns()
        assert committer.log(op("/b")) == 13
        assert committer.hold(second, ANSWER)
        await turns()
        assert (first.got, second.got) == ([], [])
        shared.waiting.pop(0).set_result(None)
        await turns()
        assert (first.got, second.got) == ([ANSWER], [])
        assert committer.durable_txid == 12
        shared.waiting.pop(0).set_result(None)
        await turns()
        assert second.got == [ANSWER]

    scenario(run)


def test_two_flushes_are_under_way_and_end_in_order() -> None:
    async def run(committer: Committer, local: Local, shared: Shared) -> None:
        shared.waiting = []
        repliers = [Replier() for _ in range(4)]
        for number, replier in enumerate(repliers):
            committer.log(op(f"/{number}"))
            assert committer.hold(replier, ANSWER)
            await turns()
        assert len(shared.waiting) == FLIGHTS_MAX == 2
        shared.waiting[1].set_result(None)
        await turns()
        assert committer.durable_txid == 11, "the second must not overtake the first"
        shared.waiting[0].set_result(None)
        await turns()
        assert [replier.got for replier in repliers] == [[ANSWER], [ANSWER], [], []]
        assert len(shared.waiting) == 3, "what collected meanwhile shares one flush"
        shared.waiting[2].set_result(None)
        await turns()
        assert [replier.got for replier in repliers] == [[ANSWER]] * 4

    scenario(run)


def test_the_end_of_a_segment_waits_for_the_flushes_under_way() -> None:
    async def run(committer: Committer, local: Local, shared: Shared) -> None:
        shared.waiting = []
        for number in range(2):
            committer.log(op(f"/{number}"))
            await turns()
        rolling = asyncio.ensure_future(committer.roll())
        for _ in range(3):
            await turns()
            assert shared.finalized == []
            shared.waiting.pop(0).set_result(None)
        await turns()
        assert shared.finalized == [(11, 14)]
        shared.waiting.pop(0).set_result(None)
        assert await rolling == 15

    scenario(run)


def test_the_first_failure_is_the_cause_when_both_flushes_fail() -> None:
    async def play() -> None:
        shared = Shared()
        committer = Committer(local=Local(), shared=shared, clock=HandClock())  # type: ignore[arg-type]
        await committer.open(TxId(10))
        running = asyncio.ensure_future(committer.run())
        shared.waiting = []
        for number in range(2):
            committer.log(op(f"/{number}"))
            await turns()
        for number in (1, 0):
            shared.waiting[number].set_exception(QuorumLost(f"flush {number}", {"jn1": "gone"}))
            await turns()
        with pytest.raises(QuorumLost, match="flush 0"):
            await running

    asyncio.run(play())


def test_nothing_pending_nothing_held() -> None:
    async def run(committer: Committer, local: Local, shared: Shared) -> None:
        assert not committer.hold(Replier(), ANSWER)

    scenario(run)


def test_an_error_is_held_like_an_answer() -> None:
    async def run(committer: Committer, local: Local, shared: Shared) -> None:
        shared.waiting = []
        caller, error = Replier(), ValueError("shows /a")
        committer.log(op("/a"))
        assert committer.hold(caller, error)
        await turns()
        assert caller.got == []
        shared.waiting.pop().set_result(None)
        await turns()
        assert caller.got == [error]

    scenario(run)


def test_a_roll_splits_between_its_two_ops_whatever_arrives_meanwhile() -> None:
    async def run(committer: Committer, local: Local, shared: Shared) -> None:
        committer.log(op("/old"))
        await turns()
        shared.waiting = []
        rolling = asyncio.ensure_future(committer.roll())
        again = asyncio.ensure_future(committer.roll())
        await turns()
        committer.log(op("/new"))
        while not rolling.done():
            while shared.waiting:
                shared.waiting.pop().set_result(None)
            await turns(1)
        assert await again == await rolling
        await committer_settles(committer, shared)
        first_txid = rolling.result()
        for journal in (local, shared):
            old, new = journal.segments[11], journal.segments[first_txid]
            assert ops_of(old)[0][0] is StartLogSegmentOp
            assert ops_of(old)[-1] == (EndLogSegmentOp, first_txid - 1)
            assert ops_of(new)[0] == (StartLogSegmentOp, first_txid)
            assert ops_of(new)[1] == (DeleteOp, first_txid + 1)
            assert journal.finalized == [(11, first_txid - 1)]

    scenario(run)


async def committer_settles(committer: Committer, shared: Shared) -> None:
    while committer.durable_txid < committer.last_txid:
        while shared.waiting:
            shared.waiting.pop().set_result(None)
        await turns(1)


@pytest.mark.parametrize("turn", range(8))
def test_it_can_be_ended_in_any_turn_of_its_opening(turn: int) -> None:
    """A write that was never begun would be complained of by the interpreter (-W error)."""

    async def play() -> None:
        local, shared = Local(), Shared()
        committer = Committer(local=local, shared=shared, clock=HandClock())  # type: ignore[arg-type]
        opening = asyncio.ensure_future(committer.open(TxId(0)))
        await turns(turn)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        assert opening.done()

    asyncio.run(play())


def test_a_lost_quorum_ends_run_and_answers_nobody() -> None:
    async def play() -> None:
        local, shared = Local(), Shared()
        committer = Committer(local=local, shared=shared, clock=HandClock())  # type: ignore[arg-type]
        await committer.open(TxId(0))
        shared.waiting = []
        task = asyncio.ensure_future(committer.run())
        caller = Replier()
        committer.log(op("/a"))
        committer.hold(caller, ANSWER)
        await turns()
        shared.waiting.pop().set_exception(QuorumLost("write", {"jn1": "gone", "jn2": "gone"}))
        with pytest.raises(QuorumLost):
            await task
        assert caller.got == []

    asyncio.run(play())


def test_close_ends_the_segment() -> None:
    async def play() -> None:
        local, shared = Local(), Shared()
        committer = Committer(local=local, shared=shared, clock=HandClock())  # type: ignore[arg-type]
        await committer.open(TxId(0))
        running = asyncio.ensure_future(committer.run())
        await committer.close()
        await running
        assert ops_of(shared.segments[1]) == [(StartLogSegmentOp, 1), (EndLogSegmentOp, 2)]
        assert shared.finalized == local.finalized == [(1, 2)]

    asyncio.run(play())


def test_health_is_answered_while_the_journal_is_slow() -> None:
    async def run(committer: Committer, local: Local, shared: Shared) -> None:
        shared.waiting = []
        committer.append(codec.encode(op("/a"), committer.last_txid + 1))
        assert not committer.hold(Replier(HA_SERVICE_PROTOCOL, "monitorHealth"), ANSWER)
        assert committer.hold(Replier(), ANSWER)

    scenario(run)


def stopped_for_a_while(superseded: bool) -> tuple[list[Any], int, BaseException | None]:
    """What a caller gets that asks right after the process was stopped for ten seconds."""

    async def play() -> tuple[list[Any], int, BaseException | None]:
        shared, clock = Shared(), HandClock()
        committer = Committer(local=Local(), shared=shared, clock=clock)  # type: ignore[arg-type]
        await committer.open(TxId(0))
        shared.superseded = superseded
        clock.ms += 10_000
        caller = Replier()
        assert committer.hold(caller, ANSWER), "nobody knows who is active now"
        watching = asyncio.ensure_future(committer.watch())
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if caller.got or watching.done():
                break
        watching.cancel()
        (ended,) = await asyncio.gather(watching, return_exceptions=True)
        return caller.got, shared.confirmed, ended

    return asyncio.run(play())


def test_after_a_stop_answers_wait_for_the_journals_word() -> None:
    got, confirmed, _ = stopped_for_a_while(superseded=False)
    assert got == [ANSWER]
    assert confirmed == 1


def test_after_a_stop_a_superseded_writer_answers_nobody_and_ends() -> None:
    got, _, ended = stopped_for_a_while(superseded=True)
    assert got == []
    assert isinstance(ended, QuorumLost)


def test_close_finishes_a_roll_that_was_asked_for_before() -> None:
    async def play() -> None:
        local, shared = Local(), Shared()
        committer = Committer(local=local, shared=shared, clock=HandClock())  # type: ignore[arg-type]
        await committer.open(TxId(0))
        rolling = asyncio.ensure_future(committer.roll())
        await asyncio.sleep(0)
        running = asyncio.ensure_future(committer.run())
        await committer.close()
        await running
        assert await rolling == 3
        assert shared.finalized == [(1, 2), (3, 4)]

    asyncio.run(play())


def test_close_tells_of_a_lost_quorum() -> None:
    async def play() -> None:
        shared = Shared()
        committer = Committer(local=Local(), shared=shared, clock=HandClock())  # type: ignore[arg-type]
        await committer.open(TxId(0))
        shared.waiting = []
        running = asyncio.ensure_future(committer.run())
        closing = asyncio.ensure_future(committer.close())
        await turns()
        shared.waiting.pop().set_exception(QuorumLost("write", {}))
        for ended in await asyncio.gather(running, closing, return_exceptions=True):
            assert isinstance(ended, QuorumLost)

    asyncio.run(play())
