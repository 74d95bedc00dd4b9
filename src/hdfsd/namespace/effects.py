"""Data. What the block map must learn from an applied edit, in the order it happened.

`apply` returns these; the namespace itself never speaks to the block map. Block lengths are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdfsd.base.ids import Block, BlockId, InodeId


@dataclass(frozen=True, slots=True)
class BlocksAdded:
    """Blocks appended to a file. `under_construction`: the last of them is being written, the
    others (and all, when false) are complete."""

    inode_id: InodeId
    replication: int
    blocks: tuple[Block, ...]
    under_construction: bool


@dataclass(frozen=True, slots=True)
class BlockUpdated:
    """A block has a new generation stamp or length; `old` and `new` share the id.

    `complete`: no writer will change it any more. A standby may take it as complete; an active
    commits it and waits for the minimum of replicas (FSEditLogLoader.updateBlocks, addNewBlock).
    """

    inode_id: InodeId
    old: Block
    new: Block
    complete: bool


@dataclass(frozen=True, slots=True)
class BlockReopened:
    """The last, complete block of a file is written again (append, truncate)."""

    inode_id: InodeId
    block: Block
    truncate_to: int | None = None
    """Bytes that a recovery has to cut it to; whoever is active then must know of it."""


@dataclass(frozen=True, slots=True)
class BlockCopied:
    """The new last block of a file is to be made by a recovery, from the first bytes of one that
    snapshots go on to hold (copy on truncate). `block` has the length that it will have."""

    inode_id: InodeId
    replication: int
    block: Block
    source: BlockId


@dataclass(frozen=True, slots=True)
class BlocksRemoved:
    """Blocks that belong to no file any more: replicas are to be invalidated."""

    blocks: tuple[BlockId, ...]


@dataclass(frozen=True, slots=True)
class BlocksMoved:
    """Blocks that now belong to another file (concat); `replication` is that file's."""

    inode_id: InodeId
    blocks: tuple[BlockId, ...]
    replication: int


@dataclass(frozen=True, slots=True)
class ReplicationChanged:
    """The wished number of replicas of a file's blocks is now `replication`."""

    inode_id: InodeId
    blocks: tuple[BlockId, ...]
    replication: int


Effect = (
    BlocksAdded
    | BlockUpdated
    | BlockReopened
    | BlockCopied
    | BlocksRemoved
    | BlocksMoved
    | ReplicationChanged
)
