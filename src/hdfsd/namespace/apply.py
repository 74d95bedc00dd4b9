"""Core. Edit op → change of the tree, by a table over op classes: the only way the tree changes.

Used alike by active, standby and loader. What the block map must learn comes back as effects.
Nothing is checked here but that the op fits the tree (FSEditLogLoader.applyEditLogOpInternal).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hdfsd.base.errors import InvariantBroken
from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId
from hdfsd.editlog import ops
from hdfsd.editlog.ops import EditOp
from hdfsd.namespace import acl, history, quota, removal
from hdfsd.namespace.effects import (
    BlockCopied,
    BlockReopened,
    BlocksAdded,
    BlocksMoved,
    BlocksRemoved,
    BlockUpdated,
    Effect,
    ReplicationChanged,
)
from hdfsd.namespace.inode import QUOTA_DONT_SET, QUOTA_RESET, FileLayout
from hdfsd.namespace.snapshot import NO_SNAPSHOT, QUOTA_MAX, Snapshot, SnapshottableDirectory
from hdfsd.namespace.storage_policy import STORAGE_TYPE_COUNT, with_policy
from hdfsd.namespace.tree import DIRECTORY, FILE, FREE, ROOT, SYMLINK, Namespace, OpenRecord

_NOTHING: tuple[Effect, ...] = ()


def apply(namespace: Namespace, op: EditOp, now_ms: int = 0) -> Sequence[Effect]:
    """`now_ms` counts for leases only: 0 while a log is replayed (`leases.renew_all` at the end).

    Raises InvariantBroken when the op doesn't fit the tree (a replayed log must always fit)."""
    if namespace.detached and type(op) in _AFTER_REMOVALS:
        effects = _removed(removal.settle(namespace))
        return (*effects, *_APPLIERS[type(op)](namespace, op, now_ms))
    return _APPLIERS[type(op)](namespace, op, now_ms)


def free_detached(namespace: Namespace) -> Sequence[Effect]:
    """One step of the end of deleted trees; there is more while `namespace.detached` says so."""
    return _removed(removal.step(namespace))


# ---- finding what an op speaks of


def _plain(path: str) -> str:
    return path if len(path) == 1 or not path.endswith("/") else path.rstrip("/") or "/"


def _misfit(op: EditOp, why: str) -> InvariantBroken:
    return InvariantBroken(f"P4: {op.NAME} does not fit the namespace: {why}: {op}")


def _row(ns: Namespace, op: EditOp, path: str) -> int:
    row = ns.lookup(_plain(path))
    if row < 0:
        raise _misfit(op, f"{path} does not exist")
    return row


def _file(ns: Namespace, op: EditOp, path: str) -> int:
    row = _row(ns, op, path)
    if ns.kinds[row] != FILE:
        raise _misfit(op, f"{path} is not a file")
    return row


def _directory(ns: Namespace, op: EditOp, path: str) -> int:
    row = _row(ns, op, path)
    if ns.kinds[row] != DIRECTORY:
        raise _misfit(op, f"{path} is not a directory")
    return row


def _place(ns: Namespace, op: EditOp, path: str) -> tuple[int, bytes]:
    """(row of the parent, name) of a path that may not exist yet."""
    parent, _, name = path.rpartition("/")
    if not name:
        parent, _, name = _plain(path).rpartition("/")
    directory = ns.directory_row(parent)
    if directory < 0 or not name:
        raise _misfit(op, f"{path} has no parent directory")
    return directory, name.encode()


def _id(ns: Namespace, row: int) -> InodeId:
    return InodeId(ns.ids[row])


def _inode_id(ns: Namespace, wanted: int) -> int:
    """Logs older than inode ids carry 0: the loader numbers them itself."""
    return wanted or ns.last_inode_id + 1


# ---- names


