"""Two and three `hdfsd zkfc` processes, before stand-ins for NameNodes (controller_pair)."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller_pair import Pair, in_zookeeper, started
from hadoop import free_ports
from kazoo.client import KazooClient

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """nn1 active, nn2 standby."""
    with started(tmp_path) as found:
        yield found


def test_a_killed_namenode_is_fenced_and_replaced(pair: Pair) -> None:
    pair.send("nn1", signal.SIGKILL)
    pair.until_state("nn2", "active")
    assert pair.fenced.read_text() == "nn1\n"
    pair.start_namenode("nn1")
    pair.until_state("nn1", "standby")
    pair.until(
        "nn1 takes over when it is asked",
        lambda: pair.hdfsd("haadmin", "-failover", "nn2", "nn1").returncode == 0,
    )
    assert (pair.state("nn1"), pair.state("nn2")) == ("active", "standby")
    assert pair.fenced.read_text() == "nn1\n", "a graceful failover fences nobody"


def test_a_killed_controller_loses_the_lock_and_its_namenode_the_state(pair: Pair) -> None:
    pair.send("zkfc-nn1", signal.SIGKILL)
    pair.until_state("nn2", "active")
    assert pair.state("nn1") == "standby"
    assert not pair.fenced.exists()
    pair.start_controller("nn1")
    pair.send("zkfc-nn2", signal.SIGKILL)
    pair.until_state("nn1", "active")


def test_a_frozen_namenode_is_found_and_replaced(pair: Pair) -> None:
    pair.send("nn1", signal.SIGSTOP)
    pair.until_state("nn2", "active")
    assert pair.fenced.read_text() == "nn1\n"
    pair.send("nn1", signal.SIGCONT)
    pair.until_state("nn1", "standby")


def test_an_unhealthy_namenode_makes_way_and_comes_back(pair: Pair) -> None:
    pair.sickness_of("nn1").touch()
    pair.until_state("nn2", "active")
    assert pair.state("nn1") == "standby"
    assert not pair.fenced.exists(), "it still does what it is asked"
    told = pair.explain()
    assert told["namenodes"][0]["trouble"] == "no room left"
    assert "NOBODY takes over (nn1: its NameNode is unhealthy" in told["forecast"][0]["then"]
    refused = pair.hdfsd("haadmin", "-failover", "nn2", "nn1")
    assert refused.returncode == 255
    assert "is not currently healthy. Cannot be failover target" in refused.stderr
    pair.sickness_of("nn1").unlink()
    pair.until(
        "nn1 takes over when it is asked",
        lambda: pair.hdfsd("haadmin", "-failover", "nn2", "nn1").returncode == 0,
    )


def test_a_controller_that_is_asked_to_stop_stops(pair: Pair) -> None:
    process = pair.processes.pop("zkfc-nn1")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    pair.until_state("nn2", "active")


def test_a_second_controller_of_the_same_node_is_told_why_not(pair: Pair) -> None:
    done = pair.hdfsd("zkfc", "-D", "dfs.ha.namenode.id=nn1")
    assert done.returncode == 1
    assert "can't listen on 127.0.0.1" in done.stderr
    assert pair.state("nn1") == "active"


def test_two_controllers_of_one_id_do_not_fight(pair: Pair) -> None:
    """The second one has found a port of its own, as on another machine."""
    (port,) = free_ports(1)
    words = ("-D", "dfs.ha.namenode.id=nn1", "-D", f"dfs.ha.zkfc.port.ns1.nn1={port}")
    pair.spawn("zkfc-second", "-m", "hdfsd.cli.main", "zkfc", *words)
    warning = "a second controller with the same dfs.ha.namenode.id, which must be stopped"
    pair.until("it says so", lambda: warning in pair.log_of("second"))
    pair.send("zkfc-nn2", signal.SIGKILL)
    assert pair.state("nn1") == "active"
    pair.send("zkfc-nn1", signal.SIGKILL)
    pair.until("it takes over", lambda: "now active" in pair.log_of("second"))
    assert pair.state("nn1") == "active"
    assert "the election wants" not in pair.log_of("second")
    assert not pair.fenced.exists()


METHODS = "dfs__ha__fencing__methods"


def test_three_namenodes(tmp_path: Path) -> None:
    with started(tmp_path, 3) as trio:
        assert trio.hdfsd("haadmin", "-failover", "nn1", "nn3").returncode == 0
        assert [trio.state(name) for name in trio.rpc] == ["standby", "standby", "active"]
        assert not trio.fenced.exists()
        trio.send("nn3", signal.SIGKILL)
        trio.until("one of the two others is active", lambda: "active" in states_of(trio))
        assert sorted(states_of(trio)) == ["active", "standby"]
        assert trio.fenced.read_text() == "nn3\n"
        first = next(name for name in ("nn1", "nn2") if trio.state(name) == "active")
        trio.send(first, signal.SIGKILL)
        trio.until("the last one is active", lambda: states_of(trio).count("active") == 1)
        assert trio.fenced.read_text() == f"nn3\n{first}\n"


def states_of(trio: Pair) -> list[str]:
    return [state for name in ("nn1", "nn2") if (state := trio.state(name))]


def test_scripts_that_hang_shout_or_do_not_exist(tmp_path: Path) -> None:
    """Each fails in its way and in bounded time; the next one is tried; all of it is on record."""
    script = tmp_path / "hang"
    script.write_text(f"echo $$ > {tmp_path}/pid; sleep 1000 & sleep 1000\n")
    methods = (
        f"shell(bash {script})\n"
        "shell(head -c 5000000 /dev/zero | tr '\\0' x; exit 3)\n"
        "shell(/no/such/script)\n"
        f"shell(echo $target_namenodeid &gt;&gt; {tmp_path}/fenced)"
    )
    with started(tmp_path, **{METHODS: methods, "hdfsd__ha__fencing__timeout": "1s"}) as pair:
        pair.send("nn1", signal.SIGKILL)
        pair.until_state("nn2", "active")
        assert pair.fenced.read_text() == "nn1\n"
        pair.until(
            "the hanging group is dead", lambda: not alive(int((tmp_path / "pid").read_text()))
        )
        failover = pair.explain()["failovers"][-1]
        said = [
            step["detail"] for step in failover["steps"] if step["step"].startswith("fencing of")
        ]
        assert "killed: it did not end by itself within 1000 ms" in said[1]
        assert said[2].startswith("it did not work: exit code 3: xxx")
        assert "/no/such/script: No such file or directory" in said[3]
        assert said[4] == "done: exit code 0"
        assert len(pair.log_of("nn2")) < 100_000


def alive(process_group: int) -> bool:
    try:
        os.killpg(process_group, 0)
    except ProcessLookupError:
        return False
    return True


def test_nobody_takes_over_from_whom_nobody_could_fence(tmp_path: Path) -> None:
    key = tmp_path / "key"
    ssh = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(key)]
    subprocess.run(ssh, check=True, stdin=subprocess.DEVNULL)
    changes = {METHODS: "sshfence", "dfs__ha__fencing__ssh__private-key-files": str(key)}
    with started(tmp_path, **changes) as pair:
        pair.send("nn1", signal.SIGSTOP)
        pair.until("nn2 tried twice", lambda: len(failures_of(pair, "nn2")) >= 2)
        assert pair.state("nn2") == "standby"
        failure = failures_of(pair, "nn2")[-1]
        assert f"{key} has a passphrase, and nobody is here to type it" in failure["outcome"]
        assert pair.explain()["active"] is None
        pair.send("nn1", signal.SIGCONT)
        pair.until("one is active", lambda: "active" in (pair.state("nn1"), pair.state("nn2")))


def failures_of(pair: Pair, name: str) -> list[dict[str, Any]]:
    found = pair.explain()["failovers"]
    return [f for f in found if f["namenode"] == name and f["succeeded"] is False]


def test_garbage_in_the_breadcrumb(pair: Pair) -> None:
    crumb = pair.root / "lock/ns1/ActiveBreadCrumb"
    pair.send("zkfc-nn1", signal.SIGSTOP)
    crumb.write_bytes(bytes(8) + b"\xff garbage")
    pair.send("zkfc-nn1", signal.SIGKILL)
    pair.until("nn2 says so", lambda: "nobody can say whom to fence" in pair.log_of("nn2"))
    assert pair.state("nn2") == "standby"
    assert pair.state("nn1") == "active", "nobody knows better than it does"
    crumb.unlink()
    pair.until_state("nn2", "active")


def test_an_explanation_of_it_all(pair: Pair) -> None:
    told = pair.explain()
    assert told["active"]["id"] == "nn1"
    assert [node["state"] for node in told["namenodes"]] == ["active", "standby"]
    election = [node["controller"]["election"]["state"] for node in told["namenodes"]]
    assert election == ["ACTIVE", "STANDBY"]
    assert told["failovers"][0]["namenode"] == "nn1"
    assert "nn2 becomes active" in told["forecast"][0]["then"]
    assert pair.hdfsd("haadmin", "-failover", "nn1", "nn2").returncode == 0
    pair.send("zkfc-nn1", signal.SIGKILL)
    told = pair.explain()
    assert told["active"]["id"] == "nn2"
    assert "asked for a failover from NameNode at" in told["active"]["because"]
    assert told["namenodes"][0]["controller"]["error"]
    assert "NOBODY takes over (nn1: its controller does not answer)" in told["forecast"][0]["then"]
    done = pair.hdfsd("haadmin", "-explain")
    assert done.returncode == 0
    assert done.stdout.splitlines()[2].startswith("nn2 is active since 2")
    assert "if the process of nn2 dies: " in done.stdout
    assert " ms  NameNode is active" in done.stdout
    assert done.stderr == ""


@pytest.mark.zookeeper
def test_a_restarted_controller_finds_its_own_lock(tmp_path: Path, zookeeper: Any) -> None:
    """Its former session lives on in ZooKeeper for a while; nobody's state changes meanwhile."""
    with started(tmp_path, **in_zookeeper(zookeeper, "/restarted")) as pair:
        # Else it could be the one that takes the lock when the session is over.
        pair.send("zkfc-nn2", signal.SIGSTOP)
        pair.send("zkfc-nn1", signal.SIGKILL)
        pair.start_controller("nn1")
        pair.until("it takes part", lambda: "of this very NameNode" in pair.log_of("nn1"))
        assert (pair.state("nn1"), pair.state("nn2")) == ("active", "standby")
        pair.until("the session is over", lambda: pair.log_of("nn1").count("now active") == 2)
        assert "the election wants" not in pair.log_of("nn1")


