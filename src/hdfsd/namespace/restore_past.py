"""Core. The past of the tree out of an image (`snapshot`), into a Namespace with its present.

Hadoop tells an inode's past as differences backwards from its last state, whatever places it had.
Here each version belongs to the row of the place in which snapshots show it, with the id of the
newest of those; what Hadoop kept though no snapshot shows it, differences and inodes, goes.

Raises CorruptData for what can't be.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import Block
from hdfsd.namespace import history
from hdfsd.namespace.inode import DirectoryRow, FileRow, Quotas
from hdfsd.namespace.saved_past import cut
from hdfsd.namespace.snapshot import NO_SNAPSHOT, QUOTA_MAX, Snapshot, SnapshottableDirectory
from hdfsd.namespace.storage_policy import STORAGE_TYPE_COUNT
from hdfsd.namespace.tree import DIRECTORY, FILE, FREE, NO_ROW, ROOT, SYMLINK, Namespace, name_order

Version = tuple[int, int]


class Reference(NamedTuple):
    """A place of an inode that was moved."""

    inode_id: int
    name: bytes | None
    """None: where it is now, or was last."""
    last_snapshot_id: int
    """Of a place that it left: the newest that shows it there."""


class FileDifference(NamedTuple):
    snapshot_id: int
    size: int
    blocks: tuple[Block, ...]
    """None at all: those of the state that follows."""
    record: FileRow | None
    """None: the same as in the state that follows."""


class DirectoryDifference(NamedTuple):
    snapshot_id: int
    children_count: int
    record: DirectoryRow | None
    """None: the same as in the state that follows."""
    created: tuple[bytes, ...]
    deleted: tuple[int, ...]
    """Ids of inodes."""
    deleted_references: tuple[int, ...]


_D = TypeVar("_D", FileDifference, DirectoryDifference)


class PastRestorer:
    """To be told of all references, snapshots and differences, in this order; then `finish`."""

    def __init__(self, namespace: Namespace) -> None:
        """Its inodes are restored; their children after the references."""
        self._namespace = namespace
        self._references: list[int] = []
        """Rows of the places."""
        self._used: set[int] = set()
        """Numbers of the references that a directory has."""
        self._left: dict[int, int] = {}
        """Row that a rename left behind → newest snapshot that shows it there."""
        self._gone: list[int] = []
        """Rows of inodes that were deleted from a directory of the present, or of the past."""
        self._real: dict[int, Block] = {}
        """By id, blocks of differences: as DataNodes have them."""
        self._block_counts: dict[int, tuple[int, int]] = {}
        """Newest row of an inode with a past → its id, and the blocks of its last state."""

    # ---- snapshots

    def add_snapshottable(self, inode_id: int) -> None:
        ns = self._namespace
        row = self._directory(inode_id)
        record = ns.snapshots.directories.setdefault(row, SnapshottableDirectory(QUOTA_MAX))
        record.quota = QUOTA_MAX

    def add_snapshot(self, inode_id: int, snapshot_id: int, name: str) -> None:
        ns = self._namespace
        record = ns.snapshots.directories.get(self._directory(inode_id))
        if record is None or not record.quota:
            raise _corrupt(f"inode {inode_id} has a snapshot, but is not snapshottable")
        ids = {s.snapshot_id for d in ns.snapshots.directories.values() for s in d.snapshots}
        if snapshot_id in ids or not 0 <= snapshot_id < ns.snapshots.counter:
            raise _corrupt(
                f"snapshot {snapshot_id} stands there twice, or is not below the counter"
                f" {ns.snapshots.counter}"
            )
        if record.named(name) is not None:
            raise _corrupt(f"two snapshots of inode {inode_id} have the name {name!r}")
        record.snapshots.append(Snapshot(snapshot_id, name))
        record.snapshots.sort(key=lambda snapshot: snapshot.snapshot_id)
        ns.snapshots.count += 1

    # ---- references

    def add_references(self, references: Sequence[Reference]) -> None:
        """All of the image, in its order."""
        by_inode: dict[int, list[int]] = {}
        for index, reference in enumerate(references):
            by_inode.setdefault(reference.inode_id, []).append(index)
        self._references = [NO_ROW] * len(references)
        for inode_id, indexes in by_inode.items():
            row = self._row(inode_id)
            moved = [index for index in indexes if references[index].name is None]
            left = [index for index in indexes if references[index].name is not None]
            left.sort(key=lambda index: references[index].last_snapshot_id)
            ids = {references[index].last_snapshot_id for index in left}
            if len(moved) > 1 or len(ids) < len(left):
                raise _corrupt(f"two references to inode {inode_id} are of the same time")
            self._add_places(row, [(index, references[index]) for index in left + moved])

    def _add_places(self, row: int, places: Sequence[tuple[int, Reference]]) -> None:
        """Oldest first; the inode's own row is the newest."""
        ns, snapshots = self._namespace, self._namespace.snapshots
        older = NO_ROW
        for index, reference in places:
            member = row if index == places[-1][0] else ns.shadow(row)
            self._references[index] = member
            if reference.name is not None:
                ns.names[member] = reference.name
                self._left[member] = reference.last_snapshot_id
            if older != NO_ROW:
                snapshots.before[member] = older
                snapshots.after[older] = member
            older = member

    def add_moved_children(self, inode_id: int, indexes: Sequence[int]) -> None:
        """Children of a directory by number of their references."""
        ns = self._namespace
        directory = self._directory(inode_id)
        for index in indexes:
            row = self._free_reference(index)
            if row in self._left or ns.child(directory, ns.names[row]) != NO_ROW:
                raise _corrupt(f"reference {index} is to no child of {inode_id}")
            ns.link(directory, row)

    # ---- differences, newest first

    def add_file(self, inode_id: int, differences: Sequence[FileDifference]) -> None:
        ns = self._namespace
        row = self._row(inode_id)
        if ns.kinds[row] != FILE:
            raise _corrupt(f"inode {inode_id} has differences of a file, but is none")
        record = ns.file_record(row)
        blocks = record.blocks
        found: dict[int, list[Version]] = {}
        for difference, member in self._placed(row, differences):
            record = difference.record or record
            blocks = difference.blocks or blocks
            self._real.update((block.block_id, block) for block in difference.blocks)
            then = cut(blocks, difference.size)
            past = ns.shadow(member)
            ns.fill(past, record._replace(blocks=then))
            ns.count_blocks(-len(then))
            found.setdefault(member, []).append((difference.snapshot_id, past))
        self._add_versions(row, found)

    def add_directory(self, inode_id: int, differences: Sequence[DirectoryDifference]) -> None:
        ns = self._namespace
        row = self._directory(inode_id)
        record = ns.directory_record(row)
        children: Sequence[int] = ns.children.get(row, ())
        found: dict[int, list[Version]] = {}
        for difference, member in self._placed(row, differences):
            record = difference.record or record
            children = self._children_before(row, member, children, difference)
            past = ns.shadow(member)
            ns.fill(past, record)
            ns.set_children(past, array("i", children))
            self._keep_quotas(past, record)
            found.setdefault(member, []).append((difference.snapshot_id, past))
        self._add_versions(row, found)

    def _placed(self, row: int, differences: Sequence[_D]) -> Iterator[tuple[_D, int]]:
        """Each with the row of the place in which its snapshot shows the inode."""
        snapshots = self._namespace.snapshots
        if row in snapshots.versions or row in self._block_counts:
            raise _corrupt(f"differences of inode {self._namespace.ids[row]} stand there twice")
        newer = snapshots.counter
        member = row
        for difference in differences:
            snapshot_id = difference.snapshot_id
            if not NO_SNAPSHOT < snapshot_id < newer:
                raise _corrupt(
                    f"the difference for snapshot {snapshot_id} of inode"
                    f" {self._namespace.ids[row]} is not before {newer}"
                )
            newer = snapshot_id
            older = snapshots.before.get(member, NO_ROW)
            while older != NO_ROW and snapshot_id <= self._left[older]:
                member = older
                older = snapshots.before.get(member, NO_ROW)
            yield difference, member

    def _add_versions(self, row: int, found: dict[int, list[Version]]) -> None:
        self._count(row)
        for member, versions in found.items():
            self._namespace.snapshots.versions[member] = versions[::-1]

    def _count(self, row: int) -> None:
        ns = self._namespace
        self._block_counts.setdefault(row, (ns.ids[row], ns.row_block_count(row)))

    def _keep_quotas(self, past: int, record: DirectoryRow) -> None:
        quotas = record.namespace_quota, record.space_quota
        if max(quotas) >= 0 or record.type_quotas:
            types = [-1] * STORAGE_TYPE_COUNT
            for ordinal, quota in record.type_quotas:
                types[ordinal] = quota
            self._namespace.snapshots.past_quotas[past] = Quotas(*quotas, tuple(types))

    def _children_before(
        self, row: int, member: int, newer: Sequence[int], difference: DirectoryDifference
    ) -> list[int]:
        """Rows of the children in a state, from those in the one that followed."""
        ns = self._namespace
        names = {ns.names[child]: child for child in newer}
        for name in difference.created:
            if names.pop(name, NO_ROW) == NO_ROW:
                raise _corrupt(f"{name!r} was created in inode {ns.ids[row]}, but is not there")
        gone = [self._gone_child(row, member, inode_id) for inode_id in difference.deleted]
        gone += [self._gone_place(member, index) for index in difference.deleted_references]
        for child in gone:
            names[ns.names[child]] = child
        if len(names) != difference.children_count:
            raise _corrupt(
                f"inode {ns.ids[row]} has {len(names)} children in snapshot"
                f" {difference.snapshot_id}, not {difference.children_count}"
            )
        return [names[name] for name in sorted(names, key=name_order)]

    def _gone_child(self, row: int, member: int, inode_id: int) -> int:
        ns = self._namespace
        child = self._row(inode_id)
        if ns.kinds[child] == SYMLINK and ns.parents[child] == row:
            return child  # changed: Hadoop's image has the present state of it for all
        return self._put(member, child)

    def _gone_place(self, member: int, index: int) -> int:
        return self._put(member, self._free_reference(index))

    def _put(self, member: int, child: int) -> int:
        """What was deleted is in the directory that snapshots show it in, the newest of them."""
        ns = self._namespace
        if child == ROOT or ns.parents[child] != NO_ROW:
            raise _corrupt(f"inode {ns.ids[child]} was deleted, but is there")
        ns.parents[child] = member
        if history.is_current(ns, child):
            self._gone.append(child)
        return child

    # ---- the end

    def finish(self) -> None:
        ns, snapshots = self._namespace, self._namespace.snapshots
        for index, row in enumerate(self._references):
            if index not in self._used:
                raise _corrupt(f"reference {index}, to inode {ns.ids[row]}, is in no directory")
        self._check_roots()
        gone = self._all_gone()
        self._complete(gone)
        self._set_ids()
        self._keep_grown(set(gone))
        # From below, as a tree is deleted.
        for row in reversed(gone):
            ns.retire(row)
            snapshots.deleted[ns.ids[row]] = row
        for row in (*reversed(gone), *self._left):
            if ns.kinds[row] != FREE and row not in snapshots.versions:
                history.die(ns, row)
        for row, (inode_id, count) in self._block_counts.items():
            head = row if ns.kinds[row] != FREE else snapshots.deleted.get(inode_id, NO_ROW)
            held = 0 if head == NO_ROW else len(history.all_blocks(ns, head))
            ns.count_blocks(held - count)

    def _check_roots(self) -> None:
        ns = self._namespace
        for row, record in ns.snapshots.directories.items():
            ids = {snapshot_id for snapshot_id, _ in ns.snapshots.versions.get(row, ())}
            for snapshot in record.snapshots:
                if snapshot.snapshot_id not in ids:
                    raise _corrupt(
                        f"the snapshot {snapshot.name!r} of inode {ns.ids[row]} has no difference"
                    )

    def _all_gone(self) -> list[int]:
        """Rows of all inodes that are not in the present, parents first."""
        ns = self._namespace
        rows: dict[int, None] = {}
        for top in self._gone:
            rows.update(dict.fromkeys(ns.subtree(top)))
        connected = {ROOT}
        for row in (*rows, *self._left, *ns.snapshots.versions):
            way = []
            while row not in connected:
                way.append(row)
                row = ns.parents[row]
                if row == NO_ROW or row in way:
                    raise _corrupt(f"inode {ns.ids[way[0]]} has a past, and nothing leads to it")
            connected.update(way)
        return list(rows)

    def _complete(self, gone: Sequence[int]) -> None:
        """Gives each row that is not of the present a version for the newest snapshot that may show
        it, where its state then is that which followed."""
        snapshots = self._namespace.snapshots
        for row in gone:
            self._count(row)
            versions = snapshots.versions.setdefault(row, [])
            versions.append((snapshots.counter, self._copy_for(row, row)))
        # The newest place of an inode first: an older one may need its oldest version.
        for row in sorted(self._left, key=self._left.__getitem__, reverse=True):
            versions = snapshots.versions.setdefault(row, [])
            if not versions or versions[-1][0] < self._left[row]:
                versions.append((self._left[row], self._copy_for(row, self._following(row))))

    def _following(self, row: int) -> int:
        """The state that followed when an inode left this place."""
        snapshots = self._namespace.snapshots
        while row in snapshots.after:
            row = snapshots.after[row]
            if row in snapshots.versions:
                return snapshots.versions[row][0][1]
        return row

    def _copy_for(self, row: int, state: int) -> int:
        ns = self._namespace
        past = ns.copy_row(state)
        ns.names[past] = ns.names[row]
        ns.parents[past] = ns.parents[row]
        return past

    def _set_ids(self) -> None:
        """Gives each version the id of the newest snapshot that shows it; drops what none shows."""
        ns, snapshots = self._namespace, self._namespace.snapshots
        found = {row: self._shown_versions(row) for row in snapshots.versions}
        for row, shown in found.items():
            kept = {past for _, past in shown}
            for _, past in snapshots.versions[row]:
                ns.parents[past] = ns.parents[row]
                if past not in kept:
                    ns.drop_shadow(past)
            if shown:
                snapshots.versions[row] = shown
            else:
                del snapshots.versions[row]
            for snapshot_id, _ in shown:
                snapshots.labelled.setdefault(snapshot_id, {})[row] = None

    def _shown_versions(self, row: int) -> list[Version]:
        ns = self._namespace
        shown: list[Version] = []
        last = NO_SNAPSHOT
        for snapshot_id, past in ns.snapshots.versions[row]:
            newest = history.newest(ns, row, snapshot_id + 1)
            if newest > last:
                shown.append((newest, past))
                last = newest
        return shown

    def _keep_grown(self, gone: set[int]) -> None:
        """Blocks that are longer, or newer, than what snapshots show of them, and that no present
        state of a file tells of."""
        ns, snapshots = self._namespace, self._namespace.snapshots
        for row in self._block_counts:
            last = {block.block_id: block for block in ns.row_blocks(row)}
            is_current = row not in gone
            for member in snapshots.family(row):
                for _, past in snapshots.versions.get(member, ()):
                    for block in ns.row_blocks(past):
                        if is_current and block.block_id in last:
                            continue
                        real = last.get(block.block_id) or self._real.get(block.block_id)
                        if real is not None and real != block:
                            snapshots.grown[block.block_id] = real

    # ---- finding

    def _row(self, inode_id: int) -> int:
        row = self._namespace.row_of(inode_id)
        if row == NO_ROW:
            raise _corrupt(f"there is no inode {inode_id}")
        return row

    def _directory(self, inode_id: int) -> int:
        row = self._row(inode_id)
        if self._namespace.kinds[row] != DIRECTORY:
            raise _corrupt(f"inode {inode_id} is no directory")
        return row

    def _free_reference(self, index: int) -> int:
        if index >= len(self._references):
            raise _corrupt(f"there is no reference {index}")
        row = self._references[index]
        if row == ROOT or index in self._used or self._namespace.parents[row] != NO_ROW:
            raise _corrupt(f"reference {index} is in two places")
        self._used.add(index)
        return row


def _corrupt(cause: str) -> CorruptData:
    return CorruptData("image", None, cause)
