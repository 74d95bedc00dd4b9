"""Core. Writing files → edit ops (FSDirWriteFileOp, FSDirAppendOp, FSDirTruncateOp, ...)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hdfsd.base import paths
from hdfsd.base.errors import (
    FileAlreadyExists,
    FileNotFound,
    HadoopIllegalArgument,
    IllegalArgument,
    InvalidPath,
    IOFault,
    LeaseExpired,
    NotBuilt,
    NotReplicatedYet,
    RetriableError,
    SnapshotFault,
    Unsupported,
)
from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId
from hdfsd.editlog import ops
from hdfsd.editlog.ops import XATTR_SYSTEM, AclEntry, EditOp, PermissionStatus
from hdfsd.namespace import history, mutate_leases, permission, quota
from hdfsd.namespace.apply import blocks_up_to
from hdfsd.namespace.mutate_leases import Client, close_op
from hdfsd.namespace.mutate_names import (
    Modes,
    check_component,
    check_directory_items,
    check_object_limit,
    check_parent_exists,
    check_path_length,
    check_reserved_root_name,
    inherit,
    make_directories,
    missing_names,
    parent_of,
)
from hdfsd.namespace.permission import READ, WRITE
from hdfsd.namespace.quota import Use, types_for
from hdfsd.namespace.requests import (
    CREATE,
    LAZY_PERSIST,
    OVERWRITE,
    SHOULD_REPLICATE,
    BlockStates,
    NewBlock,
    NewFile,
    OpenFile,
    Plan,
    Recovery,
    Request,
)
from hdfsd.namespace.resolve import Resolved, invalid_path, require_file, resolve
from hdfsd.namespace.snapshot import NO_SNAPSHOT
from hdfsd.namespace.storage_policy import (
    LAZY_PERSIST_ID,
    POLICY_BY_ID,
    UNSPECIFIED_ID,
    policy_by_name,
)
from hdfsd.namespace.tree import DIRECTORY, FILE, NO_ROW, Namespace

_EC_XATTR = "hdfs.erasurecoding.policy"


# ---- create


def create(ns: Namespace, request: Request, new: NewFile, blocks: BlockStates) -> Plan:
    """The last op's `inode_id` is the new file's, for the reply's status."""
    check_path_length(new.path, "create")
    _refuse_reserved(new.path)
    try:
        at = resolve(ns, request.who, new.path, creating=True)
    except InvalidPath:
        raise invalid_path(new.path) from None
    _check_create(ns, request, new, at)
    limits = ns.limits
    if new.block_size < limits.block_size_min:
        raise IOFault(
            f"Specified block size {new.block_size} is less than configured minimum value"
            f" dfs.namenode.fs-limits.min-block-size={limits.block_size_min}"
        )
    _refuse_striped(ns, new, at)
    check_replication(ns, new.path, new.replication, new.client_machine)
    if at.row >= 0 and not new.flags & OVERWRITE:
        plan = mutate_leases.take_over(
            ns,
            request,
            at.row,
            (new.client_name, new.client_machine),
            mutate_leases.CREATE_FILE,
            blocks,
        )
        exists = FileAlreadyExists(f"{at.path} for client {new.client_machine} already exists")
        return plan._replace(failure=plan.failure or exists, again=False)
    check_object_limit(ns)
    return Plan(_creation(ns, request, new, at))


def _refuse_reserved(path: str) -> None:
    """FSNamesystem.startFileInt: only raw and inode paths may be written below /.reserved."""
    if not path.startswith(paths.RESERVED):
        return
    if path == paths.RESERVED or (
        paths.is_reserved(path) and not path.startswith((paths.RESERVED_RAW, paths.RESERVED_INODES))
    ):
        raise invalid_path(path)


