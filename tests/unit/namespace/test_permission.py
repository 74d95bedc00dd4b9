"""permission: who may do what; the texts are checked against Hadoop's in test_mutate."""

from __future__ import annotations

from typing import Any

import pytest

from hdfsd.base.errors import AccessControl
from hdfsd.editlog.ops import ACL_ACCESS, ACL_DEFAULT, ACL_GROUP, ACL_USER, AclEntry
from hdfsd.namespace import permission
from hdfsd.namespace.permission import Principal, allows, mode_text


@pytest.mark.parametrize(
    ("mode", "text"),
    [
        (0, "---------"),
        (0o754, "rwxr-xr--"),
        (0o1777, "rwxrwxrwt"),
        (0o1776, "rwxrwxrwT"),
        (0o1000, "--------T"),
    ],
)
def test_mode_text(mode: int, text: str) -> None:
    assert mode_text(mode) == text


@pytest.mark.parametrize(
    ("user", "groups", "bits", "allowed"),
    [
        ("alice", "", 6, True),
        ("alice", "", 1, False),
        ("alice", "staff", 1, False),
        ("bob", "staff", 5, True),
        ("bob", "staff", 2, False),
        ("bob", "", 4, True),
        ("bob", "", 2, False),
        ("bob", "", 0, True),
    ],
)
def test_owner_then_group_then_other(
    world: Any, user: str, groups: str, bits: int, allowed: bool
) -> None:
    world.mkdir("/d")
    row = world.ns.lookup("/d")
    world.ns.perms[row] = world.ns.intern_permission("alice", "staff", 0o654)
    who = Principal(user, frozenset(filter(None, [groups])))
    assert allows(world.ns, who, row, bits) is allowed


USER_BOB = AclEntry(ACL_USER, ACL_ACCESS, 7, "bob")
OWNING = AclEntry(ACL_GROUP, ACL_ACCESS, 4)
GUESTS = AclEntry(ACL_GROUP, ACL_ACCESS, 7, "guests")


@pytest.mark.parametrize(
    ("user", "groups", "bits", "allowed"),
    [
        ("alice", "guests", 7, True),
        ("bob", "", 5, True),
        ("bob", "", 2, False),
        ("bob", "guests", 2, False),
        ("eve", "staff", 4, True),
        ("eve", "staff", 1, False),
        ("eve", "guests", 5, True),
        ("eve", "guests", 2, False),
        ("eve", "", 1, True),
        ("eve", "", 4, False),
    ],
)
def test_access_acl_under_its_mask(
    world: Any, user: str, groups: str, bits: int, allowed: bool
) -> None:
    world.mkdir("/d")
    row = world.ns.lookup("/d")
    world.ns.perms[row] = world.ns.intern_permission("alice", "staff", 0o751)
    world.ns.acls[row] = (USER_BOB, OWNING, GUESTS)
    who = Principal(user, frozenset(filter(None, [groups])))
    assert allows(world.ns, who, row, bits) is allowed


def test_a_default_acl_alone_does_not_count(world: Any) -> None:
    world.mkdir("/d", 0o770)
    row = world.ns.lookup("/d")
    world.ns.acls[row] = (AclEntry(ACL_USER, ACL_DEFAULT, 7, "bob"),)
    assert not allows(world.ns, world.bob, row, 4)


def test_the_topmost_closed_directory_is_named(world: Any) -> None:
    world.mkdir("/a/b/c/d")
    for path in ("/a/b", "/a/b/c"):
        row = world.ns.lookup(path)
        world.ns.perms[row] = world.ns.intern_permission("alice", "staff", 0o700)
    with pytest.raises(AccessControl, match='access=EXECUTE, inode="/a/b":alice:staff:drwx------'):
        permission.check_traverse(world.ns, world.bob, world.ns.lookup("/a/b/c/d"))
    permission.check_traverse(world.ns, world.alice, world.ns.lookup("/a/b/c/d"))


def test_sticky_bit_below_a_deleted_tree(world: Any) -> None:
    world.mkdir("/t", 0o1777)
    world.mkdir("/t/of_bob", 0o777, who=world.bob)
    row = world.ns.lookup("/t")
    with pytest.raises(AccessControl, match="Permission denied by sticky bit: user=alice"):
        permission.check_subtree(world.ns, world.alice, row, 7)
    permission.check_subtree(world.ns, world.bob, row, 7)


def test_empty_directories_may_be_ignored(world: Any) -> None:
    world.mkdir("/t", 0o700)
    row = world.ns.lookup("/t")
    permission.check_subtree(world.ns, world.bob, row, 7, ignore_empty=True)
    with pytest.raises(AccessControl):
        permission.check_subtree(world.ns, world.bob, row, 7)
