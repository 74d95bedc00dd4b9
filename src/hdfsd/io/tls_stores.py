"""Adapter. TLS contexts from Java's key stores, as Hadoop's keys name them.

PEM files need nothing; PKCS12, what `keytool` makes since Java 9, is opened by `cryptography`; JKS
is Java's own and refused with the command that converts it. No private key is written to a disk.
"""

from __future__ import annotations

import os
import secrets
import ssl
from pathlib import Path
from typing import Any

from hdfsd.base.errors import ConfigError

PEM_MARK = b"-----BEGIN "
DER_SEQUENCE = b"\x30"
JAVA_MARKS = {b"\xfe\xed\xfe\xed": "JKS", b"\xce\xce\xce\xce": "JCEKS"}


def client_context(
    *, truststore: str, truststore_password: str, keystore: str = "", keystore_password: str = ""
) -> ssl.SSLContext:
    """Trusts what is in the trust store and nothing else, checks host names, and shows the
    certificate of the key store, if there is one. Raises ConfigError that names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=_trusted(truststore, truststore_password))
        if keystore:
            _load_own(context, keystore, keystore_password)
    except ssl.SSLError as error:
        raise ConfigError(f"TLS with {truststore} and {keystore or 'no key store'}: {error}") from (
            error
        )
    return context


def _trusted(path: str, password: str) -> str:
    """Certificates in PEM form."""
    content = _read(path)
    if PEM_MARK in content:
        return content.decode("ascii", "replace")
    from cryptography.hazmat.primitives.serialization import Encoding

    store = _pkcs12(path, content, password)
    certificates = [entry.certificate for entry in store.additional_certs]
    if not certificates:
        raise ConfigError(f"{path}: no certificate in it: nobody would be trusted")
    return "".join(c.public_bytes(Encoding.PEM).decode("ascii") for c in certificates)


def _load_own(context: ssl.SSLContext, path: str, password: str) -> None:
    content = _read(path)
    if PEM_MARK not in content:
        content, password = _pem_of(_pkcs12(path, content, password), path)
    # OpenSSL reads these from files only; this one is in memory.
    descriptor = os.memfd_create("keystore", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=password)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"{path}: no certificate with its private key can be read from it: {error}"
        ) from error
    finally:
        os.close(descriptor)


def _pem_of(store: Any, path: str) -> tuple[bytes, str]:
    """Key and certificates, under a password made up for the moment."""
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
    )

    if store.key is None or store.cert is None:
        raise ConfigError(f"{path}: no private key with its certificate in it")
    password = secrets.token_hex(16)
    encryption = BestAvailableEncryption(password.encode())
    parts = [store.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)]
    chain = [store.cert, *store.additional_certs]
    parts += [entry.certificate.public_bytes(Encoding.PEM) for entry in chain]
    return b"".join(parts), password


def _pkcs12(path: str, content: bytes, password: str) -> Any:
    for mark, kind in JAVA_MARKS.items():
        if content.startswith(mark):
            raise ConfigError(
                f"{path} is a {kind} store, which Java alone can open. Convert it: keytool"
                f" -importkeystore -srckeystore {path} -destkeystore {path}.p12"
                " -deststoretype PKCS12"
            )
    if not content.startswith(DER_SEQUENCE):
        raise ConfigError(f"{path} is neither PEM nor PKCS12")
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    try:
        return load_pkcs12(content, password.encode())
    except ValueError as error:
        raise ConfigError(f"{path}: not opened as PKCS12: {error}") from error


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from error
