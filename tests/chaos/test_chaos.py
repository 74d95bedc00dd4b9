"""Everything at once: clients, a nemesis drawn by a seed, and a judge of what they were told.

    make chaos CHAOS=300 SEED=1        (pytest -m chaos; seconds, and what is drawn)
    make chaos PLANT=answer_before_the_quorum    (a bug of tests/sim/planted.py: it must fail)

Five writers and five readers of two kinds work against three NameNodes, three JournalNodes, three
DataNodes and ZooKeeper while rounds of causes strike. After each round all is healed, and writes
must be acknowledged again; in the end everything that is known to be there is read. The history is
judged as a whole (checker). Only safety is judged, and that it goes on after healing: no speed.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import nemesis
import pytest
from chaos_site import ChaosSite, Clients
from checker import Verdict, around, judge, judge_calls, judge_segments, readable
from evidence import finalized_copies, logged_calls
from hands import Hands

log = logging.getLogger(__name__)

SECONDS = int(os.environ.get("CHAOS", "60"))
PLANT = os.environ.get("PLANT", "")
SEED = int(os.environ.get("SEED", "1"))
TICK_S = 0.05
SERVES_S = 600
"""After healing, until writes are acknowledged again: minutes on a machine that has no time."""
LAST_READS_S = 900
ACKNOWLEDGED_AGAIN = 20
TOLD_MAX = 20
NEAR_MAX = 60
pytestmark = [
    pytest.mark.chaos,
    pytest.mark.zookeeper,
    pytest.mark.timeout(3 * SECONDS + 3600),
]


@dataclass(slots=True)
class Chaos:
    """One run."""

    site: ChaosSite
    clients: Clients
    hands: Hands

    def tick(self) -> None:
        self.site.watch_over()
        self.clients.watch_over()
        self.hands.watch_over()
        time.sleep(TICK_S)

    def until(self, what: str, holds: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not holds():
            self.tick()
            assert time.monotonic() < end, f"{what}: not within {seconds} s: {self.story()}"

    def rage(self) -> int:
        """Rounds of the plan until the time is over; how many."""
        end = time.monotonic() + SECONDS
        for number, planned in enumerate(nemesis.rounds(SEED), 1):
            self.hands.note(f"ROUND {number}: {planned.describe()}")
            self.hands.play(planned, self.tick)
            self.recover()
            rest = time.monotonic() + planned.quiet_s
            self.until("quiet", lambda rest=rest: time.monotonic() > rest, SERVES_S)
            if time.monotonic() > end:
                return number
        raise AssertionError("the plan has no end")

    def recover(self) -> None:
        """Liveness: all is healed, so writes are acknowledged again."""
        self.until("operators' commands end", lambda: self.hands.is_idle, SERVES_S)
        goal = self.clients.acknowledged() + ACKNOWLEDGED_AGAIN
        began_s = time.monotonic()
        self.until("writes go on", lambda: self.clients.acknowledged() >= goal, SERVES_S)
        self.hands.note(f"SERVES after {time.monotonic() - began_s:.1f} s")

    def story(self) -> str:
        """What the nemesis did lately, and where the rest is."""
        lately = "\n  ".join(self.hands.journal[-12:])
        return f"seed {SEED}, logs in {self.site.root}\n  {lately}"

    def judge(self, last_reads_from_s: float) -> tuple[Verdict, str]:
        history = self.clients.history()
        verdict = judge(history, self.site.reign(), last_reads_from_s=last_reads_from_s)
        copies = finalized_copies(self.site.root / name for name in self.site.journals)
        judge_segments(
            {
                name: {d: list(map(str, p)) for d, p in found.items()}
                for name, found in copies.items()
            },
            verdict,
        )
        judge_calls(logged_calls(copies), verdict)
        return verdict, self.report(verdict, history)

    def report(self, verdict: Verdict, history: list) -> str:
        """Accusations, and what clients and the nemesis did near the first."""
        if not verdict.accusations:
            return ""
        first = min(verdict.accusations, key=lambda each: each.at_s or float("inf"))
        lines = [f"{len(verdict.accusations)} accusations, {self.story()}"]
        lines += [str(each) for each in verdict.accusations[:TOLD_MAX]]
        lines += ["", f"near {first.at_s:.3f}:", *self.site_events(first.at_s)]
        lines += [each.describe()[:300] for each in list(around(history, first))[:NEAR_MAX]]
        return "\n".join(lines)

    def site_events(self, at_s: float) -> list[str]:
        stints = [
            f"{s.namenode} epoch {s.epoch}: {s.claimed_s:.3f} active {s.active_s:.3f}"
            f" ended {s.ended_s:.3f}"
            for s in self.site.reign().stints
            if abs(s.claimed_s - at_s) < 60
        ]
        return [*stints, *(line for line in self.hands.journal if abs(_at(line) - at_s) < 30)]


def _at(line: str) -> float:
    return float(line.partition(" ")[0])


@pytest.fixture
def chaos(
    tmp_path_factory: pytest.TempPathFactory,
    zookeeper_command: list[str],
    network_namespaces: None,
) -> Iterator[Chaos]:
    former = signal.signal(signal.SIGTERM, _end)
    site = ChaosSite(tmp_path_factory.mktemp("chaos"), zookeeper_command, PLANT)
    clients = Clients(site, SEED)
    hands = Hands(site)
    try:
        site.start()
        yield Chaos(site, clients, hands)
    finally:
        clients.kill()
        hands.kill()
        site.stop()
        (site.root / "nemesis.log").write_text("\n".join(hands.journal) + "\n")
        signal.signal(signal.SIGTERM, former)


def _end(number: int, _: object) -> None:
    """What was started is stopped, as after a failure."""
    raise KeyboardInterrupt(f"signal {number}")


def test_chaos(chaos: Chaos) -> None:
    log.info("seed %d, %d s, %s", SEED, SECONDS, chaos.site.root)
    chaos.clients.start()
    chaos.recover()
    round_count = chaos.rage()
    chaos.clients.end()
    chaos.site.watch_over()
    last_reads_from_s = time.time()
    wanted = readable(chaos.clients.history())
    for kind in ("own", "native"):
        chaos.clients.read_everything(kind, wanted, LAST_READS_S)
    verdict, report = chaos.judge(last_reads_from_s)
    log.info("%d rounds, %d clients replaced", round_count, chaos.clients.replaced)
    for what, count in sorted(verdict.counts.items()):
        log.info("%s: %d", what, count)
    if verdict.accusations:
        pytest.fail(report, pytrace=False)
    for kind in ("write", "append", "rename", "delete", "look", "list", "read"):
        assert verdict.counts[f"{kind} ok"], verdict.counts
