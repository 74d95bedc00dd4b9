from __future__ import annotations

import pytest

from hdfsd.blocks.redundancy import HIGHEST, LOW, MISSING, VERY_LOW, priority
from hdfsd.wire.messages import datanode

MINUTE = 60_000


def spread(world, names, what):
    for name in names:
        if world.manager.node(f"uuid-{name}") is None:
            world.add_node(name)
    for name in names:
        world.received(name, what)


@pytest.mark.parametrize(
    ("live", "replication", "queue"),
    [(0, 3, MISSING), (1, 2, HIGHEST), (1, 3, HIGHEST), (2, 7, VERY_LOW), (2, 6, LOW), (2, 3, LOW)],
)
def test_the_fewer_replicas_the_sooner(live, replication, queue):
    assert priority(live, replication) == queue


def test_a_lost_replica_is_copied_from_a_live_node(world):
    what = world.add_block()
    spread(world, "abc", what)
    assert world.manager.redundancy.low_count == 0
    world.add_node("d")
    world.deleted("b", what)
    assert world.manager.redundancy.low_count == 1
    world.tick()
    told = {name: world.transfers(world.heartbeat(name)) for name in "acd"}
    tasks = [task for name in "ac" for task in told[name]]
    assert len(tasks) == 1
    assert tasks[0][0] == what.block_id
    assert tasks[0][1] in (["b"], ["d"])
    assert told["d"] == []
    assert world.manager.redundancy.low_count == 0
    assert world.manager.redundancy.pending_count == 1
    world.received(tasks[0][1][0], what)
    assert world.manager.redundancy.pending_count == 0
    assert world.counts(what).live == 3


def test_a_copy_that_never_arrives_is_needed_again(worlds):
    world = worlds(pending_timeout_ms=MINUTE)
    what = world.add_block(replication=2)
    spread(world, "a", what)
    world.add_node("b")
    world.tick()
    assert world.transfers(world.heartbeat("a")) == [(what.block_id, ["b"])]
    world.tick(MINUTE - 1)
    assert world.transfers(world.heartbeat("a")) == []
    world.tick(1)
    assert world.transfers(world.heartbeat("a")) == [(what.block_id, ["b"])]


def test_work_of_a_dead_target_is_given_anew(worlds):
    world = worlds(recheck_interval_ms=1_000, heartbeat_interval_ms=100)
    what = world.add_block(replication=2)
    spread(world, "a", what)
    world.add_node("b")
    world.tick()
    assert world.manager.redundancy.pending_count == 1
    world.now_ms += 2_900
    assert world.transfers(world.heartbeat("a")) == [(what.block_id, ["b"])]
    world.add_node("c")
    world.tick(200)
    assert not world.manager.node("uuid-b").alive
    assert world.transfers(world.heartbeat("a")) == [(what.block_id, ["c"])]


def test_a_source_has_only_so_many_streams(worlds):
    world = worlds(work_multiplier=100)
    blocks = [world.add_block(number, replication=2) for number in range(6)]
    world.add_node("a")
    for what in blocks:
        world.received("a", what)
    world.add_node("b")
    world.tick()
    source = world.manager.node("uuid-a")
    assert len(source.transfers) == world.settings.max_streams_hard_limit
    assert len(world.transfers(world.heartbeat("a", xmits=1))) == 1
    assert len(world.transfers(world.heartbeat("a", xmits=2))) == 0
    assert len(world.transfers(world.heartbeat("a", xmits=0))) == 2


def test_a_round_is_bounded_and_the_most_endangered_come_first(worlds):
    world = worlds(work_multiplier=1)
    low, high = world.add_block(0), world.add_block(1)
    spread(world, "ab", low)
    spread(world, "a", high)
    world.add_node("c")
    assert world.manager.redundancy.schedule(world.now_ms) == 2
    waiting = world.manager.node("uuid-a").transfers
    assert waiting[0].block_id == high.block_id


def test_what_can_not_be_copied_does_not_hold_up_the_rest(worlds):
    world = worlds(work_multiplier=1)
    huge = world.add_block(0, replication=2, length=1 << 50)
    small = world.add_block(1, replication=2)
    world.add_node("a")
    world.received("a", huge)
    world.received("a", small)
    world.add_node("b")
    for _ in range(2):
        world.tick()
    assert world.transfers(world.heartbeat("a")) == [(small.block_id, ["b"])]


