"""Adapter. One server under a snapshot walk: does the steps, shows everything that it has.

Metadata goes through raw RPC, so that refusals are the server's own words; bytes of files through
hdfs-native. What differs between any two servers, such as ids and times, is told in a way that
does not: ids by their order, times by the step in which they lie.
"""

from __future__ import annotations

import asyncio
import bisect
import re
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hdfs_native
from snapshot_steps import Known, Step

from hdfsd.base.errors import HdfsdError, RemoteFault
from hdfsd.base.ids import Address
from hdfsd.base.settings import ClientSettings
from hdfsd.client.proxy import NameNodeProxy
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.io.site import current_user, read_configuration
from hdfsd.rpc.retry import Backoff
from hdfsd.wire.messages import acl, client_namenode, hdfs, xattr
from hdfsd.wire.services import CLIENT_PROTOCOL, PROTOCOLS

METHODS = PROTOCOLS[CLIENT_PROTOCOL].methods
CLIENT_NAME = "DFSClient_walk"
CALL_MS = 60_000
RECOVERY_SECONDS = 60
PAGES_MAX = 40
"""Of a diff report; a server that gives more of them turns in a circle."""
QUOTA_DONT_SET = (1 << 63) - 1
UNSIGNED = (1 << 64) - 1
BLOCK_BYTES = 1024
SLOW = "Failed to complete file in time"
"""hdfs-native gave up waiting for what DataNodes report."""
NATIVE_ERROR = re.compile(r'RPCError\("([\w.$]+)", "(.*?)(?:\\n\\tat |"\)$)', re.DOTALL)
"""A server's refusal as hdfs-native tells it: class and message."""
STRANGE = (
    (re.compile(r"\n\s*at .*", re.DOTALL), ""),
    (re.compile(r"(?i)\binode (\d+)"), "inode N"),
    (re.compile(r"(?i)\bfileid=\d+|\bblk_\d+(_\d+)?"), "ID"),
    (re.compile(r"\bDFSClient_\w+|\bhdfs_native_client-[-\w]+"), "CLIENT"),
    (re.compile(r"\b127\.0\.0\.1(:\d+)?|\[Lease\.[^]]*\]"), "HERE"),
    # Which one of several is told, is chance.
    (re.compile(r"the subdirectory \S+ is already"), "a subdirectory is already"),
    (re.compile(r"NameNode in HA|\bat \d{4}-\d\d-\d\d [\d:,]+"), "SOMETHING"),
)


class TooSlow(Exception):
    """A DataNode did not keep up with the walk: what is there now says nothing about a NameNode."""


