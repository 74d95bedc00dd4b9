"""Driver. One journal's directory: loads its state, executes effects in order (J1, J3, J4, J6).

What may be lost in a crash at any effect, and why nothing is promised that could be, stands with
the effects in journal.acceptor. Appends are written at once and made durable by `sync`, so that
several can share one fdatasync.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import Epoch, StorageInfo, TxId
from hdfsd.editlog import files
from hdfsd.editlog.frames import FrameScanner
from hdfsd.editlog.segment import HEADER_BYTES, PADDING, PREALLOCATION_BYTES, header
from hdfsd.journal import layout, upgrade
from hdfsd.journal.acceptor import (
    NO_EPOCH,
    Accepted,
    Append,
    CloseSegment,
    DropAccepted,
    Effect,
    EndLearning,
    FetchSegment,
    FinalizeSegment,
    FinalizeUpgrade,
    Format,
    InstallFetched,
    InstallSynced,
    JournalState,
    NoteCommitted,
    OpenSegment,
    PersistAccepted,
    PersistPromise,
    PersistWriterEpoch,
    PreUpgrade,
    PurgeBelow,
    Rollback,
    Segment,
    SetAside,
    Upgrade,
)
from hdfsd.journal.download import Downloader
from hdfsd.ports.clock import Clock
from hdfsd.ports.disk import AppendFile, Disk, DiskLock
from hdfsd.ports.http import HttpClient
from hdfsd.wire.messages import qjournal

log = logging.getLogger(__name__)

READ_BYTES = 1 << 20
_PADDING_BLOCK = PADDING * PREALLOCATION_BYTES


class JournalStore:
    """Owns `<edits dir>/<journal id>` while it is locked."""

    def __init__(
        self,
        root: str,
        *,
        disk: Disk,
        http: HttpClient,
        clock: Clock,
        directory_mode: int = 0o700,
        fetch_timeout_ms: int = 60_000,
        preallocation_bytes: int = PREALLOCATION_BYTES,
        fetch_bandwidth: int = 0,
    ) -> None:
        self.root = root
        self.current = f"{root}/{layout.CURRENT}"
        self.layout_version = 0
        """Of the open segment."""
        self._disk = disk
        self.clock = clock
        self._mode = directory_mode
        self._padding_block = _PADDING_BLOCK[:preallocation_bytes]
        self._downloader = Downloader(
            disk=disk,
            http=http,
            clock=clock,
            timeout_ms=fetch_timeout_ms,
            bandwidth=fetch_bandwidth,
        )
        self._lock: DiskLock | None = None
        self._file: AppendFile | None = None
        self._offset = 0
        self._size = 0
        self._committed_file: AppendFile | None = None

    # Loading

    async def load(self) -> JournalState:
        """The state on disk; closes what was open. Raises CorruptData or StorageError."""
        self._close_files()
        if not self._disk.is_dir(self.root):
            return JournalState()
        if self._lock is None:
            self._lock = self._disk.lock(self.root)
        await self._repair()
        siblings = self._directories().present
        if not self._disk.is_dir(self.current):
            return JournalState(siblings=siblings)
        await self._make_names_durable()
        names = self._disk.list(self.current)
        if layout.VERSION not in names:
            return JournalState(
                has_data=bool(names),
                has_edits=any(map(files.parse_segment, names)),
                has_current=True,
                siblings=siblings,
            )
        state = JournalState(
            storage=self._read_version(self.current),
            has_data=True,
            has_current=True,
            siblings=siblings,
            previous=self._read_previous() if upgrade.PREVIOUS in siblings else None,
            promised=Epoch(self._read_long(layout.LAST_PROMISED_EPOCH)),
            writer_epoch=Epoch(self._read_long(layout.LAST_WRITER_EPOCH)),
            accepted=self._read_accepted(),
            learn_until=TxId(self._read_long(layout.LEARNING_UNTIL)) or None,
        )
        state.committed = layout.parse_committed(
            self._read_small(layout.COMMITTED_TXID), f"{self.current}/{layout.COMMITTED_TXID}"
        )
        await self._roll_forward(names, state)
        state.segments = await self._read_segments()
        return state

    def _read_version(self, directory: str) -> StorageInfo:
        where = f"{directory}/{layout.VERSION}"
        data = self._disk.read(where, limit=layout.SMALL_FILE_BYTES_MAX)
        return layout.parse_version(data.decode(errors="replace"), where)

    def _read_previous(self) -> StorageInfo:
        return self._read_version(self._sibling(upgrade.PREVIOUS))

    def _read_small(self, name: str) -> bytes:
        path = f"{self.current}/{name}"
        if not self._disk.exists(path):
            return b""
        return self._disk.read(path, limit=layout.SMALL_FILE_BYTES_MAX)

    def _read_long(self, name: str) -> int:
        if not self._disk.exists(f"{self.current}/{name}"):
            return 0
        return layout.parse_long(self._read_small(name), f"{self.current}/{name}")

    def _read_accepted(self) -> dict[TxId, Accepted]:
        directory = f"{self.current}/{layout.PAXOS}"
        if not self._disk.is_dir(directory):
            return {}
        found = {}
        for name in self._disk.list(directory):
            if layout.parse_accepted(name) is None:
                continue
            path = f"{directory}/{name}"
            data = self._disk.read(path, limit=layout.SMALL_FILE_BYTES_MAX)
            stored = layout.parse_paxos(data, path)
            first = TxId(stored.segmentState.startTxId)
            if first != int(name):
                raise CorruptData(path, 0, f"Bad persisted data for segment {name}: {first}")
            found[first] = Accepted(
                first,
                TxId(stored.segmentState.endTxId),
                stored.segmentState.isInProgress,
                Epoch(stored.acceptedInEpoch),
            )
        return found

    async def _roll_forward(self, names: list[str], state: JournalState) -> None:
        """Completes an acceptRecovery that was persisted but whose segment was not put in place."""
        finalized = {s.first_txid for s in _segment_files(names) if not s.in_progress}
        for name in names:
            fetched = layout.parse_fetched(name)
            if fetched is None or fetched[0] in finalized:
                continue
            accepted = state.accepted.get(TxId(fetched[0]))
            if accepted is not None and accepted.epoch == fetched[1]:
                target = files.inprogress_name(fetched[0])
                log.info("rolling forward half-completed synchronization: %s -> %s", name, target)
                await self._disk.rename(f"{self.current}/{name}", f"{self.current}/{target}")

    async def _read_segments(self) -> dict[TxId, Segment]:
        found: dict[TxId, Segment] = {}
        for file in _segment_files(self._disk.list(self.current)):
            if file.last_txid is not None:
                found[file.first_txid] = Segment(file.first_txid, file.last_txid, True)
            elif file.first_txid not in found:
                await self._make_durable(file.first_txid)
                last = await self._scan(file.first_txid)
                found[file.first_txid] = Segment(file.first_txid, last, False)
        return found

    async def _make_names_durable(self) -> None:
        """What was renamed by a process that did not live to sync it may lose its new name.

        A segment that we call finalized must stay so: what was accepted for it is forgotten (J6).
        """
        for directory in (self.current, f"{self.current}/{layout.PAXOS}"):
            if self._disk.is_dir(directory):
                await self._disk.sync_dir(directory)

    async def _make_durable(self, first_txid: TxId) -> None:
        """What the process before wrote and did not live to sync is only in the machine's memory.

        It may be the copy that a recovery decides on, and is not written again then (J6).
        """
        file = self._disk.open(self._inprogress_path(first_txid))
        try:
            await file.sync()
        finally:
            file.close()

    async def _scan(self, first_txid: TxId) -> TxId | None:
        """The last good transaction of an in-progress segment; damage behind it is only told."""
        path = self._inprogress_path(first_txid)
        scanner = FrameScanner(path)
        offset = 0
        while data := self._disk.read(path, offset=offset, limit=READ_BYTES):
            scanner.feed(data)
            offset += len(data)
            await asyncio.sleep(0)
        scanner.finish()
        if scanner.damage is not None:
            log.warning("segment ends at txid %s: %s", scanner.last_txid, scanner.damage)
        if scanner.first_txid not in (None, first_txid):
            log.error("%s begins with txid %s", path, scanner.first_txid)
            return None
        return scanner.last_txid

    # Effects

    async def execute(self, effect: Effect) -> None:
        """One effect; it is durable when this returns, but for Append and NoteCommitted."""
        match effect:
            case Append():
                self.append(effect)
            case NoteCommitted(txid):
                self.note_committed(txid)
            case PersistPromise(epoch):
                await self._write_long(layout.LAST_PROMISED_EPOCH, epoch)
            case PersistWriterEpoch(epoch):
                await self._write_long(layout.LAST_WRITER_EPOCH, epoch)
            case OpenSegment(first_txid, layout_version):
                await self._open_segment(first_txid, layout_version)
            case CloseSegment(_, trim):
                await self._close_segment(trim)
            case FinalizeSegment(first_txid, last_txid):
                target = f"{self.current}/{files.finalized_name(first_txid, last_txid)}"
                await self._disk.rename(self._inprogress_path(first_txid), target)
            case SetAside(segment, suffix):
                path = self.path_of(segment)
                await self._disk.rename(path, path + suffix)
            case FetchSegment():
                await self._fetch(effect)
            case InstallFetched(first_txid, epoch):
                source = f"{self.current}/{layout.fetched_name(first_txid, epoch)}"
                await self._disk.rename(source, self._inprogress_path(first_txid))
            case PersistAccepted(accepted):
                await self._disk.write_atomic(
                    self._paxos_path(accepted.first_txid), _paxos_data(accepted)
                )
            case DropAccepted(first_txid):
                await self._disk.remove(self._paxos_path(first_txid))
            case PurgeBelow(min_txid, open_first):
                await self._purge(min_txid, open_first)
            case Format():
                await self._format(effect)
            case InstallSynced(first_txid, last_txid):
                name = files.finalized_name(first_txid, last_txid)
                source = f"{self._sibling(layout.EDITS_SYNC)}/{name}"
                await self._disk.rename(source, f"{self.current}/{name}")
            case EndLearning():
                await self._disk.remove(f"{self.current}/{layout.LEARNING_UNTIL}")
            case PreUpgrade():
                await self._pre_upgrade()
            case Upgrade(storage):
                await self._upgrade(storage)
            case FinalizeUpgrade():
                await self._move(upgrade.PREVIOUS, upgrade.FINALIZED_TMP)
                await self._disk.remove_tree(self._sibling(upgrade.FINALIZED_TMP))
            case Rollback(promised):
                await self._rollback(promised)
            case _:
                raise AssertionError(f"{effect} is not for the store")

    def append(self, effect: Append) -> None:
        """Writes a batch behind the last one; `sync` makes it durable."""
        file = self._file
        assert file is not None, "no segment is open"
        data = effect.data
        while len(data) > self._size - self._offset:
            file.write_at(self._size, self._padding_block)
            self._size += len(self._padding_block)
        file.write_at(self._offset, data)
        self._offset += len(data)

    async def sync(self) -> None:
        """All appends so far are durable when this returns."""
        assert self._file is not None, "no segment is open"
        await self._file.sync()

    def sync_now(self) -> bool:
        """Whether they are already: the disk is quick enough to do it in line."""
        assert self._file is not None, "no segment is open"
        return self._file.sync_now()

    def note_committed(self, txid: TxId) -> None:
        if self._committed_file is None:
            path = f"{self.current}/{layout.COMMITTED_TXID}"
            exists = self._disk.exists(path)
            self._committed_file = self._disk.open(path) if exists else self._disk.create(path)
        self._committed_file.write_at(0, layout.render_committed(txid))

    async def _open_segment(self, first_txid: TxId, layout_version: int) -> None:
        path = self._inprogress_path(first_txid)
        if self._disk.exists(path):
            file = self._disk.open(path)
            file.truncate(0)
        else:
            file = self._disk.create(path)
        self._file = file
        self.layout_version = layout_version
        file.write_at(0, header(layout_version) + self._padding_block[HEADER_BYTES:])
        self._offset, self._size = HEADER_BYTES, len(self._padding_block)
        await file.sync()
        await self._disk.sync_dir(self.current)

    async def _close_segment(self, trim: bool) -> None:
        if self._file is None:
            return
        if trim:
            self._file.truncate(self._offset)
            await self._file.sync()
        self._file.close()
        self._file = None

    async def _purge(self, min_txid: TxId, open_first: TxId | None) -> None:
        spared = None if open_first is None else files.inprogress_name(open_first)
        for name in self._disk.list(self.current):
            if layout.purged(name, min_txid) and name != spared:
                await self._disk.remove(f"{self.current}/{name}")
        for name in self._disk.list(f"{self.current}/{layout.PAXOS}"):
            first = layout.parse_accepted(name)
            if first is not None and first < min_txid:
                await self._disk.remove(f"{self.current}/{layout.PAXOS}/{name}")

    async def _format(self, effect: Format) -> None:
        """VERSION comes last: with it the journal counts as formatted."""
        self._close_files()
        self._disk.make_dirs(self.root, self._mode)
        if self._lock is None:
            self._lock = self._disk.lock(self.root)
        if self._disk.is_dir(self.current):
            await self._disk.remove_tree(self.current)
        for directory in (self.current, f"{self.current}/{layout.PAXOS}"):
            self._disk.make_dirs(directory, self._mode)
        if effect.promised != NO_EPOCH:
            await self._write_long(layout.LAST_PROMISED_EPOCH, effect.promised)
        if effect.learn_until is not None:
            await self._write_long(layout.LEARNING_UNTIL, effect.learn_until)
        await self._write_version(effect.storage)
        await self._disk.sync_dir(self.root)

    async def _write_version(self, storage: StorageInfo) -> None:
        wall = datetime.fromtimestamp(self.clock.wall_ms() / 1000, UTC)
        text = layout.render_version(storage, wall.strftime("%a %b %d %H:%M:%S UTC %Y"))
        await self._disk.write_atomic(f"{self.current}/{layout.VERSION}", text.encode())

    # Upgrade, finalization, rollback: the order of the steps is journal.upgrade's.

    def _directories(self) -> upgrade.Directories:
        names = (upgrade.PREVIOUS, *upgrade.TEMPORARY)
        return upgrade.Directories(
            valid_current=self._disk.exists(f"{self.current}/{layout.VERSION}"),
            present=frozenset(name for name in names if self._disk.is_dir(self._sibling(name))),
        )

    async def _repair(self) -> None:
        repair = upgrade.repair_of(self.root, self._directories())
        if repair is upgrade.Repair.NONE:
            return
        log.warning("%s: a crash left it half way: %s", self.root, repair.value)
        match repair:
            case upgrade.Repair.COMPLETE_UPGRADE:
                # Hadoop's own doUpgrade may have been cut before it copied the epochs.
                await self._carry_over(self._sibling(upgrade.PREVIOUS_TMP))
                await self._move(upgrade.PREVIOUS_TMP, upgrade.PREVIOUS)
            case upgrade.Repair.RECOVER_UPGRADE:
                await self._disk.remove_tree(self.current)
                await self._move(upgrade.PREVIOUS_TMP, upgrade.CURRENT)
            case upgrade.Repair.COMPLETE_ROLLBACK:
                await self._disk.remove_tree(self._sibling(upgrade.REMOVED_TMP))
            case upgrade.Repair.RECOVER_ROLLBACK:
                await self._move(upgrade.REMOVED_TMP, upgrade.CURRENT)
            case upgrade.Repair.COMPLETE_FINALIZE:
                await self._disk.remove_tree(self._sibling(upgrade.FINALIZED_TMP))

    async def _pre_upgrade(self) -> None:
        self._close_files()
        await self._move(upgrade.CURRENT, upgrade.PREVIOUS_TMP)
        before = self._sibling(upgrade.PREVIOUS_TMP)
        self._disk.make_dirs(self.current, self._mode)
        for name in self._disk.list(before):
            file = files.parse_segment(name)
            if file is None:
                continue
            if file.in_progress:
                # It may be written to again: the state before the upgrade must not see that.
                await self._copy(f"{before}/{name}", f"{self.current}/{name}")
            else:
                self._disk.link(f"{before}/{name}", f"{self.current}/{name}")
        await self._disk.sync_dir(self.current)
        await self._disk.sync_dir(self.root)

    async def _copy(self, source: str, target: str) -> None:
        file = self._disk.create(target)
        try:
            offset = 0
            while data := self._disk.read(source, offset=offset, limit=READ_BYTES):
                file.write_at(offset, data)
                offset += len(data)
                await asyncio.sleep(0)
            await file.sync()
        finally:
            file.close()

    async def _upgrade(self, storage: StorageInfo) -> None:
        await self._carry_over(self._sibling(upgrade.PREVIOUS_TMP))
        await self._write_version(storage)
        await self._move(upgrade.PREVIOUS_TMP, upgrade.PREVIOUS)

    async def _carry_over(self, before: str) -> None:
        """Promises and accepted recoveries of the former state, where `current` has none (J1, J3).

        Hadoop forgets accepted recoveries here.
        """
        self._disk.make_dirs(f"{self.current}/{layout.PAXOS}", self._mode)
        names = [
            layout.LAST_PROMISED_EPOCH,
            layout.LAST_WRITER_EPOCH,
            layout.COMMITTED_TXID,
            layout.LEARNING_UNTIL,
        ]
        if self._disk.is_dir(f"{before}/{layout.PAXOS}"):
            accepted = self._disk.list(f"{before}/{layout.PAXOS}")
            names += [f"{layout.PAXOS}/{name}" for name in accepted]
        for name in names:
            if self._disk.exists(f"{before}/{name}") and not self._disk.exists(
                f"{self.current}/{name}"
            ):
                data = self._disk.read(f"{before}/{name}", limit=layout.SMALL_FILE_BYTES_MAX)
                await self._disk.write_atomic(f"{self.current}/{name}", data)

    async def _rollback(self, promised: Epoch) -> None:
        self._close_files()
        path = f"{self._sibling(upgrade.PREVIOUS)}/{layout.LAST_PROMISED_EPOCH}"
        await self._disk.write_atomic(path, layout.render_long(promised))
        await self._move(upgrade.CURRENT, upgrade.REMOVED_TMP)
        await self._move(upgrade.PREVIOUS, upgrade.CURRENT)
        await self._disk.remove_tree(self._sibling(upgrade.REMOVED_TMP))

    async def _move(self, source: str, target: str) -> None:
        await self._disk.rename(self._sibling(source), self._sibling(target))

    def _sibling(self, name: str) -> str:
        return f"{self.root}/{name}"

    # Fetching from a peer

    async def _fetch(self, effect: FetchSegment) -> None:
        """Raises IOFault when the peer's segment can't be had whole or is another one."""
        path = f"{self.current}/{layout.fetched_name(effect.first_txid, effect.epoch)}"
        await self._downloader.fetch(effect.url, path, effect.first_txid, effect.last_txid)

    async def fetch_finalized(self, url: str, first_txid: TxId, last_txid: TxId) -> None:
        """Fetches a finalized segment beside `current`; InstallSynced puts it there.

        Raises IOFault when it can't be had whole.
        """
        directory = self._sibling(layout.EDITS_SYNC)
        if not self._disk.is_dir(directory):
            self._disk.make_dirs(directory, self._mode)
            await self._disk.sync_dir(self.root)
        path = f"{directory}/{files.finalized_name(first_txid, last_txid)}"
        await self._downloader.fetch(url, path, first_txid, last_txid)

    async def clear_fetched(self) -> None:
        """Removes what was fetched and not put in place: a crash, or a segment refused."""
        await self._disk.remove_tree(self._sibling(layout.EDITS_SYNC))

    # Names, handles

    def path_of(self, segment: Segment) -> str:
        """The file of a segment."""
        if segment.finalized and segment.last_txid is not None:
            return f"{self.current}/{files.finalized_name(segment.first_txid, segment.last_txid)}"
        return self._inprogress_path(segment.first_txid)

    def _inprogress_path(self, first_txid: TxId) -> str:
        return f"{self.current}/{files.inprogress_name(first_txid)}"

    def _paxos_path(self, first_txid: TxId) -> str:
        return f"{self.current}/{layout.PAXOS}/{first_txid}"

    async def _write_long(self, name: str, value: int) -> None:
        await self._disk.write_atomic(f"{self.current}/{name}", layout.render_long(value))

    def _close_files(self) -> None:
        for file in (self._file, self._committed_file):
            if file is not None:
                file.close()
        self._file = self._committed_file = None

    def close(self) -> None:
        """Lets go of files and of the directory."""
        self._close_files()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def size_of(self, segment: Segment) -> int:
        """Bytes of a segment's file, padding included."""
        return self._disk.size(self.path_of(segment))


def _segment_files(names: list[str]) -> list[files.SegmentFile]:
    """By first txid, the finalized one before an unfinished twin."""
    parsed = [file for name in names if (file := files.parse_segment(name)) is not None]
    return sorted(parsed, key=lambda file: (file.first_txid, file.in_progress))


def _paxos_data(accepted: Accepted) -> bytes:
    message = qjournal.PersistedRecoveryPaxosData(acceptedInEpoch=accepted.epoch)
    message.segmentState.startTxId = accepted.first_txid
    message.segmentState.endTxId = accepted.last_txid
    message.segmentState.isInProgress = accepted.in_progress
    return layout.render_paxos(message)
