from __future__ import annotations

from hdfsd.failover.elector import Happening, State, Turn
from hdfsd.failover.timeline import (
    FAILOVERS_MAX,
    LOCK_FOUND_FREE,
    LOCK_FOUND_OURS,
    LOCK_FREED,
    NEWS_MAX,
    STEPS_MAX,
    TEXT_CHARS_MAX,
    Moment,
    Timeline,
)

WALL_MS = 1_700_000_000_000
_H, _S = Happening, State


def at(now_ms: int) -> Moment:
    return Moment(now_ms, WALL_MS + now_ms)


def turn(before: State, happening: Happening, after: State, detail: str = "") -> Turn:
    return Turn(before, happening, after, detail, happening.value)


def won(line: Timeline, happening: Happening = _H.LOCK_CHANGED) -> None:
    """From the change of the lock at 100 to the reading of the breadcrumb at 103."""
    if happening is _H.LOCK_CHANGED:
        line.turned(turn(_S.STANDBY, happening, _S.LOOKING), at(100))
        happening = _H.LOCK_FREE
    line.turned(turn(_S.LOOKING, happening, _S.CONTENDING), at(101))
    line.turned(turn(_S.CONTENDING, _H.LOCK_WON, _S.READING), at(103))


def test_a_failover_from_the_lock_to_the_active_namenode() -> None:
    line = Timeline()
    won(line)
    line.turned(turn(_S.READING, _H.OLD_ACTIVE, _S.FENCING), at(105))
    line.name_cause("nn1 was active before")
    line.step("fencing of nn1: shell(x)", at(115), "done: exit code 0")
    line.turned(turn(_S.FENCING, _H.FENCED, _S.CLAIMING, "nn1 fenced by shell(x)"), at(115))
    line.turned(turn(_S.CLAIMING, _H.CLAIMED, _S.PROMOTING), at(118))
    assert line.current is not None
    ended = line.turned(turn(_S.PROMOTING, _H.PROMOTED, _S.ACTIVE), at(148))
    assert ended is not None
    assert line.current is None
    assert (ended.succeeded, ended.millis) == (True, 48)
    assert ended.describe() == (
        "became active in 48 ms: NameNode is active."
        f" Cause: {LOCK_FREED}; nn1 was active before."
        " Steps: lock taken 3 ms; another node was active before 2 ms;"
        " fencing of nn1: shell(x) 10 ms (done: exit code 0);"
        " old active fenced 0 ms (nn1 fenced by shell(x)); breadcrumb written 3 ms;"
        " NameNode is active 30 ms"
    )
    (told,) = line.as_json()["failovers"]
    assert (told["began_wall_ms"], told["millis"]) == (WALL_MS + 100, 48)
    assert told["steps"][2] == {
        "step": "fencing of nn1: shell(x)",
        "millis": 10,
        "detail": "done: exit code 0",
    }


def test_who_is_not_fenced_is_not_replaced() -> None:
    line = Timeline()
    won(line)
    line.turned(turn(_S.READING, _H.OLD_ACTIVE, _S.FENCING), at(105))
    ended = line.turned(turn(_S.FENCING, _H.NOT_FENCED, _S.RESTING, "no method worked"), at(110))
    assert ended is not None
    assert (ended.succeeded, ended.outcome) == (False, "no method worked")
    assert ended.describe().startswith("did not become active in 10 ms: no method worked. Cause: ")


def test_a_promotion_goes_on_without_the_link_to_the_lock() -> None:
    line = Timeline()
    won(line)
    blind = turn(_S.PROMOTING, _H.SUSPENDED, _S.PROMOTING_BLIND)
    assert line.turned(blind, at(110)) is None
    ended = line.turned(turn(_S.PROMOTING_BLIND, _H.PROMOTED, _S.NEUTRAL), at(120))
    assert ended is not None
    assert ended.succeeded


def test_causes() -> None:
    line = Timeline()
    won(line, _H.OPENED)
    assert line.current is not None
    assert line.current.cause == LOCK_FOUND_FREE
    line.wish = "eve asked for a failover from nn1"
    won(line)
    assert line.current.cause == "eve asked for a failover from nn1"
    assert line.failovers[0].outcome == "the lock changed"
    won(line)
    assert line.current.cause == LOCK_FREED, "a wish is fulfilled once"
    fresh = Timeline()
    fresh.turned(turn(_S.LOOKING, _H.LOCK_OURS, _S.READING), at(7))
    assert fresh.current is not None
    assert fresh.current.cause == LOCK_FOUND_OURS


def test_what_ends_no_failover_is_news_only() -> None:
    line = Timeline()
    assert line.turned(turn(_S.CONTENDING, _H.LOCK_TAKEN, _S.LOOKING), at(1)) is None
    line.step("nothing is on its way", at(2))
    line.name_cause("nothing is on its way")
    assert line.end("nothing", at(3), succeeded=True) is None
    assert line.as_json() == {
        "failovers": [],
        "news": [{"wall_ms": WALL_MS + 1, "what": "election: another has the lock"}],
    }


def test_it_is_bounded() -> None:
    line = Timeline()
    for _ in range(FAILOVERS_MAX + 5):
        won(line)
    for _ in range(STEPS_MAX + 5):
        line.step("again", at(200), "x" * 10 * TEXT_CHARS_MAX)
    for _ in range(NEWS_MAX + 5):
        line.note("y" * 10 * TEXT_CHARS_MAX, at(200))
    told = line.as_json()
    assert len(told["failovers"]) == FAILOVERS_MAX
    assert len(told["failovers"][-1]["steps"]) == STEPS_MAX
    assert len(told["failovers"][-1]["steps"][-1]["detail"]) == TEXT_CHARS_MAX
    assert len(told["news"]) == NEWS_MAX
    assert all(len(news["what"]) == TEXT_CHARS_MAX for news in told["news"])


def test_a_wall_clock_that_jumps_changes_no_duration() -> None:
    line = Timeline()
    line.turned(turn(_S.STANDBY, _H.LOCK_CHANGED, _S.CONTENDING), Moment(100, WALL_MS))
    line.turned(turn(_S.CONTENDING, _H.LOCK_WON, _S.READING), Moment(103, WALL_MS - 10**9))
    ended = line.turned(turn(_S.PROMOTING, _H.PROMOTED, _S.ACTIVE), Moment(110, WALL_MS + 10**9))
    assert ended is not None
    assert (ended.millis, [step.millis for step in ended.steps]) == (10, [3, 7])