def _add(ns: Namespace, op: ops.AddOp, now_ms: int) -> Sequence[Effect]:
    directory, name = _place(ns, op, op.path)
    old = ns.child(directory, name)
    effects: Sequence[Effect] = _NOTHING
    if old >= 0:
        if not op.overwrite:
            return _reopen_by_add(ns, op, old, now_ms)
        effects = _remove(ns, old, _plain(op.path), op.mtime)
    history.keep(ns, directory)
    status = op.permissions
    mode = status.mode
    stored: tuple[ops.AclEntry, ...] = ()
    if op.acl_entries:
        stored, mode = acl.split(op.acl_entries, mode)
    row = ns.add_inode(
        directory,
        _inode_id(ns, op.inode_id),
        name,
        FILE,
        ns.intern_permission(status.user, status.group, mode),
        (op.mtime, op.atime),
    )
    ns.layout_of[row] = ns.intern_layout(
        FileLayout(op.replication, op.block_size, op.storage_policy_id, op.erasure_coding_policy_id)
    )
    if stored:
        ns.acls[row] = stored
    if op.xattrs:
        ns.xattrs[row] = op.xattrs
    if op.blocks:
        ns.set_blocks(row, op.blocks)
        effects = (*effects, BlocksAdded(_id(ns, row), op.replication, op.blocks, True))
    _open(ns, row, op.client_name, op.client_machine, bool(op.blocks), now_ms)
    quota.charge(ns, directory, quota.use_of(ns, row) if op.blocks else _ONE_INODE)
    return effects


_ONE_INODE = quota.Use(1, 0)


def _open(ns: Namespace, row: int, client: str, machine: str, last_open: bool, now_ms: int) -> None:
    ns.open_files[row] = OpenRecord(client, machine, last_open)
    ns.leases.add(client, _id(ns, row), now_ms)


def _reopen_by_add(ns: Namespace, op: ops.AddOp, row: int, now_ms: int) -> Sequence[Effect]:
    """Logs before OP_APPEND opened a file for append by a second OP_ADD with its blocks."""
    if ns.kinds[row] != FILE:
        raise _misfit(op, f"{op.path} exists and is not a file")
    history.keep(ns, row)
    if row not in ns.open_files:
        _open(ns, row, op.client_name, op.client_machine, False, now_ms)
    ns.mtimes[row], ns.atimes[row] = op.mtime, op.atime
    return _update_blocks(ns, op, row, op.blocks, closing=False)


def _mkdir(ns: Namespace, op: ops.MkdirOp, now_ms: int) -> Sequence[Effect]:
    directory, name = _place(ns, op, op.path)
    if ns.child(directory, name) >= 0:
        raise _misfit(op, f"{op.path} exists")
    history.keep(ns, directory)
    status = op.permissions
    mode = status.mode
    stored: tuple[ops.AclEntry, ...] = ()
    if op.acl_entries:
        stored, mode = acl.split(op.acl_entries, mode)
    row = ns.add_inode(
        directory,
        _inode_id(ns, op.inode_id),
        name,
        DIRECTORY,
        ns.intern_permission(status.user, status.group, mode),
        (op.mtime, 0),
    )
    if stored:
        ns.acls[row] = stored
    if op.xattrs:
        ns.set_xattrs(row, op.xattrs)
    quota.charge(ns, directory, _ONE_INODE)
    return _NOTHING


def _symlink(ns: Namespace, op: ops.SymlinkOp, now_ms: int) -> Sequence[Effect]:
    directory, name = _place(ns, op, op.path)
    if ns.child(directory, name) >= 0:
        raise _misfit(op, f"{op.path} exists")
    history.keep(ns, directory)
    status = op.permissions
    row = ns.add_inode(
        directory,
        _inode_id(ns, op.inode_id),
        name,
        SYMLINK,
        ns.intern_permission(status.user, status.group, status.mode),
        (op.mtime, op.atime),
    )
    ns.symlinks[row] = op.value.encode()
    quota.charge(ns, directory, _ONE_INODE)
    return _NOTHING


def _remove(ns: Namespace, row: int, path: str, mtime_ms: int) -> Sequence[Effect]:
    """Takes the inode and all below it away."""
    directory = ns.parents[row]
    if ns.kinds[row] == DIRECTORY:
        ns.forget_directory(path, row)
    history.keep(ns, directory)
    if history.may_be_shown(ns, row):
        effects = _removed(removal.settle(ns))
        rows = list(history.everything(ns, row))
        effects = (*effects, *_end(ns, rows, lambda: history.remove(ns, row)))
    else:
        effects = _removed(removal.remove(ns, row))
    _touch_directory(ns, directory, mtime_ms)
    return effects


def _removed(gone: Sequence[int]) -> Sequence[Effect]:
    return (BlocksRemoved(tuple(BlockId(b) for b in gone)),) if gone else _NOTHING


