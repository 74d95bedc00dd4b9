"""Data. What each daemon takes from the configuration, typed and checked before it starts.

Times are milliseconds, sizes bytes, directories plain paths. Defaults are Hadoop's (config_keys).
`from_configuration` raises ConfigError naming the key, its value and what to write instead, and
NotBuilt for a setting that asks for something hdfsd does not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError, NotBuilt
from hdfsd.base.ids import Address
from hdfsd.base.nameservices import (
    JournalAddress,
    LocalHost,
    NameNodeAddresses,
    SharedDirectory,
    journal_of,
    local_namenode,
    namenode,
    namenode_ids,
    namenodes,
    nameservice_ids,
)

LEASE_SOFT_LIMIT_MS = 60_000
"""HdfsConstants.LEASE_SOFTLIMIT_PERIOD."""
IN_PROGRESS_TAIL_PERIOD_MS = 250
"""Our default period of in-progress tailing; Hadoop's 60 s is meant for finished segments."""
ELECTION_YIELD_MS_MAX = 60_000
"""An outage lasts that much longer when those are dead who were to go first."""
IMAGE_CODECS = tuple(
    f"org.apache.hadoop.io.compress.{name}Codec" for name in ("Default", "Deflate", "Gzip")
)
STORAGE_TYPES = ("DISK", "SSD", "ARCHIVE", "RAM_DISK", "PROVIDED", "NVDIMM")
_TYPED_DIRECTORY = re.compile(r"\[(\w+)\](.+)")


@dataclass(frozen=True, slots=True)
class CheckpointSettings:
    period_ms: int
    txns: int
    check_period_ms: int
    quiet_multiplier: float
    images_retained: int
    extra_edits_retained: int
    extra_segments_retained: int
    on_standby: bool
    codec: str
    """Hadoop's class that compresses images; "" is none."""
    transfer_timeout_ms: int
    transfer_chunk_bytes: int
    transfer_bandwidth: int
    """Bytes per second; 0 is unlimited."""

    @classmethod
    def from_configuration(cls, conf: Configuration) -> CheckpointSettings:
        return cls(
            period_ms=conf.get_duration_ms("dfs.namenode.checkpoint.period", "s"),
            txns=conf.get_int("dfs.namenode.checkpoint.txns"),
            check_period_ms=conf.get_duration_ms("dfs.namenode.checkpoint.check.period", "s"),
            quiet_multiplier=conf.get_float("dfs.namenode.checkpoint.check.quiet-multiplier"),
            images_retained=conf.get_int("dfs.namenode.num.checkpoints.retained"),
            extra_edits_retained=conf.get_int("dfs.namenode.num.extra.edits.retained"),
            extra_segments_retained=conf.get_int("dfs.namenode.max.extra.edits.segments.retained"),
            on_standby=conf.get_bool("dfs.ha.standby.checkpoints"),
            codec=_image_codec(conf),
            transfer_timeout_ms=conf.get_duration_ms("dfs.image.transfer.timeout"),
            transfer_chunk_bytes=conf.get_size("dfs.image.transfer.chunksize"),
            transfer_bandwidth=conf.get_size("dfs.image.transfer.bandwidthPerSec"),
        )


def _image_codec(conf: Configuration) -> str:
    if not conf.get_bool("dfs.image.compress"):
        return ""
    key = "dfs.image.compression.codec"
    codec = conf.get(key) or ""
    if codec not in IMAGE_CODECS:
        raise NotBuilt(f"{key}={codec}: images are compressed by one of {', '.join(IMAGE_CODECS)}")
    return codec


def tails_in_progress(conf: Configuration) -> bool:
    """D6: on unless the user's files say otherwise, whatever Hadoop's default is."""
    key = "dfs.ha.tail-edits.in-progress"
    return conf.source(key) == "default" or conf.get_bool(key)


@dataclass(frozen=True, slots=True)
class TailSettings:
    """How a standby follows the journal."""

    period_ms: int
    backoff_max_ms: int
    in_progress: bool
    txns_per_call_max: int
    log_roll_period_ms: int
    """How often the standby asks the active to roll; negative: never."""
    roll_timeout_ms: int
    roll_retries: int

    @classmethod
    def from_configuration(cls, conf: Configuration) -> TailSettings:
        period_key = "dfs.ha.tail-edits.period"
        in_progress = tails_in_progress(conf)
        period_ms = conf.get_duration_ms(period_key, "s")
        if in_progress and conf.source(period_key) == "default":
            period_ms = IN_PROGRESS_TAIL_PERIOD_MS
        return cls(
            period_ms=period_ms,
            backoff_max_ms=conf.get_duration_ms("dfs.ha.tail-edits.period.backoff-max", "s"),
            in_progress=in_progress,
            txns_per_call_max=conf.get_int("dfs.ha.tail-edits.qjm.rpc.max-txns"),
            log_roll_period_ms=conf.get_duration_ms("dfs.ha.log-roll.period", "s"),
            roll_timeout_ms=conf.get_duration_ms("dfs.ha.tail-edits.rolledits.timeout", "s"),
            roll_retries=conf.get_int("dfs.ha.tail-edits.namenode-retries"),
        )