class Marks:
    """When each step of the walk began: both servers share one clock."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._names: list[str] = []

    def add(self, name: str, now_ms: int) -> None:
        """From now on it is that."""
        self._times.append(now_ms)
        self._names.append(name)

    def name_of(self, when_ms: int) -> str:
        """The step in which a moment lies; the moment itself when it is before them all."""
        index = bisect.bisect_right(self._times, when_ms)
        return self._names[index - 1] if index else str(when_ms)


class Ranks:
    """Numbers of ids in their order; two servers that give them in order have the same."""

    def __init__(self) -> None:
        self._ranks: dict[int, int] = {}

    def learn(self, ids: Iterable[int]) -> None:
        """New ones follow the known."""
        for number in sorted(set(ids) - self._ranks.keys()):
            self._ranks[number] = len(self._ranks)

    def __getitem__(self, number: int) -> str:
        return f"#{self._ranks[number]}"


@dataclass(slots=True)
class Row:
    """One inode as seen at one path."""

    path: str
    status: Any
    acl: str = ""
    xattrs: str = ""

    @property
    def is_directory(self) -> bool:
        return bool(self.status.fileType == hdfs.HdfsFileStatusProto.IS_DIR)

    @property
    def block_ids(self) -> list[int]:
        return [block.b.blockId for block in self.status.locations.blocks]


@dataclass(slots=True)
class Tree:
    """What one look found."""

    rows: list[Row]
    lines: list[str] = field(default_factory=list)


class Side:
    """One server with its directory of the walk."""

    def __init__(self, name: str, conf_dir: Path, base: str, marks: Marks) -> None:
        conf = read_configuration(str(conf_dir))
        settings = ClientSettings.from_configuration(conf)
        authority = settings.default_fs.removeprefix("hdfs://").rstrip("/")
        nodes = settings.nameservices.get(authority)
        addresses = [node.rpc for node in nodes] if nodes else [Address.parse(authority, 8020)]
        self.name = name
        self.base = base
        self._marks = marks
        self._addresses = addresses
        self._native = hdfs_native.Client(f"hdfs://{authority}", dict(conf.set_values()))
        self._proxies: dict[str, NameNodeProxy] = {}
        self._inodes, self._blocks = Ranks(), Ranks()

    async def close(self) -> None:
        """Ends the connections."""
        for proxy in self._proxies.values():
            await proxy.close()

    # -- calls

    def _proxy(self, user: str) -> NameNodeProxy:
        if user not in self._proxies:
            self._proxies[user] = NameNodeProxy(
                self._addresses,
                network=TcpNetwork(),
                dice=RealDice(),
                user=user or current_user(),
                backoff=Backoff(100, 1000, 30),
                timeout_ms=CALL_MS,
            )
        return self._proxies[user]

    async def call(self, method: str, user: str = "", **fields: Any) -> Any:
        """The response of one RPC."""
        request = METHODS[method].request(**fields)
        return await self._proxy(user).call(method, request)

    async def told(self, work: Awaitable[str]) -> str:
        """What came of some work, or the refusal of it, in words that any server would use."""
        try:
            return self.plain(await work)
        except RemoteFault as error:
            return self.plain(f"{error.wire_class}: {error.message}")
        except HdfsdError as error:
            return self.plain(f"{type(error).__name__}: {error}")

    def plain(self, text: str) -> str:
        """Without what is the server's alone."""
        for pattern, replacement in STRANGE:
            text = pattern.sub(replacement, text)
        return text.replace(self.base, "@").strip()

    def _path(self, text: str) -> str:
        return self.base + text[1:] if text.startswith("@") else text

    # -- steps

    async def prepare(self) -> None:
        """The directory of the walk, in which everybody may write."""
        permission = acl.FsPermissionProto(perm=0o777)
        await self.call("mkdirs", src=self.base, masked=permission, createParent=True)
        await self.call("setPermission", src=self.base, permission=permission)

    async def do(self, step: Step) -> str:
        """One step; what came of it."""
        arguments = [self._path(a) if isinstance(a, str) else a for a in step.arguments]
        return await self.told(self._do(step, arguments))

    async def _do(self, step: Step, arguments: Sequence[Any]) -> str:
        special = {
            "create": self._create,
            "append": self._append,
            "truncate": self._truncate,
            "close": self._close,
        }
        if step.verb in special:
            return await special[step.verb](step.user, *arguments)
        method, fields = FIELDS[step.verb](*arguments)
        response = await self.call(method, step.user, **fields)
        if method == "createSnapshot":
            return f"ok {response.snapshotPath}"
        return f"ok {response.result}" if hasattr(response, "result") else "ok"

    async def _create(self, user: str, path: str, length: int, overwrite: bool) -> str:
        _, fields = _create_fields(path, overwrite)
        made = (await self.call("create", user, **fields)).fs
        await self.call("complete", user, src=path, clientName=CLIENT_NAME, fileId=made.fileId)
        return await self._append(user, path, length) if length else "ok"

    async def _append(self, user: str, path: str, length: int) -> str:
        # The bytes tell the file's place and size, so that a wrong block is seen.
        seed = f"{path.removeprefix(self.base)}:{length};".encode()
        data = (seed * (length // len(seed) + 1))[:length]
        try:
            return await asyncio.to_thread(_translated, lambda: self._write(path, data))
        except HdfsdError as error:
            if SLOW not in str(error):
                raise
        raise TooSlow(f"{self.name}: {SLOW}")

    def _write(self, path: str, data: bytes) -> str:
        with self._native.append(path) as writer:
            writer.write(data)
        return "ok"

    async def _truncate(self, user: str, path: str, length: int) -> str:
        response = await self.call(
            "truncate", user, src=path, newLength=length, clientName=CLIENT_NAME
        )
        for _ in range(RECOVERY_SECONDS * 20):
            if (await self.call("isFileClosed", src=path)).result:
                return f"ok {response.result}"
            await asyncio.sleep(0.05)
        raise TooSlow(f"{self.name}: no recovery in {RECOVERY_SECONDS} s")

    async def _close(self, user: str, path: str) -> str:
        response = await self.call("complete", user, src=path, clientName=CLIENT_NAME)
        return f"ok {response.result}"

    # -- looks

    async def brief(self) -> tuple[Known, list[str]]:
        """The current tree and the names of the snapshots."""
        rows = await self._below(self.base, locations=False)
        snapshots = {self.plain(root): names for root, names in (await self._roots()).items()}
        known = Known(
            directories=["@", *(self.plain(row.path) for row in rows if row.is_directory)],
            files={self.plain(r.path): r.status.length for r in rows if not r.is_directory},
            snapshots=snapshots,
        )
        lines = [f"{self.plain(row.path)} {row.status.length}" for row in rows]
        return known, [*lines, *(f"{root}: {names}" for root, names in snapshots.items())]

    async def full(self, *, counts: bool = True) -> Tree:
        """Everything of the current tree and of every snapshot, in one list of lines. `counts`:
        also what the directories hold and use."""
        roots = await self._roots()
        tops = [self.base, *(f"{r}/.snapshot/{n}" for r, names in roots.items() for n in names)]
        found = await asyncio.gather(*(self._whole(top) for top in tops))
        rows = [row for part in found for row in part]
        await asyncio.gather(*(self._attributes(row) for row in rows))
        self._inodes.learn(row.status.fileId for row in rows)
        self._blocks.learn(number for row in rows for number in row.block_ids)
        current = [row.path for row in found[0] if row.is_directory]
        lines = [self._line(row) for row in rows]
        if counts:
            lines += await asyncio.gather(*(self._usage(path) for path in current))
            lines += await asyncio.gather(*(self._summary(path) for path in [*current, *tops[1:]]))
        lines += await asyncio.gather(*(self._listing(root) for root in roots))
        lines.append(await self._snapshottable())
        return Tree(rows, lines)

    async def _whole(self, top: str) -> list[Row]:
        status = (await self.call("getLocatedFileInfo", src=top)).fs
        return [Row(top, status), *await self._below(top, locations=True)]

    async def _below(self, top: str, *, locations: bool) -> list[Row]:
        rows: list[Row] = []
        level = [top]
        while level:
            found = await asyncio.gather(*(self._children(path, locations) for path in level))
            below = [row for part in found for row in part]
            rows += below
            level = [row.path for row in below if row.is_directory]
        return sorted(rows, key=lambda row: row.path)

    async def _children(self, path: str, locations: bool) -> list[Row]:
        listing = await self.call("getListing", src=path, startAfter=b"", needLocation=locations)
        assert not listing.dirList.remainingEntries, f"{path}: more than one page"
        found = listing.dirList.partialListing
        return [Row(f"{path}/{entry.path.decode()}", entry) for entry in found]

    async def _attributes(self, row: Row) -> None:
        found = self.told(self._xattrs(row.path))
        if row.status.flags & hdfs.HdfsFileStatusProto.HAS_ACL:
            row.acl, row.xattrs = await asyncio.gather(self.told(self._acl(row.path)), found)
        else:
            row.xattrs = await found

    async def _acl(self, path: str) -> str:
        result = (await self.call("getAclStatus", src=path)).result
        return " ".join(f"{e.scope}:{e.type}:{e.name}:{e.permissions}" for e in result.entries)

    async def _xattrs(self, path: str) -> str:
        found = (await self.call("getXAttrs", src=path, xAttrs=[])).xAttrs
        return " ".join(sorted(f"{x.namespace}.{x.name}={x.value!r}" for x in found))

    def _line(self, row: Row) -> str:
        s = row.status
        times = f"{self._marks.name_of(s.modification_time)}, {self._marks.name_of(s.access_time)}"
        policy = str(s.storagePolicy)
        if "/.snapshot/" in row.path:
            # Hadoop shows the policy that the directories above have now, and the time of a later
            # change of a directory when that was of its children only.
            policy = "-"
            times = "-" if row.is_directory else times
        text = (
            f"{self.plain(row.path)} {'d' if row.is_directory else '-'}{s.permission.perm:o}"
            f" {s.owner}:{s.group} rep={s.block_replication} bs={s.blocksize} len={s.length}"
            f" [{times}] {self._inodes[s.fileId]} children={s.childrenNum}"
            f" policy={policy} flags={s.flags} acl=[{row.acl}] xattrs=[{row.xattrs}]"
        )
        if row.is_directory:
            return text
        located = s.locations
        if "/.snapshot/" in row.path:
            # Hadoop gives the blocks that the file has now, as far as the length goes.
            return f"{text} fileLength={located.fileLength} open={located.underConstruction}"
        blocks = ",".join(f"{self._blocks[b.b.blockId]}:{b.b.numBytes}" for b in s.locations.blocks)
        return (
            f"{text} blocks=[{blocks}] fileLength={located.fileLength}"
            f" open={located.underConstruction} lastComplete={located.isLastBlockComplete}"
        )

    async def _usage(self, path: str) -> str:
        async def ask() -> str:
            usage = (await self.call("getQuotaUsage", path=path)).usage
            usage.ClearField("spaceConsumed")
            usage.ClearField("typeQuotaInfos")
            return _fields(usage)

        return f"usage of {self.plain(path)}: {await self.told(ask())}"

    async def _summary(self, path: str) -> str:
        async def ask() -> str:
            summary = (await self.call("getContentSummary", path=path)).summary
            # Of what snapshots hold Hadoop tells some bytes by the present, and some not at all.
            for size in ("length", "spaceConsumed", "snapshotLength", "snapshotSpaceConsumed"):
                summary.ClearField(size)
            summary.ClearField("typeQuotaInfos")
            return _fields(summary)

        return f"summary of {self.plain(path)}: {await self.told(ask())}"

    async def summary(self, path: str) -> str:
        """The content summary of any path of the walk."""
        return await self._summary(self._path(path))

    # -- snapshots

    async def _roots(self) -> dict[str, list[str]]:
        """The names of the snapshots of each snapshottable directory of the walk."""
        roots = sorted(_full_path(entry) for entry in await self._own_roots())
        found = await asyncio.gather(*(self._children(f"{r}/.snapshot", False) for r in roots))
        return {
            root: [row.path.rpartition("/")[2] for row in rows] for root, rows in zip(roots, found)
        }

    async def _own_roots(self) -> list[Any]:
        listing = (await self.call("getSnapshottableDirListing")).snapshottableDirList
        entries = listing.snapshottableDirListing
        return [e for e in entries if f"{_full_path(e)}/".startswith(f"{self.base}/")]

    async def _snapshottable(self) -> str:
        lines = [
            f"{self.plain(_full_path(e))} quota={e.snapshot_quota} count={e.snapshot_number}"
            f" {self._status_text(e.dirStatus)}"
            for e in await self._own_roots()
        ]
        return f"snapshottable: {'; '.join(lines)}"

    async def _listing(self, root: str) -> str:
        async def ask() -> str:
            response = await self.call("getSnapshotListing", snapshotRoot=root)
            entries = response.snapshotList.snapshotListing
            return "; ".join(
                f"{_full_path(e)} deleted={e.isDeleted} {self._status_text(e.dirStatus)}"
                for e in entries
            )

        return f"snapshots of {self.plain(root)}: {await self.told(ask())}"

    def _status_text(self, status: Any) -> str:
        return (
            f"{status.permission.perm:o} {status.owner}:{status.group}"
            f" {self._marks.name_of(status.modification_time)} flags={status.flags}"
            f" children={status.childrenNum}"
        )

    async def difference(self, root: str, start: str, end: str) -> str:
        """The diff report, and its pages as the server gives them."""
        path = self._path(root)
        names = {"snapshotRoot": path, "fromSnapshot": start, "toSnapshot": end}

        async def report() -> str:
            found = (await self.call("getSnapshotDiffReport", **names)).diffReport
            return _entries(found.diffReportEntries)

        async def pages() -> str:
            cursor = hdfs.SnapshotDiffReportCursorProto(startPath=b"", index=-1)
            told = []
            for _ in range(PAGES_MAX):
                response = await self.call("getSnapshotDiffReportListing", **names, cursor=cursor)
                cursor = response.diffReport.cursor
                told.append(self._page(response.diffReport))
                if not cursor.startPath and cursor.index == -1:
                    break
            return " | ".join(told)

        told = await asyncio.gather(self.told(report()), self.told(pages()))
        # Hadoop's page that goes on in a directory has what was deleted from it as modified too.
        paged = told[1] if " | " not in told[1] else "several"
        return f"diff of {root} {start or '.'} {end or '.'}: {told[0]} | pages: {paged}"

    def _page(self, page: Any) -> str:
        groups = (page.modifiedEntries, page.createdEntries, page.deletedEntries)
        told = [
            " ".join(
                f"{e.fullpath.decode()}>{e.targetPath.decode()}:{e.isReference}" for e in group
            )
            for group in groups
        ]
        end = page.cursor
        return (
            f"M {told[0]}; + {told[1]}; - {told[2]}; earlier={page.isFromEarlier}"
            f" cursor={end.startPath.decode()!r},{end.index}"
        )

    async def content(self, path: str) -> str:
        """The bytes of a file, told by their sum."""
        where = self._path(path)
        told = await self.told(asyncio.to_thread(_translated, lambda: self._read(where)))
        return f"bytes of {path}: {told}"

    def _read(self, path: str) -> str:
        with self._native.read(path) as reader:
            data = bytes(reader.read())
        return f"{len(data)} sum {zlib.crc32(data):08x} {data[:12]!r}"


def _full_path(entry: Any) -> str:
    parent = entry.parent_fullpath.decode()
    return f"{parent.rstrip('/')}/{entry.dirStatus.path.decode()}"


def _entries(entries: Iterable[Any]) -> str:
    return " ".join(
        f"{e.modificationLabel}{e.fullpath.decode()}>{e.targetPath.decode()}" for e in entries
    )


def _fields(message: Any) -> str:
    # An empty list of types says the same as none.
    return " ".join(str(message).split()).replace(" typeQuotaInfos { }", "")


def _translated(work: Callable[[], str]) -> str:
    """hdfs-native's errors as the server's own."""
    try:
        return work()
    except FileNotFoundError:
        raise RemoteFault("no such file", "java.io.FileNotFoundException") from None
    except (RuntimeError, OSError, ValueError) as error:
        found = NATIVE_ERROR.search(str(error))
        if found is None:
            raise HdfsdError(str(error)) from error
        raise RemoteFault(found[2].replace('\\"', '"'), found[1]) from error


# -- what each step asks for

Fields = tuple[str, dict[str, Any]]


def _permission(mode: int) -> Any:
    return acl.FsPermissionProto(perm=mode)


def _create_fields(path: str, overwrite: bool) -> Fields:
    flag = client_namenode.CREATE | (client_namenode.OVERWRITE if overwrite else 0)
    return "create", {
        "src": path,
        "masked": _permission(0o644),
        "clientName": CLIENT_NAME,
        "createFlag": flag,
        "createParent": True,
        "replication": 1,
        "blockSize": BLOCK_BYTES,
    }


def _attribute(name: str, value: str | None = None) -> Any:
    space, _, rest = name.partition(".")
    made = xattr.XAttrProto(namespace=space.upper(), name=rest)
    if value is not None:
        made.value = value.encode()
    return made


TYPES = {"u": "USER", "g": "GROUP", "m": "MASK", "o": "OTHER"}


def _acl_entry(text: str) -> Any:
    scope = "DEFAULT" if text.startswith("d:") else "ACCESS"
    kind, name, letters = text.removeprefix("d:").split(":")
    bits = sum(value for letter, value in zip("rwx", (4, 2, 1)) if letter in letters)
    entry = acl.AclEntryProto(type=TYPES[kind], scope=scope, permissions=bits)
    if name:
        entry.name = name
    return entry


def _acl_entries(text: str) -> list[Any]:
    return [_acl_entry(part) for part in text.split(",")]


def _quota_fields(path: str, names: int, space: int, kind: str) -> Fields:
    fields: dict[str, Any] = {"path": path, "storagespaceQuota": space & UNSIGNED}
    if kind:
        return "setQuota", {**fields, "namespaceQuota": QUOTA_DONT_SET, "storageType": kind}
    return "setQuota", {**fields, "namespaceQuota": names & UNSIGNED}


def _owner_fields(path: str, owner: str, group: str) -> Fields:
    fields = {"src": path, "username": owner, "groupname": group}
    return "setOwner", {key: value for key, value in fields.items() if value}


def _named(method: str, *names: str) -> Callable[..., Fields]:
    """A step whose arguments are the request's fields, in that order."""
    return lambda *values: (method, dict(zip(names, values, strict=True)))


FIELDS: Mapping[str, Callable[..., Fields]] = {
    "mkdirs": lambda path, parents: (
        "mkdirs",
        {"src": path, "masked": _permission(0o755), "createParent": parents},
    ),
    "rename": _named("rename", "src", "dst"),
    "rename2": _named("rename2", "src", "dst", "overwriteDest"),
    "delete": _named("delete", "src", "recursive"),
    "setPermission": lambda path, mode: (
        "setPermission",
        {"src": path, "permission": _permission(mode)},
    ),
    "setOwner": _owner_fields,
    "setTimes": lambda path, modified, accessed: (
        "setTimes",
        {"src": path, "mtime": modified & UNSIGNED, "atime": accessed & UNSIGNED},
    ),
    "setReplication": _named("setReplication", "src", "replication"),
    "setStoragePolicy": _named("setStoragePolicy", "src", "policyName"),
    "unsetStoragePolicy": _named("unsetStoragePolicy", "src"),
    "setXAttr": lambda path, name, value: (
        "setXAttr",
        {
            "src": path,
            "xAttr": _attribute(name, value),
            "flag": xattr.XATTR_CREATE | xattr.XATTR_REPLACE,
        },
    ),
    "removeXAttr": lambda path, name: ("removeXAttr", {"src": path, "xAttr": _attribute(name)}),
    "modifyAclEntries": lambda path, text: (
        "modifyAclEntries",
        {"src": path, "aclSpec": _acl_entries(text)},
    ),
    "setAcl": lambda path, text: ("setAcl", {"src": path, "aclSpec": _acl_entries(text)}),
    "removeAcl": _named("removeAcl", "src"),
    "removeDefaultAcl": _named("removeDefaultAcl", "src"),
    "setQuota": _quota_fields,
    "concat": lambda target, source: ("concat", {"trg": target, "srcs": [source]}),
    "open": lambda path: _create_fields(path, False),
    "allowSnapshot": _named("allowSnapshot", "snapshotRoot"),
    "disallowSnapshot": _named("disallowSnapshot", "snapshotRoot"),
    "createSnapshot": _named("createSnapshot", "snapshotRoot", "snapshotName"),
    "deleteSnapshot": _named("deleteSnapshot", "snapshotRoot", "snapshotName"),
    "renameSnapshot": _named(
        "renameSnapshot", "snapshotRoot", "snapshotOldName", "snapshotNewName"
    ),
}
