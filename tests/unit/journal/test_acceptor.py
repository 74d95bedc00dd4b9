"""What a journal answers: one test per rule of editlog.md section 7, effects in their order."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from hdfsd.base.errors import (
    IllegalArgument,
    IllegalState,
    InconsistentStorage,
    IOFault,
    JournalNotFormatted,
    JournalOutOfSync,
    NewerTxnId,
    RemoteFault,
)
from hdfsd.base.ids import INVALID_TXID, Epoch, StorageInfo, TxId
from hdfsd.journal.acceptor import (
    REQUESTS,
    Accepted,
    Acceptor,
    Append,
    CloseSegment,
    DropAccepted,
    FetchSegment,
    FinalizeSegment,
    Format,
    InstallFetched,
    JournalState,
    NoteCommitted,
    OpenSegment,
    PersistAccepted,
    PersistPromise,
    PersistWriterEpoch,
    PurgeBelow,
    Refuse,
    Reply,
    Segment,
    SetAside,
)
from hdfsd.wire.messages import Message, hdfs_server, qjournal

STORAGE = StorageInfo(-67, 4711, 1700000000000, "CID-a")
URL = "http://127.0.0.1:1/getJournal?jid=ns&segmentTxId=1"


def frame(txid: int) -> bytes:
    head = struct.pack(">BIq", 24, 12, txid)
    return head + struct.pack(">I", zlib.crc32(head))


def segment(first: int, last: int | None, *, finalized: bool = False) -> Segment:
    return Segment(TxId(first), None if last is None else TxId(last), finalized)


def acceptor(
    *segments: Segment,
    promised: int = 1,
    writer: int = 1,
    committed: int = INVALID_TXID,
    accepted: tuple[Accepted, ...] = (),
) -> Acceptor:
    state = JournalState(
        storage=STORAGE,
        has_data=True,
        promised=Epoch(promised),
        writer_epoch=Epoch(writer),
        committed=TxId(committed),
        segments={s.first_txid: s for s in segments},
        accepted={a.first_txid: a for a in accepted},
    )
    return Acceptor("ns", "/jn/ns", state)


class Writer:
    """Sends requests of one epoch with rising serial numbers."""

    def __init__(self, journal: Acceptor, epoch: int) -> None:
        self.journal = journal
        self.epoch = epoch
        self.serial = 0

    def info(self, **more: int) -> qjournal.RequestInfoProto:
        self.serial += 1
        info = qjournal.RequestInfoProto(epoch=self.epoch, ipcSerialNumber=self.serial, **more)
        info.journalId.identifier = "ns"
        return info

    def send(self, method: str, **fields: Any) -> list[Any]:
        info = self.info(**{k: fields.pop(k) for k in ("committedTxId",) if k in fields})
        return self.journal.step(method, MESSAGES[method](reqInfo=info, **fields))

    def journal_batch(self, first: int, last: int, *, segment: int, **more: int) -> list[Any]:
        data = b"".join(frame(txid) for txid in range(first, last + 1))
        return self.send(
            "journal",
            firstTxnId=first,
            numTxns=last - first + 1,
            records=data,
            segmentTxnId=segment,
            **more,
        )


MESSAGES: dict[str, Callable[..., Message]] = {
    "journal": qjournal.JournalRequestProto,
    "heartbeat": qjournal.HeartbeatRequestProto,
    "start_log_segment": qjournal.StartLogSegmentRequestProto,
    "finalize_log_segment": qjournal.FinalizeLogSegmentRequestProto,
    "purge_logs": qjournal.PurgeLogsRequestProto,
    "prepare_recovery": qjournal.PrepareRecoveryRequestProto,
    "accept_recovery": qjournal.AcceptRecoveryRequestProto,
}


def namespace(
    namespace_id: int = 4711, cluster_id: str = "CID-a"
) -> hdfs_server.NamespaceInfoProto:
    return hdfs_server.NamespaceInfoProto(
        buildVersion="",
        unused=0,
        blockPoolID="BP-1",
        softwareVersion="3.4.1",
        storageInfo=hdfs_server.StorageInfoProto(
            layoutVersion=4294967229, namespceID=namespace_id, clusterID=cluster_id, cTime=17
        ),
    )


def new_epoch(journal: Acceptor, epoch: int, **other: Any) -> list[Any]:
    request = qjournal.NewEpochRequestProto(nsInfo=namespace(**other), epoch=epoch)
    request.jid.identifier = "ns"
    return journal.step("new_epoch", request)


def refused(effects: list[Any], kind: type[RemoteFault], text: str) -> None:
    last = effects[-1]
    assert isinstance(last, Refuse), effects
    assert type(last.fault) is kind
    assert text in last.fault.message


def replied(effects: list[Any]) -> Any:
    assert isinstance(effects[-1], Reply), effects
    return effects[-1].message


def open_journal() -> tuple[Acceptor, Writer]:
    """Writer of epoch 2 with segment 11 open and 11..12 in it."""
    journal = acceptor(segment(1, 10, finalized=True), promised=2, writer=1)
    writer = Writer(journal, 2)
    writer.send("start_log_segment", txid=11, layoutVersion=-67)
    replied(writer.journal_batch(11, 12, segment=11))
    journal.synced(TxId(12))
    return journal, writer


# Formatting and namespaces


@pytest.mark.parametrize("method", sorted(m for m in REQUESTS if m in MESSAGES or m == "new_epoch"))
def test_an_unformatted_journal_refuses(method: str) -> None:
    journal = Acceptor("ns", "/jn/ns", JournalState())
    if method == "new_epoch":
        effects = new_epoch(journal, 1)
    else:
        effects = Writer(journal, 1).send(method)
    assert len(effects) == 1
    refused(
        effects,
        JournalNotFormatted,
        "Journal Storage Directory root= /jn/ns; location= null not formatted ; journal id: ns",
    )


def format_request(*, force: bool = False, namespace_id: int = 5) -> qjournal.FormatRequestProto:
    request = qjournal.FormatRequestProto(nsInfo=namespace(namespace_id, "CID-b"), force=force)
    request.jid.identifier = "ns"
    return request


def test_format() -> None:
    journal = Acceptor("ns", "/jn/ns", JournalState())
    effects = journal.step("format", format_request())
    assert effects[0] == Format(StorageInfo(-67, 5, 17, "CID-b"))
    assert journal.check_formatted().namespace_id == 5


def test_format_over_data_needs_force() -> None:
    journal, writer = open_journal()
    refused(
        journal.step("format", format_request()),
        InconsistentStorage,
        "Directory /jn/ns is in an inconsistent state: Can't format the storage directory because"
        " the current directory is not empty.",
    )
    effects = journal.step("format", format_request(force=True))
    assert [type(e) for e in effects] == [CloseSegment, Format, Reply]
    assert (journal.state.promised, journal.durable_txid) == (0, 0)
    refused(writer.journal_batch(13, 13, segment=11), IOFault, "not the current writer epoch")


def test_format_needs_a_namespace_id() -> None:
    journal = Acceptor("ns", "/jn/ns", JournalState())
    refused(
        journal.step("format", format_request(namespace_id=0)),
        IllegalState,
        "can't format with uninitialized namespace info",
    )


# Epochs (J1, P2)


def test_a_new_epoch_is_persisted_before_it_is_answered() -> None:
    journal = acceptor(segment(1, 10, finalized=True), segment(11, 15))
    effects = new_epoch(journal, 2)
    assert effects[0] == PersistPromise(Epoch(2))
    assert replied(effects).lastSegmentTxId == 11


@pytest.mark.parametrize("epoch", [0, 1])
def test_an_epoch_is_promised_once(epoch: int) -> None:
    refused(
        new_epoch(acceptor(), epoch),
        IOFault,
        f"Proposed epoch {epoch} <= last promise 1 ; journal id: ns",
    )


def test_another_namespace() -> None:
    refused(new_epoch(acceptor(), 2, namespace_id=7), IOFault, "Incompatible namespaceID for")
    refused(new_epoch(acceptor(), 2, cluster_id="CID-x"), IOFault, "Incompatible clusterID for")


def test_a_new_epoch_aborts_the_open_segment_and_sets_empty_ones_aside() -> None:
    journal, writer = open_journal()
    assert new_epoch(journal, 3)[:-1] == [
        PersistPromise(Epoch(3)),
        CloseSegment(TxId(11), trim=False),
    ]
    refused(writer.journal_batch(13, 13, segment=11), IOFault, "is less than the last promised")
    journal = acceptor(segment(1, 10, finalized=True), segment(11, None))
    effects = new_epoch(journal, 2)
    assert effects[1] == SetAside(segment(11, None), ".empty")
    assert replied(effects).lastSegmentTxId == 1
    assert not replied(new_epoch(acceptor(segment(1, None)), 2)).HasField("lastSegmentTxId")


ANY_WRITE = ["journal", "heartbeat", "start_log_segment", "finalize_log_segment", "purge_logs"]


@pytest.mark.parametrize("method", [*ANY_WRITE, "prepare_recovery", "accept_recovery"])
def test_an_old_epoch_changes_nothing(method: str) -> None:
    journal = acceptor(segment(1, 5), promised=3)
    before = journal.describe()
    effects = Writer(journal, 2).send(method)
    assert len(effects) == 1
    refused(effects, IOFault, "IPC's epoch 2 is less than the last promised epoch 3")
    assert journal.describe() == before


def test_a_higher_epoch_in_a_request_is_a_promise() -> None:
    journal = acceptor()
    assert Writer(journal, 5).send("heartbeat")[0] == PersistPromise(Epoch(5))
    assert journal.state.promised == 5


def test_serial_numbers_rise() -> None:
    journal, writer = open_journal()
    writer.serial = 1
    refused(
        writer.send("heartbeat"),
        JournalOutOfSync,
        "IPC serial 2 was not higher than prior highest IPC serial 2",
    )
    writer.serial = 9
    replied(writer.send("heartbeat"))
    replied(new_epoch(journal, 3))
    replied(Writer(journal, 3).send("heartbeat"))


def test_the_committed_txid_never_falls() -> None:
    journal, writer = open_journal()
    assert writer.send("heartbeat", committedTxId=11)[0] == NoteCommitted(TxId(11))
    assert len(writer.send("heartbeat", committedTxId=11)) == 1
    refused(
        writer.send("heartbeat", committedTxId=10),
        IllegalArgument,
        "Client trying to move committed txid backward from 11 to 10",
    )
    assert journal.state.committed == 11
    writer.send("heartbeat", committedTxId=20)
    assert journal.state.committed == 20


# Writing (J2, J4)


def test_a_batch_is_appended_before_it_is_answered() -> None:
    journal, writer = open_journal()
    effects = writer.journal_batch(13, 14, segment=11)
    assert effects[0] == Append(TxId(13), TxId(14), frame(13) + frame(14))
    assert isinstance(effects[1], Reply)
    assert journal.next_txid == 15
    assert journal.durable_txid == 12


def test_an_empty_batch_is_a_heartbeat() -> None:
    _, writer = open_journal()
    assert len(writer.send("journal", firstTxnId=99, numTxns=0, records=b"", segmentTxnId=7)) == 1


@pytest.mark.parametrize("first", [11, 12, 14])
def test_txids_without_gap(first: int) -> None:
    _, writer = open_journal()
    refused(
        writer.journal_batch(first, first, segment=11),
        JournalOutOfSync,
        f"Can't write txid {first} expecting nextTxId=13 ; journal id: ns",
    )


def test_the_wrong_segment_aborts_the_open_one() -> None:
    journal, writer = open_journal()
    effects = writer.journal_batch(13, 13, segment=13)
    assert effects[0] == CloseSegment(TxId(11), trim=False)
    refused(effects, JournalOutOfSync, "it thinks it is writing segment 13 but current segment is")
    refused(writer.journal_batch(13, 13, segment=11), JournalOutOfSync, "no segment open")
    assert journal.open_first is None


def test_only_the_epoch_that_opened_the_segment_writes() -> None:
    journal, _ = open_journal()
    effects = Writer(journal, 3).journal_batch(13, 13, segment=11)
    assert effects[0] == PersistPromise(Epoch(3))
    refused(effects, IOFault, "IPC's epoch 3 is not the current writer epoch  2")


# Segments


def test_starting_a_segment() -> None:
    journal = acceptor(promised=2, writer=1, accepted=(Accepted(TxId(1), TxId(1), True, Epoch(1)),))
    writer = Writer(journal, 2)
    effects = writer.send("start_log_segment", txid=1, layoutVersion=-66)
    assert effects[:-1] == [
        DropAccepted(TxId(1)),
        OpenSegment(TxId(1), -66),
        PersistWriterEpoch(Epoch(2)),
    ]
    effects = writer.send("start_log_segment", txid=1, layoutVersion=-67)
    assert effects[:-1] == [CloseSegment(TxId(1), trim=False), OpenSegment(TxId(1), -67)]


def test_what_was_durable_in_a_segment_that_is_started_anew_is_so_no_more() -> None:
    journal = acceptor(Segment(TxId(1), TxId(1), False), promised=2, writer=1)
    writer = Writer(journal, 2)
    writer.send("start_log_segment", txid=1, layoutVersion=-67)
    assert journal.durable_txid == 0
    writer.send("journal", segmentTxnId=1, firstTxnId=1, numTxns=1, records=frame(1))
    assert journal.manifest(TxId(1), True) == []
    journal.synced(TxId(1))
    assert journal.manifest(TxId(1), True) == [Segment(TxId(1), TxId(1), False)]


@pytest.mark.parametrize(
    ("data", "count", "cause"),
    [
        (frame(8)[:-1] + b"?", 1, "at offset 0: no whole op of txid 8 with the right checksum"),
        (frame(8) + frame(9)[:9] + b"?" + frame(9)[10:], 2, "at offset 17: no whole op of txid 9"),
        (frame(9) + frame(8), 2, "at offset 0: no whole op of txid 8"),
        (frame(8), 2, "at offset 17: 1 transactions, not 2"),
        (frame(8) + frame(9), 1, "at offset 34: 2 transactions, not 1"),
        (frame(8)[:10], 1, "at offset 0: no whole op of txid 8"),
        (frame(8) + b"\xff" * 20, 1, "at offset 17: no whole op of txid 9"),
        (b"", 1, "at offset 0: 0 transactions, not 1"),
    ],
)
def test_what_is_not_the_transactions_it_is_said_to_be_is_refused(
    data: bytes, count: int, cause: str
) -> None:
    journal = acceptor(promised=1, writer=1)
    writer = Writer(journal, 1)
    writer.send("start_log_segment", txid=7, layoutVersion=-67)
    writer.journal_batch(7, 7, segment=7)
    refused(
        writer.send("journal", firstTxnId=8, numTxns=count, records=data, segmentTxnId=7),
        JournalOutOfSync,
        f"Can't write txids 8-{7 + count}: edits {cause}",
    )
    assert journal.state.segments[TxId(7)] == segment(7, 7)
    # The same transactions, sent well, are taken.
    assert writer.journal_batch(8, 9, segment=7)[0] == Append(TxId(8), TxId(9), frame(8) + frame(9))


def test_frames_of_a_layout_without_lengths_are_not_looked_at() -> None:
    writer = Writer(acceptor(promised=1, writer=1), 1)
    writer.send("start_log_segment", txid=7, layoutVersion=-55)
    effects = writer.send("journal", firstTxnId=7, numTxns=1, records=b"old", segmentTxnId=7)
    assert effects[0] == Append(TxId(7), TxId(7), b"old")


def test_a_segment_with_transactions_is_not_started_anew() -> None:
    journal = acceptor(segment(1, 5, finalized=True), segment(6, 7), segment(20, 20))
    writer = Writer(journal, 2)
    refused(
        writer.send("start_log_segment", txid=1),
        IllegalState,
        "Already have a finalized segment EditLogFile(file=/jn/ns/current/"
        "edits_0000000000000000001-0000000000000000005,first=0000000000000000001,"
        "last=0000000000000000005,inProgress=false,hasCorruptHeader=false) beginning at 1",
    )
    refused(
        writer.send("start_log_segment", txid=6),
        IllegalState,
        "inProgress=true,hasCorruptHeader=false) seems to contain valid transactions",
    )
    replied(writer.send("start_log_segment", txid=20))


def test_a_start_that_comes_again_after_a_restart_takes_nothing_away() -> None:
    """A restart forgets the serial numbers of requests; this one's transaction was acknowledged."""
    writer = Writer(acceptor(segment(20, 20), promised=2, writer=2), 2)
    refused(
        writer.send("start_log_segment", txid=20),
        JournalOutOfSync,
        "inProgress=true,hasCorruptHeader=false) was written in epoch 2 already",
    )
    assert writer.journal.state.segments[TxId(20)] == segment(20, 20)


