"""Driver. ClientDatanodeProtocol and InterDatanodeProtocol, one handler per method, no logic."""

from __future__ import annotations

from hdfsd.base.errors import IllegalArgument, ReplicaNotFound
from hdfsd.datanode import registration
from hdfsd.datanode.dataset import Dataset
from hdfsd.datanode.offer import Offer
from hdfsd.datanode.recoverer import init_replica_recovery, update_replica_under_recovery
from hdfsd.ports.clock import Clock
from hdfsd.rpc.server import Call
from hdfsd.wire.messages import client_datanode, hdfs, inter_datanode


class InterDatanodeService:
    """Block recovery, asked for by another DataNode."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    async def init_replica_recovery(
        self, request: inter_datanode.InitReplicaRecoveryRequestProto, call: Call
    ) -> inter_datanode.InitReplicaRecoveryResponseProto:
        return await init_replica_recovery(self._dataset, request)

    async def update_replica_under_recovery(
        self, request: inter_datanode.UpdateReplicaUnderRecoveryRequestProto, call: Call
    ) -> inter_datanode.UpdateReplicaUnderRecoveryResponseProto:
        return await update_replica_under_recovery(self._dataset, request)


class ClientDatanodeService:
    """What clients and administrators ask of one DataNode."""

    def __init__(
        self, dataset: Dataset, offer: Offer, clock: Clock, *, balance_bandwidth: int
    ) -> None:
        self._dataset = dataset
        self._offer = offer
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._balance_bandwidth = balance_bandwidth

    def get_replica_visible_length(
        self, request: client_datanode.GetReplicaVisibleLengthRequestProto, call: Call
    ) -> client_datanode.GetReplicaVisibleLengthResponseProto:
        block = registration.extended_block_of(request.block)
        replica = self._dataset.find(block.block_id)
        if replica is None or replica.gen_stamp < block.gen_stamp or replica.visible < 0:
            raise ReplicaNotFound(f"Replica not found for {block}")
        return client_datanode.GetReplicaVisibleLengthResponseProto(length=replica.visible)

    def get_datanode_info(
        self, request: client_datanode.GetDatanodeInfoRequestProto, call: Call
    ) -> client_datanode.GetDatanodeInfoResponseProto:
        uptime_ms = self._clock.now_ms() - self._started_ms
        return client_datanode.GetDatanodeInfoResponseProto(
            localInfo=hdfs.DatanodeLocalInfoProto(
                softwareVersion=registration.SOFTWARE_VERSION,
                configVersion="core-default.xml,hdfs-default.xml",
                uptime=uptime_ms // 1000,
            )
        )

    def get_volume_report(
        self, request: client_datanode.GetVolumeReportRequestProto, call: Call
    ) -> client_datanode.GetVolumeReportResponseProto:
        response = client_datanode.GetVolumeReportResponseProto()
        for one in self._dataset.usage():
            response.volumeInfo.add(
                path=one.path,
                storageType=hdfs.StorageTypeProto.Value(one.storage_type),
                usedSpace=one.used,
                freeSpace=one.remaining,
                reservedSpace=0,
                reservedSpaceForReplicas=0,
                numBlocks=len(self._dataset.replicas(one.storage_id)),
            )
        return response

    def trigger_block_report(
        self, request: client_datanode.TriggerBlockReportRequestProto, call: Call
    ) -> client_datanode.TriggerBlockReportResponseProto:
        wanted = request.nnAddress
        actors = [a for a in self._offer.actors if not wanted or str(a.address) == wanted]
        if not actors:
            raise IllegalArgument(f"no NameNode of this DataNode is at {wanted}")
        for actor in actors:
            actor.report_now(incremental=request.incremental)
        return client_datanode.TriggerBlockReportResponseProto()

    def get_balancer_bandwidth(
        self, request: client_datanode.GetBalancerBandwidthRequestProto, call: Call
    ) -> client_datanode.GetBalancerBandwidthResponseProto:
        bandwidth = self._offer.balance_bandwidth or self._balance_bandwidth
        return client_datanode.GetBalancerBandwidthResponseProto(bandwidth=bandwidth)
