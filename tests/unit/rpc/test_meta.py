"""Fingerprints, as a NameNode of Hadoop 3.4.1 gave them."""

from __future__ import annotations

import pytest

from hdfsd.base.errors import RemoteFault
from hdfsd.rpc.meta import ProtocolMetaInfo, fingerprint
from hdfsd.wire.messages import protocol_info
from hdfsd.wire.services import (
    CLIENT_PROTOCOL,
    HA_SERVICE_PROTOCOL,
    PROTOCOL_META_INFO,
    PROTOCOLS,
    QJOURNAL_PROTOCOL,
)

Signature = protocol_info.GetProtocolSignatureRequestProto
Versions = protocol_info.GetProtocolVersionsRequestProto
HA_INTERFACE = "org.apache.hadoop.ha.protocolPB.HAServiceProtocolPB"
KIND = "RPC_PROTOCOL_BUFFER"

meta = ProtocolMetaInfo((CLIENT_PROTOCOL, HA_SERVICE_PROTOCOL))


def test_fingerprints_of_the_ha_protocol() -> None:
    # Hadoop's list has two more: methods of VersionedProtocol, which no RPC calls.
    theirs = protocol_info.GetProtocolSignatureResponseProto.FromString(
        bytes.fromhex(
            "0a2c080110bfbaa6830a10c0a0da810b10ec949e960b10c98c8cca0c10d5a696b50f10e9e9ccde06109097e3f507"
        )
    )
    ours = meta.get_protocol_signature(Signature(protocol=HA_INTERFACE, rpcKind=KIND), None)
    (signature,) = ours.protocolSignature
    assert signature.version == 1
    assert len(signature.methods) == 5
    assert set(signature.methods) < set(theirs.protocolSignature[0].methods)


def test_every_method_has_a_fingerprint_of_its_own() -> None:
    for table in PROTOCOLS.values():
        prints = {fingerprint(method) for method in table.methods.values()}
        assert len(prints) == len(table.methods)
        assert all(0 <= value < 2**32 for value in prints)


@pytest.mark.parametrize("name", [HA_INTERFACE, HA_SERVICE_PROTOCOL, PROTOCOL_META_INFO])
def test_served_protocols_have_version_one(name: str) -> None:
    (answer,) = meta.get_protocol_versions(Versions(protocol=name), None).protocolVersions
    assert (answer.rpcKind, list(answer.versions)) == (KIND, [1])


def test_protocols_that_are_not_served_here_have_nothing() -> None:
    assert not meta.get_protocol_versions(
        Versions(protocol=QJOURNAL_PROTOCOL), None
    ).protocolVersions
    for request in (
        Signature(protocol=QJOURNAL_PROTOCOL, rpcKind=KIND),
        Signature(protocol=HA_INTERFACE, rpcKind="RPC_WRITABLE"),
    ):
        assert not meta.get_protocol_signature(request, None).protocolSignature


def test_unknown_classes_are_not_found() -> None:
    with pytest.raises(RemoteFault) as caught:
        meta.get_protocol_signature(Signature(protocol="x.Y", rpcKind=KIND), None)
    assert caught.value.wire_class == "java.lang.ClassNotFoundException"
