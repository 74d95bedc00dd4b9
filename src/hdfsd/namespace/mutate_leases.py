"""Core. Taking a file over from its writer → edit ops (FSNamesystem.recoverLeaseInternal,
internalReleaseLease, commitBlockSynchronization).
"""

from __future__ import annotations

from datetime import UTC, datetime

from hdfsd.base.errors import AlreadyBeingCreated, IOFault, RecoveryInProgress
from hdfsd.base.ids import Block, GenStamp, InodeId
from hdfsd.editlog import ops
from hdfsd.editlog.ops import EditOp, PermissionStatus
from hdfsd.namespace import permission
from hdfsd.namespace.permission import WRITE
from hdfsd.namespace.requests import BlockStates, Plan, Recovery, Request
from hdfsd.namespace.resolve import require_file, resolve
from hdfsd.namespace.tree import FILE, NO_ROW, Namespace

CREATE_FILE, APPEND_FILE, TRUNCATE_FILE, RECOVER_LEASE = (
    "CREATE_FILE",
    "APPEND_FILE",
    "TRUNCATE_FILE",
    "RECOVER_LEASE",
)
"""FSNamesystem.RecoverLeaseOp: why somebody wants a file that is open."""
Client = tuple[str, str]
"""(client name, client machine)."""


def close_op(ns: Namespace, row: int, blocks: tuple[Block, ...], now_ms: int) -> EditOp:
    """OP_CLOSE of a file with these final blocks; the writer puts inode id 0 into it."""
    layout = ns.layouts[ns.layout_of[row]]
    return ops.CloseOp(
        0,
        ns.path_of_row(row),
        layout.replication,
        now_ms,
        ns.atimes[row],
        layout.block_size,
        blocks,
        PermissionStatus(*ns.permissions[ns.perms[row]]),
    )


def take_over(
    ns: Namespace, request: Request, row: int, client: Client, why: str, blocks: BlockStates
) -> Plan:
    """What stands between the caller and the file `row`, which is not recovered by force.

    An empty plan: nothing, the file is closed. Raises AlreadyBeingCreated and RecoveryInProgress.
    """
    record = ns.open_files.get(row)
    if record is None:
        return Plan()
    inode_id = InodeId(ns.ids[row])
    path = ns.path_of_row(row)
    text = f"Failed to {why} {path} for {client[0]} on {client[1]} because "
    holder = ns.leases.holder_of(inode_id)
    if holder == client[0]:
        raise AlreadyBeingCreated(f"{text}{holder} is already the current lease holder.")
    if holder is None:
        raise AlreadyBeingCreated(f"{text}the file is under construction but no leases found.")
    owner = f"{record.client_name} on {record.client_machine}"
    if ns.leases.soft_expired(holder, request.lease_ms):
        plan = release(ns, request.now_ms, row, holder, blocks)
        if plan.result:
            return plan._replace(again=True)
        waiting = RecoveryInProgress(f"{text}lease recovery is in progress. Try again later.")
        return plan._replace(failure=waiting)
    last = ns.last_block(row)
    if last is not None and blocks.is_under_recovery(last.block_id):
        raise RecoveryInProgress(f"{text}another recovery is in progress by {owner}")
    raise AlreadyBeingCreated(f"{text}this file lease is currently owned by {owner}")


def refuse_to(why: str, path: str, client: Client, because: str) -> AlreadyBeingCreated:
    """RecoverLeaseOp.getExceptionMessage."""
    return AlreadyBeingCreated(
        f"Failed to {why} {path} for {client[0]} on {client[1]} because {because}"
    )


def release(ns: Namespace, now_ms: int, row: int, new_holder: str, blocks: BlockStates) -> Plan:
    """internalReleaseLease: close the file (`result`), or recover its last block for
    `new_holder`, whose lease is then fresh."""
    found = ns.row_blocks(row)
    path = ns.path_of_row(row)
    incomplete = [b for b in found if not blocks.is_complete(b.block_id)]
    if not incomplete:
        return Plan([close_op(ns, row, found, now_ms)])
    complete = found.index(incomplete[0])
    if complete < len(found) - 2 or (
        complete == len(found) - 2 and not blocks.is_committed(incomplete[0].block_id)
    ):
        raise IOFault(
            "DIR* NameSystem.internalReleaseLease: attempt to release a create lock on"
            f" {path} but file is already closed."
        )
    last = found[-1]
    if blocks.is_committed(last.block_id) or blocks.is_complete(last.block_id):
        if all(blocks.has_minimum_replicas(b.block_id) for b in found[-2:]):
            return Plan([close_op(ns, row, found, now_ms)])
        raise AlreadyBeingCreated(
            f"DIR* NameSystem.internalReleaseLease: Failed to release lease for file {path}."
            " Committed blocks are waiting to be minimally replicated."
        )
    if not blocks.location_count(last.block_id) and not last.num_bytes:
        # Nobody ever wrote it: the client died before its pipeline stood.
        return Plan([close_op(ns, row, found[:-1], now_ms)])
    recovery_id = GenStamp(ns.gen_stamp + 1)
    made: list[EditOp] = [ops.SetGenstampV2Op(recovery_id)]
    holder = ns.open_files[row].client_name
    made.append(ops.ReassignLeaseOp(holder, path, new_holder))
    return Plan(made, Recovery(InodeId(ns.ids[row]), last, recovery_id), result=False)


def release_lease(ns: Namespace, now_ms: int, inode_id: InodeId, blocks: BlockStates) -> Plan:
    """internalReleaseLease, for a file past the hard limit; `result`: closed."""
    row = ns.row_of(inode_id)
    if row == NO_ROW or row not in ns.open_files:
        return Plan()
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return release(ns, now_ms, row, f"HDFS_NameNode-{now:%Y-%m-%d %H:%M:%S}", blocks)


def recover_lease(
    ns: Namespace, request: Request, path: str, client: Client, blocks: BlockStates
) -> Plan:
    """recoverLease; `result`: the file is closed (true to the client)."""
    at = resolve(ns, request.who, path)
    row = require_file(ns, at)
    if row not in ns.open_files:
        return Plan()
    permission.check(ns, request.who, row, WRITE)
    if ns.leases.holder_of(InodeId(ns.ids[row])) is None:
        raise AlreadyBeingCreated(
            f"Failed to {RECOVER_LEASE} {at.path} for {client[0]} on {client[1]} because"
            " the file is under construction but no leases found."
        )
    return release(ns, request.now_ms, row, client[0], blocks)


def commit_block_synchronization(
    ns: Namespace,
    now_ms: int,
    inode_id: InodeId,
    old: Block,
    new: Block,
    *,
    close_file: bool,
    delete_block: bool,
) -> list[EditOp]:
    """A DataNode recovered the last block of a file: `new` takes the place of `old`, or nothing
    does. Empty: the file is closed already. The caller has checked the recovery id."""
    row = ns.row_of(inode_id)
    if row == NO_ROW or ns.kinds[row] != FILE:
        raise IOFault(f"The file of block {old} does not exist")
    if row not in ns.open_files:
        return []
    found = ns.row_blocks(row)
    if not found or found[-1].block_id != old.block_id:
        raise IOFault(f"Block {old} is not the last block of {ns.path_of_row(row)}")
    found = found[:-1] if delete_block else (*found[:-1], new)
    if close_file:
        return [close_op(ns, row, found, now_ms)]
    return [ops.UpdateBlocksOp(ns.path_of_row(row), found)]
