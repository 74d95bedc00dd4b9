"""Data. One immutable class per edit log opcode (wire fact: editlog.tsv).

The fields of a class stand in the order of the bytes; the two halves of `rpcids` are the last two
fields, `client_id` and `call_id`. Times are milliseconds since 1970, lengths bytes.
Class names are those of Hadoop's FSEditLogOp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeVar, dataclass_transform

from hdfsd.base.ids import Block

T = TypeVar("T")

NO_CLIENT_ID = b""
NO_CALL_ID = -2
"""`client_id` and `call_id` of an op that no client's RPC made (Hadoop's RpcConstants)."""

ACL_ACCESS, ACL_DEFAULT = 0, 1
ACL_USER, ACL_GROUP, ACL_MASK, ACL_OTHER = 0, 1, 2, 3
XATTR_USER, XATTR_TRUSTED, XATTR_SECURITY, XATTR_SYSTEM, XATTR_RAW = 0, 1, 2, 3, 4
RENAME_NONE, RENAME_OVERWRITE, RENAME_TO_TRASH = 0, 1, 2
"""Ordinals on the wire: ACL scope and type, xattr namespace, byte of RenameOp.options."""


class PermissionStatus(NamedTuple):
    """Owner, group and mode bits (with the sticky bit 0o1000) of a new inode."""

    user: str
    group: str
    mode: int


@dataclass(frozen=True, slots=True)
class AclEntry:
    """One ACL entry: `type` and `scope` by the ACL_ ordinals, `permission` 0..7 (rwx)."""

    type: int
    scope: int
    permission: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class XAttr:
    """One extended attribute; `namespace` by the XATTR_ ordinals; no value differs from an empty
    one only on the wire."""

    namespace: int
    name: str
    value: bytes | None = None


@dataclass(frozen=True, slots=True)
class DelegationTokenIdentifier:
    owner: str
    renewer: str
    real_user: str
    issue_date: int
    max_date: int
    sequence_number: int
    master_key_id: int


@dataclass(frozen=True, slots=True)
class DelegationKey:
    """A master key; `key` None where the bytes say there is none."""

    key_id: int
    expiry_date: int
    key: bytes | None


@dataclass(frozen=True, slots=True)
class CacheDirective:
    """None: the attribute is not in the record (a modification leaves it as it is)."""

    directive_id: int
    path: str | None
    replication: int | None
    pool: str | None
    expiration: int | None


@dataclass(frozen=True, slots=True)
class CachePool:
    """None: the attribute is not in the record (a modification leaves it as it is)."""

    name: str
    owner: str | None
    group: str | None
    mode: int | None
    limit: int | None
    max_relative_expiry: int | None
    default_replication: int | None


@dataclass(frozen=True, slots=True)
class ErasureCodingPolicy:
    codec: str
    data_units: int
    parity_units: int
    cell_size: int
    options: tuple[tuple[str, str], ...]


class EditOp:
    """What all ops share: their opcode and its name."""

    __slots__ = ()
    OPCODE: ClassVar[int]
    NAME: ClassVar[str]


@dataclass_transform(frozen_default=True)
def _op(kind: type[T]) -> type[T]:
    """A frozen dataclass for the type checker. Enforced at run time too, freezing would double the
    time that making one takes, and every call that changes the namespace makes one."""
    return dataclass(slots=True, unsafe_hash=True)(kind)


@_op
class AddOp(EditOp):
    """A file is created (or, by old writers, opened for append)."""

    OPCODE: ClassVar[int] = 0
    NAME: ClassVar[str] = "OP_ADD"
    inode_id: int
    path: str
    replication: int
    mtime: int
    atime: int
    block_size: int
    blocks: tuple[Block, ...]
    permissions: PermissionStatus
    acl_entries: tuple[AclEntry, ...]
    xattrs: tuple[XAttr, ...]
    client_name: str
    client_machine: str
    overwrite: bool
    storage_policy_id: int
    erasure_coding_policy_id: int
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class RenameOldOp(EditOp):
    OPCODE: ClassVar[int] = 1
    NAME: ClassVar[str] = "OP_RENAME_OLD"
    src: str
    dst: str
    timestamp: int
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class DeleteOp(EditOp):
    OPCODE: ClassVar[int] = 2
    NAME: ClassVar[str] = "OP_DELETE"
    path: str
    timestamp: int
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class MkdirOp(EditOp):
    """One directory; the writer repeats `mtime` in `atime`."""

    OPCODE: ClassVar[int] = 3
    NAME: ClassVar[str] = "OP_MKDIR"
    inode_id: int
    path: str
    mtime: int
    atime: int
    permissions: PermissionStatus
    acl_entries: tuple[AclEntry, ...] = ()
    xattrs: tuple[XAttr, ...] = ()


@_op
class SetReplicationOp(EditOp):
    OPCODE: ClassVar[int] = 4
    NAME: ClassVar[str] = "OP_SET_REPLICATION"
    path: str
    replication: int


@_op
class SetPermissionsOp(EditOp):
    OPCODE: ClassVar[int] = 7
    NAME: ClassVar[str] = "OP_SET_PERMISSIONS"
    src: str
    mode: int


@_op
class SetOwnerOp(EditOp):
    """An empty name leaves it unchanged."""

    OPCODE: ClassVar[int] = 8
    NAME: ClassVar[str] = "OP_SET_OWNER"
    src: str
    username: str
    groupname: str


@_op
class CloseOp(EditOp):
    """A file is complete; the writer puts 0 into `inode_id`."""

    OPCODE: ClassVar[int] = 9
    NAME: ClassVar[str] = "OP_CLOSE"
    inode_id: int
    path: str
    replication: int
    mtime: int
    atime: int
    block_size: int
    blocks: tuple[Block, ...]
    permissions: PermissionStatus


@_op
class SetGenstampV1Op(EditOp):
    OPCODE: ClassVar[int] = 10
    NAME: ClassVar[str] = "OP_SET_GENSTAMP_V1"
    gen_stamp_v1: int


@_op
class SetNSQuotaOp(EditOp):
    """Old form; Hadoop reads it and no longer writes it."""

    OPCODE: ClassVar[int] = 11
    NAME: ClassVar[str] = "OP_SET_NS_QUOTA"
    src: str
    ns_quota: int


@_op
class ClearNSQuotaOp(EditOp):
    """Old form; Hadoop reads it and no longer writes it."""

    OPCODE: ClassVar[int] = 12
    NAME: ClassVar[str] = "OP_CLEAR_NS_QUOTA"
    src: str


@_op
class TimesOp(EditOp):
    """-1 leaves a time unchanged."""

    OPCODE: ClassVar[int] = 13
    NAME: ClassVar[str] = "OP_TIMES"
    path: str
    mtime: int
    atime: int


@_op
class SetQuotaOp(EditOp):
    """-1 resets a quota, 2**63-1 leaves it as it is."""

    OPCODE: ClassVar[int] = 14
    NAME: ClassVar[str] = "OP_SET_QUOTA"
    src: str
    ns_quota: int
    ds_quota: int


@_op
class RenameOp(EditOp):
    """`options`: one byte each, by the RENAME_ ordinals."""

    OPCODE: ClassVar[int] = 15
    NAME: ClassVar[str] = "OP_RENAME"
    src: str
    dst: str
    timestamp: int
    options: bytes
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class ConcatDeleteOp(EditOp):
    OPCODE: ClassVar[int] = 16
    NAME: ClassVar[str] = "OP_CONCAT_DELETE"
    trg: str
    srcs: tuple[str, ...]
    timestamp: int
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class SymlinkOp(EditOp):
    OPCODE: ClassVar[int] = 17
    NAME: ClassVar[str] = "OP_SYMLINK"
    inode_id: int
    path: str
    value: str
    mtime: int
    atime: int
    permissions: PermissionStatus
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class GetDelegationTokenOp(EditOp):
    OPCODE: ClassVar[int] = 18
    NAME: ClassVar[str] = "OP_GET_DELEGATION_TOKEN"
    token: DelegationTokenIdentifier
    expiry_time: int


@_op
class RenewDelegationTokenOp(EditOp):
    OPCODE: ClassVar[int] = 19
    NAME: ClassVar[str] = "OP_RENEW_DELEGATION_TOKEN"
    token: DelegationTokenIdentifier
    expiry_time: int


@_op
class CancelDelegationTokenOp(EditOp):
    OPCODE: ClassVar[int] = 20
    NAME: ClassVar[str] = "OP_CANCEL_DELEGATION_TOKEN"
    token: DelegationTokenIdentifier


@_op
class UpdateMasterKeyOp(EditOp):
    OPCODE: ClassVar[int] = 21
    NAME: ClassVar[str] = "OP_UPDATE_MASTER_KEY"
    key: DelegationKey


@_op
class ReassignLeaseOp(EditOp):
    OPCODE: ClassVar[int] = 22
    NAME: ClassVar[str] = "OP_REASSIGN_LEASE"
    lease_holder: str
    path: str
    new_holder: str


@_op
class EndLogSegmentOp(EditOp):
    OPCODE: ClassVar[int] = 23
    NAME: ClassVar[str] = "OP_END_LOG_SEGMENT"


@_op
class StartLogSegmentOp(EditOp):
    OPCODE: ClassVar[int] = 24
    NAME: ClassVar[str] = "OP_START_LOG_SEGMENT"


@_op
class UpdateBlocksOp(EditOp):
    """`blocks` is the whole new list of the file."""

    OPCODE: ClassVar[int] = 25
    NAME: ClassVar[str] = "OP_UPDATE_BLOCKS"
    path: str
    blocks: tuple[Block, ...]
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class CreateSnapshotOp(EditOp):
    OPCODE: ClassVar[int] = 26
    NAME: ClassVar[str] = "OP_CREATE_SNAPSHOT"
    snapshot_root: str
    snapshot_name: str
    mtime: int
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class DeleteSnapshotOp(EditOp):
    OPCODE: ClassVar[int] = 27
    NAME: ClassVar[str] = "OP_DELETE_SNAPSHOT"
    snapshot_root: str
    snapshot_name: str
    mtime: int
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class RenameSnapshotOp(EditOp):
    OPCODE: ClassVar[int] = 28
    NAME: ClassVar[str] = "OP_RENAME_SNAPSHOT"
    snapshot_root: str
    snapshot_old_name: str
    snapshot_new_name: str
    mtime: int
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class AllowSnapshotOp(EditOp):
    OPCODE: ClassVar[int] = 29
    NAME: ClassVar[str] = "OP_ALLOW_SNAPSHOT"
    snapshot_root: str


@_op
class DisallowSnapshotOp(EditOp):
    OPCODE: ClassVar[int] = 30
    NAME: ClassVar[str] = "OP_DISALLOW_SNAPSHOT"
    snapshot_root: str


@_op
class SetGenstampV2Op(EditOp):
    OPCODE: ClassVar[int] = 31
    NAME: ClassVar[str] = "OP_SET_GENSTAMP_V2"
    gen_stamp_v2: int


@_op
class AllocateBlockIdOp(EditOp):
    OPCODE: ClassVar[int] = 32
    NAME: ClassVar[str] = "OP_ALLOCATE_BLOCK_ID"
    block_id: int


@_op
class AddBlockOp(EditOp):
    """`blocks`: the new last block, before it the penultimate one with its committed length."""

    OPCODE: ClassVar[int] = 33
    NAME: ClassVar[str] = "OP_ADD_BLOCK"
    path: str
    blocks: tuple[Block, ...]
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class AddCacheDirectiveInfoOp(EditOp):
    OPCODE: ClassVar[int] = 34
    NAME: ClassVar[str] = "OP_ADD_CACHE_DIRECTIVE"
    directive: CacheDirective
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class RemoveCacheDirectiveInfoOp(EditOp):
    OPCODE: ClassVar[int] = 35
    NAME: ClassVar[str] = "OP_REMOVE_CACHE_DIRECTIVE"
    directive_id: int
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class AddCachePoolOp(EditOp):
    OPCODE: ClassVar[int] = 36
    NAME: ClassVar[str] = "OP_ADD_CACHE_POOL"
    info: CachePool
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class ModifyCachePoolOp(EditOp):
    OPCODE: ClassVar[int] = 37
    NAME: ClassVar[str] = "OP_MODIFY_CACHE_POOL"
    info: CachePool
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class RemoveCachePoolOp(EditOp):
    OPCODE: ClassVar[int] = 38
    NAME: ClassVar[str] = "OP_REMOVE_CACHE_POOL"
    pool_name: str
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class ModifyCacheDirectiveInfoOp(EditOp):
    OPCODE: ClassVar[int] = 39
    NAME: ClassVar[str] = "OP_MODIFY_CACHE_DIRECTIVE"
    directive: CacheDirective
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class SetAclOp(EditOp):
    """`entries` is the whole ACL; none: the ACL is removed."""

    OPCODE: ClassVar[int] = 40
    NAME: ClassVar[str] = "OP_SET_ACL"
    src: str
    entries: tuple[AclEntry, ...]


@_op
class RollingUpgradeStartOp(EditOp):
    OPCODE: ClassVar[int] = 41
    NAME: ClassVar[str] = "OP_ROLLING_UPGRADE_START"
    time: int


@_op
class RollingUpgradeFinalizeOp(EditOp):
    OPCODE: ClassVar[int] = 42
    NAME: ClassVar[str] = "OP_ROLLING_UPGRADE_FINALIZE"
    time: int


@_op
class SetXAttrOp(EditOp):
    OPCODE: ClassVar[int] = 43
    NAME: ClassVar[str] = "OP_SET_XATTR"
    src: str
    xattrs: tuple[XAttr, ...]
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class RemoveXAttrOp(EditOp):
    OPCODE: ClassVar[int] = 44
    NAME: ClassVar[str] = "OP_REMOVE_XATTR"
    src: str
    xattrs: tuple[XAttr, ...]
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class SetStoragePolicyOp(EditOp):
    OPCODE: ClassVar[int] = 45
    NAME: ClassVar[str] = "OP_SET_STORAGE_POLICY"
    path: str
    policy_id: int


@_op
class TruncateOp(EditOp):
    """`truncate_block`: None where the new length falls on a block boundary."""

    OPCODE: ClassVar[int] = 46
    NAME: ClassVar[str] = "OP_TRUNCATE"
    src: str
    client_name: str
    client_machine: str
    new_length: int
    timestamp: int
    truncate_block: Block | None


@_op
class AppendOp(EditOp):
    OPCODE: ClassVar[int] = 47
    NAME: ClassVar[str] = "OP_APPEND"
    path: str
    client_name: str
    client_machine: str
    new_block: bool
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class SetQuotaByStorageTypeOp(EditOp):
    """`storage_type` by ordinal: RAM_DISK 0 SSD 1 DISK 2 ARCHIVE 3 PROVIDED 4 NVDIMM 5."""

    OPCODE: ClassVar[int] = 48
    NAME: ClassVar[str] = "OP_SET_QUOTA_BY_STORAGETYPE"
    src: str
    storage_type: int
    ds_quota: int


@_op
class AddErasureCodingPolicyOp(EditOp):
    OPCODE: ClassVar[int] = 49
    NAME: ClassVar[str] = "OP_ADD_ERASURE_CODING_POLICY"
    policy: ErasureCodingPolicy
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class EnableErasureCodingPolicyOp(EditOp):
    OPCODE: ClassVar[int] = 50
    NAME: ClassVar[str] = "OP_ENABLE_ERASURE_CODING_POLICY"
    ec_policy_name: str
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class DisableErasureCodingPolicyOp(EditOp):
    OPCODE: ClassVar[int] = 51
    NAME: ClassVar[str] = "OP_DISABLE_ERASURE_CODING_POLICY"
    ec_policy_name: str
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


@_op
class RemoveErasureCodingPolicyOp(EditOp):
    OPCODE: ClassVar[int] = 52
    NAME: ClassVar[str] = "OP_REMOVE_ERASURE_CODING_POLICY"
    ec_policy_name: str
    client_id: bytes = NO_CLIENT_ID
    call_id: int = NO_CALL_ID


OPCODE_INVALID = 255
"""Terminator and padding byte; never the opcode of a frame."""
OPCODES_OBSOLETE = {5: "OP_DATANODE_ADD", 6: "OP_DATANODE_REMOVE"}
"""Of Hadoop before 0.20: no encoding is left for them."""

OP_CLASSES: tuple[type[EditOp], ...] = (
    AddOp,
    RenameOldOp,
    DeleteOp,
    MkdirOp,
    SetReplicationOp,
    SetPermissionsOp,
    SetOwnerOp,
    CloseOp,
    SetGenstampV1Op,
    SetNSQuotaOp,
    ClearNSQuotaOp,
    TimesOp,
    SetQuotaOp,
    RenameOp,
    ConcatDeleteOp,
    SymlinkOp,
    GetDelegationTokenOp,
    RenewDelegationTokenOp,
    CancelDelegationTokenOp,
    UpdateMasterKeyOp,
    ReassignLeaseOp,
    EndLogSegmentOp,
    StartLogSegmentOp,
    UpdateBlocksOp,
    CreateSnapshotOp,
    DeleteSnapshotOp,
    RenameSnapshotOp,
    AllowSnapshotOp,
    DisallowSnapshotOp,
    SetGenstampV2Op,
    AllocateBlockIdOp,
    AddBlockOp,
    AddCacheDirectiveInfoOp,
    RemoveCacheDirectiveInfoOp,
    AddCachePoolOp,
    ModifyCachePoolOp,
    RemoveCachePoolOp,
    ModifyCacheDirectiveInfoOp,
    SetAclOp,
    RollingUpgradeStartOp,
    RollingUpgradeFinalizeOp,
    SetXAttrOp,
    RemoveXAttrOp,
    SetStoragePolicyOp,
    TruncateOp,
    AppendOp,
    SetQuotaByStorageTypeOp,
    AddErasureCodingPolicyOp,
    EnableErasureCodingPolicyOp,
    DisableErasureCodingPolicyOp,
    RemoveErasureCodingPolicyOp,
)
"""Every opcode that has an encoding, in the order of the opcodes."""
