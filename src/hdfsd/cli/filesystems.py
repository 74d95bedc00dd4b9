"""Adapter. The file systems that shell commands work on: HDFS, and this machine's own files.

Metadata of HDFS goes through our RPC client, so that errors are the NameNode's own words; bytes of
files go through hdfs-native (decision D14).
"""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urlsplit

import hdfs_native

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError, FileNotFound, HdfsdError, RemoteFault
from hdfsd.base.ids import Address
from hdfsd.base.nameservices import NAMENODE_RPC_PORT
from hdfsd.base.proxy_providers import KEY as PROVIDER_KEY
from hdfsd.base.proxy_providers import ProxyProvider, Search, provider_of
from hdfsd.base.settings import ClientSettings
from hdfsd.cli.snapshots import Snapshots
from hdfsd.client.proxy import NameNodeProxy
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.io.site import current_user
from hdfsd.rpc.retry import Backoff
from hdfsd.wire.messages import Message, acl, client_namenode, hdfs

CHUNK_BYTES = 1 << 20
LISTING_PAGES_MAX = 1 << 20
NATIVE_ERROR = re.compile(r'RPCError\("([\w.$]+)", "(.*?)(?:\\n|"\)$)', re.DOTALL)
"""A NameNode's error as hdfs-native shows it: class and first line of the message."""
NATIVE_SEARCHES = (Search.IN_TURN, Search.READING_OBSERVERS)


class NotFound(HdfsdError):
    """The path does not exist."""


