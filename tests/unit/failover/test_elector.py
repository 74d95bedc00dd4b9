"""Every cell of the table; what the scenarios show in stories is in tests/scenarios."""

from __future__ import annotations

from itertools import product

import pytest

from hdfsd.failover.elector import (
    COMMANDS,
    SESSION_CHANGES,
    TRANSITIONS,
    UNANSWERED,
    YIELDING_TRANSITIONS,
    Action,
    Elector,
    Event,
    Happening,
    State,
)
from hdfsd.ports.coordination import Breadcrumb

WITHOUT_SESSION = {State.OUT, State.RESTING, State.FAILED}
CELLS = sorted(product(State, Happening), key=lambda cell: (cell[0].name, cell[1].name))


def elector_in(state: State, *, yields: bool = False) -> Elector:
    """As after a life that led there, with a session open where there is one."""
    made = Elector(yields=yields)
    made.join(b"me")
    made.state = state
    if state in WITHOUT_SESSION:
        made._session_ticket = 0
    return made


def event_of(elector: Elector, happening: Happening) -> Event:
    """One that is not stale."""
    if happening in COMMANDS:
        return Event(happening)
    if happening in SESSION_CHANGES:
        return Event(happening, elector._session_ticket)
    return Event(happening, elector._ticket)


@pytest.mark.parametrize(("state", "happening"), CELLS, ids=lambda cell: cell.name)
def test_cell(state: State, happening: Happening) -> None:
    elector = elector_in(state)
    cell = TRANSITIONS.get((state, happening))
    if cell is None:
        with pytest.raises(KeyError):
            elector.step(event_of(elector, happening))
        assert elector.state is state
        return
    outcome = elector.step(event_of(elector, happening))
    assert (elector.state, tuple(e.action for e in outcome.effects)) == cell
    assert bool(outcome.reason) == (bool(outcome.effects) or cell[0] is not state)


@pytest.mark.parametrize(("state", "happening"), TRANSITIONS, ids=lambda cell: cell.name)
def test_one_that_lets_others_go_first_differs_where_it_finds_the_lock_free(
    state: State, happening: Happening
) -> None:
    elector = elector_in(state, yields=True)
    outcome = elector.step(event_of(elector, happening))
    usual = TRANSITIONS[state, happening]
    cell = YIELDING_TRANSITIONS.get((state, happening), usual)
    assert (elector.state, tuple(e.action for e in outcome.effects)) == cell


def test_letting_others_go_first_is_never_a_way_to_the_lock_of_its_own() -> None:
    assert YIELDING_TRANSITIONS.keys() <= TRANSITIONS.keys()
    reached = {state for state, _ in YIELDING_TRANSITIONS.values()}
    assert reached == {State.LOOKING, State.YIELDING}
    assert TRANSITIONS[State.YIELDING, Happening.YIELDED] == (
        State.CONTENDING,
        (Action.TRY_LOCK,),
    )


def test_an_active_that_lost_its_session_does_not_wait_for_others() -> None:
    elector = elector_in(State.PROMOTING, yields=True)
    elector.step(Event(Happening.PROMOTED, elector._ticket))
    elector.step(Event(Happening.EXPIRED, elector._session_ticket))
    assert elector.state is State.OPENING
    elector.step(Event(Happening.OPENED, elector._ticket))
    assert elector.state is State.CONTENDING
    elector.step(Event(Happening.LOCK_TAKEN, elector._ticket))
    elector.step(Event(Happening.LOCK_OTHERS, elector._ticket))
    elector.step(Event(Happening.LOCK_CHANGED, elector._ticket))
    assert elector.state is State.YIELDING, "it leads no more"


@pytest.mark.parametrize("state", list(State), ids=lambda s: s.name)
def test_commands_are_taken_everywhere_and_news_wherever_there_is_a_session(state: State) -> None:
    taken = {happening for at, happening in TRANSITIONS if at is state}
    assert taken >= COMMANDS
    assert taken & SESSION_CHANGES == (set() if state in WITHOUT_SESSION else SESSION_CHANGES)


