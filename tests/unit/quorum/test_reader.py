"""What is durable, against a dumb model; chains of segments."""

from __future__ import annotations

import itertools

import pytest

from hdfsd.base.ids import NodeId, TxId
from hdfsd.editlog.frames import Run
from hdfsd.quorum.reader import RemoteSegment, chain, durable_tail, newest_txid


def run(text: str) -> Run:
    """One transaction per letter, from txid 5 on."""
    return Run(TxId(5), len(text), text.encode())


@pytest.mark.parametrize(
    ("answers", "durable", "more_possible", "agreed"),
    [
        (["abc", "abc", "abc"], "abc", False, True),
        (["abc", "abc"], "abc", False, True),
        (["abc", "ab"], "ab", True, True),
        (["abc", "ab", "a"], "ab", True, True),
        (["abc", ""], None, True, True),
        (["", ""], None, False, True),
        (["abc"], None, True, True),
        ([], None, True, True),
        (["abc", "xyz"], None, False, False),
        (["abx", "ab", "xy"], "ab", True, True),
        (["xyz", "ab", ""], None, True, False),
    ],
)
def test_tails(answers: list[str], durable: str | None, more_possible: bool, agreed: bool) -> None:
    tail = durable_tail(TxId(5), [run(text) for text in answers], 2)
    assert tail.run == (None if durable is None else run(durable))
    assert (tail.more_possible, tail.agreed) == (more_possible, agreed)


def test_whatever_is_given_is_on_a_majority() -> None:
    """Q5, all sets of three answers over two letters."""
    texts = ["".join(p) for n in range(4) for p in itertools.product("ab", repeat=n)]
    for answers in itertools.product(texts, repeat=3):
        tail = durable_tail(TxId(5), [run(text) for text in answers], 2)
        if tail.run is not None:
            text = tail.run.data.decode()
            assert sum(answer.startswith(text) for answer in answers) >= 2


def done(first: int, last: int) -> RemoteSegment:
    return RemoteSegment(TxId(first), TxId(last), True)


def open_(first: int, last: int) -> RemoteSegment:
    return RemoteSegment(TxId(first), TxId(last), False)


def draw(since: int, *manifests: list[RemoteSegment]) -> list[str]:
    named = {NodeId(f"jn{i}"): manifest for i, manifest in enumerate(manifests, 1)}
    return [
        f"{s.segment.first_txid}-{s.segment.last_txid}{'' if s.segment.finalized else '*'}"
        f" {','.join(s.journals)}"
        for s in chain(TxId(since), named, 2)
    ]


def test_finalized_segments_from_any_journal() -> None:
    assert draw(1, [done(1, 9)], [done(10, 20)]) == ["1-9 jn1", "10-20 jn2"]
    assert draw(12, [done(1, 9), done(10, 20)], [done(10, 20)]) == ["10-20 jn1,jn2"]


def test_a_gap_ends_the_chain() -> None:
    assert draw(1, [done(1, 9), done(15, 20)], []) == ["1-9 jn1"]
    assert draw(10, [done(1, 9), done(15, 20)], []) == []


def test_the_open_segment_reaches_as_far_as_a_majority_does() -> None:
    assert draw(1, [done(1, 9), open_(10, 30)], [open_(10, 25)]) == ["1-9 jn1", "10-25* jn1,jn2"]
    assert draw(12, [open_(10, 30)], [open_(10, 25)]) == ["10-25* jn1,jn2"]
    assert draw(26, [open_(10, 30)], [open_(10, 25)]) == []


def test_one_open_copy_proves_nothing() -> None:
    assert draw(1, [done(1, 9), open_(10, 30)], [done(1, 9)]) == ["1-9 jn1,jn2"]


def test_a_stale_open_copy_beside_a_finalized_one_is_not_read() -> None:
    """A journal that was cut off keeps what a fenced writer sent; the decision is 1-8."""
    assert draw(1, [open_(1, 10)], [done(1, 8)]) == ["1-8 jn2"]
    assert draw(9, [open_(1, 10)], [done(1, 8)], [open_(1, 10)]) == []


def test_newest() -> None:
    def newest(*manifests: list[RemoteSegment]) -> int:
        return newest_txid({NodeId(str(i)): m for i, m in enumerate(manifests)}, 2)

    assert newest([], []) == 0
    assert newest([done(5, 9)], []) == 9
    assert newest([done(5, 9), open_(10, 12)], [open_(10, 11)]) == 11
    assert newest([open_(1, 12)], [open_(1, 11)], [open_(1, 3)]) == 11
    assert newest([done(1, 9), open_(10, 12)], [done(1, 9)]) == 9
    assert newest([open_(10, 12)], [open_(10, 12)]) == 12
    assert newest([open_(1, 10)], [done(1, 8)], [open_(1, 10)]) == 8
