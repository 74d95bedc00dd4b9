from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.config import Configuration
from hdfsd.base.errors import ConfigError, CorruptData
from hdfsd.base.nameservices import NameNodeAddresses, namenodes
from hdfsd.failover.target import decode, describe, encode, resolve

RECORDED = bytes.fromhex("0a03 6e7331 1203 6e6e31 1a09 6c6f63616c686f7374 20 e3c902 28 f7c902")
"""Of a Hadoop 3.4.1 controller (wire fact: ha-zk.md section 1)."""


@pytest.fixture
def known(configuration_of: Callable[..., Configuration]) -> tuple[NameNodeAddresses, ...]:
    changes = {
        "dfs__namenode__rpc-address__ns1__nn1": "127.0.0.1:42211",
        "dfs__ha__zkfc__port__ns1__nn1": "42231",
    }
    conf = configuration_of(2).with_overrides(
        {key.replace("__", "."): value for key, value in changes.items()}
    )
    return namenodes(conf, "ns1")


def test_the_bytes_are_hadoops(known: tuple[NameNodeAddresses, ...]) -> None:
    assert encode(known[0], "localhost") == RECORDED
    assert resolve(RECORDED, known, "the lock") == known[0]


@pytest.mark.parametrize("length", range(len(RECORDED)))
def test_cut_at_every_byte(length: int) -> None:
    with pytest.raises(CorruptData, match="the lock"):
        decode(RECORDED[:length], "the lock")


@given(st.binary(max_size=40))
def test_any_bytes_are_a_node_or_an_error(data: bytes) -> None:
    with suppress(CorruptData):
        assert decode(data, "the lock").IsInitialized()


def test_a_node_that_the_configuration_does_not_know(known: tuple[NameNodeAddresses, ...]) -> None:
    with pytest.raises(ConfigError, match=r"nn1 of ns1 at localhost:42211.*does not have"):
        resolve(RECORDED, known[1:], "the lock")


def test_a_node_on_another_port(known: tuple[NameNodeAddresses, ...]) -> None:
    other = encode(known[0], "localhost").replace(b"\xe3\xc9\x02", b"\xe4\xc9\x02")
    with pytest.raises(ConfigError, match=r"localhost:42212.*127.0.0.1:42211"):
        resolve(other, known, "the lock")


def test_described_as_hadoop_does(known: tuple[NameNodeAddresses, ...]) -> None:
    assert describe(known[0]) == "NameNode at 127.0.0.1:42211"
