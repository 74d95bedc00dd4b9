"""What a journal fetches from its peers, and when it may be formatted from them."""

from __future__ import annotations

import itertools

import pytest

from hdfsd.base.ids import INVALID_TXID, Address, Epoch, StorageInfo, TxId
from hdfsd.journal import catchup
from hdfsd.journal.acceptor import AdoptStorage, Segment
from hdfsd.journal.catchup import PeerIdentity, PeerView, Wanted

A, B, C, D = (Address(f"jn{number}", 8485) for number in range(1, 5))
STORAGE = StorageInfo(-67, 4711, 1000, "CID-a")


def finalized(first: int, last: int) -> Segment:
    return Segment(TxId(first), TxId(last), True)


def unfinished(first: int, last: int | None) -> Segment:
    return Segment(TxId(first), None if last is None else TxId(last), False)


def ours(*segments: Segment) -> dict[TxId, Segment]:
    return {segment.first_txid: segment for segment in segments}


def view(*segments: Segment, highest: int = 0) -> PeerView:
    return PeerView(segments, TxId(highest), INVALID_TXID, "http://jn:8480")


def test_what_is_missing_is_fetched_in_order_from_whoever_has_it() -> None:
    views = {
        A: view(finalized(1, 5), finalized(6, 9)),
        B: view(finalized(6, 9), finalized(10, 12)),
    }
    steps = catchup.plan(ours(finalized(1, 5)), None, views, 0)
    assert steps.wanted == (
        Wanted(finalized(6, 9), (A, B)),
        Wanted(finalized(10, 12), (B,)),
    )
    assert steps.divergent == ()
    # The next round asks the next peer first.
    assert catchup.plan({}, None, views, 1).wanted[1] == Wanted(finalized(6, 9), (B, A))
    assert catchup.plan({}, None, {}, 3) == catchup.Plan((), ())


def test_an_unfinished_copy_gives_way_to_a_finalized_one_unless_it_is_being_written() -> None:
    views = {A: view(finalized(1, 5))}
    mine = ours(unfinished(1, 3))
    assert len(catchup.plan(mine, None, views, 0).wanted) == 1
    assert catchup.plan(mine, TxId(1), views, 0).wanted == ()
    assert catchup.plan({}, TxId(3), views, 0).wanted == ()
    assert len(catchup.plan({}, TxId(6), views, 0).wanted) == 1


def test_copies_that_differ_are_told_and_left_alone() -> None:
    steps = catchup.plan({}, None, {A: view(finalized(1, 5)), B: view(finalized(1, 6))}, 0)
    assert steps.wanted == ()
    assert steps.divergent == (
        "finalized copies of segment 1 differ: 1..5 on jn1:8485, 1..6 on jn2:8485",
    )
    for mine in (finalized(1, 6), finalized(4, 9), finalized(3, 4)):
        steps = catchup.plan(ours(mine), None, {A: view(finalized(1, 5))}, 0)
        assert steps.wanted == ()
        assert steps.divergent == (
            "finalized segment 1..5 on jn1:8485 overlaps ours,"
            f" {mine.first_txid}..{mine.last_txid}",
        )


def test_the_plan_against_a_dumb_one() -> None:
    """All subsets of four neighbouring segments, here and at two peers."""
    chain = [finalized(first, first + 2) for first in (1, 4, 7, 10)]
    subsets = [
        [s for s, chosen in zip(chain, bits, strict=True) if chosen]
        for bits in itertools.product((False, True), repeat=4)
    ]
    for mine, a, b in itertools.product(subsets, repeat=3):
        steps = catchup.plan(ours(*mine), None, {A: view(*a), B: view(*b)}, 0)
        assert [w.segment for w in steps.wanted] == [
            s for s in chain if (s in a or s in b) and s not in mine
        ]


