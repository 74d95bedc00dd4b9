"""Data. The settings of a NameNode as the rooms below see them."""

from __future__ import annotations

from hdfsd.base.settings import NameNodeSettings
from hdfsd.blocks.settings import BlockSettings
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.tree import Namespace

ROOT_MODE = 0o755


def new_namespace(settings: NameNodeSettings, superuser: str, now_ms: int) -> Namespace:
    """An empty namespace, its root owned by the superuser as after a format."""
    root = Permission(superuser, settings.superuser_group, ROOT_MODE)
    return Namespace(namespace_limits(settings), root, now_ms)


def namespace_limits(settings: NameNodeSettings) -> Limits:
    limits = settings.limits
    return Limits(
        component_length_max=limits.component_length_max,
        directory_items_max=limits.directory_items_max,
        blocks_per_file_max=limits.blocks_per_file_max,
        block_size_min=limits.block_size_min,
        xattrs_per_inode_max=limits.xattrs_per_inode_max,
        xattr_size_max=limits.xattr_size_max,
        replication_min=settings.replication.minimum,
        replication_max=settings.replication.maximum,
        access_time_precision_ms=settings.access_time_precision_ms,
        acls_enabled=settings.acls_enabled,
        xattrs_enabled=settings.xattrs_enabled,
        list_limit=limits.listing_max,
        summary_step=limits.summary_step,
        deletion_step=limits.deletion_step,
        snapshots_per_directory_max=limits.snapshots_per_directory_max,
        snapshots_max=limits.snapshots_max,
        snapshot_diff_page_max=limits.snapshot_diff_page_max,
        supergroup=settings.superuser_group,
        lease_soft_limit_ms=settings.lease.soft_limit_ms,
        lease_hard_limit_ms=settings.lease.hard_limit_ms,
    )


def block_settings(settings: NameNodeSettings) -> BlockSettings:
    replication, safemode = settings.replication, settings.safemode
    return BlockSettings(
        replication_min=replication.minimum,
        heartbeat_interval_ms=replication.heartbeat_interval_ms,
        recheck_interval_ms=replication.heartbeat_recheck_ms,
        stale_interval_ms=replication.stale_interval_ms,
        avoid_read_stale=replication.avoid_stale_for_read,
        avoid_write_stale=replication.avoid_stale_for_write,
        consider_load=replication.consider_load,
        redundancy_interval_ms=replication.redundancy_interval_ms,
        max_streams=replication.streams_max,
        max_streams_hard_limit=replication.streams_hard_max,
        work_multiplier=replication.work_multiplier,
        pending_timeout_ms=replication.pending_timeout_ms,
        invalidate_limit=replication.invalidate_limit,
        report_leases=replication.report_leases_max,
        report_lease_ms=replication.report_lease_ms,
        safemode_threshold=safemode.threshold,
        safemode_min_datanodes=safemode.datanodes_min,
        safemode_extension_ms=safemode.extension_ms,
        safemode_replication_min=safemode.replication_min,
    )
