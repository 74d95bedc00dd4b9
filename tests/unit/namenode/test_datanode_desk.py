"""What DataNodes are told of the NameNode; the end of a block recovery."""

from __future__ import annotations

from typing import Any

import pytest
from small_namenode import INFO, POOL, Desktop, block_of, call

from hdfsd.base.errors import IOFault, SafeModeFault, StandbyError
from hdfsd.base.ids import Block, BlockId, GenStamp, TxId
from hdfsd.blocks.blockmap import BlockState
from hdfsd.editlog.ops import CloseOp, UpdateBlocksOp
from hdfsd.namenode.datanode_desk import DatanodeDesk
from hdfsd.namenode.gate import HAState
from hdfsd.namespace import query
from hdfsd.wire.messages import acl, client_namenode, datanode, hdfs, hdfs_server
from hdfsd.wire.services import DATANODE_PROTOCOL

c = client_namenode
Status = hdfs_server.NNHAStatusHeartbeatProto
CALL = call("commitBlockSynchronization", "dn", protocol=DATANODE_PROTOCOL)


def recovering() -> tuple[Desktop, Block]:
    """/f was being written to d1, d2 and d3 when somebody asked for its recovery."""
    desktop = Desktop()
    desktop.add_nodes("d1", "d2", "d3")
    desktop.ask(
        "create",
        c.CreateRequestProto(
            src="/f",
            masked=acl.FsPermissionProto(perm=0o644),
            clientName="c1",
            createFlag=1,
            createParent=True,
            replication=3,
            blockSize=100,
        ),
        call_id=1,
    )
    request = c.AddBlockRequestProto(src="/f", clientName="c1")
    block = block_of(desktop.ask("add_block", request).block)
    desktop.ask("recover_lease", c.RecoverLeaseRequestProto(src="/f", clientName="c2"))
    return desktop, block


def agreed(desktop: Desktop, block: Block, **changes: Any) -> Any:
    """The primary's word: 40 bytes on d1 and d2."""
    values: dict[str, Any] = {
        "newGenStamp": desktop.state.namespace.gen_stamp,
        "newLength": 40,
        "closeFile": True,
        "deleteBlock": False,
        "newTaragets": [desktop.nodes[n].datanodeID for n in ("d1", "d2")],
        "newTargetStorages": ["d1-s0", "d2-s0"],
        **changes,
    }
    return datanode.CommitBlockSynchronizationRequestProto(
        block=hdfs.ExtendedBlockProto(
            poolId=POOL, blockId=block.block_id, generationStamp=block.gen_stamp, numBytes=0
        ),
        **values,
    )


def tell(desktop: Desktop, request: Any) -> Any:
    return DatanodeDesk(desktop.desk).commit_block_synchronization(request, CALL)


def holders(desktop: Desktop, block: Block) -> list[str]:
    return sorted(storage.node.host for storage in desktop.state.blocks.expected(block.block_id))


def test_the_agreed_block_closes_the_file() -> None:
    desktop, block = recovering()
    request = agreed(desktop, block)
    assert tell(desktop, request).IsInitialized()
    final = Block(block.block_id, 40, GenStamp(request.newGenStamp))
    close = desktop.log.ops()[-1]
    assert isinstance(close, CloseOp)
    assert close.blocks == (final,)
    assert desktop.state.blocks.stored(block.block_id) == final
    assert desktop.state.blocks.state(block.block_id) == BlockState.COMPLETE
    assert holders(desktop, block) == ["d1", "d2"]
    assert desktop.ask("is_file_closed", c.IsFileClosedRequestProto(src="/f")).result


def test_a_second_primary_comes_too_late_and_changes_nothing() -> None:
    desktop, block = recovering()
    request = agreed(desktop, block)
    tell(desktop, request)
    before = desktop.dump()
    assert tell(desktop, request).IsInitialized()
    assert desktop.dump() == before


def snapshot_of(desktop: Desktop) -> None:
    desktop.ask("allow_snapshot", c.AllowSnapshotRequestProto(snapshotRoot="/"))
    request = c.CreateSnapshotRequestProto(snapshotRoot="/", snapshotName="s")
    desktop.ask("create_snapshot", request, call_id=50)


def test_a_recovery_comes_too_late_for_a_file_that_only_a_snapshot_shows() -> None:
    desktop, block = recovering()
    snapshot_of(desktop)
    desktop.ask("delete", c.DeleteRequestProto(src="/f", recursive=False), call_id=51)
    before = desktop.dump()
    assert tell(desktop, agreed(desktop, block)).IsInitialized()
    assert desktop.dump() == before


