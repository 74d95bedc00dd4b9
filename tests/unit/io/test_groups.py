"""Users and groups: overrides first, then the machine's own, remembered for a while."""

from __future__ import annotations

import grp
import os

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


class Asked:
    def __init__(self) -> None:
        self.users: list[str] = []
        self.now = 100.0

    def __call__(self, user: str) -> tuple[str, ...]:
        self.users.append(user)
        return (f"{user}-{len(self.users)}",)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr(groups, "_ask", made)
    monkeypatch.setattr("time.monotonic", lambda: made.now)
    return made


def test_overrides_are_not_asked_for(asked: Asked) -> None:
    mapping = UnixGroups("alice=staff,ops;dr.who=", 300)
    assert mapping.of("alice") == ("staff", "ops")
    assert mapping.of("dr.who") == ()
    assert asked.users == []


def test_answers_are_remembered_until_they_are_old_or_forgotten(asked: Asked) -> None:
    mapping = UnixGroups("", 300)
    assert mapping.of("bob") == mapping.of("bob") == ("bob-1",)
    asked.now += 299
    assert mapping.of("bob") == ("bob-1",)
    asked.now += 1
    assert mapping.of("bob") == ("bob-2",)
    mapping.forget()
    assert mapping.of("bob") == ("bob-3",)


def test_made_up_names_do_not_fill_the_memory(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "USERS_MAX", 3)
    mapping = UnixGroups("", 300)
    for name in "abcd":
        mapping.of(name)
    assert len(mapping._cache) == 1


def test_a_user_of_this_machine_has_its_groups_and_a_stranger_none() -> None:
    mapping = UnixGroups("", 300)
    found = mapping.of("root")
    assert found[0] == grp.getgrgid(0).gr_name
    assert mapping.of(NOBODY) == ()


def test_a_group_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getgrouplist", lambda user, primary: [primary, 123_456_789])
    assert UnixGroups("", 300).of("root") == (grp.getgrgid(0).gr_name, "123456789")
