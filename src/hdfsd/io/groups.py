"""Adapter. Users and groups of this machine (Hadoop JniBasedUnixGroupsMapping, in short)."""

from __future__ import annotations

import grp
import os
import pwd
import time
from collections.abc import Mapping

USERS_MAX = 100_000


class UnixGroups:
    """Implements ports.groups.Groups over the user database, with a cache.

    `overrides` is hadoop.user.group.static.mapping.overrides, `user=group,group;user=`.
    """

    def __init__(self, overrides: str, cache_s: int) -> None:
        self._static = parse_overrides(overrides)
        self._cache_s = cache_s
        self._cache: dict[str, tuple[float, tuple[str, ...]]] = {}

    def of(self, user: str) -> tuple[str, ...]:
        if user in self._static:
            return self._static[user]
        now = time.monotonic()
        known = self._cache.get(user)
        if known is not None and known[0] > now:
            return known[1]
        if len(self._cache) >= USERS_MAX:
            self._cache.clear()
        groups = _ask(user)
        self._cache[user] = (now + self._cache_s, groups)
        return groups

    def forget(self) -> None:
        """Asks anew from now on (dfsadmin -refreshUserToGroupsMappings)."""
        self._cache.clear()


def parse_overrides(text: str) -> Mapping[str, tuple[str, ...]]:
    """`dr.who=;alice=staff,ops` as a table; a user alone has no groups."""
    table: dict[str, tuple[str, ...]] = {}
    for entry in text.split(";"):
        user, _, groups = entry.partition("=")
        if user.strip():
            table[user.strip()] = tuple(g.strip() for g in groups.split(",") if g.strip())
    return table


def _ask(user: str) -> tuple[str, ...]:
    try:
        primary = pwd.getpwnam(user).pw_gid
    except KeyError:
        return ()
    names = []
    for gid in os.getgrouplist(user, primary):
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            names.append(str(gid))
    return tuple(names)