def test_a_truncation_inside_of_a_block_that_a_snapshot_holds() -> None:
    """The DataNodes copy the first bytes; the snapshot's block stays, here and on a standby."""
    desktop, block = recovering()
    tell(desktop, agreed(desktop, block))
    held = desktop.state.blocks.stored(block.block_id)
    snapshot_of(desktop)
    request = c.TruncateRequestProto(src="/f", newLength=25, clientName="c9")
    assert not desktop.ask("truncate", request, call_id=52).result
    recovery = taken_recovery(desktop)
    assert recovery.block.b.blockId == block.block_id
    assert recovery.truncateBlock.numBytes == 25
    assert recovery.truncateBlock.blockId != block.block_id
    standby = Desktop(active=False)
    desktop.replay_into(standby)
    assert held is not None
    tell(desktop, agreed(desktop, held, newLength=25, newGenStamp=recovery.newGenStamp))
    copy = Block(BlockId(recovery.truncateBlock.blockId), 25, GenStamp(recovery.newGenStamp))
    for namenode in (desktop, standby):
        namespace = namenode.state.namespace
        now = query.located_file(namespace, None, "/f", 0)
        assert [found.block_id for found in now.blocks] == [copy.block_id]
        assert query.located_file(namespace, None, "/.snapshot/s/f", 0).blocks == (held,)
        assert namenode.state.blocks.stored(block.block_id) == held
    assert desktop.state.blocks.stored(copy.block_id) == copy
    assert holders(desktop, copy) == ["d1", "d2"]
    assert desktop.state.blocks.state(copy.block_id) == BlockState.COMPLETE


def taken_recovery(desktop: Desktop) -> hdfs_server.RecoveringBlockProto:
    """What one of the DataNodes is told in its next heartbeat."""
    for name in desktop.nodes:
        for command in desktop.heartbeat(name):
            if command.HasField("recoveryCmd"):
                (recovery,) = command.recoveryCmd.blocks
                return recovery
    raise AssertionError("nobody is told")


def test_a_file_that_stays_open_is_written_on_where_the_replicas_agreed() -> None:
    desktop, block = recovering()
    tell(desktop, agreed(desktop, block, closeFile=False))
    assert isinstance(desktop.log.ops()[-1], UpdateBlocksOp)
    assert desktop.state.blocks.state(block.block_id) == BlockState.UNDER_CONSTRUCTION
    assert desktop.state.blocks.recovery_id(block.block_id) is None
    assert holders(desktop, block) == ["d1", "d2"]


def test_a_block_that_nobody_has_is_dropped() -> None:
    desktop, block = recovering()
    request = agreed(desktop, block, deleteBlock=True, newTaragets=[], newTargetStorages=[])
    tell(desktop, request)
    close = desktop.log.ops()[-1]
    assert isinstance(close, CloseOp)
    assert close.blocks == ()
    assert desktop.state.blocks.stored(block.block_id) is None
    before = desktop.dump()
    assert tell(desktop, request).IsInitialized(), "and again"
    assert desktop.dump() == before


def test_another_recovery_is_not_ended() -> None:
    desktop, block = recovering()
    old = agreed(desktop, block)
    desktop.ask("recover_lease", c.RecoverLeaseRequestProto(src="/f", clientName="c3"))
    before = desktop.dump()
    with pytest.raises(IOFault, match="does not match current recovery id"):
        tell(desktop, old)
    assert desktop.dump() == before


def test_an_unknown_block_is_an_error() -> None:
    desktop, _ = recovering()
    before = desktop.dump()
    unknown = Block(BlockId(5), 0, GenStamp(5))
    with pytest.raises(IOFault, match=r"Block \(=.*\) not found"):
        tell(desktop, agreed(desktop, unknown))
    assert desktop.dump() == before


def test_refused_in_safe_mode_and_by_a_closed_log() -> None:
    desktop, block = recovering()
    desktop.state.blocks.enter_safe_mode()
    before = desktop.dump()
    with pytest.raises(SafeModeFault, match="Cannot commitBlockSynchronization"):
        tell(desktop, agreed(desktop, block))
    assert desktop.dump() == before
    for _ in desktop.state.blocks.leave_safe_mode(0):
        pass
    desktop.state.log = None
    with pytest.raises(StandbyError):
        tell(desktop, agreed(desktop, block))
    assert desktop.dump() == before


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (HAState.ACTIVE, Status.ACTIVE),
        (HAState.STANDBY, Status.STANDBY),
        (HAState.INITIALIZING, Status.STANDBY),
        (HAState.OBSERVER, Status.OBSERVER),
    ],
)
def test_heartbeats_say_state_and_transaction(state: HAState, told: int) -> None:
    desktop = Desktop()
    desktop.state.ha_state, desktop.state.applied_txid = state, TxId(7)
    desk = DatanodeDesk(desktop.desk)
    assert (desk.ha_state, desk.last_txid(), desk.namespace_info) == (told, 7, INFO)
    assert desk.blocks is desktop.state.blocks
    assert desk.clock is desktop.clock