@pytest.mark.zookeeper
def test_secrets_of_the_znodes_come_from_files(tmp_path: Path, zookeeper: Any) -> None:
    (tmp_path / "acl").write_text("digest:hdfs:Rqc/eU/YLg4bkzNvY5214ox3UMs=:rwcda\n")
    (tmp_path / "auth").write_text("digest:hdfs:secret\n")
    changes = in_zookeeper(zookeeper, "/guarded") | {
        "ha__zookeeper__acl": f"@{tmp_path}/acl",
        "ha__zookeeper__auth": f"@{tmp_path}/auth",
    }
    with started(tmp_path, **changes) as pair:
        client = KazooClient(zookeeper.quorum, auth_data=[("digest", "hdfs:secret")])
        client.start()
        try:
            for name in ("", "/ActiveStandbyElectorLock", "/ActiveBreadCrumb"):
                (entry,), _ = client.get_acls(f"/guarded/ns1{name}")
                assert (entry.id.scheme, entry.id.id) == ("digest", "hdfs:" + DIGEST)
                assert entry.perms == 31
        finally:
            client.stop()
            client.close()
        stranger = pair.hdfsd(
            "zkfc",
            *("-D", "dfs.ha.namenode.id=nn2", "-D", "ha.zookeeper.auth=digest:hdfs:guess"),
            *("-D", "dfs.ha.zkfc.port.ns1.nn2=0", "-formatZK", "-force"),
        )
        assert stranger.returncode == 1
        assert "compare ha.zookeeper.acl and ha.zookeeper.auth" in stranger.stderr
        assert "guess" not in stranger.stderr
        assert pair.state("nn1") == "active"


