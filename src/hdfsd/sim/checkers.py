"""Driver. Judges of a run: what must hold while it rages, and what must be true in the end.

- P1: a JournalNode that acknowledged a batch, or presented or accepted a copy in a recovery, has it
  on its platter; every acknowledged mutation is in the journal, as an independent reader finds it
  on the platters, and in the final namespaces.
- P2: a JournalNode that answered an epoch accepts nothing below it, and gives an epoch to one
  NameNode only, across restarts and losses of power.
- P3: no JournalNode forgets a recovery that it accepted; nobody ends a segment at two different
  transactions; finalized copies of it are identical.
- P6: what a JournalNode gives to a reader is durable there.
- P4: each at-most-once call is in the journal at most once; all NameNodes make the same of it.
- F1 to F4 (elections and checkpoints) are judged in sim.referee.
- Bugs of other kinds: a process that ends for a reason that no fault explains.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from hdfsd.base.errors import CorruptData, HdfsdError, InvariantBroken
from hdfsd.base.ids import TxId
from hdfsd.editlog import codec, files
from hdfsd.editlog.frames import FrameScanner, offset_of
from hdfsd.editlog.ops import EditOp
from hdfsd.editlog.segment import HEADER_BYTES
from hdfsd.journal.journal import Caller
from hdfsd.journal.node import JournalNode
from hdfsd.journal.service import JournalService
from hdfsd.namespace.apply import apply
from hdfsd.namespace.inode import FileRow
from hdfsd.namespace.tree import Namespace
from hdfsd.rpc.server import DEFERRED, Call, Deferred
from hdfsd.sim.disk import Platter
from hdfsd.sim.loop import SimLoop
from hdfsd.sim.world import KILLED
from hdfsd.wire.messages import Message, qjournal

log = logging.getLogger(__name__)


class Violation(Exception):
    """A promise did not hold; the text names it and what was seen."""


class Judge:
    """Hears what the journals answer, and how processes end."""

    def __init__(self, loop: SimLoop, majority: int) -> None:
        self._loop = loop
        self._majority = majority
        self.violations: list[str] = []
        self.platters: dict[str, Platter] = {}
        """Of the JournalNodes, by name."""
        self.current_dir = ""
        """Where the journal lies on each of them."""
        self.on_answer: Callable[[str, str, Message, str], None] | None = None
        """Told of every answer to a writer, before it leaves: journal, method, request, writer."""
        self.name_of: Callable[[str], str] = str
        """The machine that has an IP address, for those who read."""
        self.rotten = ""
        """The journal whose finalized bytes rot: its memory may be better than its disk."""
        self._promised: dict[str, int] = {}
        self._ends: dict[int, int] = {}
        """First to last txid of every segment that somebody finalized."""
        self._written: dict[tuple[str, int], int] = {}
        """Journal and segment to the epoch in which the journal acknowledged a batch of it."""
        self._accepted: dict[tuple[str, int], int] = {}
        """Journal and segment to the epoch of the recovery that the journal accepted last."""
        self._grants: dict[int, dict[str, int]] = {}
        """Epoch to NameNode (IP address) to how many journals gave it that epoch."""
        self._newest_epoch = 0
        self.leader: str | None = None
        """The IP address of the NameNode that has the newest epoch of a majority."""
        self.led_since_s: dict[str, float] = {}
        """When each NameNode got its last epoch of a majority."""
        self.on_leader: Callable[[str], None] | None = None
        """Told of each new leader."""

    def accuse(self, promise: str, what: str) -> None:
        self._loop.note(f"violation of {promise}: {what}")
        self.violations.append(f"{promise} at {self._loop.time():.3f} s: {what}")

    def asked(self, journal: str, request: Message) -> None:
        """What a writer asks may be carried out, and never answered."""
        if isinstance(request, qjournal.StartLogSegmentRequestProto):
            self._accepted.pop((journal, request.txid), None)

    def answered(
        self,
        journal: str,
        method: str,
        request: Message,
        caller: str,
        answer: Message | None = None,
    ) -> None:
        """A JournalNode has answered a writer's request with success."""
        if log.isEnabledFor(logging.INFO):
            log.info("yes to %s: %s", self.name_of(caller), _asked(method, request))
        if self.on_answer is not None:
            self.on_answer(journal, method, request, caller)
        if isinstance(request, qjournal.NewEpochRequestProto):
            self._promise(journal, request.epoch, caller)
            return
        epoch: int = request.reqInfo.epoch  # type: ignore[attr-defined]
        promised = self._promised.get(journal, 0)
        if epoch < promised:
            self.accuse("P2", f"{journal} accepted {method} of epoch {epoch} after {promised}")
        self._promised[journal] = max(promised, epoch)
        if isinstance(request, qjournal.JournalRequestProto):
            self._appended(journal, request)
        elif isinstance(request, qjournal.StartLogSegmentRequestProto):
            self._started(journal, request.txid, epoch)
        elif isinstance(request, qjournal.FinalizeLogSegmentRequestProto):
            self._finalized(journal, request.startTxId, request.endTxId)
        elif isinstance(request, qjournal.AcceptRecoveryRequestProto):
            wanted = request.stateToAccept
            self._accepted[journal, wanted.startTxId] = epoch
            self._holds(journal, "accepted", wanted.startTxId, wanted.endTxId)
        elif isinstance(answer, qjournal.PrepareRecoveryResponseProto):
            assert isinstance(request, qjournal.PrepareRecoveryRequestProto)
            self._presented(journal, request.segmentTxId, answer)

    def failed(
        self, journal: str, method: str, request: Message, caller: str, error: Exception
    ) -> None:
        """A JournalNode refused; an error that is none of ours is a bug."""
        if log.isEnabledFor(logging.INFO):
            log.info("no to %s: %s: %s", self.name_of(caller), _asked(method, request), error)
        if isinstance(error, InvariantBroken) or not isinstance(error, HdfsdError | OSError):
            self.accuse("no bug", f"{method} at {journal}: {error!r}")

    def ended(self, process: str, outcome: BaseException | str | None) -> None:
        """A process has ended; what faults explain is quorums and links lost, and full disks."""
        if outcome is None or outcome == KILLED:
            return
        assert isinstance(outcome, BaseException)
        for error in _causes(outcome):
            strange = not isinstance(error, HdfsdError | OSError)
            if strange or isinstance(error, InvariantBroken | CorruptData):
                self.accuse("no bug", f"{process} ended: {error!r} {_place(error)}")

    def _promise(self, journal: str, epoch: int, caller: str) -> None:
        promised = self._promised.get(journal, 0)
        if epoch <= promised:
            self.accuse("P2", f"{journal} promised epoch {epoch} after {promised}")
        self._promised[journal] = max(promised, epoch)
        # Two may propose one epoch to different journals; a majority may follow one of them only.
        grants = self._grants.setdefault(epoch, {})
        grants[caller] = grants.get(caller, 0) + 1
        winners = [who for who, count in grants.items() if count >= self._majority]
        if len(winners) > 1:
            self.accuse("P2", f"epoch {epoch} belongs to {winners}")
        if grants[caller] == self._majority and epoch > self._newest_epoch:
            self._newest_epoch, self.leader = epoch, caller
            self.led_since_s[caller] = self._loop.time()
            if self.on_leader is not None:
                self.on_leader(caller)

    def _appended(self, journal: str, request: qjournal.JournalRequestProto) -> None:
        """J4: the file must hold it durably when the answer leaves."""
        self._written[journal, request.segmentTxnId] = request.reqInfo.epoch
        path = f"{self.current_dir}/{files.inprogress_name(request.segmentTxnId)}"
        file = self.platters[journal].file(path)
        if request.records not in file.durable:
            last = request.firstTxnId + request.numTxns - 1
            self.accuse("P1", f"{journal} acknowledged {request.firstTxnId}..{last}, not durable")

    def _started(self, journal: str, first: int, epoch: int) -> None:
        """J7: what this writer was told to be durable here is not emptied."""
        if self._written.get((journal, first)) == epoch:
            self.accuse("P1", f"{journal} starts segment {first} again, acknowledged in {epoch}")

    def _presented(
        self, journal: str, first: int, answer: qjournal.PrepareRecoveryResponseProto
    ) -> None:
        """J3, J6: a recovery may decide on it, and must know what was decided before."""
        if not answer.HasField("segmentState"):
            return
        self._holds(journal, "presents", first, answer.segmentState.endTxId)
        accepted = self._accepted.get((journal, first), 0)
        if answer.segmentState.isInProgress and answer.acceptedInEpoch < accepted:
            what = f"{journal} forgot that it accepted segment {first} in epoch {accepted}"
            self.accuse("P3", what)

    def _holds(self, journal: str, verb: str, first: int, last: int) -> None:
        """J6: this copy of a segment must survive the power."""
        for name in (files.finalized_name(first, last), files.inprogress_name(first)):
            content = self.platters[journal].durable(f"{self.current_dir}/{name}")
            run = FrameScanner(name).feed(content)
            if run is not None and run.last_txid >= last:
                return
        if journal != self.rotten:
            self.accuse("P1", f"{journal} {verb} {first}..{last}, not durable")

    def shown(self, journal: str, since_txid: int, count: int, data: bytes) -> None:
        """A JournalNode gives edits to a reader: every one must be durable there (P6)."""
        names = self.platters[journal].directory(self.current_dir).entries
        durable = [
            self.platters[journal].file(f"{self.current_dir}/{name}").durable
            for name in names
            if files.parse_segment(name) is not None
        ]
        last = offset_of(data, since_txid, since_txid + count - 1)
        if journal != self.rotten and not any(data[last:] in content for content in durable):
            what = f"{journal} shows {since_txid}..{since_txid + count - 1}, not durable"
            self.accuse("P6", what)

    def _finalized(self, journal: str, first: int, last: int) -> None:
        known = self._ends.setdefault(first, last)
        if known != last:
            what = f"{journal} finalized segment {first} at {last}, others at {known}"
            self.accuse("P3", what)


