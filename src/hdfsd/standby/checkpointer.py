"""Driver. The standby saves the namespace and offers the image to others (StandbyCheckpointer).

What is due and who is offered what: standby.checkpoints. The image is written by a forked child
(D7) and uploaded by PUT (wire fact: journal-http.md section 3), to all at once: one that is slow
or gone delays nobody. A peer is asked first (`Expect: 100-continue`), so that an image which it
does not want is not sent. An upload that broke off goes on where it ended, when the peer is an
hdfsd and has kept what it had (web.image_transfer); another peer gets the whole image again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import urlencode

from hdfsd.base.errors import ConnectFailed, HdfsdError, InvariantBroken
from hdfsd.base.ids import Address, StorageInfo, TxId
from hdfsd.base.settings import CheckpointSettings
from hdfsd.ports.clock import Clock
from hdfsd.ports.disk import Disk
from hdfsd.ports.http import HttpClient, HttpReply
from hdfsd.standby.checkpoints import SETTLED, Checkpoints, Outcome, Receiver

log = logging.getLogger(__name__)

RESUME_HEADER = "X-Hdfsd-Resume"
"""`ask` on an upload like one that broke off; RESUME_STATUS answers it when something was kept."""
OFFSET_HEADER = "X-Hdfsd-Offset"
"""In that answer: how many bytes were kept. On an upload: where in the image its body begins."""
RESUME_STATUS = 308
MESSAGE = re.compile(r"<th>MESSAGE:</th><td>(.*?)</td>", re.DOTALL)
"""Where Jetty's error page has it."""
PAGE_BYTES_MAX = 1 << 16
TEXT_MAX = 400
IN_PROCESS = "in the process of uploading"
"""In the text of a 409, Hadoop's and ours: it is not the image that is not wanted."""
HTTP_OK = 200
HTTP_CONFLICT = 409
HTTP_EXPECTATION_FAILED = 417


@dataclass(frozen=True, slots=True)
class SavedImage:
    txid: TxId
    path: str
    md5_hex: str


