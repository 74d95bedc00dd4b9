from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from hdfsd.base.errors import IOFault, RecoveryInProgress, RemoteFault, ReplicaNotFound
from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.datanode.replica import (
    TRANSITIONS,
    Event,
    Replica,
    ReplicaAlreadyExists,
    ReplicaState,
    check_append,
    check_recover_append,
    check_recover_close,
    check_recover_rbw,
    check_start_recovery,
    check_update,
    refuse_create,
    refuse_temporary,
)

S = ReplicaState
BLOCK = Block(BlockId(7), 1000, GenStamp(1001))
NEW = GenStamp(1005)


def replica(state: ReplicaState = S.RBW, on_disk: int = 1000, acked: int | None = None) -> Replica:
    acked = on_disk if acked is None else acked
    return Replica(BlockId(7), GenStamp(1001), state, on_disk, acked, "DS-1")


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, Event)))
def test_every_cell_of_the_machine(state: ReplicaState, event: Event) -> None:
    expected = TRANSITIONS.get((state, event))
    if expected is None:
        with pytest.raises(IOFault, match=f"Cannot {event.value} blk_7_1001 {state.name}"):
            replica(state).after(event)
    else:
        assert replica(state).after(event).state is expected


def test_visible_length() -> None:
    assert replica(S.FINALIZED).visible == 1000
    assert replica(S.RBW, 1000, 600).visible == 600
    assert replica(S.RWR, 1000).visible == -1
    assert replica(S.TEMPORARY).visible == -1
    under = check_start_recovery(replica(S.RBW, 1000, 600), BLOCK, NEW)
    assert under.visible == 600
    assert check_start_recovery(replica(S.FINALIZED), BLOCK, NEW).visible == 1000


@pytest.mark.parametrize("state", list(S))
def test_create_replaces_older_generations_only(state: ReplicaState) -> None:
    with pytest.raises(ReplicaAlreadyExists, match=f"in state {state.name}"):
        refuse_create(replica(state), BLOCK)
    newer = replace(BLOCK, gen_stamp=NEW)
    if state is S.RUR:
        with pytest.raises(ReplicaAlreadyExists):
            refuse_create(replica(state), newer)
    else:
        refuse_create(replica(state), newer)


def test_a_copy_replaces_what_a_pipeline_left_behind() -> None:
    newer = replace(BLOCK, gen_stamp=NEW)
    refuse_temporary(replica(S.RBW), newer, transfer=False)
    refuse_temporary(replica(S.FINALIZED), newer, transfer=True)
    for state, block, transfer in ((S.FINALIZED, newer, False), (S.RBW, BLOCK, True)):
        with pytest.raises(ReplicaAlreadyExists):
            refuse_temporary(replica(state), block, transfer=transfer)


def test_append() -> None:
    opened = check_append(replica(S.FINALIZED), BLOCK, NEW, 1000)
    assert (opened.state, opened.gen_stamp) == (S.RBW, NEW)


@pytest.mark.parametrize(
    ("state", "stamp", "new", "expected", "cause"),
    [
        (S.FINALIZED, 1001, 1000, 1000, "should be greater"),
        (S.FINALIZED, 1000, 1005, 1000, "unexpected generation stamp 1001"),
        (S.RBW, 1001, 1005, 1000, "Cannot append to an unfinalized replica"),
        (S.FINALIZED, 1001, 1005, 999, "length of 1000 expected length is 999"),
    ],
)
def test_append_refused(
    state: ReplicaState, stamp: int, new: int, expected: int, cause: str
) -> None:
    block = replace(BLOCK, gen_stamp=GenStamp(stamp))
    with pytest.raises(RemoteFault, match=cause):
        check_append(replica(state), block, GenStamp(new), expected)


@pytest.mark.parametrize("state", [S.FINALIZED, S.RBW])
def test_recover_append_and_close(state: ReplicaState) -> None:
    assert check_recover_append(replica(state), BLOCK, NEW, 1000).state is S.RBW
    closed = check_recover_close(replica(state), BLOCK, NEW, 1000)
    assert (closed.state, closed.gen_stamp) == (S.FINALIZED, NEW)


