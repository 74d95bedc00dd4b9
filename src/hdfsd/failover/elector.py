"""Core. Who may be active: lock, breadcrumb, and what to do in which order (decision D9).

The lock goes when its holder's session ends; the breadcrumb stays until its writer gave up being
active gracefully. Whoever wins the lock fences the node that the breadcrumb names, unless it is
itself, writes its own breadcrumb, and only then makes its NameNode active.

One that lets others go first (hdfsd.ha.election.yield; Hadoop has nothing like it) waits a bounded
while when it sees the lock free. Priority is that and no more: it never lengthens an outage beyond
that while, and never moves the lock from one that holds it.

Source: Hadoop ActiveStandbyElector; wire fact: ha-zk.md section 2. Where Hadoop ends the process
after some failed connections to ZooKeeper, this goes on trying: an active whose ZooKeeper is gone
serves on, and takes part again when it is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from hdfsd.ports.coordination import Breadcrumb

REST_MS = 1000
"""ActiveStandbyElector.SLEEP_AFTER_FAILURE_TO_BECOME_ACTIVE: others get their chance."""


class State(Enum):
    OUT = "out of the election"
    OPENING = "opening a session"
    YIELDING = "leaves the free lock to others for a while"
    CONTENDING = "trying to take the lock"
    LOOKING = "looking who holds the lock"
    READING = "holds the lock, reads the breadcrumb"
    FENCING = "holds the lock, fences the old active"
    CLAIMING = "holds the lock, writes its breadcrumb"
    PROMOTING = "holds the lock, makes its NameNode active"
    PROMOTING_BLIND = "makes its NameNode active, link to the lock lost meanwhile"
    ACTIVE = "active"
    STANDBY = "standby"
    NEUTRAL = "not knowing: link to the lock lost"
    RESIGNING = "removing its breadcrumb"
    RESTING = "giving others a chance"
    FAILED = "failed"


class Happening(Enum):
    JOIN = "asked to join"
    QUIT = "asked to quit"
    QUIT_FENCED = "asked to quit, to be fenced"

    CONNECTED = "session connected"
    SUSPENDED = "link to the lock lost"
    EXPIRED = "session expired"

    OPENED = "session opened"
    NOT_OPENED = "no session"
    LOCK_WON = "lock taken"
    LOCK_TAKEN = "another has the lock"
    LOCK_OURS = "the lock is ours"
    LOCK_OTHERS = "the lock is another's"
    LOCK_NAMESAKE = "the lock is another session's of this very NameNode"
    """Of this controller before it was restarted, or of a second one with the same id. The active
    NameNode is ours then: it is left alone, where Hadoop makes it standby."""
    LOCK_FREE = "nobody has the lock"
    LOCK_CHANGED = "the lock changed"
    NO_OLD_ACTIVE = "no other node to fence"
    OLD_ACTIVE = "another node was active before"
    FENCED = "old active fenced"
    NOT_FENCED = "old active not fenced"
    CLAIMED = "breadcrumb written"
    PROMOTED = "NameNode is active"
    NOT_PROMOTED = "NameNode did not become active"
    RESIGNED = "breadcrumb dealt with"
    RESTED = "rested"
    YIELDED = "the others had their chance"
    NO_ANSWER = "the lock service did not do it"
    REFUSED = "the lock service refuses"


COMMANDS = frozenset({Happening.JOIN, Happening.QUIT, Happening.QUIT_FENCED})
SESSION_CHANGES = frozenset({Happening.CONNECTED, Happening.SUSPENDED, Happening.EXPIRED})


class Action(Enum):
    """Effects. Those outside UNANSWERED are answered by a happening with their ticket."""

    OPEN = "open a session"
    CLOSE = "end the session"
    FORGET = "wait for no answer"
    YIELD = "wait until others had their chance"
    TRY_LOCK = "create the lock"
    WATCH_LOCK = "read the lock and watch it"
    READ_BREADCRUMB = "read the breadcrumb"
    FENCE = "fence the old active"
    WRITE_BREADCRUMB = "write the breadcrumb"
    PROMOTE = "make the NameNode active"
    DEMOTE = "make the NameNode standby"
    DELETE_BREADCRUMB = "delete the breadcrumb"
    REST = "rest"
    FAIL = "stop the controller"


UNANSWERED = frozenset({Action.DEMOTE, Action.CLOSE, Action.FORGET, Action.FAIL})

_S, _H, _A = State, Happening, Action
_Cell = tuple[State, tuple[Action, ...]]

_GIVE_UP: _Cell = (_S.RESTING, (_A.CLOSE, _A.REST))
_REJOIN: _Cell = (_S.OPENING, (_A.CLOSE, _A.OPEN))
_LEAVE: _Cell = (_S.OUT, (_A.CLOSE,))
_FAIL: _Cell = (_S.FAILED, (_A.CLOSE, _A.FAIL))
_FORGET: _Cell = (_S.NEUTRAL, (_A.FORGET,))
_RETRY: _Cell = (_S.NEUTRAL, (_A.REST,))
_CONTEND: _Cell = (_S.CONTENDING, (_A.TRY_LOCK,))
_LOOK: _Cell = (_S.LOOKING, (_A.WATCH_LOCK,))
_YIELD: _Cell = (_S.YIELDING, (_A.YIELD,))

TRANSITIONS: Mapping[tuple[State, Happening], _Cell] = {
    (_S.OUT, _H.JOIN): (_S.OPENING, (_A.OPEN,)),
    (_S.OUT, _H.QUIT): (_S.OUT, ()),
    (_S.OUT, _H.QUIT_FENCED): (_S.OUT, ()),
    #
    (_S.OPENING, _H.JOIN): (_S.OPENING, ()),
    (_S.OPENING, _H.QUIT): _LEAVE,
    (_S.OPENING, _H.QUIT_FENCED): _LEAVE,
    (_S.OPENING, _H.CONNECTED): (_S.OPENING, ()),
    (_S.OPENING, _H.SUSPENDED): (_S.OPENING, ()),
    (_S.OPENING, _H.EXPIRED): _REJOIN,
    (_S.OPENING, _H.OPENED): _CONTEND,
    (_S.OPENING, _H.NOT_OPENED): _GIVE_UP,
    (_S.OPENING, _H.REFUSED): _FAIL,
    #
    (_S.YIELDING, _H.JOIN): (_S.YIELDING, ()),
    (_S.YIELDING, _H.QUIT): _LEAVE,
    (_S.YIELDING, _H.QUIT_FENCED): _LEAVE,
    (_S.YIELDING, _H.CONNECTED): (_S.YIELDING, ()),
    (_S.YIELDING, _H.SUSPENDED): _FORGET,
    (_S.YIELDING, _H.EXPIRED): _REJOIN,
    (_S.YIELDING, _H.YIELDED): _CONTEND,
    #
    (_S.CONTENDING, _H.JOIN): (_S.CONTENDING, ()),
    (_S.CONTENDING, _H.QUIT): _LEAVE,
    (_S.CONTENDING, _H.QUIT_FENCED): _LEAVE,
    (_S.CONTENDING, _H.CONNECTED): (_S.CONTENDING, ()),
    (_S.CONTENDING, _H.SUSPENDED): _FORGET,
    (_S.CONTENDING, _H.EXPIRED): _REJOIN,
    (_S.CONTENDING, _H.LOCK_WON): (_S.READING, (_A.READ_BREADCRUMB,)),
    (_S.CONTENDING, _H.LOCK_TAKEN): _LOOK,
    (_S.CONTENDING, _H.NO_ANSWER): _RETRY,
    (_S.CONTENDING, _H.REFUSED): _FAIL,
    #
    (_S.LOOKING, _H.JOIN): (_S.LOOKING, ()),
    (_S.LOOKING, _H.QUIT): _LEAVE,
    (_S.LOOKING, _H.QUIT_FENCED): _LEAVE,
    (_S.LOOKING, _H.CONNECTED): _LOOK,
    (_S.LOOKING, _H.SUSPENDED): _FORGET,
    (_S.LOOKING, _H.EXPIRED): _REJOIN,
    (_S.LOOKING, _H.LOCK_OURS): (_S.READING, (_A.READ_BREADCRUMB,)),
    (_S.LOOKING, _H.LOCK_OTHERS): (_S.STANDBY, (_A.DEMOTE,)),
    (_S.LOOKING, _H.LOCK_NAMESAKE): (_S.STANDBY, ()),
    (_S.LOOKING, _H.LOCK_FREE): _CONTEND,
    (_S.LOOKING, _H.LOCK_CHANGED): _CONTEND,
    (_S.LOOKING, _H.NO_ANSWER): _RETRY,
    (_S.LOOKING, _H.REFUSED): _FAIL,
    #
    (_S.READING, _H.JOIN): (_S.READING, ()),
    (_S.READING, _H.QUIT): _LEAVE,
    (_S.READING, _H.QUIT_FENCED): _LEAVE,
    (_S.READING, _H.CONNECTED): (_S.READING, ()),
    (_S.READING, _H.SUSPENDED): _FORGET,
    (_S.READING, _H.EXPIRED): _REJOIN,
    (_S.READING, _H.NO_OLD_ACTIVE): (_S.CLAIMING, (_A.WRITE_BREADCRUMB,)),
    (_S.READING, _H.OLD_ACTIVE): (_S.FENCING, (_A.FENCE,)),
    (_S.READING, _H.NO_ANSWER): _GIVE_UP,
    (_S.READING, _H.REFUSED): _FAIL,
    #
    (_S.FENCING, _H.JOIN): (_S.FENCING, ()),
    (_S.FENCING, _H.QUIT): _LEAVE,
    (_S.FENCING, _H.QUIT_FENCED): _LEAVE,
    (_S.FENCING, _H.CONNECTED): (_S.FENCING, ()),
    (_S.FENCING, _H.SUSPENDED): _FORGET,
    (_S.FENCING, _H.EXPIRED): _REJOIN,
    (_S.FENCING, _H.FENCED): (_S.CLAIMING, (_A.WRITE_BREADCRUMB,)),
    (_S.FENCING, _H.NOT_FENCED): _GIVE_UP,
    #
    (_S.CLAIMING, _H.JOIN): (_S.CLAIMING, ()),
    (_S.CLAIMING, _H.QUIT): _LEAVE,
    (_S.CLAIMING, _H.QUIT_FENCED): _LEAVE,
    (_S.CLAIMING, _H.CONNECTED): (_S.CLAIMING, ()),
    (_S.CLAIMING, _H.SUSPENDED): _FORGET,
    (_S.CLAIMING, _H.EXPIRED): _REJOIN,
    (_S.CLAIMING, _H.CLAIMED): (_S.PROMOTING, (_A.PROMOTE,)),
    (_S.CLAIMING, _H.NO_ANSWER): _GIVE_UP,
    (_S.CLAIMING, _H.REFUSED): _FAIL,
    # The breadcrumb is kept whatever ends a promotion: the NameNode may be active by now.
    (_S.PROMOTING, _H.JOIN): (_S.PROMOTING, ()),
    (_S.PROMOTING, _H.QUIT): _LEAVE,
    (_S.PROMOTING, _H.QUIT_FENCED): _LEAVE,
    (_S.PROMOTING, _H.CONNECTED): (_S.PROMOTING, ()),
    (_S.PROMOTING, _H.SUSPENDED): (_S.PROMOTING_BLIND, ()),
    (_S.PROMOTING, _H.EXPIRED): _REJOIN,
    (_S.PROMOTING, _H.PROMOTED): (_S.ACTIVE, (_A.WATCH_LOCK,)),
    (_S.PROMOTING, _H.NOT_PROMOTED): _GIVE_UP,
    #
    (_S.PROMOTING_BLIND, _H.JOIN): (_S.PROMOTING_BLIND, ()),
    (_S.PROMOTING_BLIND, _H.QUIT): _LEAVE,
    (_S.PROMOTING_BLIND, _H.QUIT_FENCED): _LEAVE,
    (_S.PROMOTING_BLIND, _H.CONNECTED): (_S.PROMOTING, ()),
    (_S.PROMOTING_BLIND, _H.SUSPENDED): (_S.PROMOTING_BLIND, ()),
    (_S.PROMOTING_BLIND, _H.EXPIRED): _REJOIN,
    (_S.PROMOTING_BLIND, _H.PROMOTED): _FORGET,
    (_S.PROMOTING_BLIND, _H.NOT_PROMOTED): _GIVE_UP,
    #
    (_S.ACTIVE, _H.JOIN): (_S.ACTIVE, ()),
    (_S.ACTIVE, _H.QUIT): (_S.RESIGNING, (_A.DELETE_BREADCRUMB,)),
    (_S.ACTIVE, _H.QUIT_FENCED): _LEAVE,
    (_S.ACTIVE, _H.CONNECTED): (_S.ACTIVE, ()),
    (_S.ACTIVE, _H.SUSPENDED): _FORGET,
    (_S.ACTIVE, _H.EXPIRED): _REJOIN,
    (_S.ACTIVE, _H.LOCK_OURS): (_S.ACTIVE, ()),
    (_S.ACTIVE, _H.LOCK_OTHERS): (_S.STANDBY, (_A.DEMOTE,)),
    (_S.ACTIVE, _H.LOCK_NAMESAKE): (_S.STANDBY, ()),
    (_S.ACTIVE, _H.LOCK_FREE): _CONTEND,
    (_S.ACTIVE, _H.LOCK_CHANGED): _CONTEND,
    (_S.ACTIVE, _H.NO_ANSWER): _RETRY,
    (_S.ACTIVE, _H.REFUSED): _FAIL,
    #
    (_S.STANDBY, _H.JOIN): (_S.STANDBY, ()),
    (_S.STANDBY, _H.QUIT): _LEAVE,
    (_S.STANDBY, _H.QUIT_FENCED): _LEAVE,
    (_S.STANDBY, _H.CONNECTED): (_S.STANDBY, ()),
    (_S.STANDBY, _H.SUSPENDED): _FORGET,
    (_S.STANDBY, _H.EXPIRED): _REJOIN,
    # Not at once, as Hadoop does: an active whose lock was deleted by hand hears of it at the same
    # time, and takes it back while we look. When its session is over that look costs a round trip.
    (_S.STANDBY, _H.LOCK_CHANGED): _LOOK,
    #
    (_S.NEUTRAL, _H.JOIN): (_S.NEUTRAL, ()),
    (_S.NEUTRAL, _H.QUIT): _LEAVE,
    (_S.NEUTRAL, _H.QUIT_FENCED): _LEAVE,
    (_S.NEUTRAL, _H.CONNECTED): _LOOK,
    (_S.NEUTRAL, _H.SUSPENDED): _FORGET,
    (_S.NEUTRAL, _H.EXPIRED): _REJOIN,
    (_S.NEUTRAL, _H.RESTED): _LOOK,
    #
    (_S.RESIGNING, _H.JOIN): _REJOIN,
    (_S.RESIGNING, _H.QUIT): (_S.RESIGNING, ()),
    (_S.RESIGNING, _H.QUIT_FENCED): _LEAVE,
    (_S.RESIGNING, _H.CONNECTED): (_S.RESIGNING, ()),
    (_S.RESIGNING, _H.SUSPENDED): _LEAVE,
    (_S.RESIGNING, _H.EXPIRED): _LEAVE,
    (_S.RESIGNING, _H.RESIGNED): _LEAVE,
    #
    (_S.RESTING, _H.JOIN): (_S.RESTING, ()),
    (_S.RESTING, _H.QUIT): (_S.OUT, (_A.FORGET,)),
    (_S.RESTING, _H.QUIT_FENCED): (_S.OUT, (_A.FORGET,)),
    (_S.RESTING, _H.RESTED): (_S.OPENING, (_A.OPEN,)),
    #
    (_S.FAILED, _H.JOIN): (_S.FAILED, ()),
    (_S.FAILED, _H.QUIT): (_S.FAILED, ()),
    (_S.FAILED, _H.QUIT_FENCED): (_S.FAILED, ()),
}
"""(state, what happens) -> (next state, effects in their order). An absent key is an error."""

YIELDING_TRANSITIONS: Mapping[tuple[State, Happening], _Cell] = {
    (_S.OPENING, _H.OPENED): _LOOK,
    (_S.LOOKING, _H.LOCK_FREE): _YIELD,
    (_S.LOOKING, _H.LOCK_CHANGED): _YIELD,
    (_S.STANDBY, _H.LOCK_CHANGED): _YIELD,
}
"""Cells in place of those above, for one that lets others go first. It looks before it tries, and
gives others a while when the lock is free; an active one that lost its lock tries at once. What
the lock is, and whose, is as ever: others in the election need not know of it."""

_TOLD_STANDBY = frozenset(
    {
        _S.STANDBY,
        _S.YIELDING,
        _S.CONTENDING,
        _S.LOOKING,
        _S.READING,
        _S.FENCING,
        _S.CLAIMING,
    }
)
"""States in which a NameNode that was told to be standby has not been told otherwise."""

_LEADS_NO_MORE = frozenset({_S.OUT, _S.STANDBY, _S.RESIGNING, _S.RESTING, _S.FAILED})
"""States in which a NameNode that was made active is so no more, or not for long."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    `ticket` is that of the effect which it answers (of OPEN, for changes of the session); None for
    commands. `breadcrumb` comes with NO_OLD_ACTIVE (None: there is none) and OLD_ACTIVE.
    """

    happening: Happening
    ticket: int | None = None
    detail: str = ""
    breadcrumb: Breadcrumb | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    action: Action
    ticket: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an event led to. `reason` is "" when nothing changed."""

    effects: tuple[Effect, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One step of the election as it was taken, for the record."""

    before: State
    happening: Happening
    after: State
    detail: str
    reason: str


class Elector:
    """One NameNode's part in the election; with `yields` it lets others go first."""

    def __init__(self, *, yields: bool = False) -> None:
        self.state = State.OUT
        self.yields = yields
        self._leads = False
        """It made its NameNode active, and nothing undid that yet."""
        self.data = b""
        """What our lock and breadcrumb say; set by `join`."""
        self.old: Breadcrumb | None = None
        """The breadcrumb as last read: what to fence, and the version to replace."""
        self._ticket = 0
        self._session_ticket = 0
        self._told_standby = False

    def join(self, data: bytes) -> Outcome:
        """Takes part from now on; no-op when it does already (joinElection)."""
        if self.state is State.OUT:
            self.data = data
        return self.step(Event(Happening.JOIN))

    def step(self, event: Event) -> Outcome:
        """Raises KeyError for what can't happen in this state: a fault of the driver."""
        if self._is_stale(event):
            return Outcome((), "")
        before = self.state
        self.state, actions = self._cell(before, event.happening)
        if event.happening in (Happening.NO_OLD_ACTIVE, Happening.OLD_ACTIVE):
            self.old = event.breadcrumb
        effects = tuple(self._effect(action) for action in actions if self._is_needed(action))
        told = self._told_standby or Action.DEMOTE in actions
        self._told_standby = told and self.state in _TOLD_STANDBY
        self._leads = self._still_leads()
        if self.state is before and not effects:
            return Outcome((), "")
        detail = f" ({event.detail})" if event.detail else ""
        return Outcome(effects, f"{event.happening.value}{detail}: now {self.state.value}")

    def _cell(self, state: State, happening: Happening) -> _Cell:
        usual = TRANSITIONS[state, happening]
        if not self.yields or self._leads:
            return usual
        return YIELDING_TRANSITIONS.get((state, happening), usual)

    def _still_leads(self) -> bool:
        """One whose session expired leads until another has taken the lock, and fenced it."""
        if self.state is State.ACTIVE:
            return True
        return self._leads and self.state not in _LEADS_NO_MORE

    def _is_stale(self, event: Event) -> bool:
        """An answer that nobody waits for any more, or news of a session that was closed."""
        if event.happening in COMMANDS:
            return False
        if event.happening in SESSION_CHANGES:
            return event.ticket != self._session_ticket
        return event.ticket != self._ticket

    def _is_needed(self, action: Action) -> bool:
        return not (action is Action.DEMOTE and self._told_standby)

    def _effect(self, action: Action) -> Effect:
        if action not in UNANSWERED:
            self._ticket += 1
        if action is Action.OPEN:
            self._session_ticket = self._ticket
        elif action is Action.CLOSE:
            self._session_ticket = 0
        if action in (Action.CLOSE, Action.FORGET):
            self._ticket += 1  # Whatever was asked will not be answered.
        return Effect(action, self._ticket)

    def is_own(self, data: bytes) -> bool:
        """Whether a breadcrumb is ours, so that nobody needs fencing."""
        return data == self.data

    def describe(self) -> str:
        """One line for scenarios and status."""
        return self.state.value
