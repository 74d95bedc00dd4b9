"""Snapshots against a model that copies the whole tree: what they show, what is kept for them, and
that nothing more is kept."""

from __future__ import annotations

import pytest
from past_walk import Walk

from hdfsd.editlog import ops


@pytest.mark.parametrize("seed", range(40))
def test_snapshots_show_what_was(seed: int) -> None:
    walk = Walk(seed)
    with walk.telling():
        for _ in range(120):
            walk.step()
            walk.check()
    for root, name in sorted(walk.snapshots):
        walk.apply(ops.DeleteSnapshotOp(root, name, walk.later()))
        walk.find(root).mtime_ms = walk.now_ms
        del walk.snapshots[root, name]
        walk.check()
    assert not walk.ns.snapshots.versions
    assert not walk.ns.snapshots.before
