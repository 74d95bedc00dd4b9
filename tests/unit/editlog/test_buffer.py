"""The double buffer: what is taken is whole, in order, and never touched again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import InvariantBroken
from hdfsd.editlog.buffer import Batch, EditsDoubleBuffer


def test_a_batch_holds_everything_since_the_last_one() -> None:
    buffer = EditsDoubleBuffer()
    buffer.append(b"one", 7)
    buffer.append(b"three", 8)
    assert (len(buffer), buffer.byte_count) == (2, 8)
    assert buffer.take() == Batch(7, 8, 2, b"onethree")
    assert (len(buffer), buffer.byte_count) == (0, 0)
    buffer.append(b"x", 9)
    assert buffer.take() == Batch(9, 9, 1, b"x")


def test_txids_must_follow_one_another() -> None:
    buffer = EditsDoubleBuffer()
    buffer.append(b"x", 7)
    for txid in 6, 7, 9:
        with pytest.raises(InvariantBroken, match=f"txid {txid} after 7"):
            buffer.append(b"y", txid)


def test_nothing_can_be_taken_from_an_empty_buffer() -> None:
    with pytest.raises(InvariantBroken):
        EditsDoubleBuffer().take()


@given(st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=4)), max_size=40))
@settings(derandomize=True, deadline=None, max_examples=100)
def test_taken_batches_joined_are_what_was_appended(steps: list[bytes | None]) -> None:
    """None stands for a flush."""
    buffer, txid, taken = EditsDoubleBuffer(), 100, list[Batch]()
    for frame in steps:
        if frame is not None:
            buffer.append(frame, txid)
            txid += 1
        elif len(buffer):
            taken.append(buffer.take())
    if len(buffer):
        taken.append(buffer.take())
    assert b"".join(b.data for b in taken) == b"".join(s for s in steps if s is not None)
    expected = 100
    for batch in taken:
        assert batch.first_txid == expected
        assert batch.last_txid == expected + batch.count - 1
        expected += batch.count
    assert expected == txid
