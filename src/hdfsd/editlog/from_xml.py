"""Core. Ops out of the XML of Hadoop's offline edits viewer; the other direction of `xml`.

`READERS` says where each field of an op is found. What that XML leaves out comes back as Hadoop's
own reader has it: OP_ADD without extended attributes and storage policy. Other than Hadoop's, it
also brings back a truncation within a block, a key without its bytes, a rename without options, and
the two old quota ops. Hadoop: the fromXml methods of FSEditLogOp.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any

from hdfsd.base.ids import Block, BlockId, GenStamp, TxId
from hdfsd.editlog import ops, xml
from hdfsd.editlog.ops import EditOp
from hdfsd.editlog.stanza import BadXml, Record, Stanza

Reader = Callable[[Stanza], Any]
"""The value of one field, out of the DATA element. Raises BadXml."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER_END = 1 << 63
_CLIENT_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DELEGATION_KIND = "HDFS_DELEGATION_TOKEN"
_OPS = {kind.NAME: kind for kind in ops.OP_CLASSES}


def read_op(record: Record) -> tuple[EditOp, TxId]:
    """The op of one record and its txid. Raises BadXml."""
    kind = _OPS.get(record.opcode)
    if kind is None:
        raise BadXml(f"no opcode {record.opcode!r} has an encoding")
    txid = _number(record.data, "TXID")
    values = {name: read(record.data) for name, read in READERS[kind].items()}
    return kind(**values), TxId(txid)


# -- values ----------------------------------------------------------------------------------


def _number(stanza: Stanza, tag: str) -> int:
    return _to_number(stanza.text(tag), tag)


def _to_number(text: str, tag: str) -> int:
    if not _NUMBER.fullmatch(text) or not -_NUMBER_END <= int(text) < _NUMBER_END:
        raise BadXml(f"{tag} is {text!r}, not a number of 64 bits")
    return int(text)


def _int(tag: str) -> Reader:
    return lambda stanza: _number(stanza, tag)


def _text(tag: str) -> Reader:
    return lambda stanza: stanza.text(tag)


def _bool(tag: str) -> Reader:
    return lambda stanza: stanza.text(tag).lower() == "true"


def _optional_bool(tag: str) -> Reader:
    return lambda stanza: (stanza.text_or_none(tag) or "").lower() == "true"


def _text_or_empty(tag: str) -> Reader:
    return lambda stanza: stanza.text_or_none(tag) or ""


def _int_or_none(tag: str) -> Reader:
    def read(stanza: Stanza) -> int | None:
        text = stanza.text_or_none(tag)
        return None if text is None else _to_number(text, tag)

    return read


def _int_or(tag: str, default: int) -> Reader:
    def read(stanza: Stanza) -> int:
        text = stanza.text_or_none(tag)
        return default if text is None else _to_number(text, tag)

    return read


def _nothing(value: Any) -> Reader:
    """A field that the XML does not hold."""
    return lambda stanza: value


def _of(tag: str, read: Reader) -> Reader:
    """A value inside a child element."""
    return lambda stanza: read(stanza.one(tag))


def _name_of(stanza: Stanza, tag: str, names: tuple[str, ...]) -> int:
    """The ordinal of a name."""
    name = stanza.text(tag)
    if name not in names:
        raise BadXml(f"{tag} is {name!r}, not one of {', '.join(names)}")
    return names.index(name)


def _block(stanza: Stanza) -> Block:
    return Block(
        BlockId(_number(stanza, "BLOCK_ID")),
        _number(stanza, "NUM_BYTES"),
        GenStamp(_number(stanza, "GENSTAMP")),
    )


def _blocks(stanza: Stanza) -> tuple[Block, ...]:
    return tuple(_block(child) for child in stanza.all("BLOCK"))


def _last_blocks(stanza: Stanza) -> tuple[Block, ...]:
    blocks = _blocks(stanza)
    if not 1 <= len(blocks) <= 2:
        raise BadXml(f"{len(blocks)} BLOCK elements where one or two must stand")
    return blocks


def _truncate_block(stanza: Stanza) -> Block | None:
    blocks = _blocks(stanza)
    if len(blocks) > 1:
        raise BadXml(f"{len(blocks)} BLOCK elements where at most one may stand")
    return blocks[0] if blocks else None


