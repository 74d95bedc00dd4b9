"""The plan of a seed, the records that clients write, and what is read out of logs."""

from __future__ import annotations

import math
from itertools import islice

import pytest
from expire_session import password_of
from histories import (
    Kind,
    Operation,
    Outcome,
    begun_line,
    ended_line,
    operations_of,
    record_bytes,
    records_of,
)
from nemesis import CUTS, OF_NOBODY, Cause, Target, Way, rounds
from stints import Stint, stints_of


def test_one_seed_is_one_plan() -> None:
    assert list(islice(rounds(7), 50)) == list(islice(rounds(7), 50))
    assert list(islice(rounds(7), 50)) != list(islice(rounds(8), 50))


def test_every_cause_comes_before_one_comes_again() -> None:
    causes = [deed.cause for planned in islice(rounds(3), 60) for deed in planned.deeds]
    assert set(causes[: len(Cause)]) == set(Cause)
    assert len(causes[: len(Cause)]) == len(Cause)


@pytest.mark.parametrize("seed", range(20))
def test_rounds_are_sound(seed: int) -> None:
    for planned in islice(rounds(seed), 100):
        assert 1 <= len(planned.deeds) <= 3
        assert planned.deeds[0].at_s == 0.0
        for deed in planned.deeds:
            assert 0 < deed.seconds <= 12
            assert (deed.target is Target.NOBODY) == (deed.cause in OF_NOBODY)
            assert deed.way is Way.BOTH or deed.cause in CUTS
            assert deed.cause is not Cause.OPERATOR or deed.target is not Target.ACTIVE


def test_plans_combine() -> None:
    planned = list(islice(rounds(1), 300))
    assert {len(each.deeds) for each in planned} == {1, 2, 3}
    assert {deed.way for each in planned for deed in each.deeds} == set(Way)
    together = [{deed.cause for deed in each.deeds} for each in planned]
    assert any(len(causes & CUTS) > 1 for causes in together)
    assert any(causes & CUTS and causes - CUTS for causes in together)


# --- records ---

DATA = record_bytes("w1-001", 3, 100) + record_bytes("w1-001", 12, 70)


def test_records_are_read_back() -> None:
    assert records_of(DATA, "w1-001") == [[3, 100, -1], [12, 70, -1]]
    assert records_of(b"", "w1-001") == []


@pytest.mark.parametrize("length", range(1, 170))
def test_a_beginning_is_known_as_one(length: int) -> None:
    found = records_of(DATA[:length], "w1-001")
    whole = [row for row in found if row[2] < 0]
    assert sum(row[1] for row in whole) + sum(row[2] for row in found if row[2] >= 0) == length
    assert len(found) - len(whole) <= 1


@pytest.mark.parametrize("place", [0, 50, 99, 101, 169])
def test_damage_is_seen(place: int) -> None:
    damaged = bytearray(DATA)
    damaged[place] ^= 1
    with pytest.raises(ValueError, match="at byte"):
        records_of(bytes(damaged), "w1-001")


def test_bytes_of_another_are_no_record() -> None:
    with pytest.raises(ValueError, match="at byte 0"):
        records_of(DATA, "w2-001")


# --- notes of clients ---


def test_notes_are_read_back() -> None:
    begun = Operation("w1", 1, Kind.RENAME, "/a", 1.5, target="/b")
    never = Operation("w1", 2, Kind.MKDIR, "/c", 3.0)
    lines = [
        begun_line(begun),
        ended_line(1, 2.0, Outcome.REFUSED, "false", "10.0.0.1"),
        begun_line(never),
        ended_line(2, 4.0, Outcome.OK, None, "")[:-5],
    ]
    text = "\n".join(lines)
    first, second = operations_of("w1", text.splitlines(keepends=True), {"10.0.0.1": "nn1"})
    assert (first.outcome, first.answer, first.namenode) == (Outcome.REFUSED, "false", "nn1")
    assert (first.kind, first.path, first.target) == (Kind.RENAME, "/a", "/b")
    assert (first.began_s, first.ended_s) == (1.5, 2.0)
    assert second == never
    assert math.isinf(second.ended_s)


# --- logs ---

LOG = """\
2026-11-28 04:00:00,000 INFO hdfsd.quorum.manager: epoch 4 established; newest segment: 1
2026-11-28 04:00:00,500 INFO hdfsd.namenode.lifecycle: standby → active in 40 ms at txid 5: x 0
Traceback (most recent call last):
2026-11-28 04:00:09,000 INFO hdfsd.namenode.lifecycle: active → standby in 40 ms at txid 9: x 0
2026-11-28 04:01:00,000 INFO hdfsd.quorum.manager: epoch 6 established; newest segment: 9
2026-11-28 04:02:00,000 INFO hdfsd.namenode.lifecycle: initializing → standby in 1 ms at txid 0
2026-11-28 04:03:00,000 INFO hdfsd.quorum.manager: epoch 8 established; newest segment: 9
2026-11-28 04:03:01,000 INFO hdfsd.namenode.lifecycle: standby → active in 40 ms at txid 5: x 0
"""
BEGIN_S = 1795838400.0


def test_stints_are_read_from_a_log() -> None:
    found = stints_of("nn1", LOG.splitlines(), [BEGIN_S + 70])
    assert found == [
        Stint("nn1", 4, BEGIN_S, BEGIN_S + 0.5, BEGIN_S + 9),
        Stint("nn1", 6, BEGIN_S + 60, math.inf, BEGIN_S + 70),
        Stint("nn1", 8, BEGIN_S + 180, BEGIN_S + 181),
    ]


def test_a_session_has_the_password_that_zookeeper_gives_it() -> None:
    """`new java.util.Random(0x10000a1b2c30001L ^ 0xB3415C00L).nextBytes(…)`, as Java says."""
    assert password_of(0x10000A1B2C30001).hex() == "3221ca0a6064b48a8a186054dd9fe97f"
