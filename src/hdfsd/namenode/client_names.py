"""Driver. ClientProtocol: calls that change names and attributes. Each: refuse in safe mode, let
`namespace.mutate` decide, commit, answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from hdfsd.editlog.ops import AclEntry, XAttr
from hdfsd.image.packing import PROTO_OF_STORAGE_TYPE
from hdfsd.namenode.desk import Desk
from hdfsd.namespace import mutate
from hdfsd.namespace.inode import QUOTA_DONT_SET
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import acl, client_namenode, xattr

ORDINAL_OF_STORAGE_TYPE = {proto: ordinal for ordinal, proto in PROTO_OF_STORAGE_TYPE.items()}


class ClientNames:
    """Handlers are named after the wire methods; requests and responses are those of the tables."""

    _desk: Desk

    def mkdirs(
        self, request: client_namenode.MkdirsRequestProto, call: Call
    ) -> client_namenode.MkdirsResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot create directory {request.src}")
        ops = mutate.mkdirs(
            desk.state.namespace,
            desk.request(call),
            request.src,
            request.masked.perm,
            request.createParent,
            request.unmasked.perm if request.HasField("unmasked") else None,
        )
        desk.commit(ops)
        return client_namenode.MkdirsResponseProto(result=True)

    def rename(
        self, request: client_namenode.RenameRequestProto, call: Call
    ) -> client_namenode.RenameResponseProto:
        desk = self._desk
        answer = client_namenode.RenameResponseProto(result=True)
        if (earlier := desk.earlier(call, lambda: answer)) is not None:
            return earlier
        desk.refuse_in_safe_mode(f"Cannot rename {request.src}")
        ops = mutate.rename_old(desk.state.namespace, desk.request(call), request.src, request.dst)
        if ops is None:
            return client_namenode.RenameResponseProto(result=False)
        desk.commit(ops)
        return desk.remember(call, answer)

    def rename2(
        self, request: client_namenode.Rename2RequestProto, call: Call
    ) -> client_namenode.Rename2ResponseProto:
        desk = self._desk
        answer = client_namenode.Rename2ResponseProto()
        if (earlier := desk.earlier(call, lambda: answer)) is not None:
            return earlier
        desk.refuse_in_safe_mode(f"Cannot rename {request.src}")
        ops = mutate.rename(
            desk.state.namespace,
            desk.request(call),
            request.src,
            request.dst,
            overwrite=request.overwriteDest,
            to_trash=request.moveToTrash,
        )
        desk.commit(ops)
        return desk.remember(call, answer)

    def delete(
        self, request: client_namenode.DeleteRequestProto, call: Call
    ) -> client_namenode.DeleteResponseProto:
        desk = self._desk
        answer = client_namenode.DeleteResponseProto(result=True)
        if (earlier := desk.earlier(call, lambda: answer)) is not None:
            return earlier
        desk.refuse_in_safe_mode(f"Cannot delete {request.src}")
        ops = mutate.delete(
            desk.state.namespace, desk.request(call), request.src, request.recursive
        )
        if ops is None:
            return client_namenode.DeleteResponseProto(result=False)
        desk.commit(ops)
        return desk.remember(call, answer)

    def create_symlink(
        self, request: client_namenode.CreateSymlinkRequestProto, call: Call
    ) -> client_namenode.CreateSymlinkResponseProto:
        desk = self._desk
        ops = mutate.create_symlink(
            desk.state.namespace, desk.request(call), request.target, request.link
        )
        desk.commit(ops)
        return client_namenode.CreateSymlinkResponseProto()

    # --- attributes ---

    def set_permission(
        self, request: client_namenode.SetPermissionRequestProto, call: Call
    ) -> client_namenode.SetPermissionResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot set permission for {request.src}")
        desk.commit(
            mutate.set_permission(
                desk.state.namespace, desk.request(call), request.src, request.permission.perm
            )
        )
        return client_namenode.SetPermissionResponseProto()

    def set_owner(
        self, request: client_namenode.SetOwnerRequestProto, call: Call
    ) -> client_namenode.SetOwnerResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot set owner for {request.src}")
        desk.commit(
            mutate.set_owner(
                desk.state.namespace,
                desk.request(call),
                request.src,
                request.username if request.HasField("username") else None,
                request.groupname if request.HasField("groupname") else None,
            )
        )
        return client_namenode.SetOwnerResponseProto()

    def set_times(
        self, request: client_namenode.SetTimesRequestProto, call: Call
    ) -> client_namenode.SetTimesResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot set times {request.src}")
        desk.commit(
            mutate.set_times(
                desk.state.namespace,
                desk.request(call),
                request.src,
                _signed(request.mtime),
                _signed(request.atime),
            )
        )
        return client_namenode.SetTimesResponseProto()

    def set_replication(
        self, request: client_namenode.SetReplicationRequestProto, call: Call
    ) -> client_namenode.SetReplicationResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot set replication for {request.src}")
        ops = mutate.set_replication(
            desk.state.namespace, desk.request(call), request.src, request.replication
        )
        if ops is not None:
            desk.commit(ops)
        return client_namenode.SetReplicationResponseProto(result=ops is not None)

    def set_quota(
        self, request: client_namenode.SetQuotaRequestProto, call: Call
    ) -> client_namenode.SetQuotaResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot set quota on {request.path}")
        storage_type = None
        namespace_quota = _signed(request.namespaceQuota)
        if request.HasField("storageType"):
            storage_type = ORDINAL_OF_STORAGE_TYPE[request.storageType]
            namespace_quota = QUOTA_DONT_SET
        desk.commit(
            mutate.set_quota(
                desk.state.namespace,
                desk.request(call),
                request.path,
                namespace_quota,
                _signed(request.storagespaceQuota),
                storage_type,
            )
        )
        return client_namenode.SetQuotaResponseProto()

    def set_storage_policy(
        self, request: client_namenode.SetStoragePolicyRequestProto, call: Call
    ) -> client_namenode.SetStoragePolicyResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot set storage policy for {request.src}")
        desk.commit(
            mutate.set_storage_policy(
                desk.state.namespace, desk.request(call), request.src, request.policyName
            )
        )
        return client_namenode.SetStoragePolicyResponseProto()

    def unset_storage_policy(
        self, request: client_namenode.UnsetStoragePolicyRequestProto, call: Call
    ) -> client_namenode.UnsetStoragePolicyResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot unset storage policy for {request.src}")
        desk.commit(
            mutate.unset_storage_policy(desk.state.namespace, desk.request(call), request.src)
        )
        return client_namenode.UnsetStoragePolicyResponseProto()

    # --- ACLs and extended attributes ---

    def modify_acl_entries(
        self, request: acl.ModifyAclEntriesRequestProto, call: Call
    ) -> acl.ModifyAclEntriesResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot modify ACL entries on {request.src}")
        desk.commit(
            mutate.modify_acl_entries(
                desk.state.namespace, desk.request(call), request.src, _acl_spec(request.aclSpec)
            )
        )
        return acl.ModifyAclEntriesResponseProto()

    def remove_acl_entries(
        self, request: acl.RemoveAclEntriesRequestProto, call: Call
    ) -> acl.RemoveAclEntriesResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot remove ACL entries on {request.src}")
        desk.commit(
            mutate.remove_acl_entries(
                desk.state.namespace, desk.request(call), request.src, _acl_spec(request.aclSpec)
            )
        )
        return acl.RemoveAclEntriesResponseProto()

    def remove_default_acl(
        self, request: acl.RemoveDefaultAclRequestProto, call: Call
    ) -> acl.RemoveDefaultAclResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot remove default ACL entries on {request.src}")
        desk.commit(
            mutate.remove_default_acl(desk.state.namespace, desk.request(call), request.src)
        )
        return acl.RemoveDefaultAclResponseProto()

    def remove_acl(
        self, request: acl.RemoveAclRequestProto, call: Call
    ) -> acl.RemoveAclResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot remove ACL on {request.src}")
        desk.commit(mutate.remove_acl(desk.state.namespace, desk.request(call), request.src))
        return acl.RemoveAclResponseProto()

    def set_acl(self, request: acl.SetAclRequestProto, call: Call) -> acl.SetAclResponseProto:
        desk = self._desk
        desk.refuse_in_safe_mode(f"Cannot set ACL on {request.src}")
        desk.commit(
            mutate.set_acl(
                desk.state.namespace, desk.request(call), request.src, _acl_spec(request.aclSpec)
            )
        )
        return acl.SetAclResponseProto()

    def set_x_attr(
        self, request: xattr.SetXAttrRequestProto, call: Call
    ) -> xattr.SetXAttrResponseProto:
        desk = self._desk
        answer = xattr.SetXAttrResponseProto()
        if (earlier := desk.earlier(call, lambda: answer)) is not None:
            return earlier
        desk.refuse_in_safe_mode(f"Cannot set XAttr on {request.src}")
        desk.commit(
            mutate.set_xattr(
                desk.state.namespace,
                desk.request(call),
                request.src,
                _xattr(request.xAttr),
                request.flag,
            )
        )
        return desk.remember(call, answer)

    def remove_x_attr(
        self, request: xattr.RemoveXAttrRequestProto, call: Call
    ) -> xattr.RemoveXAttrResponseProto:
        desk = self._desk
        answer = xattr.RemoveXAttrResponseProto()
        if (earlier := desk.earlier(call, lambda: answer)) is not None:
            return earlier
        desk.refuse_in_safe_mode(f"Cannot remove XAttr entry on {request.src}")
        desk.commit(
            mutate.remove_xattr(
                desk.state.namespace, desk.request(call), request.src, _xattr(request.xAttr)
            )
        )
        return desk.remember(call, answer)


def _acl_spec(entries: Iterable[acl.AclEntryProto]) -> list[AclEntry]:
    """Ordinals of type and scope, and the rwx bits, are the same on the wire and in the log."""
    return [AclEntry(e.type, e.scope, e.permissions, e.name if e.name else None) for e in entries]


def _xattr(attribute: xattr.XAttrProto) -> XAttr:
    value = attribute.value if attribute.HasField("value") else None
    return XAttr(attribute.namespace, attribute.name, value)


def _signed(value: int) -> int:
    """A Java long that came in an unsigned field."""
    return value - (1 << 64) if value >= 1 << 63 else value
