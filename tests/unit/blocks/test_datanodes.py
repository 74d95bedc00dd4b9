from __future__ import annotations

import pytest

from hdfsd.base.errors import UnregisteredNode
from hdfsd.blocks.datanodes import SCHEDULED_ROLL_MS, DataNode, Registry, describe
from hdfsd.blocks.settings import BlockSettings
from hdfsd.wire.messages import datanode, hdfs


@pytest.fixture
def registry(worlds):
    settings = BlockSettings(
        recheck_interval_ms=100, heartbeat_interval_ms=10, stale_interval_ms=50
    )
    return Registry(settings, worlds.INFO, racks={"10.0.0.2": "/r2", "c": "/r3"})


def beat(registry, node, now_ms, *reports):
    return registry.heartbeat(
        node,
        datanode.HeartbeatRequestProto(reports=reports, xceiverCount=4, xmitsInProgress=2),
        now_ms,
        0,
    )


def report(storage_id, **fields):
    proto = hdfs.DatanodeStorageProto(storageUuid=storage_id, storageType=hdfs.SSD)
    return hdfs.StorageReportProto(storageUuid=storage_id, storage=proto, **fields)


def test_registration_makes_a_live_node_in_its_rack(worlds, registry):
    nodes = [
        registry.register(worlds.registration(name, number), f"10.0.0.{number}", 5)[0]
        for number, name in enumerate("abc", 1)
    ]
    assert [node.location for node in nodes] == ["/default-rack", "/r2", "/r3"]
    assert [node.registered for node in nodes] == [True] * 3
    assert registry.live_count() == 3
    assert registry.by_name("10.0.0.2:9866") is nodes[1]
    assert registry.by_name("b:9866") is nodes[1]
    assert registry.by_name("b:1") is None
    assert registry.at_host("10.0.0.3") == registry.at_host("c") == [nodes[2]]


def test_a_returning_node_is_the_same_with_a_new_address(worlds, registry):
    node, _ = registry.register(worlds.registration("a", 1), "10.0.0.1", 5)
    beat(registry, node, 6, report("s0"))
    storage = node.storages["s0"]
    storage.report_count = 3
    again, replaced = registry.register(worlds.registration("a", 9), "10.0.0.9", 7)
    assert again is node
    assert (node.ip, node.registrations, replaced) == ("10.0.0.9", 2, [])
    assert node.storages == {"s0": storage}
    assert storage.report_count == 0
    with pytest.raises(UnregisteredNode, match="is expected to serve this storage"):
        registry.find(worlds.registration("a", 1))
    assert registry.find(worlds.registration("a", 9)) is node


def test_another_uuid_at_the_same_address_replaces_the_node(worlds, registry):
    old, _ = registry.register(worlds.registration("a", 1), "10.0.0.1", 5)
    new, replaced = registry.register(worlds.registration("b", 1), "10.0.0.1", 6)
    assert replaced == [old]
    assert registry.nodes() == [new]
    assert registry.get(old.uuid) is None
    assert registry.find(worlds.registration("a", 1)) is None


def test_a_foreign_namespace_is_refused(worlds, registry):
    foreign = worlds.registration("a", 1, cluster="CID-other")
    with pytest.raises(UnregisteredNode) as caught:
        registry.verify(foreign)
    assert caught.value.message == (
        "Unregistered server: DatanodeRegistration(10.0.0.1:9866, datanodeUuid=uuid-a, "
        "infoPort=9864, infoSecurePort=0, ipcPort=9867, "
        "storageInfo=lv=-57;cid=CID-other;nsid=77;c=0)"
    )
    assert describe(foreign) in caught.value.message
    registry.verify(worlds.registration("a", 1))


