"""Adapter. All replicas of a DataNode across its volumes, shared by its transfer threads.

The rules are in `replica` (what may happen to one) and `volume` (where its files are); here they
are applied one at a time under one lock, which is never held over the transfer of data. A replica
under construction has one writer; whoever needs it stops that writer first and waits for its end.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import os
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hdfsd.base.errors import CorruptData, IOFault, ReplicaNotFound, StorageError
from hdfsd.base.ids import Block, BlockId, GenStamp, NamespaceInfo
from hdfsd.datanode.dataset import Listener, StorageUsage
from hdfsd.datanode.files import ReplicaFiles, sync_directory
from hdfsd.datanode.replica import (
    NO_RECOVERY,
    Event,
    Replica,
    ReplicaState,
    check_append,
    check_recover_append,
    check_recover_close,
    check_recover_rbw,
    check_start_recovery,
    check_update,
    refuse_create,
    refuse_temporary,
)
from hdfsd.datanode.reporter import BlockChange, BlockStatus
from hdfsd.datanode.volume import Volume
from hdfsd.wire.checksum import ChunkChecksum

log = logging.getLogger(__name__)
STOP_WRITER_MS = 10_000


class Writer:
    """Whoever writes a replica: can be told to stop, and says when it is over."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._over = threading.Event()

    def stop(self) -> bool:
        """Interrupts it and waits; False when it is still at work after STOP_WRITER_MS."""
        self._interrupt()
        return self._over.wait(STOP_WRITER_MS / 1000)

    def over(self) -> None:
        self._over.set()


@dataclass(slots=True)
class OpenReplica:
    """A replica being written, its files and its writer. `last_crc` is the checksum of a last chunk
    that is not full, as it is in the meta file: readers get it together with the length."""

    replica: Replica
    files: ReplicaFiles
    writer: Writer
    last_crc: bytes = b""


@dataclass(slots=True)
class Snapshot:
    """A replica at one moment, for one reader, who closes the files."""

    replica: Replica
    files: ReplicaFiles
    last_crc: bytes


