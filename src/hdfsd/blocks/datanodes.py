"""Core. The registry of DataNodes and their storages: who is registered, alive, stale, how full.

Behaviour: Hadoop's DatanodeManager, HeartbeatManager, DatanodeDescriptor, DatanodeStorageInfo.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hdfsd.base.errors import UnregisteredNode
from hdfsd.base.ids import BlockId, GenStamp, NamespaceInfo
from hdfsd.blocks.rowset import RowSet
from hdfsd.blocks.settings import BlockSettings
from hdfsd.wire.messages import datanode, hdfs

DEFAULT_RACK = "/default-rack"
SCHEDULED_ROLL_MS = 600_000
"""Scheduled writes that were never heard of again are forgotten after one to two of these."""


LengthAndStamp = tuple[int, GenStamp]
"""Of a replica that waits for its deletion. The garbage collector passes over tuples of numbers:
three million objects would hold up the loop for a quarter of a second."""


class Storage:
    """One volume of one DataNode; `index` is its number in block rows."""

    __slots__ = (
        "block_pool_used",
        "capacity",
        "contents_stale",
        "dfs_used",
        "failed",
        "heartbeat_since_failover",
        "index",
        "left_over",
        "mount",
        "node",
        "non_dfs_used",
        "read_only",
        "remaining",
        "report_count",
        "rows",
        "scan",
        "storage_id",
        "storage_type",
    )

    def __init__(self, index: int, node: DataNode, proto: hdfs.DatanodeStorageProto) -> None:
        self.index = index
        self.node = node
        self.storage_id = proto.storageUuid
        self.storage_type: hdfs.StorageTypeProto = proto.storageType
        self.read_only = proto.state == hdfs.DatanodeStorageProto.READ_ONLY_SHARED
        self.failed = False
        self.capacity = self.dfs_used = self.remaining = 0
        self.block_pool_used = self.non_dfs_used = 0
        self.mount = ""
        self.rows = RowSet()
        self.scan: RowSet | None = None
        """Rows seen by the full report being processed."""
        self.left_over: dict[BlockId, LengthAndStamp] = {}
        """Replicas whose blocks were deleted while another NameNode was active: should it not have
        had them deleted, we will."""
        self.report_count = 0
        self.contents_stale = True
        """P5: no full report since we became active; its replicas may have been deleted already
        on the word of the former active (blockContentsStale)."""
        self.heartbeat_since_failover = False

    def update(self, report: hdfs.StorageReportProto) -> None:
        self.capacity = report.capacity
        self.dfs_used = report.dfsUsed
        self.remaining = report.remaining
        self.block_pool_used = report.blockPoolUsed
        # HdfsProto's nonDfsUsed is younger than the others (PBHelperClient.convert).
        self.non_dfs_used = (
            report.nonDfsUsed
            if report.HasField("nonDfsUsed")
            else max(0, report.capacity - report.dfsUsed - report.remaining)
        )
        self.mount = report.mount
        self.failed = report.failed
        self.heartbeat_since_failover = True

    def clear_statistics(self) -> None:
        """Of a dead node (DatanodeDescriptor.resetBlocks)."""
        self.capacity = self.dfs_used = self.remaining = 0
        self.block_pool_used = self.non_dfs_used = 0

    def stale_after_failover(self) -> None:
        self.heartbeat_since_failover = False
        self.contents_stale = True

    def reported(self) -> None:
        """A full report was processed to its end."""
        if self.heartbeat_since_failover:
            self.contents_stale = False
        self.report_count += 1

    def __str__(self) -> str:
        return f"{self.node.xfer_address}[{self.storage_id}]"


@dataclass(frozen=True, slots=True)
class Transfer:
    """A block that a node must copy to others."""

    block_id: BlockId
    targets: tuple[Storage, ...]


class DataNode:
    """One registered DataNode: identity, statistics, and the work that waits for its heartbeat."""

    __slots__ = (
        "alive",
        "cache_capacity",
        "cache_used",
        "failed_volumes",
        "host",
        "info",
        "info_port",
        "info_secure_port",
        "invalidate",
        "ip",
        "ipc_port",
        "last_report_ms",
        "last_report_wall_ms",
        "last_update_ms",
        "last_update_wall_ms",
        "location",
        "must_register",
        "recoveries",
        "registrations",
        "report_asked",
        "report_wanted",
        "scheduled_now",
        "scheduled_rolled_ms",
        "scheduled_then",
        "software_version",
        "storages",
        "transfers",
        "uuid",
        "xceivers",
        "xfer_port",
        "xmits",
    )

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid
        self.ip = self.host = ""
        self.xfer_port = self.info_port = self.info_secure_port = self.ipc_port = 0
        self.software_version = ""
        self.location = DEFAULT_RACK
        self.storages: dict[str, Storage] = {}
        self.alive = False
        self.must_register = False
        self.registrations = 0
        """Counts up; a report that began under an older one is dropped."""
        self.report_wanted = self.report_asked = False
        """Work waits for a full report of a stale storage; asked for once per failover."""
        self.last_update_ms = self.last_update_wall_ms = 0
        self.last_report_ms = self.last_report_wall_ms = 0
        self.xceivers = self.xmits = self.failed_volumes = 0
        self.cache_capacity = self.cache_used = 0
        self.scheduled_now = self.scheduled_then = 0
        self.scheduled_rolled_ms = 0
        self.transfers: deque[Transfer] = deque()
        self.info: hdfs.DatanodeInfoProto | None = None
        """How clients see the node, as of its last heartbeat; None: to be made."""
        self.recoveries: dict[BlockId, None] = {}
        self.invalidate: dict[BlockId, LengthAndStamp] = {}

    @property
    def xfer_address(self) -> str:
        return f"{self.ip}:{self.xfer_port}"

    @property
    def registered(self) -> bool:
        return self.alive and not self.must_register

    @property
    def scheduled(self) -> int:
        """Blocks on their way to this node (getBlocksScheduled)."""
        return self.scheduled_now + self.scheduled_then

    @property
    def num_blocks(self) -> int:
        return sum(storage.rows.count for storage in self.storages.values())

    def schedule(self) -> None:
        self.scheduled_now += 1

    def arrived(self) -> None:
        """One scheduled block came (DatanodeDescriptor.decrementBlocksScheduled)."""
        if self.scheduled_then:
            self.scheduled_then -= 1
        elif self.scheduled_now:
            self.scheduled_now -= 1

    def roll_scheduled(self, now_ms: int) -> None:
        if now_ms - self.scheduled_rolled_ms >= SCHEDULED_ROLL_MS:
            self.scheduled_then, self.scheduled_now = self.scheduled_now, 0
            self.scheduled_rolled_ms = now_ms

    def forget_work(self) -> None:
        self.transfers.clear()
        self.recoveries.clear()
        self.invalidate.clear()
        self.scheduled_now = self.scheduled_then = 0

    def __str__(self) -> str:
        return self.xfer_address


class Registry:
    """All DataNodes ever registered, by uuid; storages by index."""

    def __init__(
        self,
        settings: BlockSettings,
        namespace_info: NamespaceInfo,
        racks: Mapping[str, str] | None = None,
    ) -> None:
        """`racks`: IP address or host name -> network location; others are in one rack."""
        self._settings = settings
        self._namespace = namespace_info
        self._racks = racks or {}
        self._nodes: dict[str, DataNode] = {}
        self._by_address: dict[tuple[str, int], DataNode] = {}
        self.storages: list[Storage] = []
        """By index; an index is never given twice."""

    # --- registration --------------------------------------------------------------------------

    def register(
        self, registration: datanode.DatanodeRegistrationProto, ip: str, now_ms: int
    ) -> tuple[DataNode, list[DataNode]]:
        """The node, new or returning (new address, same uuid), and the nodes it replaces: those
        that had its address under another uuid. Behaviour: DatanodeManager.registerDatanode."""
        identity = registration.datanodeID
        address = (ip, identity.xferPort)
        replaced = []
        node = self._nodes.get(identity.datanodeUuid)
        holder = self._by_address.get(address)
        if holder is not None and holder is not node:
            del self._by_address[address], self._nodes[holder.uuid]
            replaced.append(holder)
        if node is None:
            node = self._nodes[identity.datanodeUuid] = DataNode(identity.datanodeUuid)
        else:
            self._by_address.pop((node.ip, node.xfer_port), None)
        self._by_address[address] = node
        self._identify(node, registration, ip)
        node.alive, node.must_register = True, False
        node.registrations += 1
        node.last_update_ms = node.scheduled_rolled_ms = now_ms
        for storage in node.storages.values():
            # What it holds may have changed while it was away (DatanodeDescriptor.updateRegInfo).
            storage.report_count = 0
        return node, replaced

    def _identify(
        self, node: DataNode, registration: datanode.DatanodeRegistrationProto, ip: str
    ) -> None:
        identity = registration.datanodeID
        node.info = None
        node.ip, node.host = ip, identity.hostName
        node.xfer_port, node.info_port = identity.xferPort, identity.infoPort
        node.info_secure_port, node.ipc_port = identity.infoSecurePort, identity.ipcPort
        node.software_version = registration.softwareVersion
        node.location = self._racks.get(ip) or self._racks.get(node.host) or DEFAULT_RACK

    def find(self, registration: datanode.DatanodeRegistrationProto) -> DataNode | None:
        """The registered node of a request, None when it has to register (again). Raises
        UnregisteredNode for a uuid that another address serves."""
        node = self._nodes.get(registration.datanodeID.datanodeUuid)
        if node is None:
            return None
        identity = registration.datanodeID
        if (node.ip, node.xfer_port) != (identity.ipAddr, identity.xferPort):
            raise UnregisteredNode(
                f"Data node {describe(registration)} is attempting to report storage ID "
                f"{node.uuid}. Node {node.xfer_address} is expected to serve this storage."
            )
        return node if node.registered else None

    def verify(self, registration: datanode.DatanodeRegistrationProto) -> None:
        """Raises UnregisteredNode for a DataNode of another namespace."""
        # NameNodeRpcServer.verifyRequest compares namespace, cluster and creation time only.
        theirs, ours = registration.storageInfo, self._namespace.storage
        if (theirs.namespceID, theirs.clusterID, theirs.cTime) != (
            ours.namespace_id,
            ours.cluster_id,
            ours.ctime_ms,
        ):
            raise UnregisteredNode(f"Unregistered server: {describe(registration)}")

    def get(self, uuid: str) -> DataNode | None:
        return self._nodes.get(uuid)

    def by_name(self, name: str) -> DataNode | None:
        """By `ip:port` or `host:port` of the data port (favored nodes)."""
        host, _, port = name.rpartition(":")
        for node in self._nodes.values():
            if host in (node.ip, node.host) and port == str(node.xfer_port):
                return node
        return None

    def at_host(self, host: str) -> list[DataNode]:
        """Live nodes on a machine, by its IP address or name."""
        return [n for n in self._nodes.values() if n.alive and host in (n.ip, n.host)]

    def storage(self, node: DataNode, proto: hdfs.DatanodeStorageProto) -> Storage:
        """The storage of a report; a new one is added, a changed type or state taken over."""
        storage = node.storages.get(proto.storageUuid)
        if storage is None:
            storage = Storage(len(self.storages), node, proto)
            self.storages.append(storage)
            node.storages[proto.storageUuid] = storage
        else:
            if storage.storage_type != proto.storageType:
                storage.storage_type = proto.storageType
                node.info = None
            storage.read_only = proto.state == hdfs.DatanodeStorageProto.READ_ONLY_SHARED
        return storage

    # --- heartbeats and liveness ---------------------------------------------------------------

    def heartbeat(
        self,
        node: DataNode,
        request: datanode.HeartbeatRequestProto,
        now_ms: int,
        wall_ms: int,
    ) -> list[Storage]:
        """Takes over the statistics; returns storages that failed just now (reported failed, or
        no longer reported at all)."""
        node.last_update_ms, node.last_update_wall_ms = now_ms, wall_ms
        node.info = None
        node.xceivers, node.xmits = request.xceiverCount, request.xmitsInProgress
        node.failed_volumes = request.failedVolumes
        node.cache_capacity, node.cache_used = request.cacheCapacity, request.cacheUsed
        node.roll_scheduled(now_ms)
        before = {storage_id for storage_id, s in node.storages.items() if s.failed}
        reported = set()
        for report in request.reports:
            storage = self.storage(node, _storage_of(report))
            storage.update(report)
            reported.add(storage.storage_id)
        for storage_id, storage in node.storages.items():
            if storage_id not in reported:
                storage.failed = True
        return [s for s_id, s in node.storages.items() if s.failed and s_id not in before]

    def is_stale(self, node: DataNode, now_ms: int) -> bool:
        return now_ms - node.last_update_ms >= self._settings.stale_interval_ms

    def is_dead(self, node: DataNode, now_ms: int) -> bool:
        """Silent for too long, or declared dead already."""
        return not node.alive or now_ms - node.last_update_ms > self._settings.dead_after_ms

    def overdue(self, now_ms: int) -> list[DataNode]:
        """Nodes that count as alive and have been silent for too long."""
        return [n for n in self._nodes.values() if n.alive and self.is_dead(n, now_ms)]

    def nodes(self) -> list[DataNode]:
        """All, in order of first registration."""
        return list(self._nodes.values())

    def live(self) -> list[DataNode]:
        return [node for node in self._nodes.values() if node.alive]

    def live_count(self) -> int:
        return sum(node.alive for node in self._nodes.values())

    def stale_after_failover(self) -> None:
        """P5: after a failover nothing a storage holds is sure until it reports in full."""
        for node in self._nodes.values():
            node.report_wanted = node.report_asked = False
            for storage in node.storages.values():
                storage.stale_after_failover()

    def select(self, node_uuids: Sequence[str], storage_ids: Sequence[str]) -> list[Storage]:
        """The known ones of the pairs, in order (DatanodeManager.getDatanodeStorageInfos)."""
        found = []
        for node_uuid, storage_id in zip(node_uuids, storage_ids):
            node = self._nodes.get(node_uuid)
            storage = node.storages.get(storage_id) if node else None
            if storage is not None:
                found.append(storage)
        return found


def _storage_of(report: hdfs.StorageReportProto) -> hdfs.DatanodeStorageProto:
    if report.HasField("storage"):
        return report.storage
    return hdfs.DatanodeStorageProto(storageUuid=report.storageUuid)


def describe(registration: datanode.DatanodeRegistrationProto) -> str:
    """As Hadoop's DatanodeRegistration prints itself."""
    identity, info = registration.datanodeID, registration.storageInfo
    layout = info.layoutVersion - (1 << 32) if info.layoutVersion >> 31 else info.layoutVersion
    return (
        f"DatanodeRegistration({identity.ipAddr}:{identity.xferPort}, "
        f"datanodeUuid={identity.datanodeUuid}, infoPort={identity.infoPort}, "
        f"infoSecurePort={identity.infoSecurePort}, ipcPort={identity.ipcPort}, "
        f"storageInfo=lv={layout};cid={info.clusterID};nsid={info.namespceID};c={info.cTime})"
    )
