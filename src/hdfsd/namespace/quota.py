"""Core. What trees use of their quotas, kept by differences, and the check before an op is made.

Use is counted as Hadoop counts it (INodeFile.storagespaceConsumed): every block times the file's
replication, and a block that is being written as a full one. Only directories with a quota, and
always the root, keep counts.
"""

from __future__ import annotations

from typing import NamedTuple

from hdfsd.base.errors import DSQuotaExceeded, NSQuotaExceeded, TypeQuotaExceeded
from hdfsd.namespace import history
from hdfsd.namespace.storage_policy import (
    POLICY_BY_ID,
    QUOTA_STORAGE_TYPES,
    STORAGE_TYPE_COUNT,
    STORAGE_TYPE_NAMES,
)
from hdfsd.namespace.tree import DIRECTORY, FILE, NO_ROW, ROOT, Namespace, QuotaDirectory

NO_TYPES: tuple[int, ...] = ()
"""Instead of six zeros: nothing by storage type."""


class Use(NamedTuple):
    """What an inode or a tree uses, or a difference: inodes, bytes with replicas, bytes by type."""

    inodes: int
    space: int
    type_space: tuple[int, ...] = NO_TYPES


NOTHING = Use(0, 0)


def raw_bytes(ns: Namespace, row: int) -> int:
    """Bytes of a file for its quota, one replica; a block being written counts as a full one."""
    length = ns.row_length(row)
    record = ns.open_files.get(row)
    if record is not None and record.last_open:
        last = ns.last_block(row)
        if last is not None:
            length += ns.layouts[ns.layout_of[row]].block_size - last.num_bytes
    return length


def types_for(policy_id: int, replication: int, size: int) -> tuple[int, ...]:
    """Bytes by storage type of `size` bytes under a policy; none under the unspecified one."""
    policy = POLICY_BY_ID.get(policy_id)
    if policy is None or not size:
        return NO_TYPES
    by_type = [0] * STORAGE_TYPE_COUNT
    for storage_type in policy.choose_storage_types(replication):
        if storage_type in QUOTA_STORAGE_TYPES:
            by_type[storage_type] += size
    return tuple(by_type)


def use_of(ns: Namespace, row: int) -> Use:
    """Of one inode alone."""
    if ns.kinds[row] != FILE:
        return Use(1, 0)
    size, replication = held_bytes(ns, row)
    types = (
        types_for(ns.effective_policy(row), replication, size) if ns.type_quota_count else NO_TYPES
    )
    return Use(1, size * replication, types)


def held_bytes(ns: Namespace, row: int) -> tuple[int, int]:
    """(bytes, replicas) of all blocks that a file, and snapshots of it under this name, have; with
    the most replicas that any of them asks for."""
    size = raw_bytes(ns, row)
    replication = ns.layouts[ns.layout_of[row]].replication or 1
    versions = ns.snapshots.versions.get(row)
    if versions is None:
        return size, replication
    own = {block.block_id for block in ns.row_blocks(row)}
    if not history.is_current(ns, row):
        replication = 1
    for _, past in reversed(versions):
        replication = max(replication, ns.layouts[ns.layout_of[past]].replication)
        for block in ns.row_blocks(past):
            if block.block_id not in own:
                own.add(block.block_id)
                size += block.num_bytes
    return size, replication


def add(first: Use, second: Use, sign: int = 1) -> Use:
    """first + sign × second."""
    types = first.type_space
    if second.type_space:
        types = types or (0,) * STORAGE_TYPE_COUNT
        types = tuple(a + sign * b for a, b in zip(types, second.type_space, strict=True))
    return Use(first.inodes + sign * second.inodes, first.space + sign * second.space, types)


def use_of_tree(ns: Namespace, row: int) -> Use:
    """Walks the tree, or takes the counts that a quota directory keeps."""
    known = ns.quotas.get(row)
    if known is not None:
        return Use(
            known.inodes, known.space, tuple(known.type_space) if ns.type_quota_count else ()
        )
    if ns.kinds[row] != DIRECTORY:
        return use_of(ns, row)
    return count_tree(ns, row)


def count_tree(ns: Namespace, row: int) -> Use:
    """Walks the whole tree, what only snapshots show of it included."""
    inodes = space = 0
    types = [0] * STORAGE_TYPE_COUNT
    for below in history.everything(ns, row):
        use = use_of(ns, below)
        inodes += 1
        space += use.space
        for ordinal, size in enumerate(use.type_space):
            types[ordinal] += size
    return Use(inodes, space, tuple(types) if ns.type_quota_count else NO_TYPES)


def charge(ns: Namespace, directory: int, use: Use, sign: int = 1) -> None:
    """Adds to every counting directory from `directory` up to the root."""
    quotas = ns.quotas
    if len(quotas) == 1:
        _charge_one(quotas[ROOT], use, sign)
        return
    row = directory
    while row != NO_ROW:
        quota = quotas.get(row)
        if quota is not None:
            _charge_one(quota, use, sign)
        row = ns.parents[row]


def _charge_one(quota: QuotaDirectory, use: Use, sign: int) -> None:
    quota.inodes += sign * use.inodes
    quota.space += sign * use.space
    for ordinal, size in enumerate(use.type_space):
        quota.type_space[ordinal] += sign * size


