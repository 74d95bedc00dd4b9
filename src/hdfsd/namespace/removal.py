"""Core. The end of trees: out of the namespace at once, their rows freed in steps (P7).

A deleted tree is taken out of its directory, and nobody finds it any more, by path or by id. Small
ones are freed on the spot. The rest of a big one waits in `Namespace.detached`, the oldest first,
until somebody calls `step` often enough; its inodes count in quotas and totals until they are
freed. A tree keeps the directory that it was in until then: it is charged to those above.

A tree of which a snapshot may show something goes in one piece: each of its rows may leave a shell
(`history.remove`).
"""

from __future__ import annotations

from hdfsd.namespace import history, quota
from hdfsd.namespace.tree import DIRECTORY, NO_ROW, Namespace


def remove(ns: Namespace, row: int) -> list[int]:
    """Takes a row and all below it out of the tree; gives ids of blocks that are gone so far."""
    directory = ns.parents[row]
    if ns.kinds[row] != DIRECTORY:
        quota.charge(ns, directory, quota.use_of(ns, row), -1)
        ns.unlink(row)
        return ns.free_inode(row)
    snapshottable = any(history.snapshottable_below(ns, row))
    ns.unlink(row)
    ns.parents[row] = directory
    ns.detached[row] = None
    # Who lists snapshottable directories doesn't expect them in what is detached.
    return settle(ns) if snapshottable else step(ns)


def settle(ns: Namespace) -> list[int]:
    """Frees all that waits: before somebody counts what is below a directory."""
    return step(ns, ns.inode_count)


def step(ns: Namespace, rows_max: int = 0) -> list[int]:
    """Frees rows of detached trees, from below; gives the ids of their blocks. As many rows as the
    limits say when none are given."""
    gone: list[int] = []
    path = ns.way_down
    rows_max = rows_max or ns.limits.deletion_step
    while rows_max > 0 and ns.detached:
        top = next(iter(ns.detached))
        directory = path[-1] if path else top
        row = ns.last_child(directory)
        if row in ns.children:
            path.append(row)
            continue
        if row != NO_ROW:
            ns.unlink_last_child(directory)
        elif path:
            path.pop()  # It has no children any more: its parent takes it next.
            continue
        else:
            row = top
            del ns.detached[top]
        quota.charge(ns, ns.parents[row], quota.use_of(ns, row), -1)
        gone += ns.free_inode(row)
        rows_max -= 1
    return gone
