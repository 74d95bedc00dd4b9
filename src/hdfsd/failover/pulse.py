"""Driver. Listens to the heartbeat of the local NameNode, and knows whether it is frozen."""

from __future__ import annotations

import asyncio
import logging

from hdfsd.base.errors import HdfsdError
from hdfsd.base.ids import Address
from hdfsd.failover.heartbeat import TICK_MS, Pulse
from hdfsd.ports.clock import Clock
from hdfsd.ports.heartbeat import HeartbeatLink, Heartbeats

log = logging.getLogger(__name__)

RETRY_MS = 1000


class PulseWatch:
    """`frozen` says why the NameNode is; None when it is not, or when nothing is known."""

    def __init__(
        self, heartbeats: Heartbeats, address: Address, clock: Clock, *, limit_ms: int
    ) -> None:
        self._heartbeats = heartbeats
        self._address = address
        self._clock = clock
        self._limit_ms = limit_ms
        self.frozen: str | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Listens until cancelled; one that gives no heartbeat is asked again and again."""
        told = False
        while True:
            try:
                link = await self._heartbeats.connect(self._address)
            except HdfsdError as error:
                if not told:
                    log.info("no heartbeat beside health checks: %s", error)
                told = True
            else:
                told = False
                log.info("listening to the heartbeat of %s", self._address)
                await self._listen(link)
            await asyncio.sleep(RETRY_MS / 1000)

    async def until_frozen(self) -> str:
        """Returns why, when it is."""
        while self.frozen is None:
            await self._changed.wait()
        return self.frozen

    async def _listen(self, link: HeartbeatLink) -> None:
        pulse = Pulse(self._limit_ms, self._clock.now_ms())
        reading = asyncio.ensure_future(self._read(link, pulse))
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=TICK_MS / 1000)
                evidence = link.evidence() if pulse.needs_evidence else None
                self._found(pulse.tick(self._clock.now_ms(), evidence))
            reading.result()
        except HdfsdError as error:
            log.warning("the heartbeat of %s ended: %s", self._address, error)
        finally:
            reading.cancel()
            link.close()
            self._found(None)

    async def _read(self, link: HeartbeatLink, pulse: Pulse) -> None:
        while (beat := await link.next()) is not None:
            pulse.beat(beat)

    def _found(self, frozen: str | None) -> None:
        if frozen is not None and self.frozen is None:
            log.warning("the NameNode at %s is frozen: %s", self._address, frozen)
            self._changed.set()
        elif frozen is None and self.frozen is not None:
            log.info("the NameNode at %s is frozen no longer", self._address)
            self._changed.clear()
        self.frozen = frozen
