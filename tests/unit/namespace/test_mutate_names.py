"""mutate_names: the ops that are made; errors are compared with Hadoop's in test_mutate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hdfsd.editlog import ops
from hdfsd.editlog.ops import PermissionStatus
from hdfsd.namespace import mutate
from hdfsd.namespace.inode import Limits
from hdfsd.namespace.mutate_names import check_path_length
from hdfsd.namespace.requests import Request

RPC = (b"0123456789abcdef", 7)


def request(world: Any) -> Request:
    return Request(world.alice, 5000, *RPC)


def test_mkdirs_makes_each_missing_directory(world: Any) -> None:
    world.mkdir("/home", 0o777)
    assert mutate.mkdirs(world.ns, request(world), "/home/a/b", 0o1540, True) == [
        ops.MkdirOp(16387, "/home/a", 5000, 5000, PermissionStatus("alice", "supergroup", 0o740)),
        ops.MkdirOp(
            16388, "/home/a/b", 5000, 5000, PermissionStatus("alice", "supergroup", 0o1540)
        ),
    ]
    assert mutate.mkdirs(world.ns, request(world), "/home", 0o700, True) == []
    assert world.ns.last_inode_id == 16386


def test_what_is_made_changes_nothing_before_it_is_applied(world: Any) -> None:
    world.write("/d/f", 10)
    before = world.dump()
    mutate.mkdirs(world.ns, world.request(), "/x/y", 0o755, True)
    mutate.rename_old(world.ns, world.request(), "/d/f", "/g")
    mutate.rename(world.ns, world.request(), "/d", "/e", overwrite=True)
    mutate.delete(world.ns, world.request(), "/d", True)
    assert world.dump() == before


@pytest.mark.parametrize(
    ("overwrite", "to_trash", "options"),
    [
        (False, False, b"\x00"),
        (True, False, b"\x01"),
        (False, True, b"\x02"),
        (True, True, b"\x01\x02"),
    ],
)
def test_rename_options(world: Any, overwrite: bool, to_trash: bool, options: bytes) -> None:
    world.mkdir("/d")
    made = mutate.rename(
        world.ns,
        Request(world.hdfs, 5000, *RPC),
        "/d/",
        "/e",
        overwrite=overwrite,
        to_trash=to_trash,
    )
    assert made == [ops.RenameOp("/d", "/e", 5000, options, *RPC)]


def test_old_rename_and_delete_carry_the_call(world: Any) -> None:
    world.mkdir("/d")
    world.mkdir("/into")
    hdfs = Request(world.hdfs, 5000, *RPC)
    assert mutate.rename_old(world.ns, hdfs, "/d", "/into") == [
        ops.RenameOldOp("/d", "/into/d", 5000, *RPC)
    ]
    assert mutate.rename_old(world.ns, hdfs, "/d", "/d/x") is None
    assert mutate.rename_old(world.ns, hdfs, "/none", "/e") is None
    assert mutate.delete(world.ns, hdfs, "/d", False) == [ops.DeleteOp("/d", 5000, *RPC)]
    assert mutate.delete(world.ns, hdfs, "/none", True) is None
    assert mutate.delete(world.ns, hdfs, "/", True) is None


def test_symlinks_are_refused(world: Any) -> None:
    assert world.refusal(mutate.create_symlink, "/a", "/b") == (
        "UnsupportedOperationException",
        "Symlinks not supported",
    )


def test_number_of_objects_is_limited(new_world: Callable[..., Any]) -> None:
    world = new_world(Limits(block_size_min=1, inodes_max=3))
    world.mkdir("/a")
    world.mkdir("/b")
    assert (
        world.refusal(mutate.mkdirs, "/c", 0o755, True)[1]
        == "Exceeded the configured number of objects 3 in the filesystem."
    )


def test_component_length_zero_means_no_limit(new_world: Callable[..., Any]) -> None:
    world = new_world(Limits(component_length_max=0))
    world.mkdir("/" + "x" * 300)
    limited = new_world(Limits(component_length_max=4))
    # Bytes count, not letters.
    assert limited.refusal(mutate.mkdirs, "/d/ééé", 0o755, True) == (
        "FSLimitException$PathComponentTooLongException",
        "The maximum path component name limit of ééé in directory /d is exceeded:"
        " limit=4 length=6",
    )


def test_path_length() -> None:
    check_path_length("/a", "mkdirs")
    with pytest.raises(Exception, match=r"mkdirs: Pathname too long\.  Limit 8000 characters"):
        check_path_length("/" + "x" * 8000, "mkdirs")
