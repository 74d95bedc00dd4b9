"""Core. What one journal answers to a writer: its promises, its segments, its accepted recoveries.

`step` takes a request of QJournalProtocol and returns effects in the order in which they must be
durable; the last one is the answer. Rules: Hadoop's Journal.java, wire fact editlog.md section 7.

- J1 (P2): nothing is accepted from an epoch below the promised one; a promise is persisted before
  anything else of its request, and survives a restart.
- J2: transactions are appended without gap, to the open segment, by the epoch that opened it.
- J3 (P3): an accepted recovery is persisted before the segment that it is about is replaced, and
  forgotten only when the segment is finalized or started anew.
- J4 (P1): the answer to `journal` stands behind its Append, which the store syncs.
- J5 (P8): a batch is appended only when it is the transactions it is said to be, checksums right.
- J7 (P1): a segment with a transaction is not started again in the epoch that wrote it.

An effect that fails leaves this object ahead of the disk: it must be thrown away and loaded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hdfsd.base.errors import (
    CorruptData,
    IllegalArgument,
    IllegalState,
    InconsistentStorage,
    IOFault,
    JournalNotFormatted,
    JournalOutOfSync,
    NewerTxnId,
    RemoteFault,
)
from hdfsd.base.ids import INVALID_TXID, Epoch, StorageInfo, TxId
from hdfsd.editlog import files
from hdfsd.editlog.codec import LAYOUT_WITH_LENGTH
from hdfsd.editlog.frames import check_run
from hdfsd.journal import layout, upgrade
from hdfsd.wire.messages import Message, hdfs_server, qjournal

NO_EPOCH = Epoch(0)
ASSERTION_ERROR = "java.lang.AssertionError"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment on this disk; `last_txid` (inclusive) is None when it holds no transaction."""

    first_txid: TxId
    last_txid: TxId | None
    finalized: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted recovery: the end that was decided, and in which epoch."""

    first_txid: TxId
    last_txid: TxId
    in_progress: bool
    epoch: Epoch


@dataclass(slots=True)
class JournalState:
    """What the disk says of one journal."""

    storage: StorageInfo | None = None
    """None: not formatted."""
    has_data: bool = False
    """Something lies in `current/`, formatted or not."""
    promised: Epoch = NO_EPOCH
    writer_epoch: Epoch = NO_EPOCH
    committed: TxId = INVALID_TXID
    segments: dict[TxId, Segment] = field(default_factory=dict)
    accepted: dict[TxId, Accepted] = field(default_factory=dict)
    has_current: bool = False
    siblings: frozenset[str] = frozenset()
    """Directories of an upgrade beside `current/`: names of journal.upgrade."""
    previous: StorageInfo | None = None
    """Of `previous/`, the state before an upgrade."""
    has_edits: bool = False
    """Not formatted, yet there are segments."""
    learn_until: TxId | None = None
    """Formatted from its peers: it votes when it holds what they had then (journal.catchup)."""

    @property
    def upgrading(self) -> bool:
        """Between doPreUpgrade and doUpgrade."""
        return upgrade.PREVIOUS_TMP in self.siblings

    @property
    def highest_txid(self) -> TxId:
        """The last transaction of the newest segment that has any; 0 when there is none."""
        ends = (s.last_txid for s in self.segments.values() if s.last_txid is not None)
        return max(ends, default=TxId(0))


# Effects. The store executes them left to right and stops at the first failure.


@dataclass(frozen=True, slots=True)
class PersistPromise:
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class PersistWriterEpoch:
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class NoteCommitted:
    """Best effort: not synced, as it is only a lower bound."""

    txid: TxId


@dataclass(frozen=True, slots=True)
class OpenSegment:
    """Creates or empties the in-progress file and writes its header."""

    first_txid: TxId
    layout_version: int


@dataclass(frozen=True, slots=True)
class Append:
    """Whole op frames for the open segment; durable before the Reply behind it."""

    first_txid: TxId
    last_txid: TxId
    data: bytes


@dataclass(frozen=True, slots=True)
class CloseSegment:
    """Closes the open file; `trim` cuts its padding off (a regular end, not an abort)."""

    first_txid: TxId
    trim: bool


@dataclass(frozen=True, slots=True)
class FinalizeSegment:
    """Renames the in-progress file to its finalized name."""

    first_txid: TxId
    last_txid: TxId


@dataclass(frozen=True, slots=True)
class SetAside:
    """Renames a segment's file by adding a suffix: ".empty" or ".trash"."""

    segment: Segment
    suffix: str