def _asked(method: str, request: Message) -> str:
    """A writer's request in a few words."""
    if isinstance(request, qjournal.NewEpochRequestProto):
        return f"{method} {request.epoch}"
    words = method
    if isinstance(request, qjournal.JournalRequestProto):
        last = request.firstTxnId + request.numTxns - 1
        words += f" {request.firstTxnId}..{last} of segment {request.segmentTxnId}"
    elif isinstance(request, qjournal.StartLogSegmentRequestProto):
        words += f" {request.txid}"
    elif isinstance(request, qjournal.FinalizeLogSegmentRequestProto):
        words += f" {request.startTxId}..{request.endTxId}"
    elif isinstance(request, qjournal.PrepareRecoveryRequestProto):
        words += f" of segment {request.segmentTxId}"
    elif isinstance(request, qjournal.AcceptRecoveryRequestProto):
        words += f" {request.stateToAccept.startTxId}..{request.stateToAccept.endTxId}"
    info = getattr(request, "reqInfo", None)
    return words if info is None else f"{words} in epoch {info.epoch}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The leaves of groups, each followed by what it was raised from."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
        return
    yield error
    if error.__cause__ is not None:
        yield from _causes(error.__cause__)


def _place(error: BaseException) -> str:
    """Where it was raised: the innermost lines of its traceback."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_qualname}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"({' > '.join(frames[-4:])})"


class WitnessedService(JournalService):
    """The service that ships, with a judge who hears every answer to a writer."""

    def __init__(self, node: JournalNode, journal: str, judge: Judge) -> None:
        super().__init__(node)
        self._name = journal
        self._judge = judge

    def _queue(
        self, method: str, journal_id: qjournal.JournalIdProto, request: Message, call: Call
    ) -> Deferred:
        self._submit(method, journal_id, request, call, call.caller.address)
        return DEFERRED

    def again(
        self, method: str, journal_id: qjournal.JournalIdProto, request: Message, caller: str
    ) -> None:
        """A request that was answered before arrives once more; nobody waits for its answer."""
        self._submit(method, journal_id, request, _Nobody(), caller)

    def _submit(
        self,
        method: str,
        journal_id: qjournal.JournalIdProto,
        request: Message,
        call: Caller,
        caller: str,
    ) -> None:
        self._judge.asked(self._name, request)
        witness = _Witness(self._name, method, request, call, caller, self._judge)
        self._node.journal(journal_id.identifier).submit(method, request, witness)

    def get_journaled_edits(
        self, request: qjournal.GetJournaledEditsRequestProto, call: Call
    ) -> Message | Awaitable[Message]:
        answer = super().get_journaled_edits(request, call)
        if isinstance(answer, qjournal.GetJournaledEditsResponseProto) and answer.txnCount:
            edits = answer.editLog[HEADER_BYTES:]
            self._judge.shown(self._name, request.sinceTxId, answer.txnCount, edits)
        return answer


class _Witness:
    """Stands between a journal and the call that it answers (journal.journal.Caller)."""

    def __init__(
        self,
        journal: str,
        method: str,
        request: Message,
        call: Caller,
        caller: str,
        judge: Judge,
    ) -> None:
        self._journal = journal
        self._method = method
        self._request = request
        self._call = call
        self._caller = caller
        self._judge = judge

    def reply(self, message: Message) -> None:
        self._judge.answered(self._journal, self._method, self._request, self._caller, message)
        self._call.reply(message)

    def fail(self, error: Exception) -> None:
        self._judge.failed(self._journal, self._method, self._request, self._caller, error)
        self._call.fail(error)

    def after_batch(self, work: Callable[[], None]) -> None:
        self._call.after_batch(work)


class _Nobody:
    """Whoever sent the request has gone (journal.journal.Caller)."""

    def reply(self, message: Message) -> None: ...

    def fail(self, error: Exception) -> None: ...

    def after_batch(self, work: Callable[[], None]) -> None:
        work()


# --- what lies on the platters ---


@dataclass(frozen=True, slots=True)
class Copy:
    """One journal's copy of a segment: whole frames up to its last good transaction."""

    journal: str
    first_txid: int
    last_txid: int
    finalized: bool
    frames: bytes


