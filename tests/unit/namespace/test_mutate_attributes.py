"""mutate_attributes: the ops that are made; errors are compared with Hadoop's in test_mutate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hdfsd.editlog import ops
from hdfsd.editlog.ops import ACL_ACCESS, ACL_USER, XATTR_USER, AclEntry, XAttr
from hdfsd.namespace import mutate
from hdfsd.namespace.inode import QUOTA_DONT_SET, QUOTA_RESET, Limits
from hdfsd.namespace.requests import XATTR_CREATE

BOB = AclEntry(ACL_USER, ACL_ACCESS, 7, "bob")
KEY = XAttr(XATTR_USER, "k", b"v")


@pytest.mark.parametrize(
    ("function", "args", "op"),
    [
        (mutate.set_permission, (0o1777,), ops.SetPermissionsOp("/f", 0o1777)),
        (mutate.set_permission, (0o100644,), None),
        (mutate.set_owner, ("alice", None), ops.SetOwnerOp("/f", "alice", "")),
        (mutate.set_owner, (None, "staff"), ops.SetOwnerOp("/f", "", "staff")),
        (mutate.set_owner, ("hdfs", "supergroup"), None),
        (mutate.set_owner, (None, None), None),
        (mutate.set_times, (5, -1), ops.TimesOp("/f", 5, -1)),
        (mutate.set_times, (-1, -1), None),
        (mutate.set_replication, (2,), ops.SetReplicationOp("/f", 2)),
        (mutate.set_storage_policy, ("cold",), ops.SetStoragePolicyOp("/f", 2)),
        (mutate.unset_storage_policy, (), ops.SetStoragePolicyOp("/f", 0)),
        (mutate.remove_acl, (), ops.SetAclOp("/f", ())),
        (mutate.set_acl, ([],), ops.SetAclOp("/f", ())),
        (mutate.set_xattr, (KEY, XATTR_CREATE), ops.SetXAttrOp("/f", (KEY,))),
    ],
)
def test_op_or_nothing(
    world: Any, function: Callable[..., list[ops.EditOp]], args: Any, op: ops.EditOp | None
) -> None:
    world.write("/f", 10)
    made = function(world.ns, world.request(), "//f/", *args)
    assert made == ([] if op is None else [op])


def test_acl_ops_carry_the_whole_acl(world: Any) -> None:
    world.write("/f", 1)
    made = mutate.modify_acl_entries(world.ns, world.request(), "/f", [BOB])
    assert isinstance(made[0], ops.SetAclOp)
    assert len(made[0].entries) == 5
    world.apply(made)
    world.do(mutate.remove_acl_entries, "/f", [BOB])
    world.do(mutate.remove_acl, "/f")
    assert world.ns.acls == {}


def test_removed_xattr(world: Any) -> None:
    world.write("/f", 1)
    world.do(mutate.set_xattr, "/f", KEY, XATTR_CREATE)
    other = XAttr(XATTR_USER, "k", None)
    assert mutate.remove_xattr(world.ns, world.request(), "/f", other) == [
        ops.RemoveXAttrOp("/f", (other,))
    ]


@pytest.mark.parametrize(
    ("path", "inodes", "space", "kind", "op"),
    [
        ("/d", 5, QUOTA_DONT_SET, None, ops.SetQuotaOp("/d", 5, QUOTA_RESET)),
        ("/d", QUOTA_DONT_SET, 7, None, ops.SetQuotaOp("/d", QUOTA_RESET, 7)),
        ("/d", QUOTA_RESET, QUOTA_RESET, None, None),
        ("/d", QUOTA_DONT_SET, QUOTA_DONT_SET, None, None),
        ("/d", QUOTA_DONT_SET, 9, 1, ops.SetQuotaByStorageTypeOp("/d", 1, 9)),
        ("/", QUOTA_RESET, QUOTA_DONT_SET, None, None),
        ("/", 5, QUOTA_DONT_SET, None, ops.SetQuotaOp("/", 5, QUOTA_RESET)),
    ],
)
def test_quota_ops_carry_both_values(
    world: Any, path: str, inodes: int, space: int, kind: int | None, op: ops.EditOp | None
) -> None:
    world.mkdir("/d")
    made = mutate.set_quota(world.ns, world.request(), path, inodes, space, kind)
    assert made == ([] if op is None else [op])


def test_touch(world: Any) -> None:
    inode_id = world.write("/d/f", 1)
    assert mutate.touch(world.ns, 77, inode_id) == [ops.TimesOp("/d/f", -1, 77)]
    world.do(mutate.delete, "/d", True)
    assert mutate.touch(world.ns, 77, inode_id) == []


@pytest.mark.parametrize(
    ("limits", "function", "args", "key"),
    [
        (Limits(acls_enabled=False), mutate.set_acl, ([BOB],), "dfs.namenode.acls.enabled"),
        (
            Limits(xattrs_enabled=False),
            mutate.set_xattr,
            (KEY, XATTR_CREATE),
            "dfs.namenode.xattrs.enabled",
        ),
        (
            Limits(storage_policies_enabled=False),
            mutate.set_storage_policy,
            ("HOT",),
            "dfs.storage.policy.enabled",
        ),
        (
            Limits(type_quotas_enabled=False),
            mutate.set_quota,
            (QUOTA_DONT_SET, 5, 1),
            "dfs.quota.by.storage.type.enabled is set to false",
        ),
        (
            Limits(access_time_precision_ms=0),
            mutate.set_times,
            (1, 1),
            "dfs.namenode.accesstime.precision",
        ),
    ],
)
def test_what_is_switched_off_says_by_which_key(
    new_world: Any, limits: Limits, function: Callable[..., Any], args: Any, key: str
) -> None:
    world = new_world(limits)
    world.mkdir("/d")
    assert key in world.refusal(function, "/d", *args)[1]


@pytest.mark.parametrize(
    ("inodes", "space", "command"),
    [
        (QUOTA_RESET, QUOTA_DONT_SET, "clearQuota"),
        (QUOTA_DONT_SET, QUOTA_RESET, "clearSpaceQuota"),
        (5, QUOTA_DONT_SET, "setQuota"),
        (QUOTA_DONT_SET, 5, "setSpaceQuota"),
    ],
)
def test_quotas_are_the_superusers(world: Any, inodes: int, space: int, command: str) -> None:
    assert world.refusal(mutate.set_quota, "/", inodes, space, who=world.alice)[1] == (
        f"Access denied for user alice. Superuser privilege is required for operation {command}"
    )
