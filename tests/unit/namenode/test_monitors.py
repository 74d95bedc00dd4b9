"""What a NameNode looks after by itself, on virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from small_namenode import LivingNameNode, call, on_virtual_time, registration

from hdfsd.base.errors import SafeModeFault
from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.editlog.ops import (
    CloseOp,
    EditOp,
    PermissionStatus,
    ReassignLeaseOp,
    SetGenstampV2Op,
    TruncateOp,
)
from hdfsd.wire.messages import acl, client_namenode, datanode, hdfs

c = client_namenode
MODE = acl.FsPermissionProto(perm=0o644)
HARD_LIMIT = {"dfs__namenode__lease_hard_limit_sec": "100"}


async def active(made: LivingNameNode) -> None:
    await made.lifecycle.start()
    await made.lifecycle.become_active()


def create(made: LivingNameNode, path: str) -> None:
    made.client.create(
        c.CreateRequestProto(
            src=path,
            masked=MODE,
            clientName="c1",
            createFlag=1,
            createParent=True,
            replication=1,
            blockSize=10,
        ),
        call("create", call_id=1),
    )


async def logged(made: LivingNameNode) -> list[EditOp]:
    assert made.lifecycle.committer is not None
    assert made.content is not None
    await made.lifecycle.committer.durable()
    return [op for op, _ in made.content.ops()]


def test_leases_past_the_hard_limit_are_released() -> None:
    async def story(made: LivingNameNode) -> None:
        await active(made)
        create(made, "/f")
        await asyncio.sleep(95)
        assert not any(isinstance(op, CloseOp) for op in await logged(made))
        await asyncio.sleep(10)
        assert [op.path for op in await logged(made) if isinstance(op, CloseOp)] == ["/f"]
        assert len(made.state.namespace.leases) == 0

    on_virtual_time(story, **HARD_LIMIT)


def test_a_lease_with_an_open_block_goes_to_the_namenode_for_recovery() -> None:
    async def story(made: LivingNameNode) -> None:
        await active(made)
        blocks, now_ms = made.state.blocks, made.ports.clock.now_ms()
        reg = registration("d1", 1)
        blocks.register(reg, "10.0.0.1", now_ms)
        create(made, "/f")
        namespace = made.state.namespace
        add: Any = c.AddBlockRequestProto(src="/f", clientName="c1")
        blocks.heartbeat(_heartbeat(reg), now_ms, 0)
        located = made.client.add_block(add, call("addBlock")).block
        await asyncio.sleep(120)
        assert any(isinstance(op, ReassignLeaseOp) for op in await logged(made))
        assert blocks.is_under_recovery(located.b.blockId)
        holder = namespace.leases.holder_of(namespace.last_inode_id)
        assert holder is not None
        assert holder.startswith("HDFS_NameNode")

    on_virtual_time(story, **HARD_LIMIT)


def test_a_lease_that_cannot_be_released_yet_is_tried_again() -> None:
    """The client's last word is there, but no DataNode has reported the block."""

    async def story(made: LivingNameNode) -> None:
        await active(made)
        blocks, now_ms = made.state.blocks, made.ports.clock.now_ms()
        reg = registration("d1", 1)
        blocks.register(reg, "10.0.0.1", now_ms)
        blocks.heartbeat(_heartbeat(reg), now_ms, 0)
        create(made, "/f")
        add = c.AddBlockRequestProto(src="/f", clientName="c1")
        last = made.client.add_block(add, call("addBlock")).block.b
        last.numBytes = 7
        complete = c.CompleteRequestProto(src="/f", clientName="c1", last=last)
        answer = await made.client.complete(complete, call("complete"))  # type: ignore[misc]
        assert not answer.result
        running = asyncio.ensure_future(made.lifecycle.run())
        await asyncio.sleep(150)
        assert not running.done(), "the NameNode goes on"
        assert len(made.state.namespace.leases) == 1
        block = hdfs.BlockProto(blockId=last.blockId, genStamp=last.generationStamp, numBytes=7)
        change = datanode.ReceivedDeletedBlockInfoProto(block=block, status=1)
        change.status = datanode.ReceivedDeletedBlockInfoProto.RECEIVED
        storage = datanode.StorageReceivedDeletedBlocksProto(storageUuid="s0", blocks=[change])
        blocks.received_and_deleted(
            datanode.BlockReceivedAndDeletedRequestProto(
                registration=reg, blockPoolId="BP-1-127.0.0.1-1", blocks=[storage]
            ),
            made.ports.clock.now_ms(),
        )
        await asyncio.sleep(10)
        assert len(made.state.namespace.leases) == 0
        running.cancel()

    on_virtual_time(story, **HARD_LIMIT)


def _heartbeat(reg: Any) -> Any:
    return datanode.HeartbeatRequestProto(
        registration=reg,
        reports=[hdfs.StorageReportProto(storageUuid="s0", capacity=1 << 40, remaining=1 << 40)],
    )


def test_leases_stay_while_safe_mode_lasts() -> None:
    async def story(made: LivingNameNode) -> None:
        await active(made)
        create(made, "/f")
        made.state.blocks.enter_safe_mode()
        await asyncio.sleep(300)
        assert len(made.state.namespace.leases) == 1

    on_virtual_time(story, **HARD_LIMIT)


