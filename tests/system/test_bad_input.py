"""Anything may come from outside: daemons live, the cluster serves, nothing is lost (P9)."""

from __future__ import annotations

import os
import random
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hdfs_native import WriteOptions
from witnesses import (
    HOST,
    ask_active,
    client_of,
    processes_in,
    read_whole,
    record_of,
    replica_files,
    wait_for,
    wait_for_replicas,
)

from hdfsd.base.errors import RemoteFault
from hdfsd.rpc.connection import ClientConnection
from hdfsd.wire.messages import client_namenode, data_transfer, qjournal
from hdfsd.wire.packets import Op, operation
from hdfsd.wire.services import CLIENT_PROTOCOL, PROTOCOLS, QJOURNAL_PROTOCOL

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

CLIENT_ID = bytes(range(16))
TARGETS = ("nn1 rpc", "nn2 rpc", "jn1 rpc", "dn1 data", "dn1 rpc", "zkfc1 rpc")
CONTENT = random.Random(0).randbytes(3_000_000)


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., Any]) -> Any:
    """With a file that must survive all of it."""
    # As with Hadoop, a corrupt replica is deleted once there are enough good ones: elsewhere.
    made = start_cluster("--datanodes", "5")
    with client_of(made).create("/precious", WriteOptions(block_size=1 << 20)) as target:
        target.write(CONTENT)
    return made


@pytest.fixture(autouse=True)
def _unharmed(cluster: Any) -> Iterator[None]:
    """Whatever a test sends, no daemon ends and the cluster reads and writes."""
    before = record_of(cluster).running
    yield
    assert record_of(cluster).running == before
    client = client_of(cluster)
    client.mkdirs("/unharmed", 0o755, True)
    assert client.delete("/unharmed", True)
    assert read_whole(client, "/precious") == CONTENT


def send(cluster: Any, target: str, *parts: bytes) -> bytes:
    """All that the daemon answers until it hangs up; we end our side after the last byte."""
    daemon, _, name = target.partition(" ")
    port = record_of(cluster).plan.find(daemon).ports[name]
    answer = b""
    with socket.create_connection((HOST, port), timeout=30) as connected:
        try:
            for part in parts:
                connected.sendall(part)
            connected.shutdown(socket.SHUT_WR)
            while data := connected.recv(1 << 16):
                answer += data
        except TimeoutError:
            raise
        except OSError:
            pass  # It hung up before it had read everything.
    return answer


def opening(protocol: str = CLIENT_PROTOCOL) -> bytes:
    return ClientConnection(CLIENT_ID).opening(protocol, "root", None)


def call(method: str, request: Any, protocol: str = CLIENT_PROTOCOL) -> bytes:
    method_of = PROTOCOLS[protocol].methods[method]
    payload = request.SerializeToString()
    return ClientConnection(CLIENT_ID).request(method_of, payload, call_id=0)


def mkdirs(path: str) -> Any:
    request = client_namenode.MkdirsRequestProto(src=path, createParent=True)
    request.masked.perm = 0o755
    return request


