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
from journals import HDFSD, JournalNodes, RawWriter, journal_nodes

from hdfsd.base.errors import IllegalArgument, JournalOutOfSync

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
def test_what_is_not_the_transactions_it_is_said_to_be_is_refused(
    nodes: JournalNodes, target: Target, title: str
) -> None:
    """Hadoop's acknowledges any bytes (tests/interop/test_journal_misuse.py). Ours takes what it
    can give back: nothing has changed, and good transactions are taken behind the last."""
    around = tree_hash(nodes.root / "data")
    refusal, text = outcome(target, UNREADABLE[title])
    assert (refusal, text[:21]) == (JournalOutOfSync.java_class, "Can't write txids 16-")
    assert tree_hash(nodes.root / "data") == around
    target.writer.write(11, "a", 16, 17)
    target.writer.finalize(11, 17)
    assert target.writer.manifest() == [(1, 10), (11, 17)]