def _check_create(ns: Namespace, request: Request, new: NewFile, at: Resolved) -> None:
    """FSDirWriteFileOp.resolvePathForStartFile."""
    permission.check(ns, request.who, at.ancestor, WRITE)
    if at.row >= 0:
        if ns.kinds[at.row] == DIRECTORY:
            raise FileAlreadyExists(f"{at.path} already exists as a directory")
        if ns.kinds[at.row] != FILE:
            raise FileNotFound(f"Path is not a file: {new.path}")
        if new.flags & OVERWRITE:
            permission.check(ns, request.who, at.row, WRITE)
        return
    if not new.create_parent:
        check_parent_exists(ns, at)
    if not new.flags & CREATE:
        raise FileNotFound(f"Can't overwrite non-existent {new.path}")


def _refuse_striped(ns: Namespace, new: NewFile, at: Resolved) -> None:
    if new.flags & SHOULD_REPLICATE:
        return
    inherited = False
    row = at.ancestor
    while ns.xattrs and row != NO_ROW and not inherited:
        inherited = any(
            a.namespace == XATTR_SYSTEM and a.name == _EC_XATTR for a in ns.xattrs.get(row, ())
        )
        row = ns.parents[row]
    if new.ec_policy or inherited:
        raise NotBuilt(f"{new.path}: hdfsd can't write erasure-coded files yet")


def check_replication(
    ns: Namespace, path: str, replication: int, client_machine: str | None
) -> None:
    """BlockManager.verifyReplication."""
    limits = ns.limits
    if limits.replication_min <= replication <= limits.replication_max:
        return
    if replication > limits.replication_max:
        wrong = f" exceeds maximum of {limits.replication_max}"
    else:
        wrong = f" is less than the required minimum of {limits.replication_min}"
    client = "" if client_machine is None else f", clientName={client_machine}"
    raise IOFault(f"Requested replication factor of {replication}{wrong} for {path}{client}")


def _creation(ns: Namespace, request: Request, new: NewFile, at: Resolved) -> list[EditOp]:
    """The missing ancestors, then the file."""
    made: list[EditOp] = []
    parent_acl: Sequence[AclEntry] = ()
    group = ns.permissions[ns.perms[at.ancestor]].group
    if at.directory >= 0:
        parent_acl = ns.acls.get(at.directory, ()) if ns.acls else ()
        check_reserved_root_name(at.name, at.directory)
        if at.row < 0:
            check_directory_items(ns, at.directory)
    else:
        names = missing_names(ns, at)[:-1]
        base_mode = Modes(ns.permissions[ns.perms[at.ancestor]].mode)
        check_directory_items(ns, at.ancestor)
        above = [base_mode.with_user_write_execute()] * len(names)
        made, parent_acl = make_directories(ns, request, at, names, above)
    check_component(ns, at.name, parent_of(at.path))
    if at.row < 0 and not quota.is_unlimited(ns):
        quota.verify(ns, at.ancestor, Use(len(made) + 1, 0))
    status = PermissionStatus(request.who.user, group, new.mode & 0o1777)
    logical: tuple[AclEntry, ...] = ()
    if parent_acl:
        modes = Modes(new.mode, new.unmasked_mode)
        status, logical, _ = inherit(ns, status, modes, parent_acl, is_directory=False)
    made.append(
        ops.AddOp(
            ns.last_inode_id + 1 + len(made),
            at.path,
            new.replication,
            request.now_ms,
            request.now_ms,
            new.block_size,
            (),
            status,
            logical,
            (),
            new.client_name,
            new.client_machine,
            bool(new.flags & OVERWRITE),
            _policy_of_new_file(ns, new, at.ancestor),
            0,
            request.client_id,
            request.call_id,
        )
    )
    return made


def _policy_of_new_file(ns: Namespace, new: NewFile, directory: int) -> int:
    """FSDirWriteFileOp.addFile, setNewINodeStoragePolicy."""
    if new.flags & LAZY_PERSIST:
        return LAZY_PERSIST_ID
    if new.storage_policy:
        policy = policy_by_name(new.storage_policy)
        if policy is None:
            raise HadoopIllegalArgument(
                f"Cannot find a block policy with the name {new.storage_policy}"
            )
        return policy.policy_id
    if ns.directory_policies:
        inherited = POLICY_BY_ID.get(ns.effective_policy(directory))
        if inherited is not None and inherited.copy_on_create_file:
            return inherited.policy_id
    return UNSPECIFIED_ID


