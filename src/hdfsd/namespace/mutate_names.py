"""Core. mkdirs, rename, delete, symlink → edit ops (FSDirMkdirOp, FSDirRenameOp, FSDirDeleteOp).

Also what every new name must keep to: limits of length and number, reserved names, quotas,
and what it inherits from its directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hdfsd.base import paths
from hdfsd.base.errors import (
    FileAlreadyExists,
    FileNotFound,
    HadoopIllegalArgument,
    IllegalArgument,
    IOFault,
    MaxComponentLength,
    MaxDirectoryItems,
    ParentNotDirectory,
    PathIsNotEmptyDirectory,
    RemoteFault,
    SnapshotFault,
    Unsupported,
)
from hdfsd.editlog import ops
from hdfsd.editlog.ops import AclEntry, EditOp, PermissionStatus
from hdfsd.namespace import acl, history, permission, quota
from hdfsd.namespace.permission import ALL, WRITE
from hdfsd.namespace.quota import Use
from hdfsd.namespace.requests import Request
from hdfsd.namespace.resolve import Resolved, invalid_path, resolve
from hdfsd.namespace.tree import DIRECTORY, FILE, NO_ROW, ROOT, SYMLINK, Namespace

_USER_WRITE_EXECUTE = 0o300
_SNAPSHOT_NAME = paths.SNAPSHOT_DIRECTORY.encode()
_RESERVED_NAME = paths.RESERVED[1:].encode()


def check_path_length(path: str, call: str) -> None:
    """NameNodeRpcServer.checkPathLength, for calls that make names."""
    if not path:
        raise IllegalArgument("Can not create a Path from an empty string")
    if paths.is_too_long(path):
        raise IOFault(
            f"{call}: Pathname too long.  Limit {paths.PATH_LENGTH_MAX} characters,"
            f" {paths.PATH_DEPTH_MAX} levels."
        )


# ---- what holds for every new name


def check_component(ns: Namespace, name: bytes, parent_path: str) -> None:
    """Length and reserved names. `parent_path` as the error tells it."""
    limit = ns.limits.component_length_max
    if limit and len(name) > limit:
        raise MaxComponentLength(
            f"The maximum path component name limit of {name.decode()} in directory"
            f" {parent_path} is exceeded: limit={limit} length={len(name)}"
        )
    if name == _SNAPSHOT_NAME:
        raise HadoopIllegalArgument(f'"{paths.SNAPSHOT_DIRECTORY}" is a reserved name.')


def check_reserved_root_name(name: bytes, directory: int) -> None:
    if directory == ROOT and name == _RESERVED_NAME:
        raise HadoopIllegalArgument(
            f'File name "{name.decode()}" is reserved and cannot be created. If this is during'
            " upgrade change the name of the existing file or directory to another name before"
            " upgrading to the new release."
        )


def check_directory_items(ns: Namespace, directory: int) -> None:
    count = len(ns.children.get(directory, ()))
    if count >= ns.limits.directory_items_max:
        raise MaxDirectoryItems(
            f"The directory item limit of {ns.path_of_row(directory)} is exceeded:"
            f" limit={ns.limits.directory_items_max} items={count}"
        )


def check_object_limit(ns: Namespace) -> None:
    """FSNamesystem.checkFsObjectLimit."""
    limit = ns.limits.inodes_max
    if limit and limit <= ns.inode_count + ns.block_count:
        raise IOFault(f"Exceeded the configured number of objects {limit} in the filesystem.")


def check_parent_exists(ns: Namespace, at: Resolved) -> None:
    """FSDirectory.verifyParentDir, when the caller doesn't want parents to be made."""
    if at.directory == NO_ROW and at.row != ROOT:
        raise FileNotFound(f"Parent directory doesn't exist: {parent_of(at.path)}")
    if at.directory != NO_ROW and ns.kinds[at.directory] != DIRECTORY:
        raise ParentNotDirectory(f"Parent path is not a directory: {parent_of(at.path)}")


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


