"""apply: every op class has its place, misfits stop the process, replay makes the same tree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import InvariantBroken, RemoteFault
from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.editlog import codec, ops
from hdfsd.namespace import apply as apply_module
from hdfsd.namespace import mutate
from hdfsd.namespace.apply import apply, blocks_up_to
from hdfsd.namespace.effects import (
    BlockReopened,
    BlocksAdded,
    BlocksMoved,
    BlocksRemoved,
    BlockUpdated,
    ReplicationChanged,
)
from hdfsd.namespace.requests import CREATE, OVERWRITE, NewFile

STATUS = ops.PermissionStatus("alice", "staff", 0o644)


def block(number: int, size: int = 0, stamp: int = 1001) -> Block:
    return Block(BlockId(number), size, GenStamp(stamp))


def add_op(path: str, *, inode_id: int = 20000, blocks: tuple[Block, ...] = ()) -> ops.AddOp:
    return ops.AddOp(
        inode_id, path, 3, 5, 5, 128, blocks, STATUS, (), (), "c1", "host1", False, 0, 0
    )


def test_every_op_class_has_an_applier() -> None:
    assert set(apply_module._APPLIERS) == set(ops.OP_CLASSES)


@pytest.mark.parametrize(
    ("op", "why"),
    [
        (ops.CreateSnapshotOp("/d", "s", 1), "/d is not snapshottable"),
        (ops.DeleteSnapshotOp("/", "s", 1), "it has no snapshot s"),
        (ops.RenameSnapshotOp("/", "s", "t", 1), "it has no snapshot s"),
        (ops.AllowSnapshotOp("/none"), "/none does not exist"),
        (ops.DisallowSnapshotOp("/none"), "/none does not exist"),
        (ops.DeleteOp("/none", 1), "/none does not exist"),
        (ops.DeleteOp("/", 1), "the root can't be deleted"),
        (ops.MkdirOp(20001, "/no/parent", 1, 1, STATUS), "has no parent directory"),
        (ops.MkdirOp(20001, "/d", 1, 1, STATUS), "/d exists"),
        (ops.MkdirOp(20001, "/", 1, 1, STATUS), "has no parent directory"),
        (ops.SymlinkOp(20001, "/d", "/x", 1, 1, STATUS), "/d exists"),
        (ops.SetPermissionsOp("/none", 0o700), "/none does not exist"),
        (ops.CloseOp(0, "/d", 3, 1, 1, 1, (), STATUS), "/d is not a file"),
        (ops.AddBlockOp("/f", (block(1),)), "/f is not under construction"),
        (ops.AddBlockOp("/open", ()), "one or two blocks"),
        (ops.AddBlockOp("/open", (block(1), block(2))), "the last block is None"),
        (ops.AppendOp("/open", "c2", "host1", False), "/open is under construction"),
        (ops.RenameOp("/d", "/d/below", 1, b"\x00"), "impossible"),
        (ops.RenameOp("/d", "/f", 1, b"\x00"), "/f exists"),
        (ops.RenameOp("/", "/g", 1, b"\x00"), "impossible"),
        (ops.ReassignLeaseOp("c1", "/f", "c2"), "/f is not under construction"),
        (ops.SetQuotaOp("/f", 1, 1), "/f is not a directory"),
        (ops.ConcatDeleteOp("/f", ("/d/g",), 1), "not beside the target"),
        (ops.ConcatDeleteOp("/f", ("/f",), 1), "not beside the target"),
        (ops.TruncateOp("/f", "c1", "host1", 5, 1, None), "not on a block boundary"),
        (ops.UpdateBlocksOp("/f", (block(99),)), "block ids differ"),
        (ops.CancelDelegationTokenOp(ops.DelegationTokenIdentifier("", "", "", 1, 1, 9, 1)), "9"),
    ],
    ids=lambda value: value.NAME if isinstance(value, ops.EditOp) else "",
)
def test_an_op_that_does_not_fit_stops_the_process(world: Any, op: ops.EditOp, why: str) -> None:
    world.mkdir("/d")
    world.write("/d/g", 10)
    world.write("/f", 10)
    world.open("/open")
    before = world.dump()
    with pytest.raises(InvariantBroken, match="P4") as caught:
        apply(world.ns, op)
    assert why in str(caught.value)
    assert world.dump() == before


def test_a_file_grows_and_closes(world: Any) -> None:
    inode_id = world.open("/a/f")
    assert world.ns.writer_of(inode_id) == ("c1", "host1")
    first = world.add_block("/a/f")
    full = replace(first, num_bytes=128)
    second = world.add_block("/a/f", full)
    world.close("/a/f", replace(second, num_bytes=7))
    assert world.effects == [
        BlocksAdded(inode_id, 3, (first,), True),
        BlockUpdated(inode_id, first, full, True),
        BlocksAdded(inode_id, 3, (second,), True),
        BlockUpdated(inode_id, second, replace(second, num_bytes=7), True),
    ]
    assert world.ns.blocks_of(inode_id) == (full, replace(second, num_bytes=7))
    assert world.ns.writer_of(inode_id) is None
    assert len(world.ns.leases) == 0
    assert world.ns.block_count == 2
    world.check_counts()


def test_overwriting_removes_the_old_file(world: Any) -> None:
    old = world.write("/f", 10)
    gone = world.ns.blocks_of(old)[0].block_id
    world.effects.clear()
    new = world.open("/f")
    assert world.effects == [BlocksRemoved((gone,))]
    assert not world.ns.has(old)
    assert world.ns.path_of(new) == "/f"
    world.check_counts()


def test_deleting_a_tree_gives_all_its_blocks_and_leases_back(world: Any) -> None:
    world.write("/d/one", 10)
    world.write("/d/sub/two", 128, 20)
    world.open("/d/sub/open")
    effects = world.do(mutate.delete, "/d", True)
    assert len(effects) == 1
    assert isinstance(effects[0], BlocksRemoved)
    assert len(effects[0].blocks) == 3
    assert world.ns.inode_count == 1
    assert world.ns.block_count == 0
    assert len(world.ns.leases) == 0
    assert world.ns.lookup("/d") == -1
    world.check_counts()


def test_append_reopens_a_block_that_has_room(world: Any) -> None:
    inode_id = world.write("/f", 10)
    last = world.ns.blocks_of(inode_id)[0]
    assert world.do(mutate.append, "/f", ("c2", "h"), False, world.blocks) == [
        BlockReopened(inode_id, last)
    ]
    world.check_counts()
    world.close("/f", replace(last, num_bytes=50), client="c2")
    assert world.ns.blocks_of(inode_id)[0].num_bytes == 50
    world.check_counts()


@pytest.mark.parametrize(("size", "new_block"), [(128, False), (10, True), (None, False)])
def test_append_without_room_reopens_nothing(world: Any, size: int | None, new_block: bool) -> None:
    world.write("/f", *(() if size is None else (size,)))
    assert world.do(mutate.append, "/f", ("c2", "h"), new_block, world.blocks) == []
    world.check_counts()


def test_truncate_on_a_boundary_and_inside_a_block(world: Any) -> None:
    inode_id = world.write("/f", 128, 128, 50)
    first, second, third = world.ns.blocks_of(inode_id)
    assert world.do(mutate.truncate, "/f", ("c2", "h"), 256, world.blocks) == [
        BlocksRemoved((third.block_id,))
    ]
    assert world.ns.writer_of(inode_id) is None
    stamp = world.ns.gen_stamp
    assert world.do(mutate.truncate, "/f", ("c2", "h"), 100, world.blocks) == [
        BlocksRemoved((second.block_id,)),
        BlockReopened(inode_id, first, truncate_to=100),
    ]
    assert world.ns.writer_of(inode_id) == ("c2", "h")
    assert world.ns.gen_stamp == stamp + 1
    world.check_counts()


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0, (0, 0)), (1, (1, 10)), (10, (1, 10)), (11, (2, 30)), (30, (2, 30)), (99, (2, 30))],
)
def test_blocks_up_to(length: int, expected: tuple[int, int]) -> None:
    assert blocks_up_to((block(1, 10), block(2, 20)), length) == expected


def test_concat_moves_blocks_and_drops_the_sources(world: Any) -> None:
    target = world.write("/d/t", 10, replication=2)
    world.write("/d/a", 20)
    world.write("/d/b", 30)
    effects = world.do(mutate.concat, "/d/t", ["/d/a", "/d/b"])
    ids = tuple(b.block_id for b in world.ns.blocks_of(target))
    assert effects == [BlocksMoved(target, ids[1:], 2)]
    assert [b.num_bytes for b in world.ns.blocks_of(target)] == [10, 20, 30]
    assert world.ns.lookup("/d/a") == world.ns.lookup("/d/b") == -1
    world.check_counts()


def test_replication_is_told_to_the_block_map(world: Any) -> None:
    inode_id = world.write("/f", 10, 20)
    ids = tuple(b.block_id for b in world.ns.blocks_of(inode_id))
    assert world.do(mutate.set_replication, "/f", 5) == [ReplicationChanged(inode_id, ids, 5)]
    assert world.ns.replication_of(inode_id) == 5
    world.check_counts()


def test_abandoning_takes_the_last_block_away(world: Any) -> None:
    inode_id = world.open("/f")
    first = world.add_block("/f")
    assert world.do(mutate.abandon_block, "/f", "c1", first, inode_id) == [
        BlocksRemoved((first.block_id,))
    ]
    world.check_counts()
    assert world.ns.blocks_of(inode_id) == ()


def test_old_logs_reopen_a_file_by_a_second_add(world: Any) -> None:
    inode_id = world.write("/f", 10)
    old = world.ns.blocks_of(inode_id)
    op = replace(add_op("/f", blocks=old), client_name="c9")
    assert list(apply(world.ns, op)) == []
    assert world.ns.writer_of(inode_id) == ("c9", "host1")
    world.check_counts()


def test_old_logs_without_inode_ids_are_numbered(world: Any) -> None:
    apply(world.ns, add_op("/f", inode_id=0))
    apply(world.ns, ops.MkdirOp(0, "/d", 1, 1, STATUS))
    assert world.ns.last_inode_id == 16387


def test_old_rename_into_a_directory_and_onto_itself(world: Any) -> None:
    world.mkdir("/d")
    world.write("/f", 1)
    apply(world.ns, ops.RenameOldOp("/f", "/d", 5))
    assert world.ns.lookup("/d/f") > 0
    apply(world.ns, ops.RenameOldOp("/d/f", "/d/f", 6))
    assert world.ns.lookup("/d/f") > 0


def test_counters(world: Any) -> None:
    for op in (
        ops.SetGenstampV1Op(1500),
        ops.SetGenstampV2Op(2500),
        ops.AllocateBlockIdOp(1073741900),
        ops.AllocateBlockIdOp(-9223372036854775792),
        ops.StartLogSegmentOp(),
        ops.EndLogSegmentOp(),
    ):
        assert list(apply(world.ns, op)) == []
    assert (world.ns.gen_stamp_v1, world.ns.gen_stamp) == (1500, 2500)
    assert world.ns.last_block_id == 1073741900
    assert world.ns.last_striped_block_id == -9223372036854775792


def test_symlinks_of_old_images_can_be_made_renamed_and_deleted(world: Any) -> None:
    apply(world.ns, ops.SymlinkOp(20000, "/link", "/target", 1, 1, STATUS))
    assert world.ns.symlinks[world.ns.lookup("/link")] == b"/target"
    world.do(mutate.rename_old, "/link", "/other")
    world.do(mutate.delete, "/other", False)
    assert world.ns.symlinks == {}
    world.check_counts()


# ---- the tree against a dumb model


class Model:
    """Paths to kinds; the ten-line file system."""

    def __init__(self) -> None:
        self.kinds = {"/": "d"}

    def parent(self, path: str) -> str:
        return path.rpartition("/")[0] or "/"

    def mkdirs(self, path: str) -> None:
        if path not in self.kinds:
            self.mkdirs(self.parent(path))
            self.kinds[path] = "d"

    def create(self, path: str) -> None:
        self.mkdirs(self.parent(path))
        self.kinds[path] = "f"

    def delete(self, path: str) -> None:
        for other in [p for p in self.kinds if p == path or p.startswith(path + "/")]:
            del self.kinds[other]

    def rename(self, src: str, dst: str) -> None:
        moved = {p: k for p, k in self.kinds.items() if p == src or p.startswith(src + "/")}
        self.delete(src)
        self.delete(dst)
        self.kinds.update({dst + p[len(src) :]: k for p, k in moved.items()})

    def children(self, path: str) -> list[str]:
        prefix = path.rstrip("/") + "/"
        below = (p[len(prefix) :] for p in self.kinds if p.startswith(prefix) and p != "/")
        return sorted(name for name in below if "/" not in name)


NAMES = st.sampled_from(["a", "b", "ab", "é", "z", "aß", "日"])


def _signed_bytes(name: str) -> list[int]:
    """Hadoop's order of names."""
    return [byte - 256 if byte > 127 else byte for byte in name.encode()]


PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("mkdirs"), PATHS),
        st.tuples(st.just("create"), PATHS),
        st.tuples(st.just("delete"), PATHS),
        st.tuples(st.just("rename"), PATHS, PATHS),
        st.tuples(st.just("overwrite"), PATHS, PATHS),
        st.tuples(st.just("quota"), PATHS),
    ),
    max_size=30,
)


def _step(world: Any, step: tuple[str, ...]) -> bool:
    """Makes the request; False when it was refused."""
    kind, path = step[0], step[1]
    try:
        if kind == "mkdirs":
            world.mkdir(path)
        elif kind == "create":
            new = NewFile(path, 0o644, "c1", "h", CREATE | OVERWRITE, True, 3, 128)
            world.do(mutate.create, new, world.blocks)
            world.add_block(path)
        elif kind == "delete":
            return mutate.delete(world.ns, world.request(), path, True) is not None and (
                world.do(mutate.delete, path, True) is not None
            )
        elif kind == "quota":
            world.do(mutate.set_quota, path, 1000, 1 << 40)
        else:
            world.do(mutate.rename, path, step[2], overwrite=kind == "overwrite")
    except RemoteFault:
        return False
    return True


@settings(derandomize=True, deadline=None, max_examples=150)
@given(STEPS)
def test_tree_agrees_with_the_model_and_with_its_replay(
    new_world: Any, steps: list[tuple[str, ...]]
) -> None:
    world, model = new_world(), Model()
    for step in steps:
        world.now_ms += 1
        if _step(world, step):
            if step[0] in ("rename", "overwrite"):
                model.rename(step[1], step[2])
            elif step[0] != "quota":
                getattr(model, step[0])(step[1])
    assert world.ns.inode_count == len(model.kinds)
    for path, kind in model.kinds.items():
        row = world.ns.lookup(path)
        assert row >= 0, path
        assert world.ns.path_of_row(row) == path
        assert ("d" if world.ns.kinds[row] == 2 else "f") == kind
        names = [world.ns.names[c].decode() for c in world.ns.children.get(row, ())]
        assert names == sorted(model.children(path), key=_signed_bytes)
    world.check_counts()
    standby = new_world()
    for txid, op in enumerate(world.applied):
        # A standby applies what it read from the journal.
        apply(standby.ns, codec.decode_frame(codec.encode(op, txid), 0, -67)[0])
    standby.check_counts()
    assert standby.dump() == world.dump()