# ---- the writer's file


def check_lease(
    ns: Namespace, path: str, client_name: str, inode_id: InodeId | None = None
) -> OpenFile:
    """FSNamesystem.checkLease: FileNotFoundException, LeaseExpiredException. `inode_id` None or 0:
    an old client, which the path must tell the file."""
    row = _file_row(ns, path, inode_id)

    def told() -> str:
        files = len(ns.leases.files_of(client_name))
        lease = (
            f"[Lease.  Holder: {client_name}, pending creates: {files}]"
            if files
            else f"Holder {client_name} does not have any open files."
        )
        where = path if row < 0 else ns.path_of_row(row)
        return f"{where} (inode {inode_id or 0}) {lease}"

    if row < 0:
        raise FileNotFound(f"File does not exist: {told()}")
    if ns.kinds[row] != FILE:
        raise LeaseExpired(f"INode is not a regular file: {told()}")
    record = ns.open_files.get(row)
    if record is None:
        raise LeaseExpired(f"File is not open for writing: {told()}")
    if record.client_name != client_name:
        raise LeaseExpired(
            f"Client (={client_name}) is not the lease owner (={record.client_name}: {told()}"
        )
    return _open_file(ns, row)


def _file_row(ns: Namespace, path: str, inode_id: InodeId | None) -> int:
    return ns.row_of(inode_id) if inode_id else resolve(ns, None, path).row


def _open_file(ns: Namespace, row: int) -> OpenFile:
    record = ns.open_files[row]
    layout = ns.layouts[ns.layout_of[row]]
    return OpenFile(
        InodeId(ns.ids[row]),
        ns.path_of_row(row),
        ns.row_blocks(row),
        layout.replication,
        layout.block_size,
        ns.effective_policy(row),
        record.client_name,
        record.client_machine,
    )


def _same(first: Block | None, second: Block | None) -> bool:
    """Block.matchingIdAndGenStamp."""
    if first is None or second is None:
        return first is second
    return first.block_id == second.block_id and first.gen_stamp == second.gen_stamp


def add_block(
    ns: Namespace,
    request: Request,
    path: str,
    client_name: str,
    previous: Block | None,
    inode_id: InodeId | None,
    blocks: BlockStates,
) -> NewBlock:
    """addBlock's share of the namespace: ops allocate id and generation stamp and add the block.
    Choose targets from `file`, then apply the ops. The caller has checked the block pool id."""
    check_object_limit(ns)
    file = check_lease(ns, path, client_name, inode_id)
    last = file.blocks[-1] if file.blocks else None
    length = sum(block.num_bytes for block in file.blocks)
    if not _same(previous, last):
        if previous is None and last is not None and _is_full(file, last, blocks):
            pass  # The first block of an append that starts on a block boundary.
        elif last is not None and _same(previous, _penultimate(file)):
            if last.num_bytes:
                raise IOFault(
                    f"Request looked like a retry to allocate block {last} but it already"
                    f" contains {last.num_bytes} bytes"
                )
            return NewBlock(file, (), last, length - last.num_bytes, True)
        else:
            raise IOFault(
                f"Cannot allocate block in {file.path}: passed 'previous' block {_named(previous)}"
                f" does not match actual last block in file {_named(last)}"
            )
    _check_progress(file, blocks)
    return _new_block(ns, file, previous, length)


def _penultimate(file: OpenFile) -> Block | None:
    return file.blocks[-2] if len(file.blocks) > 1 else None


def _is_full(file: OpenFile, last: Block, blocks: BlockStates) -> bool:
    return last.num_bytes >= file.block_size and blocks.is_complete(last.block_id)


