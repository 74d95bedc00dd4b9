"""Core. The past of the tree: what `apply` does so that snapshots show what was (`snapshot`).

Before an inode changes: `keep`. Before one is renamed: `keep`, then `leave_behind`. When a tree
goes: `remove`. When a snapshot comes or goes: `take`, `forget` (S1, S2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hdfsd.base.errors import ensure
from hdfsd.base.ids import Block, BlockId
from hdfsd.namespace.snapshot import CURRENT, NO_SNAPSHOT, Snapshot, SnapshottableDirectory
from hdfsd.namespace.tree import DIRECTORY, FILE, NO_ROW, Namespace

# ---- looking


def is_current(ns: Namespace, row: int) -> bool:
    return ns.row_of(ns.ids[row]) == row


def newest(
    ns: Namespace, row: int, below: int = CURRENT, passed: frozenset[int] = frozenset()
) -> int:
    """Id of the newest snapshot below this one that shows the row; NO_SNAPSHOT when none does.

    `passed`: shells on the way here. A directory may be in a tree now that was in it before, but no
    snapshot shows both."""
    lineage = [row]
    while (row := ns.parents[row]) != NO_ROW:
        lineage.append(row)
    snapshots = ns.snapshots
    best, parent = NO_SNAPSHOT, NO_ROW
    for row in reversed(lineage):
        shown_by = NO_SNAPSHOT
        if best != NO_SNAPSHOT:
            shown_by = _shown_by(ns, parent, best, row, passed)
        if parent in snapshots.before:
            for shell in snapshots.family(parent)[1:]:
                if shell not in passed:
                    through = passed | {shell}
                    there = newest(ns, shell, below, through)
                    shown_by = max(shown_by, _shown_by(ns, shell, there, row, through))
        own = snapshots.directories.get(row)
        best = shown_by if own is None else max(shown_by, own.newest_id(below))
        parent = row
    return best


def may_be_shown(ns: Namespace, row: int) -> bool:
    """Whether a snapshot shows something of the row or of what is below it. (No directory below it
    may have snapshots of its own.)"""
    snapshots = ns.snapshots
    # Looked for nowhere: what was renamed out of a snapshot may be anywhere.
    return snapshots.count > 0 and (bool(snapshots.before) or newest(ns, row) != NO_SNAPSHOT)


def is_shown(ns: Namespace, row: int, snapshot_id: int) -> bool:
    return newest(ns, row, snapshot_id + 1) == snapshot_id


def _shown_by(
    ns: Namespace, directory: int, newest_id: int, row: int, passed: frozenset[int]
) -> int:
    """The newest snapshot up to `newest_id` in which the directory has the row among its children.
    It was linked there once and unlinked once: there are no gaps between those that show it."""
    while newest_id != NO_SNAPSHOT and not shows(ns, directory, newest_id, row):
        newest_id = newest(ns, directory, newest_id, passed)
    return newest_id


def shows(ns: Namespace, directory: int, snapshot_id: int, row: int) -> bool:
    """Whether a directory has the row among its children in a snapshot that shows the directory."""
    past = ns.snapshots.version_at(directory, snapshot_id)
    return ns.child(past, ns.names[row]) == row


def snapshottable_below(ns: Namespace, row: int) -> Iterator[tuple[int, SnapshottableDirectory]]:
    """The row itself and directories below it that are snapshottable (the root, when allowed)."""
    for directory, record in ns.snapshots.allowed():
        if is_below(ns, directory, row):
            yield directory, record


def is_below(ns: Namespace, row: int, ancestor: int) -> bool:
    """Whether a row is this ancestor, or below it."""
    while row not in (ancestor, NO_ROW):
        row = ns.parents[row]
    return row == ancestor


def tree_at(ns: Namespace, row: int, snapshot_id: int) -> Iterator[tuple[int, int]]:
    """(row, its past row) of the row and all below it in a snapshot that shows it."""
    stack = [row]
    while stack:
        row = stack.pop()
        past = ns.snapshots.version_at(row, snapshot_id)
        yield row, past
        stack.extend(ns.children.get(past, ()))


def shells_of(ns: Namespace, directory: int) -> Iterator[int]:
    """Rows that were in a directory last, and that only snapshots show: of it, or of where it was
    before."""
    snapshots = ns.snapshots
    seen = set()
    for member in snapshots.family(directory):
        for _, past in snapshots.versions.get(member, ()):
            for row in ns.children.get(past, ()):
                if row not in seen and ns.parents[row] == directory and not is_current(ns, row):
                    yield row
                seen.add(row)


def everything(ns: Namespace, row: int) -> Iterator[int]:
    """The row and all below it, what only snapshots show there included; parents first."""
    stack = [row]
    while stack:
        row = stack.pop()
        yield row
        below = ns.children.get(row)
        if below is not None:
            stack.extend(below)
        stack.extend(shells_of(ns, row))


def replication(ns: Namespace, row: int) -> int:
    """Replicas that a file's blocks are to have: the most that it or a snapshot of it asks for
    (INodeFile.getPreferredBlockReplication)."""
    if row not in ns.snapshots.versions and row not in ns.snapshots.before:
        return ns.layouts[ns.layout_of[row]].replication
    members = ns.snapshots.kin(row)
    rows = [past for member in members for _, past in ns.snapshots.versions.get(member, ())]
    if is_current(ns, members[0]):
        rows.append(members[0])
    return max(ns.layouts[ns.layout_of[found]].replication for found in rows)


def all_blocks(ns: Namespace, row: int) -> tuple[BlockId, ...]:
    """Ids of the blocks that a file and the snapshots of it have."""
    head = ns.snapshots.kin(row)[0]
    present = {block.block_id: None for block in ns.row_blocks(head)}
    return tuple(present | dict.fromkeys(held_blocks(ns, row)))


def held_blocks(ns: Namespace, row: int) -> dict[BlockId, Block]:
    """By id, the blocks that snapshots hold of an inode, whatever row has them: with the length and
    generation stamp that DataNodes have, unless the inode's present has the block too."""
    grown = ns.snapshots.grown
    return {
        block.block_id: grown.get(block.block_id, block)
        for member in reversed(ns.snapshots.kin(row))
        for _, past in ns.snapshots.versions.get(member, ())
        for block in ns.row_blocks(past)
    }


