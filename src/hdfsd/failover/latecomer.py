"""Driver. Waits until a NameNode that is not ready may take part in the election all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from hdfsd.base.errors import HdfsdError
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.failover.calls import Links, ServiceStatus
from hdfsd.failover.readiness import Other, decide
from hdfsd.failover.target import describe
from hdfsd.ports.clock import Clock

ASK_MS = 2000
"""What a NameNode may take to say whether it is active."""
FIRST_LOOK_MS, LOOK_MAX_MS = 50, 1000
"""How often is looked: less and less often."""


async def status_of(links: Links, namenode: NameNodeAddresses) -> ServiceStatus | None:
    """What a NameNode says of itself; None when it does not answer."""
    service = links.ha_service(namenode.for_servers)
    try:
        return await service.status(deadline_ms=ASK_MS)
    except HdfsdError:
        return None
    finally:
        await service.close()


class Latecomer:
    def __init__(
        self,
        links: Links,
        clock: Clock,
        namenode: NameNodeAddresses,
        peers: Sequence[NameNodeAddresses],
    ) -> None:
        self._links = links
        self._clock = clock
        self._namenode = namenode
        self._peers = peers

    async def wait(self, on_look: Callable[[str], None]) -> str:
        """Returns when it may take part, and why; `on_look` is told why not yet, at every look."""
        began_ms, pause_ms = self._clock.now_ms(), FIRST_LOOK_MS
        while True:
            own, *others = await asyncio.gather(
                *(status_of(self._links, node) for node in (self._namenode, *self._peers))
            )
            seen = [_seen(peer, found) for peer, found in zip(self._peers, others, strict=True)]
            verdict = decide(obstacle_of(own), seen, self._clock.now_ms() - began_ms)
            if verdict.joins:
                return verdict.reason
            on_look(verdict.reason)
            await asyncio.sleep(pause_ms / 1000)
            pause_ms = min(2 * pause_ms, LOOK_MAX_MS)


def obstacle_of(status: ServiceStatus | None) -> str:
    """Why it can't become active now; "" when it can."""
    if status is None:
        return "it does not answer"
    if status.ready:
        return ""
    return status.not_ready_reason or "it gives no reason"


def _seen(namenode: NameNodeAddresses, status: ServiceStatus | None) -> Other:
    state = None if status is None else status.state
    return Other(describe(namenode), state, ready=not obstacle_of(status))
