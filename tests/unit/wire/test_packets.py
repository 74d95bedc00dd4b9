from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.errors import PeerError
from hdfsd.wire.messages import data_transfer
from hdfsd.wire.packets import (
    MESSAGE_BYTES_MAX,
    PACKET_BYTES_MAX,
    Op,
    Packet,
    Stage,
    Status,
    ack_message,
    message_bounds,
    operation,
    packet_bytes_wanted,
    packet_header,
    parse,
    scan_acks,
    scan_packet,
    split_operation,
)

DATA = bytes(range(200)) * 3


def packet(**changes: int) -> bytes:
    fields = {"offset": 1024, "seqno": 7, "last": 0, "sync": 0} | changes
    crcs = b"abcd" * 2
    return (
        packet_header(
            offset=fields["offset"],
            seqno=fields["seqno"],
            data_bytes=len(DATA),
            crcs_bytes=len(crcs),
            last=bool(fields["last"]),
            sync=bool(fields["sync"]),
        )
        + crcs
        + DATA
    )


def test_header_of_a_real_client() -> None:
    header = packet_header(offset=0, seqno=0, data_bytes=64512, crcs_bytes=504, last=False)
    assert header.hex() == (
        "0000fdfc0019" + "090000000000000000" + "110000000000000000" + "1800" + "2500fc0000"
    )


@pytest.mark.parametrize("sync", [False, True])
def test_a_packet_is_there_when_its_last_byte_is(sync: bool) -> None:
    whole = packet(sync=sync)
    buffer = b"##" + whole + b"tail"
    for end in range(2, 2 + len(whole)):
        assert scan_packet(buffer, 2, end) is None
    found = scan_packet(buffer, 2, len(buffer))
    assert found is not None
    assert found[:5] == (1024, 7, False, len(DATA), sync)
    assert buffer[found.crcs_start : found.data_start] == b"abcd" * 2
    assert buffer[found.data_start : found.end] == DATA
    assert buffer[found.end :] == b"tail"


@given(
    offset=st.integers(0, 1 << 62),
    seqno=st.integers(-2, 1 << 62),
    last=st.booleans(),
    sync=st.booleans(),
)
def test_the_short_way_reads_what_protobuf_reads(
    offset: int, seqno: int, last: bool, sync: bool
) -> None:
    message = data_transfer.PacketHeaderProto(
        offsetInBlock=offset, seqno=seqno, lastPacketInBlock=last, dataLen=0
    )
    if sync:
        message.syncBlock = True
    body = message.SerializeToString()
    whole = struct.pack(">iH", 4, len(body)) + body
    assert (
        packet_header(offset=offset, seqno=seqno, data_bytes=0, crcs_bytes=0, last=last, sync=sync)
        == whole
    )
    assert scan_packet(whole, 0, len(whole)) == Packet(
        offset, seqno, last, 0, sync, 0, len(whole), len(whole), len(whole)
    )


def test_fields_in_another_order_go_the_long_way() -> None:
    body = b"\x18\x01" + b"\x11" + struct.pack("<q", 3) + b"\x25" + struct.pack("<i", 0)
    body += b"\x09" + struct.pack("<q", 9) + b"\x28\x00"
    whole = struct.pack(">iH", 4, len(body)) + body
    found = scan_packet(whole, 0, len(whole))
    assert found is not None
    assert found[:5] == (9, 3, True, 0, False)


