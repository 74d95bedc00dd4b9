"""Saving: what is saved loads as the same namespace, and saving does not change it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.base.ids import Block, BlockId, GenStamp, InodeId, TxId
from hdfsd.editlog.ops import (
    AclEntry,
    CacheDirective,
    CachePool,
    DelegationKey,
    DelegationTokenIdentifier,
    ErasureCodingPolicy,
    XAttr,
)
from hdfsd.image.load import load
from hdfsd.image.save import save
from hdfsd.image.sections import DEFAULT_CODEC, NO_CODEC, WRITTEN_ORDER, ImageHeader, ImageReader
from hdfsd.namespace.inode import DirectoryRow, FileLayout, FileRow, Limits, Permission, SymlinkRow
from hdfsd.namespace.retained import EC_ENABLED, EcPolicyRecord
from hdfsd.namespace.tree import Namespace, name_order

HEADER = ImageHeader(7, TxId(55))
RULES = settings(derandomize=True, deadline=None, max_examples=60)

NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1)
PRINCIPAL = st.sampled_from(["root", "ann", "staff", "é中🙂", ""])
TIME = st.integers(0, 2**50)
ACLS = st.lists(
    st.builds(AclEntry, st.integers(0, 1), st.integers(0, 1), st.integers(0, 7), PRINCIPAL),
    max_size=2,
).map(tuple)
XATTRS = st.lists(
    st.builds(XAttr, st.integers(0, 3), st.sampled_from(["a", "b"]), st.binary(max_size=3)),
    max_size=2,
).map(tuple)
BLOCKS = st.lists(
    st.builds(
        Block,
        st.integers(2**30, 2**40).map(BlockId),
        st.integers(0, 2**40),
        st.integers(1000, 2**40).map(GenStamp),
    ),
    max_size=3,
).map(tuple)


def fresh() -> Namespace:
    return Namespace(Limits(), Permission("nobody", "nogroup", 0), 0)


def saved(namespace: Namespace, codec: str = NO_CODEC) -> bytes:
    return b"".join(save(namespace, HEADER, codec))


def described(namespace: Namespace) -> list[object]:
    """All that an image must hold, with the interned tuples spelt out."""
    inodes: list[object] = []
    for row in namespace.inodes():
        inodes.append(row._replace(permission=0))
        inodes.append(namespace.permissions[row.permission])
        if isinstance(row, FileRow):
            inodes[-2] = row._replace(permission=0, layout=0)
            inodes.append(namespace.layouts[row.layout])
    children = [(i, namespace.child_ids(i)) for i in namespace.directories_with_children()]
    counters = (
        namespace.last_inode_id,
        namespace.gen_stamp,
        namespace.gen_stamp_v1,
        namespace.gen_stamp_v1_limit,
        namespace.last_block_id,
        namespace.last_striped_block_id,
    )
    return [
        *inodes,
        children,
        counters,
        vars(namespace.retained),
        list(namespace.leases.open_files()),
    ]


@st.composite
def namespaces(draw: st.DrawFn) -> Namespace:
    """A tree of a few inodes: any number under the root and under one directory."""
    namespace = fresh()
    top, below = (
        sorted(draw(st.lists(NAME.map(str.encode), max_size=5, unique=True)), key=name_order)
        for _ in range(2)
    )
    next_id = 16386
    # The first child of the root is a directory, so that there is one to fill.
    for parent, names in ((16385, top), (16386, below))[: 2 if top else 0]:
        ids = []
        for name in names:
            _restore_any(draw, namespace, InodeId(next_id), name, directory=next_id == 16386)
            ids.append(InodeId(next_id))
            next_id += 1
        namespace.restore_children(InodeId(parent), ids)
    namespace.last_inode_id = InodeId(next_id + draw(st.integers(0, 5)))
    namespace.gen_stamp = GenStamp(draw(st.integers(1000, 2**40)))
    namespace.last_striped_block_id = BlockId(draw(st.integers(-(2**63), -1)))
    namespace.restore_finish()
    return namespace


def _restore_any(
    draw: st.DrawFn, namespace: Namespace, inode_id: InodeId, name: bytes, *, directory: bool
) -> None:
    permission = namespace.intern_permission(
        draw(PRINCIPAL), draw(PRINCIPAL), draw(st.integers(0, 0o1777))
    )
    kind = "directory" if directory else draw(st.sampled_from(["file", "directory", "symlink"]))
    if kind == "symlink":
        target = draw(NAME.map(str.encode))
        namespace.restore_symlink(SymlinkRow(inode_id, name, permission, 3, draw(TIME), target))
    elif kind == "directory":
        types = draw(st.dictionaries(st.integers(0, 5), st.integers(0, 2**40), max_size=2))
        namespace.restore_directory(
            DirectoryRow(
                inode_id,
                name,
                permission,
                draw(TIME),
                draw(ACLS),
                draw(XATTRS),
                draw(st.integers(-1, 2**63 - 1)),
                draw(st.integers(-1, 2**63 - 1)),
                tuple(sorted(types.items())),
            )
        )
    else:
        layout = FileLayout(draw(st.integers(1, 512)), draw(TIME), draw(st.integers(0, 15)), 0)
        writer = draw(st.none() | st.tuples(NAME, NAME))
        namespace.restore_file(
            FileRow(
                inode_id,
                name,
                permission,
                namespace.intern_layout(layout),
                draw(TIME),
                draw(TIME),
                draw(BLOCKS),
                draw(ACLS),
                draw(XATTRS),
                writer,
            )
        )


@given(namespaces(), st.sampled_from([NO_CODEC, DEFAULT_CODEC]))
@RULES
def test_what_is_saved_loads_as_the_same_namespace(namespace: Namespace, codec: str) -> None:
    before = described(namespace)
    data = saved(namespace, codec)
    assert described(namespace) == before
    again = fresh()
    assert load(data, again, "image") == HEADER
    assert described(again) == before
    assert saved(again, codec) == data


def test_records_beside_the_tree_come_back() -> None:
    namespace = fresh()
    kept = namespace.retained
    schema = ErasureCodingPolicy("rs", 4, 2, 65536, (("k", "v"),))
    kept.ec_policies["RS-4-2-64k"] = EcPolicyRecord(64, "RS-4-2-64k", EC_ENABLED, schema)
    token = DelegationTokenIdentifier("ann", "yarn", "root", 1, 2, 3, 4)
    kept.delegation_keys = {4: DelegationKey(4, 99, b"k"), 5: DelegationKey(5, 98, None)}
    kept.delegation_tokens = {3: (token, 77)}
    kept.delegation_key_id, kept.delegation_sequence_number = 5, 3
    kept.cache_pools = {
        "p": CachePool("p", "ann", "staff", 0o750, 2**63 - 1, 99, 3),
        "bare": CachePool("bare", None, None, None, None, None, None),
    }
    kept.cache_directives = {
        1: CacheDirective(1, "/d", 2, "p", 2305843009213693951),
        2: CacheDirective(2, None, None, None, None),
    }
    kept.next_directive_id = 3
    kept.rolling_upgrade_start_ms = 12
    namespace.snapshots.counter = 8
    again = fresh()
    load(saved(namespace), again, "image")
    assert vars(again.retained) == vars(kept)
    assert again.snapshots.counter == 8


def test_sections_stand_in_hadoops_order() -> None:
    names = list(ImageReader(saved(fresh()), "image").sections)
    assert names == [name for name in WRITTEN_ORDER if name != "SNAPSHOT_DIFF"]


def test_strings_that_nothing_uses_are_left_out() -> None:
    namespace = fresh()
    namespace.intern_permission("unused", "unused", 0)
    assert b"unused" not in saved(namespace)


@pytest.mark.parametrize("codec", [NO_CODEC, DEFAULT_CODEC])
def test_the_image_comes_in_chunks(codec: str) -> None:
    chunks = list(save(fresh(), HEADER, codec))
    assert len(chunks) > 2
    assert b"".join(chunks) == saved(fresh(), codec)
