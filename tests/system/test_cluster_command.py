"""`hdfsd cluster up|status|down` as a person uses it, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

Start = Callable[..., Any]


def words_of(done: Any) -> str:
    """The one line that a refused command prints."""
    text: str = done.stderr.decode()
    assert done.returncode == 1, text
    assert len(text.splitlines()) == 1, text
    return text


def hdfsd(cluster: Any, *arguments: str) -> Any:
    done = cluster.hdfsd(*arguments)
    assert done.returncode == 0, done.stderr.decode() + cluster.last_logs()
    return done


def test_up_write_down_up_read(start_cluster: Start, tmp_path: Path) -> None:
    cluster = start_cluster()
    content = os.urandom(100_000)
    (tmp_path / "f").write_bytes(content)
    hdfsd(cluster, "dfs", "-put", str(tmp_path / "f"), "/f")
    before = cluster.status()
    assert [row["id"] for row in before] == [
        *("jn1", "jn2", "jn3"),
        *("nn1", "zkfc1", "nn2", "zkfc2"),
        *("dn1", "dn2", "dn3"),
    ]
    assert sorted(r["state"] for r in before if r["role"] == "namenode") == ["active", "standby"]
    assert {r["state"] for r in before if r["role"] != "namenode"} == {"running"}
    assert all(row["pss_kib"] > 1000 and row["pid"] for row in before)
    assert all(Path(name).is_dir() for row in before for name in row["dirs"])

    cluster.down()
    assert {row["state"] for row in cluster.status()} == {"stopped"}
    assert not any(Path(f"/proc/{row['pid']}").exists() for row in before)
    cluster.up()
    assert [row["rpc"] for row in cluster.status()] == [row["rpc"] for row in before]
    assert hdfsd(cluster, "dfs", "-cat", "/f").stdout == content


def test_two_side_by_side(start_cluster: Start) -> None:
    clusters = [start_cluster("--datanodes", "1", "--journalnodes", "1") for _ in range(2)]
    for number, cluster in enumerate(clusters):
        hdfsd(cluster, "dfs", "-mkdir", f"/only-in-{number}")
    listings = [hdfsd(cluster, "dfs", "-ls", "-C", "/").stdout for cluster in clusters]
    assert listings == [b"/only-in-0\n", b"/only-in-1\n"]


def test_settings_and_numbers(start_cluster: Start) -> None:
    options = ("--namenodes", "3", "--journalnodes", "1", "--datanodes", "1")
    cluster = start_cluster(*options, "-D", "dfs.blocksize=1m", "-D", "fs.trash.interval=5")
    assert sorted(r["state"] for r in cluster.status() if r["role"] == "namenode") == [
        "active",
        "standby",
        "standby",
    ]
    assert hdfsd(cluster, "getconf", "-confKey", "dfs.blocksize").stdout == b"1m\n"
    cluster.down()
    refused = words_of(cluster.command("up", "--datanodes", "4"))
    assert "--datanodes 4" in refused
    assert "was made with 1" in refused
    cluster.up("-D", "dfs.blocksize=2m")
    assert hdfsd(cluster, "getconf", "-confKey", "dfs.blocksize").stdout == b"2m\n"
    assert hdfsd(cluster, "getconf", "-confKey", "fs.trash.interval").stdout == b"5\n"


def test_a_daemon_that_dies_comes_back(start_cluster: Start) -> None:
    cluster = start_cluster("--datanodes", "1", "--journalnodes", "1")
    for daemon_id in ("jn1", "dn1", "zkfc2"):
        old = cluster.row(daemon_id)["pid"]
        cluster.signal(daemon_id, signal.SIGKILL)
        wait_for(lambda name=daemon_id, pid=old: cluster.row(name)["pid"] not in (None, pid))
    cluster.hold("dn1")
    cluster.signal("dn1", signal.SIGKILL)
    wait_for(lambda: cluster.row("dn1")["state"] == "stopped")
    cluster.release("dn1")
    wait_for(lambda: cluster.row("dn1")["state"] == "running")


def wait_for(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def test_a_second_up_tells_that_it_runs(start_cluster: Start) -> None:
    cluster = start_cluster("--datanodes", "1", "--journalnodes", "1")
    assert "a cluster is running here" in words_of(cluster.command("up"))
    cluster.wait_for_active()


def test_a_launcher_that_was_killed_takes_its_daemons_along(start_cluster: Start) -> None:
    cluster = start_cluster("--datanodes", "1", "--journalnodes", "1")
    hdfsd(cluster, "dfs", "-mkdir", "/kept")
    record = json.loads((cluster.directory / "cluster.json").read_text())
    os.kill(record["launcher"][0], signal.SIGKILL)
    wait_for(lambda: {row["state"] for row in cluster.status()} == {"stopped"})
    # cluster.json still names the dead processes; nobody mistakes them for living ones.
    assert b"was not running" in cluster.command("down").stdout
    cluster.up()
    assert hdfsd(cluster, "dfs", "-ls", "-C", "/").stdout == b"/kept\n"


def test_a_port_in_use_is_named(start_cluster: Start, tmp_path: Path) -> None:
    cluster = start_cluster("--datanodes", "1", "--journalnodes", "1")
    cluster.down()
    port = int(cluster.row("nn1")["rpc"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        refused = words_of(cluster.command("up"))
        assert f"ports in use: {port} (nn1 rpc)" in refused
        assert "--port-base" in refused
        base = str(port - 2)
        other = cluster.command("up", "--port-base", base, directory=tmp_path / "new")
        assert f"{port}" in words_of(other)
        assert not (tmp_path / "new/data").exists()
    cluster.up()


def test_a_half_formatted_directory_is_finished(start_cluster: Start) -> None:
    cluster = start_cluster("--datanodes", "1", "--journalnodes", "1")
    cluster.down()
    # As a start cut off between the formatting of the journal and of the first NameNode leaves it.
    path = cluster.directory / "cluster.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"formatted": False}))
    (cluster.directory / "data/nn1/current/VERSION").unlink()
    cluster.up()
    hdfsd(cluster, "dfs", "-mkdir", "/d")


def test_a_standby_without_its_image_is_bootstrapped(start_cluster: Start) -> None:
    cluster = start_cluster("--datanodes", "1", "--journalnodes", "1")
    hdfsd(cluster, "dfs", "-mkdir", "/d")
    cluster.down()
    (cluster.directory / "data/nn2/current/VERSION").unlink()
    cluster.up()
    cluster.signal("nn1", signal.SIGKILL)
    wait_for(lambda: cluster.row("nn2")["state"] == "active")
    assert hdfsd(cluster, "dfs", "-ls", "-C", "/").stdout == b"/d\n"


def test_what_is_not_ours_is_left_alone(start_cluster: Start, tmp_path: Path) -> None:
    cluster = start_cluster("--datanodes", "1", "--journalnodes", "1")
    cluster.down()
    path = cluster.directory / "cluster.json"
    saved = path.read_text()
    path.write_text(saved[: len(saved) // 2])
    refused = words_of(cluster.command("up"))
    assert str(path) in refused
    assert "can't be read" in refused
    path.unlink()
    assert "no cluster.json beside it" in words_of(cluster.command("up"))
    path.write_text(saved)
    cluster.up()


def test_a_directory_that_can_not_be(start_cluster: Start, tmp_path: Path) -> None:
    cluster = start_cluster("--datanodes", "1", "--journalnodes", "1")
    (tmp_path / "file").write_text("")
    done = cluster.command("up", directory=tmp_path / "file/x")
    assert "Not a directory: choose another --dir" in words_of(done)
    done = cluster.command("status", directory=tmp_path / "none")
    assert "no cluster here: hdfsd cluster up" in words_of(done)


def test_a_daemon_that_can_not_start_is_named_and_nothing_stays(
    start_cluster: Start, tmp_path: Path
) -> None:
    cluster = start_cluster("--datanodes", "1", "--journalnodes", "1")
    cluster.down()
    refused = words_of(cluster.command("up", "-D", "dfs.blocksize=huge"))
    assert "the cluster did not start: nn1" in refused
    assert "dfs.blocksize='huge'" in refused
    assert {row["state"] for row in cluster.status()} == {"stopped"}
    cluster.up("-D", "dfs.blocksize=1m")
