"""Core. Edit log ops to and from bytes: frames, checksums, layout versions (editlog.md, .tsv).

`FIELDS` is the whole format. OP_ADD and OP_CLOSE, which fill a log, have straight
code of their own; the tests hold it against the table.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any
from zlib import crc32

from hdfsd.base.errors import CorruptData, IllegalArgument
from hdfsd.base.ids import NAMENODE_LAYOUT_VERSION, Block, TxId
from hdfsd.editlog import ops
from hdfsd.editlog.fields import (
    ACL_LIST,
    ACL_PB,
    BLOCKS_COMPACT,
    BLOCKS_FULL,
    BOOL,
    BYTES32,
    CALL_ID,
    CLIENT_ID,
    DIRECTIVE,
    EC_POLICY,
    I8,
    I16,
    I32,
    I64,
    KEY,
    LAST_BLOCKS,
    MALFORMED,
    MODE,
    OPTIONAL_BLOCK,
    PERMISSION_STATUS,
    POOL,
    TOKEN,
    UTF8,
    UTF8_ARRAY32,
    XATTR_LIST,
    XATTR_PB,
    FieldType,
    decode_utf8,
    encode_utf8,
    read_acl_list,
    read_blocks_full,
    read_permission_status,
    read_xattr_list,
    write_acl_list,
    write_blocks_full,
    write_permission_status,
    write_xattr_list,
)
from hdfsd.editlog.ops import EditOp

OLDEST_LAYOUT_VERSION = -47
"""Older segments have no rpc ids and are not read; layouts count downwards."""
LAYOUT_WITH_LENGTH = -56
OP_BYTES_MAX = 52428800
"""Of a whole frame: dfs.namenode.max.op.size."""
FRAME_BYTES_MIN = 17
CHECKSUM_BYTES = 4

_HEAD = struct.Struct(">Biq")
_LEGACY_HEAD = struct.Struct(">Bq")
_CHECKSUM = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Since:
    """A field that only layouts from `layout_version` on have; `default` in older ones."""

    kind: FieldType
    layout_version: int
    default: Any


_RPC_IDS = (CLIENT_ID, CALL_ID)
_OLD_ACL = Since(ACL_LIST, -53, ())
_OLD_XATTRS = Since(XATTR_LIST, -57, ())
_SNAPSHOT_MTIME = Since(I64, -66, 0)
_FILE = (I64, UTF8, I16, I64, I64, I64, BLOCKS_FULL, PERMISSION_STATUS)

FIELDS: Mapping[type[EditOp], Sequence[FieldType | Since]] = {
    ops.AddOp: (
        *_FILE,
        _OLD_ACL,
        _OLD_XATTRS,
        UTF8,
        UTF8,
        Since(BOOL, -58, False),
        Since(I8, -60, 0),
        Since(I8, -64, 0),
        *_RPC_IDS,
    ),
    ops.RenameOldOp: (UTF8, UTF8, I64, *_RPC_IDS),
    ops.DeleteOp: (UTF8, I64, *_RPC_IDS),
    ops.MkdirOp: (I64, UTF8, I64, I64, PERMISSION_STATUS, _OLD_ACL, _OLD_XATTRS),
    ops.SetReplicationOp: (UTF8, I16),
    ops.SetPermissionsOp: (UTF8, MODE),
    ops.SetOwnerOp: (UTF8, UTF8, UTF8),
    ops.CloseOp: _FILE,
    ops.SetGenstampV1Op: (I64,),
    ops.SetNSQuotaOp: (UTF8, I64),
    ops.ClearNSQuotaOp: (UTF8,),
    ops.TimesOp: (UTF8, I64, I64),
    ops.SetQuotaOp: (UTF8, I64, I64),
    ops.RenameOp: (UTF8, UTF8, I64, BYTES32, *_RPC_IDS),
    ops.ConcatDeleteOp: (UTF8, UTF8_ARRAY32, I64, *_RPC_IDS),
    ops.SymlinkOp: (I64, UTF8, UTF8, I64, I64, PERMISSION_STATUS, *_RPC_IDS),
    ops.GetDelegationTokenOp: (TOKEN, I64),
    ops.RenewDelegationTokenOp: (TOKEN, I64),
    ops.CancelDelegationTokenOp: (TOKEN,),
    ops.UpdateMasterKeyOp: (KEY,),
    ops.ReassignLeaseOp: (UTF8, UTF8, UTF8),
    ops.EndLogSegmentOp: (),
    ops.StartLogSegmentOp: (),
    ops.UpdateBlocksOp: (UTF8, BLOCKS_COMPACT, *_RPC_IDS),
    ops.CreateSnapshotOp: (UTF8, UTF8, _SNAPSHOT_MTIME, *_RPC_IDS),
    ops.DeleteSnapshotOp: (UTF8, UTF8, _SNAPSHOT_MTIME, *_RPC_IDS),
    ops.RenameSnapshotOp: (UTF8, UTF8, UTF8, _SNAPSHOT_MTIME, *_RPC_IDS),
    ops.AllowSnapshotOp: (UTF8,),
    ops.DisallowSnapshotOp: (UTF8,),
    ops.SetGenstampV2Op: (I64,),
    ops.AllocateBlockIdOp: (I64,),
    ops.AddBlockOp: (UTF8, LAST_BLOCKS, *_RPC_IDS),
    ops.AddCacheDirectiveInfoOp: (DIRECTIVE, *_RPC_IDS),
    ops.RemoveCacheDirectiveInfoOp: (I64, *_RPC_IDS),
    ops.AddCachePoolOp: (POOL, *_RPC_IDS),
    ops.ModifyCachePoolOp: (POOL, *_RPC_IDS),
    ops.RemoveCachePoolOp: (UTF8, *_RPC_IDS),
    ops.ModifyCacheDirectiveInfoOp: (DIRECTIVE, *_RPC_IDS),
    ops.SetAclOp: (ACL_PB,),
    ops.RollingUpgradeStartOp: (I64,),
    ops.RollingUpgradeFinalizeOp: (I64,),
    ops.SetXAttrOp: (XATTR_PB, *_RPC_IDS),
    ops.RemoveXAttrOp: (XATTR_PB, *_RPC_IDS),
    ops.SetStoragePolicyOp: (UTF8, I8),
    ops.TruncateOp: (UTF8, UTF8, UTF8, I64, I64, OPTIONAL_BLOCK),
    ops.AppendOp: (UTF8, UTF8, UTF8, BOOL, *_RPC_IDS),
    ops.SetQuotaByStorageTypeOp: (UTF8, I32, I64),
    ops.AddErasureCodingPolicyOp: (EC_POLICY, *_RPC_IDS),
    ops.EnableErasureCodingPolicyOp: (UTF8, *_RPC_IDS),
    ops.DisableErasureCodingPolicyOp: (UTF8, *_RPC_IDS),
    ops.RemoveErasureCodingPolicyOp: (UTF8, *_RPC_IDS),
}
"""The fields of each op in the order of their bytes, which is that of the class's fields."""

