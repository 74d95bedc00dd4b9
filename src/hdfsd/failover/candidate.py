"""Driver. Runs the elector over a coordination service: every effect is carried out here.

What the elector asks of the service is done one thing at a time; a question whose answer nobody
waits for any more is cancelled. Ending a session is never cancelled: the lock goes with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

from hdfsd.base.errors import HdfsdError, LinkError
from hdfsd.failover.elector import (
    REST_MS,
    Action,
    Effect,
    Elector,
    Event,
    Happening,
    Outcome,
    State,
    Turn,
)
from hdfsd.ports.coordination import Coordination, LockView, SessionState

log = logging.getLogger(__name__)


NAMESAKE = (
    "this controller's own before a restart, or that of a second controller with the same"
    " dfs.ha.namenode.id, which must be stopped"
)


class Acts(Protocol):
    """What the controller does for the election."""

    def is_namesake(self, data: bytes) -> bool:
        """Whether a lock names the local NameNode, whoever holds it."""
        ...

    async def fence(self, data: bytes) -> str:
        """Fences the node that a breadcrumb names, and says how. Raises HdfsdError."""
        ...

    async def promote(self) -> None:
        """Makes the local NameNode active. Raises HdfsdError."""
        ...

    async def demote(self) -> None:
        """Makes the local NameNode standby; a failure is logged and that is all."""
        ...


class ElectionFailed(HdfsdError):
    """The election can't go on: the controller stops."""


_SESSION_HAPPENINGS: Mapping[SessionState, Happening] = {
    SessionState.CONNECTED: Happening.CONNECTED,
    SessionState.SUSPENDED: Happening.SUSPENDED,
    SessionState.EXPIRED: Happening.EXPIRED,
}

_FAILURES: Mapping[Action, tuple[Happening, Happening]] = {
    Action.OPEN: (Happening.NOT_OPENED, Happening.REFUSED),
    Action.TRY_LOCK: (Happening.NO_ANSWER, Happening.REFUSED),
    Action.WATCH_LOCK: (Happening.NO_ANSWER, Happening.REFUSED),
    Action.READ_BREADCRUMB: (Happening.NO_ANSWER, Happening.REFUSED),
    Action.FENCE: (Happening.NOT_FENCED, Happening.NOT_FENCED),
    Action.WRITE_BREADCRUMB: (Happening.NO_ANSWER, Happening.REFUSED),
    Action.PROMOTE: (Happening.NOT_PROMOTED, Happening.NOT_PROMOTED),
    Action.DELETE_BREADCRUMB: (Happening.RESIGNED, Happening.RESIGNED),
}
"""What to tell the elector when an effect ends in a LinkError, or in another error of ours."""


