"""Core. A set of block rows as bits: 125 kB per storage and million blocks (D12)."""

from __future__ import annotations

import re
from collections.abc import Iterator

_OCCUPIED = re.compile(rb"[^\x00]+")


class RowSet:
    """Row numbers from 0; grows with the highest row added."""

    __slots__ = ("_bits", "count")

    def __init__(self) -> None:
        self._bits = bytearray()
        self.count = 0

    def __contains__(self, row: int) -> bool:
        byte = row >> 3
        return byte < len(self._bits) and bool(self._bits[byte] & (1 << (row & 7)))

    def add(self, row: int) -> bool:
        """False when it was there."""
        byte, mask = row >> 3, 1 << (row & 7)
        if byte >= len(self._bits):
            self._bits.extend(bytes(byte + 1 - len(self._bits) + (len(self._bits) >> 3)))
        if self._bits[byte] & mask:
            return False
        self._bits[byte] |= mask
        self.count += 1
        return True

    def discard(self, row: int) -> bool:
        """False when it was not there."""
        byte, mask = row >> 3, 1 << (row & 7)
        if byte >= len(self._bits) or not self._bits[byte] & mask:
            return False
        self._bits[byte] ^= mask
        self.count -= 1
        return True

    def copy(self) -> RowSet:
        twin = RowSet()
        twin._bits = bytearray(self._bits)
        twin.count = self.count
        return twin

    def minus(self, other: RowSet) -> RowSet:
        """The rows of this set that are not in the other."""
        size = len(self._bits)
        mine = int.from_bytes(self._bits, "little")
        theirs = int.from_bytes(other._bits[:size], "little")
        left = mine & ~theirs
        result = RowSet()
        result._bits = bytearray(left.to_bytes(size, "little"))
        result.count = left.bit_count()
        return result

    def __iter__(self) -> Iterator[int]:
        """Rows in order. The set may change meanwhile: rows already passed are not seen again."""
        frozen = bytes(self._bits)
        for run in _OCCUPIED.finditer(frozen):
            for byte in range(run.start(), run.end()):
                bits, base = frozen[byte], byte << 3
                while bits:
                    lowest = bits & -bits
                    yield base + lowest.bit_length() - 1
                    bits ^= lowest
