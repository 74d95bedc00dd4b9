"""The data port from outside: every operation over real sockets, three nodes in one process."""

from __future__ import annotations

import os
import random
import socket
import struct
from typing import Any

import pytest

from hdfsd.base.errors import LinkError
from hdfsd.datanode.replica import ReplicaState
from hdfsd.datanode.reporter import BlockStatus
from hdfsd.datanode.store import Writer
from hdfsd.wire.checksum import ChecksumType, ChunkChecksum, block_md5
from hdfsd.wire.messages import data_transfer, hdfs
from hdfsd.wire.packets import Op, Stage, Status, operation, packet_header

CRC = ChunkChecksum()
DATA = random.Random(1).randbytes(300_000)
SIZES = [0, 1, 511, 512, 513, 64512, 64513, 300_000]
ID = 1073741825


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 3])
def test_a_block_is_the_same_on_every_node(lab: Any, size: int, count: int) -> None:
    nodes = [lab.start() for _ in range(count)]
    lab.write(nodes, lab.block(), DATA[:size])
    for node in nodes:
        node.news.wait_for(BlockStatus.RECEIVED, ID)
        (path,) = node.files("current/finalized/subdir0/subdir0/blk_1073741825")
        assert path.read_bytes() == DATA[:size]
        meta = path.with_name("blk_1073741825_1001.meta").read_bytes()
        assert meta == CRC.meta_header() + CRC.crcs(DATA[:size])
        assert lab.read(node, lab.block(), 0, size).data == DATA[:size]
        assert node.news.seen()[0] == (BlockStatus.RECEIVING, ID)


@pytest.mark.parametrize(
    ("offset", "length", "start", "end"),
    [(0, 1, 0, 512), (600, 100, 512, 1024), (511, 2, 0, 1024), (299_999, 1, 299_520, 300_000)],
)
@pytest.mark.parametrize("with_checksums", [True, False])
def test_ranges_are_whole_chunks(
    lab: Any, offset: int, length: int, start: int, end: int, with_checksums: bool
) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    found = lab.read(node, lab.block(), offset, length, with_checksums=with_checksums)
    assert (found.start, found.data) == (start, DATA[start:end])
    assert found.crcs == (CRC.crcs(DATA[start:end]) if with_checksums else b"")


def test_large_blocks_are_read_in_several_packets(lab: Any) -> None:
    node, data = lab.start(), DATA * 12
    lab.write([node], lab.block(), data)
    assert lab.read(node, lab.block(), 0, len(data)).data == data