def counters_above(ns: Namespace, directory: int) -> list[int]:
    """Rows of the directories that count what is below `directory`, nearest first."""
    if len(ns.quotas) == 1:
        return [ROOT]
    found: list[int] = []
    row = directory
    while row != NO_ROW:
        if row in ns.quotas:
            found.append(row)
        row = ns.parents[row]
    return found


def set_quota(
    ns: Namespace, row: int, namespace_quota: int, space_quota: int, types: list[int]
) -> None:
    """Gives a directory these quotas; starts or stops counting its tree."""
    old = ns.quotas.get(row)
    new = QuotaDirectory(namespace_quota, space_quota, types)
    first_type_quota = new.has_type_quota() and not ns.type_quota_count
    ns.type_quota_count += new.has_type_quota() - (old is not None and old.has_type_quota())
    if not new.has_quota() and row != ROOT:
        ns.quotas.pop(row, None)
        return
    ns.quotas[row] = new
    if old is not None:
        new.inodes, new.space, new.type_space = old.inodes, old.space, old.type_space
    else:
        _recount_one(ns, row)
    if first_type_quota:
        recount(ns)


def _recount_one(ns: Namespace, row: int) -> None:
    quota = ns.quotas[row]
    use = count_tree(ns, row)
    quota.inodes, quota.space = use.inodes, use.space
    quota.type_space = list(use.type_space or (0,) * STORAGE_TYPE_COUNT)


def recount(ns: Namespace) -> None:
    """Counts all quota directories anew: after an image was loaded, after policies changed."""
    for row in ns.quotas:
        _recount_one(ns, row)


def verify(ns: Namespace, directory: int, use: Use, common_ancestor: int = NO_ROW) -> None:
    """Raises when `use` more under `directory` breaks a quota, nearest directory first.

    Directories from `common_ancestor` upward are not asked: a rename changes nothing for them.
    """
    if use.inodes <= 0 and use.space <= 0 and all(size <= 0 for size in use.type_space):
        return
    row = directory
    while row not in (NO_ROW, common_ancestor):
        quota = ns.quotas.get(row)
        if quota is not None:
            try:
                _verify_one(ns, row, quota, use)
            except (NSQuotaExceeded, DSQuotaExceeded, TypeQuotaExceeded):
                if not ns.detached:
                    raise
                _verify_one(ns, row, settled(ns, row, quota), use)
        row = ns.parents[row]


def settled(ns: Namespace, row: int, quota: QuotaDirectory) -> QuotaDirectory:
    """The counts of a directory as they will be when all that was deleted below it is freed; walks
    what is not."""
    if not ns.detached:
        return quota
    left = QuotaDirectory(quota.namespace_quota, quota.space_quota, quota.type_quotas)
    left.inodes, left.space, left.type_space = quota.inodes, quota.space, quota.type_space[:]
    for top in ns.detached:
        if history.is_below(ns, top, row):
            _charge_one(left, count_tree(ns, top), -1)
    return left


def is_unlimited(ns: Namespace) -> bool:
    """No quota but the root's default: nothing to verify."""
    if len(ns.quotas) > 1:
        return False
    root = ns.quotas[ROOT]
    return root.namespace_quota == 2**63 - 1 and root.space_quota < 0 and not ns.type_quota_count


def _violated(quota: int, used: int, more: int) -> bool:
    return quota >= 0 and more > 0 and used > quota - more


def _verify_one(ns: Namespace, row: int, quota: QuotaDirectory, use: Use) -> None:
    if _violated(quota.namespace_quota, quota.inodes, use.inodes):
        raise NSQuotaExceeded(
            "The NameSpace quota (directories and files) of directory "
            f"{ns.path_of_row(row)} is exceeded: "
            f"quota={quota.namespace_quota} file count={quota.inodes + use.inodes}"
        )
    if _violated(quota.space_quota, quota.space, use.space):
        count = quota.space + use.space
        raise DSQuotaExceeded(
            f"The DiskSpace quota of {ns.path_of_row(row)} is exceeded: "
            f"quota = {quota.space_quota} B = {binary_prefix(quota.space_quota)}"
            f" but diskspace consumed = {count} B = {binary_prefix(count)}"
        )
    for ordinal, more in enumerate(use.type_space):
        limit = quota.type_quotas[ordinal]
        if _violated(limit, quota.type_space[ordinal], more):
            count = quota.type_space[ordinal] + more
            raise TypeQuotaExceeded(
                f"Quota by storage type : {STORAGE_TYPE_NAMES[ordinal]}"
                f" on path : {ns.path_of_row(row)} is exceeded."
                f" quota = {binary_prefix(limit)} but space consumed = {binary_prefix(count)}"
            )


def binary_prefix(size: int) -> str:
    """StringUtils.TraditionalBinaryPrefix.long2String(size, "B", 2)."""
    if size < 1024:
        return f"{size} B"
    symbols = "KMGTPE"
    power = min((size.bit_length() - 1) // 10, len(symbols))
    if size % (1 << 10 * power) == 0:
        return f"{size >> 10 * power} {symbols[power - 1]}B"
    text = f"{size / (1 << 10 * power):.2f}"
    if text.startswith("1024") and power < len(symbols):
        power += 1
        text = f"{size / (1 << 10 * power):.2f}"
    return f"{text} {symbols[power - 1]}B"
