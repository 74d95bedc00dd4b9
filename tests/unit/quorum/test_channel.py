"""One journal's queue: pipelined when it keeps order, one at a time when it does not say so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hdfsd.base.errors import IOFault, JournalOutOfSync, RemoteFault
from hdfsd.base.ids import Address, Epoch, StorageInfo, TxId
from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.journal.service import IN_ORDER_MARK
from hdfsd.quorum.channel import JournalChannel
from hdfsd.rpc.server import DEFERRED, RpcServer
from hdfsd.wire.messages import Message, qjournal
from hdfsd.wire.services import QJOURNAL_PROTOCOL


class Scripted:
    """A JournalNode that notes what it gets and answers when it is told to."""

    def __init__(self, *, in_order: bool) -> None:
        self.in_order = in_order
        self.got: list[str] = []
        self.infos: list[qjournal.RequestInfoProto] = []
        self.calls: list[Any] = []
        self.arrived = asyncio.Condition()

    def get_journal_state(self, request: Any, call: Any) -> Message:
        reply = qjournal.GetJournalStateResponseProto(
            lastPromisedEpoch=3, httpPort=1, fromURL="http://0.0.0.0:8480"
        )
        if self.in_order:
            reply.MergeFromString(IN_ORDER_MARK)
        return reply

    def journal(self, request: qjournal.JournalRequestProto, call: Any) -> Any:
        last = request.firstTxnId + request.numTxns - 1
        return self._take(request, call, f"{request.firstTxnId}-{last}")

    def heartbeat(self, request: Any, call: Any) -> Any:
        return self._take(request, call, "heartbeat")

    def start_log_segment(self, request: Any, call: Any) -> Any:
        return self._take(request, call, f"start {request.txid}")

    def finalize_log_segment(self, request: Any, call: Any) -> Any:
        return self._take(request, call, f"finalize {request.startTxId}-{request.endTxId}")

    def _take(self, request: Any, call: Any, what: str) -> Any:
        self.got.append(what)
        self.infos.append(request.reqInfo)
        self.calls.append(call)
        asyncio.ensure_future(self._tell())
        return DEFERRED

    async def _tell(self) -> None:
        async with self.arrived:
            self.arrived.notify_all()

    async def expect(self, *what: str) -> None:
        async with asyncio.timeout(20), self.arrived:
            await self.arrived.wait_for(lambda: len(self.got) >= len(what))
        assert self.got == list(what)

    def answer(self, count: int = 1, error: Exception | None = None) -> None:
        for _ in range(count):
            call = self.calls.pop(0)
            if error is not None:
                call.fail(error)
            else:
                call.reply(call.method.response())


class Rig:
    def __init__(self, server: Scripted, channel: JournalChannel, changes: asyncio.Queue[str]):
        self.server = server
        self.channel = channel
        self.changes = changes

    def send(self, first: int, last: int) -> None:
        data = b"x" * (last - first + 1)
        self.channel.send_edits(TxId(1), TxId(first), last - first + 1, data)

    async def changed(self) -> None:
        async with asyncio.timeout(20):
            await self.changes.get()


def play(story: Callable[[Rig], Awaitable[None]], *, in_order: bool = True) -> None:
    async def run() -> None:
        scripted = Scripted(in_order=in_order)
        server = RpcServer({QJOURNAL_PROTOCOL: scripted}, clock=RealClock())
        await server.start(TcpNetwork(), Address("127.0.0.1", 0))
        changes: asyncio.Queue[str] = asyncio.Queue()
        channel = JournalChannel(
            server.address,
            "ns 1",
            network=TcpNetwork(),
            clock=RealClock(),
            dice=RealDice(),
            user="tester",
            nameservice_id="ns1",
            queue_bytes_max=100,
            write_ms=20_000,
            on_change=lambda: changes.put_nowait("changed"),
        )
        ask = qjournal.GetJournalStateRequestProto()
        ask.jid.identifier = "ns"
        await channel.read("getJournalState", ask, 20_000)
        channel.begin_epoch(Epoch(4))
        await story(Rig(scripted, channel, changes))
        await channel.close()
        await server.stop()

    asyncio.run(run())


def test_the_next_batch_does_not_wait_for_the_last() -> None:
    async def story(rig: Rig) -> None:
        for first, last in ((1, 2), (3, 3), (4, 7), (8, 9)):
            rig.send(first, last)
        await rig.server.expect("1-2", "3-3")
        assert rig.channel.queued_bytes == 9
        assert rig.channel.oldest_ms is not None
        rig.server.answer()
        # What waited for its turn is one request.
        await rig.server.expect("1-2", "3-3", "4-9")
        rig.server.answer(2)
        for _ in range(3):
            await rig.changed()
        assert rig.channel.acked_txid == 9
        assert (rig.channel.queued_bytes, rig.channel.oldest_ms) == (0, None)

    play(story)


def test_requests_are_numbered_and_tell_what_is_committed() -> None:
    async def story(rig: Rig) -> None:
        rig.send(1, 1)
        rig.channel.committed_txid = TxId(1)
        rig.send(2, 2)
        await rig.server.expect("1-1", "2-2")
        first, second = rig.server.infos
        assert [info.ipcSerialNumber for info in (first, second)] == [0, 1]
        assert [info.epoch for info in (first, second)] == [4, 4]
        assert (first.journalId.identifier, first.nameServiceId) == ("ns 1", "ns1")
        assert not first.HasField("committedTxId")
        assert second.committedTxId == 1

    play(story)


def test_a_journal_of_no_order_gets_one_at_a_time_and_the_rest_joined() -> None:
    async def story(rig: Rig) -> None:
        for first, last in ((1, 2), (3, 3), (4, 9)):
            rig.send(first, last)
        finalize = rig.channel.finalize_segment(TxId(1), TxId(9), 20_000)
        await rig.server.expect("1-2")
        rig.server.answer()
        await rig.server.expect("1-2", "3-9")
        assert rig.channel.acked_txid == 2
        rig.server.answer()
        await rig.server.expect("1-2", "3-9", "finalize 1-9")
        rig.server.answer()
        await finalize
        assert rig.channel.acked_txid == 9

    play(story, in_order=False)


def test_a_failed_batch_stops_the_segment_until_the_next() -> None:
    async def story(rig: Rig) -> None:
        rig.send(1, 1)
        rig.send(2, 2)
        await rig.server.expect("1-1", "2-2")
        rig.server.answer(error=IOFault("disk"))
        await rig.changed()
        assert rig.channel.out_of_sync == "failed txns 1-1: java.io.IOException: disk"
        rig.send(3, 3)
        with pytest.raises(JournalOutOfSync, match="disk"):
            await rig.channel.finalize_segment(TxId(1), TxId(3), 20_000)
        started = rig.channel.start_segment(TxId(4), -67, 20_000)
        assert rig.channel.out_of_sync == ""
        rig.send(4, 4)
        await rig.server.expect("1-1", "2-2", "start 4")
        # What failed before the start does not count any more.
        rig.server.answer(error=IOFault("late"))
        await rig.server.expect("1-1", "2-2", "start 4", "4-4")
        rig.server.answer(2)
        await started
        await rig.changed()
        assert (rig.channel.acked_txid, rig.channel.out_of_sync) == (4, "")
        assert rig.channel.queued_bytes == 0

    play(story)


def test_a_start_that_fails() -> None:
    async def story(rig: Rig) -> None:
        started = rig.channel.start_segment(TxId(4), -67, 20_000)
        await rig.server.expect("start 4")
        rig.server.answer(error=IOFault("no"))
        with pytest.raises(RemoteFault, match="no"):
            await started
        await rig.changed()
        assert "could not start a segment" in rig.channel.out_of_sync

    play(story)


def test_the_queue_is_bounded() -> None:
    async def story(rig: Rig) -> None:
        rig.send(1, 200)
        assert rig.channel.out_of_sync == ""
        rig.send(201, 201)
        assert rig.channel.out_of_sync == "too far behind: 200 bytes wait"
        await rig.server.expect("1-200")
        rig.server.answer()
        await rig.changed()
        await rig.changed()
        assert (rig.channel.acked_txid, rig.channel.queued_bytes) == (200, 0)

    play(story)


def test_batches_that_were_not_sent_are_dropped_with_the_sync() -> None:
    async def story(rig: Rig) -> None:
        for txid in range(1, 4):
            rig.send(txid, txid)
        await rig.server.expect("1-1")
        rig.server.answer(error=IOFault("x"))
        await rig.changed()
        assert rig.channel.queued_bytes == 0
        started = rig.channel.start_segment(TxId(9), -67, 20_000)
        await rig.server.expect("1-1", "start 9")
        rig.server.answer()
        await started

    play(story, in_order=False)


def test_a_lost_link_is_out_of_sync() -> None:
    async def story(rig: Rig) -> None:
        rig.send(1, 1)
        await rig.server.expect("1-1")
        await rig.channel.close()
        await rig.changed()
        assert "failed txns 1-1" in rig.channel.out_of_sync

    play(story)


def test_a_heartbeat_tells_a_newer_committed_txid_once() -> None:
    async def story(rig: Rig) -> None:
        rig.channel.heartbeat()
        rig.channel.committed_txid = TxId(7)
        rig.channel.heartbeat()
        rig.channel.heartbeat()
        await rig.server.expect("heartbeat")
        assert rig.server.infos[0].committedTxId == 7
        rig.server.answer(error=IOFault("IPC's epoch 4 is less than"))
        await rig.changed()
        assert "heartbeat refused" in rig.channel.out_of_sync

    play(story)


def test_where_segments_are_fetched() -> None:
    async def story(rig: Rig) -> None:
        storage = StorageInfo(-67, 1, 2, "CID-a b")
        url = rig.channel.segment_url(TxId(5), storage, in_progress_ok=True)
        assert url == (
            "http://127.0.0.1:8480/getJournal?jid=ns%201&segmentTxId=5"
            "&storageInfo=-67%3A1%3A2%3ACID-a%20b&inProgressOk=true"
        )

    play(story)
