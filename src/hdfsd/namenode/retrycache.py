"""Core. Answers to at-most-once calls, so that a client's retry is not executed twice. Holds P4.

Key is (client id, call id) (Hadoop's RetryCache; wire fact rpc-framing.md section 6). An entry is
made when the call's transaction is logged, or when a standby replays it from the journal; in that
case only the kind of answer is known, and the answer is made from the namespace when asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, NamedTuple, TypeVar

from hdfsd.base.ids import TxId

CLIENT_ID_BYTES = 16
EXPIRY_MS = 1_000
"""How often an addition looks for entries past their life."""
T = TypeVar("T")


class Entry(NamedTuple, Generic[T]):
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
        self._looks_again_ms = 0

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
        if now_ms >= self._looks_again_ms:
            self.expire(now_ms)
        entries = self._entries
        key = (client_id, call_id)
        if key in entries:
            del entries[key]
        elif len(entries) >= self._entries_max:
            entries.popitem(last=False)
        entries[key] = Entry(txid, answer, now_ms + self._life_ms)

    def expire(self, now_ms: int) -> None:
        """Forgets what is older than its life."""
        self._looks_again_ms = now_ms + EXPIRY_MS
        while self._entries:
            key = next(iter(self._entries))
            if self._entries[key].expires_ms > now_ms:
                return
            del self._entries[key]
