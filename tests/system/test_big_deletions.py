"""A tree that is deleted is gone at once; its inodes and blocks go in steps, on every NameNode.
Replicas that a killed active had no time to have deleted are deleted by the next one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hdfs_native import WriteOptions
from witnesses import bean, client_of, faults_of, record_of, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

DIRECTORIES, FILES = 8, 12
TREE = 1 + DIRECTORIES * (1 + FILES)
FSNAMESYSTEM = "Hadoop:service=NameNode,name=FSNamesystem"


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    steps = "dfs.namenode.block.deletion.increment=2"
    return start_cluster("--datanodes", "1", "-D", steps, "-D", "dfs.replication=1")


def make_tree(cluster: Any) -> None:
    client = client_of(cluster)
    for number in range(DIRECTORIES * FILES):
        path = f"/big/d{number % DIRECTORIES}/f{number}"
        target = client.create(path, WriteOptions(replication=1))
        target.write(b"x" * 100)
        target.close()


def inodes(cluster: Any) -> set[int]:
    """How many each NameNode has."""
    namenodes = record_of(cluster).plan.of_role("namenode")
    return {bean(cluster, daemon.id, FSNAMESYSTEM)["FilesTotal"] for daemon in namenodes}


def replicas(cluster: Any) -> int:
    (datanode,) = record_of(cluster).plan.of_role("datanode")
    found = (path.name for path in Path(datanode.dirs[0]).rglob("blk_*"))
    return sum(not name.endswith(".meta") for name in found)


def wait_until_freed(cluster: Any, left: int) -> None:
    wait_for(lambda: inodes(cluster) == {left}, f"{left} inodes on each NameNode")
    wait_for(lambda: replicas(cluster) == 0, "no replica on the DataNode")


def test_what_is_deleted_is_gone_at_once(cluster: Any) -> None:
    before = max(inodes(cluster))
    client = client_of(cluster)
    make_tree(cluster)
    wait_for(lambda: inodes(cluster) == {before + TREE}, "the tree on each NameNode")
    assert replicas(cluster) == DIRECTORIES * FILES
    assert client.delete("/big", True)
    assert "/big" not in [row.path for row in client.list_status("/", False)]
    # Its name is free, whatever is left of it.
    client.mkdirs("/big/d0", 0o755, True)
    assert client.delete("/big", True)
    wait_until_freed(cluster, before)


def test_the_next_active_frees_the_rest(cluster: Any) -> None:
    before = max(inodes(cluster))
    make_tree(cluster)
    active = cluster.wait_for_active()["id"]
    assert client_of(cluster).delete("/big", True)
    faults_of(cluster).kill(active).wait_gone(10)
    wait_for(lambda: cluster.wait_for_active()["id"] != active, "another NameNode leads")
    wait_for(lambda: len(cluster.in_state("standby")) == 1, "the killed one is back")
    wait_until_freed(cluster, before)
    cluster.down()
    cluster.up()
    cluster.wait_for_active()
    wait_for(lambda: inodes(cluster) == {before}, "nothing of it comes back")
