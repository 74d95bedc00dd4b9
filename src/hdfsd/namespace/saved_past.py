"""Core. What an image keeps of the past (`snapshot`), inode by inode, as Hadoop tells it.

To Hadoop an inode has one last state, and a list of differences backwards from it. The last state
of an inode that was deleted is what the newest of its snapshots shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge

from hdfsd.base.ids import Block
from hdfsd.namespace import history
from hdfsd.namespace.snapshot import CURRENT, NO_SNAPSHOT
from hdfsd.namespace.tree import NO_ROW, Namespace


def all_rows(ns: Namespace) -> Iterator[int]:
    """The newest row of each inode, by ascending id; what only snapshots show included."""
    deleted = ns.snapshots.deleted
    if not deleted:
        return ns.rows_by_id()
    shells = [deleted[inode_id] for inode_id in sorted(deleted)]
    return merge(ns.rows_by_id(), shells, key=ns.ids.__getitem__)


def last_state(ns: Namespace, row: int) -> int:
    """The row that has the last state of an inode, of which this is the newest row."""
    return row if history.is_current(ns, row) else ns.snapshots.versions[row][-1][1]


def last_children(ns: Namespace, row: int) -> Sequence[int]:
    """What was moved out of a directory that is deleted does not end with it."""
    rows = ns.children.get(last_state(ns, row), ())
    if rows and not history.is_current(ns, row):
        return [child for child in rows if child not in ns.snapshots.after]
    return rows


def all_versions(ns: Namespace, row: int) -> list[tuple[int, int, int]]:
    """(snapshot id, past row, row that has the version) of an inode, oldest first, at all its
    places; those that its last state does not tell already."""
    versions = [
        (snapshot_id, past, member)
        for member in reversed(ns.snapshots.family(row))
        for snapshot_id, past in ns.snapshots.versions.get(member, ())
    ]
    if len(versions) == 1 and not history.is_current(ns, row):
        past = versions[0][1]
        is_all = len(last_children(ns, row)) == len(ns.children.get(past, ()))
        if is_all and last_blocks(ns, row) == ns.row_blocks(past):
            return []
    return versions


def last_blocks(ns: Namespace, row: int) -> tuple[Block, ...]:
    """Of the last state of a file, as DataNodes have them."""
    blocks = ns.row_blocks(last_state(ns, row))
    grown = ns.snapshots.grown
    if not grown or history.is_current(ns, row):
        return blocks
    return tuple(grown.get(block.block_id, block) for block in blocks)


def difference(older: Sequence[int], newer: Sequence[int]) -> tuple[list[int], list[int]]:
    """(created, deleted): rows that only the newer of two lists of children has, and only the
    older."""
    before, after = set(older), set(newer)
    return [row for row in newer if row not in before], [row for row in older if row not in after]


def cut(blocks: Sequence[Block], size: int) -> tuple[Block, ...]:
    """The blocks that hold the first `size` bytes, the last of them as long as it was then."""
    kept: list[Block] = []
    left = size
    for block in blocks:
        if left <= 0:
            break
        kept.append(
            block if block.num_bytes <= left else Block(block.block_id, left, block.gen_stamp)
        )
        left -= block.num_bytes
    return tuple(kept)


def destination_snapshot(ns: Namespace, row: int) -> int:
    """Of a row that was moved: the newest snapshot of where it is that it was not in yet, CURRENT
    when there is none (INodeReference.DstReference: what changes after a later one is recorded
    there, what changes before in the snapshots of where it came from)."""
    directory, name = ns.parents[row], ns.names[row]
    missing = NO_SNAPSHOT
    for member in reversed(ns.snapshots.family(directory)):
        for snapshot_id, past in ns.snapshots.versions.get(member, ()):
            if ns.child(past, name) == row:
                return missing if missing != NO_SNAPSHOT else CURRENT
            missing = snapshot_id
    if missing != NO_SNAPSHOT:
        return missing
    latest = _latest_above(ns, directory)
    return latest if history.newest(ns, row) < latest else CURRENT


def _latest_above(ns: Namespace, row: int) -> int:
    """The snapshot that Hadoop takes for the latest of a path (INodesInPath.resolve): of all on the
    way up to a directory that was moved itself."""
    snapshots = ns.snapshots
    latest = NO_SNAPSHOT
    while row != NO_ROW:
        for member in snapshots.family(row):
            versions = snapshots.versions.get(member)
            if versions:
                latest = max(latest, versions[-1][0])
        if row in snapshots.before:
            break
        row = ns.parents[row]
    return latest
