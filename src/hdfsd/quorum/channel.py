"""Driver. An ordered, bounded queue of requests to one JournalNode (D5).

A JournalNode that executes requests in the order of their arrival says so (IN_ORDER_FIELD), and is
sent the next before the last is answered. Hadoop's does not promise that: it gets one at a time.
Batches that wait for their turn are joined into one request.
A journal that fails a batch or falls behind is out of sync: it gets nothing but heartbeats until
the next segment starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from google.protobuf.unknown_fields import UnknownFieldSet

from hdfsd.base.errors import HdfsdError, JournalOutOfSync, RemoteFault
from hdfsd.base.ids import INVALID_TXID, Address, Epoch, NodeId, StorageInfo, TxId
from hdfsd.ports.clock import Clock
from hdfsd.ports.dice import Dice
from hdfsd.ports.network import Network
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import Message, qjournal
from hdfsd.wire.services import QJOURNAL_PROTOCOL

log = logging.getLogger(__name__)

IN_ORDER_FIELD = 1000
"""Of GetJournalStateResponseProto: journal.service.IN_ORDER_MARK, unknown to Hadoop."""
WINDOW_IN_ORDER = 2
"""One at the disk and one behind it; more of them only cost more calls (measured)."""
WINDOW_UNORDERED = 1
JOINED_BYTES_MAX = 1 << 20

BuildRequest = Callable[[qjournal.RequestInfoProto], Message]


@dataclass(slots=True, eq=False)
class _Request:
    """One request in the queue; `edits` set: a batch, that may be joined with its successors.

    It waits for its own answer (rpc.client.Waiter), which its channel hears at once.
    """

    settle: Callable[[_Request, Any, BaseException | None], None]
    method: str
    build: BuildRequest | None
    deadline_ms: int
    future: asyncio.Future[Any] | None
    generation: int
    edits: qjournal.JournalRequestProto | None = None
    queued_ms: int = 0
    size: int = 0
    settled: bool = False

    def done(self) -> bool:
        return self.settled

    def set_result(self, result: Any) -> None:
        self.settled = True
        self.settle(self, result, None)

    def set_exception(self, exception: BaseException) -> None:
        self.settled = True
        self.settle(self, None, exception)


class JournalChannel:
    """What a writer or reader has with one JournalNode."""

    def __init__(
        self,
        address: Address,
        journal_id: str,
        *,
        network: Network,
        clock: Clock,
        dice: Dice,
        user: str,
        nameservice_id: str | None,
        queue_bytes_max: int,
        write_ms: int,
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called when a batch was acknowledged, and when we fall out of sync."""
        self.journal = NodeId(str(address))
        self.address = address
        self.epoch = Epoch(0)
        self.committed_txid = INVALID_TXID
        """Told to the journal with the next request."""
        self.told_txid = INVALID_TXID
        """The last that was told."""
        self.acked_txid = TxId(0)
        self.queued_bytes = 0
        """Of batches that are not acknowledged."""
        self.out_of_sync = ""
        """Why; empty while in sync."""
        self.http_url: str | None = None
        """Scheme, host and port; known after an answer that tells."""
        self._client = RpcClient(network, address, QJOURNAL_PROTOCOL, user=user, dice=dice)
        self._clock = clock
        self._queue_bytes_max = queue_bytes_max
        self._write_ms = write_ms
        self._on_change = on_change
        self._waiting: deque[_Request] = deque()
        self._in_flight: deque[_Request] = deque()
        self._window = WINDOW_UNORDERED
        self._serial = 0
        self._generation = 0
        self._info = qjournal.RequestInfoProto()
        self._info.journalId.identifier = journal_id
        if nameservice_id is not None:
            self._info.nameServiceId = nameservice_id
        self.journal_id = journal_id
        self.nameservice_id = nameservice_id

    # Questions: in no order with the others.

    async def read(self, method: str, request: Message, deadline_ms: int) -> Any:
        """A question of no writer; raises RemoteFault and LinkError."""
        answer = await self._client.call(method, request, deadline_ms=deadline_ms)
        if isinstance(
            answer, qjournal.GetJournalStateResponseProto | qjournal.GetEditLogManifestResponseProto
        ):
            self._learn(answer)
        return answer

    def _learn(
        self,
        answer: qjournal.GetJournalStateResponseProto | qjournal.GetEditLogManifestResponseProto,
    ) -> None:
        # The host that we were configured with is the one we reach it by.
        scheme, port = "http", answer.httpPort
        if answer.HasField("fromURL"):
            url = urlsplit(answer.fromURL)
            scheme, port = url.scheme or scheme, url.port or port
        self.http_url = f"{scheme}://{Address(self.address.host, port)}"
        if isinstance(answer, qjournal.GetJournalStateResponseProto):
            in_order = _has_field(answer, IN_ORDER_FIELD)
            self._window = WINDOW_IN_ORDER if in_order else WINDOW_UNORDERED

    def segment_url(self, first_txid: TxId, storage: StorageInfo, *, in_progress_ok: bool) -> str:
        """Where a segment of this journal can be fetched; `http_url` must be known."""
        assert self.http_url is not None, self.journal
        return (
            f"{self.http_url}/getJournal?jid={quote(self.journal_id, safe='')}"
            f"&segmentTxId={first_txid}&storageInfo={quote(storage.colon_form(), safe='')}"
            f"&inProgressOk={str(in_progress_ok).lower()}"
        )

    # Requests of a writer: in order.

    def begin_epoch(self, epoch: Epoch) -> None:
        self.epoch = epoch
        self._info.epoch = epoch
        self._serial = 0

    def request(self, method: str, build: BuildRequest, deadline_ms: int) -> asyncio.Future[Any]:
        """Queues a request; `build` is given its RequestInfoProto when it is sent."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(
            _Request(self._settle, method, build, deadline_ms, future, self._generation)
        )
        self._pump()
        return future

    def start_segment(
        self, first_txid: TxId, layout_version: int, deadline_ms: int
    ) -> asyncio.Future[Any]:
        """Starts a segment, and with it over: whatever failed before does not count any more."""
        if self.out_of_sync:
            log.info("%s rejoins with the segment at %s", self.journal, first_txid)
        self._generation += 1
        self.out_of_sync = ""
        future = self.request(
            "startLogSegment",
            lambda info: qjournal.StartLogSegmentRequestProto(
                reqInfo=info, txid=first_txid, layoutVersion=layout_version
            ),
            deadline_ms,
        )
        generation = self._generation
        future.add_done_callback(lambda done: self._started(done, generation))
        return future

    def _started(self, done: asyncio.Future[Any], generation: int) -> None:
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._fall_out(f"could not start a segment: {error}", generation)

    def finalize_segment(
        self, first_txid: TxId, last_txid: TxId, deadline_ms: int
    ) -> asyncio.Future[Any]:
        """Refused here while out of sync."""
        if self.out_of_sync:
            refused: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            refused.set_exception(JournalOutOfSync(self.out_of_sync))
            return refused
        return self.request(
            "finalizeLogSegment",
            lambda info: qjournal.FinalizeLogSegmentRequestProto(
                reqInfo=info, startTxId=first_txid, endTxId=last_txid
            ),
            deadline_ms,
        )

    def send_edits(self, segment_txid: TxId, first_txid: TxId, count: int, data: bytes) -> None:
        """Queues a batch; what becomes of it shows in `acked_txid` and `out_of_sync`."""
        if self.out_of_sync:
            return
        size = len(data)
        if self.queued_bytes and self.queued_bytes + size > self._queue_bytes_max:
            self._fall_out(f"too far behind: {self.queued_bytes} bytes wait", self._generation)
            return
        self.queued_bytes += size
        edits = qjournal.JournalRequestProto(
            firstTxnId=first_txid, numTxns=count, records=data, segmentTxnId=segment_txid
        )
        self._waiting.append(
            _Request(
                self._settle,
                "journal",
                None,
                self._write_ms,
                None,
                self._generation,
                edits,
                self._clock.now_ms(),
                size,
            )
        )
        self._pump()

    def heartbeat(self) -> None:
        """Tells the committed txid when nothing else does; nobody waits for the answer."""
        if self._waiting or self._in_flight or self.told_txid == self.committed_txid:
            return
        future = self.request(
            "heartbeat",
            lambda info: qjournal.HeartbeatRequestProto(reqInfo=info),
            self._write_ms,
        )
        future.add_done_callback(self._heartbeat_done)

    def _heartbeat_done(self, done: asyncio.Future[Any]) -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, RemoteFault):
            # Refused, not lost: another writer has it, or it was replaced.
            self._fall_out(f"heartbeat refused: {error}", self._generation)

    @property
    def oldest_ms(self) -> int | None:
        """Since when the oldest batch waits for its acknowledgement."""
        for request in (*self._in_flight, *self._waiting):
            if request.edits is not None:
                return request.queued_ms
        return None

    async def close(self) -> None:
        await self._client.close()

    # The queue

    def _pump(self) -> None:
        while self._waiting and len(self._in_flight) < self._window:
            request = self._waiting.popleft()
            if request.edits is not None:
                self._join_following(request)
            self._send(request)

    def _join_following(self, request: _Request) -> None:
        edits = request.edits
        assert edits is not None
        pieces, count = [edits.records], edits.numTxns
        while self._waiting and request.size < JOINED_BYTES_MAX:
            following = self._waiting[0]
            other = following.edits
            if other is None or other.segmentTxnId != edits.segmentTxnId:
                break
            self._waiting.popleft()
            pieces.append(other.records)
            count += other.numTxns
            request.size += following.size
        if len(pieces) > 1:
            edits.records = b"".join(pieces)
            edits.numTxns = count

    def _send(self, request: _Request) -> None:
        self._info.ipcSerialNumber = self._serial
        self._serial += 1
        if self.committed_txid > INVALID_TXID:
            self._info.committedTxId = self.committed_txid
            self.told_txid = self.committed_txid
        message: Message
        if request.edits is not None:
            request.edits.reqInfo.CopyFrom(self._info)
            message = request.edits
        else:
            assert request.build is not None
            message = request.build(self._info)
        self._in_flight.append(request)
        try:
            self._client.send_now(
                request.method, message, deadline_ms=request.deadline_ms, waiter=request
            )
        except HdfsdError as error:
            request.set_exception(error)

    def _settle(self, request: _Request, answer: Any, error: BaseException | None) -> None:
        if request in self._in_flight:
            self._in_flight.remove(request)
        if request.edits is not None:
            self._settle_edits(request, request.edits, error)
        elif request.future is not None and not request.future.done():
            if error is None:
                request.future.set_result(answer)
            else:
                request.future.set_exception(error)
        self._pump()

    def _settle_edits(
        self,
        request: _Request,
        edits: qjournal.JournalRequestProto,
        error: BaseException | None,
    ) -> None:
        self.queued_bytes -= request.size
        if error is None:
            self.acked_txid = max(self.acked_txid, TxId(edits.firstTxnId + edits.numTxns - 1))
            self._on_change()
        else:
            last = edits.firstTxnId + edits.numTxns - 1
            self._fall_out(f"failed txns {edits.firstTxnId}-{last}: {error}", request.generation)

    def _fall_out(self, reason: str, generation: int) -> None:
        """Out of sync until the next segment; batches that were not sent are dropped."""
        if self.out_of_sync or generation != self._generation:
            return
        log.warning("%s is out of sync until the next segment: %s", self.journal, reason)
        self.out_of_sync = reason
        kept = deque(request for request in self._waiting if request.edits is None)
        self.queued_bytes -= sum(r.size for r in self._waiting if r.edits is not None)
        self._waiting = kept
        self._on_change()


def _has_field(message: Message, number: int) -> bool:
    fields = UnknownFieldSet(message)
    return any(fields[index].field_number == number for index in range(len(fields)))
