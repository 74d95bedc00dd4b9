"""Volumes and their replicas: formatting, restarts, deletion, recovery; Hadoop's own directory."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from hdfsd.base.errors import IOFault, RecoveryInProgress, ReplicaNotFound, StorageError
from hdfsd.base.ids import Block, BlockId, GenStamp, NamespaceInfo, StorageInfo
from hdfsd.base.settings import DataDirectory
from hdfsd.datanode.replica import ReplicaState
from hdfsd.datanode.reporter import BlockStatus
from hdfsd.datanode.store import Store
from hdfsd.datanode.volume import Volume, open_volumes
from hdfsd.io.disk import RealDisk
from hdfsd.wire.checksum import ChunkChecksum
from hdfsd.wire.packets import Status

CRC = ChunkChecksum()
DATA = random.Random(2).randbytes(5000)
ID = BlockId(1073741825)
S = ReplicaState


def open_volume(path: Path, kind: str = "DISK") -> Volume:
    return Volume.open(str(path), kind, mode=0o700, reserved_bytes=0, lock=RealDisk().lock)


def namespace(
    cluster: str = "CID-1", pool: str = "BP-1-127.0.0.1-1", number: int = 42
) -> NamespaceInfo:
    return NamespaceInfo(StorageInfo(-67, number, 1_700_000_000_000, cluster), pool)


# -- directories


def test_a_new_directory_gets_hadoops_layout(lab: Any) -> None:
    node = lab.start("DISK", "SSD")
    for index in range(2):
        root = node.root / f"volume{index}"
        assert root.stat().st_mode & 0o777 == 0o700
        text = (root / "current/VERSION").read_text()
        for line in ("clusterID=CID-1", "cTime=0", "storageType=DATA_NODE", "layoutVersion=-57"):
            assert line in text.splitlines()
        pool = root / "current/BP-1-127.0.0.1-1"
        assert {p.name for p in pool.iterdir()} == {"current", "tmp"}
        assert {p.name for p in (pool / "current").iterdir()} == {"VERSION", "finalized", "rbw"}
        assert "namespaceID=42" in (pool / "current/VERSION").read_text()
    used = node.store.usage()
    assert [u.storage_type for u in used] == ["DISK", "SSD"]
    assert len({u.storage_id for u in used}) == 2
    assert all(u.capacity > 0 and u.remaining > 0 and u.used == 0 for u in used)


def test_identity_survives_a_restart(lab: Any) -> None:
    node = lab.start()
    before = (node.store.datanode_uuid, node.store.usage()[0].storage_id)
    node = lab.restart(node)
    assert (node.store.datanode_uuid, node.store.usage()[0].storage_id) == before


def test_a_directory_is_used_by_one_process(tmp_path: Path) -> None:
    disk = RealDisk()
    volume = Volume.open(str(tmp_path), "DISK", mode=0o700, reserved_bytes=0, lock=disk.lock)
    with pytest.raises(StorageError, match="in use"):
        Volume.open(str(tmp_path), "DISK", mode=0o700, reserved_bytes=0, lock=disk.lock)
    volume.close()
    Volume.open(str(tmp_path), "DISK", mode=0o700, reserved_bytes=0, lock=disk.lock).close()


@pytest.mark.parametrize(
    ("other", "cause"),
    [
        (namespace(cluster="CID-2"), "Incompatible clusterIDs"),
        (namespace(number=43), "Incompatible namespaceIDs"),
    ],
)
def test_foreign_directories_are_left_alone(lab: Any, other: NamespaceInfo, cause: str) -> None:
    node = lab.start()
    node.stop()
    before = sorted(node.root.rglob("*"))
    volume = open_volume(node.root / "volume0")
    try:
        store = Store([volume], node.news)
        with pytest.raises(StorageError, match=cause):
            asyncio.run(store.attach(other))
    finally:
        volume.close()
    assert [p for p in before if p.name != "in_use.lock" and not p.exists()] == []


def test_another_namenode_of_another_cluster_is_refused_later_too(lab: Any) -> None:
    node = lab.start()
    with pytest.raises(StorageError, match="serves block pool BP-1"):
        asyncio.run(node.store.attach(namespace(pool="BP-2-x-1")))


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("storageID=a\ndatanodeUuid=b\nclusterID=c\nlayoutVersion=-56\n", "layout version -56"),
        ("storageID=a\ndatanodeUuid=b\nclusterID=c\nlayoutVersion=x\n", "not a number"),
        ("datanodeUuid=b\nclusterID=c\nlayoutVersion=-57\n", "storageID is missing"),
        ("storageType=NAME_NODE\nlayoutVersion=-57\n", "not of a DataNode"),
        ("\x00\xff garbage", "not key=value"),
    ],
)
def test_a_bad_version_file_is_named(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "current").mkdir()
    (tmp_path / "current/VERSION").write_text(text)
    with pytest.raises(StorageError, match=cause):
        open_volume(tmp_path)


def test_directories_of_two_datanodes_do_not_mix(lab: Any, tmp_path: Path) -> None:
    first, second = lab.start(), lab.start()
    first.stop()
    second.stop()
    volumes = [open_volume(node.root / "volume0") for node in (first, second)]
    try:
        with pytest.raises(StorageError, match="different DataNodes"):
            Store(volumes, first.news)
    finally:
        for volume in volumes:
            volume.close()


@pytest.mark.parametrize(("failures_max", "usable"), [(0, False), (1, True)])
def test_failed_directories_are_tolerated_as_configured(
    tmp_path: Path, failures_max: int, usable: bool
) -> None:
    (tmp_path / "file").touch()
    directories = [
        DataDirectory(str(tmp_path / "good"), "DISK"),
        DataDirectory(str(tmp_path / "file"), "DISK"),
    ]

    def start() -> list[Volume]:
        return open_volumes(
            directories,
            mode=0o700,
            reserved_bytes=0,
            failures_max=failures_max,
            lock=RealDisk().lock,
        )

    if usable:
        (volume,) = start()
        volume.close()
    else:
        with pytest.raises(StorageError, match=r"failed\.volumes\.tolerated.*/file"):
            start()


def test_replicas_go_to_volumes_in_turn_and_to_the_type_that_was_asked_for(lab: Any) -> None:
    node = lab.start("DISK", "DISK", "SSD")
    for number in range(4):
        lab.write([node], lab.block(ID + number), b"x" * 100)
    counts = [len(node.store.replicas(u.storage_id)) for u in node.store.usage()]
    assert counts == [2, 2, 0]


def test_used_space_follows_the_replicas(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    assert node.store.usage()[0].used == 5000 + CRC.meta_bytes(5000)
    node = lab.restart(node)
    assert node.store.usage()[0].used == 5000 + CRC.meta_bytes(5000)
    asyncio.run(node.store.invalidate([lab.block()]))
    assert node.store.usage()[0].used == 0


# -- restarts


def test_finalized_replicas_are_loaded(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    node = lab.restart(node)
    replica = node.store.find(ID)
    assert (replica.state, replica.on_disk, replica.corrupt) == (S.FINALIZED, 5000, "")
    assert lab.read(node, lab.block(), 0, 5000).data == DATA


def broken_off(lab: Any) -> Any:
    """A node with a replica of 5000 bytes whose client went away."""
    node = lab.start()
    writing = lab.Writing([node], lab.block())
    writing.send(0, DATA)
    writing.ack()
    writing.stream.close()
    return node


@pytest.mark.parametrize(
    ("data_bytes", "crc_bytes", "length"),
    [
        (5000, 40, 5000),
        (4999, 40, 4608),
        (4608, 40, 4608),
        (5000, 39, 4608),
        (5000, 36, 4608),
        (100, 40, 0),
        (0, 40, 0),
        (5000, 0, 0),
        (6000, 40, 4608),
    ],
)
def test_replicas_being_written_are_cut_at_their_last_good_chunk(
    lab: Any, data_bytes: int, crc_bytes: int, length: int
) -> None:
    node = broken_off(lab)
    os.truncate(node.files("current/rbw/blk_1073741825")[0], data_bytes)
    os.truncate(node.files("current/rbw/*.meta")[0], 7 + crc_bytes)
    node = lab.restart(node)
    replica = node.store.find(ID)
    assert (replica.state, replica.on_disk) == (S.RWR, length)
    assert "not readable" in lab.read(node, lab.block(), 0, 0).reply.message


def test_a_torn_meta_header_leaves_nothing_to_use(lab: Any) -> None:
    node = broken_off(lab)
    os.truncate(node.files("current/rbw/*.meta")[0], 3)
    assert lab.restart(node).store.find(ID).on_disk == 0


@pytest.mark.parametrize("victim", ["blk_1073741825", "blk_1073741825_1001.meta"])
@pytest.mark.parametrize("change", [-1, 1])
def test_files_that_disagree_are_reported_at_start(lab: Any, victim: str, change: int) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA[:1024])
    (path,) = node.files(f"current/finalized/**/{victim}")
    os.truncate(path, path.stat().st_size + (change if victim.endswith("meta") else change * 512))
    node = lab.restart(node)
    assert [b.block_id for b, _ in node.news.corrupted] == [ID]
    assert lab.read(node, lab.block(), 0, 10).reply.status == Status.ERROR
    assert [r.block_id for u in node.store.usage() for r in node.store.replicas(u.storage_id)] == [
        ID
    ]


def test_what_is_no_replica_is_left_alone(lab: Any) -> None:
    node = lab.start()
    (subdir := node.files("current/finalized")[0] / "subdir0/subdir0").mkdir(parents=True)
    (subdir / "blk_5").write_bytes(b"no meta file")
    (subdir / "blk_6_1001.meta").write_bytes(b"no block file")
    (subdir / "notes.txt").touch()
    node = lab.restart(node)
    assert node.store.find(BlockId(5)) is None
    assert len(list(subdir.iterdir())) == 3


def test_half_copies_are_removed_at_start(lab: Any) -> None:
    node = lab.start()
    (node.files("tmp")[0] / "blk_9").write_bytes(b"half")
    assert lab.restart(node).files("tmp/*") == []


def test_a_directory_that_hadoop_wrote(lab: Any, tmp_path: Path, pytestconfig: Any) -> None:
    golden = pytestconfig.rootpath / "tests/golden/data/datanode"
    shutil.copytree(golden, tmp_path / "golden")
    volume = open_volume(tmp_path / "golden")
    try:
        info = NamespaceInfo(
            StorageInfo(-67, 1578880876, 0, "CID-bf94e1e0-c07e-4c3c-8004-04513bcef872"),
            "BP-1472208749-127.0.0.1-1795309862956",
        )
        news = lab.start().news
        store = Store([volume], news)
        asyncio.run(store.attach(info))
        replicas = store.replicas(volume.storage_id)
        assert store.datanode_uuid == "1f0091e0-b71f-402a-8de8-93438fba06f7"
        assert news.corrupted == []
        states = [r.state for r in replicas]
        assert (states.count(S.FINALIZED), states.count(S.RWR)) == (18, 1)
        for replica in replicas:
            if replica.state is not S.FINALIZED:
                continue
            snapshot = store.open_for_read(replica.block)
            snapshot.files.verify(replica.on_disk)
            snapshot.files.close()
    finally:
        volume.close()


# -- deletion


def test_deletion_frees_the_files_and_tells(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    asyncio.run(node.store.invalidate([lab.block(), lab.block(99)]))
    assert node.store.find(ID) is None
    assert not node.files("**/blk_*")
    assert node.news.seen()[-1] == (BlockStatus.DELETED, ID)


@pytest.mark.parametrize("stamp", [1000, 1002])
def test_another_generation_is_not_deleted(lab: Any, stamp: int) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    asyncio.run(node.store.invalidate([lab.block(stamp=stamp)]))
    assert lab.read(node, lab.block(), 0, 5000).data == DATA


def test_deletion_stops_the_writer(lab: Any) -> None:
    node = lab.start()
    writing = lab.Writing([node], lab.block())
    writing.send(0, DATA)
    writing.ack()
    asyncio.run(node.store.invalidate([lab.block()]))
    assert node.store.find(ID) is None
    assert not node.files("**/blk_*")
    writing.stream.close()


def test_a_new_generation_replaces_an_old_replica(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    lab.write([node], lab.block(stamp=1002), DATA[:100])
    assert lab.read(node, lab.block(stamp=1002), 0, 100).data == DATA[:100]
    assert len(node.files("**/blk_*")) == 2


# -- recovery


def recover(node: Any, block: Block, recovery_id: int) -> Any:
    return asyncio.run(node.store.start_recovery(block, GenStamp(recovery_id)))


def update(node: Any, block: Block, recovery_id: int, length: int, new_id: int = 0) -> Any:
    return asyncio.run(
        node.store.update_recovered(block, GenStamp(recovery_id), length, BlockId(new_id))
    )


@pytest.mark.parametrize("length", [0, 1, 511, 512, 700, 4608, 5000])
@pytest.mark.parametrize("finished", [True, False])
def test_recovery_cuts_the_replica(lab: Any, length: int, finished: bool) -> None:
    node = lab.start() if finished else broken_off(lab)
    if finished:
        lab.write([node], lab.block(), DATA)
    under = recover(node, lab.block(), 1003)
    assert (under.state, under.on_disk) == (S.RUR, 5000)
    assert under.original is (S.FINALIZED if finished else S.RBW)
    update(node, lab.block(size=5000), 1003, length)
    block = lab.block(stamp=1003)
    assert lab.read(node, block, 0, length).data == DATA[:length]
    assert node.news.seen()[-1] == (BlockStatus.RECEIVED, ID)
    replica = lab.restart(node).store.find(ID)
    assert (replica.state, replica.on_disk, replica.corrupt) == (S.FINALIZED, length, "")


def test_recovery_stops_a_living_writer(lab: Any) -> None:
    node = lab.start()
    writing = lab.Writing([node], lab.block())
    writing.send(0, DATA)
    writing.ack()
    assert recover(node, lab.block(), 1003).on_disk == 5000
    update(node, lab.block(size=5000), 1003, 5000)
    assert lab.read(node, lab.block(stamp=1003), 0, 5000).data == DATA
    writing.stream.close()


def test_recoveries_in_each_others_way(lab: Any) -> None:
    node = broken_off(lab)
    assert recover(node, lab.block(77), 1003) is None
    recover(node, lab.block(), 1003)
    with pytest.raises(RecoveryInProgress):
        recover(node, lab.block(), 1003)
    recover(node, lab.block(), 1004)
    with pytest.raises(IOFault, match="getRecoveryID"):
        update(node, lab.block(size=5000), 1003, 5000)
    with pytest.raises(ReplicaNotFound):
        update(node, lab.block(77), 1003, 0)


def test_a_chunk_that_is_corrupt_is_not_given_a_new_checksum(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    node.files("current/finalized/**/blk_1073741825")[0].write_bytes(bytes(5000))
    recover(node, lab.block(), 1003)
    with pytest.raises(IOFault, match="checksum of the chunk is wrong"):
        update(node, lab.block(size=5000), 1003, 700)


@pytest.mark.parametrize("length", [1, 512, 700, 5000])
def test_truncate_with_snapshots_makes_a_copy(lab: Any, length: int) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    recover(node, lab.block(), 1003)
    copy = update(node, lab.block(size=5000), 1003, length, new_id=ID + 9)
    assert (copy.block_id, copy.on_disk) == (ID + 9, length)
    assert lab.read(node, lab.block(ID + 9, 1003), 0, length).data == DATA[:length]
    assert lab.read(node, lab.block(), 0, 5000).data == DATA


def test_a_corrupt_replica_has_no_vote(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    node.store.mark_corrupt(node.store.find(ID), "test")
    with pytest.raises(IOFault, match="is corrupt: test"):
        recover(node, lab.block(), 1003)


def test_copies_on_their_way_are_not_reported(lab: Any) -> None:
    node = lab.start()
    copying = lab.Writing([node], lab.block(), client="")
    lab.write([node], lab.block(5), b"x")
    reported = node.store.replicas(node.store.usage()[0].storage_id)
    assert [r.block_id for r in reported] == [5]
    copying.stream.close()
