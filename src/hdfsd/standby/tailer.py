"""Driver. Follows the journal: reads durable transactions and has them applied (decision D6)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hdfsd.base.errors import LinkError, QuorumLost, RemoteFault
from hdfsd.base.ids import TxId
from hdfsd.base.settings import TailSettings
from hdfsd.ports.clock import Clock
from hdfsd.ports.journal import JournalReader
from hdfsd.standby.replay import Apply, replay

log = logging.getLogger(__name__)


class Tailer:
    """`applied_txid` says where the namespace stands; `apply` moves it on."""

    def __init__(
        self,
        *,
        reader: JournalReader,
        apply: Apply,
        applied_txid: Callable[[], TxId],
        clock: Clock,
        settings: TailSettings,
        on_caught_up: Callable[[], None],
    ) -> None:
        """`on_caught_up` is called whenever the journal has nothing more."""
        self._reader = reader
        self._apply = apply
        self._applied_txid = applied_txid
        self._clock = clock
        self._settings = settings
        self._on_caught_up = on_caught_up
        self.last_contact_ms = 0
        """When the journal was last read with success, by the monotonic clock; 0: never."""

    async def run(self) -> None:
        """Catches up every period until cancelled; a journal that can't be read is asked again.

        Raises CorruptData or InvariantBroken when what was read does not fit what we have.
        """
        pause_ms = self._settings.period_ms
        while True:
            try:
                applied = await self.catch_up(to_the_last=False)
            except (QuorumLost, LinkError, RemoteFault) as error:
                log.warning("cannot read the journal: %s", error)
                applied = 0
            pause_ms = self._next_pause(pause_ms, applied)
            await asyncio.sleep(pause_ms / 1000)

    def _next_pause(self, pause_ms: int, applied: int) -> int:
        # dfs.ha.tail-edits.period.backoff-max: an idle journal is asked less and less often.
        if applied or self._settings.backoff_max_ms <= 0:
            return self._settings.period_ms
        return min(max(pause_ms, 1) * 2, self._settings.backoff_max_ms)

    async def catch_up(self, *, to_the_last: bool = True) -> int:
        """Applies all that is durable now; returns how many transactions that was.

        `to_the_last`: asks until there is nothing more. Else it is enough that there was nothing
        more a moment ago: under a steady stream of edits there is always something more, and
        asking for a few at a time costs the journals more than their writer does.
        """
        total = 0
        while True:
            next_txid = TxId(self._applied_txid() + 1)
            chunk = await self._reader.edits(next_txid, self._settings.txns_per_call_max)
            self.last_contact_ms = self._clock.now_ms()
            if not chunk.count:
                self._on_caught_up()
                return total
            where = f"the journal's transactions from {chunk.first_txid}"
            for _ in replay(
                chunk.data,
                chunk.layout_version,
                next_txid=next_txid,
                where=where,
                apply=self._apply,
            ):
                await asyncio.sleep(0)
            total += self._applied_txid() + 1 - next_txid
            if chunk.is_end and not to_the_last:
                self._on_caught_up()
                return total