class Store:
    """Implements `dataset.Dataset` for the event loop, and the byte path's calls for threads.

    Calls of the byte path raise RemoteFault (refused), OSError (disk) and CorruptData.
    """

    def __init__(self, volumes: Sequence[Volume], listener: Listener) -> None:
        """The volumes are open; their owner closes them. Raises StorageError when they belong to
        several DataNodes."""
        uuids = {v.identity.datanode_uuid for v in volumes if v.identity is not None}
        if len(uuids) > 1:
            raise StorageError(
                f"the data directories belong to different DataNodes: {sorted(uuids)}"
            )
        self._volumes = list(volumes)
        self._listener = listener
        self._uuid = uuids.pop() if uuids else str(uuid.uuid4())
        self._namespace: NamespaceInfo | None = None
        self._attaching = asyncio.Lock()
        self._lock = threading.Lock()
        self._replicas: dict[BlockId, Replica] = {}
        self._open: dict[BlockId, OpenReplica] = {}
        self._by_storage: dict[str, Volume] = {}
        self._turn = itertools.count()
        self._aside = itertools.count()

    # -- Dataset: identity and space

    @property
    def datanode_uuid(self) -> str:
        return self._uuid

    @property
    def namespace(self) -> NamespaceInfo | None:
        return self._namespace

    async def attach(self, namespace: NamespaceInfo) -> None:
        async with self._attaching:
            if self._namespace is None:
                await asyncio.to_thread(self._attach, namespace)
        known = self._namespace
        assert known is not None
        if (known.block_pool_id, known.storage.cluster_id) != (
            namespace.block_pool_id,
            namespace.storage.cluster_id,
        ):
            raise StorageError(
                f"this DataNode serves block pool {known.block_pool_id} of cluster "
                f"{known.storage.cluster_id}, the NameNode speaks of {namespace.block_pool_id} "
                f"of {namespace.storage.cluster_id}"
            )

    def _attach(self, namespace: NamespaceInfo) -> None:
        for volume in self._volumes:
            volume.check_cluster(namespace)
        for volume in self._volumes:
            try:
                volume.attach(namespace, self._uuid, f"DS-{uuid.uuid4()}")
            except (OSError, CorruptData) as error:
                raise StorageError(f"{volume.path}: {error}") from error
            self._by_storage[volume.storage_id] = volume
            for replica in volume.load():
                self._keep_better(replica)
        for replica in self._replicas.values():
            if replica.corrupt:
                self._listener.corrupt(replica.block, replica.storage_id, replica.corrupt)
        log.info("%d replicas on %d volumes", len(self._replicas), len(self._volumes))
        self._namespace = namespace

    def _keep_better(self, replica: Replica) -> None:
        known = self._replicas.get(replica.block_id)
        # A crash between copy and delete may leave two; the newer stamp, then the finalized one.
        if known is None or (replica.gen_stamp, -replica.state) > (known.gen_stamp, -known.state):
            self._set(replica)

    def usage(self) -> list[StorageUsage]:
        found = []
        for volume in self._volumes:
            try:
                found.append(volume.usage())
            except OSError as error:
                log.error("%s: %s", volume.path, error)
                found.append(
                    StorageUsage(
                        volume.storage_id, volume.storage_type, volume.path, 0, 0, 0, 0, failed=True
                    )
                )
        return found

    def replicas(self, storage_id: str) -> list[Replica]:
        with self._lock:
            return [
                r
                for r in self._replicas.values()
                if r.storage_id == storage_id and r.state is not ReplicaState.TEMPORARY
            ]

    def find(self, block_id: BlockId) -> Replica | None:
        with self._lock:
            return self._replicas.get(block_id)

    # -- Dataset: deletion and recovery

    async def invalidate(self, blocks: Sequence[Block]) -> None:
        await asyncio.to_thread(self._invalidate, blocks)

    def _invalidate(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            try:
                self._delete(block)
            except OSError as error:
                log.error("can't delete %s: %s", block, error)

    def _delete(self, block: Block) -> None:
        with self._lock:
            replica = self._replicas.get(block.block_id)
        if replica is None or replica.gen_stamp != block.gen_stamp:
            log.warning("no replica %s to delete", block)
            return
        self._stop_writer(block.block_id)
        with self._lock:
            current = self._replicas.get(block.block_id)
            if current is None or current.gen_stamp != block.gen_stamp:
                return
            aside = self._put_aside(current)
        for path in aside:
            os.unlink(path)
        self._tell(current, BlockStatus.DELETED)

    async def start_recovery(self, block: Block, recovery_id: GenStamp) -> Replica | None:
        return await asyncio.to_thread(self._start_recovery, block, recovery_id)

    def _start_recovery(self, block: Block, recovery_id: GenStamp) -> Replica | None:
        with self._lock:
            replica = self._replicas.get(block.block_id)
            if replica is None:
                return None
            check_start_recovery(replica, block, recovery_id)
        self._stop_writer(block.block_id)
        with self._lock:
            replica = self._replicas.get(block.block_id)
            if replica is None:
                return None
            if replica.corrupt:
                raise IOFault(f"{replica.describe()} is corrupt: {replica.corrupt}")
            under = check_start_recovery(replica, block, recovery_id)
            self._set(under)
            return under

    async def update_recovered(
        self, block: Block, recovery_id: GenStamp, new_length: int, new_block_id: BlockId
    ) -> Replica:
        return await asyncio.to_thread(
            self._update_recovered, block, recovery_id, new_length, new_block_id
        )

    def _update_recovered(
        self, block: Block, recovery_id: GenStamp, new_length: int, new_block_id: BlockId
    ) -> Replica:
        with self._lock:
            old = self._replicas.get(block.block_id)
            if old is None:
                raise ReplicaNotFound(f"Replica not found for {block}")
            final = check_update(old, block, recovery_id, new_length)
            volume = self._by_storage[old.storage_id]
            try:
                if new_block_id not in (0, block.block_id):
                    final = self._copy_truncated(old, replace(final, block_id=new_block_id))
                else:
                    self._truncate(volume, old, final)
                    volume.move(old, final)
            except (OSError, CorruptData) as error:
                raise IOFault(f"recovery of {block}: {error}") from error
            self._set(final)
        self._tell(final, BlockStatus.RECEIVED)
        return final

    def _truncate(self, volume: Volume, old: Replica, new: Replica) -> None:
        files = ReplicaFiles.open(*volume.paths_of(old), writable=True)
        try:
            length = files.data_bytes()
            if length < new.on_disk:
                raise CorruptData(files.path, length, f"{new.on_disk} bytes should be there")
            if length > new.on_disk:
                files.truncate(old.on_disk, new.on_disk)
        finally:
            files.close()

    def _copy_truncated(self, old: Replica, new: Replica) -> Replica:
        volume = self._by_storage[old.storage_id]
        source = ReplicaFiles.open(*volume.paths_of(old))
        try:
            draft = replace(new, state=ReplicaState.RBW)
            target = ReplicaFiles.create(*volume.paths_of(draft), source.checksum)
            try:
                source.copy_to(target, new.on_disk)
                target.sync()
            finally:
                target.close()
        finally:
            source.close()
        volume.move(draft, new)
        assert old.original is not None
        self._set(replace(old, state=old.original, original=None, recovery_id=NO_RECOVERY))
        return new

    # -- byte path: opening for writing

    def create_rbw(
        self,
        block: Block,
        checksum: ChunkChecksum,
        writer: Writer,
        *,
        storage_type: str,
        storage_id: str,
    ) -> OpenReplica:
        """A new replica for a client; `block.num_bytes` is the room it wants."""
        with self._lock:
            existing = self._replicas.get(block.block_id)
            if existing is not None:
                refuse_create(existing, block)
        if existing is not None:
            self._stop_writer(block.block_id)
        opened = self._create(block, checksum, writer, ReplicaState.RBW, storage_type, storage_id)
        self._tell(opened.replica, BlockStatus.RECEIVING)
        return opened

    def create_temporary(
        self,
        block: Block,
        checksum: ChunkChecksum,
        writer: Writer,
        *,
        storage_type: str,
        storage_id: str,
        transfer: bool,
    ) -> OpenReplica:
        """A new replica for a copy from another DataNode."""
        with self._lock:
            existing = self._replicas.get(block.block_id)
            if existing is not None:
                refuse_temporary(existing, block, transfer=transfer)
        if existing is not None:
            self._stop_writer(block.block_id)
        state = ReplicaState.TEMPORARY
        return self._create(block, checksum, writer, state, storage_type, storage_id)

    def _create(
        self,
        block: Block,
        checksum: ChunkChecksum,
        writer: Writer,
        state: ReplicaState,
        storage_type: str,
        storage_id: str,
    ) -> OpenReplica:
        volume = self._choose_volume(storage_type, storage_id, block.num_bytes)
        replica = Replica(block.block_id, block.gen_stamp, state, 0, 0, volume.storage_id)
        aside: list[str] = []
        with self._lock:
            existing = self._replicas.get(block.block_id)
            if existing is not None:
                refuse_create(existing, block)
                aside = self._put_aside(existing)
            files = ReplicaFiles.create(*volume.paths_of(replica), checksum)
            opened = self._opened(replica, files, writer)
        for path in aside:
            os.unlink(path)
        return opened

    def _choose_volume(self, storage_type: str, storage_id: str, wanted: int) -> Volume:
        fitting = [v for v in self._volumes if v.storage_type == storage_type] or self._volumes
        named = [v for v in fitting if v.storage_id == storage_id]
        first = next(self._turn) % len(fitting)
        room = {v.path: v.usage().remaining for v in fitting}
        for volume in (*named, *fitting[first:], *fitting[:first]):
            if room[volume.path] >= max(wanted, 1):
                return volume
        raise OSError(
            errno.ENOSPC,
            f"Out of space: The volume with the most available space (={max(room.values())} B) "
            f"is less than the block size (={wanted} B).",
        )

    def append(
        self, block: Block, new_stamp: GenStamp, expected: int, writer: Writer
    ) -> OpenReplica:
        """Opens a finalized replica again."""
        with self._lock:
            old = self._must_find(block)
            return self._reopen(old, check_append(old, block, new_stamp, expected), writer)

    def recover_append(
        self, block: Block, new_stamp: GenStamp, expected: int, writer: Writer
    ) -> OpenReplica:
        self._stop_writer(block.block_id)
        with self._lock:
            old = self._must_find(block)
            return self._reopen(old, check_recover_append(old, block, new_stamp, expected), writer)

    def recover_rbw(
        self, block: Block, new_stamp: GenStamp, writer: Writer, *, bytes_min: int, bytes_max: int
    ) -> OpenReplica:
        """Takes a replica over for a rebuilt pipeline, cut at what was acknowledged."""
        self._stop_writer(block.block_id)
        with self._lock:
            old = self._must_find(block)
            new = check_recover_rbw(old, block, new_stamp, bytes_min=bytes_min, bytes_max=bytes_max)
            opened = self._reopen(old, new, writer)
            length = opened.files.data_bytes()
            if length > new.on_disk:
                opened.files.truncate(old.on_disk, new.on_disk)
                opened.last_crc = self._last_crc(opened)
            return opened

    def recover_close(self, block: Block, new_stamp: GenStamp, expected: int) -> Replica:
        """Finalizes with a new stamp; the last acknowledgement had been lost."""
        self._stop_writer(block.block_id)
        with self._lock:
            old = self._must_find(block)
            new = check_recover_close(old, block, new_stamp, expected)
            self._by_storage[old.storage_id].move(old, new)
            self._set(new)
        self._tell(new, BlockStatus.RECEIVED)
        return new

    def _reopen(self, old: Replica, new: Replica, writer: Writer) -> OpenReplica:
        if old.corrupt:
            raise IOFault(f"{old.describe()} is corrupt: {old.corrupt}")
        volume = self._by_storage[old.storage_id]
        volume.move(old, new)
        files = ReplicaFiles.open(*volume.paths_of(new), writable=True)
        if files.data_bytes() < new.on_disk:
            files.close()
            raise IOFault(f"the block file is shorter than it should be: {new.describe()}")
        opened = self._opened(new, files, writer)
        opened.last_crc = self._last_crc(opened)
        if old.state is ReplicaState.FINALIZED:
            self._tell(new, BlockStatus.RECEIVING)
        return opened

    def _opened(self, replica: Replica, files: ReplicaFiles, writer: Writer) -> OpenReplica:
        opened = OpenReplica(replica, files, writer)
        self._set(replica)
        self._open[replica.block_id] = opened
        return opened

    @staticmethod
    def _last_crc(opened: OpenReplica) -> bytes:
        files, length = opened.files, opened.replica.on_disk
        start = files.checksum.chunk_start(length)
        return files.crcs(start, length - start) if start < length else b""

    # -- byte path: while writing

    def advance(self, opened: OpenReplica, on_disk: int, last_crc: bytes) -> None:
        """So many bytes are in the files now, with their checksums."""
        with self._lock:
            self._must_own(opened)
            opened.last_crc = last_crc
            self._progress(opened, replace(opened.replica, on_disk=on_disk))

    def acknowledge(self, opened: OpenReplica, acked: int) -> None:
        """So many bytes are on this node and on every node behind it."""
        with self._lock:
            self._must_own(opened)
            if acked > opened.replica.acked:
                self._progress(opened, replace(opened.replica, acked=acked))

    def finalize(self, opened: OpenReplica, delete_hint: str = "") -> Replica:
        """The replica is complete; its NameNodes are told."""
        if opened.files.was_synced:
            opened.files.sync()
        with self._lock:
            self._must_own(opened)
            old = opened.replica
            new = replace(old.after(Event.FINALIZE), acked=old.on_disk)
            volume = self._by_storage[old.storage_id]
            volume.move(old, new)
            self._set(new)
            opened.replica = new
            self._release(opened)
        if opened.files.was_synced:
            sync_directory(volume.directory_of(new.block_id, new.state))
        self._tell(new, BlockStatus.RECEIVED, delete_hint)
        return new

    def convert_to_rbw(self, opened: OpenReplica) -> Replica:
        """A copy for a pipeline that lost a node is there: the client goes on writing it."""
        with self._lock:
            self._must_own(opened)
            old = opened.replica
            new = replace(old.after(Event.CONVERT), acked=old.on_disk)
            self._by_storage[old.storage_id].move(old, new)
            self._set(new)
            opened.replica = new
            self._release(opened)
        return new

    def leave(self, opened: OpenReplica, *, discard: bool = False) -> None:
        """The writer ends; content when it finalized the replica before. Half a copy is of no use
        to anybody; a replica of a client waits for the pipeline's recovery, unless its disk failed
        (`discard`) before any byte of it was acknowledged."""
        with self._lock:
            mine = self._open.get(opened.replica.block_id) is opened
            aside: list[str] = []
            if mine:
                self._release(opened)
                replica = opened.replica
                if replica.state is ReplicaState.TEMPORARY or (discard and not replica.acked):
                    aside = self._put_aside(replica)
        for path in aside:
            os.unlink(path)
        opened.writer.over()

    def _progress(self, opened: OpenReplica, replica: Replica) -> None:
        opened.replica = replica
        self._set(replica)

    def _release(self, opened: OpenReplica) -> None:
        del self._open[opened.replica.block_id]
        opened.files.close()

    def _must_own(self, opened: OpenReplica) -> None:
        if self._open.get(opened.replica.block_id) is not opened:
            raise IOFault(f"another writer has taken over {opened.replica.describe()}")

    # -- byte path: reading

    def open_for_read(self, block: Block) -> Snapshot:
        """The replica, its files open. Raises ReplicaNotFound, CorruptData (reported), OSError."""
        with self._lock:
            replica = self._must_find(block)
            if replica.gen_stamp < block.gen_stamp:
                raise IOFault(
                    "replica.getGenerationStamp() < block.getGenerationStamp(), "
                    f"block={block}, replica={replica.describe()}"
                )
            if replica.visible < 0:
                raise ReplicaNotFound(f"Replica is not readable: {replica.describe()}")
            if replica.corrupt:
                raise CorruptData(str(block), None, replica.corrupt)
            volume = self._by_storage[replica.storage_id]
            opened = self._open.get(block.block_id)
            try:
                files = ReplicaFiles.open(*volume.paths_of(replica))
            except FileNotFoundError as error:
                missing = f"the file {error.filename} is missing"
                self._mark_corrupt(replica, missing)
                raise CorruptData(str(block), None, missing) from None
        if opened is None and (reason := self._too_short(files, replica)):
            files.close()
            self.mark_corrupt(replica, reason)
            raise CorruptData(files.path, None, reason)
        return Snapshot(replica, files, opened.last_crc if opened else b"")

    @staticmethod
    def _too_short(files: ReplicaFiles, replica: Replica) -> str:
        data_bytes, wanted = files.data_bytes(), files.checksum.meta_bytes(replica.on_disk)
        if data_bytes < replica.on_disk:
            return f"the block file has {data_bytes} of {replica.on_disk} bytes"
        if files.meta_bytes() < wanted:
            return f"the meta file has {files.meta_bytes()} of {wanted} bytes"
        return ""

    def mark_corrupt(self, replica: Replica, reason: str) -> None:
        """It is served no more, and the NameNodes are told so."""
        with self._lock:
            self._mark_corrupt(replica, reason)

    def _mark_corrupt(self, replica: Replica, reason: str) -> None:
        if self._replicas.get(replica.block_id) is replica:
            self._set(replace(replica, corrupt=reason))
            self._listener.corrupt(replica.block, replica.storage_id, reason)

    # -- under the lock

    def _must_find(self, block: Block) -> Replica:
        replica = self._replicas.get(block.block_id)
        if replica is None:
            raise ReplicaNotFound(f"Replica not found for {block}")
        return replica

    def _set(self, replica: Replica) -> None:
        before = self._replicas.get(replica.block_id)
        if before is not None:
            self._by_storage[before.storage_id].used_bytes -= _bytes_of(before)
        self._by_storage[replica.storage_id].used_bytes += _bytes_of(replica)
        self._replicas[replica.block_id] = replica

    def _put_aside(self, replica: Replica) -> list[str]:
        volume = self._by_storage[replica.storage_id]
        aside = volume.put_aside(replica, next(self._aside))
        volume.used_bytes -= _bytes_of(replica)
        del self._replicas[replica.block_id]
        return aside

    # -- without the lock

    def _stop_writer(self, block_id: BlockId) -> None:
        with self._lock:
            opened = self._open.get(block_id)
        if opened is not None and not opened.writer.stop():
            raise IOFault(f"the writer of blk_{block_id} did not stop in {STOP_WRITER_MS} ms")

    def _tell(self, replica: Replica, status: BlockStatus, delete_hint: str = "") -> None:
        change = BlockChange(replica.storage_id, status, replica.block, delete_hint)
        self._listener.changed(change)


def _bytes_of(replica: Replica) -> int:
    return replica.on_disk + ChunkChecksum().meta_bytes(replica.on_disk)
