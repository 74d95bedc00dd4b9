from __future__ import annotations

import random

import pytest

from hdfsd.base.errors import IOFault, UnregisteredNode
from hdfsd.blocks.blockmap import BlockState
from hdfsd.wire.messages import client_namenode, datanode

MB = 1 << 20
Kind = datanode.DatanodeCommandProto


def nodes(world, names, **kwargs):
    for name in names:
        world.add_node(name, **kwargs)


# --- files being written ------------------------------------------------------------------------


def open_block(world, names, **kwargs):
    what = world.add_block(open_=True, length=0, **kwargs)
    world.manager.set_expected(what.block_id, [world.storage(name) for name in names])
    return what


def test_a_block_from_first_byte_to_complete(world):
    nodes(world, "abc")
    targets = world.manager.choose_targets(3, MB, writer="10.0.0.2")
    assert targets[0].node.host == "b"
    what = open_block(world, [s.node.host for s in targets])
    located = world.manager.located_block(what.block_id, 0)
    assert sorted(info.id.hostName for info in located.locs) == ["a", "b", "c"]
    done = world.block(0, length=500)
    assert world.manager.check_complete([what.block_id]) == what.block_id
    assert world.manager.commit_block(done)
    assert world.manager.is_committed(what.block_id)
    assert not world.manager.is_complete(what.block_id)
    world.received("c", done)
    assert world.manager.state(what.block_id) == BlockState.COMPLETE
    assert world.manager.check_complete([what.block_id]) is None
    assert not world.manager.commit_block(done)
    world.manager.update_block(16386, what, done, True)
    assert world.manager.stored(what.block_id) == done
    assert world.manager.has_minimum_replicas(what.block_id)
    assert world.manager.inode_of(what.block_id) == 16386


def test_the_minimum_may_be_more_than_one(worlds):
    world = worlds(replication_min=2)
    nodes(world, "abc")
    open_block(world, "abc")
    done = world.block(0)
    world.manager.commit_block(done)
    world.received("a", done)
    assert not world.manager.is_complete(done.block_id)
    world.received("b", done)
    assert world.manager.is_complete(done.block_id)


def test_a_block_of_which_no_replica_is_known_is_not_sufficiently_replicated(world):
    """A NameNode that has just become active may know no DataNode yet."""
    what = world.add_block()
    assert not world.manager.is_sufficiently_replicated(what.block_id)
    nodes(world, "a")
    assert not world.manager.is_sufficiently_replicated(what.block_id)
    world.received("a", what)
    assert world.manager.is_sufficiently_replicated(what.block_id)


@pytest.mark.parametrize(("length", "stamp"), [(100, 1002), (100, 1000), (49, 1001)])
def test_a_commit_that_can_not_be_the_block_is_refused(world, length, stamp):
    nodes(world, "a")
    world.add_block(open_=True, length=50)
    with pytest.raises(IOFault, match="Commit block"):
        world.manager.commit_block(world.block(0, length, stamp))
    assert world.manager.state(world.block(0).block_id) == BlockState.UNDER_CONSTRUCTION


def test_an_active_completes_an_edit_only_with_replicas_a_standby_at_once(worlds):
    for active, expected in ((True, BlockState.COMMITTED), (False, BlockState.COMPLETE)):
        world = worlds(active=active)
        nodes(world, "a")
        what = open_block(world, "a")
        world.manager.update_block(16386, what, world.block(0), True)
        assert world.manager.state(what.block_id) == expected
        world.received("a", world.block(0))
        assert world.manager.is_complete(what.block_id)
        assert world.holders(what) == ["a"]


def test_a_pipeline_that_lost_a_node_goes_on_without_it(world):
    nodes(world, "abcd")
    what = open_block(world, "abc")
    world.change("c", world.RECEIVING, world.block(0, 10, 1001))
    renewed = world.block(0, 10, 1002)
    world.manager.saw_gen_stamp(1002)
    more = world.manager.choose_additional(
        1, MB, writer=None, existing=[world.storage("a"), world.storage("b")], excluded=["uuid-c"]
    )
    assert [storage.node.host for storage in more] == ["d"]
    world.manager.update_block(16386, what, renewed, False)
    world.manager.set_expected(what.block_id, [world.storage(n) for n in "abd"])
    assert world.manager.location_count(what.block_id) == 3
    done = world.block(0, 100, 1002)
    world.manager.commit_block(done)
    world.received("c", world.block(0, 10, 1001))
    for name in "abd":
        world.received(name, done)
    assert world.holders(what)[:3] == ["a", "b", "d"]
    assert world.counts(what).live == 3
    assert world.deletions(world.heartbeat("c")) == [what.block_id]