def _end(ns: Namespace, rows: Sequence[int], change: Callable[[], list[int]]) -> Sequence[Effect]:
    """Makes a change that ends some of these rows, or past states of theirs: what is left uses
    quota, and wants replicas, as snapshots show it. `change` gives the blocks that are gone."""
    wanted = {row: history.replication(ns, row) for row in rows if ns.kinds[row] == FILE}
    for row in rows:
        quota.charge(ns, ns.parents[row], quota.use_of(ns, row), -1)
    effects = list(_removed(change()))
    for row in rows:
        if ns.kinds[row] == FREE:
            continue
        quota.charge(ns, ns.parents[row], quota.use_of(ns, row))
        if row in wanted and history.replication(ns, row) != wanted[row]:
            effects.extend(_replication_changed(ns, row))
    return effects


def _touch_directory(ns: Namespace, directory: int, mtime_ms: int) -> None:
    if ns.mtimes[directory] < mtime_ms:
        ns.mtimes[directory] = mtime_ms


def _delete(ns: Namespace, op: ops.DeleteOp, now_ms: int) -> Sequence[Effect]:
    path = _plain(op.path)
    row = _row(ns, op, path)
    if row == ROOT:
        raise _misfit(op, "the root can't be deleted")
    return _remove(ns, row, path, op.timestamp)


def _move(
    ns: Namespace, op: EditOp, src: str, dst: str, timestamp: int, overwrite: bool
) -> Sequence[Effect]:
    row = _row(ns, op, src)
    directory, name = _place(ns, op, dst)
    if row == ROOT or src == dst or dst.startswith(src + "/"):
        raise _misfit(op, "such a rename is impossible")
    effects: Sequence[Effect] = _NOTHING
    replaced = ns.child(directory, name)
    if replaced >= 0:
        if not overwrite:
            raise _misfit(op, f"{dst} exists")
        effects = _remove(ns, replaced, dst, timestamp)
    if ns.kinds[row] == DIRECTORY:
        ns.forget_directory(src, row)
    source = ns.parents[row]
    for changing in (source, directory, row):
        history.keep(ns, changing)
    if row in ns.snapshots.versions:
        effects = (*effects, *_removed(removal.settle(ns)))
        rows = list(history.everything(ns, row))
        effects = (*effects, *_end(ns, rows, lambda: _move_shown(ns, row, directory, name)))
    else:
        effects = (*effects, *_move_row(ns, row, directory, name))
    _touch_directory(ns, source, timestamp)
    _touch_directory(ns, directory, timestamp)
    return effects


def _move_shown(ns: Namespace, row: int, directory: int, name: bytes) -> list[int]:
    """Snapshots show it under its old name."""
    shell = history.leave_behind(ns, row)
    quota.charge(ns, ns.parents[shell], quota.use_of(ns, shell))
    _relink(ns, row, directory, name)
    return []


def _move_row(ns: Namespace, row: int, directory: int, name: bytes) -> Sequence[Effect]:
    effects: Sequence[Effect] = _NOTHING
    source = ns.parents[row]
    # A big tree is walked only when somebody counts it anew. By storage type that may be so in
    # one place too: the policy may come from another directory now.
    recount = bool(ns.type_quota_count) or (
        quota.counters_above(ns, source) != quota.counters_above(ns, directory)
    )
    if recount:
        effects = _removed(removal.settle(ns))
        quota.charge(ns, source, quota.use_of_tree(ns, row), -1)
    _relink(ns, row, directory, name)
    if recount:
        quota.charge(ns, directory, quota.count_tree(ns, row))
    return effects


def _relink(ns: Namespace, row: int, directory: int, name: bytes) -> None:
    ns.unlink(row)
    ns.names[row] = name
    ns.link(directory, row)


def _rename_old(ns: Namespace, op: ops.RenameOldOp, now_ms: int) -> Sequence[Effect]:
    src, dst = _plain(op.src), _plain(op.dst)
    if src == dst:
        return _NOTHING
    target = ns.lookup(dst)
    if target >= 0 and ns.kinds[target] == DIRECTORY:
        # Old logs have the directory to move into instead of the new path.
        dst = f"{dst.rstrip('/')}/{src.rpartition('/')[2]}"
    return _move(ns, op, src, dst, op.timestamp, overwrite=False)


def _rename(ns: Namespace, op: ops.RenameOp, now_ms: int) -> Sequence[Effect]:
    overwrite = ops.RENAME_OVERWRITE in op.options
    return _move(ns, op, _plain(op.src), _plain(op.dst), op.timestamp, overwrite)


# ---- blocks


