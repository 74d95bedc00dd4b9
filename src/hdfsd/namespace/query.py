"""Core. Reads: file status, listing, content summary, quota usage, as messages of the wire.

All raise RemoteFault with Hadoop's class and text. `who` None skips permission checks.
(FSDirStatAndListingOp; FSDirAclOp and FSDirXAttrOp for their reads.)
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from hdfsd.base import paths
from hdfsd.base.errors import (
    AccessControl,
    FileNotFound,
    IOFault,
    ListingStartAfterNotFound,
    SnapshotFault,
    XAttrNotFound,
)
from hdfsd.base.ids import Block, InodeId
from hdfsd.editlog.ops import XATTR_SECURITY, XAttr
from hdfsd.namespace import history, permission, quota
from hdfsd.namespace.inode import QUOTA_RESET, FileLayout, Permission
from hdfsd.namespace.mutate_attributes import (
    check_xattr_api,
    check_xattrs_enabled,
    is_raw,
    may_see_xattr,
)
from hdfsd.namespace.permission import EXECUTE, READ, STICKY, Principal
from hdfsd.namespace.resolve import (
    Resolved,
    plain,
    require_any,
    require_file,
    resolve,
)
from hdfsd.namespace.snapshot import CURRENT
from hdfsd.namespace.storage_policy import QUOTA_STORAGE_TYPES, STORAGE_TYPE_COUNT
from hdfsd.namespace.tree import (
    DIRECTORY,
    FILE,
    NO_ROW,
    SYMLINK,
    Namespace,
    comes_before,
    name_order,
)
from hdfsd.wire.messages import acl, hdfs, xattr

_READ_EXECUTE = READ | EXECUTE
_U64 = (1 << 64) - 1
"""Quotas of -1 travel as unsigned views."""
_IS_DIR = hdfs.HdfsFileStatusProto.IS_DIR
_TYPE_OF_KIND = {
    DIRECTORY: _IS_DIR,
    FILE: hdfs.HdfsFileStatusProto.IS_FILE,
    SYMLINK: hdfs.HdfsFileStatusProto.IS_SYMLINK,
}
_HAS_ACL, _SNAPSHOT_ENABLED = 1, 8
"""HdfsFileStatusProto.Flags."""
_SNAPSHOT_SUFFIX = f"/{paths.SNAPSHOT_DIRECTORY}"
_DOT_INODES_ID, _RAW_ID = 16387, 16388
_PROTO_OF_STORAGE_TYPE = (4, 2, 1, 3, 5, 6)
"""StorageTypeProto by the edit log's ordinal (RAM_DISK, SSD, DISK, ARCHIVE, PROVIDED, NVDIMM)."""
_REPLICATED_POLICY_NAME = "Replicated"


class LocatedFile(NamedTuple):
    """What getBlockLocations needs of a file: the service adds the locations."""

    inode_id: InodeId
    length: int
    """Without the block that is being written."""
    blocks: tuple[Block, ...]
    under_construction: bool
    """The last block is still being written when it isn't complete in the block map."""
    atime_due: bool
    """The access time is older than its precision: log `mutate.touch` after answering."""


class Listing(NamedTuple):
    statuses: list[hdfs.HdfsFileStatusProto]
    rows: Sequence[int]
    """Of the statuses, in order (for locations); NO_ROW for what is no inode."""
    remaining: int
    past: bool = False
    """In a snapshot: no file is being written there."""


# ---- status


@lru_cache(maxsize=4096)
def _template(
    kind: int, permitted: Permission, layout: FileLayout | None, policy_id: int, flags: int
) -> hdfs.HdfsFileStatusProto:
    """What files of one owner and layout have in common; to be copied, never changed.

    A copy of it is six times as fast as a message made field by field."""
    return hdfs.HdfsFileStatusProto(
        fileType=_TYPE_OF_KIND[kind],
        path=b"",
        length=0,
        permission=acl.FsPermissionProto(perm=permitted.mode),
        owner=permitted.user,
        group=permitted.group,
        modification_time=0,
        access_time=0,
        block_replication=layout.replication if layout else 0,
        blocksize=layout.block_size if layout else 0,
        childrenNum=0,
        storagePolicy=policy_id,
        flags=flags,
    )


