"""Driver. /imagetransfer of a NameNode: images and edits out, checkpoints in.

Statuses, headers and order of checks: wire fact journal-http.md section 3 (Hadoop ImageServlet).
Whether an image is wanted is said before its body is read, and so before one who asks sends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate

from hdfsd.base.errors import DeadlineExceeded, HdfsdError, LinkError
from hdfsd.base.ids import TxId
from hdfsd.base.settings import CheckpointSettings
from hdfsd.editlog import files
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.incoming import Announced
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import CURRENT, NameStorage
from hdfsd.ports.clock import Clock
from hdfsd.ports.disk import Disk
from hdfsd.ports.http import FileBody, HttpRequest, HttpResponse
from hdfsd.standby.checkpointer import OFFSET_HEADER, RESUME_HEADER, RESUME_STATUS

log = logging.getLogger(__name__)

IMAGE_TRANSFER = "/imagetransfer"
ILLEGAL = "Illegal parameters to TransferFsImage"
IMAGE = "IMAGE"
"""NNStorage.NameNodeFile; IMAGE_ROLLBACK is of rolling upgrades, which are not built."""
RECENT_SHARE = 0.75
"""dfs.namenode.checkpoint.recent.image.check: an image younger than this part of the period, and
not far enough ahead in transactions, is not wanted."""


class _Refused(HdfsdError):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class ReceivedImage:
    """The last image that came in."""

    txid: TxId
    peer: str
    wall_ms: int
    took_ms: int
    size: int
    bytes_resumed: int


class ImageTransfer:
    def __init__(
        self,
        *,
        state: NameNodeState,
        storage: NameStorage,
        lifecycle: Lifecycle,
        settings: CheckpointSettings,
        disk: Disk,
        clock: Clock,
    ) -> None:
        self._state = state
        self._storage = storage
        self._lifecycle = lifecycle
        self._settings = settings
        self._disk = disk
        self._clock = clock
        self.last_received: ReceivedImage | None = None
        self.refused: dict[int, int] = {}
        """How many uploads, by status."""
        self.broken = 0
        """Uploads that ended before their image was whole."""

    async def handle(self, request: HttpRequest) -> HttpResponse:
        try:
            if request.method in ("GET", "HEAD"):
                return self._get(request)
            if request.method == "PUT":
                return await self._put(request)
        except _Refused as refusal:
            log.info("%s %s refused: %s", request.method, request.path, refusal)
            return _answer(refusal.status, str(refusal))
        except (HdfsdError, OSError, ValueError) as error:
            what = "PutImage" if request.method == "PUT" else "GetImage"
            log.warning("%s failed: %s", what, error)
            return _answer(410, f"{what} failed. {error}")
        return _answer(405, "only GET and PUT are served here")

    # --- out ---

    def _get(self, request: HttpRequest) -> HttpResponse:
        query = request.query
        if len({"getimage", "getedit", "getaliasmap"} & set(query)) != 1:
            raise ValueError(ILLEGAL)
        self._check_storage(query.get("storageInfo"))
        if "getimage" in query:
            return self._image(query.get("txid", ""))
        if "getedit" in query:
            return self._edits(_number(query, "startTxId"), _number(query, "endTxId"))
        raise ValueError("alias maps are not built in hdfsd; see docs/COVERAGE.md")

    def _image(self, txid: str) -> HttpResponse:
        newest = self._storage.newest_image_txid()
        wanted = newest if txid == "latest" else TxId(int(txid))
        image = self._storage.image_at(wanted) if wanted is not None else None
        if image is None:
            raise ValueError(f"Could not find image with txid {txid}")
        digest = self._storage.stored_md5(image.path)
        return self._file(image.path, {"X-MD5-Digest": digest})

    def _edits(self, first_txid: int, last_txid: int) -> HttpResponse:
        name = files.finalized_name(first_txid, last_txid)
        for directory in self._storage.edits_dirs:
            path = f"{directory}/{CURRENT}/{name}"
            if self._disk.exists(path):
                return self._file(path, {})
        raise ValueError(f"No edits segment {first_txid} to {last_txid} is kept here")

    def _file(self, path: str, more: dict[str, str]) -> HttpResponse:
        size = self._disk.size(path)
        name = path.rpartition("/")[2]
        now = formatdate(self._clock.wall_ms() / 1000, usegmt=True)
        headers = {
            "Content-Length": str(size),
            "Content-Disposition": f"attachment; filename={name}",
            "X-Image-Edits-Name": name,
            "Content-Type": "application/octet-stream",
            "Cache-Control": "no-cache",
            "Expires": now,
            "Date": now,
            "Pragma": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "X-FRAME-OPTIONS": "SAMEORIGIN",
            "X-XSS-Protection": "1; mode=block",
            **more,
        }
        return HttpResponse(200, headers, FileBody(path, size))

    # --- in ---

    async def _put(self, request: HttpRequest) -> HttpResponse:
        query = request.query
        txid, size = TxId(_number(query, "txid")), _number(query, "File-Length")
        if size <= 0 or txid < 0 or not query.get("storageInfo"):
            raise ValueError(ILLEGAL)
        if query.get("imageFile", IMAGE) != IMAGE:
            raise ValueError(f"imageFile={query['imageFile']}: only {IMAGE} is taken here")
        self._check_storage(query["storageInfo"])
        announced = Announced(txid, size, request.headers.get("x-md5-digest"))
        try:
            self._check_state(request)
            self._check_wanted(txid)
        except _Refused as refusal:
            self.refused[refusal.status] = self.refused.get(refusal.status, 0) + 1
            await self._let_go_by(request, size)
            raise
        kept_bytes = self._storage.kept_bytes(announced)
        if kept_bytes and request.headers.get(RESUME_HEADER.lower()) == "ask":
            return HttpResponse(RESUME_STATUS, {OFFSET_HEADER: str(kept_bytes)})
        await self._receive(request, announced)
        return _answer(200, "")

    async def _receive(self, request: HttpRequest, announced: Announced) -> None:
        offset = int(request.headers.get(OFFSET_HEADER.lower(), "0"))
        began_ms = self._clock.now_ms()
        try:
            await self._storage.receive_image(
                announced.txid,
                self._in_time(request.body),
                size=announced.size,
                md5_hex=announced.md5_hex,
                offset=offset,
                peer=request.peer,
            )
        except HdfsdError:
            self.broken += 1
            raise
        self.last_received = ReceivedImage(
            announced.txid,
            request.peer,
            self._clock.wall_ms(),
            self._clock.now_ms() - began_ms,
            announced.size,
            offset,
        )
        log.info(
            "image %d received from %s: %d bytes, %d of them kept from an upload that broke off",
            announced.txid,
            request.peer,
            announced.size,
            offset,
        )
        await self._lifecycle.purge()

    async def _in_time(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Its pieces; a sender that stops would keep others from sending theirs."""
        wait_ms = self._settings.transfer_timeout_ms
        while True:
            try:
                async with asyncio.timeout(wait_ms / 1000):
                    piece = await anext(body, None)
            except TimeoutError:
                raise DeadlineExceeded(f"no more of the image in {wait_ms} ms") from None
            if piece is None:
                return
            yield piece

    async def _let_go_by(self, request: HttpRequest, size: int) -> None:
        """Hadoop's uploader does not ask before it sends, and hears a refusal only when it is
        allowed to send all: cut off, it would save and send another image at every look."""
        if "expect" in request.headers:
            return
        passed = 0
        try:
            async for piece in self._in_time(request.body):
                passed += len(piece)
                if passed > size:
                    return
        except LinkError as error:
            log.info("%s hung up on a refusal: %s", request.peer, error)

    def _check_state(self, request: HttpRequest) -> None:
        if self._state.ha_state not in (HAState.ACTIVE, HAState.OBSERVER):
            here = request.headers.get("host", "").rpartition(":")[0]
            raise _Refused(
                417,
                f"Nameode {here} is currently not in a state which can accept uploads of"
                f" new fsimages. State: {self._state.ha_state.value}",
            )

    def _check_wanted(self, txid: TxId) -> None:
        """In Hadoop's order, with its words (ImageServlet.doPut)."""
        writing = self._storage.being_written
        newest = max((other for other in writing if writing[other]), default=None)
        if newest is not None and newest >= txid:
            raise _Refused(
                409,
                "Another checkpointer is already in the process of uploading a checkpoint made up"
                f" to transaction ID ImageRequest{{txId={newest}, address='{writing[newest]}'}}",
            )
        if txid in writing:
            raise _Refused(
                409,
                "Either current namenode is checkpointing or another checkpointer is already in the"
                f" process of uploading a checkpoint made at transaction ID {txid}",
            )
        self._check_recent(txid)
        if self._storage.image_at(txid) is not None:
            raise _Refused(
                409,
                "Either current namenode has checkpointed or another checkpointer already uploaded"
                f" an checkpoint for txid {txid}",
            )

    def _check_recent(self, txid: TxId) -> None:
        """Not by when we got the newest image but by how old it is: a restart changes nothing."""
        images = self._storage.images()
        if not images:
            return
        since_ms = self._clock.wall_ms() - self._disk.mtime_ms(images[0].path)
        since_s, least_s = (
            since_ms // 1000,
            int(RECENT_SHARE * self._settings.period_ms / 1000 + 0.5),
        )
        ahead = txid - images[0].txid
        if since_s < least_s and ahead < self._settings.txns:
            raise _Refused(
                409,
                "Rejecting a fsimage due to small time delta and txnid delta. Time since previous "
                f"checkpoint is {since_s} expecting at least {least_s} txnid delta since previous "
                f"checkpoint is {ahead} expecting at least {self._settings.txns}",
            )

    def _check_storage(self, theirs: str | None) -> None:
        ours = self._state.info.storage.colon_form()
        if theirs is not None and theirs != ours:
            raise _Refused(
                403,
                f"This namenode has storage info {ours} but the secondary expected {theirs}",
            )


def _number(query: Mapping[str, str], key: str) -> int:
    text = query.get(key)
    if text is None:
        raise ValueError(f"the parameter {key} is missing")
    return int(text)


def _answer(status: int, message: str) -> HttpResponse:
    reason = " ".join(message.split())[:500] or None
    return HttpResponse(
        status, {"Content-Type": "text/plain;charset=utf-8"}, message.encode(), reason
    )