def _recharge(ns: Namespace, row: int, before: quota.Use) -> None:
    """Charges what the file uses more (or less) than `before`."""
    change = quota.add(quota.use_of(ns, row), before, -1)
    if change.space or change.type_space:
        quota.charge(ns, ns.parents[row], change)


def _replication_changed(ns: Namespace, row: int) -> Sequence[Effect]:
    ids = history.all_blocks(ns, row)
    if not ids:
        return _NOTHING
    return (ReplicationChanged(_id(ns, row), ids, history.replication(ns, row)),)


def _update_blocks(
    ns: Namespace, op: EditOp, row: int, new: tuple[Block, ...], *, closing: bool
) -> Sequence[Effect]:
    """The whole list of blocks of a file, as FSEditLogLoader.updateBlocks compares it: the last may
    have gone, new ones may follow, the others may have another length or generation stamp."""
    old = ns.row_blocks(row)
    common = min(len(old), len(new))
    if any(old[at].block_id != new[at].block_id for at in range(common)):
        raise _misfit(op, f"block ids differ from {[str(b) for b in old]}")
    if len(old) > len(new) + 1:
        raise _misfit(op, "more than the last block is missing")
    history.keep(ns, row)
    before = quota.use_of(ns, row)
    inode_id = _id(ns, row)
    effects: list[Effect] = []
    last = len(new) - 1
    for at in range(common):
        complete = closing or at < last
        if old[at] != new[at] or (closing and at == last):
            effects.append(BlockUpdated(inode_id, old[at], new[at], complete))
    dropped = [block.block_id for block in old[common:]]
    if len(new) > common:
        effects.append(
            BlocksAdded(inode_id, history.replication(ns, row), new[common:], not closing)
        )
    if old != new:
        ns.set_blocks(row, new)
        effects.extend(_removed(history.release(ns, row, dropped)))
    record = ns.open_files.get(row)
    if record is not None and len(old) != len(new):
        record.last_open = len(new) > len(old)
    if closing and record is not None:
        del ns.open_files[row]
        ns.leases.remove(inode_id)
    _recharge(ns, row, before)
    return effects


def _close(ns: Namespace, op: ops.CloseOp, now_ms: int) -> Sequence[Effect]:
    row = _file(ns, op, op.path)
    effects = _update_blocks(ns, op, row, op.blocks, closing=True)
    ns.mtimes[row], ns.atimes[row] = op.mtime, op.atime
    return effects


def _update(ns: Namespace, op: ops.UpdateBlocksOp, now_ms: int) -> Sequence[Effect]:
    return _update_blocks(ns, op, _file(ns, op, op.path), op.blocks, closing=False)


def _add_block(ns: Namespace, op: ops.AddBlockOp, now_ms: int) -> Sequence[Effect]:
    row = _file(ns, op, op.path)
    if not 1 <= len(op.blocks) <= 2:
        raise _misfit(op, "one or two blocks are expected")
    record = ns.open_files.get(row)
    if record is None:
        raise _misfit(op, f"{op.path} is not under construction")
    history.keep(ns, row)
    before = quota.use_of(ns, row)
    inode_id = _id(ns, row)
    effects: list[Effect] = []
    last = ns.last_block(row)
    if len(op.blocks) == 2:
        penultimate = op.blocks[0]
        if last is None or last.block_id != penultimate.block_id:
            raise _misfit(op, f"the last block is {last}")
        ns.replace_last_block(row, penultimate)
        effects.append(BlockUpdated(inode_id, last, penultimate, True))
    elif last is not None:
        raise _misfit(op, f"the penultimate block {last} is not named")
    new = op.blocks[-1]
    ns.append_block(row, new)
    record.last_open = True
    effects.append(BlocksAdded(inode_id, history.replication(ns, row), (new,), True))
    _recharge(ns, row, before)
    return effects


def _append(ns: Namespace, op: ops.AppendOp, now_ms: int) -> Sequence[Effect]:
    row = _file(ns, op, op.path)
    if row in ns.open_files:
        raise _misfit(op, f"{op.path} is under construction")
    history.keep(ns, row)
    before = quota.use_of(ns, row)
    last = ns.last_block(row)
    block_size = ns.layouts[ns.layout_of[row]].block_size
    reopened = last is not None and not op.new_block and last.num_bytes != block_size
    _open(ns, row, op.client_name, op.client_machine, reopened, now_ms)
    _recharge(ns, row, before)
    if reopened and last is not None:
        return (BlockReopened(_id(ns, row), last),)
    return _NOTHING