@pytest.mark.parametrize("target", TARGETS)
def test_random_bytes(cluster: Any, target: str) -> None:
    dice = random.Random(target)
    starts = (b"", b"hrpc", b"hrpc\x09\x00\x00", b"\x00\x1c\x51", b"\x00\x1c\x50", opening())
    for number in range(60):
        send(cluster, target, dice.choice(starts), dice.randbytes(dice.choice((1, 7, 100, 5000))))
        if number % 10 == 0:
            send(cluster, target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("length", [0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0])
def test_absurd_lengths(cluster: Any, target: str, length: int) -> None:
    frame = length.to_bytes(4, "big") + b"x" * 100
    send(cluster, target, b"hrpc\x09\x00\x00", frame)
    send(cluster, target, opening(), frame)
    varint = b"\xff\xff\xff\xff\x07"
    send(cluster, target, b"\x00\x1c\x51" + varint + b"x" * 100)
    send(cluster, target, b"\x00\x1c\x50" + varint)


def test_a_namenode_request_cut_at_every_byte(cluster: Any) -> None:
    active = cluster.wait_for_active()["id"]
    whole = opening() + call("mkdirs", mkdirs("/cut-in-half"))
    for length in range(len(whole)):
        send(cluster, f"{active} rpc", whole[:length])
    names = [row.path for row in client_of(cluster).list_status("/", False)]
    assert "/cut-in-half" not in names
    assert not any(name.startswith("/cut") for name in names)
    ask_active(cluster, "mkdirs", mkdirs("/cut-in-half"))
    assert client_of(cluster).get_file_info("/cut-in-half").isdir


def test_a_journalnode_request_cut_at_every_byte(cluster: Any) -> None:
    request = qjournal.NewEpochRequestProto(epoch=1)
    request.jid.identifier = "hdfsd"
    request.nsInfo.buildVersion = "x"
    request.nsInfo.unused = 0
    request.nsInfo.blockPoolID = "BP-1"
    request.nsInfo.softwareVersion = "x"
    storage = request.nsInfo.storageInfo
    storage.layoutVersion, storage.namespceID, storage.clusterID, storage.cTime = 0, 1, "x", 0
    whole = opening(QJOURNAL_PROTOCOL) + call("newEpoch", request, QJOURNAL_PROTOCOL)
    for length in range(len(whole) + 1):
        send(cluster, "jn2 rpc", whole[:length])


def test_a_datanode_request_cut_at_every_byte(cluster: Any) -> None:
    block = wait_for_replicas(cluster, "/precious", 3)[0]
    daemon = min(replica_files(cluster, block.b.blockId))
    whole = read_request(block)
    for length in range(len(whole)):
        send(cluster, f"{daemon} data", whole[:length])
    assert len(send(cluster, f"{daemon} data", whole)) > block.b.numBytes


def read_request(block: Any) -> bytes:
    request = data_transfer.OpReadBlockProto(offset=0, len=block.b.numBytes)
    request.header.baseHeader.block.CopyFrom(block.b)
    request.header.clientName = "reader"
    return operation(Op.READ_BLOCK, request)


def test_unknown_protocol_and_method(cluster: Any) -> None:
    for target in ("nn1 rpc", "nn2 rpc", "jn1 rpc", "dn1 rpc", "zkfc1 rpc"):
        whole = call("mkdirs", mkdirs("/x"))
        answer = send(cluster, target, opening("no.such.Protocol") + whole)
        if not target.startswith("nn"):
            assert b"RpcNoSuchProtocolException" in answer, answer
        unknown = whole.replace(b"mkdirs", b"mkdirz")
        assert b"RpcNoSuch" in send(cluster, target, opening() + unknown)
        nobody = whole.replace(b"ClientProtocol", b"ClientProtocoz")
        assert b"RpcNoSuchProtocolException" in send(cluster, target, opening() + nobody)


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("relative", "InvalidPath"),
        ("", "from an empty string"),
        ("/a/../b", "InvalidPath"),
        ("/a/./b", "InvalidPath"),
        ("/a//b", "InvalidPath"),
        ("/a:b", "InvalidPath"),
        ("/d" * 10_000, "Pathname too long"),
        ("/d" * 1_001, "Pathname too long"),
        ("/" + "x" * 256, "component name"),
        ("/" + "x" * 100_000, "Pathname too long"),
    ],
)
def test_paths_that_can_not_be(cluster: Any, path: str, refusal: str) -> None:
    with pytest.raises(RemoteFault) as told:
        ask_active(cluster, "mkdirs", mkdirs(path))
    assert refusal in f"{told.value!r} {told.value}"


@pytest.mark.parametrize(
    "name", ["a\nb", "tab\t", "\x01\x7f", "nul\0", "\u202e\ufeff", "\U0001f600", " "]
)
def test_odd_names_are_names(cluster: Any, name: str) -> None:
    ask_active(cluster, "mkdirs", mkdirs(f"/odd/{name}/below"))
    assert f"/odd/{name}" in [row.path for row in client_of(cluster).list_status("/odd", False)]


