"""Adapter. `hdfsd sim`: runs seeds of the simulator, or tells the story of one.

Worlds: `cluster` is NameNodes, controllers, JournalNodes and clients; `journal` is JournalNodes and
duelling writers alone, whose seeds take a tenth of the time. `--pairs` breaks one story of the
latter at every call and at every pair of calls.
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import re
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.pool import Pool

from hdfsd.sim import duel, every_call, swarm
from hdfsd.sim.loop import current_lane
from hdfsd.sim.outcome import Outcome
from hdfsd.sim.world import World

BRIEF_SEEDS_MIN = 1_000
WORLDS: dict[str, Callable[..., Outcome]] = {"cluster": swarm.run_seed, "journal": duel.run_seed}


def main(arguments: Sequence[str]) -> int:
    """`hdfsd sim [--world W] [--seed N] [--seeds M] [--trace] [--jobs J] | --pairs`: 0 when every
    seed holds, else 1."""
    parser = argparse.ArgumentParser(prog="hdfsd sim", description=__doc__.partition(". ")[2])
    parser.add_argument("--world", choices=sorted(WORLDS), default="cluster", help="what runs")
    parser.add_argument("--pairs", action="store_true", help="faults at every call and every pair")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes to run them in")
    parser.add_argument("--trace", action="store_true", help="everything that happens, as a story")
    options = parser.parse_args(list(arguments))
    if options.trace:
        return _tell(options.world, options.seed)
    seeds = range(options.seed, options.seed + options.seeds)
    work = [(options.world, seed) for seed in seeds]
    if len(seeds) == 1 and not options.pairs:
        _silence()
        return _report(options.world, seeds, map(_run, work))
    with multiprocessing.Pool(options.jobs, initializer=_begin) as pool:
        if options.pairs:
            return _pairs(pool)
        results = pool.imap(_run, work, chunksize=4)
        return _report(options.world, seeds, results, every=_brief(len(seeds)))


def _brief(count: int) -> int:
    """A line per seed while somebody can read them, else one for so many."""
    return 1 if count <= BRIEF_SEEDS_MIN else BRIEF_SEEDS_MIN


def _begin() -> None:
    """A process of the pool."""
    # What is imported is never garbage: collections between the runs need not look at it.
    gc.freeze()
    _silence()


def _silence() -> None:
    logging.disable(logging.CRITICAL)
    # Of processes that were killed between the making of a task and its first step.
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited")


def _run(work: tuple[str, int]) -> Outcome:
    world, seed = work
    return WORLDS[world](seed)


def _broken(places: Sequence[every_call.Place]) -> every_call.Result:
    return every_call.run(places)


def _pairs(pool: Pool) -> int:
    """All faults alone, then all pairs of them; what failed is told with its places."""
    began_s = time.monotonic()
    alone = [(place,) for place in every_call.singles()]
    every = [*alone, *every_call.pairs()]
    failed = 0
    for done, result in enumerate(pool.imap(_broken, every, chunksize=64), start=1):
        if result.failure:
            failed += 1
            print(f"{' and '.join(map(str, result.places))} FAILED: {result.failure}")
        if done % BRIEF_SEEDS_MIN == 0:
            print(f"{done} of {len(every)}, {time.monotonic() - began_s:.0f} s")
        sys.stdout.flush()
    took_s = time.monotonic() - began_s
    print(f"{len(alone)} faults and {len(every) - len(alone)} pairs: {failed} fail, {took_s:.0f} s")
    return 1 if failed else 0


def _report(world: str, seeds: Sequence[int], results: Iterator[Outcome], *, every: int = 1) -> int:
    """Seeds with their digests; what failed comes with the way to see it again."""
    began_s, failed = time.monotonic(), []
    for done, result in enumerate(results, start=1):
        if result.failure:
            failed.append(result.seed)
            print(f"seed {result.seed} FAILED {result.digest}: {result.failure}")
            print(f"  {result.mix}\n  again, as a story: {_command(world, result.seed)}")
        elif done % every == 0:
            told = f"{result.told()}, {result.virtual_ms} ms"
            print(f"seed {result.seed} holds {result.digest} ({told})")
        sys.stdout.flush()
    took_s = time.monotonic() - began_s
    held = f"{len(seeds) - len(failed)} of {len(seeds)} seeds hold"
    print(f"{held}, {took_s:.0f} s, {len(seeds) / took_s:.1f} a second")
    return 1 if failed else 0


def _command(world: str, seed: int) -> str:
    named = "" if world == "cluster" else f"--world {world} "
    return f"hdfsd sim {named}--seed {seed} --trace"


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
        level = "" if record.levelno == logging.INFO else f"{record.levelname}: "
        line = f"{self._world.loop.time() * 1000:.3f} {lane}: {level}{record.getMessage()}"
        self._world.loop.trace.lines.append(line)


# What the digest is made of and a reader has no use for; names of files without their zeros.
_NOISE = re.compile(r"\d \w+ reads \d+:[0-9a-f]{8}$")
_LONG = re.compile(r"/journal/\w+/current/|(?<![0-9a-f.])0{6,}(?=\d)")


def _legible(lines: Iterable[str]) -> Iterator[str]:
    return (_LONG.sub("", line) for line in lines if not _NOISE.search(line))


def _tell(name: str, seed: int) -> int:
    root = logging.getLogger()
    root.setLevel(logging.INFO)

    def watch(world: World) -> None:
        world.loop.trace.lines = deque()
        root.handlers = [_Story(world)]

    result = WORLDS[name](seed, watch=watch)
    print("\n".join([f"seed {seed}: {result.mix}", *_legible(result.trace)]))
    print(f"seed {seed} {result.digest}: {result.failure or 'all promises hold'}")
    return 1 if result.failure else 0