def test_finalizing_what_was_written() -> None:
    journal, writer = open_journal()
    effects = writer.send("finalize_log_segment", startTxId=11, endTxId=12)
    assert effects[:-1] == [
        CloseSegment(TxId(11), trim=True),
        FinalizeSegment(TxId(11), TxId(12)),
    ]
    assert len(writer.send("finalize_log_segment", startTxId=11, endTxId=12)) == 1
    refused(
        writer.send("finalize_log_segment", startTxId=11, endTxId=13),
        IllegalArgument,
        "Trying to re-finalize already finalized log EditLogFile(",
    )
    assert journal.describe().endswith("11..12 finalized")


def test_finalizing_another_end() -> None:
    journal, writer = open_journal()
    refused(
        writer.send("finalize_log_segment", startTxId=11, endTxId=13),
        JournalOutOfSync,
        "Trying to finalize in-progress log segment 11 to end at txid 13 but only written up to"
        " txid 12",
    )
    assert journal.open_first is None
    refused(
        writer.send("finalize_log_segment", startTxId=11, endTxId=13),
        JournalOutOfSync,
        "on disk only contains up to txid 12",
    )
    refused(
        writer.send("finalize_log_segment", startTxId=7, endTxId=8),
        JournalOutOfSync,
        "No log file to finalize at transaction ID 7",
    )
    replied(writer.send("finalize_log_segment", startTxId=11, endTxId=12))


