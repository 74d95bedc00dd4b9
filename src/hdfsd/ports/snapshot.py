"""Data. A big file written from a frozen copy of memory, while the process goes on (D7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WrittenFile:
    size: int
    md5_hex: str


class SnapshotWriter(Protocol):
    async def write(
        self, paths: Sequence[str], chunks: Callable[[], Iterator[bytes]]
    ) -> WrittenFile:
        """Calls `chunks` on memory as it is now and writes what it yields to every path, fsynced.

        Raises HdfsdError with the cause when a path can't be written or `chunks` fails; what was
        begun is removed then, and also when the caller is cancelled.
        """
        ...
