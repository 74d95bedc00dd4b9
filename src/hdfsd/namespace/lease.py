"""Core. Who is writing which file: holder → files, renewal, soft and hard limits (LeaseManager)."""

from __future__ import annotations

from collections.abc import Iterator

from hdfsd.base.ids import InodeId


class _Lease:
    """The files of one holder; dictionaries keep their order, sets of ids would not."""

    __slots__ = ("files", "renewed_ms")

    def __init__(self, now_ms: int) -> None:
        self.files: dict[InodeId, None] = {}
        self.renewed_ms = now_ms


class Leases:
    """One lease per holder (client name), over all files it writes. Times are `now_ms` given in.

    Leases stand in the order of their last renewal, so that expiry looks at the oldest only.
    """

    def __init__(self, soft_limit_ms: int = 60_000, hard_limit_ms: int = 1_200_000) -> None:
        self.soft_limit_ms = soft_limit_ms
        self.hard_limit_ms = hard_limit_ms
        self._leases: dict[str, _Lease] = {}
        self._holders: dict[InodeId, str] = {}

    def add(self, holder: str, inode_id: InodeId, now_ms: int) -> None:
        """The holder writes this file now; renews the whole lease."""
        lease = self._leases.get(holder)
        if lease is None:
            lease = self._leases[holder] = _Lease(now_ms)
        elif lease.renewed_ms != now_ms:
            self.renew(holder, now_ms)
        lease.files[inode_id] = None
        self._holders[inode_id] = holder

    def remove(self, inode_id: InodeId) -> None:
        """The file is closed or gone. No error when it has no lease."""
        holder = self._holders.pop(inode_id, None)
        if holder is None:
            return
        lease = self._leases[holder]
        del lease.files[inode_id]
        if not lease.files:
            del self._leases[holder]

    def renew(self, holder: str, now_ms: int) -> None:
        """No error when the holder has no lease (Hadoop ignores it too)."""
        lease = self._leases.pop(holder, None)
        if lease is not None:
            lease.renewed_ms = now_ms
            self._leases[holder] = lease

    def renew_all(self, now_ms: int) -> None:
        """At becoming active: nobody loses a lease for the failover's sake."""
        for lease in self._leases.values():
            lease.renewed_ms = now_ms

    def holder_of(self, inode_id: InodeId) -> str | None:
        return self._holders.get(inode_id)

    def files_of(self, holder: str) -> list[InodeId]:
        lease = self._leases.get(holder)
        return [] if lease is None else list(lease.files)

    def soft_expired(self, holder: str, now_ms: int) -> bool:
        """False when the holder has no lease."""
        lease = self._leases.get(holder)
        return lease is not None and now_ms - lease.renewed_ms > self.soft_limit_ms

    def hard_expired(self, now_ms: int) -> list[tuple[str, list[InodeId]]]:
        """Holders past the hard limit with their files, oldest renewal first."""
        expired: list[tuple[str, list[InodeId]]] = []
        for holder, lease in self._leases.items():
            if now_ms - lease.renewed_ms <= self.hard_limit_ms:
                break
            expired.append((holder, list(lease.files)))
        return expired

    def open_files(self, after: int = 0) -> Iterator[tuple[InodeId, str]]:
        """(inode id, holder), ascending from the first id above `after` (listOpenFiles)."""
        for inode_id in sorted(i for i in self._holders if i > after):
            yield inode_id, self._holders[inode_id]

    def __len__(self) -> int:
        """Number of files open for writing."""
        return len(self._holders)
