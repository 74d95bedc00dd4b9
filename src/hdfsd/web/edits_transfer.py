"""Driver. The HTTP address of a JournalNode: its segments as they lie, for peers and readers.

Statuses and headers: wire fact journal-http.md section 2 (GetJournalEditServlet).
"""

from __future__ import annotations

from email.utils import formatdate

from hdfsd.base.errors import HdfsdError, IOFault
from hdfsd.base.ids import StorageInfo, TxId
from hdfsd.journal.acceptor import Segment
from hdfsd.journal.journal import Journal
from hdfsd.journal.node import JournalNode
from hdfsd.ports.clock import Clock
from hdfsd.ports.http import FileBody, HttpRequest, HttpResponse
from hdfsd.web.journalnode_pages import JMX, METRICS, JournalNodePages

GET_JOURNAL = "/getJournal"


class EditsTransfer:
    """The HTTP side of a JournalNode."""

    def __init__(self, node: JournalNode, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        pages = JournalNodePages(node, clock)
        self._pages = {JMX: pages.jmx, METRICS: pages.metrics}

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """The handler for all paths of a JournalNode's HTTP address."""
        if request.method not in ("GET", "HEAD"):
            return _error(405, "only GET is served here")
        if request.path == GET_JOURNAL:
            return await self.get_journal(request)
        page = self._pages.get(request.path)
        if page is not None:
            return page(request)
        return _error(404, f"nothing at {request.path}")

    async def get_journal(self, request: HttpRequest) -> HttpResponse:
        query = request.query
        try:
            journal = self._node.journal(query.get("jid", ""))
            await journal.open()
            refusal = _foreign(journal, query.get("storageInfo"))
            if refusal is not None:
                return _error(403, refusal)
            first_txid = _txid(query.get("segmentTxId"))
            in_progress_ok = query.get("inProgressOk", "true").lower() != "false"
            segment = journal.acceptor.state.segments.get(first_txid)
            if segment is None or not (segment.finalized or in_progress_ok):
                return _error(404, f"No edit log found starting at txid {first_txid}")
            return self._file(journal, segment)
        except (HdfsdError, OSError, ValueError) as error:
            return _error(500, f"getedit failed. {error}")

    def _file(self, journal: Journal, segment: Segment) -> HttpResponse:
        path = journal.store.path_of(segment)
        size = journal.store.size_of(segment)
        name = path.rpartition("/")[2]
        now = formatdate(self._clock.wall_ms() / 1000, usegmt=True)
        headers = {
            "Content-Length": str(size),
            "Content-Disposition": f"attachment; filename={name}",
            "X-Image-Edits-Name": name,
            "Content-Type": "text/plain;charset=utf-8",
            "Cache-Control": "no-cache",
            "Expires": now,
            "Date": now,
            "Pragma": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "X-XSS-Protection": "1; mode=block",
        }
        return HttpResponse(200, headers, FileBody(path, size))


def _foreign(journal: Journal, storage_info: str | None) -> str | None:
    """Why a caller of another namespace is refused; None when it is of ours, or does not say."""
    if storage_info is None:
        return None
    ours = journal.acceptor.state.storage
    theirs = StorageInfo.parse_colon_form(storage_info)
    if ours is None:
        return f"This node's journal {journal.journal_id} is not formatted"
    if (ours.namespace_id, ours.cluster_id) == (theirs.namespace_id, theirs.cluster_id):
        return None
    return (
        f"This node has namespaceId '{ours.namespace_id} and clusterId '{ours.cluster_id}' but the"
        f" requesting node expected '{theirs.namespace_id}' and '{theirs.cluster_id}'"
    )


def _txid(text: str | None) -> TxId:
    if text is None:
        raise IOFault("Invalid request has no segmentTxId parameter")
    return TxId(int(text))


def _error(status: int, message: str) -> HttpResponse:
    reason = " ".join(message.split())[:500]
    return HttpResponse(
        status, {"Content-Type": "text/plain;charset=utf-8"}, message.encode(), reason
    )
