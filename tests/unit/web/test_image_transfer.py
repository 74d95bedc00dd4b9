"""/imagetransfer: statuses, headers and texts of journal-http.md section 3."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from small_namenode import LivingNameNode, on_virtual_time

from hdfsd.base.errors import OutcomeUnknown
from hdfsd.base.ids import TxId
from hdfsd.ports.http import FileBody, HttpRequest, HttpResponse
from hdfsd.web.image_transfer import ImageTransfer

STORAGE = "-67:77:1234:CID-x"
IMAGE = b"the bytes of an image"
MD5 = hashlib.md5(IMAGE).hexdigest()
PERIOD_S = 60


class Node:
    """One NameNode with segments 1-2 finished, 3 open, and an image at 0."""

    def __init__(self, made: LivingNameNode) -> None:
        self.made = made
        self.transfer = ImageTransfer(
            state=made.state,
            storage=made.storage,
            lifecycle=made.lifecycle,
            settings=made.settings.checkpoint,
            disk=made.ports.disk,
            clock=made.ports.clock,
        )

    async def ask(
        self,
        method: str,
        query: dict[str, str],
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        gate: asyncio.Event | None = None,
    ) -> HttpResponse:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 5):
                if gate is not None:
                    await gate.wait()
                yield body[start : start + 5]

        return await self.transfer.handle(
            HttpRequest(method, "/imagetransfer", query, headers or {}, chunks(), "nn3")
        )

    async def put(self, txid: int = 9, body: bytes = IMAGE, **more: Any) -> HttpResponse:
        query = {
            "txid": str(txid),
            "storageInfo": STORAGE,
            "File-Length": str(len(body)),
            "imageFile": "IMAGE",
            **more.pop("query", {}),
        }
        headers = {"x-md5-digest": more.pop("md5", MD5), "host": "nn1:9870"}
        headers |= more.pop("headers", {})
        return await self.ask("PUT", query, body, headers, more.pop("gate", None))

    def images(self) -> list[int]:
        return [image.txid for image in self.made.storage.images()]

    def current(self) -> list[str]:
        return self.made.ports.disk.list("/name/current")


def play(
    story: Callable[[Node], Coroutine[Any, Any, None]], *, active: bool = True, **keys: str
) -> None:
    async def run(made: LivingNameNode) -> None:
        await made.lifecycle.start()
        await made.lifecycle.become_active()
        await made.lifecycle.roll_edits()
        if not active:
            await made.lifecycle.become_standby()
        await story(Node(made))

    on_virtual_time(run, dfs__namenode__checkpoint__period=str(PERIOD_S), **keys)


def told(response: HttpResponse) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


# --- out ---


@pytest.mark.parametrize("txid", ["latest", "0"])
@pytest.mark.parametrize("more", [{}, {"storageInfo": STORAGE}, {"bootstrapstandby": "true"}])
def test_an_image_goes_out_with_its_digest(txid: str, more: dict[str, str]) -> None:
    async def story(node: Node) -> None:
        response = await node.ask("GET", {"getimage": "1", "txid": txid, **more})
        path = "/name/current/fsimage_0000000000000000000"
        assert response.status == 200
        assert isinstance(response.body, FileBody)
        size = node.made.ports.disk.size(path)
        assert response.body == FileBody(path, size)
        headers = response.headers
        data = node.made.ports.disk.read(path, limit=size)
        assert headers["X-MD5-Digest"] == hashlib.md5(data).hexdigest()
        assert headers["Content-Length"] == str(size)
        assert headers["X-Image-Edits-Name"] == "fsimage_0000000000000000000"
        assert headers["Content-Disposition"] == "attachment; filename=fsimage_0000000000000000000"

    play(story)


def test_a_finished_segment_goes_out_an_open_one_does_not() -> None:
    async def story(node: Node) -> None:
        query = {"getedit": "1", "startTxId": "1", "endTxId": "2", "storageInfo": STORAGE}
        response = await node.ask("GET", query)
        assert response.status == 200
        assert isinstance(response.body, FileBody)
        assert response.body.path.endswith("edits_0000000000000000001-0000000000000000002")
        assert "X-MD5-Digest" not in response.headers
        missing = await node.ask("GET", {**query, "startTxId": "3", "endTxId": "4"})
        assert missing.status == 410

    play(story)


@pytest.mark.parametrize(
    ("query", "cause"),
    [
        ({}, "Illegal parameters to TransferFsImage"),
        ({"getimage": "1", "getedit": "1", "txid": "0"}, "Illegal parameters to TransferFsImage"),
        ({"getimage": "1", "txid": "7"}, "Could not find image with txid 7"),
        ({"getimage": "1"}, ""),
        ({"getimage": "1", "txid": "x"}, ""),
        ({"getedit": "1", "startTxId": "1"}, "the parameter endTxId is missing"),
        ({"getedit": "1", "startTxId": "1", "endTxId": "y"}, ""),
        ({"getaliasmap": "1"}, "not built"),
    ],
)
def test_bad_requests_are_gone(query: dict[str, str], cause: str) -> None:
    async def story(node: Node) -> None:
        response = await node.ask("GET", query)
        assert response.status == 410
        assert response.reason is not None
        assert response.reason.startswith("GetImage failed. ")
        assert cause in told(response)

    play(story)


def test_an_image_without_a_digest_is_not_given_out() -> None:
    async def story(node: Node) -> None:
        await node.made.ports.disk.remove("/name/current/fsimage_0000000000000000000.md5")
        response = await node.ask("GET", {"getimage": "1", "txid": "latest"})
        assert response.status == 410
        assert "digest" in told(response)

    play(story)


@pytest.mark.parametrize("theirs", ["-67:78:1234:CID-x", "-66:77:1234:CID-x", "-67:77"])
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_another_namespace_is_forbidden(method: str, theirs: str) -> None:
    async def story(node: Node) -> None:
        query = {"getimage": "1", "txid": "9", "File-Length": "21", "storageInfo": theirs}
        response = await node.ask(method, query, IMAGE)
        assert response.status == 403
        assert told(response) == (
            f"This namenode has storage info {STORAGE} but the secondary expected {theirs}"
        )
        assert node.images() == [0]

    play(story)


def test_only_get_and_put() -> None:
    async def story(node: Node) -> None:
        assert (await node.ask("POST", {})).status == 405

    play(story)


# --- in ---


def test_an_image_comes_in() -> None:
    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        response = await node.put()
        assert (response.status, node.images()) == (200, [9, 0])
        image = node.made.storage.images()[0]
        assert node.made.storage.read_image(image) == IMAGE
        assert not [name for name in node.current() if "ckpt" in name]

    play(story)


def test_a_standby_wants_none() -> None:
    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        response = await node.put()
        assert response.status == 417
        assert told(response) == (
            "Nameode nn1 is currently not in a state which can accept uploads of new fsimages."
            " State: standby"
        )
        assert node.images() == [0]

    play(story, active=False)


def test_too_soon_and_too_few_transactions_is_a_conflict() -> None:
    async def story(node: Node) -> None:
        early = await node.put()
        assert early.status == 409
        assert told(early).startswith(
            "Rejecting a fsimage due to small time delta and txnid delta. Time since previous "
            "checkpoint is 0 expecting at least 45 txnid delta since previous checkpoint is 9 "
            "expecting at least 100"
        )
        assert node.images() == [0]
        assert (await node.put(txid=100)).status == 200, "far ahead"
        assert (await node.put(txid=150)).status == 409
        await asyncio.sleep(0.75 * PERIOD_S)
        assert (await node.put(txid=150)).status == 200, "long ago"
        assert node.images() == [150, 100]
        assert (await node.put(txid=151)).status == 409, "too soon again"

    play(story, dfs__namenode__checkpoint__txns="100")


def test_an_image_that_is_there_is_a_conflict() -> None:
    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        assert (await node.put()).status == 200
        await asyncio.sleep(PERIOD_S)
        again = await node.put()
        assert again.status == 409
        assert told(again) == (
            "Either current namenode has checkpointed or another checkpointer already uploaded an"
            " checkpoint for txid 9"
        )

    play(story)


@pytest.mark.parametrize(("second", "status"), [(9, 409), (8, 409), (10, 200)])
def test_two_uploads_at_once(second: int, status: int) -> None:
    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        gate = asyncio.Event()
        first = asyncio.ensure_future(node.put(gate=gate))
        await asyncio.sleep(1)
        response = await node.put(txid=second)
        assert response.status == status
        if status == 409:
            assert told(response) == (
                "Another checkpointer is already in the process of uploading a checkpoint made up"
                " to transaction ID ImageRequest{txId=9, address='nn3'}"
            )
        gate.set()
        assert (await first).status == 200
        assert 9 in node.images()

    play(story)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"md5": "0" * 32}, "MD5"),
        ({"query": {"File-Length": "20"}}, "more than the announced 20 bytes"),
        ({"query": {"File-Length": "22"}}, "22 bytes were announced"),
        ({"query": {"File-Length": "0"}}, "Illegal parameters to TransferFsImage"),
        ({"query": {"File-Length": "-1"}}, "Illegal parameters to TransferFsImage"),
        ({"query": {"File-Length": "x"}}, ""),
        ({"query": {"txid": "-1"}}, "Illegal parameters to TransferFsImage"),
        ({"query": {"txid": ""}}, ""),
        ({"query": {"imageFile": "IMAGE_ROLLBACK"}}, "only IMAGE is taken here"),
        ({"headers": {"X-Hdfsd-Offset".lower(): "5"}}, "no 5 bytes are kept of the image of 9"),
    ],
)
def test_what_is_not_as_announced_is_gone_and_leaves_nothing(
    changes: dict[str, Any], cause: str
) -> None:
    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        before = node.current()
        response = await node.put(**changes)
        assert response.status == 410
        assert response.reason is not None
        assert response.reason.startswith("PutImage failed. ")
        assert cause in told(response)
        assert node.current() == before
        assert (await node.put()).status == 200, "and the right one is taken"

    play(story)


EXPECT = {"expect": "100-continue"}


@pytest.mark.parametrize("headers", [{}, EXPECT])
def test_who_asks_first_is_refused_before_the_body_who_does_not_is_heard_out(
    headers: dict[str, str],
) -> None:
    read: list[bytes] = []

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(IMAGE), 5):
            read.append(IMAGE[start : start + 5])
            yield read[-1]

    async def story(node: Node) -> None:
        query = {"txid": "9", "storageInfo": STORAGE, "File-Length": str(len(IMAGE))}
        response = await node.transfer.handle(
            HttpRequest("PUT", "/imagetransfer", query, headers, chunks())
        )
        assert response.status == 409
        assert b"".join(read) == (b"" if headers else IMAGE)
        assert node.transfer.refused == {409: 1}

    play(story)


def test_who_sends_more_than_it_said_is_not_heard_out() -> None:
    async def story(node: Node) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 10
                yield b"0123456789"

        query = {"txid": "9", "storageInfo": STORAGE, "File-Length": "100"}
        request = HttpRequest("PUT", "/imagetransfer", query, {}, endless())
        assert (await node.transfer.handle(request)).status == 409
        assert sent == 110

    play(story)


def test_a_sender_that_stops_does_not_keep_others_out() -> None:
    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        stuck = asyncio.ensure_future(node.put(gate=asyncio.Event()))
        await asyncio.sleep(1)
        assert (await node.put()).status == 409
        await asyncio.sleep(60)
        response = await stuck
        assert (response.status, node.transfer.broken) == (410, 1)
        assert "no more of the image in 60000 ms" in told(response)
        assert (await node.put()).status == 200

    play(story)


async def cut(data: bytes) -> AsyncIterator[bytes]:
    yield data
    raise OutcomeUnknown("the link is gone")


def test_an_upload_that_broke_off_goes_on() -> None:
    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        size = {"File-Length": str(len(IMAGE))}
        query = {"txid": "9", "storageInfo": STORAGE, "imageFile": "IMAGE", **size}
        headers = {"x-md5-digest": MD5}
        request = HttpRequest("PUT", "/imagetransfer", query, headers, cut(IMAGE[:7]), "nn3")
        assert (await node.transfer.handle(request)).status == 410
        ask = {"x-hdfsd-resume": "ask"}
        another = await node.put(txid=10, body=IMAGE + b"!", headers=ask, md5="0" * 32)
        assert another.status == 410, "another image than the one that broke off"
        assert (await node.transfer.handle(request_again(query, headers))).status == 410
        answer = await node.put(headers=ask)
        assert (answer.status, answer.headers["X-Hdfsd-Offset"]) == (308, "7")
        rest = {**headers, "x-hdfsd-offset": "7"}
        assert (await node.ask("PUT", query, IMAGE[7:], rest)).status == 200
        assert node.made.storage.read_image(node.made.storage.images()[0]) == IMAGE
        last = node.transfer.last_received
        assert last is not None
        assert (last.txid, last.peer, last.size, last.bytes_resumed) == (9, "nn3", len(IMAGE), 7)

    def request_again(query: dict[str, str], headers: dict[str, str]) -> HttpRequest:
        return HttpRequest("PUT", "/imagetransfer", query, headers, cut(IMAGE[:7]), "nn3")

    play(story)


def test_a_restart_does_not_make_an_old_image_recent() -> None:
    """By its age, as Hadoop takes it, not by when this process began."""

    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        again = Node(node.made)
        assert (await again.put()).status == 200

    play(story)


def test_the_image_that_is_being_saved_is_not_taken() -> None:
    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        node.made.storage.being_written[TxId(9)] = ""
        response = await node.put()
        assert response.status == 409
        assert told(response).startswith("Either current namenode is checkpointing or another")
        assert (await node.put(txid=8)).status == 200

    play(story)


@pytest.mark.parametrize("missing", ["txid", "File-Length", "storageInfo"])
def test_every_parameter_is_needed(missing: str) -> None:
    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        query = {"txid": "9", "File-Length": "21", "storageInfo": STORAGE}
        del query[missing]
        response = await node.ask("PUT", query, IMAGE)
        assert (response.status, node.images()) == (410, [0])

    play(story)


def test_an_upload_lets_old_ones_go() -> None:
    async def story(node: Node) -> None:
        for txid in (2, 3, 4):
            await asyncio.sleep(PERIOD_S)
            assert (await node.put(txid=txid)).status == 200
        assert node.images() == [4, 3]
        assert node.made.content is not None
        assert node.made.content.purged_below == 4

    play(story, dfs__namenode__num__extra__edits__retained="0")


def test_a_full_disk_is_told() -> None:
    async def story(node: Node) -> None:
        await asyncio.sleep(PERIOD_S)
        node.made.ports.machine.platter.capacity_bytes = 1
        response = await node.put()
        assert response.status == 410
        assert node.images() == [0]

    play(story)
