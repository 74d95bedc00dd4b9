"""Driver. The standby saves the namespace and gives the image to the others (StandbyCheckpointer).

When: enough transactions or enough time since the last image. The image is written by a forked
child (D7) and uploaded by PUT (wire fact: journal-http.md section 3); one peer that can't take it
does not keep it from another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from hdfsd.base.errors import HdfsdError, InvariantBroken, LinkError
from hdfsd.base.ids import Address, StorageInfo, TxId
from hdfsd.base.settings import CheckpointSettings
from hdfsd.ports.clock import Clock
from hdfsd.ports.disk import Disk
from hdfsd.ports.http import HttpClient

log = logging.getLogger(__name__)

HTTP_CONFLICT = 409
HTTP_EXPECTATION_FAILED = 417


@dataclass(frozen=True, slots=True)
class SavedImage:
    txid: TxId
    path: str
    md5_hex: str


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
        self._peers = peers
        self._storage = storage
        self._settings = settings
        self._applied_txid = applied_txid
        self._image_txid = image_txid
        self._save = save

    async def run(self) -> None:
        """Looks every check period until cancelled; a checkpoint that fails is tried again."""
        last_ms = self._clock.now_ms()
        while True:
            await asyncio.sleep(self._settings.check_period_ms / 1000)
            reason = self._due(self._clock.now_ms() - last_ms)
            if reason is None:
                continue
            last_ms = self._clock.now_ms()
            log.info("checkpoint: %s", reason)
            try:
                await self.checkpoint()
            except InvariantBroken:
                raise
            except (HdfsdError, OSError) as error:
                # A standby without a new image is still a standby (StandbyCheckpointer.doWork).
                log.error("no checkpoint this time: %s", error)

    def _due(self, since_ms: int) -> str | None:
        """Why a checkpoint is due, or None (StandbyCheckpointer.doWork)."""
        uncheckpointed = self._applied_txid() - self._image_txid()
        if uncheckpointed <= 0:
            return None
        if uncheckpointed >= self._settings.txns:
            return f"{uncheckpointed} transactions since the last image"
        if since_ms >= self._settings.period_ms:
            return f"{since_ms // 1000} s since the last look, {uncheckpointed} transactions"
        return None

    async def checkpoint(self) -> None:
        """Saves and uploads once. What our own disk says is raised, a peer's answer logged."""
        image = await self._save()
        for peer in self._peers:
            try:
                await self._upload(image, peer)
            except LinkError as error:
                log.warning("image %d was not uploaded to %s: %s", image.txid, peer, error)

    async def _upload(self, image: SavedImage, peer: Address) -> None:
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
                "Content-Length": str(size),
            },
            body=self._chunks(image.path, size),
            connect_ms=self._settings.transfer_timeout_ms,
            read_ms=self._settings.transfer_timeout_ms,
        )
        await reply.close()
        if reply.status < 300:
            log.info("image %d uploaded to %s", image.txid, peer)
        elif reply.status in (HTTP_CONFLICT, HTTP_EXPECTATION_FAILED):
            log.info("image %d not wanted by %s: %s", image.txid, peer, reply.reason)
        else:
            log.warning(
                "image %d refused by %s: %d %s", image.txid, peer, reply.status, reply.reason
            )

    async def _chunks(self, path: str, size: int) -> AsyncIterator[bytes]:
        step = self._settings.transfer_chunk_bytes
        for offset in range(0, size, step):
            yield self._disk.read(path, offset=offset, limit=step)
