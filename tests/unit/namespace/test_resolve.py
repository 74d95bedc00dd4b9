"""resolve: reserved paths, ancestors, symlinks; Hadoop's answers are in test_mutate."""

from __future__ import annotations

from typing import Any

import pytest

from hdfsd.base.errors import (
    AccessControl,
    FileNotFound,
    InvalidPath,
    ParentNotDirectory,
    PathIsNotDirectory,
    RemoteFault,
    SnapshotReadOnly,
    UnresolvedPath,
)
from hdfsd.editlog import ops
from hdfsd.namespace.apply import apply
from hdfsd.namespace.resolve import plain, require_any, require_directory, require_file, resolve
from hdfsd.namespace.tree import NO_ROW, ROOT


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/a", "/a"),
        ("//a//b/", "/a/b"),
        ("/a/./b", "/a/./b"),
        ("/.reserved", "/.reserved"),
        ("/.reservedx/y", "/.reservedx/y"),
        ("/.reserved/raw", "/"),
        ("/.reserved/raw/d/e", "/d/e"),
        ("/.reserved/raw/.reserved", "/.reserved/raw/.reserved"),
        ("/.reserved/.inodes/16385", "/"),
        ("/.reserved/.inodes/16385/d", "/d"),
        ("/.reserved/.inodes/16386", "/d"),
        ("/.reserved/.inodes/16386/x/y", "/d/x/y"),
        ("/.reserved/.inodes/16387", "/d/e"),
        ("/.reserved/.inodes/16387/..", "/d"),
        ("/.reserved/.inodes/16386/..", "/"),
        ("/.reserved/.inodes/16385/..", "/"),
        ("/.reserved/.inodes", "/.reserved/.inodes"),
    ],
)
def test_plain(world: Any, path: str, expected: str) -> None:
    world.mkdir("/d/e")
    assert plain(world.ns, path) == expected


@pytest.mark.parametrize(
    "tail", ["99", "-1", "+", "abc", "0", "", "9" * 40, "1_6385", "１６３８５"]
)
def test_wrong_inode_paths(world: Any, tail: str) -> None:
    if tail:
        with pytest.raises(FileNotFound):
            plain(world.ns, f"/.reserved/.inodes/{tail}/x")


@pytest.mark.parametrize("path", ["", "a", "a/b"])
def test_relative_paths_are_java_assertions(world: Any, path: str) -> None:
    with pytest.raises(RemoteFault, match="Absolute path required") as caught:
        resolve(world.ns, None, path)
    assert caught.value.wire_class == "java.lang.AssertionError"


def test_what_is_there_and_what_is_not(world: Any) -> None:
    world.write("/d/f", 1)
    ns = world.ns
    directory = ns.lookup("/d")
    root = resolve(ns, None, "/")
    assert (root.path, root.row, root.directory, root.ancestor) == ("/", ROOT, NO_ROW, ROOT)
    found = resolve(ns, None, "//d/f/")
    assert (found.path, found.name) == ("/d/f", b"f")
    assert (found.directory, found.ancestor) == (directory, directory)
    missing = resolve(ns, None, "/d/g")
    assert (missing.row, missing.directory, missing.ancestor) == (NO_ROW, directory, directory)
    far = resolve(ns, None, "/d/x/y")
    assert (far.row, far.directory, far.ancestor) == (NO_ROW, NO_ROW, directory)


@pytest.mark.parametrize("path", ["/f/x", "/f/x/y"])
def test_below_a_file(world: Any, path: str) -> None:
    world.write("/f", 1)
    with pytest.raises(AccessControl, match=r"^.*/f \(is not a directory\)"):
        resolve(world.ns, None, path)
    with pytest.raises(ParentNotDirectory):
        resolve(world.ns, None, path, creating=True)


def test_who_may_not_look_into_a_directory_does_not_learn_what_is_a_file(world: Any) -> None:
    world.mkdir("/closed", 0o700)
    world.write("/closed/f", 1)
    with pytest.raises(AccessControl, match="access=EXECUTE"):
        resolve(world.ns, world.bob, "/closed/f/x", creating=True)


def test_new_names_must_be_valid(world: Any) -> None:
    with pytest.raises(InvalidPath, match="Invalid path name Invalid file name: /a:b"):
        resolve(world.ns, None, "/a:b", creating=True)
    assert resolve(world.ns, None, "/a:b").row == NO_ROW


def test_raw_paths_are_for_the_superuser_to_write(world: Any) -> None:
    with pytest.raises(AccessControl, match="Superuser privilege is required"):
        resolve(world.ns, world.alice, "/.reserved/raw/x", creating=True)
    assert resolve(world.ns, world.hdfs, "/.reserved/raw/x", creating=True).path == "/x"


def test_the_snapshots_of_the_root_are_read_only(world: Any) -> None:
    with pytest.raises(SnapshotReadOnly):
        resolve(world.ns, None, "/.snapshot/s1/f")
    assert resolve(world.ns, None, "/.snapshot/s1/f", reading=True).row == NO_ROW
    assert resolve(world.ns, None, "/.snapshots").row == NO_ROW


def test_traverse_is_checked_as_far_as_the_path_exists(world: Any) -> None:
    world.mkdir("/closed/in", 0o700)
    row = world.ns.lookup("/closed")
    world.ns.perms[row] = world.ns.intern_permission("hdfs", "supergroup", 0o700)
    for path in ("/closed/in", "/closed/none", "/closed/none/x"):
        with pytest.raises(AccessControl, match='inode="/closed"'):
            resolve(world.ns, world.bob, path)


def test_symlinks_from_old_images_lead_elsewhere(world: Any) -> None:
    status = ops.PermissionStatus("a", "b", 0o777)
    apply(world.ns, ops.SymlinkOp(20000, "/link", "/target", 1, 1, status))
    for path in ("/link", "/link/below"):
        with pytest.raises(UnresolvedPath, match="/target"):
            resolve(world.ns, None, path)
    assert resolve(world.ns, None, "/link", follow=False).row > ROOT


def test_requirements(world: Any) -> None:
    world.write("/d/f", 1)
    ns = world.ns
    assert require_file(ns, resolve(ns, None, "/d/f")) == ns.lookup("/d/f")
    assert require_directory(ns, resolve(ns, None, "/d")) == ns.lookup("/d")
    with pytest.raises(FileNotFound, match="File does not exist: /x"):
        require_file(ns, resolve(ns, None, "/x"))
    with pytest.raises(FileNotFound, match="Path is not a file: /d"):
        require_file(ns, resolve(ns, None, "/d"))
    with pytest.raises(FileNotFound, match="Directory does not exist: /x"):
        require_directory(ns, resolve(ns, None, "/x"))
    with pytest.raises(PathIsNotDirectory, match="`/d/f': Is not a directory"):
        require_directory(ns, resolve(ns, None, "/d/f"))
    with pytest.raises(FileNotFound, match="cannot find /x"):
        require_any(resolve(ns, None, "/x"))