def _truncate(ns: Namespace, op: ops.TruncateOp, now_ms: int) -> Sequence[Effect]:
    row = _file(ns, op, op.src)
    history.keep(ns, row)
    before = quota.use_of(ns, row)
    old = ns.row_blocks(row)
    kept, length = blocks_up_to(old, op.new_length)
    if length != op.new_length and (op.truncate_block is None or not kept):
        raise _misfit(op, f"{op.new_length} is not on a block boundary of {length} bytes")
    ns.mtimes[row] = op.timestamp
    effects: list[Effect] = []
    if kept < len(old):
        ns.set_blocks(row, old[:kept])
        dropped = [block.block_id for block in old[kept:]]
        effects.extend(_removed(history.release(ns, row, dropped)))
    if length != op.new_length and op.truncate_block is not None:
        _open(ns, row, op.client_name, op.client_machine, True, now_ms)
        ns.gen_stamp = GenStamp(max(ns.gen_stamp, op.truncate_block.gen_stamp))
        effects.extend(_cut(ns, op, row, old[kept - 1], length - op.new_length))
    _recharge(ns, row, before)
    return effects


def _cut(ns: Namespace, op: ops.TruncateOp, row: int, last: Block, less: int) -> Sequence[Effect]:
    """The last block is to lose so many bytes, or gives way to a copy without them."""
    assert op.truncate_block is not None
    cut_to = last.num_bytes - less
    if op.truncate_block.block_id == last.block_id:
        return (BlockReopened(_id(ns, row), last, cut_to),)
    copy = replace(op.truncate_block, num_bytes=cut_to)
    ns.replace_last_block(row, copy)
    replication = history.replication(ns, row)
    if last.block_id in history.held_blocks(ns, row):
        ns.count_blocks(1)
        return (BlockCopied(_id(ns, row), replication, copy, last.block_id),)
    # Hadoop makes a copy during a rolling upgrade too, and nobody but it holds the old block.
    return (
        BlocksRemoved((last.block_id,)),
        BlocksAdded(_id(ns, row), replication, (copy,), True),
    )


def blocks_up_to(blocks: Sequence[Block], length: int) -> tuple[int, int]:
    """(number of blocks that hold the first `length` bytes, bytes in those blocks)
    (INodeFile.collectBlocksBeyondMax)."""
    count = size = 0
    while count < len(blocks) and size < length:
        size += blocks[count].num_bytes
        count += 1
    return count, size


def _concat(ns: Namespace, op: ops.ConcatDeleteOp, now_ms: int) -> Sequence[Effect]:
    target = _file(ns, op, op.trg)
    sources = [_file(ns, op, path) for path in op.srcs]
    directory = ns.parents[target]
    before = quota.use_of(ns, target)
    moved: list[Block] = []
    if any(ns.parents[row] != directory or row == target for row in sources):
        raise _misfit(op, "a source is not beside the target")
    if any(history.newest(ns, r) != NO_SNAPSHOT or r in ns.snapshots.before for r in sources):
        raise _misfit(op, "a source is in a snapshot")
    history.keep(ns, target)
    history.keep(ns, directory)
    for row in sources:
        moved.extend(ns.row_blocks(row))
        quota.charge(ns, directory, quota.use_of(ns, row), -1)
        ns.set_blocks(row, ())
        ns.unlink(row)
        ns.free_inode(row)
    ns.set_blocks(target, (*ns.row_blocks(target), *moved))
    ns.mtimes[target] = op.timestamp
    _touch_directory(ns, directory, op.timestamp)
    _recharge(ns, target, before)
    ids = tuple(block.block_id for block in moved)
    return (
        (BlocksMoved(_id(ns, target), ids, history.replication(ns, target)),) if ids else _NOTHING
    )


def _reassign_lease(ns: Namespace, op: ops.ReassignLeaseOp, now_ms: int) -> Sequence[Effect]:
    row = _file(ns, op, op.path)
    record = ns.open_files.get(row)
    if record is None:
        raise _misfit(op, f"{op.path} is not under construction")
    record.client_name = op.new_holder
    ns.leases.remove(_id(ns, row))
    ns.leases.add(op.new_holder, _id(ns, row), now_ms)
    return _NOTHING


# ---- attributes


