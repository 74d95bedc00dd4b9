"""Core. What changed between two states of a tree: getSnapshotDiffReport and its listing in pages.

A state is a snapshot's id, or CURRENT. (DirectorySnapshottableFeature.computeDiff,
SnapshotDiffInfo, SnapshotDiffListingInfo.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hdfsd.base.errors import SnapshotFault
from hdfsd.namespace import history, permission
from hdfsd.namespace.permission import READ, Principal
from hdfsd.namespace.resolve import Resolved, require_directory, resolve
from hdfsd.namespace.snapshot import CURRENT, SnapshottableDirectory
from hdfsd.namespace.tree import DIRECTORY, FILE, NO_ROW, Namespace, name_order
from hdfsd.wire.messages import hdfs

Names = tuple[bytes, ...]
"""A path, relative to the directory that is asked about."""
_CREATE, _MODIFY, _DELETE, _RENAME = "+", "M", "-", "R"
"""SnapshotDiffReport.DiffType.getLabel."""


class Child(NamedTuple):
    """One that came or went. `target`: where one that went stands in the later state."""

    inode_id: int
    name: bytes
    is_reference: bool
    """It was renamed while snapshots showed it."""
    target: Names | None = None


class Change(NamedTuple):
    """A file or directory that is in both states and differs, and where it is in the earlier."""

    row: int
    path: Names
    created: list[Child]
    deleted: list[Child]


class Span(NamedTuple):
    """What is compared."""

    scope: int
    root: int
    """The snapshottable directory: the scope or one above it."""
    earlier: int
    later: int
    from_earlier: bool
    """Whether the report goes forward in time."""


# ---- what is asked


def span(ns: Namespace, who: Principal | None, path: str, start: str, end: str) -> Span | None:
    """`start` and `end`: names of snapshots, "" for the present. None when both are the same.

    Raises FileNotFound, PathIsNotDirectory, SnapshotFault, AccessControl."""
    at = resolve(ns, who, path, reading=True)
    root = _root_of(ns, at)
    scope = require_directory(ns, at)
    record = ns.snapshots.directories[root]
    first, last = (_state(ns, root, record, name) for name in (start, end))
    if who is not None:
        for state in (first, last):
            there = _member_at(ns, scope, state)
            if there != NO_ROW:
                permission.check_subtree(ns, who, there, READ)
    if first == last:
        return None
    return Span(scope, root, min(first, last), max(first, last), first < last)


def _root_of(ns: Namespace, at: Resolved) -> int:
    """SnapshotManager.checkAndGetSnapshottableAncestorDir."""
    row = at.row
    while row != NO_ROW and row not in ns.snapshots.directories:
        row = ns.parents[row]
    if row == NO_ROW or not ns.snapshots.directories[row].quota:
        require_directory(ns, at)
        raise SnapshotFault(
            f"The path {at.path} is neither snapshottable nor under a snapshot root!"
        )
    return row


def _state(ns: Namespace, root: int, record: SnapshottableDirectory, name: str) -> int:
    if not name:
        return CURRENT
    snapshot = record.named(name)
    if snapshot is None:
        raise SnapshotFault(
            f"Cannot find the snapshot of directory {ns.path_of_row(root)} with name {name}"
        )
    return snapshot.snapshot_id


# ---- what changed


def changes(ns: Namespace, asked: Span) -> Iterator[Change]:
    """In the order of the earlier tree, directories before what is in them. None when the directory
    that is asked about isn't in both states."""
    earlier, later = asked.earlier, asked.later
    there = (_member_at(ns, asked.scope, earlier), _member_at(ns, asked.scope, later))
    stack: list[tuple[int, int, Names]] = [] if NO_ROW in there else [(*there, ())]
    while stack:
        row, later_row, path = stack.pop()
        before = ns.snapshots.version_at(row, earlier)
        after = ns.snapshots.version_at(later_row, later)
        if ns.kinds[row] != DIRECTORY:
            if ns.kinds[row] == FILE and _file_differs(ns, before, after):
                yield Change(row, path, [], [])
            continue
        old, new = ns.children.get(before, ()), ns.children.get(after, ())
        kept = set(old) & set(new) if before != after else set(old)
        created = [_child(ns, child) for child in new if child not in kept]
        deleted = []
        below: list[tuple[int, int, Names]] = []
        for child in old:
            name = ns.names[child]
            stays = child if child in kept else _renamed_to(ns, asked, child)
            target = _path_at(ns, stays, asked) if child not in kept else None
            if child not in kept:
                deleted.append(_child(ns, child, target))
            if child in kept or target is not None:
                below.append((child, stays, (*path, name)))
        if created or deleted or _directory_differs(ns, row, asked, after):
            yield Change(row, path, created, deleted)
        stack.extend(reversed(below))