def test_an_appended_block_keeps_only_replicas_of_the_new_stamp(world):
    nodes(world, "abc")
    what = world.add_block()
    for name in "abc":
        world.received(name, what)
    world.manager.reopen_block(what.block_id)
    assert world.manager.state(what.block_id) == BlockState.UNDER_CONSTRUCTION
    assert len(world.manager.expected(what.block_id)) == 3
    world.change("a", world.RECEIVING, world.block(0, 100, 1002))
    world.manager.update_block(16386, what, world.block(0, 100, 1002), False)
    assert world.holders(what) == []
    assert [s.node.host for s in world.manager.expected(what.block_id)] == ["a"]


def test_reopened_before_all_of_the_pipeline_reported(world):
    nodes(world, "abc")
    what = open_block(world, "abc")
    world.received("a", what)
    world.manager.commit_block(what)
    assert world.manager.is_complete(what.block_id)
    world.manager.reopen_block(what.block_id)
    assert [s.node.host for s in world.manager.expected(what.block_id)] == ["a", "b", "c"]


def test_reopening_calls_back_what_was_to_be_deleted(world):
    nodes(world, "ab")
    what = world.add_block(replication=1)
    for name in "ab":
        world.received(name, what)
    assert world.manager.redundancy.deletion_count == 1
    world.manager.reopen_block(what.block_id)
    assert world.manager.redundancy.deletion_count == 0
    assert world.manager.redundancy.excess_count == 0


def test_what_is_to_be_cut_is_cut_by_whoever_recovers_it(world):
    """A standby knows of a truncation from the journal; its recovery starts when it is active."""
    nodes(world, "a")
    what = world.add_block()
    world.received("a", what)
    assert world.manager.truncating_to(what.block_id) is None
    world.manager.reopen_block(what.block_id, truncate_to=40)
    assert world.manager.truncating_to(what.block_id) == 40
    assert world.manager.left_uncut() == [16386]
    assert world.manager.start_recovery(what.block_id, 1002, world.now_ms)
    assert world.manager.left_uncut() == [], "somebody is at it"
    ((recovering,),) = (command.recoveryCmd.blocks for command in world.heartbeat("a"))
    assert (recovering.truncateBlock.numBytes, recovering.newGenStamp) == (40, 1002)
    agreed = world.block(0, 40, 1002)
    world.manager.update_block(16386, what, agreed, True)
    world.manager.finish_recovery(agreed, [world.storage("a")])
    assert world.manager.is_complete(what.block_id)
    assert world.manager.truncating_to(what.block_id) is None


def test_too_few_targets_say_so_in_hadoops_words(world):
    with pytest.raises(IOFault) as caught:
        world.manager.choose_targets(3, MB, writer=None, path="/f")
    assert caught.value.message == (
        "File /f could only be written to 0 of the 1 minReplication nodes. There are 0 "
        "datanode(s) running and no node(s) are excluded in this operation."
    )
    nodes(world, "a")
    with pytest.raises(IOFault, match=r"There are 1 datanode\(s\) running and 1 node\(s\) are"):
        world.manager.choose_targets(3, MB, writer=None, path="/f", excluded=["uuid-a"])


def test_favored_nodes_are_named_by_their_data_port(world):
    nodes(world, "abcdef")
    found = world.manager.choose_targets(
        2, MB, writer="a", favored=["10.0.0.5:9866", "f:9866", "nobody:1"]
    )
    assert {storage.node.host for storage in found} == {"e", "f"}
    assert world.manager.node("uuid-e").scheduled == 1


# --- recovery -----------------------------------------------------------------------------------


