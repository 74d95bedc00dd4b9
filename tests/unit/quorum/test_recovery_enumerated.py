"""Recovery enumerated: every world that three writers can reach with the cores that ship.

A journal is its acceptor with a value that stands for its disk; a writer is the order of requests
that quorum.manager keeps, with the decisions of quorum.writer, quorum.tally and quorum.recovery.
Requests reach each journal at any time or never, in the order of their sending; a journal may crash
in front of every effect of every request, and while a segment is open. What a journal does depends
on nothing but itself, so that it is asked once for each of its states and remembered.

What a writer does depends on what journals told it before they promised a later epoch, so nothing
is missed when a writer ends where the next one begins, but for one thing: a copy may be fetched
from a journal that obeys a later epoch by then. The worlds with two writers at once are for that.

One segment, from txid 1 on. A segment is written by one writer only, so its content is told by two
numbers: whose it is, and how long. Checked in every world: Q1, no transaction that a majority has
acknowledged is missing from what was decided; Q2, what was decided once (by a majority that
accepted it, or by whoever finalized it) is decided again.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.ids import INVALID_TXID, Epoch, NodeId, StorageInfo, TxId
from hdfsd.editlog.codec import encode
from hdfsd.editlog.ops import StartLogSegmentOp
from hdfsd.journal.acceptor import (
    REQUESTS,
    Accepted,
    Acceptor,
    Append,
    DropAccepted,
    Effect,
    FetchSegment,
    FinalizeSegment,
    InstallFetched,
    JournalState,
    NoteCommitted,
    OpenSegment,
    PersistAccepted,
    PersistPromise,
    PersistWriterEpoch,
    Refuse,
    Reply,
    Segment,
    SetAside,
)
from hdfsd.quorum import recovery, tally, writer
from hdfsd.wire.messages import Message, hdfs_server, qjournal

STORAGE = StorageInfo(-67, 7, 1, "CID")
FIRST = TxId(1)

Content = tuple[int, int]
"""(epoch of the writer, last txid); the last txid is 0 in a segment that was only opened."""
NOTHING: Content = (0, 0)


class Violation(AssertionError):
    """A world that the invariants forbid."""


class Disk(NamedTuple):
    """One journal; all but `open` survives a crash."""

    promised: int = 0
    writer: int = 0
    committed: int = INVALID_TXID
    content: Content | None = None
    """None: it has no such segment."""
    finalized: bool = False
    accepted: tuple[int, int, bool] | None = None
    """(epoch, last txid, in progress)"""
    fetched: tuple[int, Content] | None = None
    """Beside the segment: in which epoch, and what."""
    following: int = 0
    """First txid of the segment behind this one, which is never written to; 0: there is none."""
    open: int = 0
    """First txid of the segment that is open for writing."""


class Answer(NamedTuple):
    """To newEpoch and the prepareRecovery behind it."""

    newest: int | None
    segment: tuple[int, bool] | None
    """(last txid, finalized)"""
    accepted_epoch: int
    writer_epoch: int
    committed: int


class Ask(NamedTuple):
    """A request as a value."""

    method: str
    epoch: int
    last: int = 0
    in_progress: bool = False
    seen_epoch: int | None = None
    from_self: bool = False
    source: Content | None = None
    """What the source holds when it is fetched from."""
    committed: int = INVALID_TXID


Outcome = tuple[Disk, Any, bool]
"""What becomes of the journal, its answer (None: it refused or crashed), whether it crashed."""


# --- one journal: the acceptor that ships, and what its store does ---


def load(disk: Disk) -> Disk:
    """After a crash or a failed effect, as journal.store finds it."""
    disk = disk._replace(open=0)
    if disk.fetched is not None and not disk.finalized and disk.accepted is not None:
        epoch, content = disk.fetched
        if disk.accepted[0] == epoch:
            disk = disk._replace(content=content, fetched=None)
    return disk


def revive(disk: Disk) -> Acceptor:
    """The acceptor of a journal in this state."""
    segments = {}
    if disk.content is not None:
        last = TxId(disk.content[1]) if disk.content[1] else None
        segments[FIRST] = Segment(FIRST, last, disk.finalized)
    if disk.following:
        segments[TxId(disk.following)] = Segment(TxId(disk.following), None, False)
    accepted = {}
    if disk.accepted is not None:
        epoch, last_txid, in_progress = disk.accepted
        accepted[FIRST] = Accepted(FIRST, TxId(last_txid), in_progress, Epoch(epoch))
    state = JournalState(
        STORAGE,
        True,
        Epoch(disk.promised),
        Epoch(disk.writer),
        TxId(disk.committed),
        segments,
        accepted,
    )
    acceptor = Acceptor("ns", "/ns", state)
    if disk.open:
        acceptor.open_first = TxId(disk.open)
        opened = disk.content if disk.open == FIRST else None
        acceptor.next_txid = TxId(opened[1] + 1 if opened else disk.open)
    return acceptor


def execute(disk: Disk, effect: Effect, ask: Ask) -> Disk | None:
    """The disk after an effect; None: it fails."""
    match effect:
        case PersistPromise(epoch):
            return disk._replace(promised=epoch)
        case PersistWriterEpoch(epoch):
            return disk._replace(writer=epoch)
        case NoteCommitted(txid):
            return disk._replace(committed=txid)
        case OpenSegment(first, _) if first == FIRST:
            return disk._replace(content=(ask.epoch, 0))
        case OpenSegment(first, _):
            return disk._replace(following=first)
        case Append(_, last, _):
            assert disk.content is not None
            return disk._replace(content=(disk.content[0], last))
        case FinalizeSegment(_, last):
            assert disk.content is not None
            if disk.content[1] < last:
                raise Violation(f"finalized at {last}: {disk}")
            return disk._replace(finalized=True, content=(disk.content[0], last))
        case SetAside(segment, _) if segment.first_txid == FIRST:
            return disk._replace(content=None)
        case SetAside():
            return disk._replace(following=0)
        case FetchSegment(_, last, epoch):
            if ask.source is None or ask.source[1] != last:
                return None
            return disk._replace(fetched=(epoch, ask.source))
        case PersistAccepted(accepted):
            return disk._replace(
                accepted=(accepted.epoch, accepted.last_txid, accepted.in_progress)
            )
        case InstallFetched():
            assert disk.fetched is not None
            return disk._replace(content=disk.fetched[1], fetched=None)
        case DropAccepted():
            return disk._replace(accepted=None)
    return disk


def messages(ask: Ask) -> list[tuple[str, Message]]:
    """What goes over the wire, by handler name."""
    info = qjournal.RequestInfoProto(epoch=ask.epoch, ipcSerialNumber=1)
    info.journalId.identifier = "ns"
    if ask.committed != INVALID_TXID:
        info.committedTxId = ask.committed
    last = ask.last
    if ask.method == "ask":
        storage = hdfs_server.StorageInfoProto(
            layoutVersion=STORAGE.layout_version % (1 << 32),
            namespceID=STORAGE.namespace_id,
            clusterID=STORAGE.cluster_id,
            cTime=STORAGE.ctime_ms,
        )
        namespace = hdfs_server.NamespaceInfoProto(
            buildVersion="", unused=0, blockPoolID="BP", softwareVersion="", storageInfo=storage
        )
        jid = qjournal.JournalIdProto(identifier="ns")
        return [
            (
                "new_epoch",
                qjournal.NewEpochRequestProto(jid=jid, nsInfo=namespace, epoch=ask.epoch),
            ),
            (
                "prepare_recovery",
                qjournal.PrepareRecoveryRequestProto(reqInfo=info, segmentTxId=FIRST),
            ),
        ]
    if ask.method == "accept":
        told = "" if ask.seen_epoch is None else f"&seenEpoch={ask.seen_epoch}"
        state = qjournal.SegmentStateProto(
            startTxId=FIRST, endTxId=last, isInProgress=ask.in_progress
        )
        request: Message = qjournal.AcceptRecoveryRequestProto(
            reqInfo=info, stateToAccept=state, fromURL=f"http://source/getJournal?jid=ns{told}"
        )
        return [("accept_recovery", request)]
    if ask.method == "finalize":
        request = qjournal.FinalizeLogSegmentRequestProto(
            reqInfo=info, startTxId=FIRST, endTxId=last
        )
        return [("finalize_log_segment", request)]
    if ask.method == "start":
        request = qjournal.StartLogSegmentRequestProto(
            reqInfo=info, txid=last, layoutVersion=STORAGE.layout_version
        )
        return [("start_log_segment", request)]
    op = encode(StartLogSegmentOp(), last)
    request = qjournal.JournalRequestProto(
        reqInfo=info, firstTxnId=last, numTxns=1, records=op, segmentTxnId=FIRST
    )
    return [("journal", request)]


class Journal:
    """Every answer of a journal in every state, asked once."""

    def __init__(self, reload: Callable[[Disk], Disk] = load) -> None:
        self.reload = reload
        self.known: dict[tuple[Disk, Ask], Sequence[Outcome]] = {}

    def outcomes(self, disk: Disk, ask: Ask) -> Sequence[Outcome]:
        """With and without a crash in front of each effect; not what is as if it had been lost."""
        found = self.known.get((disk, ask))
        if found is None:
            every = dict.fromkeys(self._ask(disk, ask))
            found = self.known[disk, ask] = tuple(o for o in every if o[:2] != (disk, None))
        return found

    def _ask(self, disk: Disk, ask: Ask) -> Iterator[Outcome]:
        acceptor = revive(disk)
        acceptor.source_is_us = ask.from_self
        replies: list[Any] = []
        for method, request in messages(ask):
            acceptor._ipc_serial = -1
            for effect in acceptor.step(method, request):
                if isinstance(effect, Refuse):
                    yield self._kept(disk, acceptor), None, False
                    return
                if isinstance(effect, Reply):
                    replies.append(effect.message)
                    continue
                yield self.reload(disk), None, True
                after = execute(disk, effect, ask)
                if after is None:
                    yield self.reload(disk), None, False
                    return
                disk = after
        yield self.reload(disk), None, True
        yield self._kept(disk, acceptor), _told(ask, replies), False

    def _kept(self, disk: Disk, acceptor: Acceptor) -> Disk:
        return disk._replace(open=acceptor.open_first or 0)


def _told(ask: Ask, replies: list[Any]) -> Any:
    if ask.method != "ask":
        return True
    granted, prepared = replies
    state = prepared.segmentState
    held = prepared.HasField("segmentState")
    return Answer(
        granted.lastSegmentTxId if granted.HasField("lastSegmentTxId") else None,
        (state.endTxId, not state.isInProgress) if held else None,
        prepared.acceptedInEpoch,
        prepared.lastWriterEpoch,
        prepared.lastCommittedTxId,
    )


# --- writers ---


class Writer(NamedTuple):
    epoch: int
    phase: str = "asking"
    last: int = 0
    in_progress: bool = False
    seen_epoch: int | None = None


class Slot(NamedTuple):
    """What one journal has had of one writer."""

    heard: int = 0
    """The last kind of request that reached it, by its place in the writer's order."""
    answer: Answer | None = None
    yes: bool = False
    """It said yes to the request that the writer counts now."""
    is_source: bool = False
    started: bool = False
    acked: int = 0
    """The highest txid that it acknowledged."""
    sent: int = 0
    """The highest that it may have; more than `acked`: out of sync."""


