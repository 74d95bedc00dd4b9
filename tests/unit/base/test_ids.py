"""Addresses, storage identities, blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.ids import Address, Block, BlockId, GenStamp, StorageInfo

ADDRESSES = [
    ("h:1", None, Address("h", 1)),
    (" h:65535 ", None, Address("h", 65535)),
    ("h", 8020, Address("h", 8020)),
    ("h:", 8020, Address("h", 8020)),
    ("[::1]:5", None, Address("::1", 5)),
    ("[::1]", 7, Address("::1", 7)),
    ("::1", 7, Address("::1", 7)),
]


@pytest.mark.parametrize(("text", "port", "expected"), ADDRESSES)
def test_addresses(text: str, port: int | None, expected: Address) -> None:
    assert Address.parse(text, port) == expected


@pytest.mark.parametrize("text", ["", "h", "h:x", "h:-1", "h:65536", ":80", "::1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        Address.parse(text)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_an_address_reads_what_it_writes(host: object, port: int) -> None:
    address = Address(str(host), port)
    assert Address.parse(str(address)) == address


def test_storage_info_travels_as_text() -> None:
    info = StorageInfo(-67, 12, 0, "CID-a:b")
    assert info.colon_form() == "-67:12:0:CID-a:b"
    assert StorageInfo.parse_colon_form(info.colon_form()) == info


@pytest.mark.parametrize("text", ["", "1:2:3", "a:2:3:c"])
def test_what_is_no_storage_info(text: str) -> None:
    with pytest.raises(ValueError):
        StorageInfo.parse_colon_form(text)


def test_blocks_have_names() -> None:
    block = Block(BlockId(5), 7, GenStamp(9))
    assert (block.name, str(block)) == ("blk_5", "blk_5_9")
