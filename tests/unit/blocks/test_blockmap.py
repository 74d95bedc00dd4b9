from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import InvariantBroken
from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId
from hdfsd.blocks.blockmap import (
    NO_ROW,
    Added,
    BlockMap,
    BlockState,
    CorruptMark,
    CorruptReason,
    UnderConstruction,
)
from hdfsd.blocks.datanodes import DataNode, Storage
from hdfsd.wire.messages import hdfs

MARK = CorruptMark(CorruptReason.REPORTED, 1001)
IDS = st.sampled_from([-5, 7, 1 << 62, 1073741825, 1073741826, 1073742848, 1073750000])


def make_storages(nodes=6, per_node=2):
    storages = []
    for number in range(nodes):
        node = DataNode(f"u{number}")
        for _ in range(per_node):
            index = len(storages)
            storages.append(Storage(index, node, hdfs.DatanodeStorageProto(storageUuid=f"{index}")))
    return storages


def add(blocks, block_id, state=BlockState.COMPLETE, replication=3):
    what = Block(BlockId(block_id), 10, GenStamp(1001))
    return blocks.add(InodeId(16386), what, replication, state)


def test_a_block_is_found_by_its_id_whatever_its_range():
    blocks = BlockMap([])
    ids = [-5, 0, 7, 1073741824, 1073741825, 1073741825 + (1 << 40), 1073742849]
    rows = {block_id: add(blocks, block_id) for block_id in ids}
    assert len(set(rows.values())) == len(blocks) == len(ids)
    for block_id, row in rows.items():
        assert blocks.row(block_id) == row
        assert blocks.block_id(row) == block_id
    assert blocks.row(1073741826) == NO_ROW
    assert blocks.row(99) == NO_ROW
    with pytest.raises(KeyError):
        blocks.need(99)


def test_the_columns_of_a_row():
    blocks = BlockMap([])
    row = blocks.add(
        InodeId(20000),
        Block(BlockId(5), 1 << 40, GenStamp(1 << 33)),
        512,
        BlockState.UNDER_CONSTRUCTION,
    )
    assert blocks.block(row) == Block(BlockId(5), 1 << 40, GenStamp(1 << 33))
    assert (blocks.inode_id(row), blocks.replication(row)) == (20000, 512)
    blocks.set_block(row, Block(BlockId(5), 7, GenStamp(8)))
    blocks.set_inode(row, InodeId(3))
    blocks.set_replication(row, 2)
    assert (blocks.length(row), blocks.gen_stamp(row), blocks.inode_id(row)) == (7, 8, 3)
    assert blocks.replication(row) == 2


def test_an_id_can_not_be_added_twice():
    blocks = BlockMap([])
    add(blocks, 5)
    with pytest.raises(InvariantBroken, match="B1"):
        add(blocks, 5)


def test_a_node_has_one_replica_of_a_block():
    storages = make_storages()
    blocks = BlockMap(storages)
    row = add(blocks, 5)
    assert blocks.add_replica(row, storages[0]) is Added.ADDED
    assert blocks.add_replica(row, storages[0]) is Added.ALREADY
    blocks.mark_corrupt(row, storages[0], MARK)
    assert blocks.add_replica(row, storages[1]) is Added.REPLACED
    assert blocks.holders(row) == [storages[1]]
    assert blocks.live_count(row) == 1
    assert not blocks.corrupt


def test_only_a_held_replica_can_be_corrupt():
    storages = make_storages()
    blocks = BlockMap(storages)
    with pytest.raises(InvariantBroken, match="B2"):
        blocks.mark_corrupt(add(blocks, 5), storages[0], MARK)


