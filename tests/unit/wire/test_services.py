"""The method tables against counts and rows of the wire facts (rpc-protocols.tsv)."""

from __future__ import annotations

from collections import Counter

import pytest

from hdfsd.wire import services
from hdfsd.wire.framing import read_delimited
from hdfsd.wire.messages import client_namenode, qjournal, rpc_engine
from hdfsd.wire.services import PROTOCOLS, RetryClass, snake_case

ALL_METHODS = [m for table in PROTOCOLS.values() for m in table.methods.values()]

METHOD_COUNTS = {
    services.HA_SERVICE_PROTOCOL: 5,
    services.ZKFC_PROTOCOL: 2,
    services.CLIENT_DATANODE_PROTOCOL: 17,
    services.CLIENT_PROTOCOL: 111,
    services.RECONFIGURATION_PROTOCOL: 3,
    services.INTER_QJOURNAL_PROTOCOL: 2,
    services.QJOURNAL_PROTOCOL: 20,
    services.ALIAS_MAP_PROTOCOL: 4,
    services.DATANODE_LIFELINE_PROTOCOL: 1,
    services.DATANODE_PROTOCOL: 9,
    services.INTER_DATANODE_PROTOCOL: 2,
    services.JOURNAL_PROTOCOL: 3,
    services.NAMENODE_PROTOCOL: 14,
    services.GENERIC_REFRESH_PROTOCOL: 1,
    services.PROTOCOL_META_INFO: 2,
    services.REFRESH_CALL_QUEUE_PROTOCOL: 1,
    services.REFRESH_USER_MAPPINGS_PROTOCOL: 2,
    services.REFRESH_AUTHORIZATION_POLICY_PROTOCOL: 1,
    services.GET_USER_MAPPINGS_PROTOCOL: 1,
}


def test_every_protocol_has_its_methods() -> None:
    assert {name: len(table.methods) for name, table in PROTOCOLS.items()} == METHOD_COUNTS


def test_retry_classes_and_read_only_flags_add_up() -> None:
    assert Counter((m.retry.value, m.read_only) for m in ALL_METHODS) == {
        ("at-most-once", False): 32,
        ("idempotent", False): 78,
        ("idempotent", True): 46,
        ("none", False): 45,
    }
    assert sum(m.coordinated for m in ALL_METHODS) == 35
    assert [m.name for m in ALL_METHODS if m.active_only] == ["getQuotaUsage", "msync"]


@pytest.mark.parametrize(
    ("protocol", "name", "retry", "coordinated"),
    [
        (services.CLIENT_PROTOCOL, "create", RetryClass.AT_MOST_ONCE, False),
        (services.CLIENT_PROTOCOL, "mkdirs", RetryClass.IDEMPOTENT, False),
        (services.CLIENT_PROTOCOL, "getBlockLocations", RetryClass.IDEMPOTENT, True),
        (services.CLIENT_PROTOCOL, "getHAServiceState", RetryClass.IDEMPOTENT, False),
        (services.NAMENODE_PROTOCOL, "endCheckpoint", RetryClass.AT_MOST_ONCE, False),
        (services.QJOURNAL_PROTOCOL, "discardSegments", RetryClass.IDEMPOTENT, False),
        (services.QJOURNAL_PROTOCOL, "journal", RetryClass.NONE, False),
    ],
)
def test_rows(protocol: str, name: str, retry: RetryClass, coordinated: bool) -> None:
    method = PROTOCOLS[protocol].methods[name]
    assert (method.retry, method.coordinated) == (retry, coordinated)


def test_messages_of_a_method() -> None:
    method = PROTOCOLS[services.CLIENT_PROTOCOL].methods["getFileInfo"]
    assert method.request is client_namenode.GetFileInfoRequestProto
    assert method.response is client_namenode.GetFileInfoResponseProto
    journal = PROTOCOLS[services.QJOURNAL_PROTOCOL].methods["journal"]
    assert journal.request is qjournal.JournalRequestProto
    assert str(journal) == "org.apache.hadoop.hdfs.qjournal.protocol.QJournalProtocol.journal"


def test_request_header_says_protocol_method_and_version_one() -> None:
    for method in ALL_METHODS:
        body, end = read_delimited(method.request_header, 0)
        header = rpc_engine.RequestHeaderProto.FromString(body)
        assert end == len(method.request_header)
        assert header.methodName == method.name
        assert header.declaringClassProtocolName == method.protocol
        assert header.clientProtocolVersion == 1


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("getFileInfo", "get_file_info"),
        ("getECTopologyResultForPolicies", "get_ec_topology_result_for_policies"),
        ("getEZForPath", "get_ez_for_path"),
        ("setXAttr", "set_x_attr"),
        ("rename2", "rename2"),
        ("getHAServiceState", "get_ha_service_state"),
        ("getJournalCTime", "get_journal_c_time"),
        ("journal", "journal"),
    ],
)
def test_snake_case(name: str, snake: str) -> None:
    assert snake_case(name) == snake


def test_handlers_of_a_protocol_are_distinct() -> None:
    for table in PROTOCOLS.values():
        assert len({m.handler for m in table.methods.values()}) == len(table.methods)
