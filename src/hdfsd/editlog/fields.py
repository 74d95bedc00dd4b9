"""Data. The field types of edit log ops, each to and from bytes (wire fact: editlog.md section 3).

A reader takes (data, pos) and gives (value, next pos); a writer takes a value and gives bytes.
Readers raise one of MALFORMED for bytes that can't be a value, and may give a `next pos` beyond
the data when a value is cut short: the frame's decoder compares the last one with the frame's end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from hdfsd.base.errors import IllegalArgument
from hdfsd.base.ids import Block
from hdfsd.editlog.ops import (
    AclEntry,
    CacheDirective,
    CachePool,
    DelegationKey,
    DelegationTokenIdentifier,
    ErasureCodingPolicy,
    PermissionStatus,
    XAttr,
)
from hdfsd.wire.messages import DecodeError, Message
from hdfsd.wire.messages import editlog as editlog_messages
from hdfsd.wire.strings import bad_string

MALFORMED = (struct.error, IndexError, ValueError, OverflowError, DecodeError)
"""What a reader may raise (UnicodeDecodeError is a ValueError)."""

UTF8_BYTES_MAX = 0xFFFF
_PACKED_I16 = struct.Struct(">h")
_PACKED_U16 = struct.Struct(">H")
_PACKED_I32 = struct.Struct(">i")
_PACKED_I64 = struct.Struct(">q")
_PACKED_BLOCK = struct.Struct(">qqq")
_I32_MIN, _I32_MAX = -(1 << 31), (1 << 31) - 1
_I64_MIN, _I64_MAX = -(1 << 63), (1 << 63) - 1

T = TypeVar("T")
M = TypeVar("M", bound=Message)
Read = Callable[[bytes, int], tuple[T, int]]
Write = Callable[[T], bytes]


@dataclass(frozen=True, slots=True)
class FieldType:
    """A name of editlog.md section 3 with its two directions."""

    name: str
    read: Read[Any]
    write: Write[Any]
    width: int = 1
    """How many fields of the op it fills; more than one: values travel as a tuple."""


def _fixed(form: str) -> tuple[Read[Any], Write[Any]]:
    packed = struct.Struct(form)
    size, unpack_from = packed.size, packed.unpack_from

    def read(data: bytes, pos: int) -> tuple[Any, int]:
        return unpack_from(data, pos)[0], pos + size

    return read, packed.pack


# -- strings ---------------------------------------------------------------------------------


def decode_utf8(raw: bytes) -> str:
    """A string of Java's legacy writer: surrogate pairs as two sequences of three, NUL as C0 80."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        units = raw.replace(b"\xc0\x80", b"\x00").decode("utf-8", "surrogatepass")
        return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def encode_utf8(text: str) -> bytes:
    """The bytes of Java's legacy writer, with their length in front; refuses what does not fit.

    (Hadoop's UTF8 class cuts such a string and goes on, which would lose a path.)
    """
    raw = text.encode()
    if "\0" in text or (len(raw) > len(text) and max(text) > "\uffff"):
        raw = _surrogate_pairs(text).encode("utf-8", "surrogatepass").replace(b"\0", b"\xc0\x80")
    if len(raw) > UTF8_BYTES_MAX:
        raise IllegalArgument(
            f"a string of {len(raw)} bytes does not fit into an edit log op"
            f" (at most {UTF8_BYTES_MAX}): {text[:80]!r}…"
        )
    return _PACKED_U16.pack(len(raw)) + raw


def _surrogate_pairs(text: str) -> str:
    out = []
    for char in text:
        above = ord(char) - 0x10000
        out.append(char if above < 0 else chr(0xD800 | above >> 10) + chr(0xDC00 | above & 0x3FF))
    return "".join(out)


def read_utf8(data: bytes, pos: int) -> tuple[str, int]:
    end = pos + 2 + _PACKED_U16.unpack_from(data, pos)[0]
    return decode_utf8(data[pos + 2 : end]), end


def _read_client_id(data: bytes, pos: int) -> tuple[bytes, int]:
    end = pos + 2 + _PACKED_U16.unpack_from(data, pos)[0]
    return data[pos + 2 : end], end


def _write_client_id(value: bytes) -> bytes:
    return _PACKED_U16.pack(len(value)) + value


def _read_bytes32(data: bytes, pos: int) -> tuple[bytes, int]:
    end = pos + 4 + _count(data, pos)
    return data[pos + 4 : end], end


