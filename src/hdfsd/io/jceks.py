"""Core. Secrets in a Java key store of the kind that `hadoop credential` writes (JCEKS).

Such an entry is a serialized Java object that holds, sealed with the store's password, another one
that holds the secret (Java's JceKeyStore, SealedObject and SecretKeySpec; the object stream is that
of the Java Object Serialization Specification, section 6.4). Only what these classes need is read.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import md5, sha1
from typing import Any

MAGIC = b"\xce\xce\xce\xce"
VERSION = 2
SECRET_KEY = 3
"""Of the kinds of entries; the others are private keys and certificates."""
DIGEST_BYTES = 20
WHITENER = b"Mighty Aphrodite"
"""What Java mixes into the digest of every store."""
STREAM_HEADER = b"\xac\xed\x00\x05"
NULL, REFERENCE, CLASS, OBJECT, STRING, ARRAY, END = 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x78
FIRST_HANDLE = 0x7E0000
SEALING = "PBEWithMD5AndTripleDES"
SALT_BYTES, HALF_BYTES, KEY_BYTES = 8, 4, 24
ITERATIONS_MAX = 5_000_000
"""Java's own limit (JceKeyStore)."""
SIZES = {"B": "b", "I": "i", "J": "q", "Z": "?"}


class BadStore(ValueError):
    """It is no such store, it is damaged, or the password is another."""


@dataclass(frozen=True, slots=True)
class _Class:
    name: str
    fields: tuple[tuple[str, str], ...]
    """(name, type) as the stream has them: primitive ones first."""
    parent: _Class | None


def secret(content: bytes, password: str, alias: str) -> str | None:
    """The secret of that name; None when there is none. Raises BadStore."""
    body, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if content[: len(MAGIC)] != MAGIC:
        raise BadStore("it is no JCEKS store")
    whole = sha1(password.encode("utf-16-be") + WHITENER + body, usedforsecurity=False)
    if not hmac.compare_digest(whole.digest(), digest):
        raise BadStore("it is damaged, or its password is another")
    sealed = _entries(_Reader(body, len(MAGIC))).get(alias)
    return None if sealed is None else _opened(sealed, password)


def _entries(reader: _Reader) -> Mapping[str, Any]:
    """The sealed objects by alias: opening one takes time."""
    version, count = reader.unpack(">ii")
    if version != VERSION:
        raise BadStore(f"its version is {version}, {VERSION} is known")
    found = {}
    for _ in range(count):
        (kind,) = reader.unpack(">i")
        alias, _made_ms = reader.text(), reader.unpack(">q")
        if kind != SECRET_KEY:
            raise BadStore(f"entry {alias!r} is a key or a certificate: none is expected there")
        found[alias] = reader.value_of_stream()
    return found


def _opened(sealed: Any, password: str) -> str:
    if not isinstance(sealed, dict) or sealed.get("sealAlg") != SEALING:
        raise BadStore(f"an entry is not sealed with {SEALING}")
    plain = _unseal(sealed["encryptedContent"], sealed["encodedParams"], password)
    key = _Reader(plain, 0).value_of_stream()
    if not isinstance(key, dict) or not isinstance(key.get("key"), bytes):
        raise BadStore("an entry is no secret")
    return str(key["key"].decode("utf-8"))


def _unseal(data: bytes, parameters: bytes, password: str) -> bytes:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    salt, iterations = _salt_and_iterations(parameters)
    derived = _derived(password.encode("ascii", "replace"), salt, iterations)
    cipher = Cipher(TripleDES(derived[:KEY_BYTES]), modes.CBC(derived[KEY_BYTES:]))
    decryptor, unpadder = cipher.decryptor(), PKCS7(64).unpadder()
    try:
        padded = decryptor.update(data) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise BadStore("an entry can't be opened with the store's password") from error