def test_a_heartbeat_carries_the_statistics_of_each_storage(worlds, registry):
    node, _ = registry.register(worlds.registration("a", 1), "10.0.0.1", 5)
    failed = beat(
        registry,
        node,
        8,
        report("s0", capacity=100, dfsUsed=30, remaining=60, blockPoolUsed=20),
        report("s1", capacity=9, nonDfsUsed=4),
    )
    assert failed == []
    first, second = node.storages.values()
    assert (first.capacity, first.dfs_used, first.remaining) == (100, 30, 60)
    assert (first.block_pool_used, first.non_dfs_used, first.storage_type) == (20, 10, hdfs.SSD)
    assert (second.non_dfs_used, second.index) == (4, first.index + 1)
    assert (node.xceivers, node.xmits, node.last_update_ms) == (4, 2, 8)


def test_a_storage_fails_once_when_reported_so_or_left_out(worlds, registry):
    node, _ = registry.register(worlds.registration("a", 1), "10.0.0.1", 5)
    beat(registry, node, 8, report("s0"), report("s1"), report("s2"))
    s0, s1, s2 = node.storages.values()
    assert beat(registry, node, 9, report("s0", failed=True), report("s1")) == [s0, s2]
    assert beat(registry, node, 10, report("s0", failed=True), report("s1")) == []
    assert beat(registry, node, 11, report("s0"), report("s1"), report("s2")) == []
    assert not (s0.failed)
    assert not (s1.failed)
    assert not (s2.failed)


def test_old_reports_without_storage_proto(worlds, registry):
    node, _ = registry.register(worlds.registration("a", 1), "10.0.0.1", 5)
    beat(registry, node, 8, hdfs.StorageReportProto(storageUuid="s0", remaining=7))
    assert node.storages["s0"].remaining == 7
    assert node.storages["s0"].storage_type == hdfs.DISK


@pytest.mark.parametrize(
    ("silent_ms", "stale", "dead"), [(49, 0, 0), (50, 1, 0), (300, 1, 0), (301, 1, 1)]
)
def test_silence_makes_a_node_stale_then_dead(worlds, registry, silent_ms, stale, dead):
    node, _ = registry.register(worlds.registration("a", 1), "10.0.0.1", 1_000)
    now_ms = 1_000 + silent_ms
    assert registry.is_stale(node, now_ms) == bool(stale)
    assert registry.is_dead(node, now_ms) == bool(dead)
    assert registry.overdue(now_ms) == [node] * dead
    node.alive = False
    assert registry.overdue(now_ms) == []
    assert registry.is_dead(node, 1_000)
    assert registry.find(worlds.registration("a", 1)) is None


def test_contents_stay_stale_until_a_full_report_after_a_heartbeat(worlds, registry):
    node, _ = registry.register(worlds.registration("a", 1), "10.0.0.1", 5)
    beat(registry, node, 6, report("s0"))
    storage = node.storages["s0"]
    assert storage.contents_stale
    storage.reported()
    assert not storage.contents_stale
    registry.stale_after_failover()
    storage.reported()
    assert storage.contents_stale, "it was made before the node knew of the failover"
    beat(registry, node, 7, report("s0"))
    storage.reported()
    assert not storage.contents_stale


def test_select_keeps_the_known_pairs_in_order(worlds, registry):
    for number, name in enumerate("ab", 1):
        node, _ = registry.register(worlds.registration(name, number), f"10.0.0.{number}", 5)
        beat(registry, node, 6, report(f"{name}0"))
    found = registry.select(["uuid-b", "uuid-x", "uuid-a", "uuid-a"], ["b0", "b0", "b0", "a0"])
    assert [storage.storage_id for storage in found] == ["b0", "a0"]


def test_scheduled_blocks_arrive_or_are_forgotten():
    node = DataNode("u")
    for _ in range(3):
        node.schedule()
    node.arrived()
    assert node.scheduled == 2
    node.roll_scheduled(SCHEDULED_ROLL_MS)
    node.schedule()
    node.arrived()
    assert node.scheduled == 2
    node.roll_scheduled(SCHEDULED_ROLL_MS + 1)
    assert node.scheduled == 2
    node.roll_scheduled(2 * SCHEDULED_ROLL_MS)
    node.roll_scheduled(3 * SCHEDULED_ROLL_MS)
    assert node.scheduled == 0
    node.arrived()
    assert node.scheduled == 0