def holds_last_block(ns: Namespace, row: int, block_id: BlockId) -> bool:
    """Whether a snapshot shows the last block of a file."""
    snapshots = ns.snapshots
    if not snapshots.count:
        return False
    versions = snapshots.versions.get(row, ())
    shown_by = newest(ns, row)
    if shown_by != NO_SNAPSHOT and not (versions and versions[-1][0] >= shown_by):
        return True  # It shows the file as it is.
    return block_id in held_blocks(ns, row)


# ---- before a change


def keep(ns: Namespace, row: int) -> None:
    """Keeps the present state of a row when a snapshot shows it and does not have it yet."""
    if ns.snapshots.count:
        shown_by = newest(ns, row)
        if shown_by != NO_SNAPSHOT:
            _keep_for(ns, row, shown_by)
        if ns.kinds[row] == FILE:
            _keep_grown(ns, row)


def _keep_grown(ns: Namespace, row: int) -> None:
    """A snapshot shows the end of a file as long as it was then. Whoever lets go of the block that
    has it comes by here first: what it has become is known nowhere else."""
    snapshots = ns.snapshots
    if row not in snapshots.versions and row not in snapshots.before:
        return
    present = ns.row_blocks(row)
    for member in snapshots.family(row):
        for _, past in snapshots.versions.get(member, ()):
            count = ns.row_block_count(past)
            last = ns.last_block(past)
            if last is not None and count <= len(present):
                now = present[count - 1]
                if now.block_id == last.block_id and now != last:
                    snapshots.grown[last.block_id] = now


