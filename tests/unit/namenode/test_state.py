"""One transaction means the same to whoever applies it: the active, a standby, a loader."""

from __future__ import annotations

import pytest
from small_namenode import CLIENT, Desktop, FrameLog, new_state, settings

from hdfsd.base.errors import IllegalArgument, InvariantBroken, StandbyError
from hdfsd.base.ids import Block, BlockId, GenStamp, TxId
from hdfsd.blocks.blockmap import BlockState
from hdfsd.editlog import ops
from hdfsd.editlog.ops import EditOp, PermissionStatus
from hdfsd.namenode.answers import Created
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.state import NameNodeState
from hdfsd.namespace.inode import FileLayout, Permission
from hdfsd.wire.messages import client_namenode

OWNER = PermissionStatus("hdfs", "supergroup", 0o644)
FIRST, SECOND = (Block(BlockId(1073741825 + n), 0, GenStamp(1001 + n)) for n in range(2))
LENGTH = 100


def add_op(path: str, inode_id: int = 16386) -> ops.AddOp:
    return ops.AddOp(
        inode_id=inode_id,
        path=path,
        replication=2,
        mtime=5,
        atime=5,
        block_size=128,
        blocks=(),
        permissions=OWNER,
        acl_entries=(),
        xattrs=(),
        client_name="c1",
        client_machine="h1",
        overwrite=False,
        storage_policy_id=0,
        erasure_coding_policy_id=0,
        client_id=CLIENT,
        call_id=3,
    )


def full(block: Block, stamp: int | None = None) -> Block:
    return Block(block.block_id, LENGTH, GenStamp(stamp or block.gen_stamp))


def close_op(path: str, *blocks: Block) -> ops.CloseOp:
    return ops.CloseOp(0, path, 2, 5, 5, 128, blocks, OWNER)


def write_ops(path: str, block: Block, inode_id: int = 16386) -> list[EditOp]:
    return [
        add_op(path, inode_id),
        ops.AllocateBlockIdOp(block.block_id),
        ops.SetGenstampV2Op(block.gen_stamp),
        ops.AddBlockOp(path, (block,), b"", -2),
        close_op(path, full(block)),
    ]


def fresh(*, active: bool = False) -> NameNodeState:
    state = new_state(settings())
    state.blocks.loaded(0)
    if active:
        state.log = FrameLog()
        state.ha_state = HAState.ACTIVE
        for _ in state.blocks.become_active(0):
            pass
    return state


def replay(state: NameNodeState, made: list[EditOp]) -> None:
    for op in made:
        state.replay(op, TxId(state.applied_txid + 1), 1_000)


def block_states(state: NameNodeState, *blocks: Block) -> list[tuple[Block | None, BlockState]]:
    return [(state.blocks.stored(b.block_id), state.blocks.state(b.block_id)) for b in blocks]


# --- commit ---


def test_commit_applies_logs_and_counts() -> None:
    state = fresh(active=True)
    state.commit(write_ops("/f", FIRST), 1_000)
    assert state.applied_txid == 5
    assert isinstance(state.log, FrameLog)
    assert state.log.ops() == write_ops("/f", FIRST)
    assert state.namespace.inode_count == 2
    # An active waits for the DataNodes' word, a standby takes the log's.
    assert block_states(state, FIRST) == [(full(FIRST), BlockState.COMMITTED)]


def test_only_an_open_log_takes_transactions() -> None:
    state = fresh()
    with pytest.raises(StandbyError, match="its edit log is closed"):
        state.commit([add_op("/f")], 1_000)
    assert (state.applied_txid, state.namespace.inode_count) == (0, 1)


def test_what_cannot_be_written_changes_nothing() -> None:
    state = fresh(active=True)
    with pytest.raises(IllegalArgument):
        state.commit([add_op("/" + "x" * 70_000)], 1_000)
    assert (state.applied_txid, state.namespace.inode_count) == (0, 1)
    assert isinstance(state.log, FrameLog)
    assert state.log.frames == []


def test_answers_are_kept_under_the_transaction_they_belong_to() -> None:
    state = fresh(active=True)
    state.commit([add_op("/f")], 1_000)
    answer = client_namenode.CreateResponseProto()
    state.remember(CLIENT, 3, answer, 1_000)
    entry = state.retry.find(CLIENT, 3, 1_000)
    assert entry is not None
    assert (entry.txid, entry.answer) == (1, answer)


# --- replay ---


def test_replay_gives_the_same_namespace_and_complete_blocks() -> None:
    state = fresh()
    replay(state, write_ops("/f", FIRST))
    assert block_states(state, FIRST) == [(full(FIRST), BlockState.COMPLETE)]
    assert state.applied_txid == 5
    assert state.namespace.gen_stamp == FIRST.gen_stamp


