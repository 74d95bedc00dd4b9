"""Every way that Java's client has to find the active NameNode finds ours, before and after a kill.

Reads through observers: test_observer.py.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hadoop import Hadoop

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

PROVIDERS = "org.apache.hadoop.hdfs.server.namenode.ha"
USUAL = "ConfiguredFailoverProxyProvider"
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    return start_cluster()


def conf_with(cluster: Any, provider: str, target: Path) -> Path:
    """The cluster's configuration with another provider."""
    shutil.copytree(cluster.conf_dir, target)
    site = target / "hdfs-site.xml"
    text = site.read_text()
    assert f"{PROVIDERS}.{USUAL}" in text
    site.write_text(text.replace(f"{PROVIDERS}.{USUAL}", f"{PROVIDERS}.{provider}"))
    return target


@pytest.mark.parametrize("provider", [USUAL, "RequestHedgingProxyProvider"])
def test_a_provider_finds_the_active(
    cluster: Any, hadoop_lib: Path, tmp_path: Path, provider: str
) -> None:
    conf, hadoop = conf_with(cluster, provider, tmp_path / "conf"), Hadoop(hadoop_lib, tmp_path)
    source = tmp_path / "source"
    source.write_text("kept\n")
    home = f"/{provider}"
    hadoop.fs(conf, "-mkdir", home)
    hadoop.fs(conf, "-put", str(source), f"{home}/before")
    active = cluster.wait_for_active()["id"]
    cluster.signal(active, signal.SIGKILL)
    # No wait for the other: finding it is what the provider is there for.
    hadoop.fs(conf, "-put", str(source), f"{home}/after")
    assert hadoop.fs(conf, "-cat", f"{home}/before", f"{home}/after") == "kept\nkept\n"
    end = time.monotonic() + WAIT_SECONDS
    while not (cluster.in_state("active") and cluster.in_state("standby")):
        assert time.monotonic() < end, cluster.last_logs()
        time.sleep(0.1)


def test_an_address_instead_of_a_nameservice(
    cluster: Any, hadoop_lib: Path, tmp_path: Path
) -> None:
    """IPFailoverProxyProvider: a host that is no nameservice, whose address somebody else moves."""
    active, hadoop = cluster.wait_for_active()["rpc"], Hadoop(hadoop_lib, tmp_path)
    conf = conf_with(cluster, USUAL, tmp_path / "conf")
    core, site = conf / "core-site.xml", conf / "hdfs-site.xml"
    nameservice = core.read_text().partition("hdfs://")[2].partition("<")[0]
    core.write_text(core.read_text().replace(f"hdfs://{nameservice}", f"hdfs://{active}"))
    key = f"dfs.client.failover.proxy.provider.{active.partition(':')[0]}"
    value = f"{PROVIDERS}.IPFailoverProxyProvider"
    added = f"<property><name>{key}</name><value>{value}</value></property></configuration>"
    site.write_text(site.read_text().replace("</configuration>", added))
    hadoop.fs(conf, "-mkdir", "/by-address")
    assert "/by-address" in hadoop.fs(conf, "-ls", "/")
