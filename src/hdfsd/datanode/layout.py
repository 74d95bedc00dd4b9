"""Data. Names of files and directories of a DataNode volume, and what they mean.

Source: data-transfer.md section 9 (layout -57).
"""

from __future__ import annotations

import re

from hdfsd.base.ids import BlockId, GenStamp

CURRENT = "current"
VERSION = "VERSION"
FINALIZED = "finalized"
RBW = "rbw"
TMP = "tmp"
_BLOCK = re.compile(r"blk_(-?\d+)")
_META = re.compile(r"blk_(-?\d+)_(\d+)\.meta")


def block_name(block_id: BlockId) -> str:
    return f"blk_{block_id}"


def meta_name(block_id: BlockId, gen_stamp: GenStamp) -> str:
    return f"blk_{block_id}_{gen_stamp}.meta"


def parse_block_name(name: str) -> BlockId | None:
    """The block whose data file this is, or None."""
    match = _BLOCK.fullmatch(name)
    return BlockId(int(match[1])) if match else None


def parse_meta_name(name: str) -> tuple[BlockId, GenStamp] | None:
    """The block whose checksums this file holds, or None."""
    match = _META.fullmatch(name)
    return (BlockId(int(match[1])), GenStamp(int(match[2]))) if match else None


def subdirs(block_id: BlockId) -> str:
    """`subdirD1/subdirD2` below finalized: 32 x 32 of them."""
    return f"subdir{(block_id >> 16) & 0x1F}/subdir{(block_id >> 8) & 0x1F}"
