"""Core. Full block report leases: how many DataNodes may send one at the same time.

Behaviour: Hadoop's BlockReportLeaseManager.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdfsd.blocks.settings import BlockSettings
from hdfsd.ports.dice import Dice

NO_LEASE = 0


@dataclass(frozen=True, slots=True)
class _Lease:
    lease_id: int
    until_ms: int


class ReportLeases:
    """By DataNode uuid."""

    def __init__(self, settings: BlockSettings, dice: Dice) -> None:
        self._settings = settings
        self._next_id = 1 + dice.below(1 << 62)
        self._leases: dict[str, _Lease] = {}

    def request(self, uuid: str, now_ms: int) -> int:
        """A new lease id, replacing an older one of the node; NO_LEASE when all are taken."""
        self._leases.pop(uuid, None)
        self._prune(now_ms)
        limit = self._settings.report_leases
        if limit and len(self._leases) >= limit:
            return NO_LEASE
        lease = _Lease(self._next_id, now_ms + self._settings.report_lease_ms)
        self._next_id = self._next_id % ((1 << 63) - 1) + 1
        self._leases[uuid] = lease
        return lease.lease_id

    def valid(self, uuid: str, lease_id: int, now_ms: int) -> bool:
        """A report without lease (older DataNodes, triggered by hand) is always taken."""
        if lease_id == NO_LEASE:
            return True
        self._prune(now_ms)
        lease = self._leases.get(uuid)
        return lease is not None and lease.lease_id == lease_id

    def release(self, uuid: str) -> None:
        self._leases.pop(uuid, None)

    def _prune(self, now_ms: int) -> None:
        late = [uuid for uuid, lease in self._leases.items() if lease.until_ms <= now_ms]
        for uuid in late:
            del self._leases[uuid]
