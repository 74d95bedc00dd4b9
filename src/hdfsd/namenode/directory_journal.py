"""Driver. The shared journal in one directory, on a NAS say (`file://`; Hadoop FileJournalManager).

Implements ports.journal.Journal. The layout is Hadoop's: `current/` with VERSION, seen_txid and
segments. Two small files of ours lie beside them, which Hadoop does not look at:

- `hdfsd-writer`: the epoch and token of the writer. Who recovers replaces it first, and reads the
  segments only then; a writer acknowledges a batch only when, after its sync, the file still names
  it and its segment still has its name. So on a file system where what one host synced is what
  another one then reads, an acknowledged transaction is in whatever a recovery reads (P1), and
  a writer that was replaced finds out before it acknowledges anything (P2). What it still writes
  lies behind the end that the recovery gave the segment by its new name, where nobody reads.
- `committed-txid`: the last transaction that was synced, eight bytes, written behind each sync and
  not synced itself. Readers are shown no more of an open segment (P6); a recovery that finds less
  than that refuses to go on.

What this can't do: stop a writer whose host hangs in the file system, or caches what it reads. That
is why such a journal needs a fencing method that really ends the other NameNode.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from hdfsd.base.errors import CorruptData, IOFault, QuorumLost, StorageError, ensure
from hdfsd.base.ids import (
    NAMENODE_LAYOUT_VERSION,
    Epoch,
    NamespaceInfo,
    NodeId,
    TxId,
)
from hdfsd.editlog import files
from hdfsd.editlog.files import SegmentFile
from hdfsd.editlog.frames import FrameScanner, Run, offset_of
from hdfsd.editlog.segment import HEADER_BYTES, PADDING, PREALLOCATION_BYTES, header
from hdfsd.namenode.storage import CURRENT, SEEN_TXID, NameStorage
from hdfsd.ports.clock import Clock
from hdfsd.ports.dice import Dice
from hdfsd.ports.disk import AppendFile, Disk
from hdfsd.ports.journal import EditsChunk, JournalHealth, SegmentInfo

log = logging.getLogger(__name__)

WRITER = "hdfsd-writer"
COMMITTED = "committed-txid"
READ_BYTES = 1 << 20
SMALL_FILE_BYTES_MAX = 256
LIST_AGAIN = 5
"""A segment that is finalized while we read is looked up anew."""
FENCING_NEEDED = (
    "%s is a shared directory: nothing in it can stop a NameNode whose host hangs. Fencing must"
    " (dfs.ha.fencing.methods: sshfence, or a shell that cuts power or the export); a method that"
    " only says yes risks the namespace"
)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A batch that is not durable yet."""

    first_txid: TxId
    last_txid: TxId
    data: bytes
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the next transaction stands that will be asked for."""

    first_txid: TxId
    next_txid: TxId
    offset: int


class DirectoryJournal:
    """One NameNode's handle on the directory."""

    def __init__(
        self, directory: str, namespace: NamespaceInfo, *, disk: Disk, clock: Clock, dice: Dice
    ) -> None:
        self._directory = directory
        self._current = f"{directory}/{CURRENT}"
        self._namespace = namespace
        self._disk = disk
        self._clock = clock
        self._dice = dice
        self._storage = NameStorage(disk=disk, image_dirs=(directory,), edits_dirs=(directory,))
        self._epoch = Epoch(0)
        self._claim = b""
        self._committed = TxId(0)
        self._lost: QuorumLost | None = None
        self._file: AppendFile | None = None
        self._committed_file: AppendFile | None = None
        self._segment_first = TxId(0)
        self._next_txid = TxId(0)
        self._offset = 0
        self._waiting: list[_Waiting] = []
        self._flushing: asyncio.Task[None] | None = None
        self._oldest_ms = 0
        self._place: _Place | None = None

    # --- writing ---

    @property
    def epoch(self) -> Epoch:
        return self._epoch

    @property
    def committed_txid(self) -> TxId:
        return self._committed

    async def recover(self) -> TxId:
        try:
            self._check_namespace()
            await self._take_over()
            last = await self._recover_segments()
            self._check_claim()
            self._open_committed(last)
        except (OSError, StorageError, CorruptData, QuorumLost) as error:
            raise self._lose("recovery", error) from error
        self._committed = last
        self._next_txid = TxId(last + 1)
        return last

    async def _take_over(self) -> None:
        """From here on the former writer acknowledges nothing."""
        before = self._read_small(WRITER).split()
        epoch = int(before[0]) if before and before[0].isdigit() else 0
        self._epoch = Epoch(epoch + 1)
        self._claim = b"%d %s\n" % (self._epoch, self._dice.token(16).hex().encode())
        await self._disk.write_atomic(f"{self._current}/{WRITER}", self._claim)
        self._check_claim()

    async def _recover_segments(self) -> TxId:
        """The former writer may be in the midst of closing its segment: then look again."""
        for _ in range(LIST_AGAIN - 1):
            with suppress(FileNotFoundError):
                return await self._close_unfinished()
        return await self._close_unfinished()

    async def _close_unfinished(self) -> TxId:
        """Gives every open segment its final name; the last transaction of all."""
        committed, last = self._read_committed(), TxId(0)
        unfinished: list[tuple[SegmentFile, FrameScanner]] = []
        segments = self._segments()
        # Whoever takes over from here on has no segment among these.
        self._check_claim()
        for segment in segments:
            if segment.last_txid is not None:
                last = max(last, segment.last_txid)
                continue
            scanner = await self._scan(f"{self._current}/{segment.name}")
            last = max(last, scanner.last_txid or TxId(0))
            unfinished.append((segment, scanner))
        if last < committed:
            damage = next((s.damage for _, s in reversed(unfinished) if s.damage), None)
            cause = f" ({damage})" if damage else ""
            raise CorruptData(
                self._current,
                None,
                f"txid {committed} was acknowledged, but the segments end at {last}{cause}: no"
                " segment is changed; see what is left with `hdfsd journal verify` and `oev -r`",
            )
        for segment, scanner in unfinished:
            await self._close(segment, scanner)
        return last

    async def _close(self, segment: SegmentFile, scanner: FrameScanner) -> None:
        path, last = scanner.where, scanner.last_txid
        if last is None:
            suffix = "empty" if scanner.layout_version is not None else "corrupt"
            await self._disk.rename(path, f"{path}.{suffix}")
            return
        if scanner.damage is not None:
            log.warning("a torn tail is left behind the last transaction: %s", scanner.damage)
        # Its name tells where it ends. It isn't cut there: another recovery may have read further
        # before, and what a replaced writer still has to write would come behind the cut anyway.
        file = self._disk.open(path)
        try:
            # What we read was perhaps never synced by who wrote it.
            await file.sync()
        finally:
            file.close()
        name = files.finalized_name(segment.first_txid, last)
        log.info("%s becomes %s", segment.name, name)
        await self._disk.rename(path, f"{self._current}/{name}")

    def _open_committed(self, last: TxId) -> None:
        path = f"{self._current}/{COMMITTED}"
        file = self._disk.open(path) if self._disk.exists(path) else self._disk.create(path)
        file.write_at(0, _long(last))
        self._committed_file = file

    async def start_segment(
        self, first_txid: TxId, layout_version: int = NAMENODE_LAYOUT_VERSION
    ) -> None:
        self._check_not_lost("start of a segment")
        ensure("Q4", self._file is None and not self._waiting, "a segment is open")
        path = f"{self._current}/{files.inprogress_name(first_txid)}"
        try:
            self._check_claim()
            file = self._file = self._disk.create(path)
            self._segment_first = self._next_txid = first_txid
            self._offset = 0
            self._write(header(layout_version))
            await file.sync()
            await self._disk.sync_dir(self._current)
            await self._disk.write_atomic(f"{self._current}/{SEEN_TXID}", b"%d\n" % first_txid)
            self._check_claim()
        except (OSError, QuorumLost) as error:
            raise self._lose(f"start of the segment at {first_txid}", error) from error

    def write(self, first_txid: TxId, count: int, data: bytes) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._lost is not None:
            done.set_exception(QuorumLost("write after the loss", self._lost.reasons))
            return done
        ensure("Q4", self._file is not None, "no segment is open")
        ensure(
            "Q4", first_txid == self._next_txid, f"txid {first_txid} after {self._next_txid - 1}"
        )
        self._next_txid = TxId(first_txid + count)
        if not self._waiting:
            self._oldest_ms = self._clock.now_ms()
        self._waiting.append(_Waiting(first_txid, TxId(first_txid + count - 1), data, done))
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
        return done

    async def _flush(self) -> None:
        """One sync for all that waits; what comes meanwhile has the next."""
        try:
            while self._waiting:
                batches = list(self._waiting)
                await self._make_durable(batches)
                del self._waiting[: len(batches)]
                self._oldest_ms = self._clock.now_ms()
                for batch in batches:
                    if not batch.done.done():
                        batch.done.set_result(None)
        except (OSError, QuorumLost) as error:
            first, last = self._waiting[0].first_txid, self._waiting[-1].last_txid
            self._lose(f"write of txns {first}-{last}", error)
        finally:
            self._flushing = None

    async def _make_durable(self, batches: Sequence[_Waiting]) -> None:
        assert self._file is not None
        assert self._committed_file is not None
        self._write(b"".join(batch.data for batch in batches))
        await self._file.sync()
        # Behind the sync: who replaced us before it did not see this batch for certain.
        self._check_claim()
        self._committed = batches[-1].last_txid
        self._committed_file.write_at(0, _long(self._committed))

    def _write(self, data: bytes) -> None:
        file = self._file
        assert file is not None
        missing = self._offset + len(data) - file.size()
        if missing > 0:
            blocks = -(-missing // PREALLOCATION_BYTES)
            file.write_at(file.size(), PADDING * (blocks * PREALLOCATION_BYTES))
        file.write_at(self._offset, data)
        self._offset += len(data)

    async def confirm(self) -> None:
        self._check_not_lost("confirmation")
        try:
            self._check_claim()
        except (OSError, QuorumLost) as error:
            raise self._lose("confirmation", error) from error

    async def finalize_segment(self, first_txid: TxId, last_txid: TxId) -> None:
        self._check_not_lost("end of a segment")
        ensure("Q4", not self._waiting, "batches wait for their sync")
        ensure("Q4", (first_txid, last_txid + 1) == (self._segment_first, self._next_txid))
        file = self._file
        assert file is not None
        name = files.inprogress_name(first_txid)
        try:
            self._check_claim()
            file.truncate(self._offset)
            await file.sync()
            file.close()
            self._file = None
            self._check_claim()
            target = f"{self._current}/{files.finalized_name(first_txid, last_txid)}"
            await self._disk.rename(f"{self._current}/{name}", target)
        except (OSError, QuorumLost) as error:
            raise self._lose(f"end of the segment at {first_txid}", error) from error

    async def purge(self, min_txid: TxId) -> None:
        self._check_not_lost("purge")
        try:
            for segment in self._segments():
                if segment.last_txid is not None and segment.last_txid < min_txid:
                    await self._disk.remove(f"{self._current}/{segment.name}")
        except OSError as error:
            log.warning("purge below %s in %s: %s", min_txid, self._directory, error)

    async def format(self, namespace: NamespaceInfo, force: bool = False) -> None:
        try:
            if not force and self._storage.has_data():
                raise IOFault(f"{self._directory} is not empty; it is not formatted")
            now = datetime.fromtimestamp(self._clock.wall_ms() / 1000, UTC)
            comment = now.strftime("%a %b %d %H:%M:%S UTC %Y")
            await self._storage.format(namespace, comment)
        except OSError as error:
            raise IOFault(f"Could not format {self._directory}: {error}") from error
        self._namespace = namespace

    async def has_data(self) -> bool:
        try:
            return bool(self._storage.has_data())
        except OSError as error:
            raise QuorumLost("look for data", {self._directory: str(error)}) from error

    def health(self) -> Sequence[JournalHealth]:
        waiting = self._waiting
        return [
            JournalHealth(
                journal=NodeId(self._directory),
                acked_txid=self._committed,
                lag_txns=self._next_txid - 1 - self._committed if waiting else 0,
                lag_ms=self._clock.now_ms() - self._oldest_ms if waiting else 0,
                queued_bytes=sum(len(batch.data) for batch in waiting),
                in_sync=self._lost is None,
                reason="" if self._lost is None else str(self._lost),
            )
        ]

    async def close(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait([self._flushing])
        for file in (self._file, self._committed_file):
            if file is not None:
                file.close()
        self._file = self._committed_file = None

    # --- whose it is ---

    def _check_namespace(self) -> None:
        found, ours = self._storage.read_info().storage, self._namespace.storage
        if (found.namespace_id, found.cluster_id) != (ours.namespace_id, ours.cluster_id):
            raise StorageError(
                f"{self._directory} is of namespace {found.colon_form()}, ours is"
                f" {ours.colon_form()}"
            )

    def _check_claim(self) -> None:
        """Raises QuorumLost when another writer has taken over, ours or Hadoop's."""
        found = self._read_small(WRITER)
        if found != self._claim:
            epoch = found.split()[0].decode(errors="replace") if found.split() else "none"
            raise self._replaced(f"another writer, of epoch {epoch}, replaced us of {self._epoch}")
        if self._file is not None:
            name = files.inprogress_name(self._segment_first)
            if not self._disk.exists(f"{self._current}/{name}"):
                raise self._replaced(f"somebody else has closed our segment {name}")

    def _replaced(self, reason: str) -> QuorumLost:
        return QuorumLost("still the writer?", {self._directory: reason})

    def _check_not_lost(self, what: str) -> None:
        if self._lost is not None:
            raise QuorumLost(f"{what} after the loss", self._lost.reasons)

    def _lose(self, what: str, error: Exception) -> QuorumLost:
        """There is no writer any more; whoever waits is told."""
        reasons = error.reasons if isinstance(error, QuorumLost) else None
        self._lost = lost = QuorumLost(what, reasons or {self._directory: str(error)})
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            if not batch.done.done():
                batch.done.set_exception(lost)
        return lost

    # --- reading ---

    async def manifest(
        self, since_txid: TxId, in_progress_ok: bool = False
    ) -> Sequence[SegmentInfo]:
        found: list[SegmentInfo] = []
        for info in self._readable():
            if info.last_txid < since_txid or (info.in_progress and not in_progress_ok):
                continue
            follows = not found or info.first_txid == found[-1].last_txid + 1
            if not follows or (not found and info.first_txid > since_txid):
                break
            found.append(info)
        return found

    async def newest_txid(self) -> TxId:
        return max((info.last_txid for info in self._readable()), default=TxId(0))

    async def edits(self, since_txid: TxId, max_txns: int = 5000) -> EditsChunk:
        for _ in range(LIST_AGAIN):
            infos = self._readable()
            holding = [i for i in infos if i.first_txid <= since_txid <= i.last_txid]
            if not holding:
                newest = max((info.last_txid for info in infos), default=TxId(0))
                if newest >= since_txid:
                    held = f"holds txids up to {newest}, but not {since_txid}"
                    raise CorruptData(self._current, None, held)
                return EditsChunk(since_txid, 0, b"", NAMENODE_LAYOUT_VERSION)
            try:
                return await self._from_segment(holding[-1], since_txid, max_txns)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise QuorumLost("reading", {self._directory: str(error)}) from error
        raise QuorumLost("reading", {self._directory: "its segments change all the time"})

    def _readable(self) -> list[SegmentInfo]:
        """Segments in order; the open one as far as it is known to be durable."""
        try:
            self._check_namespace()
            committed, segments = self._read_committed(), self._segments()
        except (OSError, StorageError) as error:
            raise QuorumLost("reading", {self._directory: str(error)}) from error
        newest = segments[-1].first_txid if segments else TxId(0)
        found = []
        for segment in segments:
            last = committed if segment.last_txid is None else segment.last_txid
            # An open segment before another one was left by a crash: a recovery will close it.
            if last >= segment.first_txid and (segment.last_txid or segment.first_txid == newest):
                found.append(SegmentInfo(segment.first_txid, last, segment.in_progress))
        return found

    async def _from_segment(self, info: SegmentInfo, since_txid: TxId, max_txns: int) -> EditsChunk:
        first, last = info.first_txid, info.last_txid
        finalized = files.finalized_name(first, last)
        name = files.inprogress_name(first) if info.in_progress else finalized
        path = f"{self._current}/{name}"
        head = self._disk.read(path, limit=HEADER_BYTES)
        scanner = FrameScanner(path)
        scanner.feed(head)
        offset, place = HEADER_BYTES, self._place
        if place is not None and (place.first_txid, place.next_txid) == (first, since_txid):
            offset = place.offset
        end = TxId(min(last, since_txid + max_txns - 1))
        runs: list[Run] = []
        start = offset
        while scanner.last_txid is None or scanner.last_txid < end:
            data = self._disk.read(path, offset=offset, limit=READ_BYTES)
            run = scanner.feed(data)
            offset += len(data)
            if run is not None and run.last_txid >= since_txid:
                runs.append(run)
            elif run is not None:
                start += len(run.data)
            if not data or scanner.at_padding or scanner.damage is not None:
                break
            await asyncio.sleep(0)
        return self._cut(info, runs, since_txid, end, start=start, scanner=scanner)

    def _cut(
        self,
        info: SegmentInfo,
        runs: Sequence[Run],
        since_txid: TxId,
        end: TxId,
        *,
        start: int,
        scanner: FrameScanner,
    ) -> EditsChunk:
        """The transactions that were asked for; `start`: where the first run stands in the file."""
        layout_version = scanner.layout_version or NAMENODE_LAYOUT_VERSION
        if scanner.last_txid is None or scanner.last_txid < end:
            if not info.in_progress:
                cause = f"ends before txid {info.last_txid}: {scanner.damage or 'nothing more'}"
                raise CorruptData(scanner.where, scanner.end_offset, cause)
            # Another host may see the end of an open file later than the small one beside it.
            end = TxId(min(end, scanner.last_txid or TxId(0)))
        if not runs or end < since_txid:
            return EditsChunk(since_txid, 0, b"", layout_version)
        data, first = b"".join(run.data for run in runs), runs[0].first_txid
        begin, behind = offset_of(data, first, since_txid), offset_of(data, first, end + 1)
        self._place = _Place(info.first_txid, TxId(end + 1), start + behind)
        count = end - since_txid + 1
        return EditsChunk(since_txid, count, data[begin:behind], layout_version)

    # --- files ---

    def _segments(self) -> list[SegmentFile]:
        """By first txid; a finalized one stands for an open one of the same first txid."""
        found: dict[TxId, SegmentFile] = {}
        for name in self._disk.list(self._current):
            segment = files.parse_segment(name)
            if segment is not None:
                known = found.get(segment.first_txid)
                if known is None or known.in_progress:
                    found[segment.first_txid] = segment
        return [found[first] for first in sorted(found)]

    async def _scan(self, path: str) -> FrameScanner:
        scanner, offset = FrameScanner(path), 0
        while data := self._disk.read(path, offset=offset, limit=READ_BYTES):
            scanner.feed(data)
            offset += len(data)
            await asyncio.sleep(0)
        scanner.finish()
        return scanner

    def _read_small(self, name: str) -> bytes:
        path = f"{self._current}/{name}"
        try:
            return self._disk.read(path, limit=SMALL_FILE_BYTES_MAX)
        except FileNotFoundError:
            return b""

    def _read_committed(self) -> TxId:
        data = self._read_small(COMMITTED)
        return TxId(int.from_bytes(data, "big", signed=True)) if len(data) == 8 else TxId(0)


def _long(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)
