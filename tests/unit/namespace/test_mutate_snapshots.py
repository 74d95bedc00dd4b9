"""mutate_snapshots: the ops that are made, and what is refused in Hadoop's words (seen beside it by
tests/interop/snapshot_walk.py)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hdfsd.editlog import ops
from hdfsd.namespace import mutate, mutate_snapshots
from hdfsd.namespace.inode import Limits
from hdfsd.namespace.requests import Request
from hdfsd.namespace.snapshot import SNAPSHOT_ID_MAX

RPC = (b"0123456789abcdef", 7)


@pytest.fixture
def snapped(world: Any) -> Any:
    """/d, alice's, is snapshottable and has the snapshot s1; /d/f is in it."""
    world.mkdir("/d", 0o755)
    world.do(mutate.set_owner, "/d", "alice", None)
    world.write("/d/f", 10)
    world.do(mutate_snapshots.allow, "/d")
    world.do(mutate_snapshots.create, "/d", "s1", who=world.alice)
    return world


def test_each_call_is_one_op_that_carries_it(snapped: Any) -> None:
    ns, request = snapped.ns, Request(snapped.alice, 5000, *RPC)
    admin = Request(snapped.hdfs, 5000, *RPC)
    assert mutate_snapshots.allow(ns, admin, "/d/") == [ops.AllowSnapshotOp("/d")]
    assert mutate_snapshots.disallow(ns, admin, "/") == [ops.DisallowSnapshotOp("/")]
    assert mutate_snapshots.create(ns, request, "/d", "s2") == [
        ops.CreateSnapshotOp("/d", "s2", 5000, *RPC)
    ]
    assert mutate_snapshots.rename(ns, request, "/d", "s1", "s2") == [
        ops.RenameSnapshotOp("/d", "s1", "s2", 5000, *RPC)
    ]
    assert mutate_snapshots.rename(ns, request, "/d", "s1", "s1") == [
        ops.RenameSnapshotOp("/d", "s1", "s1", 5000, *RPC)
    ]
    assert mutate_snapshots.delete(ns, request, "/d", "s1") == [
        ops.DeleteSnapshotOp("/d", "s1", 5000, *RPC)
    ]


def test_a_snapshot_without_a_name_has_that_of_its_time(snapped: Any) -> None:
    (made,) = mutate_snapshots.create(
        snapped.ns, Request(snapped.alice, 1_600_000_000_042), "/d", ""
    )
    assert isinstance(made, ops.CreateSnapshotOp)
    assert re.fullmatch(r"s2020091[234]-\d{6}\.042", made.snapshot_name)


@pytest.mark.parametrize(
    ("call", "arguments", "kind", "text"),
    [
        ("allow", ("/none",), "FileNotFoundException", "Directory does not exist: /none"),
        ("allow", ("/d/f",), "PathIsNotDirectoryException", "`/d/f': Is not a directory"),
        (
            "allow",
            ("/d/.snapshot/s1",),
            "SnapshotAccessControlException",
            "Modification on a read-only snapshot is disallowed",
        ),
        (
            "allow",
            ("/",),
            "SnapshotException",
            "Nested snapshottable directories not allowed: path=/, the subdirectory /d is already"
            " a snapshottable directory.",
        ),
        (
            "disallow",
            ("/d",),
            "SnapshotException",
            "The directory /d has snapshot(s). Please redo the operation after removing all the"
            " snapshots.",
        ),
        ("create", ("/none", "s"), "FileNotFoundException", "Directory/File does not exist /none"),
        (
            "create",
            ("/", "s"),
            "SnapshotException",
            "Failed to add snapshot: there are already 0 snapshot(s) and the snapshot quota is 0",
        ),
        (
            "create",
            ("/e", "s"),
            "SnapshotException",
            "Directory is not a snapshottable directory: /e",
        ),
        (
            "create",
            ("/d", "s1"),
            "SnapshotException",
            'Failed to add snapshot: there is already a snapshot with the same name "s1".',
        ),
        (
            "create",
            ("/d", "a/b"),
            "InvalidPathException",
            "Invalid path name Invalid snapshot name: a/b",
        ),
        (
            "create",
            ("/d", ".snapshot"),
            "InvalidPathException",
            "Invalid path name Invalid snapshot name: .snapshot",
        ),
        ("delete", ("/d", ""), "IOException", "The snapshot name is null or empty."),
        (
            "delete",
            ("/d", "s2"),
            "SnapshotException",
            "Cannot delete snapshot s2 from path /d: the snapshot does not exist.",
        ),
        ("rename", ("/d", "s1", ""), "IOException", "The new snapshot name is null or empty."),
        (
            "rename",
            ("/d", "s2", "s2"),
            "SnapshotException",
            "The snapshot s2 does not exist for directory /d",
        ),
        (
            "rename",
            ("/d", "s1", "a/b"),
            "HadoopIllegalArgumentException",
            'Snapshot name cannot contain "/"',
        ),
    ],
)
def test_refusals(
    snapped: Any, call: str, arguments: tuple[str, ...], kind: str, text: str
) -> None:
    snapped.mkdir("/e")
    assert snapped.refusal(getattr(mutate_snapshots, call), *arguments) == (kind, text)


