"""Adapter. One Hadoop NameNode with a DataNode, or a cluster of ours, for tests of snapshots."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import hadoop
from hdfs_native import Client

SETTINGS = {
    "dfs.replication": "1",
    "dfs.namenode.fs-limits.min-block-size": "0",
    "dfs.namenode.safemode.extension": "0",
    "dfs.namenode.datanode.registration.ip-hostname-check": "false",
    "dfs.heartbeat.interval": "1",
}
"""The same for both: small blocks, and what makes a start quick."""
READY_SECONDS = 120


@contextmanager
def hadoop_server(
    lib: Path, root: Path, overrides: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """Hadoop's own NameNode and DataNode; gives their configuration directory."""
    rpc, http, *datanode = hadoop.free_ports(5)
    core = {"fs.defaultFS": f"hdfs://{hadoop.HOST}:{rpc}", "hadoop.tmp.dir": f"{root}/tmp"}
    sites = {
        **SETTINGS,
        **(overrides or {}),
        "dfs.namenode.http-address": f"{hadoop.HOST}:{http}",
        "dfs.namenode.name.dir": f"file://{root}/name",
        "dfs.datanode.data.dir": f"file://{root}/data",
        "dfs.datanode.address": f"{hadoop.HOST}:{datanode[0]}",
        "dfs.datanode.http.address": f"{hadoop.HOST}:{datanode[1]}",
        "dfs.datanode.ipc.address": f"{hadoop.HOST}:{datanode[2]}",
    }
    conf = hadoop.write_conf(root / "conf", core, sites)
    java = hadoop.Hadoop(lib, root)
    try:
        done = java.run(conf, hadoop.NAMENODE, "-format", "-force", "-nonInteractive")
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        java.start("namenode", conf, hadoop.NAMENODE)
        java.start("datanode", conf, hadoop.DATANODE)
        hadoop.wait_for_port(rpc)
        wait_for_write(conf)
        yield conf
    finally:
        java.close()


@contextmanager
def our_server(root: Path, overrides: Mapping[str, str] | None = None) -> Iterator[Path]:
    """A cluster of ours; gives its configuration directory."""
    settings = {**SETTINGS, **(overrides or {})}
    options = [word for key, value in settings.items() for word in ("-D", f"{key}={value}")]
    _cluster("up", root, "--journalnodes", "1", "--datanodes", "1", *options)
    try:
        wait_for_write(root / "conf")
        yield root / "conf"
    finally:
        _cluster("down", root)


def _cluster(verb: str, root: Path, *options: str) -> None:
    command = [sys.executable, "-m", "hdfsd.cli.main", "cluster", verb, "--dir", str(root)]
    done = subprocess.run([*command, *options], capture_output=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr.decode()


def wait_for_write(conf: Path) -> None:
    """Until a file can be written."""
    client = Client(config_dir=str(conf))
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            with client.create("/.written") as writer:
                writer.write(b"x")
            break
        except (RuntimeError, OSError):
            assert time.monotonic() < end, f"no write to {conf} in {READY_SECONDS} s"
            time.sleep(0.5)
            client.delete("/.written", False)
    client.delete("/.written", False)