def _write_bytes32(value: bytes) -> bytes:
    return _PACKED_I32.pack(len(value)) + value


def _read_utf8_array32(data: bytes, pos: int) -> tuple[tuple[str, ...], int]:
    count, pos = _count(data, pos), pos + 4
    strings = []
    for _ in range(count):
        text, pos = read_utf8(data, pos)
        strings.append(text)
    return tuple(strings), pos


def _write_utf8_array32(value: tuple[str, ...]) -> bytes:
    return _PACKED_I32.pack(len(value)) + b"".join(map(encode_utf8, value))


def _count(data: bytes, pos: int) -> int:
    count: int = _PACKED_I32.unpack_from(data, pos)[0]
    if count < 0:
        raise ValueError(f"a count of {count}")
    return count


# -- Hadoop's variable integers (WritableUtils) ----------------------------------------------


def read_vlong(data: bytes, pos: int) -> tuple[int, int]:
    first = data[pos]
    if first < 128:
        return first, pos + 1
    if first >= 144:  # -112..-1 as a signed byte
        return first - 256, pos + 1
    negative = first < 136
    size = 136 - first if negative else 144 - first
    end = pos + 1 + size
    raw = data[pos + 1 : end]
    if len(raw) != size:
        raise ValueError("a variable integer is cut short")
    value = int.from_bytes(raw, "big")
    if value > _I64_MAX:
        raise ValueError("a variable integer beyond 64 bits")
    return (~value if negative else value), end


def write_vlong(value: int) -> bytes:
    if -112 <= value <= 127:
        return bytes((value & 0xFF,))
    if not _I64_MIN <= value <= _I64_MAX:
        raise OverflowError(f"{value} does not fit into 64 bits")
    magnitude = ~value if value < 0 else value
    size = (magnitude.bit_length() + 7) // 8
    return bytes(((136 if value < 0 else 144) - size,)) + magnitude.to_bytes(size, "big")


def _read_vint(data: bytes, pos: int) -> tuple[int, int]:
    value, pos = read_vlong(data, pos)
    if not _I32_MIN <= value <= _I32_MAX:
        raise ValueError(f"{value} is no 32-bit integer")
    return value, pos


def _read_size(data: bytes, pos: int) -> tuple[int, int]:
    size, pos = _read_vint(data, pos)
    if size < 0:
        raise ValueError(f"a length of {size}")
    return size, pos


def _read_text(data: bytes, pos: int) -> tuple[str, int]:
    size, pos = _read_size(data, pos)
    return data[pos : pos + size].decode(), pos + size


def _write_text(value: str) -> bytes:
    raw = value.encode()
    return write_vlong(len(raw)) + raw


# -- permissions, ACLs, extended attributes --------------------------------------------------


def read_permission_status(data: bytes, pos: int) -> tuple[PermissionStatus, int]:
    size, user = _read_size(data, pos)
    size, group = _read_size(data, user + size)
    end = group + size + 2
    return _permission_status(data[pos:end]), end


@lru_cache(maxsize=4096)
def _permission_status(raw: bytes) -> PermissionStatus:
    # Few different ones occur in a log, and one object for all of them is also less memory.
    user, pos = _read_text(raw, 0)
    group, pos = _read_text(raw, pos)
    return PermissionStatus(user, group, _PACKED_U16.unpack_from(raw, pos)[0])


@lru_cache(maxsize=4096)
def write_permission_status(value: PermissionStatus) -> bytes:
    return _write_text(value.user) + _write_text(value.group) + _PACKED_U16.pack(value.mode)


def read_acl_list(data: bytes, pos: int) -> tuple[tuple[AclEntry, ...], int]:
    count, pos = _count(data, pos), pos + 4
    entries = []
    for _ in range(count):
        bits, pos = data[pos], pos + 1
        name = None
        if bits & 0x40:
            name, pos = read_utf8(data, pos)
        entries.append(AclEntry(bits >> 3 & 3, bits >> 5 & 1, bits & 7, name))
    return tuple(entries), pos


def write_acl_list(value: tuple[AclEntry, ...]) -> bytes:
    out = [_PACKED_I32.pack(len(value))]
    for entry in value:
        bits = entry.scope << 5 | entry.type << 3 | entry.permission
        if entry.name is None:
            out.append(bytes((bits,)))
        else:
            out.append(bytes((bits | 0x40,)) + encode_utf8(entry.name))
    return b"".join(out)


