"""lease: renewal, limits, order; against a dumb model."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.ids import InodeId
from hdfsd.namespace.lease import Leases

ONE, TWO, THREE = InodeId(1), InodeId(2), InodeId(3)


def test_one_lease_per_holder_over_all_its_files() -> None:
    leases = Leases()
    leases.add("a", ONE, 0)
    leases.add("a", TWO, 5)
    leases.add("b", THREE, 5)
    assert leases.files_of("a") == [ONE, TWO]
    assert leases.holder_of(THREE) == "b"
    assert len(leases) == 3
    assert list(leases.open_files()) == [(ONE, "a"), (TWO, "a"), (THREE, "b")]
    assert list(leases.open_files(after=1)) == [(TWO, "a"), (THREE, "b")]
    leases.remove(ONE)
    leases.remove(ONE)
    leases.remove(TWO)
    assert leases.files_of("a") == []
    assert leases.holder_of(ONE) is None
    assert not leases.soft_expired("a", 10**9)


def test_limits_are_exceeded_not_reached() -> None:
    leases = Leases(soft_limit_ms=60, hard_limit_ms=120)
    leases.add("a", ONE, 1000)
    assert not leases.soft_expired("a", 1060)
    assert leases.soft_expired("a", 1061)
    assert leases.hard_expired(1120) == []
    assert leases.hard_expired(1121) == [("a", [ONE])]


def test_adding_a_file_renews() -> None:
    leases = Leases(hard_limit_ms=100)
    leases.add("a", ONE, 0)
    leases.add("b", TWO, 50)
    leases.add("a", THREE, 60)
    assert leases.hard_expired(151) == [("b", [TWO])]


def test_expired_leases_come_oldest_first() -> None:
    leases = Leases(hard_limit_ms=10)
    for now, (holder, inode_id) in enumerate((("a", ONE), ("b", TWO), ("c", THREE))):
        leases.add(holder, inode_id, now)
    leases.renew("a", 5)
    leases.renew("nobody", 5)
    assert [holder for holder, _ in leases.hard_expired(100)] == ["b", "c", "a"]


def test_a_new_active_renews_all() -> None:
    leases = Leases(hard_limit_ms=10)
    leases.add("a", ONE, 0)
    leases.add("b", TWO, 0)
    leases.renew_all(1000)
    assert leases.hard_expired(1010) == []
    assert len(leases.hard_expired(1011)) == 2


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "remove", "renew"]),
            st.sampled_from("abc"),
            st.integers(1, 4),
        ),
        max_size=25,
    )
)
def test_agrees_with_a_model(steps: list[tuple[str, str, int]]) -> None:
    leases = Leases(hard_limit_ms=3)
    files: dict[int, str] = {}
    renewed: dict[str, int] = {}
    for now, (verb, holder, number) in enumerate(steps):
        if verb == "add":
            leases.remove(InodeId(number))
            leases.add(holder, InodeId(number), now)
            files[number] = holder
            renewed[holder] = now
        elif verb == "remove":
            leases.remove(InodeId(number))
            files.pop(number, None)
        else:
            leases.renew(holder, now)
            renewed[holder] = now
    now = len(steps)
    held = set(files.values())
    assert dict(leases.open_files()) == files
    assert {h for h, _ in leases.hard_expired(now)} == {h for h in held if now - renewed[h] > 3}
