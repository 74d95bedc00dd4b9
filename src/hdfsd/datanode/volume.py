"""Adapter. One directory of dfs.datanode.data.dir: its identity, its space, its files.

Hadoop's layout -57, so either system opens what the other wrote. Nothing is destroyed that does not
belong to this cluster: a foreign VERSION is an error that names both clusters.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hdfsd.base import version_file
from hdfsd.base.errors import CorruptData, StorageError
from hdfsd.base.ids import DATANODE_LAYOUT_VERSION, BlockId, GenStamp, NamespaceInfo
from hdfsd.base.settings import DataDirectory
from hdfsd.datanode import layout
from hdfsd.datanode.dataset import StorageUsage
from hdfsd.datanode.files import validated_length, write_durably
from hdfsd.datanode.replica import Replica, ReplicaState
from hdfsd.ports.disk import DiskLock
from hdfsd.wire.checksum import META_HEADER_BYTES, ChunkChecksum

log = logging.getLogger(__name__)
LockDirectory = Callable[[str], DiskLock]
DEFAULT_CHECKSUM = ChunkChecksum()


@dataclass(frozen=True, slots=True)
class Identity:
    """The VERSION file of a volume."""

    storage_id: str
    datanode_uuid: str
    cluster_id: str


class Volume:
    """Holds the lock of the directory from `open` to `close`. `used_bytes` is kept by the store."""

    def __init__(self, path: str, storage_type: str, reserved_bytes: int, lock: DiskLock) -> None:
        self.path = path
        self.storage_type = storage_type
        self.reserved_bytes = reserved_bytes
        self.used_bytes = 0
        self.identity = _read_identity(path)
        self._lock = lock
        self._pool = ""

    @classmethod
    def open(
        cls, path: str, storage_type: str, *, mode: int, reserved_bytes: int, lock: LockDirectory
    ) -> Volume:
        """Makes the directory if it is missing. Raises StorageError naming it and the way out."""
        try:
            os.makedirs(path, mode=mode, exist_ok=True)
            os.chmod(path, mode)
            held = lock(path)
        except OSError as error:
            raise StorageError(f"{path}: can't be used as a data directory: {error}") from error
        try:
            return cls(path, storage_type, reserved_bytes, held)
        except (OSError, CorruptData) as error:
            held.release()
            raise StorageError(f"{path}: {error}") from error

    def close(self) -> None:
        self._lock.release()

    @property
    def storage_id(self) -> str:
        assert self.identity is not None
        return self.identity.storage_id

    # -- identity

    def check_cluster(self, namespace: NamespaceInfo) -> None:
        """Raises StorageError when the directory belongs to another cluster."""
        cluster_id = namespace.storage.cluster_id
        if self.identity is not None and self.identity.cluster_id not in ("", cluster_id):
            raise StorageError(
                f"Incompatible clusterIDs in {self.path}: namenode clusterID = {cluster_id}; "
                f"datanode clusterID = {self.identity.cluster_id}. Point dfs.datanode.data.dir "
                "at this cluster's directory, or empty the directory if its blocks are not needed"
            )

    def attach(self, namespace: NamespaceInfo, datanode_uuid: str, storage_id: str) -> None:
        """Formats what is missing of the volume and of its block pool. Raises StorageError."""
        self.check_cluster(namespace)
        if self.identity is None:
            self.identity = Identity(storage_id, datanode_uuid, namespace.storage.cluster_id)
            os.makedirs(os.path.join(self.path, layout.CURRENT), exist_ok=True)
            self._write_version(self.identity)
        self._pool = os.path.join(self.path, layout.CURRENT, namespace.block_pool_id)
        current = os.path.join(self._pool, layout.CURRENT)
        for name in (layout.FINALIZED, layout.RBW):
            os.makedirs(os.path.join(current, name), exist_ok=True)
        self._attach_pool(namespace, os.path.join(current, layout.VERSION))
        self._empty_tmp()

    def _write_version(self, identity: Identity) -> None:
        properties = {
            "storageID": identity.storage_id,
            "clusterID": identity.cluster_id,
            "cTime": "0",
            "datanodeUuid": identity.datanode_uuid,
            "storageType": "DATA_NODE",
            "layoutVersion": str(DATANODE_LAYOUT_VERSION),
        }
        path = os.path.join(self.path, layout.CURRENT, layout.VERSION)
        write_durably(path, version_file.render(properties, _date_line()).encode())

    def _attach_pool(self, namespace: NamespaceInfo, path: str) -> None:
        storage = namespace.storage
        if os.path.exists(path):
            found = version_file.parse(_text(path), path)
            number = version_file.require_int(found, "namespaceID", path)
            if number != storage.namespace_id:
                raise StorageError(
                    f"Incompatible namespaceIDs in {path}: namenode namespaceID = "
                    f"{storage.namespace_id}; datanode namespaceID = {number}"
                )
            _check_layout(found, path)
            return
        properties = {
            "namespaceID": str(storage.namespace_id),
            "cTime": str(storage.ctime_ms),
            "blockpoolID": namespace.block_pool_id,
            "layoutVersion": str(DATANODE_LAYOUT_VERSION),
        }
        write_durably(path, version_file.render(properties, _date_line()).encode())

    def _empty_tmp(self) -> None:
        tmp = os.path.join(self._pool, layout.TMP)
        os.makedirs(tmp, exist_ok=True)
        for name in os.listdir(tmp):
            os.unlink(os.path.join(tmp, name))

    # -- paths

    def directory_of(self, block_id: BlockId, state: ReplicaState) -> str:
        """Where the files of a replica in that state lie (RUR keeps those of its original)."""
        if state is ReplicaState.TEMPORARY:
            return os.path.join(self._pool, layout.TMP)
        if state is ReplicaState.FINALIZED:
            below = layout.subdirs(block_id)
            return os.path.join(self._pool, layout.CURRENT, layout.FINALIZED, below)
        return os.path.join(self._pool, layout.CURRENT, layout.RBW)

    def paths_of(self, replica: Replica) -> tuple[str, str]:
        """The block file and the meta file."""
        state = replica.state if replica.original is None else replica.original
        directory = self.directory_of(replica.block_id, state)
        return (
            os.path.join(directory, layout.block_name(replica.block_id)),
            os.path.join(directory, layout.meta_name(replica.block_id, replica.gen_stamp)),
        )

    def move(self, old: Replica, new: Replica) -> None:
        """Renames the files of a replica as its new state and stamp want them. Raises OSError."""
        old_paths, new_paths = self.paths_of(old), self.paths_of(new)
        os.makedirs(os.path.dirname(new_paths[0]), exist_ok=True)
        # The meta file first: a finalized block file without one would be no replica at all.
        for source, target in zip(reversed(old_paths), reversed(new_paths), strict=True):
            if source != target:
                os.rename(source, target)

    def put_aside(self, replica: Replica, unique: int) -> list[str]:
        """Moves the files into tmp, out of the way of a new replica; returns what to unlink."""
        aside = []
        for path in self.paths_of(replica):
            target = os.path.join(self._pool, layout.TMP, f"{os.path.basename(path)}.{unique}")
            try:
                os.rename(path, target)
            except FileNotFoundError:
                continue
            aside.append(target)
        return aside

    # -- space

    def usage(self) -> StorageUsage:
        """Raises OSError when the file system is gone."""
        stat = os.statvfs(self.path)
        total, free = stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize
        capacity = max(0, total - self.reserved_bytes)
        foreign = max(0, total - free - self.used_bytes)
        # Reserved space that others use already need not be kept free a second time.
        still_reserved = max(0, self.reserved_bytes - foreign)
        remaining = max(0, min(capacity - self.used_bytes, free - still_reserved))
        return StorageUsage(
            storage_id=self.storage_id,
            storage_type=self.storage_type,
            path=self.path,
            capacity=capacity,
            used=self.used_bytes,
            remaining=remaining,
            non_dfs_used=max(0, foreign - self.reserved_bytes),
        )

    # -- loading

    def load(self) -> Iterator[Replica]:
        """Every replica in the directories; what is no replica is logged and left alone."""
        current = os.path.join(self._pool, layout.CURRENT)
        for directory, _, _ in os.walk(os.path.join(current, layout.FINALIZED)):
            yield from self._load_directory(directory, ReplicaState.FINALIZED)
        yield from self._load_directory(os.path.join(current, layout.RBW), ReplicaState.RWR)

    def _load_directory(self, directory: str, state: ReplicaState) -> Iterator[Replica]:
        blocks: dict[BlockId, int] = {}
        metas: dict[BlockId, tuple[GenStamp, int]] = {}
        with os.scandir(directory) as entries:
            for entry in entries:
                block_id, meta = layout.parse_block_name(entry.name), None
                if block_id is not None:
                    blocks[block_id] = entry.stat().st_size
                else:
                    meta = layout.parse_meta_name(entry.name)
                if meta is not None and metas.get(meta[0], (-1, 0))[0] < meta[1]:
                    metas[meta[0]] = (meta[1], entry.stat().st_size)
        for block_id, data_bytes in sorted(blocks.items()):
            if block_id not in metas:
                log.error("%s/blk_%d has no meta file; it is not served", directory, block_id)
                continue
            stamp, meta_bytes = metas[block_id]
            path = os.path.join(directory, layout.block_name(block_id))
            meta_path = os.path.join(directory, layout.meta_name(block_id, stamp))
            length, corrupt = data_bytes, ""
            if state is ReplicaState.RWR:
                length = _validated(path, meta_path)
            else:
                corrupt = _disagreement(meta_path, data_bytes, meta_bytes)
            yield Replica(block_id, stamp, state, length, length, self.storage_id, corrupt)


def open_volumes(
    directories: Sequence[DataDirectory],
    *,
    mode: int,
    reserved_bytes: int,
    failures_max: int,
    lock: LockDirectory,
) -> list[Volume]:
    """All that can be used. Raises StorageError when more than `failures_max` can't, or all."""
    volumes, failures = [], []
    for directory in directories:
        try:
            volumes.append(
                Volume.open(
                    directory.path,
                    directory.storage_type,
                    mode=mode,
                    reserved_bytes=reserved_bytes,
                    lock=lock,
                )
            )
        except StorageError as error:
            log.error("%s", error)
            failures.append(str(error))
    if not volumes or len(failures) > failures_max:
        for volume in volumes:
            volume.close()
        raise StorageError(
            f"{len(failures)} data directories can't be used, {failures_max} may fail "
            f"(dfs.datanode.failed.volumes.tolerated): {'; '.join(failures)}"
        )
    return volumes