@dataclass(frozen=True, slots=True)
class SafemodeSettings:
    threshold: float
    """Share of blocks that must have `replication_min` replicas; above 1: never leave alone."""
    datanodes_min: int
    extension_ms: int
    replication_min: int
    recheck_interval_ms: int

    @classmethod
    def from_configuration(cls, conf: Configuration) -> SafemodeSettings:
        return cls(
            threshold=conf.get_float("dfs.namenode.safemode.threshold-pct"),
            datanodes_min=conf.get_int("dfs.namenode.safemode.min.datanodes"),
            extension_ms=conf.get_duration_ms("dfs.namenode.safemode.extension"),
            replication_min=conf.get_int(
                "dfs.namenode.safemode.replication.min",
                conf.get_int("dfs.namenode.replication.min"),
            ),
            recheck_interval_ms=conf.get_duration_ms("dfs.namenode.safemode.recheck.interval"),
        )


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    soft_limit_ms: int
    hard_limit_ms: int
    recheck_ms: int

    @classmethod
    def from_configuration(cls, conf: Configuration) -> LeaseSettings:
        return cls(
            soft_limit_ms=LEASE_SOFT_LIMIT_MS,
            hard_limit_ms=conf.get_duration_ms("dfs.namenode.lease-hard-limit-sec", "s"),
            recheck_ms=conf.get_duration_ms("dfs.namenode.lease-recheck-interval-ms"),
        )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What the namespace refuses."""

    component_length_max: int
    directory_items_max: int
    block_size_min: int
    blocks_per_file_max: int
    xattrs_per_inode_max: int
    xattr_size_max: int
    listing_max: int
    summary_step: int
    deletion_step: int
    snapshots_per_directory_max: int
    snapshots_max: int
    snapshot_diff_page_max: int
    op_bytes_max: int

    @classmethod
    def from_configuration(cls, conf: Configuration) -> LimitSettings:
        limits = "dfs.namenode.fs-limits"
        return cls(
            component_length_max=conf.get_int(f"{limits}.max-component-length"),
            directory_items_max=conf.get_int(f"{limits}.max-directory-items"),
            block_size_min=conf.get_size(f"{limits}.min-block-size"),
            blocks_per_file_max=conf.get_int(f"{limits}.max-blocks-per-file"),
            xattrs_per_inode_max=conf.get_int(f"{limits}.max-xattrs-per-inode"),
            xattr_size_max=conf.get_size(f"{limits}.max-xattr-size"),
            listing_max=conf.get_int("dfs.ls.limit"),
            summary_step=conf.get_int("dfs.content-summary.limit"),
            deletion_step=_at_least_one(conf, "dfs.namenode.block.deletion.increment"),
            snapshots_per_directory_max=conf.get_int("dfs.namenode.snapshot.max.limit"),
            snapshots_max=conf.get_int("dfs.namenode.snapshot.filesystem.limit"),
            snapshot_diff_page_max=conf.get_int("dfs.namenode.snapshotdiff.listing.limit"),
            op_bytes_max=conf.get_size("dfs.namenode.max.op.size"),
        )


@dataclass(frozen=True, slots=True)
class ReplicationSettings:
    """Block placement and repair."""

    default: int
    minimum: int
    maximum: int
    heartbeat_interval_ms: int
    heartbeat_recheck_ms: int
    stale_interval_ms: int
    avoid_stale_for_read: bool
    avoid_stale_for_write: bool
    redundancy_interval_ms: int
    streams_max: int
    streams_hard_max: int
    work_multiplier: int
    pending_timeout_ms: int
    invalidate_limit: int
    invalidate_share: float
    """Of the live DataNodes, how many get deletions in one round."""
    consider_load: bool
    report_leases_max: int
    report_lease_ms: int

    @property
    def dead_after_ms(self) -> int:
        """Silence after which a DataNode is dead (DatanodeManager: 2 rechecks + 10 heartbeats)."""
        return 2 * self.heartbeat_recheck_ms + 10 * self.heartbeat_interval_ms

    @classmethod
    def from_configuration(cls, conf: Configuration) -> ReplicationSettings:
        nn = "dfs.namenode"
        return cls(
            default=conf.get_int("dfs.replication"),
            minimum=conf.get_int(f"{nn}.replication.min"),
            maximum=conf.get_int("dfs.replication.max"),
            heartbeat_interval_ms=conf.get_duration_ms("dfs.heartbeat.interval", "s"),
            heartbeat_recheck_ms=conf.get_duration_ms(f"{nn}.heartbeat.recheck-interval"),
            stale_interval_ms=conf.get_duration_ms(f"{nn}.stale.datanode.interval"),
            avoid_stale_for_read=conf.get_bool(f"{nn}.avoid.read.stale.datanode"),
            avoid_stale_for_write=conf.get_bool(f"{nn}.avoid.write.stale.datanode"),
            redundancy_interval_ms=conf.get_duration_ms(f"{nn}.redundancy.interval.seconds", "s"),
            streams_max=conf.get_int(f"{nn}.replication.max-streams"),
            streams_hard_max=conf.get_int(f"{nn}.replication.max-streams-hard-limit"),
            work_multiplier=conf.get_int(f"{nn}.replication.work.multiplier.per.iteration"),
            pending_timeout_ms=conf.get_duration_ms(
                f"{nn}.reconstruction.pending.timeout-sec", "s"
            ),
            invalidate_limit=conf.get_int("dfs.block.invalidate.limit"),
            invalidate_share=conf.get_float(f"{nn}.invalidate.work.pct.per.iteration"),
            consider_load=conf.get_bool(f"{nn}.redundancy.considerLoad"),
            report_leases_max=conf.get_int(f"{nn}.max.full.block.report.leases"),
            report_lease_ms=conf.get_duration_ms(f"{nn}.full.block.report.lease.length.ms"),
        )


@dataclass(frozen=True, slots=True)
class QuorumSettings:
    """How long the writer waits for a majority of JournalNodes, per call."""

    start_segment_ms: int
    prepare_recovery_ms: int
    accept_recovery_ms: int
    finalize_segment_ms: int
    select_streams_ms: int
    journal_state_ms: int
    new_epoch_ms: int
    write_ms: int
    operations_ms: int
    """format, canRollBack and their like."""
    queue_bytes_max: int
    http_connect_ms: int
    http_read_ms: int

    @classmethod
    def from_configuration(cls, conf: Configuration) -> QuorumSettings:
        q = "dfs.qjournal"
        return cls(
            start_segment_ms=conf.get_duration_ms(f"{q}.start-segment.timeout.ms"),
            prepare_recovery_ms=conf.get_duration_ms(f"{q}.prepare-recovery.timeout.ms"),
            accept_recovery_ms=conf.get_duration_ms(f"{q}.accept-recovery.timeout.ms"),
            finalize_segment_ms=conf.get_duration_ms(f"{q}.finalize-segment.timeout.ms"),
            select_streams_ms=conf.get_duration_ms(f"{q}.select-input-streams.timeout.ms"),
            journal_state_ms=conf.get_duration_ms(f"{q}.get-journal-state.timeout.ms"),
            new_epoch_ms=conf.get_duration_ms(f"{q}.new-epoch.timeout.ms"),
            write_ms=conf.get_duration_ms(f"{q}.write-txns.timeout.ms"),
            operations_ms=conf.get_duration_ms("dfs.qjm.operations.timeout", "s"),
            queue_bytes_max=conf.get_int(f"{q}.queued-edits.limit.mb") << 20,
            http_connect_ms=conf.get_duration_ms(f"{q}.http.open.timeout.ms"),
            http_read_ms=conf.get_duration_ms(f"{q}.http.read.timeout.ms"),
        )


@dataclass(frozen=True, slots=True)
class ServerDefaults:
    """What the NameNode tells clients to use (ClientProtocol.getServerDefaults)."""

    block_size: int
    bytes_per_checksum: int
    write_packet_size: int
    replication: int
    file_buffer_size: int
    encrypt_data_transfer: bool
    trash_interval_min: int
    checksum_type: str

    @classmethod
    def from_configuration(cls, conf: Configuration) -> ServerDefaults:
        checksum_type = conf.get("dfs.checksum.type") or ""
        if checksum_type not in ("CRC32C", "CRC32", "NULL"):
            raise conf.bad_value("dfs.checksum.type", "CRC32C, CRC32 or NULL")
        if conf.get_bool("dfs.encrypt.data.transfer"):
            raise NotBuilt("dfs.encrypt.data.transfer=true: encryption of block data is not built")
        return cls(
            block_size=conf.get_size("dfs.blocksize"),
            bytes_per_checksum=conf.get_int("dfs.bytes-per-checksum"),
            write_packet_size=conf.get_size("dfs.client-write-packet-size"),
            replication=conf.get_int("dfs.replication"),
            file_buffer_size=conf.get_int("io.file.buffer.size"),
            encrypt_data_transfer=False,
            trash_interval_min=int(conf.get_float("fs.trash.interval")),
            checksum_type=checksum_type,
        )


@dataclass(frozen=True, slots=True)
class ResourceSettings:
    """Disk space below which a NameNode goes into safe mode (NameNodeResourceChecker)."""

    reserved_bytes: int
    check_interval_ms: int
    more_directories: tuple[str, ...]
    volumes_min: int

    @classmethod
    def from_configuration(cls, conf: Configuration) -> ResourceSettings:
        return cls(
            reserved_bytes=conf.get_size("dfs.namenode.resource.du.reserved"),
            check_interval_ms=conf.get_duration_ms("dfs.namenode.resource.check.interval"),
            more_directories=directories(conf, "dfs.namenode.resource.checked.volumes"),
            volumes_min=conf.get_int("dfs.namenode.resource.checked.volumes.minimum"),
        )


@dataclass(frozen=True, slots=True)
class NameNodeSettings:
    nameservice: str
    """"" without HA."""
    node_id: str
    addresses: NameNodeAddresses
    """As others call this node."""
    rpc_bind: Address
    service_rpc_bind: Address | None
    http_bind: Address
    peers: tuple[NameNodeAddresses, ...]
    """The other NameNodes of the nameservice, in configured order."""
    name_dirs: tuple[str, ...]
    edits_dirs: tuple[str, ...]
    edits_dirs_required: tuple[str, ...]
    edits_dirs_min: int
    journal: JournalAddress | SharedDirectory | None
    quorum: QuorumSettings
    automatic_failover: bool
    allow_stale_reads: bool
    state_context: bool
    """State ids go with every answer, for reads from observers."""
    observer: bool
    """It starts as an observer; counts with HA only."""
    active_in_safemode: bool
    """False: refuses to become active while in safe mode."""
    checkpoint: CheckpointSettings
    tail: TailSettings
    safemode: SafemodeSettings
    lease: LeaseSettings
    limits: LimitSettings
    replication: ReplicationSettings
    server_defaults: ServerDefaults
    resources: ResourceSettings
    retry_cache_enabled: bool
    retry_cache_expiry_ms: int
    permissions_enabled: bool
    superuser_group: str
    acls_enabled: bool
    xattrs_enabled: bool
    access_time_precision_ms: int
    state_context_enabled: bool
    format_allowed: bool
    check_datanode_hostname: bool
    content_summary_limit: int
    rpc_frame_bytes_max: int
    group_overrides: str
    """hadoop.user.group.static.mapping.overrides: `user=group,group;user=`."""
    group_lookups_max: int
    """At a time, each in a thread of its own."""
    group_cache_ms: int
    group_negative_cache_ms: int
    """Of users without groups."""
    umask: int

    @property
    def ha(self) -> bool:
        return bool(self.peers)

    @classmethod
    def from_configuration(cls, conf: Configuration, is_local: LocalHost) -> NameNodeSettings:
        _require_simple_security(conf)
        nameservice, node_id = local_namenode(conf, is_local)
        conf = conf.scoped(nameservice, node_id)
        own = namenode(conf, nameservice, node_id)
        http = conf.get_address("dfs.namenode.http-address", 9870) or own.http
        return cls(
            nameservice=nameservice,
            node_id=node_id,
            addresses=own,
            rpc_bind=_bind(conf, "dfs.namenode.rpc-bind-host", own.rpc),
            service_rpc_bind=own.service_rpc
            and _bind(conf, "dfs.namenode.servicerpc-bind-host", own.service_rpc),
            http_bind=_bind(conf, "dfs.namenode.http-bind-host", http),
            peers=tuple(
                namenode(conf.scoped("", ""), nameservice, other)
                for other in namenode_ids(conf, nameservice)
                if other != node_id
            ),
            name_dirs=_required_directories(conf, "dfs.namenode.name.dir"),
            edits_dirs=_required_directories(conf, "dfs.namenode.edits.dir"),
            edits_dirs_required=directories(conf, "dfs.namenode.edits.dir.required"),
            edits_dirs_min=conf.get_int("dfs.namenode.edits.dir.minimum"),
            journal=journal_of(conf, nameservice, node_id),
            quorum=QuorumSettings.from_configuration(conf),
            automatic_failover=conf.get_bool("dfs.ha.automatic-failover.enabled"),
            allow_stale_reads=conf.get_bool("dfs.ha.allow.stale.reads"),
            state_context=conf.get_bool("dfs.namenode.state.context.enabled"),
            observer=conf.get_bool("dfs.namenode.observer.enabled"),
            active_in_safemode=not conf.get_bool("dfs.ha.nn.not-become-active-in-safemode"),
            checkpoint=CheckpointSettings.from_configuration(conf),
            tail=TailSettings.from_configuration(conf),
            safemode=SafemodeSettings.from_configuration(conf),
            lease=LeaseSettings.from_configuration(conf),
            limits=LimitSettings.from_configuration(conf),
            replication=ReplicationSettings.from_configuration(conf),
            server_defaults=ServerDefaults.from_configuration(conf),
            resources=ResourceSettings.from_configuration(conf),
            retry_cache_enabled=conf.get_bool("dfs.namenode.enable.retrycache"),
            retry_cache_expiry_ms=conf.get_duration_ms("dfs.namenode.retrycache.expirytime.millis"),
            permissions_enabled=conf.get_bool("dfs.permissions.enabled"),
            superuser_group=conf.get("dfs.permissions.superusergroup") or "supergroup",
            acls_enabled=conf.get_bool("dfs.namenode.acls.enabled"),
            xattrs_enabled=conf.get_bool("dfs.namenode.xattrs.enabled"),
            access_time_precision_ms=conf.get_duration_ms("dfs.namenode.accesstime.precision"),
            state_context_enabled=conf.get_bool("dfs.namenode.state.context.enabled"),
            format_allowed=conf.get_bool("dfs.namenode.support.allow.format"),
            check_datanode_hostname=conf.get_bool(
                "dfs.namenode.datanode.registration.ip-hostname-check"
            ),
            content_summary_limit=conf.get_int("dfs.content-summary.limit"),
            rpc_frame_bytes_max=conf.get_size("ipc.maximum.data.length"),
            group_overrides=conf.get("hadoop.user.group.static.mapping.overrides") or "",
            group_lookups_max=_at_least_one(
                conf, "hadoop.security.groups.cache.background.reload.threads"
            ),
            group_cache_ms=conf.get_duration_ms("hadoop.security.groups.cache.secs", "s"),
            group_negative_cache_ms=conf.get_duration_ms(
                "hadoop.security.groups.negative-cache.secs", "s"
            ),
            umask=umask_of(conf),
        )


@dataclass(frozen=True, slots=True)
class JournalNodeSettings:
    rpc: Address
    rpc_bind: Address
    http: Address
    http_bind: Address
    edits_dir: str
    edits_dirs: Mapping[str, str]
    """Journal id to its own base directory, where `dfs.journalnode.edits.dir.<ns>` is set."""
    directory_mode: int
    journals: tuple[JournalAddress, ...]
    """Journals that the configuration names; others are served too, but not synchronised."""
    sync_enabled: bool
    sync_interval_ms: int
    sync_may_format: bool
    """Whether an empty journal may be formatted from its peers (Hadoop 3.5's key)."""
    in_progress_tailing: bool
    """Whether recent transactions are kept in memory and served to tailers."""
    edit_cache_bytes: int | None
    """None: not configured, the daemon chooses."""
    transfer_timeout_ms: int
    transfer_bandwidth: int
    rpc_frame_bytes_max: int

    def edits_dir_of(self, journal_id: str) -> str:
        """The base directory of a journal; the journal lies in `<base>/<journal_id>`."""
        return self.edits_dirs.get(journal_id, self.edits_dir)

    def peers_of(self, journal_id: str, is_local: LocalHost) -> tuple[Address, ...]:
        """The other JournalNodes of a journal: all that are not this daemon's own address."""
        for journal in self.journals:
            if journal.journal_id == journal_id:
                return tuple(
                    node
                    for node in journal.nodes
                    if node.port != self.rpc.port or not is_local(node.host)
                )
        return ()

    @classmethod
    def from_configuration(cls, conf: Configuration) -> JournalNodeSettings:
        _require_simple_security(conf)
        rpc = conf.get_address("dfs.journalnode.rpc-address", 8485) or Address("0.0.0.0", 8485)
        http = conf.get_address("dfs.journalnode.http-address", 8480) or Address("0.0.0.0", 8480)
        cache_bytes = conf.get_size("dfs.journalnode.edit-cache-size.bytes", -1)
        return cls(
            rpc=rpc,
            rpc_bind=_bind(conf, "dfs.journalnode.rpc-bind-host", rpc),
            http=http,
            http_bind=_bind(conf, "dfs.journalnode.http-bind-host", http),
            edits_dir=_required_directories(conf, "dfs.journalnode.edits.dir")[0],
            edits_dirs=MappingProxyType(
                {
                    nameservice: directory_of(path)
                    for nameservice in nameservice_ids(conf)
                    if (path := conf.get(f"dfs.journalnode.edits.dir.{nameservice}"))
                }
            ),
            directory_mode=_mode(conf, "dfs.journalnode.edits.dir.perm"),
            journals=_journals(conf),
            sync_enabled=conf.get_bool("dfs.journalnode.enable.sync"),
            sync_interval_ms=conf.get_duration_ms("dfs.journalnode.sync.interval"),
            sync_may_format=conf.get_bool("dfs.journalnode.enable.sync.format"),
            in_progress_tailing=tails_in_progress(conf),
            edit_cache_bytes=None if cache_bytes < 0 else cache_bytes,
            transfer_timeout_ms=conf.get_duration_ms("dfs.edit.log.transfer.timeout"),
            transfer_bandwidth=conf.get_size("dfs.edit.log.transfer.bandwidthPerSec"),
            rpc_frame_bytes_max=conf.get_size("ipc.maximum.data.length"),
        )


@dataclass(frozen=True, slots=True)
class DataDirectory:
    path: str
    storage_type: str


@dataclass(frozen=True, slots=True)
class DataNodeSettings:
    data: Address
    """Where clients and other DataNodes stream blocks."""
    http: Address
    ipc: Address
    hostname: str | None
    """dfs.datanode.hostname; None: the machine's own name."""
    use_hostname: bool
    """Connect to other DataNodes by name instead of address."""
    directories: tuple[DataDirectory, ...]
    directory_mode: int
    reserved_bytes: int
    failed_volumes_tolerated: int
    nameservices: Mapping[str, tuple[NameNodeAddresses, ...]]
    """The NameNodes to report to, by nameservice."""
    heartbeat_interval_ms: int
    lifeline_interval_ms: int
    block_report_interval_ms: int
    block_report_delay_ms: int
    block_report_split_threshold: int
    incremental_report_interval_ms: int
    cache_report_interval_ms: int
    transfers_max: int
    packet_bytes_max: int
    socket_timeout_ms: int
    write_timeout_ms: int
    keepalive_ms: int
    balance_bandwidth: int
    scan_period_ms: int
    """0: the block scanner is off."""
    directory_scan_interval_ms: int
    replication_min: int
    superuser_group: str
    permissions_enabled: bool
    rpc_frame_bytes_max: int

    @classmethod
    def from_configuration(cls, conf: Configuration) -> DataNodeSettings:
        _require_simple_security(conf)
        dn = "dfs.datanode"
        heartbeat_ms = conf.get_duration_ms("dfs.heartbeat.interval", "s")
        services = conf.get_list("dfs.internal.nameservices") or nameservice_ids(conf)
        scan_hours = conf.get_int(f"{dn}.scan.period.hours")
        return cls(
            data=conf.get_address(f"{dn}.address", 9866) or Address("0.0.0.0", 9866),
            http=conf.get_address(f"{dn}.http.address", 9864) or Address("0.0.0.0", 9864),
            ipc=conf.get_address(f"{dn}.ipc.address", 9867) or Address("0.0.0.0", 9867),
            hostname=conf.get(f"{dn}.hostname"),
            use_hostname=conf.get_bool(f"{dn}.use.datanode.hostname"),
            directories=_data_directories(conf),
            directory_mode=_mode(conf, f"{dn}.data.dir.perm"),
            reserved_bytes=conf.get_size(f"{dn}.du.reserved"),
            failed_volumes_tolerated=conf.get_int(f"{dn}.failed.volumes.tolerated"),
            nameservices=MappingProxyType({ns: namenodes(conf, ns) for ns in services}),
            heartbeat_interval_ms=heartbeat_ms,
            lifeline_interval_ms=conf.get_duration_ms(
                f"{dn}.lifeline.interval.seconds", "s", 3 * heartbeat_ms
            ),
            block_report_interval_ms=conf.get_duration_ms("dfs.blockreport.intervalMsec"),
            block_report_delay_ms=conf.get_duration_ms("dfs.blockreport.initialDelay", "s"),
            block_report_split_threshold=conf.get_int("dfs.blockreport.split.threshold"),
            incremental_report_interval_ms=conf.get_duration_ms(
                "dfs.blockreport.incremental.intervalMsec"
            ),
            cache_report_interval_ms=conf.get_duration_ms("dfs.cachereport.intervalMsec"),
            transfers_max=conf.get_int(f"{dn}.max.transfer.threads"),
            packet_bytes_max=conf.get_size("dfs.data.transfer.max.packet.size"),
            socket_timeout_ms=conf.get_duration_ms("dfs.client.socket-timeout"),
            write_timeout_ms=conf.get_duration_ms(f"{dn}.socket.write.timeout"),
            keepalive_ms=conf.get_duration_ms(f"{dn}.socket.reuse.keepalive"),
            balance_bandwidth=conf.get_size(f"{dn}.balance.bandwidthPerSec"),
            # VolumeScanner: negative turns it off, 0 means the default of three weeks.
            scan_period_ms=max(0, scan_hours or 504) * 3_600_000,
            directory_scan_interval_ms=conf.get_duration_ms(f"{dn}.directoryscan.interval", "s"),
            replication_min=conf.get_int("dfs.namenode.replication.min"),
            superuser_group=conf.get("dfs.permissions.superusergroup") or "supergroup",
            permissions_enabled=conf.get_bool("dfs.permissions.enabled"),
            rpc_frame_bytes_max=conf.get_size("ipc.maximum.data.length"),
        )


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """The failover controller's monitor of its NameNode."""

    connect_retry_interval_ms: int
    check_interval_ms: int
    pause_after_disconnect_ms: int
    rpc_timeout_ms: int
    connect_retries_max: int
    heartbeat_ms: int
    """hdfsd.ha.heartbeat.timeout: how long without a sign of life is a freeze; 0: the answers to
    health checks alone decide, as they do when Hadoop's own key is set and this one is not."""

    @classmethod
    def from_configuration(cls, conf: Configuration) -> HealthSettings:
        ha, heartbeat = "ha.health-monitor", "hdfsd.ha.heartbeat.timeout"
        hadoops_alone = (
            conf.source(f"{ha}.rpc-timeout.ms") != "default" and conf.source(heartbeat) == "default"
        )
        return cls(
            connect_retry_interval_ms=conf.get_duration_ms(f"{ha}.connect-retry-interval.ms"),
            check_interval_ms=conf.get_duration_ms(f"{ha}.check-interval.ms"),
            pause_after_disconnect_ms=conf.get_duration_ms(f"{ha}.sleep-after-disconnect.ms"),
            rpc_timeout_ms=conf.get_duration_ms(f"{ha}.rpc-timeout.ms"),
            connect_retries_max=conf.get_int(f"{ha}.rpc.connect.max.retries"),
            heartbeat_ms=0 if hadoops_alone else conf.get_duration_ms(heartbeat),
        )


@dataclass(frozen=True, slots=True)
class ZooKeeperTls:
    """hadoop.zk.ssl.*: files in PEM or PKCS12 form; "" is none."""

    truststore: str
    truststore_password: str
    keystore: str
    keystore_password: str


@dataclass(frozen=True, slots=True)
class ZooKeeperSettings:
    quorum: str
    """`host:port,host:port`."""
    session_timeout_ms: int
    parent_znode: str
    acl: str
    """Comma list of scheme:id:perms, or `@file`."""
    auth: str
    """Comma list of scheme:auth, or `@file`; "" is none."""
    retries_max: int
    tls: ZooKeeperTls | None


@dataclass(frozen=True, slots=True)
class FailoverSettings:
    nameservice: str
    node_id: str
    namenode: NameNodeAddresses
    """The NameNode this controller stands beside."""
    peers: tuple[NameNodeAddresses, ...]
    bind: Address
    automatic_failover: bool
    zookeeper: ZooKeeperSettings | None
    lock_dir: str | None
    """hdfsd.ha.lock.dir: the embedded lock; counts when no ZooKeeper is configured."""
    fencing_methods: tuple[str, ...]
    """One per line: `sshfence(user:port)`, `shell(command)`."""
    ssh_connect_timeout_ms: int
    ssh_key_files: tuple[str, ...]
    fencing_timeout_ms: int
    """hdfsd.ha.fencing.timeout: what a fencing command may take, after which it is killed."""
    health: HealthSettings
    election_yield_ms: int
    """hdfsd.ha.election.yield: how long this NameNode leaves a free lock to others."""
    election_eligible: bool
    """hdfsd.ha.election.eligible: False for a standby that is never elected."""
    new_active_timeout_ms: int
    graceful_fence_timeout_ms: int
    graceful_fence_connect_ms: int
    """hdfsd.ha.graceful-fence.connect.timeout.ms: what is given to the connection alone."""
    graceful_fence_retries: int
    cli_check_timeout_ms: int
    environment: Mapping[str, str]
    """Every configuration value, as the commands of shell fencing see them (dots kept here)."""

    @classmethod
    def from_configuration(cls, conf: Configuration, is_local: LocalHost) -> FailoverSettings:
        _require_simple_security(conf)
        nameservice, node_id = local_namenode(conf, is_local)
        conf = conf.scoped(nameservice, node_id)
        own = namenode(conf, nameservice, node_id)
        fc = "ha.failover-controller"
        return cls(
            nameservice=nameservice,
            node_id=node_id,
            namenode=own,
            peers=tuple(
                namenode(conf.scoped("", ""), nameservice, other)
                for other in namenode_ids(conf, nameservice)
                if other != node_id
            ),
            bind=_bind(conf, "dfs.namenode.rpc-bind-host", own.zkfc),
            automatic_failover=conf.get_bool("dfs.ha.automatic-failover.enabled"),
            zookeeper=_zookeeper(conf),
            lock_dir=_lock_dir(conf),
            fencing_methods=fencing_methods(conf),
            ssh_connect_timeout_ms=conf.get_duration_ms("dfs.ha.fencing.ssh.connect-timeout"),
            ssh_key_files=conf.get_list("dfs.ha.fencing.ssh.private-key-files"),
            fencing_timeout_ms=conf.get_duration_ms("hdfsd.ha.fencing.timeout"),
            health=HealthSettings.from_configuration(conf),
            election_yield_ms=_election_yield_ms(conf),
            election_eligible=conf.get_bool("hdfsd.ha.election.eligible"),
            new_active_timeout_ms=conf.get_duration_ms(f"{fc}.new-active.rpc-timeout.ms"),
            graceful_fence_timeout_ms=conf.get_duration_ms(f"{fc}.graceful-fence.rpc-timeout.ms"),
            graceful_fence_connect_ms=graceful_fence_connect_ms(conf),
            graceful_fence_retries=conf.get_int(f"{fc}.graceful-fence.connection.retries"),
            cli_check_timeout_ms=conf.get_duration_ms(f"{fc}.cli-check.rpc-timeout.ms"),
            environment=MappingProxyType(dict(conf.set_values())),
        )


@dataclass(frozen=True, slots=True)
class ClientSettings:
    default_fs: str
    nameservices: Mapping[str, tuple[NameNodeAddresses, ...]]
    block_size: int
    replication: int
    umask: int
    trash_interval_min: float
    home_prefix: str
    failover_attempts_max: int
    failover_delay_ms: int
    failover_delay_max_ms: int
    rpc_timeout_ms: int
    connect_timeout_ms: int
    cli_check_timeout_ms: int
    automatic_failover: bool
    fencing_methods: tuple[str, ...]

    @classmethod
    def from_configuration(cls, conf: Configuration) -> ClientSettings:
        _require_simple_security(conf)
        services = conf.get_list("dfs.nameservices")
        return cls(
            default_fs=conf.get("fs.defaultFS") or "file:///",
            nameservices=MappingProxyType({ns: namenodes(conf, ns) for ns in services}),
            block_size=conf.get_size("dfs.blocksize"),
            replication=conf.get_int("dfs.replication"),
            umask=umask_of(conf),
            trash_interval_min=conf.get_float("fs.trash.interval"),
            home_prefix=conf.get("dfs.user.home.dir.prefix") or "/user",
            failover_attempts_max=conf.get_int("dfs.client.failover.max.attempts"),
            failover_delay_ms=conf.get_duration_ms("dfs.client.failover.sleep.base.millis"),
            failover_delay_max_ms=conf.get_duration_ms("dfs.client.failover.sleep.max.millis"),
            rpc_timeout_ms=conf.get_duration_ms("ipc.client.rpc-timeout.ms"),
            connect_timeout_ms=conf.get_duration_ms("ipc.client.connect.timeout"),
            cli_check_timeout_ms=conf.get_duration_ms(
                "ha.failover-controller.cli-check.rpc-timeout.ms"
            ),
            automatic_failover=conf.get_bool("dfs.ha.automatic-failover.enabled"),
            fencing_methods=fencing_methods(conf),
        )


def directory_of(text: str) -> str:
    """The plain path of `/d` or `file:///d`; a relative one stays as it is. Raises NotBuilt."""
    if "://" not in text and not text.startswith("file:"):
        return text
    parts = urlsplit(text)
    if parts.scheme != "file":
        raise NotBuilt(
            f"{text!r}: directories of scheme {parts.scheme!r} are not built: use a path"
        )
    return unquote(parts.path)


def directories(conf: Configuration, key: str) -> tuple[str, ...]:
    """The paths of a comma list of directories or file URIs, each once."""
    return tuple(dict.fromkeys(directory_of(part) for part in conf.get_list(key)))


def fencing_methods(conf: Configuration) -> tuple[str, ...]:
    """dfs.ha.fencing.methods: one per line, empty lines left out (NodeFencer.parseMethods)."""
    lines = (conf.get("dfs.ha.fencing.methods") or "").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and line.strip()[0] != "#")


