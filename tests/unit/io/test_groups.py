"""Users and groups: overrides first, then the machine's own, asked for in threads."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hdfsd.io import groups
from hdfsd.io.groups import UnixGroups, parse_overrides

NOBODY = "no-such-user-of-this-machine"


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("", {}),
        ("dr.who=;", {"dr.who": ()}),
        ("alice=staff", {"alice": ("staff",)}),
        (
            " alice = staff , ops ;bob=guests",
            {"alice": ("staff", "ops"), "bob": ("guests",)},
        ),
        ("bob;=staff;;alice=a,,b", {"bob": (), "alice": ("a", "b")}),
    ],
)
def test_overrides(text: str, table: dict[str, tuple[str, ...]]) -> None:
    assert parse_overrides(text) == table


def of(mapping: Callable[[], UnixGroups], user: str) -> tuple[str, ...]:
    async def ask() -> tuple[str, ...]:
        return await mapping().of(user)

    return asyncio.run(ask())


def test_overrides_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_ask", lambda user: pytest.fail(f"asked for {user}"))
    assert of(lambda: UnixGroups("alice=staff,ops;dr.who=", 1), "alice") == ("staff", "ops")
    assert of(lambda: UnixGroups("alice=staff,ops;dr.who=", 1), "dr.who") == ()


def test_a_database_that_does_not_answer_stops_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads are held by it; the third lookup waits for one of them, and the loop goes on."""
    answers, both_held = threading.Event(), threading.Event()
    asked: list[str] = []

    def ask(user: str) -> tuple[str, ...]:
        asked.append(user)
        if len(asked) == 2:
            both_held.set()
        assert answers.wait(60)
        return (user,)

    monkeypatch.setattr(groups, "_ask", ask)

    async def story() -> None:
        mapping = UnixGroups("", 2)
        lookups = [asyncio.ensure_future(mapping.of(user)) for user in ("a", "b", "c")]
        assert await asyncio.to_thread(both_held.wait, 60)
        await asyncio.sleep(0.02)
        assert sorted(asked) == ["a", "b"]
        answers.set()
        assert await asyncio.gather(*lookups) == [("a",), ("b",), ("c",)]

    asyncio.run(story())


def test_an_error_is_raised_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(user: str) -> tuple[str, ...]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(groups, "_ask", ask)
    with pytest.raises(OSError, match="Input/output error"):
        of(lambda: UnixGroups("", 1), "alice")


def test_a_user_of_this_machine_has_its_groups_and_a_stranger_none() -> None:
    assert of(lambda: UnixGroups("", 1), "root")[0] == grp.getgrgid(0).gr_name
    assert of(lambda: UnixGroups("", 1), NOBODY) == ()
    assert of(lambda: UnixGroups("", 1), "root\0") == ()


def test_a_group_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "_group_ids", lambda user, primary: [primary, 123_456_789])
    assert of(lambda: UnixGroups("", 1), "root") == (grp.getgrgid(0).gr_name, "123456789")


class ManyGroups:
    """A C library in which a user has many groups."""

    def __init__(self, count: int) -> None:
        self.count = count

    def getgrouplist(self, user: bytes, primary: int, found: Any, count: Any) -> int:
        room, count._obj.value = count._obj.value, self.count
        for index in range(min(room, self.count)):
            found[index] = primary + index
        return self.count if room >= self.count else -1


def test_who_is_in_many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = pwd.getpwuid(os.getuid())
    assert groups._group_ids(mine.pw_name, mine.pw_gid) == os.getgrouplist(
        mine.pw_name, mine.pw_gid
    )
    monkeypatch.setattr(groups, "_LIBC", ManyGroups(1000))
    assert groups._group_ids("alice", 5) == list(range(5, 1005))
    monkeypatch.setattr(groups, "_LIBC", ManyGroups(groups.GROUPS_MAX + 1))
    with pytest.raises(OSError, match="alice is in more than 65536 groups"):
        groups._group_ids("alice", 5)
