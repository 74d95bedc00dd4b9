from __future__ import annotations

import pytest

from hdfsd.base.errors import IOFault, UnregisteredNode
from hdfsd.blocks.blockmap import BlockState, CorruptReason
from hdfsd.blocks.reconcile import STEP_REPLICAS
from hdfsd.blocks.reports import ReplicaState

FINALIZED, RBW, RWR, RUR, TEMPORARY = ReplicaState
COMPLETE, WRITING, RECOVERING, COMMITTED = BlockState
OLDER, SAME, NEWER = 1000, 1001, 1002

HELD, NOTED, BAD, NOTHING = "held", "noted", "bad", "nothing"
CASES = [
    # stored state, reported state, stamp, length, what becomes of it
    (COMPLETE, FINALIZED, SAME, 100, HELD),
    (COMPLETE, FINALIZED, SAME, 99, BAD),
    (COMPLETE, FINALIZED, OLDER, 100, BAD),
    (COMPLETE, FINALIZED, NEWER, 100, BAD),
    (COMPLETE, RBW, SAME, 100, NOTHING),
    (COMPLETE, RBW, OLDER, 100, BAD),
    (COMPLETE, RWR, SAME, 100, BAD),
    (COMPLETE, RWR, NEWER, 100, BAD),
    (COMPLETE, RUR, SAME, 100, BAD),
    (COMPLETE, TEMPORARY, SAME, 100, BAD),
    (COMMITTED, FINALIZED, SAME, 100, HELD),
    (COMMITTED, FINALIZED, SAME, 99, BAD),
    (COMMITTED, FINALIZED, OLDER, 100, BAD),
    (COMMITTED, RBW, SAME, 50, NOTED),
    (COMMITTED, RWR, OLDER, 50, NOTED),
    (WRITING, FINALIZED, SAME, 70, HELD),
    (WRITING, FINALIZED, NEWER, 70, HELD),
    (WRITING, FINALIZED, OLDER, 70, BAD),
    (WRITING, RBW, SAME, 7, NOTED),
    (WRITING, RBW, OLDER, 7, NOTED),
    (WRITING, RWR, SAME, 7, NOTED),
    (WRITING, RUR, SAME, 7, BAD),
    (RECOVERING, FINALIZED, OLDER, 70, HELD),
    (RECOVERING, RBW, NEWER, 7, NOTED),
    (RECOVERING, TEMPORARY, SAME, 7, BAD),
]


@pytest.mark.parametrize(("stored", "state", "stamp", "length", "outcome"), CASES)
def test_every_replica_is_judged_by_block_state_stamp_and_length(
    world, stored, state, stamp, length, outcome
):
    world.add_node("a")
    what = world.add_block(open_=True)
    manager = world.manager
    row = manager.blocks.need(what.block_id)
    manager.blocks.set_state(row, stored)
    world.full_report("a", [(world.block(0, length, stamp), state)])
    storage = world.storage("a")
    found = NOTHING
    if manager.blocks.is_corrupt(row, storage):
        found = BAD
    elif manager.blocks.holds(row, storage):
        found = HELD
    elif row in manager.blocks.open and manager.blocks.open[row].replicas:
        found = NOTED
    assert found == outcome
    assert storage.report_count == 2
    assert manager.blocks.state(row) == (
        COMPLETE if stored == COMMITTED and outcome == HELD else stored
    )


def test_an_active_has_unknown_replicas_deleted(world):
    world.add_node("a")
    world.full_report("a", [world.block(7), (world.block(8), RBW)])
    assert world.deletions(world.heartbeat("a")) == [world.FIRST + 7, world.FIRST + 8]


def test_what_is_about_to_be_deleted_is_not_taken_in_again(world):
    what = world.add_block(replication=1)
    for name in "ab":
        world.add_node(name)
        world.received(name, what)
    world.manager.remove_blocks([what.block_id])
    again = world.add_block(replication=1)
    world.received("a", again)
    assert world.holders(again) == []


def test_what_a_full_report_does_not_name_is_lost(world):
    blocks = [world.add_block(number, replication=1) for number in range(4)]
    world.add_node("a", storages=2)
    world.full_report("a", blocks[:2], storage=0)
    world.full_report("a", blocks[2:], storage=1)
    world.full_report("a", blocks[1:2], storage=0)
    assert [world.holders(what) for what in blocks] == [[], ["a"], ["a"], ["a"]]
    assert world.manager.redundancy.missing() == [blocks[0].block_id]


def test_a_replica_that_moved_between_storages_is_not_lost(world):
    what = world.add_block(replication=1)
    world.add_node("a", storages=2)
    world.full_report("a", [what], storage=0)
    world.full_report("a", [what], storage=1)
    world.full_report("a", [], storage=0)
    assert world.holders(what) == ["a"]


def test_a_broken_report_loses_nothing(world):
    what = world.add_block()
    world.add_node("a")
    world.full_report("a", [what])
    request = world.report_request("a", [])
    request.reports[0].blocksBuffers[0] = b"\x02\x02"
    with pytest.raises(IOFault, match="a-s0"):
        list(world.manager.report_steps(request, world.now_ms, 0))
    assert world.holders(what) == ["a"]
    world.full_report("a", [])
    assert world.holders(what) == []


def start_long_report(world, name, blocks):
    rows = [(b.block_id, b.num_bytes, b.gen_stamp, 0) for b in blocks]
    steps = world.manager.report_steps(world.report_request(name, rows), world.now_ms, 0)
    next(steps)
    return steps