def umask_of(conf: Configuration) -> int:
    """fs.permissions.umask-mode in its octal form. Symbolic umasks are not built."""
    key = "fs.permissions.umask-mode"
    text = conf.get(key) or "022"
    if not re.fullmatch(r"[0-7]{1,4}", text):
        raise conf.bad_value(key, "an octal umask such as 022 (symbolic umasks are not built)")
    return int(text, 8) & 0o777


def _required_directories(conf: Configuration, key: str) -> tuple[str, ...]:
    found = directories(conf, key)
    if not found:
        raise conf.bad_value(key, "at least one directory")
    return found


def _data_directories(conf: Configuration) -> tuple[DataDirectory, ...]:
    key = "dfs.datanode.data.dir"
    found = []
    for part in conf.get_list(key):
        match = _TYPED_DIRECTORY.fullmatch(part)
        storage_type, path = (match[1].upper(), match[2]) if match else ("DISK", part)
        if storage_type not in STORAGE_TYPES:
            raise conf.bad_value(key, f"a storage type of {', '.join(STORAGE_TYPES)} in brackets")
        found.append(DataDirectory(directory_of(path), storage_type))
    if not found:
        raise conf.bad_value(key, "at least one directory")
    return tuple(found)


def _mode(conf: Configuration, key: str) -> int:
    text = conf.get(key) or "700"
    if not re.fullmatch(r"[0-7]{3,4}", text):
        raise conf.bad_value(key, "an octal mode such as 700")
    return int(text, 8)


