"""Adapter. Users and groups of this machine (Hadoop JniBasedUnixGroupsMapping, in short)."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import grp
import os
import pwd
import threading
from collections.abc import Mapping

GROUPS_MAX = 65_536
"""Of one user: the kernel's own limit (NGROUPS_MAX)."""
_LIBC = ctypes.CDLL(None)


class UnixGroups:
    """Implements ports.groups.Groups over the user database, which may be one of the network."""

    def __init__(self, overrides: str, threads_max: int) -> None:
        """`overrides`: hadoop.user.group.static.mapping.overrides, `user=group,group;user=`."""
        self._static = parse_overrides(overrides)
        self._free = asyncio.Semaphore(threads_max)

    async def of(self, user: str) -> tuple[str, ...]:
        if user in self._static:
            return self._static[user]
        async with self._free:
            return await _in_thread(user)


def parse_overrides(text: str) -> Mapping[str, tuple[str, ...]]:
    """`dr.who=;alice=staff,ops` as a table; a user alone has no groups."""
    table: dict[str, tuple[str, ...]] = {}
    for entry in text.split(";"):
        user, _, groups = entry.partition("=")
        if user.strip():
            table[user.strip()] = tuple(g.strip() for g in groups.split(",") if g.strip())
    return table


def _in_thread(user: str) -> asyncio.Future[tuple[str, ...]]:
    """A thread that the process does not wait for at its end: a database may never answer."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[str, ...]] = loop.create_future()

    def settle(found: tuple[str, ...] | Exception) -> None:
        if future.done():
            return
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)

    def run() -> None:
        found: tuple[str, ...] | Exception
        try:
            found = _ask(user)
        except Exception as error:  # noqa: BLE001 - raised where it was asked for
            found = error
        try:
            loop.call_soon_threadsafe(settle, found)
        except RuntimeError:
            pass  # The loop is closed: nobody waits for it any more.

    threading.Thread(target=run, name="groups", daemon=True).start()
    return future


def _ask(user: str) -> tuple[str, ...]:
    try:
        primary = pwd.getpwnam(user).pw_gid
    except (KeyError, ValueError):
        return ()  # Nobody's name, or what can't be one (a zero byte in it).
    names = []
    for gid in _group_ids(user, primary):
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            names.append(str(gid))
    return tuple(names)


def _group_ids(user: str, primary: int) -> list[int]:
    """As os.getgrouplist, which holds the interpreter's lock while the database takes its time: the
    whole process would stand still. ctypes lets the other threads go on."""
    size = 64
    while size <= GROUPS_MAX:
        found, count = (ctypes.c_uint32 * size)(), ctypes.c_int(size)
        if _LIBC.getgrouplist(os.fsencode(user), primary, found, ctypes.byref(count)) >= 0:
            return found[: count.value]
        size = max(2 * size, count.value)
    raise OSError(errno.E2BIG, f"{user} is in more than {GROUPS_MAX} groups")