class Place(NamedTuple):
    """One journal with what every writer has there."""

    disk: Disk
    slots: tuple[Slot, ...]


class World(NamedTuple):
    places: tuple[int, ...]
    """Numbers of Model.places."""
    writers: tuple[Writer, ...] = ()
    acked: Content = NOTHING
    """The longest content that a majority acknowledged to its writer."""
    decided: Content = NOTHING
    crashes: int = 0


ASKED, FIRST_STEP, SECOND_STEP, THIRD_STEP = 1, 2, 3, 4
"""Slot.heard: newEpoch with prepareRecovery; acceptRecovery or startLogSegment; finalize; the start
of the following segment."""
RECOVERY = ("accepting", "finalizing", "following")
LAST_STEP = {
    "accepting": FIRST_STEP,
    "finalizing": SECOND_STEP,
    "following": THIRD_STEP,
    "starting": FIRST_STEP,
    "ending": SECOND_STEP,
}

Decide = Callable[[Sequence[recovery.PrepareAnswer]], recovery.Decision]
Reached = tuple[int, bool, bool]
"""A place after a request, whether its journal said yes, and whether it crashed."""


class Model:
    """All successors of a world."""

    def __init__(
        self,
        *,
        journals: int = 3,
        epochs: int = 3,
        txns: int = 4,
        overlapping: int = 1,
        crashes: int = 1,
        tell_committed: bool = False,
        decide: Decide = recovery.decide,
        reload: Callable[[Disk], Disk] = load,
    ) -> None:
        """`overlapping`: how many writers may be at work at once."""
        self.journals = journals
        self.majority = tally.majority(journals)
        self.epochs = epochs
        self.txns = txns
        self.overlapping = overlapping
        self.crashes = crashes
        self.tell_committed = tell_committed
        self.decide = decide
        self.journal = Journal(reload)
        self.places: list[Place] = []
        self._numbers: dict[Place, int] = {}
        self._reached: dict[tuple[int, int, Ask, int], Sequence[Reached]] = {}
        self._plain: dict[tuple[int, tuple[Writer, ...]], int] = {}
        self.seen: set[World] = set()

    def start(self) -> World:
        return World((self.number(Place(Disk(), ())),) * self.journals)

    def number(self, place: Place) -> int:
        found = self._numbers.get(place)
        if found is None:
            found = self._numbers[place] = len(self.places)
            self.places.append(place)
        return found

    def explore(self) -> int:
        """Number of worlds; raises Violation (or InvariantBroken) at the first that is wrong."""
        start = self.start()
        self.seen = {start}
        todo = [start]
        while todo:
            for following in self.successors(todo.pop()):
                if following not in self.seen:
                    self.check(following)
                    self.seen.add(following)
                    todo.append(following)
        return len(self.seen)

    def check(self, world: World) -> None:
        finals = {p.disk.content for p in self.at(world) if p.disk.finalized}
        if world.decided != NOTHING:
            finals.add(world.decided)
        if len(finals) > 1:
            raise Violation(f"Q2: {finals}: {self.draw(world)}")
        whose, last = world.acked
        for content in finals:
            assert content is not None
            if last and (content[0] != whose or content[1] < last):
                raise Violation(f"Q1: {content} lacks {world.acked}: {self.draw(world)}")

    def at(self, world: World) -> list[Place]:
        return [self.places[number] for number in world.places]

    def draw(self, world: World) -> str:
        return "\n".join(map(repr, (*self.at(world), *world.writers, world.acked)))

    def successors(self, world: World) -> Iterator[World]:
        alone = self.made_room(world)
        if alone != world:
            yield alone
        elif len(world.writers) < self.overlapping:
            yield from self.begin(world)
        for index, asker in enumerate(world.writers):
            if asker.phase == "asking":
                yield from self.decisions(world, index)
            elif asker.phase == "writing":
                yield from self.end(world, index)
            if asker.phase != "dead":
                for j in self.distinct(world):
                    for ask, heard in self.requests(world, index, self.places[world.places[j]]):
                        yield from self.asked(world, index, j, ask, heard)
        for j in self.distinct(world):
            place = self.places[world.places[j]]
            disk = self.journal.reload(place.disk)
            if disk != place.disk and world.crashes < self.crashes:
                crashed = place._replace(disk=disk)
                after = world._replace(crashes=world.crashes + 1)
                yield self.plain(after, _set(world.places, j, self.number(crashed)))

    def distinct(self, world: World) -> list[int]:
        """Journals in the same state stand beside each other: one of them is enough."""
        places = world.places
        return [j for j in range(len(places)) if j == 0 or places[j] != places[j - 1]]

    # A writer comes, decides, ends

    def begin(self, world: World) -> Iterator[World]:
        """getJournalState of every majority, and newEpoch at one journal that grants it."""
        promised = [Epoch(place.disk.promised) for place in self.at(world)]
        proposals = {
            writer.next_epoch(quorum) for quorum in itertools.combinations(promised, self.majority)
        }
        numbers = tuple(self.number(p._replace(slots=(*p.slots, Slot()))) for p in self.at(world))
        for epoch in sorted(proposals):
            following = world._replace(places=numbers, writers=(*world.writers, Writer(epoch)))
            for j in self.distinct(world):
                if promised[j] < epoch <= self.epochs:
                    ask = Ask("ask", epoch)
                    yield from self.asked(following, len(world.writers), j, ask, ASKED)

    def made_room(self, world: World) -> World:
        """Without writers that do nothing any more; alone, a writer ends where the next begins."""
        if not world.writers:
            return world
        kept = [
            index
            for index, asker in enumerate(world.writers)
            if asker.phase != "dead" and self.overlapping > 1
        ]
        if len(kept) == len(world.writers):
            return world
        numbers = [self.without(number, kept) for number in world.places]
        writers = tuple(world.writers[index] for index in kept)
        return world._replace(places=tuple(sorted(numbers)), writers=writers)

    def without(self, number: int, kept: list[int]) -> int:
        place = self.places[number]
        return self.number(Place(place.disk, tuple(place.slots[index] for index in kept)))

    def decisions(self, world: World, index: int) -> Iterator[World]:
        answered = [
            (j, p.slots[index].answer)
            for j, p in enumerate(self.at(world))
            if p.slots[index].answer is not None
        ]
        quorums = [
            quorum
            for size in range(self.majority, len(answered) + 1)
            for quorum in itertools.combinations(answered, size)
        ]
        epoch = world.writers[index].epoch
        for quorum in quorums:
            newest = writer.segment_to_recover(
                None if a is None or a.newest is None else TxId(a.newest) for _, a in quorum
            )
            if newest is None:
                yield self.turned(world, index, Writer(epoch, "starting"))
        if any(a is not None and a.newest is not None for _, a in answered):
            # Another majority may answer prepareRecovery than answered newEpoch.
            for quorum in quorums:
                yield self.decided(world, index, quorum)

    def decided(
        self, world: World, index: int, quorum: Sequence[tuple[int, Answer | None]]
    ) -> World:
        epoch = world.writers[index].epoch
        decision = self.decide([_prepared(j, a) for j, a in quorum if a is not None])
        if decision.segment is None or decision.source is None:
            return self.turned(world, index, Writer(epoch, "starting"))
        chosen = Writer(
            epoch,
            "accepting",
            decision.segment.last_txid,
            not decision.segment.finalized,
            decision.seen_epoch,
        )
        source = int(decision.source)
        place = self.places[world.places[source]]
        slot = place.slots[index]._replace(is_source=True)
        marked = place._replace(slots=_set(place.slots, index, slot))
        world = world._replace(places=_set(world.places, source, self.number(marked)))
        return self.turned(world, index, chosen)

    def turned(self, world: World, index: int, following: Writer) -> World:
        """The writer goes on to its next phase; what it counted is forgotten."""
        numbers = []
        for place in self.at(world):
            slot = place.slots[index]._replace(answer=None, yes=False)
            numbers.append(self.number(place._replace(slots=_set(place.slots, index, slot))))
        writers = _set(world.writers, index, following)
        return self.plain(world._replace(writers=writers), tuple(numbers))

    def end(self, world: World, index: int) -> Iterator[World]:
        """finalizeLogSegment, when all that was written is on a majority."""
        sent = max(p.slots[index].sent for p in self.at(world))
        if sent and self.released(world, index) == sent:
            yield self.turned(world, index, Writer(world.writers[index].epoch, "ending", sent))

    # Requests

    def requests(self, world: World, index: int, place: Place) -> Iterator[tuple[Ask, int]]:
        """What the writer has sent and the journal has not had yet; earlier ones may be lost."""
        asker, slot = world.writers[index], place.slots[index]
        epoch, last, phase = asker.epoch, asker.last, asker.phase
        if place.disk.promised > epoch:
            return
        if phase == "asking":
            if slot.heard < ASKED and place.disk.promised < epoch:
                yield Ask("ask", epoch), ASKED
        elif phase in RECOVERY:
            if slot.heard < FIRST_STEP:
                yield self.accept(world, index, slot), FIRST_STEP
            if slot.heard < SECOND_STEP and phase != "accepting":
                yield Ask("finalize", epoch, last), SECOND_STEP
            if slot.heard < THIRD_STEP and phase == "following":
                yield Ask("start", epoch, last + 1), THIRD_STEP
        else:
            if slot.heard < FIRST_STEP:
                yield Ask("start", epoch, FIRST), FIRST_STEP
            limit = {"starting": 0, "writing": self.txns}.get(phase, last)
            if slot.heard == FIRST_STEP and slot.started and slot.sent == slot.acked < limit:
                committed = self.released(world, index) if self.tell_committed else 0
                committed = committed or INVALID_TXID
                yield Ask("write", epoch, slot.acked + 1, committed=committed), FIRST_STEP
            if phase == "ending" and slot.heard < SECOND_STEP:
                yield Ask("finalize", epoch, last), SECOND_STEP

    def accept(self, world: World, index: int, slot: Slot) -> Ask:
        asker = world.writers[index]
        sources = [p.disk for p in self.at(world) if p.slots[index].is_source]
        return Ask(
            "accept",
            asker.epoch,
            asker.last,
            asker.in_progress,
            asker.seen_epoch,
            slot.is_source,
            sources[0].content if sources else None,
        )

    def released(self, world: World, index: int) -> int:
        return tally.committed([TxId(p.slots[index].acked) for p in self.at(world)])

    def asked(self, world: World, index: int, j: int, ask: Ask, heard: int) -> Iterator[World]:
        for number, yes, crashed in self.reached(world.places[j], index, ask, heard):
            crashes = world.crashes + crashed
            if crashes > self.crashes:
                continue
            numbers = _set(world.places, j, number)
            after = World(numbers, world.writers, world.acked, world.decided, crashes)
            yield self.counted(after, index, ask) if yes else self.plain(after, after.places)

    def reached(self, number: int, index: int, ask: Ask, heard: int) -> Sequence[Reached]:
        key = (number, index, ask, heard)
        found = self._reached.get(key)
        if found is None:
            found = self._reached[key] = tuple(self._reach(self.places[number], index, ask, heard))
        return found

    def _reach(self, place: Place, index: int, ask: Ask, heard: int) -> Iterator[Reached]:
        for disk, told, crashed in self.journal.outcomes(place.disk, ask):
            yes = told is not None
            slot = place.slots[index]._replace(heard=heard)
            if ask.method == "ask":
                slot = slot._replace(answer=told)
            elif ask.method == "write":
                slot = slot._replace(acked=ask.last if yes else slot.acked, sent=ask.last)
            elif ask.method == "start" and ask.last == FIRST:
                slot = slot._replace(started=yes, yes=yes)
            else:
                slot = slot._replace(yes=yes)
            slots = _set(place.slots, index, slot)
            yield self.number(Place(disk, slots)), yes, crashed

    def counted(self, world: World, index: int, ask: Ask) -> World:
        """What the writer makes of the answers it has now."""
        asker = world.writers[index]
        if ask.method == "write":
            released = self.released(world, index)
            world = self.acknowledged(world, (asker.epoch, released))
        agreed = [p for p in self.at(world) if p.slots[index].yes]
        if len(agreed) >= self.majority:
            if asker.phase == "accepting":
                world = self.settle_on(world, {p.disk.content for p in agreed})
                return self.turned(world, index, asker._replace(phase="finalizing"))
            if asker.phase == "finalizing" and ask.method == "finalize":
                return self.turned(world, index, asker._replace(phase="following"))
            if asker.phase == "starting":
                return self.turned(world, index, asker._replace(phase="writing"))
        return self.plain(world, world.places)

    def acknowledged(self, world: World, content: Content) -> World:
        whose, last = world.acked
        if not content[1]:
            return world
        if last and content[0] != whose:
            raise Violation(f"Q1: {content} acknowledged after {world.acked}: {self.draw(world)}")
        return world._replace(acked=(content[0], max(last, content[1])))

    def settle_on(self, world: World, contents: set[Content | None]) -> World:
        if len(contents) != 1 or world.decided not in (NOTHING, *contents):
            raise Violation(f"Q2: {contents} after {world.decided}: {self.draw(world)}")
        decided = contents.pop()
        assert decided is not None
        return world._replace(decided=decided)

    # Worlds that are alike

    def plain(self, world: World, numbers: tuple[int, ...]) -> World:
        """Journals are alike: one order of them. A writer that can do nothing is forgotten."""
        writers = world.writers
        places = [self.places[number] for number in numbers]
        for index, asker in enumerate(writers):
            if asker.phase != "dead" and self.is_over(places, index, asker):
                writers = _set(writers, index, Writer(asker.epoch, "dead"))
        numbers = tuple(sorted(self.forget(number, writers) for number in numbers))
        return World(numbers, writers, world.acked, world.decided, world.crashes)

    def is_over(self, places: Sequence[Place], index: int, asker: Writer) -> bool:
        epoch, phase = asker.epoch, asker.phase
        if phase == "asking":
            hopeful = sum(
                p.slots[index].answer is not None
                or (p.slots[index].heard == 0 and p.disk.promised < epoch)
                for p in places
            )
            return hopeful < self.majority
        able = [p.slots[index] for p in places if p.disk.promised <= epoch]
        if phase != "writing":
            return all(slot.heard >= LAST_STEP[phase] for slot in able)
        return not able

    def forget(self, number: int, writers: tuple[Writer, ...]) -> int:
        """The place without what no writer will ask about any more."""
        found = self._plain.get((number, writers))
        if found is None:
            place = self.places[number]
            slots = tuple(
                _forgotten(slot, asker, place.disk)
                for slot, asker in zip(place.slots, writers, strict=True)
            )
            found = self._plain[number, writers] = self.number(Place(place.disk, slots))
        return found


