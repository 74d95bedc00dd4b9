"""Hadoop's NameNode and ours in one nameservice, on our JournalNodes and DataNodes.

Each tails what the other writes, checkpoints to the other, is bootstrapped from the other, and
takes over from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hadoop import Hadoop
from java_shell import JavaShell
from mixed_cluster import HADOOP, HDFSD, MixedCluster, wait_for
from namespace_work import little_work, look, prepare_local, work

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

CHECKPOINT_SOON = {
    "dfs.namenode.checkpoint.txns": "40",
    "dfs.namenode.checkpoint.check.period": "1s",
}


@pytest.fixture(scope="module")
def cluster(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MixedCluster]:
    """nn1 is ours and active, nn2 is Hadoop's, bootstrapped from it."""
    made = MixedCluster(
        Hadoop(hadoop_lib, tmp_path_factory.mktemp("mixed")),
        journalnodes=3,
        datanodes=2,
        overrides=CHECKPOINT_SOON,
    )
    prepare_local(made.local)
    for index in range(3):
        made.start("journalnode", index, HDFSD)
    made.prepare("nn1", HDFSD, "-format", "-force", "-nonInteractive")
    made.start("namenode", "nn1", HDFSD)
    for index in range(2):
        made.start("datanode", index, HDFSD)
    made.activate("nn1")
    made.shell.must("dfs", "-mkdir", "/first")
    made.prepare("nn2", HADOOP, "-bootstrapStandby", "-force", "-nonInteractive")
    made.start("namenode", "nn2", HADOOP)
    yield made
    made.close()


def images(current: Path) -> set[str]:
    """The images with their digests: the digest file comes last."""
    return {path.read_text() for path in current.glob("fsimage_*.md5")}


def assert_same_after(cluster: MixedCluster, shell: JavaShell, old: str, new: str) -> None:
    before = look(shell)
    cluster.hand_over(old, new)
    assert look(shell) == before, f"{new} took over from {old}"


def test_back_and_forth(cluster: MixedCluster) -> None:
    shell = cluster.shell
    for turn, write in enumerate((work, little_work)):
        write(shell, f"/ours{turn}")
        assert_same_after(cluster, shell, "nn1", "nn2")
        write(shell, f"/hadoops{turn}")
        assert_same_after(cluster, shell, "nn2", "nn1")


@pytest.mark.parametrize(("active", "standby"), [("nn1", "nn2"), ("nn2", "nn1")])
def test_the_standby_checkpoints_to_the_active(
    cluster: MixedCluster, active: str, standby: str
) -> None:
    if active == "nn2":
        cluster.hand_over("nn1", "nn2")
    before = images(cluster.current(active)) | images(cluster.current(standby))
    work(cluster.shell, f"/checkpointed-{active}")

    def both_have_a_new_one() -> bool:
        found = images(cluster.current(active)) & images(cluster.current(standby))
        return bool(found - before)

    wait_for(f"an image of {standby} on {active}", both_have_a_new_one)


def test_ours_is_bootstrapped_from_hadoops(cluster: MixedCluster) -> None:
    """nn2 is active; nn1 loses everything."""
    cluster.kill("nn1")
    shutil.rmtree(cluster.current("nn1").parent)
    cluster.prepare("nn1", HDFSD, "-bootstrapStandby", "-force", "-nonInteractive")
    cluster.start("namenode", "nn1", HDFSD)
    little_work(cluster.shell, "/behind-bootstrap")
    assert_same_after(cluster, cluster.shell, "nn2", "nn1")


def test_a_killed_active_is_replaced_by_the_other_kind(cluster: MixedCluster) -> None:
    """nn1 is active."""
    before = look(cluster.shell)
    cluster.kill("nn1")
    cluster.activate("nn2")
    assert look(cluster.shell) == before
    cluster.start("namenode", "nn1", HDFSD)
    little_work(cluster.shell, "/after-the-kill")
    before = look(cluster.shell)
    cluster.kill("nn2")
    cluster.activate("nn1")
    assert look(cluster.shell) == before