def test_a_recovery_from_command_to_agreement(world):
    nodes(world, "ab")
    what = open_block(world, "ab")
    assert world.manager.start_recovery(what.block_id, 1005, world.now_ms)
    assert world.manager.is_under_recovery(what.block_id)
    assert world.manager.recovery_id(what.block_id) == 1005
    assert world.manager.truncating_to(what.block_id) is None
    commands = world.heartbeat("a") + world.heartbeat("b")
    (recovering,) = commands[0].recoveryCmd.blocks
    assert recovering.newGenStamp == 1005
    assert not recovering.HasField("truncateBlock")
    assert sorted(info.id.hostName for info in recovering.block.locs) == ["a", "b"]
    assert world.heartbeat("a") + world.heartbeat("b") == []
    agreed = world.block(0, 77, 1005)
    world.manager.update_block(16386, what, agreed, True)
    world.manager.finish_recovery(agreed, [world.storage("b")])
    assert world.manager.is_complete(what.block_id)
    assert world.holders(what) == ["b"]
    assert world.manager.recovery_id(what.block_id) is None


def test_a_recovery_that_leaves_the_file_open(world):
    nodes(world, "ab")
    what = open_block(world, "ab")
    world.manager.start_recovery(what.block_id, 1005, world.now_ms, new_length=3)
    assert world.manager.truncating_to(what.block_id) == 3
    agreed = world.block(0, 77, 1005)
    world.manager.update_block(16386, what, agreed, False)
    world.manager.finish_recovery(agreed, [world.storage("a")])
    assert world.manager.state(what.block_id) == BlockState.UNDER_CONSTRUCTION
    assert world.manager.recovery_id(what.block_id) is None
    assert [s.node.host for s in world.manager.expected(what.block_id)] == ["a"]


def test_a_recovery_without_replicas_can_not_be_led(world):
    what = world.add_block(open_=True)
    assert not world.manager.start_recovery(what.block_id, 1005, world.now_ms)
    with pytest.raises(KeyError):
        world.manager.start_recovery(world.add_block(1).block_id, 1006, world.now_ms)
    with pytest.raises(KeyError):
        world.manager.start_recovery(world.block(9).block_id, 1006, world.now_ms)


def test_a_recovery_of_a_block_that_is_gone_is_not_commanded(world):
    nodes(world, "a")
    what = open_block(world, "a")
    world.manager.start_recovery(what.block_id, 1005, world.now_ms)
    world.manager.remove_blocks([what.block_id])
    assert world.heartbeat("a") == []


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", ["10.0.0.3", "c"])
def test_a_reader_finds_its_own_node_first(world, reader):
    nodes(world, "abc")
    what = world.add_block()
    for name in "abc":
        world.received(name, what)
    located = [world.manager.located_block(what.block_id, 0, reader=reader) for _ in range(20)]
    hosts = [[info.id.hostName for info in proto.locs] for proto in located]
    assert all(order[0] == "c" for order in hosts)
    assert {tuple(order[1:]) for order in hosts} == {("a", "b"), ("b", "a")}


def test_stale_nodes_are_read_last_if_so_configured(worlds):
    world = worlds(avoid_read_stale=True)
    nodes(world, "abc")
    what = world.add_block()
    for name in "abc":
        world.received(name, what)
    world.now_ms += 40_000
    world.heartbeat("a")
    world.heartbeat("c")
    for _ in range(10):
        located = world.manager.located_block(what.block_id, 0, reader="b")
        assert located.locs[2].id.hostName == "b"


def test_corrupt_replicas_are_shown_only_when_there_are_no_others(world):
    nodes(world, "ab")
    what = world.add_block(replication=2)
    for name in "ab":
        world.received(name, what)

    def spoil(name):
        world.manager.report_bad_blocks(
            [world.manager.new_located_block(what, [world.storage(name)], 0)]
        )

    spoil("a")
    located = world.manager.located_block(what.block_id, 0)
    assert ([i.id.hostName for i in located.locs], located.corrupt) == (["b"], False)
    spoil("b")
    located = world.manager.located_block(what.block_id, 0)
    assert (len(located.locs), located.corrupt) == (2, True)
    assert world.manager.fs_stats().corrupt_blocks == 1