def test_a_long_report_comes_in_steps_and_the_world_goes_on(world):
    count = 3 * STEP_REPLICAS + 3
    blocks = [world.add_block(number, replication=1) for number in range(count)]
    world.add_node("a")
    for what in blocks[:3]:
        world.received("a", what)
    steps = start_long_report(world, "a", blocks[2:])
    # Meanwhile: one block is removed, a new one takes its row and arrives on the same storage.
    world.manager.remove_blocks([blocks[0].block_id])
    world.heartbeat("a")
    newcomer = world.add_block(count, replication=1)
    world.received("a", newcomer)
    assert len(list(steps)) == 2, "steps of STEP_REPLICAS after the first"
    assert world.holders(newcomer) == ["a"]
    assert world.holders(blocks[1]) == []
    assert all(world.holders(what) == ["a"] for what in blocks[2:])
    assert not world.storage("a").contents_stale


@pytest.mark.parametrize("event", ["register", "report", "death"])
def test_a_long_report_that_was_overtaken_is_dropped(world, event):
    blocks = [world.add_block(number, replication=1) for number in range(STEP_REPLICAS + 1)]
    world.add_node("a")
    world.received("a", blocks[-1])
    steps = start_long_report(world, "a", blocks[:-1])
    if event == "register":
        world.register("a")
    elif event == "report":
        start_long_report(world, "a", blocks)
    else:
        world.manager.node("uuid-a").alive = False
    with pytest.raises(UnregisteredNode, match="overtaken"):
        list(steps)
    assert world.holders(blocks[-1]) == ["a"]


def test_a_stamp_mismatch_is_forgiven_by_the_right_stamp_a_checksum_is_not(world):
    what = world.add_block()
    world.add_node("a")
    world.received("a", world.block(0, stamp=OLDER))
    row = world.manager.blocks.need(what.block_id)
    mark = world.manager.blocks.corrupt_mark(row, world.storage("a"))
    assert (mark.reason, mark.gen_stamp) == (CorruptReason.GEN_STAMP, OLDER)
    world.received("a", what)
    assert not world.manager.blocks.corrupt
    world.manager.report_bad_blocks(
        [world.manager.new_located_block(what, [world.storage("a")], 0)]
    )
    world.received("a", what)
    world.full_report("a", [what])
    assert world.manager.blocks.is_corrupt(row, world.storage("a"))


# --- standby ------------------------------------------------------------------------------------


@pytest.fixture
def standby(worlds):
    world = worlds(active=False)
    world.add_node("a")
    world.add_block(0)
    return world


def queued(world):
    return world.manager._reconciler.queued.count


def test_a_standby_keeps_what_is_ahead_of_its_edits(standby):
    ahead = standby.block(1, stamp=1002)
    standby.received("a", ahead)
    assert queued(standby) == 1
    standby.add_block(1, stamp=1002)
    assert queued(standby) == 0
    assert standby.holders(ahead) == ["a"]


def test_the_stamp_alone_does_not_make_a_block_known(standby):
    ahead = standby.block(1, stamp=1002)
    standby.manager.saw_gen_stamp(1002)
    standby.received("a", ahead)
    assert queued(standby) == 1
    standby.add_block(1, stamp=1002)
    assert standby.holders(ahead) == ["a"]


def test_a_longer_finalized_replica_waits_for_the_close(standby):
    what = standby.add_block(1, stamp=1002, length=0, open_=True)
    standby.manager.update_block(16387, what, standby.block(1, 50, 1002), True)
    done = standby.block(1, 100, 1003)
    standby.received("a", done)
    assert queued(standby) == 1
    standby.manager.update_block(16387, standby.block(1, 50, 1002), done, True)
    assert (queued(standby), standby.holders(done)) == (0, ["a"])
    assert not standby.manager.blocks.corrupt


def test_seemingly_corrupt_replicas_wait_until_it_is_sure(standby):
    what = standby.block(0)
    standby.received("a", standby.block(0, length=55))
    assert queued(standby) == 1
    assert standby.holders(what) == []
    standby.received("a", what)
    assert (queued(standby), standby.holders(what)) == (0, ["a"])
    standby.activate()
    assert not standby.manager.blocks.corrupt, "the older word counts no longer"


def test_a_deletion_ahead_of_its_edits_is_kept_in_order(standby):
    standby.received("a", standby.block(1, stamp=1002))
    standby.deleted("a", standby.block(1, stamp=1002))
    standby.add_block(1, stamp=1002)
    assert standby.holders(standby.block(1)) == []
    assert queued(standby) == 0


def test_at_failover_all_that_waits_is_judged(standby):
    standby.received("a", standby.block(0, length=55))
    standby.received("a", standby.block(5, stamp=1009))
    standby.activate()
    assert queued(standby) == 0
    row = standby.manager.blocks.need(standby.block(0).block_id)
    assert standby.manager.blocks.is_corrupt(row, standby.storage("a"))
    assert standby.deletions(standby.heartbeat("a")) == [standby.FIRST + 5]


def test_a_dead_node_takes_its_messages_along(worlds):
    world = worlds(active=False, recheck_interval_ms=1_000, heartbeat_interval_ms=100)
    world.add_node("a")
    world.received("a", world.block(1, stamp=1002))
    assert queued(world) == 1
    world.tick(4_000)
    assert queued(world) == 0


def test_messages_of_a_removed_block_are_dropped(standby):
    standby.received("a", standby.block(0, length=55))
    standby.manager.remove_blocks([standby.block(0).block_id])
    assert queued(standby) == 0


def test_a_standby_never_has_anything_deleted(standby):
    standby.full_report("a", [standby.block(0), standby.block(99, stamp=1000)])
    assert standby.heartbeat("a") == []
    standby.manager.remove_blocks([standby.block(0).block_id])
    assert standby.manager.redundancy.deletion_count == 0
