"""Data. The method tables of every RPC protocol: messages, retry class, read-only flags.

The messages of a method come from the descriptors of the generated modules; what no descriptor
says (protocol name, retry class, what may run on an observer) stands in the tables below.
Wire facts: rpc-protocols.tsv. An RPC is matched by (protocol name, method name).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from hdfsd.wire import messages
from hdfsd.wire.framing import delimited
from hdfsd.wire.messages import Message

PROTOCOL_VERSION = 1
"""Every HDFS interface says 1 on the wire, whatever its Java versionID."""

HA_SERVICE_PROTOCOL = "org.apache.hadoop.ha.HAServiceProtocol"
ZKFC_PROTOCOL = "org.apache.hadoop.ha.ZKFCProtocol"
PROTOCOL_META_INFO = "org.apache.hadoop.ipc.ProtocolMetaInfoPB"
GENERIC_REFRESH_PROTOCOL = "org.apache.hadoop.ipc.GenericRefreshProtocol"
REFRESH_CALL_QUEUE_PROTOCOL = "org.apache.hadoop.ipc.RefreshCallQueueProtocol"
REFRESH_AUTHORIZATION_POLICY_PROTOCOL = (
    "org.apache.hadoop.security.authorize.RefreshAuthorizationPolicyProtocol"
)
REFRESH_USER_MAPPINGS_PROTOCOL = "org.apache.hadoop.security.RefreshUserMappingsProtocol"
GET_USER_MAPPINGS_PROTOCOL = "org.apache.hadoop.tools.GetUserMappingsProtocol"
CLIENT_DATANODE_PROTOCOL = "org.apache.hadoop.hdfs.protocol.ClientDatanodeProtocol"
CLIENT_PROTOCOL = "org.apache.hadoop.hdfs.protocol.ClientProtocol"
RECONFIGURATION_PROTOCOL = "org.apache.hadoop.hdfs.protocol.ReconfigurationProtocol"
ALIAS_MAP_PROTOCOL = "org.apache.hadoop.hdfs.server.aliasmap.AliasMapProtocol"
DATANODE_LIFELINE_PROTOCOL = "org.apache.hadoop.hdfs.server.protocol.DatanodeLifelineProtocol"
DATANODE_PROTOCOL = "org.apache.hadoop.hdfs.server.protocol.DatanodeProtocol"
INTER_DATANODE_PROTOCOL = "org.apache.hadoop.hdfs.server.protocol.InterDatanodeProtocol"
JOURNAL_PROTOCOL = "org.apache.hadoop.hdfs.server.protocol.JournalProtocol"
NAMENODE_PROTOCOL = "org.apache.hadoop.hdfs.server.protocol.NamenodeProtocol"
INTER_QJOURNAL_PROTOCOL = "org.apache.hadoop.hdfs.qjournal.protocol.InterQJournalProtocol"
QJOURNAL_PROTOCOL = "org.apache.hadoop.hdfs.qjournal.protocol.QJournalProtocol"


class RetryClass(Enum):
    """What a client may do with a call whose answer it did not get."""

    IDEMPOTENT = "idempotent"
    AT_MOST_ONCE = "at-most-once"
    """Safe to send again with the same client id and call id: the retry cache answers it."""
    NONE = "none"


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One RPC."""

    protocol: str
    name: str
    """On the wire, as in getFileInfo."""
    handler: str
    """The same in snake case: the name of the Python method that serves it."""
    request: type[Message]
    response: type[Message]
    retry: RetryClass
    read_only: bool
    """May be served by an observer."""
    coordinated: bool
    """Waits until the server has reached the caller's state id."""
    active_only: bool
    """Read-only, yet only the active NameNode answers it."""
    request_header: bytes
    """The delimited RequestHeaderProto that goes in front of the parameter."""

    def __str__(self) -> str:
        return f"{self.protocol}.{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class ProtocolTable:
    name: str
    version: int
    service: str
    """Full name of the protobuf service."""
    methods: Mapping[str, Method]
    """By wire name, in the order of the service's descriptor."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What rpc-protocols.tsv says beyond the descriptors; methods by name, split on spaces."""

    service: str
    retry: RetryClass
    """Of every method that is not named by the next two."""
    at_most_once: str = ""
    idempotent: str = ""
    coordinated: str = ""
    active_only: str = ""
    read_only: str = ""
    """Read-only methods that are neither of the two kinds above."""