def _salt_and_iterations(parameters: bytes) -> tuple[bytes, int]:
    """Of the DER form: SEQUENCE of OCTET STRING and INTEGER (PKCS #5, PBEParameter)."""
    number_at = 4 + SALT_BYTES
    head = bytes((0x30, len(parameters) - 2, 0x04, SALT_BYTES))
    if parameters[:4] != head or parameters[number_at : number_at + 1] != b"\x02":
        raise BadStore("an entry is sealed in an unknown way")
    iterations = int.from_bytes(parameters[number_at + 2 :], "big")
    if not 0 < iterations <= ITERATIONS_MAX:
        raise BadStore(f"an entry is sealed with {iterations} iterations")
    return parameters[4:number_at], iterations


def _derived(password: bytes, salt: bytes, iterations: int) -> bytes:
    """Key and initialisation vector (Java's PBES1Core, for TripleDES a way of its own)."""
    halves = [salt[:HALF_BYTES], salt[HALF_BYTES:]]
    if halves[0] == halves[1]:
        a, b, _, d = halves[0]
        halves[0] = bytes((d, a, b, d))
    derived = b""
    for half in halves:
        for _ in range(iterations):
            half = md5(half + password, usedforsecurity=False).digest()
        derived += half
    return derived


class _Reader:
    """A position in bytes, and what the object stream there has named so far."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position
        self._handles: list[Any] = []

    def take(self, count: int) -> bytes:
        start, self._position = self._position, self._position + count
        if count < 0 or self._position > len(self._data):
            raise BadStore("it ends in the middle of an entry")
        return self._data[start : self._position]

    def unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def text(self) -> str:
        (length,) = self.unpack(">H")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadStore(f"a name is not readable: {error}") from error

    def value_of_stream(self) -> Any:
        """The one object of a stream that begins here."""
        if self.take(len(STREAM_HEADER)) != STREAM_HEADER:
            raise BadStore("an entry is no Java object")
        self._handles = []
        return self._value()

    def _value(self) -> Any:
        (mark,) = self.take(1)
        if mark == NULL:
            return None
        if mark == REFERENCE:
            (handle,) = self.unpack(">i")
            if not 0 <= handle - FIRST_HANDLE < len(self._handles):
                raise BadStore("an entry refers to nothing")
            return self._handles[handle - FIRST_HANDLE]
        if mark == STRING:
            return self._named(self.text())
        if mark == CLASS:
            return self._class()
        if mark == ARRAY:
            return self._array()
        if mark == OBJECT:
            return self._object()
        raise BadStore(f"an entry has something unknown in it: {mark:#x}")

    def _named(self, value: Any) -> Any:
        self._handles.append(value)
        return value

    def _class(self) -> _Class:
        name, place = self.text(), len(self._handles)
        self.take(8)
        self._handles.append(None)  # Its number comes before those of what it holds.
        _flags, count = self.unpack(">BH")
        fields = []
        for _ in range(count):
            kind = self.take(1).decode("latin-1")
            field = self.text()
            if kind in "[L":
                self._value()
            fields.append((field, kind))
        if self.take(1) != bytes((END,)):
            raise BadStore(f"class {name} is annotated")
        parent = self._value()
        if parent is not None and not isinstance(parent, _Class):
            raise BadStore(f"class {name} has no class as its parent")
        self._handles[place] = made = _Class(name, tuple(fields), parent)
        return made

    def _array(self) -> bytes:
        kind = self._value()
        if not isinstance(kind, _Class) or kind.name != "[B":
            raise BadStore("an entry has an array in it that is not of bytes")
        (length,) = self.unpack(">i")
        return bytes(self._named(self.take(length)))

    def _object(self) -> dict[str, Any]:
        kind = self._value()
        if not isinstance(kind, _Class):
            raise BadStore("an entry is an object without a class")
        values: dict[str, Any] = self._named({})
        lineage = [kind]
        while (parent := lineage[-1].parent) is not None:
            lineage.append(parent)
        for ancestor in reversed(lineage):
            for field, form in ancestor.fields:
                values[field] = self._value() if form in "[L" else self._primitive(form)
        return values

    def _primitive(self, form: str) -> Any:
        if form not in SIZES:
            raise BadStore(f"an entry has a field of the unknown type {form}")
        return self.unpack(f">{SIZES[form]}")[0]
