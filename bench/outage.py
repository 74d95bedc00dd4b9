"""Adapter. How long writes fail when the active NameNode is lost: one client, call after call."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from time import monotonic

from hdfsd.base.ids import Address
from hdfsd.wire.messages import acl, client_namenode
from namenode_client import CLIENT_METHODS, Connection, Refused

BEFORE = 200
"""Acknowledged calls before the disturbance."""
AFTER_S = 1.5
"""Of steady acknowledgements, until it is over."""
PATIENCE_S = 90.0
PAUSE_S = 0.002
CALL_S = 30.0
"""A NameNode that becomes active makes calls wait: to give up early would only prolong it."""


class Writer:
    """mkdirs in a loop against whichever NameNode takes them."""

    def __init__(
        self, addresses: Sequence[Address], first: Address, call_s: float = CALL_S
    ) -> None:
        self._call_s = call_s
        start = addresses.index(first)
        self._addresses = [*addresses[start:], *addresses[:start]]
        self._connection: Connection | None = None
        self.acknowledged: list[float] = []
        self.errors: list[str] = []

    async def write(self) -> None:
        """One call; after an error the next one goes to the other NameNode."""
        count = len(self.acknowledged)
        request = client_namenode.MkdirsRequestProto(
            src=f"/bench/outage-{os.getpid()}-{id(self)}/{count}",
            masked=acl.FsPermissionProto(perm=0o755),
            createParent=True,
        )
        try:
            if self._connection is None:
                self._connection = await Connection.open(self._addresses[0])
            await self._connection.call(CLIENT_METHODS["mkdirs"], request, self._call_s)
            self.acknowledged.append(monotonic())
        except (OSError, TimeoutError, Refused) as error:
            self.errors.append(f"{type(error).__name__}: {error}"[:200])
            self.close()
            self._addresses.append(self._addresses.pop(0))
        await asyncio.sleep(PAUSE_S)

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


async def outage_s(
    addresses: Sequence[Address],
    active: Address,
    disturb: Callable[[], object],
    call_s: float = CALL_S,
    *,
    disturbs: bool = True,
) -> float:
    """The longest time between two acknowledged writes, seconds, around a disturbance.

    `call_s`: how long a call is waited for before the other NameNode is tried. `disturb` runs in a
    thread of its own; `disturbs`: writes must fail for it, sooner or later. Raises TimeoutError
    when writes don't come back.
    """
    writer = Writer(addresses, active, call_s)
    end = monotonic() + PATIENCE_S
    try:
        while len(writer.acknowledged) < BEFORE:
            await _write_before(writer, end)
        disturbance = asyncio.get_running_loop().run_in_executor(None, disturb)
        began = monotonic()
        while not disturbance.done() or not _is_over(writer, began, disturbs=disturbs):
            await _write_before(writer, end)
        await disturbance
    finally:
        writer.close()
    since = [when for when in writer.acknowledged if when > began - 1]
    return max(after - before for before, after in pairwise(since))


async def _write_before(writer: Writer, end: float) -> None:
    if monotonic() > end:
        raise TimeoutError(f"no write was acknowledged any more: {writer.errors[-1:]}")
    await writer.write()


def _is_over(writer: Writer, began: float, *, disturbs: bool) -> bool:
    """Writes failed, unless nothing need disturb them, came back, and have gone on for a while."""
    if (disturbs and not writer.errors) or writer.acknowledged[-1] < began + AFTER_S:
        return False
    recent = [when for when in writer.acknowledged if when > writer.acknowledged[-1] - AFTER_S]
    gaps = [after - before for before, after in pairwise(recent)]
    return bool(gaps) and max(gaps) < AFTER_S / 3
