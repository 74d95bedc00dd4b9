"""Key stores in the forms that people have them in, without and with a peer to shake hands with."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
from certificates import Identity, authority, issue
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PKCS12Certificate,
    serialize_java_truststore,
)

from hdfsd.base.errors import ConfigError
from hdfsd.io.tls_stores import client_context

PASSWORD = "changeit"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trust stores and key stores by form; `stranger` is of another authority."""
    root = tmp_path_factory.mktemp("stores")
    ours, others = authority("ours"), authority("others")
    client, stranger = issue("client", ours), issue("stranger", others)
    (root / "trust.pem").write_bytes(ours.certificate_pem())
    (root / "trust.p12").write_bytes(_java_truststore(ours))
    (root / "client.pem").write_bytes(client.pem())
    (root / "client.p12").write_bytes(client.pkcs12(PASSWORD))
    (root / "stranger.pem").write_bytes(stranger.pem())
    (root / "server.pem").write_bytes(issue("server", ours).pem())
    (root / "elsewhere.pem").write_bytes(issue("server", ours, host="192.0.2.7").pem())
    (root / "garbage").write_bytes(b"what is this")
    (root / "torn.p12").write_bytes(client.pkcs12(PASSWORD)[:100])
    (root / "torn.pem").write_bytes(client.pem()[:100])
    (root / "store.jks").write_bytes(b"\xfe\xed\xfe\xed\x00\x00\x00\x02")
    (root / "store.jceks").write_bytes(b"\xce\xce\xce\xce\x00\x00\x00\x02")
    return root


def _java_truststore(identity: Identity) -> bytes:
    entries = [PKCS12Certificate(identity.certificate, b"ca")]
    return serialize_java_truststore(entries, BestAvailableEncryption(PASSWORD.encode()))


def context(stores: Path, trust: str, own: str = "", password: str = PASSWORD) -> ssl.SSLContext:
    return client_context(
        truststore=str(stores / trust),
        truststore_password=password,
        keystore=str(stores / own) if own else "",
        keystore_password=password,
    )


def shake_hands(stores: Path, client: ssl.SSLContext, server: str = "server.pem") -> str:
    """What the client reads from a server that insists on a certificate of our authority."""
    accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    accepting.load_cert_chain(stores / server)
    accepting.load_verify_locations(stores / "trust.pem")
    accepting.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, accepting))
        thread.start()
        try:
            with socket.create_connection(listener.getsockname()) as plain:
                with client.wrap_socket(plain, server_hostname="127.0.0.1") as link:
                    return link.recv(100).decode()
        finally:
            thread.join()


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    plain, _ = listener.accept()
    with plain:
        try:
            with context.wrap_socket(plain, server_side=True) as link:
                link.sendall(b"welcome")
        except OSError:
            pass


@pytest.mark.parametrize("trust", ["trust.pem", "trust.p12"])
@pytest.mark.parametrize("own", ["client.pem", "client.p12"])
def test_every_form_lets_us_in(stores: Path, trust: str, own: str) -> None:
    assert shake_hands(stores, context(stores, trust, own)) == "welcome"


def test_without_a_certificate_the_server_hangs_up(stores: Path) -> None:
    with pytest.raises(ssl.SSLError):
        shake_hands(stores, context(stores, "trust.pem"))


def test_whom_we_do_not_trust(stores: Path) -> None:
    client = context(stores, "trust.pem", "client.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        shake_hands(stores, client, "stranger.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        shake_hands(stores, client, "elsewhere.pem")


@pytest.mark.parametrize(
    ("trust", "own", "said"),
    [
        ("no-such-file", "", "can't be read: No such file"),
        ("garbage", "", "neither PEM nor PKCS12"),
        ("store.jks", "", "is a JKS store, .* keytool -importkeystore .* -deststoretype PKCS12"),
        ("store.jceks", "", "is a JCEKS store"),
        ("client.p12", "", "no certificate in it: nobody would be trusted"),
        ("trust.pem", "store.jks", "is a JKS store"),
        ("trust.pem", "torn.p12", "not opened as PKCS12"),
        ("trust.pem", "torn.pem", "no certificate with its private key"),
        ("trust.pem", "trust.p12", "no private key with its certificate"),
        ("trust.pem", "trust.pem", "no certificate with its private key"),
        ("torn.pem", "", "TLS with"),
    ],
)
def test_what_can_not_be_used(stores: Path, trust: str, own: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        context(stores, trust, own)


def test_a_wrong_password(stores: Path) -> None:
    for trust, own in (("trust.p12", ""), ("trust.pem", "client.p12")):
        with pytest.raises(ConfigError, match=r"not opened as PKCS12: .*[Pp]assword"):
            context(stores, trust, own, "wrong")
