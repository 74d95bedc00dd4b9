"""JournalNodes of both kinds heal from each other: our syncer from Hadoop's, Hadoop's from ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from journals import HADOOP, HDFSD, JournalNodes, RawWriter, segment_url

from hdfsd.base.errors import IOFault
from hdfsd.wire.messages import qjournal

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

JID = "mycluster"
DONE = ("edits_0000000000000000001-0000000000000000005",)
DONE += ("edits_0000000000000000006-0000000000000000009",)


def wait_for(what: str, holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.1)


@contextmanager
def syncing_nodes(
    root: Path, lib: Path, kinds: Mapping[str, str], **more: str
) -> Iterator[JournalNodes]:
    """Not started yet; they know each other and look after each other every second."""
    nodes = JournalNodes(root, lib, kinds)
    journals = ";".join(map(str, nodes.addresses(list(kinds))))
    nodes.more = {
        "dfs.nameservices": JID,
        "dfs.namenode.shared.edits.dir": f"qjournal://{journals}/{JID}",
        "dfs.journalnode.sync.interval": "1000",
        **{f"dfs.journalnode.{key.replace('_', '.')}": value for key, value in more.items()},
    }
    try:
        yield nodes
    finally:
        nodes.close()


def write_two_segments(nodes: JournalNodes, name: str) -> RawWriter:
    writer = RawWriter(nodes.address(name), JID)
    writer.format()
    writer.new_epoch(1)
    for first, last in ((1, 5), (6, 9)):
        writer.start(first)
        writer.write(first, "a", first, last)
        writer.finalize(first, last)
    return writer


def segments(nodes: JournalNodes, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in nodes.current(name, JID).glob("edits_0*")}


@pytest.mark.parametrize(("theirs", "ours"), [(HADOOP, HDFSD), (HDFSD, HADOOP)])
def test_the_one_fetches_what_it_missed_from_the_other(
    hadoop_lib: Path, tmp_path: Path, theirs: str, ours: str
) -> None:
    kinds = {"jn0": theirs, "jn1": theirs, "jn2": ours}
    with syncing_nodes(tmp_path, hadoop_lib, kinds) as nodes:
        nodes.start("jn0", "jn1", "jn2")
        for name in ("jn0", "jn1"):
            write_two_segments(nodes, name)
        writer = RawWriter(nodes.address("jn2"), JID)
        writer.format()
        writer.new_epoch(1)
        # Hadoop's takes nothing beyond what it knows to be committed.
        writer.committed = 9
        writer.call("heartbeat", qjournal.HeartbeatRequestProto(reqInfo=writer.info()))
        wait_for("both segments", lambda: set(segments(nodes, "jn2")) == set(DONE))
        assert segments(nodes, "jn2") == segments(nodes, "jn0")
        assert writer.manifest() == [(1, 5), (6, 9)]
        # And writes on behind them.
        writer.start(10)
        writer.write(10, "a", 10, 12)
        writer.finalize(10, 12)
        assert writer.manifest() == [(1, 5), (6, 9), (10, 12)]


def test_an_empty_journal_of_ours_formats_itself_from_hadoops(
    hadoop_lib: Path, tmp_path: Path
) -> None:
    kinds = {"jn0": HADOOP, "jn1": HADOOP, "jn2": HDFSD}
    with syncing_nodes(tmp_path, hadoop_lib, kinds, enable_sync_format="true") as nodes:
        nodes.start("jn0", "jn1")
        writers = [write_two_segments(nodes, name) for name in ("jn0", "jn1")]
        for writer in writers:
            writer.start(10)
            writer.write(10, "a", 10, 12)
        nodes.start("jn2")
        wait_for("both segments", lambda: set(segments(nodes, "jn2")) == set(DONE))
        assert segments(nodes, "jn2") == segments(nodes, "jn0")
        version = (nodes.current("jn2", JID) / "VERSION").read_text()
        for line in (nodes.current("jn0", JID) / "VERSION").read_text().splitlines()[1:]:
            assert line in version
        fresh = RawWriter(nodes.address("jn2"), JID)
        assert fresh.state().lastPromisedEpoch == 1
        # It can't know whether 10..12 were acknowledged with its vote.
        with pytest.raises(IOFault, match="takes no part in a recovery before"):
            fresh.new_epoch(2)
        for writer, name in zip(writers, ("jn1", "jn0"), strict=True):
            writer.new_epoch(2)
            writer.prepare(10)
            writer.accept(10, 12, segment_url(nodes.http(name), JID, 10))
        for writer in writers:
            writer.finalize(10, 12)
        learning = nodes.current("jn2", JID) / "learning-until"
        wait_for("its vote", lambda: not learning.exists())
        assert segments(nodes, "jn2") == segments(nodes, "jn0")
        assert fresh.new_epoch(3).lastSegmentTxId == 10
