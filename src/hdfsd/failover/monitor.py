"""Driver. Looks after the local NameNode over one open connection (D8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from hdfsd.base.errors import (
    ConnectFailed,
    DeadlineExceeded,
    HdfsdError,
    HealthCheckFailed,
    OutcomeUnknown,
)
from hdfsd.base.settings import HealthSettings
from hdfsd.failover.calls import HaService, ServiceStatus
from hdfsd.failover.health import Health, HealthState, Next, Observation, Step
from hdfsd.failover.pulse import PulseWatch

log = logging.getLogger(__name__)

Seen = tuple[Observation, str]


class HealthMonitor:
    """Calls `on_health` at every change of health, `on_status` at every answered check."""

    def __init__(
        self,
        new_service: Callable[[], HaService],
        settings: HealthSettings,
        *,
        on_health: Callable[[HealthState, str], None],
        on_status: Callable[[ServiceStatus], None],
        pulse: PulseWatch | None = None,
    ) -> None:
        """`new_service` makes a client that is not connected yet: one for each connection.
        `pulse`: finds a freeze before an answer is missing for long."""
        self._pulse = pulse
        self._new_service = new_service
        self._deadline_ms = settings.rpc_timeout_ms
        self._on_health = on_health
        self._on_status = on_status
        self._health = Health(settings)

    @property
    def is_mute(self) -> bool:
        """Whether the NameNode is alive and does not answer, as far as the last look shows."""
        return self._health.is_mute

    async def run(self) -> None:
        """Watches until cancelled."""
        if self._pulse is None:
            await self._look_again_and_again()
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pulse.run())
            tasks.create_task(self._look_again_and_again())

    async def _look_again_and_again(self) -> None:
        while True:
            service = self._new_service()
            try:
                pause_ms = await self._watch(service)
            finally:
                await service.close()
            await asyncio.sleep(pause_ms / 1000)

    async def _watch(self, service: HaService) -> int:
        """Looks again and again over one connection; how long to wait before the next one."""
        while True:
            step = self._observed(*await self._look(service))
            if step.following is Next.CHECK:
                disturbed = await self._disturbed_within(service, step.pause_ms)
                if disturbed is not None:
                    step = self._observed(*disturbed)
            if step.following is Next.CONNECT:
                return step.pause_ms

    def _observed(self, observation: Observation, detail: str) -> Step:
        step = self._health.step(observation, detail)
        if step.entered is not None:
            self._on_health(step.entered, step.reason)
        return step

    async def _look(self, service: HaService) -> Seen:
        """What a check shows, or before its answer the heartbeat."""
        if self._pulse is None:
            return await self._check(service)
        return await _first(self._frozen(self._pulse), self._check(service))

    async def _frozen(self, pulse: PulseWatch) -> Seen:
        return Observation.FROZEN, await pulse.until_frozen()

    async def _check(self, service: HaService) -> Seen:
        try:
            self._on_status(await service.status(deadline_ms=self._deadline_ms))
            await service.monitor_health(deadline_ms=self._deadline_ms)
        except HealthCheckFailed as error:
            return Observation.UNHEALTHY, error.message
        except ConnectFailed as error:
            return Observation.NOT_CONNECTED, str(error)
        except DeadlineExceeded as error:
            return Observation.NO_ANSWER, str(error)
        except OutcomeUnknown as error:
            return Observation.LINK_LOST, str(error)
        except HdfsdError as error:
            return Observation.REFUSED, str(error)
        return Observation.HEALTHY, ""

    async def _disturbed_within(self, service: HaService, pause_ms: int) -> Seen | None:
        """Waits for the next check; at once what happens before, if anything does."""
        try:
            async with asyncio.timeout(pause_ms / 1000):
                if self._pulse is None:
                    return await self._lost(service)
                return await _first(self._frozen(self._pulse), self._lost(service))
        except TimeoutError:
            return None

    async def _lost(self, service: HaService) -> Seen:
        await service.lost()
        return Observation.LINK_LOST, ""


async def _first(*ways: Coroutine[Any, Any, Seen]) -> Seen:
    """What is seen first; the rest is given up. The earlier one counts when there are two."""
    looks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
        return next(look for look in looks if look.done()).result()
    finally:
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
