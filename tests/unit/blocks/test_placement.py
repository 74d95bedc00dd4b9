from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.blocks.placement import Placement

MB = 1 << 20
RACKS = {f"n{number}": f"/rack{number % 3}" for number in range(12)}


def placement_of(world, seed=0):
    manager = world.manager
    return Placement(world.settings, manager.datanodes, type(world).Dice(seed))


def build(worlds, names, **settings):
    world = worlds(**settings)
    for name in names:
        world.add_node(name)
    return world


def names(storages):
    return [storage.node.host for storage in storages]


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    node_count=st.integers(0, 9),
    wanted=st.integers(1, 5),
    held=st.sets(st.integers(0, 8), max_size=3),
    excluded=st.sets(st.integers(0, 8), max_size=4),
    writer=st.integers(0, 12),
    flat=st.booleans(),
    seed=st.integers(0, 99),
)
def test_never_two_on_a_node_never_an_excluded_one(
    worlds, node_count, wanted, held, excluded, writer, flat, seed
):
    all_names = [f"n{number}" for number in range(node_count)]
    world = build(worlds, all_names, racks={} if flat else RACKS)
    chosen = [world.storage(f"n{number}") for number in sorted(held) if number < node_count]
    out = {f"uuid-n{number}" for number in excluded}
    writer_node = world.manager.node(f"uuid-n{writer}")
    found = placement_of(world, seed).choose(
        wanted, MB, world.now_ms, writer=writer_node, chosen=chosen, excluded=out
    )
    uuids = [storage.node.uuid for storage in (*found, *chosen)]
    assert len(set(uuids)) == len(uuids)
    assert not {storage.node.uuid for storage in found} & out
    free = node_count - len(
        {s.node.uuid for s in chosen} | (out & {f"uuid-{n}" for n in all_names})
    )
    if flat:
        assert len(found) == min(wanted, free)
    else:
        assert len(found) <= min(wanted, free)
        assert found or not free or chosen
    if writer_node and not chosen and writer_node.uuid not in out:
        assert found[0].node is writer_node


def test_three_replicas_live_on_two_racks(worlds):
    world = build(worlds, RACKS, racks=RACKS)
    for seed in range(30):
        found = placement_of(world, seed).choose(
            3, MB, world.now_ms, writer=world.manager.node("uuid-n4")
        )
        racks = [storage.node.location for storage in found]
        assert names(found)[0] == "n4"
        assert racks[1] == racks[2] != racks[0]


def test_a_lost_replica_is_replaced_on_another_rack_than_the_only_one_left(worlds):
    world = build(worlds, RACKS, racks=RACKS)
    for seed in range(20):
        (found,) = placement_of(world, seed).choose(
            1, MB, world.now_ms, chosen=[world.storage("n0")]
        )
        assert found.node.location != "/rack0"


def test_one_rack_left_takes_them_all(worlds):
    world = build(worlds, ["n0", "n3", "n6"], racks=RACKS)
    assert len(placement_of(world).choose(3, MB, world.now_ms)) == 3


def test_full_read_only_and_failed_storages_are_left_out(worlds):
    world = worlds()
    world.add_node("full", remaining=MB - 1)
    world.add_node("fails")
    world.heartbeat("fails", failed=(0,))
    world.add_node("read-only").storages["read-only-s0"].read_only = True
    world.add_node("fine", remaining=MB)
    assert names(placement_of(world).choose(3, MB, world.now_ms)) == ["fine"]


def test_blocks_on_their_way_take_room(worlds):
    world = worlds()
    node = world.add_node("a", remaining=3 * MB)
    node.schedule()
    node.schedule()
    assert len(placement_of(world).choose(1, MB, world.now_ms)) == 1
    node.schedule()
    assert placement_of(world).choose(1, MB, world.now_ms) == []


def test_an_overloaded_node_is_left_out_if_load_counts(worlds):
    for consider, expected in ((True, ["b", "c", "d"]), (False, ["a", "b", "c", "d"])):
        world = worlds(consider_load=consider)
        world.add_node("a", xceivers=100)
        for name in "bcd":
            world.add_node(name, xceivers=1)
        assert sorted(names(placement_of(world).choose(4, MB, world.now_ms))) == expected


def test_stale_nodes_are_avoided_if_there_are_others(worlds):
    world = worlds(avoid_write_stale=True)
    for name in "abc":
        world.add_node(name)
    world.now_ms += 40_000
    world.heartbeat("b")
    world.heartbeat("c")
    for seed in range(10):
        found = placement_of(world, seed).choose(2, MB, world.now_ms)
        assert sorted(names(found)) == ["b", "c"]
    assert sorted(names(placement_of(world).choose(3, MB, world.now_ms))) == ["a", "b", "c"]


def test_dead_nodes_are_left_out(worlds):
    world = build(worlds, "ab")
    world.manager.node("uuid-a").alive = False
    assert names(placement_of(world).choose(2, MB, world.now_ms)) == ["b"]


def test_favored_nodes_come_first(worlds):
    world = build(worlds, "abcdef")
    for seed in range(10):
        favored = [world.manager.node(f"uuid-{name}") for name in "ec"]
        found = placement_of(world, seed).choose(3, MB, world.now_ms, favored=favored)
        assert {"e", "c"} < set(names(found))


@pytest.mark.parametrize(
    ("host", "expected"), [("10.0.0.2", "b"), ("b", "b"), ("10.9.9.9", None), (None, None)]
)
def test_the_writer_is_a_node_if_one_is_on_its_machine(worlds, host, expected):
    world = build(worlds, "ab")
    node = placement_of(world).writer_node(host)
    assert (node.host if node else None) == expected


def test_the_pipeline_starts_at_the_writer_and_stays_near(worlds):
    world = build(worlds, RACKS, racks=RACKS)
    for seed in range(10):
        found = placement_of(world, seed).choose(
            4, MB, world.now_ms, writer=world.manager.node("uuid-n1")
        )
        racks = [storage.node.location for storage in found]
        assert names(found)[0] == "n1"
        changes = sum(a != b for a, b in itertools.pairwise(racks))
        assert changes == len(set(racks)) - 1
