"""Core. ProtocolMetaInfoPB, which every server answers itself (rpc-framing.md 9).

Java clients ask it whether a server has a method (RpcClientUtil.isMethodSupported): they send
the name of their Java interface and look for the fingerprint of their Java method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hdfsd.base.errors import RemoteFault
from hdfsd.wire import services
from hdfsd.wire.messages import Message, protocol_info
from hdfsd.wire.services import PROTOCOLS, Method

RPC_KIND = "RPC_PROTOCOL_BUFFER"

_JAVA_INTERFACES: Mapping[str, str] = {
    "org.apache.hadoop.ha.protocolPB.HAServiceProtocolPB": services.HA_SERVICE_PROTOCOL,
    "org.apache.hadoop.ha.protocolPB.ZKFCProtocolPB": services.ZKFC_PROTOCOL,
    "org.apache.hadoop.ipc.ProtocolMetaInfoPB": services.PROTOCOL_META_INFO,
    "org.apache.hadoop.ipc.protocolPB.GenericRefreshProtocolPB": services.GENERIC_REFRESH_PROTOCOL,
    "org.apache.hadoop.ipc.protocolPB.RefreshCallQueueProtocolPB": (
        services.REFRESH_CALL_QUEUE_PROTOCOL
    ),
    "org.apache.hadoop.security.protocolPB.RefreshAuthorizationPolicyProtocolPB": (
        services.REFRESH_AUTHORIZATION_POLICY_PROTOCOL
    ),
    "org.apache.hadoop.security.protocolPB.RefreshUserMappingsProtocolPB": (
        services.REFRESH_USER_MAPPINGS_PROTOCOL
    ),
    "org.apache.hadoop.tools.protocolPB.GetUserMappingsProtocolPB": (
        services.GET_USER_MAPPINGS_PROTOCOL
    ),
    "org.apache.hadoop.hdfs.protocolPB.ClientDatanodeProtocolPB": services.CLIENT_DATANODE_PROTOCOL,
    "org.apache.hadoop.hdfs.protocolPB.ClientNamenodeProtocolPB": services.CLIENT_PROTOCOL,
    "org.apache.hadoop.hdfs.protocolPB.ReconfigurationProtocolPB": (
        services.RECONFIGURATION_PROTOCOL
    ),
    "org.apache.hadoop.hdfs.protocolPB.AliasMapProtocolPB": services.ALIAS_MAP_PROTOCOL,
    "org.apache.hadoop.hdfs.protocolPB.DatanodeLifelineProtocolPB": (
        services.DATANODE_LIFELINE_PROTOCOL
    ),
    "org.apache.hadoop.hdfs.protocolPB.DatanodeProtocolPB": services.DATANODE_PROTOCOL,
    "org.apache.hadoop.hdfs.protocolPB.InterDatanodeProtocolPB": services.INTER_DATANODE_PROTOCOL,
    "org.apache.hadoop.hdfs.protocolPB.JournalProtocolPB": services.JOURNAL_PROTOCOL,
    "org.apache.hadoop.hdfs.protocolPB.NamenodeProtocolPB": services.NAMENODE_PROTOCOL,
    "org.apache.hadoop.hdfs.qjournal.protocolPB.InterQJournalProtocolPB": (
        services.INTER_QJOURNAL_PROTOCOL
    ),
    "org.apache.hadoop.hdfs.qjournal.protocolPB.QJournalProtocolPB": services.QJOURNAL_PROTOCOL,
}
"""Java interface -> protocol name."""

_JAVA_OUTER_CLASSES: Mapping[str, str] = {
    "AliasMapProtocol": "org.apache.hadoop.hdfs.protocol.proto.AliasMapProtocolProtos",
    "ClientDatanodeProtocol": "org.apache.hadoop.hdfs.protocol.proto.ClientDatanodeProtocolProtos",
    "ClientNamenodeProtocol": "org.apache.hadoop.hdfs.protocol.proto.ClientNamenodeProtocolProtos",
    "DatanodeLifelineProtocol": (
        "org.apache.hadoop.hdfs.protocol.proto.DatanodeLifelineProtocolProtos"
    ),
    "DatanodeProtocol": "org.apache.hadoop.hdfs.protocol.proto.DatanodeProtocolProtos",
    "GenericRefreshProtocol": "org.apache.hadoop.ipc.proto.GenericRefreshProtocolProtos",
    "GetUserMappingsProtocol": "org.apache.hadoop.tools.proto.GetUserMappingsProtocolProtos",
    "HAServiceProtocol": "org.apache.hadoop.ha.proto.HAServiceProtocolProtos",
    "HdfsServer": "org.apache.hadoop.hdfs.protocol.proto.HdfsServerProtos",
    "InterDatanodeProtocol": "org.apache.hadoop.hdfs.protocol.proto.InterDatanodeProtocolProtos",
    "InterQJournalProtocol": "org.apache.hadoop.hdfs.qjournal.protocol.InterQJournalProtocolProtos",
    "JournalProtocol": "org.apache.hadoop.hdfs.protocol.proto.JournalProtocolProtos",
    "NamenodeProtocol": "org.apache.hadoop.hdfs.protocol.proto.NamenodeProtocolProtos",
    "ProtocolInfo": "org.apache.hadoop.ipc.protobuf.ProtocolInfoProtos",
    "QJournalProtocol": "org.apache.hadoop.hdfs.qjournal.protocol.QJournalProtocolProtos",
    "ReconfigurationProtocol": (
        "org.apache.hadoop.hdfs.protocol.proto.ReconfigurationProtocolProtos"
    ),
    "RefreshAuthorizationPolicyProtocol": (
        "org.apache.hadoop.security.proto.RefreshAuthorizationPolicyProtocolProtos"
    ),
    "RefreshCallQueueProtocol": "org.apache.hadoop.ipc.proto.RefreshCallQueueProtocolProtos",
    "RefreshUserMappingsProtocol": (
        "org.apache.hadoop.security.proto.RefreshUserMappingsProtocolProtos"
    ),
    "Security": "org.apache.hadoop.security.proto.SecurityProtos",
    "ZKFCProtocol": "org.apache.hadoop.ha.proto.ZKFCProtocolProtos",
    "acl": "org.apache.hadoop.hdfs.protocol.proto.AclProtos",
    "encryption": "org.apache.hadoop.hdfs.protocol.proto.EncryptionZonesProtos",
    "erasurecoding": "org.apache.hadoop.hdfs.protocol.proto.ErasureCodingProtos",
    "hdfs": "org.apache.hadoop.hdfs.protocol.proto.HdfsProtos",
    "xattr": "org.apache.hadoop.hdfs.protocol.proto.XAttrProtos",
}
"""Proto file -> the Java class around its messages, for files with messages of RPC methods."""

_JAVA_CONTROLLER = "org.apache.hadoop.thirdparty.protobuf.RpcController"


class ProtocolMetaInfo:
    """Which protocols a server has, and which methods."""

    def __init__(self, protocols: Sequence[str]) -> None:
        self._protocols = (*protocols, services.PROTOCOL_META_INFO)

    def get_protocol_versions(
        self, request: protocol_info.GetProtocolVersionsRequestProto, call: object
    ) -> protocol_info.GetProtocolVersionsResponseProto:
        """The one version; Hadoop 3.4.1 fails this call for every protocol it serves."""
        response = protocol_info.GetProtocolVersionsResponseProto()
        protocol = _protocol_of(request.protocol)
        if protocol in self._protocols:
            response.protocolVersions.add(rpcKind=RPC_KIND, versions=[PROTOCOLS[protocol].version])
        return response

    def get_protocol_signature(
        self, request: protocol_info.GetProtocolSignatureRequestProto, call: object
    ) -> protocol_info.GetProtocolSignatureResponseProto:
        """Fingerprints of all methods; nothing for a protocol that is not served here."""
        response = protocol_info.GetProtocolSignatureResponseProto()
        protocol = _protocol_of(request.protocol)
        if protocol in self._protocols and request.rpcKind == RPC_KIND:
            table = PROTOCOLS[protocol]
            methods = [fingerprint(method) for method in table.methods.values()]
            response.protocolSignature.add(version=table.version, methods=methods)
        return response


def _protocol_of(name: str) -> str:
    """The protocol of a Java interface or of its own name; raises RemoteFault as Java would."""
    protocol = _JAVA_INTERFACES.get(name, name)
    if protocol not in PROTOCOLS:
        raise RemoteFault(name, "java.lang.ClassNotFoundException")
    return protocol


def fingerprint(method: Method) -> int:
    """Hadoop's ProtocolSignature.getFingerprint of the Java method behind an RPC, as uint32."""
    value = _java_hash(method.name) + 31 * _java_hash(_java_class(method.response))
    for name in (_JAVA_CONTROLLER, _java_class(method.request)):
        value = (31 * value ^ _java_hash(name)) & 0xFFFFFFFF
    return value


def _java_class(message: type[Message]) -> str:
    descriptor = message.DESCRIPTOR
    proto_file = descriptor.file.name.rpartition("/")[2].removesuffix(".proto")
    return f"{_JAVA_OUTER_CLASSES[proto_file]}${descriptor.name}"


def _java_hash(text: str) -> int:
    """String.hashCode, as an unsigned number (names of classes and methods are ASCII)."""
    value = 0
    for byte in text.encode("ascii"):
        value = (31 * value + byte) & 0xFFFFFFFF
    return value