def _status(
    ns: Namespace, row: int, policy_id: int, into: hdfs.HdfsFileStatusProto | None = None
) -> hdfs.HdfsFileStatusProto:
    """With an empty path. `into`: the message to fill, e.g. the one inside an answer."""
    status = hdfs.HdfsFileStatusProto() if into is None else into
    kind = ns.kinds[row]
    flags = _HAS_ACL if ns.acls and row in ns.acls else 0
    if row in ns.snapshots.directories:
        flags |= _SNAPSHOT_ENABLED
    layout = ns.layouts[ns.layout_of[row]] if kind == FILE else None
    status.CopyFrom(_template(kind, ns.permissions[ns.perms[row]], layout, policy_id, flags))
    status.modification_time = ns.mtimes[row]
    status.access_time = ns.atimes[row]
    status.fileId = ns.ids[row]
    if kind == FILE:
        status.length = ns.row_length(row)
    elif kind == DIRECTORY:
        status.childrenNum = len(ns.children.get(row, ()))
    else:
        status.symlink = ns.symlinks[row]
    return status


def _named_status(ns: Namespace, row: int, policy_id: int) -> hdfs.HdfsFileStatusProto:
    status = _status(ns, row, policy_id)
    status.path = ns.names[row]
    return status


def directory_status(ns: Namespace, row: int, name: bytes, into: hdfs.HdfsFileStatusProto) -> None:
    """Of a snapshottable directory or a snapshot, as their lists have it: without flags."""
    _status(ns, row, 0, into)
    into.path = name
    into.flags = 0


def file_status(
    namespace: Namespace,
    who: Principal | None,
    path: str,
    *,
    follow: bool = True,
    into: hdfs.HdfsFileStatusProto | None = None,
) -> hdfs.HdfsFileStatusProto | None:
    """getFileInfo (getFileLinkInfo with follow=False): None when there is no such file.

    `into`: the message to fill instead of a new one."""
    try:
        at = resolve(namespace, who, path, follow=follow, reading=True)
    except AccessControl:
        # Only a file among the ancestors can refuse a superuser: for it, nothing is there.
        if who is None or who.is_superuser:
            return None
        raise
    if at.row < 0:
        virtual = _virtual_status(at)
        if virtual is not None and into is not None:
            into.CopyFrom(virtual)
        return virtual
    return _status(namespace, at.row, _policy(namespace, at), into)


def _virtual_status(at: Resolved) -> hdfs.HdfsFileStatusProto | None:
    """Directories that are no inodes."""
    if at.path == paths.RESERVED:
        return _virtual(b"", 0o1770, "", 0)
    if at.snapshots_of >= 0:
        return _virtual(b"", 0o777, "", 0)
    return None


def _virtual(name: bytes, mode: int, group: str, inode_id: int) -> hdfs.HdfsFileStatusProto:
    return hdfs.HdfsFileStatusProto(
        fileType=_IS_DIR,
        path=name,
        length=0,
        permission=acl.FsPermissionProto(perm=mode),
        owner="",
        group=group,
        modification_time=0,
        access_time=0,
        block_replication=0,
        blocksize=0,
        fileId=inode_id,
        childrenNum=0,
        storagePolicy=0,
        flags=0,
    )


def status_by_id(
    namespace: Namespace, inode_id: int, into: hdfs.HdfsFileStatusProto | None = None
) -> hdfs.HdfsFileStatusProto:
    """Of a live inode, e.g. of one just created; `path` is empty, as in getFileInfo.

    `into`: the message to fill instead of a new one."""
    row = namespace.row_of(inode_id)
    if row < 0:
        raise KeyError(inode_id)
    return _status(namespace, row, namespace.effective_policy(row), into)


