"""Names and attributes: refused without a trace, done once, the same on a standby that replays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from small_namenode import Desktop

from hdfsd.base.errors import (
    AccessControl,
    FileNotFound,
    IOFault,
    PathIsNotEmptyDirectory,
    RemoteFault,
    SafeModeFault,
    StandbyError,
    UnresolvedPath,
)
from hdfsd.namenode.client_names import _signed
from hdfsd.wire.messages import acl, client_namenode, hdfs, xattr

c = client_namenode
UNSET = (1 << 64) - 1
"""-1 in an unsigned field."""


def perm(mode: int) -> acl.FsPermissionProto:
    return acl.FsPermissionProto(perm=mode)


def acl_entry(name: str, permissions: int = 4) -> acl.AclEntryProto:
    return acl.AclEntryProto(
        type=acl.AclEntryProto.USER,
        scope=acl.AclEntryProto.ACCESS,
        permissions=permissions,
        name=name,
    )


def color(value: bytes = b"red") -> xattr.XAttrProto:
    return xattr.XAttrProto(namespace=xattr.XAttrProto.USER, name="color", value=value)


def mkdirs(path: str, mode: int = 0o755) -> c.MkdirsRequestProto:
    return c.MkdirsRequestProto(src=path, masked=perm(mode), createParent=True)


def create(path: str) -> c.CreateRequestProto:
    return c.CreateRequestProto(
        src=path,
        masked=perm(0o644),
        clientName="c1",
        createFlag=1,
        createParent=True,
        replication=3,
        blockSize=128,
    )


def furnished(**options: Any) -> Desktop:
    """/d with a subdirectory and a closed file, all of the superuser, nobody else may write."""
    desktop = Desktop(**options)
    desktop.ask("mkdirs", mkdirs("/d/sub"))
    desktop.ask("create", create("/d/file"), call_id=1)
    desktop.ask("complete", c.CompleteRequestProto(src="/d/file", clientName="c1"))
    desktop.ask("set_acl", acl.SetAclRequestProto(src="/d/sub", aclSpec=full_acl()))
    desktop.ask(
        "set_x_attr", xattr.SetXAttrRequestProto(src="/d/sub", xAttr=color(), flag=1), call_id=2
    )
    return desktop


def full_acl() -> list[acl.AclEntryProto]:
    kinds = (acl.AclEntryProto.USER, acl.AclEntryProto.GROUP, acl.AclEntryProto.OTHER)
    base = [
        acl.AclEntryProto(type=kind, scope=acl.AclEntryProto.ACCESS, permissions=5)
        for kind in kinds
    ]
    return [*base, acl_entry("bob")]


REQUESTS: dict[str, tuple[Any, str]] = {
    "mkdirs": (mkdirs("/d/new"), "Cannot create directory /d/new"),
    "rename": (c.RenameRequestProto(src="/d/file", dst="/d/other"), "Cannot rename /d/file"),
    "rename2": (
        c.Rename2RequestProto(src="/d/file", dst="/d/other", overwriteDest=False),
        "Cannot rename /d/file",
    ),
    "delete": (c.DeleteRequestProto(src="/d/file", recursive=False), "Cannot delete /d/file"),
    "set_permission": (
        c.SetPermissionRequestProto(src="/d/file", permission=perm(0o600)),
        "Cannot set permission for /d/file",
    ),
    "set_owner": (
        c.SetOwnerRequestProto(src="/d/file", username="bob"),
        "Cannot set owner for /d/file",
    ),
    "set_times": (
        c.SetTimesRequestProto(src="/d/file", mtime=5, atime=UNSET),
        "Cannot set times /d/file",
    ),
    "set_replication": (
        c.SetReplicationRequestProto(src="/d/file", replication=2),
        "Cannot set replication for /d/file",
    ),
    "set_quota": (
        c.SetQuotaRequestProto(path="/d", namespaceQuota=9, storagespaceQuota=UNSET),
        "Cannot set quota on /d",
    ),
    "set_storage_policy": (
        c.SetStoragePolicyRequestProto(src="/d", policyName="COLD"),
        "Cannot set storage policy for /d",
    ),
    "unset_storage_policy": (
        c.UnsetStoragePolicyRequestProto(src="/d"),
        "Cannot unset storage policy for /d",
    ),
    "modify_acl_entries": (
        acl.ModifyAclEntriesRequestProto(src="/d/sub", aclSpec=[acl_entry("eve")]),
        "Cannot modify ACL entries on /d/sub",
    ),
    "remove_acl_entries": (
        acl.RemoveAclEntriesRequestProto(src="/d/sub", aclSpec=[acl_entry("bob", 0)]),
        "Cannot remove ACL entries on /d/sub",
    ),
    "remove_default_acl": (
        acl.RemoveDefaultAclRequestProto(src="/d/sub"),
        "Cannot remove default ACL entries on /d/sub",
    ),
    "remove_acl": (acl.RemoveAclRequestProto(src="/d/sub"), "Cannot remove ACL on /d/sub"),
    "set_acl": (
        acl.SetAclRequestProto(src="/d/sub", aclSpec=full_acl()[:3]),
        "Cannot set ACL on /d/sub",
    ),
    "set_x_attr": (
        xattr.SetXAttrRequestProto(src="/d/sub", xAttr=color(b"blue"), flag=2),
        "Cannot set XAttr on /d/sub",
    ),
    "remove_x_attr": (
        xattr.RemoveXAttrRequestProto(src="/d/sub", xAttr=color()),
        "Cannot remove XAttr entry on /d/sub",
    ),
}
AT_MOST_ONCE = ("rename", "rename2", "delete", "set_x_attr", "remove_x_attr")


@pytest.mark.parametrize("name", REQUESTS)
def test_safe_mode_refuses_and_nothing_changes(name: str) -> None:
    desktop, (request, text) = furnished(), REQUESTS[name]
    desktop.state.blocks.enter_safe_mode()
    before = desktop.dump()
    with pytest.raises(SafeModeFault) as caught:
        desktop.ask(name, request)
    assert caught.value.message.startswith(f"{text}. Name node is in safe mode.\n")
    assert desktop.dump() == before


@pytest.mark.parametrize("name", REQUESTS)
def test_a_stranger_is_refused_and_nothing_changes(name: str) -> None:
    desktop, (request, _) = furnished(), REQUESTS[name]
    before = desktop.dump()
    with pytest.raises(AccessControl):
        desktop.ask(name, request, user="eve", call_id=3)
    assert desktop.dump() == before


@pytest.mark.parametrize("name", REQUESTS)
def test_a_closed_log_refuses_and_nothing_changes(name: str) -> None:
    """A handler that was let in before the NameNode stepped back."""
    desktop, (request, _) = furnished(), REQUESTS[name]
    desktop.state.log = None
    before = desktop.dump()
    with pytest.raises(StandbyError):
        desktop.ask(name, request, call_id=3)
    assert desktop.dump() == before


@pytest.mark.parametrize("name", REQUESTS)
def test_done_once_logged_and_replayed_alike(name: str) -> None:
    desktop, (request, _) = furnished(), REQUESTS[name]
    logged = len(desktop.log.frames)
    answer = desktop.ask(name, request, call_id=3)
    assert answer.IsInitialized()
    standby = Desktop(active=False)
    desktop.replay_into(standby)
    assert len(desktop.log.frames) >= logged
    assert standby.dump()[:-1] == desktop.dump()[:-1]
    assert standby.state.applied_txid == desktop.state.applied_txid


@pytest.mark.parametrize("name", AT_MOST_ONCE)
def test_a_retry_is_answered_here_and_after_a_failover(name: str) -> None:
    desktop, (request, _) = furnished(), REQUESTS[name]
    answer = desktop.ask(name, request, call_id=3)
    standby = Desktop(active=False)
    desktop.replay_into(standby)
    standby.activate()
    for namenode in (desktop, standby):
        before = namenode.dump()
        namenode.state.blocks.enter_safe_mode()
        assert namenode.ask(name, request, call_id=3) == answer
        assert namenode.dump() == before


@pytest.mark.parametrize("name", ["rename", "rename2", "delete", "remove_x_attr"])
def test_another_call_is_no_retry(name: str) -> None:
    desktop, (request, _) = furnished(), REQUESTS[name]
    first = desktop.ask(name, request, call_id=3)
    try:
        assert desktop.ask(name, request, call_id=4) != first
    except RemoteFault:
        pass


def test_a_refused_call_is_no_answer_for_its_retry() -> None:
    desktop = furnished()
    request = c.DeleteRequestProto(src="/d", recursive=False)
    with pytest.raises(PathIsNotEmptyDirectory):
        desktop.ask("delete", request, call_id=3)
    desktop.ask("delete", c.DeleteRequestProto(src="/d/sub", recursive=True), call_id=4)
    desktop.ask("delete", c.DeleteRequestProto(src="/d/file", recursive=True), call_id=5)
    assert desktop.ask("delete", request, call_id=3).result


def test_false_is_not_logged() -> None:
    desktop = furnished()
    before = desktop.dump()
    assert not desktop.ask("delete", c.DeleteRequestProto(src="/no", recursive=True)).result
    assert not desktop.ask("rename", c.RenameRequestProto(src="/no", dst="/d/x")).result
    assert not desktop.ask(
        "set_replication", c.SetReplicationRequestProto(src="/d", replication=2)
    ).result
    assert desktop.dump() == before


def test_set_times_leaves_out_what_is_minus_one() -> None:
    desktop = furnished()

    def times() -> tuple[int, int]:
        info = desktop.ask("get_file_info", c.GetFileInfoRequestProto(src="/d/file")).fs
        return info.modification_time, info.access_time

    _, atime = times()
    desktop.ask("set_times", c.SetTimesRequestProto(src="/d/file", mtime=5, atime=UNSET))
    assert times() == (5, atime)
    desktop.ask("set_times", c.SetTimesRequestProto(src="/d/file", mtime=UNSET, atime=6))
    assert times() == (5, 6)
    logged = len(desktop.log.frames)
    desktop.ask("set_times", c.SetTimesRequestProto(src="/d/file", mtime=UNSET, atime=UNSET))
    assert (times(), len(desktop.log.frames)) == ((5, 6), logged)


def test_owner_and_group_are_set_apart() -> None:
    desktop = furnished()
    desktop.ask("set_owner", c.SetOwnerRequestProto(src="/d/file", groupname="ops"))
    desktop.ask("set_owner", c.SetOwnerRequestProto(src="/d/file", username="bob"))
    info = desktop.ask("get_file_info", c.GetFileInfoRequestProto(src="/d/file")).fs
    assert (info.owner, info.group) == ("bob", "ops")


def test_quotas_by_storage_type_leave_the_other_quotas() -> None:
    desktop = furnished()
    desktop.ask(
        "set_quota", c.SetQuotaRequestProto(path="/d", namespaceQuota=9, storagespaceQuota=900)
    )
    desktop.ask(
        "set_quota",
        c.SetQuotaRequestProto(
            path="/d", namespaceQuota=1, storagespaceQuota=70, storageType=hdfs.SSD
        ),
    )
    asked = desktop.ask("get_quota_usage", c.GetQuotaUsageRequestProto(path="/d"))
    usage = asyncio.run(asked).usage
    assert (usage.quota, usage.spaceQuota) == (9, 900)
    assert [(q.type, q.quota) for q in usage.typeQuotaInfos.typeQuotaInfo if q.quota == 70] == [
        (hdfs.SSD, 70)
    ]


@pytest.mark.parametrize(
    ("name", "request_of"),
    [
        ("set_permission", lambda p: c.SetPermissionRequestProto(src=p, permission=perm(0o600))),
        ("set_owner", lambda p: c.SetOwnerRequestProto(src=p, username="bob")),
        ("set_times", lambda p: c.SetTimesRequestProto(src=p, mtime=1, atime=1)),
        ("set_storage_policy", lambda p: c.SetStoragePolicyRequestProto(src=p, policyName="HOT")),
        ("remove_acl", lambda p: acl.RemoveAclRequestProto(src=p)),
        (
            "set_x_attr",
            lambda p: xattr.SetXAttrRequestProto(src=p, xAttr=color(), flag=1),
        ),
    ],
)
def test_what_is_not_there_has_no_attributes(name: str, request_of: Callable[[str], Any]) -> None:
    desktop = furnished()
    before = desktop.dump()
    with pytest.raises(FileNotFound):
        desktop.ask(name, request_of("/no"))
    assert desktop.dump() == before


def test_symbolic_links_are_as_hadoops() -> None:
    """Refused as long as the configuration of the namespace does not allow them."""
    desktop = furnished()
    before = desktop.dump()
    with pytest.raises((RemoteFault, UnresolvedPath, IOFault)):
        desktop.ask(
            "create_symlink",
            c.CreateSymlinkRequestProto(
                target="/d/file", link="/l", dirPerm=perm(0o755), createParent=True
            ),
        )
    assert desktop.dump() == before


@pytest.mark.parametrize(
    ("value", "signed"),
    [(0, 0), ((1 << 63) - 1, (1 << 63) - 1), (1 << 63, -(1 << 63)), (UNSET, -1)],
)
def test_java_longs_in_unsigned_fields(value: int, signed: int) -> None:
    assert _signed(value) == signed
