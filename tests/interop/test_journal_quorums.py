"""Quorums of Hadoop's and our JournalNodes under Hadoop's and our writer, through crashes.

Whatever the mixture and whoever writes, recovers and tails: every acknowledged transaction is read
back as its writer wrote it, by both readers, and nobody's unacknowledged one stands beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hadoop import Hadoop
from journals import (
    HADOOP,
    HDFSD,
    JavaWriter,
    JournalJvm,
    JournalNodes,
    OurWriter,
    Refused,
    Writer,
    journal_nodes,
    paths_of,
)

from hdfsd.base.errors import QuorumLost
from hdfsd.editlog.files import finalized_name

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

QUORUMS = {
    "3 ours": ("o1", "o2", "o3"),
    "2 ours, 1 Hadoop's": ("o1", "h1", "o2"),
    "1 ours, 2 Hadoop's": ("h1", "o1", "h2"),
    "3 Hadoop's": ("h1", "h2", "h3"),
}
KINDS = {
    name: HADOOP if name.startswith("h") else HDFSD for name in ("h1", "h2", "h3", "o1", "o2", "o3")
}


@dataclass
class Peers:
    """JournalNodes of both kinds; each scenario has a journal of its own on three of them."""

    nodes: JournalNodes
    jvm: JournalJvm
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_id(self) -> str:
        return f"journal{next(self._numbers)}"

    def writer(self, kind: str, names: Sequence[str], journal_id: str) -> Writer:
        addresses = self.nodes.addresses(names)
        if kind == HADOOP:
            return self.jvm.writer(addresses, journal_id)
        return OurWriter(addresses, journal_id)

    def read(self, names: Sequence[str], journal_id: str, first: int = 1) -> dict[int, str]:
        """What a NameNode that takes over reads, which is the same to Hadoop's and ours.

        (Where every transaction was acknowledged.) What Hadoop's standby applies is a part of it:
        it goes by the newest committed txid that its writer told, ours compares the journals.
        """
        theirs, ours = self.writer(HADOOP, names, journal_id), self.writer(HDFSD, names, journal_id)
        found = dict(ours.read(first))
        assert theirs.read(first, durable=False) == found
        told = theirs.read(first)
        assert told == {txid: path for txid, path in found.items() if txid in told}
        theirs.close()
        ours.close()
        return found


@pytest.fixture(scope="module")
def peers(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    root = tmp_path_factory.mktemp("journals")
    jvm = JournalJvm(Hadoop(hadoop_lib, root))
    try:
        with journal_nodes(root, hadoop_lib, KINDS) as nodes:
            yield Peers(nodes, jvm)
    finally:
        jvm.kill()


@pytest.fixture(autouse=True)
def _all_are_up(peers: Peers) -> None:
    """Whatever an earlier test left."""
    peers.nodes.start(*(name for name in KINDS if name not in peers.nodes.processes))


def scenarios() -> list[object]:
    """(quorum, who writes, who takes over, which journal is lost)."""
    found: list[object] = []
    for (title, names), first, second in itertools.product(
        QUORUMS.items(), (HADOOP, HDFSD), (HADOOP, HDFSD)
    ):
        if title == "3 Hadoop's" and second == HADOOP:
            continue  # That is Hadoop with itself.
        mixed = len({name[0] for name in names}) == 2
        # The odd one of a mixture, and one of the two that are alike.
        for lost in (names[1], names[2]) if mixed else names[:1]:
            title_of = f"{title}: {first}, {second}, without {lost}"
            found.append(pytest.param(names, first, second, lost, id=title_of))
    return found


@pytest.mark.parametrize(("names", "first", "second", "lost"), scenarios())
def test_written_crashed_recovered_and_tailed(
    peers: Peers, names: tuple[str, ...], first: str, second: str, lost: str
) -> None:
    journal_id = peers.new_id()
    writer = peers.writer(first, names, journal_id)
    writer.format()
    assert writer.has_data()
    writer.recover()
    writer.start(1)
    writer.write("a", 1, 20)
    assert peers.read(names, journal_id) == paths_of("a", 1, 20)
    writer.finalize(1, 20)
    writer.start(21)
    writer.write("a", 21, 20)
    peers.nodes.kill(lost)
    writer.write("a", 41, 10)
    writer.close()
    peers.nodes.start(lost)

    successor = peers.writer(second, names, journal_id)
    successor.recover()
    assert peers.read(names, journal_id) == paths_of("a", 1, 50)
    successor.start(51)
    successor.write("b", 51, 10)
    expected = paths_of("a", 1, 50) | paths_of("b", 51, 60)
    assert peers.read(names, journal_id) == expected
    # Another one goes in the middle of a segment: what both readers see is still durable.
    other = next(name for name in names if name != lost)
    peers.nodes.kill(other)
    successor.write("b", 61, 5)
    expected |= paths_of("b", 61, 65)
    recent = {txid: path for txid, path in expected.items() if txid > 20}
    assert peers.read(names, journal_id, 21) == recent
    successor.finalize(51, 65)
    successor.start(66)
    # Hadoop's own reader stumbles over an open segment that Hadoop's journals hold empty.
    successor.write("b", 66, 1)
    recent |= paths_of("b", 66, 66)
    successor.purge(21)
    successor.close()
    peers.nodes.start(other)
    assert peers.read(names, journal_id, 21) == recent
    for segment in ((21, 50), (51, 65)):
        assert_same_bytes_on_a_majority(peers, names, journal_id, finalized_name(*segment))


def assert_same_bytes_on_a_majority(
    peers: Peers, names: Sequence[str], journal_id: str, segment: str
) -> None:
    paths = [peers.nodes.current(name, journal_id) / segment for name in names]
    copies = [path.read_bytes() for path in paths if path.exists()]
    assert len(copies) >= 2
    assert len(set(copies)) == 1


@pytest.mark.parametrize(
    ("names", "first", "second", "third"),
    [
        pytest.param(names, *kinds, id=f"{title}: {', '.join(kinds)}")
        for title, names in QUORUMS.items()
        for kinds in ((HADOOP, HDFSD, HADOOP), (HDFSD, HADOOP, HDFSD))
    ],
)
def test_what_one_journal_alone_had_is_never_mixed_in(
    peers: Peers, names: tuple[str, ...], first: str, second: str, third: str
) -> None:
    """A writer fails with its last batch on one journal; two others go on; that one comes back."""
    journal_id = peers.new_id()
    alone, *rest = names
    writer = peers.writer(first, names, journal_id)
    writer.format()
    writer.recover()
    writer.start(1)
    writer.write("a", 1, 10)
    peers.nodes.kill(*rest)
    with pytest.raises((QuorumLost, Refused)):
        writer.write("a", 11, 7)
    writer.close()
    peers.nodes.kill(alone)

    peers.nodes.start(*rest)
    successor = peers.writer(second, names, journal_id)
    successor.recover()
    successor.start(11)
    successor.write("b", 11, 7)
    successor.close()

    peers.nodes.start(alone)
    last = peers.writer(third, names, journal_id)
    last.recover()
    expected = paths_of("a", 1, 10) | paths_of("b", 11, 17)
    assert peers.read(names, journal_id) == expected
    last.start(18)
    last.write("c", 18, 1)
    expected |= paths_of("c", 18, 18)
    assert peers.read(names, journal_id) == expected
    last.finalize(18, 18)
    last.close()


@pytest.mark.parametrize("title", ["3 ours", "2 ours, 1 Hadoop's", "1 ours, 2 Hadoop's"])
def test_a_fenced_writer_of_the_other_kind_writes_no_more(peers: Peers, title: str) -> None:
    names, journal_id = QUORUMS[title], peers.new_id()
    old: Writer = peers.writer(HADOOP, names, journal_id)
    old.format()
    old.recover()
    old.start(1)
    old.write("a", 1, 3)
    new = peers.writer(HDFSD, names, journal_id)
    new.recover()
    with pytest.raises(Refused, match="is less than the last promised epoch"):
        old.write("a", 4, 1)
    old.close()
    new.start(4)
    new.write("b", 4, 2)
    newest = peers.writer(HADOOP, names, journal_id)
    newest.recover()
    with pytest.raises(QuorumLost, match="is less than the last promised epoch"):
        new.write("b", 6, 1)
    new.close()
    assert peers.read(names, journal_id) == paths_of("a", 1, 3) | paths_of("b", 4, 5)
    newest.close()


@pytest.mark.parametrize("title", ["3 ours", "2 ours, 1 Hadoop's", "1 ours, 2 Hadoop's"])
def test_hadoops_writer_is_killed_in_full_flow(peers: Peers, hadoop_lib: Path, title: str) -> None:
    """kill -9 of a NameNode's process: what it was told to be acknowledged is there."""
    names, journal_id = QUORUMS[title], peers.new_id()
    jvm = JournalJvm(Hadoop(hadoop_lib, peers.nodes.root), name=f"flood-{journal_id}")
    try:
        writer: JavaWriter = jvm.writer(peers.nodes.addresses(names), journal_id)
        writer.format()
        writer.recover()
        writer.start(1)
        jvm.say("flood", writer.name, "a", "1")
        acknowledged = 0
        while acknowledged < 300:
            word, txid = jvm.hear()
            assert word == "acknowledged"
            acknowledged = int(txid)
    finally:
        jvm.kill()
    successor = peers.writer(HDFSD, names, journal_id)
    successor.recover()
    found = peers.read(names, journal_id)
    assert len(found) >= acknowledged
    assert found == paths_of("a", 1, len(found))
    successor.close()