def _bind(conf: Configuration, host_key: str, address: Address) -> Address:
    host = conf.get(host_key)
    return address if host is None else Address(host, address.port)


def _journals(conf: Configuration) -> tuple[JournalAddress, ...]:
    found: dict[str, JournalAddress] = {}
    for nameservice in nameservice_ids(conf):
        for node_id in namenode_ids(conf, nameservice):
            journal = journal_of(conf, nameservice, node_id)
            if isinstance(journal, JournalAddress):
                found.setdefault(journal.journal_id, journal)
    return tuple(found.values())


def _at_least_one(conf: Configuration, key: str) -> int:
    count = conf.get_int(key)
    if count < 1:
        raise conf.bad_value(key, "at least 1")
    return count


def graceful_fence_connect_ms(conf: Configuration) -> int:
    """What a connection to a NameNode that shall become standby may take. Raises ConfigError."""
    key = "hdfsd.ha.graceful-fence.connect.timeout.ms"
    limit_ms = conf.get_duration_ms(key)
    if limit_ms <= 0:
        raise conf.bad_value(key, "at least 1 ms")
    return limit_ms


def _election_yield_ms(conf: Configuration) -> int:
    key = "hdfsd.ha.election.yield"
    wait_ms = conf.get_duration_ms(key)
    if not 0 <= wait_ms <= ELECTION_YIELD_MS_MAX:
        raise conf.bad_value(key, f"0 to {ELECTION_YIELD_MS_MAX // 1000}s")
    return wait_ms


