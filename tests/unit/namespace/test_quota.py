"""quota: counting by differences, by storage type, and the texts of Hadoop's errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hdfsd.namespace import mutate, quota
from hdfsd.namespace.inode import QUOTA_DONT_SET, QUOTA_RESET
from hdfsd.namespace.quota import Use, add, binary_prefix, types_for
from hdfsd.namespace.storage_policy import ARCHIVE, DISK, SSD
from hdfsd.namespace.tree import ROOT


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KB"),
        (1536, "1.50 KB"),
        (1 << 20, "1 MB"),
        ((1 << 20) - 1, "1.00 MB"),
        (5 << 30, "5 GB"),
        (3 * (1 << 40) + (1 << 39), "3.50 TB"),
        (1 << 60, "1 EB"),
        (2**63 - 1, "8.00 EB"),
    ],
)
def test_binary_prefix(size: int, text: str) -> None:
    assert binary_prefix(size) == text


@pytest.mark.parametrize(
    ("policy", "replication", "by_type"),
    [(0, 3, {}), (7, 3, {DISK: 30}), (5, 3, {DISK: 10, ARCHIVE: 20}), (15, 2, {DISK: 10})],
)
def test_types_for(policy: int, replication: int, by_type: dict[int, int]) -> None:
    found = types_for(policy, replication, 10)
    assert {t: size for t, size in enumerate(found) if size} == by_type


def test_add() -> None:
    types = (0, 1, 2, 0, 0, 0)
    assert add(Use(1, 10), Use(2, 5, types)) == Use(3, 15, types)
    assert add(Use(1, 10, types), Use(2, 5, types), -1) == Use(-1, 5, (0,) * 6)


def test_a_block_being_written_counts_as_a_full_one(world: Any) -> None:
    world.mkdir("/q")
    world.do(mutate.set_quota, "/q", 10, 10_000)
    world.open("/q/f")
    quotas = world.ns.quotas[world.ns.lookup("/q")]
    assert (quotas.inodes, quotas.space) == (2, 0)
    block = world.add_block("/q/f")
    assert quotas.space == 3 * 128
    world.close("/q/f", replace(block, num_bytes=10))
    assert quotas.space == 3 * 10
    world.do(mutate.append, "/q/f", ("c2", "h"), False, world.blocks)
    assert quotas.space == 3 * 128
    world.do(mutate.delete, "/q/f", False)
    assert (quotas.inodes, quotas.space) == (1, 0)
    world.check_counts()


def test_moving_between_quota_directories(world: Any) -> None:
    for path in ("/q1", "/q2"):
        world.mkdir(path)
        world.do(mutate.set_quota, path, 10, 10_000)
    world.write("/q1/d/f", 100)
    world.do(mutate.rename_old, "/q1/d", "/q2/d")
    one, two = (world.ns.quotas[world.ns.lookup(p)] for p in ("/q1", "/q2"))
    assert (one.inodes, one.space) == (1, 0)
    assert (two.inodes, two.space) == (3, 300)
    world.check_counts()


def test_quota_inside_quota(world: Any) -> None:
    world.mkdir("/q/inner")
    world.do(mutate.set_quota, "/q", 4, QUOTA_DONT_SET)
    world.do(mutate.set_quota, "/q/inner", 2, QUOTA_DONT_SET)
    world.mkdir("/q/inner/a")
    kind, text = world.refusal(mutate.mkdirs, "/q/inner/b", 0o755, True)
    assert kind == "NSQuotaExceededException"
    assert "of directory /q/inner is exceeded: quota=2 file count=3" in text
    world.mkdir("/q/b")
    kind, text = world.refusal(mutate.mkdirs, "/q/c", 0o755, True)
    assert "of directory /q is exceeded: quota=4 file count=5" in text
    # Within a common ancestor nothing is counted again.
    world.do(mutate.rename_old, "/q/b", "/q/c")
    assert "quota=2" in world.refusal(mutate.rename_old, "/q/c", "/q/inner/c")[1]
    world.check_counts()


def test_space_quota_refuses_a_block(world: Any) -> None:
    world.mkdir("/q")
    world.write("/q/f", 1)
    world.do(mutate.set_quota, "/q", QUOTA_DONT_SET, 3 * 128 - 1)
    world.open("/q/g")
    assert world.refusal(mutate.add_block, "/q/g", "c1", None, None, world.blocks) == (
        "DSQuotaExceededException",
        "The DiskSpace quota of /q is exceeded: quota = 383 B = 383 B"
        " but diskspace consumed = 387 B = 387 B",
    )
    refused = world.refusal(mutate.append, "/q/f", ("c2", "h"), False, world.blocks)
    assert refused[1].endswith("but diskspace consumed = 384 B = 384 B")
    world.check_counts()


def test_more_replicas_need_space(world: Any) -> None:
    world.mkdir("/q")
    world.write("/q/f", 100)
    world.do(mutate.set_quota, "/q", QUOTA_DONT_SET, 400)
    assert world.refusal(mutate.set_replication, "/q/f", 5)[0] == "DSQuotaExceededException"
    world.do(mutate.set_replication, "/q/f", 4)
    world.do(mutate.set_replication, "/q/f", 1)
    world.check_counts()


def test_type_quota_follows_the_policy(world: Any) -> None:
    world.mkdir("/q")
    world.write("/q/f", 100)
    world.do(mutate.set_storage_policy, "/q", "ONE_SSD")
    world.do(mutate.set_quota, "/q", QUOTA_DONT_SET, 240, SSD)
    quotas = world.ns.quotas[world.ns.lookup("/q")]
    assert (quotas.type_space[SSD], quotas.type_space[DISK]) == (100, 200)
    world.check_counts()
    world.write("/q/g", 20)
    world.open("/q/h")
    assert world.refusal(mutate.add_block, "/q/h", "c1", None, None, world.blocks) == (
        "QuotaByStorageTypeExceededException",
        "Quota by storage type : SSD on path : /q is exceeded."
        " quota = 240 B but space consumed = 248 B",
    )
    world.do(mutate.set_storage_policy, "/q", "COLD")
    assert quotas.type_space[SSD] == 0
    world.check_counts()
    world.do(mutate.set_quota, "/q", QUOTA_DONT_SET, QUOTA_RESET, SSD)
    assert world.ns.lookup("/q") not in world.ns.quotas
    assert world.ns.type_quota_count == 0


def test_renaming_between_policies_recounts_by_type(world: Any) -> None:
    world.mkdir("/ssd")
    world.mkdir("/cold")
    world.do(mutate.set_storage_policy, "/ssd", "ALL_SSD")
    world.do(mutate.set_storage_policy, "/cold", "COLD")
    world.do(mutate.set_quota, "/", QUOTA_DONT_SET, 10_000, SSD)
    world.write("/ssd/d/f", 10)
    root = world.ns.quotas[ROOT]
    assert root.type_space[SSD] == 30
    world.do(mutate.rename_old, "/ssd/d", "/cold/d")
    assert (root.type_space[SSD], root.type_space[ARCHIVE]) == (0, 30)
    world.check_counts()


def test_unlimited(world: Any) -> None:
    assert quota.is_unlimited(world.ns)
    world.do(mutate.set_quota, "/", 5, QUOTA_DONT_SET)
    assert not quota.is_unlimited(world.ns)
    world.do(mutate.set_quota, "/", QUOTA_RESET, QUOTA_DONT_SET)
    assert quota.is_unlimited(world.ns)