def test_leaving_ends_the_session_unless_none_is_open() -> None:
    for (state, happening), (following, actions) in TRANSITIONS.items():
        if following is State.OUT and state not in WITHOUT_SESSION:
            assert actions == (Action.CLOSE,), (state, happening)


def test_only_a_winner_whose_breadcrumb_is_written_is_promoted() -> None:
    promoting = [cell for cell, (_, actions) in TRANSITIONS.items() if Action.PROMOTE in actions]
    assert promoting == [(State.CLAIMING, Happening.CLAIMED)]
    claiming = {c for c, (_, actions) in TRANSITIONS.items() if Action.WRITE_BREADCRUMB in actions}
    assert claiming == {
        (State.READING, Happening.NO_OLD_ACTIVE),
        (State.FENCING, Happening.FENCED),
    }


def test_only_a_graceful_quit_of_the_active_removes_the_breadcrumb() -> None:
    removing = [c for c, (_, actions) in TRANSITIONS.items() if Action.DELETE_BREADCRUMB in actions]
    assert removing == [(State.ACTIVE, Happening.QUIT)]


@pytest.mark.parametrize("state", list(State), ids=lambda s: s.name)
def test_stale_answers_and_news_of_old_sessions_are_dropped(state: State) -> None:
    elector = elector_in(state)
    for happening in Happening:
        if happening not in COMMANDS:
            assert elector.step(Event(happening, elector._ticket + 1000)).effects == ()
            assert elector.state is state


def test_the_answer_to_a_question_of_before_the_link_was_lost_is_nobodys() -> None:
    elector = elector_in(State.FENCING)
    asked = elector._ticket
    elector.step(Event(Happening.SUSPENDED, elector._session_ticket))
    assert elector.step(Event(Happening.FENCED, asked)).effects == ()
    assert elector.state is State.NEUTRAL


def test_a_watch_outlives_the_state_that_set_it() -> None:
    elector = elector_in(State.LOOKING)
    watched = elector._ticket
    elector.step(Event(Happening.LOCK_OTHERS, watched))
    assert elector.state is State.STANDBY
    elector.step(Event(Happening.LOCK_CHANGED, watched))
    assert elector.state is State.LOOKING


def test_a_standby_is_told_once_until_it_may_be_something_else() -> None:
    elector = elector_in(State.LOOKING)
    told = elector.step(Event(Happening.LOCK_OTHERS, elector._ticket))
    assert [e.action for e in told.effects] == [Action.DEMOTE]
    elector.step(Event(Happening.LOCK_CHANGED, elector._ticket))
    elector.step(Event(Happening.LOCK_FREE, elector._ticket))
    elector.step(Event(Happening.LOCK_TAKEN, elector._ticket))
    again = elector.step(Event(Happening.LOCK_OTHERS, elector._ticket))
    assert again.effects == ()
    elector.step(Event(Happening.SUSPENDED, elector._session_ticket))
    elector.step(Event(Happening.CONNECTED, elector._session_ticket))
    after = elector.step(Event(Happening.LOCK_OTHERS, elector._ticket))
    assert [e.action for e in after.effects] == [Action.DEMOTE]


def test_the_breadcrumb_that_was_read_is_what_is_replaced() -> None:
    elector = elector_in(State.READING)
    crumb = Breadcrumb(b"other", 3)
    elector.step(Event(Happening.OLD_ACTIVE, elector._ticket, breadcrumb=crumb))
    assert elector.old == crumb
    assert not elector.is_own(crumb.data)
    assert elector.is_own(b"me")


def test_joining_again_changes_nothing() -> None:
    elector = elector_in(State.ACTIVE)
    assert elector.join(b"somebody else").effects == ()
    assert elector.data == b"me"


def test_tickets_of_questions_are_never_used_twice() -> None:
    elector = Elector()
    seen = []
    for _ in range(3):
        outcome = elector.join(b"me")
        seen += [e.ticket for e in outcome.effects if e.action not in UNANSWERED]
        elector.step(Event(Happening.QUIT))
    assert len(set(seen)) == len(seen) == 3
    assert elector.describe() == "out of the election"
