from __future__ import annotations

from hdfsd.blocks.blockmap import UnderConstruction, WrittenReplica
from hdfsd.blocks.recovery import choose_primary, participants


def construction_on(world, names):
    for number, name in enumerate(names):
        world.now_ms += 10 * number
        world.add_node(name)
    return UnderConstruction([WrittenReplica(world.storage(name), 1001) for name in names])


def test_the_node_heard_of_last_leads_and_everybody_gets_a_turn(world):
    construction = construction_on(world, "abc")
    order = [choose_primary(construction).host for _ in range(4)]
    assert order == ["c", "b", "a", "c"]


def test_dead_nodes_do_not_lead(world):
    construction = construction_on(world, "abc")
    world.manager.node("uuid-c").alive = False
    assert [choose_primary(construction).host for _ in range(3)] == ["b", "a", "b"]
    for name in "ab":
        world.manager.node(f"uuid-{name}").alive = False
    assert choose_primary(construction) is None
    assert choose_primary(UnderConstruction()) is None


def test_stale_nodes_are_not_asked_when_two_others_are_left(world):
    construction = construction_on(world, "abc")
    datanodes = world.manager.datanodes
    world.now_ms += 40_000
    world.heartbeat("a")

    def asked():
        found = participants(construction.replicas, datanodes, world.now_ms)
        return [replica.storage.node.host for replica in found]

    assert asked() == ["a", "b", "c"]
    world.heartbeat("c")
    assert asked() == ["a", "c"]
