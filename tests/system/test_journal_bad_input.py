"""What nobody should ask of a JournalNode, over real sockets: refused as by Hadoop's, by class and
text (tests/interop/data/journal_refusals.json), and nothing changes on its disk (P9).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from journal_misuse import (
    ALLOWED_CHANGES,
    BAD_IDS,
    CALLS,
    GETS,
    UNREADABLE,
    Target,
    outcome,
    prepare,
    refusals,
    tree_hash,
)
from journals import HDFSD, JournalNodes, RawWriter, fetch, journal_nodes, segment_url

from hdfsd.base.errors import IllegalArgument

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

NUMBERS = itertools.count()
OUR_WORDS = {
    # Hadoop's words name Java's classes, or nothing at all.
    "discard in the middle of a segment",
    "no journal",
    "a segment that is no number",
    "storage info of three fields",
    "storage info of letters",
    "a journal that was never formatted",
    "edits with a serial number that was used",
    "accept with an end before its start",
    "accept with no end",
}
"""Refused by the same class or status, in words of our own."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalNodes]:
    with journal_nodes(tmp_path_factory.mktemp("misused"), None, {"jn": HDFSD}) as running:
        yield running


@pytest.fixture
def target(nodes: JournalNodes) -> Target:
    writer = RawWriter(nodes.address("jn"), f"journal{next(NUMBERS)}")
    made = Target(nodes.address("jn"), nodes.http("jn"), nodes.edits_dir("jn"), writer)
    prepare(made)
    return made


def assert_as_hadoops(title: str, said: tuple[str | int, str], hadoops: dict[str, object]) -> None:
    if title in OUR_WORDS:
        expected = hadoops[title]
        assert isinstance(expected, tuple)
        assert said[0] == expected[0]
        assert said[1]
    else:
        assert said == hadoops[title]


@pytest.mark.parametrize("title", CALLS)
def test_a_call_is_refused(nodes: JournalNodes, target: Target, title: str) -> None:
    around = tree_hash(nodes.root / "data")
    said = outcome(target, CALLS[title])
    assert_as_hadoops(title, said, dict(refusals("calls")))
    if title not in ALLOWED_CHANGES:
        assert tree_hash(nodes.root / "data") == around
    assert target.writer.state().lastPromisedEpoch == 3


@pytest.mark.parametrize("title", GETS)
def test_a_download_is_refused(nodes: JournalNodes, target: Target, title: str) -> None:
    around = tree_hash(nodes.root / "data")
    assert_as_hadoops(title, GETS[title](target), dict(refusals("downloads")))
    assert tree_hash(nodes.root / "data") == around


@pytest.mark.parametrize("journal_id", [*BAD_IDS, "a\\b", "line\nbreak", "nul\0", "x" * 300])
def test_a_bad_journal_id_makes_nothing_anywhere(nodes: JournalNodes, journal_id: str) -> None:
    names = sorted(nodes.root.rglob("*"))
    writer = RawWriter(nodes.address("jn"), journal_id)
    with pytest.raises(IllegalArgument, match="bad journal id"):
        writer.format(force=True)
    with pytest.raises(IllegalArgument, match="bad journal id"):
        writer.new_epoch(1)
    assert sorted(nodes.root.rglob("*")) == names


@pytest.mark.parametrize("title", UNREADABLE)
def test_what_is_not_transactions_is_never_taken_for_some(
    nodes: JournalNodes, target: Target, title: str
) -> None:
    """Hadoop's takes any bytes; whatever ours did with them, the journal goes on behind the good
    ones when it was started again."""
    outcome(target, UNREADABLE[title])
    nodes.kill("jn")
    nodes.start("jn")
    successor = RawWriter(target.address, target.writer.journal_id)
    assert successor.new_epoch(4).lastSegmentTxId == 11
    state = successor.prepare(11).segmentState
    good = {"txids out of order": 15, "fewer than are said": 17, "more than are said": 20}
    assert state.endTxId == good.get(title, 15)
    url = segment_url(nodes.http("jn"), target.writer.journal_id, 11)
    successor.accept(11, state.endTxId, url)
    successor.finalize(11, state.endTxId)
    assert fetch(url)[0] == 200
    assert successor.manifest() == [(1, 10), (11, state.endTxId)]
