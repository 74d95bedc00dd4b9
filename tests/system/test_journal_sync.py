"""A JournalNode that was away, or lost its disk, comes to hold what its peers hold, and votes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from witnesses import (
    Watch,
    Workload,
    assert_all_there,
    assert_journals_agree,
    faults_of,
    journals_in_step,
    record_of,
    wait_for,
    writing,
)

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SYNCING = (
    "--port-base=31000",
    "-D",
    "dfs.journalnode.sync.interval=500",
    "-D",
    "dfs.journalnode.enable.sync.format=true",
    "-D",
    "dfs.ha.log-roll.period=1s",
)


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    return start_cluster(*SYNCING)


def directory_of(cluster: Any, journal: str) -> Path:
    return Path(record_of(cluster).plan.find(journal).dirs[0])


def finalized(cluster: Any, journal: str) -> dict[str, bytes]:
    """Content by name."""
    paths = directory_of(cluster, journal).glob("*/current/edits_0*-0*")
    return {path.name: path.read_bytes() for path in paths}


def fail_over(watch: Watch, cluster: Any, work: Workload) -> None:
    """The active dies and is started again; both are back when this returns."""
    active = watch.wait_for_active()
    with work.fault():
        faults_of(cluster).kill(active).wait_gone(10)
        watch.wait_for_active(other_than=active)
        work.wait_for_more()
    watch.wait_for_states("ACTIVE", "STANDBY")


def wait_until_whole(cluster: Any, journal: str) -> None:
    """It holds, byte for byte, each segment that its peers had finalized when this was called."""
    peers = {d.id for d in record_of(cluster).plan.of_role("journalnode")} - {journal}
    wanted: dict[str, bytes] = {}
    for peer in peers:
        wanted |= finalized(cluster, peer)
    assert wanted

    def whole() -> bool:
        return wanted.items() <= finalized(cluster, journal).items()

    wait_for(whole, f"{journal} holds {sorted(wanted)}")


def test_a_journalnode_that_was_away_fetches_what_it_missed(cluster: Any) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster, seed=1) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        faults.hold("jn3")
        faults.kill("jn3").wait_gone(10)
        before = finalized(cluster, "jn3")
        for _ in range(2):
            fail_over(watch, cluster, work)
        missed = finalized(cluster, "jn1").keys() - before.keys()
        assert len(missed) >= 2
        faults.release("jn3")
        wait_until_whole(cluster, "jn3")
        wait_for(lambda: journals_in_step(cluster), "jn3 in step again")
    assert_all_there(cluster, work.writers)
    assert_journals_agree(cluster)


def test_a_journalnode_that_lost_its_disk_formats_itself_and_then_carries_the_quorum(
    cluster: Any,
) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster, seed=2) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        wait_for(lambda: journals_in_step(cluster), "all journals in step")
        faults.hold("jn3")
        faults.kill("jn3").wait_gone(10)
        shutil.rmtree(directory_of(cluster, "jn3"))
        work.wait_for_more()
        faults.release("jn3")
        wait_for(lambda: list(directory_of(cluster, "jn3").glob("*/current/VERSION")), "a format")
        wait_until_whole(cluster, "jn3")
        learning = directory_of(cluster, "jn3") / "hdfsd/current/learning-until"
        wait_for(lambda: not learning.exists(), "jn3 votes")
        wait_for(lambda: journals_in_step(cluster), "jn3 in step again")
        promised = {
            (directory_of(cluster, journal) / "hdfsd/current/last-promised-epoch").read_text()
            for journal in ("jn1", "jn2", "jn3")
        }
        assert len(promised) == 1
        # Now the new one is half of the only quorum that is left.
        faults.hold("jn1")
        faults.kill("jn1").wait_gone(10)
        fail_over(watch, cluster, work)
        faults.release("jn1")
        wait_until_whole(cluster, "jn1")
    watch.assert_never_two_active()
    assert_all_there(cluster, work.writers)
    assert_journals_agree(cluster)
