"""Driver. NamenodeProtocol: what a standby, a bootstrap or a balancer asks of a NameNode."""

from __future__ import annotations

import logging

from hdfsd import __version__
from hdfsd.base.errors import StandbyError
from hdfsd.base.ids import NamespaceInfo, StorageInfo, TxId
from hdfsd.editlog import files
from hdfsd.namenode.desk import Desk
from hdfsd.namenode.gate import HAState
from hdfsd.namenode.lifecycle import Lifecycle
from hdfsd.namenode.storage import NameStorage
from hdfsd.ports.disk import Disk
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import hdfs_server, namenode

log = logging.getLogger(__name__)

SOFTWARE_VERSION = "3.4.1"
"""What we claim towards Hadoop's daemons, which compare it with their own minimum."""
BLOCK_REPORT_BUFFERS = 1
"""NamespaceInfo capability bit: block reports in buffers are understood."""
HEARTBEAT_STATES = {
    HAState.ACTIVE: hdfs_server.NNHAStatusHeartbeatProto.ACTIVE,
    HAState.STANDBY: hdfs_server.NNHAStatusHeartbeatProto.STANDBY,
    HAState.INITIALIZING: hdfs_server.NNHAStatusHeartbeatProto.STANDBY,
    HAState.OBSERVER: hdfs_server.NNHAStatusHeartbeatProto.OBSERVER,
}


def storage_info(storage: StorageInfo) -> hdfs_server.StorageInfoProto:
    """Signed numbers travel in unsigned fields."""
    return hdfs_server.StorageInfoProto(
        layoutVersion=storage.layout_version & 0xFFFFFFFF,
        namespceID=storage.namespace_id & 0xFFFFFFFF,
        clusterID=storage.cluster_id,
        cTime=storage.ctime_ms,
    )


def namespace_info(info: NamespaceInfo, state: HAState) -> hdfs_server.NamespaceInfoProto:
    return hdfs_server.NamespaceInfoProto(
        buildVersion=f"hdfsd-{__version__}",
        unused=0,
        blockPoolID=info.block_pool_id,
        storageInfo=storage_info(info.storage),
        softwareVersion=SOFTWARE_VERSION,
        capabilities=BLOCK_REPORT_BUFFERS,
        state=HEARTBEAT_STATES[state],
    )


class PeerService:
    """org.apache.hadoop.hdfs.server.protocol.NamenodeProtocol."""

    def __init__(self, desk: Desk, lifecycle: Lifecycle, storage: NameStorage, disk: Disk) -> None:
        self._desk = desk
        self._lifecycle = lifecycle
        self._storage = storage
        self._disk = disk

    def version_request(
        self, request: hdfs_server.VersionRequestProto, call: Call
    ) -> hdfs_server.VersionResponseProto:
        self._desk.require_superuser(call.caller, "versionRequest")
        state = self._desk.state
        return hdfs_server.VersionResponseProto(info=namespace_info(state.info, state.ha_state))

    def get_transaction_id(
        self, request: namenode.GetTransactionIdRequestProto, call: Call
    ) -> namenode.GetTransactionIdResponseProto:
        self._desk.require_superuser(call.caller, "getTransactionID")
        txid = self._desk.state.applied_txid
        return namenode.GetTransactionIdResponseProto(txId=txid)

    def get_most_recent_checkpoint_tx_id(
        self, request: namenode.GetMostRecentCheckpointTxIdRequestProto, call: Call
    ) -> namenode.GetMostRecentCheckpointTxIdResponseProto:
        self._desk.require_superuser(call.caller, "getMostRecentCheckpointTxId")
        txid = self._storage.newest_image_txid() or TxId(0)
        return namenode.GetMostRecentCheckpointTxIdResponseProto(txId=txid)

    async def roll_edit_log(
        self, request: namenode.RollEditLogRequestProto, call: Call
    ) -> namenode.RollEditLogResponseProto:
        self._desk.require_superuser(call.caller, "rollEditLog")
        first_txid = await self._lifecycle.roll_edits()
        info = self._desk.state.info
        return namenode.RollEditLogResponseProto(
            signature=hdfs_server.CheckpointSignatureProto(
                blockPoolId=info.block_pool_id,
                mostRecentCheckpointTxId=self._storage.newest_image_txid() or TxId(0),
                curSegmentTxId=first_txid,
                storageInfo=storage_info(info.storage),
            )
        )

    def get_edit_log_manifest(
        self, request: namenode.GetEditLogManifestRequestProto, call: Call
    ) -> namenode.GetEditLogManifestResponseProto:
        """Finished segments of our own directories."""
        self._desk.require_superuser(call.caller, "getEditLogManifest")
        if not self._storage.edits_dirs:
            raise StandbyError("this NameNode keeps no edits of its own")
        logs = []
        for name in self._disk.list(f"{self._storage.edits_dirs[0]}/current"):
            segment = files.parse_segment(name)
            if segment is None or segment.last_txid is None:
                continue
            if segment.last_txid >= request.sinceTxId:
                logs.append(
                    hdfs_server.RemoteEditLogProto(
                        startTxId=segment.first_txid,
                        endTxId=segment.last_txid,
                        isInProgress=False,
                    )
                )
        return namenode.GetEditLogManifestResponseProto(
            manifest=hdfs_server.RemoteEditLogManifestProto(logs=logs)
        )

    def is_upgrade_finalized(
        self, request: namenode.IsUpgradeFinalizedRequestProto, call: Call
    ) -> namenode.IsUpgradeFinalizedResponseProto:
        return namenode.IsUpgradeFinalizedResponseProto(isUpgradeFinalized=True)

    def is_rolling_upgrade(
        self, request: namenode.IsRollingUpgradeRequestProto, call: Call
    ) -> namenode.IsRollingUpgradeResponseProto:
        return namenode.IsRollingUpgradeResponseProto(isRollingUpgrade=False)

    def get_block_keys(
        self, request: namenode.GetBlockKeysRequestProto, call: Call
    ) -> namenode.GetBlockKeysResponseProto:
        """Block tokens are off: there are no keys."""
        return namenode.GetBlockKeysResponseProto()

    def error_report(
        self, request: namenode.ErrorReportRequestProto, call: Call
    ) -> namenode.ErrorReportResponseProto:
        log.error("reported by %s: %s", request.registration.rpcAddress, request.msg)
        return namenode.ErrorReportResponseProto()
