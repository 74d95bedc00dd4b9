from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import IOFault
from hdfsd.blocks.reports import decode_buffers, decode_longs, replicas_of
from hdfsd.wire.messages import datanode, hdfs

REPLICA = st.tuples(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, (1 << 48) - 1),
    st.integers(0, (1 << 63) - 1),
    st.integers(0, 4),
)
MINUS_ONE = (1 << 64) - 1


def report(**fields):
    return datanode.StorageBlockReportProto(
        storage=hdfs.DatanodeStorageProto(storageUuid="DS-1"), **fields
    )


def longs_of(finalized, others):
    longs = [len(finalized), len(others)]
    for replica in finalized:
        longs += replica[:3]
    longs += [-1, -1, -1]
    for replica in others:
        longs += replica
    return [value & MINUS_ONE for value in longs]


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(REPLICA, max_size=6), st.integers(1, 20))
def test_buffers_cut_anywhere_decode_to_what_was_encoded(worlds, replicas, cut):
    data = worlds.encode_replicas(replicas)
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    proto = report(numberOfBlocks=len(replicas), blocksBuffers=pieces)
    assert list(replicas_of(proto)) == replicas


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(REPLICA, max_size=6))
def test_longs_decode_to_what_was_encoded(replicas):
    finalized = [r for r in replicas if r[3] == 0]
    others = [r for r in replicas if r[3] != 0]
    proto = report(blocks=longs_of(finalized, others))
    assert list(replicas_of(proto)) == finalized + others


def test_a_report_without_either_form_is_empty():
    assert list(replicas_of(report())) == []
    assert list(replicas_of(report(numberOfBlocks=0))) == []


def test_buffers_cut_short_name_the_place(worlds):
    replicas = [(worlds.FIRST, 100, 1001, 0), (worlds.FIRST + 1, 70000, 1002, 1)]
    data = worlds.encode_replicas(replicas)
    first = len(worlds.encode_replicas(replicas[:1]))
    for end in range(len(data)):
        with pytest.raises(IOFault, match="DS-1") as caught:
            list(decode_buffers(data[:end], 2, "DS-1"))
        start = first if end >= first else 0
        assert f"offset {start}" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"\xff" * 30, 1),
        (b"\x02\x02\x02\x07", 1),
        (b"\x02\x02\x02\x00", 2),
        (b"\x02\x02\x02\x00", 0),
        (b"\x02\x02" + b"\xff" * 9 + b"\x7f" + b"\x00", 1),
    ],
    ids=["endless varint", "unknown state", "too few", "too many", "stamp over 64 bits"],
)
def test_buffers_that_make_no_sense_are_refused(data, count):
    with pytest.raises(IOFault):
        list(decode_buffers(data, count, "here"))


@pytest.mark.parametrize(
    ("longs", "where"),
    [
        ([1], "long 0"),
        ([1, 0], "long 0"),
        ([1 << 63, 0, MINUS_ONE, MINUS_ONE, MINUS_ONE], "long 0"),
        ([0, 0, MINUS_ONE, MINUS_ONE, 0], "long 2"),
        ([0, 1, MINUS_ONE, MINUS_ONE, MINUS_ONE, 5, 5, 5, 9], "long 8"),
    ],
    ids=["no counts", "cut short", "absurd count", "no separator", "unknown state"],
)
def test_longs_that_make_no_sense_are_refused(longs, where):
    with pytest.raises(IOFault, match=where):
        list(decode_longs(longs, "here"))
