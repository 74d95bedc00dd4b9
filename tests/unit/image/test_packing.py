"""Bit layouts of inode records, against values written by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.editlog.ops import AclEntry, XAttr
from hdfsd.image.packing import (
    KIND_GROUP,
    KIND_USER,
    KIND_XATTR,
    PROTO_OF_STORAGE_TYPE,
    STORAGE_TYPE_OF_PROTO,
    StringNumbers,
    StringTable,
)

RULES = settings(derandomize=True, deadline=None, max_examples=100)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
ENTRIES = st.builds(
    lambda kind, scope, bits, name: AclEntry(kind, scope, bits, name if kind < 2 else None),
    st.integers(0, 3),
    st.integers(0, 1),
    st.integers(0, 7),
    st.none() | NAMES,
)
XATTRS = st.builds(XAttr, st.integers(0, 4), NAMES, st.none() | st.binary(max_size=4))


def table_of(numbers: StringNumbers) -> StringTable:
    table = StringTable(3)
    for string_id, text in numbers.entries():
        table.add(string_id, text)
    return table


def test_permission_of_a_real_root_directory() -> None:
    """root:supergroup 755 as Hadoop wrote it: serial 1 of users, serial 1 of groups."""
    table = StringTable(3)
    table.add(KIND_USER << 29 | 1, "root")
    table.add(KIND_GROUP << 29 | 1, "supergroup")
    assert table.permission(1099511693805) == ("root", "supergroup", 0o755)
    assert StringNumbers().permission("root", "supergroup", 0o755) == 1099511693805


def test_serials_count_from_one_in_each_kind() -> None:
    numbers = StringNumbers()
    assert [numbers.serial(KIND_USER, name) for name in ("a", "b", "a", "")] == [1, 2, 1, 3]
    assert numbers.serial(KIND_GROUP, "b") == 1
    assert list(numbers.entries()) == [
        (1 << 29 | 1, "a"),
        (1 << 29 | 2, "b"),
        (1 << 29 | 3, ""),
        (2 << 29 | 1, "b"),
    ]
    assert len(numbers) == 4


def test_bits_of_acl_entries_and_attribute_names() -> None:
    numbers = StringNumbers()
    entries = (AclEntry(0, 0, 7, "bob"), AclEntry(1, 1, 5, "dev"), AclEntry(3, 1, 4))
    assert list(numbers.acl(entries).entries) == [
        1 << 6 | 7,
        1 << 6 | 1 << 5 | 1 << 3 | 5,
        1 << 5 | 3 << 3 | 4,
    ]
    feature = numbers.xattrs((XAttr(1, "t", b"v"), XAttr(4, "r")))
    assert [x.name for x in feature.xAttrs] == [1 << 30 | 1 << 6, 2 << 6 | 1 << 5]
    assert [x.HasField("value") for x in feature.xAttrs] == [True, False]


@given(st.lists(ENTRIES, max_size=4).map(tuple), st.lists(XATTRS, max_size=4).map(tuple))
@RULES
def test_acls_and_attributes_both_ways(
    entries: tuple[AclEntry, ...], xattrs: tuple[XAttr, ...]
) -> None:
    numbers = StringNumbers()
    acl, feature = numbers.acl(entries), numbers.xattrs(xattrs)
    table = table_of(numbers)
    assert table.acl(acl) == entries
    assert table.xattrs(feature) == xattrs


@given(NAMES, NAMES, st.integers(0, 0xFFFF))
@RULES
def test_permissions_both_ways(user: str, group: str, mode: int) -> None:
    numbers = StringNumbers()
    packed = numbers.permission(user, group, mode)
    assert table_of(numbers).permission(packed) == (user, group, mode)


def test_without_mask_bits_all_kinds_share_their_ids() -> None:
    """Layouts before -65."""
    table = StringTable(0)
    table.add(1, "ann")
    table.add(2, "staff")
    table.add(3, "note")
    assert table.permission(1 << 40 | 2 << 16 | 0o644) == ("ann", "staff", 0o644)
    assert table.get(KIND_XATTR, 3) == "note"


def test_a_string_table_that_can_not_be() -> None:
    with pytest.raises(ValueError, match="31 mask bits"):
        StringTable(31)
    table = StringTable(3)
    table.add(5, "x")
    with pytest.raises(ValueError, match="twice"):
        table.add(5, "y")
    with pytest.raises(KeyError):
        table.permission(9 << 40)


def test_storage_types_both_ways() -> None:
    assert sorted(STORAGE_TYPE_OF_PROTO) == [1, 2, 3, 4, 5, 6]
    assert sorted(PROTO_OF_STORAGE_TYPE) == [0, 1, 2, 3, 4, 5]
    assert STORAGE_TYPE_OF_PROTO[1] == 2  # DISK