def _named(block: Block | None) -> str:
    return "null" if block is None else str(block)


def _check_progress(file: OpenFile, blocks: BlockStates) -> None:
    """FSNamesystem.checkFileProgress of all but the last block."""
    penultimate = _penultimate(file)
    if penultimate is not None and not (
        blocks.is_complete(penultimate.block_id)
        or blocks.has_minimum_replicas(penultimate.block_id)
    ):
        raise NotReplicatedYet(f"Not replicated yet: {file.path}")


def _new_block(ns: Namespace, file: OpenFile, previous: Block | None, length: int) -> NewBlock:
    limit = ns.limits.blocks_per_file_max
    if len(file.blocks) >= limit:
        raise IOFault(
            "File has reached the limit on maximum number of blocks"
            f" (dfs.namenode.fs-limits.max-blocks-per-file): {len(file.blocks)} >= {limit}"
        )
    if not quota.is_unlimited(ns):
        types = types_for(file.storage_policy_id, file.replication, file.block_size)
        row = ns.row_of(file.inode_id)
        quota.verify(ns, ns.parents[row], Use(0, file.block_size * file.replication, types))
    block = Block(BlockId(ns.last_block_id + 1), 0, GenStamp(ns.gen_stamp + 1))
    logged: tuple[Block, ...] = (block,)
    if file.blocks:
        committed = previous or file.blocks[-1]
        length += committed.num_bytes - file.blocks[-1].num_bytes
        logged = (committed, block)
    made = (
        ops.AllocateBlockIdOp(block.block_id),
        ops.SetGenstampV2Op(block.gen_stamp),
        # Without its call: addBlock is idempotent, no retry cache knows it (as Hadoop logs it).
        ops.AddBlockOp(file.path, logged),
    )
    return NewBlock(file, made, block, length, False)


def abandon_block(
    ns: Namespace,
    request: Request,
    path: str,
    client_name: str,
    block: Block,
    inode_id: InodeId | None,
) -> list[EditOp]:
    """Empty: it is not the last block (any more)."""
    file = check_lease(ns, path, client_name, inode_id)
    if not file.blocks or file.blocks[-1].block_id != block.block_id:
        return []
    return [ops.UpdateBlocksOp(file.path, file.blocks[:-1])]


def complete_check(
    ns: Namespace, path: str, client_name: str, last: Block | None, inode_id: InodeId | None
) -> OpenFile | None:
    """None: closed already with this last block (a retry): answer true. Else commit `last` in the
    block map, look whether all blocks have their minimum of replicas, then `close`."""
    try:
        return check_lease(ns, path, client_name, inode_id)
    except LeaseExpired:
        row = _file_row(ns, path, inode_id)
        if ns.kinds[row] == FILE and row not in ns.open_files and _same(last, ns.last_block(row)):
            return None
        raise


def close(ns: Namespace, request: Request, file: OpenFile, last: Block | None) -> list[EditOp]:
    """`last` as the client reports it: its length is the block's final one."""
    blocks = file.blocks
    if blocks and last is not None:
        if not _same(last, blocks[-1]):
            raise IOFault(f"Trying to commit inconsistent block: {last}, expected {blocks[-1]}")
        blocks = (*blocks[:-1], last)
    return [close_op(ns, ns.row_of(file.inode_id), blocks, request.now_ms)]


def fsync(
    ns: Namespace,
    request: Request,
    path: str,
    client_name: str,
    last_block_length: int,
    inode_id: InodeId | None,
) -> list[EditOp]:
    """`last_block_length` -1 or 0: only the list of blocks is made durable."""
    file = check_lease(ns, path, client_name, inode_id)
    blocks = file.blocks
    if last_block_length > 0 and blocks:
        blocks = (*blocks[:-1], replace(blocks[-1], num_bytes=last_block_length))
    return [ops.UpdateBlocksOp(file.path, blocks)]


