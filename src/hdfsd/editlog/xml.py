"""Core. Ops as the XML of Hadoop's offline edits viewer (`oev -p xml`), byte for byte.

`ELEMENTS` says for each op what stands in its DATA element, in order. Hadoop: the toXml methods of
FSEditLogOp, and XMLUtils for characters that XML can't hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hdfsd.base.ids import Block
from hdfsd.editlog import ops
from hdfsd.editlog.ops import EditOp

Lines = Iterator[str]
Element = Callable[[Any], Lines]
"""Lines of one element or of several (or none), without indentation beyond their own."""

_INDENT = "  "
ACTIONS = ("---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx")
ACL_TYPES = ("USER", "GROUP", "MASK", "OTHER")
ACL_SCOPES = ("ACCESS", "DEFAULT")
XATTR_NAMESPACES = ("USER", "TRUSTED", "SECURITY", "SYSTEM", "RAW")
RENAME_OPTIONS = ("NONE", "OVERWRITE", "TO_TRASH")

_MANGLED = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff\\\\]")
_ESCAPED = re.compile("[&<>\r\x7f-\x9f\U00010000-\U0010ffff]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render(stream: Iterable[tuple[EditOp, int]], layout_version: int) -> Iterator[str]:
    """The whole document in pieces, one per op; `stream` gives (op, txid)."""
    yield document_start(layout_version)
    for op, txid in stream:
        yield document_record(op, txid)
    yield document_end()


def document_start(layout_version: int) -> str:
    """What stands before the first record."""
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f"<EDITS>\n{_INDENT}<EDITS_VERSION>{layout_version}</EDITS_VERSION>\n"
    )


def document_record(op: EditOp, txid: int) -> str:
    """One record as it stands in the document."""
    return "".join(f"{_INDENT}{line}\n" for line in record(op, txid))


def document_end(error: str | None = None) -> str:
    """What stands behind the last record; an error makes it no document, as in Hadoop."""
    return "</EDITS>\n" if error is None else f"</EDITS><ERROR>{escape(error)}</ERROR>\n"


def record(op: EditOp, txid: int) -> Lines:
    """The lines of one RECORD element."""
    data = [line for element in ELEMENTS[type(op)] for line in element(op)]
    yield from _nested(
        "RECORD",
        [*_leaf("OPCODE", op.NAME), *_nested("DATA", [*_leaf("TXID", txid), *data])],
    )


def escape(text: str) -> str:
    """Character data: what XML can't hold as `\\xxxx;`, the rest as Java's serializer writes it."""
    text = _MANGLED.sub(lambda m: f"\\{ord(m[0]):04x};", text)
    return _ESCAPED.sub(lambda m: _ENTITIES.get(m[0]) or f"&#{ord(m[0])};", text)


def _leaf(tag: str, value: object) -> Lines:
    if isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = escape(str(value))
    yield f"<{tag}>{text}</{tag}>" if text else f"<{tag}/>"


def _nested(tag: str, lines: Iterable[str]) -> Lines:
    inner = [_INDENT + line for line in lines]
    yield from (f"<{tag}>", *inner, f"</{tag}>") if inner else (f"<{tag}/>",)


# -- elements --------------------------------------------------------------------------------


def _field(tag: str, name: str) -> Element:
    def element(op: Any) -> Lines:
        return _leaf(tag, getattr(op, name))

    return element


def _optional(tag: str, name: str) -> Element:
    """Left out where the field is None or empty."""

    def element(op: Any) -> Lines:
        value = getattr(op, name)
        return iter(()) if value is None or value == "" else _leaf(tag, value)

    return element


def _constant(tag: str, value: object) -> Element:
    return lambda op: _leaf(tag, value)


def _part(name: str, *elements: Element) -> Element:
    """Elements of a record that the op holds in one field."""

    def element(op: Any) -> Lines:
        part = getattr(op, name)
        for inner in elements:
            yield from inner(part)

    return element


def _inside(tag: str, *elements: Element) -> Element:
    def element(op: Any) -> Lines:
        return _nested(tag, [line for inner in elements for line in inner(op)])

    return element


def _block_lines(block: Block) -> Lines:
    return _nested(
        "BLOCK",
        [
            *_leaf("BLOCK_ID", block.block_id),
            *_leaf("NUM_BYTES", block.num_bytes),
            *_leaf("GENSTAMP", block.gen_stamp),
        ],
    )


def _blocks(op: Any) -> Lines:
    for block in op.blocks:
        yield from _block_lines(block)


def _truncate_block(op: ops.TruncateOp) -> Lines:
    return iter(()) if op.truncate_block is None else _block_lines(op.truncate_block)


def _acl_of(name: str) -> Element:
    def element(op: Any) -> Lines:
        for entry in getattr(op, name):
            lines = [
                *_leaf("SCOPE", ACL_SCOPES[entry.scope]),
                *_leaf("TYPE", ACL_TYPES[entry.type]),
                *(_leaf("NAME", entry.name) if entry.name is not None else ()),
                *_leaf("PERM", ACTIONS[entry.permission]),
            ]
            yield from _nested("ENTRY", lines)

    return element


def _xattrs(op: Any) -> Lines:
    for xattr in op.xattrs:
        lines = [
            *_leaf("NAMESPACE", XATTR_NAMESPACES[xattr.namespace]),
            *_leaf("NAME", xattr.name),
            *(_leaf("VALUE", "0x" + xattr.value.hex()) if xattr.value is not None else ()),
        ]
        yield from _nested("XATTR", lines)


def _sources(op: ops.ConcatDeleteOp) -> Lines:
    lines = [line for i, src in enumerate(op.srcs, 1) for line in _leaf(f"SOURCE{i}", src)]
    return _nested("SOURCES", lines)


def _rename_options(op: ops.RenameOp) -> Lines:
    names = (RENAME_OPTIONS[o] if o < len(RENAME_OPTIONS) else "NONE" for o in op.options)
    return _leaf("OPTIONS", "|".join(names))


def _client_id(op: Any) -> Lines:
    h = op.client_id.hex()
    text = f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" if h else ""
    return _leaf("RPC_CLIENTID", text)


def _key(key: ops.DelegationKey) -> Lines:
    return iter(()) if key.key is None else _leaf("KEY", key.key.hex())


def _ec_options(policy: ops.ErasureCodingPolicy) -> Lines:
    yield from _leaf("EXTRAOPTIONS", len(policy.options))
    for key, value in policy.options:
        yield from _nested("EXTRAOPTION", [*_leaf("KEY", key), *_leaf("VALUE", value)])


_LENGTH = _constant("LENGTH", 0)
_RPC_IDS = (_client_id, _field("RPC_CALLID", "call_id"))
_SRC = _field("SRC", "src")
_PATH = _field("PATH", "path")
_TIMESTAMP = _field("TIMESTAMP", "timestamp")
_TIMES = (_field("MTIME", "mtime"), _field("ATIME", "atime"))
_PERMISSIONS = _inside(
    "PERMISSION_STATUS",
    _part(
        "permissions",
        _field("USERNAME", "user"),
        _field("GROUPNAME", "group"),
        _field("MODE", "mode"),
    ),
)
_FILE = (
    _LENGTH,
    _field("INODEID", "inode_id"),
    _PATH,
    _field("REPLICATION", "replication"),
    *_TIMES,
    _field("BLOCKSIZE", "block_size"),
)
_TOKEN = _inside(
    "DELEGATION_TOKEN_IDENTIFIER",
    _part(
        "token",
        _constant("KIND", "HDFS_DELEGATION_TOKEN"),
        _field("SEQUENCE_NUMBER", "sequence_number"),
        _field("OWNER", "owner"),
        _field("RENEWER", "renewer"),
        _field("REALUSER", "real_user"),
        _field("ISSUE_DATE", "issue_date"),
        _field("MAX_DATE", "max_date"),
        _field("MASTER_KEY_ID", "master_key_id"),
    ),
)
_EXPIRY_TIME = _field("EXPIRY_TIME", "expiry_time")
_DIRECTIVE = _part(
    "directive",
    _field("ID", "directive_id"),
    _optional("PATH", "path"),
    _optional("REPLICATION", "replication"),
    _optional("POOL", "pool"),
    _optional("EXPIRATION", "expiration"),
)
_POOL = _part(
    "info",
    _field("POOLNAME", "name"),
    _optional("OWNERNAME", "owner"),
    _optional("GROUPNAME", "group"),
    _optional("MODE", "mode"),
    _optional("LIMIT", "limit"),
    _optional("MAXRELATIVEEXPIRY", "max_relative_expiry"),
    _optional("DEFAULTREPLICATION", "default_replication"),
)
_SNAPSHOT_ROOT = _field("SNAPSHOTROOT", "snapshot_root")
_MTIME = _field("MTIME", "mtime")
_POLICY_NAME = _field("POLICYNAME", "ec_policy_name")

ELEMENTS: Mapping[type[EditOp], tuple[Element, ...]] = {
    ops.AddOp: (
        *_FILE,
        _field("CLIENT_NAME", "client_name"),
        _field("CLIENT_MACHINE", "client_machine"),
        _field("OVERWRITE", "overwrite"),
        _blocks,
        _PERMISSIONS,
        _acl_of("acl_entries"),
        _field("ERASURE_CODING_POLICY_ID", "erasure_coding_policy_id"),
        *_RPC_IDS,
    ),
    ops.RenameOldOp: (_LENGTH, _SRC, _field("DST", "dst"), _TIMESTAMP, *_RPC_IDS),
    ops.DeleteOp: (_LENGTH, _PATH, _TIMESTAMP, *_RPC_IDS),
    ops.MkdirOp: (
        _LENGTH,
        _field("INODEID", "inode_id"),
        _PATH,
        _field("TIMESTAMP", "mtime"),
        _PERMISSIONS,
        _acl_of("acl_entries"),
        _xattrs,
    ),
    ops.SetReplicationOp: (_PATH, _field("REPLICATION", "replication")),
    ops.SetPermissionsOp: (_SRC, _field("MODE", "mode")),
    ops.SetOwnerOp: (_SRC, _optional("USERNAME", "username"), _optional("GROUPNAME", "groupname")),
    ops.CloseOp: (
        *_FILE,
        _constant("CLIENT_NAME", ""),
        _constant("CLIENT_MACHINE", ""),
        _constant("OVERWRITE", False),
        _blocks,
        _PERMISSIONS,
    ),
    ops.SetGenstampV1Op: (_field("GENSTAMP", "gen_stamp_v1"),),
    ops.SetNSQuotaOp: (_SRC, _field("NSQUOTA", "ns_quota")),
    ops.ClearNSQuotaOp: (_SRC,),
    ops.TimesOp: (_LENGTH, _PATH, *_TIMES),
    ops.SetQuotaOp: (_SRC, _field("NSQUOTA", "ns_quota"), _field("DSQUOTA", "ds_quota")),
    ops.RenameOp: (_LENGTH, _SRC, _field("DST", "dst"), _TIMESTAMP, _rename_options, *_RPC_IDS),
    ops.ConcatDeleteOp: (_LENGTH, _field("TRG", "trg"), _TIMESTAMP, _sources, *_RPC_IDS),
    ops.SymlinkOp: (
        _LENGTH,
        _field("INODEID", "inode_id"),
        _PATH,
        _field("VALUE", "value"),
        *_TIMES,
        _PERMISSIONS,
        *_RPC_IDS,
    ),
    ops.GetDelegationTokenOp: (_TOKEN, _EXPIRY_TIME),
    ops.RenewDelegationTokenOp: (_TOKEN, _EXPIRY_TIME),
    ops.CancelDelegationTokenOp: (_TOKEN,),
    ops.UpdateMasterKeyOp: (
        _inside(
            "DELEGATION_KEY",
            _part("key", _field("KEY_ID", "key_id"), _field("EXPIRY_DATE", "expiry_date"), _key),
        ),
    ),
    ops.ReassignLeaseOp: (
        _field("LEASEHOLDER", "lease_holder"),
        _PATH,
        _field("NEWHOLDER", "new_holder"),
    ),
    ops.EndLogSegmentOp: (),
    ops.StartLogSegmentOp: (),
    ops.UpdateBlocksOp: (_PATH, _blocks, *_RPC_IDS),
    ops.CreateSnapshotOp: (
        _SNAPSHOT_ROOT,
        _field("SNAPSHOTNAME", "snapshot_name"),
        _MTIME,
        *_RPC_IDS,
    ),
    ops.DeleteSnapshotOp: (
        _SNAPSHOT_ROOT,
        _field("SNAPSHOTNAME", "snapshot_name"),
        _MTIME,
        *_RPC_IDS,
    ),
    ops.RenameSnapshotOp: (
        _SNAPSHOT_ROOT,
        _field("SNAPSHOTOLDNAME", "snapshot_old_name"),
        _field("SNAPSHOTNEWNAME", "snapshot_new_name"),
        _MTIME,
        *_RPC_IDS,
    ),
    ops.AllowSnapshotOp: (_SNAPSHOT_ROOT,),
    ops.DisallowSnapshotOp: (_SNAPSHOT_ROOT,),
    ops.SetGenstampV2Op: (_field("GENSTAMPV2", "gen_stamp_v2"),),
    ops.AllocateBlockIdOp: (_field("BLOCK_ID", "block_id"),),
    ops.AddBlockOp: (_PATH, _blocks, *_RPC_IDS),
    ops.AddCacheDirectiveInfoOp: (_DIRECTIVE, *_RPC_IDS),
    ops.RemoveCacheDirectiveInfoOp: (_field("ID", "directive_id"), *_RPC_IDS),
    ops.AddCachePoolOp: (_POOL, *_RPC_IDS),
    ops.ModifyCachePoolOp: (_POOL, *_RPC_IDS),
    ops.RemoveCachePoolOp: (_field("POOLNAME", "pool_name"), *_RPC_IDS),
    ops.ModifyCacheDirectiveInfoOp: (_DIRECTIVE, *_RPC_IDS),
    ops.SetAclOp: (_SRC, _acl_of("entries")),
    ops.RollingUpgradeStartOp: (_field("STARTTIME", "time"),),
    ops.RollingUpgradeFinalizeOp: (_field("FINALIZETIME", "time"),),
    ops.SetXAttrOp: (_SRC, _xattrs, *_RPC_IDS),
    ops.RemoveXAttrOp: (_SRC, _xattrs, *_RPC_IDS),
    ops.SetStoragePolicyOp: (_PATH, _field("POLICYID", "policy_id")),
    ops.TruncateOp: (
        _SRC,
        _field("CLIENTNAME", "client_name"),
        _field("CLIENTMACHINE", "client_machine"),
        _field("NEWLENGTH", "new_length"),
        _TIMESTAMP,
        _truncate_block,
    ),
    ops.AppendOp: (
        _PATH,
        _field("CLIENT_NAME", "client_name"),
        _field("CLIENT_MACHINE", "client_machine"),
        _field("NEWBLOCK", "new_block"),
        *_RPC_IDS,
    ),
    ops.SetQuotaByStorageTypeOp: (
        _SRC,
        _field("STORAGETYPE", "storage_type"),
        _field("DSQUOTA", "ds_quota"),
    ),
    ops.AddErasureCodingPolicyOp: (
        _part(
            "policy",
            _field("CODEC", "codec"),
            _field("DATAUNITS", "data_units"),
            _field("PARITYUNITS", "parity_units"),
            _field("CELLSIZE", "cell_size"),
            _ec_options,
        ),
        *_RPC_IDS,
    ),
    ops.EnableErasureCodingPolicyOp: (_POLICY_NAME, *_RPC_IDS),
    ops.DisableErasureCodingPolicyOp: (_POLICY_NAME, *_RPC_IDS),
    ops.RemoveErasureCodingPolicyOp: (_POLICY_NAME, *_RPC_IDS),
}