def _keep_for(ns: Namespace, row: int, snapshot_id: int) -> None:
    versions = ns.snapshots.versions.setdefault(row, [])
    if not versions or versions[-1][0] < snapshot_id:
        add_version(ns, row, snapshot_id, ns.copy_row(row))


def add_version(ns: Namespace, row: int, snapshot_id: int, past: int) -> None:
    """The newest of the row's versions so far."""
    snapshots = ns.snapshots
    snapshots.versions.setdefault(row, []).append((snapshot_id, past))
    snapshots.labelled.setdefault(snapshot_id, {})[row] = None


def release(ns: Namespace, row: int, blocks: Iterable[int]) -> list[int]:
    """Of blocks that the present row of a file has let go of: those that nobody holds."""
    if not ns.snapshots.count:
        return list(blocks)
    let_go = list(blocks)
    held = held_blocks(ns, row)
    gone = [block_id for block_id in let_go if block_id not in held]
    ns.count_blocks(len(let_go) - len(gone))
    return gone


# ---- renames


def leave_behind(ns: Namespace, row: int) -> int:
    """Before a row is renamed away: what snapshots show of it stays under the old name, as a row of
    its own. Gives that row, NO_ROW when no snapshot shows it."""
    snapshots = ns.snapshots
    if not snapshots.count or row not in snapshots.versions:
        return NO_ROW
    shell = ns.shadow(row)
    snapshots.versions[shell] = snapshots.versions.pop(row)
    for snapshot_id, _ in snapshots.versions[shell]:
        labelled = snapshots.labelled[snapshot_id]
        del labelled[row]
        labelled[shell] = None
    _put_before(ns, row, shell)
    for holder in snapshots.family(ns.parents[row]):
        _replace_child(ns, holder, row, shell)
    _hand_down(ns, row)
    return shell


def _put_before(ns: Namespace, row: int, shell: int) -> None:
    snapshots = ns.snapshots
    earlier = snapshots.before.get(row)
    if earlier is not None:
        snapshots.before[shell] = earlier
        snapshots.after[earlier] = shell
    snapshots.before[row] = shell
    snapshots.after[shell] = row


def _hand_down(ns: Namespace, row: int) -> None:
    """A directory has no versions (any more): what was deleted from it is shown only where it was
    before."""
    if ns.kinds[row] != DIRECTORY:
        return
    for member in ns.snapshots.family(row)[1:]:
        for below in _rows_in_versions(ns, member):
            if ns.parents[below] == row and not is_current(ns, below):
                ns.parents[below] = member


def _replace_child(ns: Namespace, directory: int, row: int, shell: int) -> None:
    name = ns.names[row]
    for _, past in ns.snapshots.versions.get(directory, ()):
        if ns.child(past, name) == row:
            rows = ns.children[past]
            rows[ns.place_behind(past, name) - 1] = shell


def _rows_in_versions(ns: Namespace, directory: int) -> dict[int, None]:
    return {
        row: None
        for _, past in ns.snapshots.versions.get(directory, ())
        for row in ns.children.get(past, ())
    }


# ---- the end of a tree


def remove(ns: Namespace, row: int) -> list[int]:
    """Takes a row and all below it out of the present; gives the ids of blocks that are gone.

    What snapshots show of them stays, in shells. Of what no snapshot shows: `removal`."""
    going = list(ns.subtree(row))
    for below in going:
        keep(ns, below)
    directory = ns.parents[row]
    ns.unlink(row)
    ns.parents[row] = directory
    gone: list[int] = []
    # From below: a directory's shells look for their other holders through it.
    for below in reversed(going):
        gone += _end(ns, below)
    return gone


def _end(ns: Namespace, row: int) -> list[int]:
    """One row is not in the present any more."""
    snapshots = ns.snapshots
    gone: list[int] = []
    if ns.kinds[row] == FILE:
        let_go = [block.block_id for block in ns.row_blocks(row)]
        ns.count_blocks(-len(let_go))
        gone = release(ns, row, let_go)
    ns.retire(row)
    if row in snapshots.versions:
        snapshots.deleted[ns.ids[row]] = row
    else:
        die(ns, row)
    return gone