class Modes(NamedTuple):
    """Mode bits of a new inode: as the client masked them, and before its umask (HDFS-6962)."""

    masked: int
    unmasked: int | None = None

    def with_user_write_execute(self) -> Modes:
        """Whoever makes ancestors must be able to go on below them; sticky bits stay behind."""
        return Modes(self.masked & 0o777 | _USER_WRITE_EXECUTE, self.unmasked)


class Inherited(NamedTuple):
    """Permission and ACL of a new inode. `stored` is what its own children inherit from."""

    status: PermissionStatus
    logical: tuple[AclEntry, ...]
    stored: tuple[AclEntry, ...]


def inherit(
    ns: Namespace,
    status: PermissionStatus,
    modes: Modes,
    parent_acl: Sequence[AclEntry],
    *,
    is_directory: bool,
) -> Inherited:
    """`status` changed by the default ACL of the directory (FSDirectory.copyINodeDefaultAcl)."""
    posix = ns.limits.posix_acl_inheritance and modes.unmasked is not None
    wanted = (modes.unmasked or 0) & 0o1777 if posix else status.mode
    found = acl.inherit(parent_acl, wanted, is_directory=is_directory)
    if found is None:
        return Inherited(status, (), ())
    stored, mode = found
    logical = acl.logical(stored, mode) if stored else ()
    return Inherited(status._replace(mode=mode), logical, stored)


# ---- mkdirs


class MissingDirectories(NamedTuple):
    """Ops that make them, and what the next inode below the last inherits from it."""

    ops: list[EditOp]
    acl: tuple[AclEntry, ...]


def make_directories(
    ns: Namespace, request: Request, at: Resolved, names: Sequence[str], modes: Sequence[Modes]
) -> MissingDirectories:
    """One directory per name, each below the one before, the first below the nearest that exists
    on the way to `at`."""
    base = at.ancestor
    path = parent_of(at.path) if at.directory == base else ns.path_of_row(base)
    path = path.rstrip("/")
    group = ns.permissions[ns.perms[base]].group
    above = ns.acls.get(base, ())
    made: list[EditOp] = []
    for index, (name, mode) in enumerate(zip(names, modes, strict=True)):
        encoded = name.encode()
        if index == 0:
            check_reserved_root_name(encoded, base)
        check_component(ns, encoded, path or "/")
        status = PermissionStatus(request.who.user, group, mode.masked & 0o1777)
        logical: tuple[AclEntry, ...] = ()
        if above:
            status, logical, above = inherit(ns, status, mode, above, is_directory=True)
        path = f"{path}/{name}"
        made.append(
            ops.MkdirOp(
                ns.last_inode_id + 1 + index,
                path,
                request.now_ms,
                request.now_ms,
                status,
                logical,
            )
        )
    return MissingDirectories(made, above)


def missing_names(ns: Namespace, at: Resolved) -> list[str]:
    """Names of the path below its nearest existing directory."""
    if at.directory == at.ancestor:
        return [at.name.decode()]
    base = "" if at.ancestor == ROOT else ns.path_of_row(at.ancestor)
    return at.path[len(base) + 1 :].split("/")


def mkdirs(
    ns: Namespace,
    request: Request,
    path: str,
    mode: int,
    create_parent: bool,
    unmasked_mode: int | None = None,
) -> list[EditOp]:
    """One op per missing directory; empty: it exists already (true as well)."""
    check_path_length(path, "mkdirs")
    at = resolve(ns, request.who, path, creating=True)
    if at.row >= 0:
        if ns.kinds[at.row] == FILE:
            raise FileAlreadyExists(f"Path is not a directory: {path}")
        return []
    permission.check(ns, request.who, at.ancestor, WRITE)
    if not create_parent:
        check_parent_exists(ns, at)
    check_object_limit(ns)
    names = missing_names(ns, at)
    own = Modes(mode, unmasked_mode)
    above = own.with_user_write_execute()
    check_directory_items(ns, at.ancestor)
    made = make_directories(ns, request, at, names, [above] * (len(names) - 1) + [own])
    if not quota.is_unlimited(ns):
        quota.verify(ns, at.ancestor, Use(len(names), 0))
    return made.ops


