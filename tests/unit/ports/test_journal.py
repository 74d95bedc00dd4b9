"""Values of the journal's port."""

from __future__ import annotations

from hdfsd.base.ids import TxId
from hdfsd.ports.journal import EditsChunk


def test_the_last_txid_of_a_chunk() -> None:
    assert EditsChunk(TxId(5), 3, b"...", -67).last_txid == 7
    assert EditsChunk(TxId(5), 0, b"", -67).last_txid == 4
