"""Core. What snapshots show, to the sections of an image (fsimage.md section 6).

Hadoop keeps one list of differences for an inode, whatever places it had. A row that a rename left
behind is a reference with a name; the newest row of such an inode is the reference to where it was
moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hdfsd.base.ids import Block
from hdfsd.image.inodes import InodePacker
from hdfsd.image.sections import delimited
from hdfsd.namespace import saved_past
from hdfsd.namespace.tree import DIRECTORY, FILE, Namespace, name_order
from hdfsd.wire.messages import fsimage as pb

_Entry = pb.SnapshotDiffSection.DiffEntry


class PastSaver:
    """The sections that snapshots have a part in, to be drawn in the order of the image: references
    are numbered as the others meet them."""

    def __init__(self, namespace: Namespace, packer: InodePacker) -> None:
        self._namespace = namespace
        self._packer = packer
        self._references: list[bytes] = []

    def directories(self) -> Iterator[bytes]:
        """INODE_DIR."""
        ns = self._namespace
        for row in saved_past.all_rows(ns):
            if ns.kinds[row] != DIRECTORY:
                continue
            children = saved_past.last_children(ns, row)
            if children:
                inodes, references = self._refer(children)
                yield delimited(
                    pb.INodeDirectorySection.DirEntry(
                        parent=ns.ids[row], children=inodes, refChildren=references
                    )
                )

    def _refer(self, rows: Sequence[int]) -> tuple[list[int], list[int]]:
        """Inode ids of those that were not moved, numbers of references of the others."""
        ns, snapshots = self._namespace, self._namespace.snapshots
        if not snapshots.before:
            return [ns.ids[row] for row in rows], []
        inodes: list[int] = []
        references: list[int] = []
        for row in rows:
            if row in snapshots.before or row in snapshots.after:
                references.append(len(self._references))
                self._references.append(delimited(self._reference(row)))
            else:
                inodes.append(ns.ids[row])
        return inodes, references

    def _reference(self, row: int) -> pb.INodeReferenceSection.INodeReference:
        ns = self._namespace
        reference = pb.INodeReferenceSection.INodeReference(referredId=ns.ids[row])
        if row in ns.snapshots.after:
            reference.name = ns.names[row]
            reference.lastSnapshotId = ns.snapshots.versions[row][-1][0]
        else:
            reference.dstSnapshotId = saved_past.destination_snapshot(ns, row)
        return reference

    def references(self) -> Iterator[bytes]:
        """INODE_REFERENCE: after all others."""
        return iter(self._references)

    # ---- SNAPSHOT

    def snapshots(self) -> Iterator[bytes]:
        """SNAPSHOT: by name, in which order Hadoop's loader expects them."""
        ns, snapshots = self._namespace, self._namespace.snapshots
        rows = sorted(
            (row for row, record in snapshots.directories.items() if record.quota),
            key=ns.ids.__getitem__,
        )
        yield delimited(
            pb.SnapshotSection(
                snapshotCounter=snapshots.counter,
                snapshottableDir=[ns.ids[row] for row in rows],
                numSnapshots=snapshots.count,
            )
        )
        for row in rows:
            own = snapshots.directories[row].snapshots
            for snapshot in sorted(own, key=lambda found: name_order(found.name.encode())):
                past = snapshots.version_at(row, snapshot.snapshot_id)
                root = self._packer.inode(ns.directory_record(past))
                root.name = snapshot.name.encode()
                yield delimited(
                    pb.SnapshotSection.Snapshot(snapshotId=snapshot.snapshot_id, root=root)
                )

    # ---- SNAPSHOT_DIFF

    def diffs(self) -> Iterator[bytes]:
        """SNAPSHOT_DIFF: directories first, whose lists give Hadoop's loader the blocks of deleted
        files; those that only older states of a file have come after."""
        ns = self._namespace
        for kind, diffs in (DIRECTORY, self._directory_diffs), (FILE, self._file_diffs):
            for row in saved_past.all_rows(ns):
                if ns.kinds[row] == kind:
                    yield from diffs(row)

    def _directory_diffs(self, row: int) -> Iterator[bytes]:
        ns = self._namespace
        versions = saved_past.all_versions(ns, row)
        record = ns.snapshots.directories.get(row)
        if not versions and record is None:
            return
        yield delimited(
            _Entry(type=_Entry.DIRECTORYDIFF, inodeId=ns.ids[row], numOfDiff=len(versions))
        )
        roots = {s.snapshot_id for s in record.snapshots} if record is not None else set()
        newer = saved_past.last_children(ns, row)
        for snapshot_id, past, member in reversed(versions):
            older = ns.children.get(past, ())
            created, deleted = saved_past.difference(older, newer)
            diff = pb.SnapshotDiffSection.DirectoryDiff(
                snapshotId=snapshot_id,
                childrenSize=len(older),
                isSnapshotRoot=snapshot_id in roots,
                createdListSize=len(created),
            )
            if snapshot_id not in roots:
                diff.name = ns.names[member]
                self._packer.directory(diff.snapshotCopy, ns.directory_record(past))
            inodes, references = self._refer(deleted)
            diff.deletedINode.extend(inodes)
            diff.deletedINodeRef.extend(references)
            yield delimited(diff)
            for child in created:
                yield delimited(pb.SnapshotDiffSection.CreatedListEntry(name=ns.names[child]))
            newer = older

    def _file_diffs(self, row: int) -> Iterator[bytes]:
        ns = self._namespace
        versions = saved_past.all_versions(ns, row)
        if not versions:
            return
        yield delimited(_Entry(type=_Entry.FILEDIFF, inodeId=ns.ids[row], numOfDiff=len(versions)))
        newer = saved_past.last_blocks(ns, row)
        real = ns.snapshots.grown | {block.block_id: block for block in newer}
        # Of a file that was moved Hadoop has them at hand: what happens to it at its new place does
        # not change a difference that belongs to the old one.
        moved = row in ns.snapshots.before
        for snapshot_id, past, member in reversed(versions):
            record = ns.file_record(past)
            size = sum(block.num_bytes for block in record.blocks)
            diff = pb.SnapshotDiffSection.FileDiff(
                snapshotId=snapshot_id, fileSize=size, name=ns.names[member]
            )
            self._packer.file(diff.snapshotCopy, record, with_blocks=False)
            if moved or not _same(record.blocks, saved_past.cut(newer, size)):
                newer = tuple(real.get(block.block_id, block) for block in record.blocks)
                for block in newer:
                    diff.blocks.add(
                        blockId=block.block_id, genStamp=block.gen_stamp, numBytes=block.num_bytes
                    )
            yield delimited(diff)


def _same(blocks: Sequence[Block], others: Sequence[Block]) -> bool:
    """Which blocks, and how long each; the generation stamp is of the block, not of a snapshot."""
    return [(b.block_id, b.num_bytes) for b in blocks] == [
        (b.block_id, b.num_bytes) for b in others
    ]
