"""Files as they are written: blocks with registered DataNodes, pipelines, leases, retries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from small_namenode import CLIENT, Desktop, block_of, extended

from hdfsd.base.errors import (
    AccessControl,
    AlreadyBeingCreated,
    FileAlreadyExists,
    FileNotFound,
    IOFault,
    LeaseExpired,
    NotReplicatedYet,
    RecoveryInProgress,
    SafeModeFault,
    StandbyError,
    UnregisteredNode,
)
from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.blocks.blockmap import BlockState
from hdfsd.editlog.ops import AppendOp, CloseOp, ReassignLeaseOp, UpdateBlocksOp
from hdfsd.wire.messages import acl, client_namenode, datanode, hdfs

c = client_namenode
SOFT_LIMIT_MS = 60_000
MODE = acl.FsPermissionProto(perm=0o644)
NEW_BLOCK_FLAG = c.NEW_BLOCK


def create_request(path: str, client: str = "c1", flags: int = 1) -> c.CreateRequestProto:
    return c.CreateRequestProto(
        src=path,
        masked=MODE,
        clientName=client,
        createFlag=flags,
        createParent=True,
        replication=3,
        blockSize=128,
    )


def add_request(path: str, previous: Block | None = None, **more: Any) -> c.AddBlockRequestProto:
    request = c.AddBlockRequestProto(src=path, clientName="c1", **more)
    if previous is not None:
        request.previous.CopyFrom(extended(previous))
    return request


def complete_request(path: str, last: Block | None = None) -> c.CompleteRequestProto:
    request = c.CompleteRequestProto(src=path, clientName="c1")
    if last is not None:
        request.last.CopyFrom(extended(last))
    return request


def opened(path: str = "/f", nodes: int = 3, **options: Any) -> Desktop:
    desktop = Desktop(**options)
    desktop.add_nodes(*[f"d{number}" for number in range(1, nodes + 1)])
    desktop.ask("create", create_request(path), call_id=1)
    return desktop


def add(desktop: Desktop, previous: Block | None = None, path: str = "/f") -> Block:
    return block_of(desktop.ask("add_block", add_request(path, previous)).block)


def write(desktop: Desktop, *lengths: int, path: str = "/f") -> Block | None:
    """Blocks of these lengths, reported by two nodes each, and the close."""
    last: Block | None = None
    for length in lengths:
        added = block_of(desktop.ask("add_block", add_request(path, last)).block, length)
        desktop.received(added, "d1", "d2")
        last = added
    assert desktop.ask("complete", complete_request(path, last)).result
    return last


def stored(desktop: Desktop, block: Block) -> tuple[Block | None, BlockState]:
    blocks = desktop.state.blocks
    return blocks.stored(block.block_id), blocks.state(block.block_id)


# --- refusals leave no trace ---


def pipeline_of(block: Block, newer: Block) -> c.UpdatePipelineRequestProto:
    return c.UpdatePipelineRequestProto(
        clientName="c1",
        oldBlock=extended(block),
        newBlock=extended(newer),
        newNodes=[
            hdfs.DatanodeIDProto(
                datanodeUuid="uuid-d1", ipAddr="", hostName="", xferPort=1, infoPort=1, ipcPort=1
            )
        ],
        storageIDs=["d1-s0"],
    )


def requests(block: Block) -> dict[str, tuple[Any, str]]:
    """Every mutation of an open file /f whose only block is this one, and of a closed /closed."""
    newer = Block(block.block_id, 5, GenStamp(block.gen_stamp + 1))
    return {
        "create": (create_request("/new"), "Cannot create file/new"),
        "append": (
            c.AppendRequestProto(src="/closed", clientName="c1"),
            "Cannot append to file/closed",
        ),
        "truncate": (
            c.TruncateRequestProto(src="/closed", clientName="c1", newLength=1),
            "Cannot truncate for /closed",
        ),
        "concat": (
            c.ConcatRequestProto(trg="/closed", srcs=["/closed2"]),
            "Cannot concat /closed",
        ),
        "add_block": (add_request("/f", block), "Cannot add block to /f"),
        "abandon_block": (
            c.AbandonBlockRequestProto(src="/f", holder="c1", b=extended(block)),
            f"Cannot abandon block {block} for file/f",
        ),
        "complete": (complete_request("/f", block), "Cannot complete file /f"),
        "fsync": (
            c.FsyncRequestProto(src="/f", client="c1", lastBlockLength=5),
            "Cannot fsync file /f",
        ),
        "update_block_for_pipeline": (
            c.UpdateBlockForPipelineRequestProto(block=extended(block), clientName="c1"),
            f"Cannot get a new GS for block {block}",
        ),
        "update_pipeline": (pipeline_of(block, newer), "Pipeline not updated"),
        "recover_lease": (
            c.RecoverLeaseRequestProto(src="/f", clientName="c2"),
            "Cannot recover the lease of /f",
        ),
        "renew_lease": (c.RenewLeaseRequestProto(clientName="c1"), "Cannot renew lease for c1"),
    }


NAMES = tuple(requests(Block(BlockId(1), 0, GenStamp(1))))


def busy() -> tuple[Desktop, Block]:
    """/closed and /closed2 with a block each; /f is open with a block that was reported."""
    desktop = opened("/closed")
    write(desktop, 128, path="/closed")
    desktop.ask("create", create_request("/closed2"), call_id=11)
    write(desktop, 128, path="/closed2")
    desktop.ask("create", create_request("/f"), call_id=12)
    block = add(desktop)
    desktop.received(Block(block.block_id, 5, block.gen_stamp), "d1", "d2")
    return desktop, Block(block.block_id, 5, block.gen_stamp)


@pytest.mark.parametrize("name", NAMES)
def test_safe_mode_refuses_and_nothing_changes(name: str) -> None:
    desktop, block = busy()
    request, text = requests(block)[name]
    desktop.state.blocks.enter_safe_mode()
    before = desktop.dump()
    with pytest.raises(SafeModeFault) as caught:
        desktop.ask(name, request, call_id=90)
    assert caught.value.message.startswith(f"{text}. Name node is in safe mode.\n")
    assert desktop.dump() == before


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("renew_lease", "complete")])
def test_a_closed_log_refuses_and_the_namespace_stays(name: str) -> None:
    desktop, block = busy()
    request, _ = requests(block)[name]
    desktop.state.log = None
    before = desktop.dump()
    with pytest.raises(StandbyError):
        desktop.ask(name, request, call_id=90)
    inodes = [row for row in before if isinstance(row, tuple) and len(row) > 3]
    assert [row for row in desktop.dump() if isinstance(row, tuple) and len(row) > 3] == inodes
    assert desktop.dump()[-1] == before[-1]


@pytest.mark.parametrize(
    ("name", "user"),
    [("create", "eve"), ("append", "eve"), ("truncate", "eve"), ("concat", "eve"),
     ("recover_lease", "eve")],
)  # fmt: skip
def test_a_stranger_is_refused_and_nothing_changes(name: str, user: str) -> None:
    desktop, block = busy()
    request, _ = requests(block)[name]
    before = desktop.dump()
    with pytest.raises(AccessControl):
        desktop.ask(name, request, user=user, call_id=90)
    assert desktop.dump() == before


@pytest.mark.parametrize(
    "name", ["add_block", "abandon_block", "complete", "fsync", "update_pipeline",
             "update_block_for_pipeline"],
)  # fmt: skip
def test_only_the_lease_holder_writes(name: str) -> None:
    desktop, block = busy()
    request, _ = requests(block)[name]
    for field in ("clientName", "holder", "client"):
        if field in request.DESCRIPTOR.fields_by_name:
            setattr(request, field, "c2")
    before = desktop.dump()
    with pytest.raises(LeaseExpired):
        desktop.ask(name, request, call_id=90)
    assert desktop.dump() == before


@pytest.mark.parametrize(
    "name", ["add_block", "abandon_block", "complete", "update_pipeline",
             "update_block_for_pipeline"],
)  # fmt: skip
def test_blocks_of_another_pool_are_refused(name: str) -> None:
    desktop, block = busy()
    request, _ = requests(block)[name]
    for field in ("previous", "b", "last", "oldBlock", "block"):
        if field in request.DESCRIPTOR.fields_by_name and request.HasField(field):
            getattr(request, field).poolId = "BP-other"
    before = desktop.dump()
    with pytest.raises(UnregisteredNode, match="Block pool of BP-other does not match"):
        desktop.ask(name, request, call_id=90)
    assert desktop.dump() == before


# --- create ---


def test_create_answers_the_status_and_its_retry_the_same() -> None:
    desktop = Desktop()
    answer = desktop.ask("create", create_request("/f"), call_id=1)
    assert (answer.fs.block_replication, answer.fs.blocksize) == (3, 128)
    before = desktop.dump()
    assert desktop.ask("create", create_request("/f"), call_id=1) == answer
    assert desktop.dump() == before
    with pytest.raises(AlreadyBeingCreated):
        desktop.ask("create", create_request("/f"), call_id=2)
    assert desktop.dump() == before


def test_the_next_active_answers_a_retried_create_with_the_status() -> None:
    desktop = opened()
    answer = desktop.ask("create", create_request("/f"), call_id=1)
    standby = Desktop(active=False)
    desktop.replay_into(standby)
    standby.activate()
    assert standby.ask("create", create_request("/f"), call_id=1) == answer
    assert standby.log.frames == []


def test_an_existing_file_is_overwritten_only_when_asked() -> None:
    desktop = opened()
    block = write(desktop, 100)
    assert block is not None
    with pytest.raises(FileAlreadyExists):
        desktop.ask("create", create_request("/f"), call_id=2)
    desktop.ask("create", create_request("/f", flags=3), call_id=3)
    assert desktop.state.blocks.stored(block.block_id) is None


def test_an_expired_lease_is_taken_over_in_one_call() -> None:
    desktop = opened()
    desktop.clock.ms += SOFT_LIMIT_MS + 1
    with pytest.raises(FileAlreadyExists):
        desktop.ask("create", create_request("/f", client="c2"), call_id=2)
    assert desktop.state.namespace.leases.files_of("c1") == []
    desktop.ask("append", c.AppendRequestProto(src="/f", clientName="c2"), call_id=3)
    assert len(desktop.state.namespace.leases.files_of("c2")) == 1


def test_a_clock_that_is_set_forward_expires_no_lease() -> None:
    desktop = opened()
    desktop.clock.jumped_ms = SOFT_LIMIT_MS * 100
    with pytest.raises(AlreadyBeingCreated):
        desktop.ask("create", create_request("/f", client="c2"), call_id=2)
    assert len(desktop.state.namespace.leases.files_of("c1")) == 1


# --- blocks ---


def test_a_block_is_offered_where_datanodes_are() -> None:
    desktop = opened()
    located = desktop.ask("add_block", add_request("/f")).block
    assert sorted(node.id.hostName for node in located.locs) == ["d1", "d2", "d3"]
    assert len(located.storageIDs) == len(located.storageTypes) == 3
    assert (located.offset, located.b.numBytes) == (0, 0)
    block = block_of(located)
    assert stored(desktop, block) == (block, BlockState.UNDER_CONSTRUCTION)


def test_without_datanodes_nothing_is_allocated() -> None:
    desktop = opened(nodes=0)
    before = desktop.dump()
    with pytest.raises(IOFault, match="could only be written to 0 of the 1 minReplication nodes"):
        desktop.ask("add_block", add_request("/f"))
    assert desktop.dump() == before


def test_excluded_nodes_are_left_out_and_the_writers_own_comes_first() -> None:
    desktop = opened()
    out = hdfs.DatanodeInfoProto(id=desktop.nodes["d1"].datanodeID)
    located = desktop.ask("add_block", add_request("/f", excludeNodes=[out]), address="10.0.0.2")
    assert [node.id.hostName for node in located.block.locs] == ["d2", "d3"]


def test_adding_the_next_block_commits_the_previous() -> None:
    desktop = opened()
    first = add(desktop)
    written = Block(first.block_id, 128, first.gen_stamp)
    second = desktop.ask("add_block", add_request("/f", written)).block
    assert stored(desktop, first) == (written, BlockState.COMMITTED)
    assert second.offset == 128
    desktop.received(written, "d1")
    assert stored(desktop, first) == (written, BlockState.COMPLETE)


def test_a_retried_add_block_gets_the_same_block_and_targets() -> None:
    desktop = opened()
    written = Block(*_fields(add(desktop), 128))
    answer = desktop.ask("add_block", add_request("/f", written))
    before = desktop.dump()
    again = desktop.ask("add_block", add_request("/f", written))
    assert again == answer
    assert desktop.dump() == before


def _fields(block: Block, num_bytes: int) -> tuple[BlockId, int, GenStamp]:
    return block.block_id, num_bytes, block.gen_stamp


def test_a_retry_after_failover_gets_targets_of_the_new_active() -> None:
    """Where the block is being written is not in the journal."""
    desktop = opened()
    first = add(desktop)
    standby = Desktop(active=False)
    standby.add_nodes("d1", "d2", "d3")
    desktop.replay_into(standby)
    standby.activate()
    again = standby.ask("add_block", add_request("/f")).block
    assert again.b.blockId == first.block_id
    assert len(again.locs) == 3
    assert len(standby.state.blocks.expected(first.block_id)) == 3


def test_the_block_before_the_last_must_be_complete() -> None:
    desktop = opened()
    first = Block(*_fields(add(desktop), 128))
    second = Block(*_fields(add(desktop, first), 128))
    before = desktop.dump()
    with pytest.raises(NotReplicatedYet):
        desktop.ask("add_block", add_request("/f", second))
    assert desktop.dump() == before
    desktop.received(first, "d2")
    assert desktop.ask("add_block", add_request("/f", second)).block.offset == 256


def test_a_previous_block_of_another_stamp_allocates_nothing() -> None:
    desktop = opened()
    first = add(desktop)
    before = desktop.dump()
    wrong = Block(first.block_id, 128, GenStamp(first.gen_stamp + 7))
    with pytest.raises(IOFault, match="does not match actual last block"):
        desktop.ask("add_block", add_request("/f", wrong))
    assert desktop.dump() == before


def test_a_previous_block_that_shrank_allocates_nothing() -> None:
    desktop = opened()
    first = add(desktop)
    desktop.ask("fsync", c.FsyncRequestProto(src="/f", client="c1", lastBlockLength=50))
    before = desktop.dump()
    with pytest.raises(IOFault, match="of which 50 are known already"):
        desktop.ask("add_block", add_request("/f", Block(*_fields(first, 20))))
    assert desktop.dump() == before


def test_an_abandoned_block_is_gone_and_a_retry_finds_nothing() -> None:
    desktop = opened()
    block = add(desktop)
    request = c.AbandonBlockRequestProto(src="/f", holder="c1", b=extended(block))
    desktop.ask("abandon_block", request)
    assert desktop.state.blocks.stored(block.block_id) is None
    before = desktop.dump()
    desktop.ask("abandon_block", request)
    assert desktop.dump() == before


def test_more_datanodes_for_a_pipeline_that_lost_some() -> None:
    desktop = opened(nodes=4)
    located = desktop.ask("add_block", add_request("/f")).block
    kept, lost = located.locs[0], located.locs[1]
    answer = desktop.ask(
        "get_additional_datanode",
        c.GetAdditionalDatanodeRequestProto(
            src="/f",
            blk=located.b,
            existings=[kept],
            excludes=[lost],
            numAdditionalNodes=1,
            clientName="c1",
            existingStorageUuids=[located.storageIDs[0]],
        ),
    ).block
    assert answer.locs[0].id == kept.id
    assert len(answer.locs) == 2
    assert answer.locs[1].id.hostName not in (kept.id.hostName, lost.id.hostName)


# --- complete ---


def test_complete_is_true_once_every_block_has_its_replica() -> None:
    desktop = opened()
    last = Block(*_fields(add(desktop), 77))
    desktop.received(last, "d1")
    assert desktop.ask("complete", complete_request("/f", last)).result
    close = desktop.log.ops()[-1]
    assert isinstance(close, CloseOp)
    assert close.blocks == (last,)
    assert desktop.ask("is_file_closed", c.IsFileClosedRequestProto(src="/f")).result
    logged = len(desktop.log.frames)
    assert desktop.ask("complete", complete_request("/f", last)).result, "a retry"
    assert len(desktop.log.frames) == logged


def test_complete_waits_a_little_for_a_report_on_its_way() -> None:
    async def story() -> tuple[bool, bool]:
        desktop = opened()
        last = Block(*_fields(add(desktop), 77))
        waiting = asyncio.ensure_future(desktop.ask("complete", complete_request("/f", last)))
        await asyncio.sleep(0)
        before = waiting.done()
        desktop.received(last, "d1")
        return before, (await waiting).result

    assert asyncio.run(story()) == (False, True)


def test_complete_is_false_when_no_report_comes_and_the_file_stays_open() -> None:
    async def story() -> tuple[bool, Desktop]:
        desktop = opened()
        last = Block(*_fields(add(desktop), 77))
        answer = await desktop.ask("complete", complete_request("/f", last))
        return answer.result, desktop

    result, desktop = asyncio.run(story())
    assert not result
    assert not desktop.ask("is_file_closed", c.IsFileClosedRequestProto(src="/f")).result


def test_a_complete_that_waits_ends_when_the_namenode_steps_back() -> None:
    async def story() -> None:
        desktop = opened()
        last = Block(*_fields(add(desktop), 77))
        waiting = asyncio.ensure_future(desktop.ask("complete", complete_request("/f", last)))
        await asyncio.sleep(0)
        desktop.state.log = None
        desktop.received(last, "d1")
        with pytest.raises(StandbyError):
            await waiting

    asyncio.run(story())


def test_an_empty_file_is_complete_at_once() -> None:
    assert opened().ask("complete", complete_request("/f")).result


def test_fsync_makes_a_length_durable() -> None:
    desktop = opened()
    block = add(desktop)
    desktop.ask("fsync", c.FsyncRequestProto(src="/f", client="c1", lastBlockLength=50))
    op = desktop.log.ops()[-1]
    assert isinstance(op, UpdateBlocksOp)
    assert op.blocks == (Block(block.block_id, 50, block.gen_stamp),)
    assert op.client_id == b"", "idempotent calls stand in no retry cache"


# --- pipelines ---


def test_a_pipeline_goes_on_under_a_newer_stamp() -> None:
    desktop = opened()
    block = add(desktop)
    renewed = desktop.ask(
        "update_block_for_pipeline",
        c.UpdateBlockForPipelineRequestProto(block=extended(block), clientName="c1"),
    ).block
    newer = Block(block.block_id, 40, GenStamp(renewed.b.generationStamp))
    assert newer.gen_stamp > block.gen_stamp
    assert len(renewed.locs) == 3
    desktop.ask("update_pipeline", pipeline_of(block, newer), call_id=20)
    assert stored(desktop, block) == (newer, BlockState.UNDER_CONSTRUCTION)
    (target,) = desktop.state.blocks.expected(block.block_id)
    assert target.node.host == "d1"
    before = desktop.dump()
    desktop.ask("update_pipeline", pipeline_of(block, newer), call_id=20)
    assert desktop.dump() == before
    with pytest.raises(IOFault, match="does not have a larger generation stamp"):
        desktop.ask("update_pipeline", pipeline_of(block, newer), call_id=21)
    assert desktop.dump() == before


def test_a_retried_update_pipeline_is_known_to_the_next_active() -> None:
    desktop = opened()
    block = add(desktop)
    newer = Block(block.block_id, 40, GenStamp(block.gen_stamp + 1))
    desktop.ask("update_pipeline", pipeline_of(block, newer), call_id=20)
    standby = Desktop(active=False)
    desktop.replay_into(standby)
    standby.activate()
    desktop.ask("update_pipeline", pipeline_of(block, newer), call_id=20)
    assert standby.ask("update_pipeline", pipeline_of(block, newer), call_id=20).IsInitialized()
    assert standby.log.frames == []


def test_a_block_that_nobody_writes_has_no_pipeline() -> None:
    desktop = opened()
    unknown = Block(BlockId(999), 0, GenStamp(1))
    with pytest.raises(IOFault, match="does not exist or is not under Construction"):
        desktop.ask(
            "update_block_for_pipeline",
            c.UpdateBlockForPipelineRequestProto(block=extended(unknown), clientName="c1"),
        )


# --- append, truncate, concat ---


def append_request(path: str = "/f", flag: int = 0) -> c.AppendRequestProto:
    return c.AppendRequestProto(src=path, clientName="c1", flag=flag)


def test_append_reopens_the_last_block_and_names_where_it_is() -> None:
    desktop = opened()
    last = write(desktop, 128, 60)
    assert last is not None
    answer = desktop.ask("append", append_request(), call_id=30)
    assert (block_of(answer.block), answer.block.offset) == (last, 128)
    # d3 has not reported yet, but belongs to the pipeline.
    assert sorted(node.id.hostName for node in answer.block.locs) == ["d1", "d2", "d3"]
    assert answer.stat.length == 188
    assert stored(desktop, last) == (last, BlockState.UNDER_CONSTRUCTION)
    before = desktop.dump()
    again = desktop.ask("append", append_request(), call_id=30)
    assert block_of(again.block) == last
    assert desktop.dump() == before


def test_the_next_active_answers_a_retried_append() -> None:
    desktop = opened()
    last = write(desktop, 60)
    desktop.ask("append", append_request(), call_id=30)
    standby = Desktop(active=False)
    desktop.replay_into(standby)
    standby.activate()
    answer = standby.ask("append", append_request(), call_id=30)
    assert block_of(answer.block) == last
    assert answer.stat.length == 60
    assert standby.log.frames == []


def test_append_to_an_empty_file_names_no_block() -> None:
    desktop = opened()
    write(desktop)
    answer = desktop.ask("append", append_request(), call_id=30)
    assert not answer.HasField("block")
    assert isinstance(desktop.log.ops()[-1], AppendOp)


def test_append_to_a_new_block_leaves_the_last_one_closed() -> None:
    desktop = opened()
    last = write(desktop, 60)
    assert last is not None
    desktop.ask("append", append_request(flag=NEW_BLOCK_FLAG), call_id=30)
    assert stored(desktop, last) == (last, BlockState.COMPLETE)
    added = desktop.ask("add_block", add_request("/f", last)).block
    assert added.offset == 60
    assert added.b.blockId != last.block_id


def test_what_is_not_there_is_not_appended_to() -> None:
    desktop = opened()
    before = desktop.dump()
    with pytest.raises(FileNotFound):
        desktop.ask("append", append_request("/no"), call_id=30)
    assert desktop.dump() == before


@pytest.mark.parametrize(("length", "recovers"), [(128, False), (100, True)])
def test_truncate_at_a_boundary_is_done_and_inside_a_block_recovers_it(
    length: int, recovers: bool
) -> None:
    desktop = opened()
    write(desktop, 128, 60)
    answer = desktop.ask(
        "truncate", c.TruncateRequestProto(src="/f", clientName="c1", newLength=length)
    )
    assert answer.result is not recovers
    info = desktop.ask("get_file_info", c.GetFileInfoRequestProto(src="/f")).fs
    assert info.length == 128, "until the replicas are cut"
    commands = [command for name in ("d1", "d2", "d3") for command in desktop.heartbeat(name)]
    recoveries = [
        k for k in commands if k.cmdType == datanode.DatanodeCommandProto.BlockRecoveryCommand
    ]
    assert len(recoveries) == (1 if recovers else 0)
    if recovers:
        (block,) = recoveries[0].recoveryCmd.blocks
        assert block.truncateBlock.numBytes == 100


def test_concat_moves_the_blocks_once() -> None:
    desktop, _ = busy()
    request = c.ConcatRequestProto(trg="/closed", srcs=["/closed2"])
    desktop.ask("concat", request, call_id=40)
    info = desktop.ask("get_file_info", c.GetFileInfoRequestProto(src="/closed")).fs
    assert info.length == 256
    before = desktop.dump()
    desktop.ask("concat", request, call_id=40)
    assert desktop.dump() == before
    with pytest.raises(FileNotFound):
        desktop.ask("concat", request, call_id=41)


# --- leases ---


def test_renewing_keeps_a_lease_and_an_unknown_holder_is_no_error() -> None:
    desktop = opened()
    desktop.clock.ms += SOFT_LIMIT_MS
    desktop.ask("renew_lease", c.RenewLeaseRequestProto(clientName="c1"))
    desktop.ask("renew_lease", c.RenewLeaseRequestProto(clientName="nobody"))
    desktop.clock.ms += SOFT_LIMIT_MS
    with pytest.raises(AlreadyBeingCreated):
        desktop.ask("append", c.AppendRequestProto(src="/f", clientName="c2"), call_id=2)


def test_recover_lease_closes_a_file_whose_blocks_are_complete() -> None:
    desktop = opened()
    assert desktop.ask(
        "recover_lease", c.RecoverLeaseRequestProto(src="/f", clientName="c2")
    ).result
    assert desktop.ask("is_file_closed", c.IsFileClosedRequestProto(src="/f")).result
    logged = len(desktop.log.frames)
    assert desktop.ask(
        "recover_lease", c.RecoverLeaseRequestProto(src="/f", clientName="c2")
    ).result
    assert len(desktop.log.frames) == logged


def test_recover_lease_has_a_datanode_recover_the_last_block() -> None:
    desktop = opened()
    block = add(desktop)
    answer = desktop.ask("recover_lease", c.RecoverLeaseRequestProto(src="/f", clientName="c2"))
    assert not answer.result
    assert isinstance(desktop.log.ops()[-1], ReassignLeaseOp)
    assert stored(desktop, block)[1] == BlockState.UNDER_RECOVERY
    commands = [command for name in ("d1", "d2", "d3") for command in desktop.heartbeat(name)]
    (command,) = [k for k in commands if k.HasField("recoveryCmd")]
    (recovering,) = command.recoveryCmd.blocks
    assert recovering.block.b.blockId == block.block_id
    assert recovering.newGenStamp == desktop.state.namespace.gen_stamp


def test_somebody_elses_append_during_a_recovery_is_told_to_wait() -> None:
    desktop = opened()
    add(desktop)
    desktop.ask("recover_lease", c.RecoverLeaseRequestProto(src="/f", clientName="c2"))
    with pytest.raises(RecoveryInProgress):
        desktop.ask("append", c.AppendRequestProto(src="/f", clientName="c3"), call_id=50)


def test_bad_blocks_of_a_client_are_marked() -> None:
    desktop = opened()
    last = write(desktop, 60)
    assert last is not None
    located = desktop.state.blocks.located_block(last.block_id, 0)
    del located.locs[1:]
    bad = located.locs[0].id.hostName
    desktop.ask("report_bad_blocks", c.ReportBadBlocksRequestProto(blocks=[located]))
    left = desktop.state.blocks.located_block(last.block_id, 0)
    assert [node.id.hostName for node in left.locs] == [n for n in ("d1", "d2") if n != bad]


def test_the_retry_cache_holds_at_most_once_calls_only() -> None:
    desktop = opened()
    write(desktop, 60)
    assert list(desktop.state.retry._entries) == [(CLIENT, 1)]