def test_a_bad_block_that_is_not_held_there_is_ignored(world):
    nodes(world, "ab")
    what = world.add_block()
    world.received("a", what)
    manager = world.manager
    manager.report_bad_blocks([manager.new_located_block(what, [world.storage("b")], 0)])
    manager.report_bad_blocks([manager.new_located_block(world.block(9), [world.storage("a")], 0)])
    assert not manager.blocks.corrupt
    assert world.holders(what) == ["a"]


def test_figures_of_the_cluster(worlds):
    world = worlds(recheck_interval_ms=1_000, heartbeat_interval_ms=100)
    nodes(world, "ab", remaining=10)
    what, lost = world.add_block(0, replication=2), world.add_block(1, replication=1)
    world.received("a", what)
    world.received("b", lost)
    world.deleted("b", lost)
    stats = world.manager.fs_stats()
    assert (stats.capacity, stats.used, stats.remaining) == (4 << 40, 1 << 40, 20)
    assert (stats.under_replicated, stats.missing_blocks) == (2, 1)
    assert (stats.missing_repl_one_blocks, stats.pending_deletion_blocks) == (1, 0)
    world.now_ms += 2_500
    world.heartbeat("a")
    world.now_ms += 600
    reports = {
        kind: [info.id.hostName for info in world.manager.datanode_report(kind, world.now_ms)]
        for kind in client_namenode.DatanodeReportTypeProto.values()
    }
    assert reports == {1: ["a", "b"], 2: ["a"], 3: ["b"], 4: [], 5: [], 6: []}
    live = world.manager.datanode_storage_report(client_namenode.LIVE, world.now_ms)
    assert [proto.storageReports[0].storage.storageUuid for proto in live] == ["a-s0"]


# --- effects ------------------------------------------------------------------------------------


def test_removed_blocks_are_deleted_everywhere(world):
    nodes(world, "ab")
    what = world.add_block(replication=2)
    for name in "ab":
        world.received(name, what)
    world.manager.remove_blocks([what.block_id])
    assert world.manager.stored(what.block_id) is None
    assert [world.deletions(world.heartbeat(n)) for n in "ab"] == [[what.block_id]] * 2
    with pytest.raises(KeyError):
        world.manager.state(what.block_id)


def test_what_the_former_active_did_not_have_deleted_the_next_one_does(worlds):
    world = worlds(active=False)
    nodes(world, "abcd")
    what, other = world.add_block(replication=4), world.add_block(1, replication=2)
    for name in "abcd":
        world.received(name, what)
    world.manager.remove_blocks([what.block_id])
    world.deleted("b", what)
    world.full_report("c", [other])
    world.full_report("d", [other, what])
    assert [world.heartbeat(name) for name in "abcd"] == [[]] * 4
    world.activate()
    commanded = [world.deletions(world.heartbeat(name)) for name in "abcd"]
    assert commanded == [[what.block_id], [], [], [what.block_id]]
    world.manager.become_standby()
    world.activate()
    assert world.deletions(world.heartbeat("a")) == []


def test_moved_blocks_belong_to_the_target_with_its_replication(world):
    nodes(world, "ab")
    what = world.add_block(replication=2)
    for name in "ab":
        world.received(name, what)
    world.manager.move_blocks(20000, [what.block_id], 1)
    assert world.manager.inode_of(what.block_id) == 20000
    assert world.counts(what).excess == 1


# --- DataNodes ----------------------------------------------------------------------------------


def test_the_address_is_the_one_the_caller_came_from(world):
    reg = world.registration("a", 1, ip="192.168.7.7")
    accepted = world.manager.register(reg, "10.1.1.1", world.now_ms)
    assert accepted.datanodeID.ipAddr == "10.1.1.1"
    assert accepted.storageInfo == reg.storageInfo


def test_whoever_is_not_registered_is_told_to(world):
    world.registrations["x"] = world.registration("x", 1)
    world.storage_counts["x"] = 1
    commands = world.heartbeat("x", lease=True)
    assert [command.cmdType for command in commands] == [Kind.RegisterCommand]
    assert world.lease == 0
    assert world.full_report("x", []).cmdType == Kind.RegisterCommand
    with pytest.raises(IOFault, match="from unregistered or dead node"):
        world.received("x", world.block(0))
    world.manager.lifeline(
        datanode.HeartbeatRequestProto(registration=world.registrations["x"]), 0, 0
    )
    assert world.manager.node("uuid-x") is None


