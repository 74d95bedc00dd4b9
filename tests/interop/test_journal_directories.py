"""A JournalNode's directory, left by one kind at any stage of its life, is opened by the other.

One kind makes every stage and is killed. Each kind opens a copy of what it left; asked the same,
they answer the same, and carried on in the same way they leave the same files.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from journals import (
    HADOOP,
    HDFSD,
    JournalNodes,
    RawWriter,
    fetch,
    frames_of,
    segment_url,
)

from hdfsd.editlog.files import finalized_name, inprogress_name
from hdfsd.wire.messages import qjournal

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Workshop:
    """Where a stage is made: the JournalNode that leaves it, and one to fetch segments from."""

    maker: RawWriter
    donor: RawWriter
    donor_http: str
    current: Path

    def both(self, last: int) -> None:
        """A segment from 1 on: the maker has 10 transactions of it, the donor up to `last`."""
        for writer, end in ((self.maker, 10), (self.donor, last)):
            writer.new_epoch(1)
            writer.start(1)
            writer.write(1, "a", 1, end)

    def accept(self, last: int) -> None:
        """A recovery decides that the segment ends at `last`, as on the donor."""
        for writer in (self.maker, self.donor):
            writer.new_epoch(2)
            writer.prepare(1)
            writer.accept(1, last, segment_url(self.donor_http, self.maker.journal_id, 1))


def formatted(shop: Workshop) -> None:
    pass


def promised(shop: Workshop) -> None:
    shop.maker.new_epoch(7)


def started(shop: Workshop) -> None:
    shop.maker.new_epoch(1)
    shop.maker.start(1)


def in_progress(shop: Workshop) -> None:
    shop.both(10)
    shop.maker.committed = 10
    shop.maker.write(1, "a", 11, 12)


def torn(shop: Workshop) -> None:
    """The machine went down in the middle of a write."""
    shop.both(10)
    path = shop.current / inprogress_name(1)
    data = path.read_bytes()
    frame = frames_of("a", 11, 11)
    end = data.index(b"\xff" * 100)
    path.write_bytes(data[:end] + frame[:-7] + data[end + len(frame) - 7 :])


def prepared(shop: Workshop) -> None:
    shop.both(10)
    shop.maker.new_epoch(2)
    shop.maker.prepare(1)


def accepted_as_it_was(shop: Workshop) -> None:
    shop.both(10)
    shop.accept(10)


def accepted_and_fetched(shop: Workshop) -> None:
    shop.both(15)
    shop.accept(15)


def accepted_and_not_yet_in_place(shop: Workshop) -> None:
    """Killed between the accepted recovery's file and the fetched segment's last name."""
    shop.both(15)
    before = (shop.current / inprogress_name(1)).read_bytes()
    shop.accept(15)
    path = shop.current / inprogress_name(1)
    path.rename(path.with_name(f"{path.name}.epoch=2"))
    path.write_bytes(before)


def fetched_and_not_accepted(shop: Workshop) -> None:
    """Killed before the accepted recovery's file: what was fetched is nothing."""
    shop.both(10)
    path = shop.current / inprogress_name(1)
    shutil.copy(path, path.with_name(f"{path.name}.epoch=2"))


def finalized(shop: Workshop) -> None:
    shop.both(10)
    shop.maker.finalize(1, 10)


def recovered(shop: Workshop) -> None:
    shop.both(15)
    shop.accept(15)
    shop.maker.finalize(1, 15)


def next_segment(shop: Workshop) -> None:
    finalized(shop)
    shop.maker.committed = 10
    shop.maker.start(11)
    shop.maker.write(11, "a", 11, 14)


def next_segment_empty(shop: Workshop) -> None:
    finalized(shop)
    shop.maker.start(11)


def purged(shop: Workshop) -> None:
    next_segment(shop)
    shop.maker.finalize(11, 14)
    shop.maker.start(15)
    shop.maker.write(15, "a", 15, 15)
    shop.maker.purge(11)


def written_twice(shop: Workshop) -> None:
    """A second writer began anew where the first had left one transaction."""
    shop.maker.new_epoch(1)
    shop.maker.start(1)
    shop.maker.write(1, "a", 1, 1)
    shop.maker.new_epoch(2)
    shop.maker.start(1)
    shop.maker.write(1, "b", 1, 3)


STAGES: Mapping[str, Callable[[Workshop], None]] = {
    stage.__name__.replace("_", "-"): stage
    for stage in (
        formatted,
        promised,
        started,
        in_progress,
        torn,
        prepared,
        accepted_as_it_was,
        accepted_and_fetched,
        accepted_and_not_yet_in_place,
        fetched_and_not_accepted,
        finalized,
        recovered,
        next_segment,
        next_segment_empty,
        purged,
        written_twice,
    )
}
COMPLETED_LATE = "accepted-and-not-yet-in-place"
"""Ours completes it when it opens the journal, Hadoop's when somebody prepares a recovery."""


