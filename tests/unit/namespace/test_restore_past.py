"""The past out of an image: whose version is what, where differences say little or too much.

What images of ours hold is tested with the image (`image/test_save_snapshots`): here is what only
Hadoop writes."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from hdfsd.base.ids import ROOT_INODE_ID, Block, BlockId, GenStamp, InodeId
from hdfsd.namespace import quota
from hdfsd.namespace.inode import DirectoryRow, FileLayout, FileRow, Limits, Permission
from hdfsd.namespace.restore_past import (
    DirectoryDifference,
    FileDifference,
    PastRestorer,
    Reference,
)
from hdfsd.namespace.tree import Namespace

DIR, FILE, OTHER = (InodeId(ROOT_INODE_ID + i) for i in (1, 2, 3))
"""/d, snapshottable; /d/f, a file; /o, a directory."""
LONG = Block(BlockId(1), 100, GenStamp(1001)), Block(BlockId(2), 50, GenStamp(1002))


class Image:
    """A present, and what is told of its past."""

    def __init__(self, children: Sequence[InodeId] = (FILE,), snapshots: int = 3) -> None:
        self.ns = Namespace(Limits(), Permission("ann", "staff", 0o755), 0)
        self.layout = self.ns.intern_layout(FileLayout(1, 100, 0, 0))
        for inode_id, name in (DIR, b"d"), (OTHER, b"o"):
            self.ns.restore_directory(self.directory(inode_id, name, 9))
        self.ns.restore_file(self.file(9, LONG))
        self.restorer = PastRestorer(self.ns)
        self.ns.snapshots.counter = snapshots
        self.children = children

    def directory(self, inode_id: InodeId, name: bytes, mtime_ms: int) -> DirectoryRow:
        return DirectoryRow(inode_id, name, 0, mtime_ms, (), (), -1, -1, ())

    def file(self, mtime_ms: int, blocks: tuple[Block, ...] = ()) -> FileRow:
        return FileRow(FILE, b"f", 0, self.layout, mtime_ms, 0, blocks, (), (), None)

    def start(self, *references: Reference, snapshots: Sequence[int] = (0, 1, 2)) -> None:
        self.restorer.add_references(references)
        self.restorer.add_snapshottable(DIR)
        for snapshot_id in snapshots:
            self.restorer.add_snapshot(DIR, snapshot_id, f"s{snapshot_id}")
        self.ns.restore_children(InodeId(ROOT_INODE_ID), [DIR, OTHER])
        self.ns.restore_children(DIR, self.children)

    def roots(self, *found: tuple[int, Sequence[int], Sequence[int]]) -> None:
        """Newest first: snapshot, what is in it that was deleted then, and what was moved."""
        count, differences = len(self.children), []
        for snapshot_id, deleted, moved in found:
            count += len(deleted) + len(moved)
            record = self.directory(DIR, b"s", snapshot_id)
            differences.append(
                DirectoryDifference(snapshot_id, count, record, (), tuple(deleted), tuple(moved))
            )
        self.restorer.add_directory(DIR, differences)

    def finish(self) -> None:
        self.restorer.finish()
        self.ns.restore_finish()
        quota.recount(self.ns)

    def versions(self, row: int) -> list[tuple[int, int, int]]:
        """(snapshot, modification time, bytes)."""
        return [
            (snapshot_id, self.ns.mtimes[past], self.ns.row_length(past))
            for snapshot_id, past in self.ns.snapshots.versions.get(row, ())
        ]


def test_a_difference_says_only_what_changed() -> None:
    image = Image()
    image.start()
    image.roots((2, (), ()), (1, (), ()), (0, (), ()))
    image.restorer.add_file(
        FILE,
        [
            FileDifference(2, 120, (), None),
            FileDifference(1, 100, (), image.file(5)),
            FileDifference(0, 30, (), None),
        ],
    )
    image.finish()
    row = image.ns.row_of(FILE)
    assert image.versions(row) == [(0, 5, 30), (1, 5, 100), (2, 9, 120)]
    assert image.ns.block_count == 2
    assert image.ns.inode_count == 4


def test_blocks_of_older_states_are_those_that_a_difference_tells() -> None:
    cut = Block(BlockId(3), 80, GenStamp(1003))
    image = Image()
    image.start()
    image.roots((2, (), ()), (1, (), ()), (0, (), ()))
    told = FileDifference(1, 170, (LONG[0], cut), image.file(5))
    image.restorer.add_file(FILE, [told, FileDifference(0, 110, (), None)])
    image.finish()
    [(_, oldest), (_, newer)] = image.ns.snapshots.versions[image.ns.row_of(FILE)]
    assert [(b.block_id, b.num_bytes) for b in image.ns.row_blocks(oldest)] == [(1, 100), (3, 10)]
    assert [(b.block_id, b.num_bytes) for b in image.ns.row_blocks(newer)] == [(1, 100), (3, 70)]
    assert image.ns.snapshots.grown == {3: cut}
    assert image.ns.block_count == 3


def test_what_no_snapshot_shows_goes() -> None:
    """Snapshot 1 is deleted, 2 is of another directory: Hadoop forgets some differences."""
    image = Image()
    image.restorer.add_references(())
    image.restorer.add_snapshottable(DIR)
    image.restorer.add_snapshottable(OTHER)
    image.restorer.add_snapshot(DIR, 0, "s0")
    image.restorer.add_snapshot(OTHER, 2, "s2")
    image.ns.restore_children(InodeId(ROOT_INODE_ID), [DIR, OTHER])
    image.ns.restore_children(DIR, [FILE])
    image.roots((0, (), ()))
    other = DirectoryDifference(2, 0, image.directory(OTHER, b"s", 2), (), (), ())
    image.restorer.add_directory(OTHER, [other])
    found = [FileDifference(2, 20, (), image.file(6)), FileDifference(1, 10, (), image.file(5))]
    image.restorer.add_file(FILE, found)
    image.finish()
    assert image.versions(image.ns.row_of(FILE)) == [(0, 5, 10)]
    assert set(image.ns.snapshots.labelled) == {0, 2}


def test_what_was_deleted_unchanged_has_its_last_state() -> None:
    image = Image(children=())
    image.start()
    image.roots((2, (), ()), (1, (FILE,), ()), (0, (), ()))
    image.finish()
    assert not image.ns.has(FILE)
    row = image.ns.snapshots.deleted[FILE]
    assert image.versions(row) == [(1, 9, 150)]
    assert image.ns.block_count == 2


def test_an_open_file_that_was_deleted_has_no_lease() -> None:
    image = Image(children=())
    row = image.ns.row_of(FILE)
    image.ns.free_inode(row)
    image.ns.restore_file(image.file(9)._replace(writer=("client", "machine")))
    image.start()
    image.roots((2, (), ()), (1, (), ()), (0, (FILE,), ()))
    image.finish()
    assert list(image.ns.leases.open_files()) == []


def test_a_place_that_was_left_unchanged_has_the_state_that_followed() -> None:
    image = Image(children=())
    image.start(Reference(FILE, b"f", 1), Reference(FILE, None, 0))
    image.restorer.add_moved_children(OTHER, [1])
    image.roots((2, (), ()), (1, (), (0,)), (0, (), ()))
    image.restorer.add_file(FILE, [FileDifference(0, 10, (), image.file(4))])
    image.finish()
    row = image.ns.row_of(FILE)
    left = image.ns.snapshots.before[row]
    assert image.ns.path_of(FILE) == "/o/f"
    assert image.versions(row) == []
    assert image.versions(left) == [(0, 4, 10), (1, 9, 150)]


def test_a_place_whose_next_was_deleted_stands_for_the_inode() -> None:
    image = Image(children=())
    image.start(Reference(FILE, b"old", 1))
    image.roots((2, (), ()), (1, (), (0,)), (0, (), ()))
    image.restorer.add_file(FILE, [FileDifference(1, 10, (), image.file(4))])
    image.finish()
    row = image.ns.snapshots.deleted[FILE]
    assert image.ns.names[row] == b"old"
    assert image.versions(row) == [(1, 4, 10)]


def test_quotas_of_the_past() -> None:
    image = Image()
    image.start()
    record = image.directory(DIR, b"s", 1)._replace(namespace_quota=7, type_quotas=((1, 5),))
    found = [DirectoryDifference(n, 1, record if n == 1 else None, (), (), ()) for n in (2, 1, 0)]
    image.restorer.add_directory(DIR, found)
    image.finish()
    ns = image.ns
    versions = ns.snapshots.versions[ns.row_of(DIR)]
    quotas = [ns.directory_record(past).namespace_quota for _, past in versions]
    assert quotas == [7, 7, -1]
    assert ns.directory_record(versions[0][1]).type_quotas == ((1, 5),)


def test_children_of_the_past_are_in_name_order() -> None:
    image = Image(children=(FILE,))
    names = ["é".encode(), b"z", b"a"]
    ids = [InodeId(OTHER + 1 + i) for i in range(3)]
    for inode_id, name in zip(ids, names, strict=True):
        image.ns.restore_directory(image.directory(inode_id, name, 1))
    image.start()
    image.roots((2, (), ()), (1, ids, ()), (0, (), ()))
    image.finish()
    past = image.ns.snapshots.version_at(image.ns.row_of(DIR), 0)
    rows = image.ns.children[past]
    assert isinstance(rows, array)
    assert [image.ns.names[row] for row in rows] == ["é".encode(), b"a", b"f", b"z"]
    assert image.ns.child(past, "é".encode()) == rows[0]


def test_a_deleted_inode_that_no_snapshot_shows() -> None:
    image = Image(children=())
    image.start(snapshots=(1,))
    found = DirectoryDifference(1, 0, image.directory(DIR, b"s", 1), (), (), ())
    lost = DirectoryDifference(0, 1, None, (), (FILE,), ())
    image.restorer.add_directory(DIR, [found, lost])
    image.finish()
    assert not image.ns.snapshots.deleted
    assert (image.ns.inode_count, image.ns.block_count) == (3, 0)


def test_a_last_place_that_no_snapshot_shows() -> None:
    image = Image(children=())
    image.start(Reference(FILE, b"f", 1), Reference(FILE, None, 0))
    image.roots((2, (), ()), (1, (), (0,)), (0, (), ()))
    image.restorer.add_file(FILE, [FileDifference(1, 10, (), image.file(4))])
    lost = DirectoryDifference(2, 1, None, (), (), (1,))
    image.restorer.add_directory(OTHER, [lost])
    image.finish()
    row = image.ns.snapshots.deleted[FILE]
    assert image.versions(row) == [(1, 4, 10)]
    assert not image.ns.snapshots.before
    assert (image.ns.inode_count, image.ns.block_count) == (4, 1)