def test_a_copy_is_not_finalized_for_its_length_alone() -> None:
    """Its writer was fenced; the deciding epoch did not get its acceptRecovery through to us."""
    journal = acceptor(segment(1, 5), promised=3, writer=1)
    writer = Writer(journal, 3)
    refused(
        writer.send("finalize_log_segment", startTxId=1, endTxId=5),
        JournalOutOfSync,
        "which epoch 3 neither wrote nor made this journal accept",
    )
    accept(writer, 1, 5, url=f"{URL}&seenEpoch=1")
    effects = writer.send("finalize_log_segment", startTxId=1, endTxId=5)
    assert effects[:-1] == [FinalizeSegment(TxId(1), TxId(5)), DropAccepted(TxId(1))]


# Recovery (J3, P3)


def prepared(effects: list[Any]) -> str:
    reply = replied(effects)
    state = reply.segmentState
    kind = "*" if state.isInProgress else ""
    drawn = f"{state.startTxId}-{state.endTxId}{kind}" if reply.HasField("segmentState") else "none"
    accepted = f" accepted {reply.acceptedInEpoch}" if reply.HasField("acceptedInEpoch") else ""
    known = f" committed {reply.lastCommittedTxId}" if reply.HasField("lastCommittedTxId") else ""
    return f"{drawn} writer {reply.lastWriterEpoch}{accepted}{known}"