Decoder = Callable[[bytes, int], tuple[EditOp, int]]
Encoder = Callable[[Any], bytes]


# -- encoding --------------------------------------------------------------------------------


def encode(op: EditOp, txid: int) -> bytes:
    """The whole frame in the current layout: opcode, length, txid, fields, CRC.

    Raises IllegalArgument when a value does not fit into its field (a string over 65535 bytes,
    a number out of range) or the frame is above OP_BYTES_MAX.
    """
    try:
        fields = _ENCODERS[type(op)](op)
    except (struct.error, OverflowError, ValueError, TypeError) as error:
        raise IllegalArgument(f"{op.NAME} does not fit into the edit log: {error}") from error
    frame = _HEAD.pack(op.OPCODE, len(fields) + 12, txid) + fields
    if len(frame) > OP_BYTES_MAX - CHECKSUM_BYTES:
        raise IllegalArgument(
            f"{op.NAME} takes {len(frame)} bytes; an edit log op has at most {OP_BYTES_MAX}"
        )
    return frame + _CHECKSUM.pack(crc32(frame))


def table_encoder(kind: type[EditOp]) -> Encoder:
    """Bytes of the fields of an op of this class, straight from FIELDS."""
    types = [f.kind if isinstance(f, Since) else f for f in FIELDS[kind]]
    names = _field_names(kind)
    parts: list[tuple[Callable[[Any], bytes], Callable[[Any], Any]]] = []
    at = 0
    for field_type in types:
        get = attrgetter(*names[at : at + field_type.width])
        parts.append((field_type.write, get))
        at += field_type.width

    def encode_fields(op: Any) -> bytes:
        return b"".join([write(get(op)) for write, get in parts])

    return encode_fields


