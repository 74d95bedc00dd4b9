"""retained: records of what nothing acts on yet."""

from __future__ import annotations

import pytest

from hdfsd.base.errors import InvariantBroken
from hdfsd.editlog import ops
from hdfsd.namespace.retained import EC_DISABLED, EC_ENABLED, EC_REMOVED, Retained, ec_policy_name

SCHEMA = ops.ErasureCodingPolicy("rs", 4, 2, 65536, ())
TOKEN = ops.DelegationTokenIdentifier("o", "r", "", 1, 2, 7, 3)
POOL = ops.CachePool("p", "o", "g", 0o755, 100, 200, 1)


def test_erasure_coding_policies() -> None:
    retained = Retained()
    assert retained.ec_policies["RS-6-3-1024k"].state == EC_ENABLED
    retained.apply(ops.EnableErasureCodingPolicyOp("XOR-2-1-1024k"))
    retained.apply(ops.DisableErasureCodingPolicyOp("RS-6-3-1024k"))
    assert retained.ec_policies["XOR-2-1-1024k"].state == EC_ENABLED
    assert retained.ec_policies["RS-6-3-1024k"].state == EC_DISABLED
    retained.apply(ops.AddErasureCodingPolicyOp(SCHEMA))
    retained.apply(ops.AddErasureCodingPolicyOp(SCHEMA))
    added = retained.ec_policies[ec_policy_name(SCHEMA)]
    assert (added.policy_id, added.name, added.state) == (64, "RS-4-2-64k", EC_DISABLED)
    retained.apply(ops.RemoveErasureCodingPolicyOp(added.name))
    assert retained.ec_policies[added.name].state == EC_REMOVED


def test_delegation_tokens_and_keys() -> None:
    retained = Retained()
    retained.apply(ops.UpdateMasterKeyOp(ops.DelegationKey(3, 50, b"k")))
    retained.apply(ops.GetDelegationTokenOp(TOKEN, 10))
    retained.apply(ops.RenewDelegationTokenOp(TOKEN, 20))
    assert retained.delegation_tokens == {7: (TOKEN, 20)}
    assert (retained.delegation_sequence_number, retained.delegation_key_id) == (7, 3)
    retained.apply(ops.CancelDelegationTokenOp(TOKEN))
    assert retained.delegation_tokens == {}
    assert retained.delegation_sequence_number == 7


def test_cache_pools_and_directives() -> None:
    retained = Retained()
    retained.apply(ops.AddCachePoolOp(POOL))
    change = ops.CachePool("p", None, None, None, 5, None, None)
    retained.apply(ops.ModifyCachePoolOp(change))
    assert retained.cache_pools["p"] == ops.CachePool("p", "o", "g", 0o755, 5, 200, 1)
    retained.apply(ops.AddCacheDirectiveInfoOp(ops.CacheDirective(4, "/a", 1, "p", 9)))
    moved = ops.CacheDirective(4, "/b", None, None, None)
    retained.apply(ops.ModifyCacheDirectiveInfoOp(moved))
    assert retained.cache_directives[4] == ops.CacheDirective(4, "/b", 1, "p", 9)
    assert retained.next_directive_id == 5
    retained.apply(ops.AddCacheDirectiveInfoOp(ops.CacheDirective(5, "/c", 1, "p", 9)))
    retained.apply(ops.RemoveCacheDirectiveInfoOp(5))
    retained.apply(ops.RemoveCachePoolOp("p"))
    assert retained.cache_pools == retained.cache_directives == {}


def test_rolling_upgrade() -> None:
    retained = Retained()
    retained.apply(ops.RollingUpgradeStartOp(99))
    assert retained.rolling_upgrade_start_ms == 99
    retained.apply(ops.RollingUpgradeFinalizeOp(100))
    assert retained.rolling_upgrade_start_ms is None


@pytest.mark.parametrize(
    "op",
    [
        ops.CancelDelegationTokenOp(TOKEN),
        ops.EnableErasureCodingPolicyOp("none"),
        ops.ModifyCachePoolOp(POOL),
        ops.RemoveCachePoolOp("none"),
        ops.RemoveCacheDirectiveInfoOp(1),
        ops.ModifyCacheDirectiveInfoOp(ops.CacheDirective(1, None, None, None, None)),
        ops.DeleteOp("/", 1),
    ],
    ids=lambda op: op.NAME,
)
def test_unknown_records_stop_the_process(op: ops.EditOp) -> None:
    with pytest.raises(InvariantBroken, match=op.NAME):
        Retained().apply(op)
