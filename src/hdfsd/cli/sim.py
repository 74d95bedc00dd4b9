"""Adapter. `hdfsd sim`: runs seeds of the simulator, or tells the story of one."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence

from hdfsd.sim.loop import current_lane
from hdfsd.sim.swarm import Result, run_seed
from hdfsd.sim.world import World


def main(arguments: Sequence[str]) -> int:
    """`hdfsd sim [--seed N] [--seeds M] [--trace] [--jobs J]`: 0 when every seed holds, else 1."""
    parser = argparse.ArgumentParser(prog="hdfsd sim", description=__doc__.partition(". ")[2])
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes to run them in")
    parser.add_argument("--trace", action="store_true", help="everything that happens, as a story")
    options = parser.parse_args(list(arguments))
    if options.trace:
        return _tell(options.seed)
    seeds = range(options.seed, options.seed + options.seeds)
    if len(seeds) == 1:
        return _report(seeds, iter([_quietly(seeds[0])]))
    with multiprocessing.Pool(options.jobs) as pool:
        return _report(seeds, pool.imap(_quietly, seeds))


def _quietly(seed: int) -> Result:
    logging.disable(logging.CRITICAL)
    # Of processes that were killed between the making of a task and its first step.
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited")
    return run_seed(seed)


def _report(seeds: Sequence[int], results: Iterator[Result]) -> int:
    """A line per seed with its digest; what failed comes with the way to see it again."""
    began_s, failed = time.monotonic(), []
    for result in results:
        if result.failure:
            failed.append(result.seed)
            print(f"seed {result.seed} FAILED {result.digest}: {result.failure}")
            print(f"  {result.mix}\n  again, as a story: hdfsd sim --seed {result.seed} --trace")
        else:
            told = f"{result.faults} faults, {result.counts.known} operations"
            print(f"seed {result.seed} holds {result.digest} ({told}, {result.virtual_ms} ms)")
        sys.stdout.flush()
    rate = len(seeds) / (time.monotonic() - began_s)
    print(f"{len(seeds) - len(failed)} of {len(seeds)} seeds hold, {rate:.1f} a second")
    return 1 if failed else 0


class _Story(logging.Handler):
    """Puts what the drivers log between the events of the world, with virtual time."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        try:
            lane = current_lane().name
        except LookupError:
            lane = "world"
        text = record.getMessage()
        line = f"{self._world.loop.time() * 1000:.3f} {lane}: {record.levelname}: {text}"
        self._world.loop.trace.lines.append(line)


def _tell(seed: int) -> int:
    root = logging.getLogger()
    root.setLevel(logging.INFO)

    def watch(world: World) -> None:
        world.loop.trace.lines = deque()
        root.handlers = [_Story(world)]

    result = run_seed(seed, watch=watch)
    print("\n".join([f"seed {seed}: {result.mix}", *result.trace]))
    print(f"seed {seed} {result.digest}: {result.failure or 'all promises hold'}")
    return 1 if result.failure else 0
