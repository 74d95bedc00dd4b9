"""Core. A client's path → the inode it means, with the checks that every call makes on the way
(FSDirectory.resolvePath): reserved paths, ancestors that are directories, EXECUTE on each.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from hdfsd.base import paths
from hdfsd.base.errors import (
    AccessControl,
    FileNotFound,
    InvalidPath,
    ParentNotDirectory,
    PathIsNotDirectory,
    RemoteFault,
    SnapshotReadOnly,
    UnresolvedPath,
)
from hdfsd.base.ids import ROOT_INODE_ID
from hdfsd.namespace import permission
from hdfsd.namespace.permission import Principal
from hdfsd.namespace.snapshot import CURRENT
from hdfsd.namespace.tree import DIRECTORY, FILE, NO_ROW, ROOT, SYMLINK, Namespace

_RESERVED_INODES_PREFIX = paths.RESERVED_INODES + "/"
_RESERVED_RAW_PREFIX = paths.RESERVED_RAW + "/"
_LONG_MAX = 2**63 - 1
_DOT_SNAPSHOT = f"/{paths.SNAPSHOT_DIRECTORY}"


def invalid_path(text: str) -> InvalidPath:
    """InvalidPathException puts this before whatever it is given."""
    return InvalidPath(f"Invalid path name {text}")


class Resolved(NamedTuple):
    """Where a path leads. `row` NO_ROW: nothing there; then `directory` is NO_ROW too when the
    parent is missing, and `ancestor` is always the nearest existing directory."""

    path: str
    row: int
    directory: int
    """Row of the parent; NO_ROW for the root."""
    name: bytes
    ancestor: int
    snapshot_id: int = CURRENT
    """The snapshot that the path leads into: rows are those of its time."""
    snapshots_of: int = NO_ROW
    """The snapshottable directory whose `.snapshot` directory, which is no inode, is meant."""
    policy_id: int = 0
    """In a snapshot: the effective storage policy at its time."""


def plain(ns: Namespace, path: str) -> str:
    """The path without reserved prefixes, `//` and trailing `/`. Raises FileNotFound for a wrong
    /.reserved/.inodes path."""
    if not path.startswith("/"):
        raise RemoteFault(f"Absolute path required, but got '{path}'", "java.lang.AssertionError")
    if "//" in path or path.endswith("/"):
        path = "/" + "/".join(part for part in path.split("/") if part)
    if path.startswith(paths.RESERVED):
        path = _without_reserved(ns, path)
    return path


def _without_reserved(ns: Namespace, path: str) -> str:
    if path.startswith(_RESERVED_INODES_PREFIX):
        return _path_of_inode_path(ns, path)
    if path == paths.RESERVED_RAW:
        return "/"
    if path.startswith(_RESERVED_RAW_PREFIX) and path != paths.RESERVED_RAW + paths.RESERVED:
        return path[len(paths.RESERVED_RAW) :]
    return path


def _path_of_inode_path(ns: Namespace, path: str) -> str:
    """FSDirectory.resolveDotInodesPath; a single `..` after the id serves NFS lookups."""
    number, _, rest = path[len(_RESERVED_INODES_PREFIX) :].partition("/")
    digits = number[1:] if number[:1] in ("-", "+") else number
    if not (digits.isascii() and digits.isdigit()) or abs(int(number)) > _LONG_MAX:
        raise FileNotFound(f"Invalid inode path: {path}")
    inode_id = int(number)
    if inode_id == ROOT_INODE_ID and not rest:
        return "/"
    row = ns.row_of(inode_id) if inode_id > 0 else NO_ROW
    if row < 0:
        raise FileNotFound(f"File for given inode path does not exist: {path}")
    first, _, _ = rest.partition("/")
    if first == "..":
        return ns.path_of_row(max(ns.parents[row], ROOT))
    base = "" if row == ROOT else ns.path_of_row(row)
    return f"{base}/{rest}" if rest else base


def resolve(
    ns: Namespace,
    who: Principal | None,
    path: str,
    *,
    creating: bool = False,
    follow: bool = True,
    reading: bool = False,
) -> Resolved:
    """`who` None: no permission checks. `reading`: snapshot paths are welcome.

    `creating`: the path must be a valid name, and an ancestor that is a file is a
    ParentNotDirectory (else an AccessControl, as Hadoop's signatures have it). `follow`: a symlink
    at the end is an UnresolvedPath, as one on the way always is."""
    special = "/." in path or "//" in path or path[-1:] == "/" or path[:1] != "/"
    if creating and (special or ":" in path) and not paths.is_valid_name(path):
        raise invalid_path(f"Invalid file name: {path}")
    if special:
        if creating and who is not None and path.startswith(_RESERVED_RAW_PREFIX):
            permission.check_superuser(who)
        path = plain(ns, path)
        if _DOT_SNAPSHOT in path:
            found = _in_snapshot(ns, who, path, creating=creating, follow=follow)
            if found is not None:
                if not reading:
                    raise SnapshotReadOnly("Modification on a read-only snapshot is disallowed")
                return found
    parent, _, name = path.rpartition("/")
    if not name:
        return Resolved("/", ROOT, NO_ROW, b"", ROOT)
    directory = ns.directory_row(parent)
    if directory < 0:
        return _unfinished(ns, who, path, creating)
    if who is not None and not who.is_superuser:
        permission.check_traverse(ns, who, directory)
    encoded = name.encode()
    row = ns.child(directory, encoded)
    if follow and row >= 0 and ns.kinds[row] == SYMLINK:
        raise _unresolved(ns, row, path, "")
    return Resolved(path, row, directory, encoded, directory)


def _in_snapshot(
    ns: Namespace, who: Principal | None, path: str, *, creating: bool, follow: bool
) -> Resolved | None:
    """Where a path through a `.snapshot` directory leads; None when it has no such directory: that
    of a directory that isn't snapshottable is a name like others."""
    at = path.find(_DOT_SNAPSHOT)
    while at >= 0:
        end = at + len(_DOT_SNAPSHOT)
        if path[end : end + 1] in ("", "/"):
            root = ns.directory_row(path[:at])
            if root in ns.snapshots.directories:
                if who is not None and not who.is_superuser:
                    permission.check_traverse(ns, who, root)
                return _below(ns, who, path, (root, path[end + 1 :]), creating, follow)
        at = path.find(_DOT_SNAPSHOT, end)
    return None


def _below(
    ns: Namespace,
    who: Principal | None,
    path: str,
    where: tuple[int, str],
    creating: bool,
    follow: bool,
) -> Resolved:
    """`where`: the snapshottable directory, and what follows `.snapshot/`."""
    root, rest = where
    snapshots = ns.snapshots
    if not rest:
        return Resolved(path, NO_ROW, root, b"", root, snapshots_of=root)
    names = rest.split("/")
    snapshot = snapshots.directories[root].named(names[0])
    if snapshot is None:
        return Resolved(path, NO_ROW, root, names[-1].encode(), root)
    snapshot_id = snapshot.snapshot_id
    directory, row = root, snapshots.version_at(root, snapshot_id)
    policy = ns.own_policy(row) or (ns.effective_policy(ns.parents[root]) if root else 0)
    for index, name in enumerate(names[1:], 1):
        if ns.kinds[row] != DIRECTORY:
            _refuse_ancestor(ns, row, "/".join(names[index:]), path, creating)
        if who is not None and not who.is_superuser:
            permission.check(ns, who, row, permission.EXECUTE)
        child = ns.child(row, name.encode())
        if child < 0:
            above = row if index == len(names) - 1 else NO_ROW
            return Resolved(path, NO_ROW, above, names[-1].encode(), row, snapshot_id)
        directory, row = row, snapshots.version_at(child, snapshot_id)
        policy = ns.own_policy(row) or policy
    if follow and ns.kinds[row] == SYMLINK:
        raise _unresolved(ns, row, path, "")
    last = names[-1].encode()
    return Resolved(path, row, directory, last, directory, snapshot_id, NO_ROW, policy)


def _unfinished(ns: Namespace, who: Principal | None, path: str, creating: bool) -> Resolved:
    """The parent is missing or no directory: walk to see which."""
    row = ROOT
    names = path[1:].split("/")
    for index, name in enumerate(names):
        if ns.kinds[row] != DIRECTORY:
            if who is not None and not who.is_superuser:
                permission.check_traverse(ns, who, ns.parents[row])
            _refuse_ancestor(ns, row, "/".join(names[index:]), path, creating)
        below = ns.child(row, name.encode())
        if below < 0:
            break
        row = below
    if who is not None and not who.is_superuser:
        permission.check_traverse(ns, who, row)
    return Resolved(path, NO_ROW, NO_ROW, names[-1].encode(), row)


def _refuse_ancestor(
    ns: Namespace, row: int, remainder: str, path: str, creating: bool
) -> NoReturn:
    if ns.kinds[row] == SYMLINK:
        raise _unresolved(ns, row, path, remainder)
    text = f"{ns.path_of_row(row)} (is not a directory)"
    raise ParentNotDirectory(text) if creating else AccessControl(text)


def _unresolved(ns: Namespace, row: int, path: str, remainder: str) -> UnresolvedPath:
    preceding = ns.path_of_row(ns.parents[row])
    target = ns.symlinks[row].decode()
    if not target.startswith("/"):
        target = f"{preceding.rstrip('/')}/{target}"
    resolved = f"{target}/{remainder}" if remainder else target
    return UnresolvedPath(f"Unresolved path {path}: it leads to {resolved}")


def require_any(at: Resolved, text: str = "cannot find ") -> int:
    """FSDirectory.resolveLastINode."""
    if at.row < 0:
        raise FileNotFound(text + at.path)
    return at.row


def require_file(ns: Namespace, at: Resolved) -> int:
    """INodeFile.valueOf."""
    if at.row < 0:
        raise FileNotFound(f"File does not exist: {at.path}")
    if ns.kinds[at.row] != FILE:
        raise FileNotFound(f"Path is not a file: {at.path}")
    return at.row


def require_directory(ns: Namespace, at: Resolved) -> int:
    """INodeDirectory.valueOf."""
    if at.row < 0:
        raise FileNotFound(f"Directory does not exist: {at.path}")
    if ns.kinds[at.row] != DIRECTORY:
        raise PathIsNotDirectory(f"`{at.path}': Is not a directory")
    return at.row
