"""A log read op by op, and its forms; that they equal Hadoop's is a golden and an interop test."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import TxId
from hdfsd.editlog import ops, segment
from hdfsd.editlog.codec import encode
from hdfsd.editlog.ops import EditOp
from hdfsd.editlog.views import (
    BinaryView,
    Renumbering,
    StatisticsView,
    View,
    XmlView,
    binary_ops,
    recovered_ops,
)

FRAMES = [encode(ops.DeleteOp(f"/{txid}", 1), txid) for txid in (1, 2, 5)]


def txids(found: Iterable[tuple[EditOp, TxId] | CorruptData]) -> list[int | str]:
    return [item.cause if isinstance(item, CorruptData) else item[1] for item in found]


def test_gaps_between_txids_are_shown_not_refused() -> None:
    data = b"".join(FRAMES) + b"\xff" * 100
    assert txids(binary_ops(data, -67, 0, "f")) == [1, 2, 5]


def test_damage_is_raised_behind_the_ops_before_it() -> None:
    data = FRAMES[0] + bytes(20) + FRAMES[1]
    seen = []
    with pytest.raises(CorruptData, match=f"f at offset {len(FRAMES[0])}"):
        for op in binary_ops(data, -67, 0, "f"):
            seen.append(op)
    assert txids(seen) == [1]


@pytest.mark.parametrize("garbage", [b"\0" * 9, b"\xff" * 9, b"\xff\xff\1", b"\x02\0\0\0\x10abc"])
def test_recovery_goes_on_with_the_next_good_op(garbage: bytes) -> None:
    found = txids(recovered_ops(FRAMES[0] + garbage + FRAMES[1] + b"\xff\0\xff", -67, 0, "f"))
    assert found[0] == 1
    assert isinstance(found[1], str)
    assert found[2:] == [2]


def test_recovery_of_a_flipped_bit_loses_one_op() -> None:
    data = bytearray(b"".join(FRAMES))
    data[len(FRAMES[0]) + 15] ^= 1
    found = txids(recovered_ops(bytes(data), -67, 0, "f"))
    assert [item for item in found if isinstance(item, int)] == [1, 5]


def test_recovery_of_a_torn_end() -> None:
    found = txids(recovered_ops(FRAMES[0] + FRAMES[1][:-1], -67, 0, "f"))
    assert found[0] == 1
    assert len(found) == 2


@pytest.mark.parametrize(("given", "numbered"), [((4, 9, 1), [4, 5, 6]), ((-3, 0), [1, 2])])
def test_renumbering(given: tuple[int, ...], numbered: list[int]) -> None:
    numbers = Renumbering()
    assert [numbers.txid(txid) for txid in given] == numbered


def through(view: View, error: str | None = None) -> bytes:
    return view.start(-67) + view.op(ops.DeleteOp("/a", 1), TxId(3)) + view.close(error)


def test_statistics() -> None:
    lines = through(StatisticsView()).decode().splitlines()
    assert lines[0] == "    VERSION                             : -67"
    assert "    OP_DELETE                      (  2): 1" in lines
    assert "    OP_DATANODE_ADD                (  5): 0" in lines
    assert "    OP_ENABLE_ERASURE_CODING_POLIC ( 50): 0" in lines
    assert lines[-1] == "    OP_INVALID                     ( -1): 0"
    assert through(StatisticsView(), "torn").endswith(b"\nEXITING ON ERROR: torn\n")


def test_xml() -> None:
    text = through(XmlView()).decode()
    assert text.startswith("<?xml")
    assert text.endswith("  </RECORD>\n</EDITS>\n")
    assert through(XmlView(), "a<b").endswith(b"</EDITS><ERROR>a&lt;b</ERROR>\n")


def test_binary() -> None:
    data = through(BinaryView())
    assert data == segment.header() + encode(ops.DeleteOp("/a", 1), 3)