def _read_delimited(data: bytes, pos: int) -> tuple[bytes, int]:
    size = shift = 0
    while True:
        byte, pos = data[pos], pos + 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return data[pos : pos + size], pos + size
        shift += 7
        if shift > 28:
            raise ValueError("a message length beyond 32 bits")


def _delimited(raw: bytes) -> bytes:
    size, out = len(raw), bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out) + raw


def _parse(kind: type[M], raw: bytes) -> M:
    # The parser itself lets a message without its required fields pass.
    message = kind.FromString(raw)
    if not message.IsInitialized():
        raise ValueError(f"{kind.DESCRIPTOR.name} without its required fields")
    if field := bad_string(message, raw):
        raise ValueError(f"{field} of {kind.DESCRIPTOR.name} is not UTF-8")
    return message


def _xattrs(message: editlog_messages.XAttrEditLogProto) -> tuple[XAttr, ...]:
    return tuple(
        XAttr(x.namespace, x.name, x.value if x.HasField("value") else None) for x in message.xAttrs
    )


def _render_xattrs(src: str | None, xattrs: tuple[XAttr, ...]) -> bytes:
    message = editlog_messages.XAttrEditLogProto(src=src)
    for xattr in xattrs:
        message.xAttrs.add(namespace=xattr.namespace, name=xattr.name, value=xattr.value)
    return _delimited(message.SerializeToString())


def read_xattr_list(data: bytes, pos: int) -> tuple[tuple[XAttr, ...], int]:
    raw, pos = _read_delimited(data, pos)
    return (_xattrs(_parse(editlog_messages.XAttrEditLogProto, raw)) if raw else ()), pos


def write_xattr_list(value: tuple[XAttr, ...]) -> bytes:
    return _render_xattrs(None, value) if value else b"\0"


def _read_xattr_pb(data: bytes, pos: int) -> tuple[tuple[str, tuple[XAttr, ...]], int]:
    raw, pos = _read_delimited(data, pos)
    message = _parse(editlog_messages.XAttrEditLogProto, raw)
    if not message.HasField("src"):
        raise ValueError("extended attributes without a path")
    return (message.src, _xattrs(message)), pos


def _write_xattr_pb(value: tuple[str, tuple[XAttr, ...]]) -> bytes:
    return _render_xattrs(*value)


def _read_acl_pb(data: bytes, pos: int) -> tuple[tuple[str, tuple[AclEntry, ...]], int]:
    raw, pos = _read_delimited(data, pos)
    message = _parse(editlog_messages.AclEditLogProto, raw)
    entries = tuple(
        AclEntry(e.type, e.scope, e.permissions, e.name if e.HasField("name") else None)
        for e in message.entries
    )
    return (message.src, entries), pos


def _write_acl_pb(value: tuple[str, tuple[AclEntry, ...]]) -> bytes:
    src, entries = value
    message = editlog_messages.AclEditLogProto(src=src)
    for e in entries:
        message.entries.add(type=e.type, scope=e.scope, permissions=e.permission, name=e.name)
    return _delimited(message.SerializeToString())


# -- blocks ----------------------------------------------------------------------------------


def read_blocks_full(data: bytes, pos: int) -> tuple[tuple[Block, ...], int]:
    count, pos = _count(data, pos), pos + 4
    end = pos + 24 * count
    if end > len(data):
        raise ValueError(f"{count} blocks are announced, {len(data) - pos} bytes are left")
    return tuple([Block(*b) for b in _PACKED_BLOCK.iter_unpack(data[pos:end])]), end


def write_blocks_full(value: tuple[Block, ...]) -> bytes:
    pack = _PACKED_BLOCK.pack
    return _PACKED_I32.pack(len(value)) + b"".join(
        [pack(b.block_id, b.num_bytes, b.gen_stamp) for b in value]
    )


def read_blocks_compact(data: bytes, pos: int) -> tuple[tuple[Block, ...], int]:
    count, pos = _read_size(data, pos)
    blocks: list[Any] = []
    num_bytes = gen_stamp = 0
    for _ in range(count):
        block_id: Any = _PACKED_I64.unpack_from(data, pos)[0]
        difference, pos = read_vlong(data, pos + 8)
        num_bytes += difference
        difference, pos = read_vlong(data, pos)
        gen_stamp += difference
        if not (_I64_MIN <= num_bytes <= _I64_MAX and _I64_MIN <= gen_stamp <= _I64_MAX):
            raise ValueError(f"block {block_id} has a length or stamp beyond 64 bits")
        stamp: Any = gen_stamp
        blocks.append(Block(block_id, num_bytes, stamp))
    return tuple(blocks), pos