def _field_names(kind: type[EditOp]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]


_RUN_OF_FILE = struct.Struct(">hqqq")
_FLAGS_OF_ADD = struct.Struct(">?bbH")
_LONG = struct.Struct(">q")
_INT = struct.Struct(">i")


@lru_cache(maxsize=4096)
def _encode_name(text: str) -> bytes:
    """Of clients and their machines: few different ones fill a log."""
    return encode_utf8(text)


def _file_parts(op: Any) -> tuple[bytes, ...]:
    blocks = op.blocks
    return (
        _LONG.pack(op.inode_id),
        encode_utf8(op.path),
        _RUN_OF_FILE.pack(op.replication, op.mtime, op.atime, op.block_size),
        write_blocks_full(blocks) if blocks else b"\0\0\0\0",
        write_permission_status(op.permissions),
    )


def _encode_close(op: ops.CloseOp) -> bytes:
    return b"".join(_file_parts(op))


def _encode_add(op: ops.AddOp) -> bytes:
    client_id = op.client_id
    return b"".join(
        (
            *_file_parts(op),
            write_acl_list(op.acl_entries) if op.acl_entries else b"\0\0\0\0",
            write_xattr_list(op.xattrs),
            _encode_name(op.client_name),
            _encode_name(op.client_machine),
            _FLAGS_OF_ADD.pack(
                op.overwrite, op.storage_policy_id, op.erasure_coding_policy_id, len(client_id)
            ),
            client_id,
            _INT.pack(op.call_id),
        )
    )


_ENCODERS: dict[type[EditOp], Encoder] = {kind: table_encoder(kind) for kind in FIELDS}
_ENCODERS[ops.AddOp] = _encode_add
_ENCODERS[ops.CloseOp] = _encode_close


# -- decoding --------------------------------------------------------------------------------


def table_decoder(kind: type[EditOp], layout_version: int) -> Decoder:
    """Reads the fields of an op of this class as a layout has them, straight from FIELDS."""
    fields = [
        (f.kind.read, f.kind.width, None)
        if isinstance(f, Since) and layout_version <= f.layout_version
        else (None, 1, f.default)
        if isinstance(f, Since)
        else (f.read, f.width, None)
        for f in FIELDS[kind]
    ]

    def decode_fields(data: bytes, pos: int) -> tuple[EditOp, int]:
        values: list[Any] = []
        for read, width, default in fields:
            if read is None:
                values.append(default)
                continue
            value, pos = read(data, pos)
            if width == 1:
                values.append(value)
            else:
                values.extend(value)
        return kind(*values), pos

    return decode_fields


_LONG_AND_SIZE = struct.Struct(">qH")
_RUN_TO_BLOCKS = struct.Struct(">hqqqi")
_SIZE = struct.Struct(">H")
_NO_BLOCKS: tuple[Block, ...] = ()


