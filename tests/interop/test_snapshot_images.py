"""Images and edits with snapshots, between Hadoop's NameNode and ours, in both directions."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import hadoop
import pytest
from image_trees import (
    HadoopNameNode,
    hadoop_on,
    loaded,
    made_name_dir,
    newest_image,
    save_namespace,
    shown,
    shown_by,
)
from past_walk import Walk
from snapshot_servers import hadoop_server
from snapshot_side import Marks, Side, TooSlow
from snapshot_steps import Chooser, Known, Step

from hdfsd.base.ids import TxId
from hdfsd.editlog.ops import DeleteSnapshotOp
from hdfsd.image.save import save
from hdfsd.image.sections import ImageHeader
from hdfsd.namespace.tree import Namespace

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(900)]

TXID = 1000
ATTEMPTS = 3
WALK_STEPS = 80
SCRIPT: Sequence[Step] = tuple(
    Step(verb, arguments)
    for verb, *arguments in (
        ("mkdirs", "@/a/d/e", True),
        ("mkdirs", "@/b", True),
        ("mkdirs", "@/c", True),
        ("create", "@/a/d/f", 1500, False),
        ("create", "@/a/d/e/g", 100, False),
        ("create", "@/a/h", 2500, False),
        ("create", "@/a/moved", 1024, False),
        ("setXAttr", "@/a/h", "user.x", "v"),
        ("setAcl", "@/a/d", "u::rwx,g::r-x,o::r--,u:bob:rw-"),
        ("setQuota", "@/a/d/e", 30, -1, ""),
        ("allowSnapshot", "@/a"),
        ("allowSnapshot", "@/b"),
        ("createSnapshot", "@/a", "s1"),
        ("append", "@/a/d/f", 700),
        ("truncate", "@/a/h", 1024),
        ("setXAttr", "@/a/h", "user.x", "w"),
        ("setReplication", "@/a/h", 2),
        ("setOwner", "@/a/d", "bob", "staff"),
        ("removeAcl", "@/a/d"),
        ("setQuota", "@/a/d/e", 8, 1 << 30, ""),
        ("rename2", "@/a/moved", "@/b/moved", False),
        ("createSnapshot", "@/b", "t1"),
        ("append", "@/b/moved", 100),
        ("createSnapshot", "@/a", "s2"),
        ("rename2", "@/b/moved", "@/c/moved", False),
        ("rename2", "@/a/d", "@/b/d", False),
        ("create", "@/b/d/new", 1, False),
        ("delete", "@/b/d/e", True),
        ("createSnapshot", "@/b", "t2"),
        ("rename2", "@/b/d", "@/b/twice", False),
        ("delete", "@/c/moved", True),
        ("create", "@/a/d", 100, False),
        ("createSnapshot", "@/a", "s3"),
        ("rename2", "@/a/d", "@/a/h", True),
        ("createSnapshot", "@/a", "s4"),
        ("deleteSnapshot", "@/a", "s2"),
        ("delete", "@/b/twice", True),
        ("renameSnapshot", "@/a", "s3", "later"),
    )
)
"""Every kind of change: of files and directories, out of and into snapshots, twice, then gone."""

SNAPSHOT_ENTRY = re.compile(r"\S*/\.snapshot/[^/]*:")


def comparable(lines: Sequence[str]) -> list[str]:
    """Without what Hadoop itself tells in two ways."""
    found = []
    for line in lines:
        if SNAPSHOT_ENTRY.match(line):
            # In the listing of `.snapshot`: Hadoop counts the children of now.
            line = re.sub(r"childrenNum: \d+", "", line)
        if " length: 0 " in line:
            # An image of Hadoop's does not tell "no blocks" from "those of the next state".
            line = re.sub(r"blocks=.*", "", line)
        found.append(line)
    return found


def without_times_of_snapshots(lines: Sequence[str]) -> list[str]:
    """A directory that a child is added to shows its new time in older snapshots too, with
    Hadoop, unless something else of it has changed before."""
    return [
        re.sub(r"modification_time: \d+", "", line)
        if "/.snapshot/" in line and "IS_DIR" in line
        else line
        for line in lines
    ]


def assert_same(ours: Namespace, theirs: Sequence[str], *, times: bool = True) -> None:
    pair = [comparable(shown(ours)), comparable(theirs)]
    if not times:
        pair = [without_times_of_snapshots(lines) for lines in pair]
    assert pair[0] == pair[1]


@pytest.fixture(scope="module")
def formatted(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as Hadoop formats it."""
    root = tmp_path_factory.mktemp("formatted")
    core = {"fs.defaultFS": f"hdfs://{hadoop.HOST}:9", "hadoop.tmp.dir": f"{root}/tmp"}
    conf = hadoop.write_conf(root / "conf", core, {"dfs.namenode.name.dir": f"file://{root}/name"})
    done = hadoop.Hadoop(hadoop_lib, root).run(
        conf, hadoop.NAMENODE, "-format", "-force", "-nonInteractive"
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return root / "name"


def image_of(namespace: Namespace, formatted: Path) -> bytes:
    namespace_id = loaded(newest_image(formatted))[1].namespace_id
    return b"".join(save(namespace, ImageHeader(namespace_id, TxId(TXID))))


# Hadoop itself loses blocks in some histories (a file that was moved over another, then deleted):
# these do not have such.
@pytest.mark.parametrize("seed", [0, 2, 13, 17, 24])
def test_hadoop_goes_on_with_our_image_and_edits(
    hadoop_lib: Path, formatted: Path, tmp_path: Path, seed: int
) -> None:
    walk = Walk(seed)
    for _ in range(120):
        walk.step()
    image, before = image_of(walk.ns, formatted), len(walk.ops)
    for _ in range(60):
        walk.step()
    made_name_dir(tmp_path / "name", formatted, image, TXID, walk.ops[before:])
    with hadoop_on(hadoop_lib, tmp_path) as namenode:
        asyncio.run(_compare_and_delete(walk, namenode, random.Random(seed)))


async def _compare_and_delete(walk: Walk, namenode: HadoopNameNode, dice: random.Random) -> None:
    side = Side("Hadoop", namenode.conf, "", Marks())
    try:
        assert_same(walk.ns, await shown_by(side), times=False)
        await save_namespace(side)
        assert_same(loaded(newest_image(namenode.name_dir))[0], await shown_by(side))
        while walk.snapshots:
            root, name = dice.choice(sorted(walk.snapshots))
            del walk.snapshots[root, name]
            walk.apply(DeleteSnapshotOp(root, name, 0))
            await side.call("deleteSnapshot", snapshotRoot=root, snapshotName=name)
            assert_same_below(walk.ns, await shown_by(side))
        await save_namespace(side)
        again = loaded(newest_image(namenode.name_dir))[0]
        assert not again.snapshots.versions
        assert_same(again, await shown_by(side))
    finally:
        await side.close()
    assert namenode.complaints() == []


def assert_same_below(ours: Namespace, theirs: Sequence[str]) -> None:
    """The roots of snapshots have another time: that of a request."""

    def below(lines: Sequence[str]) -> list[str]:
        return [line for line in lines if not line.startswith(("/a:", "/b:"))]

    assert below(without_times_of_snapshots(comparable(shown(ours)))) == below(
        without_times_of_snapshots(comparable(theirs))
    )


def test_hadoops_viewer_reads_our_image(hadoop_lib: Path, formatted: Path, tmp_path: Path) -> None:
    walk = Walk(3)
    for _ in range(150):
        walk.step()
    image = tmp_path / "fsimage"
    image.write_bytes(image_of(walk.ns, formatted))
    xml = hadoop.Hadoop(hadoop_lib, tmp_path).oiv_xml(tmp_path, image)
    snapshots = walk.ns.snapshots
    root = ElementTree.fromstring(xml)
    assert len(root.findall("SnapshotSection/snapshot")) == snapshots.count
    references = root.findall("INodeReferenceSection/ref")
    assert len(references) == len(snapshots.before) + len(
        [row for row in snapshots.before if row not in snapshots.after]
    )
    assert root.findall("SnapshotDiffSection/dirDiffEntry/dirDiff")
    assert root.findall("SnapshotDiffSection/fileDiffEntry/fileDiff")


@pytest.fixture(scope="module")
def server(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The configuration of Hadoop's NameNode and DataNode."""
    root = tmp_path_factory.mktemp("hadoop")
    with hadoop_server(hadoop_lib, root) as conf:
        yield conf


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_hadoops_image_passes_through_ours(
    hadoop_lib: Path, tmp_path: Path, server: Path, seed: int | None
) -> None:
    """Hadoop on its own image, and on what we made of it: the same, until no snapshot is left."""
    marks = Marks()
    base = _walked(server, marks, seed)
    written = newest_image(server.parent / "name")
    namespace, header = loaded(written)
    ours = b"".join(save(namespace, header))
    for name, image in ("own", written.read_bytes()), ("ours", ours):
        made_name_dir(tmp_path / name / "name", server.parent / "name", image, header.txid)
    with (
        hadoop_on(hadoop_lib, tmp_path / "own") as first,
        hadoop_on(hadoop_lib, tmp_path / "ours") as second,
    ):
        sides = [Side("Hadoop", node.conf, base, marks) for node in (first, second)]
        asyncio.run(_delete_on_both(sides, namespace, random.Random(seed)))
        assert second.complaints() == []
        asyncio.run(_shows_last_image(second, base))


def _walked(server: Path, marks: Marks, seed: int | None) -> str:
    """The directory of a walk in which Hadoop's DataNode was never too slow."""
    for attempt in range(1, ATTEMPTS + 1):
        base = f"/walk{seed}-{attempt}"
        try:
            asyncio.run(_walk(Side("Hadoop", server, base, marks), marks, seed))
        except TooSlow:
            if attempt == ATTEMPTS:
                raise
        else:
            break
    return base


async def _walk(side: Side, marks: Marks, seed: int | None) -> None:
    """The script, or random steps; then an image."""
    try:
        marks.add("start", time.time_ns() // 1_000_000)
        await side.prepare()
        if seed is None:
            for step in SCRIPT:
                assert (await side.do(step)).startswith("ok"), step
        else:
            chooser, known = Chooser(random.Random(seed)), Known()
            for _ in range(WALK_STEPS):
                await side.do(chooser.next(known))
                known, _ = await side.brief()
        await save_namespace(side)
    finally:
        await side.close()


async def _delete_on_both(sides: Sequence[Side], ours: Namespace, dice: random.Random) -> None:
    own, other = sides
    try:
        assert_same(ours, await shown_by(own))
        while True:
            assert await _visible(own) == await _visible(other)
            listing = await own._roots()
            left = [(root, name) for root, names in sorted(listing.items()) for name in names]
            if not left:
                break
            root, name = dice.choice(left)
            for side in sides:
                await side.call("deleteSnapshot", snapshotRoot=root, snapshotName=name)
        await save_namespace(other)
    finally:
        await own.close()
        await other.close()


async def _visible(side: Side) -> list[str]:
    """Not what is used: Hadoop counts the last state of what was deleted, also when no snapshot
    shows it, which is not kept here. And numbers of snapshots are given in the order of looks."""
    return [
        re.sub(r"#\d+ deleted=", "deleted=", line)
        for line in (await side.full()).lines
        if not line.startswith(("usage of", "summary of"))
    ]


async def _shows_last_image(namenode: HadoopNameNode, base: str) -> None:
    side = Side("Hadoop", namenode.conf, base, Marks())
    try:
        assert_same(loaded(newest_image(namenode.name_dir))[0], await shown_by(side))
    finally:
        await side.close()