@dataclass(frozen=True, slots=True)
class FetchSegment:
    """Downloads the segment from a peer beside our own; fails unless it ends at `last_txid`."""

    first_txid: TxId
    last_txid: TxId
    epoch: Epoch
    url: str


@dataclass(frozen=True, slots=True)
class PersistAccepted:
    accepted: Accepted


@dataclass(frozen=True, slots=True)
class InstallFetched:
    """Puts the fetched file into the in-progress file's place."""

    first_txid: TxId
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class DropAccepted:
    first_txid: TxId


@dataclass(frozen=True, slots=True)
class PurgeBelow:
    """Removes what ends below `min_txid`, except the segment that is being written."""

    min_txid: TxId
    open_first: TxId | None


@dataclass(frozen=True, slots=True)
class Format:
    """Wipes `current/` and writes a new VERSION; the rest before it."""

    storage: StorageInfo
    promised: Epoch = NO_EPOCH
    learn_until: TxId | None = None


@dataclass(frozen=True, slots=True)
class InstallSynced:
    """Moves a fetched finalized segment from `edits.sync` to `current`."""

    first_txid: TxId
    last_txid: TxId


@dataclass(frozen=True, slots=True)
class EndLearning:
    """From now on the journal votes."""


@dataclass(frozen=True, slots=True)
class PreUpgrade:
    """`current` becomes `previous.tmp`; a new one shares its segments."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Completes the new `current` with this VERSION; `previous.tmp` becomes `previous`."""

    storage: StorageInfo


@dataclass(frozen=True, slots=True)
class FinalizeUpgrade:
    """Removes `previous`, by way of `finalized.tmp`."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """`previous` becomes `current`, with this promise; what was current is removed."""

    promised: Epoch


@dataclass(frozen=True, slots=True)
class Reply:
    message: Message


@dataclass(frozen=True, slots=True)
class Refuse:
    fault: RemoteFault


Effect = (
    PersistPromise
    | PersistWriterEpoch
    | NoteCommitted
    | OpenSegment
    | Append
    | CloseSegment
    | FinalizeSegment
    | SetAside
    | FetchSegment
    | PersistAccepted
    | InstallFetched
    | DropAccepted
    | PurgeBelow
    | Format
    | InstallSynced
    | EndLearning
    | PreUpgrade
    | Upgrade
    | FinalizeUpgrade
    | Rollback
    | Reply
    | Refuse
)


# Requests of this process itself (journal.syncer), which no RPC can make.


@dataclass(frozen=True, slots=True)
class InstallSegment:
    """A finalized segment of a peer has been fetched."""

    first_txid: TxId
    last_txid: TxId


@dataclass(frozen=True, slots=True)
class AdoptStorage:
    """Format an empty journal as its peers are (journal.catchup)."""

    storage: StorageInfo
    promised: Epoch
    learn_until: TxId | None


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The journal holds what it was to learn."""


Request = Message | InstallSegment | AdoptStorage | CaughtUp

_JOURNAL_RESPONSE = qjournal.JournalResponseProto()
_DONE = qjournal.HeartbeatResponseProto()
"""What those requests are answered with: nothing."""


