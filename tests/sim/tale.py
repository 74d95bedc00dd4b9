"""Driver. A cluster of the simulator in which one client does one thing after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hdfsd.base.proxy_providers import Search
from hdfsd.client.proxy import NameNodeProxy
from hdfsd.namenode.state import NameNodeState
from hdfsd.rpc.retry import Backoff
from hdfsd.sim.cluster import Cluster
from hdfsd.sim.workload import proxy_of
from hdfsd.sim.world import Process
from hdfsd.wire.messages import acl, client_namenode

MODE = acl.FsPermissionProto(perm=0o755)
BACKOFF = Backoff(base_ms=20, max_ms=100, attempts_max=1_000)
QUICK = {
    "dfs.ha.tail-edits.period": "50ms",
    "ha.health-monitor.check-interval.ms": "100",
    "ha.health-monitor.connect-retry-interval.ms": "50",
    "ha.health-monitor.sleep-after-disconnect.ms": "50",
}
SETTLES_S = 60


def creation(path: str) -> client_namenode.CreateRequestProto:
    return client_namenode.CreateRequestProto(
        src=path,
        masked=MODE,
        clientName="c1",
        createFlag=client_namenode.CREATE,
        createParent=True,
        replication=1,
        blockSize=1 << 20,
    )


def states(cluster: Cluster) -> list[NameNodeState]:
    """Of the NameNodes that run."""
    return [state for name in ("nn1", "nn2") if (state := cluster.state_of(name)) is not None]


async def settled(cluster: Cluster) -> str:
    """The active, once the standby knows all that it knows."""
    end_s = cluster.world.loop.time() + SETTLES_S
    while cluster.world.loop.time() < end_s:
        txids = [state.applied_txid for state in states(cluster)]
        actives = cluster.actives()
        if len(actives) == 1 and len(txids) == 2 and len(set(txids)) == 1:
            return actives[0]
        await asyncio.sleep(0.02)
    raise AssertionError("the cluster does not come to rest")


def run(
    cluster: Cluster,
    tell: Callable[[NameNodeProxy], Awaitable[None]],
    search: Search = Search.IN_TURN,
) -> None:
    """The whole tale, from a fresh cluster on; raises what the client found wrong."""

    async def client(process: Process) -> None:
        proxy = proxy_of(cluster, process, backoff=BACKOFF, timeout_ms=5_000, search=search)
        await tell(proxy)
        await proxy.close()

    async def story() -> None:
        tasks = [cluster.world.loop.create_task(cluster.locks.watch())]
        try:
            tasks += cluster.supervise("journalnode")
            await asyncio.sleep(0.05)
            await cluster.format()
            tasks += cluster.supervise("namenode", "zkfc")
            process = cluster.world.add_machine("client").start("client", client)
            await process.ended
            if isinstance(process.outcome, BaseException):
                raise process.outcome
        finally:
            for task in tasks:
                task.cancel()

    cluster.world.run(story())
    assert not cluster.judge.violations