@pytest.mark.parametrize("count", range(2, 10))
def test_enough_answers_are_one_of_every_majority_that_we_were_part_of(count: int) -> None:
    others = range(count - 1)
    majority = count // 2 + 1
    needed = catchup.answers_needed(count)

    def always_meet(answers: int) -> bool:
        return all(
            set(answered) & set(rest)
            for answered in itertools.combinations(others, answers)
            for rest in itertools.combinations(others, majority - 1)
        )

    assert always_meet(needed)
    assert not always_meet(needed - 1)


def identity(promised: int, highest: int, storage: StorageInfo = STORAGE) -> PeerIdentity:
    return PeerIdentity(storage, Epoch(promised), TxId(highest))


def test_an_empty_journal_takes_over_the_highest_promise_and_learns_up_to_the_highest_txid() -> (
    None
):
    decision = catchup.adoption({A: identity(3, 20), B: identity(5, 17)}, 3)
    assert decision.adopt == AdoptStorage(STORAGE, Epoch(5), TxId(20))
    assert "jn1:8485, jn2:8485 agree on" in decision.reason
    # Where nothing was ever written, there is nothing to learn.
    fresh = catchup.adoption({A: identity(0, 0), B: identity(0, 0)}, 3)
    assert fresh.adopt == AdoptStorage(STORAGE, Epoch(0), None)


def test_it_is_not_formatted_on_the_word_of_too_few() -> None:
    decision = catchup.adoption({A: identity(3, 20), B: "no connection"}, 3)
    assert decision.adopt is None
    assert decision.reason == ("2 formatted peers must answer, 1 did (jn2:8485: no connection)")
    three_of_five = {A: identity(3, 20), B: identity(1, 1), C: identity(2, 9)}
    assert catchup.adoption({**three_of_five, D: "no connection"}, 5).adopt is not None
    two_of_five = {A: identity(3, 20), B: identity(1, 1), C: "not formatted", D: "no connection"}
    assert catchup.adoption(two_of_five, 5).adopt is None


@pytest.mark.parametrize(
    "other",
    [
        StorageInfo(-67, 4712, 1000, "CID-a"),
        StorageInfo(-67, 4711, 1000, "CID-b"),
        StorageInfo(-67, 4711, 1001, "CID-a"),
    ],
)
def test_peers_of_different_namespaces_format_nothing(other: StorageInfo) -> None:
    decision = catchup.adoption({A: identity(1, 1), B: identity(1, 1, other)}, 3)
    assert decision.adopt is None
    assert "different namespaces" in decision.reason
    # The layout version is the writer's business.
    same = StorageInfo(-66, 4711, 1000, "CID-a")
    assert catchup.adoption({A: identity(1, 1), B: identity(1, 1, same)}, 3).adopt is not None


def test_who_was_formatted_from_peers_votes_when_it_holds_what_they_had() -> None:
    views = {A: view(finalized(1, 5), finalized(6, 9), highest=12), B: view(finalized(1, 5))}

    def missing(*mine: Segment, until: int = 9) -> str | None:
        return catchup.still_missing(ours(*mine), TxId(until), views, 3)

    assert missing(finalized(1, 5)) == "segment 6 is not here yet"
    assert missing(finalized(1, 5), unfinished(6, 9)) == "segment 6 is not here yet"
    assert missing(finalized(1, 5), finalized(6, 9)) is None
    assert missing(finalized(1, 5), finalized(6, 9), until=12) == (
        "transactions up to 12 are not finalized yet"
    )
    whole = (finalized(1, 5), finalized(6, 9), finalized(11, 14))
    assert missing(*whole, until=12) == "transactions 10..10 are not here yet"
    assert catchup.still_missing(ours(*whole), TxId(9), {A: views[A]}, 3) == (
        "2 peers must answer, 1 did"
    )


def test_the_next_round_is_sooner_when_something_was_left() -> None:
    assert catchup.pause_ms(120_000, complete=True) == 120_000
    assert catchup.pause_ms(120_000, complete=False) == 10_000
    assert catchup.pause_ms(500, complete=False) == 500
