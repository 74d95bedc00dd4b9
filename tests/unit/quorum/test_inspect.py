"""Journals beside each other: coverage, divergence, and what is a problem."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.ids import Epoch, NodeId, StorageInfo, TxId
from hdfsd.editlog.checkup import SegmentReport
from hdfsd.editlog.files import SegmentFile
from hdfsd.quorum.inspect import AcceptedRecovery, JournalContent, Verdict, verify

STORAGE = StorageInfo(-67, 1, 2, "C")


def report(first: int, last: int, *, finalized: bool = True, content: int = 0) -> SegmentReport:
    """A good segment; `content` other than 0: of another writer."""
    sums = array("I", [txid * 10 + content for txid in range(first, last + 1)])
    file = SegmentFile(TxId(first), TxId(last) if finalized else None, f"edits_{first}")
    good = last >= first
    return SegmentReport(
        file, -67, TxId(first) if good else None, TxId(last) if good else None, sums, 1, None, None
    )


def journal(
    name: str,
    *segments: SegmentReport,
    storage: StorageInfo = STORAGE,
    promised: int = 1,
    committed: int | None = None,
    accepted: Mapping[TxId, AcceptedRecovery] | None = None,
) -> JournalContent:
    return JournalContent(
        NodeId(name),
        formatted=True,
        storage=storage,
        promised=Epoch(promised),
        writer_epoch=Epoch(1),
        committed_txid=None if committed is None else TxId(committed),
        accepted=accepted or {},
        segments=segments,
    )


def texts(verdict: Verdict) -> list[str]:
    return [
        f"{f.severity.value}: {f.journal + ' ' if f.journal else ''}{f.text}"
        for f in verdict.findings
    ]


def test_three_alike_are_clean() -> None:
    verdict = verify([journal(n, report(1, 5), report(6, 9, finalized=False)) for n in "abc"])
    assert list(verdict.durable) == [(1, 9)]
    assert texts(verdict) == []


def test_one_that_was_down_misses_what_a_majority_has() -> None:
    whole = [report(1, 5), report(6, 9), report(10, 12)]
    verdict = verify([journal("a", *whole), journal("b", *whole), journal("c", whole[0], whole[2])])
    assert texts(verdict) == ["note: c misses txids 6 to 9, which a majority holds"]
    assert not verdict.problems


def test_a_longer_open_copy_is_not_on_a_majority() -> None:
    verdict = verify(
        [
            journal("a", report(1, 9, finalized=False), committed=7),
            journal("b", report(1, 7, finalized=False)),
            journal("c", report(1, 7, finalized=False)),
        ]
    )
    assert list(verdict.durable) == [(1, 7)]
    assert texts(verdict) == [
        "note: txids 8 to 9 are on a only: nobody was told that they are durable; a recovery keeps"
        " or drops them"
    ]


def test_other_bytes_under_the_same_txids() -> None:
    verdict = verify(
        [
            journal("a", report(1, 9)),
            journal("b", report(1, 4, finalized=False), report(5, 9, finalized=False, content=1)),
            journal("c", report(1, 9)),
        ]
    )
    assert [f.text for f in verdict.problems] == ["txids 5 to 9 have other bytes on a, c and b"]
    assert list(verdict.durable) == [(1, 9)]


def test_divergence_begins_where_the_bytes_begin_to_differ() -> None:
    other = report(1, 9)
    other.checksums[6] += 1
    verdict = verify([journal("a", report(1, 9)), journal("b", other), journal("c", report(1, 5))])
    assert [(s.first_txid, s.last_txid, s.others) for s in verdict.spans] == [
        (1, 5, ()),
        (6, 6, ()),
        (7, 9, (("b",),)),
    ]
    assert "txids 7 to 9 have other bytes on a and b" in texts(verdict)[0]
    assert list(verdict.durable) == [(1, 6)]


PROBLEMS = [
    (
        [journal("a", report(1, 5)), journal("b"), journal("c")],
        "problem: txids 1 to 5 are on a only: less than a majority of 2",
    ),
    (
        [journal(n, report(1, 5), report(8, 9)) for n in "abc"],
        "problem: no journal holds txids 6 to 7",
    ),
    (
        [journal("a", report(1, 5), committed=6), *(journal(n, report(1, 5)) for n in "bc")],
        "problem: a was told that txid 6 is durable, but a majority holds only up to 5",
    ),
    (
        [
            journal("a", report(1, 5)),
            journal("b", report(1, 5), storage=StorageInfo(-67, 9, 2, "C")),
        ],
        "problem: the journals are of different namespaces: a: namespace 1, cluster C, cTime 2;"
        " b: namespace 9, cluster C, cTime 2",
    ),
    ([journal("a", promised=0)], "problem: a has promised epoch 0, below its last writer's 1"),
    ([journal("a", report(1, 5), report(7, 9))], "problem: a has no transactions 6 to 6"),
    ([journal("a", report(1, 5), report(4, 9))], "problem: a edits_4 begins within edits_1"),
    ([JournalContent(NodeId("a"), error="can't be asked: x")], "problem: a can't be asked: x"),
    ([JournalContent(NodeId("a"))], "problem: a is not formatted"),
    (
        [
            journal(
                "a",
                report(1, 5, finalized=False),
                accepted={TxId(1): AcceptedRecovery(TxId(6), True, Epoch(2))},
            )
        ],
        "problem: a accepted a recovery of the segment at 1 up to 6 in epoch 2, but holds it",
    ),
]


@pytest.mark.parametrize(("contents", "text"), PROBLEMS)
def test_problems(contents: list[JournalContent], text: str) -> None:
    assert any(found.startswith(text) for found in texts(verify(contents))), texts(verify(contents))


def test_operations_behind_the_end_are_a_problem_of_a_journalnode_only() -> None:
    """A writer that was replaced leaves them in a directory of NameNodes."""
    longer = replace(report(1, 9), file=report(1, 5).file)
    node = journal("a", longer)
    text = "a edits_1 holds txids up to 9 behind its end 5"
    assert texts(verify([node])) == [f"problem: {text}"]
    shared = replace(node, promised=None, writer_epoch=None)
    assert texts(verify([shared])) == [f"note: {text}"]


def test_what_is_purged_elsewhere_is_only_told() -> None:
    verdict = verify(
        [journal("a", report(1, 5), report(6, 9)), *(journal(n, report(6, 9)) for n in "bc")]
    )
    assert texts(verdict) == ["note: txids 1 to 5 are on a only: older than what a majority keeps"]


# -- against the dumb way --------------------------------------------------------------------


@st.composite
def quorums(draw: st.DrawFn) -> list[JournalContent]:
    found = []
    for name in "abc":
        at, segments = 1, []
        for _ in range(draw(st.integers(0, 3))):
            at += draw(st.integers(0, 2))
            last = at + draw(st.integers(0, 3))
            finalized, content = draw(st.booleans()), draw(st.integers(0, 1))
            segments.append(report(at, last, finalized=finalized, content=content))
            at = last + 1
        found.append(journal(name, *segments))
    return found


def held(content: JournalContent, txid: int) -> int | None:
    for segment in content.segments:
        if segment.first_txid is not None and segment.last_txid is not None:
            if segment.first_txid <= txid <= segment.last_txid:
                return segment.checksums[txid - segment.first_txid]
    return None


@given(quorums())
def test_what_is_on_a_majority_is_what_counting_says(contents: list[JournalContent]) -> None:
    verdict = verify(contents)
    for txid in range(1, 20):
        copies = [held(content, txid) for content in contents]
        holders = [copy for copy in copies if copy is not None]
        most = max((holders.count(copy) for copy in holders), default=0)
        durable = any(first <= txid <= last for first, last in verdict.durable)
        diverges = any(s.others for s in verdict.spans if s.first_txid <= txid <= s.last_txid)
        if len(set(holders)) > 1:
            assert diverges
        if not diverges:
            assert durable == (most >= 2)
        if durable:
            assert len(holders) >= 2
