"""Driver. A simulated lock service (ports.coordination): sessions, an ephemeral lock, a breadcrumb.

What an election must survive here, and what this service does for it: requests that take time; a
cut from the service (requests wait, then their outcome is unknown: they may have been executed);
a session that expires because its owner was silent, or for no reason that the owner can see; an
owner that learns of the expiry late, when somebody else holds the lock already; watches that fire
late; a killed owner, whose lock stays until its session has timed out; a lock that somebody deletes
by hand; a service that is gone for everybody, and back with all its sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hdfsd.base.errors import ConnectFailed, OutcomeUnknown
from hdfsd.ports.coordination import Breadcrumb, LockView, SessionState
from hdfsd.sim.loop import Lane
from hdfsd.sim.network import Host
from hdfsd.sim.world import Process, World

T = TypeVar("T")

TICKS_PER_SESSION = 5
"""How often within a session's time-out the service looks who is still there."""


@dataclass(eq=False, slots=True)
class _Session:
    host: Host
    lane: Lane
    on_session: Callable[[SessionState], None]
    heard_s: float
    alive: bool = True
    robbed: bool = False
    """Its lock was deleted by hand."""
    abandoned: bool = False
    """Its owner keeps it no more: it lasts until its time-out."""
    told: SessionState = SessionState.CONNECTED
    """What the owner was told last."""
    news: list[Callable[[], None]] = field(default_factory=list)
    """Watches that have fired and are told when the owner can be reached."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A breadcrumb that is about to be written."""

    machine: str
    holds_lock: bool
    """False also for a lock that somebody else holds; a lock deleted by hand counts as held."""


class LockService:
    """The service itself; `watch` must run beside it."""

    def __init__(self, world: World, name: str, *, session_ms: int) -> None:
        self.loop = world.loop
        self.fabric = world.fabric
        self.host = world.fabric.add_host(name)
        self.session_ms = session_ms
        self.formatted = False
        self.holder: _Session | None = None
        self.data = b""
        self.breadcrumb: Breadcrumb | None = None
        self.held_since_s = 0.0
        """When the holder took the lock."""
        self.on_claim: Callable[[Claim], None] = _unheard
        self._gone = False
        self._sessions: dict[_Session, None] = {}
        self._watches: list[tuple[_Session, Callable[[], None]]] = []

    async def watch(self) -> None:
        """Counts the silence of every owner, until cancelled."""
        while True:
            await asyncio.sleep(self.session_ms / 1000 / TICKS_PER_SESSION)
            for session in list(self._sessions):
                self._look(session)

    def expire(self, number: int) -> None:
        """Ends a session, as a service that stalls or restarts does; its owner is not asked."""
        sessions = [s for s in self._sessions if s.alive and not s.abandoned]
        if sessions:
            session = sessions[number % len(sessions)]
            self.loop.note(f"the session of {session.lane.name} expires")
            self.end(session)

    def take_away(self) -> None:
        """Somebody deletes the lock by hand; its session goes on."""
        if self.holder is not None:
            self.holder.robbed = True
            self.release()

    def go(self) -> None:
        """Nobody is answered, and no session ends."""
        self.loop.note("the lock service is gone")
        self._gone = True

    def come_back(self) -> None:
        """Every session begins to count its silence anew, as under a new leader of ZooKeeper."""
        self.loop.note("the lock service is back")
        self._gone = False
        for session in self._sessions:
            session.heard_s = self.loop.time()

    def reaches(self, host: Host) -> bool:
        blocked = self.fabric.blocked
        return not (self._gone or blocked(host, self.host) or blocked(self.host, host))

    @property
    def holding_machine(self) -> str:
        """Of the lock's holder; "" while nobody has it."""
        return "" if self.holder is None else self.holder.host.name

    def begin(self, process: Process, on_session: Callable[[SessionState], None]) -> _Session:
        session = _Session(process.machine.host, process.lane, on_session, self.loop.time())
        self._sessions[session] = None
        return session

    def end(self, session: _Session) -> None:
        """The lock goes with its session."""
        session.alive = False
        if self.holder is session:
            self.release()

    def forget(self, session: _Session) -> None:
        self.end(session)
        self._sessions.pop(session, None)
        self._watches = [watch for watch in self._watches if watch[0] is not session]

    def take(self, session: _Session, data: bytes) -> bool:
        if self.holder is None:
            self.holder, self.data = session, data
            self.held_since_s = self.loop.time()
            self.loop.note(f"{session.lane.name} has the lock")
            self._fire()
        return self.holder is session

    def release(self) -> None:
        self.holder = None
        self.loop.note("the lock is free")
        self._fire()

    def claim(self, session: _Session, data: bytes, version: int | None) -> bool:
        """Writes the breadcrumb, unless another version of it is there."""
        there = None if self.breadcrumb is None else self.breadcrumb.version
        if there != version:
            return False
        self.on_claim(Claim(session.host.name, self.holder is session or session.robbed))
        self.breadcrumb = Breadcrumb(data, 0 if version is None else version + 1)
        self.loop.note(f"{session.lane.name} writes its breadcrumb")
        return True

    def add_watch(self, session: _Session, on_change: Callable[[], None]) -> None:
        self._watches.append((session, on_change))

    def _fire(self) -> None:
        fired, self._watches = self._watches, []
        for session, on_change in fired:
            session.news.append(on_change)
            self.fabric.later(self.fabric.latency_s(), self._tell_news, session)

    def _tell_news(self, session: _Session) -> None:
        if session.abandoned:
            return
        if session.told is SessionState.CONNECTED and self.reaches(session.host):
            for on_change in session.news:
                self.loop.call_soon(on_change, context=session.lane.context)
            session.news.clear()

    def _look(self, session: _Session) -> None:
        silent_ms = (self.loop.time() - session.heard_s) * 1000
        if session.abandoned or not session.lane.alive:
            if silent_ms > self.session_ms and not self._gone:
                self.forget(session)
            return
        reached = self.reaches(session.host)
        if reached and not session.lane.paused:
            if session.alive:
                session.heard_s = self.loop.time()
                self._tell(session, SessionState.CONNECTED)
                self._tell_news(session)
            else:
                self._tell(session, SessionState.EXPIRED)
            return
        if silent_ms > self.session_ms * 2 / 3 and session.told is SessionState.CONNECTED:
            self._tell(session, SessionState.SUSPENDED)
        if silent_ms > self.session_ms and session.alive and not self._gone:
            self.loop.note(f"the session of {session.lane.name} has timed out")
            self.end(session)

    def _tell(self, session: _Session, state: SessionState) -> None:
        """A paused owner hears it when it goes on."""
        if session.told is not state:
            session.told = state
            self.loop.call_soon(session.on_session, state, context=session.lane.context)


