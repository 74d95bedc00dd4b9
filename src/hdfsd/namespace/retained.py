"""Core. Records held for the image and the log although nothing acts on them yet.

Erasure coding policies, delegation keys and tokens, cache pools and directives, rolling upgrade.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

from hdfsd.base.errors import InvariantBroken
from hdfsd.editlog import ops
from hdfsd.editlog.ops import (
    CacheDirective,
    CachePool,
    DelegationKey,
    DelegationTokenIdentifier,
    EditOp,
    ErasureCodingPolicy,
)

_Record = TypeVar("_Record", CachePool, CacheDirective)

EC_DISABLED, EC_ENABLED, EC_REMOVED = 1, 2, 3
"""HdfsProtos.ErasureCodingPolicyState."""
_FIRST_USER_EC_POLICY_ID = 64
"""ErasureCodeConstants.USER_DEFINED_POLICY_START_ID."""


@dataclass(frozen=True, slots=True)
class EcPolicyRecord:
    """`schema` None for the built-in policies (ids 1..5), which the image saves as id and state."""

    policy_id: int
    name: str
    state: int
    schema: ErasureCodingPolicy | None


BUILT_IN_EC_POLICIES = (
    EcPolicyRecord(1, "RS-6-3-1024k", EC_ENABLED, None),
    EcPolicyRecord(2, "RS-3-2-1024k", EC_DISABLED, None),
    EcPolicyRecord(3, "RS-LEGACY-6-3-1024k", EC_DISABLED, None),
    EcPolicyRecord(4, "XOR-2-1-1024k", EC_DISABLED, None),
    EcPolicyRecord(5, "RS-10-4-1024k", EC_DISABLED, None),
)


class Retained:
    """Dictionaries in the order in which the records came."""

    def __init__(self) -> None:
        self.ec_policies: dict[str, EcPolicyRecord] = {p.name: p for p in BUILT_IN_EC_POLICIES}
        self.delegation_key_id = 0
        self.delegation_sequence_number = 0
        self.delegation_keys: dict[int, DelegationKey] = {}
        self.delegation_tokens: dict[int, tuple[DelegationTokenIdentifier, int]] = {}
        """Sequence number → (identifier, expiry in ms)."""
        self.next_directive_id = 1
        self.cache_pools: dict[str, CachePool] = {}
        self.cache_directives: dict[int, CacheDirective] = {}
        self.rolling_upgrade_start_ms: int | None = None

    def apply(self, op: EditOp) -> None:
        """Takes in one op of these. Raises InvariantBroken when it speaks of an unknown record."""
        try:
            self._apply(op)
        except KeyError as missing:
            raise InvariantBroken(f"P4: {op.NAME} speaks of unknown {missing}: {op}") from missing

    def _apply(self, op: EditOp) -> None:
        match op:
            case ops.GetDelegationTokenOp() | ops.RenewDelegationTokenOp():
                number = op.token.sequence_number
                self.delegation_tokens[number] = (op.token, op.expiry_time)
                self.delegation_sequence_number = max(self.delegation_sequence_number, number)
            case ops.CancelDelegationTokenOp():
                del self.delegation_tokens[op.token.sequence_number]
            case ops.UpdateMasterKeyOp():
                self.delegation_keys[op.key.key_id] = op.key
                self.delegation_key_id = max(self.delegation_key_id, op.key.key_id)
            case ops.RollingUpgradeStartOp():
                self.rolling_upgrade_start_ms = op.time
            case ops.RollingUpgradeFinalizeOp():
                self.rolling_upgrade_start_ms = None
            case _:
                self._apply_cache(op)

    def _apply_cache(self, op: EditOp) -> None:
        match op:
            case ops.AddCachePoolOp():
                self.cache_pools[op.info.name] = op.info
            case ops.ModifyCachePoolOp():
                self.cache_pools[op.info.name] = _changed(self.cache_pools[op.info.name], op.info)
            case ops.RemoveCachePoolOp():
                del self.cache_pools[op.pool_name]
                for number, directive in list(self.cache_directives.items()):
                    if directive.pool == op.pool_name:
                        del self.cache_directives[number]
            case ops.AddCacheDirectiveInfoOp():
                number = op.directive.directive_id
                self.cache_directives[number] = op.directive
                self.next_directive_id = max(self.next_directive_id, number + 1)
            case ops.ModifyCacheDirectiveInfoOp():
                number = op.directive.directive_id
                self.cache_directives[number] = _changed(
                    self.cache_directives[number], op.directive
                )
            case ops.RemoveCacheDirectiveInfoOp():
                del self.cache_directives[op.directive_id]
            case _:
                self._apply_ec(op)

    def _apply_ec(self, op: EditOp) -> None:
        match op:
            case ops.AddErasureCodingPolicyOp():
                self._add_ec_policy(op.policy)
            case ops.EnableErasureCodingPolicyOp():
                self._set_ec_state(op.ec_policy_name, EC_ENABLED)
            case ops.DisableErasureCodingPolicyOp():
                self._set_ec_state(op.ec_policy_name, EC_DISABLED)
            case ops.RemoveErasureCodingPolicyOp():
                self._set_ec_state(op.ec_policy_name, EC_REMOVED)
            case _:
                raise InvariantBroken(f"P4: {op.NAME} is no record to retain")

    def _add_ec_policy(self, schema: ErasureCodingPolicy) -> None:
        name = ec_policy_name(schema)
        if name not in self.ec_policies:
            ids = [record.policy_id for record in self.ec_policies.values()]
            number = max(_FIRST_USER_EC_POLICY_ID, max(ids) + 1)
            self.ec_policies[name] = EcPolicyRecord(number, name, EC_DISABLED, schema)

    def _set_ec_state(self, name: str, state: int) -> None:
        self.ec_policies[name] = replace(self.ec_policies[name], state=state)


def ec_policy_name(schema: ErasureCodingPolicy) -> str:
    """ErasureCodingPolicy.composePolicyName: `RS-6-3-1024k`."""
    cell_kib = schema.cell_size // 1024
    return f"{schema.codec.upper()}-{schema.data_units}-{schema.parity_units}-{cell_kib}k"


def _changed(old: _Record, new: _Record) -> _Record:
    """`old` with the attributes that `new` carries."""
    given = {f.name: value for f in fields(new) if (value := getattr(new, f.name)) is not None}
    return replace(old, **given)
