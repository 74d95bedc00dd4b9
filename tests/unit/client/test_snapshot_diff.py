"""Diff reports from the pages of a server, as Hadoop's client makes them."""

from __future__ import annotations

from hdfsd.client.snapshot_diff import (
    Difference,
    Pages,
    difference_of,
    is_last,
    report,
    text,
)
from hdfsd.wire.messages import hdfs

Entry = hdfs.SnapshotDiffReportListingEntryProto


def entry(
    path: str, directory: int, file: int = 0, *, target: str | None = None, reference: bool = True
) -> hdfs.SnapshotDiffReportListingEntryProto:
    made = Entry(fullpath=path.encode(), dirId=directory, fileId=file, isReference=reference)
    if target is not None:
        made.targetPath = target.encode()
    return made


def pages(*, forward: bool = True) -> Pages:
    """Two: f became g, in the root; x got b and lost c; old lost its place to somewhere else."""
    made = Pages()
    made.add(
        hdfs.SnapshotDiffReportListingProto(
            modifiedEntries=[entry("x", 2), entry("f", 9, reference=False)],
            createdEntries=[entry("g", 1, 9), entry("x/b", 2, 11, reference=False)],
            deletedEntries=[entry("f", 1, 9, target="g")],
            isFromEarlier=forward,
        )
    )
    made.add(
        hdfs.SnapshotDiffReportListingProto(
            modifiedEntries=[entry("", 1)],
            createdEntries=[],
            deletedEntries=[entry("x/c", 2, 12, reference=False), entry("old", 1, 13)],
            isFromEarlier=forward,
        )
    )
    return made


def test_each_changed_directory_is_followed_by_what_came_and_went() -> None:
    assert report(pages()) == [
        Difference("M", b""),
        Difference("R", b"f", b"g"),
        Difference("-", b"old"),
        Difference("M", b"f"),
        Difference("M", b"x"),
        Difference("+", b"x/b"),
        Difference("-", b"x/c"),
    ]


def test_backwards_all_is_the_other_way_round() -> None:
    assert report(pages(forward=False)) == [
        Difference("M", b""),
        Difference("R", b"g", b"f"),
        Difference("+", b"old"),
        Difference("M", b"f"),
        Difference("M", b"x"),
        Difference("-", b"x/b"),
        Difference("+", b"x/c"),
    ]


def test_what_changed_stands_in_the_order_of_java_bytes() -> None:
    made = Pages()
    names = ["b", "a/z", "a", "é", "", "a-b"]
    made.modified = [entry(name, number) for number, name in enumerate(names, 1)]
    assert [difference.path.decode() for difference in report(made)] == [
        "",
        "é",
        "a",
        "a/z",
        "a-b",
        "b",
    ]


def test_a_file_that_only_changed_lists_nothing_below_it() -> None:
    made = Pages()
    made.modified = [entry("f", 5, reference=False)]
    made.created = [entry("other", 5, 6)]
    assert report(made) == [Difference("M", b"f")]


def test_the_last_page_has_the_cursor_of_the_start() -> None:
    cursor = hdfs.SnapshotDiffReportCursorProto
    assert is_last(cursor(startPath=b"", index=-1))
    assert not is_last(cursor(startPath=b"x", index=-1))
    assert not is_last(cursor(startPath=b"", index=3))


def test_the_report_as_text() -> None:
    lines = [
        difference_of(hdfs.SnapshotDiffReportEntryProto(fullpath=b"", modificationLabel="M")),
        difference_of(
            hdfs.SnapshotDiffReportEntryProto(
                fullpath=b"a", modificationLabel="R", targetPath=b"d/b"
            )
        ),
        Difference("+", b"c\xff"),
    ]
    assert text("/d", "s1", "", lines) == (
        "Difference between snapshot s1 and current directory under directory /d:\n"
        "M\t.\nR\t./a -> ./d/b\n+\t./c�\n"
    )
    assert text("/d", "", "s2", []) == (
        "Difference between current directory and snapshot s2 under directory /d:\n"
    )
