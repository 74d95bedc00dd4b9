"""Core. Lists of snapshottable directories and of snapshots, as messages of the wire."""

from __future__ import annotations

from hdfsd.namespace.mutate_snapshots import snapshottable
from hdfsd.namespace.permission import Principal
from hdfsd.namespace.query import directory_status
from hdfsd.namespace.resolve import resolve
from hdfsd.namespace.tree import ROOT, Namespace, name_order
from hdfsd.wire.messages import hdfs


def snapshottable_directories(
    ns: Namespace, who: Principal
) -> hdfs.SnapshottableDirectoryListingProto | None:
    """getSnapshottableDirListing: of all to a superuser, else of the caller's own; None when there
    is no such directory at all."""
    allowed = ns.snapshots.allowed()
    if not allowed:
        return None
    answer = hdfs.SnapshottableDirectoryListingProto()
    placed = [(_parent_path(ns, row), ns.names[row], row, record) for row, record in allowed]
    for parent, name, row, record in sorted(
        placed, key=lambda p: (name_order(p[0]), name_order(p[1]))
    ):
        if not who.is_superuser and ns.permissions[ns.perms[row]].user != who.user:
            continue
        entry = answer.snapshottableDirListing.add(
            snapshot_quota=record.quota,
            snapshot_number=len(record.snapshots),
            parent_fullpath=parent,
        )
        directory_status(ns, row, name, entry.dirStatus)
    return answer


def _parent_path(ns: Namespace, row: int) -> bytes:
    return b"" if row == ROOT else ns.path_of_row(ns.parents[row]).encode()


def snapshots(ns: Namespace, who: Principal, path: str) -> hdfs.SnapshotListingProto:
    """getSnapshotListing: by name. Raises as `snapshottable`."""
    at = resolve(ns, who, path, reading=True)
    record = snapshottable(ns, at)
    answer = hdfs.SnapshotListingProto()
    for snapshot in sorted(record.snapshots, key=lambda s: name_order(s.name.encode())):
        entry = answer.snapshotListing.add(
            snapshotID=snapshot.snapshot_id,
            parent_fullpath=at.path.encode(),
            isDeleted=False,
        )
        row = ns.snapshots.version_at(at.row, snapshot.snapshot_id)
        directory_status(ns, row, snapshot.name.encode(), entry.dirStatus)
        # As many as there are now: so Hadoop counts them here.
        entry.dirStatus.childrenNum = len(ns.children.get(at.row, ()))
    return answer


def snapshot_path(directory: str, name: str) -> str:
    """Snapshot.getSnapshotPath."""
    return f"{directory.rstrip('/')}/.snapshot/{name}"
