"""Driver. Who calls: principals with their groups, looked up beside the loop and remembered.

A user database may take seconds, or never answer (LDAP). Calls of somebody who is not known yet
wait for it, those of others do not; somebody who is known is answered from memory, and is looked up
again meanwhile when that is old. So a handler is synchronous and finds whom it needs: the server
asks `introduce` before it hands over what came on a connection.

Source: Hadoop Groups (refreshAfterWrite, expireAfterWrite, negative cache). Hadoop's callers wait
for a database without end, and are without groups when it fails; here they are told to try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass

from hdfsd.base.errors import RetriableError
from hdfsd.namespace.permission import Principal
from hdfsd.ports.clock import Clock
from hdfsd.ports.groups import Groups
from hdfsd.rpc.connection import Caller

log = logging.getLogger(__name__)

USERS_MAX = 10_000
"""Names that were made up fill no memory: beyond that the one with the oldest answer goes."""
PATIENCE_S = 20.0
"""For a user who is not known yet; well below a client's own time-out, so that it hears why."""
KEPT_LIVES = 10
"""After so many lives without a new answer the old one counts no more (Groups.expireAfterWrite)."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Who may do everything."""

    superuser: str
    supergroup: str
    permissions_enabled: bool

    def principal(self, user: str, groups: tuple[str, ...]) -> Principal:
        mighty = user == self.superuser or self.supergroup in groups
        return Principal(user, frozenset(groups), mighty or not self.permissions_enabled)


@dataclass(frozen=True, slots=True)
class Lives:
    """How long an answer is young."""

    known_ms: int
    """hadoop.security.groups.cache.secs"""
    unknown_ms: int
    """hadoop.security.groups.negative-cache.secs: that of users without groups."""


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    old_at_ms: int
    void_at_ms: int


class Principals:
    """Of everybody who calls one NameNode."""

    def __init__(self, groups: Groups, clock: Clock, rights: Rights, lives: Lives) -> None:
        self._groups = groups
        self._clock = clock
        self._rights = rights
        self._lives = lives
        self._known: dict[str, _Known] = {}
        """In the order of the answers."""
        self._lookups: dict[str, asyncio.Task[None]] = {}
        """On their way; as many as there are connections and users known, at the most."""
        # It may do everything whatever its groups: health checks wait for no database.
        self._superuser = rights.principal(rights.superuser, ())

    def of(self, user: str) -> Principal:
        """From memory. Raises RetriableError for a user whose groups nobody could tell so far."""
        known = self._known.get(user)
        if known is not None:
            return known.principal
        if user == self._rights.superuser:
            return self._superuser
        raise RetriableError(
            f"The groups of {user} are not known: the user database of the NameNode's machine has"
            f" not answered within {PATIENCE_S:g} s"
        )

    def introduce(self, caller: Caller) -> Awaitable[None] | None:
        """What the calls of somebody have to wait for, None when it is known who that is."""
        user = caller.user
        known = self._known.get(user)
        if known is None:
            if user == self._rights.superuser:
                return None
            return self._wait_for(self._look_up(user))
        now_ms = self._clock.now_ms()
        if now_ms < known.old_at_ms:
            return None
        lookup = self._look_up(user)
        if now_ms < known.void_at_ms:
            return None
        del self._known[user]
        return self._wait_for(lookup)

    async def close(self) -> None:
        """Ends what is on its way."""
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    @staticmethod
    async def _wait_for(lookup: asyncio.Task[None]) -> None:
        # It goes on when nobody waits any more: the next call may need it.
        await asyncio.wait({lookup}, timeout=PATIENCE_S)

    def _look_up(self, user: str) -> asyncio.Task[None]:
        """The lookup of a user that is on its way: there is one at a time."""
        lookup = self._lookups.get(user)
        if lookup is None:
            lookup = self._lookups[user] = asyncio.ensure_future(self._learn(user))
            lookup.add_done_callback(lambda _: self._lookups.pop(user, None))
        return lookup

    async def _learn(self, user: str) -> None:
        try:
            groups = await self._groups.of(user)
        except OSError as error:
            log.warning("the groups of %s can't be looked up: %s", user, error)
            return
        life_ms = self._lives.known_ms if groups else self._lives.unknown_ms
        now_ms = self._clock.now_ms()
        self._known.pop(user, None)
        while len(self._known) >= USERS_MAX:
            del self._known[next(iter(self._known))]
        principal = self._rights.principal(user, groups)
        self._known[user] = _Known(principal, now_ms + life_ms, now_ms + KEPT_LIVES * life_ms)
