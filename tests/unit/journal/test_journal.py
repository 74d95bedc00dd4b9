"""One journal's queue: strict order, shared fsyncs, answers after them, and a disk that fails."""

from __future__ import annotations

import asyncio
import errno
import struct
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.errors import EditsCacheMiss, IOFault, JournalNotFormatted, JournalOutOfSync
from hdfsd.base.ids import StorageInfo, TxId
from hdfsd.io.clock import RealClock
from hdfsd.io.disk import RealDisk
from hdfsd.journal.acceptor import Format
from hdfsd.journal.cache import EditsCache
from hdfsd.journal.journal import Journal
from hdfsd.journal.store import JournalStore
from hdfsd.wire.messages import Message, qjournal

STORAGE = StorageInfo(-67, 4711, 1700000000000, "CID-a")
HEADER = bytes.fromhex("ffffffbd00000000")


def frame(txid: int) -> bytes:
    head = struct.pack(">BIq", 24, 12, txid)
    return head + struct.pack(">I", zlib.crc32(head))


class Asked:
    """Who waits for one answer."""

    def __init__(self, order: list[str], name: str) -> None:
        self.order = order
        self.name = name
        self.answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def reply(self, message: Message) -> None:
        self.order.append(f"ok {self.name}")
        self.answer.set_result(message)

    def fail(self, error: Exception) -> None:
        self.order.append(f"no {self.name}")
        self.answer.set_exception(error)

    def after_batch(self, work: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(work)


class SlowStore(JournalStore):
    """Writes down what it does; a sync waits until the test lets it go, or fails."""

    order: list[str]
    gate: asyncio.Event
    failing = False
    quick = False

    def append(self, effect: Any) -> None:
        self.order.append(f"append {effect.first_txid}-{effect.last_txid}")
        super().append(effect)

    def sync_now(self) -> bool:
        if self.quick:
            self.order.append("sync now")
        return self.quick

    async def sync(self) -> None:
        self.order.append("sync")
        await self.gate.wait()
        if self.failing:
            raise OSError(errno.EIO, "Input/output error")
        await super().sync()


class Rig:
    """An opened journal of epoch 1 with segment 1 open."""

    def __init__(self, root: Path, *, cache: EditsCache | None) -> None:
        self.order: list[str] = []
        http: Any = None
        self.store = SlowStore(str(root / "ns"), disk=RealDisk(), http=http, clock=RealClock())
        self.store.order, self.store.gate = self.order, asyncio.Event()
        self.store.gate.set()
        self.journal = Journal("ns", self.store, cache=cache)
        self.serial = 0

    def info(self, epoch: int) -> qjournal.RequestInfoProto:
        self.serial += 1
        info = qjournal.RequestInfoProto(epoch=epoch, ipcSerialNumber=self.serial)
        info.journalId.identifier = "ns"
        return info

    def batch(self, first: int, last: int, epoch: int = 1) -> asyncio.Future[Message]:
        request = qjournal.JournalRequestProto(
            reqInfo=self.info(epoch),
            firstTxnId=first,
            numTxns=last - first + 1,
            records=b"".join(map(frame, range(first, last + 1))),
            segmentTxnId=1,
        )
        return self.submit("journal", request, str(first))

    def start(self, first: int = 1) -> asyncio.Future[Message]:
        request = qjournal.StartLogSegmentRequestProto(
            reqInfo=self.info(1), txid=first, layoutVersion=-67
        )
        return self.submit("start_log_segment", request, "start")

    def submit(self, method: str, request: Message, name: str) -> asyncio.Future[Message]:
        asked = Asked(self.order, name)
        self.journal.submit(method, request, asked)
        return asked.answer


def play(
    root: Path,
    story: Callable[[Rig], Awaitable[None]],
    cache: EditsCache | None = None,
    *,
    formatted: bool = True,
) -> None:
    async def run() -> None:
        rig = Rig(root, cache=cache)
        if formatted:
            await rig.store.execute(Format(STORAGE))
            await rig.start()
            rig.order.clear()
        await story(rig)
        await rig.journal.close()

    asyncio.run(run())


async def until(holds: Callable[[], bool]) -> None:
    """Lets the loop turn, and worker threads finish, until it holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)


def test_batches_that_come_during_a_sync_share_the_next(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        rig.store.gate.clear()
        answers = [rig.batch(1, 1)]
        await until(lambda: "sync" in rig.order)
        answers += [rig.batch(2, 3), rig.batch(4, 4), rig.batch(5, 9)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert rig.order == ["append 1-1", "sync"]
        rig.store.gate.set()
        await asyncio.gather(*answers)
        assert rig.order == [
            "append 1-1",
            "sync",
            "ok 1",
            "append 2-3",
            "append 4-4",
            "append 5-9",
            "sync",
            "ok 2",
            "ok 4",
            "ok 5",
        ]
        assert rig.journal.acceptor.durable_txid == 9

    play(tmp_path, story)


def test_on_a_quick_disk_all_is_done_before_the_batch_is_left(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        rig.store.quick = True
        answers = [rig.batch(1, 1), rig.batch(2, 3)]
        await asyncio.sleep(0)
        assert rig.order == ["append 1-1", "append 2-3", "sync now", "ok 1", "ok 2"]
        assert all(answer.done() for answer in answers)
        # It does not stay quick: a task goes on with what was begun.
        rig.store.quick = False
        rig.store.gate.clear()
        late = rig.batch(4, 4)
        await until(lambda: rig.order[-1] == "sync")
        rig.store.quick = True
        later = rig.batch(5, 5)
        assert not late.done()
        rig.store.gate.set()
        await asyncio.gather(late, later)
        assert rig.order[-5:] == ["sync", "ok 4", "append 5-5", "sync now", "ok 5"]

    play(tmp_path, story)


def test_a_journal_is_closed_while_it_waits(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        rig.store.gate.clear()
        answer = rig.batch(1, 1)
        await until(lambda: "sync" in rig.order)
        await rig.journal.close()
        assert not answer.done()
        assert not rig.journal.is_open

    play(tmp_path, story)


def test_other_requests_keep_their_place(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        first, bad = rig.batch(1, 2), rig.batch(7, 7)
        finalize = rig.submit(
            "finalize_log_segment",
            qjournal.FinalizeLogSegmentRequestProto(reqInfo=rig.info(1), startTxId=1, endTxId=2),
            "finalize",
        )
        late = rig.batch(3, 3)
        await asyncio.gather(first, bad, finalize, late, return_exceptions=True)
        assert rig.order == [
            "append 1-2",
            "sync",
            "ok 1",
            "no 7",
            "ok finalize",
            "no 3",
        ]
        with pytest.raises(JournalOutOfSync, match="expecting nextTxId=3"):
            await bad
        with pytest.raises(JournalOutOfSync, match="no segment open"):
            await late

    play(tmp_path, story)


def test_a_promise_inside_a_group_does_not_overtake_its_batches(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        first, fenced = rig.batch(1, 2), rig.batch(3, 3, epoch=2)
        await asyncio.gather(first, fenced, return_exceptions=True)
        assert rig.order == ["append 1-2", "sync", "ok 1", "no 3"]
        promise = tmp_path / "ns/current/last-promised-epoch"
        assert promise.read_text() == "2\n"

    play(tmp_path, story)


def test_a_failed_sync_fails_the_group_and_the_journal_starts_over(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.batch(1, 1)
        rig.store.failing = True
        failed = [rig.batch(2, 2), rig.batch(3, 3)]
        results = await asyncio.gather(*failed, return_exceptions=True)
        assert all(isinstance(r, IOFault) and "Input/output" in r.message for r in results)
        rig.store.failing = False
        with pytest.raises(JournalOutOfSync, match="no segment open"):
            await rig.batch(4, 4)
        assert rig.journal.acceptor.state.segments[TxId(1)].first_txid == 1

    play(tmp_path, story)


def test_tailers_are_shown_batches_after_their_sync(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        rig.store.gate.clear()
        answer = rig.batch(1, 2)
        await until(lambda: "sync" in rig.order)
        assert rig.journal.journaled_edits(TxId(1), 9) == (0, b"")
        rig.store.gate.set()
        await answer
        data = HEADER + frame(1) + frame(2)
        assert rig.journal.journaled_edits(TxId(1), 9) == (2, data)
        assert rig.journal.journaled_edits(TxId(3), 9) == (0, b"")

    play(tmp_path, story, EditsCache(1000))


def test_a_format_empties_the_cache(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.batch(1, 2)
        request = qjournal.DiscardSegmentsRequestProto(startTxId=1)
        request.jid.identifier = "ns"
        await rig.submit("discard_segments", request, "discard")
        rig.journal.acceptor.synced(TxId(2))
        with pytest.raises(EditsCacheMiss):
            rig.journal.journaled_edits(TxId(1), 9)

    play(tmp_path, story, EditsCache(1000))


def test_tailing_that_is_off_says_which_key(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        with pytest.raises(IOFault, match=r"enable it via dfs\.ha\.tail-edits\.in-progress"):
            rig.journal.journaled_edits(TxId(1), 9)

    play(tmp_path, story)


def test_a_damaged_journal_answers_with_the_damage(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        await rig.journal.close()
        (tmp_path / "ns/current/last-promised-epoch").write_text("?")
        for _ in range(2):
            with pytest.raises(IOFault, match="last-promised-epoch"):
                await rig.batch(1, 1)
        (tmp_path / "ns/current/last-promised-epoch").write_text("1\n")
        with pytest.raises(JournalOutOfSync):
            await rig.batch(1, 1)

    play(tmp_path, story)


def test_an_unformatted_journal(tmp_path: Path) -> None:
    async def story(rig: Rig) -> None:
        with pytest.raises(JournalNotFormatted):
            await rig.start()

    play(tmp_path, story, formatted=False)
