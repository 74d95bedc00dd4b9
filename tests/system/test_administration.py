"""`hdfsd haadmin` and `hdfsd dfs` from outside, on a cluster of processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from witnesses import Watch

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def told(cluster: Any, *arguments: str, stdin: bytes = b"") -> str:
    done = cluster.hdfsd(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return str(done.stdout.decode())


def test_haadmin(cluster: Any) -> None:
    with Watch(cluster) as watch:
        watch.wait_for_states("ACTIVE", "STANDBY")
        for source, target in (("nn1", "nn2"), ("nn2", "nn1")):
            told(cluster, "haadmin", "-failover", source, target)
            assert told(cluster, "haadmin", "-getServiceState", target) == "active\n"
            assert told(cluster, "haadmin", "-getServiceState", source) == "standby\n"
            states = [line.split()[-1] for line in told_all(cluster)]
            assert sorted(states) == ["active", "standby"]
        for namenode in ("nn1", "nn2"):
            told(cluster, "haadmin", "-checkHealth", namenode)
        assert cluster.hdfsd("haadmin", "-checkHealth", "nn3").returncode != 0
        # The controllers are in charge: no hand of a person comes between them.
        refused = cluster.hdfsd("haadmin", "-transitionToActive", "nn2")
        assert refused.returncode != 0
        assert b"automatic failover" in (refused.stderr + refused.stdout).lower()
    watch.assert_never_two_active()


def told_all(cluster: Any) -> list[str]:
    return told(cluster, "haadmin", "-getAllServiceState").splitlines()


def test_dfs(cluster: Any, tmp_path: Path) -> None:
    content = os.urandom(70_000)
    (tmp_path / "local").write_bytes(content)
    told(cluster, "dfs", "-mkdir", "-p", "/shell/dir")
    told(cluster, "dfs", "-put", str(tmp_path / "local"), "/shell/dir/f")
    told(cluster, "dfs", "-put", "-", "/shell/stdin", stdin=b"from a pipe")
    assert told(cluster, "dfs", "-cat", "/shell/stdin") == "from a pipe"
    told(cluster, "dfs", "-get", "/shell/dir/f", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == content
    told(cluster, "dfs", "-mv", "/shell/dir/f", "/shell/g")
    told(cluster, "dfs", "-chmod", "600", "/shell/g")
    told(cluster, "dfs", "-chown", "a:b", "/shell/g")
    told(cluster, "dfs", "-setrep", "-w", "2", "/shell/g")
    assert told(cluster, "dfs", "-stat", "%b %r %u %g %a %n", "/shell/g") == "70000 2 a b 600 g\n"
    assert told(cluster, "dfs", "-ls", "-C", "/shell").split() == [
        "/shell/dir",
        "/shell/g",
        "/shell/stdin",
    ]
    assert told(cluster, "dfs", "-count", "/shell").split()[:3] == ["2", "2", "70011"]
    assert cluster.hdfsd("dfs", "-test", "-e", "/shell/none").returncode == 1
    missing = cluster.hdfsd("dfs", "-cat", "/shell/none")
    assert (missing.returncode, missing.stdout) == (1, b"")
    assert b"No such file or directory" in missing.stderr
    told(cluster, "dfs", "-rm", "-r", "-skipTrash", "/shell")
    assert cluster.hdfsd("dfs", "-test", "-e", "/shell").returncode == 1