def _decode_add(data: bytes, pos: int) -> tuple[EditOp, int]:
    inode_id, size = _LONG_AND_SIZE.unpack_from(data, pos)
    end = pos + 10 + size
    path = decode_utf8(data[pos + 10 : end])
    replication, mtime, atime, block_size, count = _RUN_TO_BLOCKS.unpack_from(data, end)
    blocks, pos = (_NO_BLOCKS, end + 30) if count == 0 else read_blocks_full(data, end + 26)
    permissions, pos = read_permission_status(data, pos)
    if data[pos : pos + 5] == b"\0\0\0\0\0":
        acl_entries: tuple[ops.AclEntry, ...] = ()
        xattrs: tuple[ops.XAttr, ...] = ()
        pos += 5
    else:
        acl_entries, pos = read_acl_list(data, pos)
        xattrs, pos = read_xattr_list(data, pos)
    end = pos + 2 + _SIZE.unpack_from(data, pos)[0]
    client_name = decode_utf8(data[pos + 2 : end])
    pos = end + 2 + _SIZE.unpack_from(data, end)[0]
    client_machine = decode_utf8(data[end + 2 : pos])
    overwrite, storage_policy_id, ec_policy_id, size = _FLAGS_OF_ADD.unpack_from(data, pos)
    pos += 5
    end = pos + size
    op = ops.AddOp(
        inode_id,
        path,
        replication,
        mtime,
        atime,
        block_size,
        blocks,
        permissions,
        acl_entries,
        xattrs,
        client_name,
        client_machine,
        overwrite,
        storage_policy_id,
        ec_policy_id,
        data[pos:end],
        _INT.unpack_from(data, end)[0],
    )
    return op, end + 4


def _decode_close(data: bytes, pos: int) -> tuple[EditOp, int]:
    inode_id, size = _LONG_AND_SIZE.unpack_from(data, pos)
    end = pos + 10 + size
    path = decode_utf8(data[pos + 10 : end])
    replication, mtime, atime, block_size, count = _RUN_TO_BLOCKS.unpack_from(data, end)
    blocks, pos = (_NO_BLOCKS, end + 30) if count == 0 else read_blocks_full(data, end + 26)
    permissions, pos = read_permission_status(data, pos)
    op = ops.CloseOp(inode_id, path, replication, mtime, atime, block_size, blocks, permissions)
    return op, pos


@lru_cache(maxsize=32)
def _decoders(layout_version: int) -> Sequence[Decoder | None]:
    """By opcode, for one layout."""
    decoders: list[Decoder | None] = [None] * 256
    for kind in FIELDS:
        decoders[kind.OPCODE] = table_decoder(kind, layout_version)
    decoders[ops.CloseOp.OPCODE] = _decode_close
    if layout_version <= -64:
        decoders[ops.AddOp.OPCODE] = _decode_add
    return decoders


def check_layout(layout_version: int, where: str) -> None:
    """Raises CorruptData unless ops of this layout can be decoded."""
    if layout_version < NAMENODE_LAYOUT_VERSION:
        raise CorruptData(
            where,
            0,
            f"layout version {layout_version} is newer than {NAMENODE_LAYOUT_VERSION},"
            " the newest that is known",
        )
    if layout_version > OLDEST_LAYOUT_VERSION:
        raise CorruptData(
            where,
            0,
            f"layout version {layout_version} is older than {OLDEST_LAYOUT_VERSION}, the oldest"
            " that is read: upgrade the directory with a Hadoop version in between",
        )


def frame_end(data: bytes, offset: int, where: str) -> tuple[int, int]:
    """(txid, offset of the checksum) of a frame with a length, its checksum verified.

    Raises CorruptData. Any layout from LAYOUT_WITH_LENGTH on, also one that is yet to come.
    """
    try:
        opcode, length, txid = _HEAD.unpack_from(data, offset)
    except struct.error:
        raise CorruptData(
            where, offset, f"an op is cut short: {len(data) - offset} bytes are left"
        ) from None
    size = length + 1 + CHECKSUM_BYTES
    if not FRAME_BYTES_MIN <= size <= OP_BYTES_MAX:
        raise CorruptData(
            where,
            offset,
            f"an op with opcode {opcode} has a size of {size} bytes; it must be"
            f" {FRAME_BYTES_MIN} to {OP_BYTES_MAX}",
        )
    end = offset + size - CHECKSUM_BYTES
    if end + CHECKSUM_BYTES > len(data):
        raise CorruptData(
            where,
            offset,
            f"op {txid} is cut short: {size} bytes are announced, {len(data) - offset} are left",
        )
    _verify_checksum(data, offset, end, where=where, txid=txid)
    return txid, end


