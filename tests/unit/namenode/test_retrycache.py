import pytest

from hdfsd.base.ids import TxId
from hdfsd.namenode.retrycache import RetryCache

CLIENT = b"0123456789abcdef"


def cache(entries_max: int = 10) -> RetryCache[str]:
    return RetryCache(life_ms=1000, entries_max=entries_max)


def test_an_entry_is_found_until_its_life_ends() -> None:
    retry = cache()
    retry.add(CLIENT, 7, TxId(3), "yes", now_ms=100)
    found = retry.find(CLIENT, 7, now_ms=1099)
    assert found is not None
    assert (found.txid, found.answer) == (3, "yes")
    assert retry.find(CLIENT, 7, now_ms=1100) is None
    assert retry.find(CLIENT, 8, now_ms=100) is None
    assert retry.find(CLIENT[::-1], 7, now_ms=100) is None


@pytest.mark.parametrize(("client_id", "call_id"), [(b"", 1), (b"short", 1), (CLIENT, -2)])
def test_calls_without_an_identity_are_not_kept(client_id: bytes, call_id: int) -> None:
    retry = cache()
    retry.add(client_id, call_id, TxId(1), "yes", now_ms=0)
    assert len(retry) == 0


def test_a_replayed_entry_has_no_answer_and_a_later_answer_replaces_it() -> None:
    retry = cache()
    retry.add(CLIENT, 1, TxId(5), None, now_ms=0)
    first = retry.find(CLIENT, 1, 0)
    assert first is not None
    assert first.answer is None
    retry.add(CLIENT, 1, TxId(6), "made", now_ms=10)
    second = retry.find(CLIENT, 1, 1005)
    assert second is not None
    assert second.answer == "made"
    assert len(retry) == 1


def test_expired_and_surplus_entries_are_forgotten() -> None:
    retry = cache(entries_max=3)
    for call_id in range(5):
        retry.add(CLIENT, call_id, TxId(call_id), "x", now_ms=0)
    assert len(retry) == 3
    assert retry.find(CLIENT, 1, 0) is None
    retry.add(CLIENT, 9, TxId(9), "x", now_ms=5000)
    assert len(retry) == 1
