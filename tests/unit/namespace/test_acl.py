"""acl: merging, masks, inheritance, and the stored form; Hadoop's answers are in test_mutate."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.errors import AclFault
from hdfsd.editlog.ops import (
    ACL_ACCESS,
    ACL_DEFAULT,
    ACL_GROUP,
    ACL_MASK,
    ACL_OTHER,
    ACL_USER,
    AclEntry,
)
from hdfsd.namespace import acl

KINDS = {"user": ACL_USER, "group": ACL_GROUP, "mask": ACL_MASK, "other": ACL_OTHER}


def entries(text: str) -> tuple[AclEntry, ...]:
    """`user:bob:7 default:other::0`"""
    found = []
    for word in text.split():
        scope = ACL_DEFAULT if word.startswith("default:") else ACL_ACCESS
        kind, name, bits = word.removeprefix("default:").split(":")
        found.append(AclEntry(KINDS[kind], scope, int(bits), name or None))
    return tuple(found)


def text(found: tuple[AclEntry, ...]) -> str:
    names = {value: key for key, value in KINDS.items()}
    return " ".join(
        f"{'default:' if e.scope else ''}{names[e.type]}:{e.name or ''}:{e.permission}"
        for e in found
    )


MINIMAL = "user::7 group::5 other::0"
EXTENDED = "user::7 user:bob:7 group::5 mask::7 other::0"


@pytest.mark.parametrize(
    ("change", "before", "spec", "after"),
    [
        (acl.merge, MINIMAL, "user:bob:7", EXTENDED),
        (acl.merge, EXTENDED, "user:bob:4", "user::7 user:bob:4 group::5 mask::5 other::0"),
        (acl.merge, EXTENDED, "mask::1", "user::7 user:bob:7 group::5 mask::1 other::0"),
        (acl.merge, MINIMAL, "other::7", "user::7 group::5 other::7"),
        (
            acl.merge,
            MINIMAL,
            "default:user:bob:7",
            "user::7 group::5 other::0 default:user::7 default:user:bob:7 default:group::5"
            " default:mask::7 default:other::0",
        ),
        (acl.remove, EXTENDED, "user:bob:0", "user::7 group::5 mask::5 other::0"),
        (acl.remove, EXTENDED, "user:eve:0", EXTENDED),
        (acl.remove, "user::7 group::5 mask::7 other::0", "mask::0", MINIMAL),
        (acl.replace_all, EXTENDED, "user::6 group::4 other::4", "user::6 group::4 other::4"),
        (
            acl.replace_all,
            EXTENDED,
            "default:user::7 default:group::7 default:other::7",
            f"{EXTENDED} default:user::7 default:group::7 default:other::7",
        ),
    ],
)
def test_changes(
    change: Callable[..., tuple[AclEntry, ...]], before: str, spec: str, after: str
) -> None:
    assert text(change(entries(before), entries(spec))) == after


@pytest.mark.parametrize(
    ("change", "spec", "why"),
    [
        (acl.remove, "user::0", "the user, group and other entries are required"),
        (acl.remove, "mask::0", "mask is required and cannot be deleted"),
        (acl.merge, "user:a:1 user:a:2", "multiple entries with same scope, type and name"),
        (acl.merge, "mask:a:1", "this entry type must not have a name: mask:a:--x"),
        (acl.merge, " ".join(f"user:u{i}:1" for i in range(30)), "exceeds maximum of 32"),
        (acl.merge, " ".join(f"user:u{i}:1" for i in range(33)), "33 access entries"),
    ],
)
def test_refusals(change: Callable[..., object], spec: str, why: str) -> None:
    with pytest.raises(AclFault, match="Invalid ACL: ") as caught:
        change(entries(EXTENDED), entries(spec))
    assert why in caught.value.message


def test_default_alone_may_go() -> None:
    both = entries(f"{MINIMAL} default:user::7 default:group::7 default:other::7")
    assert text(acl.without_default(both)) == MINIMAL


@pytest.mark.parametrize(
    ("parent", "mode", "is_directory", "expected"),
    [
        ("", 0o755, True, None),
        ("group::5", 0o755, True, None),
        ("default:user::7 default:group::5 default:other::5", 0o666, False, ("", 0o644)),
        (
            "default:user::7 default:user:bob:7 default:group::5 default:mask::7 default:other::0",
            0o640,
            False,
            ("user:bob:7 group::5", 0o640),
        ),
        (
            "default:user::7 default:group::5 default:other::5",
            0o1777,
            True,
            ("default:user::7 default:group::5 default:other::5", 0o1755),
        ),
    ],
)
def test_inherit(
    parent: str, mode: int, is_directory: bool, expected: tuple[str, int] | None
) -> None:
    found = acl.inherit(entries(parent), mode, is_directory=is_directory)
    assert (found and (text(found[0]), found[1])) == expected


def test_taking_an_acl_away_restores_the_group() -> None:
    assert acl.removed(entries("user:bob:7 group::5"), 0o1777) == 0o1757
    assert acl.removed(entries("default:user::7"), 0o1777) == 0o1777


def test_entry_text() -> None:
    assert acl.entry_text(entries("default:user:bob:6")[0]) == "default:user:bob:rw-"


NAMED = st.builds(
    AclEntry,
    st.sampled_from([ACL_USER, ACL_GROUP]),
    st.sampled_from([ACL_ACCESS, ACL_DEFAULT]),
    st.integers(0, 7),
    st.sampled_from(["a", "b", "c"]),
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(NAMED, max_size=6), st.integers(0, 0o1777))
def test_logical_is_the_inverse_of_split(spec: list[AclEntry], mode: int) -> None:
    unique = {acl.key_of(e): e for e in spec}
    full = acl.merge(acl.minimal(mode), unique.values())
    stored, new_mode = acl.split(full, mode)
    assert acl.logical(stored, new_mode) == full
    assert new_mode & 0o1000 == mode & 0o1000
    assert {acl.key_of(e) for e in unique.values()} <= {acl.key_of(e) for e in full}
    # Whatever named entries grant lies within the mask.
    named = [e for e in full if e.scope == ACL_ACCESS and e.name]
    if named:
        mask = new_mode >> 3 & 7
        assert all(e.permission & ~mask == 0 for e in named)