def write_blocks_compact(value: tuple[Block, ...]) -> bytes:
    out = [write_vlong(len(value))]
    num_bytes = gen_stamp = 0
    for block in value:
        out.append(_PACKED_I64.pack(block.block_id))
        out.append(write_vlong(block.num_bytes - num_bytes))
        out.append(write_vlong(block.gen_stamp - gen_stamp))
        num_bytes, gen_stamp = block.num_bytes, block.gen_stamp
    return b"".join(out)


def _read_optional_block(data: bytes, pos: int) -> tuple[Block | None, int]:
    blocks, pos = read_blocks_compact(data, pos)
    if len(blocks) > 1:
        raise ValueError(f"{len(blocks)} blocks where at most one may stand")
    return (blocks[0] if blocks else None), pos


def _write_optional_block(value: Block | None) -> bytes:
    return write_blocks_compact(() if value is None else (value,))


def _read_last_blocks(data: bytes, pos: int) -> tuple[tuple[Block, ...], int]:
    blocks, pos = read_blocks_compact(data, pos)
    if not 1 <= len(blocks) <= 2:
        raise ValueError(f"{len(blocks)} blocks where one or two must stand")
    return blocks, pos


# -- tokens, cache, erasure coding -----------------------------------------------------------


def _read_token(data: bytes, pos: int) -> tuple[DelegationTokenIdentifier, int]:
    if data[pos] != 0:
        raise ValueError(f"a delegation token of version {data[pos]}")
    owner, pos = _read_text(data, pos + 1)
    renewer, pos = _read_text(data, pos)
    real_user, pos = _read_text(data, pos)
    issue_date, pos = read_vlong(data, pos)
    max_date, pos = read_vlong(data, pos)
    sequence_number, pos = _read_vint(data, pos)
    key_id, pos = _read_vint(data, pos)
    token = DelegationTokenIdentifier(
        owner, renewer, real_user, issue_date, max_date, sequence_number, key_id
    )
    return token, pos


def _write_token(value: DelegationTokenIdentifier) -> bytes:
    names = (value.owner, value.renewer, value.real_user)
    numbers = (value.issue_date, value.max_date, value.sequence_number, value.master_key_id)
    return b"\0" + b"".join(map(_write_text, names)) + b"".join(map(write_vlong, numbers))


def _read_key(data: bytes, pos: int) -> tuple[DelegationKey, int]:
    key_id, pos = _read_vint(data, pos)
    expiry_date, pos = read_vlong(data, pos)
    size, pos = _read_vint(data, pos)
    if size < -1:
        raise ValueError(f"a key of {size} bytes")
    if size == -1:
        return DelegationKey(key_id, expiry_date, None), pos
    return DelegationKey(key_id, expiry_date, data[pos : pos + size]), pos + size


def _write_key(value: DelegationKey) -> bytes:
    front = write_vlong(value.key_id) + write_vlong(value.expiry_date)
    if value.key is None:
        return front + write_vlong(-1)
    return front + write_vlong(len(value.key)) + value.key


def _read_flagged(
    data: bytes, pos: int, kinds: tuple[FieldType, ...], bits: tuple[int, ...]
) -> tuple[list[Any], int]:
    flags: int = _PACKED_I32.unpack_from(data, pos)[0]
    pos += 4
    if flags & ~sum(bits):
        raise ValueError(f"unknown flags {flags:#x}")
    values: list[Any] = []
    for kind, bit in zip(kinds, bits, strict=True):
        value = None
        if flags & bit:
            value, pos = kind.read(data, pos)
        values.append(value)
    return values, pos


def _write_flagged(
    values: tuple[Any, ...], kinds: tuple[FieldType, ...], bits: tuple[int, ...]
) -> bytes:
    flags, out = 0, []
    for value, kind, bit in zip(values, kinds, bits, strict=True):
        if value is not None:
            flags |= bit
            out.append(kind.write(value))
    return _PACKED_I32.pack(flags) + b"".join(out)


def _read_directive(data: bytes, pos: int) -> tuple[CacheDirective, int]:
    directive_id = _PACKED_I64.unpack_from(data, pos)[0]
    values, pos = _read_flagged(data, pos + 8, _DIRECTIVE_KINDS, _DIRECTIVE_BITS)
    return CacheDirective(directive_id, *values), pos


