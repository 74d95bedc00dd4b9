"""Driver. QJournalProtocol and InterQJournalProtocol of a JournalNode, one handler per method.

What changes a journal goes through its queue and is answered later; questions are answered at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from hdfsd.base.errors import IOFault
from hdfsd.base.ids import TxId
from hdfsd.journal.journal import Journal
from hdfsd.journal.node import JournalNode
from hdfsd.rpc.server import DEFERRED, Call, Deferred
from hdfsd.wire.messages import Message, hdfs_server, qjournal

M = TypeVar("M", bound=Message)

IN_ORDER_MARK = b"\xc0\x3e\x01"
"""Field 1000, varint 1, which Hadoop does not know and ignores: requests of one connection are
executed in the order of their arrival, so a writer may send the next before the last is answered.
Hadoop's JournalNode gives them to five handlers at once and promises no order."""


class JournalService:
    """Handlers; `node` finds the journal that a request names."""

    def __init__(self, node: JournalNode) -> None:
        self._node = node

    # Requests of a writer: queued.

    def journal(self, request: qjournal.JournalRequestProto, call: Call) -> Deferred:
        return self._queue("journal", request.reqInfo.journalId, request, call)

    def heartbeat(self, request: qjournal.HeartbeatRequestProto, call: Call) -> Deferred:
        return self._queue("heartbeat", request.reqInfo.journalId, request, call)

    def new_epoch(self, request: qjournal.NewEpochRequestProto, call: Call) -> Deferred:
        return self._queue("new_epoch", request.jid, request, call)

    def start_log_segment(
        self, request: qjournal.StartLogSegmentRequestProto, call: Call
    ) -> Deferred:
        return self._queue("start_log_segment", request.reqInfo.journalId, request, call)

    def finalize_log_segment(
        self, request: qjournal.FinalizeLogSegmentRequestProto, call: Call
    ) -> Deferred:
        return self._queue("finalize_log_segment", request.reqInfo.journalId, request, call)

    def purge_logs(self, request: qjournal.PurgeLogsRequestProto, call: Call) -> Deferred:
        return self._queue("purge_logs", request.reqInfo.journalId, request, call)

    def prepare_recovery(
        self, request: qjournal.PrepareRecoveryRequestProto, call: Call
    ) -> Deferred:
        return self._queue("prepare_recovery", request.reqInfo.journalId, request, call)

    def accept_recovery(self, request: qjournal.AcceptRecoveryRequestProto, call: Call) -> Deferred:
        return self._queue("accept_recovery", request.reqInfo.journalId, request, call)

    def discard_segments(
        self, request: qjournal.DiscardSegmentsRequestProto, call: Call
    ) -> Deferred:
        return self._queue("discard_segments", request.jid, request, call)

    def format(self, request: qjournal.FormatRequestProto, call: Call) -> Deferred:
        journal = self._node.keep(self._node.journal(request.jid.identifier))
        journal.submit("format", request, call)
        return DEFERRED

    def do_pre_upgrade(self, request: qjournal.DoPreUpgradeRequestProto, call: Call) -> Deferred:
        return self._queue("do_pre_upgrade", request.jid, request, call)

    def do_upgrade(self, request: qjournal.DoUpgradeRequestProto, call: Call) -> Deferred:
        return self._queue("do_upgrade", request.jid, request, call)

    def do_finalize(self, request: qjournal.DoFinalizeRequestProto, call: Call) -> Deferred:
        return self._queue("do_finalize", request.jid, request, call)

    def do_rollback(self, request: qjournal.DoRollbackRequestProto, call: Call) -> Deferred:
        return self._queue("do_rollback", request.jid, request, call)

    # Questions

    def is_formatted(
        self, request: qjournal.IsFormattedRequestProto, call: Call
    ) -> Message | Awaitable[Message]:
        def answer(journal: Journal) -> qjournal.IsFormattedResponseProto:
            formatted = journal.acceptor.state.storage is not None
            return qjournal.IsFormattedResponseProto(isFormatted=formatted)

        return self._ask(request.jid, answer)

    def get_journal_state(
        self, request: qjournal.GetJournalStateRequestProto, call: Call
    ) -> Message | Awaitable[Message]:
        def answer(journal: Journal) -> qjournal.GetJournalStateResponseProto:
            journal.acceptor.check_formatted()
            reply = qjournal.GetJournalStateResponseProto(
                lastPromisedEpoch=journal.acceptor.state.promised,
                httpPort=self._node.http_address.port,
                fromURL=self._node.http_url,
            )
            reply.MergeFromString(IN_ORDER_MARK)
            return reply

        return self._ask(request.jid, answer)

    def get_journal_c_time(
        self, request: qjournal.GetJournalCTimeRequestProto, call: Call
    ) -> Message | Awaitable[Message]:
        def answer(journal: Journal) -> qjournal.GetJournalCTimeResponseProto:
            storage = journal.acceptor.check_formatted()
            return qjournal.GetJournalCTimeResponseProto(resultCTime=storage.ctime_ms)

        return self._ask(request.jid, answer)

    def get_edit_log_manifest(
        self, request: qjournal.GetEditLogManifestRequestProto, call: Call
    ) -> Message | Awaitable[Message]:
        def answer(journal: Journal) -> qjournal.GetEditLogManifestResponseProto:
            return self._manifest(journal, request)

        return self._ask(request.jid, answer)

    def get_edit_log_manifest_from_journal(
        self, request: qjournal.GetEditLogManifestRequestProto, call: Call
    ) -> Message | Awaitable[Message]:
        """InterQJournalProtocol: the same for another JournalNode."""
        return self.get_edit_log_manifest(request, call)

    def get_storage_info(
        self, request: qjournal.IsFormattedRequestProto, call: Call
    ) -> Message | Awaitable[Message]:
        """InterQJournalProtocol of Hadoop 3.5 (HDFS-16690): for an empty journal."""

        def answer(journal: Journal) -> hdfs_server.StorageInfoProto:
            storage = journal.acceptor.check_formatted()
            return hdfs_server.StorageInfoProto(
                layoutVersion=storage.layout_version % (1 << 32),
                namespceID=storage.namespace_id % (1 << 32),
                clusterID=storage.cluster_id,
                cTime=storage.ctime_ms,
            )

        return self._ask(request.jid, answer)

    def get_journaled_edits(
        self, request: qjournal.GetJournaledEditsRequestProto, call: Call
    ) -> Message | Awaitable[Message]:
        def answer(journal: Journal) -> qjournal.GetJournaledEditsResponseProto:
            journal.acceptor.check_formatted()
            count, data = journal.journaled_edits(TxId(request.sinceTxId), request.maxTxns)
            reply = qjournal.GetJournaledEditsResponseProto(txnCount=count)
            if count:
                reply.editLog = data
            return reply

        return self._ask(request.jid, answer)

    def can_roll_back(
        self, request: qjournal.CanRollBackRequestProto, call: Call
    ) -> Message | Awaitable[Message]:
        def answer(journal: Journal) -> qjournal.CanRollBackResponseProto:
            can = journal.acceptor.can_roll_back(request)
            return qjournal.CanRollBackResponseProto(canRollBack=can)

        return self._ask(request.jid, answer)

    def _manifest(
        self, journal: Journal, request: qjournal.GetEditLogManifestRequestProto
    ) -> qjournal.GetEditLogManifestResponseProto:
        acceptor = journal.acceptor
        reply = qjournal.GetEditLogManifestResponseProto(
            httpPort=self._node.http_address.port, fromURL=self._node.http_url
        )
        manifest: hdfs_server.RemoteEditLogManifestProto = reply.manifest
        # Java converts the signed long: no committed txid travels as two's complement.
        manifest.committedTxnId = acceptor.state.committed % (1 << 64)
        for segment in acceptor.manifest(TxId(request.sinceTxId), request.inProgressOk):
            manifest.logs.add(
                startTxId=segment.first_txid,
                endTxId=segment.last_txid,
                isInProgress=not segment.finalized,
            )
        return reply

    def _queue(
        self, method: str, journal_id: qjournal.JournalIdProto, request: Message, call: Call
    ) -> Deferred:
        self._node.journal(journal_id.identifier).submit(method, request, call)
        return DEFERRED

    def _ask(
        self, journal_id: qjournal.JournalIdProto, answer: Callable[[Journal], M]
    ) -> M | Awaitable[M]:
        journal = self._node.journal(journal_id.identifier)
        return answer(journal) if journal.is_open else _open_and_ask(journal, answer)


async def _open_and_ask(journal: Journal, answer: Callable[[Journal], M]) -> M:
    try:
        await journal.open()
    except OSError as error:
        raise IOFault(f"{error} ; journal id: {journal.journal_id}") from error
    return answer(journal)
