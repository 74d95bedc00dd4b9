"""Every method of every protocol in every state: what Hadoop's checkOperation lets through."""

import pytest

from hdfsd.base.errors import StandbyError
from hdfsd.namenode.gate import Category, HAState, category, gate_for
from hdfsd.wire.services import (
    CLIENT_PROTOCOL,
    DATANODE_PROTOCOL,
    HA_SERVICE_PROTOCOL,
    NAMENODE_PROTOCOL,
    PROTOCOLS,
    Method,
)


def method(protocol: str, name: str) -> Method:
    return PROTOCOLS[protocol].methods[name]


@pytest.mark.parametrize(
    ("protocol", "name", "expected"),
    [
        (CLIENT_PROTOCOL, "getFileInfo", Category.READ),
        (CLIENT_PROTOCOL, "getServerDefaults", Category.READ),
        (CLIENT_PROTOCOL, "getFsStats", Category.UNCHECKED),
        (CLIENT_PROTOCOL, "getHAServiceState", Category.UNCHECKED),
        (CLIENT_PROTOCOL, "setSafeMode", Category.UNCHECKED),
        (CLIENT_PROTOCOL, "mkdirs", Category.WRITE),
        (CLIENT_PROTOCOL, "renewLease", Category.WRITE),
        (CLIENT_PROTOCOL, "rollEdits", Category.JOURNAL),
        (NAMENODE_PROTOCOL, "rollEditLog", Category.JOURNAL),
        (NAMENODE_PROTOCOL, "versionRequest", Category.UNCHECKED),
        (DATANODE_PROTOCOL, "sendHeartbeat", Category.UNCHECKED),
        (HA_SERVICE_PROTOCOL, "transitionToActive", Category.UNCHECKED),
    ],
)
def test_category(protocol: str, name: str, expected: Category) -> None:
    assert category(method(protocol, name)) is expected


def test_active_has_no_gate_at_all() -> None:
    assert gate_for(HAState.ACTIVE, allow_stale_reads=False) is None


def test_standby_refuses_with_hadoops_text() -> None:
    gate = gate_for(HAState.STANDBY, allow_stale_reads=False)
    assert gate is not None
    with pytest.raises(StandbyError) as caught:
        gate(method(CLIENT_PROTOCOL, "getFileInfo"))
    assert caught.value.message == (
        "Operation category READ is not supported in state standby. "
        "Visit https://s.apache.org/sbnn-error"
    )


@pytest.mark.parametrize("state", [s for s in HAState if s is not HAState.ACTIVE])
@pytest.mark.parametrize("stale", [False, True])
def test_no_state_but_active_lets_a_write_through(state: HAState, stale: bool) -> None:
    gate = gate_for(state, allow_stale_reads=stale)
    assert gate is not None
    for table in PROTOCOLS.values():
        for each in table.methods.values():
            if category(each) in (Category.WRITE, Category.JOURNAL, Category.CHECKPOINT):
                with pytest.raises(StandbyError):
                    gate(each)


def test_stale_reads_are_let_through_when_allowed() -> None:
    read = method(CLIENT_PROTOCOL, "getListing")
    gate = gate_for(HAState.STANDBY, allow_stale_reads=True)
    assert gate is not None
    gate(read)


def test_health_is_answered_in_every_state() -> None:
    health = method(HA_SERVICE_PROTOCOL, "monitorHealth")
    for state in HAState:
        gate = gate_for(state, allow_stale_reads=False)
        if gate is not None:
            gate(health)
