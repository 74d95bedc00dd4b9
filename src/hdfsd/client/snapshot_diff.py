"""Core. What a diff report says of two snapshots, put together from the pages of a server.

A page lists changed directories and files, and what came into and went from directories; renames
show when an inode did both (hadoop hdfs.client.impl.SnapshotDiffReportGenerator).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hdfsd.wire.messages import hdfs

MODIFIED, CREATED, DELETED, RENAMED = "M", "+", "-", "R"
FIRST_INDEX = -1
"""With an empty path: the cursor before the first page, and behind the last."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of a report; paths are relative to the directory."""

    label: str
    path: bytes
    target: bytes | None = None
    """Where a renamed one is now."""


@dataclass(slots=True)
class Pages:
    """The pages so far."""

    modified: list[hdfs.SnapshotDiffReportListingEntryProto] = field(default_factory=list)
    created: list[hdfs.SnapshotDiffReportListingEntryProto] = field(default_factory=list)
    deleted: list[hdfs.SnapshotDiffReportListingEntryProto] = field(default_factory=list)
    forward: bool = True
    """Whether the first snapshot is the older one."""

    def add(self, page: hdfs.SnapshotDiffReportListingProto) -> None:
        """One more."""
        self.modified += page.modifiedEntries
        self.created += page.createdEntries
        self.deleted += page.deletedEntries
        self.forward = page.isFromEarlier


def is_last(cursor: hdfs.SnapshotDiffReportCursorProto) -> bool:
    """Whether a page with this cursor has none behind it."""
    return not cursor.startPath and cursor.index == FIRST_INDEX


def difference_of(entry: hdfs.SnapshotDiffReportEntryProto) -> Difference:
    """A line of a report that came in one piece."""
    target = entry.targetPath if entry.HasField("targetPath") else None
    return Difference(entry.modificationLabel, entry.fullpath, target)


def report(pages: Pages) -> list[Difference]:
    """The lines of all pages: each changed one, followed by what came and went below it."""
    moves = {
        entry.fileId: entry
        for entry in pages.deleted
        if entry.isReference and entry.HasField("targetPath")
    }
    came, went = _by_directory(pages.created), _by_directory(pages.deleted)
    lines = []
    for entry in sorted(pages.modified, key=_place):
        lines.append(Difference(MODIFIED, entry.fullpath))
        if not entry.isReference:
            continue
        for created in came.get(entry.dirId, ()):
            if created.fileId not in moves:
                lines.append(Difference(CREATED if pages.forward else DELETED, created.fullpath))
        for deleted in went.get(entry.dirId, ()):
            move = moves.get(deleted.fileId)
            lines.append(
                _move(move, pages.forward)
                if move is not None
                else Difference(DELETED if pages.forward else CREATED, deleted.fullpath)
            )
    return lines


def text(directory: str, start: str, end: str, lines: Sequence[Difference]) -> str:
    """The report as `hdfs snapshotDiff` shows it."""
    head = f"Difference between {_named(start)} and {_named(end)} under directory {directory}:\n"
    return head + "".join(f"{_line(difference)}\n" for difference in lines)


def _move(entry: hdfs.SnapshotDiffReportListingEntryProto, forward: bool) -> Difference:
    ways = (entry.fullpath, entry.targetPath)
    source, target = ways if forward else reversed(ways)
    return Difference(RENAMED, source, target)


def _by_directory(
    entries: Sequence[hdfs.SnapshotDiffReportListingEntryProto],
) -> dict[int, list[hdfs.SnapshotDiffReportListingEntryProto]]:
    found: dict[int, list[hdfs.SnapshotDiffReportListingEntryProto]] = {}
    for entry in entries:
        found.setdefault(entry.dirId, []).append(entry)
    return found


def _place(entry: hdfs.SnapshotDiffReportListingEntryProto) -> list[list[int]]:
    """By components, the directory itself first; Java's bytes have a sign."""
    if not entry.fullpath:
        return []
    components = entry.fullpath.split(b"/")
    return [[byte - 256 if byte > 127 else byte for byte in name] for name in components]


def _named(snapshot: str) -> str:
    return f"snapshot {snapshot}" if snapshot else "current directory"


def _line(difference: Difference) -> str:
    line = f"{difference.label}\t{_shown(difference.path)}"
    if difference.label == RENAMED:
        line += f" -> {_shown(difference.target or b'')}"
    return line


def _shown(path: bytes) -> str:
    return f"./{path.decode('utf-8', 'replace')}" if path else "."