def accept(
    writer: Writer, first: int, last: int, *, url: str = URL, in_progress: bool = True
) -> list[Any]:
    state = qjournal.SegmentStateProto(startTxId=first, endTxId=last, isInProgress=in_progress)
    return writer.send("accept_recovery", stateToAccept=state, fromURL=url)


@pytest.mark.parametrize(
    ("journal", "first", "answer"),
    [
        (acceptor(promised=2), 1, "none writer 1"),
        (acceptor(segment(1, 5), promised=2, committed=4), 1, "1-5* writer 1 committed 4"),
        (acceptor(segment(1, 5, finalized=True), promised=2), 1, "1-5 writer 1"),
        (acceptor(segment(1, 5), promised=2), 6, "none writer 1"),
        (
            acceptor(
                segment(1, 5), promised=2, accepted=(Accepted(TxId(1), TxId(5), True, Epoch(2)),)
            ),
            1,
            "1-5* writer 1 accepted 2",
        ),
        (
            acceptor(
                segment(1, 5, finalized=True),
                promised=2,
                accepted=(Accepted(TxId(1), TxId(4), True, Epoch(2)),),
            ),
            1,
            "1-5 writer 1",
        ),
    ],
)
def test_prepare(journal: Acceptor, first: int, answer: str) -> None:
    assert prepared(Writer(journal, 2).send("prepare_recovery", segmentTxId=first)) == answer


