"""Core. What clients that open files are told, at once or when they ask again elsewhere. Holds P4.

A NameNode that knows a call from the journal only must answer its retry as the first NameNode did,
whatever has become of the file since. Most answers say nothing but yes. What create and append were
told is taken down when their edit is applied (the payloads of Hadoop's FSEditLogLoader): that to
append as it is; of that to create, which comes by the thousand and is hardly ever asked for again,
only what it is made from.
"""

from __future__ import annotations

from typing import NamedTuple

from hdfsd.base.ids import BlockId
from hdfsd.blocks.manager import BlockManager
from hdfsd.editlog import ops
from hdfsd.editlog.ops import EditOp
from hdfsd.namespace import query
from hdfsd.namespace.inode import FileLayout, Permission
from hdfsd.namespace.query_snapshots import snapshot_path
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import Message, acl, client_namenode, hdfs

NO_OFFSET = (1 << 64) - 1
"""-1 as its unsigned view: of a located block that stands for a pipeline, not for a place."""


class Created(NamedTuple):
    """A file as its edit made it."""

    inode_id: int
    mtime: int
    atime: int
    permission: Permission
    layout: FileLayout
    policy_id: int
    has_acl: bool

    def answer(self) -> client_namenode.CreateResponseProto:
        """What its creator is told."""
        return client_namenode.CreateResponseProto(
            fs=hdfs.HdfsFileStatusProto(
                fileType=hdfs.HdfsFileStatusProto.IS_FILE,
                path=b"",
                length=0,
                permission=acl.FsPermissionProto(perm=self.permission.mode),
                owner=self.permission.user,
                group=self.permission.group,
                modification_time=self.mtime,
                access_time=self.atime,
                block_replication=self.layout.replication,
                blocksize=self.layout.block_size,
                fileId=self.inode_id,
                childrenNum=0,
                storagePolicy=self.policy_id,
                flags=hdfs.HdfsFileStatusProto.HAS_ACL if self.has_acl else 0,
            )
        )


Remembered = Message | Created | None
"""An answer, what it can be made from, or nothing where there is nothing to say."""


def known_from(op: EditOp, namespace: Namespace, blocks: BlockManager) -> Remembered:
    """What to remember of a call whose edit was applied just now."""
    if isinstance(op, ops.AddOp):
        row = namespace.row_of(op.inode_id)
        # In logs so old that they have no inode ids, an OP_ADD may be an append as well.
        return created(namespace, row) if row >= 0 else None
    if isinstance(op, ops.AppendOp):
        return appended(op, namespace, blocks)
    if isinstance(op, ops.CreateSnapshotOp):
        return snapshot_created(op)
    return None


def snapshot_created(op: EditOp) -> client_namenode.CreateSnapshotResponseProto:
    """The answer to the call whose edit it is."""
    assert isinstance(op, ops.CreateSnapshotOp)
    return client_namenode.CreateSnapshotResponseProto(
        snapshotPath=snapshot_path(op.snapshot_root, op.snapshot_name)
    )


def created(ns: Namespace, row: int) -> Created:
    """Of a file that has just been made."""
    return Created(
        ns.ids[row],
        ns.mtimes[row],
        ns.atimes[row],
        ns.permissions[ns.perms[row]],
        ns.layouts[ns.layout_of[row]],
        ns.effective_policy(row),
        row in ns.acls,
    )


def appended(
    op: ops.AppendOp, namespace: Namespace, blocks: BlockManager
) -> client_namenode.AppendResponseProto:
    """The status, and the reopened last block, or the one behind which a new one is asked for.

    Without locations: `located` adds them when the answer is given."""
    row = namespace.lookup(op.path)
    answer = client_namenode.AppendResponseProto()
    query.status_by_id(namespace, namespace.ids[row], answer.stat)
    found = namespace.row_blocks(row)
    if found and op.new_block:
        answer.block.CopyFrom(blocks.new_located_block(found[-1], (), NO_OFFSET))
    elif found and not blocks.is_complete(found[-1].block_id):
        offset = sum(block.num_bytes for block in found[:-1])
        answer.block.CopyFrom(blocks.new_located_block(found[-1], (), offset))
    return answer


def located(
    answer: client_namenode.AppendResponseProto, blocks: BlockManager
) -> client_namenode.AppendResponseProto:
    """With the replicas that are known by now. A block behind which a new one is asked for is named
    without them: the client passes it to addBlock as the previous one."""
    if not answer.HasField("block") or answer.block.offset == NO_OFFSET:
        return answer
    block_id = BlockId(answer.block.b.blockId)
    if blocks.inode_of(block_id) is None:
        return answer
    whole = client_namenode.AppendResponseProto(stat=answer.stat)
    blocks.located_block(block_id, answer.block.offset, into=whole.block)
    return whole
