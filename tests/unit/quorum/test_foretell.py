"""What a recovery would do: the sentences, and that journals really answer as is said of them."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.ids import INVALID_TXID, Epoch, NodeId, StorageInfo, TxId
from hdfsd.editlog.checkup import SegmentReport
from hdfsd.editlog.files import SegmentFile
from hdfsd.journal import acceptor
from hdfsd.quorum.foretell import foretell, newest_with_transactions, prepare_answer
from hdfsd.quorum.inspect import AcceptedRecovery, JournalContent
from hdfsd.wire.messages import hdfs_server, qjournal

STORAGE = StorageInfo(-67, 1, 2, "C")


def report(first: int, last: int | None, *, finalized: bool = False) -> SegmentReport:
    file = SegmentFile(
        TxId(first), TxId(last) if finalized and last is not None else None, f"edits_{first}"
    )
    sums = array("I", range(first, (last or first - 1) + 1))
    ends = (TxId(first), TxId(last)) if last is not None else (None, None)
    return SegmentReport(file, -67, *ends, sums, 1, None, None)


def journal(
    name: str,
    *segments: SegmentReport,
    writer: int = 1,
    promised: int = 1,
    committed: int | None = None,
    accepted: tuple[int, int, int] | None = None,
) -> JournalContent:
    """`accepted`: first and last txid, and the epoch."""
    recoveries = {}
    if accepted is not None:
        first, last, epoch = accepted
        recoveries = {TxId(first): AcceptedRecovery(TxId(last), True, Epoch(epoch))}
    return JournalContent(
        NodeId(name),
        formatted=True,
        storage=STORAGE,
        promised=Epoch(promised),
        writer_epoch=Epoch(writer),
        committed_txid=None if committed is None else TxId(committed),
        accepted=recoveries,
        segments=segments,
    )


def test_the_whole_story() -> None:
    forecast = foretell(
        [
            journal("a", report(1, 5, finalized=True), report(6, 9), promised=2, writer=2),
            journal("b", report(1, 5, finalized=True), report(6, 8), promised=2, writer=2),
            journal("c", report(1, 4)),
        ]
    )
    assert forecast.sentences == [
        "3 of 3 journals would answer; a majority is 2.",
        "The new epoch would be 3, one above the highest promise (2, of a); every older writer is"
        " fenced by it.",
        "The newest segment that holds transactions begins at txid 6: it is recovered.",
        "Asked for it, a has 6..9 in progress, writer epoch 2.",
        "Asked for it, b has 6..8 in progress, writer epoch 2.",
        "Asked for it, c has nothing.",
        "It would choose the copy of a with 6..9 in progress: longest of epoch 2.",
        "The segment would end at txid 9; txid 10 is next.",
        "a would finalize its own copy, cut off behind txid 9.",
        "b would complete its copy, which ends at 8: fetch 6..9 from a, and finalize it.",
        "c would fetch 6..9 from a, and finalize it.",
        "If only b and c answered in time, it would end it at txid 8: nobody was told that the"
        " difference is durable.",
    ]
    assert (forecast.possible, forecast.epoch, forecast.end_txid) == (True, 3, 9)
    assert forecast.source == "a"


def test_every_majority_agrees() -> None:
    forecast = foretell([journal(name, report(1, 4)) for name in "abc"])
    assert forecast.sentences[-1] == "Every majority of them would decide the same end."


def test_the_newer_epoch_beats_the_longer_copy() -> None:
    forecast = foretell(
        [journal("a", report(1, 9)), *(journal(n, report(1, 7), writer=2) for n in "bc")]
    )
    assert forecast.end_txid == 7
    assert forecast.steps[NodeId("a")].startswith("drop its copy, which ends at 9: fetch 1..7")


def test_a_copy_of_the_same_length_but_another_epoch_is_replaced() -> None:
    forecast = foretell([journal("a", report(1, 7)), journal("b", report(1, 7), writer=2)])
    assert forecast.steps[NodeId("a")].startswith("replace its copy")
    assert forecast.steps[NodeId("b")].startswith("finalize its own copy")


def test_finalized_copies_do_nothing() -> None:
    forecast = foretell([journal("a", report(1, 7, finalized=True)), journal("b", report(1, 9))])
    assert forecast.steps[NodeId("a")] == "do nothing: it has finalized the segment"
    assert forecast.end_txid == 7


def test_an_empty_quorum() -> None:
    forecast = foretell([journal(name) for name in "abc"])
    assert forecast.possible
    assert "there is nothing to recover" in forecast.sentences[-1]


def test_without_a_majority() -> None:
    gone = [JournalContent(NodeId(n), error="can't be asked: cut") for n in "bc"]
    forecast = foretell([journal("a", report(1, 5)), *gone])
    assert not forecast.possible
    assert forecast.sentences[0] == (
        "b would take no part: it can't be read (can't be asked: cut)."
    )
    assert "could not become active" in forecast.sentences[-1]


def test_a_decision_that_breaks_an_invariant_is_told() -> None:
    forecast = foretell([journal("a", report(1, 5), committed=9), journal("b", report(1, 5))])
    assert not forecast.possible
    assert "The NameNode would stop rather than decide: " in forecast.sentences[-1]
    assert "saw 9 committed" in forecast.sentences[-1]


def test_what_a_live_journal_does_not_tell_is_said() -> None:
    live = JournalContent(
        NodeId("a"), formatted=True, promised=Epoch(1), accepted=None, segments=(report(1, 5),)
    )
    assert any("can't be seen from outside" in text for text in foretell([live]).sentences)


def test_a_journal_whose_accepted_recovery_is_not_on_its_disk_refuses() -> None:
    odd = journal("a", report(1, 5), accepted=(1, 6, 1))
    forecast = foretell([odd, *(journal(n, report(1, 5)) for n in "bc")])
    assert forecast.possible
    assert forecast.steps[NodeId("a")] == "nothing: it refuses"


# -- as the acceptor answers -----------------------------------------------------------------


@st.composite
def states(draw: st.DrawFn) -> tuple[JournalContent, acceptor.JournalState]:
    segments, at = [], 1
    for _ in range(draw(st.integers(0, 2))):
        last = at + draw(st.integers(0, 3))
        segments.append(report(at, last, finalized=True))
        at = last + 1
    if draw(st.booleans()):
        last_open = draw(st.one_of(st.none(), st.integers(at, at + 3)))
        segments.append(report(at, last_open))
    accepted = None
    newest = segments[-1] if segments else None
    if newest is not None and newest.end_txid is not None and draw(st.booleans()):
        accepted = (newest.file.first_txid, newest.end_txid, draw(st.integers(1, 3)))
    content = journal(
        "a",
        *segments,
        writer=draw(st.integers(1, 3)),
        promised=3,
        committed=draw(st.one_of(st.none(), st.integers(1, 9))),
        accepted=accepted,
    )
    return content, state_of(content)


def state_of(content: JournalContent) -> acceptor.JournalState:
    assert content.accepted is not None
    return acceptor.JournalState(
        storage=STORAGE,
        has_data=True,
        promised=content.promised or Epoch(0),
        writer_epoch=content.writer_epoch or Epoch(0),
        committed=content.committed_txid or INVALID_TXID,
        segments={
            r.file.first_txid: acceptor.Segment(
                r.file.first_txid, r.end_txid, not r.file.in_progress
            )
            for r in content.segments
        },
        accepted={
            first: acceptor.Accepted(first, a.last_txid, a.in_progress, a.epoch)
            for first, a in content.accepted.items()
        },
    )


@given(states())
def test_the_journal_answers_as_foretold(
    pair: tuple[JournalContent, acceptor.JournalState],
) -> None:
    content, state = pair
    journal_id = qjournal.JournalIdProto(identifier="ns")
    real = acceptor.Acceptor("ns", "/jn/ns", state)
    storage = hdfs_server.StorageInfoProto(
        layoutVersion=(1 << 32) - 67, namespceID=1, clusterID="C", cTime=2
    )
    namespace = hdfs_server.NamespaceInfoProto(
        buildVersion="", unused=0, blockPoolID="", softwareVersion="", storageInfo=storage
    )
    promise = qjournal.NewEpochRequestProto(jid=journal_id, nsInfo=namespace, epoch=4)
    newest = answer_of(real.step("new_epoch", promise))
    told = TxId(newest.lastSegmentTxId) if newest.HasField("lastSegmentTxId") else None
    assert newest_with_transactions(content) == told
    if told is None:
        return
    ask = qjournal.PrepareRecoveryRequestProto(
        reqInfo=qjournal.RequestInfoProto(journalId=journal_id, epoch=4, ipcSerialNumber=1),
        segmentTxId=told,
    )
    answer = answer_of(real.step("prepare_recovery", ask))
    foretold = prepare_answer(content, told)
    assert foretold.segment is not None
    assert foretold.segment.last_txid == answer.segmentState.endTxId
    assert foretold.segment.finalized == (not answer.segmentState.isInProgress)
    assert foretold.accepted_epoch == answer.acceptedInEpoch
    assert foretold.writer_epoch == answer.lastWriterEpoch
    assert foretold.committed_txid == answer.lastCommittedTxId


def answer_of(effects: list[acceptor.Effect]) -> Any:
    reply = effects[-1]
    assert isinstance(reply, acceptor.Reply), reply
    return reply.message


@pytest.mark.parametrize("count", [1, 3, 5])
def test_numbers_of_journals(count: int) -> None:
    forecast = foretell([journal(str(n), report(1, 5)) for n in range(count)])
    assert f"a majority is {count // 2 + 1}" in forecast.sentences[0]
