"""Data. Snapshots, snapshottable directories, and what the tree keeps of its past for them.

Past states are copies on write: before an inode changes that a snapshot shows, its row is copied
into another row (a *past row*), which has the same columns, so that whoever reads a status, an ACL
or the blocks of an inode reads those of its past in the same way. `history` makes, finds and drops
them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

from hdfsd.base.ids import Block
from hdfsd.namespace.inode import Quotas

NO_SNAPSHOT = -1
"""Snapshot.NO_SNAPSHOT_ID: ids count from 0."""
CURRENT = 2**31 - 2
"""Snapshot.CURRENT_STATE_ID: above every id."""
SNAPSHOT_ID_MAX = (1 << 28) - 1
"""SnapshotManager.SNAPSHOT_ID_BIT_WIDTH."""
QUOTA_MAX = 1 << 16
"""DirectorySnapshottableFeature.SNAPSHOT_QUOTA_DEFAULT: snapshots of one directory."""


@dataclass(slots=True)
class Snapshot:
    """`snapshot_id`: also its place in time; a greater one was made later."""

    snapshot_id: int
    name: str


@dataclass(slots=True)
class SnapshottableDirectory:
    """`quota` 0: the root before anybody allowed snapshots of it."""

    quota: int
    snapshots: list[Snapshot] = field(default_factory=list)
    """Oldest first."""

    def named(self, name: str) -> Snapshot | None:
        return next((snapshot for snapshot in self.snapshots if snapshot.name == name), None)

    def newest_id(self, below: int) -> int:
        """Of its snapshots with a smaller id than this; NO_SNAPSHOT when there is none."""
        for snapshot in reversed(self.snapshots):
            if snapshot.snapshot_id < below:
                return snapshot.snapshot_id
        return NO_SNAPSHOT


class Snapshots:
    """All snapshots of a namespace, and the rows that only they show.

    An inode's *version* is a past row with the id of the newest snapshot that it stands for: it
    holds for all snapshots of the inode down to the version before it. A *shell* is a row that
    isn't current any more (deleted, or left behind by a rename) and has versions. What a renamed
    inode leaves behind has its inode id and the versions of the old place.

    Invariants: the id of every version is that of a snapshot that shows the inode; a shell has at
    least one version; an unchanged inode has none and stands for itself.
    """

    def __init__(self) -> None:
        self.counter = 0
        """The next snapshot's id: not used twice, also when all snapshots are gone."""
        self.count = 0
        self.directories: dict[int, SnapshottableDirectory] = {}
        """By row."""
        self.versions: dict[int, list[tuple[int, int]]] = {}
        """Row → (snapshot id, past row), oldest first."""
        self.labelled: dict[int, dict[int, None]] = {}
        """Snapshot id → rows that have a version with it."""
        self.before: dict[int, int] = {}
        """Row → what the same inode left behind where it was renamed away last."""
        self.after: dict[int, int] = {}
        """The other way."""
        self.deleted: dict[int, int] = {}
        """Inode id → shell of an inode that is not current anywhere."""
        self.grown: dict[int, Block] = {}
        """By id, blocks that grew after a snapshot that shows their file: as DataNodes have them,
        unless the file's present has them too, which tells better."""
        self.past_quotas: dict[int, Quotas] = {}
        """By past row of a directory."""

    def allowed(self) -> list[tuple[int, SnapshottableDirectory]]:
        """Row and record of each directory that snapshots are allowed of: the root is here from the
        start, without room for any."""
        return [(row, record) for row, record in self.directories.items() if record.quota]

    def version_at(self, row: int, snapshot_id: int) -> int:
        """The row that stands for an inode in a snapshot that shows it."""
        versions = self.versions.get(row)
        if versions:
            at = bisect_left(versions, (snapshot_id,))
            if at < len(versions):
                return versions[at][1]
        return row

    def family(self, row: int) -> list[int]:
        """The row and all that the same inode left behind, newest first."""
        found = [row]
        while (row := self.before.get(row, -1)) >= 0:
            found.append(row)
        return found

    def kin(self, row: int) -> list[int]:
        """All rows of the same inode, newest first: where it is now or was last stands first."""
        while row in self.after:
            row = self.after[row]
        return self.family(row)
