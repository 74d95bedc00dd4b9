"""Adapter. Snapshots of one nameservice: the calls behind the commands, and how lists are shown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hdfsd.base.errors import HdfsdError, NoSuchMethod, Unsupported
from hdfsd.cli.patterns import permission_text
from hdfsd.client import snapshot_diff
from hdfsd.client.snapshot_diff import Difference, Pages
from hdfsd.wire.messages import Message, client_namenode, hdfs

log = logging.getLogger(__name__)

PAGES_MAX = 1 << 20
SNAPSHOT_DIRECTORY = ".snapshot"


@dataclass(frozen=True, slots=True)
class Listed:
    """A snapshottable directory, or a snapshot of one."""

    path: str
    mode: int
    owner: str
    group: str
    modified_ms: int
    details: tuple[str, ...]
    """What is shown between time and path."""


class Snapshots:
    """Requests about snapshots; `call` makes one RPC (FileSystem, DFSClient)."""

    def __init__(self, call: Callable[[str, Message], Any]) -> None:
        self._call = call

    def allow(self, directory: str) -> None:
        """From now on snapshots of a directory can be made."""
        self._call(
            "allowSnapshot", client_namenode.AllowSnapshotRequestProto(snapshotRoot=directory)
        )

    def disallow(self, directory: str) -> None:
        """The contrary; refused as long as there are snapshots."""
        self._call(
            "disallowSnapshot", client_namenode.DisallowSnapshotRequestProto(snapshotRoot=directory)
        )

    def create(self, directory: str, name: str | None) -> str:
        """The path of the new snapshot; without a name the server makes one from the time."""
        request = client_namenode.CreateSnapshotRequestProto(
            snapshotRoot=directory, snapshotName=name
        )
        return str(self._call("createSnapshot", request).snapshotPath)

    def delete(self, directory: str, name: str) -> None:
        self._call(
            "deleteSnapshot",
            client_namenode.DeleteSnapshotRequestProto(snapshotRoot=directory, snapshotName=name),
        )

    def rename(self, directory: str, old: str, new: str) -> None:
        request = client_namenode.RenameSnapshotRequestProto(
            snapshotRoot=directory, snapshotOldName=old, snapshotNewName=new
        )
        self._call("renameSnapshot", request)

    def directories(self) -> list[Listed]:
        """The snapshottable directories of the caller; of everybody for the superuser."""
        request = client_namenode.GetSnapshottableDirListingRequestProto()
        found = self._call("getSnapshottableDirListing", request).snapshottableDirList
        return [
            _listed(
                entry.dirStatus,
                _joined(entry.parent_fullpath, entry.dirStatus.path),
                (str(entry.snapshot_number), str(entry.snapshot_quota)),
            )
            for entry in found.snapshottableDirListing
        ]

    def of(self, directory: str) -> list[Listed]:
        """The snapshots of a directory."""
        request = client_namenode.GetSnapshotListingRequestProto(snapshotRoot=directory)
        found = self._call("getSnapshotListing", request).snapshotList
        return [
            _listed(
                entry.dirStatus,
                _joined(
                    entry.parent_fullpath, f"{SNAPSHOT_DIRECTORY}/".encode() + entry.dirStatus.path
                ),
                (str(entry.snapshotID), "DELETED" if entry.isDeleted else "ACTIVE"),
            )
            for entry in found.snapshotListing
        ]

    def difference(self, directory: str, start: str, end: str) -> list[Difference]:
        """What changed between two snapshots; "" is the current state (DFSUtilClient)."""
        if start and end:
            try:
                return self._paged_difference(directory, start, end)
            except (NoSuchMethod, Unsupported) as error:
                log.info("%s: the report comes in one piece", error)
        request = client_namenode.GetSnapshotDiffReportRequestProto(
            snapshotRoot=directory, fromSnapshot=start, toSnapshot=end
        )
        found = self._call("getSnapshotDiffReport", request).diffReport
        return [snapshot_diff.difference_of(entry) for entry in found.diffReportEntries]

    def _paged_difference(self, directory: str, start: str, end: str) -> list[Difference]:
        pages = Pages()
        cursor = hdfs.SnapshotDiffReportCursorProto(startPath=b"", index=snapshot_diff.FIRST_INDEX)
        for _ in range(PAGES_MAX):
            request = client_namenode.GetSnapshotDiffReportListingRequestProto(
                snapshotRoot=directory, fromSnapshot=start, toSnapshot=end, cursor=cursor
            )
            page = self._call("getSnapshotDiffReportListing", request).diffReport
            pages.add(page)
            if snapshot_diff.is_last(page.cursor):
                return snapshot_diff.report(pages)
            if page.cursor == cursor:
                raise HdfsdError(f"{directory}: the server gives the same page of its report again")
            cursor = page.cursor
        raise HdfsdError(f"{directory}: the report has more than {PAGES_MAX} pages")


def table(rows: Sequence[Listed]) -> str:
    """The lines of lsSnapshottableDir and lsSnapshot; one empty line when there are none."""
    if not rows:
        return "\n"
    owner = max(len(row.owner) for row in rows)
    group = max(len(row.group) for row in rows)
    first = max(len(row.details[0]) for row in rows)
    # Numbers are as wide as the widest; words, as ACTIVE, stand as they are.
    second = max(len(row.details[1]) if row.details[1].isdigit() else 0 for row in rows)
    return "".join(
        f"d{permission_text(row.mode)} 0 {_column(row.owner, owner)}{_column(row.group, group)}0"
        f" {_time(row.modified_ms)} {row.details[0]:>{first}} {row.details[1]:>{second}}"
        f" {row.path}\n"
        for row in rows
    )


def _column(value: str, width: int) -> str:
    return f"{value:<{width}} " if width else ""


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000).strftime("%Y-%m-%d %H:%M")


def _listed(status: Any, path: str, details: tuple[str, ...]) -> Listed:
    return Listed(
        path=path,
        mode=status.permission.perm & 0o1777,
        owner=status.owner,
        group=status.group,
        modified_ms=status.modification_time,
        details=details,
    )


def _joined(parent: bytes, name: bytes) -> str:
    """A path from what the server says of it; both are empty for the root."""
    return f"{parent.decode().rstrip('/')}/{name.decode()}"
