"""Driver. Looks after the local NameNode over one open connection (D8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

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

log = logging.getLogger(__name__)


class HealthMonitor:
    """Calls `on_health` at every change of health, `on_status` at every answered check."""

    def __init__(
        self,
        new_service: Callable[[], HaService],
        settings: HealthSettings,
        *,
        on_health: Callable[[HealthState, str], None],
        on_status: Callable[[ServiceStatus], None],
    ) -> None:
        """`new_service` makes a client that is not connected yet: one for each connection."""
        self._new_service = new_service
        self._deadline_ms = settings.rpc_timeout_ms
        self._on_health = on_health
        self._on_status = on_status
        self._health = Health(settings)

    async def run(self) -> None:
        """Watches until cancelled."""
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
            if step.following is Next.CHECK and await self._lost_within(service, step.pause_ms):
                step = self._observed(Observation.LINK_LOST, "")
            if step.following is Next.CONNECT:
                return step.pause_ms

    def _observed(self, observation: Observation, detail: str) -> Step:
        step = self._health.step(observation, detail)
        if step.entered is not None:
            self._on_health(step.entered, step.reason)
        return step

    async def _look(self, service: HaService) -> tuple[Observation, str]:
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

    async def _lost_within(self, service: HaService, pause_ms: int) -> bool:
        """Waits for the next check; True at once when the connection ends before."""
        try:
            async with asyncio.timeout(pause_ms / 1000):
                await service.lost()
        except TimeoutError:
            return False
        return True
