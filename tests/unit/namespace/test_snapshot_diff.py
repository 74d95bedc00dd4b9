"""Diff reports: what came, went, changed and moved between two states; backwards, and in pages."""

from __future__ import annotations

from typing import Any

import pytest

from hdfsd.base.errors import AccessControl, PathIsNotDirectory, SnapshotFault
from hdfsd.namespace import mutate, mutate_snapshots, snapshot_diff
from hdfsd.namespace.inode import Limits
from hdfsd.namespace.snapshot_diff import Cursor

START = Cursor(b"", -1)


def told(world: Any, start: str, end: str, path: str = "/d") -> list[str]:
    report = snapshot_diff.report(world.ns, world.hdfs, path, start, end)
    return [
        f"{e.modificationLabel}{e.fullpath.decode()}"
        + (f">{e.targetPath.decode()}" if e.HasField("targetPath") else "")
        for e in report.diffReportEntries
    ]


def prepare(world: Any) -> Any:
    for path in ("/d/a", "/d/b", "/d/e/k"):
        world.write(path, 10)
    world.do(mutate_snapshots.allow, "/d")
    world.do(mutate_snapshots.create, "/d", "s1")
    world.do(mutate.set_permission, "/d/a", 0o600)
    world.do(mutate.rename, "/d/b", "/d/e/c", overwrite=False)
    world.do(mutate.delete, "/d/e/k", False)
    world.write("/d/n", 1)
    world.do(mutate_snapshots.create, "/d", "s2")
    return world


@pytest.fixture
def changed(world: Any) -> Any:
    """Between s1 and s2: a changed, b moved into e, e/k deleted, n made."""
    return prepare(world)


def test_forwards_and_backwards(changed: Any) -> None:
    forwards = ["M", "+n", "Rb>e/c", "Ma", "Me", "-e/k"]
    assert told(changed, "s1", "s2") == told(changed, "s1", "") == forwards
    assert told(changed, "s2", "s1") == ["M", "-n", "Re/c>b", "Ma", "Me", "+e/k"]
    assert told(changed, "s2", "") == []
    assert told(changed, "s1", "s1") == told(changed, "", "") == []


def test_what_left_the_directory_is_gone_from_it(changed: Any) -> None:
    changed.mkdir("/out")
    changed.do(mutate.rename, "/d/e", "/out/e", overwrite=False)
    assert told(changed, "s2", "") == ["M", "-e"]
    assert told(changed, "s1", "s2")[0] == "M", "the past stays as it was"


def test_inside_of_a_directory_that_was_renamed(changed: Any) -> None:
    changed.do(mutate.rename, "/d/e", "/d/x", overwrite=False)
    changed.do(mutate.set_permission, "/d/x/c", 0o600)
    assert told(changed, "s2", "") == ["M", "Re>x", "Me/c"]


def test_of_a_directory_below(changed: Any) -> None:
    assert told(changed, "s1", "s2", "/d/e") == ["M", "+c", "-k"]


def test_changed_and_changed_back(changed: Any) -> None:
    changed.do(mutate.set_permission, "/d/e", 0o700)
    changed.do(mutate_snapshots.create, "/d", "s3")
    changed.do(mutate.set_permission, "/d/e", 0o755)
    assert told(changed, "s2", "") == ["Me"], "as Hadoop tells of directories"


def test_refusals(changed: Any) -> None:
    ask = changed.ns, changed.hdfs
    with pytest.raises(
        SnapshotFault, match="Cannot find the snapshot of directory /d with name s9"
    ):
        snapshot_diff.report(*ask, "/d", "s1", "s9")
    with pytest.raises(PathIsNotDirectory):
        snapshot_diff.report(*ask, "/d/a", "s1", "s2")
    changed.mkdir("/other")
    with pytest.raises(SnapshotFault, match="The path /other is neither snapshottable nor under"):
        snapshot_diff.report(*ask, "/other", "s1", "s2")
    changed.do(mutate.set_permission, "/d/e", 0o700)
    with pytest.raises(AccessControl):
        snapshot_diff.report(changed.ns, changed.alice, "/d", "s1", "")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_together_tell_what_one_does(new_world: Any, limit: int) -> None:
    world = prepare(new_world(Limits(snapshot_diff_page_max=limit, block_size_min=1)))
    cursor, pages, found = START, 0, []
    while True:
        page = snapshot_diff.listing(world.ns, world.hdfs, "/d", ("s1", "s2"), cursor)
        pages += 1
        for label, entries in (
            ("M", page.modifiedEntries),
            ("+", page.createdEntries),
            ("-", page.deletedEntries),
        ):
            found += [f"{label}{e.fullpath.decode()}>{e.targetPath.decode()}" for e in entries]
        assert page.isFromEarlier
        cursor = Cursor(page.cursor.startPath, page.cursor.index)
        if cursor == START:
            break
    assert sorted(found) == sorted(["M>", "+n>", "-b>e/c", "Ma>", "Me>", "+e/c>", "-e/k>"])
    assert pages == -(-len(found) // limit)


def test_a_listing_of_nothing(changed: Any) -> None:
    page = snapshot_diff.listing(changed.ns, changed.hdfs, "/d", ("s1", "s1"), START)
    assert not page.modifiedEntries
    assert (page.isFromEarlier, page.cursor.startPath, page.cursor.index) == (False, b"", -1)