def _forgotten(slot: Slot, asker: Writer, disk: Disk) -> Slot:
    if asker.phase == "dead":
        return Slot()
    closed = disk.promised > asker.epoch
    heard = THIRD_STEP if closed else slot.heard
    if asker.phase == "asking":
        return slot._replace(heard=heard)
    if asker.phase in RECOVERY:
        return slot._replace(heard=heard, started=False, acked=0, sent=0)
    if asker.phase == "ending":
        if closed or heard >= SECOND_STEP:
            return Slot(heard=heard)
        return slot._replace(heard=heard, yes=False)
    return slot._replace(heard=heard, started=slot.started and not closed)


def _prepared(j: int, answer: Answer) -> recovery.PrepareAnswer:
    segment = None
    if answer.segment is not None:
        segment = recovery.Segment(FIRST, TxId(answer.segment[0]), answer.segment[1])
    return recovery.PrepareAnswer(
        NodeId(str(j)),
        segment,
        Epoch(answer.accepted_epoch),
        Epoch(answer.writer_epoch),
        TxId(answer.committed),
    )


def _set(items: tuple[Any, ...], index: int, item: Any) -> tuple[Any, ...]:
    return (*items[:index], item, *items[index + 1 :])


@pytest.mark.parametrize(
    ("model", "least"),
    [
        pytest.param(Model(epochs=3, txns=4, crashes=0), 200_000, id="three-writers-four-txns"),
        pytest.param(Model(epochs=2, txns=3, crashes=1), 50_000, id="crashes-at-effects"),
        pytest.param(Model(epochs=2, txns=1, overlapping=2, crashes=1), 20_000, id="two-at-once"),
        pytest.param(Model(epochs=2, txns=3, crashes=0, tell_committed=True), 10_000, id="told"),
    ],
)
def test_every_reachable_world(model: Model, least: int) -> None:
    assert model.explore() > least


