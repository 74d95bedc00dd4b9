"""mutate and query as a whole: what they answer is what Hadoop answered.

`hadoop_answers.txt` was recorded from a NameNode of Hadoop 3.4.1 (users root, the superuser, and
alice in staff, bob in guests, carol in both; min-block-size 64, max-directory-items 40,
max-xattrs-per-inode 3). A line is a request, the line after it (` => `) the answer: a result, or
Java class and first line of the message.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from steps import finished

from hdfsd.base.errors import RemoteFault
from hdfsd.base.ids import Block, BlockId, GenStamp
from hdfsd.editlog import ops
from hdfsd.editlog.ops import AclEntry, XAttr
from hdfsd.namespace import mutate, query
from hdfsd.namespace.inode import Limits
from hdfsd.namespace.mutate_attributes import XATTR_PREFIXES
from hdfsd.namespace.permission import Principal
from hdfsd.namespace.requests import NewFile
from hdfsd.namespace.storage_policy import HOT_ID
from hdfsd.wire.messages import hdfs, xattr

ANSWERS = pathlib.Path(__file__).with_name("hadoop_answers.txt")
LIMITS = Limits(block_size_min=64, directory_items_max=40, xattrs_per_inode_max=3)
PRINCIPALS = {
    "root": Principal("root", frozenset({"supergroup"}), True),
    "alice": Principal("alice", frozenset({"staff"})),
    "bob": Principal("bob", frozenset({"guests"})),
    "carol": Principal("carol", frozenset({"staff", "guests"})),
}
MACHINE = "127.0.0.1"
STORAGE_TYPE_OF_PROTO = {1: 2, 2: 1, 3: 3, 4: 0, 5: 4, 6: 5}


def acl_spec(text: str) -> list[AclEntry]:
    """`default:user:bob:rwx,...`"""
    spec = []
    for entry in filter(None, text.split(",")):
        parts = entry.split(":")
        scope = ops.ACL_DEFAULT if parts[0] == "default" else ops.ACL_ACCESS
        kind, name, *bits = parts[scope:]
        mode = sum(bit for letter, bit in (("r", 4), ("w", 2), ("x", 1)) if letter in "".join(bits))
        kinds = ("user", "group", "mask", "other")
        spec.append(AclEntry(kinds.index(kind), scope, mode, name or None))
    return spec


def attribute(name: str, value: str | None = None) -> XAttr:
    prefix, _, rest = name.partition(".")
    encoded = None if value is None else value.encode()
    return XAttr(XATTR_PREFIXES.index(prefix), rest, encoded)


def stat(status: hdfs.HdfsFileStatusProto | None) -> str:
    if status is None:
        return "none"
    return (
        f"{status.fileType} {status.permission.perm:o} {status.owner}:{status.group}"
        f" len={status.length} repl={status.block_replication} bs={status.blocksize}"
        f" children={status.childrenNum} policy={status.storagePolicy} flags={status.flags}"
        f" name={status.path.decode()!r}"
    )


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def types(infos: hdfs.StorageTypeQuotaInfosProto) -> str:
    return ",".join(f"{i.type}:{signed(i.quota)}:{i.consumed}" for i in infos.typeQuotaInfo)


def xattrs(found: Sequence[xattr.XAttrProto]) -> str:
    return ",".join(sorted(f"{x.namespace}.{x.name}={x.value.decode()!r}" for x in found))


class Asker:
    """Makes a recorded request of our namespace and tells the answer as the recording does."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.ns = world.ns

    def ask(self, user: str, call: str, args: list[Any]) -> str:
        self.world.now_ms += 1
        self.who = PRINCIPALS[user]
        handler: Callable[..., str] = getattr(self, call, None) or self.change(call)
        try:
            return handler(*args)
        except RemoteFault as fault:
            return f"{fault.wire_class}: {fault.message}".partition("\n")[0]

    def do(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer = function(self.ns, self.world.request(self.who), *args, **kwargs)
        self.world.apply(getattr(answer, "ops", answer))
        failure = getattr(answer, "failure", None)
        if failure is not None:
            raise failure
        return answer

    def change(self, call: str) -> Callable[..., str]:
        def ask(*args: Any) -> str:
            self.do(getattr(mutate, call), *args)
            return "ok"

        return ask

    # names

    def mkdirs(self, path: str, mode: int, parents: bool, unmasked: int | None = None) -> str:
        self.do(mutate.mkdirs, path, mode, parents, unmasked)
        return "true"

    def delete(self, path: str, recursive: bool) -> str:
        return "false" if self.do(mutate.delete, path, recursive) is None else "true"

    def rename(self, src: str, dst: str) -> str:
        return "false" if self.do(mutate.rename_old, src, dst) is None else "true"

    def rename2(self, src: str, dst: str, overwrite: bool, to_trash: bool = False) -> str:
        self.do(mutate.rename, src, dst, overwrite=overwrite, to_trash=to_trash)
        return "ok"

    def symlink(self, target: str, link: str) -> str:
        self.do(mutate.create_symlink, target, link)
        return "ok"

    # files

    def create(
        self, path: str, mode: int, client: str, flags: int, parents: bool, *rest: Any
    ) -> str:
        replication, size, unmasked, policy = (*rest, None, None)[:4]
        new = NewFile(
            path,
            mode,
            client,
            MACHINE,
            flags,
            parents,
            replication,
            size,
            unmasked,
            "",
            policy or "",
        )
        plan = self.do(mutate.create, new, self.world.blocks)
        return stat(query.status_by_id(self.ns, plan.ops[-1].inode_id))

    def complete(self, path: str, client: str) -> str:
        file = mutate.complete_check(self.ns, path, client, None, None)
        if file is not None:
            self.do(mutate.close, file, None)
        return "true"

    def append(self, path: str, client: str) -> str:
        self.do(mutate.append, path, (client, MACHINE), False, self.world.blocks)
        return stat(query.file_status(self.ns, None, path))

    def truncate(self, path: str, length: int, client: str) -> str:
        plan = self.do(mutate.truncate, path, (client, MACHINE), length, self.world.blocks)
        return str(plan.result).lower()

    def recover_lease(self, path: str, client: str) -> str:
        plan = self.do(mutate.recover_lease, path, (client, MACHINE), self.world.blocks)
        return str(plan.result).lower()

    def fsync(self, path: str, client: str) -> str:
        self.do(mutate.fsync, path, client, 0, None)
        return "ok"

    def abandon_block(self, path: str, client: str, number: int) -> str:
        block = Block(BlockId(number), 0, GenStamp(1))
        self.do(mutate.abandon_block, path, client, block, None)
        return "ok"

    def add_block(self, path: str, client: str, number: int | None) -> str:
        previous = None if number is None else Block(BlockId(number), 0, GenStamp(1))
        self.do(mutate.add_block, path, client, previous, None, self.world.blocks)
        return "ok"

    # attributes

    def set_replication(self, path: str, replication: int) -> str:
        return "false" if self.do(mutate.set_replication, path, replication) is None else "true"

    def set_quota(self, path: str, inodes: int, space: int, kind: int | None = None) -> str:
        ordinal = None if kind is None else STORAGE_TYPE_OF_PROTO[kind]
        self.do(mutate.set_quota, path, inodes, space, ordinal)
        return "ok"

    def modify_acl(self, path: str, spec: str) -> str:
        self.do(mutate.modify_acl_entries, path, acl_spec(spec))
        return "ok"

    def remove_acl_entries(self, path: str, spec: str) -> str:
        self.do(mutate.remove_acl_entries, path, acl_spec(spec))
        return "ok"

    def set_acl(self, path: str, spec: str) -> str:
        self.do(mutate.set_acl, path, acl_spec(spec))
        return "ok"

    def set_xattr(self, path: str, name: str, value: str | None, flags: int) -> str:
        self.do(mutate.set_xattr, path, attribute(name, value), flags)
        return "ok"

    def remove_xattr(self, path: str, name: str) -> str:
        self.do(mutate.remove_xattr, path, attribute(name))
        return "ok"

    # reads

    def stat(self, path: str) -> str:
        return stat(query.file_status(self.ns, self.who, path))

    def ls(self, path: str, start_after: str) -> str:
        listing = query.listing(self.ns, self.who, path, start_after.encode())
        if listing is None:
            return "none"
        return f"{listing.remaining} remaining; " + "; ".join(map(stat, listing.statuses))

    def locations(self, path: str) -> str:
        found = query.located_file(self.ns, self.who, path, self.world.now_ms)
        return f"len={found.length} uc={found.under_construction} blocks={len(found.blocks)}"

    def summary(self, path: str) -> str:
        s = finished(query.content_summary(self.ns, self.who, path))
        return (
            f"len={s.length} files={s.fileCount} dirs={s.directoryCount} quota={signed(s.quota)}"
            f" space={s.spaceConsumed} spacequota={signed(s.spaceQuota)}"
            f" types={types(s.typeQuotaInfos)} ec={s.erasureCodingPolicy}"
        )

    def usage(self, path: str) -> str:
        s = finished(query.quota_usage(self.ns, self.who, path))
        return (
            f"count={s.fileAndDirectoryCount} quota={signed(s.quota)} space={s.spaceConsumed}"
            f" spacequota={signed(s.spaceQuota)} types={types(s.typeQuotaInfos)}"
        )

    def block_size(self, path: str) -> str:
        return str(query.preferred_block_size(self.ns, self.who, path))

    def is_closed(self, path: str) -> str:
        return str(query.is_file_closed(self.ns, self.who, path)).lower()

    def access(self, path: str, bits: int) -> str:
        query.check_access(self.ns, self.who, path, bits)
        return "ok"

    def policy(self, path: str) -> str:
        return str(query.storage_policy(self.ns, self.who, path) or HOT_ID)

    def link_target(self, path: str) -> str:
        return query.link_target(self.ns, self.who, path)

    def acl(self, path: str) -> str:
        s = query.acl_status(self.ns, self.who, path)
        entries = ",".join(f"{e.scope}/{e.type}/{e.name}/{e.permissions}" for e in s.entries)
        return f"{s.owner}:{s.group} sticky={s.sticky} perm={s.permission.perm:o} {entries}"

    def get_xattrs(self, path: str, names: list[str]) -> str:
        wanted = [
            xattr.XAttrProto(namespace=a.namespace, name=a.name) for a in map(attribute, names)
        ]
        return xattrs(query.get_xattrs(self.ns, self.who, path, wanted))

    def list_xattrs(self, path: str) -> str:
        return xattrs(query.list_xattrs(self.ns, self.who, path))


def test_answers_are_those_of_hadoop(new_world: Any) -> None:
    world = new_world(LIMITS)
    world.ns.perms[0] = world.ns.intern_permission("root", "supergroup", 0o755)
    asker = Asker(world)
    lines = ANSWERS.read_text().splitlines()
    different = []
    for request, answer in zip(lines[::2], lines[1::2], strict=True):
        user, call, *args = json.loads(request)
        ours, theirs = asker.ask(user, call, args), answer.removeprefix(" => ")
        if ours != theirs:
            different.append(f"{request[:200]}\n  hadoop: {theirs}\n  hdfsd:  {ours}")
    assert len(lines) > 1000
    if different:
        pytest.fail("\n".join(different), pytrace=False)
    world.check_counts()
