"""Core. What snapshots show, from the sections of an image (fsimage.md section 6).

Errors name file, section and record; what the messages say must fit together as `restore_past`
demands it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hdfsd.base.errors import CorruptData
from hdfsd.image import sections
from hdfsd.image.inodes import InodeUnpacker, blocks_of
from hdfsd.image.sections import ImageReader, Records
from hdfsd.namespace.inode import DirectoryRow
from hdfsd.namespace.restore_past import (
    DirectoryDifference,
    FileDifference,
    PastRestorer,
    Reference,
)
from hdfsd.namespace.tree import Namespace
from hdfsd.wire.messages import fsimage as pb

_Entry = pb.SnapshotDiffSection.DiffEntry


class PastLoader:
    """The sections that snapshots have a part in, in the order of loading: references, snapshots,
    children (by the caller, with `moved_children`), differences."""

    def __init__(self, reader: ImageReader, namespace: Namespace, unpacker: InodeUnpacker) -> None:
        self._reader = reader
        self._snapshots = namespace.snapshots
        self._unpacker = unpacker
        self._restorer = PastRestorer(namespace)
        self._roots: dict[tuple[int, int], DirectoryRow] = {}
        """Inode id, snapshot id → what the snapshot's directory was."""

    def references(self) -> None:
        """INODE_REFERENCE."""
        records = self._reader.records(sections.INODE_REFERENCE)
        found = []
        while records:
            message = records.take(pb.INodeReferenceSection.INodeReference)
            moved = message.HasField("dstSnapshotId")
            found.append(
                Reference(
                    message.referredId, None if moved else message.name, message.lastSnapshotId
                )
            )
        with _described(records):
            self._restorer.add_references(found)

    def snapshots(self) -> None:
        """SNAPSHOT."""
        records = self._reader.records(sections.SNAPSHOT)
        if sections.SNAPSHOT not in self._reader.sections:
            return
        head = records.take(pb.SnapshotSection)
        self._snapshots.counter = head.snapshotCounter
        with _described(records):
            for inode_id in head.snapshottableDir:
                self._restorer.add_snapshottable(inode_id)
        for _ in range(head.numSnapshots):
            message = records.take(pb.SnapshotSection.Snapshot)
            root, snapshot_id = message.root, message.snapshotId
            with _described(records):
                name = root.name.decode()
                self._restorer.add_snapshot(root.id, snapshot_id, name)
                self._roots[root.id, snapshot_id] = self._unpacker.directory(
                    root.id, root.name, root.directory
                )
        records.finish()

    def moved_children(self, records: Records, entry: pb.INodeDirectorySection.DirEntry) -> None:
        """Of an entry of INODE_DIR."""
        with _described(records):
            self._restorer.add_moved_children(entry.parent, entry.refChildren)

    def differences(self) -> None:
        """SNAPSHOT_DIFF; the past is complete then."""
        records = self._reader.records(sections.SNAPSHOT_DIFF)
        while records:
            entry = records.take(_Entry)
            if entry.type == _Entry.FILEDIFF:
                files = [self._file(records, entry.inodeId) for _ in range(entry.numOfDiff)]
                with _described(records):
                    self._restorer.add_file(entry.inodeId, files)
            else:
                found = [self._directory(records, entry.inodeId) for _ in range(entry.numOfDiff)]
                with _described(records):
                    self._restorer.add_directory(entry.inodeId, found)
        with _described(records):
            self._restorer.finish()

    def _file(self, records: Records, inode_id: int) -> FileDifference:
        message = records.take(pb.SnapshotDiffSection.FileDiff)
        record = None
        with _described(records):
            if message.HasField("snapshotCopy"):
                record = self._unpacker.file(inode_id, message.name, message.snapshotCopy)
            return FileDifference(
                message.snapshotId, message.fileSize, blocks_of(message.blocks), record
            )

    def _directory(self, records: Records, inode_id: int) -> DirectoryDifference:
        message = records.take(pb.SnapshotDiffSection.DirectoryDiff)
        record = None
        if message.isSnapshotRoot:
            record = self._roots.get((inode_id, message.snapshotId))
            if record is None:
                raise records.corrupt(f"inode {inode_id} has no snapshot {message.snapshotId}")
        elif message.HasField("snapshotCopy"):
            with _described(records):
                record = self._unpacker.directory(inode_id, message.name, message.snapshotCopy)
        created = [
            records.take(pb.SnapshotDiffSection.CreatedListEntry).name
            for _ in range(message.createdListSize)
        ]
        return DirectoryDifference(
            message.snapshotId,
            message.childrenSize,
            record,
            tuple(created),
            tuple(message.deletedINode),
            tuple(message.deletedINodeRef),
        )


@contextmanager
def _described(records: Records) -> Iterator[None]:
    """What can't be, with the record taken last."""
    try:
        yield
    except (KeyError, ValueError, OverflowError) as error:
        raise records.corrupt(
            f"it holds what can't be ({type(error).__name__}: {error})"
        ) from error
    except CorruptData as error:
        raise records.corrupt(error.cause) from error
