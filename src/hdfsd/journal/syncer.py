"""Driver. A journal heals from its peers: what it missed while it was down, or all of it.

One round asks every peer for its manifest, fetches what journal.catchup wants, and puts it in place
through the journal's own queue. Hadoop's JournalNodeSyncer asks one peer per interval.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hdfsd.base.errors import HdfsdError
from hdfsd.base.ids import INVALID_TXID, Address, StorageInfo, TxId
from hdfsd.journal import catchup
from hdfsd.journal.acceptor import CaughtUp, InstallSegment
from hdfsd.journal.catchup import PeerView, Wanted
from hdfsd.journal.journal import Journal
from hdfsd.journal.node import JournalNode
from hdfsd.journal.peers import Peer, reason_of

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SyncOptions:
    interval_ms: int
    """dfs.journalnode.sync.interval"""
    may_format: bool
    """dfs.journalnode.enable.sync.format"""


class JournalSyncer:
    """Of one journal id; `run` until it is cancelled."""

    def __init__(
        self,
        node: JournalNode,
        journal_id: str,
        addresses: Sequence[Address],
        *,
        options: SyncOptions,
        make_peer: Callable[[Address, str], Peer],
    ) -> None:
        """`addresses`: the other JournalNodes of the journal."""
        self.journal_id = journal_id
        self._node = node
        self._addresses = tuple(addresses)
        self._options = options
        self._make_peer = make_peer
        self._turn = 0
        self._told: dict[str, str] = {}
        """What was last logged of what, so that it is not logged each round."""

    async def run(self) -> None:
        while True:
            complete = await self._guarded_round()
            await asyncio.sleep(
                catchup.pause_ms(self._options.interval_ms, complete=complete) / 1000
            )

    async def _guarded_round(self) -> bool:
        try:
            return await self.round()
        except (HdfsdError, OSError) as error:
            self._tell("round", f"journal {self.journal_id}: it could not be synchronised: {error}")
            return False

    async def round(self) -> bool:
        """Whether everything that peers could give is here now."""
        journal = self._node.journal(self.journal_id)
        await journal.open()
        peers = {address: self._make_peer(address, self.journal_id) for address in self._addresses}
        try:
            if journal.acceptor.state.storage is None:
                return await self._format(journal, peers)
            return await self._heal(journal, peers)
        finally:
            for peer in peers.values():
                await peer.close()
            self._turn += 1

    # An empty journal

    async def _format(self, journal: Journal, peers: Mapping[Address, Peer]) -> bool:
        if not self._options.may_format or journal.acceptor.state.has_edits:
            return True  # It waits for a NameNode's format.
        found = await _ask_all(peers, lambda peer: peer.identify())
        decision = catchup.adoption(
            {a: who if not isinstance(who, HdfsdError) else reason_of(who) for a, who in found},
            len(peers) + 1,
        )
        if decision.adopt is None:
            self._tell("format", f"journal {self.journal_id}: not formatted: {decision.reason}")
            return False
        log.warning(
            "journal %s: formatting it from its peers: %s", self.journal_id, decision.reason
        )
        journal = self._node.keep(journal)
        await journal.perform("adopt_storage", decision.adopt)
        return await self._heal(journal, peers)

    # A journal that may lack something

    async def _heal(self, journal: Journal, peers: Mapping[Address, Peer]) -> bool:
        found = await _ask_all(peers, lambda peer: peer.look())
        views = {a: view for a, view in found if isinstance(view, PeerView)}
        for address, error in found:
            if isinstance(error, HdfsdError):
                self._tell(
                    str(address), f"journal {self.journal_id}: {address}: {reason_of(error)}"
                )
            else:
                self._told.pop(str(address), None)
        state, status = journal.acceptor.state, journal.sync_status
        status.peers_committed = max((v.committed for v in views.values()), default=INVALID_TXID)
        steps = catchup.plan(state.segments, journal.acceptor.open_first, views, self._turn)
        status.divergent = steps.divergent
        for cause in steps.divergent:
            self._tell(cause, f"journal {self.journal_id}: {cause}", level=logging.ERROR)
        complete = len(views) == len(peers)
        for wanted in steps.wanted:
            assert state.storage is not None, "healing is for formatted journals"
            complete &= await self._fetch(journal, wanted, peers, views, state.storage)
        if steps.wanted:
            await journal.store.clear_fetched()
        complete &= await self._end_learning(journal, views, len(peers) + 1)
        status.rounds += 1
        journal.note_lag()
        return complete

    async def _fetch(
        self,
        journal: Journal,
        wanted: Wanted,
        peers: Mapping[Address, Peer],
        views: Mapping[Address, PeerView],
        storage: StorageInfo,
    ) -> bool:
        first, last = wanted.segment.first_txid, wanted.segment.last_txid
        assert last is not None, "finalized segments have an end"
        for source in wanted.sources:
            url = peers[source].segment_url(views[source], wanted.segment, storage)
            try:
                await journal.store.fetch_finalized(url, first, last)
                await journal.perform("install_segment", InstallSegment(first, last))
            except (HdfsdError, OSError) as error:
                log.warning("journal %s: segment %s: %s", self.journal_id, first, error)
                continue
            journal.sync_status.segments_synced += 1
            return True
        return False

    async def _end_learning(
        self, journal: Journal, views: Mapping[Address, PeerView], journal_count: int
    ) -> bool:
        until = journal.acceptor.state.learn_until
        if until is None:
            return True
        segments: Mapping[TxId, Any] = journal.acceptor.state.segments
        missing = catchup.still_missing(segments, until, views, journal_count)
        if missing is not None:
            self._tell("learning", f"journal {self.journal_id}: it does not vote yet: {missing}")
            return False
        await journal.perform("caught_up", CaughtUp())
        log.warning("journal %s: it holds what its peers had: it votes", self.journal_id)
        return True

    def _tell(self, what: str, text: str, *, level: int = logging.WARNING) -> None:
        if self._told.get(what) != text:
            self._told[what] = text
            log.log(level, "%s", text)


async def _ask_all(
    peers: Mapping[Address, Peer], ask: Callable[[Peer], Coroutine[Any, Any, T]]
) -> list[tuple[Address, T | HdfsdError]]:
    async def one(peer: Peer) -> T | HdfsdError:
        try:
            return await ask(peer)
        except HdfsdError as error:
            return error

    answers = await asyncio.gather(*(one(peer) for peer in peers.values()))
    return list(zip(peers, answers, strict=True))