class Candidate:
    """The local NameNode's part in the election."""

    def __init__(
        self,
        coordination: Coordination,
        acts: Acts,
        on_turn: Callable[[Turn], None] = lambda _: None,
        *,
        yield_ms: int = 0,
    ) -> None:
        """`yield_ms`: for how long it leaves a free lock to others."""
        self._yield_ms = yield_ms
        self.elector = Elector(yields=yield_ms > 0)
        self._on_turn = on_turn
        self._coordination = coordination
        self._acts = acts
        self._tasks: asyncio.TaskGroup | None = None
        self._question: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._out = asyncio.Event()
        self._failed: asyncio.Future[None] | None = None
        self._operations: Mapping[Action, Callable[[Effect], Awaitable[Event]]] = {
            Action.OPEN: self._open,
            Action.TRY_LOCK: self._try_lock,
            Action.WATCH_LOCK: self._watch_lock,
            Action.READ_BREADCRUMB: self._read_breadcrumb,
            Action.FENCE: self._fence,
            Action.WRITE_BREADCRUMB: self._write_breadcrumb,
            Action.PROMOTE: self._promote,
            Action.DELETE_BREADCRUMB: self._delete_breadcrumb,
            Action.REST: self._rest,
            Action.YIELD: self._yield,
        }

    async def run(self) -> None:
        """Carries out the election until cancelled. Raises ElectionFailed when it can't go on."""
        self._failed = asyncio.get_running_loop().create_future()
        self._out.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._failed
        except ExceptionGroup as failures:
            # Not `except*`: before Python 3.11.4 what is raised there comes out in a group again.
            refused, others = failures.split(ElectionFailed)
            if refused is None or others is not None:
                raise
            raise refused.exceptions[0] from None
        finally:
            self._tasks = None
            await self._coordination.close()

    def let_others_first(self, do: bool) -> None:
        """Whether it does as configured, or takes a free lock at once for now."""
        self.elector.yields = do and self._yield_ms > 0

    @property
    def state(self) -> State:
        return self.elector.state

    def join(self, data: bytes) -> None:
        """Takes part, with this as the content of lock and breadcrumb."""
        before = self.state
        self._apply(before, Event(Happening.JOIN), self.elector.join(data))

    def quit(self, *, need_fence: bool) -> None:
        """Leaves; the breadcrumb stays when the NameNode may still be active."""
        happening = Happening.QUIT_FENCED if need_fence else Happening.QUIT
        self._happened(Event(happening))

    async def left(self) -> None:
        """Returns when it is out and the lock is gone."""
        await self._out.wait()

    async def lock_holder(self) -> LockView | None:
        """Who holds the lock now. Raises LinkError."""
        return await self._coordination.read_lock()

    def _happened(self, event: Event) -> None:
        if self._failed is not None and not self._failed.done():  # Else the election is ending.
            before = self.state
            self._apply(before, event, self.elector.step(event))

    def _apply(self, before: State, event: Event, outcome: Outcome) -> None:
        if outcome.reason:
            log.info("election: %s", outcome.reason)
            happening, after = event.happening, self.state
            self._on_turn(Turn(before, happening, after, event.detail, outcome.reason))
        for effect in outcome.effects:
            self._carry_out(effect, outcome.reason)
        self._note_whether_out()

    def _note_whether_out(self) -> None:
        closed = self._closing is None or self._closing.done()
        if self.state in (State.OUT, State.FAILED) and closed:
            self._out.set()
        else:
            self._out.clear()

    def _carry_out(self, effect: Effect, reason: str) -> None:
        action = effect.action
        if action is Action.CLOSE:
            self._abandon()
            self._closing = self._start(self._close())
            self._closing.add_done_callback(lambda _: self._note_whether_out())
        elif action is Action.FORGET:
            self._abandon()
        elif action is Action.DEMOTE:
            self._start(self._acts.demote())
        elif action is Action.FAIL:
            if self._failed is not None and not self._failed.done():
                self._failed.set_exception(ElectionFailed(reason))
        elif action is Action.PROMOTE:
            # Never cancelled: a NameNode that was asked to become active has to be waited for,
            # or the request to become standby could overtake it.
            self._start(self._ask(effect))
        else:
            self._abandon()
            self._question = self._start(self._ask(effect))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._tasks is not None, "the election has not started"
        return self._tasks.create_task(work)

    def _abandon(self) -> None:
        if self._question is not None:
            self._question.cancel()
            self._question = None

    async def _close(self) -> None:
        await self._coordination.close()

    async def _ask(self, effect: Effect) -> None:
        try:
            event = await self._operations[effect.action](effect)
        except HdfsdError as error:
            lost, refused = _FAILURES[effect.action]
            happening = lost if isinstance(error, LinkError) else refused
            event = Event(happening, effect.ticket, str(error))
        if self._question is asyncio.current_task():
            self._question = None
        self._happened(event)

    async def _open(self, effect: Effect) -> Event:
        if self._closing is not None:
            await asyncio.wait({self._closing})

        def on_session(state: SessionState) -> None:
            self._happened(Event(_SESSION_HAPPENINGS[state], effect.ticket))

        await self._coordination.open(on_session)
        return Event(Happening.OPENED, effect.ticket)

    async def _try_lock(self, effect: Effect) -> Event:
        won = await self._coordination.try_lock(self.elector.data)
        return Event(Happening.LOCK_WON if won else Happening.LOCK_TAKEN, effect.ticket)

    async def _watch_lock(self, effect: Effect) -> Event:
        def on_change() -> None:
            self._happened(Event(Happening.LOCK_CHANGED, effect.ticket))

        view = await self._coordination.read_lock(on_change)
        if view is None:
            return Event(Happening.LOCK_FREE, effect.ticket)
        if view.mine:
            return Event(Happening.LOCK_OURS, effect.ticket)
        if self._acts.is_namesake(view.data):
            return Event(Happening.LOCK_NAMESAKE, effect.ticket, NAMESAKE)
        return Event(Happening.LOCK_OTHERS, effect.ticket)

    async def _read_breadcrumb(self, effect: Effect) -> Event:
        found = await self._coordination.read_breadcrumb()
        if found is None or self.elector.is_own(found.data):
            return Event(Happening.NO_OLD_ACTIVE, effect.ticket, breadcrumb=found)
        return Event(Happening.OLD_ACTIVE, effect.ticket, breadcrumb=found)

    async def _fence(self, effect: Effect) -> Event:
        assert self.elector.old is not None, "fencing without a breadcrumb"
        how = await self._acts.fence(self.elector.old.data)
        return Event(Happening.FENCED, effect.ticket, how)

    async def _write_breadcrumb(self, effect: Effect) -> Event:
        old = self.elector.old
        await self._coordination.write_breadcrumb(
            self.elector.data, None if old is None else old.version
        )
        return Event(Happening.CLAIMED, effect.ticket)

    async def _promote(self, effect: Effect) -> Event:
        await self._acts.promote()
        return Event(Happening.PROMOTED, effect.ticket)

    async def _delete_breadcrumb(self, effect: Effect) -> Event:
        found = await self._coordination.read_breadcrumb()
        if found is None or not self.elector.is_own(found.data):
            return Event(Happening.RESIGNED, effect.ticket, "it is not ours")
        await self._coordination.delete_breadcrumb(found.version)
        return Event(Happening.RESIGNED, effect.ticket)

    async def _rest(self, effect: Effect) -> Event:
        await asyncio.sleep(REST_MS / 1000)
        return Event(Happening.RESTED, effect.ticket)

    async def _yield(self, effect: Effect) -> Event:
        await asyncio.sleep(self._yield_ms / 1000)
        return Event(Happening.YIELDED, effect.ticket)