def test_the_emptiest_node_keeps_its_surplus_replica(world):
    what = world.add_block(replication=2)
    spread(world, "abc", what)
    for name, remaining in (("a", 5 << 30), ("b", 1 << 30), ("c", 9 << 30)):
        world.heartbeat(name, remaining=remaining)
    world.manager.redundancy.clear()
    world.manager.redundancy.populating = True
    world.received("c", what)
    assert world.deletions(world.heartbeat("b")) == [what.block_id]
    assert world.deletions(world.heartbeat("a")) == []
    assert world.counts(what).excess == 1
    world.deleted("b", what)
    assert (world.counts(what).live, world.counts(what).excess) == (2, 0)


def test_the_hint_of_a_balancer_decides_who_gives_up(world):
    what = world.add_block(replication=2)
    spread(world, "ab", what)
    world.add_node("c")
    world.received("c", what, hint="uuid-a")
    assert world.deletions(world.heartbeat("a")) == [what.block_id]


def test_a_crowded_rack_gives_up_first(worlds):
    racks = {"a": "/r1", "b": "/r2", "c": "/r2"}
    world = worlds(racks=racks)
    what = world.add_block(replication=2)
    for name in "abc":
        world.add_node(name, remaining=1 << 30 if name == "a" else 1 << 40)
    spread(world, "abc", what)
    assert world.deletions(world.heartbeat("a")) == []
    assert world.deletions(world.heartbeat("b") + world.heartbeat("c")) == [what.block_id]


def test_lowering_the_replication_deletes_raising_it_copies(world):
    what = world.add_block(replication=2)
    spread(world, "ab", what)
    world.manager.set_replication([what.block_id], 1)
    assert world.counts(what).excess == 1
    world.manager.set_replication([what.block_id], 2)
    told = [world.deletions(world.heartbeat(name)) for name in "ab"]
    assert told == [[], []], "the surplus replica is needed again before anybody was told"
    assert world.counts(what).live == 2
    assert world.manager.redundancy.low_count == 0


def test_p5_nothing_surplus_goes_while_a_holder_is_stale(world):
    what = world.add_block(replication=1)
    spread(world, "ab", what)
    assert world.manager.redundancy.excess_count == 1
    world.manager.become_standby()
    assert world.deletions(world.heartbeat("a") + world.heartbeat("b")) == []
    world.activate()
    assert world.manager.redundancy.postponed_count == 1
    for name in "ab":
        world.heartbeat(name)
    world.full_report("a", [what])
    world.tick()
    assert world.manager.redundancy.excess_count == 0
    world.full_report("b", [what])
    world.tick()
    assert len(world.deletions(world.heartbeat("a") + world.heartbeat("b"))) == 1


def test_a_node_whose_report_is_waited_for_is_asked_once(world):
    what = world.add_block(replication=1)
    spread(world, "ab", what)
    world.add_node("c")
    world.manager.become_standby()
    world.activate()
    register = datanode.DatanodeCommandProto.RegisterCommand
    told = {name: [c.cmdType for c in world.heartbeat(name)] for name in "abc"}
    assert told == {"a": [register], "b": [register], "c": []}
    world.tick()
    assert [world.heartbeat(name) for name in "abc"] == [[], [], []]
    for name in "ab":
        world.register(name)
        world.heartbeat(name)
        world.full_report(name, [what])
    world.tick()
    assert len(world.deletions(world.heartbeat("a") + world.heartbeat("b"))) == 1
    world.manager.become_standby()
    world.activate()
    asked = [c.cmdType for name in "abc" for c in world.heartbeat(name)]
    assert asked == [register, register]


def test_p5_the_last_good_copy_stays_when_the_others_die_first(worlds):
    world = worlds(recheck_interval_ms=1_000, heartbeat_interval_ms=100)
    what = world.add_block(replication=1)
    spread(world, "ab", what)
    row = world.manager.blocks.need(what.block_id)
    (keeper,) = [s.node.host for s in world.manager.blocks.holders(row) if not s.node.invalidate]
    victim = "b" if keeper == "a" else "a"
    world.now_ms += 2_900
    assert world.manager.node(f"uuid-{victim}").invalidate
    world.manager.datanodes.get(f"uuid-{victim}").last_update_ms = world.now_ms
    world.tick(200)
    assert not world.manager.node(f"uuid-{keeper}").alive
    assert world.deletions(world.heartbeat(victim)) == []
    assert world.counts(what).live == 1


