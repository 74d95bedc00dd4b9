"""Stores that Hadoop's own `hadoop credential` made (tests/golden/data/credentials)."""

from __future__ import annotations

import contextlib
from hashlib import sha1
from pathlib import Path

import pytest

from hdfsd.io.jceks import BadStore, secret

STORES = Path(__file__).parents[2] / "golden/data/credentials"
STORE = (STORES / "store.jceks").read_bytes()
AUTH = "ha.zookeeper.auth"


@pytest.mark.parametrize(
    ("alias", "found"),
    [
        (AUTH, "digest:hdfs:se:cret"),
        ("hadoop.zk.ssl.keystore.password", "pässword"),
        ("hadoop.zk.ssl.truststore.password", None),
    ],
)
def test_what_hadoop_stored(alias: str, found: str | None) -> None:
    assert secret(STORE, "none", alias) == found


def test_a_store_with_a_password_of_its_own() -> None:
    content = (STORES / "sesame.jceks").read_bytes()
    assert secret(content, "sesame", AUTH) == "digest:hdfs:open"
    with pytest.raises(BadStore, match="its password is another"):
        secret(content, "none", AUTH)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "no JCEKS store"),
        (b"\xfe\xed\xfe\xed" + STORE[4:], "no JCEKS store"),
        (STORE[:-1], "damaged"),
        (STORE[:100] + bytes((STORE[100] ^ 1,)) + STORE[101:], "damaged"),
    ],
)
def test_what_is_no_such_store(content: bytes, cause: str) -> None:
    with pytest.raises(BadStore, match=cause):
        secret(content, "none", AUTH)


def signed(body: bytes) -> bytes:
    """A store whose digest is right."""
    return body + sha1("none".encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()


def test_a_body_that_is_wrong_is_never_another_error() -> None:
    """Whatever a byte in it is: the entry is still there, or not, or BadStore says why."""
    body = bytearray(STORE[:-20])
    for position in range(4, len(body)):
        body[position] ^= 0xFF
        with contextlib.suppress(BadStore):
            secret(signed(bytes(body)), "none", "absent")
        body[position] ^= 0xFF


@pytest.mark.parametrize("end", [5, 12, 30, 57, 80, 300])
def test_a_body_that_ends_too_soon(end: int) -> None:
    with pytest.raises(BadStore):
        secret(signed(STORE[:end]), "none", AUTH)
