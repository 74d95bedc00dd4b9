"""Java's ObserverReadProxyProvider reads from our observer what it wrote through our active."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hadoop import FS_SHELL, HA_ADMIN, LOG4J, Hadoop

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

PROVIDERS = "org.apache.hadoop.hdfs.server.namenode.ha"
WAIT_SECONDS = 60
READ = re.compile(r"Invocation of (\w+) using (\S+) was successful")
WRITTEN = re.compile(r"Using failoverProxy to service (\w+)")


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    made = start_cluster("--namenodes", "3", "-D", "dfs.namenode.state.context.enabled=true")
    done = made.hdfsd("haadmin", "-transitionToObserver", "-forcemanual", "nn3", stdin=b"y\n")
    assert done.returncode == 0, done.stderr.decode()
    assert made.row("nn3")["state"] == "observer"
    return made


@pytest.fixture
def conf(cluster: Any, tmp_path: Path) -> Path:
    """The cluster's own, with the provider for observers, which tells where each call goes."""
    copy = tmp_path / "conf"
    shutil.copytree(cluster.conf_dir, copy)
    site = copy / "hdfs-site.xml"
    text = site.read_text()
    usual, observing = "ConfiguredFailoverProxyProvider", "ObserverReadProxyProvider"
    assert usual in text
    site.write_text(text.replace(f"{PROVIDERS}.{usual}", f"{PROVIDERS}.{observing}"))
    debug = f"log4j.logger.{PROVIDERS}.{observing}=DEBUG\n"
    (copy / "log4j.properties").write_text(LOG4J + debug)
    return copy


def address(cluster: Any, daemon_id: str) -> str:
    return f"/{cluster.row(daemon_id)['rpc']}"


def shell(hadoop_lib: Path, conf: Path, tmp_path: Path, *words: str) -> tuple[str, str]:
    """(standard output, standard error) of Java's FsShell."""
    done = Hadoop(hadoop_lib, tmp_path).run(conf, FS_SHELL, *words)
    said = done.stderr.decode()
    assert done.returncode == 0, said[-4000:]
    return done.stdout.decode(), said


def test_reads_go_to_the_observer_and_see_what_was_written(
    cluster: Any, hadoop_lib: Path, conf: Path, tmp_path: Path
) -> None:
    source = tmp_path / "hello"
    source.write_text("hello\n")
    _, said = shell(hadoop_lib, conf, tmp_path, "-put", str(source), "/hello")
    observer = address(cluster, "nn3")
    assert {where for _, where in READ.findall(said)} == {observer}
    assert "create" in WRITTEN.findall(said)
    read, said = shell(hadoop_lib, conf, tmp_path, "-cat", "/hello")
    assert read == "hello\n"
    assert ("getBlockLocations", observer) in READ.findall(said)


def test_a_failover_beside_the_observer(
    cluster: Any, hadoop_lib: Path, conf: Path, tmp_path: Path
) -> None:
    before = cluster.wait_for_active()["id"]
    assert before != "nn3"
    cluster.signal(before, signal.SIGKILL)
    end = time.monotonic() + WAIT_SECONDS
    while not (cluster.in_state("active") and cluster.in_state("standby")):
        assert time.monotonic() < end, cluster.last_logs()
        time.sleep(0.1)
    assert cluster.wait_for_active()["id"] != before
    assert cluster.row("nn3")["state"] == "observer", "an observer takes no part in elections"
    shell(hadoop_lib, conf, tmp_path, "-mkdir", "/after")
    listed, said = shell(hadoop_lib, conf, tmp_path, "-ls", "/")
    assert "/after" in listed
    assert ("getListing", address(cluster, "nn3")) in READ.findall(said)


def test_a_client_that_knows_no_observers_is_sent_on(
    cluster: Any, hadoop_lib: Path, tmp_path: Path
) -> None:
    listed, _ = shell(hadoop_lib, cluster.conf_dir, tmp_path, "-ls", "/")
    assert listed


def test_an_observer_becomes_a_standby_again(
    cluster: Any, hadoop_lib: Path, tmp_path: Path
) -> None:
    """By Hadoop's own tool; from observer to active there is no way."""
    hadoop = Hadoop(hadoop_lib, tmp_path)
    manual = ("-forcemanual", "nn3")
    words = ("-transitionToActive", *manual)
    done = hadoop.run(cluster.conf_dir, HA_ADMIN, *words, stdin=b"y\n")
    assert done.returncode != 0
    for words, state in (
        (("-transitionToStandby", *manual), "standby"),
        (("-transitionToObserver", *manual), "observer"),
    ):
        done = hadoop.run(cluster.conf_dir, HA_ADMIN, *words, stdin=b"y\n")
        assert done.returncode == 0, done.stderr.decode()
        assert cluster.row("nn3")["state"] == state