def next_gen_stamp(ns: Namespace) -> list[EditOp]:
    """updateBlockForPipeline: the new stamp is `ns.gen_stamp` after applying."""
    return [ops.SetGenstampV2Op(ns.gen_stamp + 1)]


def check_pipeline(ns: Namespace, client_name: str, inode_id: InodeId, block: Block) -> OpenFile:
    """checkUCBlock: the block is the caller's and under construction."""
    row = ns.row_of(inode_id)
    if row == NO_ROW or row not in ns.open_files:
        raise IOFault(
            f"The file {block} belonged to does not exist or it is not under construction."
        )
    file = _open_file(ns, row)
    if file.client_name != client_name:
        raise LeaseExpired(
            f"Lease mismatch: {block} is accessed by a non lease holder {client_name}"
        )
    if not file.blocks or file.blocks[-1].block_id != block.block_id:
        raise IOFault(f"{block} does not exist or is not under Construction{_named(None)}")
    return file


def update_pipeline(
    ns: Namespace, request: Request, client_name: str, inode_id: InodeId, old: Block, new: Block
) -> list[EditOp]:
    """The writer goes on with other DataNodes under a newer generation stamp."""
    file = check_pipeline(ns, client_name, inode_id, old)
    last = file.blocks[-1]
    if new.block_id != last.block_id or new.gen_stamp <= last.gen_stamp:
        raise IOFault(
            f"Update {old} but the new block {new} does not have a larger generation stamp than"
            f" the last block {last}"
        )
    if new.num_bytes < last.num_bytes:
        raise IOFault(
            f"Update {old} (size={old.num_bytes}) to a smaller size block {new}"
            f" (size={new.num_bytes})"
        )
    blocks = (*file.blocks[:-1], new)
    return [ops.UpdateBlocksOp(file.path, blocks, request.client_id, request.call_id)]


# ---- append, truncate, concat


def append(
    ns: Namespace,
    request: Request,
    path: str,
    client: Client,
    new_block: bool,
    blocks: BlockStates,
) -> Plan:
    """Opens a file again for its end (FSDirAppendOp.appendFile)."""
    at = resolve(ns, request.who, path)
    if at.row >= 0 and ns.kinds[at.row] == DIRECTORY:
        raise FileAlreadyExists(
            f"Cannot append to directory {at.path}; already exists as a directory."
        )
    if at.row < 0:
        raise FileNotFound(
            f"Failed to append to non-existent file {at.path} for client {client[1]}"
        )
    permission.check(ns, request.who, at.row, WRITE)
    row = require_file(ns, at)
    _refuse_lazy_persist(ns, row, "append to", at.path)
    if ns.layouts[ns.layout_of[row]].ec_policy_id:
        raise NotBuilt(f"{at.path}: hdfsd can't write erasure-coded files yet")
    plan = mutate_leases.take_over(ns, request, row, client, mutate_leases.APPEND_FILE, blocks)
    if plan.ops:
        return plan
    last = ns.last_block(row)
    if last is not None:
        _check_appendable(at.path, last, blocks)
        _verify_reopened(ns, row, last)
    op = ops.AppendOp(at.path, client[0], client[1], new_block, request.client_id, request.call_id)
    return Plan([op])


def _refuse_lazy_persist(ns: Namespace, row: int, doing: str, path: str) -> None:
    if ns.effective_policy(row) == LAZY_PERSIST_ID:
        raise Unsupported(f"Cannot {doing} lazy persist file {path}")


def _check_appendable(path: str, last: Block, blocks: BlockStates) -> None:
    if blocks.is_committed(last.block_id):
        raise RetriableError(
            "org.apache.hadoop.hdfs.server.namenode.NotReplicatedYetException: append:"
            f" lastBlock={last} of src={path} is COMMITTED but not yet COMPLETE."
        )
    if blocks.is_complete(last.block_id) and not blocks.is_sufficiently_replicated(last.block_id):
        raise IOFault(f"append: lastBlock={last} of src={path} is not sufficiently replicated yet.")