def create_symlink(ns: Namespace, request: Request, target: str, link: str) -> list[EditOp]:
    """Always refused, as Hadoop does (symlinks are disabled)."""
    raise Unsupported("Symlinks not supported")


# ---- delete


def delete(ns: Namespace, request: Request, path: str, recursive: bool) -> list[EditOp] | None:
    """None: nothing there, or the root: the answer is false."""
    if path == paths.RESERVED:
        raise invalid_path(path)
    at = resolve(ns, request.who, path, follow=False)
    who = request.who
    if at.row >= 0:
        permission.check_parent(ns, who, at.row, WRITE)
        permission.check_subtree(ns, who, at.row, ALL, ignore_empty=True)
        if not recursive and at.row in ns.children:
            raise PathIsNotEmptyDirectory(f"`{at.path} is non empty': Directory is not empty")
    elif at.directory >= 0:
        permission.check(ns, who, at.directory, WRITE)
    if at.row in (NO_ROW, ROOT):
        return None
    _refuse_with_snapshots(ns, at.row)
    return [ops.DeleteOp(at.path, request.now_ms, request.client_id, request.call_id)]


def _refuse_with_snapshots(ns: Namespace, row: int) -> None:
    """FSDirSnapshotOp.checkSnapshot: a directory is neither deleted nor renamed while it, or one
    below it, has snapshots."""
    for directory, record in history.snapshottable_below(ns, row):
        if record.snapshots:
            path = ns.path_of_row(directory)
            raise SnapshotFault(
                f"The directory {path} cannot be deleted since {path} is snapshottable and already"
                " has snapshots"
            )


# ---- rename


def _refuse_nesting(ns: Namespace, src: Resolved, dst: Resolved) -> None:
    """FSDirRenameOp.validateNestSnapshot."""
    if not any(history.snapshottable_below(ns, src.row)):
        return
    for directory, _ in ns.snapshots.allowed():
        if history.is_below(ns, dst.directory, directory):
            raise SnapshotFault(
                f"Unable to rename because {src.path} has snapshottable descendant directories and"
                f" {parent_of(dst.path)} is a descent of a snapshottable directory, and HDFS does"
                " not support nested snapshottable directory."
            )


def _into_directory(ns: Namespace, src: Resolved, dst: Resolved) -> Resolved:
    """FSDirRenameOp.dstForRenameTo: a directory as destination means a name inside it."""
    if dst.row < 0 or ns.kinds[dst.row] != DIRECTORY:
        return dst
    path = f"{dst.path.rstrip('/')}/{src.name.decode()}"
    return Resolved(path, ns.child(dst.row, src.name), dst.row, src.name, dst.row)


def _check_rename_permission(ns: Namespace, request: Request, src: Resolved, dst: Resolved) -> None:
    if src.row >= 0:
        permission.check_parent(ns, request.who, src.row, WRITE)
    elif src.directory >= 0:
        permission.check(ns, request.who, src.directory, WRITE)
    if dst.row != ROOT:
        permission.check(ns, request.who, dst.ancestor, WRITE)


def _source_error(src: Resolved) -> RemoteFault | None:
    if src.row < 0:
        return FileNotFound(f"rename source {src.path} is not found.")
    if src.row == ROOT:
        return IOFault("rename source cannot be the root")
    return None


def _destination_error(ns: Namespace, src: Resolved, dst: Resolved) -> RemoteFault | None:
    if ns.kinds[src.row] == SYMLINK and ns.symlinks[src.row].decode() == dst.path:
        return FileAlreadyExists(f"Cannot rename symlink {src.path} to its target {dst.path}")
    if dst.path.startswith(src.path + "/"):
        return IOFault(
            f"Rename destination {dst.path} is a directory or file under source {src.path}"
        )
    return None