def _zookeeper(conf: Configuration) -> ZooKeeperSettings | None:
    quorum = conf.get("ha.zookeeper.quorum")
    if quorum is None:
        return None
    parent = conf.get("ha.zookeeper.parent-znode") or ""
    if not parent.startswith("/"):
        raise conf.bad_value("ha.zookeeper.parent-znode", "an absolute path such as /hadoop-ha")
    elector = "ha.failover-controller.active-standby-elector.zk.op.retries"
    return ZooKeeperSettings(
        quorum=quorum,
        session_timeout_ms=conf.get_duration_ms("ha.zookeeper.session-timeout.ms"),
        parent_znode=parent,
        acl=conf.get("ha.zookeeper.acl") or "",
        auth=conf.get("ha.zookeeper.auth") or "",
        retries_max=conf.get_int(elector),
        tls=_zookeeper_tls(conf),
    )


def _zookeeper_tls(conf: Configuration) -> ZooKeeperTls | None:
    """hadoop.zk.ssl.enabled, when it is set, overrides the controllers' own key."""
    central = "hadoop.zk.ssl.enabled"
    key = central if conf.get(central) else "dfs.ha.zkfc.client.ssl.enabled"
    if not conf.get_bool(key):
        return None
    store = "hadoop.zk.ssl"
    if not conf.get(f"{store}.truststore.location"):
        raise ConfigError(
            f"{key} is true and {store}.truststore.location is not set: name a PEM or PKCS12 file"
            " with the certificates to trust"
        )
    return ZooKeeperTls(
        truststore=conf.get(f"{store}.truststore.location") or "",
        truststore_password=conf.get(f"{store}.truststore.password") or "",
        keystore=conf.get(f"{store}.keystore.location") or "",
        keystore_password=conf.get(f"{store}.keystore.password") or "",
    )


def _lock_dir(conf: Configuration) -> str | None:
    path = conf.get("hdfsd.ha.lock.dir")
    return None if path is None else directory_of(path)


def _require_simple_security(conf: Configuration) -> None:
    key = "hadoop.security.authentication"
    kind = (conf.get(key) or "simple").lower()
    if kind == "simple":
        return
    if kind in ("kerberos", "token"):
        raise NotBuilt(f"{key}={kind}: not built: only simple authentication is")
    raise conf.bad_value(key, "simple")
