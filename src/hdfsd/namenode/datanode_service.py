"""Driver. DatanodeProtocol and DatanodeLifelineProtocol of a NameNode: no logic of its own.

A full block report is processed in steps with the loop free between them (P7); everything else is
answered at once.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from hdfsd.base.ids import NamespaceInfo
from hdfsd.blocks.manager import BlockManager
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.peer_service import namespace_info
from hdfsd.namenode.turns import Busy, at_leisure
from hdfsd.ports.clock import Clock
from hdfsd.rpc.coverage import partial
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import datanode, datanode_lifeline, hdfs_server

log = logging.getLogger(__name__)


class DatanodeServiceState(Protocol):
    """What the services need of the NameNode."""

    @property
    def namespace_info(self) -> NamespaceInfo: ...

    @property
    def ha_state(self) -> hdfs_server.NNHAStatusHeartbeatProto.State: ...

    @property
    def busy(self) -> Busy: ...

    @property
    def blocks(self) -> BlockManager: ...

    @property
    def clock(self) -> Clock: ...

    def last_txid(self) -> int:
        """Highest transaction applied: DataNodes obey the active claim with the highest (P5)."""
        ...

    def commit_block_synchronization(
        self, request: datanode.CommitBlockSynchronizationRequestProto, call: Call
    ) -> Any:
        """Whatever a handler may return: the response, DEFERRED, or an awaitable of it."""
        ...


class DatanodeService:
    """Handlers of DatanodeProtocol."""

    def __init__(self, state: DatanodeServiceState) -> None:
        self._state = state

    def version_request(
        self, request: hdfs_server.VersionRequestProto, call: Call
    ) -> hdfs_server.VersionResponseProto:
        state = self._state
        info = namespace_info(state.namespace_info, HAState.INITIALIZING)
        info.state = state.ha_state
        return hdfs_server.VersionResponseProto(info=info)

    def register_datanode(
        self, request: datanode.RegisterDatanodeRequestProto, call: Call
    ) -> datanode.RegisterDatanodeResponseProto:
        accepted = self._state.blocks.register(
            request.registration, call.caller.address, self._state.clock.now_ms()
        )
        identity = accepted.datanodeID
        log.info(
            "registered DataNode %s:%d (%s)",
            identity.ipAddr,
            identity.xferPort,
            identity.datanodeUuid,
        )
        return datanode.RegisterDatanodeResponseProto(registration=accepted)

    @partial("no rolling upgrade status, cache or erasure coding commands; slow peers are ignored")
    def send_heartbeat(
        self, request: datanode.HeartbeatRequestProto, call: Call
    ) -> datanode.HeartbeatResponseProto:
        commands, lease = self._state.blocks.heartbeat(
            request, self._state.clock.now_ms(), self._state.clock.wall_ms()
        )
        return datanode.HeartbeatResponseProto(
            cmds=commands,
            haStatus=hdfs_server.NNHAStatusHeartbeatProto(
                state=self._state.ha_state,
                txid=max(0, self._state.last_txid()),
            ),
            fullBlockReportLeaseId=lease,
        )

    async def block_report(
        self, request: datanode.BlockReportRequestProto, call: Call
    ) -> datanode.BlockReportResponseProto:
        steps = self._state.blocks.report_steps(
            request, self._state.clock.now_ms(), self._state.clock.wall_ms()
        )
        return datanode.BlockReportResponseProto(cmd=await at_leisure(steps, self._state.busy))

    @partial("cached blocks are not tracked: the report is accepted and ignored")
    def cache_report(
        self, request: datanode.CacheReportRequestProto, call: Call
    ) -> datanode.CacheReportResponseProto:
        return datanode.CacheReportResponseProto()

    def block_received_and_deleted(
        self, request: datanode.BlockReceivedAndDeletedRequestProto, call: Call
    ) -> datanode.BlockReceivedAndDeletedResponseProto:
        self._state.blocks.received_and_deleted(request, self._state.clock.now_ms())
        return datanode.BlockReceivedAndDeletedResponseProto()

    def error_report(
        self, request: datanode.ErrorReportRequestProto, call: Call
    ) -> datanode.ErrorReportResponseProto:
        registration = request.registartion
        log.warning(
            "DataNode %s reports error %d: %s",
            registration.datanodeID.datanodeUuid,
            request.errorCode,
            request.msg,
        )
        self._state.blocks.error_report(registration, request.errorCode)
        return datanode.ErrorReportResponseProto()

    def report_bad_blocks(
        self, request: datanode.ReportBadBlocksRequestProto, call: Call
    ) -> datanode.ReportBadBlocksResponseProto:
        self._state.blocks.report_bad_blocks(request.blocks)
        return datanode.ReportBadBlocksResponseProto()

    def commit_block_synchronization(
        self, request: datanode.CommitBlockSynchronizationRequestProto, call: Call
    ) -> Any:
        return self._state.commit_block_synchronization(request, call)


class DatanodeLifelineService:
    """The handler of DatanodeLifelineProtocol."""

    def __init__(self, state: DatanodeServiceState) -> None:
        self._state = state

    def send_lifeline(
        self, request: datanode.HeartbeatRequestProto, call: Call
    ) -> datanode_lifeline.LifelineResponseProto:
        self._state.blocks.lifeline(
            request, self._state.clock.now_ms(), self._state.clock.wall_ms()
        )
        return datanode_lifeline.LifelineResponseProto()