@dataclass(frozen=True, slots=True)
class FileStatus:
    path: str
    """Absolute, within its file system."""
    is_directory: bool
    length: int
    mode: int
    """Twelve bits at most: sticky and rwx of owner, group, others."""
    owner: str
    group: str
    modified_ms: int
    accessed_ms: int
    replication: int
    block_size: int
    has_acl: bool
    erasure_coding: str
    """The name of the policy; "" for replicated files."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class ContentSummary:
    length: int
    file_count: int
    directory_count: int
    quota: int
    space_consumed: int
    space_quota: int
    snapshot_length: int = 0
    snapshot_space_consumed: int = 0
    snapshot_file_count: int = 0
    snapshot_directory_count: int = 0
    erasure_coding: str = ""


@dataclass(frozen=True, slots=True)
class Capacity:
    total: int
    used: int
    remaining: int


class FileSystem(Protocol):
    """Paths are absolute and without `//`. Methods raise HdfsdError; `status` raises NotFound."""

    uri: str
    """`hdfs://nameservice`, or `file:///` ."""
    home: str

    def status(self, path: str) -> FileStatus: ...
    def children(self, path: str) -> list[FileStatus]: ...
    def read(self, path: str) -> Iterator[bytes]: ...
    def write(self, path: str, chunks: Iterator[bytes], overwrite: bool) -> None: ...
    def make_directory(self, path: str, mode: int, with_parents: bool) -> None: ...
    def rename(self, source: str, target: str) -> bool: ...
    def delete(self, path: str, recursive: bool) -> bool: ...
    def set_mode(self, path: str, mode: int) -> None: ...
    def set_owner(self, path: str, owner: str | None, group: str | None) -> None: ...
    def set_times(self, path: str, modified_ms: int, accessed_ms: int) -> None: ...
    def set_replication(self, path: str, replication: int) -> bool: ...
    def content_summary(self, path: str) -> ContentSummary: ...
    def capacity(self) -> Capacity: ...
    def trash_interval_min(self) -> float: ...


class HdfsFileSystem:
    """One nameservice or NameNode."""

    def __init__(self, conf: Configuration, settings: ClientSettings, authority: str) -> None:
        self.uri = f"hdfs://{authority}"
        self.user = current_user()
        self.home = f"{settings.home_prefix}/{self.user}"
        self._conf = conf
        self._settings = settings
        self._authority = authority
        self._runner = asyncio.Runner()
        self._proxy: NameNodeProxy | None = None
        self._native: hdfs_native.Client | None = None

    def _addresses(self, provider: ProxyProvider) -> list[Address]:
        nodes = self._settings.nameservices.get(self._authority)
        if nodes is not None and provider.search is not Search.BY_ADDRESS:
            return [node.rpc for node in nodes]
        try:
            return [Address.parse(self._authority, NAMENODE_RPC_PORT)]
        except ValueError as error:
            raise ConfigError(f"fs.defaultFS={self.uri}: {error}") from error

    def _call(self, method: str, request: Message) -> Any:
        if self._proxy is None:
            provider = provider_of(self._conf, _host_of(self._authority))
            self._proxy = NameNodeProxy(
                self._addresses(provider),
                network=TcpNetwork(),
                dice=RealDice(),
                user=self.user,
                backoff=Backoff(
                    self._settings.failover_delay_ms,
                    self._settings.failover_delay_max_ms,
                    self._settings.failover_attempts_max,
                ),
                timeout_ms=self._settings.rpc_timeout_ms,
                provider=provider,
            )
        return self._runner.run(self._proxy.call(method, request))

    def _data(self) -> hdfs_native.Client:
        if self._native is None:
            # hdfs-native tells the user the same way as Hadoop: HADOOP_USER_NAME, else the OS.
            self._native = hdfs_native.Client(self.uri, self._native_values())
        return self._native

    def _native_values(self) -> dict[str, str]:
        """The configuration, with a proxy provider that hdfs-native knows."""
        host = _host_of(self._authority)
        values = dict(self._conf.set_values())
        if provider_of(self._conf, host).search not in NATIVE_SEARCHES:
            values[f"{PROVIDER_KEY}.{host}"] = Search.IN_TURN.value
        return values

    def close(self) -> None:
        """Ends the connections."""
        if self._proxy is not None:
            self._runner.run(self._proxy.close())
        self._runner.close()

    def status(self, path: str) -> FileStatus:
        request = client_namenode.GetFileInfoRequestProto(src=path)
        response = self._call("getFileInfo", request)
        if not response.HasField("fs"):
            raise NotFound(path)
        return _status_of(response.fs, path)

    def children(self, path: str) -> list[FileStatus]:
        found: list[FileStatus] = []
        start_after = b""
        for _ in range(LISTING_PAGES_MAX):
            request = client_namenode.GetListingRequestProto(
                src=path, startAfter=start_after, needLocation=False
            )
            response = self._call("getListing", request)
            if not response.HasField("dirList"):
                raise FileNotFound(f"File {path} does not exist.")
            for row in response.dirList.partialListing:
                name = row.path.decode("utf-8", "surrogateescape")
                found.append(_status_of(row, f"{path.rstrip('/')}/{name}" if name else path))
                start_after = row.path
            if not response.dirList.remainingEntries:
                break
        return found

    def read(self, path: str) -> Iterator[bytes]:
        reader = _translated(lambda: self._data().read(path))
        chunks = reader.read_range_stream(0, len(reader))
        while (chunk := _translated(lambda: next(chunks, None))) is not None:
            yield chunk

    def write(self, path: str, chunks: Iterator[bytes], overwrite: bool) -> None:
        options = hdfs_native.WriteOptions(
            block_size=self._settings.block_size,
            replication=self._settings.replication,
            permission=0o666 & ~self._settings.umask,
            overwrite=overwrite,
            create_parent=True,
        )
        writer = _translated(lambda: self._data().create(path, options))
        for chunk in chunks:
            _translated(lambda data=chunk: writer.write(data))  # type: ignore[misc]
        _translated(writer.close)

    def make_directory(self, path: str, mode: int, with_parents: bool) -> None:
        masked = acl.FsPermissionProto(perm=mode & ~self._settings.umask)
        request = client_namenode.MkdirsRequestProto(
            src=path,
            masked=masked,
            createParent=with_parents,
            unmasked=acl.FsPermissionProto(perm=mode),
        )
        self._call("mkdirs", request)

    def rename(self, source: str, target: str) -> bool:
        request = client_namenode.RenameRequestProto(src=source, dst=target)
        return bool(self._call("rename", request).result)

    def delete(self, path: str, recursive: bool) -> bool:
        request = client_namenode.DeleteRequestProto(src=path, recursive=recursive)
        return bool(self._call("delete", request).result)

    def set_mode(self, path: str, mode: int) -> None:
        permission = acl.FsPermissionProto(perm=mode)
        request = client_namenode.SetPermissionRequestProto(src=path, permission=permission)
        self._call("setPermission", request)

    def set_owner(self, path: str, owner: str | None, group: str | None) -> None:
        request = client_namenode.SetOwnerRequestProto(src=path, username=owner, groupname=group)
        self._call("setOwner", request)

    def set_times(self, path: str, modified_ms: int, accessed_ms: int) -> None:
        request = client_namenode.SetTimesRequestProto(
            src=path, mtime=modified_ms, atime=accessed_ms
        )
        self._call("setTimes", request)

    def set_replication(self, path: str, replication: int) -> bool:
        request = client_namenode.SetReplicationRequestProto(src=path, replication=replication)
        return bool(self._call("setReplication", request).result)

    def check_access(self, path: str, action: str) -> None:
        """Raises RemoteFault when the user may not; `action` is READ or WRITE."""
        request = client_namenode.CheckAccessRequestProto(path=path, mode=action)
        self._call("checkAccess", request)

    def block_hosts(self, path: str) -> list[int]:
        """How many DataNodes hold each block of a file."""
        request = client_namenode.GetBlockLocationsRequestProto(
            src=path, offset=0, length=(1 << 63) - 1
        )
        blocks = self._call("getBlockLocations", request).locations.blocks
        return [len(block.locs) for block in blocks]

    def content_summary(self, path: str) -> ContentSummary:
        request = client_namenode.GetContentSummaryRequestProto(path=path)
        summary = self._call("getContentSummary", request).summary
        return ContentSummary(
            length=summary.length,
            file_count=summary.fileCount,
            directory_count=summary.directoryCount,
            quota=_signed(summary.quota),
            space_consumed=summary.spaceConsumed,
            space_quota=_signed(summary.spaceQuota),
            snapshot_length=summary.snapshotLength,
            snapshot_space_consumed=summary.snapshotSpaceConsumed,
            snapshot_file_count=summary.snapshotFileCount,
            snapshot_directory_count=summary.snapshotDirectoryCount,
            erasure_coding=summary.erasureCodingPolicy,
        )

    @property
    def snapshots(self) -> Snapshots:
        """What can be asked about snapshots."""
        return Snapshots(self._call)

    def capacity(self) -> Capacity:
        stats = self._call("getFsStats", client_namenode.GetFsStatusRequestProto())
        return Capacity(stats.capacity, stats.used, stats.remaining)

    def trash_interval_min(self) -> float:
        # Trash.moveToAppropriateTrash: the server's interval, when it has one, rules the client's.
        request = client_namenode.GetServerDefaultsRequestProto()
        defaults = self._call("getServerDefaults", request).serverDefaults
        return float(defaults.trashInterval or self._settings.trash_interval_min)


class LocalFileSystem:
    """Files of this machine; permissions and owners are the operating system's."""

    uri = "file:///"

    def __init__(self) -> None:
        self.home = os.getcwd()

    def status(self, path: str) -> FileStatus:
        try:
            found = os.stat(path)
        except FileNotFoundError:
            raise NotFound(path) from None
        except NotADirectoryError:
            raise NotFound(path) from None
        is_directory = os.path.isdir(path)
        return FileStatus(
            path=path,
            is_directory=is_directory,
            length=0 if is_directory else found.st_size,
            mode=found.st_mode & 0o1777,
            owner=_user_name(found.st_uid),
            group=_group_name(found.st_gid),
            modified_ms=found.st_mtime_ns // 1_000_000,
            accessed_ms=found.st_atime_ns // 1_000_000,
            replication=1,
            block_size=32 << 20,
            has_acl=False,
            erasure_coding="",
        )

    def children(self, path: str) -> list[FileStatus]:
        return [self.status(os.path.join(path, name)) for name in sorted(os.listdir(path))]

    def read(self, path: str) -> Iterator[bytes]:
        with open(path, "rb") as source:
            yield from chunks_of(source)

    def write(self, path: str, chunks: Iterator[bytes], overwrite: bool) -> None:
        # FileSystem.create makes missing parents, on the local side too.
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb" if overwrite else "xb") as target:
            for chunk in chunks:
                target.write(chunk)

    def make_directory(self, path: str, mode: int, with_parents: bool) -> None:
        Path(path).mkdir(mode, parents=with_parents, exist_ok=with_parents)

    def rename(self, source: str, target: str) -> bool:
        os.replace(source, target)
        return True

    def delete(self, path: str, recursive: bool) -> bool:
        if not os.path.lexists(path):
            return False
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path) if recursive else os.rmdir(path)
        else:
            os.unlink(path)
        return True

    def set_mode(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def set_owner(self, path: str, owner: str | None, group: str | None) -> None:
        try:
            uid = -1 if owner is None else pwd.getpwnam(owner).pw_uid
            gid = -1 if group is None else grp.getgrnam(group).gr_gid
        except KeyError as error:
            raise HdfsdError(f"{path}: {error.args[0]}") from error
        os.chown(path, uid, gid)

    def set_times(self, path: str, modified_ms: int, accessed_ms: int) -> None:
        os.utime(path, ns=(accessed_ms * 1_000_000, modified_ms * 1_000_000))

    def set_replication(self, path: str, replication: int) -> bool:
        return True

    def block_hosts(self, path: str) -> list[int]:
        """Always one copy."""
        return [1]

    def content_summary(self, path: str) -> ContentSummary:
        inside = [Path(path), *Path(path).rglob("*")]
        files = [found for found in inside if found.is_file()]
        directories = sum(found.is_dir() for found in inside)
        length = sum(found.stat().st_size for found in files)
        return ContentSummary(length, len(files), directories, -1, length, -1)

    def capacity(self) -> Capacity:
        usage = shutil.disk_usage("/")
        return Capacity(usage.total, usage.used, usage.free)

    def trash_interval_min(self) -> float:
        return 0.0


def chunks_of(source: BinaryIO) -> Iterator[bytes]:
    """The rest of an open file in pieces."""
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


class FileSystems:
    """The file systems of one command, made when first needed."""

    def __init__(self, conf: Configuration) -> None:
        self.conf = conf
        self.settings = ClientSettings.from_configuration(conf)
        self._made: dict[str, HdfsFileSystem | LocalFileSystem] = {}

    def of(self, text: str) -> HdfsFileSystem | LocalFileSystem:
        """The file system that a path as typed belongs to. Raises ConfigError."""
        parts = urlsplit(text)
        default = urlsplit(self.settings.default_fs)
        scheme = parts.scheme if "/" in text else ""
        authority = parts.netloc if scheme else ""
        if not scheme:
            scheme, authority = default.scheme, default.netloc
        elif not authority and scheme == default.scheme:
            authority = default.netloc
        return self._get(scheme or "file", authority)

    def local(self) -> LocalFileSystem:
        """This machine's files."""
        found = self._get("file", "")
        assert isinstance(found, LocalFileSystem)
        return found

    def _get(self, scheme: str, authority: str) -> HdfsFileSystem | LocalFileSystem:
        key = f"{scheme}://{authority}"
        if key not in self._made:
            if scheme == "file":
                self._made[key] = LocalFileSystem()
            elif scheme == "hdfs" and authority:
                self._made[key] = HdfsFileSystem(self.conf, self.settings, authority)
            elif scheme == "hdfs":
                raise ConfigError("Incomplete HDFS URI, no host: hdfs:///")
            else:
                raise ConfigError(f'No FileSystem for scheme "{scheme}"')
        return self._made[key]

    def close(self) -> None:
        """Ends all connections."""
        for made in self._made.values():
            if isinstance(made, HdfsFileSystem):
                made.close()


def _host_of(authority: str) -> str:
    """The nameservice, or the host without its port: what keys of clients end with."""
    return authority.rpartition(":")[0] or authority


def _status_of(row: Any, path: str) -> FileStatus:
    return FileStatus(
        path=path,
        is_directory=row.fileType == hdfs.HdfsFileStatusProto.IS_DIR,
        length=row.length,
        mode=row.permission.perm & 0o1777,
        owner=row.owner,
        group=row.group,
        modified_ms=row.modification_time,
        accessed_ms=row.access_time,
        replication=row.block_replication,
        block_size=row.blocksize,
        has_acl=bool(row.flags & hdfs.HdfsFileStatusProto.HAS_ACL),
        erasure_coding=row.ecPolicy.name if row.HasField("ecPolicy") else "",
    )


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _translated(work: Callable[[], Any]) -> Any:
    """hdfs-native's errors as ours: a NameNode's own words where there are any."""
    try:
        return work()
    except FileNotFoundError as error:
        raise NotFound(str(error)) from error
    except (RuntimeError, OSError, ValueError) as error:
        raise _native_fault(str(error)) from error


def _native_fault(text: str) -> HdfsdError:
    found = NATIVE_ERROR.search(text)
    if found is not None:
        return RemoteFault.of(found[1], found[2].replace('\\"', '"'))
    # Elsewhere it writes `RPC error: <java class> <message with stack trace>`.
    first = text.splitlines()[0] if text else "hdfs-native gave no reason"
    _, separator, rest = first.partition("RPC error: ")
    if not separator:
        return HdfsdError(first)
    java_class, _, message = rest.partition(" ")
    return RemoteFault.of(java_class, message)