def test_a_corrupt_replica_goes_only_when_enough_good_ones_are_there(world):
    what = world.add_block(replication=2)
    spread(world, "ab", what)
    world.add_node("c")
    bad = world.manager.new_located_block(what, [world.storage("a")], 0)
    world.manager.report_bad_blocks([bad])
    assert (world.counts(what).live, world.counts(what).corrupt) == (1, 1)
    assert world.deletions(world.heartbeat("a")) == []
    world.tick()
    assert world.transfers(world.heartbeat("a")) == [], "a corrupt replica is no source"
    assert world.transfers(world.heartbeat("b")) == [(what.block_id, ["c"])]
    world.received("c", what)
    assert world.deletions(world.heartbeat("a")) == [what.block_id]
    assert world.holders(what) == ["b", "c"]


def test_the_only_replica_is_kept_though_corrupt(world):
    what = world.add_block(replication=1)
    spread(world, "a", what)
    world.add_node("b")
    world.manager.report_bad_blocks(
        [world.manager.new_located_block(what, [world.storage("a")], 0)]
    )
    world.tick()
    assert world.manager.redundancy.missing() == [what.block_id]
    assert world.manager.redundancy.missing_single_count == 1
    assert world.deletions(world.heartbeat("a")) == []
    assert world.holders(what) == ["a"]


def test_p5_a_corrupt_replica_waits_for_stale_storages(world):
    what = world.add_block(replication=1)
    spread(world, "ab", what)
    world.manager.become_standby()
    world.activate()
    world.manager.report_bad_blocks(
        [world.manager.new_located_block(what, [world.storage("a")], 0)]
    )
    assert world.deletions(world.heartbeat("a")) == []
    world.heartbeat("b")
    world.full_report("a", [what])
    world.full_report("b", [what])
    world.tick()
    assert world.deletions(world.heartbeat("a")) == [what.block_id]
    assert world.deletions(world.heartbeat("b")) == []


def test_only_so_many_deletions_at_a_time(worlds):
    world = worlds(invalidate_limit=2)
    world.add_node("a")
    blocks = [world.add_block(number) for number in range(5)]
    for what in blocks:
        world.received("a", what)
    world.manager.remove_blocks([what.block_id for what in blocks])
    assert world.manager.redundancy.deletion_count == 5
    assert [len(world.deletions(world.heartbeat("a"))) for _ in range(4)] == [2, 2, 1, 0]


def test_a_standby_and_safe_mode_command_nothing(worlds):
    world = worlds(active=False)
    what = world.add_block(replication=2)
    spread(world, "ac", what)
    world.add_node("b")
    world.manager.set_replication([what.block_id], 1)
    world.tick()
    assert [world.heartbeat(name) for name in "abc"] == [[], [], []]
    world.activate()
    for name in "ac":
        world.heartbeat(name)
        world.full_report(name, [what])
    world.tick()
    world.manager.enter_safe_mode()
    assert [world.heartbeat(name) for name in "abc"] == [[], [], []]
    list(world.manager.leave_safe_mode(world.now_ms))
    assert sum(len(world.heartbeat(name)) for name in "abc") == 1


def test_committed_blocks_wait_for_their_pipeline_before_they_are_copied(world):
    for name in "abcd":
        world.add_node(name)
    what = world.add_block(open_=True, length=0)
    targets = [world.storage(name) for name in "abc"]
    world.manager.set_expected(what.block_id, targets)
    done = world.block(0, length=100)
    world.received("a", done)
    assert world.manager.commit_block(done)
    assert world.manager.is_complete(done.block_id)
    assert world.manager.redundancy.low_count == 0
    world.tick()
    assert [world.heartbeat(name) for name in "abcd"] == [[]] * 4
    world.received("b", done)
    world.received("c", done)
    assert world.manager.redundancy.pending_count == 0
