"""A tree that is deleted is freed in steps, beside the calls, on the active and on the standby."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tale import MODE, QUICK, creation, run, settled, states

from hdfsd.client.proxy import NameNodeProxy
from hdfsd.namenode.state import NameNodeState
from hdfsd.sim.cluster import Cluster
from hdfsd.sim.world import World
from hdfsd.wire.messages import client_namenode as c

pytestmark = pytest.mark.sim

DIRECTORIES, FILES, ROUNDS = 4, 8, 2
IN_STEPS = QUICK | {"dfs.namenode.block.deletion.increment": "3"}


async def make_tree(proxy: NameNodeProxy) -> None:
    for directory in range(DIRECTORIES):
        path = f"/big/d{directory}"
        made = c.MkdirsRequestProto(src=path, masked=MODE, createParent=True)
        await proxy.call("mkdirs", made)
        for file in range(FILES):
            await proxy.call("create", creation(f"{path}/f{file}"))


def count_waiting(state: NameNodeState, found: list[int]) -> None:
    """Notes how many inodes were left whenever a deletion did not free all of them."""
    inner = state.on_detached
    assert inner is not None

    def told(inner: Callable[[], None] = inner) -> None:
        found.append(state.namespace.inode_count)
        inner()

    state.on_detached = told


def test_both_free_what_was_deleted() -> None:
    cluster = Cluster(World("removals"), IN_STEPS, session_ms=300, restart_ms=30)

    async def tell(proxy: NameNodeProxy) -> None:
        await settled(cluster)
        waiting: list[list[int]] = []
        for state in states(cluster):
            waiting.append([])
            count_waiting(state, waiting[-1])
        for _ in range(ROUNDS):
            await make_tree(proxy)
            for again in (True, False):
                answer = await proxy.call(
                    "delete", c.DeleteRequestProto(src="/big", recursive=True)
                )
                assert answer.result
                if again:
                    await make_tree(proxy)
            await settled(cluster)
            for state in states(cluster):
                assert not state.namespace.detached
                assert state.namespace.inode_count == 1
                assert len(state.namespace.leases) == 0
        tree = 1 + DIRECTORIES * (1 + FILES)
        for found in waiting:
            assert found[0] == 1 + tree - 3, "three of them were freed at once"
            assert len(found) >= 2 * ROUNDS

    run(cluster, tell)