def listing(
    namespace: Namespace, who: Principal | None, path: str, start_after: bytes
) -> Listing | None:
    """getListing: None when there is no such path; a file lists as itself, with an empty name."""
    ns = namespace
    at = resolve(ns, who, path, reading=True)
    if start_after.startswith(b"/"):
        start_after = _start_name(ns, start_after)
    if at.row < 0:
        return _virtual_listing(ns, at, start_after)
    policy, past = _policy(ns, at), at.snapshot_id != CURRENT
    if ns.kinds[at.row] != DIRECTORY:
        return Listing([_status(ns, at.row, policy)], [at.row], 0, past)
    if who is not None:
        permission.check(ns, who, at.row, _READ_EXECUTE)
    rows = ns.children.get(at.row)
    if rows is None:
        return Listing([], [], 0)
    first = ns.place_behind(at.row, start_after) if start_after else 0
    chosen: Sequence[int] = rows[first : first + ns.limits.list_limit]
    if past:
        chosen = [ns.snapshots.version_at(row, at.snapshot_id) for row in chosen]
    statuses = [_named_status(ns, row, ns.own_policy(row) or policy) for row in chosen]
    return Listing(statuses, chosen, len(rows) - first - len(chosen), past)


def _virtual_listing(ns: Namespace, at: Resolved, start_after: bytes) -> Listing | None:
    if at.path == paths.RESERVED:
        names = ((b".inodes", _DOT_INODES_ID), (b"raw", _RAW_ID))
        group = ns.limits.supergroup
        found = [_virtual(name, 0o770, group, inode_id) for name, inode_id in names]
        return Listing(found, [NO_ROW] * len(names), 0)
    if at.snapshots_of >= 0:
        return _snapshots(ns, at.snapshots_of, start_after)
    parent = at.path.removesuffix(_SNAPSHOT_SUFFIX)
    if parent != at.path and ns.directory_row(parent) >= 0:
        raise SnapshotFault(f"Directory is not a snapshottable directory: {parent}")
    return None


def _snapshots(ns: Namespace, directory: int, start_after: bytes) -> Listing:
    """A snapshottable directory's `.snapshot`: its snapshots by name, each with the attributes that
    the directory had."""
    by_name = sorted(
        ((s.name.encode(), s.snapshot_id) for s in ns.snapshots.directories[directory].snapshots),
        key=lambda named: name_order(named[0]),
    )
    left = [named for named in by_name if not start_after or comes_before(start_after, named[0])]
    chosen = left[: ns.limits.list_limit]
    rows = [ns.snapshots.version_at(directory, snapshot_id) for _, snapshot_id in chosen]
    statuses = [_status(ns, row, 0) for row in rows]
    for status, (name, _) in zip(statuses, chosen, strict=True):
        status.path = name
        # As many as there are now: so Hadoop counts them in this listing.
        status.childrenNum = len(ns.children.get(directory, ()))
    return Listing(statuses, rows, len(left) - len(chosen))


def _policy(ns: Namespace, at: Resolved) -> int:
    """The effective storage policy of an inode that is there."""
    return ns.effective_policy(at.row) if at.snapshot_id == CURRENT else at.policy_id


def _start_name(ns: Namespace, start_after: bytes) -> bytes:
    """The name behind an inode path (NFS gateways page by those)."""
    text = start_after.decode(errors="replace")
    if not paths.is_reserved(text):
        return start_after
    try:
        return plain(ns, text).rpartition("/")[2].encode()
    except FileNotFound:
        raise ListingStartAfterNotFound(f"Can't find startAfter {text}") from None


# ---- files


def located_file(
    namespace: Namespace, who: Principal | None, path: str, now_ms: int
) -> LocatedFile:
    """getBlockLocations' share of the namespace (READ access; FileNotFoundException)."""
    ns = namespace
    at = resolve(ns, None, path, reading=True)
    row = require_file(ns, at)
    if who is not None:
        if not who.is_superuser:
            permission.check_traverse(ns, who, at.directory)
        else:
            _refuse_superuser(ns, who, row)
        permission.check(ns, who, row, READ)
    precision = ns.limits.access_time_precision_ms
    due = precision > 0 and now_ms > ns.atimes[row] + precision
    return _located(ns, row, due and at.snapshot_id == CURRENT, past=at.snapshot_id != CURRENT)