def _child(ns: Namespace, row: int, target: Names | None = None) -> Child:
    snapshots = ns.snapshots
    moved = row in snapshots.before or row in snapshots.after
    return Child(ns.ids[row], ns.names[row], moved, target)


def _member_at(ns: Namespace, row: int, state: int) -> int:
    """The row that stands for an inode in a state; NO_ROW when it isn't there."""
    members = ns.snapshots.kin(row)
    if state == CURRENT:
        return members[0] if history.is_current(ns, members[0]) else NO_ROW
    for member in members:
        if history.is_shown(ns, member, state):
            return member
    return NO_ROW


def _renamed_to(ns: Namespace, asked: Span, row: int) -> int:
    """Where one that left its directory is in the later state; NO_ROW when it was deleted."""
    if row not in ns.snapshots.after:
        return NO_ROW
    return _member_at(ns, row, asked.later)


def _path_at(ns: Namespace, row: int, asked: Span) -> Names | None:
    """Relative path in the later state; None outside of the directory that is asked about."""
    names: list[bytes] = []
    scope = _member_at(ns, asked.scope, asked.later)
    while row != NO_ROW:
        if row == scope:
            return tuple(reversed(names))
        names.append(ns.names[row])
        row = _holder_at(ns, row, asked.later)
    return None


def _holder_at(ns: Namespace, row: int, state: int) -> int:
    parent = ns.parents[row]
    if state == CURRENT or parent == NO_ROW:
        return parent
    for holder in ns.snapshots.family(parent):
        if history.shows(ns, holder, state, row) and history.is_shown(ns, holder, state):
            return holder
    return NO_ROW


def _same_attributes(ns: Namespace, first: int, second: int) -> bool:
    return (
        ns.perms[first] == ns.perms[second]
        and ns.acls.get(first) == ns.acls.get(second)
        and ns.xattrs.get(first) == ns.xattrs.get(second)
    )


def _file_differs(ns: Namespace, first: int, second: int) -> bool:
    return (
        ns.row_length(first) != ns.row_length(second)
        or ns.layout_of[first] != ns.layout_of[second]
        or not _same_attributes(ns, first, second)
    )


def _directory_differs(ns: Namespace, row: int, asked: Span, after: int) -> bool:
    """Also when it was changed and changed back (DirectoryWithSnapshotFeature, same name)."""
    states = [
        past
        for member in ns.snapshots.kin(row)
        for label, past in ns.snapshots.versions.get(member, ())
        if asked.earlier <= label < asked.later
    ]
    first = ns.snapshots.version_at(row, asked.earlier)
    return any(_attributes_differ(ns, first, other) for other in (*states, after))


def _attributes_differ(ns: Namespace, first: int, second: int) -> bool:
    same_quotas = ns.quotas_of(first) == ns.quotas_of(second)
    return not same_quotas or not _same_attributes(ns, first, second)


# ---- as a whole


def report(
    ns: Namespace, who: Principal | None, path: str, start: str, end: str
) -> hdfs.SnapshotDiffReportProto:
    """getSnapshotDiffReport: ordered by where the inodes are now, the upper ones first."""
    asked = span(ns, who, path, start, end)
    answer = hdfs.SnapshotDiffReportProto(snapshotRoot=path, fromSnapshot=start, toSnapshot=end)
    if asked is None:
        return answer
    answer.snapshotRoot = ns.path_of_row(asked.root)
    found = sorted(changes(ns, asked), key=lambda change: _place(ns, change.row))
    renames = _renames(found)
    for change in found:
        answer.diffReportEntries.add(fullpath=_joined(change.path), modificationLabel=_MODIFY)
        _report_children(answer, change, renames, asked.from_earlier)
    return answer