def copies(platters: Mapping[str, Platter], current_dir: str) -> list[Copy]:
    """Every segment with transactions on every journal, by first txid."""
    found = []
    for journal, platter in platters.items():
        for name in sorted(platter.directory(current_dir).entries):
            segment = files.parse_segment(name)
            if segment is None:
                continue
            data = bytes(platter.file(f"{current_dir}/{name}").data)
            scanner = FrameScanner(f"{journal}:{name}")
            run = scanner.feed(data)
            if run is None:
                continue
            last = run.last_txid if segment.last_txid is None else segment.last_txid
            if last > run.last_txid:
                raise Violation(f"P1: {journal}:{name} ends at {run.last_txid}: {scanner.damage}")
            frames = run.data[: offset_of(run.data, run.first_txid, last + 1)]
            finalized = segment.last_txid is not None
            found.append(Copy(journal, run.first_txid, last, finalized, frames))
    return sorted(found, key=lambda copy: copy.first_txid)


def history(found: list[Copy], majority: int, *, purged: bool) -> list[Copy]:
    """The journal that these copies amount to: one copy per segment, without gap.

    `purged`: old segments were dropped, so that one journal may still have what others have not;
    then it is what follows the last gap. Raises Violation when finalized copies differ (P3), or
    when something is missing (P1).
    """
    chosen: list[Copy] = []
    for first in sorted({copy.first_txid for copy in found}):
        segment = [copy for copy in found if copy.first_txid == first]
        finalized = [copy for copy in segment if copy.finalized]
        for copy in finalized[1:]:
            if copy.frames != finalized[0].frames:
                raise Violation(
                    f"P3: finalized copies of segment {first} differ:"
                    f" {_draw(finalized[0])}, {_draw(copy)}"
                )
        if finalized:
            chosen.append(finalized[0])
            continue
        ranked = sorted(segment, key=lambda copy: copy.last_txid, reverse=True)
        if len(ranked) >= majority:
            durable = ranked[majority - 1]
            same = sum(copy.frames.startswith(durable.frames) for copy in ranked)
            if same >= majority:
                chosen.append(durable)
    start = 0
    for index, (before, after) in enumerate(pairwise(chosen), start=1):
        if after.first_txid != before.last_txid + 1:
            if not purged:
                raise Violation(f"P1: a gap between {_draw(before)} and {_draw(after)}")
            start = index
    return chosen[start:]