_IDEMPOTENT, _NONE = RetryClass.IDEMPOTENT, RetryClass.NONE

_FACTS: Mapping[str, _Facts] = {
    HA_SERVICE_PROTOCOL: _Facts("hadoop.common.HAServiceProtocolService", _IDEMPOTENT),
    ZKFC_PROTOCOL: _Facts("hadoop.common.ZKFCProtocolService", _IDEMPOTENT),
    PROTOCOL_META_INFO: _Facts("hadoop.common.ProtocolInfoService", _NONE),
    GENERIC_REFRESH_PROTOCOL: _Facts("hadoop.common.GenericRefreshProtocolService", _IDEMPOTENT),
    REFRESH_CALL_QUEUE_PROTOCOL: _Facts(
        "hadoop.common.RefreshCallQueueProtocolService", _IDEMPOTENT
    ),
    REFRESH_AUTHORIZATION_POLICY_PROTOCOL: _Facts(
        "hadoop.common.RefreshAuthorizationPolicyProtocolService", _IDEMPOTENT
    ),
    REFRESH_USER_MAPPINGS_PROTOCOL: _Facts(
        "hadoop.common.RefreshUserMappingsProtocolService", _IDEMPOTENT
    ),
    GET_USER_MAPPINGS_PROTOCOL: _Facts("hadoop.common.GetUserMappingsProtocolService", _IDEMPOTENT),
    CLIENT_DATANODE_PROTOCOL: _Facts("hadoop.hdfs.ClientDatanodeProtocolService", _NONE),
    CLIENT_PROTOCOL: _Facts(
        "hadoop.hdfs.ClientNamenodeProtocol",
        _IDEMPOTENT,
        at_most_once="""
            create append concat rename rename2 delete saveNamespace
            addCacheDirective modifyCacheDirective removeCacheDirective
            addCachePool modifyCachePool removeCachePool createSymlink updatePipeline
            createSnapshot renameSnapshot deleteSnapshot setXAttr removeXAttr
            createEncryptionZone reencryptEncryptionZone
            setErasureCodingPolicy unsetErasureCodingPolicy addErasureCodingPolicies
            removeErasureCodingPolicy enableErasureCodingPolicy disableErasureCodingPolicy
            satisfyStoragePolicy""",
        coordinated="""
            getBlockLocations getServerDefaults getStoragePolicy getStoragePolicies
            getListing getBatchedListing getPreferredBlockSize listCorruptFileBlocks
            getFileInfo getLocatedFileInfo listCacheDirectives listCachePools
            getFileLinkInfo getContentSummary getLinkTarget getDataEncryptionKey
            getSnapshottableDirListing getSnapshotListing getSnapshotDiffReport
            getSnapshotDiffReportListing isFileClosed getAclStatus getXAttrs listXAttrs
            checkAccess listEncryptionZones listReencryptionStatus getEZForPath
            getCurrentEditLogTxid getEditsFromTxid getErasureCodingPolicies
            getErasureCodingPolicy getErasureCodingCodecs listOpenFiles getEnclosingRoot""",
        active_only="getQuotaUsage msync",
        read_only="""
            getFsStats getFsReplicatedBlockStats getFsECBlockGroupStats getDatanodeReport
            getDatanodeStorageReport getECTopologyResultForPolicies getHAServiceState
            getSlowDatanodeReport""",
    ),
    RECONFIGURATION_PROTOCOL: _Facts("hadoop.hdfs.ReconfigurationProtocolService", _IDEMPOTENT),
    ALIAS_MAP_PROTOCOL: _Facts("hadoop.hdfs.AliasMapProtocolService", _IDEMPOTENT),
    DATANODE_LIFELINE_PROTOCOL: _Facts(
        "hadoop.hdfs.datanodelifeline.DatanodeLifelineProtocolService", _IDEMPOTENT
    ),
    DATANODE_PROTOCOL: _Facts("hadoop.hdfs.datanode.DatanodeProtocolService", _IDEMPOTENT),
    INTER_DATANODE_PROTOCOL: _Facts("hadoop.hdfs.InterDatanodeProtocolService", _NONE),
    JOURNAL_PROTOCOL: _Facts("hadoop.hdfs.JournalProtocolService", _NONE),
    NAMENODE_PROTOCOL: _Facts(
        "hadoop.hdfs.namenode.NamenodeProtocolService",
        _IDEMPOTENT,
        at_most_once="startCheckpoint endCheckpoint getNextSPSPath",
        read_only="getBlocks",
    ),
    INTER_QJOURNAL_PROTOCOL: _Facts("hadoop.hdfs.qjournal.InterQJournalProtocolService", _NONE),
    QJOURNAL_PROTOCOL: _Facts(
        "hadoop.hdfs.qjournal.QJournalProtocolService", _NONE, idempotent="discardSegments"
    ),
}

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """getECTopologyResultForPolicies -> get_ec_topology_result_for_policies."""
    return _WORD_START.sub("_", name).lower()


