"""Driver. The same random steps with snapshots on two servers, which must look the same throughout.

`python tests/interop/snapshot_walk.py --seeds 0-99` starts Hadoop's NameNode and ours and tells the
first difference of each seed as the story of its steps, as short as it can be made. `--with-itself`
lets Hadoop walk beside Hadoop: whatever differs then is the walk's own fault.
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import hadoop
from snapshot_servers import hadoop_server, our_server
from snapshot_side import Marks, Side, TooSlow
from snapshot_steps import Chooser, Known, Step

LOOK_EVERY = 6
"""Steps between two looks at everything."""
CONTENTS_PER_LOOK = 6
ODD_PATHS = ("@/.snapshot", "@/none", "@/a/.snapshot", "@/a/.snapshot/s1/b")
SETTINGS = {"dfs.namenode.snapshotdiff.listing.limit": "3"}
"""Diff reports have more than one page."""
LINES_MAX = 30
"""Of a difference, in its story."""
TICK_SECONDS = 0.002
"""Steps do not share a millisecond: times are told by the step in which they lie."""


@dataclass(slots=True)
class Walk:
    """What was done, and the first difference."""

    seed: int
    steps: list[Step] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    looks: int = 0
    difference: str = ""
    given_up: str = ""
    """Why it ended early, without a difference."""

    def story(self, names: tuple[str, str]) -> str:
        """The steps so far and what differs after the last."""
        lines = [
            f"{index:4} {step}  -> {outcome}"
            for index, (step, outcome) in enumerate(zip(self.steps, self.outcomes, strict=True), 1)
        ]
        first, second = names
        return "\n".join(
            [f"seed {self.seed}: - {first}, + {second}", *lines, "differs:", self.difference]
        )


class Walker:
    """Two servers that walk together."""

    def __init__(self, first: Path, second: Path, names: tuple[str, str]) -> None:
        self._confs = first, second
        self.names = names
        self._walks = 0

    def run(self, seed: int, steps: int) -> Walk:
        """A walk drawn from a seed."""
        return asyncio.run(self._walk(seed, steps, None))

    def replay(self, seed: int, steps: Sequence[Step]) -> Walk:
        """Just these steps, with a look at everything after each."""
        return asyncio.run(self._walk(seed, len(steps), steps))

    def shortened(self, walk: Walk) -> Walk:
        """The shortest story found that still has a difference."""
        best, size = walk, max(1, len(walk.steps) // 2)
        while True:
            start, shorter = 0, False
            while start < len(best.steps):
                fewer = [*best.steps[:start], *best.steps[start + size :]]
                tried = self.replay(walk.seed, fewer)
                if tried.difference and len(tried.steps) < len(best.steps):
                    best, shorter = tried, True
                else:
                    start += size
            if not shorter and size == 1:
                return best
            size = max(1, size // 2)

    async def _walk(self, seed: int, count: int, given: Sequence[Step] | None) -> Walk:
        self._walks += 1
        marks = Marks()
        sides = [
            Side(name, conf, f"/walk{seed}/{self._walks}-{index}", marks)
            for index, (name, conf) in enumerate(zip(self.names, self._confs, strict=True))
        ]
        try:
            return await self._steps(seed, count, given, sides, marks)
        finally:
            for side in sides:
                await side.close()

    async def _steps(
        self,
        seed: int,
        count: int,
        given: Sequence[Step] | None,
        sides: Sequence[Side],
        marks: Marks,
    ) -> Walk:
        walk = Walk(seed)
        dice = random.Random(seed)
        renames = bool(seed % 2)
        chooser = Chooser(dice, renames=renames)
        await _mark(marks, "start")
        await asyncio.gather(*(side.prepare() for side in sides))
        known = Known()
        for index in range(count):
            step = given[index] if given is not None else chooser.next(known)
            walk.steps.append(step)
            await _mark(marks, f"step {index + 1}")
            try:
                told = await asyncio.gather(*(side.do(step) for side in sides))
            except TooSlow as error:
                walk.steps.pop()
                walk.given_up = f"given up at step {index + 1}: {error}"
                return walk
            walk.outcomes.append(told[0])
            if told[0] != told[1]:
                walk.difference = _difference([told[0]], [told[1]])
                return walk
            (known, shown), (_, other) = await asyncio.gather(*(side.brief() for side in sides))
            walk.difference = _difference(shown, other)
            if not walk.difference and (given is not None or index % LOOK_EVERY == 0):
                walk.looks += 1
                await _mark(marks, f"look {index + 1}")
                walk.difference = await _look(sides, chooser, known, counts=not renames)
            if walk.difference:
                return walk
        return walk


async def _mark(marks: Marks, name: str) -> None:
    await asyncio.sleep(TICK_SECONDS)
    marks.add(name, time.time_ns() // 1_000_000)


async def _look(sides: Sequence[Side], chooser: Chooser, known: Known, *, counts: bool) -> str:
    trees = await asyncio.gather(*(side.full(counts=counts) for side in sides))
    difference = _difference(trees[0].lines, trees[1].lines)
    if difference:
        return difference
    files = [sides[0].plain(row.path) for row in trees[0].rows if not row.is_directory]
    asked = chooser.sample(files, CONTENTS_PER_LOOK)
    pairs = chooser.pairs(known, 2)
    summed = ODD_PATHS if counts else ()
    told = await asyncio.gather(*(_answers(side, asked, pairs, summed) for side in sides))
    return _difference(*told)


async def _answers(
    side: Side,
    files: Sequence[str],
    pairs: Sequence[tuple[str, str, str]],
    summed: Sequence[str],
) -> list[str]:
    return await asyncio.gather(
        *(side.content(path) for path in files),
        *(side.difference(*pair) for pair in pairs),
        *(side.summary(path) for path in summed),
    )


def _difference(first: Sequence[str], second: Sequence[str]) -> str:
    if first == second:
        return ""
    lines = [line for line in difflib.ndiff(first, second) if line[0] in "+-?"]
    return "\n".join(lines[:LINES_MAX])


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Walks; 1 when any seed found a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0-9", help="N, or FIRST-LAST")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--with-itself", action="store_true", help="Hadoop beside Hadoop")
    parser.add_argument("--whole-stories", action="store_true", help="do not shorten them")
    parser.add_argument("--keep-going", action="store_true", help="tell of more than one seed")
    parser.add_argument("--tell", action="store_true", help="every story, also without difference")
    options = parser.parse_args(arguments)
    lib = hadoop.jars()
    if lib is None:
        parser.error("no Hadoop jars or no Java: make interop installs both")
    first, _, last = options.seeds.partition("-")
    failed = 0
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="walk-")))
        theirs = stack.enter_context(hadoop_server(lib, root / "hadoop", SETTINGS))
        if options.with_itself:
            walker = Walker(theirs, theirs, ("Hadoop", "Hadoop too"))
        else:
            ours = stack.enter_context(our_server(root / "hdfsd", SETTINGS))
            walker = Walker(theirs, ours, ("Hadoop", "hdfsd"))
        for seed in range(int(first), int(last or first) + 1):
            began = time.monotonic()
            walk = walker.run(seed, options.steps)
            refused = sum(not outcome.startswith("ok") for outcome in walk.outcomes)
            _say(
                f"seed {seed}: {len(walk.steps)} steps ({refused} refused), {walk.looks} looks,"
                f" {time.monotonic() - began:.1f} s {walk.given_up}".rstrip()
            )
            if options.tell:
                _say(walk.story(walker.names))
            if walk.difference:
                failed += 1
                told = walk if options.whole_stories else walker.shortened(walk)
                _say(told.story(walker.names))
                if not options.keep_going:
                    break
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
