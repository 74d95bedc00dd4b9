"""effects: what the requests of a file's life tell the block map, in order."""

from __future__ import annotations

import typing
from dataclasses import replace
from typing import Any

from hdfsd.namespace import effects, mutate, mutate_snapshots


def test_a_files_life_tells_of_every_kind(world: Any) -> None:
    inode_id = world.write("/d/f", 10)
    world.do(mutate.append, "/d/f", ("c2", "h"), False, world.blocks)
    last = world.ns.blocks_of(inode_id)[0]
    world.close("/d/f", replace(last, num_bytes=20), client="c2")
    world.do(mutate.set_replication, "/d/f", 2)
    world.write("/d/g", 5)
    world.do(mutate.concat, "/d/g", ["/d/f"])
    world.do(mutate.delete, "/d", True)
    world.write("/s/f", 10)
    world.do(mutate_snapshots.allow, "/s")
    world.do(mutate_snapshots.create, "/s", "one")
    world.do(mutate.truncate, "/s/f", ("c", "h"), 5, world.blocks)
    told = [type(effect).__name__ for effect in world.effects]
    assert told == [
        "BlocksAdded",
        "BlockUpdated",
        "BlockReopened",
        "BlockUpdated",
        "ReplicationChanged",
        "BlocksAdded",
        "BlockUpdated",
        "BlocksMoved",
        "BlocksRemoved",
        "BlocksAdded",
        "BlockUpdated",
        "BlockCopied",
    ]
    assert set(told) == {kind.__name__ for kind in typing.get_args(effects.Effect)}


def test_blocks_told_of_are_the_blocks_of_the_namespace(world: Any) -> None:
    """A block map that believes the effects knows every block, its file and its length."""
    for number in range(4):
        world.write(f"/d/{number}", *([128] * number), 7)
    world.do(mutate.truncate, "/d/3", ("c", "h"), 128, world.blocks)
    world.do(mutate.concat, "/d/1", ["/d/2"])
    world.do(mutate.delete, "/d/0", False)
    known: dict[int, tuple[int, int]] = {}
    for effect in world.effects:
        match effect:
            case effects.BlocksAdded():
                known.update({b.block_id: (effect.inode_id, b.num_bytes) for b in effect.blocks})
            case effects.BlockUpdated():
                assert known[effect.new.block_id] == (effect.inode_id, effect.old.num_bytes)
                known[effect.new.block_id] = (effect.inode_id, effect.new.num_bytes)
            case effects.BlocksMoved():
                known.update({b: (effect.inode_id, known[b][1]) for b in effect.blocks})
            case effects.BlocksRemoved():
                for block_id in effect.blocks:
                    del known[block_id]
    rows = [row for row in world.ns.inodes() if hasattr(row, "blocks")]
    assert known == {b.block_id: (r.inode_id, b.num_bytes) for r in rows for b in r.blocks}