def test_a_name_that_is_taken(snapped: Any) -> None:
    snapped.do(mutate_snapshots.create, "/d", "s2")
    assert snapped.refusal(mutate_snapshots.rename, "/d", "s1", "s2") == (
        "SnapshotException",
        "The snapshot s2 already exists for directory /d",
    )


def test_a_directory_below_a_snapshottable_one(snapped: Any) -> None:
    snapped.mkdir("/d/e")
    _, text = snapped.refusal(mutate_snapshots.allow, "/d/e")
    assert text.startswith(
        "Nested snapshottable directories not allowed: path=/d/e, the ancestor /d"
    )


def test_who_may(snapped: Any) -> None:
    for call in (mutate_snapshots.allow, mutate_snapshots.disallow):
        kind, text = snapped.refusal(call, "/d", who=snapped.alice)
        assert kind == "AccessControlException"
        assert "Superuser privilege is required" in text
    kind, text = snapped.refusal(mutate_snapshots.delete, "/d", "s1", who=snapped.bob)
    assert (kind, text) == (
        "AccessControlException",
        "Permission denied. user=bob is not the owner of inode=/d",
    )


def test_limits(new_world: Any) -> None:
    world = new_world(Limits(snapshots_per_directory_max=1, snapshots_max=2, block_size_min=1))
    for path in ("/a", "/b", "/c"):
        world.mkdir(path)
        world.do(mutate_snapshots.allow, path)
    world.do(mutate_snapshots.create, "/a", "s")
    assert (
        "per directory snapshot limit is 1" in world.refusal(mutate_snapshots.create, "/a", "t")[1]
    )
    world.do(mutate_snapshots.create, "/b", "s")
    assert "file system snapshot limit is 2" in world.refusal(mutate_snapshots.create, "/c", "s")[1]
    world.ns.snapshots.counter = SNAPSHOT_ID_MAX
    assert "has run out of snapshot IDs" in world.refusal(mutate_snapshots.create, "/c", "s")[1]


def test_what_has_snapshots_is_neither_deleted_nor_renamed(snapped: Any) -> None:
    snapped.mkdir("/up")
    text = "The directory /d cannot be deleted since /d is snapshottable and already has snapshots"
    refused = ("SnapshotException", text)
    assert snapped.refusal(mutate.delete, "/d", True) == refused
    assert snapped.refusal(mutate.rename_old, "/d", "/e") == refused
    assert snapped.refusal(mutate.rename, "/d", "/up/d", overwrite=False) == refused
    snapped.do(mutate_snapshots.delete, "/d", "s1")
    snapped.do(mutate_snapshots.allow, "/up")
    kind, text = snapped.refusal(mutate.rename, "/d", "/up/d", overwrite=False)
    assert kind == "SnapshotException"
    assert text.startswith("Unable to rename because /d has snapshottable descendant directories")
    snapped.do(mutate.delete, "/d", True)
    assert [row for row, _ in snapped.ns.snapshots.allowed()] == [snapped.ns.lookup("/up")]


def test_a_source_of_concat_that_a_snapshot_shows(snapped: Any) -> None:
    snapped.write("/d/g", 128)
    kind, text = snapped.refusal(mutate.concat, "/d/g", ["/d/f"])
    assert (kind, text) == ("SnapshotException", "Concat: the source file /d/f is in snapshot")
    snapped.mkdir("/o")
    snapped.write("/o/g", 128)
    snapped.do(mutate.rename, "/d/f", "/o/f", overwrite=False)
    _, text = snapped.refusal(mutate.concat, "/o/g", ["/o/f"])
    assert text.endswith("is referred by some other reference in some snapshot.")
