"""Clients that read from an observer: hdfs-native's and our own. Who answered is counted on the way
(lost_answers.Relay). The observer looks at the journal once a second only: whatever a client reads
right after it wrote it, the observer has waited for.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hdfs_native import Client
from lost_answers import LossyCluster
from witnesses import LOST_CONNECTION, Watch, read_whole, wait_for

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

OBSERVER = "nn3"
FILES = 4
CONTENT = b"what was written"


@pytest.fixture(scope="module")
def watched(
    start_cluster: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LossyCluster]:
    options = {
        "dfs.namenode.state.context.enabled": "true",
        "dfs.ha.tail-edits.period": "1s",
    }
    words = [word for key, value in options.items() for word in ("-D", f"{key}={value}")]
    cluster = start_cluster("--namenodes", "3", *words)
    manual = ("-transitionToObserver", "-forcemanual", OBSERVER)
    done = cluster.hdfsd("haadmin", *manual, stdin=b"y\n")
    assert done.returncode == 0, done.stderr.decode()
    conf = tmp_path_factory.mktemp("watched") / "conf"
    made = LossyCluster.over(cluster, conf, "ObserverReadProxyProvider")
    yield made
    made.close()


def reads(watched: LossyCluster) -> dict[str, int]:
    """How many reads each NameNode has answered."""
    methods = ("getFileInfo", "getBlockLocations", "getListing")
    return {
        name: sum(relay.answered[method] for method in methods)
        for name, relay in watched.relays.items()
    }


def write_and_read(client: Client, top: str) -> None:
    for number in range(FILES):
        path = f"{top}/{number}"
        with client.create(path) as file:
            file.write(CONTENT)
        assert client.get_file_info(path).length == len(CONTENT)
        assert read_whole(client, path) == CONTENT
        assert client.rename(path, f"{path}.moved", False) is None
        assert client.get_file_info(f"{path}.moved").length == len(CONTENT)
        with pytest.raises(FileNotFoundError):
            client.get_file_info(path)
    assert len(list(client.list_status(top, False))) == FILES


def goes_on(client: Client) -> bool:
    """hdfs-native fails the first call after its connection was lost; then it makes another."""
    try:
        client.mkdirs("/second", 0o755, True)
    except OSError as error:
        if f"{type(error).__name__}: {error}" not in LOST_CONNECTION:
            raise
        return False
    return True


def assert_only_the_observer_has_answered(
    watched: LossyCluster, before: dict[str, int], at_least: int
) -> None:
    more = {name: count - before[name] for name, count in reads(watched).items()}
    assert more.pop(OBSERVER) >= at_least
    assert set(more.values()) == {0}, more


def test_hdfs_native_reads_its_own_writes_from_the_observer_across_a_failover(
    watched: LossyCluster,
) -> None:
    client = Client("hdfs://hdfsd", config_dir=str(watched.conf))
    before = reads(watched)
    write_and_read(client, "/first")
    assert_only_the_observer_has_answered(watched, before, at_least=4 * FILES)
    with Watch(watched.cluster) as watch:
        active = watch.wait_for_active()
        watched.cluster.signal(active, signal.SIGKILL)
        watch.wait_for_active(other_than=active)
        wait_for(lambda: goes_on(client), "hdfs-native has found the next active")
        before = reads(watched)
        write_and_read(client, "/second")
        assert_only_the_observer_has_answered(watched, before, at_least=4 * FILES)
        assert len(list(client.list_status("/first", False))) == FILES
        watch.wait_for_states("ACTIVE", "STANDBY", "OBSERVER")


def test_our_command_line_reads_from_the_observer(watched: LossyCluster) -> None:
    def dfs(*words: str) -> str:
        done = watched.cluster.hdfsd("--config", str(watched.conf), "dfs", *words)
        assert done.returncode == 0, done.stderr.decode()
        return str(done.stdout.decode())

    dfs("-mkdir", "/ours")
    before = reads(watched)
    assert "/ours" in dfs("-ls", "/")
    assert_only_the_observer_has_answered(watched, before, at_least=1)


@pytest.mark.parametrize(
    ("provider", "code"), [("RequestHedgingProxyProvider", 0), ("NoSuchProvider", 1)]
)
def test_other_providers_of_the_command_line(
    watched: LossyCluster, provider: str, code: int
) -> None:
    package = "org.apache.hadoop.hdfs.server.namenode.ha"
    key = "dfs.client.failover.proxy.provider.hdfsd"
    # Data goes through hdfs-native, which knows no hedging: it asks in turn.
    done = watched.cluster.hdfsd("dfs", "-D", f"{key}={package}.{provider}", "-touchz", "/touched")
    said = done.stderr.decode()
    assert done.returncode == code, said
    if code:
        assert f"touchz: {key}='{package}.{provider}'" in said
        assert "RequestHedgingProxyProvider" in said


def test_an_address_in_place_of_a_nameservice(watched: LossyCluster) -> None:
    """IPFailoverProxyProvider: one address, which somebody else moves."""
    address = watched.cluster.wait_for_active()["rpc"]
    provider = "org.apache.hadoop.hdfs.server.namenode.ha.IPFailoverProxyProvider"
    key = f"dfs.client.failover.proxy.provider.{address.partition(':')[0]}"
    options = ("-D", f"{key}={provider}", "-D", f"fs.defaultFS=hdfs://{address}")
    for words in (("-touchz", "/by-address"), ("-ls", "/")):
        done = watched.cluster.hdfsd("dfs", *options, *words)
        assert done.returncode == 0, done.stderr.decode()
    assert "/by-address" in done.stdout.decode()