def _refuse_superuser(ns: Namespace, who: Principal, row: int) -> None:
    """FSDirectory.checkUnreadableBySuperuser."""
    if any(a.namespace == XATTR_SECURITY for a in ns.xattrs.get(row, ())):
        raise AccessControl(
            f"Access is denied for {who.user} since the superuser is not allowed to perform"
            " this operation."
        )


def located_row(namespace: Namespace, row: int, *, past: bool) -> LocatedFile:
    """The same of a file of a `Listing`."""
    return _located(namespace, row, False, past=past)


def located_status(namespace: Namespace, path: str) -> LocatedFile:
    """The same of a file whose status was asked for, without its checks."""
    at = resolve(namespace, None, path, reading=True)
    return _located(namespace, at.row, False, past=at.snapshot_id != CURRENT)


def _located(ns: Namespace, row: int, atime_due: bool, *, past: bool = False) -> LocatedFile:
    """`past`: in a snapshot, where no file is being written."""
    blocks = ns.row_blocks(row)
    length = sum(block.num_bytes for block in blocks)
    record = None if past else ns.open_files.get(row)
    if record is not None and record.last_open and blocks:
        length -= blocks[-1].num_bytes
    return LocatedFile(InodeId(ns.ids[row]), length, blocks, record is not None, atime_due)


def preferred_block_size(namespace: Namespace, who: Principal | None, path: str) -> int:
    row = require_file(namespace, resolve(namespace, who, path, follow=False, reading=True))
    return namespace.layouts[namespace.layout_of[row]].block_size


def is_file_closed(namespace: Namespace, who: Principal | None, path: str) -> bool:
    return (
        require_file(namespace, resolve(namespace, who, path, reading=True))
        not in namespace.open_files
    )


def check_access(namespace: Namespace, who: Principal, path: str, bits: int) -> None:
    """checkAccess: bits 4 read, 2 write, 1 execute."""
    at = resolve(namespace, who, path, reading=True)
    if at.row < 0:
        raise FileNotFound(f"Path not found: {at.path}")
    permission.check(namespace, who, at.row, bits)


def link_target(namespace: Namespace, who: Principal | None, path: str) -> str:
    """getLinkTarget. Raises FileNotFound when nothing is there, IOFault for other inodes."""
    at = resolve(namespace, who, path, follow=False, reading=True)
    if at.row < 0:
        raise FileNotFound(f"File does not exist: {at.path}")
    if namespace.kinds[at.row] != SYMLINK:
        raise IOFault(f"Path {at.path} is not a symbolic link")
    return namespace.symlinks[at.row].decode()


def storage_policy(namespace: Namespace, who: Principal | None, path: str) -> int:
    """getStoragePolicy: the effective policy id of the path, 0 when none is set."""
    at = resolve(namespace, who, path, follow=False, reading=True)
    if at.row < 0:
        raise FileNotFound(f"File/Directory does not exist: {at.path}")
    if who is not None:
        permission.check(namespace, who, at.row, READ)
    return _policy(namespace, at)


# ---- counts


class _Counts:
    """What a tree holds; `types`: bytes by storage type, where a policy is set."""

    __slots__ = ("directories", "files", "length", "space", "types")

    def __init__(self) -> None:
        self.length = self.files = self.directories = self.space = 0
        self.types = [0] * STORAGE_TYPE_COUNT


def _count(
    ns: Namespace, who: Principal | None, at: Resolved
) -> Generator[None, None, tuple[_Counts, _Counts]]:
    """What the tree holds, and what only snapshots show of it. Pauses now and then, and counts what
    is there when it comes by."""
    counts, shown = _Counts(), _Counts()
    if at.snapshot_id != CURRENT:
        rows = (past for _, past in history.tree_at(ns, at.row, at.snapshot_id))
        yield from _count_all(ns, who, rows, counts)
        return counts, shown
    yield from _count_all(ns, who, ns.subtree(at.row), counts)
    if ns.snapshots.count:
        yield from _count_all(ns, None, _shown_only(ns, at.row), shown)
    return counts, shown


