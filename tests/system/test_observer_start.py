"""A NameNode that is started as an observer, by Hadoop's option or by its key, stays one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from witnesses import faults_of, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    return start_cluster(
        "--namenodes", "3", "--datanodes", "1", "-D", "dfs.namenode.state.context.enabled=true"
    )


def states(cluster: Any) -> list[str]:
    return sorted(row["state"] for row in cluster.status() if row["role"] == "namenode")


def test_the_start_option(cluster: Any) -> None:
    wait_for(lambda: states(cluster) == ["active", "standby", "standby"], "all are up")
    standby = cluster.in_state("standby")[0]["id"]
    faults = faults_of(cluster)
    faults.hold(standby)
    faults.kill(standby).wait_gone(30)
    command = [sys.executable, "-m", "hdfsd.cli.main", "namenode"]
    conf = str(cluster.conf_dir / standby)
    log = cluster.directory / "logs" / f"{standby}-observer.log"
    with (
        log.open("wb") as target,
        subprocess.Popen([*command, "--config", conf, "-observer"], stderr=target) as process,
    ):
        try:
            said = wait_for(
                lambda: (
                    (done := cluster.hdfsd("haadmin", "-getServiceState", standby)).stdout
                    == b"observer\n"
                    and done
                ),
                "it is an observer",
            )
            assert said.returncode == 0
            other = cluster.in_state("standby")[0]["id"]
            active = cluster.in_state("active")[0]["id"]
            done = cluster.hdfsd("haadmin", "-failover", active, standby)
            assert done.returncode != 0
            assert b"observer" in done.stderr
            done = cluster.hdfsd("haadmin", "-failover", active, other)
            assert done.returncode == 0, done.stderr
            done = cluster.hdfsd("haadmin", "-getServiceState", standby)
            assert done.stdout == b"observer\n", "nobody made it anything else"
        finally:
            process.terminate()
            process.wait(60)
            faults.release(standby)


def test_without_ha_there_is_nothing_to_observe(tmp_path: Any) -> None:
    command = [sys.executable, "-m", "hdfsd.cli.main", "namenode"]
    keys = ["-D", "fs.defaultFS=hdfs://127.0.0.1:0", "-D", f"dfs.namenode.name.dir={tmp_path}/name"]
    done = subprocess.run([*command, *keys, "-observer"], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"there is no active NameNode to follow" in done.stderr
