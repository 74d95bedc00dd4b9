"""Sections of snapshots that can't be: each is corrupt, with file, section and reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from past_tree import FIRST, Tree

from hdfsd.base.errors import CorruptData
from hdfsd.base.ids import Block, BlockId, GenStamp, TxId
from hdfsd.image import sections
from hdfsd.image.load import load
from hdfsd.image.save import save
from hdfsd.image.sections import ImageHeader, ImageReader
from hdfsd.namespace.inode import Limits, Permission
from hdfsd.namespace.snapshot import QUOTA_MAX
from hdfsd.namespace.tree import ROOT, Namespace

Parts = dict[str, list[Any]]
A, X, Y, B, F = range(FIRST, FIRST + 5)
"""Ids of /a; of x, which was moved from there to /b/z; of y, which was deleted; of /b; of /a/f."""


def tree() -> Tree:
    made = Tree("/a", "/a/x", "/a/y", "/b")
    made.create("/a/f", Block(BlockId(7), 60, GenStamp(1001)))
    made.snapshot("/a")
    made.snapshot("/b")
    made.move("/a/x", "/b/z")
    made.delete("/a/y")
    made.append("/a/f", Block(BlockId(7), 90, GenStamp(1002)))
    return made


def parts(made: Tree | None = None) -> Parts:
    """The sections of an image."""
    header = ImageHeader(7, TxId(55))
    reader = ImageReader(b"".join(save((made or tree()).ns, header)), "image")
    return {name: list(reader.messages(name)) for name in reader.sections}


def loaded(image: Parts) -> Namespace:
    namespace = Namespace(Limits(), Permission("nobody", "nogroup", 0), 0)
    records = ((name, map(sections.delimited, image[name])) for name in image)
    load(b"".join(sections.write(records)), namespace, "fsimage_55")
    return namespace


def test_the_image_itself_loads() -> None:
    ns = loaded(parts())
    assert ns.snapshots.count == 2
    assert ns.path_of_row(ns.row_of(X)) == "/b/z"
    assert set(ns.snapshots.deleted) == {Y}


def test_snapshots_of_the_root() -> None:
    made = Tree("/a", "/b")
    made.snapshot("/")
    made.delete("/a")
    ns = loaded(parts(made))
    assert ns.snapshots.directories[ROOT].quota == QUOTA_MAX
    past = ns.snapshots.version_at(ROOT, 0)
    assert [ns.names[row] for row in ns.children[past]] == [b"a", b"b"]


def test_no_section_of_snapshots() -> None:
    image = parts()
    with pytest.raises(CorruptData, match="is in no directory"):
        loaded({name: image[name] for name in image if name != sections.SNAPSHOT_DIFF})


def difference(image: Parts, inode_id: int) -> Any:
    """The first of an inode."""
    at = next(
        index
        for index, message in enumerate(image["SNAPSHOT_DIFF"])
        if getattr(message, "inodeId", 0) == inode_id
    )
    return image["SNAPSHOT_DIFF"][at + 1]


def snapshot(image: Parts, index: int) -> Any:
    return image["SNAPSHOT"][1 + index]


def reference(image: Parts, *, moved: bool) -> Any:
    return next(r for r in image["INODE_REFERENCE"] if r.HasField("dstSnapshotId") == moved)


def twice(image: Parts) -> None:
    image["INODE_REFERENCE"].append(reference(image, moved=True))


def again(image: Parts) -> None:
    image["SNAPSHOT_DIFF"] += image["SNAPSHOT_DIFF"][-2:]


def unused(image: Parts) -> None:
    kind = type(image["INODE_REFERENCE"][0])
    image["INODE_REFERENCE"].append(kind(referredId=F, name=b"f", lastSnapshotId=0))


def below_itself(image: Parts) -> None:
    """y is deleted from y."""
    difference(image, A).deletedINode.remove(Y)
    difference(image, A).childrenSize -= 1
    entry = type(image["SNAPSHOT_DIFF"][0])(type=2, inodeId=Y, numOfDiff=1)
    inside = type(difference(image, A))(snapshotId=0, childrenSize=1, deletedINode=[Y])
    image["SNAPSHOT_DIFF"] += [entry, inside]


def in_itself(image: Parts) -> None:
    """/b is a child of /b."""
    next(e for e in image["INODE_DIR"] if B in e.children).children.remove(B)
    next(e for e in image["INODE_DIR"] if e.parent == B).children.append(B)
    difference(image, B).childrenSize += 1


@pytest.mark.parametrize(
    ("change", "section", "reason"),
    [
        (lambda i: setattr(i["SNAPSHOT"][0], "snapshotCounter", 1), "SNAPSHOT", "counter 1"),
        (lambda i: setattr(snapshot(i, 1), "snapshotId", 0), "SNAPSHOT", "there twice"),
        (lambda i: setattr(snapshot(i, 0).root, "id", F), "SNAPSHOT", "is no directory"),
        (lambda i: setattr(snapshot(i, 0).root, "id", X), "SNAPSHOT", "not snapshottable"),
        (lambda i: setattr(snapshot(i, 0).root, "name", b"\xff"), "SNAPSHOT", "UnicodeDecode"),
        (
            lambda i: setattr(snapshot(i, 0).root.directory, "permission", 9 << 40),
            "SNAPSHOT",
            "KeyError",
        ),
        (lambda i: i["SNAPSHOT"][0].snapshottableDir.append(99), "SNAPSHOT", "no inode 99"),
        (lambda i: i["SNAPSHOT"].pop(), "SNAPSHOT", "should stand"),
        (
            lambda i: setattr(reference(i, moved=True), "referredId", 99),
            "INODE_REFERENCE",
            "no inode 99",
        ),
        (twice, "INODE_REFERENCE", f"two references to inode {X}"),
        (unused, "SNAPSHOT_DIFF", f"reference 2, to inode {F}, is in no directory"),
        (lambda i: i["INODE_REFERENCE"].pop(), "SNAPSHOT_DIFF", "there is no reference 1"),
        (
            lambda i: next(e for e in i["INODE_DIR"] if e.refChildren).refChildren.append(0),
            "INODE_DIR",
            "reference 0 is in two places",
        ),
        (
            lambda i: next(e for e in i["INODE_DIR"] if e.refChildren).refChildren.append(1),
            "INODE_DIR",
            f"reference 1 is to no child of {B}",
        ),
        (
            lambda i: setattr(difference(i, A), "snapshotId", 2),
            "SNAPSHOT_DIFF",
            f"inode {A} has no snapshot 2",
        ),
        (
            lambda i: setattr(difference(i, F), "snapshotId", 2),
            "SNAPSHOT_DIFF",
            f"snapshot 2 of inode {F} is not before 2",
        ),
        (
            lambda i: setattr(difference(i, A), "childrenSize", 9),
            "SNAPSHOT_DIFF",
            f"inode {A} has 3 children in snapshot 0, not 9",
        ),
        (
            lambda i: difference(i, A).deletedINode.append(F),
            "SNAPSHOT_DIFF",
            f"inode {F} was deleted, but is there",
        ),
        (
            lambda i: difference(i, A).deletedINodeRef.append(0),
            "SNAPSHOT_DIFF",
            "reference 0 is in two places",
        ),
        (
            lambda i: setattr(difference(i, F).snapshotCopy, "permission", 9 << 40),
            "SNAPSHOT_DIFF",
            "KeyError",
        ),
        (again, "SNAPSHOT_DIFF", f"differences of inode {F} stand there twice"),
        (below_itself, "SNAPSHOT_DIFF", f"inode {Y} has a past, and nothing leads to it"),
        (
            lambda i: difference(i, A).deletedINode.append(16385),
            "SNAPSHOT_DIFF",
            "inode 16385 was deleted, but is there",
        ),
        (in_itself, "SNAPSHOT_DIFF", f"inode {B} has a past, and nothing leads to it"),
        (lambda i: i["SNAPSHOT_DIFF"].pop(), "SNAPSHOT_DIFF", "should stand"),
    ],
)
def test_what_can_not_be_is_corrupt(
    change: Callable[[Parts], object], section: str, reason: str
) -> None:
    image = parts()
    change(image)
    with pytest.raises(CorruptData, match=reason) as caught:
        loaded(image)
    assert caught.value.where.startswith(f"fsimage_55 ({section}")


def test_a_created_name_that_is_not_there() -> None:
    image = parts()
    found = next(m for m in image["SNAPSHOT_DIFF"] if m.DESCRIPTOR.name == "CreatedListEntry")
    found.name = b"other"
    with pytest.raises(CorruptData, match=rf"b'other' was created in inode {B}"):
        loaded(image)


def test_a_snapshot_without_its_difference() -> None:
    image = parts()
    at = image["SNAPSHOT_DIFF"].index(difference(image, A))
    image["SNAPSHOT_DIFF"][at].isSnapshotRoot = True
    image["SNAPSHOT_DIFF"][at - 1].numOfDiff = 0
    del image["SNAPSHOT_DIFF"][at]
    # What was deleted is then nowhere: that is what is found first.
    with pytest.raises(CorruptData, match=r"is in no directory|has no difference"):
        loaded(image)
