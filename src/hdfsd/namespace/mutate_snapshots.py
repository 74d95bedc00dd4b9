"""Core. Snapshots → edit ops (FSDirSnapshotOp, SnapshotManager)."""

from __future__ import annotations

from datetime import datetime

from hdfsd.base import paths
from hdfsd.base.errors import FileNotFound, HadoopIllegalArgument, IOFault, SnapshotFault
from hdfsd.editlog import ops
from hdfsd.editlog.ops import EditOp
from hdfsd.namespace import permission
from hdfsd.namespace.mutate_names import check_component
from hdfsd.namespace.requests import Request
from hdfsd.namespace.resolve import Resolved, invalid_path, require_directory, resolve
from hdfsd.namespace.snapshot import SNAPSHOT_ID_MAX, SnapshottableDirectory
from hdfsd.namespace.tree import Namespace


def allow(ns: Namespace, request: Request, path: str) -> list[EditOp]:
    """Superusers only. A directory that is snapshottable already stays so."""
    permission.check_superuser(request.who, "allowSnapshot")
    at = resolve(ns, None, path)
    row = require_directory(ns, at)
    _check_not_nested(ns, row, path)
    return [ops.AllowSnapshotOp(at.path)]


def _check_not_nested(ns: Namespace, row: int, path: str) -> None:
    own = ns.path_of_row(row)
    for other, _ in ns.snapshots.allowed():
        if other == row:
            continue
        full = ns.path_of_row(other)
        for inner, outer, relation in ((full, own, "subdirectory"), (own, full, "ancestor")):
            if inner.startswith(outer.rstrip("/") + "/"):
                raise SnapshotFault(
                    f"Nested snapshottable directories not allowed: path={path},"
                    f" the {relation} {full} is already a snapshottable directory."
                )


def disallow(ns: Namespace, request: Request, path: str) -> list[EditOp]:
    """Superusers only. Also of a directory that is not snapshottable: nothing changes."""
    permission.check_superuser(request.who, "disallowSnapshot")
    at = resolve(ns, None, path)
    record = ns.snapshots.directories.get(require_directory(ns, at))
    if record is not None and record.snapshots:
        raise SnapshotFault(
            f"The directory {path} has snapshot(s)."
            " Please redo the operation after removing all the snapshots."
        )
    return [ops.DisallowSnapshotOp(at.path)]


def _owned_root(ns: Namespace, request: Request, path: str) -> Resolved:
    """FSDirectory.checkOwner."""
    at = resolve(ns, request.who, path)
    if at.row < 0:
        raise FileNotFound(f"Directory/File does not exist {at.path}")
    permission.check_owner(ns, request.who, at.row)
    return at


def snapshottable(ns: Namespace, at: Resolved) -> SnapshottableDirectory:
    """SnapshotManager.getSnapshottableRoot: FileNotFound, PathIsNotDirectory, SnapshotFault."""
    record = ns.snapshots.directories.get(require_directory(ns, at))
    if record is None:
        raise SnapshotFault(f"Directory is not a snapshottable directory: {at.path}")
    return record


def _is_valid_name(name: str) -> bool:
    """DFSUtil.isValidNameForComponent."""
    reserved = (".", "..", paths.SNAPSHOT_DIRECTORY, paths.RESERVED[1:])
    return name not in reserved and ":" not in name and "/" not in name


def _check_name(ns: Namespace, name: str, path: str) -> None:
    if "/" in name:
        raise HadoopIllegalArgument('Snapshot name cannot contain "/"')
    check_component(ns, name.encode(), path)


def create(ns: Namespace, request: Request, path: str, name: str) -> list[EditOp]:
    """`name` empty: one is made of the time."""
    at = _owned_root(ns, request, path)
    if not name:
        name = _name_of(request.now_ms)
    elif not _is_valid_name(name):
        raise invalid_path(f"Invalid snapshot name: {name}")
    _check_name(ns, name, path)
    record = snapshottable(ns, at)
    snapshots, limits = ns.snapshots, ns.limits
    if snapshots.counter >= SNAPSHOT_ID_MAX:
        raise SnapshotFault(
            "Failed to create the snapshot. The FileSystem has run out of snapshot IDs and ID"
            " rollover is not supported and the max snapshot limit is: "
            f"{limits.snapshots_per_directory_max}"
        )
    _check_limit(snapshots.count, limits.snapshots_max, "file system")
    _check_limit(len(record.snapshots), limits.snapshots_per_directory_max, "per directory")
    if len(record.snapshots) >= record.quota:
        raise SnapshotFault(
            f"Failed to add snapshot: there are already {len(record.snapshots)} snapshot(s)"
            f" and the snapshot quota is {record.quota}"
        )
    if record.named(name) is not None:
        raise SnapshotFault(
            f'Failed to add snapshot: there is already a snapshot with the same name "{name}".'
        )
    return [ops.CreateSnapshotOp(at.path, name, request.now_ms, request.client_id, request.call_id)]


def _check_limit(count: int, limit: int, kind: str) -> None:
    if count >= limit:
        raise SnapshotFault(
            f"Failed to create snapshot: there are already {count + 1} snapshot(s) and the"
            f" {kind} snapshot limit is {limit}"
        )


def _name_of(now_ms: int) -> str:
    """Snapshot.DEFAULT_SNAPSHOT_NAME_PATTERN, in the NameNode's own time zone."""
    now = datetime.fromtimestamp(now_ms // 1000)
    return f"s{now:%Y%m%d-%H%M%S}.{now_ms % 1000:03d}"


def delete(ns: Namespace, request: Request, path: str, name: str) -> list[EditOp]:
    if not name:
        raise IOFault("The snapshot name is null or empty.")
    at = _owned_root(ns, request, path)
    record = snapshottable(ns, at)
    if record.named(name) is None:
        raise SnapshotFault(
            f"Cannot delete snapshot {name} from path {at.path}: the snapshot does not exist."
        )
    return [ops.DeleteSnapshotOp(at.path, name, request.now_ms, request.client_id, request.call_id)]


def rename(ns: Namespace, request: Request, path: str, old: str, new: str) -> list[EditOp]:
    if not new:
        raise IOFault("The new snapshot name is null or empty.")
    at = _owned_root(ns, request, path)
    _check_name(ns, new, path)
    record = snapshottable(ns, at)
    if record.named(old) is None:
        raise SnapshotFault(f"The snapshot {old} does not exist for directory {path}")
    if new != old and record.named(new) is not None:
        raise SnapshotFault(f"The snapshot {new} already exists for directory {path}")
    return [
        ops.RenameSnapshotOp(at.path, old, new, request.now_ms, request.client_id, request.call_id)
    ]
