"""Core. Answers to at-most-once calls, so that a client's retry is not executed twice. Holds P4.

Key is (client id, call id) (Hadoop's RetryCache; wire fact rpc-framing.md section 6). An entry is
made when the call's transaction is logged, or when a standby replays it from the journal; in that
case only the kind of answer is known, and the answer is made from the namespace when asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from hdfsd.base.ids import TxId

CLIENT_ID_BYTES = 16
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """`answer` is None for an entry that was rebuilt from the journal."""

    txid: TxId
    answer: T | None
    expires_ms: int


class RetryCache(Generic[T]):
    """Entries in the order of their making, so that expiry looks at the oldest only."""

    def __init__(self, *, life_ms: int, entries_max: int) -> None:
        self._life_ms = life_ms
        self._entries_max = entries_max
        self._entries: OrderedDict[tuple[bytes, int], Entry[T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, client_id: bytes, call_id: int, now_ms: int) -> Entry[T] | None:
        """The entry of an earlier try, unless it expired."""
        entry = self._entries.get((client_id, call_id))
        if entry is None or entry.expires_ms <= now_ms:
            return None
        return entry

    def add(
        self, client_id: bytes, call_id: int, txid: TxId, answer: T | None, now_ms: int
    ) -> None:
        """Remembers a logged call; ids that no client sends (empty, negative) are passed over."""
        if len(client_id) != CLIENT_ID_BYTES or call_id < 0:
            return
        self.expire(now_ms)
        key = (client_id, call_id)
        self._entries.pop(key, None)
        self._entries[key] = Entry(txid, answer, now_ms + self._life_ms)
        while len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def expire(self, now_ms: int) -> None:
        """Forgets what is older than its life."""
        while self._entries:
            key = next(iter(self._entries))
            if self._entries[key].expires_ms > now_ms:
                return
            del self._entries[key]
