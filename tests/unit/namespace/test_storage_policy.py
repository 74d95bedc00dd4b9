"""storage_policy: the suite of Hadoop, and its place in a directory's xattrs."""

from __future__ import annotations

import pytest

from hdfsd.editlog.ops import XATTR_SYSTEM, XATTR_USER, XAttr
from hdfsd.namespace.storage_policy import (
    ARCHIVE,
    DISK,
    POLICY_XATTR,
    RAM_DISK,
    SSD,
    policy_by_name,
    policy_of_xattrs,
    with_policy,
)


@pytest.mark.parametrize(
    ("name", "replication", "types"),
    [
        ("HOT", 3, (DISK, DISK, DISK)),
        ("cold", 2, (ARCHIVE, ARCHIVE)),
        ("WARM", 3, (DISK, ARCHIVE, ARCHIVE)),
        ("One_SSD", 3, (SSD, DISK, DISK)),
        ("ONE_SSD", 1, (SSD,)),
        ("LAZY_PERSIST", 2, (RAM_DISK, DISK)),
        ("HOT", 0, ()),
    ],
)
def test_types_of_replicas(name: str, replication: int, types: tuple[int, ...]) -> None:
    policy = policy_by_name(name)
    assert policy is not None
    assert policy.choose_storage_types(replication) == types


def test_unknown_name() -> None:
    assert policy_by_name("LUKEWARM") is None


def test_text_is_that_of_hadoop() -> None:
    assert str(policy_by_name("HOT")) == (
        "BlockStoragePolicy{HOT:7, storageTypes=[DISK], creationFallbacks=[],"
        " replicationFallbacks=[ARCHIVE]}"
    )


def test_policy_in_xattrs() -> None:
    other = XAttr(XATTR_USER, POLICY_XATTR, b"\x02")
    assert policy_of_xattrs((other,)) == 0
    both = with_policy((other,), 2)
    assert both == (other, XAttr(XATTR_SYSTEM, POLICY_XATTR, b"\x02"))
    assert policy_of_xattrs(both) == 2
    assert with_policy(both, 5)[-1].value == b"\x05"
    assert with_policy(both, 0) == (other,)
    assert policy_of_xattrs((XAttr(XATTR_SYSTEM, POLICY_XATTR, None),)) == 0
