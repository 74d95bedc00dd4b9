from __future__ import annotations

import itertools

import pytest

from hdfsd.base.errors import IOFault
from hdfsd.base.ids import GenStamp
from hdfsd.datanode.recovery import Decision, Vote, decide
from hdfsd.datanode.replica import ReplicaState

S = ReplicaState
GS = GenStamp(1001)


def votes(*rows: tuple[ReplicaState, int]) -> list[Vote]:
    return [Vote(node, state, size, GS) for node, (state, size) in enumerate(rows)]


def decision(rows: list[Vote], failed: int = 0, truncate_to: int | None = None) -> Decision:
    asked = len(rows) + failed
    return decide(rows, asked=asked, failed=failed, gen_stamp=GS, truncate_to=truncate_to)


@pytest.mark.parametrize(
    ("rows", "nodes", "length"),
    [
        ([(S.RBW, 10), (S.RBW, 7), (S.RBW, 12)], (0, 1, 2), 7),
        ([(S.FINALIZED, 10), (S.RBW, 10), (S.RBW, 12)], (0, 1), 10),
        ([(S.FINALIZED, 10), (S.RWR, 10)], (0,), 10),
        ([(S.RBW, 10), (S.RWR, 5)], (0,), 10),
        ([(S.RWR, 10), (S.RWR, 5)], (0, 1), 5),
        ([(S.RBW, 0), (S.RBW, 5)], (1,), 5),
        ([(S.RBW, 0), (S.RBW, 0)], (), 0),
        ([], (), 0),
    ],
)
def test_lengths(rows: list[tuple[ReplicaState, int]], nodes: tuple[int, ...], length: int) -> None:
    found = decide(votes(*rows), asked=3, failed=0, gen_stamp=GS, truncate_to=None)
    assert (found.nodes, found.length) == (nodes, length)
    assert found.delete == (not nodes)
    assert found.reason


def test_finalized_replicas_must_agree() -> None:
    with pytest.raises(IOFault, match=r"Inconsistent size of finalized replicas: \[9, 10\]"):
        decision(votes((S.FINALIZED, 10), (S.FINALIZED, 9)))


def test_nobody_answered() -> None:
    with pytest.raises(IOFault, match="All datanodes failed"):
        decision([], failed=3)


def test_half_copies_are_no_reason_to_delete_the_block() -> None:
    with pytest.raises(IOFault, match="none is in RWR or better state"):
        decision(votes((S.TEMPORARY, 5)))


def test_older_generations_do_not_count() -> None:
    old = Vote(0, S.FINALIZED, 99, GenStamp(GS - 1))
    assert decision([old, *votes((S.RBW, 1), (S.RBW, 2))[1:]]).nodes == (1,)


def test_truncate() -> None:
    found = decision(votes((S.FINALIZED, 10), (S.FINALIZED, 10)), truncate_to=4)
    assert (found.nodes, found.length) == ((0, 1), 4)
    with pytest.raises(IOFault, match="truncate to 11"):
        decision(votes((S.FINALIZED, 10)), truncate_to=11)


def test_all_small_histories_keep_what_was_acknowledged() -> None:
    # A pipeline acknowledged `acked` bytes: every live node that wrote it has at least those.
    for acked, extra in itertools.product((1, 3), (0, 2)):
        states = (S.FINALIZED, S.RBW) if extra == 0 else (S.RBW,)
        for rows in itertools.product(itertools.product(states, (acked, acked + extra)), repeat=3):
            found = decision(votes(*rows))
            assert found.length >= acked
            assert all(rows[node][1] >= found.length for node in found.nodes)