def longest(answers: Sequence[recovery.PrepareAnswer]) -> recovery.Decision:
    """Length over epoch."""
    held = [(a, a.segment) for a in answers if a.segment is not None]
    if not held:
        return recovery.Decision(None, None, "")
    best, segment = max(held, key=lambda h: (h[1].finalized, h[1].last_txid))
    return recovery.Decision(segment, best.journal, "", best.seen_epoch)


def forgetful(disk: Disk) -> Disk:
    """A restart that does not find the accepted recovery."""
    return load(disk)._replace(accepted=None)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(Model(epochs=3, txns=2, crashes=0, decide=longest), id="length-over-epoch"),
        pytest.param(Model(epochs=3, txns=2, crashes=2, reload=forgetful), id="forgets-accepted"),
    ],
)
def test_planted_bugs_are_found(model: Model) -> None:
    with pytest.raises(Violation):
        model.explore()


def _takes_any_end(self: Acceptor, request: Any, effects: Any) -> Any:
    segment = self.state.segments.get(TxId(request.startTxId))
    if segment is not None and not segment.finalized and segment.last_txid is not None:
        self.state.segments[FIRST] = Segment(FIRST, TxId(request.endTxId), finalized=False)
        self.next_txid = TxId(request.endTxId + 1)
    return Acceptor.finalize_log_segment(self, request, effects)


