"""Driver. /imagetransfer of a NameNode: images and edits out, checkpoints in.

Statuses, headers and order of checks: wire fact journal-http.md section 3 (Hadoop ImageServlet).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from email.utils import formatdate

from hdfsd.base.errors import HdfsdError
from hdfsd.base.ids import TxId
from hdfsd.base.settings import CheckpointSettings
from hdfsd.editlog import files
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import CURRENT, NameStorage
from hdfsd.ports.clock import Clock
from hdfsd.ports.disk import Disk
from hdfsd.ports.http import FileBody, HttpRequest, HttpResponse

log = logging.getLogger(__name__)

IMAGE_TRANSFER = "/imagetransfer"
ILLEGAL = "Illegal parameters to TransferFsImage"
RECENT_SHARE = 0.75
"""dfs.namenode.checkpoint.recent.image.check: an image younger than this part of the period, and
not far enough ahead in transactions, is not wanted."""


class _Refused(HdfsdError):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


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
        self._receiving: set[TxId] = set()
        self._received_ms = clock.now_ms()

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
        self._check_storage(query.get("storageInfo"))
        if len({"getimage", "getedit", "getaliasmap"} & set(query)) != 1:
            raise ValueError(ILLEGAL)
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
        self._check_storage(query.get("storageInfo"))
        if self._state.ha_state not in (HAState.ACTIVE, HAState.OBSERVER):
            raise _Refused(
                417,
                "NameNode is currently not in a state which can accept upload of new fsimages."
                f" State: {self._state.ha_state.name}",
            )
        txid, size = TxId(_number(query, "txid")), _number(query, "File-Length")
        if size <= 0 or txid < 0 or "storageInfo" not in query:
            raise ValueError(ILLEGAL)
        self._check_wanted(txid)
        self._receiving.add(txid)
        try:
            await self._storage.receive_image(
                txid, request.body, size=size, md5_hex=request.headers.get("x-md5-digest")
            )
        finally:
            self._receiving.discard(txid)
        self._received_ms = self._clock.now_ms()
        await self._lifecycle.purge()
        return _answer(200, "")

    def _check_wanted(self, txid: TxId) -> None:
        newest = self._storage.newest_image_txid() or TxId(0)
        since_ms = self._clock.now_ms() - self._received_ms
        recent = since_ms < RECENT_SHARE * self._settings.period_ms
        if recent and txid - newest < self._settings.txns:
            raise _Refused(
                409,
                "Rejecting a fsimage due to small time delta and txnid delta. Time since previous "
                f"checkpoint is {since_ms // 1000} expecting at least "
                f"{int(RECENT_SHARE * self._settings.period_ms) // 1000} txnid delta since previous"
                f" checkpoint is {txid - newest} expecting at least {self._settings.txns}",
            )
        if any(other >= txid for other in self._receiving):
            raise _Refused(
                409,
                "Either current namenode is checkpointing or another checkpointer is already in "
                f"the process of uploading a checkpoint made up to transaction ID {txid}",
            )
        if self._storage.image_at(txid) is not None:
            raise _Refused(
                409,
                f"Either current namenode has checkpointed or another checkpointer already "
                f"uploaded an checkpoint made up to transaction ID {txid}",
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