def test_two_nodes_with_one_uuid_do_not_share_a_registration(world):
    world.add_node("a")
    twin = world.registration("a", 99)
    world.registrations["twin"] = twin
    world.storage_counts["twin"] = 1
    commands = world.heartbeat("twin")
    assert [command.cmdType for command in commands] == [Kind.RegisterCommand]
    assert world.heartbeat("a") == []


def test_another_cluster_is_refused(world):
    world.registrations["x"] = world.registration("x", 1, cluster="CID-other")
    world.storage_counts["x"] = 1
    for call in (
        lambda: world.heartbeat("x"),
        lambda: world.full_report("x", []),
        lambda: world.received("x", world.block(0)),
    ):
        with pytest.raises(UnregisteredNode):
            call()


def test_leases_guard_full_reports(worlds):
    world = worlds(report_leases=1)
    nodes(world, "ab")
    what = world.add_block()
    world.heartbeat("a", lease=True)
    lease = world.lease
    world.heartbeat("b", lease=True)
    assert world.lease == 0
    world.full_report("a", [what], lease=lease + 1)
    assert world.holders(what) == []
    world.full_report("a", [what], lease=lease)
    assert world.holders(what) == ["a"]
    world.heartbeat("b", lease=True)
    assert world.lease != 0


def test_upgrades_are_finalized_once_all_contents_are_known(world):
    world.add_node("a", storages=2, report=False)
    assert world.full_report("a", [], storage=0) is None
    assert world.full_report("a", [], storage=1).cmdType == Kind.FinalizeCommand


def test_a_dead_node_loses_its_replicas_and_registers_anew(worlds):
    world = worlds(recheck_interval_ms=1_000, heartbeat_interval_ms=100)
    nodes(world, "ab")
    what = world.add_block(replication=2)
    for name in "ab":
        world.received(name, what)
    world.now_ms += 2_900
    world.heartbeat("b")
    world.tick(200)
    assert world.holders(what) == ["b"]
    assert world.manager.redundancy.low_count == 1
    assert world.heartbeat("a")[0].cmdType == Kind.RegisterCommand
    world.register("a")
    world.heartbeat("a")
    world.full_report("a", [what])
    assert world.holders(what) == ["a", "b"]
    assert world.manager.redundancy.low_count == 0


def test_a_node_that_came_back_in_time_keeps_its_replicas(worlds):
    world = worlds(recheck_interval_ms=1_000, heartbeat_interval_ms=100)
    nodes(world, "a")
    what = world.add_block(replication=1)
    world.received("a", what)
    world.now_ms += 4_000
    steps = world.manager.tick(world.now_ms)
    world.manager._bury(world.now_ms)
    world.register("a")
    for _ in steps:
        pass
    assert world.holders(what) == ["a"]


def test_a_failed_storage_loses_its_replicas(world):
    world.add_node("a", storages=2)
    first, second = world.add_block(0, replication=1), world.add_block(1, replication=1)
    world.received("a", first, storage=0)
    world.received("a", second, storage=1)
    world.heartbeat("a", failed=(0,))
    world.received("a", first, storage=0)
    world.tick()
    assert (world.holders(first), world.holders(second)) == ([], ["a"])


def test_a_node_with_no_disk_left_is_dead_at_once(world):
    nodes(world, "ab")
    what = world.add_block(replication=1)
    world.received("a", what)
    errors = datanode.ErrorReportRequestProto
    world.manager.error_report(world.registrations["a"], errors.DISK_ERROR)
    assert world.manager.node("uuid-a").alive
    world.manager.error_report(world.registrations["a"], errors.FATAL_DISK_ERROR)
    world.tick()
    assert world.holders(what) == []
    assert world.heartbeat("a")[0].cmdType == Kind.RegisterCommand


def test_a_node_replaced_at_its_address_is_gone_with_its_replicas(world):
    nodes(world, "a")
    what = world.add_block(replication=1)
    world.received("a", what)
    world.manager.register(world.registration("new", 1), "10.0.0.1", world.now_ms)
    world.tick()
    assert world.holders(what) == []
    assert [node.host for node in world.manager.datanodes.nodes()] == ["new"]