def test_prepare_aborts_and_sets_aside() -> None:
    _, writer = open_journal()
    effects = writer.send("prepare_recovery", segmentTxId=11)
    assert effects[0] == CloseSegment(TxId(11), trim=False)
    writer.send("start_log_segment", txid=13)
    effects = writer.send("prepare_recovery", segmentTxId=13)
    assert effects[1] == SetAside(segment(13, None), ".empty")
    assert prepared(effects) == "none writer 2"


def test_prepare_of_an_accepted_recovery_whose_segment_is_another() -> None:
    journal = acceptor(segment(1, 4), accepted=(Accepted(TxId(1), TxId(5), True, Epoch(1)),))
    effects = Writer(journal, 1).send("prepare_recovery", segmentTxId=1)
    assert isinstance(effects[-1], Refuse)
    assert effects[-1].fault.wire_class == "java.lang.AssertionError"


@pytest.mark.parametrize("ours", [None, segment(1, 3), segment(1, 7), segment(1, None)])
def test_accepting_another_end_fetches_before_it_persists(ours: Segment | None) -> None:
    journal = acceptor(*([ours] if ours else []), promised=2)
    effects = accept(Writer(journal, 2), 1, 5)
    if ours is not None and ours.last_txid is None:
        assert effects.pop(0) == SetAside(ours, ".empty")
    assert effects[:-1] == [
        FetchSegment(TxId(1), TxId(5), Epoch(2), URL),
        PersistAccepted(Accepted(TxId(1), TxId(5), True, Epoch(2))),
        InstallFetched(TxId(1), Epoch(2)),
    ]
    assert prepared(Writer(journal, 3).send("prepare_recovery", segmentTxId=1)) == (
        "1-5* writer 1 accepted 2"
    )
    assert journal.durable_txid == 5


