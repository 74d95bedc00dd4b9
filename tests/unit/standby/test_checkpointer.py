"""When a checkpoint is due, and what happens to its image."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from small_namenode import INFO, Ports, settings

from hdfsd.base.errors import ConnectFailed, InvariantBroken, OutcomeUnknown, StorageError
from hdfsd.base.ids import Address, TxId
from hdfsd.sim.world import World
from hdfsd.standby.checkpointer import Checkpointer, SavedImage
from hdfsd.standby.checkpoints import Outcome

SETTINGS = replace(
    settings(ha=True).checkpoint,
    period_ms=3_600_000,
    check_period_ms=60_000,
    txns=100,
    transfer_chunk_bytes=7,
)
PEERS = [Address("nn2", 9870), Address("nn3", 9870)]
IMAGE = b"an image that is sent in pieces"


@dataclass
class Said:
    """What a peer answers."""

    status: int
    text: str = "the reason"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    """How long it takes."""


class Reply:
    def __init__(self, said: Said) -> None:
        self.status, self.reason, self.headers = said.status, "Reason", said.headers
        self.text = said.text
        self.closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.text.encode()

    async def close(self) -> None:
        self.closed = True


class Http:
    """Takes the bodies of what is taken; answers each peer as told, or raises its error."""

    def __init__(self) -> None:
        self.answers: dict[str, Said | Exception] = {}
        self.after_resume: dict[str, Said] = {}
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
        answer = self.answers.get(urlsplit(url).hostname or "", Said(200))
        if "X-Hdfsd-Offset" in (headers or {}):
            answer = self.after_resume[urlsplit(url).hostname or ""]
        if isinstance(answer, Exception):
            self.requests.append((method, url, headers or {}, []))
            raise answer
        assert body is not None
        assert headers is not None
        await asyncio.sleep(answer.seconds)
        taken = [chunk async for chunk in body] if answer.status == 200 else []
        self.requests.append((method, url, headers, taken))
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


async def checkpoint(story: Story) -> None:
    """Saves, and waits until everybody has answered."""
    story.applied += 100
    await story.checkpointer.look()
    await asyncio.wait(story.checkpointer._uploads)


def test_the_image_is_put_to_every_peer() -> None:
    async def tell(story: Story) -> None:
        await checkpoint(story)
        assert [urlsplit(url).netloc for _, url, _, _ in story.http.requests] == [
            "nn2:9870",
            "nn3:9870",
        ]
        method, url, headers, chunks = story.http.requests[0]
        assert (method, urlsplit(url).path) == ("PUT", "/imagetransfer")
        assert parse_qs(urlsplit(url).query) == {
            "txid": ["100"],
            "storageInfo": ["-67:77:1234:CID-x"],
            "File-Length": [str(len(IMAGE))],
            "imageFile": ["IMAGE"],
        }
        assert headers["X-MD5-Digest"] == hashlib.md5(IMAGE).hexdigest()
        assert headers["Content-Length"] == str(len(IMAGE))
        assert headers["Expect"] == "100-continue"
        assert "X-Hdfsd-Resume" not in headers
        assert b"".join(chunks) == IMAGE
        assert max(map(len, chunks)) == 7
        assert all(reply.closed for reply in story.http.replies)
        last = story.checkpointer.last_save
        assert last is not None
        assert (last.txid, last.size) == (100, len(IMAGE))

    play(tell)


JETTY = "<tr><th>URI:</th><td>/x</td></tr><tr><th>MESSAGE:</th><td>it&apos;s {}</td></tr>"


@pytest.mark.parametrize(
    ("answer", "level", "told"),
    [
        (Said(200), logging.INFO, "image 100 uploaded to nn2:9870 in 0 ms"),
        (Said(409), logging.INFO, "image 100 not wanted by nn2:9870: the reason"),
        (
            Said(409, JETTY.format("old")),
            logging.INFO,
            "image 100 not wanted by nn2:9870: it's old",
        ),
        (Said(417), logging.INFO, "image 100 not wanted by nn2:9870: the reason"),
        (
            Said(409, JETTY.format("in the process of uploading")),
            logging.WARNING,
            "image 100 not uploaded to nn2:9870, busy with another upload:"
            " it's in the process of uploading; again in 60 s",
        ),
        (
            Said(403, ""),
            logging.WARNING,
            "image 100 not uploaded to nn2:9870, refused: 403 Reason; again in 60 s",
        ),
        (
            Said(410),
            logging.WARNING,
            "image 100 not uploaded to nn2:9870, refused: 410 the reason; again in 60 s",
        ),
        (
            ConnectFailed("no route"),
            logging.WARNING,
            "image 100 not uploaded to nn2:9870, unreachable: no route; again in 60 s",
        ),
        (
            OutcomeUnknown("lost"),
            logging.WARNING,
            "image 100 not uploaded to nn2:9870, broken off: lost; again in 60 s",
        ),
        (
            Said(308, headers={"x-hdfsd-offset": "none"}),
            logging.WARNING,
            "image 100 not uploaded to nn2:9870, broken off: invalid literal",
        ),
    ],
)
def test_one_peer_that_cannot_take_it_does_not_keep_it_from_another(
    answer: Said | Exception, level: int, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def tell(story: Story) -> None:
        story.http.answers["nn2"] = answer
        await checkpoint(story)
        assert b"".join(story.http.requests[-1][3]) == IMAGE

    with caplog.at_level(logging.INFO):
        play(tell)
    (record,) = [r for r in caplog.records if "nn2" in r.getMessage()]
    assert record.levelno == level
    assert record.getMessage().startswith(told)


def test_a_slow_peer_delays_neither_another_nor_the_next_save() -> None:
    async def tell(story: Story) -> None:
        running = asyncio.ensure_future(story.checkpointer.run())
        story.http.answers["nn2"] = Said(200, seconds=1_000)
        story.applied = 100
        await asyncio.sleep(61)
        assert [urlsplit(url).hostname for _, url, _, _ in story.http.requests] == ["nn3"]
        story.applied = 200
        await asyncio.sleep(60)
        assert len(story.saves) == 2
        assert len(story.http.requests) == 2
        await asyncio.sleep(1_000)
        taken = [url for _, url, _, _ in story.http.requests if "nn2" in url]
        assert len(taken) == 1, "one upload at a time"
        running.cancel()
        await asyncio.wait({running})

    play(tell)


def test_an_upload_that_broke_off_goes_on_where_the_peer_says() -> None:
    async def tell(story: Story) -> None:
        http, (nn2, _) = story.http, story.checkpointer.receivers
        http.answers["nn2"] = OutcomeUnknown("cut")
        running = asyncio.ensure_future(story.checkpointer.run())
        story.applied = 100
        await asyncio.sleep(61)
        assert nn2.outcome is Outcome.BROKEN
        http.answers["nn2"] = ConnectFailed("gone meanwhile")
        await asyncio.sleep(60)
        assert nn2.outcome is Outcome.UNREACHABLE
        http.answers["nn2"] = Said(308, headers={"x-hdfsd-offset": "9"})
        http.after_resume["nn2"] = Said(200)
        await asyncio.sleep(120)
        assert nn2.outcome is Outcome.TAKEN
        _, url, headers, chunks = http.requests[-1]
        assert urlsplit(url).hostname == "nn2"
        assert http.requests[-2][2]["X-Hdfsd-Resume"] == "ask"
        assert (headers["X-Hdfsd-Offset"], headers["Content-Length"]) == ("9", str(len(IMAGE) - 9))
        assert f"File-Length={len(IMAGE)}" in url
        assert b"".join(chunks) == IMAGE[9:]
        assert nn2.bytes_resumed == 9
        running.cancel()

    play(tell)


def test_no_faster_than_the_bandwidth_allows() -> None:
    async def tell(story: Story) -> None:
        began_ms = story.clock.now_ms()
        await checkpoint(story)
        took_ms = story.clock.now_ms() - began_ms
        assert 5_000 <= took_ms <= 5_100, "31 bytes in pieces of 7"

    play(tell, transfer_bandwidth=7)


def test_whoever_becomes_active_stops_its_uploads() -> None:
    async def tell(story: Story) -> None:
        story.http.answers["nn2"] = story.http.answers["nn3"] = Said(200, seconds=10_000)
        running = asyncio.ensure_future(story.checkpointer.run())
        story.applied = 100
        await asyncio.sleep(61)
        assert [receiver.sending_txid for receiver in story.checkpointer.receivers] == [100, 100]
        running.cancel()
        await asyncio.wait({running})
        assert story.http.requests == []
        assert len(asyncio.all_tasks()) == 1

    play(tell)


@pytest.mark.parametrize(
    "error", [StorageError("no name directory is left"), OSError(28, "No space left on device")]
)
def test_a_checkpoint_that_fails_is_told_and_tried_again(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def tell(story: Story) -> None:
        story.applied, story.error = 100, error
        running = asyncio.ensure_future(story.checkpointer.run())
        await asyncio.sleep(61)
        assert not running.done()
        assert f"no checkpoint this time: {error}; tried again in 60 s" in caplog.text
        assert (story.checkpointer.saves_failed, story.checkpointer.failure) == (1, str(error))
        story.error = None
        await asyncio.sleep(60)
        assert len(story.saves) == 1
        assert story.checkpointer.failure == ""
        running.cancel()

    play(tell)


def test_a_broken_invariant_is_never_passed_over() -> None:
    async def tell(story: Story) -> None:
        story.applied, story.error = 100, InvariantBroken("P4: no")
        with pytest.raises(InvariantBroken):
            await story.checkpointer.run()

    play(tell)
