"""Driver. The name directories of one NameNode: VERSION, seen_txid, images, who holds them.

Layout and rules: wire facts editlog.md sections 4-6 and fsimage.md section 8 (Hadoop NNStorage,
FSImage, NNStorageRetentionManager). Every image directory holds the same; a directory that fails is
set aside with its reason, and the NameNode stops when the last one has failed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import md5

from hdfsd.base import version_file
from hdfsd.base.errors import CorruptData, LinkError, StorageError
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, NamespaceInfo, StorageInfo, TxId
from hdfsd.editlog import files
from hdfsd.namenode.incoming import Announced, IncomingImage
from hdfsd.ports.disk import Disk, DiskLock
from hdfsd.ports.snapshot import SnapshotWriter, WrittenFile

log = logging.getLogger(__name__)

CURRENT = "current"
VERSION = "VERSION"
SEEN_TXID = "seen_txid"
IMAGE = "fsimage"
UNFINISHED = "fsimage.ckpt"
MD5_BYTES_MAX = 4096
DIRECTORY_MODE = 0o700


@dataclass(frozen=True, slots=True)
class StoredImage:
    txid: TxId
    path: str


@dataclass(frozen=True, slots=True)
class Retention:
    """dfs.namenode.num.checkpoints.retained and the two limits on extra edits."""

    images: int
    extra_edits_txns: int
    extra_segments_max: int


class NameStorage:
    """All name directories as one. Paths are those of the configuration, without `current`."""

    def __init__(
        self,
        *,
        disk: Disk,
        image_dirs: Sequence[str],
        edits_dirs: Sequence[str],
    ) -> None:
        self._disk = disk
        self.image_dirs = list(image_dirs)
        self.edits_dirs = list(edits_dirs)
        self.failed_dirs: dict[str, str] = {}
        self._locks: list[DiskLock] = []
        self.being_written: dict[TxId, str] = {}
        """Images that are being received, and from where, or saved (from "")."""
        self._kept: IncomingImage | None = None
        """The beginning of an upload that broke off. One: who begins another drops it."""

    # --- life ---

    @property
    def all_dirs(self) -> list[str]:
        return list(dict.fromkeys([*self.image_dirs, *self.edits_dirs]))

    def lock(self) -> None:
        """Holds every directory for this process; raises StorageError naming the holder."""
        for directory in self.all_dirs:
            self._disk.make_dirs(directory, DIRECTORY_MODE)
            self._locks.append(self._disk.lock(directory))

    def unlock(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        while self._locks:
            self._locks.pop().release()

    def has_data(self) -> list[str]:
        """The directories whose `current` is there and not empty: a format would destroy it."""
        return [
            d
            for d in self.all_dirs
            if self._disk.is_dir(_current(d)) and self._disk.list(_current(d))
        ]

    async def format(self, info: NamespaceInfo, comment: str) -> None:
        """Makes every directory an empty one of this namespace. VERSION comes last: a directory
        without it is unformatted, so that a crash in between leaves nothing half-formatted."""
        for directory in self.all_dirs:
            current = _current(directory)
            if self._disk.exists(current):
                await self._disk.remove_tree(current)
            self._disk.make_dirs(current, DIRECTORY_MODE)
            await self._disk.write_atomic(f"{current}/{SEEN_TXID}", b"0\n")
            await self._write_version(directory, info, comment)

    async def _write_version(self, directory: str, info: NamespaceInfo, comment: str) -> None:
        properties = {
            "namespaceID": str(info.storage.namespace_id),
            "clusterID": info.storage.cluster_id,
            "cTime": str(info.storage.ctime_ms),
            "storageType": "NAME_NODE",
            "blockpoolID": info.block_pool_id,
            "layoutVersion": str(info.storage.layout_version),
        }
        text = version_file.render(properties, comment)
        await self._disk.write_atomic(f"{_current(directory)}/{VERSION}", text.encode())

    def read_info(self) -> NamespaceInfo:
        """The namespace that the directories hold.

        Raises StorageError when one is missing, unformatted or of another namespace than the rest,
        CorruptData when its VERSION can't be read.
        """
        found = [(d, self._read_version(d)) for d in self.all_dirs]
        first_dir, first = found[0]
        for directory, info in found[1:]:
            if info != first:
                raise StorageError(
                    f"{directory} holds namespace {info.storage.colon_form()}, but {first_dir} "
                    f"holds {first.storage.colon_form()}: take the foreign one out of "
                    "dfs.namenode.name.dir"
                )
        return first

    def _read_version(self, directory: str) -> NamespaceInfo:
        path = f"{_current(directory)}/{VERSION}"
        if not self._disk.exists(path):
            raise StorageError(
                f"NameNode is not formatted: {path} does not exist. Run `hdfsd namenode -format` "
                "for a new namespace, or `-bootstrapStandby` to copy it from the other NameNode."
            )
        raw = self._disk.read(path, limit=version_file.VERSION_BYTES_MAX)
        properties = version_file.parse(raw.decode("utf-8", "replace"), path)
        kind = version_file.require(properties, "storageType", path)
        if kind != "NAME_NODE":
            raise CorruptData(path, None, f"storageType={kind}, a NameNode's is NAME_NODE")
        layout = version_file.require_int(properties, "layoutVersion", path)
        if layout != NAMENODE_LAYOUT_VERSION:
            raise StorageError(
                f"{path}: layoutVersion={layout}, this NameNode reads {NAMENODE_LAYOUT_VERSION}: "
                "upgrade it with Hadoop 3.4 first"
            )
        storage = StorageInfo(
            layout,
            version_file.require_int(properties, "namespaceID", path),
            version_file.require_int(properties, "cTime", path),
            version_file.require(properties, "clusterID", path),
        )
        return NamespaceInfo(storage, version_file.require(properties, "blockpoolID", path))

    # --- seen_txid ---

    async def write_seen_txid(self, txid: TxId) -> None:
        """The first txid of the newest opened segment: a start-up must reach at least that far."""
        await self._in_each(
            self.all_dirs,
            lambda d: self._disk.write_atomic(f"{_current(d)}/{SEEN_TXID}", b"%d\n" % txid),
        )

    def read_seen_txid(self) -> TxId:
        """The greatest of all directories."""
        newest = 0
        for directory in self.all_dirs:
            path = f"{_current(directory)}/{SEEN_TXID}"
            if self._disk.exists(path):
                raw = self._disk.read(path, limit=64)
                try:
                    newest = max(newest, int(raw))
                except ValueError:
                    raise CorruptData(path, 0, f"{raw!r} is not a transaction id") from None
        return TxId(newest)

    # --- images ---

    def images(self) -> list[StoredImage]:
        """All finished images, the newest first; of equal ones the first directory's."""
        found: dict[int, StoredImage] = {}
        for directory in self.image_dirs:
            for name in self._disk.list(_current(directory)):
                image = files.parse_image(name)
                if image is not None and image.kind == IMAGE:
                    path = f"{_current(directory)}/{name}"
                    found.setdefault(image.txid, StoredImage(image.txid, path))
        return [found[txid] for txid in sorted(found, reverse=True)]

    def newest_image_txid(self) -> TxId | None:
        images = self.images()
        return images[0].txid if images else None

    def image_at(self, txid: TxId) -> StoredImage | None:
        return next((image for image in self.images() if image.txid == txid), None)

    def stored_md5(self, path: str) -> str:
        """The digest in the side file; raises CorruptData when it is missing or unreadable."""
        side = files.md5_name(path)
        if not self._disk.exists(side):
            raise CorruptData(side, None, "the digest of the image is missing")
        raw = self._disk.read(side, limit=MD5_BYTES_MAX).decode("ascii", "replace")
        line = files.parse_md5_line(raw)
        if line is None or line[1] != path.rsplit("/", 1)[1]:
            raise CorruptData(side, 0, f"not `<md5> *<image name>`: {raw[:80]!r}")
        return line[0]

    def read_image(self, image: StoredImage) -> bytes:
        """The whole image, its digest checked; raises CorruptData when it differs."""
        expected = self.stored_md5(image.path)
        data = self._disk.read(image.path, limit=self._disk.size(image.path))
        actual = md5(data, usedforsecurity=False).hexdigest()
        if actual != expected:
            raise CorruptData(
                image.path,
                None,
                f"the image's MD5 is {actual}, its .md5 file says {expected}: restore it from "
                "another name directory or NameNode",
            )
        return data

    async def save_image(
        self,
        txid: TxId,
        chunks: Callable[[], Iterator[bytes]],
        writer: SnapshotWriter,
        *,
        before_publishing: Callable[[], Awaitable[None]],
    ) -> StoredImage:
        """Writes fsimage.ckpt_N from a frozen copy of memory, then makes it fsimage_N."""
        self._refuse_second_writer(txid)
        if self._kept is not None and self._kept.announced.txid == txid:
            self._kept.close()  # Its name is needed.
            self._kept = None
        partial = [f"{_current(d)}/{files.checkpoint_name(txid)}" for d in self.image_dirs]
        self.being_written[txid] = ""
        try:
            written = await writer.write(partial, chunks)
            await before_publishing()
            await self._publish(txid, written)
        finally:
            del self.being_written[txid]
        return self._must_have(txid)

    async def receive_image(
        self,
        txid: TxId,
        body: AsyncIterator[bytes],
        *,
        size: int,
        md5_hex: str | None,
        offset: int = 0,
        peer: str = "another NameNode",
    ) -> StoredImage:
        """Stores an image that comes over HTTP; raises CorruptData when it is not what was said.

        What came of one whose link broke is kept for the next call: `offset` of it, what
        `kept_bytes` says, need not come again.
        """
        self._refuse_second_writer(txid)
        self.being_written[txid] = peer
        try:
            incoming = await self._incoming(Announced(txid, size, md5_hex), offset)
            await self._publish(txid, await self._take(incoming, body))
        finally:
            del self.being_written[txid]
        return self._must_have(txid)

    async def _take(self, incoming: IncomingImage, body: AsyncIterator[bytes]) -> WrittenFile:
        try:
            await incoming.take(body)
            return await incoming.finish()
        except LinkError:
            if incoming.announced.md5_hex is None:
                await incoming.drop()
            else:
                self._kept = incoming
            raise
        except BaseException:
            await incoming.drop()
            raise

    async def _incoming(self, announced: Announced, offset: int) -> IncomingImage:
        """The kept one, when the sender goes on with it; else a new one, and none is kept."""
        kept, self._kept = self._kept, None
        if offset and kept is not None and (kept.announced, kept.done) == (announced, offset):
            return kept
        if kept is not None:
            await kept.drop()
        if offset:
            raise StorageError(f"no {offset} bytes are kept of the image of {announced.txid}")
        partial = [
            f"{_current(d)}/{files.checkpoint_name(announced.txid)}" for d in self.image_dirs
        ]
        incoming = IncomingImage(self._disk, announced, partial)
        try:
            await incoming.begin()
        except BaseException:
            await incoming.drop()
            raise
        return incoming

    def _refuse_second_writer(self, txid: TxId) -> None:
        if txid in self.being_written:
            raise StorageError(f"the image of {txid} is being written already: it is there soon")

    def kept_bytes(self, announced: Announced) -> int:
        """How much is kept of an upload like this that broke off."""
        kept = self._kept
        return kept.done if kept is not None and kept.announced == announced else 0

    async def _publish(self, txid: TxId, written: WrittenFile) -> None:
        """The digest first: an image under its final name always has one."""
        name = files.image_name(txid)
        line = files.md5_line(written.md5_hex, name).encode()

        async def publish(directory: str) -> None:
            current = _current(directory)
            await self._disk.write_atomic(f"{current}/{files.md5_name(name)}", line)
            await self._disk.rename(f"{current}/{files.checkpoint_name(txid)}", f"{current}/{name}")

        await self._in_each(self.image_dirs, publish)

    def _must_have(self, txid: TxId) -> StoredImage:
        image = self.image_at(txid)
        if image is None:
            raise StorageError(f"no name directory is left to keep the image of {txid}")
        return image

    # --- retention ---

    async def purge(self, retention: Retention) -> TxId:
        """Drops images beyond those kept and the local edits that none of them needs.

        Returns the first txid that the journals must keep as well (NNStorageRetentionManager).
        """
        images = self.images()
        kept = images[: max(1, retention.images)]
        if not kept:
            return TxId(0)
        if self._kept is not None and self._kept.announced.txid <= images[0].txid:
            await self._kept.drop()
            self._kept = None
        for directory in self.image_dirs:
            await self._purge_images(_current(directory), kept[-1].txid)
            await self._purge_unfinished(_current(directory), images[0].txid)
        needed = kept[-1].txid + 1
        first_txid = TxId(max(0, needed - retention.extra_edits_txns))
        for directory in self.edits_dirs:
            first_txid = await self._purge_edits(
                _current(directory), needed, first_txid, retention.extra_segments_max
            )
        return first_txid

    async def _purge_images(self, current: str, oldest_kept: TxId) -> None:
        for name in self._disk.list(current):
            image = files.parse_image(name)
            if image is not None and image.kind == IMAGE and image.txid < oldest_kept:
                await self._disk.remove(f"{current}/{name}")
                await self._disk.remove(f"{current}/{files.md5_name(name)}")

    async def _purge_unfinished(self, current: str, newest: TxId) -> None:
        """What a process that died had begun to write, and nobody goes on with."""
        for name in self._disk.list(current):
            image = files.parse_image(name)
            if (
                image is not None
                and image.kind == UNFINISHED
                and image.txid < newest
                and image.txid not in self.being_written
            ):
                await self._disk.remove(f"{current}/{name}")

    async def _purge_edits(
        self, current: str, needed: int, first_txid: TxId, extra_segments_max: int
    ) -> TxId:
        segments = [s for name in self._disk.list(current) if (s := files.parse_segment(name))]
        segments.sort(key=lambda s: s.first_txid)
        extra = [s for s in segments if s.last_txid is not None and s.last_txid < needed]
        ends = [
            s.last_txid for s in extra if s.first_txid >= first_txid and s.last_txid is not None
        ]
        surplus = len(ends) - extra_segments_max
        if surplus > 0:
            first_txid = TxId(ends[surplus - 1] + 1)
        for segment in extra:
            if segment.last_txid is not None and segment.last_txid < first_txid:
                await self._disk.remove(f"{current}/{segment.name}")
        return first_txid

    # --- failing directories ---

    async def _in_each(
        self, directories: Sequence[str], act: Callable[[str], Awaitable[None]]
    ) -> None:
        """Does the same in each directory; one that fails is set aside, none left is an error."""
        for directory in list(directories):
            try:
                await act(directory)
            except OSError as error:
                self.set_aside(directory, str(error))
        if not self.image_dirs:
            raise StorageError(f"every name directory has failed: {self.failed_dirs}")

    def set_aside(self, directory: str, reason: str) -> None:
        """Uses the directory no more (Hadoop NNStorage.reportErrorsOnDirectory)."""
        log.error("name directory %s is set aside: %s", directory, reason)
        self.failed_dirs[directory] = reason
        self.image_dirs = [d for d in self.image_dirs if d != directory]
        self.edits_dirs = [d for d in self.edits_dirs if d != directory]


def _current(directory: str) -> str:
    return f"{directory}/{CURRENT}"