class Acceptor:
    """One journal between two requests. `root` is its directory, for messages."""

    def __init__(self, journal_id: str, root: str, state: JournalState) -> None:
        self.journal_id = journal_id
        self.state = state
        self.open_first: TxId | None = None
        """First txid of the segment that is open for writing."""
        self.next_txid = INVALID_TXID
        """What the next batch must start with; stands after the segment was closed."""
        self.durable_txid = state.highest_txid
        """The highest transaction that is synced: readers see no more."""
        self.source_is_us = False
        """Whether the URL of the acceptRecovery at hand is our own: nothing to download."""
        self._open_layout = 0
        """Layout version of the open segment."""
        self._ipc_serial = -1
        self._root = root

    # Requests: one method per RPC that changes something, all of one shape.

    def step(self, method: str, request: Request) -> list[Effect]:
        """Effects of a request, the last a Reply or Refuse. `method` is a key of REQUESTS."""
        effects: list[Effect] = []
        try:
            effects.append(Reply(REQUESTS[method](self, request, effects)))
        except RemoteFault as fault:
            effects.append(Refuse(fault))
        return effects

    def journal(
        self, request: qjournal.JournalRequestProto, effects: list[Effect]
    ) -> qjournal.JournalResponseProto:
        info = request.reqInfo
        self._check_writer(info, effects)
        count = request.numTxns
        if count == 0:
            return _JOURNAL_RESPONSE
        if self.open_first is None:
            raise self._out_of_sync("Can't write, no segment open")
        if self.open_first != request.segmentTxnId:
            # The writer lost both the finalize and the start of the next segment: writing on would
            # put transactions into the wrong one.
            current = self.open_first
            self._abort(effects)
            raise self._out_of_sync(
                f"Writer out of sync: it thinks it is writing segment {request.segmentTxnId}"
                f" but current segment is {current}"
            )
        first = TxId(request.firstTxnId)
        if first != self.next_txid:
            raise self._out_of_sync(f"Can't write txid {first} expecting nextTxId={self.next_txid}")
        last, data = TxId(first + count - 1), request.records
        self._check_frames(data, first, count)
        effects.append(Append(first, last, data))
        self.state.segments[self.open_first] = Segment(self.open_first, last, False)
        self.next_txid = TxId(last + 1)
        return _JOURNAL_RESPONSE

    def heartbeat(
        self, request: qjournal.HeartbeatRequestProto, effects: list[Effect]
    ) -> qjournal.HeartbeatResponseProto:
        self._check_request(request.reqInfo, effects)
        return qjournal.HeartbeatResponseProto()

    def new_epoch(
        self, request: qjournal.NewEpochRequestProto, effects: list[Effect]
    ) -> qjournal.NewEpochResponseProto:
        storage = self._check_settled()
        self._check_votes()
        self._check_namespace(request.nsInfo.storageInfo, storage)
        if request.epoch <= self.state.promised:
            raise IOFault(
                f"Proposed epoch {request.epoch} <= last promise {self.state.promised}"
                f" ; journal id: {self.journal_id}"
            )
        self._promise(Epoch(request.epoch), effects)
        self._abort(effects)
        newest = self._newest_with_transactions(effects)
        reply = qjournal.NewEpochResponseProto()
        if newest is not None:
            reply.lastSegmentTxId = newest.first_txid
        return reply

    def start_log_segment(
        self, request: qjournal.StartLogSegmentRequestProto, effects: list[Effect]
    ) -> qjournal.StartLogSegmentResponseProto:
        self._check_request(request.reqInfo, effects)
        first = TxId(request.txid)
        self._abort(effects)
        self._check_startable(first, request.reqInfo.epoch)
        # Nobody starts a segment whose recovery could still succeed.
        self._drop_accepted(first, effects)
        effects.append(OpenSegment(first, request.layoutVersion))
        self.state.segments[first] = Segment(first, None, False)
        # Its opening transaction may have been durable before it was started anew.
        self.durable_txid = self.state.highest_txid
        # Behind the emptied file: else a crash between the two would leave what another writer
        # wrote as if this epoch had written it.
        epoch = Epoch(request.reqInfo.epoch)
        if self.state.writer_epoch != epoch:
            effects.append(PersistWriterEpoch(epoch))
            self.state.writer_epoch = epoch
        self.open_first = first
        self._open_layout = request.layoutVersion
        self.next_txid = first
        return qjournal.StartLogSegmentResponseProto()

    def finalize_log_segment(
        self, request: qjournal.FinalizeLogSegmentRequestProto, effects: list[Effect]
    ) -> qjournal.FinalizeLogSegmentResponseProto:
        self._check_request(request.reqInfo, effects)
        first, last = TxId(request.startTxId), TxId(request.endTxId)
        if first == self.open_first:
            self._check_written_end(first, last, effects)
        segment = self.state.segments.get(first)
        if segment is None:
            raise self._out_of_sync(f"No log file to finalize at transaction ID {first}")
        if segment.finalized:
            if segment.last_txid != last:
                raise IllegalArgument(
                    f"Trying to re-finalize already finalized log {self._draw(segment)}"
                    f" with different endTxId {last} ; journal id: {self.journal_id}"
                )
        else:
            if segment.last_txid != last:
                raise self._out_of_sync(
                    f"Trying to finalize in-progress log segment {first} to end at txid {last}"
                    f" but log {self._path(segment)} on disk only contains up to txid"
                    f" {_java_txid(segment.last_txid)}"
                )
            if request.reqInfo.epoch not in (self.state.writer_epoch, self._accepted_epoch(first)):
                # Its length is not enough: another writer may have filled it differently.
                raise self._out_of_sync(
                    f"Trying to finalize in-progress log segment {first} which epoch"
                    f" {request.reqInfo.epoch} neither wrote nor made this journal accept"
                )
            effects.append(FinalizeSegment(first, last))
            self.state.segments[first] = Segment(first, last, True)
        # A finalized segment is the decision: what was accepted before says nothing more.
        self._drop_accepted(first, effects)
        return qjournal.FinalizeLogSegmentResponseProto()

    def purge_logs(
        self, request: qjournal.PurgeLogsRequestProto, effects: list[Effect]
    ) -> qjournal.PurgeLogsResponseProto:
        self._check_request(request.reqInfo, effects)
        keep = TxId(request.minTxIdToKeep)
        effects.append(PurgeBelow(keep, self.open_first))
        for segment in tuple(self.state.segments.values()):
            end = segment.last_txid if segment.finalized else segment.first_txid
            if end is not None and end < keep and segment.first_txid != self.open_first:
                del self.state.segments[segment.first_txid]
        for first in [first for first in self.state.accepted if first < keep]:
            del self.state.accepted[first]
        return qjournal.PurgeLogsResponseProto()

    def prepare_recovery(
        self, request: qjournal.PrepareRecoveryRequestProto, effects: list[Effect]
    ) -> qjournal.PrepareRecoveryResponseProto:
        self._check_request(request.reqInfo, effects)
        self._check_votes()
        self._abort(effects)
        first = TxId(request.segmentTxId)
        segment = self._segment_or_aside(first, effects)
        accepted = self.state.accepted.get(first)
        reply = qjournal.PrepareRecoveryResponseProto(lastWriterEpoch=self.state.writer_epoch)
        if accepted is not None and not (segment and segment.finalized):
            if segment is None or segment.last_txid != accepted.last_txid:
                raise RemoteFault(f"prev accepted: {accepted} on disk: {segment}", ASSERTION_ERROR)
            reply.acceptedInEpoch = accepted.epoch
            reply.segmentState.startTxId = first
            reply.segmentState.endTxId = accepted.last_txid
            reply.segmentState.isInProgress = accepted.in_progress
        elif segment is not None and segment.last_txid is not None:
            reply.segmentState.startTxId = first
            reply.segmentState.endTxId = segment.last_txid
            reply.segmentState.isInProgress = not segment.finalized
        # discardSegments(0) leaves -1, which is no transaction and no uint64.
        if self.state.committed >= 0:
            reply.lastCommittedTxId = self.state.committed
        return reply

    def accept_recovery(
        self, request: qjournal.AcceptRecoveryRequestProto, effects: list[Effect]
    ) -> qjournal.AcceptRecoveryResponseProto:
        self._check_request(request.reqInfo, effects)
        self._check_votes()
        self._abort(effects)
        wanted = request.stateToAccept
        epoch = Epoch(request.reqInfo.epoch)
        first, last = TxId(wanted.startTxId), TxId(wanted.endTxId)
        if last <= 0 or last < first:
            raise IllegalArgument(
                f"bad recovery state for segment {first}: startTxId: {first} endTxId: {last}"
                f" ; journal id: {self.journal_id}"
            )
        before = self.state.accepted.get(first)
        if before is not None and before.epoch > epoch:
            raise RemoteFault(
                f"Bad paxos transition, out-of-order epochs.\nOld: {before}\nNew epoch: {epoch}\n"
                f"JournalId: {self.journal_id}\n",
                ASSERTION_ERROR,
            )
        current = self._segment_or_aside(first, effects)
        fetch = self._must_fetch(current, last, request.fromURL)
        if fetch:
            self._check_replaceable(current, first, last)
            effects.append(FetchSegment(first, last, epoch, request.fromURL))
        accepted = Accepted(first, last, wanted.isInProgress, epoch)
        effects.append(PersistAccepted(accepted))
        self.state.accepted[first] = accepted
        if fetch:
            effects.append(InstallFetched(first, epoch))
            self.state.segments[first] = Segment(first, last, False)
            self.durable_txid = self.state.highest_txid
        return qjournal.AcceptRecoveryResponseProto()

    def discard_segments(
        self, request: qjournal.DiscardSegmentsRequestProto, effects: list[Effect]
    ) -> qjournal.DiscardSegmentsResponseProto:
        start = TxId(request.startTxId)
        doomed = []
        for segment in self._in_order():
            if segment.first_txid >= start:
                doomed.append(segment)
            elif segment.last_txid is not None and segment.last_txid >= start:
                raise IllegalState(
                    f"{self._draw(segment)} straddles txid {start} ; journal id: {self.journal_id}"
                )
        if self.open_first is not None and self.open_first >= start:
            self._abort(effects)
        for segment in doomed:
            effects.append(SetAside(segment, ".trash"))
            del self.state.segments[segment.first_txid]
        self.state.committed = TxId(start - 1)
        effects.append(NoteCommitted(self.state.committed))
        self.durable_txid = self.state.highest_txid
        return qjournal.DiscardSegmentsResponseProto()

    def format(
        self, request: qjournal.FormatRequestProto, effects: list[Effect]
    ) -> qjournal.FormatResponseProto:
        storage = storage_info(request.nsInfo.storageInfo)
        if storage.namespace_id == 0:
            raise IllegalState(
                f"can't format with uninitialized namespace info: {storage.colon_form()}"
            )
        if self.state.has_data and not request.force:
            raise InconsistentStorage(
                f"Directory {self._root} is in an inconsistent state: Can't format the storage"
                " directory because the current directory is not empty."
            )
        self._abort(effects)
        effects.append(Format(storage))
        # What an upgrade keeps beside `current` stays, as in Hadoop's JNStorage.format.
        self.state = JournalState(
            storage=storage,
            has_data=True,
            has_current=True,
            siblings=self.state.siblings,
            previous=self.state.previous,
        )
        self.next_txid = INVALID_TXID
        self.durable_txid, self._ipc_serial = TxId(0), -1
        return qjournal.FormatResponseProto()

    # From peers.

    def install_segment(self, request: InstallSegment, effects: list[Effect]) -> Message:
        self._check_settled()
        first, last = request.first_txid, request.last_txid
        if self.open_first is not None and first <= self.open_first <= last:
            raise self._out_of_sync(f"Segment {self.open_first} is being written")
        for other in self._in_order():
            if not other.finalized or other.last_txid is None:
                continue
            if (other.first_txid, other.last_txid) == (first, last):
                return _DONE
            if other.first_txid <= last and first <= other.last_txid:
                raise IllegalState(
                    f"A peer's segment {first}..{last} overlaps {self._draw(other)}"
                    f" ; journal id: {self.journal_id}"
                )
        effects.append(InstallSynced(first, last))
        twin = self.state.segments.get(first)
        if twin is not None:
            effects.append(SetAside(twin, ".stale"))
        self.state.segments[first] = Segment(first, last, True)
        # Finalized is decided: what was accepted before says nothing more (J3).
        self._drop_accepted(first, effects)
        self.durable_txid = max(self.durable_txid, last)
        return _DONE

    def adopt_storage(self, request: AdoptStorage, effects: list[Effect]) -> Message:
        state = self.state
        if state.storage is not None or state.has_edits or state.siblings:
            raise InconsistentStorage(
                f"Directory {self._root} is in an inconsistent state: only an empty journal is"
                " formatted from its peers."
            )
        effects.append(Format(request.storage, request.promised, request.learn_until))
        self.state = JournalState(
            storage=request.storage,
            has_data=True,
            has_current=True,
            promised=request.promised,
            learn_until=request.learn_until,
        )
        return _DONE

    def caught_up(self, request: CaughtUp, effects: list[Effect]) -> Message:
        if self.state.learn_until is not None:
            effects.append(EndLearning())
            self.state.learn_until = None
        return _DONE

    # Upgrades: of no epoch; the NameNode that upgrades has recovered the journal before.

    def do_pre_upgrade(
        self, request: qjournal.DoPreUpgradeRequestProto, effects: list[Effect]
    ) -> qjournal.DoPreUpgradeResponseProto:
        upgrade.check_pre_upgrade(self.state.has_current, self.state.siblings)
        self._abort(effects)
        effects.append(PreUpgrade())
        self.state.siblings |= {upgrade.PREVIOUS_TMP}
        return qjournal.DoPreUpgradeResponseProto()

    def do_upgrade(
        self, request: qjournal.DoUpgradeRequestProto, effects: list[Effect]
    ) -> qjournal.DoUpgradeResponseProto:
        before = self.check_formatted()
        upgrade.check_upgrade(self.state.siblings)
        asked = storage_info(request.sInfo)
        after = replace(before, layout_version=asked.layout_version, ctime_ms=asked.ctime_ms)
        effects.append(Upgrade(after))
        self.state.storage, self.state.previous = after, before
        self.state.siblings = frozenset({upgrade.PREVIOUS})
        return qjournal.DoUpgradeResponseProto()

    def do_finalize(
        self, request: qjournal.DoFinalizeRequestProto, effects: list[Effect]
    ) -> qjournal.DoFinalizeResponseProto:
        if upgrade.PREVIOUS in self.state.siblings:
            upgrade.check_finalize(self.state.has_current)
            effects.append(FinalizeUpgrade())
            self.state.siblings, self.state.previous = frozenset(), None
        return qjournal.DoFinalizeResponseProto()

    def do_rollback(
        self, request: qjournal.DoRollbackRequestProto, effects: list[Effect]
    ) -> qjournal.DoRollbackResponseProto:
        """The journal must be loaded anew behind it: `previous` holds another state."""
        if upgrade.PREVIOUS in self.state.siblings:
            upgrade.check_rollback(self.state.has_current, self.state.siblings)
            self._abort(effects)
            effects.append(Rollback(self.state.promised))
        return qjournal.DoRollbackResponseProto()

    # Questions: nothing changes, nothing waits.

    def can_roll_back(self, request: qjournal.CanRollBackRequestProto) -> bool:
        """Raises InconsistentStorage, IOFault, JournalNotFormatted."""
        previous = self.state.previous
        if upgrade.PREVIOUS not in self.state.siblings or previous is None:
            ours = self.check_formatted()
            upgrade.check_same_storage(ours, storage_info(request.storage), root=self._root)
            return False
        upgrade.check_can_roll_back(
            previous,
            storage_info(request.prevStorage),
            root=self._root,
            target_layout_version=request.targetLayoutVersion,
        )
        return True

    def check_formatted(self) -> StorageInfo:
        """Raises JournalNotFormatted."""
        if self.state.storage is None:
            raise JournalNotFormatted(
                f"Journal Storage Directory root= {self._root}; location= null not formatted"
                f" ; journal id: {self.journal_id}"
            )
        return self.state.storage

    def manifest(self, since_txid: TxId, in_progress_ok: bool) -> Sequence[Segment]:
        """Segments with transactions from `since_txid` on, by first txid; synced ones only."""
        self.check_formatted()
        chosen = []
        for segment in self._in_order():
            if segment.finalized:
                if segment.last_txid is not None and segment.last_txid >= since_txid:
                    chosen.append(segment)
            elif in_progress_ok and segment.last_txid is not None:
                last = min(segment.last_txid, self.durable_txid)
                if last >= max(since_txid, segment.first_txid):
                    chosen.append(Segment(segment.first_txid, last, False))
        return chosen

    def nothing_newer(self, since_txid: TxId) -> bool:
        """Whether a tailer that wants `since_txid` has all of it. Raises NewerTxnId beyond that."""
        highest = self.durable_txid
        if since_txid > highest + 1:
            raise NewerTxnId(
                f"Highest txn ID available in the journal is {highest}, but requested txns"
                f" starting at {since_txid}."
            )
        return since_txid == highest + 1

    def synced(self, last_txid: TxId) -> None:
        """The store says: all appends up to `last_txid` are durable."""
        self.durable_txid = max(self.durable_txid, last_txid)

    def describe(self) -> str:
        """One line for transcripts: epochs, segments, accepted recoveries."""
        parts = [f"promised={self.state.promised} writer={self.state.writer_epoch}"]
        for segment in self._in_order():
            open_mark = " open" if segment.first_txid == self.open_first else ""
            last = "empty" if segment.last_txid is None else segment.last_txid
            kind = "finalized" if segment.finalized else f"in progress{open_mark}"
            parts.append(f"{segment.first_txid}..{last} {kind}")
        for first in sorted(self.state.accepted):
            accepted = self.state.accepted[first]
            parts.append(f"accepted {first}..{accepted.last_txid} in epoch {accepted.epoch}")
        return "; ".join(parts)

    # Rules that several requests share.

    def _check_settled(self) -> StorageInfo:
        """Raises JournalNotFormatted; and IOFault in an upgrade, which is undone if we restart: a
        promise or a transaction of meanwhile would be undone with it (J1)."""
        storage = self.check_formatted()
        if self.state.upgrading:
            raise IOFault(
                f"The upgrade of {self._root} has begun but was not performed: it takes no writer"
                f" before doUpgrade, or a restart ; journal id: {self.journal_id}"
            )
        return storage

    def _check_votes(self) -> None:
        if self.state.learn_until is not None:
            raise IOFault(
                "This journal was formatted from its peers and does not hold yet what they had, up"
                f" to txid {self.state.learn_until}: it takes no part in a recovery before"
                f" ; journal id: {self.journal_id}"
            )

    def _check_request(self, info: qjournal.RequestInfoProto, effects: list[Effect]) -> None:
        self._check_settled()
        state = self.state
        epoch = info.epoch
        if epoch < state.promised:
            raise IOFault(
                f"IPC's epoch {epoch} is less than the last promised epoch {state.promised}"
                f" ; journal id: {self.journal_id}"
            )
        if epoch > state.promised:
            self._promise(Epoch(epoch), effects)
        if info.ipcSerialNumber <= self._ipc_serial:
            raise self._out_of_sync(
                f"IPC serial {info.ipcSerialNumber} was not higher than prior highest"
                f" IPC serial {self._ipc_serial}"
            )
        self._ipc_serial = info.ipcSerialNumber
        if info.HasField("committedTxId"):
            committed = TxId(info.committedTxId)
            if committed < state.committed:
                raise IllegalArgument(
                    f"Client trying to move committed txid backward from {state.committed}"
                    f" to {committed} ; journal id: {self.journal_id}"
                )
            if committed != state.committed:
                effects.append(NoteCommitted(committed))
                state.committed = committed

    def _check_writer(self, info: qjournal.RequestInfoProto, effects: list[Effect]) -> None:
        self._check_request(info, effects)
        if info.epoch != self.state.writer_epoch:
            raise IOFault(
                f"IPC's epoch {info.epoch} is not the current writer epoch "
                f" {self.state.writer_epoch} ; journal id: {self.journal_id}"
            )

    def _check_frames(self, data: bytes, first: TxId, count: int) -> None:
        """What can't be read again must not be acknowledged: J5.

        Hadoop's takes any bytes, and a recovery finds out what of them was transactions.
        """
        if self._open_layout > LAYOUT_WITH_LENGTH:
            return
        try:
            check_run(data, first, count)
        except CorruptData as error:
            raise self._out_of_sync(
                f"Can't write txids {first}-{first + count - 1}: {error}"
            ) from error

    def _check_namespace(self, asked: hdfs_server.StorageInfoProto, ours: StorageInfo) -> None:
        theirs = storage_info(asked)
        place = f"Storage Directory root= {self._root}; location= null"
        if theirs.namespace_id != ours.namespace_id:
            raise IOFault(
                f"Incompatible namespaceID for journal {place}: NameNode has nsId"
                f" {theirs.namespace_id} but storage has nsId {ours.namespace_id}"
            )
        if theirs.cluster_id != ours.cluster_id:
            raise IOFault(
                f"Incompatible clusterID for journal {place}: NameNode has clusterId"
                f" '{theirs.cluster_id}' but storage has clusterId '{ours.cluster_id}'"
            )

    def _promise(self, epoch: Epoch, effects: list[Effect]) -> None:
        effects.append(PersistPromise(epoch))
        self.state.promised = epoch
        self._ipc_serial = -1

    def _abort(self, effects: list[Effect]) -> None:
        if self.open_first is not None:
            effects.append(CloseSegment(self.open_first, trim=False))
            self.open_first = None

    def _check_startable(self, first: TxId, epoch: int) -> None:
        existing = self.state.segments.get(first)
        if existing is None:
            return
        if existing.finalized:
            raise IllegalState(
                f"Already have a finalized segment {self._draw(existing)} beginning at {first}"
                f" ; journal id: {self.journal_id}"
            )
        # A writer that crashed at once leaves the opening transaction alone, or nothing.
        if existing.last_txid not in (None, first):
            raise IllegalState(
                f"The log file {self._draw(existing)} seems to contain valid transactions"
                f" ; journal id: {self.journal_id}"
            )
        # This very writer began the segment before, and its transaction may be acknowledged: the
        # request has come twice, and a restart in between has forgotten its serial number (J7).
        if existing.last_txid is not None and epoch == self.state.writer_epoch:
            raise self._out_of_sync(
                f"The log file {self._draw(existing)} was written in epoch {epoch} already"
            )

    def _check_written_end(self, first: TxId, last: TxId, effects: list[Effect]) -> None:
        effects.append(CloseSegment(first, trim=True))
        self.open_first = None
        if self.next_txid != last + 1:
            raise self._out_of_sync(
                f"Trying to finalize in-progress log segment {first} to end at txid {last}"
                f" but only written up to txid {self.next_txid - 1}"
            )

    def _must_fetch(self, current: Segment | None, last: TxId, url: str) -> bool:
        if current is None or current.last_txid != last:
            return True
        if current.finalized or self.source_is_us:
            return False
        # A copy of the decided length may still be another one: of a writer that was fenced, while
        # the next started this segment anew elsewhere. (Hadoop compares lengths only; the model in
        # test_recovery finds what that loses.) In one epoch only one content was ever written.
        seen = max(self.state.writer_epoch, self._accepted_epoch(current.first_txid))
        return layout.seen_epoch_of(url) != seen

    def _accepted_epoch(self, first: TxId) -> Epoch:
        accepted = self.state.accepted.get(first)
        return NO_EPOCH if accepted is None else accepted.epoch

    def _check_replaceable(self, current: Segment | None, first: TxId, last: TxId) -> None:
        if current is None or current.last_txid is None:
            return
        committed = self.state.committed
        if current.first_txid <= committed <= current.last_txid and not first <= committed <= last:
            raise RemoteFault(
                f"Cannot replace segment {self._draw(current)} with new segment {first}..{last}:"
                f" would discard already-committed txn {committed}"
                f" ; journal id: {self.journal_id}",
                ASSERTION_ERROR,
            )
        if current.finalized:
            raise RemoteFault(
                "Should never be asked to synchronize a different log on top of an"
                f" already-finalized segment ; journal id: {self.journal_id}",
                ASSERTION_ERROR,
            )

    def _segment_or_aside(self, first: TxId, effects: list[Effect]) -> Segment | None:
        """The segment, unless it is empty: then its file is moved aside."""
        segment = self.state.segments.get(first)
        if segment is not None and segment.last_txid is None:
            effects.append(SetAside(segment, ".empty"))
            del self.state.segments[first]
            return None
        return segment

    def _newest_with_transactions(self, effects: list[Effect]) -> Segment | None:
        for segment in reversed(self._in_order()):
            if segment.last_txid is not None:
                return segment
            self._segment_or_aside(segment.first_txid, effects)
        return None

    def _drop_accepted(self, first: TxId, effects: list[Effect]) -> None:
        if self.state.accepted.pop(first, None) is not None:
            effects.append(DropAccepted(first))

    def _in_order(self) -> list[Segment]:
        return [self.state.segments[first] for first in sorted(self.state.segments)]

    def _out_of_sync(self, text: str) -> JournalOutOfSync:
        return JournalOutOfSync(f"{text} ; journal id: {self.journal_id}")

    def _path(self, segment: Segment) -> str:
        name = (
            files.finalized_name(segment.first_txid, segment.last_txid)
            if segment.finalized and segment.last_txid is not None
            else files.inprogress_name(segment.first_txid)
        )
        return f"{self._root}/current/{name}"

    def _draw(self, segment: Segment) -> str:
        last = _java_txid(segment.last_txid)
        state = str(not segment.finalized).lower()
        return (
            f"EditLogFile(file={self._path(segment)},first={segment.first_txid:019d},"
            f"last={last:019d},inProgress={state},hasCorruptHeader=false)"
        )


