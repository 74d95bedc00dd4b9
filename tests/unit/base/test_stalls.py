"""Names and numbers of stalls."""

from __future__ import annotations

import pytest

from hdfsd.base.stalls import (
    IDLE,
    LAST_MAX,
    MINUTE_MS,
    NAMES_MAX,
    OTHERS,
    TOLD_PER_MINUTE_MAX,
    Place,
    Stall,
    Stalls,
    name_of,
)

MAIN = Place("hdfsd.cli.main", "main", 9)
RUN = Place("asyncio.base_events", "run_forever", 1)
SERVE = Place("hdfsd.rpc.server", "RpcServer._call", 2)
LISTING = Place("hdfsd.namenode.client_reads", "ClientReads.get_listing", 3)
CHILDREN = Place("hdfsd.namespace.tree", "Namespace.children", 4)
SORT = Place("operator", "attrgetter", 5)


@pytest.mark.parametrize(
    ("stack", "task", "name"),
    [
        (
            [RUN, SERVE, LISTING, CHILDREN, SORT],
            "Task-17",
            "namenode.client_reads.ClientReads.get_listing → namespace.tree.Namespace.children"
            " (line 4)",
        ),
        ([RUN, LISTING], "", "namenode.client_reads.ClientReads.get_listing (line 3)"),
        ([RUN, SERVE], "", "rpc.server.RpcServer._call (line 2)"),
        (
            [RUN, CHILDREN],
            "blocks",
            "task blocks: namespace.tree.Namespace.children (line 4)",
        ),
        ([RUN, SORT], "tail", "task tail: operator.attrgetter (line 5)"),
        ([MAIN, RUN, LISTING], "", "namenode.client_reads.ClientReads.get_listing (line 3)"),
        ([MAIN, RUN], "", IDLE),
        ([], "", IDLE),
    ],
)
def test_names(stack: list[Place], task: str, name: str) -> None:
    assert name_of(stack, task) == name


def test_all_is_counted_and_bounded() -> None:
    stalls = Stalls()
    for number in range(NAMES_MAX + 50):
        stalls.add(Stall(f"thing {number}", 100 + number, 7, 1_700_000_000_000))
    stalls.add(Stall("thing 0", 60, 7, 1_700_000_000_000))
    told = stalls.as_json()
    assert (told["Count"], told["MaxMillis"]) == (NAMES_MAX + 51, 100 + NAMES_MAX + 49)
    assert told["ByName"]["thing 0"] == 2
    assert told["ByName"][OTHERS] == 50
    assert len(told["ByName"]) == NAMES_MAX + 1
    assert len(told["Last"]) == LAST_MAX
    assert told["Last"][-1]["Name"] == "thing 0"
    assert Stall("x", 123, 4, 0).describe() == (
        "the event loop did not come round for 123 ms (4 ms on a processor): x"
    )


def test_a_log_is_not_flooded() -> None:
    stalls, wall_ms = Stalls(), 1_700_000_000_000
    told = [stalls.add(Stall("x", 60, 60, wall_ms + n)) for n in range(100)]
    assert told == [True] * TOLD_PER_MINUTE_MAX + [False] * (100 - TOLD_PER_MINUTE_MAX)
    assert not stalls.add(Stall(IDLE, 60, 0, wall_ms + MINUTE_MS))
    assert stalls.add(Stall("x", 60, 60, wall_ms + MINUTE_MS))
    assert stalls.count == 102