@pytest.mark.zookeeper
def test_garbage_in_the_znodes(tmp_path: Path, zookeeper: Any) -> None:
    """A lock of somebody's hand is a lock; a breadcrumb of somebody's hand names nobody."""
    client = KazooClient(zookeeper.quorum)
    client.start()
    try:
        with started(tmp_path, **in_zookeeper(zookeeper, "/garbage")) as pair:
            # Its owner sees at once that the lock is gone, and may come first.
            pair.send("zkfc-nn1", signal.SIGKILL)
            pair.send("zkfc-nn2", signal.SIGKILL)
            parent = "/garbage/ns1"
            pair.until("the sessions are over", lambda: lock_of(client, parent) is None)
            client.create(f"{parent}/ActiveStandbyElectorLock", b"\xff garbage")
            client.set(f"{parent}/ActiveBreadCrumb", b"\xff garbage")
            pair.start_controller("nn2")
            pair.until("nn2 takes part again", lambda: pair.log_of("nn2").count("now standby") == 2)
            assert pair.state("nn2") == "standby"
            told = pair.explain()["namenodes"][1]["controller"]
            assert "the lock: no ActiveNodeInfo" in told["lock"]["error"]
            client.delete(f"{parent}/ActiveStandbyElectorLock")
            pair.until("it says so", lambda: "can say whom to fence" in pair.log_of("nn2"))
            assert (pair.state("nn1"), pair.state("nn2")) == ("active", "standby")
            client.delete(f"{parent}/ActiveBreadCrumb")
            pair.until_state("nn2", "active")
    finally:
        client.stop()
        client.close()


def lock_of(client: KazooClient, parent: str) -> object:
    return client.exists(f"{parent}/ActiveStandbyElectorLock")


DIGEST = "Rqc/eU/YLg4bkzNvY5214ox3UMs="