def _count_all(
    ns: Namespace, who: Principal | None, rows: Iterable[int], counts: _Counts
) -> Generator[None, None, None]:
    step = ns.limits.summary_step
    for number, row in enumerate(rows, 1):
        _count_one(ns, who, row, counts)
        if step > 0 and number % step == 0:
            yield


def _shown_only(ns: Namespace, row: int) -> Iterator[int]:
    """Each inode once, as the newest snapshot shows it (ContentSummaryComputationContext)."""
    known = {ns.ids[below] for below in ns.subtree(row)}
    for below in history.everything(ns, row):
        versions = ns.snapshots.versions.get(below)
        if versions is None or ns.ids[below] in known:
            continue
        for member, past in history.tree_at(ns, below, versions[-1][0]):
            if ns.ids[member] not in known:
                known.add(ns.ids[member])
                yield past


def _count_one(ns: Namespace, who: Principal | None, row: int, counts: _Counts) -> None:
    kind = ns.kinds[row]
    if kind == DIRECTORY:
        if who is not None:
            permission.check(ns, who, row, _READ_EXECUTE)
        counts.directories += 1
    elif kind == SYMLINK:
        counts.files += 1
    elif kind == FILE:
        _count_file(ns, row, counts)


def _count_file(ns: Namespace, row: int, counts: _Counts) -> None:
    size, replication = quota.held_bytes(ns, row)
    counts.files += 1
    counts.length += ns.row_length(row)
    counts.space += size * replication
    # Hadoop counts by type what the file has now, whatever snapshots hold.
    own = ns.layouts[ns.layout_of[row]].replication or 1
    by_type = quota.types_for(ns.effective_policy(row), own, quota.raw_bytes(ns, row))
    for ordinal, consumed in enumerate(by_type):
        counts.types[ordinal] += consumed


def _sum(first: list[int], second: list[int]) -> list[int]:
    return [a + b for a, b in zip(first, second, strict=True)]


def _type_quotas(quotas: Sequence[int], consumed: Sequence[int]) -> hdfs.StorageTypeQuotaInfosProto:
    infos = hdfs.StorageTypeQuotaInfosProto()
    if any(q >= 0 for q in quotas) or any(consumed):
        for ordinal in QUOTA_STORAGE_TYPES:
            infos.typeQuotaInfo.add(
                type=_PROTO_OF_STORAGE_TYPE[ordinal],
                quota=quotas[ordinal] & _U64,
                consumed=consumed[ordinal],
            )
    return infos


def content_summary(
    namespace: Namespace, who: Principal | None, path: str
) -> Generator[None, None, hdfs.ContentSummaryProto]:
    """getContentSummary: walks the tree, with READ_EXECUTE on every directory, in steps."""
    at = resolve(namespace, who, path, follow=False, reading=True)
    if at.row < 0:
        raise FileNotFound(f"File does not exist: {at.path}")
    counts, shown = yield from _count(namespace, who, at)
    limits = namespace.quotas_of(at.row)
    is_file = namespace.kinds[at.row] == FILE
    return hdfs.ContentSummaryProto(
        length=counts.length + shown.length,
        fileCount=counts.files + shown.files,
        directoryCount=counts.directories + shown.directories,
        quota=limits.namespace & _U64,
        spaceConsumed=counts.space + shown.space,
        spaceQuota=limits.space & _U64,
        typeQuotaInfos=_type_quotas(limits.types, _sum(counts.types, shown.types)),
        snapshotLength=shown.length,
        snapshotFileCount=shown.files,
        snapshotDirectoryCount=shown.directories,
        snapshotSpaceConsumed=shown.space,
        erasureCodingPolicy=_REPLICATED_POLICY_NAME if is_file else "",
    )


