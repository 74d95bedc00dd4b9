"""A journal in a shared directory (`file://`): failovers keep what was acknowledged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from witnesses import Watch, assert_all_there, client_of, faults_of, wait_for, writing

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

KILLS = 3


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nas") / "edits"


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any], shared: Path) -> Any:
    journal = f"dfs.namenode.shared.edits.dir=file://{shared}"
    return start_cluster("--journalnodes", "1", "-D", journal, "-D", "dfs.ha.log-roll.period=1s")


def verified(cluster: Any, shared: Path) -> Any:
    """What `hdfsd journal verify` says of the directory, which must be clean."""
    done = cluster.hdfsd("journal", "verify", "--json", str(shared))
    found = json.loads(done.stdout)
    assert done.returncode == 0, found["findings"]
    return found


def test_the_active_killed_again_and_again(cluster: Any, shared: Path) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster) as work:
        work.wait_for_more()
        for _ in range(KILLS):
            active = watch.wait_for_active()
            with work.fault():
                faults.kill(active).wait_gone(10)
                watch.wait_for_active(other_than=active)
                work.wait_for_more(1)
            work.wait_for_more()
            watch.wait_for_states("ACTIVE", "STANDBY")
    watch.assert_never_two_active()
    work.assert_only_calls_in_flight_failed()
    assert_all_there(cluster, work.writers)
    assert (shared / "current/hdfsd-writer").read_text().split()[0] == str(1 + KILLS)


def test_a_frozen_active_wakes_up_deposed(cluster: Any, shared: Path) -> None:
    faults = faults_of(cluster)
    with Watch(cluster) as watch, writing(cluster, seed=2) as work:
        watch.wait_for_states("ACTIVE", "STANDBY")
        work.wait_for_more()
        frozen = watch.wait_for_active()
        process = faults.freeze(frozen)
        watch.wait_for_active(other_than=frozen)
        client_of(cluster).mkdirs("/by-the-other", 0o755, True)
        faults.thaw(frozen)
        # It finds another writer's name in the directory and ends, to come back as a standby.
        wait_for(lambda: not process.is_alive or watch.states()[frozen] != "ACTIVE", "its end")
        watch.wait_for_states("ACTIVE", "STANDBY")
        work.wait_for_more()
    assert_all_there(cluster, work.writers)


def test_down_and_up_again(cluster: Any, shared: Path) -> None:
    before = client_of(cluster).list_status("/", False)
    cluster.down()
    found = verified(cluster, shared)
    assert len(found["onMajority"]) == 1, "no gap"
    cluster.up()
    after = client_of(cluster).list_status("/", False)
    assert [row.path for row in after] == [row.path for row in before]


def test_what_it_needs_is_said_at_the_start(cluster: Any, shared: Path) -> None:
    logs = Path(cluster.directory, "logs")
    for name in ("nn1", "nn2"):
        text = (logs / f"{name}.log").read_text()
        assert f"{shared} is a shared directory" in text
        assert "dfs.ha.fencing.methods" in text
