"""Core. ACLs of inodes: merging a spec into them, inheriting them, storing them (AclTransformation,
AclStorage).

A *logical* ACL has every entry; the edit log and clients speak of those. Stored are only the
entries that the mode bits can't hold: named ones and the owning group's of the access scope, and
all of the default scope. With an access ACL the mode's group bits hold the mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hdfsd.base.errors import AclFault
from hdfsd.editlog.ops import (
    ACL_ACCESS,
    ACL_DEFAULT,
    ACL_GROUP,
    ACL_MASK,
    ACL_OTHER,
    ACL_USER,
    AclEntry,
)

ENTRIES_MAX = 32
"""Entries of one scope."""
_SCOPE_NAMES = ("access", "default")
_TYPE_NAMES = ("user", "group", "mask", "other")
_REQUIRED = (ACL_USER, ACL_GROUP, ACL_OTHER)

Key = tuple[int, int, str]


def key_of(entry: AclEntry) -> Key:
    """Sorts as Hadoop does: scope, type, name, unnamed first; also what makes entries the same."""
    return (entry.scope, entry.type, entry.name or "")


def entry_text(entry: AclEntry) -> str:
    """AclEntry.toString: `default:user:bruce:rwx`."""
    bits = "".join(
        letter if entry.permission & bit else "-"
        for letter, bit in zip("rwx", (4, 2, 1), strict=True)
    )
    scope = "default:" if entry.scope == ACL_DEFAULT else ""
    return f"{scope}{_TYPE_NAMES[entry.type]}:{entry.name or ''}:{bits}"


def minimal(mode: int) -> tuple[AclEntry, ...]:
    """The logical ACL of an inode that has none."""
    return (
        AclEntry(ACL_USER, ACL_ACCESS, mode >> 6 & 7),
        AclEntry(ACL_GROUP, ACL_ACCESS, mode >> 3 & 7),
        AclEntry(ACL_OTHER, ACL_ACCESS, mode & 7),
    )


def logical(stored: Sequence[AclEntry], mode: int) -> tuple[AclEntry, ...]:
    """AclStorage.readINodeLogicalAcl."""
    access = tuple(e for e in stored if e.scope == ACL_ACCESS)
    default = tuple(e for e in stored if e.scope == ACL_DEFAULT)
    if not access:
        return minimal(mode) + default
    owner, mask, other = (
        AclEntry(kind, ACL_ACCESS, mode >> shift & 7)
        for kind, shift in ((ACL_USER, 6), (ACL_MASK, 3), (ACL_OTHER, 0))
    )
    return (owner, *access, mask, other, *default)


def split(full: Sequence[AclEntry], mode: int) -> tuple[tuple[AclEntry, ...], int]:
    """A logical ACL → (stored entries, mode). Keeps the sticky bit (AclStorage.updateINodeAcl)."""
    entries = sorted(full, key=key_of)
    access = [e for e in entries if e.scope == ACL_ACCESS]
    default = tuple(e for e in entries if e.scope == ACL_DEFAULT)
    if len(access) <= 3:
        stored: tuple[AclEntry, ...] = default
        group = access[1].permission
    else:
        stored = (*access[1:-2], *default)
        group = access[-2].permission
    mode = mode & ~0o777 | access[0].permission << 6 | group << 3 | access[-1].permission
    return stored, mode


def removed(stored: Sequence[AclEntry], mode: int) -> int:
    """The mode of an inode whose ACL is taken away: its group bits are the group's entry again."""
    for entry in stored:
        if entry.scope == ACL_ACCESS and entry.type == ACL_GROUP and not entry.name:
            return mode & ~0o070 | entry.permission << 3
    return mode


def inherit(
    parent: Sequence[AclEntry], mode: int, *, is_directory: bool
) -> tuple[tuple[AclEntry, ...], int] | None:
    """What a new inode gets from its parent's default ACL: (stored entries, mode).

    None when the parent has no default ACL. `mode` filters what is copied; pass the mode before
    the client's umask when the client sent it (HDFS-6962), as an ACL takes the umask's place.
    """
    default = [e for e in parent if e.scope == ACL_DEFAULT]
    if not default:
        return None
    is_minimal = len(default) == 3
    access = [
        replace(e, scope=ACL_ACCESS, permission=_filtered(e, mode, is_minimal)) for e in default
    ]
    stored, mode = split(access, mode)
    return (*stored, *(default if is_directory else ())), mode


def _filtered(entry: AclEntry, mode: int, is_minimal: bool) -> int:
    if entry.type == ACL_USER and not entry.name:
        return entry.permission & mode >> 6
    if entry.type == ACL_MASK or (entry.type == ACL_GROUP and is_minimal):
        return entry.permission & mode >> 3
    if entry.type == ACL_OTHER:
        return entry.permission & mode
    return entry.permission