def _check_move(ns: Namespace, src: Resolved, dst: Resolved) -> None:
    """Limits and quotas at the destination, whose parent exists."""
    check_component(ns, dst.name, parent_of(dst.path))
    check_reserved_root_name(dst.name, dst.directory)
    source = ns.parents[src.row]
    if source != dst.directory:
        check_directory_items(ns, dst.directory)
    if quota.counters_above(ns, source) == quota.counters_above(ns, dst.directory):
        return
    use = quota.use_of_tree(ns, src.row)
    if dst.row >= 0:
        use = quota.add(use, quota.use_of_tree(ns, dst.row), -1)
    quota.verify(ns, dst.directory, use, _common_ancestor(ns, source, dst.directory))


def _common_ancestor(ns: Namespace, first: int, second: int) -> int:
    above = set()
    row = first
    while row != NO_ROW:
        above.add(row)
        row = ns.parents[row]
    row = second
    while row not in above:
        row = ns.parents[row]
    return row


def _refuse_reserved(src: Resolved, dst: Resolved) -> None:
    if paths.RESERVED in (src.path, dst.path):
        raise invalid_path("Cannot rename to or from /.reserved")


def rename_old(ns: Namespace, request: Request, src: str, dst: str) -> list[EditOp] | None:
    """ClientProtocol.rename. None: the answer is false."""
    check_path_length(dst, "rename")
    source = resolve(ns, request.who, src, follow=False)
    target = resolve(ns, request.who, dst, creating=True, follow=False)
    target = _into_directory(ns, source, target)
    _check_rename_permission(ns, request, source, target)
    if _source_error(source) is not None:
        return None
    _refuse_with_snapshots(ns, source.row)
    if source.path == target.path:
        return []
    if _destination_error(ns, source, target) is not None:
        return None
    _refuse_reserved(source, target)
    if target.row >= 0 or target.directory < 0:
        return None
    _refuse_nesting(ns, source, target)
    _check_move(ns, source, target)
    return [
        ops.RenameOldOp(
            source.path, target.path, request.now_ms, request.client_id, request.call_id
        )
    ]


def rename(
    ns: Namespace, request: Request, src: str, dst: str, *, overwrite: bool, to_trash: bool = False
) -> list[EditOp]:
    """ClientProtocol.rename2."""
    check_path_length(dst, "rename")
    source = resolve(ns, request.who, src, follow=False)
    target = resolve(ns, request.who, dst, creating=True, follow=False)
    _check_rename_permission(ns, request, source, target)
    if to_trash and source.row >= 0:
        permission.check_subtree(ns, request.who, source.row, ALL, ignore_empty=True)
    failure = _source_error(source)
    if failure is not None:
        raise failure
    _refuse_with_snapshots(ns, source.row)
    if source.path == target.path:
        raise FileAlreadyExists(
            f"The source {source.path} and destination {target.path} are the same"
        )
    failure = _destination_error(ns, source, target)
    if failure is not None:
        raise failure
    _refuse_reserved(source, target)
    if target.row == ROOT:
        raise IOFault("rename destination cannot be the root")
    if target.row >= 0:
        _check_overwrite(ns, source, target, overwrite)
        _refuse_with_snapshots(ns, target.row)
    elif target.directory < 0:
        raise FileNotFound(f"rename destination parent {target.path} not found.")
    _refuse_nesting(ns, source, target)
    _check_move(ns, source, target)
    options = [ops.RENAME_OVERWRITE] * overwrite + [ops.RENAME_TO_TRASH] * to_trash
    return [
        ops.RenameOp(
            source.path,
            target.path,
            request.now_ms,
            bytes(options or [ops.RENAME_NONE]),
            request.client_id,
            request.call_id,
        )
    ]


def _check_overwrite(ns: Namespace, src: Resolved, dst: Resolved, overwrite: bool) -> None:
    is_directory = ns.kinds[dst.row] == DIRECTORY
    if is_directory != (ns.kinds[src.row] == DIRECTORY):
        raise IOFault(f"Source {src.path} and destination {dst.path} must both be directories")
    if not overwrite:
        raise FileAlreadyExists(f"rename destination {dst.path} already exists")
    if is_directory and dst.row in ns.children:
        raise IOFault(f"rename destination directory is not empty: {dst.path}")