def quota_usage(
    namespace: Namespace, who: Principal | None, path: str
) -> Generator[None, None, hdfs.QuotaUsageProto]:
    """getQuotaUsage: from the kept counts of a directory with quota, else by walking the tree in
    steps."""
    ns = namespace
    at = resolve(ns, who, path, follow=False, reading=True)
    if at.row >= 0 and who is not None:
        permission.check(ns, who, at.row, _READ_EXECUTE)
    if at.row < 0:
        raise FileNotFound(f"File/Directory does not exist: {at.path}")
    kept = ns.quotas.get(at.row)
    if kept is None:
        counts, shown = yield from _count(ns, who, at)
        types = _sum(counts.types, shown.types)
        return hdfs.QuotaUsageProto(
            fileAndDirectoryCount=counts.files
            + counts.directories
            + shown.files
            + shown.directories,
            quota=_U64,
            spaceConsumed=counts.space + shown.space,
            spaceQuota=_U64,
            typeQuotaInfos=_type_quotas([QUOTA_RESET] * STORAGE_TYPE_COUNT, types),
        )
    limits = quota.settled(ns, at.row, kept)
    return hdfs.QuotaUsageProto(
        fileAndDirectoryCount=limits.inodes,
        quota=limits.namespace_quota & _U64,
        spaceConsumed=limits.space,
        spaceQuota=limits.space_quota & _U64,
        typeQuotaInfos=_type_quotas(limits.type_quotas, limits.type_space),
    )


# ---- ACLs and extended attributes


def acl_status(namespace: Namespace, who: Principal | None, path: str) -> acl.AclStatusProto:
    """getAclStatus: the stored entries; owner, mask and other stand in the permission."""
    at = resolve(namespace, who, path, reading=True)
    row = require_any(at)
    user, group, mode = namespace.permissions[namespace.perms[row]]
    stored = namespace.acls.get(row, ())
    entries = [
        acl.AclEntryProto(
            type=entry.type,  # type: ignore[arg-type]
            scope=entry.scope,  # type: ignore[arg-type]
            permissions=entry.permission,  # type: ignore[arg-type]
            name=entry.name,
        )
        for entry in stored
    ]
    return acl.AclStatusProto(
        owner=user,
        group=group,
        sticky=bool(mode & STICKY),
        entries=entries,
        permission=acl.FsPermissionProto(perm=mode),
    )


def _visible_xattrs(ns: Namespace, who: Principal, path: str) -> list[XAttr]:
    at: Resolved = resolve(ns, who, path, reading=True)
    if at.row >= 0:
        permission.check(ns, who, at.row, READ)
    row = require_any(at)
    return [a for a in ns.xattrs.get(row, ()) if may_see_xattr(who, a, is_raw(path))]


def _xattr_message(attribute: XAttr) -> xattr.XAttrProto:
    return xattr.XAttrProto(
        namespace=attribute.namespace,  # type: ignore[arg-type]
        name=attribute.name,
        value=attribute.value,
    )


def get_xattrs(
    namespace: Namespace, who: Principal, path: str, wanted: list[xattr.XAttrProto]
) -> list[xattr.XAttrProto]:
    """getXAttrs: all that the caller may see, or exactly the wanted ones (XAttrNotFound)."""
    check_xattrs_enabled(namespace)
    for message in wanted:
        value = message.value if message.HasField("value") else None
        check_xattr_api(who, XAttr(message.namespace, message.name, value), is_raw(path))
    visible = _visible_xattrs(namespace, who, path)
    if not wanted:
        return [_xattr_message(attribute) for attribute in visible]
    by_name = {(a.namespace, a.name): a for a in visible}
    found = [by_name.get((int(m.namespace), m.name)) for m in wanted]
    if any(attribute is None for attribute in found):
        raise XAttrNotFound("At least one of the attributes provided was not found.")
    return [_xattr_message(attribute) for attribute in found if attribute is not None]


def list_xattrs(namespace: Namespace, who: Principal, path: str) -> list[xattr.XAttrProto]:
    """listXAttrs: all that the caller may see."""
    check_xattrs_enabled(namespace)
    return [_xattr_message(attribute) for attribute in _visible_xattrs(namespace, who, path)]
