from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hdfsd.base.errors import ConnectFailed, CorruptData
from hdfsd.base.ids import Address
from hdfsd.failover.namenode_page import PAGE_BYTES_MAX, STATUS_BEAN, bean, transitions

ADDRESS = Address("nn1", 9870)


class Reply:
    headers: dict[str, str] = {}
    reason = ""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body
        self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), 1 << 16):
            yield self._body[start : start + (1 << 16)]

    async def close(self) -> None:
        self.closed = True


class Http:
    def __init__(self, body: bytes | Exception, status: int = 200) -> None:
        self._body = body
        self._status = status
        self.urls: list[str] = []
        self.replies: list[Reply] = []

    async def request(self, method: str, url: str, **_: Any) -> Reply:
        self.urls.append(url)
        if isinstance(self._body, Exception):
            raise self._body
        self.replies.append(Reply(self._status, self._body))
        return self.replies[-1]


def page(*beans: dict[str, Any]) -> bytes:
    return json.dumps({"beans": beans}).encode()


def ask(http: Any) -> dict[str, Any]:
    return asyncio.run(bean(http, ADDRESS, STATUS_BEAN, ask_ms=100))


def test_a_bean() -> None:
    http = Http(page({"name": STATUS_BEAN, "State": "active"}))
    assert ask(http)["State"] == "active"
    name = "Hadoop%3Aservice%3DNameNode%2Cname%3DNameNodeStatus"
    assert http.urls == [f"http://nn1:9870/jmx?qry={name}"]
    assert http.replies[0].closed


def test_transitions() -> None:
    def told(http: Any) -> list[str]:
        return asyncio.run(transitions(http, ADDRESS, ask_ms=100))

    assert told(Http(page({"Timeline": ["one", "two"]}))) == ["one", "two"]
    assert told(Http(page({"Epoch": 3}))) == []
    assert told(Http(page())) == []
    assert told(Http(b"not here", status=404)) == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"beans": 7}', b'{"beans": [7]}'])
def test_a_page_that_can_not_be_read(body: bytes) -> None:
    http = Http(body)
    with pytest.raises(CorruptData, match="no page of beans"):
        ask(http)
    assert http.replies[0].closed


def test_a_page_without_an_end() -> None:
    http = Http(bytes(PAGE_BYTES_MAX + 1))
    with pytest.raises(CorruptData, match="longer than a page"):
        ask(http)
    assert http.replies[0].closed


def test_nobody_answers() -> None:
    with pytest.raises(ConnectFailed):
        ask(Http(ConnectFailed("refused")))
