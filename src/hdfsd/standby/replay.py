"""Core. Durable transactions of the journal, applied in order, a few at a time. Holds P4, P7."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import TxId
from hdfsd.editlog import codec
from hdfsd.editlog.ops import EditOp

STEP_TXNS = 500
"""Applied in one go: a few milliseconds, so that a health check in between is answered at once."""

Apply = Callable[[EditOp, TxId], None]


def replay(
    data: bytes,
    layout_version: int,
    *,
    next_txid: int,
    where: str,
    apply: Apply,
    offset: int = 0,
    last_txid: TxId | None = None,
) -> Iterator[None]:
    """Applies the ops of `data`, which begin at `offset`, from `next_txid` on, in steps.

    Transactions before `next_txid` are passed over. Raises CorruptData when the next one found is
    not the one that must follow, or when the bytes are no ops.
    """
    applied = 0
    for op, txid in codec.iter_ops(data, layout_version, offset, where, last_txid):
        if txid < next_txid:
            continue
        if txid != next_txid:
            raise CorruptData(where, None, f"transaction {next_txid} is missing before {txid}")
        apply(op, TxId(txid))
        next_txid += 1
        applied += 1
        if applied % STEP_TXNS == 0:
            yield