def _validated(path: str, meta_path: str) -> int:
    try:
        return validated_length(path, meta_path)
    except (OSError, CorruptData) as error:
        log.error("%s: nothing of it can be used: %s", path, error)
        return 0


def _disagreement(meta_path: str, data_bytes: int, meta_bytes: int) -> str:
    """Why a block file and a meta file of these sizes don't belong together; "" when they do."""
    if meta_bytes == DEFAULT_CHECKSUM.meta_bytes(data_bytes):
        return ""
    try:
        with open(meta_path, "rb") as file:
            checksum = ChunkChecksum.of_meta_header(file.read(META_HEADER_BYTES), meta_path)
    except (OSError, CorruptData) as error:
        return str(error)
    expected = checksum.meta_bytes(data_bytes)
    if meta_bytes == expected:
        return ""
    return f"{meta_path} has {meta_bytes} bytes, {data_bytes} bytes of data need {expected}"


def _read_identity(path: str) -> Identity | None:
    version = os.path.join(path, layout.CURRENT, layout.VERSION)
    if not os.path.exists(version):
        return None
    found = version_file.parse(_text(version), version)
    if found.get("storageType", "DATA_NODE") != "DATA_NODE":
        raise StorageError(f"{version} is of a {found['storageType']}, not of a DataNode")
    _check_layout(found, version)
    return Identity(
        version_file.require(found, "storageID", version),
        version_file.require(found, "datanodeUuid", version),
        version_file.require(found, "clusterID", version),
    )


def _check_layout(properties: dict[str, str], path: str) -> None:
    number = version_file.require_int(properties, "layoutVersion", path)
    if number != DATANODE_LAYOUT_VERSION:
        raise StorageError(
            f"{path}: layout version {number}, hdfsd reads {DATANODE_LAYOUT_VERSION} only; "
            "let a Hadoop 3 DataNode upgrade the directory first"
        )


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(version_file.VERSION_BYTES_MAX)


def _date_line() -> str:
    return time.strftime("%a %b %d %H:%M:%S UTC %Y", time.gmtime())
