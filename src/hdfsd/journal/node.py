"""Driver. The journals of one JournalNode by id: any number of nameservices, never mixed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from hdfsd.base.errors import CorruptData, InconsistentStorage
from hdfsd.base.ids import Address
from hdfsd.editlog.segment import PREALLOCATION_BYTES
from hdfsd.journal import layout
from hdfsd.journal.cache import EditsCache, SharedRoom
from hdfsd.journal.journal import Journal
from hdfsd.journal.store import JournalStore
from hdfsd.ports.clock import Clock
from hdfsd.ports.disk import Disk
from hdfsd.ports.http import HttpClient

log = logging.getLogger(__name__)

EDIT_CACHE_BYTES = 8 << 20
"""When dfs.journalnode.edit-cache-size.bytes is not set: some 40,000 transactions per journal."""
EDIT_CACHES_BYTES = 2 * EDIT_CACHE_BYTES
"""All journals together, unless each was given more by that key."""


class JournalNode:
    """Finds or makes the journal of an id; a journal without a directory is not kept."""

    def __init__(
        self,
        edits_dir_of: Callable[[str], str],
        *,
        disk: Disk,
        http: HttpClient,
        clock: Clock,
        cache_bytes: int | None = EDIT_CACHE_BYTES,
        directory_mode: int = 0o700,
        fetch_timeout_ms: int = 60_000,
        fetch_bandwidth: int = 0,
    ) -> None:
        """`edits_dir_of`: base directory by journal id; `cache_bytes` None: no tailing."""
        self.rpc_address = Address("", 0)
        self.http_address = Address("", 0)
        self.started_wall_ms = clock.wall_ms()
        self.preallocation_bytes = PREALLOCATION_BYTES
        """By which files of open segments grow."""
        self.is_own_host: Callable[[str], bool] = lambda host: host == self.http_address.host
        self._edits_dir_of = edits_dir_of
        self._disk = disk
        self._http = http
        self._clock = clock
        self._cache_bytes = cache_bytes
        self._cache_room = SharedRoom(EDIT_CACHES_BYTES)
        self._directory_mode = directory_mode
        self._fetch_timeout_ms = fetch_timeout_ms
        self._fetch_bandwidth = fetch_bandwidth
        self._journals: dict[str, Journal] = {}

    @property
    def http_url(self) -> str:
        """What `fromURL` says: clients take scheme and port, and our RPC host."""
        return f"http://{self.http_address}"

    async def open_all(self, edits_dirs: tuple[str, ...]) -> None:
        """Opens every journal that lies in these directories. Raises StorageError when locked.

        A damaged journal does not keep the others from serving: its requests say what is wrong.
        """
        for base in edits_dirs:
            self._disk.make_dirs(base, self._directory_mode)
            for name in self._disk.list(base):
                if name.startswith(".") or self._edits_dir_of(name) != base:
                    continue
                if not self._disk.is_dir(f"{base}/{name}"):
                    continue
                try:
                    await self.journal(name).open()
                except (CorruptData, InconsistentStorage) as error:
                    log.error("journal %s: %s", name, error)

    def journal(self, journal_id: str) -> Journal:
        """The journal of an id, opened or not. Raises IllegalArgument for a bad id."""
        known = self._journals.get(journal_id)
        if known is not None:
            return known
        layout.check_journal_id(journal_id)
        cache = self._new_cache()
        root = f"{self._edits_dir_of(journal_id)}/{journal_id}"
        store = JournalStore(
            root,
            disk=self._disk,
            http=self._http,
            clock=self._clock,
            directory_mode=self._directory_mode,
            fetch_timeout_ms=self._fetch_timeout_ms,
            preallocation_bytes=self.preallocation_bytes,
            fetch_bandwidth=self._fetch_bandwidth,
        )
        journal = Journal(journal_id, store, cache=cache)
        journal.is_own_url = self._is_own_url
        if self._disk.is_dir(root):
            self._journals[journal_id] = journal
        return journal

    def _new_cache(self) -> EditsCache | None:
        if self._cache_bytes is None:
            return None
        shared = self._cache_bytes <= EDIT_CACHE_BYTES
        return EditsCache(self._cache_bytes, self._cache_room if shared else None)

    def _is_own_url(self, url: str) -> bool:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            return False
        return port == self.http_address.port and self.is_own_host(parts.hostname or "")

    def keep(self, journal: Journal) -> Journal:
        """The journal from now on known by its id: it is about to get a directory."""
        return self._journals.setdefault(journal.journal_id, journal)

    def journals(self) -> Mapping[str, Journal]:
        """Those that are kept, by id."""
        return dict(sorted(self._journals.items()))

    async def close(self) -> None:
        for journal in self._journals.values():
            await journal.close()
        self._journals.clear()
