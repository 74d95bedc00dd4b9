"""mutate_leases: every state of the last blocks, what is done with the file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hdfsd.base.errors import RemoteFault
from hdfsd.base.ids import InodeId
from hdfsd.editlog import ops
from hdfsd.namespace import mutate
from hdfsd.namespace.requests import CREATE, NewFile, Recovery

MINUTE = 60_000


def open_with(world: Any, *states: str) -> InodeId:
    """An open file with one block per state: complete, committed, written, empty."""
    inode_id: InodeId = world.open("/f")
    last = None
    for state in states:
        block = world.add_block("/f", last)
        last = replace(block, num_bytes=128)
        if state == "committed":
            world.blocks.committed.add(block.block_id)
        elif state != "complete":
            world.blocks.incomplete.add(block.block_id)
        if state == "written":
            world.do(mutate.fsync, "/f", "c1", 128, inode_id)
    return inode_id


@pytest.mark.parametrize(
    ("states", "replicated", "locations", "outcome"),
    [
        ((), True, 0, "closed with 0"),
        (("complete",), True, 0, "closed with 1"),
        (("complete", "complete"), False, 0, "closed with 2"),
        (("committed",), True, 0, "closed with 1"),
        (("committed", "committed"), True, 0, "closed with 2"),
        (("empty",), True, 0, "closed with 0"),
        (("complete", "empty"), True, 0, "closed with 1"),
        (("complete", "empty"), True, 2, "recovering"),
        (("complete", "written"), True, 0, "recovering"),
        (("committed", "written"), False, 3, "recovering"),
    ],
)
def test_release(
    world: Any, states: tuple[str, ...], replicated: bool, locations: int, outcome: str
) -> None:
    inode_id = open_with(world, *states)
    world.blocks.replicated, world.blocks.locations = replicated, locations
    stamp = world.ns.gen_stamp
    plan = mutate.release_lease(world.ns, 1_700_000_000_000, inode_id, world.blocks)
    if outcome == "recovering":
        last = world.ns.blocks_of(inode_id)[-1]
        assert plan.recovery == Recovery(inode_id, last, stamp + 1)
        assert not plan.result
        assert list(plan.ops) == [
            ops.SetGenstampV2Op(stamp + 1),
            ops.ReassignLeaseOp("c1", "/f", "HDFS_NameNode-2023-11-14 22:13:20"),
        ]
        world.apply(plan.ops)
        assert world.ns.writer_of(inode_id) == ("HDFS_NameNode-2023-11-14 22:13:20", "host1")
    else:
        assert plan.result
        world.apply(plan.ops)
        assert f"closed with {len(world.ns.blocks_of(inode_id))}" == outcome
        assert world.ns.writer_of(inode_id) is None
    world.check_counts()


@pytest.mark.parametrize(
    ("states", "why"),
    [
        (("committed",), "waiting to be minimally replicated"),
        (("complete", "committed"), "waiting to be minimally replicated"),
        (("written", "written"), "but file is already closed"),
        (("written", "complete", "written"), "but file is already closed"),
    ],
)
def test_release_refused(world: Any, states: tuple[str, ...], why: str) -> None:
    inode_id = open_with(world, *states)
    world.blocks.replicated = False
    with pytest.raises(RemoteFault, match=why):
        mutate.release_lease(world.ns, 1, inode_id, world.blocks)


def test_nothing_to_release(world: Any) -> None:
    closed = world.write("/f", 1)
    for inode_id in (closed, InodeId(99999)):
        plan = mutate.release_lease(world.ns, 1, inode_id, world.blocks)
        assert (plan.ops, plan.result) == ((), True)


def test_recover_lease(world: Any) -> None:
    inode_id = open_with(world, "written")
    plan = mutate.recover_lease(world.ns, world.request(), "/f", ("c2", "h"), world.blocks)
    assert not plan.result
    world.apply(plan.ops)
    assert world.ns.leases.holder_of(inode_id) == "c2"
    world.blocks.incomplete.clear()
    plan = mutate.recover_lease(world.ns, world.request(), "/f", ("c2", "h"), world.blocks)
    assert plan.result
    world.apply(plan.ops)
    again = mutate.recover_lease(world.ns, world.request(), "/f", ("c2", "h"), world.blocks)
    assert (again.ops, again.result) == ((), True)


def take(world: Any) -> Any:
    new = NewFile("/f", 0o644, "c2", "h2", CREATE, True, 3, 128)
    return mutate.create(world.ns, world.request(), new, world.blocks)


def test_a_lease_within_its_soft_limit_is_kept(world: Any) -> None:
    open_with(world, "written")
    world.now_ms += MINUTE
    with pytest.raises(RemoteFault, match="this file lease is currently owned by c1 on host1"):
        take(world)
    world.blocks.under_recovery.add(world.ns.blocks_of(world.ns.last_inode_id)[0].block_id)
    with pytest.raises(RemoteFault, match="another recovery is in progress by c1 on host1"):
        take(world)


def test_a_lease_past_its_soft_limit_is_recovered(world: Any) -> None:
    inode_id = open_with(world, "written")
    world.now_ms += MINUTE + 1
    plan = take(world)
    assert plan.failure.message == (
        "Failed to CREATE_FILE /f for c2 on h2 because lease recovery is in progress."
        " Try again later."
    )
    assert plan.recovery is not None
    world.apply(plan.ops)
    # The recovery renewed the lease of its holder.
    assert not world.ns.leases.soft_expired("c1", world.now_ms + MINUTE)
    assert world.ns.leases.holder_of(inode_id) == "c1"


def test_an_append_to_a_file_left_behind_closes_it_and_goes_on(world: Any) -> None:
    open_with(world, "complete")
    world.now_ms += MINUTE + 1
    client = ("c2", "h2")
    plan = mutate.append(world.ns, world.request(), "/f", client, False, world.blocks)
    assert plan.again
    world.apply(plan.ops)
    plan = mutate.append(world.ns, world.request(), "/f", client, False, world.blocks)
    assert not plan.again
    assert isinstance(plan.ops[0], ops.AppendOp)


def test_a_create_of_a_file_left_behind_closes_it_and_fails(world: Any) -> None:
    open_with(world, "complete")
    world.now_ms += MINUTE + 1
    plan = take(world)
    assert isinstance(plan.ops[0], ops.CloseOp)
    assert plan.failure.message == "/f for client h2 already exists"
    assert not plan.again


@pytest.mark.parametrize(
    ("close_file", "delete_block", "lengths"),
    [
        (True, False, [128, 60]),
        (True, True, [128]),
        (False, False, [128, 60]),
        (False, True, [128]),
    ],
)
def test_commit_block_synchronization(
    world: Any, close_file: bool, delete_block: bool, lengths: list[int]
) -> None:
    inode_id = open_with(world, "complete", "written")
    old = world.ns.blocks_of(inode_id)[-1]
    new = replace(old, num_bytes=60, gen_stamp=old.gen_stamp + 5)
    made = mutate.commit_block_synchronization(
        world.ns,
        world.now_ms,
        inode_id,
        old,
        new,
        close_file=close_file,
        delete_block=delete_block,
    )
    assert isinstance(made[0], ops.CloseOp if close_file else ops.UpdateBlocksOp)
    world.apply(made)
    assert [b.num_bytes for b in world.ns.blocks_of(inode_id)] == lengths
    assert (world.ns.writer_of(inode_id) is None) is close_file
    world.check_counts()


def test_commit_block_synchronization_of_what_is_no_more(world: Any) -> None:
    closed = world.write("/closed", 1)
    block = world.ns.blocks_of(closed)[0]

    def commit(inode_id: InodeId) -> list[ops.EditOp]:
        return mutate.commit_block_synchronization(
            world.ns, 1, inode_id, block, block, close_file=True, delete_block=False
        )

    assert commit(closed) == []
    with pytest.raises(RemoteFault, match="does not exist"):
        commit(InodeId(99999))
    with pytest.raises(RemoteFault, match="is not the last block of /f"):
        commit(open_with(world, "written"))
