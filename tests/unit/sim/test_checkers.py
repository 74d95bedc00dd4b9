"""What the judges accuse, and what they let pass."""

from __future__ import annotations

import logging

import pytest

from hdfsd.base.errors import CorruptData, InvariantBroken, IOFault, QuorumLost
from hdfsd.sim.checkers import Copy, Judge, Violation, _asked, history
from hdfsd.sim.world import KILLED, World
from hdfsd.wire.messages import qjournal


def judge() -> Judge:
    return Judge(World("1").loop, majority=2)


def new_epoch(epoch: int) -> qjournal.NewEpochRequestProto:
    return qjournal.NewEpochRequestProto(epoch=epoch)


def finalize(epoch: int, first: int, last: int) -> qjournal.FinalizeLogSegmentRequestProto:
    request = qjournal.FinalizeLogSegmentRequestProto(startTxId=first, endTxId=last)
    request.reqInfo.epoch = epoch
    return request


def journal(epoch: int, first: int, count: int) -> qjournal.JournalRequestProto:
    request = qjournal.JournalRequestProto(firstTxnId=first, numTxns=count, segmentTxnId=first)
    request.reqInfo.epoch = epoch
    return request


def test_epochs_only_rise() -> None:
    made = judge()
    for journal in ("jn1", "jn2"):
        made.answered(journal, "new_epoch", new_epoch(1), "10.0.0.4")
    assert made.leader == "10.0.0.4"
    made.answered("jn3", "new_epoch", new_epoch(2), "10.0.0.5")
    assert made.leader == "10.0.0.4"
    made.answered("jn3", "finalize_log_segment", finalize(2, 1, 9), "10.0.0.5")
    assert made.violations == []
    made.answered("jn3", "finalize_log_segment", finalize(1, 1, 9), "10.0.0.4")
    assert "jn3 accepted finalize_log_segment of epoch 1 after 2" in made.violations[0]


def test_an_epoch_belongs_to_one_namenode() -> None:
    made = judge()
    made.answered("jn1", "new_epoch", new_epoch(1), "10.0.0.4")
    for journal in ("jn2", "jn3"):
        made.answered(journal, "new_epoch", new_epoch(1), "10.0.0.5")
    assert made.violations == []
    assert made.leader == "10.0.0.5"
    made.answered("jn2", "new_epoch", new_epoch(1), "10.0.0.4")
    assert "jn2 promised epoch 1 after 1" in made.violations[0]
    assert "epoch 1 belongs to" in made.violations[1]


def test_a_segment_has_one_end() -> None:
    made = judge()
    made.answered("jn1", "finalize_log_segment", finalize(1, 1, 9), "10.0.0.4")
    made.answered("jn2", "finalize_log_segment", finalize(2, 1, 9), "10.0.0.4")
    assert made.violations == []
    made.answered("jn3", "finalize_log_segment", finalize(2, 1, 8), "10.0.0.4")
    assert "jn3 finalized segment 1 at 8, others at 9" in made.violations[0]


@pytest.mark.parametrize(
    ("outcome", "strange"),
    [
        (None, False),
        (KILLED, False),
        (QuorumLost("write", {}), False),
        (ExceptionGroup("tasks", [QuorumLost("write", {}), OSError(28, "full")]), False),
        (ExceptionGroup("tasks", [QuorumLost("write", {}), KeyError("x")]), True),
        (InvariantBroken("P1"), True),
        (CorruptData("edits", 0, "cause"), True),
    ],
)
def test_how_processes_may_end(outcome: BaseException | str | None, strange: bool) -> None:
    made = judge()
    made.ended("nn1", outcome)
    assert bool(made.violations) == strange


def test_the_cause_of_an_end_counts_too() -> None:
    made = judge()
    error = QuorumLost("write", {})
    error.__cause__ = KeyError("x")
    made.ended("nn1", error)
    assert "KeyError" in made.violations[0]


def test_refusals_and_bugs_of_a_journal() -> None:
    made = judge()
    request = journal(2, 7, 3)
    made.failed("jn1", "journal", request, "10.0.0.4", IOFault("epoch"))
    made.failed("jn1", "journal", request, "10.0.0.4", OSError(28, "full"))
    assert made.violations == []
    made.failed("jn1", "journal", request, "10.0.0.4", KeyError("x"))
    assert "KeyError" in made.violations[0]


