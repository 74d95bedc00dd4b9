"""Names and small files of a journal directory, read and written."""

from __future__ import annotations

import pytest

from hdfsd.base.errors import CorruptData, IllegalArgument
from hdfsd.base.ids import INVALID_TXID, StorageInfo
from hdfsd.journal import layout
from hdfsd.wire.messages import qjournal


@pytest.mark.parametrize("journal_id", ["ns1", "my-cluster", "a.b", "x" * 255])
def test_good_journal_ids(journal_id: str) -> None:
    layout.check_journal_id(journal_id)


@pytest.mark.parametrize(
    "journal_id", ["", ".", "..", "../x", "a/b", "/a", ".hidden", "a\\b", "a\nb", "a\0b", "x" * 256]
)
def test_ids_that_leave_the_directory(journal_id: str) -> None:
    with pytest.raises(IllegalArgument, match="bad journal id"):
        layout.check_journal_id(journal_id)


def test_a_real_paxos_file() -> None:
    """Wire fact editlog.md section 6: 98 bytes of Hadoop's, byte for byte."""
    text = "segmentState {\n  startTxId: 1\n  endTxId: 5\n  isInProgress: true\n}\n"
    text += "acceptedInEpoch: 4\n"
    real = bytes.fromhex("0a0a060801100518011004") + b"\n" + text.encode() + b"\n"
    assert len(real) == 98
    stored = layout.parse_paxos(real, "paxos/1")
    assert (stored.segmentState.startTxId, stored.segmentState.endTxId) == (1, 5)
    assert (stored.segmentState.isInProgress, stored.acceptedInEpoch) == (True, 4)
    assert layout.render_paxos(stored) == real


@pytest.mark.parametrize("cut", range(11))
def test_a_paxos_file_cut_anywhere(cut: int) -> None:
    message = qjournal.PersistedRecoveryPaxosData(acceptedInEpoch=4)
    message.segmentState.startTxId, message.segmentState.endTxId = 1, 5
    message.segmentState.isInProgress = True
    with pytest.raises(CorruptData, match="paxos/1"):
        layout.parse_paxos(layout.render_paxos(message)[:cut], "paxos/1")


def test_a_paxos_file_of_noise() -> None:
    with pytest.raises(CorruptData, match="not an accepted recovery"):
        layout.parse_paxos(b"\x05\xff\xff\xff\xff\xff", "paxos/1")
    with pytest.raises(CorruptData, match="too short"):
        layout.parse_paxos(b"\xff" * 20, "paxos/1")


def test_numbers() -> None:
    assert layout.render_long(12) == b"12\n"
    assert layout.parse_long(b"12\n", "f") == 12
    for bad in (b"", b"x", b"-1\n", b"1 2"):
        with pytest.raises(CorruptData, match="is not a number"):
            layout.parse_long(bad, "f")


def test_committed_txid() -> None:
    assert layout.parse_committed(b"", "f") == INVALID_TXID
    assert layout.render_committed(258) == bytes.fromhex("0000000000000102")
    for txid in (258, INVALID_TXID):
        assert layout.parse_committed(layout.render_committed(txid), "f") == txid
    for count in (*range(1, 8), 9):
        with pytest.raises(CorruptData, match=f"{count} bytes where 8"):
            layout.parse_committed(b"\0" * count, "f")


def test_version_file() -> None:
    storage = StorageInfo(-67, 4711, 1700000000000, "CID-a:b")
    text = layout.render_version(storage, "Sat Nov 22 01:40:00 UTC 2025")
    assert text.startswith("#Sat Nov 22 01:40:00 UTC 2025\n")
    assert "storageType=JOURNAL_NODE\n" in text
    assert layout.parse_version(text, "VERSION") == storage
    with pytest.raises(CorruptData, match="NAME_NODE"):
        layout.parse_version(text.replace("JOURNAL_NODE", "NAME_NODE"), "VERSION")
    with pytest.raises(CorruptData, match="namespaceID"):
        layout.parse_version(text.replace("namespaceID", "other"), "VERSION")


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("edits_0000000000000000001-0000000000000000009", True),
        ("edits_0000000000000000001-0000000000000000010", False),
        ("edits_inprogress_0000000000000000009", True),
        ("edits_inprogress_0000000000000000009.empty", True),
        ("edits_inprogress_0000000000000000009.epoch=3", True),
        ("edits_inprogress_0000000000000000010", False),
        ("VERSION", False),
        ("last-promised-epoch", False),
    ],
)
def test_what_a_purge_below_10_takes(name: str, gone: bool) -> None:
    assert layout.purged(name, 10) == gone


def test_fetched_and_accepted_names() -> None:
    name = layout.fetched_name(5, 3)
    assert name == "edits_inprogress_0000000000000000005.epoch=3"
    assert layout.parse_fetched(name) == (5, 3)
    assert layout.parse_fetched("edits_inprogress_0000000000000000005") is None
    assert layout.parse_accepted("12") == 12
    assert layout.parse_accepted("12.tmp") is None


@pytest.mark.parametrize(
    ("url", "epoch"),
    [
        ("http://h:1/getJournal?jid=a&segmentTxId=1&seenEpoch=7", 7),
        ("http://h:1/getJournal?jid=a&segmentTxId=1", None),
        ("http://h:1/getJournal?seenEpoch=x", None),
        ("", None),
    ],
)
def test_seen_epoch(url: str, epoch: int | None) -> None:
    assert layout.seen_epoch_of(url) == epoch
