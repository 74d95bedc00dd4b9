"""Core. The directories of a journal through upgrade, finalization and rollback.

States and texts: Hadoop's Storage.analyzeStorage, Storage.doRecover and NNUpgradeUtil. Each step
is renames in an order in which every moment between two of them is a state of the table, and is
finished or undone when the journal is next opened. A crash shows by one temporary directory:

    previous.tmp   doPreUpgrade renamed `current`; doUpgrade writes the new VERSION, then names it
                   `previous`
    removed.tmp    doRollback renamed `current`; `previous` takes its place
    finalized.tmp  doFinalize renamed `previous`, and removes it

Two things are stricter than Hadoop's, for J1: the epochs are in the new `current` before its
VERSION makes it valid, and a rollback keeps the newest promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from hdfsd.base.errors import (
    IllegalState,
    InconsistentStorage,
    IOFault,
)
from hdfsd.base.ids import StorageInfo

CURRENT = "current"
PREVIOUS = "previous"
PREVIOUS_TMP = "previous.tmp"
REMOVED_TMP = "removed.tmp"
FINALIZED_TMP = "finalized.tmp"
TEMPORARY = (PREVIOUS_TMP, REMOVED_TMP, FINALIZED_TMP)


class Repair(Enum):
    """What an opening journal does first (Storage.StorageState, by Hadoop's names)."""

    NONE = "nothing"
    COMPLETE_UPGRADE = "names previous.tmp previous: the upgrade was decided"
    RECOVER_UPGRADE = "puts previous.tmp back as current: the upgrade was not decided"
    COMPLETE_ROLLBACK = "removes removed.tmp: the rollback was decided"
    RECOVER_ROLLBACK = "puts removed.tmp back as current: the rollback was not decided"
    COMPLETE_FINALIZE = "removes finalized.tmp"


@dataclass(frozen=True, slots=True)
class Directories:
    """What lies in the root of a journal."""

    valid_current: bool
    """`current/VERSION` is there."""
    present: frozenset[str]
    """Of PREVIOUS and TEMPORARY."""


REPAIRS: Mapping[tuple[str, bool, bool], Repair] = MappingProxyType(
    {
        (FINALIZED_TMP, True, False): Repair.COMPLETE_FINALIZE,
        (FINALIZED_TMP, False, False): Repair.COMPLETE_FINALIZE,
        (PREVIOUS_TMP, True, False): Repair.COMPLETE_UPGRADE,
        (PREVIOUS_TMP, False, False): Repair.RECOVER_UPGRADE,
        (REMOVED_TMP, True, False): Repair.COMPLETE_ROLLBACK,
        (REMOVED_TMP, False, True): Repair.RECOVER_ROLLBACK,
    }
)
"""By (the temporary directory, whether `current` is valid, whether `previous` is there)."""


def repair_of(root: str, found: Directories) -> Repair:
    """How to go on from what a crash left. Raises InconsistentStorage for others."""
    temporary = [name for name in TEMPORARY if name in found.present]
    has_previous = PREVIOUS in found.present
    if not temporary:
        if has_previous and not found.valid_current:
            raise _inconsistent(root, "version file in current directory is missing.")
        return Repair.NONE
    if len(temporary) > 1:
        raise _inconsistent(root, "too many temporary directories.")
    repair = REPAIRS.get((temporary[0], found.valid_current, has_previous))
    if repair is not None:
        return repair
    if temporary[0] == REMOVED_TMP:
        raise _inconsistent(
            root,
            f"one and only one directory {CURRENT} or {PREVIOUS} must be present when"
            f" {REMOVED_TMP} exists.",
        )
    raise _inconsistent(root, f"{PREVIOUS} and {temporary[0]} cannot exist together.")


def check_pre_upgrade(has_current: bool, present: frozenset[str]) -> None:
    """Raises IllegalState."""
    _require(has_current, "Current directory must exist for preupgrade.")
    _require(PREVIOUS not in present, "Previous directory must not exist for preupgrade.")
    _require(
        PREVIOUS_TMP not in present,
        "Previous.tmp directory must not exist for preupgrade.Consider restarting for recovery.",
    )


def check_upgrade(present: frozenset[str]) -> None:
    """Raises IllegalState."""
    _require(PREVIOUS not in present, "previous directory must not exist for upgrade.")
    _require(PREVIOUS_TMP in present, "previous.tmp directory must exist for upgrade.")


def check_rollback(has_current: bool, present: frozenset[str]) -> None:
    """Of a journal that has a `previous`. Raises IllegalState."""
    _require(
        REMOVED_TMP not in present,
        "removed.tmp directory must not exist for rollback.Consider restarting for recovery.",
    )
    _require(has_current, "Current directory must exist for rollback.")


def check_finalize(has_current: bool) -> None:
    """Of a journal that has a `previous`. Raises IllegalState."""
    _require(has_current, "Current directory must exist.")


def check_can_roll_back(
    previous: StorageInfo, asked: StorageInfo, *, root: str, target_layout_version: int
) -> None:
    """Whether `previous` is what a NameNode of that layout version can read.

    `asked`: what it knows of the former storage. Raises InconsistentStorage, IOFault.
    """
    check_same_storage(previous, asked, root=root)
    if previous.layout_version != target_layout_version:
        raise IOFault(
            f"Cannot rollback to storage version {previous.layout_version} using this version of"
            f" the NameNode, which uses storage version {target_layout_version}. Please use the"
            " previous version of HDFS to perform the rollback."
        )


def check_same_storage(ours: StorageInfo, asked: StorageInfo, *, root: str) -> None:
    """Raises InconsistentStorage; what the caller leaves empty is not compared (StorageInfo)."""
    if asked.namespace_id not in (0, ours.namespace_id):
        raise _inconsistent(root, "namespaceID is incompatible with others.")
    if asked.cluster_id not in ("", ours.cluster_id):
        raise _inconsistent(root, "cluster Id is incompatible with others.")


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise IllegalState(text)


def _inconsistent(root: str, cause: str) -> InconsistentStorage:
    return InconsistentStorage(f"Directory {root} is in an inconsistent state: {cause}")
