"""ClientProtocol as one service: which methods are there, and what each state lets in."""

from __future__ import annotations

import pytest
from small_namenode import Desktop

from hdfsd.base.errors import StandbyError
from hdfsd.namenode.gate import Category, HAState, category, gate_for
from hdfsd.rpc.server import handlers_of
from hdfsd.wire.services import CLIENT_PROTOCOL, PROTOCOLS

METHODS = PROTOCOLS[CLIENT_PROTOCOL].methods


def test_every_handler_is_a_method_of_the_protocol() -> None:
    service = Desktop().client
    public = {name for name in dir(service) if not name.startswith("_")}
    handlers = {
        method.handler
        for name, method in METHODS.items()
        if name in handlers_of(CLIENT_PROTOCOL, service)
    }
    assert public == handlers


@pytest.mark.parametrize(
    "name",
    [
        *("create", "append", "addBlock", "complete", "abandonBlock", "getAdditionalDatanode"),
        *("updateBlockForPipeline", "updatePipeline", "renewLease", "recoverLease", "fsync"),
        *("mkdirs", "delete", "rename", "rename2", "concat", "setTimes", "setPermission"),
        *("setOwner", "setReplication", "setQuota", "setXAttr", "removeXAttr", "setAcl"),
        *("getFileInfo", "getListing", "getBlockLocations", "getContentSummary", "getAclStatus"),
        *("getServerDefaults", "setSafeMode", "saveNamespace", "rollEdits", "getFsStats"),
    ],
)
def test_what_clients_live_on_has_a_handler(name: str) -> None:
    assert name in handlers_of(CLIENT_PROTOCOL, Desktop().client)


@pytest.mark.parametrize("name", METHODS)
def test_a_standby_lets_in_what_does_not_touch_the_namespace(name: str) -> None:
    method = METHODS[name]
    gate = gate_for(HAState.STANDBY, allow_stale_reads=False)
    assert gate is not None
    if category(method) is Category.UNCHECKED:
        gate(method)
        return
    with pytest.raises(StandbyError):
        gate(method)
