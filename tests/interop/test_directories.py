"""Hadoop's daemons and ours take turns on the same directories: names, journals and blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hadoop import Hadoop
from mixed_cluster import HADOOP, HDFSD, MixedCluster
from namespace_work import little_work, look, prepare_local, work

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]


@pytest.fixture
def cluster(hadoop_lib: Path, tmp_path: Path) -> Iterator[MixedCluster]:
    made = MixedCluster(Hadoop(hadoop_lib, tmp_path))
    prepare_local(made.local)
    yield made
    made.close()


@pytest.mark.parametrize(("first", "second"), [(HADOOP, HDFSD), (HDFSD, HADOOP)])
def test_three_turns(cluster: MixedCluster, first: str, second: str) -> None:
    shell = cluster.shell
    cluster.start("journalnode", 0, first)
    cluster.prepare("nn1", first, "-format", "-force", "-nonInteractive")
    cluster.start("namenode", "nn1", first)
    cluster.start("datanode", 0, first)
    cluster.activate("nn1")
    work(shell, "/one")
    seen = look(shell)
    for turn, kind in enumerate((second, first, second)):
        # Once an image and no edits, once an image and the edits behind it, once edits alone.
        if turn:
            cluster.save("nn1")
        if turn == 2:
            little_work(shell, "/behind")
            seen = look(shell)
        cluster.kill_all()
        cluster.start_all(kind, "nn1")
        cluster.activate("nn1")
        assert look(shell) == seen, f"turn {turn}: {kind}"
        little_work(shell, f"/turn{turn}")
        seen = look(shell)
