"""Core. May this caller do this to that inode: Hadoop's FSPermissionChecker, messages included.

Access bits are the low three of a mode: 4 read, 2 write, 1 execute.
"""

from __future__ import annotations

from hdfsd.base.errors import AccessControl
from hdfsd.editlog.ops import ACL_ACCESS, ACL_GROUP, ACL_USER, AclEntry
from hdfsd.namespace.inode import Permission
from hdfsd.namespace.tree import DIRECTORY, NO_ROW, Namespace

READ, WRITE, EXECUTE = 4, 2, 1
ALL = 7
STICKY = 0o1000
ACTION_NAMES = (
    "NONE",
    "EXECUTE",
    "WRITE",
    "WRITE_EXECUTE",
    "READ",
    "READ_EXECUTE",
    "READ_WRITE",
    "ALL",
)
"""FsAction by its bits."""


class Principal:
    """Who asks: user, groups; keep one per user while its groups hold.

    `is_superuser`: the NameNode's own user or a member of the supergroup, or checks are switched
    off (dfs.permissions.enabled=false).
    """

    __slots__ = ("groups", "is_superuser", "user")

    def __init__(
        self, user: str, groups: frozenset[str] = frozenset(), is_superuser: bool = False
    ) -> None:
        self.user = user
        self.groups = groups
        self.is_superuser = is_superuser


def mode_text(mode: int) -> str:
    """FsPermission.toString: `rwxr-xr-x`, with `t` or `T` at the end for the sticky bit."""
    text = "".join(
        letter if mode >> shift & 1 else "-"
        for letter, shift in zip("rwxrwxrwx", range(8, -1, -1), strict=True)
    )
    if mode & STICKY:
        text = text[:-1] + ("t" if mode & EXECUTE else "T")
    return text


def describe(ns: Namespace, row: int) -> str:
    """`owner:group:drwxr-xr-x`, the tail of every denial."""
    user, group, mode = ns.permissions[ns.perms[row]]
    kind = "d" if ns.kinds[row] == DIRECTORY else "-"
    return f"{user}:{group}:{kind}{mode_text(mode)}"


def allows(ns: Namespace, who: Principal, row: int, bits: int) -> bool:
    """Owner, group or other bits, or the access ACL. The superuser is not asked here."""
    permission = ns.permissions[ns.perms[row]]
    if ns.acls:
        acl = ns.acls.get(row)
        # A directory may have a default ACL and no access ACL.
        if acl is not None and acl[0].scope == ACL_ACCESS:
            return _acl_allows(who, permission, acl, bits)
    user, group, mode = permission
    if who.user == user:
        granted = mode >> 6
    elif group in who.groups:
        granted = mode >> 3
    else:
        granted = mode
    return granted & bits == bits


def _acl_allows(
    who: Principal, permission: Permission, acl: tuple[AclEntry, ...], bits: int
) -> bool:
    """FSPermissionChecker.hasAclPermission: the mode's group bits are the mask."""
    user, owning_group, mode = permission
    if who.user == user:
        return (mode >> 6) & bits == bits
    mask = mode >> 3
    matched = False
    for entry in acl:
        if entry.scope != ACL_ACCESS:
            break
        if entry.type == ACL_USER:
            if who.user == entry.name:
                return entry.permission & mask & bits == bits
        elif entry.type == ACL_GROUP and (entry.name or owning_group) in who.groups:
            if entry.permission & mask & bits == bits:
                return True
            matched = True
    return not matched and mode & bits == bits


def deny(ns: Namespace, who: Principal, row: int, bits: int) -> AccessControl:
    return AccessControl(
        f"Permission denied: user={who.user}, access={ACTION_NAMES[bits]}, "
        f'inode="{ns.path_of_row(row)}":{describe(ns, row)}'
    )


def check(ns: Namespace, who: Principal, row: int, bits: int) -> None:
    """Raises AccessControl unless the caller may do `bits` to this inode."""
    if not who.is_superuser and not allows(ns, who, row, bits):
        raise deny(ns, who, row, bits)


def check_traverse(ns: Namespace, who: Principal, directory: int) -> None:
    """EXECUTE on the directory and all above it; the topmost that refuses is named."""
    refused = NO_ROW
    row = directory
    while row != NO_ROW:
        if not allows(ns, who, row, EXECUTE):
            refused = row
        row = ns.parents[row]
    if refused != NO_ROW:
        raise deny(ns, who, refused, EXECUTE)


def check_owner(ns: Namespace, who: Principal, row: int) -> None:
    if not who.is_superuser and who.user != ns.permissions[ns.perms[row]].user:
        raise AccessControl(
            f"Permission denied. user={who.user} is not the owner of inode={ns.path_of_row(row)}"
        )


def check_superuser(who: Principal, operation: str = "") -> None:
    """`operation`: as Hadoop names it; paths below /.reserved/raw are refused without a name."""
    if not who.is_superuser:
        what = f" for operation {operation}" if operation else ""
        raise AccessControl(
            f"Access denied for user {who.user}. Superuser privilege is required{what}"
        )


def check_parent(ns: Namespace, who: Principal, row: int, bits: int) -> None:
    """On the parent of an existing inode; its sticky bit counts when `bits` has WRITE."""
    if who.is_superuser:
        return
    directory = ns.parents[row]
    if directory == NO_ROW:
        return
    if bits & WRITE and _sticky_forbids(ns, who, directory, row):
        raise _deny_sticky(ns, who, directory, row)
    check(ns, who, directory, bits)


def _sticky_forbids(ns: Namespace, who: Principal, directory: int, row: int) -> bool:
    owner, _, mode = ns.permissions[ns.perms[directory]]
    if not mode & STICKY or owner == who.user:
        return False
    return ns.permissions[ns.perms[row]].user != who.user


def _deny_sticky(ns: Namespace, who: Principal, directory: int, row: int) -> AccessControl:
    return AccessControl(
        f"Permission denied by sticky bit: user={who.user}, "
        f'path="{ns.path_of_row(row)}":{describe(ns, row)}, '
        f'parent="{ns.path_of_row(directory)}":{describe(ns, directory)}'
    )


def check_subtree(
    ns: Namespace, who: Principal, row: int, bits: int, *, ignore_empty: bool = False
) -> None:
    """On the directory and all directories below it (checkSubAccess); sticky bits count too."""
    if who.is_superuser or ns.kinds[row] != DIRECTORY:
        return
    for directory in ns.subtree(row):
        if ns.kinds[directory] != DIRECTORY:
            continue
        children = ns.children.get(directory, ())
        if ignore_empty and not children:
            continue
        check(ns, who, directory, bits)
        if ns.permissions[ns.perms[directory]].mode & STICKY:
            for child in children:
                if _sticky_forbids(ns, who, directory, child):
                    raise _deny_sticky(ns, who, directory, child)
