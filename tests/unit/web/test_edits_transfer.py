"""GET /getJournal: statuses and headers of journal-http.md section 2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.ids import StorageInfo, TxId
from hdfsd.io.clock import RealClock
from hdfsd.io.disk import RealDisk
from hdfsd.journal.acceptor import FinalizeSegment, Format, OpenSegment
from hdfsd.journal.node import JournalNode
from hdfsd.ports.http import FileBody, HttpRequest, HttpResponse
from hdfsd.web.edits_transfer import EditsTransfer


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def ask(root: Path, path: str, query: dict[str, str], method: str = "GET") -> HttpResponse:
    async def run() -> HttpResponse:
        http: Any = None
        node = JournalNode(
            lambda journal_id: str(root), disk=RealDisk(), http=http, clock=RealClock()
        )
        if not (root / "ns").exists():
            store = node.keep(node.journal("ns")).store
            await store.execute(Format(StorageInfo(-67, 7, 1234, "CID-a")))
            await store.execute(OpenSegment(TxId(1), -67))
            await store.execute(FinalizeSegment(TxId(1), TxId(5)))
            await store.execute(OpenSegment(TxId(6), -67))
        transfer = EditsTransfer(node, RealClock())
        request = HttpRequest(method, path, query, {}, nothing())
        response = await transfer.handle(request)
        await node.close()
        return response

    return asyncio.run(run())


OPEN = "edits_inprogress_0000000000000000006"
DONE = "edits_0000000000000000001-0000000000000000005"


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"segmentTxId": "1"}, DONE),
        ({"segmentTxId": "6"}, OPEN),
        ({"segmentTxId": "6", "inProgressOk": "anything"}, OPEN),
        ({"segmentTxId": "1", "inProgressOk": "false"}, DONE),
        ({"segmentTxId": "1", "storageInfo": "-60:7:99:CID-a"}, DONE),
    ],
)
def test_a_segment_as_it_lies(tmp_path: Path, query: dict[str, str], name: str) -> None:
    response = ask(tmp_path, "/getJournal", {"jid": "ns", **query})
    assert response.status == 200
    assert response.body == FileBody(f"{tmp_path}/ns/current/{name}", 1 << 20)
    headers = response.headers
    assert headers["Content-Length"] == "1048576"
    assert headers["X-Image-Edits-Name"] == name
    assert headers["Content-Disposition"] == f"attachment; filename={name}"
    assert headers["Content-Type"] == "text/plain;charset=utf-8"
    assert headers["Expires"] == headers["Date"]


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"segmentTxId": "2"}, 404, "No edit log found starting at txid 2"),
        ({"segmentTxId": "6", "inProgressOk": "FALSE"}, 404, "No edit log found"),
        ({"segmentTxId": "1", "storageInfo": "-67:8:1234:CID-a"}, 403, "expected '8'"),
        ({"segmentTxId": "1", "storageInfo": "-67:7:1234:CID-b"}, 403, "'CID-b'"),
        ({"segmentTxId": "1", "storageInfo": "nonsense"}, 500, "getedit failed"),
        ({}, 500, "Invalid request has no segmentTxId parameter"),
        ({"segmentTxId": "x"}, 500, "getedit failed"),
        ({"segmentTxId": "1", "jid": "../ns"}, 500, "bad journal id"),
        ({"segmentTxId": "1", "jid": ""}, 500, "bad journal id"),
        ({"segmentTxId": "1", "jid": "no", "storageInfo": "-67:7:1:C"}, 403, "not formatted"),
        ({"segmentTxId": "1", "jid": "no"}, 404, "No edit log found"),
    ],
)
def test_refusals(tmp_path: Path, query: dict[str, str], status: int, text: str) -> None:
    response = ask(tmp_path, "/getJournal", {"jid": "ns", **query})
    assert response.status == status
    assert isinstance(response.body, bytes)
    assert text in response.body.decode()
    assert "\n" not in (response.reason or "")


def test_other_paths(tmp_path: Path) -> None:
    assert ask(tmp_path, "/jmx", {}).status == 200
    assert ask(tmp_path, "/etc/passwd", {}).status == 404
    assert ask(tmp_path, "/getJournal", {}, method="POST").status == 405
