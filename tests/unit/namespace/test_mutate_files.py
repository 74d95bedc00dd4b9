"""mutate_files: what writing makes of ops; errors are compared with Hadoop's in test_mutate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hdfsd.base.errors import AlreadyBeingCreated, NotBuilt, RemoteFault
from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.editlog import ops
from hdfsd.editlog.ops import PermissionStatus
from hdfsd.namespace import mutate, mutate_snapshots, query
from hdfsd.namespace.effects import BlockCopied
from hdfsd.namespace.requests import (
    CREATE,
    LAZY_PERSIST,
    OVERWRITE,
    SHOULD_REPLICATE,
    NewFile,
    Request,
)

RPC = (b"0123456789abcdef", 7)
NEW = NewFile("/d/f", 0o1640, "c1", "host1", CREATE, True, 3, 128)


def test_create_makes_ancestors_and_the_file(world: Any) -> None:
    plan = mutate.create(world.ns, Request(world.hdfs, 5000, *RPC), NEW, world.blocks)
    assert list(plan.ops) == [
        ops.MkdirOp(16386, "/d", 5000, 5000, PermissionStatus("hdfs", "supergroup", 0o755)),
        ops.AddOp(
            16387,
            "/d/f",
            3,
            5000,
            5000,
            128,
            (),
            PermissionStatus("hdfs", "supergroup", 0o1640),
            (),
            (),
            "c1",
            "host1",
            False,
            0,
            0,
            *RPC,
        ),
    ]
    assert plan.failure is None
    assert not plan.again


@pytest.mark.parametrize(
    ("directory_policy", "changes", "policy"),
    [
        (None, {}, 0),
        ("COLD", {}, 0),
        ("LAZY_PERSIST", {}, 15),
        (None, {"storage_policy": "warm"}, 5),
        ("COLD", {"flags": CREATE | LAZY_PERSIST}, 15),
    ],
)
def test_policy_of_a_new_file(
    world: Any, directory_policy: str | None, changes: dict[str, Any], policy: int
) -> None:
    world.mkdir("/d")
    if directory_policy is not None:
        world.do(mutate.set_storage_policy, "/d", directory_policy)
    plan = mutate.create(world.ns, world.request(), NEW._replace(**changes), world.blocks)
    assert plan.ops[-1].storage_policy_id == policy


def test_erasure_coded_files_are_not_built(world: Any) -> None:
    world.mkdir("/d")
    policy = ops.XAttr(ops.XATTR_SYSTEM, "hdfs.erasurecoding.policy", b"RS-6-3-1024k")
    with pytest.raises(NotBuilt, match="erasure-coded"):
        world.do(mutate.create, NEW._replace(ec_policy="RS-6-3-1024k"), world.blocks)
    world.apply([ops.SetXAttrOp("/d", (policy,))])
    with pytest.raises(NotBuilt, match="erasure-coded"):
        world.do(mutate.create, NEW, world.blocks)
    world.do(mutate.create, NEW._replace(flags=CREATE | SHOULD_REPLICATE), world.blocks)


def test_first_and_next_block(world: Any) -> None:
    inode_id = world.open("/f")
    hdfs = Request(world.hdfs, 5000, *RPC)
    new = mutate.add_block(world.ns, hdfs, "/f", "c1", None, inode_id, world.blocks)
    first = Block(BlockId(1073741825), 0, GenStamp(1001))
    assert list(new.ops) == [
        ops.AllocateBlockIdOp(1073741825),
        ops.SetGenstampV2Op(1001),
        ops.AddBlockOp("/f", (first,)),
    ]
    assert (new.block, new.offset, new.retry) == (first, 0, False)
    world.apply(new.ops)
    full = replace(first, num_bytes=128)
    new = mutate.add_block(world.ns, hdfs, "/ignored", "c1", full, inode_id, world.blocks)
    second = Block(BlockId(1073741826), 0, GenStamp(1002))
    assert new.ops[-1] == ops.AddBlockOp("/f", (full, second))
    assert new.offset == 128


def test_a_repeated_request_gets_the_same_block(world: Any) -> None:
    world.open("/f")
    first = world.add_block("/f")
    again = mutate.add_block(world.ns, world.request(), "/f", "c1", None, None, world.blocks)
    assert (again.block, again.retry, list(again.ops)) == (first, True, [])
    full = replace(first, num_bytes=128)
    second = world.add_block("/f", full)
    again = mutate.add_block(world.ns, world.request(), "/f", "c1", full, None, world.blocks)
    assert (again.block, again.offset, again.retry) == (second, 128, True)


def test_a_repeated_request_for_a_block_that_was_written_is_refused(world: Any) -> None:
    inode_id = world.open("/f")
    world.add_block("/f")
    world.do(mutate.fsync, "/f", "c1", 40, inode_id)
    assert world.refusal(mutate.add_block, "/f", "c1", None, inode_id, world.blocks) == (
        "IOException",
        "Request looked like a retry to allocate block blk_1073741825_1001"
        " but it already contains 40 bytes",
    )


def test_append_on_a_block_boundary_goes_on_without_previous(world: Any) -> None:
    inode_id = world.write("/f", 128)
    world.do(mutate.append, "/f", ("c1", "h"), False, world.blocks)
    new = mutate.add_block(world.ns, world.request(), "/f", "c1", None, inode_id, world.blocks)
    assert [b.num_bytes for b in new.ops[-1].blocks] == [128, 0]
    assert new.offset == 128


def test_a_foreign_previous_block_is_refused(world: Any) -> None:
    world.open("/f")
    first = world.add_block("/f")
    stale = replace(first, gen_stamp=GenStamp(999))
    assert world.refusal(mutate.add_block, "/f", "c1", stale, None, world.blocks)[1] == (
        "Cannot allocate block in /f: passed 'previous' block blk_1073741825_999"
        " does not match actual last block in file blk_1073741825_1001"
    )


def test_the_penultimate_block_must_have_its_replicas(world: Any) -> None:
    world.open("/f")
    first = replace(world.add_block("/f"), num_bytes=128)
    second = replace(world.add_block("/f", first), num_bytes=128)
    world.blocks.committed.add(first.block_id)
    world.blocks.replicated = False
    assert world.refusal(mutate.add_block, "/f", "c1", second, None, world.blocks) == (
        "NotReplicatedYetException",
        "Not replicated yet: /f",
    )
    world.blocks.replicated = True
    world.add_block("/f", second)


def test_blocks_per_file_are_limited(new_world: Any) -> None:
    from hdfsd.namespace.inode import Limits

    world = new_world(Limits(block_size_min=1, blocks_per_file_max=1))
    world.open("/f")
    first = replace(world.add_block("/f"), num_bytes=128)
    assert world.refusal(mutate.add_block, "/f", "c1", first, None, world.blocks)[1] == (
        "File has reached the limit on maximum number of blocks"
        " (dfs.namenode.fs-limits.max-blocks-per-file): 1 >= 1"
    )


def test_close_takes_the_clients_word_for_the_last_block(world: Any) -> None:
    inode_id = world.open("/f")
    block = world.add_block("/f")
    last = replace(block, num_bytes=77)
    file = mutate.complete_check(world.ns, "/f", "c1", last, inode_id)
    assert file is not None
    assert mutate.close(world.ns, world.request(), file, last) == [
        ops.CloseOp(
            0, "/f", 3, 1000, 1000, 128, (last,), PermissionStatus("hdfs", "supergroup", 0o644)
        )
    ]
    wrong = replace(last, gen_stamp=GenStamp(5))
    with pytest.raises(RemoteFault, match="Trying to commit inconsistent block"):
        mutate.close(world.ns, world.request(), file, wrong)


def test_a_repeated_complete_is_true_only_for_the_same_block(world: Any) -> None:
    inode_id = world.write("/f", 10)
    last = world.ns.blocks_of(inode_id)[0]
    assert mutate.complete_check(world.ns, "/f", "c1", last, inode_id) is None
    for other in (None, replace(last, gen_stamp=GenStamp(5))):
        with pytest.raises(RemoteFault, match="File is not open for writing: /f"):
            mutate.complete_check(world.ns, "/f", "c1", other, inode_id)


def test_a_deleted_file_is_not_found_by_its_id(world: Any) -> None:
    inode_id = world.open("/f")
    world.do(mutate.delete, "/f", False)
    with pytest.raises(RemoteFault, match=rf"File does not exist: /f \(inode {inode_id}\)"):
        mutate.check_lease(world.ns, "/f", "c1", inode_id)


def test_a_renamed_file_is_found_by_its_id(world: Any) -> None:
    inode_id = world.open("/f")
    world.do(mutate.rename_old, "/f", "/g")
    assert mutate.check_lease(world.ns, "/f", "c1", inode_id).path == "/g"


def test_pipeline_recovery(world: Any) -> None:
    inode_id = world.open("/f")
    block = world.add_block("/f")
    world.apply(mutate.next_gen_stamp(world.ns))
    mutate.check_pipeline(world.ns, "c1", inode_id, block)
    new = replace(block, gen_stamp=world.ns.gen_stamp, num_bytes=5)
    world.do(mutate.update_pipeline, "c1", inode_id, block, new)
    assert world.ns.blocks_of(inode_id) == (new,)
    refused = world.refusal(mutate.update_pipeline, "c1", inode_id, block, new)
    assert "does not have a larger generation stamp" in refused[1]
    smaller = replace(new, gen_stamp=GenStamp(new.gen_stamp + 1), num_bytes=1)
    refused = world.refusal(mutate.update_pipeline, "c1", inode_id, new, smaller)
    assert "to a smaller size block" in refused[1]
    with pytest.raises(RemoteFault, match="non lease holder c2"):
        mutate.check_pipeline(world.ns, "c2", inode_id, block)
    with pytest.raises(RemoteFault, match="is not under construction"):
        mutate.check_pipeline(world.ns, "c1", world.write("/closed", 1), block)


@pytest.mark.parametrize(
    ("state", "kind", "text"),
    [
        ("committed", "RetriableException", "is COMMITTED but not yet COMPLETE."),
        ("thin", "IOException", "is not sufficiently replicated yet."),
    ],
)
def test_append_needs_a_good_last_block(world: Any, state: str, kind: str, text: str) -> None:
    inode_id = world.write("/f", 10)
    if state == "committed":
        world.blocks.committed.add(world.ns.blocks_of(inode_id)[0].block_id)
    else:
        world.blocks.sufficient = False
    refused = world.refusal(mutate.append, "/f", ("c2", "h"), False, world.blocks)
    assert refused[0] == kind
    assert refused[1].endswith(text)


def test_truncate_inside_a_block_starts_its_recovery(world: Any) -> None:
    inode_id = world.write("/f", 128, 100)
    plan = mutate.truncate(world.ns, world.request(), "/f", ("c2", "h"), 150, world.blocks)
    last = world.ns.blocks_of(inode_id)[-1]
    stamp = GenStamp(world.ns.gen_stamp + 1)
    assert list(plan.ops) == [
        ops.SetGenstampV2Op(stamp),
        ops.TruncateOp("/f", "c2", "h", 150, 1000, replace(last, gen_stamp=stamp)),
    ]
    assert plan.recovery == mutate.Recovery(inode_id, last, stamp, 22)
    assert plan.result is False


def test_truncate_inside_a_block_that_a_snapshot_holds_makes_a_copy(world: Any) -> None:
    inode_id = world.write("/d/f", 128, 100)
    held = world.ns.blocks_of(inode_id)
    world.do(mutate_snapshots.allow, "/d")
    world.do(mutate_snapshots.create, "/d", "s")
    plan = mutate.truncate(world.ns, world.request(), "/d/f", ("c2", "h"), 150, world.blocks)
    copy = Block(BlockId(held[-1].block_id + 1), 22, GenStamp(world.ns.gen_stamp + 1))
    assert list(plan.ops) == [
        ops.AllocateBlockIdOp(copy.block_id),
        ops.SetGenstampV2Op(copy.gen_stamp),
        ops.TruncateOp("/d/f", "c2", "h", 150, 1000, copy),
    ]
    assert plan.recovery == mutate.Recovery(inode_id, copy, copy.gen_stamp, 22)
    effects = world.apply(plan.ops)
    assert effects == [BlockCopied(inode_id, 3, copy, held[-1].block_id)]
    assert world.ns.blocks_of(inode_id) == (held[0], copy)
    shown = query.located_file(world.ns, None, "/d/.snapshot/s/f", 0)
    assert shown.blocks == held
    # What was written since nobody holds: it is cut in its place.
    world.close("/d/f", copy, client="c2")
    again = mutate.truncate(world.ns, world.request(), "/d/f", ("c2", "h"), 140, world.blocks)
    assert again.recovery == mutate.Recovery(inode_id, copy, GenStamp(copy.gen_stamp + 1), 12)


def test_truncate_again_while_the_last_block_is_cut(world: Any) -> None:
    inode_id = world.write("/f", 128, 100)
    last = world.ns.blocks_of(inode_id)[-1]
    world.blocks.under_recovery.add(last.block_id)
    world.blocks.truncating[last.block_id] = 22
    ask = world.ns, world.request(), "/f", ("c2", "h")
    assert mutate.truncate(*ask, 150, world.blocks) == mutate.Plan(result=False)
    text = "Failed to TRUNCATE_FILE /f for c2 on h because /f is being truncated."
    with pytest.raises(AlreadyBeingCreated, match=text):
        mutate.truncate(*ask, 140, world.blocks)


def test_a_truncation_whose_recovery_went_with_its_namenode_is_begun_again(world: Any) -> None:
    inode_id = world.write("/f", 128, 100)
    world.do(mutate.truncate, "/f", ("c2", "h"), 150, world.blocks)
    last = world.ns.blocks_of(inode_id)[-1]
    world.blocks.truncating[last.block_id] = 22
    ask = world.ns, world.request(), "/f", ("c2", "h")
    stamp = GenStamp(world.ns.gen_stamp + 1)
    plan = mutate.truncate(*ask, 150, world.blocks)
    assert plan.ops == [ops.SetGenstampV2Op(stamp)]
    assert plan.recovery == mutate.Recovery(inode_id, last, stamp, 22)
    assert plan.result is False
    with pytest.raises(AlreadyBeingCreated, match="c2 is already the current lease holder"):
        mutate.truncate(*ask, 140, world.blocks)


@pytest.mark.parametrize(
    ("sources", "text"),
    [
        (["/d/a", "/d/a"], "concat: at least two of the source files are the same"),
        (["/d/t"], "concat: the src file /d/t is the same with the target file /d/t"),
        (["/other"], "Source file /other is not in the same directory with the target /d/t"),
        (["/d/empty"], "concat: source file /d/empty is invalid or empty or underConstruction"),
        (["/d/open"], "concat: source file /d/open is invalid or empty or underConstruction"),
        (
            ["/d/big"],
            "concat: source file /d/big has preferred block size 256 which is greater than the"
            " target file's preferred block size 128",
        ),
    ],
)
def test_concat_refuses(world: Any, sources: list[str], text: str) -> None:
    for path in ("/d/t", "/d/a", "/other"):
        world.write(path, 10)
    world.write("/d/empty")
    world.write("/d/big", 10, block_size=256)
    world.open("/d/open")
    world.add_block("/d/open")
    assert world.refusal(mutate.concat, "/d/t", sources) == (
        "HadoopIllegalArgumentException",
        text,
    )


def test_concat_target_must_be_closed(world: Any) -> None:
    world.open("/t")
    assert world.refusal(mutate.concat, "/t", ["/a"])[1] == (
        "concat: target file /t is under construction"
    )


def test_overwriting_frees_its_place_in_a_full_quota(world: Any) -> None:
    world.mkdir("/d")
    world.write("/d/f", 10)
    world.do(mutate.set_quota, "/d", 2, 2**63 - 1)
    world.do(mutate.create, NEW._replace(flags=CREATE | OVERWRITE), world.blocks)
    assert world.refusal(mutate.create, NEW._replace(path="/d/g"), world.blocks)[0] == (
        "NSQuotaExceededException"
    )