def _set_replication(ns: Namespace, op: ops.SetReplicationOp, now_ms: int) -> Sequence[Effect]:
    row = _file(ns, op, op.path)
    history.keep(ns, row)
    before = quota.use_of(ns, row)
    wanted = history.replication(ns, row)
    layout = ns.layouts[ns.layout_of[row]]
    ns.layout_of[row] = ns.intern_layout(layout._replace(replication=op.replication))
    _recharge(ns, row, before)
    return _replication_changed(ns, row) if history.replication(ns, row) != wanted else _NOTHING


def _set_permissions(ns: Namespace, op: ops.SetPermissionsOp, now_ms: int) -> Sequence[Effect]:
    row = _row(ns, op, op.src)
    history.keep(ns, row)
    user, group, _ = ns.permissions[ns.perms[row]]
    ns.perms[row] = ns.intern_permission(user, group, op.mode & 0o1777)
    return _NOTHING


def _set_owner(ns: Namespace, op: ops.SetOwnerOp, now_ms: int) -> Sequence[Effect]:
    row = _row(ns, op, op.src)
    history.keep(ns, row)
    user, group, mode = ns.permissions[ns.perms[row]]
    ns.perms[row] = ns.intern_permission(op.username or user, op.groupname or group, mode)
    return _NOTHING


def _times(ns: Namespace, op: ops.TimesOp, now_ms: int) -> Sequence[Effect]:
    row = _row(ns, op, op.path)
    history.keep(ns, row)
    if op.mtime != -1:
        ns.mtimes[row] = op.mtime
    if op.atime != -1:
        ns.atimes[row] = op.atime
    return _NOTHING


def _change_quota(
    ns: Namespace, row: int, namespace_quota: int, space_quota: int, types: list[int] | None = None
) -> None:
    history.keep(ns, row)
    old = ns.quotas.get(row)
    if namespace_quota == QUOTA_DONT_SET and row != ROOT:
        namespace_quota = old.namespace_quota if old else QUOTA_RESET
    elif row == ROOT and namespace_quota == QUOTA_RESET:
        namespace_quota = QUOTA_DONT_SET
    if space_quota == QUOTA_DONT_SET:
        space_quota = old.space_quota if old else QUOTA_RESET
    if types is None:
        types = list(old.type_quotas) if old else [QUOTA_RESET] * STORAGE_TYPE_COUNT
    quota.set_quota(ns, row, namespace_quota, space_quota, types)


def _set_quota(ns: Namespace, op: ops.SetQuotaOp, now_ms: int) -> Sequence[Effect]:
    _change_quota(ns, _directory(ns, op, op.src), op.ns_quota, op.ds_quota)
    return _NOTHING


def _set_ns_quota(ns: Namespace, op: ops.SetNSQuotaOp, now_ms: int) -> Sequence[Effect]:
    _change_quota(ns, _directory(ns, op, op.src), op.ns_quota, QUOTA_DONT_SET)
    return _NOTHING


def _clear_ns_quota(ns: Namespace, op: ops.ClearNSQuotaOp, now_ms: int) -> Sequence[Effect]:
    _change_quota(ns, _directory(ns, op, op.src), QUOTA_RESET, QUOTA_DONT_SET)
    return _NOTHING


def _set_type_quota(
    ns: Namespace, op: ops.SetQuotaByStorageTypeOp, now_ms: int
) -> Sequence[Effect]:
    row = _directory(ns, op, op.src)
    history.keep(ns, row)
    old = ns.quotas.get(row)
    types = list(old.type_quotas) if old else [QUOTA_RESET] * STORAGE_TYPE_COUNT
    types[op.storage_type] = op.ds_quota
    namespace_quota = old.namespace_quota if old else QUOTA_RESET
    quota.set_quota(ns, row, namespace_quota, old.space_quota if old else QUOTA_RESET, types)
    return _NOTHING


def _set_storage_policy(ns: Namespace, op: ops.SetStoragePolicyOp, now_ms: int) -> Sequence[Effect]:
    row = _row(ns, op, op.path)
    history.keep(ns, row)
    if ns.kinds[row] == FILE:
        layout = ns.layouts[ns.layout_of[row]]
        ns.layout_of[row] = ns.intern_layout(layout._replace(storage_policy_id=op.policy_id))
    else:
        ns.set_xattrs(row, with_policy(ns.xattrs.get(row, ()), op.policy_id))
    if ns.type_quota_count:
        quota.recount(ns)
    return _NOTHING