def die(ns: Namespace, row: int) -> None:
    """A row is neither current nor shown by any snapshot."""
    snapshots = ns.snapshots
    _hand_down(ns, row)
    before = snapshots.before.pop(row, None)
    after = snapshots.after.pop(row, None)
    if before is not None:
        if after is None:
            del snapshots.after[before]
        else:
            snapshots.before[after] = before
            snapshots.after[before] = after
    elif after is not None:
        del snapshots.before[after]
    inode_id = ns.ids[row]
    if before is None and after is None:
        snapshots.deleted.pop(inode_id, None)
        ns.drop_shell(row)
        return
    ns.drop_shadow(row)
    if after is None and before is not None:
        # Its older self stands for the inode now.
        snapshots.deleted[inode_id] = before


# ---- the life of a snapshot


def take(ns: Namespace, row: int, record: SnapshottableDirectory, name: str, mtime_ms: int) -> None:
    """A snapshot of a directory: it has a version of its own from the start."""
    snapshots = ns.snapshots
    snapshot = Snapshot(snapshots.counter, name)
    snapshots.counter += 1
    snapshots.count += 1
    record.snapshots.append(snapshot)
    past = ns.copy_row(row)
    ns.mtimes[past] = mtime_ms
    add_version(ns, row, snapshot.snapshot_id, past)


def touched_by(ns: Namespace, snapshot_id: int) -> list[int]:
    """Rows that may change their quota or place when a snapshot is forgotten."""
    touched: dict[int, None] = {}
    for row in ns.snapshots.labelled.get(snapshot_id, ()):
        touched[row] = None
        if row in ns.snapshots.before:
            touched.update(dict.fromkeys(everything(ns, row)))
    return list(touched)


def forget(ns: Namespace, snapshot_id: int) -> list[int]:
    """A snapshot was taken out of its directory's list: what only it showed goes. Gives the ids of
    blocks that are gone."""
    rows = list(ns.snapshots.labelled.get(snapshot_id, ()))
    heirs = {row: newest(ns, row, snapshot_id) for row in rows}
    gone: list[int] = []
    dying: list[int] = []
    for row in rows:
        gone += _relabel(ns, row, snapshot_id, heirs[row])
        if row not in ns.snapshots.versions and not is_current(ns, row):
            dying.append(row)
    for row in dying:
        die(ns, row)
    ns.snapshots.labelled.pop(snapshot_id, None)
    return gone


def _relabel(ns: Namespace, row: int, snapshot_id: int, heir: int) -> list[int]:
    """A version's snapshot goes: the version stands for the next older one that shows the inode
    (`heir`), unless that one has a version already."""
    snapshots = ns.snapshots
    versions = snapshots.versions[row]
    at = next(at for at, (label, _) in enumerate(versions) if label == snapshot_id)
    past = versions[at][1]
    older = versions[at - 1][0] if at else NO_SNAPSHOT
    ensure("S1", heir >= older, "a version of a snapshot that does not show its inode")
    if heir > older:
        versions[at] = (heir, past)
        snapshots.labelled.setdefault(heir, {})[row] = None
        return []
    del versions[at]
    if not versions:
        del snapshots.versions[row]
    return _drop_version(ns, row, past)


def _drop_version(ns: Namespace, row: int, past: int) -> list[int]:
    gone: list[int] = []
    if ns.kinds[row] == FILE:
        held = held_blocks(ns, row)
        head = ns.snapshots.kin(row)[0]
        current = {block.block_id for block in ns.row_blocks(head)}
        dropped = {block.block_id: None for block in ns.row_blocks(past)}
        gone = [b for b in dropped if b not in held and b not in current]
        for block_id in dropped:
            if block_id not in held:
                ns.snapshots.grown.pop(block_id, None)
        ns.count_blocks(-len(gone))
    ns.drop_shadow(past)
    return gone
