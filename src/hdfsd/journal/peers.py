"""Driver. What a JournalNode asks another, ours or Hadoop's: its manifest, and who it is."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import quote, urlsplit

from hdfsd.base.errors import HdfsdError, IOFault, JournalNotFormatted, NoSuchMethod
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, Address, Epoch, StorageInfo, TxId
from hdfsd.journal.acceptor import Segment, storage_info
from hdfsd.journal.catchup import PeerIdentity, PeerView
from hdfsd.ports.dice import Dice
from hdfsd.ports.http import HttpClient
from hdfsd.ports.network import Network
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import Message, qjournal
from hdfsd.wire.services import INTER_QJOURNAL_PROTOCOL, QJOURNAL_PROTOCOL

MANIFEST_SEGMENTS_MAX = 1_000_000
REFUSAL_BYTES_MAX = 1 << 16
_FOREIGN = StorageInfo(NAMENODE_LAYOUT_VERSION, 0, 0, "hdfsd-asks-who-you-are")
_IDENTITY = re.compile(r"This node has namespaceId '(-?\d+) and clusterId '([^']+)'")
"""GetJournalEditServlet's refusal of a foreign caller, in the page of it; the quote is missing."""


class Peer:
    """One other JournalNode, for one journal and one round."""

    def __init__(
        self,
        address: Address,
        journal_id: str,
        *,
        network: Network,
        http: HttpClient,
        dice: Dice,
        user: str,
        timeout_ms: int,
    ) -> None:
        self.address = address
        self._journal_id = journal_id
        self._http = http
        self._timeout_ms = timeout_ms
        self._inter, self._quorum = (
            RpcClient(network, address, protocol, user=user, dice=dice)
            for protocol in (INTER_QJOURNAL_PROTOCOL, QJOURNAL_PROTOCOL)
        )

    async def look(self) -> PeerView:
        """Its segments. Raises HdfsdError: no link, not formatted, nonsense."""
        request = qjournal.GetEditLogManifestRequestProto(
            jid=self._jid(), sinceTxId=0, inProgressOk=True
        )
        reply = await self._inter.call(
            "getEditLogManifestFromJournal", request, deadline_ms=self._timeout_ms
        )
        rows = reply.manifest.logs
        if len(rows) > MANIFEST_SEGMENTS_MAX:
            raise IOFault(f"{self.address}: a manifest of {len(rows)} segments")
        if any(not 0 < row.startTxId <= row.endTxId for row in rows if not row.isInProgress):
            raise IOFault(f"{self.address}: a manifest with a segment that ends before it begins")
        return PeerView(
            finalized=tuple(
                Segment(TxId(row.startTxId), TxId(row.endTxId), True)
                for row in rows
                if not row.isInProgress
            ),
            highest_txid=TxId(max((row.endTxId for row in rows), default=0)),
            committed=TxId(_signed_long(reply.manifest.committedTxnId)),
            http_url=self._http_url(reply.fromURL, reply.httpPort),
        )

    async def identify(self) -> PeerIdentity:
        """What it is a journal of, and what it promised. Raises HdfsdError."""
        # The promise first: what it answers later can only be more.
        view = await self.look()
        state = await self._ask("getJournalState", qjournal.GetJournalStateRequestProto)
        storage = await self._storage(view.http_url)
        return PeerIdentity(storage, Epoch(state.lastPromisedEpoch), view.highest_txid)

    def segment_url(self, view: PeerView, segment: Segment, storage: StorageInfo) -> str:
        return self._get_journal(view.http_url, segment.first_txid, storage)

    async def close(self) -> None:
        await self._inter.close()
        await self._quorum.close()

    async def _storage(self, http_url: str) -> StorageInfo:
        request = qjournal.IsFormattedRequestProto(jid=self._jid())
        try:
            reply = await self._inter.call("getStorageInfo", request, deadline_ms=self._timeout_ms)
        except NoSuchMethod:
            return await self._storage_of_older(http_url)
        storage = storage_info(reply)
        if storage.namespace_id == 0:
            raise JournalNotFormatted(f"{self.address}: not formatted")
        return storage

    async def _storage_of_older(self, http_url: str) -> StorageInfo:
        """Of Hadoop before 3.5, whose refusal of a foreigner names what it would accept."""
        url = self._get_journal(http_url, TxId(1), _FOREIGN)
        timeout_ms = self._timeout_ms
        reply = await self._http.request("GET", url, connect_ms=timeout_ms, read_ms=timeout_ms)
        text = b""
        try:
            async for chunk in reply.chunks():
                text = (text + chunk)[:REFUSAL_BYTES_MAX]
        finally:
            await reply.close()
        match = _IDENTITY.search(unescape(text.decode(errors="replace")))
        if reply.status != 403 or match is None:
            raise IOFault(f"{url}: HTTP {reply.status} {reply.reason}: it does not say who it is")
        ctime = await self._ask("getJournalCTime", qjournal.GetJournalCTimeRequestProto)
        namespace_id = int(match[1])
        if namespace_id == 0:
            raise JournalNotFormatted(f"{self.address}: not formatted")
        return StorageInfo(NAMENODE_LAYOUT_VERSION, namespace_id, ctime.resultCTime, match[2])

    async def _ask(self, method: str, kind: type[Message]) -> Any:
        request = kind(jid=self._jid())
        return await self._quorum.call(method, request, deadline_ms=self._timeout_ms)

    def _jid(self) -> qjournal.JournalIdProto:
        return qjournal.JournalIdProto(identifier=self._journal_id)

    def _http_url(self, from_url: str, http_port: int) -> str:
        """Scheme and port as it says, the host as we reach it."""
        try:
            parts = urlsplit(from_url)
            scheme, port = parts.scheme or "http", parts.port or http_port
        except ValueError as error:
            raise IOFault(f"{self.address}: fromURL {from_url!r}: {error}") from error
        return f"{scheme}://{Address(self.address.host, port)}"

    def _get_journal(self, http_url: str, first_txid: TxId, storage: StorageInfo) -> str:
        return (
            f"{http_url}/getJournal?jid={quote(self._journal_id, safe='')}"
            f"&segmentTxId={first_txid}&storageInfo={quote(storage.colon_form(), safe='')}"
            "&inProgressOk=false"
        )


def reason_of(error: HdfsdError) -> str:
    """In one line, for a table of peers."""
    return " ".join(str(error).split())[:300]


def _signed_long(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
