"""Data. What the block room needs of the configuration; defaults are Hadoop's (config-keys.tsv)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlockSettings:
    """Named after the keys of hdfs-default.xml; times in milliseconds."""

    replication_min: int = 1
    """dfs.namenode.replication.min: finalized replicas that complete a block."""
    heartbeat_interval_ms: int = 3_000
    recheck_interval_ms: int = 300_000
    """dfs.namenode.heartbeat.recheck-interval: a node is dead after 2 of it + 10 heartbeats."""
    stale_interval_ms: int = 30_000
    avoid_read_stale: bool = False
    avoid_write_stale: bool = False
    consider_load: bool = True
    redundancy_interval_ms: int = 3_000
    max_streams: int = 2
    max_streams_hard_limit: int = 4
    work_multiplier: int = 2
    """dfs.namenode.replication.work.multiplier.per.iteration: blocks per live node and round."""
    pending_timeout_ms: int = 300_000
    invalidate_limit: int = 1_000
    report_leases: int = 6
    """dfs.namenode.max.full.block.report.leases: 0 for no limit."""
    report_lease_ms: int = 300_000
    safemode_threshold: float = 0.999
    safemode_min_datanodes: int = 0
    safemode_extension_ms: int = 30_000
    safemode_replication_min: int | None = None
    """dfs.namenode.safemode.replication.min: the same as `replication_min` when None."""

    @property
    def safe_replication(self) -> int:
        if self.safemode_replication_min is None:
            return self.replication_min
        return self.safemode_replication_min

    @property
    def dead_after_ms(self) -> int:
        """Silence that makes a node dead (DatanodeManager.heartbeatExpireInterval)."""
        return 2 * self.recheck_interval_ms + 10 * self.heartbeat_interval_ms