def _place(ns: Namespace, row: int) -> tuple[int, list[bytes]]:
    """SnapshotDiffInfo.INODE_COMPARATOR."""
    row = ns.snapshots.kin(row)[0]
    names: list[bytes] = []
    while row != NO_ROW:
        names.append(name_order(ns.names[row]))
        row = ns.parents[row]
    names.reverse()
    return len(names), names


def _renames(found: list[Change]) -> dict[int, tuple[Names, Names]]:
    """Inode id → (path before, path after) of what was renamed within the directory."""
    targets: dict[int, Names] = {}
    for change in found:
        for child in change.created:
            if child.is_reference:
                targets.setdefault(child.inode_id, (*change.path, child.name))
    renames = {}
    for change in found:
        for child in change.deleted:
            target = child.target or targets.get(child.inode_id)
            if child.is_reference and target is not None:
                renames[child.inode_id] = ((*change.path, child.name), target)
    return renames


def _report_children(
    answer: hdfs.SnapshotDiffReportProto,
    change: Change,
    renames: dict[int, tuple[Names, Names]],
    from_earlier: bool,
) -> None:
    entries = answer.diffReportEntries
    came, went = (_CREATE, _DELETE) if from_earlier else (_DELETE, _CREATE)
    for child in change.created:
        if child.inode_id not in renames:
            entries.add(fullpath=_joined((*change.path, child.name)), modificationLabel=came)
    for child in change.deleted:
        if child.inode_id in renames:
            source, target = renames[child.inode_id]
            if not from_earlier:
                source, target = target, source
            entries.add(
                fullpath=_joined(source), modificationLabel=_RENAME, targetPath=_joined(target)
            )
        else:
            entries.add(fullpath=_joined((*change.path, child.name)), modificationLabel=went)


def _joined(names: Names) -> bytes:
    return b"/".join(names)


# ---- in pages


class Cursor(NamedTuple):
    """Where the next page begins: `child` of the directory's created and then deleted children, -1
    before the directory itself. An empty path is that of the directory that is asked about."""

    path: bytes
    child: int


def listing(
    ns: Namespace, who: Principal | None, path: str, names: tuple[str, str], cursor: Cursor
) -> hdfs.SnapshotDiffReportListingProto:
    """getSnapshotDiffReportListing; `names`: of the two snapshots."""
    asked = span(ns, who, path, *names)
    answer = hdfs.SnapshotDiffReportListingProto(
        isFromEarlier=asked is not None and asked.from_earlier
    )
    page = _Page(answer, ns.limits.snapshot_diff_page_max)
    reached = not cursor.path and cursor.child < 0
    for change in changes(ns, asked) if asked is not None else ():
        first = -1
        if not reached:
            if _joined(change.path) != cursor.path:
                continue
            reached, first = True, cursor.child
        if not page.add(ns, change, first):
            return answer
    answer.cursor.startPath, answer.cursor.index = b"", -1
    return answer


class _Page:
    def __init__(self, answer: hdfs.SnapshotDiffReportListingProto, limit: int) -> None:
        self._answer = answer
        self._left = limit

    def add(self, ns: Namespace, change: Change, first: int) -> bool:
        """From the child `first` on, -1: from the change itself on. False when the page is full:
        the cursor then says where the next one begins."""
        answer = self._answer
        is_directory = ns.kinds[change.row] == DIRECTORY
        directory_id = ns.ids[change.row]
        if first < 0:
            if not self._left:
                return self._stop(change, -1)
            self._left -= 1
            answer.modifiedEntries.add(
                fullpath=_joined(change.path),
                dirId=directory_id,
                fileId=directory_id,
                isReference=is_directory,
            )
        count = len(change.created)
        for index, child in enumerate((*change.created, *change.deleted)):
            if index < first:
                continue
            if not self._left:
                return self._stop(change, index)
            self._left -= 1
            entries = answer.createdEntries if index < count else answer.deletedEntries
            entry = entries.add(
                fullpath=_joined((*change.path, child.name)),
                dirId=directory_id,
                fileId=child.inode_id,
                isReference=child.is_reference if index < count else child.target is not None,
            )
            if child.target is not None:
                entry.targetPath = _joined(child.target)
        return True

    def _stop(self, change: Change, index: int) -> bool:
        self._answer.cursor.startPath = _joined(change.path)
        self._answer.cursor.index = index
        return False