def test_a_lifeline_keeps_a_node_alive(worlds):
    world = worlds(recheck_interval_ms=1_000, heartbeat_interval_ms=100)
    nodes(world, "a")
    world.now_ms += 2_900
    world.lifeline("a")
    world.tick(200)
    assert world.manager.node("uuid-a").alive


# --- two NameNodes ------------------------------------------------------------------------------
#
# P5 as a property: two NameNodes, DataNodes that obey the active one, and everything late.
#
# The model is dumb: what lies on which disk. Random writes, replication changes, deletions, lost
# commands, late reports, lagging edits and failovers; after each step every block that has a file
# must have a copy; at the end all must heal to exactly the replication of each file.

RECEIVED, DELETED = 2, 3
NAMES = "abcd"
SEEDS, STEPS = 320, 40
WEIGHTS = {
    "beat": 4,
    "set_replication": 2,
    "failover": 1,
    "report": 1,
    "deliver": 1,
    "lose_commands": 1,
    "burn": 1,
    "write": 1,
    "delete": 1,
    "tail": 1,
    "tick": 1,
}


class Cluster:
    def __init__(self, worlds, seed):
        self.worlds = [
            worlds(
                active=number == 0,
                seed=seed + number,
                recheck_interval_ms=20_000,
                heartbeat_interval_ms=1_000,
                work_multiplier=10,
                pending_timeout_ms=6_000,
            )
            for number in range(2)
        ]
        self.active = 0
        self.disks = {name: {} for name in NAMES}
        self.outbox = [{name: [] for name in NAMES} for _ in range(2)]
        """Per NameNode and node: received and deleted replicas that were not told yet."""
        self.edits = []
        """What the standby has not applied yet."""
        self.files = {}
        for world in self.worlds:
            for name in NAMES:
                world.add_node(name)
        for replication in (2, 3):
            self.write(replication)
        self.tail()
        for name in NAMES:
            self.report(name, 0)
            self.report(name, 1)

    # --- the namespace ---

    def edit(self, apply):
        apply(self.worlds[self.active])
        self.edits.append(apply)

    def tail(self):
        for apply in self.edits:
            apply(self.worlds[1 - self.active])
        self.edits.clear()

    def write(self, replication):
        number = len(self.files)
        stamp = 1001 + number
        world = self.worlds[self.active]
        targets = world.manager.choose_targets(replication, 1, writer=None)[:replication]
        what = world.block(number, 100, stamp)
        self.edit(lambda w: w.add_block(number, replication=replication, stamp=stamp, open_=True))
        world.manager.set_expected(what.block_id, targets)
        world.manager.commit_block(what)
        self.edit(lambda w: w.manager.update_block(16386 + number, what, what, True))
        for storage in targets:
            self.put(storage.node.host, what)
        self.files[number] = (what, replication)

    def pick(self, number):
        alive = [key for key, (what, _) in self.files.items() if what is not None]
        return alive[number % len(alive)] if alive else None

    def set_replication(self, number, replication):
        key = self.pick(number)
        if key is not None:
            what = self.files[key][0]
            self.files[key] = (what, replication)
            self.edit(lambda w: w.manager.set_replication([what.block_id], replication))

    def delete(self, number):
        key = self.pick(number)
        if key is not None:
            what = self.files[key][0]
            self.files[key] = (None, 0)
            self.edit(lambda w: w.manager.remove_blocks([what.block_id]))

    def failover(self):
        self.tail()
        self.worlds[self.active].manager.become_standby()
        self.active = 1 - self.active
        self.worlds[self.active].activate()

    # --- the DataNodes ---

    def put(self, name, what):
        self.disks[name][what.block_id] = what
        self.tell(name, RECEIVED, what)

    def tell(self, name, status, what):
        for outbox in self.outbox:
            outbox[name].append((status, what))

    def deliver(self, name, number):
        world = self.worlds[number]
        if not world.manager.node(f"uuid-{name}").registered:
            return
        for status, what in self.outbox[number][name]:
            world.change(name, status, what)
        self.outbox[number][name].clear()

    def report(self, name, number):
        """Incremental reports leave before a full one, as a DataNode sends them."""
        self.deliver(name, number)
        if self.worlds[number].manager.node(f"uuid-{name}").registered:
            self.worlds[number].full_report(name, list(self.disks[name].values()))

    def beat(self, name, obey=True):
        for number, world in enumerate(self.worlds):
            # The two see the nodes' free space differently, so they would not choose the same
            # replica to give up.
            rank = NAMES.index(name) if number else -NAMES.index(name)
            for command in world.heartbeat(name, remaining=(1 << 40) + rank):
                if command.cmdType == Kind.RegisterCommand:
                    world.register(name)
                    world.heartbeat(name)
                    self.report(name, number)
                elif command.cmdType == Kind.BlockCommand:
                    assert number == self.active, "only the active may command"
                    if obey:
                        self.carry_out(name, command.blkCmd)

    def lose_commands(self, name):
        self.beat(name, obey=False)

    def carry_out(self, name, command):
        if command.action == datanode.BlockCommandProto.INVALIDATE:
            for proto in command.blocks:
                gone = self.disks[name].pop(proto.blockId, None)
                if gone is not None:
                    self.tell(name, DELETED, gone)
            return
        for proto, targets in zip(command.blocks, command.targets):
            what = self.disks[name].get(proto.blockId)
            for info in targets.datanodes if what is not None else ():
                self.put(info.id.hostName, what)

    def burn(self, name):
        """The node's disk is lost, unless it has the last copy of something; nobody hears of it
        until it counts as dead, the others keep alive without asking for commands."""
        if any(len(self.copies(what)) == 1 for what in self.disks[name].values()):
            return
        self.disks[name].clear()
        for number, world in enumerate(self.worlds):
            self.outbox[number][name].clear()
            world.now_ms += 60_001
            for other in NAMES:
                if other != name:
                    world.lifeline(other)
            world.tick(0)

    def tick(self):
        for world in self.worlds:
            world.tick()

    # --- what must hold ---

    def copies(self, what):
        return [name for name in NAMES if what.block_id in self.disks[name]]

    def kept(self):
        return [(what, replication) for what, replication in self.files.values() if what]

    def heal(self):
        self.tail()
        for _ in range(12):
            for name in NAMES:
                self.beat(name)
                self.report(name, 0)
                self.report(name, 1)
            self.tick()


