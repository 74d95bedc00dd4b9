"""Data. What the drivers of a DataNode ask of its replicas: the port behind which bytes move.

Everything here may be called from the event loop: calls that touch more than a few inodes of a disk
are coroutines. Changes that NameNodes have to hear of are told through `Listener`, in the order in
which they happened, from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hdfsd.base.ids import Block, BlockId, GenStamp, NamespaceInfo
from hdfsd.datanode.replica import Replica
from hdfsd.datanode.reporter import BlockChange
from hdfsd.wire.messages import hdfs


@dataclass(frozen=True, slots=True)
class StorageUsage:
    """One volume in a heartbeat; sizes in bytes."""

    storage_id: str
    storage_type: str
    path: str
    capacity: int
    used: int
    remaining: int
    non_dfs_used: int
    failed: bool = False


class Listener(Protocol):
    """Called from any thread."""

    def changed(self, change: BlockChange) -> None:
        """A replica came, is coming, or went."""
        ...

    def corrupt(self, block: Block, storage_id: str, reason: str) -> None:
        """A replica is not what it should be and is served no more (invariant P8)."""
        ...


class Dataset(Protocol):
    @property
    def datanode_uuid(self) -> str:
        """Identity of this DataNode; "" before a volume was ever formatted."""
        ...

    @property
    def namespace(self) -> NamespaceInfo | None:
        """Whom the volumes belong to; None before `attach`."""
        ...

    async def attach(self, namespace: NamespaceInfo) -> None:
        """Formats or checks every volume for this namespace and loads its replicas.

        Later calls only check. Raises StorageError when the volumes belong to another cluster.
        """
        ...

    def usage(self) -> list[StorageUsage]: ...

    def replicas(self, storage_id: str) -> list[Replica]:
        """A snapshot for a full block report, replicas on their way (TEMPORARY) left out."""
        ...

    def find(self, block_id: BlockId) -> Replica | None: ...

    async def invalidate(self, blocks: Sequence[Block]) -> None:
        """Deletes replicas of exactly these generation stamps, and tells the listener."""
        ...

    async def start_recovery(self, block: Block, recovery_id: GenStamp) -> Replica | None:
        """Stops the writer; None when there is no replica. Raises RemoteFault."""
        ...

    async def update_recovered(
        self, block: Block, recovery_id: GenStamp, new_length: int, new_block_id: BlockId
    ) -> Replica:
        """Ends a recovery: the replica is finalized with the new stamp and length, or a copy of it
        under another block id is (truncate with snapshots). Raises RemoteFault."""
        ...


class Copier(Protocol):
    """Sends replicas to other DataNodes, in the background."""

    @property
    def copies_running(self) -> int: ...

    @property
    def transfers_running(self) -> int:
        """All data connections, copies included (xceiverCount)."""
        ...

    def copy(
        self,
        block: Block,
        targets: Sequence[hdfs.DatanodeInfoProto],
        storage_types: Sequence[int],
        storage_ids: Sequence[str],
    ) -> None:
        """Sends a finalized replica through a pipeline of the targets; failures are logged, and
        reported when the replica is not what the NameNode believes."""
        ...
