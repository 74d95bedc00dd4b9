"""Data. The built-in storage policies (BlockStoragePolicySuite) and what they mean for quotas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hdfsd.editlog.ops import XATTR_SYSTEM, XAttr

RAM_DISK, SSD, DISK, ARCHIVE, PROVIDED, NVDIMM = range(6)
"""Ordinals of Hadoop's StorageType, as in the edit log."""
STORAGE_TYPE_NAMES = ("RAM_DISK", "SSD", "DISK", "ARCHIVE", "PROVIDED", "NVDIMM")
STORAGE_TYPE_COUNT = len(STORAGE_TYPE_NAMES)
QUOTA_STORAGE_TYPES = (SSD, DISK, ARCHIVE, PROVIDED, NVDIMM)
"""StorageType.getTypesSupportingQuota: all but the transient one."""

POLICY_XATTR = "hsm.block.storage.policy.id"
"""System xattr of a directory; its value is one byte (wire/editlog.md, section 3)."""


@dataclass(frozen=True, slots=True)
class StoragePolicy:
    """The first replica goes to the first type and so on; the last type takes all further ones."""

    policy_id: int
    name: str
    storage_types: tuple[int, ...]
    creation_fallbacks: tuple[int, ...]
    replication_fallbacks: tuple[int, ...]
    copy_on_create_file: bool = False
    """The policy is written into the file at its creation (LAZY_PERSIST)."""

    def __str__(self) -> str:
        """As BlockStoragePolicy.toString has it."""

        def names(types: tuple[int, ...]) -> str:
            return ", ".join(STORAGE_TYPE_NAMES[t] for t in types)

        return (
            f"BlockStoragePolicy{{{self.name}:{self.policy_id},"
            f" storageTypes=[{names(self.storage_types)}],"
            f" creationFallbacks=[{names(self.creation_fallbacks)}],"
            f" replicationFallbacks=[{names(self.replication_fallbacks)}]}}"
        )

    def choose_storage_types(self, replication: int) -> tuple[int, ...]:
        """BlockStoragePolicy.chooseStorageTypes for a number of replicas."""
        first = self.storage_types[:replication]
        return first + (self.storage_types[-1],) * (replication - len(first))


POLICIES = (
    StoragePolicy(1, "PROVIDED", (PROVIDED, DISK), (PROVIDED, DISK), (PROVIDED, DISK)),
    StoragePolicy(2, "COLD", (ARCHIVE,), (), ()),
    StoragePolicy(5, "WARM", (DISK, ARCHIVE), (DISK, ARCHIVE), (DISK, ARCHIVE)),
    StoragePolicy(7, "HOT", (DISK,), (), (ARCHIVE,)),
    StoragePolicy(10, "ONE_SSD", (SSD, DISK), (SSD, DISK), (SSD, DISK)),
    StoragePolicy(12, "ALL_SSD", (SSD,), (DISK,), (DISK,)),
    StoragePolicy(14, "ALL_NVDIMM", (NVDIMM,), (DISK,), (DISK,)),
    StoragePolicy(15, "LAZY_PERSIST", (RAM_DISK, DISK), (DISK,), (DISK,), True),
)
POLICY_BY_ID = {policy.policy_id: policy for policy in POLICIES}
HOT_ID = 7
LAZY_PERSIST_ID = 15
UNSPECIFIED_ID = 0


def policy_by_name(name: str) -> StoragePolicy | None:
    """Names are compared without case (BlockStoragePolicySuite.getPolicy)."""
    wanted = name.upper()
    return next((policy for policy in POLICIES if policy.name == wanted), None)


def policy_of_xattrs(xattrs: Sequence[XAttr]) -> int:
    """The policy id that a directory's xattrs carry, 0 when none."""
    for attribute in xattrs:
        if attribute.namespace == XATTR_SYSTEM and attribute.name == POLICY_XATTR:
            return attribute.value[0] if attribute.value else UNSPECIFIED_ID
    return UNSPECIFIED_ID


def with_policy(xattrs: Sequence[XAttr], policy_id: int) -> tuple[XAttr, ...]:
    """The xattrs of a directory after its policy was set (0: unset)."""
    rest = tuple(a for a in xattrs if not (a.namespace == XATTR_SYSTEM and a.name == POLICY_XATTR))
    if policy_id == UNSPECIFIED_ID:
        return rest
    return (*rest, XAttr(XATTR_SYSTEM, POLICY_XATTR, bytes((policy_id,))))