@pytest.mark.parametrize(
    ("url", "writer", "accepted", "fetches"),
    [
        (f"{URL}&seenEpoch=1", 1, 0, False),
        (f"{URL}&seenEpoch=2", 1, 2, False),
        (f"{URL}&seenEpoch=1", 2, 0, True),
        (f"{URL}&seenEpoch=2", 1, 0, True),
        (URL, 1, 0, True),
    ],
)
def test_a_copy_of_the_same_length_is_kept_only_within_its_epoch(
    url: str, writer: int, accepted: int, fetches: bool
) -> None:
    earlier = (Accepted(TxId(1), TxId(5), True, Epoch(accepted)),) if accepted else ()
    journal = acceptor(segment(1, 5), promised=3, writer=writer, accepted=earlier)
    effects = accept(Writer(journal, 3), 1, 5, url=url)
    assert isinstance(effects[0], FetchSegment) == fetches


def test_the_best_copy_is_our_own() -> None:
    journal = acceptor(segment(1, 5), promised=3)
    journal.source_is_us = True
    assert isinstance(accept(Writer(journal, 3), 1, 5)[0], PersistAccepted)


def test_a_finalized_copy_needs_no_fetch() -> None:
    journal = acceptor(segment(1, 5, finalized=True), promised=3)
    effects = accept(Writer(journal, 3), 1, 5, in_progress=False)
    assert isinstance(effects[0], PersistAccepted)