def _promises_twice(self: Acceptor, request: Any, effects: Any) -> Any:
    if request.epoch == self.state.promised:
        self.state.promised = Epoch(request.epoch - 1)
    return Acceptor.new_epoch(self, request, effects)


def _marks_the_writer_first(self: Acceptor, request: Any, effects: Any) -> Any:
    """What startLogSegment did before this was enumerated; Hadoop's does."""
    answer = Acceptor.start_log_segment(self, request, effects)
    effects.sort(key=lambda effect: not isinstance(effect, PersistPromise | PersistWriterEpoch))
    return answer


@pytest.mark.parametrize(
    ("method", "broken", "model"),
    [
        ("finalize_log_segment", _takes_any_end, Model(epochs=2, txns=2, crashes=0)),
        ("start_log_segment", _marks_the_writer_first, Model(epochs=2, txns=1, crashes=1)),
    ],
)
def test_planted_bugs_of_an_acceptor_are_found(
    monkeypatch: pytest.MonkeyPatch, method: str, broken: Any, model: Model
) -> None:
    monkeypatch.setitem(REQUESTS, method, broken)  # type: ignore[arg-type]
    with pytest.raises(Violation):
        model.explore()


FIVE = Model(journals=5, epochs=6, txns=4, overlapping=2, crashes=4)


def walk(model: Model, chance: st.DataObject, steps: int) -> World:
    """One path through the worlds; every one on it is checked."""
    world = model.start()
    for _ in range(steps):
        following = list(dict.fromkeys(model.successors(world)))
        if not following:
            break
        world = following[chance.draw(st.integers(0, len(following) - 1))]
        model.check(world)
    return world


@settings(max_examples=150)
@given(st.data())
def test_five_journals(chance: st.DataObject) -> None:
    walk(FIVE, chance, 60)


def test_five_journals_reach_decisions() -> None:
    """The walks are not idle: by chance alone they acknowledge, and they recover."""
    reached = set()
    dice = random.Random(1)
    for _ in range(60):
        world = FIVE.start()
        for _ in range(80):
            following = list(FIVE.successors(world))
            if not following:
                break
            world = dice.choice(following)
            FIVE.check(world)
        reached.add((world.acked != NOTHING, world.decided != NOTHING))
    assert {(True, True), (True, False)} <= reached