@pytest.mark.parametrize("txid", [0, 1, 3, 100])
def test_a_transaction_out_of_order_stops_the_process(txid: int) -> None:
    state = fresh()
    replay(state, [add_op("/f")])
    with pytest.raises(InvariantBroken, match=f"P4: txid {txid} after 1"):
        state.replay(ops.DeleteOp("/f", 5, b"", -2), TxId(txid), 1_000)
    assert state.applied_txid == 1


def test_replayed_calls_are_in_the_retry_cache_with_what_their_edits_say() -> None:
    """A deletion says nothing but that it is done; a creation says what was made."""
    state = fresh()
    layout = FileLayout(2, 128, 0, 0)
    made = Created(16386, 5, 5, Permission("hdfs", "supergroup", 0o644), layout, 0, False)
    replay(state, [add_op("/f"), ops.DeleteOp("/f", 5, CLIENT, 4), ops.SetGenstampV2Op(1001)])
    for call_id, txid, answer in ((3, 1, made), (4, 2, None)):
        entry = state.retry.find(CLIENT, call_id, 1_000)
        assert entry is not None
        assert (entry.txid, entry.answer) == (txid, answer)
    assert len(state.retry) == 2


def test_a_loaded_image_tells_the_block_map_all_its_blocks() -> None:
    state = fresh()
    replay(state, write_ops("/closed", FIRST))
    replay(state, write_ops("/open", SECOND, 16387)[:-1])
    loaded = NameNodeState(
        info=state.info,
        namespace=state.namespace,
        blocks=new_state(settings()).blocks,
        applied_txid=state.applied_txid,
        retry_life_ms=1,
    )
    loaded.load_blocks()
    assert block_states(loaded, FIRST, SECOND) == [
        (full(FIRST), BlockState.COMPLETE),
        (SECOND, BlockState.UNDER_CONSTRUCTION),
    ]
    assert loaded.blocks.inode_of(SECOND.block_id) == 16387


def test_a_loaded_image_tells_the_block_map_of_blocks_that_only_snapshots_have() -> None:
    state = fresh()
    replay(
        state,
        [
            ops.AllowSnapshotOp("/"),
            *write_ops("/kept", FIRST),
            *write_ops("/deleted", SECOND, 16387),
            ops.CreateSnapshotOp("/", "s1", 5, b"", -2),
            ops.DeleteOp("/deleted", 6, b"", -2),
        ],
    )
    loaded = NameNodeState(
        info=state.info,
        namespace=state.namespace,
        blocks=new_state(settings()).blocks,
        applied_txid=state.applied_txid,
        retry_life_ms=1,
    )
    loaded.load_blocks()
    assert block_states(loaded, FIRST, SECOND) == [
        (full(FIRST), BlockState.COMPLETE),
        (full(SECOND), BlockState.COMPLETE),
    ]
    assert loaded.blocks.inode_of(SECOND.block_id) == 16387


# --- effects on blocks ---


def test_deleted_files_lose_their_blocks() -> None:
    state = fresh()
    replay(state, [*write_ops("/f", FIRST), ops.DeleteOp("/f", 5, b"", -2)])
    assert state.blocks.stored(FIRST.block_id) is None


def test_a_file_that_is_appended_to_has_an_open_block() -> None:
    state = fresh()
    replay(state, [*write_ops("/f", FIRST), ops.AppendOp("/f", "c1", "h1", False, b"", -2)])
    assert block_states(state, FIRST) == [(full(FIRST), BlockState.UNDER_CONSTRUCTION)]


def test_a_new_stamp_reaches_the_block() -> None:
    state = fresh()
    renewed = full(FIRST, 1005)
    made = [*write_ops("/f", FIRST)[:-1], ops.SetGenstampV2Op(1005)]
    replay(state, [*made, ops.UpdateBlocksOp("/f", (renewed,), b"", -2)])
    assert block_states(state, FIRST) == [(renewed, BlockState.UNDER_CONSTRUCTION)]


def test_replication_is_the_blocks_too() -> None:
    state = fresh()
    replay(state, [*write_ops("/f", FIRST), ops.SetReplicationOp("/f", 7)])
    row = state.blocks.blocks.row(FIRST.block_id)
    assert state.blocks.blocks.replication(row) == 7


def test_concat_moves_blocks_to_the_other_file() -> None:
    state = fresh()
    replay(state, [*write_ops("/a", FIRST), *write_ops("/b", SECOND, 16387)])
    replay(state, [ops.ConcatDeleteOp("/a", ("/b",), 5, b"", -2)])
    assert state.blocks.inode_of(SECOND.block_id) == 16386
    assert state.namespace.inode_count == 2


def test_active_says_whether_it_is() -> None:
    desktop = Desktop()
    assert desktop.state.is_active
    desktop.state.ha_state = HAState.STANDBY
    assert not desktop.state.is_active
