"""Core. Length-prefixed frames, delimited messages and varints (wire facts: rpc-framing.md 2).

A frame is `i32 length | length bytes`, big-endian; inside it stand delimited messages, each
`varint length | length bytes`. The reader takes bytes as they come and never allocates what a
length merely announces. Invariant P9: a bad length is an error of the peer, never of the process.
"""

from __future__ import annotations

import struct

from hdfsd.base.errors import PeerError

LENGTH = struct.Struct(">i")
FRAME_BYTES_MAX = 128 * 1024 * 1024
"""Default of ipc.maximum.data.length and ipc.maximum.response.length."""
VARINT_BYTES_MAX = 10

_ONE_BYTE = tuple(bytes((n,)) for n in range(128))


def varint(value: int) -> bytes:
    """Base-128 form of an unsigned number below 2**64."""
    if 0 <= value < 128:
        return _ONE_BYTE[value]
    if 0 <= value < 1 << 21:
        if value < 1 << 14:
            return bytes((value & 127 | 128, value >> 7))
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14))
    if not 0 <= value < 1 << 64:
        raise ValueError(f"{value} is not an unsigned 64-bit number")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """The number at `offset` and the offset after it; raises PeerError when it is cut or long."""
    value = shift = 0
    for position in range(offset, min(offset + VARINT_BYTES_MAX, len(data))):
        byte = data[position]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position + 1
        shift += 7
    raise PeerError(f"varint at offset {offset} is cut or longer than {VARINT_BYTES_MAX} bytes")


def zigzag(value: int) -> int:
    """A signed 32-bit number as protobuf's sint32 writes it."""
    return (value << 1 ^ value >> 31) & 0xFFFFFFFF


def delimited(message: bytes) -> bytes:
    """A serialised message with its length in front."""
    return varint(len(message)) + message


def read_delimited(data: bytes, offset: int) -> tuple[bytes, int]:
    """The message at `offset` and the offset after it; raises PeerError when it is cut."""
    if offset < len(data) and data[offset] < 128:
        size, start = data[offset], offset + 1
    else:
        size, start = read_varint(data, offset)
    end = start + size
    if end > len(data):
        raise PeerError(
            f"message of {size} bytes at offset {offset}: {len(data) - start} are there"
        )
    return data[start:end], end


def frame(*parts: bytes) -> bytes:
    """One frame around the parts."""
    body = b"".join(parts)
    return LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a byte stream into frames.

    After a bad length `error` says what is wrong; the frames before it have been given out, and
    nothing more comes.
    """

    __slots__ = ("_buffer", "_bytes_max", "_needed", "error")

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._buffer = bytearray()
        self._needed = 0
        self.error: str | None = None

    @property
    def waiting(self) -> bool:
        """A frame has begun and is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies of all frames that are complete now."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        frames: list[bytes] = []
        offset, end = 0, len(data)
        unpack, bytes_max = LENGTH.unpack_from, self._bytes_max
        self._needed = LENGTH.size
        while end - offset >= 4 and self.error is None:
            size = unpack(data, offset)[0]
            stop = offset + 4 + size
            if not 0 <= size <= bytes_max:
                self.error = f"frame length {size} is not within 0..{bytes_max}"
            elif stop > end:
                self._needed = 4 + size
                break
            else:
                frames.append(data[offset + 4 : stop])
                offset = stop
        if offset < end and self.error is None:
            self._buffer += data[offset:]
        return frames
