"""Core. Attributes of files and directories → edit ops (FSDirAttrOp, FSDirAclOp, FSDirXAttrOp)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hdfsd.base import paths
from hdfsd.base.errors import (
    AccessControl,
    AclFault,
    FileNotFound,
    HadoopIllegalArgument,
    IllegalArgument,
    IOFault,
    UnsupportedAction,
)
from hdfsd.base.ids import InodeId
from hdfsd.editlog import ops
from hdfsd.editlog.ops import (
    ACL_DEFAULT,
    XATTR_RAW,
    XATTR_SECURITY,
    XATTR_TRUSTED,
    XATTR_USER,
    AclEntry,
    EditOp,
    XAttr,
)
from hdfsd.namespace import acl, permission, quota
from hdfsd.namespace.inode import QUOTA_DONT_SET, QUOTA_RESET
from hdfsd.namespace.mutate_files import check_replication
from hdfsd.namespace.permission import STICKY, WRITE, Principal
from hdfsd.namespace.quota import Use, types_for
from hdfsd.namespace.requests import XATTR_CREATE, XATTR_REPLACE, Request
from hdfsd.namespace.resolve import (
    Resolved,
    invalid_path,
    require_any,
    require_directory,
    resolve,
)
from hdfsd.namespace.storage_policy import POLICY_BY_ID, UNSPECIFIED_ID, policy_by_name
from hdfsd.namespace.tree import DIRECTORY, FILE, ROOT, Namespace

_UNREADABLE_BY_SUPERUSER = "hdfs.unreadable.by.superuser"
_NO_DEFAULT_ACL = "Invalid ACL: only directories may have a default ACL."
XATTR_PREFIXES = ("user", "trusted", "security", "system", "raw")
"""By namespace ordinal: how names are told in messages."""


def _owned(ns: Namespace, request: Request, path: str) -> Resolved:
    """FSDirectory.checkOwner."""
    at = resolve(ns, request.who, path)
    if at.row < 0:
        raise FileNotFound(f"Directory/File does not exist {at.path}")
    permission.check_owner(ns, request.who, at.row)
    return at


def _refuse_reserved(path: str) -> None:
    if path == paths.RESERVED:
        raise invalid_path(path)


# ---- permission, owner, times, replication


def set_permission(ns: Namespace, request: Request, path: str, mode: int) -> list[EditOp]:
    """Empty: it has this mode already."""
    _refuse_reserved(path)
    at = _owned(ns, request, path)
    mode &= 0o1777
    if ns.permissions[ns.perms[at.row]].mode == mode:
        return []
    return [ops.SetPermissionsOp(at.path, mode)]


def set_owner(
    ns: Namespace, request: Request, path: str, user: str | None, group: str | None
) -> list[EditOp]:
    """None leaves user or group as it is. Empty: nothing changes."""
    _refuse_reserved(path)
    at = _owned(ns, request, path)
    who = request.who
    if not who.is_superuser:
        if user is not None and user != who.user:
            raise AccessControl(
                f"User {who.user} is not a super user (non-super user cannot change owner)."
            )
        if group is not None and group not in who.groups:
            raise AccessControl(f"User {who.user} does not belong to {group}")
    old = ns.permissions[ns.perms[at.row]]
    if (user or old.user) == old.user and (group or old.group) == old.group:
        return []
    return [ops.SetOwnerOp(at.path, user or "", group or "")]


def set_times(
    ns: Namespace, request: Request, path: str, mtime_ms: int, atime_ms: int
) -> list[EditOp]:
    """-1 leaves a time as it is."""
    if not ns.limits.access_time_precision_ms and atime_ms != -1:
        raise IOFault(
            "Access time for hdfs is not configured.  Please set"
            " dfs.namenode.accesstime.precision configuration parameter."
        )
    at = resolve(ns, request.who, path)
    if at.row >= 0:
        permission.check(ns, request.who, at.row, WRITE)
    if at.row < 0:
        raise FileNotFound(f"File/Directory {at.path} does not exist.")
    if mtime_ms == -1 and atime_ms == -1:
        return []
    return [ops.TimesOp(at.path, mtime_ms, atime_ms)]


def touch(ns: Namespace, now_ms: int, inode_id: InodeId) -> list[EditOp]:
    """A read moved the access time (query.LocatedFile.atime_due). Empty: the file is gone."""
    row = ns.row_of(inode_id)
    return [] if row < 0 else [ops.TimesOp(ns.path_of_row(row), -1, now_ms)]


def set_replication(
    ns: Namespace, request: Request, path: str, replication: int
) -> list[EditOp] | None:
    """None: no such file, a directory or a striped file: the answer is false."""
    check_replication(ns, path, replication, None)
    at = resolve(ns, request.who, path)
    if at.row < 0:
        return None
    permission.check(ns, request.who, at.row, WRITE)
    layout = ns.layouts[ns.layout_of[at.row]] if ns.kinds[at.row] == FILE else None
    if layout is None or layout.ec_policy_id:
        return None
    if replication > layout.replication and not quota.is_unlimited(ns):
        size = quota.raw_bytes(ns, at.row)
        policy = ns.effective_policy(at.row)
        more = Use(0, size * replication, types_for(policy, replication, size))
        now = Use(0, size * layout.replication, types_for(policy, layout.replication, size))
        quota.verify(ns, at.directory, quota.add(more, now, -1))
    return [ops.SetReplicationOp(at.path, replication)]


# ---- quotas, storage policy


def set_quota(
    ns: Namespace,
    request: Request,
    path: str,
    namespace_quota: int,
    space_quota: int,
    storage_type: int | None = None,
) -> list[EditOp]:
    """`storage_type`: the edit log's ordinal; the quota of the type is `space_quota` then.
    Empty: nothing changes."""
    permission.check_superuser(request.who, _quota_command(namespace_quota, space_quota))
    at = resolve(ns, request.who, path)
    for value in (namespace_quota, space_quota):
        if value < 0 and value != QUOTA_RESET:
            raise IllegalArgument(
                f"Illegal value for nsQuota or ssQuota : {namespace_quota} and {space_quota}"
            )
    enabled = ns.limits.type_quotas_enabled
    if storage_type is not None and (not enabled or namespace_quota != QUOTA_DONT_SET):
        raise UnsupportedAction(
            "Failed to set quota by storage type because either"
            f"dfs.quota.by.storage.type.enabled is set to {str(enabled).lower()} or nsQuota value"
            f" is illegal {namespace_quota}"
        )
    row = require_directory(ns, at)
    return _quota_change(ns, row, at.path, namespace_quota, space_quota, storage_type)


def _quota_command(namespace_quota: int, space_quota: int) -> str:
    """FSNamesystem.getQuotaCommand: how the refusal names the operation."""
    if (namespace_quota, space_quota) == (QUOTA_RESET, QUOTA_DONT_SET):
        return "clearQuota"
    if (namespace_quota, space_quota) == (QUOTA_DONT_SET, QUOTA_RESET):
        return "clearSpaceQuota"
    return "setQuota" if space_quota == QUOTA_DONT_SET else "setSpaceQuota"


def _quota_change(
    ns: Namespace, row: int, path: str, namespace_quota: int, space_quota: int, kind: int | None
) -> list[EditOp]:
    old = ns.quotas.get(row)
    old_namespace = old.namespace_quota if old else QUOTA_RESET
    old_space = old.space_quota if old else QUOTA_RESET
    if kind is not None:
        if old is not None and old.type_quotas[kind] == space_quota:
            return []
        return [ops.SetQuotaByStorageTypeOp(path, kind, space_quota)]
    if row == ROOT and namespace_quota == QUOTA_RESET:
        namespace_quota = QUOTA_DONT_SET
    elif namespace_quota == QUOTA_DONT_SET:
        namespace_quota = old_namespace
    if space_quota == QUOTA_DONT_SET:
        space_quota = old_space
    if (namespace_quota, space_quota) == (old_namespace, old_space):
        return []
    return [ops.SetQuotaOp(path, namespace_quota, space_quota)]


def set_storage_policy(ns: Namespace, request: Request, path: str, policy: str) -> list[EditOp]:
    """By name, without case. A file that was made under LAZY_PERSIST keeps it."""
    _check_policies_enabled(ns, "set storage policy")
    wanted = policy_by_name(policy)
    if wanted is None:
        raise HadoopIllegalArgument(f"Cannot find a block policy with the name {policy}")
    at = _policy_target(ns, request, path)
    if ns.kinds[at.row] == FILE and wanted.copy_on_create_file:
        raise HadoopIllegalArgument(f"Policy {wanted} cannot be set after file creation.")
    return _policy_op(ns, at, wanted.policy_id)


def unset_storage_policy(ns: Namespace, request: Request, path: str) -> list[EditOp]:
    _check_policies_enabled(ns, "unset storage policy")
    return _policy_op(ns, _policy_target(ns, request, path), UNSPECIFIED_ID)


def _check_policies_enabled(ns: Namespace, doing: str) -> None:
    if not ns.limits.storage_policies_enabled:
        raise IOFault(f"Failed to {doing} since dfs.storage.policy.enabled is set to false.")


def _policy_target(ns: Namespace, request: Request, path: str) -> Resolved:
    at = resolve(ns, request.who, path)
    if at.row < 0:
        raise FileNotFound(f"File/Directory does not exist: {at.path}")
    permission.check(ns, request.who, at.row, WRITE)
    return at


def _policy_op(ns: Namespace, at: Resolved, policy_id: int) -> list[EditOp]:
    if ns.kinds[at.row] == FILE:
        own = POLICY_BY_ID.get(ns.layouts[ns.layout_of[at.row]].storage_policy_id)
        if own is not None and own.copy_on_create_file:
            raise HadoopIllegalArgument(
                f"Existing policy {own.name} cannot be changed after file creation."
            )
    return [ops.SetStoragePolicyOp(at.path, policy_id)]


# ---- ACLs


def _change_acl(
    ns: Namespace,
    request: Request,
    path: str,
    change: Callable[[tuple[AclEntry, ...]], tuple[AclEntry, ...]],
) -> list[EditOp]:
    """`change` makes the new logical ACL of the old one."""
    if not ns.limits.acls_enabled:
        raise AclFault(
            "The ACL operation has been rejected.  Support for ACLs has been disabled by setting"
            " dfs.namenode.acls.enabled to false."
        )
    at = _owned(ns, request, path)
    mode = ns.permissions[ns.perms[at.row]].mode
    try:
        entries = change(acl.logical(ns.acls.get(at.row, ()), mode))
        if ns.kinds[at.row] != DIRECTORY and any(e.scope == ACL_DEFAULT for e in entries):
            raise AclFault(f"{_NO_DEFAULT_ACL} Path: {at.path}")
    except AclFault as wrong:
        raise AclFault(f"{wrong.message} Path: {at.path}") from None
    return [ops.SetAclOp(at.path, entries)]


def modify_acl_entries(
    ns: Namespace, request: Request, path: str, spec: Sequence[AclEntry]
) -> list[EditOp]:
    return _change_acl(ns, request, path, lambda existing: acl.merge(existing, spec))


def remove_acl_entries(
    ns: Namespace, request: Request, path: str, spec: Sequence[AclEntry]
) -> list[EditOp]:
    return _change_acl(ns, request, path, lambda existing: acl.remove(existing, spec))


def remove_default_acl(ns: Namespace, request: Request, path: str) -> list[EditOp]:
    return _change_acl(ns, request, path, acl.without_default)


def remove_acl(ns: Namespace, request: Request, path: str) -> list[EditOp]:
    return _change_acl(ns, request, path, lambda existing: ())


def set_acl(ns: Namespace, request: Request, path: str, spec: Sequence[AclEntry]) -> list[EditOp]:
    """An empty spec takes the ACL away."""
    if not spec:
        return remove_acl(ns, request, path)
    return _change_acl(ns, request, path, lambda existing: acl.replace_all(existing, spec))


# ---- extended attributes


def xattr_text(attribute: XAttr) -> str:
    """`user.name`: XAttrHelper.getPrefixedName."""
    return f"{XATTR_PREFIXES[attribute.namespace]}.{attribute.name}"


def check_xattr_api(who: Principal, attribute: XAttr, raw: bool) -> None:
    """XAttrPermissionFilter.checkPermissionForApi."""
    kind = attribute.namespace
    if kind == XATTR_USER or (kind == XATTR_TRUSTED and who.is_superuser):
        return
    if kind == XATTR_RAW and raw:
        return
    if kind == XATTR_SECURITY and attribute.name == _UNREADABLE_BY_SUPERUSER:
        if attribute.value:
            raise AccessControl(
                f"Attempt to set a value for '{xattr_text(attribute)}'."
                " Values are not allowed for this xattr."
            )
        return
    raise AccessControl(f"User doesn't have permission for xattr: {xattr_text(attribute)}")


def may_see_xattr(who: Principal, attribute: XAttr, raw: bool) -> bool:
    """XAttrPermissionFilter.filterXAttrsForApi."""
    kind = attribute.namespace
    return (
        kind == XATTR_USER
        or (kind == XATTR_TRUSTED and who.is_superuser)
        or (kind == XATTR_RAW and raw)
        or (kind == XATTR_SECURITY and attribute.name == _UNREADABLE_BY_SUPERUSER)
    )


def is_raw(path: str) -> bool:
    return path.startswith(paths.RESERVED_RAW)


def check_xattrs_enabled(ns: Namespace) -> None:
    if not ns.limits.xattrs_enabled:
        raise IOFault(
            "The XAttr operation has been rejected.  Support for XAttrs has been disabled by"
            " setting dfs.namenode.xattrs.enabled to false."
        )


def _xattr_target(ns: Namespace, request: Request, path: str, attribute: XAttr) -> Resolved:
    """Resolves, and checks what FSDirXAttrOp.checkXAttrChangeAccess does."""
    at = resolve(ns, request.who, path)
    if attribute.namespace == XATTR_USER and at.row >= 0:
        sticky = ns.permissions[ns.perms[at.row]].mode & STICKY
        if ns.kinds[at.row] == DIRECTORY and sticky:
            permission.check_owner(ns, request.who, at.row)
        else:
            permission.check(ns, request.who, at.row, WRITE)
    require_any(at)
    return at


def _same_name(first: XAttr, second: XAttr) -> bool:
    return first.namespace == second.namespace and first.name == second.name


def _check_xattr_size(ns: Namespace, attribute: XAttr) -> None:
    size = len(attribute.name.encode()) + len(attribute.value or b"")
    limit = ns.limits.xattr_size_max
    if size > limit:
        raise HadoopIllegalArgument(
            "The XAttr is too big. The maximum combined size of the name and value is"
            f" {limit}, but the total size is {size}"
        )


def set_xattr(
    ns: Namespace, request: Request, path: str, attribute: XAttr, flags: int
) -> list[EditOp]:
    """`flags` of XAttrSetFlagProto: 1 CREATE, 2 REPLACE."""
    check_xattrs_enabled(ns)
    _check_xattr_size(ns, attribute)
    check_xattr_api(request.who, attribute, is_raw(path))
    at = _xattr_target(ns, request, path, attribute)
    existing = ns.xattrs.get(at.row, ())
    exists = any(_same_name(old, attribute) for old in existing)
    if not flags:
        raise HadoopIllegalArgument("A flag must be specified.")
    if exists and not flags & XATTR_REPLACE:
        raise IOFault(
            f"XAttr: {attribute.name} already exists. The REPLACE flag must be specified."
        )
    if not exists and not flags & XATTR_CREATE:
        raise IOFault(f"XAttr: {attribute.name} does not exist. The CREATE flag must be specified.")
    _check_xattr_count(ns, existing, attribute, exists)
    if attribute.namespace == XATTR_SECURITY and ns.kinds[at.row] != FILE:
        raise IOFault(f"Can only set '{xattr_text(attribute)}' on a file.")
    return [ops.SetXAttrOp(at.path, (attribute,), request.client_id, request.call_id)]


def _check_xattr_count(
    ns: Namespace, existing: Sequence[XAttr], attribute: XAttr, exists: bool
) -> None:
    visible = (XATTR_USER, XATTR_TRUSTED)
    count = sum(a.namespace in visible for a in existing)
    count += attribute.namespace in visible and not exists
    limit = ns.limits.xattrs_per_inode_max
    if count > limit:
        raise IOFault(f"Cannot add additional XAttr to inode, would exceed limit of {limit}")


def remove_xattr(ns: Namespace, request: Request, path: str, attribute: XAttr) -> list[EditOp]:
    check_xattrs_enabled(ns)
    check_xattr_api(request.who, attribute, is_raw(path))
    at = _xattr_target(ns, request, path, attribute)
    if attribute.namespace == XATTR_SECURITY:
        raise AccessControl(f"The xattr '{xattr_text(attribute)}' can not be deleted.")
    if not any(_same_name(old, attribute) for old in ns.xattrs.get(at.row, ())):
        raise IOFault("No matching attributes found for remove operation")
    return [ops.RemoveXAttrOp(at.path, (attribute,), request.client_id, request.call_id)]
