from __future__ import annotations

from hdfsd.blocks.settings import BlockSettings


def test_a_node_is_dead_after_two_rechecks_and_ten_heartbeats():
    assert BlockSettings().dead_after_ms == 630_000
    assert BlockSettings(recheck_interval_ms=500, heartbeat_interval_ms=100).dead_after_ms == 2_000


def test_safe_replication_follows_the_minimum_unless_given():
    assert BlockSettings(replication_min=2).safe_replication == 2
    assert BlockSettings(replication_min=2, safemode_replication_min=1).safe_replication == 1
