"""What is shown of images: what was saved, who took it, what came in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from small_namenode import LivingNameNode, on_virtual_time

from hdfsd.base.ids import Address, TxId
from hdfsd.ports.http import HttpRequest
from hdfsd.web.checkpoint_pages import CheckpointPages
from hdfsd.web.image_transfer import ImageTransfer

STORAGE = "-67:77:1234:CID-x"
KEYS = {
    "dfs__namenode__checkpoint__period": "60",
    "dfs__namenode__checkpoint__check__period": "10",
}


class Pages:
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
        self.pages = CheckpointPages(
            state=made.state,
            storage=made.storage,
            lifecycle=made.lifecycle,
            transfer=self.transfer,
            disk=made.ports.disk,
        )

    async def put(self, txid: int, body: bytes = b"image") -> int:
        async def chunks() -> Any:
            yield body

        query = {"txid": str(txid), "storageInfo": STORAGE, "File-Length": "5"}
        request = HttpRequest("PUT", "/imagetransfer", query, {}, chunks(), "10.0.0.3")
        return (await self.transfer.handle(request)).status

    def metrics(self) -> dict[str, float]:
        registry = CollectorRegistry()
        registry.register(self.pages)
        lines = generate_latest(registry).decode().splitlines()
        rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        prefix = "hdfsd_namenode_checkpoint_"
        return {name.removeprefix(prefix): float(value) for name, value in rows}


def play(story: Callable[[Pages], Coroutine[Any, Any, None]]) -> None:
    async def run(made: LivingNameNode) -> None:
        await made.lifecycle.start()
        await story(Pages(made))

    on_virtual_time(run, **KEYS)


def test_a_standby_shows_what_it_saved_and_who_took_it() -> None:
    async def story(pages: Pages) -> None:
        made = pages.made
        await asyncio.sleep(1)
        made.state.applied_txid = TxId(7)
        before = pages.pages.bean()
        assert (before["LastSave"], before["TransactionsSinceLastCheckpoint"]) == (None, 7)
        await asyncio.sleep(65)
        bean = pages.pages.bean()
        assert (bean["LastCheckpointTxId"], bean["TransactionsSinceLastCheckpoint"]) == (7, 0)
        assert 0 <= bean["LastCheckpointTime"] - bean["LastSave"]["Began"] < 1_000
        assert bean["LastSave"]["TxId"] == 7
        assert bean["LastSave"]["Reason"] == "60 s since the last look, 7 transactions"
        assert bean["LastSave"]["Bytes"] > 100
        (receiver,) = bean["Receivers"]
        assert receiver["NameNode"] == str(Address("127.0.0.1", 9871))
        assert (receiver["Outcome"], receiver["OfferedTxId"]) == ("unreachable", 7)
        assert (receiver["Failures"], receiver["TakenTxId"]) == (1, 0)
        metrics = pages.metrics()
        assert metrics["txid"] == 7
        assert metrics["transactions_since"] == 0
        assert metrics["saves_failed_total"] == 0
        assert metrics['upload_failures{namenode="127.0.0.1:9871"}'] == 1
        assert metrics['taken_txid{namenode="127.0.0.1:9871"}'] == 0

    play(story)


def test_a_save_that_failed_is_shown() -> None:
    async def story(pages: Pages) -> None:
        await asyncio.sleep(1)
        pages.made.state.applied_txid = TxId(7)
        pages.made.writer.fail = OSError(28, "No space left on device")
        await asyncio.sleep(65)
        bean = pages.pages.bean()
        assert bean["SavesFailed"] == 1
        assert "No space left" in bean["LastFailure"]
        assert pages.metrics()["saves_failed_total"] == 1

    play(story)


def test_an_active_shows_what_it_received_and_refused() -> None:
    async def story(pages: Pages) -> None:
        assert await pages.put(9) == 417
        await pages.made.lifecycle.become_active()
        await asyncio.sleep(60)
        assert await pages.put(9) == 200
        assert await pages.put(10) == 409
        assert await pages.put(2_000_000, b"im") == 410
        bean = pages.pages.bean()
        assert bean["UploadsRefused"] == {"417": 1, "409": 1}
        assert bean["UploadsBroken"] == 1
        received = bean["LastReceived"]
        assert (received["TxId"], received["From"], received["Bytes"]) == (9, "10.0.0.3", 5)
        metrics = pages.metrics()
        assert metrics['uploads_refused_total{status="409"}'] == 1
        assert metrics["uploads_broken_total"] == 1

    play(story)


@pytest.mark.parametrize("image", [True, False])
def test_hadoops_attributes(image: bool) -> None:
    async def story(pages: Pages) -> None:
        if not image:
            name = "/name/current/fsimage_0000000000000000000"
            await pages.made.ports.disk.remove(name)
        pages.made.state.applied_txid = TxId(12)
        found = pages.pages.of_hadoop()
        assert found["TransactionsSinceLastCheckpoint"] == 12
        assert (found["LastCheckpointTime"] > 0) == image
        assert pages.pages.bean()["LastCheckpointTxId"] == 0

    play(story)