@pytest.mark.parametrize(
    ("journal", "first", "last", "java_class", "text"),
    [
        (acceptor(), 5, 4, "java.lang.IllegalArgumentException", "bad recovery state for segment"),
        (acceptor(), 0, 0, "java.lang.IllegalArgumentException", "bad recovery state for segment"),
        (
            acceptor(segment(1, 5), committed=5),
            1,
            4,
            "java.lang.AssertionError",
            "would discard already-committed txn 5",
        ),
        (
            acceptor(segment(1, 5, finalized=True)),
            1,
            4,
            "java.lang.AssertionError",
            "on top of an already-finalized segment",
        ),
        (
            acceptor(segment(1, 5), accepted=(Accepted(TxId(1), TxId(5), True, Epoch(9)),)),
            1,
            5,
            "java.lang.AssertionError",
            "Bad paxos transition, out-of-order epochs.",
        ),
    ],
)
def test_recoveries_that_are_refused(
    journal: Acceptor, first: int, last: int, java_class: str, text: str
) -> None:
    before = journal.describe()
    effects = accept(Writer(journal, 1), first, last)
    assert len(effects) == 1
    assert effects[0].fault.wire_class == java_class
    assert text in effects[0].fault.message
    assert journal.describe() == before


# The rest


def test_purge() -> None:
    journal = acceptor(
        segment(1, 5, finalized=True),
        segment(6, 9, finalized=True),
        segment(10, 11),
        accepted=(Accepted(TxId(1), TxId(5), True, Epoch(1)),),
    )
    writer = Writer(journal, 1)
    writer.send("start_log_segment", txid=12)
    effects = writer.send("purge_logs", minTxIdToKeep=9)
    assert effects[0] == PurgeBelow(TxId(9), TxId(12))
    assert sorted(journal.state.segments) == [6, 10, 12]
    assert journal.state.accepted == {}
    writer.send("purge_logs", minTxIdToKeep=99)
    assert sorted(journal.state.segments) == [12]


def discard(journal: Acceptor, start: int) -> list[Any]:
    request = qjournal.DiscardSegmentsRequestProto(startTxId=start)
    request.jid.identifier = "ns"
    return journal.step("discard_segments", request)


def test_discard() -> None:
    journal, _ = open_journal()
    refused(discard(journal, 5), IllegalState, "straddles txid 5")
    assert discard(journal, 11)[:-1] == [
        CloseSegment(TxId(11), trim=False),
        SetAside(segment(11, 12), ".trash"),
        NoteCommitted(TxId(10)),
    ]
    assert (journal.state.committed, journal.durable_txid) == (10, 10)


def test_manifest_shows_what_is_durable() -> None:
    journal, writer = open_journal()
    writer.journal_batch(13, 20, segment=11)
    finished, unfinished = segment(1, 10, finalized=True), segment(11, 12)
    assert journal.manifest(TxId(1), False) == [finished]
    assert journal.manifest(TxId(1), True) == [finished, unfinished]
    assert journal.manifest(TxId(12), True) == [unfinished]
    assert journal.manifest(TxId(13), True) == []
    journal.synced(TxId(20))
    assert journal.manifest(TxId(13), True) == [segment(11, 20)]


def test_tailers_see_what_is_durable() -> None:
    journal, writer = open_journal()
    writer.journal_batch(13, 20, segment=11)
    assert journal.nothing_newer(TxId(13))
    assert not journal.nothing_newer(TxId(12))
    with pytest.raises(NewerTxnId, match="available in the journal is 12, but requested txns"):
        journal.nothing_newer(TxId(14))


def test_the_drawing() -> None:
    journal, _ = open_journal()
    journal.state.accepted[TxId(1)] = Accepted(TxId(1), TxId(3), True, Epoch(2))
    assert journal.describe() == (
        "promised=2 writer=2; 1..10 finalized; 11..12 in progress open; accepted 1..3 in epoch 2"
    )
