"""The records of snapshots: which version stands for what, and who belongs together."""

from __future__ import annotations

import pytest

from hdfsd.namespace.snapshot import (
    CURRENT,
    NO_SNAPSHOT,
    Snapshot,
    Snapshots,
    SnapshottableDirectory,
)


def test_snapshots_of_a_directory_by_name_and_age() -> None:
    directory = SnapshottableDirectory(5, [Snapshot(1, "b"), Snapshot(4, "a")])
    assert directory.named("a") == Snapshot(4, "a")
    assert directory.named("c") is None
    assert [directory.newest_id(below) for below in (1, 2, 4, 5, CURRENT)] == [
        NO_SNAPSHOT,
        1,
        1,
        4,
        4,
    ]


@pytest.mark.parametrize(("snapshot_id", "row"), [(0, 10), (3, 10), (4, 11), (7, 11), (8, 2)])
def test_a_version_stands_for_all_snapshots_down_to_the_one_before(
    snapshot_id: int, row: int
) -> None:
    snapshots = Snapshots()
    snapshots.versions[2] = [(3, 10), (7, 11)]
    assert snapshots.version_at(2, snapshot_id) == row
    assert snapshots.version_at(5, snapshot_id) == 5, "unchanged: it stands for itself"


def test_rows_of_one_inode() -> None:
    snapshots = Snapshots()
    snapshots.before.update({1: 2, 2: 3})
    snapshots.after.update({3: 2, 2: 1})
    assert [snapshots.family(row) for row in (1, 2, 3)] == [[1, 2, 3], [2, 3], [3]]
    assert [snapshots.kin(row) for row in (1, 2, 3)] == [[1, 2, 3]] * 3


def test_the_root_is_there_without_room() -> None:
    snapshots = Snapshots()
    snapshots.directories.update({0: SnapshottableDirectory(0), 7: SnapshottableDirectory(9)})
    assert [row for row, _ in snapshots.allowed()] == [7]
