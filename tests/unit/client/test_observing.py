"""The way of a read, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from hdfsd.client.observing import Observers, Reading, Step

MSYNC, PROBE, ASK, ASK_ACTIVE = Step.MSYNC, Step.PROBE, Step.ASK, Step.ASK_ACTIVE
NEVER = -1


def observers(count: int = 3, *, auto_msync_ms: int = NEVER, probe_ms: int = 1_000) -> Observers:
    return Observers(range(count), auto_msync_ms=auto_msync_ms, probe_ms=probe_ms)


def walk(
    known: Observers,
    now_ms: float,
    roles: Mapping[int, bool],
    answers: Callable[[int], bool] = lambda index: True,
    *,
    on_active: bool = False,
) -> list[tuple[Step, int]]:
    """The steps of one read; `roles` says who is an observer, `answers` who of them answers."""
    reading, steps = Reading(known, now_ms), []
    for _ in range(50):
        move = reading.next(now_ms)
        assert move.reason
        steps.append((move.step, move.index))
        if move.step is MSYNC:
            known.met_active(now_ms)
        elif move.step is PROBE:
            known.probed(move.index, is_observer=roles[move.index])
        elif move.step is ASK_ACTIVE:
            known.met_active(now_ms)
            return steps
        elif answers(move.index):
            return steps
        else:
            reading.failed(move.index, on_active=on_active)
    raise AssertionError(f"no end: {steps}")


def test_the_first_read_hears_of_the_active_and_looks_for_an_observer() -> None:
    known, roles = observers(), {0: False, 1: False, 2: True}
    assert walk(known, 0, roles) == [(MSYNC, -1), (PROBE, 0), (PROBE, 1), (PROBE, 2), (ASK, 2)]
    assert walk(known, 5, roles) == [(ASK, 2)], "what is known is not asked again"


def test_who_has_written_need_not_ask_how_far_the_active_is() -> None:
    known = observers()
    known.met_active(0)
    assert walk(known, 1, {0: True, 1: False, 2: False}) == [(PROBE, 0), (ASK, 0)]


def test_an_observer_that_fails_makes_room_for_the_next() -> None:
    known, roles = observers(), {0: True, 1: False, 2: True}
    known.met_active(0)
    walk(known, 1, roles)
    steps = walk(known, 2, roles, lambda index: index != 0)
    assert steps == [(ASK, 0), (PROBE, 1), (PROBE, 2), (ASK, 2)]


def test_when_all_observers_fail_the_active_answers_and_they_are_tried_again() -> None:
    known, roles = observers(), {0: True, 1: False, 2: True}
    known.met_active(0)
    steps = walk(known, 1, roles, lambda index: False)
    assert steps == [(PROBE, 0), (ASK, 0), (PROBE, 1), (PROBE, 2), (ASK, 2), (ASK_ACTIVE, -1)]
    assert walk(known, 2, roles) == [(PROBE, 0), (ASK, 0)]


def test_where_there_is_none_nobody_looks_for_a_while() -> None:
    known, roles = observers(probe_ms=1_000), {0: False, 1: False, 2: False}
    probes = [(PROBE, 0), (PROBE, 1), (PROBE, 2), (ASK_ACTIVE, -1)]
    assert walk(known, 0, roles) == [(MSYNC, -1), *probes]
    assert walk(known, 999, roles) == [(ASK_ACTIVE, -1)]
    assert walk(known, 1_000, roles) == probes
    assert walk(known, 3_000, {**roles, 1: True}) == [(PROBE, 0), (PROBE, 1), (ASK, 1)]
    assert walk(known, 3_001, roles) == [(ASK, 1)]


def test_what_an_observer_can_not_answer_goes_to_the_active_at_once() -> None:
    known, roles = observers(), {0: True, 1: True, 2: True}
    known.met_active(0)
    steps = walk(known, 1, roles, lambda index: False, on_active=True)
    assert steps == [(PROBE, 0), (ASK, 0), (ASK_ACTIVE, -1)]
    assert walk(known, 2, roles) == [(ASK, 0)], "it is none the worse for it"


@pytest.mark.parametrize(
    ("period_ms", "now_ms", "due"),
    [(NEVER, 10_000_000, False), (0, 0, True), (100, 100, False), (100, 101, True)],
)
def test_how_old_what_is_known_may_be(period_ms: int, now_ms: float, due: bool) -> None:
    known = observers(auto_msync_ms=period_ms)
    assert known.must_msync(0), "at first it is never known"
    known.met_active(0)
    assert known.must_msync(now_ms) is due
    steps = walk(known, now_ms, {0: True, 1: False, 2: False})
    assert steps == [*([(MSYNC, -1)] if due else []), (PROBE, 0), (ASK, 0)]


def test_calls_that_overlap_move_on_once() -> None:
    known = observers()
    known.met_active(0)
    first, second = Reading(known, 0), Reading(known, 0)
    assert (first.next(0).index, second.next(0).index) == (0, 0)
    known.probed(0, is_observer=True)
    assert first.next(0).step is second.next(0).step is ASK
    first.failed(0)
    second.failed(0)
    assert known.current == 1
    known.probed(0, is_observer=True)
    assert known.is_observer is None, "what is heard late of another one says nothing of this one"
    assert (first.next(0).index, second.next(0).index) == (1, 1)


def test_they_are_tried_in_the_given_order() -> None:
    known = Observers((2, 0, 1), auto_msync_ms=NEVER, probe_ms=1)
    known.met_active(0)
    steps = walk(known, 0, {0: True, 1: False, 2: False})
    assert steps == [(PROBE, 2), (PROBE, 0), (ASK, 0)]
