"""Hadoop's JournalNode refuses what nobody should ask in the words of data/journal_refusals.json.

tests/system/test_journal_bad_input.py holds ours to the same file, without Java.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_misuse import CALLS, GETS, UNREADABLE, Target, outcome, prepare, refusals
from journals import HADOOP, JournalNodes, RawWriter, journal_nodes

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def nodes(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JournalNodes]:
    root = tmp_path_factory.mktemp("misused")
    with journal_nodes(root, hadoop_lib, {"jn": HADOOP}) as running:
        yield running


@pytest.fixture
def target(nodes: JournalNodes) -> Target:
    writer = RawWriter(nodes.address("jn"), f"journal{next(NUMBERS)}")
    made = Target(nodes.address("jn"), nodes.http("jn"), nodes.edits_dir("jn"), writer)
    prepare(made)
    return made


@pytest.mark.parametrize("title", CALLS)
def test_a_call(target: Target, title: str) -> None:
    assert outcome(target, CALLS[title]) == refusals("calls")[title]


@pytest.mark.parametrize("title", GETS)
def test_a_download(target: Target, title: str) -> None:
    assert GETS[title](target) == refusals("downloads")[title]


@pytest.mark.parametrize("title", UNREADABLE)
def test_what_is_not_transactions_is_not_looked_at(target: Target, title: str) -> None:
    assert outcome(target, UNREADABLE[title]) == ("done", "")