def test_one_connection_serves_many_reads(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    stream = node.connect()
    for offset in range(0, 3000, 600):
        found = lab.read(node, lab.block(), offset, 600, stream=stream)
        assert found.data[offset - found.start :][:600] == DATA[offset : offset + 600]
    stream.close()


@pytest.mark.parametrize(
    ("offset", "length", "stamp", "block_id", "cause"),
    [
        (0, 300_001, 1001, ID, "don't match block"),
        (300_001, 0, 1001, ID, "don't match block"),
        (0, 1, 1002, ID, "getGenerationStamp"),
        (0, 1, 1001, 5, "ReplicaNotFoundException|Replica not found"),
    ],
)
def test_refused_reads_say_why(
    lab: Any, offset: int, length: int, stamp: int, block_id: int, cause: str
) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    reply = lab.read(node, lab.block(block_id, stamp), offset, length).reply
    assert reply.status == Status.ERROR
    assert any(word in reply.message for word in cause.split("|")), reply.message


def test_an_older_stamp_may_be_read(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    assert lab.read(node, lab.block(stamp=1000), 0, 10).data == DATA[:512]


# -- while a block is being written


def test_readers_see_what_was_acknowledged(lab: Any) -> None:
    nodes = [lab.start() for _ in range(2)]
    writing = lab.Writing(nodes, lab.block())
    writing.send(0, DATA[:700], sync=True)
    assert writing.ack() == (0, [0, 0])
    for node in nodes:
        assert node.store.find(ID).visible == 700
        assert lab.read(node, lab.block(), 0, 700).data == DATA[:700]
    writing.send(512, DATA[512:1300])
    assert writing.ack() == (1, [0, 0])
    for node in nodes:
        assert lab.read(node, lab.block(), 0, 1300).data == DATA[:1300]
    writing.finish(1300)
    assert lab.read(nodes[0], lab.block(), 0, 1300).data == DATA[:1300]


def test_heartbeats_are_acknowledged(lab: Any) -> None:
    nodes = [lab.start() for _ in range(2)]
    writing = lab.Writing(nodes, lab.block())
    header = packet_header(offset=0, seqno=-1, data_bytes=0, crcs_bytes=0, last=False)
    writing.stream.send(header)
    assert writing.ack() == (-1, [0, 0])
    writing.finish(0)


def test_a_client_may_close_its_side_after_the_last_packet(lab: Any) -> None:
    nodes = [lab.start() for _ in range(3)]
    writing = lab.Writing(nodes, lab.block())
    writing.send(0, DATA[:1000])
    writing.send(1000, b"", last=True)
    with socket.socket(fileno=os.dup(writing.stream.fileno())) as same:
        same.shutdown(socket.SHUT_WR)
    assert [writing.ack() for _ in range(2)] == [(0, [0, 0, 0]), (1, [0, 0, 0])]


def test_tiny_packets_byte_by_byte(lab: Any) -> None:
    nodes = [lab.start() for _ in range(2)]
    writing = lab.Writing(nodes, lab.block())
    header = packet_header(offset=0, seqno=0, data_bytes=20, crcs_bytes=4, last=False)
    for byte in header + CRC.crcs(DATA[:20]) + DATA[:20]:
        writing.stream.send(bytes([byte]))
    writing.seqno = 1
    assert writing.ack() == (0, [0, 0])
    writing.finish(20)
    assert lab.read(nodes[1], lab.block(), 0, 20).data == DATA[:20]


def test_packets_larger_than_the_buffer(lab: Any) -> None:
    nodes, data = [lab.start() for _ in range(2)], DATA * 10
    lab.write(nodes, lab.block(), data, packet_bytes=len(data))
    assert lab.read(nodes[1], lab.block(), 0, len(data)).data == data


def test_the_last_node_refuses_corrupt_data(lab: Any) -> None:
    nodes = [lab.start() for _ in range(2)]
    writing = lab.Writing(nodes, lab.block())
    writing.send(0, DATA[:1000], crcs=b"\0" * 8)
    with pytest.raises(LinkError):
        # The middle node leaves: it can't know whether the client or itself is to blame.
        writing.ack()
    assert nodes[1].store.find(ID).visible == 0


def test_a_single_node_says_that_the_data_is_corrupt(lab: Any) -> None:
    node = lab.start()
    writing = lab.Writing([node], lab.block())
    writing.send(0, DATA[:1000], crcs=b"\0" * 8)
    assert writing.ack() == (0, [Status.ERROR_CHECKSUM])
    writing.stream.close()


def test_a_lost_node_behind_is_told(lab: Any) -> None:
    nodes = [lab.start() for _ in range(3)]
    writing = lab.Writing(nodes, lab.block())
    writing.send(0, DATA[:1000])
    assert writing.ack() == (0, [0, 0, 0])
    nodes[2].server.stop()
    writing.send(1000, DATA[1000:2000])
    seqno, statuses = writing.ack()
    assert (seqno, statuses) == (1, [0, 0, Status.ERROR])
    writing.stream.close()
    assert [n.store.find(ID).visible for n in nodes[:2]] == [1000, 1000]


def test_a_node_that_can_not_be_reached_is_named_at_set_up(lab: Any) -> None:
    first, second = lab.start(), lab.start()
    second.server.stop()
    writing = lab.Writing([first, second], lab.block())
    assert writing.reply.status == Status.ERROR
    assert writing.reply.firstBadLink == str(second.address)


def test_a_node_that_refuses_is_named_at_set_up(lab: Any) -> None:
    nodes = [lab.start() for _ in range(3)]
    lab.write([nodes[1]], lab.block(), DATA[:10])
    writing = lab.Writing(nodes, lab.block())
    assert writing.reply.status == Status.ERROR
    assert writing.reply.firstBadLink == str(nodes[1].address)


def test_no_room_is_a_clear_error_and_the_node_lives(lab: Any) -> None:
    node = lab.start()
    writing = lab.Writing([node], lab.block(size=1 << 60))
    assert writing.reply.status == Status.ERROR
    assert "Out of space" in writing.reply.message
    lab.write([node], lab.block(6), DATA)
    assert node.store.find(ID) is None


def test_a_full_disk_ends_the_write_and_frees_what_nobody_was_promised(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [lab.start(), lab.start()]
    writing = lab.Writing(nodes, lab.block())
    real = os.pwritev

    def full(descriptor: int, parts: Any, offset: int) -> int:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if "/dn1/" in path:
            raise OSError(28, "No space left on device", path)
        return real(descriptor, parts, offset)

    monkeypatch.setattr(os, "pwritev", full)
    writing.send(0, DATA[:1000])
    assert writing.ack() == (0, [0, Status.ERROR])
    writing.stream.close()
    monkeypatch.undo()
    lab.write(nodes, lab.block(6), DATA[:1000])
    assert not nodes[1].files("current/rbw/blk_1073741825*")


# -- pipelines that are rebuilt, appends, copies


def test_a_rebuilt_pipeline_goes_on_at_what_was_acknowledged(lab: Any) -> None:
    nodes = [lab.start() for _ in range(2)]
    first = lab.Writing(nodes, lab.block())
    first.send(0, DATA[:1000])
    first.ack()
    first.stream.close()
    second = lab.Writing(
        nodes,
        lab.block(),
        stage=Stage.PIPELINE_SETUP_STREAMING_RECOVERY,
        new_stamp=1002,
        bytes_min=1000,
        bytes_max=5000,
    )
    assert second.reply.status == Status.SUCCESS, second.reply
    second.send(512, DATA[512:2000])
    second.finish(2000)
    for node in nodes:
        replica = node.store.find(ID)
        assert (replica.gen_stamp, replica.state) == (1002, ReplicaState.FINALIZED)
        assert lab.read(node, lab.block(stamp=1002), 0, 2000).data == DATA[:2000]


def test_a_second_writer_takes_over_from_a_silent_one(lab: Any) -> None:
    node = lab.start()
    silent = lab.Writing([node], lab.block())
    silent.send(0, DATA[:1000])
    silent.ack()
    second = lab.Writing(
        [node],
        lab.block(),
        stage=Stage.PIPELINE_SETUP_STREAMING_RECOVERY,
        new_stamp=1002,
        bytes_max=5000,
    )
    assert second.reply.status == Status.SUCCESS, second.reply
    second.finish(1000)
    with pytest.raises(LinkError):
        silent.ack()


@pytest.mark.parametrize("length", [0, 1, 512, 700, 64512])
@pytest.mark.parametrize("piece", [1, 100, 512, 5000])
def test_append_fills_the_last_chunk_first(lab: Any, length: int, piece: int) -> None:
    nodes = [lab.start() for _ in range(2)]
    lab.write(nodes, lab.block(), DATA[:length])
    appending = lab.Writing(
        nodes,
        lab.block(),
        stage=Stage.PIPELINE_SETUP_APPEND,
        new_stamp=1002,
        bytes_min=length,
    )
    assert appending.reply.status == Status.SUCCESS, appending.reply
    head = min(-length % 512, piece)
    if head:
        appending.send(length, DATA[length : length + head])
    if piece > head:
        appending.send(length + head, DATA[length + head : length + piece])
    appending.finish(length + piece)
    for node in nodes:
        node.news.wait_for(BlockStatus.RECEIVED, ID)
        found = lab.read(node, lab.block(stamp=1002), 0, length + piece)
        assert found.data == DATA[: length + piece]


def test_append_with_another_kind_of_checksum(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA[:700])
    appending = lab.Writing(
        [node],
        lab.block(),
        stage=Stage.PIPELINE_SETUP_APPEND,
        new_stamp=1002,
        bytes_min=700,
        checksum=ChunkChecksum(ChecksumType.CRC32, 1024),
    )
    appending.send(700, DATA[700:5000])
    appending.finish(5000)
    assert lab.read(node, lab.block(stamp=1002), 0, 5000).data == DATA[:5000]


def test_append_to_a_corrupt_chunk_is_noticed(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA[:700])
    (path,) = node.files("current/finalized/**/blk_1073741825")
    path.write_bytes(bytes(700))
    appending = lab.Writing(
        [node], lab.block(), stage=Stage.PIPELINE_SETUP_APPEND, new_stamp=1002, bytes_min=700
    )
    appending.send(700, DATA[700:800])
    with pytest.raises(LinkError):
        appending.ack()


def test_the_close_of_a_pipeline_is_recovered(lab: Any) -> None:
    nodes = [lab.start() for _ in range(2)]
    writing = lab.Writing(nodes, lab.block())
    writing.send(0, DATA[:1000])
    writing.ack()
    writing.stream.close()
    lab.write(nodes[1:], lab.block(9), b"x")
    closing = lab.Writing(
        nodes,
        lab.block(),
        stage=Stage.PIPELINE_CLOSE_RECOVERY,
        new_stamp=1002,
        bytes_min=1000,
        bytes_max=1000,
    )
    assert closing.reply.status == Status.SUCCESS
    for node in nodes:
        node.news.wait_for(BlockStatus.RECEIVED, ID)
        assert lab.read(node, lab.block(stamp=1002), 0, 1000).data == DATA[:1000]


def test_copies_are_made_by_order_of_a_namenode(lab: Any) -> None:
    nodes = [lab.start() for _ in range(3)]
    lab.write(nodes[:1], lab.block(), DATA)
    targets = [n.target for n in nodes[1:]]
    nodes[0].server.copy(lab.block(size=len(DATA)), targets, [1, 1], ["", ""])
    for node in nodes[1:]:
        node.news.wait_for(BlockStatus.RECEIVED, ID)
        assert lab.read(node, lab.block(), 0, len(DATA)).data == DATA
        assert not node.files("tmp/*")


def test_a_corrupt_copy_is_refused_and_leaves_nothing(lab: Any) -> None:
    nodes = [lab.start() for _ in range(2)]
    lab.write(nodes[:1], lab.block(), DATA)
    (path,) = nodes[0].files("current/finalized/**/blk_1073741825")
    path.write_bytes(bytes(len(DATA)))
    received = lab.Writing(nodes[1:], lab.block(), client="")
    received.send(0, bytes(1000), crcs=CRC.crcs(DATA[:1000]))
    with pytest.raises(LinkError):
        received.ack()
    assert not nodes[1].files("tmp/*")
    assert nodes[1].store.find(ID) is None


def test_a_replica_shorter_than_the_namenode_believes_is_not_copied(lab: Any) -> None:
    nodes = [lab.start() for _ in range(2)]
    lab.write(nodes[:1], lab.block(), DATA[:100])
    nodes[0].server.copy(lab.block(size=101), [nodes[1].target], [1], [""])
    nodes[0].news.wait(lambda: nodes[0].news.corrupted)
    assert "100 bytes, the NameNode has 101" in nodes[0].news.corrupted[0][1]


@pytest.mark.parametrize("finished", [True, False])
def test_a_client_has_its_replica_copied_to_a_new_node(lab: Any, finished: bool) -> None:
    first, second = lab.start(), lab.start()
    writing = lab.Writing([first], lab.block())
    writing.send(0, DATA[:1000])
    writing.ack()
    if finished:
        writing.finish(1000)
    request = data_transfer.OpTransferBlockProto(targets=[second.target])
    request.header.baseHeader.CopyFrom(lab.base_header(lab.block()))
    request.header.clientName = "client"
    stream = first.connect()
    stream.send(operation(Op.TRANSFER_BLOCK, request))
    assert stream.message(data_transfer.BlockOpResponseProto).status == Status.SUCCESS
    stream.close()
    replica = second.store.find(ID)
    assert replica.state is (ReplicaState.FINALIZED if finished else ReplicaState.RBW)
    assert replica.visible == 1000
    assert lab.read(second, lab.block(), 0, 1000).data == DATA[:1000]


def test_the_balancer_moves_a_replica(lab: Any) -> None:
    source, target = lab.start(), lab.start()
    lab.write([source], lab.block(), DATA)
    request = data_transfer.OpReplaceBlockProto(
        header=lab.base_header(lab.block()), delHint="old", source=source.target
    )
    stream = target.connect()
    stream.send(operation(Op.REPLACE_BLOCK, request))
    assert stream.message(data_transfer.BlockOpResponseProto).status == Status.SUCCESS
    stream.close()
    assert lab.read(target, lab.block(), 0, len(DATA)).data == DATA
    assert target.news.changes[-1].delete_hint == "old"


# -- checksums of blocks


@pytest.mark.parametrize("wanted", [0, 1, 512, 700, 300_000])
@pytest.mark.parametrize("composite", [True, False])
def test_block_checksums(lab: Any, wanted: int, composite: bool) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    request = data_transfer.OpBlockChecksumProto()
    request.header.CopyFrom(lab.base_header(lab.block(size=wanted)))
    kinds = hdfs.BlockChecksumTypeProto
    request.blockChecksumOptions.blockChecksumType = (
        kinds.COMPOSITE_CRC if composite else kinds.MD5CRC
    )
    stream = node.connect()
    stream.send(operation(Op.BLOCK_CHECKSUM, request))
    reply = stream.message(data_transfer.BlockOpResponseProto).checksumResponse
    stream.close()
    data = DATA[:wanted] if wanted else DATA
    expected = CRC.crc(data).to_bytes(4, "big") if composite else block_md5(CRC.crcs(data))
    assert reply.blockChecksum == expected
    assert (reply.bytesPerCrc, reply.crcPerBlock) == (512, CRC.chunk_count(len(data)))


# -- corruption


@pytest.mark.parametrize("victim", ["blk_1073741825", "blk_1073741825_1001.meta"])
def test_a_file_that_got_shorter_is_reported_and_never_served(lab: Any, victim: str) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    (path,) = node.files(f"current/finalized/**/{victim}")
    os.truncate(path, path.stat().st_size - 1)
    for _ in range(2):
        reply = lab.read(node, lab.block(), 0, 10).reply
        assert reply.status == Status.ERROR
        assert "CorruptData" in reply.message
    assert len(node.news.corrupted) == 1


def test_a_missing_file_is_reported(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    node.files("current/finalized/**/blk_1073741825")[0].unlink()
    assert "missing" in lab.read(node, lab.block(), 0, 10).reply.message
    assert len(node.news.corrupted) == 1


def test_a_client_that_found_a_bad_checksum_makes_us_look(lab: Any) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA)
    lab.read(node, lab.block(), 0, 10, status=Status.ERROR_CHECKSUM)
    (path,) = node.files("current/finalized/**/blk_1073741825")
    with path.open("r+b") as file:
        file.seek(200_000)
        file.write(bytes(10))
    lab.read(node, lab.block(), 0, 10, status=Status.ERROR_CHECKSUM)
    node.news.wait(lambda: node.news.corrupted)
    assert len(node.news.corrupted) == 1
    assert lab.read(node, lab.block(), 0, 10).reply.status == Status.ERROR


# -- what is not built, and what makes no sense


@pytest.mark.parametrize(
    ("op", "request_message", "kind"),
    [
        (
            Op.REQUEST_SHORT_CIRCUIT_FDS,
            data_transfer.OpRequestShortCircuitAccessProto(maxVersion=1),
            data_transfer.BlockOpResponseProto,
        ),
        (
            Op.REQUEST_SHORT_CIRCUIT_SHM,
            data_transfer.ShortCircuitShmRequestProto(clientName="c"),
            data_transfer.ShortCircuitShmResponseProto,
        ),
        (
            Op.RELEASE_SHORT_CIRCUIT_FDS,
            data_transfer.ReleaseShortCircuitAccessRequestProto(),
            data_transfer.ReleaseShortCircuitAccessResponseProto,
        ),
    ],
)
def test_short_circuit_is_not_built(lab: Any, op: Op, request_message: Any, kind: Any) -> None:
    stream = lab.start().connect()
    stream.send(struct.pack(">HB", 28, op) + b"\x00")
    assert stream.message(kind).status == Status.ERROR_UNSUPPORTED
    stream.close()


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack(">HB", 27, 81),
        struct.pack(">HB", 28, 82),
        struct.pack(">HB", 28, 200),
        struct.pack(">HB", 28, 80) + b"\xff\xff\xff\xff\x7f",
        struct.pack(">HB", 28, 80) + b"\xff" * 10,
        struct.pack(">HB", 28, 81) + b"\x02\xff\xff",
        struct.pack(">HB", 28, 81) + b"\x00",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_nonsense_ends_its_own_connection_only(lab: Any, garbage: bytes) -> None:
    node = lab.start()
    lab.write([node], lab.block(), DATA[:100])
    stream = node.connect()
    stream.send(garbage)
    with pytest.raises(LinkError):
        stream.take(1)
    stream.close()
    assert lab.read(node, lab.block(), 0, 100).data == DATA[:100]


def test_a_write_cut_at_every_byte_leaves_a_node_that_works(lab: Any) -> None:
    node = lab.start()
    sent = CRC.crcs(DATA[:30])
    packet = packet_header(offset=0, seqno=0, data_bytes=30, crcs_bytes=4, last=False) + sent
    packet += DATA[:30]
    for cut in range(len(packet)):
        writing = lab.Writing([node], lab.block(100 + cut))
        writing.stream.send(packet[:cut])
        writing.stream.close()
    lab.write([node], lab.block(), DATA[:100])
    assert lab.read(node, lab.block(), 0, 100).data == DATA[:100]


@pytest.mark.parametrize(
    "packet",
    [
        struct.pack(">iH", 2**31 - 1, 25),
        struct.pack(">iH", -5, 25),
        packet_header(offset=512, seqno=0, data_bytes=10, crcs_bytes=4, last=False)
        + CRC.crcs(bytes(10))
        + bytes(10),
        packet_header(offset=0, seqno=0, data_bytes=10, crcs_bytes=8, last=False) + bytes(18),
    ],
)
def test_impossible_packets_end_the_write(lab: Any, packet: bytes) -> None:
    node = lab.start()
    writing = lab.Writing([node], lab.block())
    writing.stream.send(packet)
    with pytest.raises(LinkError):
        writing.ack()
    writing.stream.close()
    lab.write([node], lab.block(6), DATA[:100])


def test_too_many_connections_are_turned_away(lab: Any) -> None:
    node = lab.start()
    object.__setattr__(node.server._settings, "transfers_max", 0)
    stream = node.connect()
    with pytest.raises(LinkError):
        stream.take(1)
    stream.close()


def test_stop_interrupts_transfers(lab: Any) -> None:
    node = lab.start()
    writing = lab.Writing([node], lab.block())
    node.server.stop()
    with pytest.raises(LinkError):
        writing.ack()


def test_a_writer_can_be_told_to_stop() -> None:
    told = []
    writer = Writer(lambda: told.append(True))
    writer.over()
    assert writer.stop()
    assert told
