from __future__ import annotations

import pytest

from hdfsd.base.ids import BlockId, GenStamp
from hdfsd.datanode import layout


def test_names_of_a_replica() -> None:
    block = BlockId(1073741825)
    assert layout.block_name(block) == "blk_1073741825"
    assert layout.meta_name(block, GenStamp(1001)) == "blk_1073741825_1001.meta"
    assert layout.parse_block_name("blk_1073741825") == block
    assert layout.parse_meta_name("blk_1073741825_1001.meta") == (block, 1001)


def test_striped_blocks_have_negative_ids() -> None:
    block = BlockId(-9223372036854775792)
    assert layout.parse_block_name(layout.block_name(block)) == block
    assert layout.parse_meta_name(layout.meta_name(block, GenStamp(1))) == (block, 1)


@pytest.mark.parametrize(
    "name",
    ["", "blk_", "blk_1.tmp", "blk_1_2", "blk_1_2.meta.0", "xblk_1", "blk_1_-2.meta", "VERSION"],
)
def test_other_names_are_no_replicas(name: str) -> None:
    assert layout.parse_block_name(name) is None
    assert layout.parse_meta_name(name) is None


@pytest.mark.parametrize(
    ("block_id", "expected"),
    [
        (1073741825, "subdir0/subdir0"),
        (1073741825 + 256, "subdir0/subdir1"),
        (1073741825 + 65536, "subdir1/subdir0"),
        (1073741824 + 31 * 65536 + 31 * 256, "subdir31/subdir31"),
        (1073741824 + 32 * 65536, "subdir0/subdir0"),
    ],
)
def test_subdirectories(block_id: int, expected: str) -> None:
    assert layout.subdirs(BlockId(block_id)) == expected
