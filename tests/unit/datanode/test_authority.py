from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hdfsd.base.ids import NodeId, TxId
from hdfsd.datanode.authority import Authority

NN1, NN2 = NodeId("nn1"), NodeId("nn2")


def heard(authority: Authority, node: NodeId, active: bool, txid: int) -> Authority:
    return authority.heard(node, claims_active=active, txid=TxId(txid))[0]


def test_nobody_is_obeyed_before_a_claim() -> None:
    authority = heard(Authority(), NN1, False, 100)
    assert not authority.obeys(NN1)
    assert not authority.obeys(NN2)


def test_the_first_claim_is_believed() -> None:
    authority, reason = Authority().heard(NN1, claims_active=True, txid=TxId(5))
    assert authority.obeys(NN1)
    assert reason == "nn1 is active at txid 5"


def test_a_newer_claim_takes_over_and_the_old_one_can_not_come_back() -> None:
    authority = heard(Authority(), NN1, True, 100)
    authority, reason = authority.heard(NN2, claims_active=True, txid=TxId(101))
    assert reason == "nn2 is active at txid 101, taking over from nn1"
    stale, reason = authority.heard(NN1, claims_active=True, txid=TxId(101))
    assert stale.obeys(NN2)
    assert "more recent claim at txid 101" in reason


def test_an_active_that_gives_up_is_obeyed_no_more() -> None:
    authority = heard(heard(Authority(), NN1, True, 100), NN1, False, 120)
    assert authority.active is None
    assert not heard(authority, NN2, True, 100).obeys(NN2)
    assert heard(authority, NN2, True, 101).obeys(NN2)


def test_the_active_shows_progress_silently() -> None:
    authority, reason = heard(Authority(), NN1, True, 1).heard(
        NN1, claims_active=True, txid=TxId(50)
    )
    assert (authority.txid, reason) == (50, "")
    assert not heard(authority, NN2, True, 50).obeys(NN2)


@given(st.lists(st.tuples(st.sampled_from([NN1, NN2]), st.booleans(), st.integers(0, 20))))
def test_a_taken_over_claim_is_always_newer(history: list[tuple[NodeId, bool, int]]) -> None:
    authority = Authority()
    for node, active, txid in history:
        after = heard(authority, node, active, txid)
        assert after.txid >= authority.txid
        if after.active not in (None, authority.active):
            assert (after.active, after.txid) == (node, txid)
            assert txid > authority.txid
        authority = after
