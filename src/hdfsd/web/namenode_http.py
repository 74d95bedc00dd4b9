"""Driver. The HTTP address of a NameNode: image transfer, WebHDFS, /jmx, /metrics, /isActive."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from hdfsd import __version__
from hdfsd.base.settings import NameNodeSettings
from hdfsd.base.stalls import Stalls
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.state import NameNodeState
from hdfsd.namenode.storage import NameStorage
from hdfsd.ports.clock import Clock
from hdfsd.ports.disk import Disk
from hdfsd.ports.http import Handler, HttpRequest, HttpResponse
from hdfsd.web.checkpoint_pages import CheckpointPages
from hdfsd.web.image_transfer import IMAGE_TRANSFER, ImageTransfer
from hdfsd.web.loop_pages import LoopPages
from hdfsd.web.webhdfs import is_concerned

JSON = {"Content-Type": "application/json; charset=utf8"}
TEXT = {"Content-Type": "text/plain;charset=utf-8"}
PROMETHEUS = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}


class NameNodeHttp:
    def __init__(
        self,
        *,
        settings: NameNodeSettings,
        state: NameNodeState,
        storage: NameStorage,
        lifecycle: Lifecycle,
        disk: Disk,
        clock: Clock,
        stalls: Stalls | None = None,
        webhdfs: Handler | None = None,
    ) -> None:
        """`stalls` of the event loop, as they are added; `webhdfs` is served where it is given."""
        self._webhdfs = webhdfs
        self._stalls = stalls or Stalls()
        self._settings = settings
        self._state = state
        self._lifecycle = lifecycle
        self._clock = clock
        self._images = ImageTransfer(
            state=state,
            storage=storage,
            lifecycle=lifecycle,
            settings=settings.checkpoint,
            disk=disk,
            clock=clock,
        )
        self._checkpoints = CheckpointPages(
            state=state, storage=storage, lifecycle=lifecycle, transfer=self._images, disk=disk
        )
        self._registry = CollectorRegistry()
        self._registry.register(self._checkpoints)
        self._registry.register(LoopPages(self._stalls))

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """The handler for all paths."""
        if request.path == IMAGE_TRANSFER:
            return await self._images.handle(request)
        if self._webhdfs is not None and is_concerned(request.path):
            return await self._webhdfs(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponse(405, TEXT, b"only GET is served here")
        if request.path == "/isActive":
            return self._is_active()
        if request.path == "/jmx":
            beans = self.beans()
            wanted = request.query.get("qry")
            if wanted is not None:
                beans = [bean for bean in beans if fnmatchcase(bean["name"], wanted)]
            return HttpResponse(200, JSON, json.dumps({"beans": beans}, indent=2).encode())
        if request.path == "/metrics":
            return HttpResponse(200, PROMETHEUS, generate_latest(self._registry))
        return HttpResponse(404, TEXT, f"nothing at {request.path}".encode())

    def _is_active(self) -> HttpResponse:
        """Hadoop's IsActiveServlet: 405 tells a load balancer to look elsewhere."""
        if self._state.ha_state is HAState.ACTIVE:
            return HttpResponse(200, TEXT, b"NameNode is Active!")
        return HttpResponse(405, TEXT, b"NameNode is not Active!")

    def beans(self) -> list[dict[str, Any]]:
        """Names and attributes as Hadoop's, where it has them; the rest is ours."""
        return [
            self._status(),
            self._info(),
            self._system(),
            self._timeline(),
            self._checkpoints.bean(),
            {"name": "hdfsd:service=NameNode,name=EventLoop", **self._stalls.as_json()},
        ]

    def _status(self) -> dict[str, Any]:
        return {
            "name": "Hadoop:service=NameNode,name=NameNodeStatus",
            "NNRole": "NameNode",
            "State": self._state.ha_state.value,
            "HostAndPort": str(self._settings.addresses.rpc),
            "SecurityEnabled": False,
            "LastHATransitionTime": self._lifecycle.last_transition_wall_ms,
        }

    def _info(self) -> dict[str, Any]:
        info = self._state.info
        return {
            "name": "Hadoop:service=NameNode,name=NameNodeInfo",
            "SoftwareVersion": f"hdfsd {__version__}",
            "ClusterId": info.storage.cluster_id,
            "BlockPoolId": info.block_pool_id,
            "Safemode": self._safe_mode_text(),
            "JournalTransactionInfo": json.dumps(
                {"LastAppliedOrWrittenTxId": str(self._state.applied_txid)}
            ),
        }

    def _safe_mode_text(self) -> str:
        safe_mode = self._state.blocks.safe_mode
        if not safe_mode.active:
            return ""
        return f"Safe mode is ON. {safe_mode.message(self._clock.now_ms())}"

    def _system(self) -> dict[str, Any]:
        stats, namespace = self._state.blocks.fs_stats(), self._state.namespace
        return {
            "name": "Hadoop:service=NameNode,name=FSNamesystem",
            "tag.HAState": self._state.ha_state.value,
            "CapacityTotal": stats.capacity,
            "CapacityUsed": stats.used,
            "CapacityRemaining": stats.remaining,
            "FilesTotal": namespace.inode_count,
            "BlocksTotal": namespace.block_count,
            "UnderReplicatedBlocks": stats.under_replicated,
            "CorruptBlocks": stats.corrupt_blocks,
            "MissingBlocks": stats.missing_blocks,
            "PendingDeletionBlocks": stats.pending_deletion_blocks,
            "LastWrittenTransactionId": self._state.applied_txid,
            **self._checkpoints.of_hadoop(),
            "NumFilesUnderConstruction": len(namespace.leases),
            "Snapshots": namespace.snapshots.count,
            "SnapshottableDirectories": len(namespace.snapshots.allowed()),
        }

    def _timeline(self) -> dict[str, Any]:
        writer = self._lifecycle.writer
        return {
            "name": "hdfsd:service=NameNode,name=Failover",
            "Timeline": [record.describe() for record in self._lifecycle.timeline],
            "Transitions": [record.as_json() for record in self._lifecycle.timeline],
            "Epoch": writer.epoch if writer is not None else 0,
            "Journals": [
                {
                    "Journal": health.journal,
                    "AckedTxId": health.acked_txid,
                    "LagTxns": health.lag_txns,
                    "LagMs": health.lag_ms,
                    "InSync": health.in_sync,
                    "Reason": health.reason,
                }
                for health in (writer.health() if writer is not None else ())
            ],
        }
