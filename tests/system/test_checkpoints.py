"""Standby checkpoints, and what a cluster keeps when all of it dies at once (P1)."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from witnesses import (
    assert_all_there,
    assert_journals_agree,
    client_of,
    digest,
    processes_in,
    read_whole,
    record_of,
    replica_files,
    wait_for,
    wait_for_replicas,
    writing,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

IMAGE = re.compile(r"fsimage_(\d{19})$")
SETTINGS = (
    "dfs.namenode.checkpoint.txns=40",
    "dfs.namenode.checkpoint.check.period=1s",
    "dfs.namenode.num.extra.edits.retained=10",
    "dfs.ha.log-roll.period=1s",
)


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    return start_cluster(*(word for setting in SETTINGS for word in ("-D", setting)))


def images(cluster: Any, namenode: str) -> dict[int, Path]:
    """By last transaction, of one NameNode."""
    current = Path(record_of(cluster).plan.find(namenode).dirs[0], "current")
    found = ((IMAGE.search(path.name), path) for path in current.iterdir())
    return {int(match[1]): path for match, path in found if match}


def newest_on_both(cluster: Any, above: int) -> int:
    """The last transaction of the newest image that both NameNodes have; 0: not new enough."""
    shared = images(cluster, "nn1").keys() & images(cluster, "nn2").keys()
    newest = max(shared, default=0)
    return newest if newest > above else 0


def first_txid(directory: Path) -> int:
    """Of the oldest segment that is kept."""
    names = (
        re.search(r"edits_(?:inprogress_)?(\d{19})", path.name) for path in directory.rglob("*")
    )
    return min(int(match[1]) for match in names if match)


def kill_everything(cluster: Any) -> None:
    """kill -9 of every process, the launcher first, so that none is started again."""
    launcher = record_of(cluster).launcher
    assert launcher is not None
    for pid in (launcher.pid, *(set(processes_in(cluster.directory)) - {launcher.pid})):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # The kernel ends the daemons of a dead launcher.
    wait_for(lambda: not processes_in(cluster.directory), "the end of all processes")


def test_the_standby_saves_and_both_have_the_image(cluster: Any) -> None:
    client, last = client_of(cluster), 0
    for turn in range(4):
        for number in range(60):
            client.mkdirs(f"/saved/{turn}/{number}", 0o755, True)
        last = wait_for(lambda last=last: newest_on_both(cluster, last), "an image on both sides")
        one, two = (images(cluster, namenode)[last] for namenode in ("nn1", "nn2"))
        assert digest(one.read_bytes()) == digest(two.read_bytes())
        sums = [path.with_name(f"{path.name}.md5").read_text() for path in (one, two)]
        assert sums[0] == sums[1]
    # Two images are kept (dfs.namenode.num.checkpoints.retained), and the edits since the older.
    wait_for(lambda: len(images(cluster, "nn1")) <= 2, "old images purged")
    journal = Path(record_of(cluster).plan.find("jn1").dirs[0])
    wait_for(lambda: first_txid(journal) > 1, "old edits purged from the journals")
    assert first_txid(journal) <= min(images(cluster, "nn1")) + 1
    cluster.down()
    cluster.up()
    assert_saved(cluster)


def assert_saved(cluster: Any) -> None:
    found = client_of(cluster).list_status("/saved", True)
    names = {row.path for row in found}
    wanted = {f"/saved/{turn}/{number}" for turn in range(4) for number in range(60)}
    assert wanted <= names


def test_kill_9_of_all_and_up_again(cluster: Any) -> None:
    for seed in (11, 12):
        with writing(cluster, seed=seed) as work:
            work.wait_for_more(10)
        kill_everything(cluster)
        cluster.up()
        cluster.wait_for_active()
        assert_all_there(cluster, work.writers)
    assert_journals_agree(cluster)
    assert_saved(cluster)


def test_a_namenode_falls_back_to_its_older_image(cluster: Any) -> None:
    wait_for(lambda: len(images(cluster, "nn1")) == 2, "two images")
    cluster.down()
    newest = images(cluster, "nn1")[max(images(cluster, "nn1"))]
    bad = bytearray(newest.read_bytes())
    bad[len(bad) // 2] ^= 1
    newest.write_bytes(bad)
    cluster.up()
    told = (cluster.directory / "logs/nn1.log").read_text()
    assert re.search(f"{newest}.*(?i:md5)", told)
    assert newest.read_bytes() == bad
    assert_saved(cluster)


def test_a_wiped_disk_is_filled_again(cluster: Any) -> None:
    client, data = client_of(cluster), os.urandom(300_000)
    with client.create("/spread") as target:
        target.write(data)
    block_id = wait_for_replicas(cluster, "/spread", 3)[0].b.blockId
    cluster.down()
    shutil.rmtree(Path(record_of(cluster).plan.find("dn2").dirs[0]))
    assert len(replica_files(cluster, block_id)) == 2
    cluster.up()
    wait_for(
        lambda: (
            len(found := replica_files(cluster, block_id)) == 3
            and found["dn2"].stat().st_size == len(data)
        ),
        "a third replica on the empty disk",
    )
    wait_for_replicas(cluster, "/spread", 3)
    assert read_whole(client_of(cluster), "/spread") == data
