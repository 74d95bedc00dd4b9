"""Adapter. DataNodes that say they have replicas, and have none.

    python bench/stand_in_datanode.py COUNT NODES NAMENODE...

The actors are those of a DataNode; behind them is a list in place of disks. Each of NODES has one
replica of each of COUNT blocks, numbered as bench/million.py numbers them.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Sequence

from hdfsd.base.ids import Address, Block, BlockId, GenStamp, NamespaceInfo, NodeId, TxId
from hdfsd.daemons.world import World, run_daemon
from hdfsd.datanode.actor import Actor, ActorSettings
from hdfsd.datanode.dataset import StorageUsage
from hdfsd.datanode.registration import Ports
from hdfsd.datanode.replica import Replica, ReplicaState
from hdfsd.io.logs import set_up_logging
from hdfsd.io.site import current_user
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import datanode
from hdfsd.wire.services import DATANODE_PROTOCOL
from million import BLOCK_FILE_BYTES, FIRST_BLOCK, FIRST_STAMP

HOST = "127.0.0.1"
FIRST_PORT = 40_000
CAPACITY = 1 << 50
SETTINGS = ActorSettings(
    heartbeat_ms=1000,
    full_report_ms=6 * 3600 * 1000,
    first_report_delay_ms=0,
    incremental_ms=0,
    split_threshold=1_000_000,
    call_ms=300_000,
)


class List:
    """datanode.dataset.Dataset, as far as actors ask."""

    def __init__(self, replicas: list[Replica]) -> None:
        self.datanode_uuid = str(uuid.uuid4())
        self.namespace: NamespaceInfo | None = None
        self._replicas = replicas
        self._storage_id = f"DS-{uuid.uuid4()}"

    async def attach(self, namespace: NamespaceInfo) -> None:
        self.namespace = namespace

    def usage(self) -> list[StorageUsage]:
        used = len(self._replicas) * BLOCK_FILE_BYTES
        return [
            StorageUsage(self._storage_id, "DISK", "/", CAPACITY, used, CAPACITY - used, 0),
        ]

    def replicas(self, storage_id: str) -> list[Replica]:
        return self._replicas

    def find(self, block_id: BlockId) -> Replica | None:
        raise NotImplementedError("a stand-in serves no data")

    async def invalidate(self, blocks: Sequence[Block]) -> None:
        raise NotImplementedError("a stand-in deletes nothing")

    async def start_recovery(self, block: Block, recovery_id: GenStamp) -> Replica | None:
        raise NotImplementedError("a stand-in recovers nothing")

    async def update_recovered(
        self, block: Block, recovery_id: GenStamp, new_length: int, new_block_id: BlockId
    ) -> Replica:
        raise NotImplementedError("a stand-in recovers nothing")


class Obedience:
    """datanode.actor.Superior: hears everything and does nothing."""

    copies_running = transfers_running = 0

    def __init__(self, port: int) -> None:
        self.ports = Ports(HOST, HOST, port, port + 1, port + 2)

    def registered(self, message: datanode.DatanodeRegistrationProto) -> None:
        """Nobody else wants to know."""

    def heard(self, node: NodeId, *, claims_active: bool, txid: TxId) -> None:
        """Nobody else wants to know."""

    async def execute(self, node: NodeId, command: datanode.DatanodeCommandProto) -> None:
        print(f"{node} wants {command.cmdType}", flush=True)


def replicas(count: int) -> list[Replica]:
    """Of the blocks of the first `count` files."""
    return [
        Replica(
            BlockId(FIRST_BLOCK + number),
            GenStamp(FIRST_STAMP + number),
            ReplicaState.FINALIZED,
            BLOCK_FILE_BYTES,
            BLOCK_FILE_BYTES,
            "",
        )
        for number in range(count)
    ]


async def serve(count: int, nodes: int, addresses: Sequence[Address]) -> None:
    """Until it is cancelled."""
    world, held = World(), replicas(count)
    async with asyncio.TaskGroup() as group:
        for number in range(nodes):
            dataset, superior = List(held), Obedience(FIRST_PORT + 3 * number)
            for address in addresses:
                actor = Actor(
                    NodeId(str(address)),
                    RpcClient(
                        world.network,
                        address,
                        DATANODE_PROTOCOL,
                        user=current_user(),
                        dice=world.dice,
                    ),
                    dataset,
                    superior,
                    settings=SETTINGS,
                    clock=world.clock,
                    dice=world.dice,
                )
                group.create_task(actor.run())


def main() -> int:
    set_up_logging()
    count, nodes, *places = sys.argv[1:]
    addresses = [Address.parse(place) for place in places]
    return run_daemon(lambda: serve(int(count), int(nodes), addresses))


if __name__ == "__main__":
    sys.exit(main())
