"""The configuration as the rooms below see it."""

from __future__ import annotations

import pytest
from small_namenode import settings

from hdfsd.namenode.views import block_settings, namespace_limits, new_namespace
from hdfsd.namespace.tree import Namespace


def test_an_empty_namespace_belongs_to_the_superuser() -> None:
    made = new_namespace(settings(dfs__permissions__superusergroup="ops"), "hadoop", 1234)
    assert isinstance(made, Namespace)
    (root,) = made.inodes()
    assert made.permissions[root.permission] == ("hadoop", "ops", 0o755)
    assert made.inode_count == 1


@pytest.mark.parametrize(
    ("key", "value", "field", "seen"),
    [
        ("dfs.namenode.fs-limits.max-component-length", "99", "component_length_max", 99),
        ("dfs.namenode.fs-limits.max-directory-items", "98", "directory_items_max", 98),
        ("dfs.namenode.fs-limits.max-blocks-per-file", "97", "blocks_per_file_max", 97),
        ("dfs.namenode.fs-limits.min-block-size", "96", "block_size_min", 96),
        ("dfs.namenode.fs-limits.max-xattrs-per-inode", "5", "xattrs_per_inode_max", 5),
        ("dfs.namenode.fs-limits.max-xattr-size", "95", "xattr_size_max", 95),
        ("dfs.namenode.replication.min", "2", "replication_min", 2),
        ("dfs.replication.max", "94", "replication_max", 94),
        ("dfs.namenode.accesstime.precision", "93", "access_time_precision_ms", 93),
        ("dfs.namenode.acls.enabled", "false", "acls_enabled", False),
        ("dfs.namenode.xattrs.enabled", "false", "xattrs_enabled", False),
        ("dfs.ls.limit", "92", "list_limit", 92),
        ("dfs.permissions.superusergroup", "ops", "supergroup", "ops"),
        ("dfs.namenode.lease-hard-limit-sec", "91", "lease_hard_limit_ms", 91_000),
    ],
)
def test_limits_of_the_namespace(key: str, value: str, field: str, seen: object) -> None:
    usual = getattr(namespace_limits(settings()), field)
    changed = getattr(namespace_limits(settings(**{key: value})), field)
    assert (changed, usual == seen) == (seen, False)


@pytest.mark.parametrize(
    ("key", "value", "field", "seen"),
    [
        ("dfs.namenode.replication.min", "2", "replication_min", 2),
        ("dfs.heartbeat.interval", "7", "heartbeat_interval_ms", 7_000),
        ("dfs.namenode.heartbeat.recheck-interval", "99", "recheck_interval_ms", 99),
        ("dfs.namenode.stale.datanode.interval", "9999", "stale_interval_ms", 9_999),
        ("dfs.namenode.avoid.read.stale.datanode", "true", "avoid_read_stale", True),
        ("dfs.namenode.avoid.write.stale.datanode", "true", "avoid_write_stale", True),
        ("dfs.namenode.redundancy.considerLoad", "false", "consider_load", False),
        ("dfs.namenode.redundancy.interval.seconds", "8", "redundancy_interval_ms", 8_000),
        ("dfs.namenode.replication.max-streams", "12", "max_streams", 12),
        ("dfs.namenode.replication.max-streams-hard-limit", "13", "max_streams_hard_limit", 13),
        ("dfs.namenode.replication.work.multiplier.per.iteration", "9", "work_multiplier", 9),
        ("dfs.namenode.reconstruction.pending.timeout-sec", "6", "pending_timeout_ms", 6_000),
        ("dfs.block.invalidate.limit", "77", "invalidate_limit", 77),
        ("dfs.namenode.max.full.block.report.leases", "3", "report_leases", 3),
        ("dfs.namenode.full.block.report.lease.length.ms", "88", "report_lease_ms", 88),
        ("dfs.namenode.safemode.threshold-pct", "0.5", "safemode_threshold", 0.5),
        ("dfs.namenode.safemode.min.datanodes", "4", "safemode_min_datanodes", 4),
        ("dfs.namenode.safemode.extension", "1234", "safemode_extension_ms", 1_234),
        ("dfs.namenode.safemode.replication.min", "2", "safemode_replication_min", 2),
    ],
)
def test_settings_of_the_block_room(key: str, value: str, field: str, seen: object) -> None:
    usual = getattr(block_settings(settings()), field)
    changed = getattr(block_settings(settings(**{key: value})), field)
    assert (changed, usual == seen) == (seen, False)