def _verify_reopened(ns: Namespace, row: int, last: Block) -> None:
    """The last block counts as a full one while it is written (verifyQuotaForUCBlock)."""
    if quota.is_unlimited(ns):
        return
    layout = ns.layouts[ns.layout_of[row]]
    more = layout.block_size - last.num_bytes
    types = types_for(ns.effective_policy(row), layout.replication, more)
    quota.verify(ns, ns.parents[row], Use(0, more * layout.replication, types))


def truncate(
    ns: Namespace,
    request: Request,
    path: str,
    client: Client,
    new_length: int,
    blocks: BlockStates,
) -> Plan:
    """`result` false: the last block is being cut by a recovery, the client must wait."""
    if new_length < 0:
        raise HadoopIllegalArgument(f"Cannot truncate to a negative file size: {new_length}.")
    at = resolve(ns, request.who, path)
    if at.row >= 0:
        permission.check(ns, request.who, at.row, WRITE)
    row = require_file(ns, at)
    if ns.layouts[ns.layout_of[row]].ec_policy_id:
        raise Unsupported(f"Cannot truncate file with striped block {at.path}")
    _refuse_lazy_persist(ns, row, "truncate", at.path)
    last = ns.last_block(row)
    cut_to = blocks.truncating_to(last.block_id) if last is not None else None
    if last is not None and cut_to is not None:
        if new_length == ns.row_length(row) - last.num_bytes + cut_to:
            return _cut_on(ns, row, last, cut_to, blocks)
        if blocks.is_under_recovery(last.block_id):
            why = f"{at.path} is being truncated."
            raise mutate_leases.refuse_to(mutate_leases.TRUNCATE_FILE, at.path, client, why)
    plan = mutate_leases.take_over(ns, request, row, client, mutate_leases.TRUNCATE_FILE, blocks)
    if plan.ops:
        return plan
    old_length = ns.row_length(row)
    if old_length == new_length:
        return Plan()
    if old_length < new_length:
        raise HadoopIllegalArgument(
            f"Cannot truncate to a larger file size. Current size: {old_length},"
            f" truncate size: {new_length}."
        )
    return _truncation(ns, request, row, client, new_length)


def _cut_on(ns: Namespace, row: int, last: Block, cut_to: int, blocks: BlockStates) -> Plan:
    """The same truncation once more: by a client that has not heard the answer, or does not want
    to wait. A recovery that was started by a NameNode which is gone is started anew (Hadoop refuses
    this client with AlreadyBeingCreatedException, and leaves the file to its lease: HDFS-16381)."""
    if blocks.is_under_recovery(last.block_id):
        return Plan(result=False)
    recovery_id = GenStamp(ns.gen_stamp + 1)
    recovery = Recovery(InodeId(ns.ids[row]), last, recovery_id, cut_to)
    return Plan([ops.SetGenstampV2Op(recovery_id)], recovery, result=False)


def _truncation(ns: Namespace, request: Request, row: int, client: Client, new_length: int) -> Plan:
    found = ns.row_blocks(row)
    kept, size = blocks_up_to(found, new_length)
    path = ns.path_of_row(row)
    if size == new_length:
        op = ops.TruncateOp(path, client[0], client[1], new_length, request.now_ms, None)
        return Plan([op])
    last = found[kept - 1]
    if ns.retained.rolling_upgrade_start_ms is not None:
        raise NotBuilt(f"{path}: hdfsd can't copy on truncate during a rolling upgrade yet")
    recovery_id = GenStamp(ns.gen_stamp + 1)
    length = last.num_bytes - (size - new_length)
    cut = replace(last, gen_stamp=recovery_id)
    recovered = last
    made: list[EditOp] = [ops.SetGenstampV2Op(recovery_id)]
    if history.holds_last_block(ns, row, last.block_id):
        # A copy takes its place in the file.
        cut = recovered = Block(BlockId(ns.last_block_id + 1), length, recovery_id)
        made.insert(0, ops.AllocateBlockIdOp(cut.block_id))
    made.append(ops.TruncateOp(path, client[0], client[1], new_length, request.now_ms, cut))
    recovery = Recovery(InodeId(ns.ids[row]), recovered, recovery_id, length)
    return Plan(made, recovery, result=False)