@dataclass(frozen=True, slots=True)
class LastSave:
    """The newest checkpoint of this standby."""

    txid: TxId
    reason: str
    began_wall_ms: int
    took_ms: int
    size: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Of a peer to an upload."""

    status: int
    text: str
    kept_bytes: int
    """Of RESUME_STATUS."""


class Checkpointer:
    def __init__(
        self,
        *,
        clock: Clock,
        disk: Disk,
        http: HttpClient,
        peers: Sequence[Address],
        storage: StorageInfo,
        settings: CheckpointSettings,
        applied_txid: Callable[[], TxId],
        image_txid: Callable[[], TxId],
        save: Callable[[], Awaitable[SavedImage]],
    ) -> None:
        """`image_txid` is the newest image's; `save` writes one of the namespace as it is."""
        self._clock = clock
        self._disk = disk
        self._http = http
        self._storage = storage
        self._settings = settings
        self._applied_txid = applied_txid
        self._image_txid = image_txid
        self._save = save
        self._plan = Checkpoints(settings, peers, now_ms=clock.now_ms())
        self._image: SavedImage | None = None
        self._uploads: dict[asyncio.Task[None], None] = {}
        self.last_save: LastSave | None = None
        self.saves_failed = 0
        self.failure = ""
        """Of the last save; "" when it succeeded."""

    @property
    def receivers(self) -> Sequence[Receiver]:
        """The peers, for those who look."""
        return tuple(self._plan.receivers.values())

    async def run(self) -> None:
        """Looks every check period until cancelled; a checkpoint that fails is tried again."""
        try:
            while True:
                await asyncio.sleep(self._plan.look_ms / 1000)
                await self.look()
        finally:
            for task in self._uploads:
                task.cancel()
            if self._uploads:
                await asyncio.wait(self._uploads)

    async def look(self) -> None:
        """One look: saves if that is due, then begins the uploads that are."""
        for task in [task for task in self._uploads if task.done()]:
            del self._uploads[task]
            task.result()
        reason = self._plan.due(
            applied_txid=self._applied_txid(),
            image_txid=self._image_txid(),
            now_ms=self._clock.now_ms(),
        )
        if reason is not None:
            await self._checkpoint(reason)
        if self._image is not None:
            for receiver in self._plan.offers(self._clock.now_ms()):
                self._begin(receiver, self._image)

    async def _checkpoint(self, reason: str) -> None:
        log.info("checkpoint: %s", reason)
        began_ms, began_wall_ms = self._clock.now_ms(), self._clock.wall_ms()
        try:
            self._image = image = await self._save()
            size = self._disk.size(image.path)
        except InvariantBroken:
            raise
        except (HdfsdError, OSError) as error:
            # A standby without a new image is still a standby (StandbyCheckpointer.doWork).
            self.saves_failed += 1
            self.failure = str(error)
            wait_ms = self._plan.save_failed(self._clock.now_ms())
            log.error("no checkpoint this time: %s; tried again in %d s", error, wait_ms // 1000)
            return
        now_ms = self._clock.now_ms()
        self._plan.saved(image.txid, now_ms)
        self.failure = ""
        self.last_save = LastSave(image.txid, reason, began_wall_ms, now_ms - began_ms, size)
        log.info("image %d saved in %d ms, %d bytes", image.txid, now_ms - began_ms, size)

    # --- uploads ---

    def _begin(self, receiver: Receiver, image: SavedImage) -> None:
        self._plan.began(receiver)
        self._uploads[asyncio.ensure_future(self._offer(receiver, image))] = None

    async def _offer(self, receiver: Receiver, image: SavedImage) -> None:
        peer, began_ms = receiver.peer, self._clock.now_ms()
        try:
            outcome, detail = await self._upload(receiver, image)
        except ConnectFailed as error:
            outcome, detail = Outcome.UNREACHABLE, str(error)
        except (HdfsdError, OSError, ValueError) as error:
            outcome, detail = Outcome.BROKEN, str(error)
        now_ms = self._clock.now_ms()
        again_ms = self._plan.ended(receiver, outcome, detail, now_ms)
        if outcome is Outcome.TAKEN:
            log.info("image %d uploaded to %s in %d ms", image.txid, peer, now_ms - began_ms)
        elif outcome in SETTLED:
            log.info("image %d not wanted by %s: %s", image.txid, peer, detail)
        else:
            then = "a newer one is next" if again_ms is None else f"again in {again_ms // 1000} s"
            log.warning(
                "image %d not uploaded to %s, %s: %s; %s",
                image.txid,
                peer,
                outcome.value,
                detail,
                then,
            )

    async def _upload(self, receiver: Receiver, image: SavedImage) -> tuple[Outcome, str]:
        receiver.bytes_resumed = 0
        peer = receiver.peer
        # Whatever became of the last attempt: one before it may have left something there.
        more = {RESUME_HEADER: "ask"} if receiver.failures else {}
        answer = await self._put(peer, image, more)
        if answer.status == RESUME_STATUS:
            offset = receiver.bytes_resumed = answer.kept_bytes
            log.info("image %d: %s has %d bytes of it", image.txid, peer, offset)
            answer = await self._put(peer, image, {OFFSET_HEADER: str(offset)}, offset=offset)
        return _outcome(answer)

    async def _put(
        self, peer: Address, image: SavedImage, more: Mapping[str, str], *, offset: int = 0
    ) -> Answer:
        size = self._disk.size(image.path)
        query = urlencode(
            {
                "txid": image.txid,
                "storageInfo": self._storage.colon_form(),
                "File-Length": size,
                "imageFile": "IMAGE",
            }
        )
        reply = await self._http.request(
            "PUT",
            f"http://{peer}/imagetransfer?{query}",
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Transfer-Encoding": "binary",
                "X-MD5-Digest": image.md5_hex,
                "Content-Length": str(size - offset),
                "Expect": "100-continue",
                **more,
            },
            body=self._chunks(image.path, offset, size),
            connect_ms=self._settings.transfer_timeout_ms,
            read_ms=self._settings.transfer_timeout_ms,
        )
        try:
            kept_bytes = int(reply.headers.get(OFFSET_HEADER.lower(), "0"))
            return Answer(reply.status, await _said(reply), kept_bytes)
        finally:
            await reply.close()

    async def _chunks(self, path: str, offset: int, size: int) -> AsyncIterator[bytes]:
        """At most dfs.image.transfer.bandwidthPerSec."""
        step, bandwidth = self._settings.transfer_chunk_bytes, self._settings.transfer_bandwidth
        began_ms = self._clock.now_ms()
        for start in range(offset, size, step):
            yield self._disk.read(path, offset=start, limit=step)
            if bandwidth > 0:
                ahead_ms = (start + step - offset) * 1000 // bandwidth
                wait_ms = began_ms + ahead_ms - self._clock.now_ms()
                if wait_ms > 0:
                    await asyncio.sleep(wait_ms / 1000)


async def _said(reply: HttpReply) -> str:
    """What a peer gives as its reason: Hadoop's stands in a page, ours is all that comes."""
    if reply.status < 400:
        return ""
    page = b""
    async for chunk in reply.chunks():
        page += chunk
        if len(page) >= PAGE_BYTES_MAX:
            break
    text = page[:PAGE_BYTES_MAX].decode("utf-8", "replace")
    found = MESSAGE.search(text)
    said = unescape(found[1]) if found else text
    return " ".join(said.split())[:TEXT_MAX] or reply.reason


def _outcome(answer: Answer) -> tuple[Outcome, str]:
    """TransferFsImage.TransferResult."""
    if answer.status == HTTP_OK:
        return Outcome.TAKEN, ""
    if answer.status == HTTP_CONFLICT and IN_PROCESS in answer.text:
        return Outcome.BUSY, answer.text
    if answer.status in (HTTP_CONFLICT, HTTP_EXPECTATION_FAILED):
        return Outcome.NOT_WANTED, answer.text
    return Outcome.REFUSED, f"{answer.status} {answer.text}"
