"""Core. ACLs and credentials of the election's znodes, as configured (wire fact: ha-zk.md 1).

Source: Hadoop ZKUtil.parseACLs and parseAuth. An `@file` in place of a value is read by adapters.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdfsd.base.errors import ConfigError

PERMISSIONS = {"r": 1, "w": 2, "c": 4, "d": 8, "a": 16}
"""ZooKeeper's ZooDefs.Perms by letter."""
ACL_KEY = "ha.zookeeper.acl"
AUTH_KEY = "ha.zookeeper.auth"


@dataclass(frozen=True, slots=True)
class AclEntry:
    scheme: str
    identity: str
    permissions: int
    """The sum of PERMISSIONS."""


CREATOR_ALL = (AclEntry("auth", "", 31),)
"""ZooDefs.Ids.CREATOR_ALL_ACL: what Hadoop takes for an empty list."""


@dataclass(frozen=True, slots=True)
class Credential:
    scheme: str
    secret: str


def parse_acl(text: str) -> tuple[AclEntry, ...]:
    """`scheme:id:perms,…`; the id may have colons in it. Raises ConfigError."""
    entries = tuple(_acl_entry(part) for part in _parts(text))
    return entries or CREATOR_ALL


def _acl_entry(part: str) -> AclEntry:
    scheme, first, rest = part.partition(":")
    identity, second, letters = rest.rpartition(":")
    if not first or not second:
        raise ConfigError(
            f"{ACL_KEY}: {part!r}: write scheme:id:permissions, as world:anyone:rwcda"
        )
    unknown = [letter for letter in letters if letter not in PERMISSIONS]
    if unknown:
        raise ConfigError(
            f"{ACL_KEY}: {part!r}: no permission {unknown[0]!r}: write letters of rwcda"
        )
    permissions = 0
    for letter in letters:
        permissions |= PERMISSIONS[letter]
    return AclEntry(scheme, identity, permissions)


def parse_auth(text: str) -> tuple[Credential, ...]:
    """`scheme:secret,…`, as `digest:user:password`. Raises ConfigError that names no secret."""
    found = []
    for number, part in enumerate(_parts(text), 1):
        scheme, colon, secret = part.partition(":")
        if not colon:
            raise ConfigError(
                f"{AUTH_KEY}: entry {number} is not scheme:auth: write digest:user:password"
            )
        found.append(Credential(scheme, secret))
    return tuple(found)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
