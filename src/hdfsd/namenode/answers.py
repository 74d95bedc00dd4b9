"""Core. What clients that open files are told, at once or when they ask again elsewhere. Holds P4.

A NameNode that knows a call from the journal only must answer its retry as the first NameNode did,
whatever has become of the file since. Most answers say nothing but yes. That to create is made from
the edit when somebody asks (who asks is rare, and an edit says all of it); that to append is made
when the edit is applied: what the file looked like then stands nowhere else (as Hadoop's
FSEditLogLoader with its cache entries with payload).
"""

from __future__ import annotations

from hdfsd.base.ids import BlockId
from hdfsd.blocks.manager import BlockManager
from hdfsd.editlog import ops
from hdfsd.editlog.ops import EditOp
from hdfsd.namespace import acl as access
from hdfsd.namespace import query
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import Message, acl, client_namenode, hdfs

NO_OFFSET = (1 << 64) - 1
"""-1 as its unsigned view."""
Remembered = Message | ops.AddOp | None
"""An answer, the edit that it can be made from, or nothing where there is nothing to say."""


def known_from(op: EditOp, namespace: Namespace, blocks: BlockManager) -> Remembered:
    """What to remember of a call whose edit was applied just now."""
    if isinstance(op, ops.AddOp):
        return op
    if isinstance(op, ops.AppendOp):
        return appended(op, namespace, blocks)
    return None


def created(op: ops.AddOp, namespace: Namespace) -> client_namenode.CreateResponseProto:
    """The file as the edit made it."""
    permitted, flags = op.permissions, 0
    mode = permitted.mode
    if op.acl_entries:
        stored, mode = access.split(op.acl_entries, mode)
        flags = hdfs.HdfsFileStatusProto.HAS_ACL if stored else 0
    row = namespace.row_of(op.inode_id)
    answer = client_namenode.CreateResponseProto()
    answer.fs.CopyFrom(
        hdfs.HdfsFileStatusProto(
            fileType=hdfs.HdfsFileStatusProto.IS_FILE,
            path=b"",
            length=0,
            permission=acl.FsPermissionProto(perm=mode),
            owner=permitted.user,
            group=permitted.group,
            modification_time=op.mtime,
            access_time=op.atime,
            block_replication=op.replication,
            blocksize=op.block_size,
            fileId=op.inode_id,
            childrenNum=0,
            storagePolicy=namespace.effective_policy(row) if row >= 0 else op.storage_policy_id,
            flags=flags,
        )
    )
    return answer


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
