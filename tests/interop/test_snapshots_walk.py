"""Random walks with snapshots: Hadoop's NameNode and ours look the same after every step.

More seeds, and shorter stories of what differs: `python tests/interop/snapshot_walk.py --help`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from snapshot_servers import hadoop_server, our_server
from snapshot_side import Marks, Side
from snapshot_steps import Step
from snapshot_walk import SETTINGS, Walker

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(900)]

SEEDS = range(1, 8)
STEPS = 100


@pytest.fixture(scope="module")
def theirs(hadoop_lib: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with hadoop_server(hadoop_lib, tmp_path_factory.mktemp("hadoop"), SETTINGS) as conf:
        yield conf


@pytest.fixture(scope="module")
def walker(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walker]:
    with our_server(tmp_path_factory.mktemp("hdfsd"), SETTINGS) as ours:
        yield Walker(theirs, ours, ("Hadoop", "hdfsd"))


@pytest.mark.parametrize("seed", SEEDS)
def test_both_look_the_same(walker: Walker, seed: int) -> None:
    walk = walker.run(seed, STEPS)
    if walk.given_up:
        # A DataNode was too slow: on the same steps once more, it hardly is.
        walk = walker.run(seed, STEPS)
    assert not walk.difference, walk.story(walker.names)
    # Hadoop's may be slow once more: what was compared until then counts. Ours may not.
    assert not walk.given_up or "Hadoop: " in walk.given_up, walk.given_up
    useful = [outcome for outcome in walk.outcomes if outcome.startswith("ok")]
    assert len(useful) > len(walk.outcomes) // 3, "hardly anything was done"


def test_hadoop_looks_like_itself(theirs: Path) -> None:
    """What differs between two directories of one server would be the walk's own fault."""
    walk = Walker(theirs, theirs, ("Hadoop", "Hadoop too")).run(SEEDS.stop, STEPS)
    assert not walk.difference, walk.difference


STEPS_OF_ONE_FILE = (
    Step("mkdirs", ("@/d", False)),
    Step("allowSnapshot", ("@/d",)),
    Step("create", ("@/d/f", 1500, False)),
    Step("setXAttr", ("@/d/f", "user.x", "v")),
    Step("setPermission", ("@/d/f", 0o700)),
    Step("append", ("@/d/f", 100)),
    Step("setTimes", ("@/d/f", 1_000_000_000_000, -1)),
    Step("createSnapshot", ("@/d", "s1")),
    Step("delete", ("@/d/f", False)),
)


@pytest.mark.parametrize("forgotten", STEPS_OF_ONE_FILE[2:8], ids=lambda step: step.verb)
def test_what_only_one_did_is_seen_in_its_snapshot(theirs: Path, forgotten: Step) -> None:
    async def lines() -> list[list[str]]:
        marks = Marks()
        found = []
        for index, steps in enumerate(
            (STEPS_OF_ONE_FILE, [step for step in STEPS_OF_ONE_FILE if step != forgotten])
        ):
            side = Side("Hadoop", theirs, f"/forgetful/{forgotten.verb}{index}", marks)
            try:
                await side.prepare()
                for step in steps:
                    await side.do(step)
                found.append((await side.full()).lines)
            finally:
                await side.close()
        return found

    whole, forgetful = asyncio.run(lines())
    below = [[line for line in part if "/.snapshot/s1/" in line] for part in (whole, forgetful)]
    assert below[0] != below[1]