def _services() -> Iterator[ServiceDescriptor]:
    for module in messages.ALL:
        yield from module.DESCRIPTOR.services_by_name.values()


def _request_header(protocol: str, name: str) -> bytes:
    header = messages.rpc_engine.RequestHeaderProto(
        methodName=name,
        declaringClassProtocolName=protocol,
        clientProtocolVersion=PROTOCOL_VERSION,
    )
    return delimited(header.SerializeToString())


def _retry_of(name: str, facts: _Facts) -> RetryClass:
    if name in facts.at_most_once.split():
        return RetryClass.AT_MOST_ONCE
    if name in facts.idempotent.split():
        return RetryClass.IDEMPOTENT
    return facts.retry


def _methods(protocol: str, service: ServiceDescriptor, facts: _Facts) -> Iterator[Method]:
    coordinated = frozenset(facts.coordinated.split())
    active_only = frozenset(facts.active_only.split())
    read_only = coordinated | active_only | frozenset(facts.read_only.split())
    named = read_only.union(facts.at_most_once.split(), facts.idempotent.split())
    unknown = named - {method.name for method in service.methods}
    assert not unknown, f"{protocol} has no {sorted(unknown)}"
    for method in service.methods:
        yield Method(
            protocol=protocol,
            name=method.name,
            handler=snake_case(method.name),
            request=GetMessageClass(method.input_type),
            response=GetMessageClass(method.output_type),
            retry=_retry_of(method.name, facts),
            read_only=method.name in read_only,
            coordinated=method.name in coordinated,
            active_only=method.name in active_only,
            request_header=_request_header(protocol, method.name),
        )


_LATER: Mapping[str, Sequence[tuple[str, type[Message], type[Message]]]] = {
    # HDFS-16690, Hadoop 3.5. Its request has the fields of isFormatted's.
    INTER_QJOURNAL_PROTOCOL: (
        (
            "getStorageInfo",
            messages.qjournal.IsFormattedRequestProto,
            messages.hdfs_server.StorageInfoProto,
        ),
    ),
}
"""Methods that the descriptors of 3.4.1 do not have: name, request, response."""


def _later_methods(protocol: str, facts: _Facts) -> Iterator[Method]:
    for name, request, response in _LATER.get(protocol, ()):
        yield Method(
            protocol=protocol,
            name=name,
            handler=snake_case(name),
            request=request,
            response=response,
            retry=facts.retry,
            read_only=False,
            coordinated=False,
            active_only=False,
            request_header=_request_header(protocol, name),
        )


def _tables(services: Iterable[ServiceDescriptor]) -> Mapping[str, ProtocolTable]:
    by_name = {service.full_name: service for service in services}
    tables = {}
    for protocol, facts in _FACTS.items():
        methods = {m.name: m for m in _methods(protocol, by_name[facts.service], facts)}
        methods.update({m.name: m for m in _later_methods(protocol, facts)})
        tables[protocol] = ProtocolTable(
            protocol, PROTOCOL_VERSION, facts.service, MappingProxyType(methods)
        )
    return MappingProxyType(tables)


PROTOCOLS: Mapping[str, ProtocolTable] = _tables(_services())
"""By protocol name, as it stands in a RequestHeaderProto."""