def _set_acl(ns: Namespace, op: ops.SetAclOp, now_ms: int) -> Sequence[Effect]:
    row = _row(ns, op, op.src)
    history.keep(ns, row)
    user, group, mode = ns.permissions[ns.perms[row]]
    if op.entries:
        stored, mode = acl.split(op.entries, mode)
    else:
        stored, mode = (), acl.removed(ns.acls.get(row, ()), mode)
    if stored:
        ns.acls[row] = stored
    else:
        ns.acls.pop(row, None)
    ns.perms[row] = ns.intern_permission(user, group, mode)
    return _NOTHING


def _same_xattr(first: ops.XAttr, second: ops.XAttr) -> bool:
    return first.namespace == second.namespace and first.name == second.name


def _set_xattr(ns: Namespace, op: ops.SetXAttrOp, now_ms: int) -> Sequence[Effect]:
    row = _row(ns, op, op.src)
    history.keep(ns, row)
    kept = [
        old for old in ns.xattrs.get(row, ()) if not any(_same_xattr(old, new) for new in op.xattrs)
    ]
    ns.set_xattrs(row, (*op.xattrs, *kept))
    return _NOTHING


def _remove_xattr(ns: Namespace, op: ops.RemoveXAttrOp, now_ms: int) -> Sequence[Effect]:
    row = _row(ns, op, op.src)
    history.keep(ns, row)
    kept = [
        old for old in ns.xattrs.get(row, ()) if not any(_same_xattr(old, new) for new in op.xattrs)
    ]
    ns.set_xattrs(row, tuple(kept))
    return _NOTHING


# ---- counters


def _gen_stamp_v1(ns: Namespace, op: ops.SetGenstampV1Op, now_ms: int) -> Sequence[Effect]:
    ns.gen_stamp_v1 = GenStamp(op.gen_stamp_v1)
    return _NOTHING


def _gen_stamp_v2(ns: Namespace, op: ops.SetGenstampV2Op, now_ms: int) -> Sequence[Effect]:
    ns.gen_stamp = GenStamp(op.gen_stamp_v2)
    return _NOTHING


def _allocate_block_id(ns: Namespace, op: ops.AllocateBlockIdOp, now_ms: int) -> Sequence[Effect]:
    if op.block_id < 0:
        ns.last_striped_block_id = BlockId(op.block_id)
    else:
        ns.last_block_id = BlockId(op.block_id)
    return _NOTHING


def _segment_mark(ns: Namespace, op: EditOp, now_ms: int) -> Sequence[Effect]:
    return _NOTHING


def _retain(ns: Namespace, op: EditOp, now_ms: int) -> Sequence[Effect]:
    ns.retained.apply(op)
    return _NOTHING


# ---- snapshots


def _snapshottable(ns: Namespace, op: EditOp, path: str) -> tuple[int, SnapshottableDirectory]:
    row = _directory(ns, op, path)
    record = ns.snapshots.directories.get(row)
    if record is None:
        raise _misfit(op, f"{path} is not snapshottable")
    return row, record


def _named(op: EditOp, record: SnapshottableDirectory, name: str) -> Snapshot:
    snapshot = record.named(name)
    if snapshot is None:
        raise _misfit(op, f"it has no snapshot {name}")
    return snapshot


def _allow_snapshot(ns: Namespace, op: ops.AllowSnapshotOp, now_ms: int) -> Sequence[Effect]:
    row = _directory(ns, op, op.snapshot_root)
    record = ns.snapshots.directories.setdefault(row, SnapshottableDirectory(QUOTA_MAX))
    record.quota = QUOTA_MAX
    return _NOTHING


def _disallow_snapshot(ns: Namespace, op: ops.DisallowSnapshotOp, now_ms: int) -> Sequence[Effect]:
    row = _directory(ns, op, op.snapshot_root)
    record = ns.snapshots.directories.get(row)
    if record is None:
        return _NOTHING
    if record.snapshots:
        raise _misfit(op, f"{op.snapshot_root} has snapshots")
    if row == ROOT:
        record.quota = 0
    else:
        del ns.snapshots.directories[row]
    return _NOTHING


def _create_snapshot(ns: Namespace, op: ops.CreateSnapshotOp, now_ms: int) -> Sequence[Effect]:
    row, record = _snapshottable(ns, op, op.snapshot_root)
    history.take(ns, row, record, op.snapshot_name, op.mtime)
    _touch_directory(ns, row, op.mtime)
    return _NOTHING


