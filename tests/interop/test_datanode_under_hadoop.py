"""Our DataNodes under Hadoop's own NameNodes, with clients that nobody here wrote."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import google_crc32c
import hadoop
import pytest
from hdfs_native import Client, WriteOptions

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

DATANODES = 4
BLOCK_BYTES = 1 << 20
FSCK = "org.apache.hadoop.hdfs.tools.DFSck"
ABANDON = """
import sys, time
from hdfs_native import Client, WriteOptions
writer = Client("hdfs://mycluster").create("/abandoned", WriteOptions(block_size=8 << 20))
writer.write(b"m" * (3 << 20))
print("written", flush=True)
time.sleep(600)
"""


class World:
    """Two NameNodes of Hadoop's over a shared directory, and DataNodes of either kind."""

    def __init__(self, root: Path, lib: Path) -> None:
        overrides = {
            "dfs.namenode.shared.edits.dir": f"file://{root}/shared",
            "dfs.ha.automatic-failover.enabled": "false",
            "dfs.ha.tail-edits.period": "1s",
            "dfs.namenode.redundancy.interval.seconds": "1s",
            "dfs.replication": "3",
        }
        self.hadoop = hadoop.Hadoop(lib, root)
        self.cluster = hadoop.HadoopCluster(
            self.hadoop, journalnodes=0, datanodes=DATANODES, overrides=overrides
        )
        self.root = root
        self.ours: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        (self.root / "shared").mkdir()
        first, second = (self.cluster.namenode_conf(name) for name in ("nn1", "nn2"))
        self._namenode(first, "-format", "-force", "-nonInteractive")
        self.cluster.start_namenode("nn1")
        hadoop.wait_for_port(self.cluster.namenode_ports["nn1"]["rpc"])
        self._namenode(second, "-bootstrapStandby", "-force", "-nonInteractive")
        self.cluster.start_namenode("nn2")
        hadoop.wait_for_port(self.cluster.namenode_ports["nn2"]["rpc"])
        self.admin("-transitionToActive", "nn1")
        for index in range(DATANODES):
            self.start_ours(index)
        self.wait_healthy()

    def _namenode(self, conf: Path, *arguments: str) -> None:
        done = self.hadoop.run(conf, hadoop.NAMENODE, *arguments)
        assert done.returncode == 0, done.stderr.decode()[-3000:]

    def admin(self, *arguments: str) -> None:
        done = self.hadoop.run(self.cluster.conf, hadoop.HA_ADMIN, *arguments)
        assert done.returncode == 0, done.stderr.decode()[-3000:]

    def start_ours(self, index: int) -> None:
        conf = self.cluster.datanode_conf(index)
        with open(self.root / f"dn{index}.log", "ab") as log:
            self.ours[index] = subprocess.Popen(
                [sys.executable, "-m", "hdfsd.cli.main", "--config", str(conf), "datanode"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        hadoop.wait_for_port(self.cluster.datanode_ports[index][0])

    def start_hadoops(self, index: int) -> None:
        self.cluster.start_datanode(index)
        hadoop.wait_for_port(self.cluster.datanode_ports[index][0])

    def kill_ours(self, index: int, number: signal.Signals = signal.SIGKILL) -> None:
        process = self.ours.pop(index)
        process.send_signal(number)
        process.wait(30)

    def close(self) -> None:
        for index in list(self.ours):
            self.kill_ours(index)
        self.hadoop.close()

    # -- clients

    def shell(self, *arguments: str) -> bytes:
        done = self.hadoop.run(self.cluster.conf, hadoop.FS_SHELL, *arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr.decode()[-3000:]}"
        return done.stdout

    def native(self) -> Client:
        os.environ["HADOOP_CONF_DIR"] = str(self.cluster.conf)
        return Client(f"hdfs://{hadoop.NAMESERVICE}")

    def put(self, path: str, data: bytes) -> None:
        options = WriteOptions(overwrite=True, block_size=BLOCK_BYTES)
        with self.native().create(path, options) as writer:
            writer.write(data)

    def get(self, path: str) -> bytes:
        with self.native().read(path) as reader:
            return bytes(reader.read())

    def fsck(self) -> str:
        done = self.hadoop.run(self.cluster.conf, FSCK, "/")
        return done.stdout.decode()

    def wait_healthy(self) -> None:
        def healthy() -> bool:
            text = self.fsck()
            rows = {line.partition(":")[0].strip(): line for line in text.splitlines()}
            under = rows.get("Under-replicated blocks", ":\t0").split(":")[1].split()[0]
            return "Status: HEALTHY" in text and under == "0"

        wait_for("every block has all of its replicas", healthy)

    # -- what lies on the DataNodes' disks

    def files(self, index: int, pattern: str) -> list[Path]:
        return sorted((self.root / f"data/dn{index}").glob(f"current/BP-*/current/{pattern}"))

    def bytes_being_written(self) -> int:
        return min(
            (p.stat().st_size for i in range(DATANODES) for p in self.files(i, "rbw/blk_*[0-9]")),
            default=0,
        )

    def replicas(self, index: int) -> list[Path]:
        found = self.files(index, "finalized/**/blk_*")
        return [path for path in found if path.suffix != ".meta"]


def wait_for(what: str, holds: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, hadoop_lib: Path) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("datanodes"), hadoop_lib)
    try:
        world.start()
        yield world
    finally:
        world.close()


def noise(count: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(count)


@pytest.mark.parametrize(
    "size", [0, 1, 511, 512, 513, 64512, 64513, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5_000_000]
)
def test_native_client_reads_what_it_wrote(world: World, size: int) -> None:
    data = noise(size)
    world.put(f"/native{size}", data)
    assert world.get(f"/native{size}") == data
    with world.native().read(f"/native{size}") as reader:
        for offset, count in ((0, 1), (600, 100), (511, 2), (size // 2, 3000), (size - 5, 5)):
            if offset >= 0 and offset + count <= size:
                assert bytes(reader.read_range(offset, count)) == data[offset : offset + count]


def test_java_shell_appends_checksums_and_truncates(world: World, tmp_path: Path) -> None:
    data = noise(300_000)
    head, middle = tmp_path / "head", tmp_path / "middle"
    head.write_bytes(data)
    middle.write_bytes(data[:1000])
    world.shell("-put", str(head), "/java")
    world.shell("-appendToFile", str(middle), "/java")
    world.shell("-appendToFile", str(middle), str(head), "/java")
    whole = data + data[:1000] * 2 + data
    assert world.shell("-cat", "/java") == whole
    assert world.shell("-tail", "/java") == whole[-1024:]
    composite = world.shell("-D", "dfs.checksum.combine.mode=COMPOSITE_CRC", "-checksum", "/java")
    assert composite.split()[-1].decode() == f"{google_crc32c.value(whole):08x}"
    assert b"MD5-of-0MD5-of-512CRC32C" in world.shell("-checksum", "/java")
    world.shell("-truncate", "-w", "300700", "/java")
    assert world.shell("-cat", "/java") == whole[:300_700]


def test_write_goes_on_when_a_node_of_the_pipeline_dies(world: World) -> None:
    data = noise(6 << 20, seed=2)
    options = WriteOptions(overwrite=True, block_size=16 << 20)
    with world.native().create("/killed", options) as writer:
        writer.write(data[: 3 << 20])
        wait_for("a pipeline", lambda: any(world.files(i, "rbw/blk_*") for i in range(DATANODES)))
        victim = next(i for i in range(DATANODES) if world.files(i, "rbw/blk_*"))
        world.kill_ours(victim)
        writer.write(data[3 << 20 :])
    assert world.get("/killed") == data
    world.wait_healthy()
    world.start_ours(victim)
    assert world.get("/killed") == data


def test_lost_replicas_are_copied_by_order_of_the_namenode(world: World) -> None:
    world.put("/copied", noise(2_500_000, seed=3))
    world.wait_healthy()
    victim = next(i for i in range(DATANODES) if world.replicas(i))
    world.kill_ours(victim)
    others = [i for i in range(DATANODES) if i != victim]
    before = sum(len(world.replicas(i)) for i in others)
    wait_for(
        "copies on the other nodes", lambda: sum(len(world.replicas(i)) for i in others) > before
    )
    world.wait_healthy()
    world.start_ours(victim)


def test_abandoned_file_is_recovered(world: World) -> None:
    environment = {**os.environ, "HADOOP_CONF_DIR": str(world.cluster.conf)}
    with subprocess.Popen(
        [sys.executable, "-c", ABANDON], stdout=subprocess.PIPE, env=environment
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        wait_for("data on its way", lambda: world.bytes_being_written() > 1 << 20)
        writer.kill()
    wait_for("lease recovery", lambda: bool(world.native().recover_lease("/abandoned")))
    found = world.get("/abandoned")
    # Whole packets that had left the client; what was never flushed was never promised.
    assert found == b"m" * len(found)
    assert found


def test_corrupt_replica_is_noticed_and_replaced(world: World) -> None:
    data = noise(700_000, seed=4)
    world.put("/corrupted", data)
    world.wait_healthy()
    holders = {
        i: [p for p in world.replicas(i) if p.read_bytes() == data] for i in range(DATANODES)
    }
    victim = next(i for i, found in holders.items() if found)
    path = holders[victim][0]
    os.truncate(path, 1000)
    wait_for("a read through the broken replica", lambda: _read_everywhere(world, data, path))
    assert world.get("/corrupted") == data


def _read_everywhere(world: World, data: bytes, path: Path) -> bool:
    assert world.shell("-cat", "/corrupted") == data
    return not path.exists() or path.stat().st_size == len(data)


def test_either_datanode_opens_the_directory_of_the_other(world: World) -> None:
    data = noise(2_000_000, seed=5)
    world.put("/ours", data)
    for index in range(DATANODES):
        world.kill_ours(index, signal.SIGTERM)
        world.start_hadoops(index)
        if index == 1:
            world.wait_healthy()
            _write_through_both_kinds(world)
    world.wait_healthy()
    assert world.shell("-cat", "/ours") == data
    world.put("/hadoops", data)
    for index in range(DATANODES):
        world.hadoop.stop(f"dn{index}")
        world.start_ours(index)
    world.wait_healthy()
    assert world.get("/hadoops") == data
    assert world.get("/ours") == data


def _write_through_both_kinds(world: World) -> None:
    """Two nodes of either kind: every pipeline of three has both, in any order."""
    for seed in range(6):
        data = noise(1_500_000, seed)
        world.put(f"/mixed{seed}", data)
        assert world.get(f"/mixed{seed}") == data
        assert world.shell("-cat", f"/mixed{seed}") == data


def test_the_new_active_namenode_is_obeyed(world: World) -> None:
    data = noise(500_000, seed=6)
    world.put("/failover", data)
    world.admin("-transitionToStandby", "nn1")
    world.admin("-transitionToActive", "nn2")
    assert world.get("/failover") == data
    world.put("/after", data)
    assert world.get("/after") == data
    before = sum(len(world.replicas(i)) for i in range(DATANODES))
    world.shell("-rm", "-skipTrash", "/failover")
    wait_for(
        "its replicas are deleted",
        lambda: sum(len(world.replicas(i)) for i in range(DATANODES)) <= before - 3,
    )