@pytest.mark.parametrize("check", [check_recover_append, check_recover_close])
def test_recover_append_and_close_refused(check: object) -> None:
    assert callable(check)
    with pytest.raises(ReplicaNotFound, match="not FINALIZED and not RBW"):
        check(replica(S.RWR), BLOCK, NEW, 1000)
    with pytest.raises(ReplicaNotFound, match=r"Expected GS range is \[1002, 1005\]"):
        check(replica(S.RBW), replace(BLOCK, gen_stamp=GenStamp(1002)), NEW, 1000)
    with pytest.raises(ReplicaAlreadyExists, match="are not the same"):
        check(replica(S.RBW, 1000, 600), BLOCK, NEW, 1000)
    with pytest.raises(IOFault, match="expected length is 5"):
        check(replica(S.RBW), BLOCK, NEW, 5)


def test_recover_rbw_cuts_what_was_not_acknowledged() -> None:
    found = check_recover_rbw(replica(S.RBW, 1000, 600), BLOCK, NEW, bytes_min=600, bytes_max=1000)
    assert (found.on_disk, found.acked, found.gen_stamp) == (600, 600, NEW)


@pytest.mark.parametrize(
    ("state", "low", "high", "stamp", "cause"),
    [
        (S.FINALIZED, 0, 2000, 1001, "Cannot recover a non-RBW replica"),
        (S.RBW, 601, 2000, 1001, r"not in the range of \[601, 2000\]"),
        (S.RBW, 0, 999, 1001, r"not in the range of \[0, 999\]"),
        (S.RBW, 0, 2000, 1002, "unexpected generation stamp 1001"),
    ],
)
def test_recover_rbw_refused(
    state: ReplicaState, low: int, high: int, stamp: int, cause: str
) -> None:
    block = replace(BLOCK, gen_stamp=GenStamp(stamp))
    with pytest.raises(ReplicaNotFound, match=cause):
        check_recover_rbw(replica(state, 1000, 600), block, NEW, bytes_min=low, bytes_max=high)


def test_a_higher_recovery_preempts_a_lower_one() -> None:
    first = check_start_recovery(replica(S.RBW), BLOCK, NEW)
    assert (first.state, first.original, first.recovery_id) == (S.RUR, S.RBW, NEW)
    with pytest.raises(RecoveryInProgress):
        check_start_recovery(first, BLOCK, NEW)
    second = check_start_recovery(first, BLOCK, GenStamp(NEW + 1))
    assert (second.original, second.recovery_id) == (S.RBW, NEW + 1)


def test_recovery_refused() -> None:
    with pytest.raises(IOFault, match=r"replica.getGenerationStamp\(\) < block"):
        check_start_recovery(replica(), replace(BLOCK, gen_stamp=GenStamp(1002)), NEW)
    with pytest.raises(IOFault, match="NOT SUPPOSED TO HAPPEN"):
        check_start_recovery(replica(), BLOCK, GenStamp(1001))


def test_update_ends_the_recovery() -> None:
    under = check_start_recovery(replica(S.RBW), BLOCK, NEW)
    final = check_update(under, BLOCK, NEW, 700)
    assert (final.state, final.gen_stamp, final.on_disk, final.visible) == (
        S.FINALIZED,
        NEW,
        700,
        700,
    )
    assert final.original is None


def test_update_refused() -> None:
    under = check_start_recovery(replica(S.RBW), BLOCK, NEW)
    with pytest.raises(IOFault, match="!= RUR"):
        check_update(replica(), BLOCK, NEW, 700)
    with pytest.raises(IOFault, match="getBytesOnDisk"):
        check_update(under, replace(BLOCK, num_bytes=5), NEW, 5)
    with pytest.raises(IOFault, match="getRecoveryID"):
        check_update(under, BLOCK, GenStamp(NEW + 1), 700)
    with pytest.raises(IOFault, match="newlength = 1001"):
        check_update(under, BLOCK, NEW, 1001)