class SimCoordination:
    """The service as one process sees it."""

    def __init__(self, service: LockService, process: Process) -> None:
        self._service = service
        self._process = process
        self._session: _Session | None = None

    async def open(self, on_session: Callable[[SessionState], None]) -> None:
        await self._travel("open")
        self._session = self._service.begin(self._process, on_session)
        await asyncio.sleep(self._service.fabric.latency_s())

    async def parent_exists(self) -> bool:
        return await self._ask("exists", lambda session: self._service.formatted)

    async def format(self) -> None:
        def act(session: _Session) -> None:
            self._service.formatted = True
            self._service.breadcrumb = None

        await self._ask("format", act)

    async def try_lock(self, data: bytes) -> bool:
        return await self._ask("create", lambda session: self._service.take(session, data))

    async def read_lock(self, on_change: Callable[[], None] | None = None) -> LockView | None:
        service = self._service

        def act(session: _Session) -> LockView | None:
            if on_change is not None:
                service.add_watch(session, on_change)
            if service.holder is None:
                return None
            return LockView(service.data, mine=service.holder is session)

        return await self._ask("read", act)

    async def unlock(self) -> None:
        def act(session: _Session) -> None:
            if self._service.holder is session:
                self._service.release()

        await self._ask("delete", act)

    async def read_breadcrumb(self) -> Breadcrumb | None:
        return await self._ask("read", lambda session: self._service.breadcrumb)

    async def write_breadcrumb(self, data: bytes, version: int | None) -> None:
        service = self._service
        if not await self._ask("write", lambda session: service.claim(session, data, version)):
            raise OutcomeUnknown("another version of the breadcrumb is there")

    async def delete_breadcrumb(self, version: int) -> None:
        service = self._service

        def act(session: _Session) -> None:
            if service.breadcrumb is not None and service.breadcrumb.version == version:
                service.breadcrumb = None

        await self._ask("delete", act)

    async def close(self) -> None:
        """A session that can't be ended now ends by its time-out."""
        session, self._session = self._session, None
        if session is None:
            return
        session.abandoned = True
        if self._service.reaches(session.host):
            await asyncio.sleep(self._service.fabric.latency_s())
            self._service.forget(session)

    async def _ask(self, what: str, act: Callable[[_Session], T]) -> T:
        session = self._session
        if session is None:
            raise ConnectFailed(f"{what}: there is no session")
        await self._travel(what)
        if not session.alive:
            raise ConnectFailed(f"{what}: the session has expired")
        result = act(session)
        await asyncio.sleep(self._service.fabric.latency_s())
        if not self._service.reaches(session.host):
            await asyncio.sleep(self._service.session_ms / 1000)
            raise OutcomeUnknown(f"{what}: no answer")
        return result

    async def _travel(self, what: str) -> None:
        """The way to the service, waiting for a path; raises ConnectFailed when there is none."""
        service = self._service
        for _ in range(TICKS_PER_SESSION):
            await asyncio.sleep(service.fabric.latency_s())
            if service.reaches(self._process.machine.host):
                return
            await asyncio.sleep(service.session_ms / 1000 / TICKS_PER_SESSION)
        raise ConnectFailed(f"{what}: the lock service can't be reached")


def _unheard(claim: Claim) -> None: ...
