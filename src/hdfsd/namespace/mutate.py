"""Core. Requests of clients → edit ops, or the RemoteFault that Hadoop answers. Changes nothing.

Each function takes the namespace, a `Request` (who, when, which RPC) and the arguments, and gives
the ops in the order in which they must be applied and logged; an empty list: nothing to do. This
module is the room's door; the functions stand in mutate_names, mutate_files, mutate_leases and
mutate_attributes.
"""

from hdfsd.namespace.mutate_attributes import (
    modify_acl_entries,
    remove_acl,
    remove_acl_entries,
    remove_default_acl,
    remove_xattr,
    set_acl,
    set_owner,
    set_permission,
    set_quota,
    set_replication,
    set_storage_policy,
    set_times,
    set_xattr,
    touch,
    unset_storage_policy,
)
from hdfsd.namespace.mutate_files import (
    abandon_block,
    add_block,
    append,
    check_lease,
    check_pipeline,
    close,
    complete_check,
    concat,
    create,
    fsync,
    next_gen_stamp,
    truncate,
    update_pipeline,
)
from hdfsd.namespace.mutate_leases import (
    commit_block_synchronization,
    recover_lease,
    release_lease,
)
from hdfsd.namespace.mutate_names import create_symlink, delete, mkdirs, rename, rename_old
from hdfsd.namespace.requests import (
    BlockStates,
    NewBlock,
    NewFile,
    OpenFile,
    Plan,
    Recovery,
    Request,
)

__all__ = [
    "BlockStates",
    "NewBlock",
    "NewFile",
    "OpenFile",
    "Plan",
    "Recovery",
    "Request",
    "abandon_block",
    "add_block",
    "append",
    "check_lease",
    "check_pipeline",
    "close",
    "commit_block_synchronization",
    "complete_check",
    "concat",
    "create",
    "create_symlink",
    "delete",
    "fsync",
    "mkdirs",
    "modify_acl_entries",
    "next_gen_stamp",
    "recover_lease",
    "release_lease",
    "remove_acl",
    "remove_acl_entries",
    "remove_default_acl",
    "remove_xattr",
    "rename",
    "rename_old",
    "set_acl",
    "set_owner",
    "set_permission",
    "set_quota",
    "set_replication",
    "set_storage_policy",
    "set_times",
    "set_xattr",
    "touch",
    "truncate",
    "unset_storage_policy",
    "update_pipeline",
]
