"""Core. An edit log read op by op, and written as XML, statistics or a segment (hadoop oev).

Reading looks at one op after the other, as Hadoop's viewer does: gaps between txids are shown, not
refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import TxId
from hdfsd.editlog import segment, xml
from hdfsd.editlog.codec import at_clean_end, decode_frame, encode
from hdfsd.editlog.ops import OP_CLASSES, OPCODE_INVALID, OPCODES_OBSOLETE, EditOp

_NAMES = {kind.OPCODE: kind.NAME for kind in OP_CLASSES} | OPCODES_OBSOLETE
_NAME_CHARS_MAX = 30


# -- reading a segment -----------------------------------------------------------------------


def binary_ops(
    data: bytes, layout_version: int, offset: int, where: str
) -> Iterator[tuple[EditOp, TxId]]:
    """The ops from `offset` to the clean end. Raises CorruptData at the first damage."""
    while not at_clean_end(data, offset):
        op, txid, offset = decode_frame(data, offset, layout_version, where)
        yield op, txid


def recovered_ops(
    data: bytes, layout_version: int, offset: int, where: str
) -> Iterator[tuple[EditOp, TxId] | CorruptData]:
    """The good ops, and for each stretch of damage what is wrong with it (`oev --recover`).

    Behind damage every byte may be where the next op begins, as in FSEditLogOp.Reader.
    """
    damaged = False
    while not at_clean_end(data, offset):
        try:
            op, txid, offset = decode_frame(data, offset, layout_version, where)
        except CorruptData as error:
            if not damaged:
                yield error
            damaged = True
            offset = _next_candidate(data, offset)
            continue
        damaged = False
        yield op, txid


def _next_candidate(data: bytes, offset: int) -> int:
    """The next byte that may begin an op or the padding to the end."""
    after = offset + 1
    if data[offset] != OPCODE_INVALID:
        return after
    # A run of terminators that is no clean end here is none at its next byte either.
    while after < len(data) and data[after] == OPCODE_INVALID:
        after += 1
    return after


class Renumbering:
    """Gives txids without gaps from the first one on, which is at least 1 (`oev --fix-txids`)."""

    def __init__(self) -> None:
        self._next: int | None = None

    def txid(self, txid: int) -> TxId:
        if self._next is None:
            self._next = max(txid, 1)
        number = TxId(self._next)
        self._next += 1
        return number


# -- writing ---------------------------------------------------------------------------------


class View(Protocol):
    """A form of the whole log, in pieces."""

    def start(self, layout_version: int) -> bytes: ...

    def op(self, op: EditOp, txid: TxId) -> bytes: ...

    def close(self, error: str | None) -> bytes:
        """The last piece; `error` says why the log ends before its end."""
        ...


class XmlView:
    def start(self, layout_version: int) -> bytes:
        return xml.document_start(layout_version).encode()

    def op(self, op: EditOp, txid: TxId) -> bytes:
        return xml.document_record(op, txid).encode()

    def close(self, error: str | None) -> bytes:
        return xml.document_end(error).encode()


class StatisticsView:
    """How often each opcode occurs."""

    def __init__(self) -> None:
        self._layout_version = -1
        self._counts: Counter[int] = Counter()

    def start(self, layout_version: int) -> bytes:
        self._layout_version = layout_version
        return b""

    def op(self, op: EditOp, txid: TxId) -> bytes:
        self._counts[op.OPCODE] += 1
        return b""

    def close(self, error: str | None) -> bytes:
        lines = [f"    {'VERSION':<30}      : {self._layout_version}"]
        lines += [
            _count_line(name, code, self._counts[code]) for code, name in sorted(_NAMES.items())
        ]
        lines.append(_count_line("OP_INVALID", -1, 0))
        if error is not None:
            lines.append(f"EXITING ON ERROR: {error}")
        return "".join(f"{line}\n" for line in lines).encode()


def _count_line(name: str, code: int, count: int) -> str:
    return f"    {name[:_NAME_CHARS_MAX]:<{_NAME_CHARS_MAX}} ({code:3d}): {count}"


class BinaryView:
    """A segment in the current layout, without padding; it begins before the input's version."""

    def start(self, layout_version: int) -> bytes:
        return segment.header()

    def op(self, op: EditOp, txid: TxId) -> bytes:
        return encode(op, txid)

    def close(self, error: str | None) -> bytes:
        return b""
