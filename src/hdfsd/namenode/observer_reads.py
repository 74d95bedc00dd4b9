"""Driver. Coordinated reads of an observer: each is answered when we have what its caller has seen.

A caller's state id is the last transaction that any NameNode told it of; ours is the last that we
have applied (wire facts: rpc-framing.md section 7; Hadoop's GlobalStateIdContext and the requeueing
of calls in its Server).
"""

from __future__ import annotations

import asyncio
from heapq import heapify, heappop, heappush

from hdfsd.base.errors import RetriableError, StandbyError
from hdfsd.base.ids import TxId

PATIENCE_MS = 20_000
"""Twice ipc.client.connection.maxidletime: so long a caller is thought to wait."""
TXNS_PER_S = 10_000
"""What Hadoop expects an observer to catch up in a second."""
SERVER_SHARE = 0.8
"""Of the caller's patience, the rest is for the way to and fro."""
BEHIND_TXNS_MAX = int(SERVER_SHARE * TXNS_PER_S * PATIENCE_MS / 1000)


def txns_to_wait_for(state_id: int | None, applied_txid: int) -> int:
    """How many transactions a caller is ahead of us; 0: answer at once.

    Raises StandbyError for a caller that knows of no state ids (its provider is none for
    observers), RetriableError for one that is too far ahead.
    """
    if state_id is None:
        raise StandbyError(
            "Observer Node received request without stateId. This mostly likely is because client"
            " is not configured with ObserverReadProxyProvider"
        )
    ahead = state_id - applied_txid
    if ahead > BEHIND_TXNS_MAX:
        raise _too_far_behind(state_id, applied_txid)
    return max(ahead, 0)


def _too_far_behind(state_id: int, applied_txid: int) -> RetriableError:
    return RetriableError(
        f"Observer Node is too far behind: serverStateId = {applied_txid}"
        f" clientStateId = {state_id}"
    )


class ObserverReads:
    """Reads that wait for transactions, in the order of their state ids."""

    def __init__(self) -> None:
        self.applied_txid = TxId(0)
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def admit(self, state_id: int | None, applied_txid: TxId) -> asyncio.Future[None] | None:
        """None: answer it now; else what to wait for, which may fail as `txns_to_wait_for` does."""
        if not txns_to_wait_for(state_id, applied_txid):
            return None
        assert state_id is not None
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self.applied_txid = applied_txid
        self._count += 1
        heappush(self._waiting, (state_id, self._count, future))
        timer = loop.call_later(PATIENCE_MS / 1000, self._give_up, state_id, future)
        future.add_done_callback(lambda _: timer.cancel())
        return future

    def reached(self, applied_txid: TxId) -> None:
        """Everything up to there is applied: lets go who waited for it."""
        self.applied_txid = applied_txid
        while self._waiting and self._waiting[0][0] <= applied_txid:
            future = heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    def dismiss(self, error: StandbyError) -> None:
        """We are no observer any more."""
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(error)

    def _give_up(self, state_id: int, future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_exception(_too_far_behind(state_id, self.applied_txid))
        # What it waited for may never come: nothing may stay of who has left.
        self._waiting = [waiting for waiting in self._waiting if not waiting[2].done()]
        heapify(self._waiting)