def test_a_block_file_shorter_than_its_meta(cluster: Any) -> None:
    path, data = "/short", random.Random(1).randbytes(200_000)
    client = client_of(cluster)
    with client.create(path) as target:
        target.write(data)
    block = wait_for_replicas(cluster, path, 3)[0]
    block_id = block.b.blockId
    files = replica_files(cluster, block_id)
    assert len(files) == 3
    broken = sorted(files)[:2]
    for daemon in broken:
        with files[daemon].open("r+b") as file:
            file.truncate(100_001)
    for _ in range(10):
        assert read_whole(client_of(cluster), path) == data
    for daemon in broken:
        assert data[:1000] not in send(cluster, f"{daemon} data", read_request(block))
    # Found and told, they are made anew from the good one.
    wait_for(
        lambda: (
            read_whole(client_of(cluster), path) == data
            and all(
                file.stat().st_size == len(data)
                for file in replica_files(cluster, block_id).values()
            )
            and len(replica_files(cluster, block_id)) == 3
        ),
        "three whole replicas",
    )
    wait_for_replicas(cluster, path, 3)


def test_bytes_changed_on_a_disk_are_never_served(cluster: Any) -> None:
    path, data = "/rotten", random.Random(2).randbytes(200_000)
    client = client_of(cluster)
    with client.create(path) as target:
        target.write(data)
    block_id = wait_for_replicas(cluster, path, 3)[0].b.blockId
    for file in list(replica_files(cluster, block_id).values())[:2]:
        spoilt = bytearray(file.read_bytes())
        spoilt[150_000] ^= 1
        file.write_bytes(spoilt)
    for _ in range(10):
        assert read_whole(client_of(cluster), path) == data


class TestStoredFiles:
    """Files that were damaged while their daemons were down."""

    @pytest.fixture
    def _unharmed(self) -> None:
        """Here daemons end on purpose."""

    @pytest.fixture
    def cluster(self, start_cluster: Callable[..., Any]) -> Any:
        return start_cluster("--datanodes", "1")

    def test_an_image_that_is_not_what_was_written(self, cluster: Any) -> None:
        client_of(cluster).mkdirs("/kept", 0o755, True)
        cluster.down()
        image = Path(record_of(cluster).plan.find("nn1").dirs[0], "current/fsimage_" + "0" * 19)
        good = image.read_bytes()
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 0x40
        image.write_bytes(bad)
        refused = cluster.command("up")
        assert refused.returncode == 1
        told = refused.stderr.decode()
        assert str(image) in told
        assert "MD5" in told.upper()
        assert image.read_bytes() == bad, "what is wrong is left for its owner to look at"
        image.write_bytes(good)
        cluster.up()
        assert client_of(cluster).get_file_info("/kept").isdir

    @pytest.mark.parametrize("damage", ["cut", "garbage"])
    def test_a_torn_tail_of_the_edits(self, cluster: Any, damage: str) -> None:
        client = client_of(cluster)
        for number in range(30):
            client.mkdirs(f"/kept/{number}", 0o755, True)
        for pid in processes_in(cluster.directory):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not processes_in(cluster.directory), "the end of all processes")
        # One JournalNode of three, and the local copies of both NameNodes.
        plan = record_of(cluster).plan
        torn = [
            path
            for daemon in ("jn1", "nn1", "nn2")
            for path in Path(plan.find(daemon).dirs[0]).rglob("edits_inprogress_*")
        ]
        assert torn
        for path in torn:
            tear(path, damage)
        cluster.up()
        names = [row.path for row in client_of(cluster).list_status("/kept", False)]
        assert sorted(names) == sorted(f"/kept/{number}" for number in range(30))


def tear(path: Path, damage: str) -> None:
    data = path.read_bytes()
    content = data.rstrip(b"\xff").rstrip(b"\0")
    if damage == "cut":
        path.write_bytes(content[:-5])
    else:
        path.write_bytes(content + random.Random(3).randbytes(300))