def test_a_file_that_is_gone_meanwhile_is_passed_over() -> None:
    async def story(made: LivingNameNode) -> None:
        await active(made)
        create(made, "/f")
        inode_id = made.state.namespace.last_inode_id
        request = c.DeleteRequestProto(src="/f", recursive=False)
        made.client.delete(request, call("delete", call_id=2))
        before = made.state.applied_txid
        made.monitors._release(inode_id)
        assert made.state.applied_txid == before

    on_virtual_time(story)


def test_what_another_namenode_had_begun_to_cut_is_cut_at_once() -> None:
    """Its client waits for the file to be closed, and does not ask again."""

    async def story(made: LivingNameNode) -> None:
        await active(made)
        blocks, now_ms = made.state.blocks, made.ports.clock.now_ms()
        reg = registration("d1", 1)
        blocks.register(reg, "10.0.0.1", now_ms)
        blocks.heartbeat(_heartbeat(reg), now_ms, 0)
        create(made, "/f")
        add = c.AddBlockRequestProto(src="/f", clientName="c1")
        last = made.client.add_block(add, call("addBlock")).block.b
        made.state.commit([SetGenstampV2Op(1002), _cut(made, last.blockId)], now_ms)
        await asyncio.sleep(10)
        assert blocks.is_under_recovery(last.blockId)
        assert blocks.truncating_to(last.blockId) == 3
        assert len([op for op in await logged(made) if isinstance(op, ReassignLeaseOp)]) == 1

    on_virtual_time(story)


def _cut(made: LivingNameNode, block_id: int) -> EditOp:
    """The file closed with 7 bytes, and the edit of a truncation to 3; no recovery is started."""
    namespace, blocks = made.state.namespace, made.state.blocks
    row = namespace.lookup("/f")
    whole = Block(BlockId(block_id), 7, GenStamp(1001))
    close = CloseOp(0, "/f", 1, 5, 5, 10, (whole,), PermissionStatus("hdfs", "supergroup", 0o644))
    made.state.commit([close], made.ports.clock.now_ms())
    blocks.commit_block(whole)
    blocks.finish_recovery(whole, blocks.storages(["uuid-d1"], ["s0"]))
    assert blocks.is_complete(whole.block_id)
    assert namespace.row_length(row) == 7
    return TruncateOp("/f", "c1", "10.0.0.1", 3, 5, replace(whole, gen_stamp=GenStamp(1002)))


def test_a_standby_releases_no_leases() -> None:
    async def story(made: LivingNameNode) -> None:
        await active(made)
        create(made, "/f")
        await made.lifecycle.become_standby()
        applied = made.state.applied_txid
        await asyncio.sleep(300)
        assert (len(made.state.namespace.leases), made.state.applied_txid) == (1, applied)

    on_virtual_time(story, **HARD_LIMIT)


def test_a_silent_datanode_is_dead_in_time() -> None:
    async def story(made: LivingNameNode) -> None:
        await active(made)
        reg = registration("d1", 1)
        now_ms = made.ports.clock.now_ms()
        made.state.blocks.register(reg, "10.0.0.1", now_ms)
        made.state.blocks.heartbeat(_heartbeat(reg), now_ms, 0)
        assert made.state.blocks.datanodes.live_count() == 1
        await asyncio.sleep(made.settings.replication.dead_after_ms / 1000 + 10)
        assert made.state.blocks.datanodes.live_count() == 0

    on_virtual_time(story)


def test_a_full_disk_is_unhealthy_and_safe_mode_and_frees_itself_of_one_of_them() -> None:
    async def story(made: LivingNameNode) -> None:
        await active(made)
        platter = made.ports.machine.platter
        enough = platter.capacity_bytes
        assert made.monitors.unhealthy is None
        platter.capacity_bytes = made.settings.resources.reserved_bytes
        await asyncio.sleep(10)
        assert made.monitors.unhealthy is not None
        assert "/name has" in made.monitors.unhealthy
        with pytest.raises(SafeModeFault, match="Resources are low on NN"):
            create(made, "/f")
        platter.capacity_bytes = enough
        await asyncio.sleep(10)
        assert made.monitors.unhealthy is None
        # Out of safe mode by hand only, as Hadoop.
        with pytest.raises(SafeModeFault):
            create(made, "/f")

    on_virtual_time(story)


def test_a_standby_with_a_full_disk_is_unhealthy_but_not_in_safe_mode() -> None:
    async def story(made: LivingNameNode) -> None:
        await made.lifecycle.start()
        made.ports.machine.platter.capacity_bytes = 1
        await asyncio.sleep(10)
        assert made.monitors.unhealthy is not None
        assert not made.state.blocks.safe_mode.resources_low

    on_virtual_time(story)


@pytest.mark.parametrize(("wanted", "healthy"), [("1", True), ("2", True), ("3", False)])
def test_so_many_volumes_must_have_space(wanted: str, healthy: bool) -> None:
    class Disk:
        def free_bytes(self, path: str) -> int:
            return {"/name": 1 << 40, "/more": 1 << 40, "/full": 5}[path]

    async def story(made: LivingNameNode) -> None:
        made.monitors._disk = Disk()  # type: ignore[assignment]
        made.monitors.look_at_disks()
        assert (made.monitors.unhealthy is None) is healthy
        if not healthy:
            assert made.monitors.unhealthy == (
                "disk space is low: /full has 5 bytes free of 104857600"
            )

    on_virtual_time(
        story,
        **{
            "dfs.namenode.resource.checked.volumes": "/more,/full",
            "dfs.namenode.resource.checked.volumes.minimum": wanted,
        },
    )
