"""Data. What an election needs of a coordination service, in ZooKeeper's terms (decision D9).

Two adapters: real ZooKeeper, and a file lock for the controllers of one machine. Both keep a *lock*
(ephemeral: goes when its holder's session ends) and a *breadcrumb* (persistent, versioned).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class SessionState(Enum):
    CONNECTED = "connected"
    SUSPENDED = "suspended"
    """The link is lost, the session may still live: nobody may act on old knowledge."""
    EXPIRED = "expired"
    """The session is over and with it the lock."""


@dataclass(frozen=True, slots=True)
class LockView:
    """Who holds the lock: `data` of the holder, and whether that is our own session."""

    data: bytes
    mine: bool


@dataclass(frozen=True, slots=True)
class Breadcrumb:
    data: bytes
    version: int


class Coordination(Protocol):
    """Methods raise ConnectFailed or OutcomeUnknown when the service can't be reached."""

    async def open(self, on_session: Callable[[SessionState], None]) -> None:
        """Starts a session; `on_session` is called in the event loop at every change."""
        ...

    async def parent_exists(self) -> bool: ...

    async def format(self) -> None:
        """Makes the parent nodes, removing what a former election left (`-formatZK`)."""
        ...

    async def try_lock(self, data: bytes) -> bool:
        """Creates the lock with our data; True when we hold it, also if we held it before."""
        ...

    async def read_lock(self, on_change: Callable[[], None] | None = None) -> LockView | None:
        """The holder, or None; `on_change` is called once, when the lock changes or goes."""
        ...

    async def unlock(self) -> None:
        """Deletes the lock if it is ours."""
        ...

    async def read_breadcrumb(self) -> Breadcrumb | None: ...

    async def write_breadcrumb(self, data: bytes, version: int | None) -> None:
        """Creates it when `version` is None, else replaces that version. Raises OutcomeUnknown
        when another version is there: somebody else wrote it."""
        ...

    async def delete_breadcrumb(self, version: int) -> None:
        """For a holder that leaves: the lock may go along with it, before the session does. Raises
        OutcomeUnknown when another version is there."""
        ...

    async def close(self) -> None:
        """Ends the session; the lock goes with it."""
        ...
