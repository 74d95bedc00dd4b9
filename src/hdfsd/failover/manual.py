"""Driver. A failover that an operator does without controllers (Hadoop's FailoverController).

Checks the node to become active, makes the other standby (asks it, else fences), then makes the
node active; if that fails and the other was not fenced, back again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from hdfsd.base.errors import HdfsdError, HealthCheckFailed
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.failover.calls import Links, RequestSource
from hdfsd.failover.fence_methods import Subject
from hdfsd.failover.fencing import Fencer, FencingFailed
from hdfsd.failover.policy import ServiceState
from hdfsd.failover.target import describe

log = logging.getLogger(__name__)


class FailoverFailed(HdfsdError):
    """The failover was not done, or only in part; says how far it came."""


class ManualFailover:
    def __init__(
        self,
        links: Links,
        fencer: Fencer,
        source: RequestSource,
        *,
        new_active_timeout_ms: int,
        name: Callable[[NameNodeAddresses], str] = describe,
    ) -> None:
        """`name`: what a NameNode is called in what is said."""
        self._name = name
        self._links = links
        self._fencer = fencer
        self._source = source
        self._timeout_ms = new_active_timeout_ms

    async def failover(
        self,
        old: NameNodeAddresses,
        new: NameNodeAddresses,
        *,
        force_fence: bool,
        force_active: bool,
    ) -> None:
        """Raises FailoverFailed."""
        await self._check(old, new, force_active=force_active)
        refusal = await self._fencer.try_graceful(old)
        fence = force_fence or refusal is not None
        if fence:
            try:
                await self._fencer.force((new, Subject.TARGET), (old, Subject.SOURCE))
            except FencingFailed as error:
                raise FailoverFailed(
                    f"Unable to fence {self._name(old)}. Fencing failed."
                ) from error
        try:
            await self._make_active(new)
        except HdfsdError as error:
            log.error("unable to make %s active: %s", self._name(new), error)
            raise await self._failed(old, new, fenced=fence) from error

    async def _check(
        self, old: NameNodeAddresses, new: NameNodeAddresses, *, force_active: bool
    ) -> None:
        if old.for_servers == new.for_servers:
            raise FailoverFailed("Can't failover a service to itself")
        service = self._links.ha_service(new.for_servers)
        try:
            try:
                status = await service.status(deadline_ms=self._timeout_ms)
            except HdfsdError as error:
                raise FailoverFailed(
                    f"Unable to get service state for {self._name(new)}"
                ) from error
            if status.state is not ServiceState.STANDBY:
                state = status.state.name.lower()
                raise FailoverFailed(f"Can't failover to an {state} service")
            if not status.ready and not force_active:
                raise FailoverFailed(
                    f"{self._name(new)} is not ready to become active: {status.not_ready_reason}"
                )
            try:
                await service.monitor_health(deadline_ms=self._timeout_ms)
            except HealthCheckFailed as error:
                raise FailoverFailed("Can't failover to an unhealthy service") from error
            except HdfsdError as error:
                raise FailoverFailed("Got an IO exception") from error
        finally:
            await service.close()

    async def _make_active(self, namenode: NameNodeAddresses) -> None:
        service = self._links.ha_service(namenode.for_servers)
        try:
            await service.transition(
                ServiceState.ACTIVE, self._source, deadline_ms=self._timeout_ms
            )
        finally:
            await service.close()

    async def _failed(
        self, old: NameNodeAddresses, new: NameNodeAddresses, *, fenced: bool
    ) -> FailoverFailed:
        """What to say; goes back first, unless the old active was fenced."""
        message = f"Unable to failover to {self._name(new)}"
        if not fenced:
            try:
                # The new one is fenced by force: it may still be on its way to become active.
                await self.failover(new, old, force_fence=True, force_active=True)
            except FailoverFailed as error:
                message += f". Failback to {self._name(old)} failed ({error})"
        return FailoverFailed(message)
