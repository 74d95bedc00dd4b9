"""Driver. The quorum journal: runs the cores over one channel per JournalNode. Holds P1, P2, P3.

Implements ports.journal.JournalWriter and JournalReader for `qjournal://` addresses.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hdfsd.base.errors import (
    ConfigError,
    CorruptData,
    HdfsdError,
    InvariantBroken,
    IOFault,
    LinkError,
    QuorumLost,
    RemoteFault,
)
from hdfsd.base.ids import (
    INVALID_TXID,
    NAMENODE_LAYOUT_VERSION,
    Address,
    Epoch,
    NamespaceInfo,
    NodeId,
    TxId,
)
from hdfsd.base.settings import QuorumSettings
from hdfsd.editlog.frames import Run
from hdfsd.editlog.segment import HEADER_BYTES, read_header
from hdfsd.ports.clock import Clock
from hdfsd.ports.dice import Dice
from hdfsd.ports.http import HttpClient
from hdfsd.ports.journal import EditsChunk, JournalHealth, SegmentInfo
from hdfsd.ports.network import Network
from hdfsd.quorum import reader, recovery, tally, writer
from hdfsd.quorum.channel import JournalChannel
from hdfsd.quorum.fetch import SegmentStream
from hdfsd.quorum.patience import TICK_MS, Patience
from hdfsd.wire.messages import Message, hdfs_server, qjournal

log = logging.getLogger(__name__)

IDLE_HEARTBEAT_S = 1.0
"""After this long without a write, journals are told of a newer committed txid."""
LAST_ANSWERS_MS = 500
"""How much longer a tailer waits when journals that are still silent could give it more."""
SILENT_MS = 100
"""How much longer it waits when the others could not tell, and there is another way to read: the
machine of a journal may be gone, and nobody says so."""
SOFTWARE_VERSION = "3.4.1"
"""What we tell journals that we are: the Hadoop whose protocols we speak."""


class QuorumJournal:
    """A journal on a set of JournalNodes; see ports.journal for what each method promises."""

    def __init__(
        self,
        addresses: Sequence[Address],
        journal_id: str,
        namespace: NamespaceInfo,
        *,
        network: Network,
        http: HttpClient,
        clock: Clock,
        dice: Dice,
        user: str,
        settings: QuorumSettings,
        nameservice_id: str | None = None,
    ) -> None:
        """`namespace` is checked by the journals at `recover`. Raises ConfigError for a bad id."""
        if not journal_id or "/" in journal_id or journal_id.startswith("."):
            raise ConfigError(f"bad journal id {journal_id!r}: write qjournal://HOSTS/<name>")
        if len(set(addresses)) != len(addresses) or not addresses:
            raise ConfigError(f"qjournal:// needs distinct JournalNodes, not {list(addresses)}")
        if len(addresses) % 2 == 0:
            log.warning("an even number of JournalNodes (%s) bears no more losses", len(addresses))
        self._namespace = namespace
        self._settings = settings
        self._http = http
        self._clock = clock
        self._channels = {
            channel.journal: channel
            for channel in (
                JournalChannel(
                    address,
                    journal_id,
                    network=network,
                    clock=clock,
                    dice=dice,
                    user=user,
                    nameservice_id=nameservice_id,
                    queue_bytes_max=settings.queue_bytes_max,
                    write_ms=settings.write_ms,
                    on_change=self._changed,
                )
                for address in addresses
            )
        }
        self._majority = tally.majority(len(addresses))
        self._jid = qjournal.JournalIdProto(identifier=journal_id)
        self._nameservice_id = nameservice_id
        self._state: writer.WriterState[asyncio.Future[None]] = writer.WriterState()
        self._lost: QuorumLost | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._patience: Patience | None = None
        self._watched: object = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._stream: SegmentStream | None = None

    # Writing

    @property
    def epoch(self) -> Epoch:
        return self._state.epoch

    @property
    def committed_txid(self) -> TxId:
        return self._state.committed

    async def recover(self) -> TxId:
        self._state.begin_recovery()
        try:
            epoch, newest = await self._new_epoch()
            log.info("epoch %s established; newest segment: %s", epoch, newest)
            last = TxId(0) if newest is None else await self._recover_segment(newest)
        except QuorumLost as error:
            self._lose(error)
            raise
        self._state.recovered(epoch, last)
        for channel in self._channels.values():
            channel.committed_txid = last if last else INVALID_TXID
            channel.acked_txid = last
        return last

    async def start_segment(
        self, first_txid: TxId, layout_version: int = NAMENODE_LAYOUT_VERSION
    ) -> None:
        self._check_not_lost()
        self._state.start(first_txid)
        timeout_ms = self._settings.start_segment_ms
        await self._must(
            f"startLogSegment({first_txid})",
            {
                journal: channel.start_segment(first_txid, layout_version, timeout_ms)
                for journal, channel in self._channels.items()
            },
            timeout_ms,
        )

    def write(self, first_txid: TxId, count: int, data: bytes) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._lost is not None:
            future.set_exception(QuorumLost("write after the loss", self._lost.reasons))
            return future
        state = self._state
        state.batch(first_txid, count, future)
        for channel in self._channels.values():
            channel.send_edits(state.segment_first, first_txid, count, data)
        if self._watch is None:
            self._watch_writes()
        return future

    async def confirm(self) -> None:
        self._check_not_lost()
        timeout_ms = self._settings.write_ms
        asked = {
            journal: channel.request(
                "heartbeat",
                lambda info: qjournal.HeartbeatRequestProto(reqInfo=info),
                timeout_ms,
            )
            for journal, channel in self._channels.items()
        }
        await self._must("heartbeat", asked, timeout_ms)

    async def finalize_segment(self, first_txid: TxId, last_txid: TxId) -> None:
        self._check_not_lost()
        self._state.finalize(first_txid, last_txid)
        timeout_ms = self._settings.finalize_segment_ms
        await self._must(
            f"finalizeLogSegment({first_txid}-{last_txid})",
            {
                journal: channel.finalize_segment(first_txid, last_txid, timeout_ms)
                for journal, channel in self._channels.items()
            },
            timeout_ms,
        )

    async def purge(self, min_txid: TxId) -> None:
        self._check_not_lost()
        for channel in self._channels.values():
            asked = channel.request(
                "purgeLogs",
                lambda info: qjournal.PurgeLogsRequestProto(reqInfo=info, minTxIdToKeep=min_txid),
                self._settings.operations_ms,
            )
            asked.add_done_callback(_log_failure(f"purge below {min_txid} at {channel.journal}"))

    async def format(self, namespace: NamespaceInfo, force: bool = False) -> None:
        self._namespace = namespace
        request = qjournal.FormatRequestProto(
            jid=self._jid, nsInfo=_namespace_message(namespace), force=force
        )
        self._sign(request)
        timeout_ms = self._settings.operations_ms
        answers = await self._gather(self._read_all("format", request, timeout_ms), timeout_ms)
        failures = answers.reasons("no answer")
        if failures:
            told = "; ".join(f"{journal}: {reason}" for journal, reason in failures.items())
            raise IOFault(f"Could not format one or more JournalNodes. {told}")

    async def has_data(self) -> bool:
        request = qjournal.IsFormattedRequestProto(jid=self._jid)
        self._sign(request)
        timeout_ms = self._settings.operations_ms
        answers = await self._gather(self._read_all("isFormatted", request, timeout_ms), timeout_ms)
        if answers.reasons(""):
            raise QuorumLost(
                "Unable to check if JNs are ready for formatting", answers.reasons("no answer")
            )
        return any(answer.isFormatted for answer in answers.answers.values())

    def health(self) -> Sequence[JournalHealth]:
        now_ms, committed = self._clock.now_ms(), self._state.committed
        return [
            JournalHealth(
                journal=channel.journal,
                acked_txid=channel.acked_txid,
                lag_txns=max(committed - channel.acked_txid, 0),
                lag_ms=0 if channel.oldest_ms is None else now_ms - channel.oldest_ms,
                queued_bytes=channel.queued_bytes,
                in_sync=not channel.out_of_sync,
                reason=channel.out_of_sync,
            )
            for channel in self._channels.values()
        ]

    async def close(self) -> None:
        for timer in (self._watch, self._heartbeat):
            if timer is not None:
                timer.cancel()
        self._watch = self._heartbeat = None
        await self._close_stream()
        for channel in self._channels.values():
            await channel.close()

    # Epoch and recovery

    async def _new_epoch(self) -> tuple[Epoch, TxId | None]:
        """(our epoch, first txid of the newest segment of a majority)."""
        settings = self._settings
        ask = qjournal.GetJournalStateRequestProto(jid=self._jid)
        self._sign(ask)
        states = await self._quorum(
            "getJournalState",
            self._read_all("getJournalState", ask, settings.journal_state_ms),
            settings.journal_state_ms,
        )
        epoch = writer.next_epoch([Epoch(state.lastPromisedEpoch) for state in states.values()])
        namespace = _namespace_message(self._namespace)
        propose = qjournal.NewEpochRequestProto(jid=self._jid, nsInfo=namespace, epoch=epoch)
        self._sign(propose)
        for channel in self._channels.values():
            channel.begin_epoch(epoch)
        answers = await self._quorum(
            f"newEpoch({epoch})",
            {
                journal: channel.request("newEpoch", lambda _: propose, settings.new_epoch_ms)
                for journal, channel in self._channels.items()
            },
            settings.new_epoch_ms,
        )
        newest = writer.segment_to_recover(
            TxId(answer.lastSegmentTxId) if answer.HasField("lastSegmentTxId") else None
            for answer in answers.values()
        )
        return epoch, newest

    async def _recover_segment(self, first_txid: TxId) -> TxId:
        """The segment is finalized on a majority when this returns; its last txid."""
        decision = await self._decide(first_txid)
        log.info("recovery of the segment at %s: %s", first_txid, decision.reason)
        if decision.segment is None or decision.source is None:
            return await self.newest_txid()
        first, last = decision.segment.first_txid, decision.segment.last_txid
        url = await self._url_of(decision.source, first)
        if decision.seen_epoch is not None:
            url += f"&seenEpoch={decision.seen_epoch}"
        state = qjournal.SegmentStateProto(
            startTxId=first, endTxId=last, isInProgress=not decision.segment.finalized
        )
        settings = self._settings
        await self._quorum(
            f"acceptRecovery({first}-{last})",
            self._request_all(
                "acceptRecovery",
                lambda info: qjournal.AcceptRecoveryRequestProto(
                    reqInfo=info, stateToAccept=state, fromURL=url
                ),
                settings.accept_recovery_ms,
            ),
            settings.accept_recovery_ms,
        )
        # A journal that did not take the recovery checks its own copy before it finalizes.
        await self._quorum(
            f"finalizeLogSegment({first}-{last})",
            self._request_all(
                "finalizeLogSegment",
                lambda info: qjournal.FinalizeLogSegmentRequestProto(
                    reqInfo=info, startTxId=first, endTxId=last
                ),
                settings.finalize_segment_ms,
            ),
            settings.finalize_segment_ms,
        )
        return last

    async def _decide(self, first_txid: TxId) -> recovery.Decision:
        timeout_ms = self._settings.prepare_recovery_ms
        answers = await self._quorum(
            f"prepareRecovery({first_txid})",
            self._request_all(
                "prepareRecovery",
                lambda info: qjournal.PrepareRecoveryRequestProto(
                    reqInfo=info, segmentTxId=first_txid
                ),
                timeout_ms,
            ),
            timeout_ms,
        )
        prepared = [_prepare_answer(journal, answer) for journal, answer in answers.items()]
        for answer in prepared:
            log.info("prepareRecovery(%s): %s", first_txid, answer.describe())
        return recovery.decide(prepared)

    async def _url_of(self, journal: NodeId, first_txid: TxId) -> str:
        channel = self._channels[journal]
        if channel.http_url is None:
            ask = qjournal.GetJournalStateRequestProto(jid=self._jid)
            self._sign(ask)
            try:
                await channel.read("getJournalState", ask, self._settings.journal_state_ms)
            except (RemoteFault, LinkError) as error:
                raise QuorumLost("the address of the best copy", {journal: str(error)}) from error
        return channel.segment_url(first_txid, self._namespace.storage, in_progress_ok=True)

    # What becomes of writes

    def _changed(self) -> None:
        """A journal acknowledged a batch, or fell out of sync."""
        channels = self._channels.values()
        state = self._state
        committed = tally.committed([channel.acked_txid for channel in channels])
        released = state.commit(committed)
        for future in released:
            if not future.done():
                future.set_result(None)
        if released:
            for channel in channels:
                channel.committed_txid = state.committed
            if self._heartbeat is None:
                self._schedule_heartbeat()
        newest = state.newest
        if newest is None or self._lost is not None:
            return
        able = sum(not c.out_of_sync or c.acked_txid >= newest.last_txid for c in channels)
        if able < self._majority:
            self._lose(QuorumLost(f"write of txns up to {newest.last_txid}", self._reasons()))

    def _reasons(self) -> Mapping[str, str]:
        reasons: dict[str, str] = {}
        for journal, channel in self._channels.items():
            waits = f"no acknowledgement after txid {channel.acked_txid}"
            reasons[journal] = channel.out_of_sync or waits
        return reasons

    def _lose(self, error: QuorumLost) -> None:
        """For good: nothing is written any more, and everybody who waits is told."""
        if self._lost is not None:
            return
        log.error("%s", error)
        self._lost = error
        for future in self._state.lose():
            if not future.done():
                future.set_exception(QuorumLost(error.what, error.reasons))

    def _check_not_lost(self) -> None:
        if self._lost is not None:
            raise QuorumLost("after the loss of the quorum", self._lost.reasons)

    def _watch_writes(self) -> None:
        """Looks after the oldest batch while there is one: its time is limited."""
        self._watch = None
        oldest = self._state.oldest
        if oldest is None:
            self._patience = self._watched = None
            return
        now_ms = self._clock.now_ms()
        if self._patience is None or self._watched is not oldest:
            self._patience = Patience(now_ms, self._settings.write_ms)
            self._watched = oldest
        wait_ms = self._patience.look(now_ms)
        if wait_ms == 0:
            what = f"write of txns {oldest.first_txid}-{oldest.last_txid}"
            late = f"{what}: timed out after {self._settings.write_ms} ms"
            self._lose(QuorumLost(late, self._reasons()))
            return
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(wait_ms / 1000, self._watch_writes)

    def _schedule_heartbeat(self) -> None:
        loop = asyncio.get_running_loop()
        self._heartbeat = loop.call_later(IDLE_HEARTBEAT_S, self._send_heartbeats)

    def _send_heartbeats(self) -> None:
        self._heartbeat = None
        if self._lost is not None:
            return
        for channel in self._channels.values():
            channel.heartbeat()
        if self._state.oldest is not None:
            self._schedule_heartbeat()

    # Asking a quorum

    def _read_all(
        self, method: str, request: Message, timeout_ms: int
    ) -> dict[NodeId, asyncio.Future[Any]]:
        return {
            journal: asyncio.ensure_future(channel.read(method, request, timeout_ms))
            for journal, channel in self._channels.items()
        }

    def _request_all(
        self, method: str, build: Any, timeout_ms: int
    ) -> dict[NodeId, asyncio.Future[Any]]:
        return {
            journal: channel.request(method, build, timeout_ms)
            for journal, channel in self._channels.items()
        }

    async def _must(
        self, what: str, asked: Mapping[NodeId, asyncio.Future[Any]], timeout_ms: int
    ) -> None:
        """A step without which there is no writer any more."""
        try:
            await self._quorum(what, asked, timeout_ms)
        except QuorumLost as error:
            self._lose(error)
            raise

    async def _quorum(
        self, what: str, asked: Mapping[NodeId, asyncio.Future[Any]], timeout_ms: int
    ) -> Mapping[NodeId, Any]:
        """The answers of a majority. Raises QuorumLost."""
        votes = await self._gather(asked, timeout_ms, self._majority)
        if votes.verdict is not tally.Verdict.WON:
            raise QuorumLost(what, votes.reasons(f"no answer in {timeout_ms} ms"))
        return votes.answers

    async def _gather(
        self,
        asked: Mapping[NodeId, asyncio.Future[Any]],
        timeout_ms: int,
        needed: int | None = None,
        until: Callable[[tally.Tally[Any]], bool] | None = None,
    ) -> tally.Tally[Any]:
        """Answers until `needed` are there (None: everybody's) or can't be, or `until` says that it
        is enough, or time is up."""
        votes: tally.Tally[Any] = tally.Tally(list(asked), len(asked) if needed is None else needed)
        for future in asked.values():
            # First of all: who asks may be cancelled while it waits.
            future.add_done_callback(_retrieve)
        if until is None and needed is not None:
            until = _is_decided
        await self._count(votes, asked, timeout_ms, until=until)
        return votes

    def _a_majority_spoke(self, votes: tally.Tally[Any]) -> bool:
        return len(votes.answers) + len(votes.failures) >= self._majority

    async def _count(
        self,
        votes: tally.Tally[Any],
        asked: Mapping[NodeId, asyncio.Future[Any]],
        timeout_ms: int,
        *,
        until: Callable[[tally.Tally[Any]], bool] | None = None,
    ) -> None:
        patience = Patience(self._clock.now_ms(), timeout_ms)
        while True:
            _count_done(votes, asked)
            if votes.complete or (until is not None and until(votes)):
                return
            wait_ms = patience.look(self._clock.now_ms())
            if wait_ms == 0:
                return
            rest = [future for future in asked.values() if not future.done()]
            await asyncio.wait(
                rest, timeout=min(wait_ms, TICK_MS) / 1000, return_when=asyncio.FIRST_COMPLETED
            )

    def _sign(self, request: Any) -> None:
        if self._nameservice_id is not None:
            request.nameServiceId = self._nameservice_id

    # Reading

    async def manifest(
        self, since_txid: TxId, in_progress_ok: bool = False
    ) -> Sequence[SegmentInfo]:
        manifests = await self._manifests(since_txid, in_progress_ok)
        sources = reader.chain(since_txid, manifests, self._majority)
        return [
            SegmentInfo(s.segment.first_txid, s.segment.last_txid, not s.segment.finalized)
            for s in sources
        ]

    async def newest_txid(self) -> TxId:
        # Everything from txid 1 on may have been purged; what is left is enough to know the end.
        return reader.newest_txid(await self._manifests(TxId(1), True), self._majority)

    async def edits(self, since_txid: TxId, max_txns: int = 5000) -> EditsChunk:
        chunk = await self._from_open_stream(since_txid, max_txns)
        if chunk is not None:
            return chunk
        await self._close_stream()
        chunk = await self._from_memory(since_txid, max_txns)
        return await self._from_segments(since_txid, max_txns) if chunk is None else chunk

    async def _from_open_stream(self, since_txid: TxId, max_txns: int) -> EditsChunk | None:
        """The next piece of the segment that is being read; None: start anew elsewhere."""
        stream = self._stream
        if stream is None or stream.next_txid != since_txid:
            return None
        try:
            return await self._from_stream(stream, since_txid, max_txns)
        except (LinkError, CorruptData) as error:
            log.warning("reading of %s ends: %s", stream.url, error)
            return None

    async def _from_memory(self, since_txid: TxId, max_txns: int) -> EditsChunk | None:
        """By getJournaledEdits; None: a majority can't answer, or the copies differ."""
        timeout_ms = self._settings.select_streams_ms
        request = qjournal.GetJournaledEditsRequestProto(
            jid=self._jid, sinceTxId=since_txid, maxTxns=max_txns
        )
        self._sign(request)
        asked = self._read_all("getJournaledEdits", request, timeout_ms)
        votes = await self._gather(asked, timeout_ms, self._majority, until=self._a_majority_spoke)
        if votes.verdict is tally.Verdict.PENDING:
            await self._count(votes, asked, SILENT_MS, until=_is_decided)
        if votes.verdict is not tally.Verdict.WON:
            log.debug("no tail in memory at %s: %s", since_txid, votes.reasons("no answer"))
            return None
        tail = reader.durable_tail(since_txid, _runs(since_txid, votes.answers), self._majority)
        if tail.more_possible and not votes.complete:
            await self._count(votes, asked, LAST_ANSWERS_MS)
            tail = reader.durable_tail(since_txid, _runs(since_txid, votes.answers), self._majority)
        if not tail.agreed:
            log.warning("journals hold different transactions from %s on", since_txid)
            return None
        if tail.run is None and tail.more_possible:
            # One has more: that may be finalized, and then one copy proves it.
            return None
        if tail.run is None:
            return EditsChunk(since_txid, 0, b"", NAMENODE_LAYOUT_VERSION)
        layout_version = _layout_version(votes.answers.values())
        count = tail.run.count
        return EditsChunk(since_txid, count, tail.run.data, layout_version, is_end=count < max_txns)

    async def _from_segments(self, since_txid: TxId, max_txns: int) -> EditsChunk:
        """From segment files over HTTP."""
        manifests = await self._manifests(since_txid, True, first_only=True)
        sources = reader.chain(since_txid, manifests, self._majority)
        if not sources:
            newest = reader.newest_txid(manifests, self._majority)
            if newest >= since_txid:
                held = f"the journals hold txids up to {newest}, but not {since_txid}"
                raise CorruptData("the journal", None, held)
            return EditsChunk(since_txid, 0, b"", NAMENODE_LAYOUT_VERSION)
        source = sources[0]
        if source.segment.finalized:
            return await self._from_finalized(source, since_txid, max_txns)
        return await self._from_unfinished(source, since_txid, max_txns)

    async def _from_finalized(
        self, source: reader.Source, since_txid: TxId, max_txns: int
    ) -> EditsChunk:
        reasons: dict[str, str] = {}
        for journal in source.journals:
            try:
                self._stream = await self._open_stream(journal, source.segment)
                chunk = await self._from_stream(self._stream, since_txid, max_txns)
                if chunk is not None:
                    return chunk
            except (HdfsdError, OSError) as error:
                if isinstance(error, InvariantBroken):
                    raise
                reasons[journal] = str(error)
                log.warning("segment %s from %s: %s", source.segment.first_txid, journal, error)
            await self._close_stream()
        raise QuorumLost(f"no journal gives the segment that holds txid {since_txid}", reasons)

    async def _from_unfinished(
        self, source: reader.Source, since_txid: TxId, max_txns: int
    ) -> EditsChunk:
        """Several copies are compared: one alone may be of a writer that was fenced."""
        reasons: dict[str, str] = {}
        runs, layout_version = [], NAMENODE_LAYOUT_VERSION
        for journal in source.journals:
            try:
                stream = await self._open_stream(journal, source.segment)
                try:
                    run = await stream.take(since_txid, max_txns)
                finally:
                    await stream.close()
            except (RemoteFault, LinkError, CorruptData) as error:
                reasons[journal] = str(error)
                continue
            if run is not None:
                runs.append(run)
                layout_version = stream.layout_version
        tail = reader.durable_tail(since_txid, runs, self._majority)
        if tail.run is None:
            log.debug("nothing agreed from %s on in the open segment: %s", since_txid, reasons)
            return EditsChunk(since_txid, 0, b"", layout_version)
        return EditsChunk(since_txid, tail.run.count, tail.run.data, layout_version)

    async def _from_stream(
        self, stream: SegmentStream, since_txid: TxId, max_txns: int
    ) -> EditsChunk | None:
        run = await stream.take(since_txid, max_txns)
        if run is None:
            return None
        return EditsChunk(run.first_txid, run.count, run.data, stream.layout_version)

    async def _open_stream(self, journal: NodeId, segment: reader.RemoteSegment) -> SegmentStream:
        channel = self._channels[journal]
        url = channel.segment_url(
            segment.first_txid, self._namespace.storage, in_progress_ok=not segment.finalized
        )
        stream = SegmentStream(url, segment.first_txid, segment.last_txid)
        settings = self._settings
        await stream.open(
            self._http, connect_ms=settings.http_connect_ms, read_ms=settings.http_read_ms
        )
        return stream

    async def _close_stream(self) -> None:
        if self._stream is not None:
            await self._stream.close()
            self._stream = None

    async def _manifests(
        self, since_txid: TxId, in_progress_ok: bool, *, first_only: bool = False
    ) -> Mapping[NodeId, Sequence[reader.RemoteSegment]]:
        """Of a majority at least; what is unfinished only many journals together can prove.
        `first_only`: nothing matters but the segment that holds `since_txid`."""
        request = qjournal.GetEditLogManifestRequestProto(
            jid=self._jid, sinceTxId=since_txid, inProgressOk=in_progress_ok
        )
        self._sign(request)
        timeout_ms = self._settings.select_streams_ms
        asked = self._read_all("getEditLogManifest", request, timeout_ms)
        votes = await self._gather(asked, timeout_ms, self._majority)
        if votes.verdict is not tally.Verdict.WON:
            silent = f"no answer in {timeout_ms} ms"
            raise QuorumLost(f"getEditLogManifest({since_txid})", votes.reasons(silent))
        if in_progress_ok:
            # What is finalized is proven by one copy; the others may be read when that is broken.
            sources = reader.chain(since_txid, _segments(votes), self._majority)
            proven = first_only and bool(sources) and sources[0].segment.finalized
            await self._count(votes, asked, SILENT_MS if proven else LAST_ANSWERS_MS)
        return _segments(votes)


def _is_decided(votes: tally.Tally[Any]) -> bool:
    return votes.verdict is not tally.Verdict.PENDING


def _segments(votes: tally.Tally[Any]) -> dict[NodeId, Sequence[reader.RemoteSegment]]:
    return {
        journal: [_remote_segment(entry) for entry in answer.manifest.logs]
        for journal, answer in votes.answers.items()
    }


def _prepare_answer(
    journal: NodeId, answer: qjournal.PrepareRecoveryResponseProto
) -> recovery.PrepareAnswer:
    state = answer.segmentState
    segment = (
        recovery.Segment(TxId(state.startTxId), TxId(state.endTxId), not state.isInProgress)
        if answer.HasField("segmentState")
        else None
    )
    return recovery.PrepareAnswer(
        journal,
        segment,
        Epoch(answer.acceptedInEpoch),
        Epoch(answer.lastWriterEpoch),
        TxId(answer.lastCommittedTxId),
    )


def _remote_segment(entry: hdfs_server.RemoteEditLogProto) -> reader.RemoteSegment:
    return reader.RemoteSegment(
        TxId(entry.startTxId), TxId(entry.endTxId), finalized=not entry.isInProgress
    )


def _runs(
    since_txid: TxId, answers: Mapping[NodeId, qjournal.GetJournaledEditsResponseProto]
) -> list[Run]:
    return [
        Run(since_txid, answer.txnCount, answer.editLog[HEADER_BYTES:])
        for answer in answers.values()
    ]


def _layout_version(answers: Any) -> int:
    for answer in answers:
        if answer.txnCount:
            return read_header(answer.editLog, "getJournaledEdits")[0]
    return NAMENODE_LAYOUT_VERSION


def _namespace_message(namespace: NamespaceInfo) -> hdfs_server.NamespaceInfoProto:
    storage = namespace.storage
    return hdfs_server.NamespaceInfoProto(
        buildVersion=SOFTWARE_VERSION,
        unused=0,
        blockPoolID=namespace.block_pool_id,
        softwareVersion=SOFTWARE_VERSION,
        storageInfo=hdfs_server.StorageInfoProto(
            layoutVersion=storage.layout_version % (1 << 32),
            namespceID=storage.namespace_id % (1 << 32),
            clusterID=storage.cluster_id,
            cTime=storage.ctime_ms,
        ),
    )


def _count_done(votes: tally.Tally[Any], asked: Mapping[NodeId, asyncio.Future[Any]]) -> None:
    for journal, future in asked.items():
        if not future.done() or votes.has_heard(journal):
            continue
        error = None if future.cancelled() else future.exception()
        if isinstance(error, InvariantBroken):
            raise error
        if error is not None or future.cancelled():
            votes.fail(journal, str(error or "cancelled"))
        else:
            votes.answer(journal, future.result())


def _retrieve(future: asyncio.Future[Any]) -> None:
    # Answers that come after the decision are nobody's.
    if not future.cancelled():
        future.exception()


def _log_failure(what: str) -> Any:
    def done(future: asyncio.Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            log.warning("%s: %s", what, error)

    return done
