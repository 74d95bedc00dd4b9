"""When a checkpoint is due, and what happens to its image."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from small_namenode import INFO, Ports, settings

from hdfsd.base.errors import ConnectFailed, InvariantBroken, OutcomeUnknown, StorageError
from hdfsd.base.ids import Address, TxId
from hdfsd.sim.world import World
from hdfsd.standby.checkpointer import Checkpointer, SavedImage

SETTINGS = replace(
    settings(ha=True).checkpoint,
    period_ms=3_600_000,
    check_period_ms=60_000,
    txns=100,
    transfer_chunk_bytes=7,
)
PEERS = [Address("nn2", 9870), Address("nn3", 9870)]
IMAGE = b"an image that is sent in pieces"


class Reply:
    def __init__(self, status: int) -> None:
        self.status, self.reason, self.headers = status, "the reason", dict[str, str]()
        self.closed = False

    async def close(self) -> None:
        self.closed = True


class Http:
    """Takes bodies; answers each peer with its status, or raises its error."""

    def __init__(self) -> None:
        self.answers: dict[str, int | Exception] = {}
        self.requests: list[tuple[str, str, Mapping[str, str], list[bytes]]] = []
        self.replies: list[Reply] = []

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | None = None,
        connect_ms: int,
        read_ms: int,
    ) -> Reply:
        answer = self.answers.get(urlsplit(url).hostname or "", 200)
        if isinstance(answer, Exception):
            raise answer
        assert body is not None
        assert headers is not None
        self.requests.append((method, url, headers, [chunk async for chunk in body]))
        self.replies.append(Reply(answer))
        return self.replies[-1]


class Story:
    def __init__(self, ports: Ports, **changes: Any) -> None:
        self.disk = ports.disk
        self.http = Http()
        self.applied = 0
        self.image = 0
        self.saves: list[int] = []
        self.error: Exception | None = None
        self.clock = ports.clock
        self.checkpointer = Checkpointer(
            clock=ports.clock,
            disk=ports.disk,
            http=self.http,  # type: ignore[arg-type]
            peers=PEERS,
            storage=INFO.storage,
            settings=replace(SETTINGS, **changes),
            applied_txid=lambda: TxId(self.applied),
            image_txid=lambda: TxId(self.image),
            save=self.save,
        )

    async def save(self) -> SavedImage:
        if self.error is not None:
            raise self.error
        self.saves.append(self.clock.now_ms())
        self.image = self.applied
        self.disk.make_dirs("/name")
        await self.disk.write_atomic("/name/image", IMAGE)
        return SavedImage(TxId(self.image), "/name/image", hashlib.md5(IMAGE).hexdigest())


def play(tell: Callable[[Story], Coroutine[Any, Any, None]], **changes: Any) -> None:
    world = World("checkpointer")

    async def run() -> None:
        await tell(Story(Ports(world), **changes))

    world.run(run())


@pytest.mark.parametrize(
    ("applied", "image", "since_ms", "due"),
    [
        (0, 0, 10**9, None),
        (50, 50, 10**9, None),
        (99, 0, 0, None),
        (100, 0, 0, "100 transactions since the last image"),
        (150, 60, 0, None),
        (1, 0, 3_599_999, None),
        (1, 0, 3_600_000, "3600 s since the last look, 1 transactions"),
    ],
)
def test_when_it_is_due(applied: int, image: int, since_ms: int, due: str | None) -> None:
    async def tell(story: Story) -> None:
        story.applied, story.image = applied, image
        assert story.checkpointer._due(since_ms) == due

    play(tell)


def test_it_looks_every_check_period() -> None:
    async def tell(story: Story) -> None:
        running = asyncio.ensure_future(story.checkpointer.run())
        story.applied = 100
        await asyncio.sleep(59)
        assert story.saves == []
        await asyncio.sleep(2)
        assert len(story.saves) == 1
        story.applied = 150
        await asyncio.sleep(3_000)
        assert len(story.saves) == 1, "50 more are not enough, and the hour is not over"
        await asyncio.sleep(700)
        assert len(story.saves) == 2
        running.cancel()

    play(tell)


def test_the_image_is_put_to_every_peer() -> None:
    async def tell(story: Story) -> None:
        story.applied = 5
        await story.checkpointer.checkpoint()
        assert [urlsplit(url).netloc for _, url, _, _ in story.http.requests] == [
            "nn2:9870",
            "nn3:9870",
        ]
        method, url, headers, chunks = story.http.requests[0]
        assert (method, urlsplit(url).path) == ("PUT", "/imagetransfer")
        assert parse_qs(urlsplit(url).query) == {
            "txid": ["5"],
            "storageInfo": ["-67:77:1234:CID-x"],
            "File-Length": [str(len(IMAGE))],
            "imageFile": ["IMAGE"],
        }
        assert headers["X-MD5-Digest"] == hashlib.md5(IMAGE).hexdigest()
        assert headers["Content-Length"] == str(len(IMAGE))
        assert b"".join(chunks) == IMAGE
        assert max(map(len, chunks)) == 7
        assert all(reply.closed for reply in story.http.replies)

    play(tell)


@pytest.mark.parametrize(
    ("answer", "level", "told"),
    [
        (200, logging.INFO, "image 5 uploaded to nn2:9870"),
        (409, logging.INFO, "image 5 not wanted by nn2:9870: the reason"),
        (417, logging.INFO, "image 5 not wanted by nn2:9870: the reason"),
        (403, logging.WARNING, "image 5 refused by nn2:9870: 403 the reason"),
        (410, logging.WARNING, "image 5 refused by nn2:9870: 410 the reason"),
        (ConnectFailed("refused"), logging.WARNING, "image 5 was not uploaded to nn2:9870"),
        (OutcomeUnknown("lost"), logging.WARNING, "image 5 was not uploaded to nn2:9870: lost"),
    ],
)
def test_one_peer_that_cannot_take_it_does_not_keep_it_from_another(
    answer: int | Exception, level: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def tell(story: Story) -> None:
        story.applied = 5
        story.http.answers["nn2"] = answer
        await story.checkpointer.checkpoint()
        assert urlsplit(story.http.requests[-1][1]).hostname == "nn3"

    with caplog.at_level(logging.INFO):
        play(tell)
    (record,) = [r for r in caplog.records if "nn2" in r.getMessage()]
    assert record.levelno == level
    assert record.getMessage().startswith(told)


@pytest.mark.parametrize(
    "error", [StorageError("no name directory is left"), OSError(28, "No space left on device")]
)
def test_a_checkpoint_that_fails_is_told_and_tried_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def tell(story: Story) -> None:
        story.applied, story.error = 100, error
        with pytest.raises(type(error)):
            await story.checkpointer.checkpoint()
        running = asyncio.ensure_future(story.checkpointer.run())
        await asyncio.sleep(61)
        assert not running.done()
        assert "no checkpoint this time" in caplog.text
        story.error = None
        await asyncio.sleep(60)
        assert len(story.saves) == 1
        running.cancel()

    play(tell)


def test_a_broken_invariant_is_never_passed_over() -> None:
    async def tell(story: Story) -> None:
        story.applied, story.error = 100, InvariantBroken("P4: no")
        with pytest.raises(InvariantBroken):
            await story.checkpointer.run()

    play(tell)