@pytest.fixture(scope="module", params=[HADOOP, HDFSD], ids=["of Hadoop's", "of ours"])
def openers(
    request: pytest.FixtureRequest, hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JournalNodes]:
    """Both kinds, each on a copy of what a third left at every stage."""
    kinds = {"maker": str(request.param), "donor": HDFSD, HADOOP: HADOOP, HDFSD: HDFSD}
    nodes = JournalNodes(tmp_path_factory.mktemp("stages"), hadoop_lib, kinds)
    try:
        nodes.start("maker", "donor")
        for journal_id, make in STAGES.items():
            maker, donor = (RawWriter(nodes.address(n), journal_id) for n in ("maker", "donor"))
            maker.format()
            donor.format()
            current = nodes.current("maker", journal_id)
            make(Workshop(maker, donor, nodes.http("donor"), current))
        nodes.kill("maker", "donor")
        for kind in (HADOOP, HDFSD):
            shutil.copytree(nodes.edits_dir("maker"), nodes.edits_dir(kind))
        nodes.start(HADOOP, HDFSD)
        yield nodes
    finally:
        nodes.close()


@pytest.mark.parametrize("journal_id", STAGES)
def test_both_open_it_and_go_on_alike(openers: JournalNodes, journal_id: str) -> None:
    theirs, ours = (carried_on(openers, kind, journal_id) for kind in (HADOOP, HDFSD))
    for left, right in zip(theirs, ours, strict=True):
        assert left == right
    currents = (openers.current(kind, journal_id) for kind in (HADOOP, HDFSD))
    assert_same_files(*(without_leftovers(files_of(current)) for current in currents))


def assert_same_files(theirs: Mapping[str, bytes], ours: Mapping[str, bytes]) -> None:
    assert sorted(theirs) == sorted(ours)
    for name, data in theirs.items():
        assert data == ours[name], name


def carried_on(nodes: JournalNodes, kind: str, journal_id: str) -> list[object]:
    """Everything that a JournalNode says while its journal is read, recovered and written on."""
    writer = RawWriter(nodes.address(kind), journal_id)
    told: list[object] = []

    def tell(what: str, value: object) -> None:
        told.append((what, value))

    jid = qjournal.JournalIdProto(identifier=journal_id)
    formatted = writer.call("isFormatted", qjournal.IsFormattedRequestProto(jid=jid))
    tell("formatted", formatted.isFormatted)
    epoch = writer.state().lastPromisedEpoch
    tell("promised", epoch)
    if journal_id != COMPLETED_LATE:
        for in_progress_ok in (False, True):
            tell("manifest", writer.manifest(in_progress_ok=in_progress_ok))
        for first, _ in writer.manifest():
            status, _, body = fetch(segment_url(nodes.http(kind), journal_id, first))
            tell(f"GET {first}", (status, body))
    newest = writer.new_epoch(epoch + 1)
    tell("newEpoch", str(newest))
    last = 0
    if newest.HasField("lastSegmentTxId"):
        last = recovered_by(writer, nodes.http(kind), newest.lastSegmentTxId, tell)
    tell("recovered", writer.manifest())
    writer.start(last + 1)
    writer.write(last + 1, "z", last + 1, last + 4)
    tell("written", writer.manifest())
    writer.finalize(last + 1, last + 4)
    tell("finalized", writer.manifest())
    return told


def recovered_by(
    writer: RawWriter, http: str, first: int, tell: Callable[[str, object], None]
) -> int:
    answer: Any = writer.prepare(first)
    tell("prepareRecovery", str(answer))
    state = answer.segmentState
    url = segment_url(http, writer.journal_id, first)
    writer.accept(first, state.endTxId, url, in_progress=state.isInProgress)
    tell("prepareRecovery again", str(writer.prepare(first)))
    writer.finalize(first, state.endTxId)
    return int(state.endTxId)


def files_of(current: Path) -> dict[str, bytes]:
    """Contents by name; of VERSION without the date. What says nothing is left out."""
    found = {}
    for path in sorted(current.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if path.name == "VERSION":
            data = b"".join(line for line in data.splitlines(True) if not line.startswith(b"#"))
        if (path.name, data) != ("committed-txid", b""):
            found[str(path.relative_to(current))] = data
    return found


def without_leftovers(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Segments that were fetched and never accepted go at the next purge, if not before."""
    return {name: data for name, data in files.items() if ".epoch=" not in name}


def test_the_stages_are_what_they_say(openers: JournalNodes) -> None:
    """Of the maker's own directory, which nobody opened again."""
    names = {stage: sorted(files_of(openers.current("maker", stage))) for stage in STAGES}
    assert inprogress_name(1) in names["started"]
    assert "paxos/1" in names["accepted-and-fetched"]
    assert f"{inprogress_name(1)}.epoch=2" in names["accepted-and-not-yet-in-place"]
    assert finalized_name(1, 15) in names["recovered"]
    assert "paxos/1" not in names["recovered"]
    assert inprogress_name(11) in names["next-segment"]
    assert finalized_name(1, 10) not in names["purged"]