def _write_directive(value: CacheDirective) -> bytes:
    values = (value.path, value.replication, value.pool, value.expiration)
    return _PACKED_I64.pack(value.directive_id) + _write_flagged(
        values, _DIRECTIVE_KINDS, _DIRECTIVE_BITS
    )


def _read_pool(data: bytes, pos: int) -> tuple[CachePool, int]:
    name, pos = read_utf8(data, pos)
    values, pos = _read_flagged(data, pos, _POOL_KINDS, _POOL_BITS)
    owner, group, mode, limit, max_relative_expiry, default_replication = values
    pool = CachePool(name, owner, group, mode, limit, max_relative_expiry, default_replication)
    return pool, pos


def _write_pool(value: CachePool) -> bytes:
    values = (
        value.owner,
        value.group,
        value.mode,
        value.limit,
        value.max_relative_expiry,
        value.default_replication,
    )
    return encode_utf8(value.name) + _write_flagged(values, _POOL_KINDS, _POOL_BITS)


def _read_ec_policy(data: bytes, pos: int) -> tuple[ErasureCodingPolicy, int]:
    codec, pos = read_utf8(data, pos)
    data_units, parity_units, cell_size, count = struct.unpack_from(">iiii", data, pos)
    pos += 16
    if count < 0:
        raise ValueError(f"a count of {count}")
    options = []
    for _ in range(count):
        key, pos = read_utf8(data, pos)
        value, pos = read_utf8(data, pos)
        options.append((key, value))
    return ErasureCodingPolicy(codec, data_units, parity_units, cell_size, tuple(options)), pos


def _write_ec_policy(value: ErasureCodingPolicy) -> bytes:
    numbers = (value.data_units, value.parity_units, value.cell_size, len(value.options))
    return (
        encode_utf8(value.codec)
        + struct.pack(">iiii", *numbers)
        + b"".join([encode_utf8(k) + encode_utf8(v) for k, v in value.options])
    )


I8 = FieldType("i8", *_fixed(">b"))
I16 = FieldType("i16", *_fixed(">h"))
I32 = FieldType("i32", *_fixed(">i"))
I64 = FieldType("i64", *_fixed(">q"))
MODE = FieldType("i16", *_fixed(">H"))
BOOL = FieldType("bool", *_fixed(">?"))
UTF8 = FieldType("utf8", read_utf8, encode_utf8)
UTF8_ARRAY32 = FieldType("utf8_array32", _read_utf8_array32, _write_utf8_array32)
BYTES32 = FieldType("bytes32", _read_bytes32, _write_bytes32)
CLIENT_ID = FieldType("rpcids", _read_client_id, _write_client_id)
CALL_ID = FieldType("rpcids", *_fixed(">i"))
PERMISSION_STATUS = FieldType("permstatus", read_permission_status, write_permission_status)
BLOCKS_FULL = FieldType("blocks_full", read_blocks_full, write_blocks_full)
BLOCKS_COMPACT = FieldType("blocks_compact", read_blocks_compact, write_blocks_compact)
LAST_BLOCKS = FieldType("blocks_compact", _read_last_blocks, write_blocks_compact)
OPTIONAL_BLOCK = FieldType("blocks_compact", _read_optional_block, _write_optional_block)
ACL_LIST = FieldType("acl_list", read_acl_list, write_acl_list)
XATTR_LIST = FieldType("xattr_pb", read_xattr_list, write_xattr_list)
XATTR_PB = FieldType("xattr_pb", _read_xattr_pb, _write_xattr_pb, 2)
ACL_PB = FieldType("acl_pb", _read_acl_pb, _write_acl_pb, 2)
TOKEN = FieldType("dt_identifier", _read_token, _write_token)
KEY = FieldType("delegation_key", _read_key, _write_key)
DIRECTIVE = FieldType("cache_directive", _read_directive, _write_directive)
POOL = FieldType("cache_pool", _read_pool, _write_pool)
EC_POLICY = FieldType("ec_policy", _read_ec_policy, _write_ec_policy)

_DIRECTIVE_KINDS = (UTF8, I16, UTF8, I64)
_DIRECTIVE_BITS = (1, 2, 4, 8)
_POOL_KINDS = (UTF8, UTF8, MODE, I64, I64, I16)
_POOL_BITS = (1, 2, 4, 8, 16, 32)