def _delete_snapshot(ns: Namespace, op: ops.DeleteSnapshotOp, now_ms: int) -> Sequence[Effect]:
    row, record = _snapshottable(ns, op, op.snapshot_root)
    snapshot = _named(op, record, op.snapshot_name)
    record.snapshots.remove(snapshot)
    ns.snapshots.count -= 1
    touched = history.touched_by(ns, snapshot.snapshot_id)
    effects = _end(ns, touched, lambda: history.forget(ns, snapshot.snapshot_id))
    _touch_directory(ns, row, op.mtime)
    return effects


def _rename_snapshot(ns: Namespace, op: ops.RenameSnapshotOp, now_ms: int) -> Sequence[Effect]:
    row, record = _snapshottable(ns, op, op.snapshot_root)
    snapshot = _named(op, record, op.snapshot_old_name)
    if op.snapshot_new_name != op.snapshot_old_name:
        snapshot.name = op.snapshot_new_name
        # Of the directory itself nothing changes: it is the snapshot's time.
        ns.mtimes[ns.snapshots.version_at(row, snapshot.snapshot_id)] = op.mtime
    return _NOTHING


_Applier = Callable[[Namespace, Any, int], Sequence[Effect]]
_APPLIERS: dict[type[EditOp], _Applier] = {
    ops.AddOp: _add,
    ops.RenameOldOp: _rename_old,
    ops.DeleteOp: _delete,
    ops.MkdirOp: _mkdir,
    ops.SetReplicationOp: _set_replication,
    ops.SetPermissionsOp: _set_permissions,
    ops.SetOwnerOp: _set_owner,
    ops.CloseOp: _close,
    ops.SetGenstampV1Op: _gen_stamp_v1,
    ops.SetNSQuotaOp: _set_ns_quota,
    ops.ClearNSQuotaOp: _clear_ns_quota,
    ops.TimesOp: _times,
    ops.SetQuotaOp: _set_quota,
    ops.RenameOp: _rename,
    ops.ConcatDeleteOp: _concat,
    ops.SymlinkOp: _symlink,
    ops.ReassignLeaseOp: _reassign_lease,
    ops.EndLogSegmentOp: _segment_mark,
    ops.StartLogSegmentOp: _segment_mark,
    ops.UpdateBlocksOp: _update,
    ops.CreateSnapshotOp: _create_snapshot,
    ops.DeleteSnapshotOp: _delete_snapshot,
    ops.RenameSnapshotOp: _rename_snapshot,
    ops.AllowSnapshotOp: _allow_snapshot,
    ops.DisallowSnapshotOp: _disallow_snapshot,
    ops.SetGenstampV2Op: _gen_stamp_v2,
    ops.AllocateBlockIdOp: _allocate_block_id,
    ops.AddBlockOp: _add_block,
    ops.SetAclOp: _set_acl,
    ops.SetXAttrOp: _set_xattr,
    ops.RemoveXAttrOp: _remove_xattr,
    ops.SetStoragePolicyOp: _set_storage_policy,
    ops.TruncateOp: _truncate,
    ops.AppendOp: _append,
    ops.SetQuotaByStorageTypeOp: _set_type_quota,
    ops.GetDelegationTokenOp: _retain,
    ops.RenewDelegationTokenOp: _retain,
    ops.CancelDelegationTokenOp: _retain,
    ops.UpdateMasterKeyOp: _retain,
    ops.AddCacheDirectiveInfoOp: _retain,
    ops.RemoveCacheDirectiveInfoOp: _retain,
    ops.ModifyCacheDirectiveInfoOp: _retain,
    ops.AddCachePoolOp: _retain,
    ops.ModifyCachePoolOp: _retain,
    ops.RemoveCachePoolOp: _retain,
    ops.RollingUpgradeStartOp: _retain,
    ops.RollingUpgradeFinalizeOp: _retain,
    ops.AddErasureCodingPolicyOp: _retain,
    ops.EnableErasureCodingPolicyOp: _retain,
    ops.DisableErasureCodingPolicyOp: _retain,
    ops.RemoveErasureCodingPolicyOp: _retain,
}
"""Every op class; a class that is missing here is an error of ours, found by the unit test."""
_AFTER_REMOVALS = (
    ops.SetQuotaOp,
    ops.SetNSQuotaOp,
    ops.ClearNSQuotaOp,
    ops.SetQuotaByStorageTypeOp,
    ops.SetStoragePolicyOp,
)
"""What counts whole trees: no deleted one may wait for its end then."""