def concat(ns: Namespace, request: Request, target: str, sources: Sequence[str]) -> list[EditOp]:
    """Moves the blocks of the sources to the end of the target, which stands beside them."""
    _check_concat_paths(target, sources)
    at = resolve(ns, request.who, target)
    if at.row >= 0:
        permission.check(ns, request.who, at.row, WRITE)
    row = require_file(ns, at)
    if row in ns.open_files:
        raise HadoopIllegalArgument(f"concat: target file {at.path} is under construction")
    rows = [_check_concat_source(ns, request, row, at, source) for source in sources]
    if len(set(rows)) < len(rows):
        raise HadoopIllegalArgument("concat: at least two of the source files are the same")
    _verify_concat(ns, row, rows)
    paths_in_tree = tuple(ns.path_of_row(source) for source in rows)
    return [
        ops.ConcatDeleteOp(
            at.path, paths_in_tree, request.now_ms, request.client_id, request.call_id
        )
    ]


def _check_concat_paths(target: str, sources: Sequence[str]) -> None:
    if not target:
        raise IllegalArgument("Target file name is empty")
    if not sources:
        raise IllegalArgument("No sources given")
    for path in (target, *sources):
        if path.startswith((paths.RESERVED_RAW, paths.RESERVED_INODES)):
            raise IOFault(f"Concat operation doesn't support .reserved relative path : {path}")


def _check_concat_source(
    ns: Namespace, request: Request, target: int, at: Resolved, path: str
) -> int:
    source = resolve(ns, request.who, path)
    if source.row >= 0:
        permission.check(ns, request.who, source.row, READ)
        permission.check_parent(ns, request.who, source.row, WRITE)
    row = require_file(ns, source)
    if ns.parents[row] != ns.parents[target]:
        raise HadoopIllegalArgument(
            f"Source file {path} is not in the same directory with the target {at.path}"
        )
    if history.newest(ns, row) != NO_SNAPSHOT:
        raise SnapshotFault(f"Concat: the source file {path} is in snapshot")
    if row in ns.snapshots.before:
        raise SnapshotFault(
            f"Concat: the source file {path} is referred by some other reference in some snapshot."
        )
    if row == target:
        raise HadoopIllegalArgument(
            f"concat: the src file {path} is the same with the target file {at.path}"
        )
    if row in ns.open_files or not ns.row_block_count(row):
        raise HadoopIllegalArgument(
            f"concat: source file {path} is invalid or empty or underConstruction"
        )
    ours, theirs = ns.layouts[ns.layout_of[target]], ns.layouts[ns.layout_of[row]]
    if theirs.block_size > ours.block_size:
        raise HadoopIllegalArgument(
            f"concat: source file {path} has preferred block size {theirs.block_size}"
            f" which is greater than the target file's preferred block size {ours.block_size}"
        )
    if theirs.ec_policy_id != ours.ec_policy_id:
        raise HadoopIllegalArgument(
            f"Source file {path} and target file {at.path} have different erasure coding policy"
        )
    return row


def _verify_concat(ns: Namespace, target: int, sources: Sequence[int]) -> None:
    if quota.is_unlimited(ns):
        return
    replication = ns.layouts[ns.layout_of[target]].replication
    change = Use(-len(sources), 0)
    for row in sources:
        size = ns.row_length(row)
        policy = ns.effective_policy(row)
        own = ns.layouts[ns.layout_of[row]].replication
        change = quota.add(change, Use(0, size * replication, types_for(policy, replication, size)))
        change = quota.add(change, Use(0, size * own, types_for(policy, own, size)), -1)
    quota.verify(ns, ns.parents[target], change)