def _permissions(stanza: Stanza) -> ops.PermissionStatus:
    inner = stanza.one("PERMISSION_STATUS")
    return ops.PermissionStatus(
        inner.text("USERNAME"), inner.text("GROUPNAME"), _number(inner, "MODE")
    )


def _acl(stanza: Stanza) -> tuple[ops.AclEntry, ...]:
    return tuple(
        ops.AclEntry(
            _name_of(entry, "TYPE", xml.ACL_TYPES),
            _name_of(entry, "SCOPE", xml.ACL_SCOPES),
            _name_of(entry, "PERM", xml.ACTIONS),
            entry.text_or_none("NAME") or None,
        )
        for entry in stanza.all("ENTRY")
    )


def _xattrs(stanza: Stanza) -> tuple[ops.XAttr, ...]:
    return tuple(
        ops.XAttr(
            _name_of(child, "NAMESPACE", xml.XATTR_NAMESPACES),
            child.text("NAME"),
            _xattr_value(child.text_or_none("VALUE")),
        )
        for child in stanza.all("XATTR")
    )


def _xattr_value(text: str | None) -> bytes | None:
    """As XAttrCodec.decodeValue: quoted text, 0x… in hex, 0s… in base 64, or plain text."""
    if text is None:
        return None
    try:
        if len(text) >= 2 and text[0] == text[-1] == '"':
            return text[1:-1].encode()
        if text[:2] in ("0x", "0X"):
            return bytes.fromhex(text[2:])
        if text[:2] in ("0s", "0S"):
            return b64decode(text[2:], validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadXml(f"VALUE is {text[:80]!r}: {error}") from error
    return text.encode()


def _sources(stanza: Stanza) -> tuple[str, ...]:
    inner = stanza.one("SOURCES")
    sources: list[str] = []
    while (source := inner.text_or_none(f"SOURCE{len(sources) + 1}")) is not None:
        sources.append(source)
    return tuple(sources)


def _rename_options(stanza: Stanza) -> bytes:
    names = [name for name in stanza.text("OPTIONS").split("|") if name]
    for name in names:
        if name not in xml.RENAME_OPTIONS:
            raise BadXml(f"error parsing Rename value: {name!r}")
    return bytes(xml.RENAME_OPTIONS.index(name) for name in names)


def _client_id(stanza: Stanza) -> bytes:
    text = stanza.text_or_none("RPC_CLIENTID")
    if not text:
        return ops.NO_CLIENT_ID
    if not _CLIENT_ID.fullmatch(text):
        raise BadXml(f"RPC_CLIENTID is {text!r}, not a UUID")
    return bytes.fromhex(text.replace("-", ""))


def _token(stanza: Stanza) -> ops.DelegationTokenIdentifier:
    inner = stanza.one("DELEGATION_TOKEN_IDENTIFIER")
    if inner.text("KIND") != _DELEGATION_KIND:
        raise BadXml(f"can't understand DelegationTokenIdentifier KIND {inner.text('KIND')}")
    return ops.DelegationTokenIdentifier(
        inner.text("OWNER"),
        inner.text("RENEWER"),
        inner.text("REALUSER"),
        _number(inner, "ISSUE_DATE"),
        _number(inner, "MAX_DATE"),
        _number(inner, "SEQUENCE_NUMBER"),
        _number(inner, "MASTER_KEY_ID"),
    )


def _key(stanza: Stanza) -> ops.DelegationKey:
    inner = stanza.one("DELEGATION_KEY")
    text = inner.text_or_none("KEY")
    try:
        key = None if text is None else bytes.fromhex(text)
    except ValueError as error:
        raise BadXml(f"KEY is {text!r}: {error}") from error
    return ops.DelegationKey(_number(inner, "KEY_ID"), _number(inner, "EXPIRY_DATE"), key)


def _directive(stanza: Stanza) -> ops.CacheDirective:
    return ops.CacheDirective(
        _number(stanza, "ID"),
        stanza.text_or_none("PATH"),
        _int_or_none("REPLICATION")(stanza),
        stanza.text_or_none("POOL"),
        _int_or_none("EXPIRATION")(stanza),
    )


def _pool(stanza: Stanza) -> ops.CachePool:
    return ops.CachePool(
        stanza.text("POOLNAME"),
        stanza.text_or_none("OWNERNAME"),
        stanza.text_or_none("GROUPNAME"),
        _int_or_none("MODE")(stanza),
        _int_or_none("LIMIT")(stanza),
        _int_or_none("MAXRELATIVEEXPIRY")(stanza),
        _int_or_none("DEFAULTREPLICATION")(stanza),
    )


def _ec_policy(stanza: Stanza) -> ops.ErasureCodingPolicy:
    options = tuple((o.text("KEY"), o.text("VALUE")) for o in stanza.all("EXTRAOPTION"))
    announced = _number(stanza, "EXTRAOPTIONS")
    if announced != len(options):
        raise BadXml(f"EXTRAOPTIONS is {announced}, but there are {len(options)}")
    return ops.ErasureCodingPolicy(
        stanza.text("CODEC"),
        _number(stanza, "DATAUNITS"),
        _number(stanza, "PARITYUNITS"),
        _number(stanza, "CELLSIZE"),
        options,
    )


# -- ops -------------------------------------------------------------------------------------

_RPC_IDS = {"client_id": _client_id, "call_id": _int_or("RPC_CALLID", ops.NO_CALL_ID)}
_SRC = {"src": _text("SRC")}
_PATH = {"path": _text("PATH")}
_TIMESTAMP = {"timestamp": _int("TIMESTAMP")}
_TIMES = {"mtime": _int("MTIME"), "atime": _int("ATIME")}
_CLIENT = {"client_name": _text("CLIENT_NAME"), "client_machine": _text("CLIENT_MACHINE")}
_FILE = {
    "inode_id": _int("INODEID"),
    **_PATH,
    "replication": _int("REPLICATION"),
    **_TIMES,
    "block_size": _int("BLOCKSIZE"),
    "blocks": _blocks,
    "permissions": _permissions,
}
_SNAPSHOT = {
    "snapshot_root": _text("SNAPSHOTROOT"),
    "snapshot_name": _text("SNAPSHOTNAME"),
    "mtime": _int("MTIME"),
    **_RPC_IDS,
}
_SNAPSHOT_ROOT = {"snapshot_root": _text("SNAPSHOTROOT")}
_XATTRS = {**_SRC, "xattrs": _xattrs, **_RPC_IDS}
_POLICY = {"ec_policy_name": _text("POLICYNAME"), **_RPC_IDS}

READERS: Mapping[type[EditOp], Mapping[str, Reader]] = {
    ops.AddOp: {
        **_FILE,
        "acl_entries": _acl,
        "xattrs": _nothing(()),
        **_CLIENT,
        "overwrite": _optional_bool("OVERWRITE"),
        "storage_policy_id": _nothing(0),
        "erasure_coding_policy_id": _int_or("ERASURE_CODING_POLICY_ID", 0),
        **_RPC_IDS,
    },
    ops.RenameOldOp: {**_SRC, "dst": _text("DST"), **_TIMESTAMP, **_RPC_IDS},
    ops.DeleteOp: {**_PATH, **_TIMESTAMP, **_RPC_IDS},
    ops.MkdirOp: {
        "inode_id": _int("INODEID"),
        **_PATH,
        "mtime": _int("TIMESTAMP"),
        "atime": _int("TIMESTAMP"),
        "permissions": _permissions,
        "acl_entries": _acl,
        "xattrs": _xattrs,
    },
    ops.SetReplicationOp: {**_PATH, "replication": _int("REPLICATION")},
    ops.SetPermissionsOp: {**_SRC, "mode": _int("MODE")},
    ops.SetOwnerOp: {
        **_SRC,
        "username": _text_or_empty("USERNAME"),
        "groupname": _text_or_empty("GROUPNAME"),
    },
    ops.CloseOp: _FILE,
    ops.SetGenstampV1Op: {"gen_stamp_v1": _int("GENSTAMP")},
    ops.SetNSQuotaOp: {**_SRC, "ns_quota": _int("NSQUOTA")},
    ops.ClearNSQuotaOp: _SRC,
    ops.TimesOp: {**_PATH, **_TIMES},
    ops.SetQuotaOp: {**_SRC, "ns_quota": _int("NSQUOTA"), "ds_quota": _int("DSQUOTA")},
    ops.RenameOp: {
        **_SRC,
        "dst": _text("DST"),
        **_TIMESTAMP,
        "options": _rename_options,
        **_RPC_IDS,
    },
    ops.ConcatDeleteOp: {"trg": _text("TRG"), "srcs": _sources, **_TIMESTAMP, **_RPC_IDS},
    ops.SymlinkOp: {
        "inode_id": _int("INODEID"),
        **_PATH,
        "value": _text("VALUE"),
        **_TIMES,
        "permissions": _permissions,
        **_RPC_IDS,
    },
    ops.GetDelegationTokenOp: {"token": _token, "expiry_time": _int("EXPIRY_TIME")},
    ops.RenewDelegationTokenOp: {"token": _token, "expiry_time": _int("EXPIRY_TIME")},
    ops.CancelDelegationTokenOp: {"token": _token},
    ops.UpdateMasterKeyOp: {"key": _key},
    ops.ReassignLeaseOp: {
        "lease_holder": _text("LEASEHOLDER"),
        **_PATH,
        "new_holder": _text("NEWHOLDER"),
    },
    ops.EndLogSegmentOp: {},
    ops.StartLogSegmentOp: {},
    ops.UpdateBlocksOp: {**_PATH, "blocks": _blocks, **_RPC_IDS},
    ops.CreateSnapshotOp: _SNAPSHOT,
    ops.DeleteSnapshotOp: _SNAPSHOT,
    ops.RenameSnapshotOp: {
        **_SNAPSHOT_ROOT,
        "snapshot_old_name": _text("SNAPSHOTOLDNAME"),
        "snapshot_new_name": _text("SNAPSHOTNEWNAME"),
        "mtime": _int("MTIME"),
        **_RPC_IDS,
    },
    ops.AllowSnapshotOp: _SNAPSHOT_ROOT,
    ops.DisallowSnapshotOp: _SNAPSHOT_ROOT,
    ops.SetGenstampV2Op: {"gen_stamp_v2": _int("GENSTAMPV2")},
    ops.AllocateBlockIdOp: {"block_id": _int("BLOCK_ID")},
    ops.AddBlockOp: {**_PATH, "blocks": _last_blocks, **_RPC_IDS},
    ops.AddCacheDirectiveInfoOp: {"directive": _directive, **_RPC_IDS},
    ops.RemoveCacheDirectiveInfoOp: {"directive_id": _int("ID"), **_RPC_IDS},
    ops.AddCachePoolOp: {"info": _pool, **_RPC_IDS},
    ops.ModifyCachePoolOp: {"info": _pool, **_RPC_IDS},
    ops.RemoveCachePoolOp: {"pool_name": _text("POOLNAME"), **_RPC_IDS},
    ops.ModifyCacheDirectiveInfoOp: {"directive": _directive, **_RPC_IDS},
    ops.SetAclOp: {**_SRC, "entries": _acl},
    ops.RollingUpgradeStartOp: {"time": _int("STARTTIME")},
    ops.RollingUpgradeFinalizeOp: {"time": _int("FINALIZETIME")},
    ops.SetXAttrOp: _XATTRS,
    ops.RemoveXAttrOp: _XATTRS,
    ops.SetStoragePolicyOp: {**_PATH, "policy_id": _int("POLICYID")},
    ops.TruncateOp: {
        **_SRC,
        "client_name": _text("CLIENTNAME"),
        "client_machine": _text("CLIENTMACHINE"),
        "new_length": _int("NEWLENGTH"),
        **_TIMESTAMP,
        "truncate_block": _truncate_block,
    },
    ops.AppendOp: {**_PATH, **_CLIENT, "new_block": _bool("NEWBLOCK"), **_RPC_IDS},
    ops.SetQuotaByStorageTypeOp: {
        **_SRC,
        "storage_type": _int("STORAGETYPE"),
        "ds_quota": _int("DSQUOTA"),
    },
    ops.AddErasureCodingPolicyOp: {"policy": _ec_policy, **_RPC_IDS},
    ops.EnableErasureCodingPolicyOp: _POLICY,
    ops.DisableErasureCodingPolicyOp: _POLICY,
    ops.RemoveErasureCodingPolicyOp: _POLICY,
}