def test_states_move_the_counts():
    storages = make_storages()
    blocks = BlockMap(storages, safe_replication=2)
    row = add(blocks, 5, BlockState.UNDER_CONSTRUCTION)
    blocks.add_replica(row, storages[0])
    blocks.add_replica(row, storages[2])
    assert (blocks.complete_count, blocks.safe_count) == (0, 0)
    blocks.set_state(row, BlockState.COMMITTED)
    assert (blocks.complete_count, blocks.safe_count) == (0, 0)
    assert row in blocks.open
    blocks.set_state(row, BlockState.COMPLETE)
    assert (blocks.complete_count, blocks.safe_count) == (1, 1)
    assert row not in blocks.open
    blocks.mark_corrupt(row, storages[0], MARK)
    assert (blocks.complete_count, blocks.safe_count) == (1, 0)
    blocks.unmark_corrupt(row, storages[0])
    assert blocks.safe_count == 1
    blocks.set_state(row, BlockState.UNDER_CONSTRUCTION)
    assert (blocks.complete_count, blocks.safe_count) == (0, 0)


def test_a_replica_of_a_scan_is_seen_by_it():
    storages = make_storages()
    blocks = BlockMap(storages)
    rows = [add(blocks, 5), add(blocks, 6)]
    blocks.add_replica(rows[0], storages[0])
    storages[0].scan = type(storages[0].rows)()
    blocks.add_replica(rows[1], storages[0])
    assert list(storages[0].scan) == [rows[1]]


def test_the_last_word_of_a_node_counts_while_a_block_is_written():
    storages = make_storages(nodes=2)
    construction = UnderConstruction()
    construction.note(storages[0], 1001, 1)
    construction.note(storages[2], 1001, 1)
    construction.note(storages[0], 1002, 0)
    construction.note(storages[3], 1002, 1)
    found = [(r.storage.index, r.gen_stamp, r.state) for r in construction.replicas]
    assert found == [(0, 1002, 0), (3, 1002, 1)]


@settings(derandomize=True, deadline=None, max_examples=120)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "hold", "hold", "hold", "drop", "spoil", "state"]),
            IDS,
            st.integers(0, 11),
        ),
        max_size=60,
    )
)
def test_behaves_like_dictionaries(steps):
    storages = make_storages()
    blocks = BlockMap(storages, safe_replication=2)
    model = {}  # id -> [state, {storage: corrupt}]
    for what, block_id, number in steps:
        storage = storages[number]
        if what == "add":
            if block_id not in model:
                state = BlockState(number % 2)
                add(blocks, block_id, state)
                model[block_id] = [state, {}]
            continue
        if block_id not in model:
            assert blocks.row(block_id) == NO_ROW
            continue
        row = blocks.need(block_id)
        held = model[block_id][1]
        if what == "remove":
            blocks.remove(row)
            del model[block_id]
        elif what == "hold":
            blocks.add_replica(row, storage)
            if storage.index not in held:
                held.pop(storage.index ^ 1, None)
                held[storage.index] = False
        elif what == "drop":
            assert blocks.remove_replica(row, storage) == (storage.index in held)
            held.pop(storage.index, None)
        elif what == "spoil" and storage.index in held:
            blocks.mark_corrupt(row, storage, MARK)
            held[storage.index] = True
        elif what == "state":
            model[block_id][0] = BlockState(number % 4)
            blocks.set_state(row, BlockState(number % 4))
    check(blocks, storages, model)


def check(blocks, storages, model):
    complete = [block for block in model.values() if block[0] == BlockState.COMPLETE]
    assert len(blocks) == len(model)
    assert blocks.complete_count == len(complete)
    assert blocks.safe_count == sum(
        sum(not bad for bad in held.values()) >= 2 for _, held in complete
    )
    assert sorted(blocks.block_id(row) for row in blocks.rows()) == sorted(model)
    for block_id, (state, held) in model.items():
        row = blocks.need(block_id)
        assert blocks.state(row) == state
        assert sorted(s.index for s in blocks.holders(row)) == sorted(held)
        assert blocks.live_count(row) == sum(not bad for bad in held.values())
        assert all(blocks.is_corrupt(row, storages[i]) == bad for i, bad in held.items())
    for storage in storages:
        ids = sorted(blocks.block_id(row) for row in storage.rows)
        assert ids == sorted(b for b, (_, held) in model.items() if storage.index in held)
    assert len(blocks.open) == len(model) - len(complete)