@pytest.mark.parametrize(
    ("whole", "cause"),
    [
        (struct.pack(">iH", 3, 25) + bytes(25), "a packet of 3 bytes"),
        (struct.pack(">iH", -1, 25) + bytes(25), "a packet of -1 bytes"),
        (struct.pack(">iH", PACKET_BYTES_MAX + 1, 25), "a packet of 16777217 bytes"),
        (struct.pack(">iH", 2**31 - 1, 25), "a packet of 2147483647 bytes"),
        (struct.pack(">iH", 4, 60000), "a packet header of 60000 bytes"),
        (struct.pack(">iH", 4, 25) + b"\xff" * 25, "PacketHeaderProto"),
        (struct.pack(">iH", 4, 0), "PacketHeaderProto"),
        (
            struct.pack(">iH", 4, 25)
            + packet_header(offset=0, seqno=0, data_bytes=10, crcs_bytes=0, last=False)[6:],
            "can't hold 10",
        ),
        (
            struct.pack(">iH", 100, 25)
            + packet_header(offset=-1, seqno=0, data_bytes=10, crcs_bytes=86, last=False)[6:],
            "offset -1",
        ),
        (
            struct.pack(">iH", 100, 25)
            + packet_header(offset=0, seqno=0, data_bytes=-5, crcs_bytes=86, last=False)[6:],
            "can't hold -5",
        ),
    ],
)
def test_impossible_packets(whole: bytes, cause: str) -> None:
    with pytest.raises(PeerError, match=cause):
        scan_packet(whole, 0, len(whole))


def test_bytes_wanted() -> None:
    whole = packet()
    assert packet_bytes_wanted(whole, 0, 5) == 6
    assert packet_bytes_wanted(whole, 0, 6) == len(whole)
    with pytest.raises(PeerError):
        packet_bytes_wanted(struct.pack(">iH", 2**31 - 1, 25), 0, 6)


def test_operation_round_trip() -> None:
    request = data_transfer.OpCustomProto(customId="x" * 300)
    whole = operation(Op.CUSTOM, request)
    assert split_operation(whole[:3]) == Op.CUSTOM
    bounds = message_bounds(whole, 3, len(whole))
    assert bounds == (5, len(whole))
    assert parse(data_transfer.OpCustomProto, whole[5:]) == request
    for end in range(3, len(whole)):
        assert message_bounds(whole, 3, end) is None


@pytest.mark.parametrize("version", [0, 27, 29, 65535])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(PeerError, match=f"version {version} is not 28"):
        split_operation(struct.pack(">HB", version, 80))


def test_absurd_message_lengths() -> None:
    with pytest.raises(PeerError, match="exceeds"):
        message_bounds(b"\xff\xff\xff\xff\x07", 0, 5)
    with pytest.raises(PeerError, match="no varint"):
        message_bounds(b"\xff" * 5, 0, 5)
    assert message_bounds(b"", 0, 0) is None
    assert MESSAGE_BYTES_MAX < PACKET_BYTES_MAX


def test_garbage_is_no_message() -> None:
    with pytest.raises(PeerError, match="OpReadBlockProto"):
        parse(data_transfer.OpReadBlockProto, b"\xff\xff")


@given(
    st.lists(
        st.tuples(
            st.integers(-2, 1 << 40),
            st.lists(st.sampled_from([Status.SUCCESS, Status.ERROR]), max_size=3),
        )
    )
)
def test_acknowledgements_round_trip(acks: list[tuple[int, list[int]]]) -> None:
    stream = b"".join(ack_message(seqno, statuses) for seqno, statuses in acks)
    found, end = scan_acks(stream, 0, len(stream))
    assert found == [(seqno, tuple(statuses)) for seqno, statuses in acks]
    assert end == len(stream)
    if acks:
        fewer, begin = scan_acks(stream, 0, len(stream) - 1)
        assert fewer == found[:-1]
        assert begin == len(stream) - len(ack_message(*acks[-1]))


def test_acknowledgement_of_a_pipeline_of_two() -> None:
    # seqno 1 as zigzag 2; two replies, unpacked; two flags, packed.
    assert ack_message(
        1, [Status.SUCCESS, Status.ERROR]
    ).hex() == "0a" + "0802" + "1000" + "1001" + ("22020001")


def test_stages_are_those_of_the_messages() -> None:
    names = data_transfer.OpWriteBlockProto.BlockConstructionStage.items()
    assert {stage.name: stage.value for stage in Stage} == dict(names)
