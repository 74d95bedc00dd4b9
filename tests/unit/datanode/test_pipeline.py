from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.errors import PeerError
from hdfsd.datanode.pipeline import Hop, Queued, Release, Write, plan_write
from hdfsd.wire.checksum import ChecksumType, ChunkChecksum
from hdfsd.wire.packets import Ack, Packet, Status

OK, BAD = Status.SUCCESS, Status.ERROR
CRC = ChunkChecksum()


def packet(offset: int, size: int) -> Packet:
    return Packet(offset, 3, False, size, False, 0, 0, 0, size)


@pytest.mark.parametrize(
    ("offset", "size", "on_disk", "expected"),
    [
        (0, 100, 0, Write.AS_IS),
        (512, 512, 512, Write.AS_IS),
        (512, 300, 700, Write.AS_IS),
        (512, 188, 700, Write.NOTHING),
        (0, 700, 700, Write.NOTHING),
        (700, 0, 700, Write.NOTHING),
        (700, 324, 700, Write.RECOMPUTE),
        (600, 200, 700, Write.RECOMPUTE),
    ],
)
def test_where_a_packet_goes(offset: int, size: int, on_disk: int, expected: Write) -> None:
    assert plan_write(packet(offset, size), on_disk, CRC, CRC) is expected


def test_another_kind_of_checksum_is_made_anew() -> None:
    for other in (ChunkChecksum(ChecksumType.CRC32), ChunkChecksum(bytes_per_checksum=1024)):
        assert plan_write(packet(0, 10), 0, CRC, other) is Write.RECOMPUTE


def test_no_hole_is_written() -> None:
    with pytest.raises(PeerError, match="begins at 513, after the 512 bytes"):
        plan_write(packet(513, 1), 512, CRC, CRC)


def test_the_last_node_acknowledges_at_once() -> None:
    hop = Hop(is_tail=True)
    assert hop.stored([Queued(0, 512, False), Queued(1, 512, True)]) == [
        Release(0, (OK,), 512, False, False),
        Release(1, (OK,), 512, True, False),
    ]


def test_the_others_wait_for_the_node_behind() -> None:
    hop = Hop(is_tail=False)
    assert hop.stored([Queued(0, 512, False), Queued(-1, 0, False), Queued(1, 600, True)]) == []
    assert hop.acknowledged([Ack(0, (OK, OK)), Ack(-1, (OK, OK))]) == [
        Release(0, (OK, OK, OK), 512, False, False),
        Release(-1, (OK, OK, OK), 0, False, False),
    ]
    assert hop.acknowledged([Ack(1, (OK, OK))]) == [Release(1, (OK, OK, OK), 600, True, False)]


def test_a_bad_node_behind_ends_the_hop_without_new_visible_bytes() -> None:
    hop = Hop(is_tail=False)
    hop.stored([Queued(0, 512, True)])
    assert hop.acknowledged([Ack(0, (OK, BAD))]) == [Release(0, (OK, OK, BAD), -1, False, True)]


def test_a_lost_node_behind_is_told_with_every_packet() -> None:
    hop = Hop(is_tail=False)
    hop.stored([Queued(0, 512, False)])
    assert hop.mirror_lost() == [Release(0, (OK, BAD), -1, False, True)]
    assert hop.stored([Queued(1, 600, True)]) == [Release(1, (OK, BAD), -1, False, True)]


def test_our_own_failure_answers_the_oldest_packet() -> None:
    hop = Hop(is_tail=False)
    assert hop.failed(BAD, 9) == Release(9, (BAD,), -1, False, True)
    hop.stored([Queued(4, 512, False), Queued(5, 600, False)])
    assert hop.failed(BAD, 6).seqno == 4


@pytest.mark.parametrize("seqno", [-2, 0, 2])
def test_acknowledgements_out_of_order(seqno: int) -> None:
    hop = Hop(is_tail=False)
    hop.stored([Queued(1, 512, False)])
    with pytest.raises(PeerError, match=f"of packet {seqno}, expected 1"):
        hop.acknowledged([Ack(seqno, (OK,))])


def test_an_acknowledgement_of_nothing() -> None:
    with pytest.raises(PeerError, match="expected none"):
        Hop(is_tail=False).acknowledged([Ack(0, (OK,))])


def test_who_sent_corrupt_data_leaves() -> None:
    hop = Hop(is_tail=False)
    hop.stored([Queued(0, 512, False)])
    with pytest.raises(PeerError, match="corrupt"):
        hop.acknowledged([Ack(0, (Status.ERROR_CHECKSUM,))])


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_bytes_become_visible_only_when_the_node_behind_has_them(steps: list[bool]) -> None:
    hop, sent, acked, visible = Hop(is_tail=False), 0, 0, 0
    for store in steps:
        if store:
            hop.stored([Queued(sent, (sent + 1) * 100, False)])
            sent += 1
        elif acked < sent:
            (release,) = hop.acknowledged([Ack(acked, (OK,))])
            acked += 1
            visible = release.acked
        assert visible == acked * 100
