"""Driver. ClientProtocol: calls of those who write files: create, blocks, pipelines, leases.

The namespace decides (`namespace.mutate`), the block room chooses and counts; here both are asked
so that nothing is changed before everything is known to be allowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from hdfsd.base.errors import IOFault, UnregisteredNode
from hdfsd.base.ids import Block, InodeId
from hdfsd.editlog import ops
from hdfsd.namenode.answers import NO_OFFSET, appended, located
from hdfsd.namenode.desk import Desk, block_of
from hdfsd.namespace import mutate, query
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import client_namenode, hdfs

COMPLETE_WAIT_MS = 100
COMPLETE_POLL_MS = 5


class ClientFiles:
    """Handlers are named after the wire methods; requests and responses are those of the tables."""

    _desk: Desk

    # --- opening ---

    def create(
        self, request: client_namenode.CreateRequestProto, call: Call
    ) -> client_namenode.CreateResponseProto:
        desk, path = self._desk, request.src
        earlier: client_namenode.CreateResponseProto | None = desk.earlier(call)
        if earlier is not None:
            return earlier
        desk.refuse_in_safe_mode(f"Cannot create file{path}")
        who = desk.request(call)
        # By position: by name it takes twice as long.
        new = mutate.NewFile(
            path,
            request.masked.perm,
            request.clientName,
            call.caller.address,
            request.createFlag,
            request.createParent,
            request.replication,
            request.blockSize,
            request.unmasked.perm if request.HasField("unmasked") else None,
            request.ecPolicyName,
            request.storagePolicy,
        )
        namespace, blocks = desk.state.namespace, desk.state.blocks
        plan = self._carry_out(lambda: mutate.create(namespace, who, new, blocks))
        answer = client_namenode.CreateResponseProto()
        query.status_by_id(namespace, cast(ops.AddOp, plan.ops[-1]).inode_id, answer.fs)
        return desk.remember(call, answer)

    def append(
        self, request: client_namenode.AppendRequestProto, call: Call
    ) -> client_namenode.AppendResponseProto:
        desk = self._desk
        namespace, blocks = desk.state.namespace, desk.state.blocks
        earlier: client_namenode.AppendResponseProto | None = desk.earlier(call)
        if earlier is not None:
            return located(earlier, blocks)
        desk.refuse_in_safe_mode(f"Cannot append to file{request.src}")
        who = desk.request(call)
        client = (request.clientName, call.caller.address)
        new_block = bool(request.flag & client_namenode.NEW_BLOCK)
        plan = self._carry_out(
            lambda: mutate.append(namespace, who, request.src, client, new_block, blocks)
        )
        answer = appended(cast(ops.AppendOp, plan.ops[-1]), namespace, blocks)
        return located(desk.remember(call, answer), blocks)

    def truncate(
        self, request: client_namenode.TruncateRequestProto, call: Call
    ) -> client_namenode.TruncateResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot truncate for {request.src}")
        who = desk.request(call)
        client = (request.clientName, call.caller.address)
        namespace, blocks = desk.state.namespace, desk.state.blocks
        plan = self._carry_out(
            lambda: mutate.truncate(namespace, who, request.src, client, request.newLength, blocks)
        )
        return client_namenode.TruncateResponseProto(result=plan.result)

    def concat(
        self, request: client_namenode.ConcatRequestProto, call: Call
    ) -> client_namenode.ConcatResponseProto:
        desk = self._desk
        answer = client_namenode.ConcatResponseProto()
        if (earlier := desk.earlier(call, lambda: answer)) is not None:
            return earlier
        desk.refuse_in_safe_mode(f"Cannot concat {request.trg}")
        desk.commit(
            mutate.concat(desk.state.namespace, desk.request(call), request.trg, list(request.srcs))
        )
        return desk.remember(call, answer)

    def _carry_out(self, make_plan: Callable[[], mutate.Plan]) -> mutate.Plan:
        """Commits what a plan says, starts the recovery it asks for, raises its failure.

        A plan may release an expired lease first and ask to be made again.
        """
        desk = self._desk
        while True:
            plan = make_plan()
            desk.commit(plan.ops)
            if plan.recovery is not None:
                self._start_recovery(plan.recovery)
            if plan.failure is not None:
                raise plan.failure
            if not plan.again:
                return plan

    def _start_recovery(self, recovery: mutate.Recovery) -> None:
        desk = self._desk
        desk.state.blocks.start_recovery(
            recovery.block.block_id,
            recovery.recovery_id,
            desk.clock.now_ms(),
            new_length=recovery.new_length,
        )

    # --- blocks ---

    def add_block(
        self, request: client_namenode.AddBlockRequestProto, call: Call
    ) -> client_namenode.AddBlockResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot add block to {request.src}")
        state = desk.state
        previous = self._own_block(request.previous) if request.HasField("previous") else None
        new = mutate.add_block(
            state.namespace,
            desk.request(call),
            request.src,
            request.clientName,
            previous,
            _file_id(request.fileId),
            state.blocks,
        )
        if new.retry and (known := state.blocks.expected(new.block.block_id)):
            located = state.blocks.new_located_block(new.block, known, new.offset)
            return client_namenode.AddBlockResponseProto(block=located)
        targets = state.blocks.choose_targets(
            new.file.replication,
            new.file.block_size,
            writer=_writer(request, call),
            excluded=[node.id.datanodeUuid for node in request.excludeNodes],
            favored=list(request.favoredNodes),
            path=new.file.path,
        )
        if previous is not None:
            state.blocks.commit_block(previous)
        desk.commit(new.ops)
        state.blocks.set_expected(new.block.block_id, targets)
        located = state.blocks.new_located_block(new.block, targets, new.offset)
        return client_namenode.AddBlockResponseProto(block=located)

    def abandon_block(
        self, request: client_namenode.AbandonBlockRequestProto, call: Call
    ) -> client_namenode.AbandonBlockResponseProto:
        desk = self._desk
        block = self._own_block(request.b)
        desk.refuse_in_safe_mode(f"Cannot abandon block {block} for file{request.src}")
        desk.commit(
            mutate.abandon_block(
                desk.state.namespace,
                desk.request(call),
                request.src,
                request.holder,
                block,
                _file_id(request.fileId),
            )
        )
        return client_namenode.AbandonBlockResponseProto()

    def get_additional_datanode(
        self, request: client_namenode.GetAdditionalDatanodeRequestProto, call: Call
    ) -> client_namenode.GetAdditionalDatanodeResponseProto:
        desk = self._desk
        block = self._own_block(request.blk)
        desk.refuse_in_safe_mode(f"Cannot add datanode; src={request.src}, blk={block}")
        state = desk.state
        file = mutate.check_lease(
            state.namespace, request.src, request.clientName, _file_id(request.fileId)
        )
        existing = state.blocks.storages(
            [node.id.datanodeUuid for node in request.existings],
            list(request.existingStorageUuids),
        )
        more = state.blocks.choose_additional(
            request.numAdditionalNodes,
            file.block_size,
            writer=file.client_machine,
            existing=existing,
            excluded=[node.id.datanodeUuid for node in request.excludes],
        )
        located = state.blocks.new_located_block(block, [*existing, *more], NO_OFFSET)
        return client_namenode.GetAdditionalDatanodeResponseProto(block=located)

    def complete(
        self, request: client_namenode.CompleteRequestProto, call: Call
    ) -> client_namenode.CompleteResponseProto | Awaitable[client_namenode.CompleteResponseProto]:
        """False when blocks lack their minimum of replicas. A DataNode's word is often on its way
        then, and a client that hears false sleeps for 400 ms: so the answer waits a little."""
        answer = self._try_complete(request, call)
        return answer if answer.result else self._complete_soon(request, call)

    async def _complete_soon(
        self, request: client_namenode.CompleteRequestProto, call: Call
    ) -> client_namenode.CompleteResponseProto:
        for _ in range(COMPLETE_WAIT_MS // COMPLETE_POLL_MS):
            await asyncio.sleep(COMPLETE_POLL_MS / 1000)
            answer = self._try_complete(request, call)
            if answer.result:
                break
        return answer

    def _try_complete(
        self, request: client_namenode.CompleteRequestProto, call: Call
    ) -> client_namenode.CompleteResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot complete file {request.src}")
        state = desk.state
        last = self._own_block(request.last) if request.HasField("last") else None
        file = mutate.complete_check(
            state.namespace, request.src, request.clientName, last, _file_id(request.fileId)
        )
        if file is None:
            return client_namenode.CompleteResponseProto(result=True)
        if last is not None:
            state.blocks.commit_block(last)
        if state.blocks.check_complete([block.block_id for block in file.blocks]) is not None:
            return client_namenode.CompleteResponseProto(result=False)
        desk.commit(mutate.close(state.namespace, desk.request(call), file, last))
        return client_namenode.CompleteResponseProto(result=True)

    def fsync(
        self, request: client_namenode.FsyncRequestProto, call: Call
    ) -> client_namenode.FsyncResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot fsync file {request.src}")
        desk.commit(
            mutate.fsync(
                desk.state.namespace,
                desk.request(call),
                request.src,
                request.client,
                request.lastBlockLength,
                _file_id(request.fileId),
            )
        )
        return client_namenode.FsyncResponseProto()

    def report_bad_blocks(
        self, request: client_namenode.ReportBadBlocksRequestProto, call: Call
    ) -> client_namenode.ReportBadBlocksResponseProto:
        self._desk.state.blocks.report_bad_blocks(list(request.blocks))
        return client_namenode.ReportBadBlocksResponseProto()

    # --- pipelines ---

    def update_block_for_pipeline(
        self, request: client_namenode.UpdateBlockForPipelineRequestProto, call: Call
    ) -> client_namenode.UpdateBlockForPipelineResponseProto:
        desk = self._desk
        block = self._own_block(request.block)
        desk.refuse_in_safe_mode(f"Cannot get a new GS for block {block}")
        state = desk.state
        mutate.check_pipeline(state.namespace, request.clientName, self._owner_of(block), block)
        desk.commit(mutate.next_gen_stamp(state.namespace))
        renewed = Block(block.block_id, block.num_bytes, state.namespace.gen_stamp)
        located = state.blocks.new_located_block(
            renewed, state.blocks.expected(block.block_id), NO_OFFSET
        )
        return client_namenode.UpdateBlockForPipelineResponseProto(block=located)

    def update_pipeline(
        self, request: client_namenode.UpdatePipelineRequestProto, call: Call
    ) -> client_namenode.UpdatePipelineResponseProto:
        desk = self._desk
        answer = client_namenode.UpdatePipelineResponseProto()
        if (earlier := desk.earlier(call, lambda: answer)) is not None:
            return earlier
        desk.refuse_in_safe_mode("Pipeline not updated")
        state = desk.state
        old, new = self._own_block(request.oldBlock), self._own_block(request.newBlock)
        ops = mutate.update_pipeline(
            state.namespace,
            desk.request(call),
            request.clientName,
            self._owner_of(old),
            old,
            new,
        )
        desk.commit(ops)
        targets = state.blocks.storages(
            [node.datanodeUuid for node in request.newNodes], list(request.storageIDs)
        )
        state.blocks.set_expected(new.block_id, targets)
        return desk.remember(call, answer)

    # --- leases ---

    def renew_lease(
        self, request: client_namenode.RenewLeaseRequestProto, call: Call
    ) -> client_namenode.RenewLeaseResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot renew lease for {request.clientName}")
        desk.state.namespace.leases.renew(request.clientName, desk.clock.now_ms())
        return client_namenode.RenewLeaseResponseProto()

    def recover_lease(
        self, request: client_namenode.RecoverLeaseRequestProto, call: Call
    ) -> client_namenode.RecoverLeaseResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot recover the lease of {request.src}")
        who = desk.request(call)
        client = (request.clientName, call.caller.address)
        namespace, blocks = desk.state.namespace, desk.state.blocks
        plan = self._carry_out(
            lambda: mutate.recover_lease(namespace, who, request.src, client, blocks)
        )
        return client_namenode.RecoverLeaseResponseProto(result=plan.result)

    # --- checks ---

    def _own_block(self, extended: hdfs.ExtendedBlockProto) -> Block:
        """The block; raises UnregisteredNode's text for one of another pool, as Hadoop does."""
        own = self._desk.state.info.block_pool_id
        if extended.poolId != own:
            raise UnregisteredNode(
                f"Block pool of {extended.poolId} does not match the expected block pool {own}"
            )
        return block_of(extended)

    def _owner_of(self, block: Block) -> InodeId:
        inode_id = self._desk.state.blocks.inode_of(block.block_id)
        if inode_id is None:
            raise IOFault(f"{block} does not exist or is not under Construction")
        return inode_id


def _file_id(field: int) -> InodeId | None:
    """Clients before HDFS-4340 send 0: the path alone tells the file."""
    return InodeId(field) if field else None


def _writer(request: client_namenode.AddBlockRequestProto, call: Call) -> str | None:
    """Who to be near to; nobody in particular when the client asks not to be favoured."""
    unwanted = (client_namenode.NO_LOCAL_WRITE, client_namenode.IGNORE_CLIENT_LOCALITY)
    return None if any(flag in unwanted for flag in request.flags) else call.caller.address
