"""inode: defaults and numbers are those of Hadoop's configuration and image."""

from __future__ import annotations

import pytest

from hdfsd.base.config_keys import DEFAULTS
from hdfsd.namespace import tree
from hdfsd.namespace.inode import Kind, Limits
from hdfsd.wire.messages import fsimage


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dfs.namenode.fs-limits.max-component-length", Limits().component_length_max),
        ("dfs.namenode.fs-limits.max-directory-items", Limits().directory_items_max),
        ("dfs.namenode.fs-limits.max-blocks-per-file", Limits().blocks_per_file_max),
        ("dfs.namenode.fs-limits.min-block-size", Limits().block_size_min),
        ("dfs.namenode.fs-limits.max-xattrs-per-inode", Limits().xattrs_per_inode_max),
        ("dfs.namenode.fs-limits.max-xattr-size", Limits().xattr_size_max),
        ("dfs.namenode.replication.min", Limits().replication_min),
        ("dfs.replication.max", Limits().replication_max),
        ("dfs.namenode.accesstime.precision", Limits().access_time_precision_ms),
        ("dfs.namenode.acls.enabled", Limits().acls_enabled),
        ("dfs.namenode.xattrs.enabled", Limits().xattrs_enabled),
        ("dfs.storage.policy.enabled", Limits().storage_policies_enabled),
        ("dfs.ls.limit", Limits().list_limit),
        ("dfs.permissions.superusergroup", Limits().supergroup),
        ("dfs.namenode.lease-hard-limit-sec", Limits().lease_hard_limit_ms // 1000),
    ],
)
def test_defaults_are_those_of_hadoop(key: str, value: object) -> None:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    assert DEFAULTS[key] == text


def test_kinds_are_those_of_the_image() -> None:
    image = dict(fsimage.INodeSection.INode.Type.items())
    assert {kind.name: kind.value for kind in Kind if kind is not Kind.FREE} == image
    assert [Kind.FREE, Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK] == [
        tree.FREE,
        tree.FILE,
        tree.DIRECTORY,
        tree.SYMLINK,
    ]
