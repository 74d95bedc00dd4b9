"""Core. Which calls a NameNode takes in which HA state: one table, one question. Holds P2, P4.

Categories are those that Hadoop's FSNamesystem and NameNodeRpcServer check, method by method
(`checkOperation`); a method that is not listed changes or shows the namespace of an active only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

from hdfsd.base.errors import StandbyError
from hdfsd.wire.services import (
    CLIENT_PROTOCOL,
    NAMENODE_PROTOCOL,
    Method,
)


class HAState(Enum):
    """Names are Hadoop's; the text is what messages say."""

    INITIALIZING = "initializing"
    ACTIVE = "active"
    STANDBY = "standby"
    OBSERVER = "observer"


class Category(Enum):
    UNCHECKED = "UNCHECKED"
    READ = "READ"
    WRITE = "WRITE"
    CHECKPOINT = "CHECKPOINT"
    JOURNAL = "JOURNAL"


UNCHECKED_CLIENT_METHODS = frozenset(
    {
        "finalizeUpgrade",
        "getDatanodeReport",
        "getDatanodeStorageReport",
        "getFsECBlockGroupStats",
        "getFsReplicatedBlockStats",
        "getFsStats",
        "getHAServiceState",
        "getSlowDatanodeReport",
        "metaSave",
        "refreshNodes",
        "restoreFailedStorage",
        "saveNamespace",
        "setBalancerBandwidth",
        "setSafeMode",
        "upgradeStatus",
    }
)

NAMENODE_METHODS: Mapping[str, Category] = {
    "endCheckpoint": Category.CHECKPOINT,
    "errorReport": Category.UNCHECKED,
    "getBlockKeys": Category.READ,
    "getBlocks": Category.READ,
    "getEditLogManifest": Category.READ,
    "getMostRecentCheckpointTxId": Category.UNCHECKED,
    "getTransactionId": Category.UNCHECKED,
    "isRollingUpgrade": Category.UNCHECKED,
    "isUpgradeFinalized": Category.READ,
    "registerSubordinateNamenode": Category.CHECKPOINT,
    "rollEditLog": Category.JOURNAL,
    "startCheckpoint": Category.CHECKPOINT,
    "versionRequest": Category.UNCHECKED,
}


def category(method: Method) -> Category:
    """The operation category of one method; administrative protocols are never checked."""
    if method.protocol == CLIENT_PROTOCOL:
        if method.name in UNCHECKED_CLIENT_METHODS:
            return Category.UNCHECKED
        if method.name == "rollEdits":
            return Category.JOURNAL
        if method.name == "msync":
            # A read, but of the active alone: it tells how far writes have got.
            return Category.WRITE
        return Category.READ if method.read_only else Category.WRITE
    if method.protocol == NAMENODE_PROTOCOL:
        return NAMENODE_METHODS.get(method.name, Category.WRITE)
    return Category.UNCHECKED


RULES: Mapping[HAState, frozenset[Category]] = {
    HAState.INITIALIZING: frozenset({Category.UNCHECKED}),
    HAState.ACTIVE: frozenset(Category),
    HAState.STANDBY: frozenset({Category.UNCHECKED}),
    HAState.OBSERVER: frozenset({Category.UNCHECKED, Category.READ}),
}
"""Which categories each state takes; a standby that allows stale reads takes READ as well."""

FAQ = "Visit https://s.apache.org/sbnn-error"


def gate_for(state: HAState, *, allow_stale_reads: bool) -> Callable[[Method], None] | None:
    """The check to make before every handler in this state; None when everything is allowed.

    The check raises StandbyError with Hadoop's text (StandbyState.checkOperation).
    """
    allowed = RULES[state]
    if state is HAState.STANDBY and allow_stale_reads:
        allowed |= {Category.READ}
    if allowed == frozenset(Category):
        return None

    def check(method: Method) -> None:
        kind = category(method)
        if kind not in allowed:
            raise refusal(state, kind)

    return check


def refusal(state: HAState, kind: Category) -> StandbyError:
    """What a call of this category is told in a state that does not take it."""
    return StandbyError(
        f"Operation category {kind.value} is not supported in state {state.value}. {FAQ}"
    )