class _Builder:
    """Entries of a new ACL, masks apart: they are computed at the end (calculateMasks)."""

    def __init__(self) -> None:
        self.entries: list[AclEntry] = []
        self.masks: dict[int, AclEntry] = {}
        self.mask_dirty: set[int] = set()
        self.scope_dirty: set[int] = set()

    def keep(self, entry: AclEntry) -> None:
        if entry.type == ACL_MASK:
            self.masks[entry.scope] = entry
        else:
            self.entries.append(entry)

    def change(self, entry: AclEntry) -> None:
        self.scope_dirty.add(entry.scope)
        if entry.type == ACL_MASK:
            self.mask_dirty.add(entry.scope)
        self.keep(entry)

    def drop(self, entry: AclEntry) -> None:
        self.scope_dirty.add(entry.scope)
        if entry.type == ACL_MASK:
            self.mask_dirty.add(entry.scope)

    def build(self) -> tuple[AclEntry, ...]:
        self._copy_defaults()
        self._add_masks()
        return _validated(self.entries)

    def _copy_defaults(self) -> None:
        """The three required default entries are taken from the access ones when missing."""
        have = {key_of(e): e for e in self.entries}
        if not any(e.scope == ACL_DEFAULT for e in self.entries):
            return
        for kind in _REQUIRED:
            source = have.get((ACL_ACCESS, kind, ""))
            if (ACL_DEFAULT, kind, "") not in have and source is not None:
                self.entries.append(replace(source, scope=ACL_DEFAULT))

    def _add_masks(self) -> None:
        for scope in sorted({e.scope for e in self.entries}):
            entries = [e for e in self.entries if e.scope == scope]
            needed = any(e.name for e in entries)
            given = self.masks.get(scope)
            if given is None and needed and scope in self.mask_dirty:
                raise AclFault("Invalid ACL: mask is required and cannot be deleted.")
            if given is not None and (scope not in self.scope_dirty or scope in self.mask_dirty):
                self.entries.append(given)
            elif needed or given is not None:
                union = 0
                for entry in entries:
                    if entry.type == ACL_GROUP or entry.name:
                        union |= entry.permission
                self.entries.append(AclEntry(ACL_MASK, scope, union))


def _checked(spec: Iterable[AclEntry]) -> dict[Key, AclEntry]:
    """A client's spec by key, sorted; refuses duplicates, and too many."""
    entries = [replace(e, name=None) if e.name == "" else e for e in spec]
    for scope in (ACL_ACCESS, ACL_DEFAULT):
        _check_count(entries, scope)
    by_key: dict[Key, AclEntry] = {}
    for entry in sorted(entries, key=key_of):
        if key_of(entry) in by_key:
            raise AclFault("Invalid ACL: multiple entries with same scope, type and name.")
        by_key[key_of(entry)] = entry
    return by_key


def _check_count(entries: Sequence[AclEntry], scope: int) -> None:
    count = sum(1 for e in entries if e.scope == scope)
    if count > ENTRIES_MAX:
        raise AclFault(
            f"Invalid ACL: ACL has {count} {_SCOPE_NAMES[scope]} entries,"
            f" which exceeds maximum of {ENTRIES_MAX}."
        )


def _validated(entries: Sequence[AclEntry]) -> tuple[AclEntry, ...]:
    """AclTransformation.buildAndValidateAcl."""
    for scope in (ACL_ACCESS, ACL_DEFAULT):
        _check_count(entries, scope)
    ordered = tuple(sorted(entries, key=key_of))
    keys = set()
    for entry in ordered:
        if key_of(entry) in keys:
            raise AclFault("Invalid ACL: multiple entries with same scope, type and name.")
        keys.add(key_of(entry))
        if entry.name and entry.type in (ACL_MASK, ACL_OTHER):
            raise AclFault(
                f"Invalid ACL: this entry type must not have a name: {entry_text(entry)}."
            )
    scopes = {ACL_ACCESS} | {e.scope for e in ordered}
    for scope in sorted(scopes):
        if any((scope, kind, "") not in keys for kind in _REQUIRED):
            which = "default ACL" if scope == ACL_DEFAULT else "ACL"
            raise AclFault(f"Invalid {which}: the user, group and other entries are required.")
    return ordered


def merge(existing: Sequence[AclEntry], spec: Iterable[AclEntry]) -> tuple[AclEntry, ...]:
    """modifyAclEntries: entries of the spec replace those of the same key, or are added."""
    wanted = _checked(spec)
    builder = _Builder()
    for entry in existing:
        replacement = wanted.pop(key_of(entry), None)
        if replacement is None:
            builder.keep(entry)
        else:
            builder.change(replacement)
    for entry in wanted.values():
        builder.change(entry)
    return builder.build()


def remove(existing: Sequence[AclEntry], spec: Iterable[AclEntry]) -> tuple[AclEntry, ...]:
    """removeAclEntries: entries with a key of the spec go."""
    unwanted = _checked(spec)
    builder = _Builder()
    for entry in existing:
        if key_of(entry) in unwanted:
            builder.drop(entry)
        else:
            builder.keep(entry)
    return builder.build()


def replace_all(existing: Sequence[AclEntry], spec: Iterable[AclEntry]) -> tuple[AclEntry, ...]:
    """setAcl: scopes that the spec speaks of are replaced, others stay."""
    wanted = _checked(spec)
    builder = _Builder()
    for entry in wanted.values():
        builder.change(entry)
    replaced = set(builder.scope_dirty)
    for entry in existing:
        if entry.scope not in replaced:
            builder.keep(entry)
    return builder.build()


def without_default(existing: Sequence[AclEntry]) -> tuple[AclEntry, ...]:
    """removeDefaultAcl."""
    return _validated([e for e in existing if e.scope == ACL_ACCESS])