def _java_txid(txid: TxId | None) -> TxId:
    return INVALID_TXID if txid is None else txid


def storage_info(message: hdfs_server.StorageInfoProto) -> StorageInfo:
    """From the wire, where layout version and namespace id travel as uint32."""
    return StorageInfo(
        _signed(message.layoutVersion),
        _signed(message.namespceID),
        message.cTime,
        message.clusterID,
    )


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


REQUESTS: Mapping[str, Callable[[Acceptor, Any, list[Effect]], Message]] = {
    "journal": Acceptor.journal,
    "heartbeat": Acceptor.heartbeat,
    "new_epoch": Acceptor.new_epoch,
    "start_log_segment": Acceptor.start_log_segment,
    "finalize_log_segment": Acceptor.finalize_log_segment,
    "purge_logs": Acceptor.purge_logs,
    "prepare_recovery": Acceptor.prepare_recovery,
    "accept_recovery": Acceptor.accept_recovery,
    "discard_segments": Acceptor.discard_segments,
    "format": Acceptor.format,
    "do_pre_upgrade": Acceptor.do_pre_upgrade,
    "do_upgrade": Acceptor.do_upgrade,
    "do_finalize": Acceptor.do_finalize,
    "do_rollback": Acceptor.do_rollback,
    "install_segment": Acceptor.install_segment,
    "adopt_storage": Acceptor.adopt_storage,
    "caught_up": Acceptor.caught_up,
}
"""The requests that go through the journal's queue, by handler name."""
