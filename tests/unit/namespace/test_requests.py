"""requests: bits are those of the wire, and defaults mean what mutate takes them for."""

from __future__ import annotations

from hdfsd.editlog.ops import NO_CALL_ID, NO_CLIENT_ID
from hdfsd.namespace import requests
from hdfsd.namespace.permission import Principal
from hdfsd.namespace.requests import Plan, Request
from hdfsd.wire.messages import client_namenode, xattr


def test_bits_of_flags() -> None:
    for name, bit in client_namenode.CreateFlagProto.items():
        assert getattr(requests, name) == bit
    for name, bit in xattr.XAttrSetFlagProto.items():
        assert getattr(requests, name) == bit


def test_a_request_of_our_own_carries_no_call() -> None:
    request = Request(Principal("hdfs"), 1)
    assert (request.client_id, request.call_id) == (NO_CLIENT_ID, NO_CALL_ID)


def test_an_empty_plan_is_a_plain_yes() -> None:
    assert Plan() == ((), None, None, False, True)
