"""Snapshots outlive the NameNode that made them: kills, checkpoints by the standby, restarts (P1).

All through the command line, as an administrator would look.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hdfs_native import Client
from witnesses import bean, faults_of, record_of, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

SETTINGS = (
    "dfs.namenode.checkpoint.txns=20",
    "dfs.namenode.checkpoint.check.period=1s",
    "dfs.ha.log-roll.period=1s",
    "dfs.replication=1",
)
IMAGE = re.compile(r"fsimage_(\d{19})$")
LOOKS = (
    ("dfs", "-ls", "-R", "/d"),
    ("dfs", "-ls", "/d/.snapshot"),
    ("dfs", "-ls", "-R", "/d/.snapshot/s1"),
    ("dfs", "-ls", "-R", "/d/.snapshot/s2"),
    ("dfs", "-cat", "/d/.snapshot/s1/f"),
    ("dfs", "-cat", "/d/.snapshot/s2/moved"),
    ("dfs", "-cat", "/d/.snapshot/s1/x/inner"),
    ("dfs", "-count", "-v", "/d", "/d/.snapshot/s1", "/d/.snapshot/s2"),
    ("dfs", "-du", "-s", "/d"),
    ("lsSnapshottableDir",),
    ("lsSnapshot", "/d"),
    ("snapshotDiff", "/d", "s1", "s2"),
    ("snapshotDiff", "/d", "s2", "."),
    ("dfs", "-rm", "-r", "-skipTrash", "/d"),
    ("dfs", "-rm", "-skipTrash", "/d/.snapshot/s1/f"),
)

Look = tuple[tuple[str, ...], int, bytes, bytes]
"""A command, its code, its outputs."""


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    words = [word for setting in SETTINGS for word in ("-D", setting)]
    return start_cluster("--datanodes", "1", *words)


def must(cluster: Any, *words: str, stdin: bytes = b"") -> bytes:
    done = cluster.hdfsd(*words, stdin=stdin)
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}"
    out: bytes = done.stdout
    return out


def put(cluster: Any, path: str, content: str) -> None:
    must(cluster, "dfs", "-put", "-f", "-", path, stdin=content.encode())


def look(cluster: Any) -> list[Look]:
    """Everything that shows snapshots, and two refusals because of them."""
    answers = [(words, cluster.hdfsd(*words)) for words in LOOKS]
    return [(words, done.returncode, done.stdout, done.stderr) for words, done in answers]


def assert_same(now: list[Look], before: list[Look]) -> None:
    """Tells what differs, by command."""
    different = [f"{b}\n  now {n}" for n, b in zip(now, before, strict=True) if n != b]
    assert not different, "\n".join(different)


def make_history(cluster: Any) -> None:
    must(cluster, "dfs", "-mkdir", "-p", "/d/x", "/elsewhere")
    put(cluster, "/d/f", "first\n")
    put(cluster, "/d/x/inner", "inner\n")
    must(cluster, "dfsadmin", "-allowSnapshot", "/d")
    must(cluster, "dfs", "-createSnapshot", "/d", "s1")
    must(cluster, "dfs", "-mv", "/d/f", "/d/moved")
    must(cluster, "dfs", "-mv", "/d/x", "/elsewhere/x")
    put(cluster, "/d/f", "second\n")
    must(cluster, "dfs", "-createSnapshot", "/d", "s2")
    must(cluster, "dfs", "-rm", "-skipTrash", "/d/moved", "/d/f")
    must(cluster, "dfs", "-rm", "-r", "-skipTrash", "/elsewhere")


def newest_image(cluster: Any, namenode: str) -> int:
    """The last transaction of a NameNode's newest image."""
    current = Path(record_of(cluster).plan.find(namenode).dirs[0], "current")
    found = (IMAGE.search(path.name) for path in current.iterdir())
    return max((int(match[1]) for match in found if match), default=0)


def fail_over(cluster: Any) -> str:
    """Kills the active NameNode; the name of the one that follows."""
    before = cluster.wait_for_active()["id"]
    faults_of(cluster).kill(before).wait_gone(10)
    wait_for(lambda: cluster.wait_for_active()["id"] != before, "another NameNode leads", 60)
    wait_for(lambda: len(cluster.in_state("standby")) == 1, "the killed one is back", 60)
    return str(cluster.wait_for_active()["id"])


def corrupt_blocks(cluster: Any) -> int:
    """As the active NameNode sees them."""
    active = cluster.wait_for_active()["id"]
    return int(bean(cluster, active, "Hadoop:service=NameNode,name=FSNamesystem")["CorruptBlocks"])


def checkpoint_and_restart(cluster: Any) -> None:
    """All comes from an image that a standby saved."""
    standby = cluster.in_state("standby")[0]["id"]
    reached = newest_image(cluster, standby)
    for number in range(25):
        must(cluster, "dfs", "-mkdir", "-p", f"/later{reached}/{number}")
    wait_for(lambda: newest_image(cluster, standby) > reached, "a checkpoint", 60)
    cluster.down()
    cluster.up()
    cluster.wait_for_active()


def test_snapshots_are_the_same_from_edits_from_images_and_after_restarts(cluster: Any) -> None:
    make_history(cluster)
    before = look(cluster)
    assert [code for _, code, _, _ in before] == [0] * (len(LOOKS) - 2) + [1, 1]
    assert before[4][2] == b"first\n"
    assert before[6][2] == b"inner\n"

    # What the standby knows, it read from the journals.
    fail_over(cluster)
    assert_same(look(cluster), before)

    # Now from an image that a standby saved, with the snapshots in it.
    checkpoint_and_restart(cluster)
    wait_for(lambda: cluster.hdfsd(*LOOKS[6]).returncode == 0, "the blocks are reported", 60)
    assert_same(look(cluster), before)

    # Deleted on one, gone on the other.
    must(cluster, "dfs", "-deleteSnapshot", "/d", "s1")
    must(cluster, "dfs", "-renameSnapshot", "/d", "s2", "last")
    fail_over(cluster)
    assert must(cluster, "dfs", "-ls", "-C", "/d/.snapshot") == b"/d/.snapshot/last\n"
    assert must(cluster, "dfs", "-cat", "/d/.snapshot/last/moved") == b"first\n"
    must(cluster, "dfs", "-deleteSnapshot", "/d", "last")
    must(cluster, "dfsadmin", "-disallowSnapshot", "/d")
    must(cluster, "dfs", "-rm", "-r", "-skipTrash", "/d")
    assert must(cluster, "lsSnapshottableDir") == b"\n"


def test_a_file_that_grew_and_went_is_read_as_it_was(cluster: Any) -> None:
    """Its block is longer on DataNodes, and newer, than the snapshot has it."""
    must(cluster, "dfs", "-mkdir", "/g")
    put(cluster, "/g/f", "before\n")
    must(cluster, "dfsadmin", "-allowSnapshot", "/g")
    must(cluster, "dfs", "-createSnapshot", "/g", "s")
    with Client(config_dir=str(cluster.conf_dir)).append("/g/f") as writer:
        writer.write(b"after\n")
    assert must(cluster, "dfs", "-cat", "/g/f") == b"before\nafter\n"
    must(cluster, "dfs", "-rm", "-skipTrash", "/g/f")
    checkpoint_and_restart(cluster)
    read = ("dfs", "-cat", "/g/.snapshot/s/f")
    wait_for(lambda: cluster.hdfsd(*read).returncode == 0, "the block is reported", 60)
    assert must(cluster, *read) == b"before\n"
    assert corrupt_blocks(cluster) == 0