def _verify_checksum(data: bytes, offset: int, end: int, *, where: str, txid: int) -> None:
    stored: int = _CHECKSUM.unpack_from(data, end)[0]
    actual = crc32(data[offset:end])
    if stored != actual:
        raise CorruptData(
            where,
            offset,
            f"the checksum of op {txid} is {stored:#010x}, its bytes give {actual:#010x}",
        )


def decode_frame(
    data: bytes,
    offset: int,
    layout_version: int = NAMENODE_LAYOUT_VERSION,
    where: str = "edits",
) -> tuple[EditOp, TxId, int]:
    """The op whose frame begins at `offset`, its txid, and the offset after it.

    Raises CorruptData (where, offset, cause) for anything else, also at the end of the data.
    """
    check_layout(layout_version, where)
    if layout_version > LAYOUT_WITH_LENGTH:
        return _decode_legacy_frame(data, offset, layout_version, where)
    txid, end = frame_end(data, offset, where)
    decoder = _decoder_of(data[offset], offset, layout_version, where)
    frame = data[offset:end]
    try:
        op, pos = decoder(frame, 13)
    except MALFORMED as error:
        raise CorruptData(where, offset, f"op {txid} is malformed: {error}") from error
    if pos != len(frame):
        raise CorruptData(
            where,
            offset,
            f"the fields of op {txid} ({op.NAME}) take {pos - 13} bytes,"
            f" its frame holds {len(frame) - 13}",
        )
    return op, TxId(txid), end + CHECKSUM_BYTES


def _decode_legacy_frame(
    data: bytes, offset: int, layout_version: int, where: str
) -> tuple[EditOp, TxId, int]:
    # Without a length the fields must be read before their checksum can be found.
    try:
        opcode, txid = _LEGACY_HEAD.unpack_from(data, offset)
        decoder = _decoder_of(opcode, offset, layout_version, where)
        op, end = decoder(data, offset + 9)
    except MALFORMED as error:
        raise CorruptData(where, offset, f"an op is malformed or cut short: {error}") from error
    if end + CHECKSUM_BYTES > len(data):
        raise CorruptData(where, offset, f"op {txid} ({op.NAME}) is cut short")
    _verify_checksum(data, offset, end, where=where, txid=txid)
    return op, TxId(txid), end + CHECKSUM_BYTES


def _decoder_of(opcode: int, offset: int, layout_version: int, where: str) -> Decoder:
    decoder = _decoders(layout_version)[opcode]
    if decoder is None:
        name = ops.OPCODES_OBSOLETE.get(opcode)
        kind = f"obsolete ({name})" if name else "unknown"
        raise CorruptData(where, offset, f"opcode {opcode} is {kind}")
    return decoder


def at_clean_end(data: bytes, offset: int) -> bool:
    """Whether no op can follow: the end of the data, or padding of 0xFF (or 0x00) up to it.

    Hadoop: FSEditLogOp.Reader.verifyTerminator; padding begins with 0xFF.
    """
    if offset >= len(data):
        return True
    return data[offset] == ops.OPCODE_INVALID and not data[offset:].strip(b"\xff\0")


def iter_ops(
    data: bytes,
    layout_version: int = NAMENODE_LAYOUT_VERSION,
    offset: int = 0,
    where: str = "edits",
    last_txid: int | None = None,
) -> Iterator[tuple[EditOp, TxId]]:
    """The ops from `offset` (after a segment's header, if there is one) to the end or the padding.

    `last_txid`, from the name of a finalised segment, ends it too: what was torn behind it when
    recovery finalised the segment is not looked at (Hadoop: EditLogFileInputStream.nextOpImpl).
    Raises CorruptData at the first byte that is neither a good op nor a clean end, and where
    transactions do not follow one another.
    """
    check_layout(layout_version, where)
    expected: int | None = None
    size = len(data)
    while offset < size:
        if data[offset] == ops.OPCODE_INVALID and at_clean_end(data, offset):
            return
        op, txid, next_offset = decode_frame(data, offset, layout_version, where)
        if expected is not None and txid != expected:
            raise CorruptData(where, offset, f"txid {txid} stands where {expected} must follow")
        yield op, txid
        if txid == last_txid:
            return
        expected, offset = txid + 1, next_offset