def draw(chance):
    """One step with its arguments."""
    (kind,) = chance.choices(list(WEIGHTS), WEIGHTS.values())
    node, number, nameserver = chance.choice(NAMES), chance.randrange(10), chance.randrange(2)
    arguments = {
        "beat": (node,),
        "lose_commands": (node,),
        "burn": (node,),
        "report": (node, nameserver),
        "deliver": (node, nameserver),
        "set_replication": (number, chance.choice([1, 1, 1, 2, 3])),
        "delete": (number,),
        "write": (chance.randrange(1, 4),),
    }
    return (kind, *arguments.get(kind, ()))


@pytest.mark.parametrize("first", range(0, SEEDS, 80))
def test_no_last_copy_is_deleted_and_all_heals(worlds, first):
    for seed in range(first, first + 80):
        chance = random.Random(seed)
        cluster, history = Cluster(worlds, seed), []
        for _ in range(STEPS):
            step = draw(chance)
            history.append(step)
            getattr(cluster, step[0])(*step[1:])
            for what, _ in cluster.kept():
                assert cluster.copies(what), f"seed {seed}: {what} has no copy after {history}"
        cluster.heal()
        check_healed(cluster, seed)


def check_healed(cluster, seed):
    for what, replication in cluster.kept():
        assert len(cluster.copies(what)) == replication, f"seed {seed}: {what}"
        for world in cluster.worlds:
            assert world.holders(what) == cluster.copies(what), f"seed {seed}: {what}"
    on_disk = {block_id for held in cluster.disks.values() for block_id in held}
    assert on_disk == {what.block_id for what, _ in cluster.kept()}, f"seed {seed}"
    for world in cluster.worlds:
        assert world.manager.redundancy.low_count == 0
        assert world.manager._reconciler.queued.count == 0