def _draw(copy: Copy) -> str:
    state = "finalized" if copy.finalized else "in progress"
    return f"{copy.first_txid}..{copy.last_txid} {state} on {copy.journal}"


def operations(segments: list[Copy], layout_version: int) -> Iterator[tuple[EditOp, TxId]]:
    for copy in segments:
        where = _draw(copy)
        for op, txid in codec.iter_ops(copy.frames, layout_version, 0, where):
            yield op, TxId(txid)


def replayed(namespace: Namespace, segments: list[Copy], layout_version: int) -> Namespace:
    """The namespace that the journal makes of the first image.

    Raises Violation when a call is in it twice (P4).
    """
    calls: dict[tuple[bytes, int], int] = {}
    for op, txid in operations(segments, layout_version):
        apply(namespace, op)
        client_id = getattr(op, "client_id", b"")
        if client_id:
            key = (client_id, getattr(op, "call_id", -2))
            if key in calls:
                raise Violation(f"P4: call {key[1]} is in {calls[key]} and in {txid}: {op}")
            calls[key] = txid
    return namespace


def differences(one: Namespace, other: Namespace, names: str) -> str:
    """Of two namespaces that must be equal; "" when they are."""
    mine, theirs = _rows(one), _rows(other)
    wrong = [
        f"{inode_id}: {mine.get(inode_id)} / {theirs.get(inode_id)}"
        for inode_id in sorted({*mine, *theirs})
        if mine.get(inode_id) != theirs.get(inode_id)
    ]
    return f"{names}: {'; '.join(wrong[:3])}" if wrong else ""


def _rows(namespace: Namespace) -> dict[int, tuple[object, ...]]:
    """Inode id to all that is known of it; tables of each namespace's own are looked up."""
    rows: dict[int, tuple[object, ...]] = {}
    for row in namespace.inodes():
        path = namespace.path_of(row.inode_id)
        permission = namespace.permissions[row.permission]
        plain = row._replace(permission=0)
        layout: object = None
        if isinstance(plain, FileRow):
            layout = namespace.layouts[plain.layout]
            plain = plain._replace(layout=0)
        rows[row.inode_id] = (path, permission, layout, plain)
    return rows