def test_an_accepted_recovery_is_not_forgotten() -> None:
    made = judge()
    machine = World("2").add_machine("jn1")
    made.platters["jn1"] = machine.platter
    made._accepted["jn1", 4] = 3
    prepare = qjournal.PrepareRecoveryRequestProto(segmentTxId=4)
    prepare.reqInfo.epoch = 5
    nothing = qjournal.PrepareRecoveryResponseProto(lastWriterEpoch=1)
    made.answered("jn1", "prepare_recovery", prepare, "10.0.0.4", nothing)
    assert made.violations == []
    answer = qjournal.PrepareRecoveryResponseProto(lastWriterEpoch=1, acceptedInEpoch=2)
    answer.segmentState.startTxId, answer.segmentState.endTxId = 4, 9
    answer.segmentState.isInProgress = True
    made.answered("jn1", "prepare_recovery", prepare, "10.0.0.4", answer)
    assert [v.partition(": ")[2] for v in made.violations] == [
        "jn1 presents 4..9, not durable",
        "jn1 forgot that it accepted segment 4 in epoch 3",
    ]
    # A start that is asked for may drop it, whether it is answered or not.
    made.asked("jn1", qjournal.StartLogSegmentRequestProto(txid=4))
    made.answered("jn1", "prepare_recovery", prepare, "10.0.0.4", answer)
    assert sum("forgot" in violation for violation in made.violations) == 1


def test_a_segment_with_an_acknowledged_batch_is_not_started_again() -> None:
    made = judge()
    made._written["jn1", 4] = 2
    start = qjournal.StartLogSegmentRequestProto(txid=4)
    for epoch in (3, 2):
        start.reqInfo.epoch = epoch
        made._started("jn1", start.txid, epoch)
    assert [v.partition(": ")[2] for v in made.violations] == [
        "jn1 starts segment 4 again, acknowledged in 2"
    ]


def test_answers_are_told_as_a_story(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    made = judge()
    made.name_of = {"10.0.0.4": "nn1"}.__getitem__
    made.answered("jn1", "new_epoch", new_epoch(2), "10.0.0.4")
    made.answered("jn1", "finalize_log_segment", finalize(2, 1, 6), "10.0.0.4")
    made.failed("jn1", "journal", journal(2, 7, 3), "10.0.0.4", IOFault("no segment is open"))
    assert caplog.messages == [
        "yes to nn1: new_epoch 2",
        "yes to nn1: finalize_log_segment 1..6 in epoch 2",
        "no to nn1: journal 7..9 of segment 7 in epoch 2: java.io.IOException: no segment is open",
    ]


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("StartLogSegment", {"txid": 7}, "asked 7 in epoch 0"),
        ("PrepareRecovery", {"segmentTxId": 7}, "asked of segment 7 in epoch 0"),
        ("Heartbeat", {}, "asked in epoch 0"),
        ("Format", {}, "asked"),
    ],
)
def test_requests_in_a_few_words(name: str, fields: dict[str, int], words: str) -> None:
    assert _asked("asked", getattr(qjournal, f"{name}RequestProto")(**fields)) == words


def test_an_accepted_recovery_in_a_few_words() -> None:
    request = qjournal.AcceptRecoveryRequestProto()
    request.stateToAccept.startTxId, request.stateToAccept.endTxId = 4, 9
    assert _asked("accept_recovery", request) == "accept_recovery 4..9 in epoch 0"


def copy(journal: str, first: int, last: int, *, finalized: bool = True, mark: str = "a") -> Copy:
    frames = "".join(f"{mark}{txid};" for txid in range(first, last + 1)).encode()
    return Copy(journal, first, last, finalized, frames)


def ends(found: list[Copy], *, purged: bool = False) -> list[tuple[int, int]]:
    return [(c.first_txid, c.last_txid) for c in history(found, 2, purged=purged)]


def test_history_of_finalized_and_open_segments() -> None:
    found = [
        copy("jn1", 1, 3),
        copy("jn2", 1, 2, finalized=False),
        copy("jn1", 4, 9, finalized=False),
        copy("jn2", 4, 6, finalized=False),
    ]
    assert ends(found) == [(1, 3), (4, 6)], "the open one as far as a majority has it"
    assert ends(found[:3]) == [(1, 3)], "one copy of an open segment proves nothing"


def test_history_does_not_believe_open_copies_that_differ() -> None:
    found = [copy("jn1", 1, 2, finalized=False), copy("jn2", 1, 2, finalized=False, mark="b")]
    assert ends(found) == []


def test_finalized_copies_must_be_the_same() -> None:
    with pytest.raises(Violation, match="P3: finalized copies of segment 1 differ"):
        ends([copy("jn1", 1, 3), copy("jn2", 1, 3, mark="b")])
    with pytest.raises(Violation, match=r"P3.*1\.\.3.*1\.\.4"):
        ends([copy("jn1", 1, 3), copy("jn2", 1, 4)])


def test_a_gap_is_a_loss_unless_old_segments_are_dropped() -> None:
    found = [copy("jn1", 1, 3), copy("jn1", 7, 8), copy("jn2", 9, 9)]
    with pytest.raises(Violation, match="P1: a gap"):
        ends(found)
    assert ends(found, purged=True) == [(7, 8), (9, 9)]
