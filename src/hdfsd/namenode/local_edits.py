"""Driver. Edit log segments in the NameNode's own directories (Hadoop FileJournalManager).

In an HA nameservice they are a second copy: start-up and standby read the shared journal. Without
one they are the journal. A directory that fails is set aside; `dfs.namenode.edits.dir.minimum` must
stay, else EditsLost stops the NameNode.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from hdfsd.base.errors import CorruptData, HdfsdError
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, TxId
from hdfsd.editlog import files, segment
from hdfsd.namenode.storage import CURRENT, NameStorage
from hdfsd.ports.disk import AppendFile, Disk

log = logging.getLogger(__name__)


class EditsLost(HdfsdError):
    """Too few edits directories are left to go on; the text names each with its reason."""


@dataclass(slots=True)
class _OpenSegment:
    directory: str
    file: AppendFile
    end: int
    """Bytes of header and operations; padding follows up to the file's size."""


class LocalEdits:
    """One open segment, the same in every edits directory."""

    def __init__(self, *, disk: Disk, storage: NameStorage, directories_min: int) -> None:
        self._disk = disk
        self._storage = storage
        self._directories_min = directories_min
        self._open: list[_OpenSegment] = []
        self._first_txid = TxId(0)

    # --- writing ---

    async def start_segment(self, first_txid: TxId) -> None:
        """Opens `edits_inprogress_N` everywhere with its header, preallocated and durable."""
        self._first_txid = first_txid
        header = segment.header(NAMENODE_LAYOUT_VERSION)
        for directory in self._storage.edits_dirs:
            current = f"{directory}/{CURRENT}"
            path = f"{current}/{files.inprogress_name(first_txid)}"
            try:
                await self._disk.remove(path)
                file = self._disk.create(path)
                _write_padded(file, 0, header)
                await file.sync()
                await self._disk.sync_dir(current)
            except OSError as error:
                self._fail(directory, error)
                continue
            self._open.append(_OpenSegment(directory, file, len(header)))
        self._require_enough()

    async def write(self, data: bytes) -> None:
        """Appends whole frames and makes them durable."""
        for part in list(self._open):
            try:
                _write_padded(part.file, part.end, data)
            except OSError as error:
                self._drop(part, error)
            else:
                part.end += len(data)
        written = list(self._open)
        results = await asyncio.gather(*(p.file.sync() for p in written), return_exceptions=True)
        for part, result in zip(written, results, strict=True):
            if isinstance(result, OSError):
                self._drop(part, result)
            elif isinstance(result, BaseException):
                raise result
        self._require_enough()

    async def finalize_segment(self, first_txid: TxId, last_txid: TxId) -> None:
        """Cuts the padding off and gives the segment its final name."""
        for part in list(self._open):
            current = f"{part.directory}/{CURRENT}"
            try:
                part.file.truncate(part.end)
                await part.file.sync()
                part.file.close()
                await self._disk.rename(
                    f"{current}/{files.inprogress_name(first_txid)}",
                    f"{current}/{files.finalized_name(first_txid, last_txid)}",
                )
            except OSError as error:
                self._drop(part, error)
        self._open = []

    def close(self) -> None:
        """Leaves the open segment as it is, as a crash would."""
        for part in self._open:
            part.file.close()
        self._open = []

    def _drop(self, part: _OpenSegment, error: OSError) -> None:
        """Nothing when the write before, that is under way as well, has dropped it already."""
        if part not in self._open:
            return
        self._open.remove(part)
        part.file.close()
        self._fail(part.directory, error)

    def _fail(self, directory: str, error: OSError) -> None:
        self._storage.set_aside(directory, str(error))

    def _require_enough(self) -> None:
        if len(self._open) < self._directories_min:
            reasons = "; ".join(f"{d}: {why}" for d, why in self._storage.failed_dirs.items())
            raise EditsLost(
                f"{len(self._open)} edits directories are left, dfs.namenode.edits.dir.minimum "
                f"is {self._directories_min} ({reasons or 'none is configured'})"
            )

    # --- after a crash ---

    async def recover_unclosed(self) -> None:
        """Finalises what a former process left in progress (recoverUnfinalizedSegments).

        A segment without a transaction is renamed `.empty`, an unreadable one `.corrupt`.
        """
        for directory in self._storage.edits_dirs:
            current = f"{directory}/{CURRENT}"
            for name in self._disk.list(current):
                found = files.parse_segment(name)
                if found is not None and found.last_txid is None:
                    await self._recover(current, name, found.first_txid)

    async def _recover(self, current: str, name: str, first_txid: TxId) -> None:
        path = f"{current}/{name}"
        data = self._disk.read(path, limit=self._disk.size(path))
        try:
            scanned = segment.scan(data, path)
        except CorruptData as error:
            log.error("moving aside: %s", error)
            await self._disk.rename(path, f"{path}.corrupt")
            return
        if scanned.last_txid is None:
            await self._disk.rename(path, f"{path}.empty")
            return
        if scanned.damage is not None:
            log.warning("a torn tail is left behind the last transaction: %s", scanned.damage)
        target = f"{current}/{files.finalized_name(first_txid, scanned.last_txid)}"
        await self._disk.rename(path, target)

    # --- reading ---

    def read_from(self, first_txid: TxId) -> Iterator[tuple[str, bytes, TxId | None]]:
        """Path, content and last txid of every segment of the first directory that reaches
        `first_txid`. A segment that a recovery closed may have a torn tail behind its last txid."""
        current = f"{self._storage.edits_dirs[0]}/{CURRENT}"
        segments = [s for name in self._disk.list(current) if (s := files.parse_segment(name))]
        for found in sorted(segments, key=lambda s: s.first_txid):
            if found.last_txid is None or found.last_txid >= first_txid:
                path = f"{current}/{found.name}"
                data = self._disk.read(path, limit=self._disk.size(path))
                yield path, data, found.last_txid


def _write_padded(file: AppendFile, offset: int, data: bytes) -> None:
    """Writes at `offset`, first extending the file by whole preallocation blocks of 0xFF."""
    missing = offset + len(data) - file.size()
    if missing > 0:
        blocks = -(-missing // segment.PREALLOCATION_BYTES)
        file.write_at(file.size(), b"\xff" * (blocks * segment.PREALLOCATION_BYTES))
    file.write_at(offset, data)
