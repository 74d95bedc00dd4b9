"""A writer and its quorum as real processes: a pause of the writer, and quorums of 3, 5 and 7.

The writer's time-outs are 4 seconds (failover_writer.py).
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from journals import HDFSD, JournalNodes, OurWriter, journal_nodes
from test_many_failovers import JOURNAL_ID, WriterProcess

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

PAUSE_SECONDS = 6.0
SECONDS = 60


def eventually(what: str, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, f"not within {SECONDS} s: {what}"
        time.sleep(0.05)


@contextmanager
def written_to(root: Path, count: int) -> Iterator[tuple[JournalNodes, WriterProcess]]:
    """So many JournalNodes, and a writer that writes on them without end."""
    names = [f"jn{number + 1}" for number in range(count)]
    with journal_nodes(root, None, dict.fromkeys(names, HDFSD)) as nodes:
        first = OurWriter(nodes.addresses(names), JOURNAL_ID)
        first.format()
        first.close()
        writer = WriterProcess(1, nodes, names)
        try:
            writer.go()
            eventually("the writer writes", lambda: bool(writer.acknowledged))
            yield nodes, writer
        finally:
            writer.end()


def goes_on(writer: WriterProcess) -> None:
    """It writes past what was under way."""
    newest = writer.acknowledged[-1]
    eventually(
        f"the writer goes on behind {newest}",
        lambda: writer.acknowledged[-1] > newest + 100 or writer.is_over,
    )
    assert not writer.is_over, writer.lost


def test_a_pause_of_the_writer_is_no_loss_of_its_quorum(tmp_path: Path) -> None:
    """SIGSTOP for longer than every time-out, with requests under way: their answers are there
    when it goes on, and so are their deadlines."""
    with written_to(tmp_path, 3) as (_, writer):
        for _ in range(2):
            writer.signal(signal.SIGSTOP)
            time.sleep(PAUSE_SECONDS)
            writer.signal(signal.SIGCONT)
            goes_on(writer)


@pytest.mark.parametrize("count", [3, 5, 7])
def test_a_minority_may_fail_and_a_majority_ends_the_writer(tmp_path: Path, count: int) -> None:
    with written_to(tmp_path, count) as (nodes, writer):
        minority = [f"jn{number + 1}" for number in range(count // 2)]
        for number, name in enumerate(minority):
            if number % 2:
                nodes.signal(name, signal.SIGSTOP)
            else:
                nodes.kill(name)
            goes_on(writer)
        one_more = f"jn{count}"
        nodes.kill(one_more)
        eventually("the writer ends", lambda: writer.is_over)
        writer.end()
        # One message, with a reason for each that failed.
        assert re.search(r"no quorum of journals \(", writer.lost), writer.lost
        for name in [*minority, one_more]:
            assert f"{nodes.address(name)}: " in writer.lost
        for name in minority[1::2]:
            nodes.signal(name, signal.SIGCONT)
