"""Bugs that somebody could make, one function each: what the simulator must find."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hdfsd.base.errors import RemoteFault
from hdfsd.base.ids import Epoch, TxId
from hdfsd.editlog.frames import Run
from hdfsd.editlog.ops import EditOp
from hdfsd.failover import elector, policy
from hdfsd.failover.candidate import Candidate
from hdfsd.failover.elector import Effect, Event, Happening
from hdfsd.failover.policy import Decision, Policy, ServiceState
from hdfsd.journal.acceptor import REQUESTS, Acceptor, Append, Segment
from hdfsd.journal.journal import Journal, Waits
from hdfsd.journal.store import JournalStore
from hdfsd.namenode import transition
from hdfsd.namenode.committer import Committer
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage
from hdfsd.namenode.transition import Step
from hdfsd.quorum import recovery
from hdfsd.sim.coordination import SimCoordination
from hdfsd.sim.outcome import Outcome

Plant = Callable[[pytest.MonkeyPatch], None]


def must_be_found(run_seed: Callable[[int], Outcome], seeds: Sequence[int], found: str) -> None:
    """One of the seeds fails, and the first that does by an accusation that matches `found`."""
    for seed in seeds:
        failure = run_seed(seed).failure
        if failure:
            assert re.search(found, failure), failure
            return
    pytest.fail(f"nothing found in {len(seeds)} seeds")


def acknowledge_before_fsync(patch: pytest.MonkeyPatch) -> None:
    """A JournalNode answers what it has only written."""

    patch.setattr(JournalStore, "sync_now", lambda self: True)


def promise_an_epoch_twice(patch: pytest.MonkeyPatch) -> None:
    """`<` for `<=` where a new epoch is compared with the promised one."""
    honest = Acceptor.new_epoch

    def new_epoch(self: Acceptor, request: Any, effects: Any) -> Any:
        if request.epoch == self.state.promised:
            self.state.promised = Epoch(request.epoch - 1)
        return honest(self, request, effects)

    patch.setitem(REQUESTS, "new_epoch", new_epoch)  # type: ignore[arg-type]


def forget_the_promise_after_restart(patch: pytest.MonkeyPatch) -> None:
    """A JournalNode that was started anew obeys an epoch that it has refused before."""
    honest = JournalStore._read_long

    def read_long(self: JournalStore, name: str) -> int:
        return 0 if name == "last-promised-epoch" else honest(self, name)

    patch.setattr(JournalStore, "_read_long", read_long)


def finalize_whatever_is_there(patch: pytest.MonkeyPatch) -> None:
    """A JournalNode renames its copy to the end it is told without looking whether it has it."""
    honest = Acceptor.finalize_log_segment

    def finalize(self: Acceptor, request: Any, effects: Any) -> Any:
        segment = self.state.segments.get(TxId(request.startTxId))
        if segment is not None and not segment.finalized:
            told = Segment(segment.first_txid, TxId(request.endTxId), False)
            self.state.segments[segment.first_txid] = told
            self.next_txid = TxId(request.endTxId + 1)
            self.state.writer_epoch = Epoch(request.reqInfo.epoch)
        return honest(self, request, effects)

    patch.setitem(REQUESTS, "finalize_log_segment", finalize)  # type: ignore[arg-type]


def answer_before_the_quorum(patch: pytest.MonkeyPatch) -> None:
    """The NameNode does not park what it has only applied."""
    patch.setattr(Committer, "hold", lambda self, call, outcome: False)


def forget_retries_of_the_former_active(patch: pytest.MonkeyPatch) -> None:
    """A standby applies transactions without remembering whose calls they were."""

    def replay(self: NameNodeState, op: EditOp, txid: TxId, now_ms: int) -> None:
        self._apply(op, 0)
        self.applied_txid = txid

    patch.setattr(NameNodeState, "replay", replay)


def serve_before_catching_up(patch: pytest.MonkeyPatch) -> None:
    """A NameNode becomes active with what it had as standby."""
    from hdfsd.namenode import lifecycle

    async def catch_up(self: lifecycle.Lifecycle) -> None:
        self._state.applied_txid = self._recovered_txid

    patch.setattr(lifecycle.Lifecycle, "_catch_up", catch_up)


def refuse_no_old_epoch(patch: pytest.MonkeyPatch) -> None:
    """A JournalNode takes batches of a writer that was replaced."""
    honest = Acceptor._check_request

    def check(self: Acceptor, info: Any, effects: Any) -> None:
        try:
            honest(self, info, effects)
        except RemoteFault as fault:
            if "last promised epoch" not in str(fault):
                raise

    patch.setattr(Acceptor, "_check_request", check)


def recovery_prefers_length(patch: pytest.MonkeyPatch) -> None:
    """Of unfinished copies the longest is chosen, whoever wrote it."""

    def rank(answer: recovery.PrepareAnswer, segment: recovery.Segment) -> tuple[bool, int, int]:
        return (segment.finalized, segment.last_txid, answer.seen_epoch)

    patch.setattr(recovery, "_rank", rank)


def forget_accepted_recoveries_after_restart(patch: pytest.MonkeyPatch) -> None:
    """A JournalNode that was started anew does not know what it accepted."""
    patch.setattr(JournalStore, "_read_accepted", lambda self: {})


def serve_unsynced_edits(patch: pytest.MonkeyPatch) -> None:
    """A JournalNode shows a tailer what it has written and not synced yet."""

    def sync(self: Journal, written: list[Append]) -> Waits:
        for batch in written:
            self.acceptor.synced(batch.last_txid)
            if self._cache is not None:
                count = batch.last_txid - batch.first_txid + 1
                run = Run(batch.first_txid, count, batch.data)
                self._cache.store(run, self.store.layout_version)
        if written:
            written.clear()
            if not self.store.sync_now():
                yield self.store.sync

    patch.setattr(Journal, "_sync", sync)


def present_what_may_be_lost(patch: pytest.MonkeyPatch) -> None:
    """A restarted JournalNode answers from what its machine may still lose (J6): once ours."""

    async def leave(self: JournalStore, first_txid: TxId) -> None:
        return

    patch.setattr(JournalStore, "_make_durable", leave)


def start_anew_what_was_written(patch: pytest.MonkeyPatch) -> None:
    """A start that comes twice empties a segment of one transaction (J7): once ours."""
    honest = Acceptor._check_startable

    def check(self: Acceptor, first: TxId, epoch: int) -> None:
        honest(self, first, 0)

    patch.setattr(Acceptor, "_check_startable", check)


# --- failovers ---


def take_over_without_fencing(patch: pytest.MonkeyPatch) -> None:
    """A controller makes its NameNode active beside the one that the breadcrumb names."""

    async def fence(self: Candidate, effect: Effect) -> Event:
        return Event(Happening.FENCED, effect.ticket, "nothing was done")

    patch.setattr(Candidate, "_fence", fence)


def leave_no_breadcrumb(patch: pytest.MonkeyPatch) -> None:
    """A controller does not say who is active, so the next one fences nobody."""

    async def write(self: Candidate, effect: Effect) -> Event:
        return Event(Happening.CLAIMED, effect.ticket)

    patch.setattr(Candidate, "_write_breadcrumb", write)


def take_the_lock_of_a_former_life_for_ones_own(patch: pytest.MonkeyPatch) -> None:
    """A controller that was started anew goes on as if its old session were this one."""
    honest = Candidate._watch_lock

    async def watch(self: Candidate, effect: Effect) -> Event:
        event = await honest(self, effect)
        if event.happening is Happening.LOCK_NAMESAKE:
            return Event(Happening.LOCK_OURS, effect.ticket)
        return event

    patch.setattr(Candidate, "_watch_lock", watch)


def look_away_from_the_lock(patch: pytest.MonkeyPatch) -> None:
    """A controller that is standby hears nothing when the lock is free."""
    honest = SimCoordination.read_lock

    async def read(self: SimCoordination, on_change: Any = None) -> Any:
        return await honest(self)

    patch.setattr(SimCoordination, "read_lock", read)


def leave_the_election_with_the_lock(patch: pytest.MonkeyPatch) -> None:
    """The controller of an unhealthy active is out, and its session goes on."""
    patch.setitem(
        elector.TRANSITIONS,  # type: ignore[arg-type]
        (elector.State.ACTIVE, Happening.QUIT_FENCED),
        (elector.State.OUT, ()),
    )


def trust_what_the_election_decided(patch: pytest.MonkeyPatch) -> None:
    """A controller does not look whether its NameNode is what it should be."""

    def reported(self: Policy, state: ServiceState, now_ms: int) -> Decision:
        return Decision(policy.Action.NOTHING, "it will be what it should be")

    patch.setattr(Policy, "state_reported", reported)


def close_the_gate_after_draining(patch: pytest.MonkeyPatch) -> None:
    """A NameNode that steps back takes calls while it ends its segment."""
    late = (Step.STOP_MONITORS, Step.DRAIN, Step.REFUSE, Step.FORGET_COMMANDS, Step.TAIL)
    patch.setitem(
        transition.TRANSITIONS,  # type: ignore[arg-type]
        (HAState.ACTIVE, HAState.STANDBY),
        late,
    )


def follow_only_before_the_first_lead(patch: pytest.MonkeyPatch) -> None:
    """A NameNode that has stepped back does not read the journal."""
    honest = Lifecycle._follow

    async def follow(self: Lifecycle) -> None:
        if len(self.timeline) > 1:
            await asyncio.Event().wait()
        await honest(self)

    patch.setattr(Lifecycle, "_follow", follow)


def checkpoint_again_and_again(patch: pytest.MonkeyPatch) -> None:
    """A standby forgets that it has an image."""
    patch.setattr(NameStorage, "newest_image_txid", lambda self: None)


def observe_from_the_past(patch: pytest.MonkeyPatch) -> None:
    """An observer answers whatever its caller has seen."""
    patch.setattr(Lifecycle, "_admit", lambda self, call: None)
