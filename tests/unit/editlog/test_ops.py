"""One class per opcode, as wire/editlog.tsv lists them."""

from __future__ import annotations

import dataclasses

from hdfsd.editlog import ops

NAMES = {
    0: "OP_ADD",
    1: "OP_RENAME_OLD",
    2: "OP_DELETE",
    3: "OP_MKDIR",
    4: "OP_SET_REPLICATION",
    7: "OP_SET_PERMISSIONS",
    8: "OP_SET_OWNER",
    9: "OP_CLOSE",
    10: "OP_SET_GENSTAMP_V1",
    11: "OP_SET_NS_QUOTA",
    12: "OP_CLEAR_NS_QUOTA",
    13: "OP_TIMES",
    14: "OP_SET_QUOTA",
    15: "OP_RENAME",
    16: "OP_CONCAT_DELETE",
    17: "OP_SYMLINK",
    18: "OP_GET_DELEGATION_TOKEN",
    19: "OP_RENEW_DELEGATION_TOKEN",
    20: "OP_CANCEL_DELEGATION_TOKEN",
    21: "OP_UPDATE_MASTER_KEY",
    22: "OP_REASSIGN_LEASE",
    23: "OP_END_LOG_SEGMENT",
    24: "OP_START_LOG_SEGMENT",
    25: "OP_UPDATE_BLOCKS",
    26: "OP_CREATE_SNAPSHOT",
    27: "OP_DELETE_SNAPSHOT",
    28: "OP_RENAME_SNAPSHOT",
    29: "OP_ALLOW_SNAPSHOT",
    30: "OP_DISALLOW_SNAPSHOT",
    31: "OP_SET_GENSTAMP_V2",
    32: "OP_ALLOCATE_BLOCK_ID",
    33: "OP_ADD_BLOCK",
    34: "OP_ADD_CACHE_DIRECTIVE",
    35: "OP_REMOVE_CACHE_DIRECTIVE",
    36: "OP_ADD_CACHE_POOL",
    37: "OP_MODIFY_CACHE_POOL",
    38: "OP_REMOVE_CACHE_POOL",
    39: "OP_MODIFY_CACHE_DIRECTIVE",
    40: "OP_SET_ACL",
    41: "OP_ROLLING_UPGRADE_START",
    42: "OP_ROLLING_UPGRADE_FINALIZE",
    43: "OP_SET_XATTR",
    44: "OP_REMOVE_XATTR",
    45: "OP_SET_STORAGE_POLICY",
    46: "OP_TRUNCATE",
    47: "OP_APPEND",
    48: "OP_SET_QUOTA_BY_STORAGETYPE",
    49: "OP_ADD_ERASURE_CODING_POLICY",
    50: "OP_ENABLE_ERASURE_CODING_POLICY",
    51: "OP_DISABLE_ERASURE_CODING_POLICY",
    52: "OP_REMOVE_ERASURE_CODING_POLICY",
}
WITHOUT_RPC_IDS = {3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 18, 19, 20, 21, 22, 23, 24}
WITHOUT_RPC_IDS |= {29, 30, 31, 32, 40, 41, 42, 45, 46, 48}


def test_every_opcode_has_its_class() -> None:
    assert {c.OPCODE: c.NAME for c in ops.OP_CLASSES} == NAMES
    assert len(ops.OP_CLASSES) == len(NAMES)
    assert not {*ops.OPCODES_OBSOLETE, ops.OPCODE_INVALID} & set(NAMES)


def test_rpc_ids_are_the_last_fields_of_the_ops_that_have_them() -> None:
    for kind in ops.OP_CLASSES:
        names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        assert (names[-2:] == ["client_id", "call_id"]) == (kind.OPCODE not in WITHOUT_RPC_IDS)
