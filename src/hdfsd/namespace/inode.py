"""Data. What an inode is to the outside: records, kinds, limits. The columns are in `tree`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from hdfsd.base.ids import Block, InodeId
from hdfsd.editlog.ops import AclEntry, XAttr

QUOTA_DONT_SET = 2**63 - 1
"""HdfsConstants.QUOTA_DONT_SET (Long.MAX_VALUE): leave as it is. Also the root's name quota."""
QUOTA_RESET = -1
"""HdfsConstants.QUOTA_RESET: no quota."""


class Kind(IntEnum):
    """INodeSection.INode.Type of the image; 0 marks a free row."""

    FREE = 0
    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3


class Permission(NamedTuple):
    """Interned: an inode holds the index of one of these. `mode` includes the sticky bit 0o1000."""

    user: str
    group: str
    mode: int


class FileLayout(NamedTuple):
    """Interned, as most files share one. `replication` 0 for striped files."""

    replication: int
    block_size: int
    storage_policy_id: int
    """0: unspecified, taken from the nearest directory that has one."""
    ec_policy_id: int
    """0: replicated; else the file is striped."""


class Quotas(NamedTuple):
    """Of a directory; -1: none. `types` by StorageType ordinal of the edit log."""

    namespace: int
    space: int
    types: tuple[int, ...]


class FileRow(NamedTuple):
    """A file for the image, out and in. `permission` and `layout` are indexes of the tables
    `Namespace.permissions` and `Namespace.layouts`."""

    inode_id: InodeId
    name: bytes
    permission: int
    layout: int
    mtime_ms: int
    atime_ms: int
    blocks: tuple[Block, ...]
    acl: tuple[AclEntry, ...]
    xattrs: tuple[XAttr, ...]
    writer: tuple[str, str] | None
    """(client name, client machine) while the file is open for writing."""


class DirectoryRow(NamedTuple):
    """A directory for the image, out and in (its children come by `Namespace.child_ids`)."""

    inode_id: InodeId
    name: bytes
    """Empty for the root."""
    permission: int
    mtime_ms: int
    acl: tuple[AclEntry, ...]
    xattrs: tuple[XAttr, ...]
    namespace_quota: int
    space_quota: int
    """-1: no quota."""
    type_quotas: tuple[tuple[int, int], ...]
    """(StorageType ordinal of the edit log, bytes)."""


class SymlinkRow(NamedTuple):
    inode_id: InodeId
    name: bytes
    permission: int
    mtime_ms: int
    atime_ms: int
    target: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits and switches of the namespace, from hdfs-site.xml (key in the comment)."""

    component_length_max: int = 255  # dfs.namenode.fs-limits.max-component-length, 0 = none
    directory_items_max: int = 1024 * 1024  # dfs.namenode.fs-limits.max-directory-items
    blocks_per_file_max: int = 10_000  # dfs.namenode.fs-limits.max-blocks-per-file
    block_size_min: int = 1024 * 1024  # dfs.namenode.fs-limits.min-block-size
    xattrs_per_inode_max: int = 32  # dfs.namenode.fs-limits.max-xattrs-per-inode
    xattr_size_max: int = 16_384  # dfs.namenode.fs-limits.max-xattr-size
    replication_min: int = 1  # dfs.namenode.replication.min
    replication_max: int = 512  # dfs.replication.max
    inodes_max: int = 0  # dfs.namenode.max.objects, 0 = none
    access_time_precision_ms: int = 3_600_000  # dfs.namenode.accesstime.precision
    acls_enabled: bool = True  # dfs.namenode.acls.enabled
    posix_acl_inheritance: bool = True  # dfs.namenode.posix.acl.inheritance.enabled
    xattrs_enabled: bool = True  # dfs.namenode.xattrs.enabled
    storage_policies_enabled: bool = True  # dfs.storage.policy.enabled
    type_quotas_enabled: bool = True  # dfs.quota.by.storage.type.enabled
    list_limit: int = 1000  # dfs.ls.limit
    summary_step: int = 5000  # dfs.content-summary.limit, 0 = all in one
    deletion_step: int = 1000  # dfs.namenode.block.deletion.increment
    snapshots_per_directory_max: int = 65_536  # dfs.namenode.snapshot.max.limit
    snapshots_max: int = 65_536  # dfs.namenode.snapshot.filesystem.limit
    snapshot_diff_page_max: int = 1000  # dfs.namenode.snapshotdiff.listing.limit
    supergroup: str = "supergroup"  # dfs.permissions.superusergroup
    lease_soft_limit_ms: int = 60_000  # HdfsConstants.LEASE_SOFTLIMIT_PERIOD
    lease_hard_limit_ms: int = 1_200_000  # dfs.namenode.lease-hard-limit-sec
