"""Driver. Seeds of the journal world: writers that duel over JournalNodes while faults rage.

Besides what sim.swarm does to machines and network, aimed at the quorum journal:

- traps: when a JournalNode is about to say yes to a request (a promise, a batch, an accepted
  recovery, a finalized segment) for the n-th time, its writer is killed, or the journal, or its
  machine's power, or the other journals; or the journal is cut off;
- disks that die at an effect: power goes in front of the n-th durable operation or behind it;
- one journal alone gets the end of a segment, then the two others go on without it; the one comes
  back when one of the two is cut off: its copy is longer, and older (`strand`). Half of the time
  the writer in between dies when one journal alone has finalized what it recovered;
- one journal after the other is cut off for long while writers come and go, so that copies of the
  same segment survive from several epochs;
- one JournalNode's disk is full for a while; a bit flips in a finalized segment of one of them,
  that others have as well; wall clocks jump; connections are reset with requests under way, whose
  answers come late or never, and what was answered arrives once more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hdfsd.editlog import files
from hdfsd.sim.checkers import Violation, copies
from hdfsd.sim.dice import SimDice
from hdfsd.sim.disk import DiskFaults
from hdfsd.sim.journals import CURRENT_DIR, JOURNALS, WRITERS, Habits, Journals, finish
from hdfsd.sim.nemesis import Nemesis, Pace
from hdfsd.sim.network import NetworkFaults
from hdfsd.sim.outcome import Outcome, Play, Watch, run_to_verdict
from hdfsd.sim.world import Process, World
from hdfsd.wire.messages import Message

LIVENESS_S = 60
TAKEOVER_S = 0.06
"""In which a writer that comes soon has recovered, unless something else happens to it."""
REPEATABLE_MAX = 6
"""Requests that a journal answered last, any of which may arrive again."""
FAULT_CHANCES = (0.05, 0.2, 0.4)
"""Of each kind to occur in a seed at all; a seed draws one, as few faults let plans run to their
end."""
STRAND_CHANCE = 0.5
FAULTS = (
    "kill writer",
    "kill journal",
    "pause writer",
    "pause journal",
    "power of a journal",
    "power of all journals",
    "power at an effect",
    "trap",
    "rotate",
    "strand",
    "cut one way",
    "cut",
    "full disk",
    "flip a bit",
    "clock jump",
    "repeat",
)
TRAPPED = (
    "new_epoch",
    "prepare_recovery",
    "accept_recovery",
    "accept_recovery",
    "finalize_log_segment",
    "finalize_log_segment",
    "start_log_segment",
    "journal",
)


@dataclass(frozen=True, slots=True)
class Mix:
    """What one seed draws."""

    pace: Pace
    habits: Habits
    network: NetworkFaults
    disk: DiskFaults

    def describe(self) -> str:
        habits = self.habits
        return (
            f"{self.pace.describe()}; {habits.writers} writers,"
            f" patience {habits.patience_ms} ms, batch every {habits.pause_ms:.0f} ms,"
            f" takeover after {habits.takeover_ms:.0f} ms, cache {habits.cache_bytes} bytes;"
            f" resets {self.network.reset_mean_ms}, slow {self.network.slow_chance:.2f},"
            f" stalls {self.disk.stall_chance:.2f}"
        )


def draw(dice: SimDice) -> Mix:
    """The mix of a seed."""
    return Mix(
        pace=Pace(
            faults=_faults(dice),
            rage_ms=dice.pick((80, 150, 300)),
            gap_ms=dice.pick((8.0, 20.0, 40.0)),
            fault_ms=dice.pick((10.0, 40.0, 150.0)),
        ),
        habits=Habits(
            patience_ms=dice.pick((40, 100, 300)),
            segment_batches_max=dice.pick((1, 4, 7)),
            batch_txns_max=dice.pick((1, 3)),
            pause_ms=dice.pick((1.0, 6.0)),
            takeover_ms=dice.pick((10.0, 40.0, 120.0)),
            restart_ms=dice.pick((3, 15, 50)),
            read_ms=dice.pick((1.5, 6.0, 40.0)),
            read_txns_max=dice.pick((1, 20)),
            cache_bytes=dice.pick((150, 1_000, 100_000)),
            preallocation_bytes=dice.pick((64, 300, 4096)),
            writers=dice.pick((1, 2, 2)),
        ),
        network=NetworkFaults(
            slow_chance=dice.pick((0.0, 0.05, 0.2)),
            slow_ms=(1.0, dice.pick((10.0, 60.0))),
            reset_mean_ms=dice.pick((None, None, 60.0, 400.0)),
            give_up_ms=dice.pick((50, 400)),
        ),
        disk=DiskFaults(
            stall_chance=dice.pick((0.0, 0.02, 0.1)),
            stall_ms=(5.0, dice.pick((30.0, 200.0))),
            quick_chance=dice.pick((0.0, 0.5, 0.95)),
        ),
    )


def _faults(dice: SimDice) -> tuple[str, ...]:
    chance = dice.pick(FAULT_CHANCES)
    return tuple(
        fault for fault in FAULTS if dice.chance(STRAND_CHANCE if fault == "strand" else chance)
    )


def run_seed(seed: int, *, watch: Watch | None = None) -> Outcome:
    """Runs one seed from its beginning to its verdict."""
    dice = SimDice(f"journal seed {seed}")
    mix = draw(dice.fork("mix"))
    world = World(f"journal world {seed}", disk_faults=mix.disk)
    if watch is not None:
        watch(world)
    duel = Duel(world, mix, dice.fork("faults"))
    return run_to_verdict(
        seed, world, Play(mix.describe(), duel.story, duel.journals.judge, duel.counts)
    )


Spring = Callable[[str, str], None]
"""Given the journal that said yes, and the writer's IP address."""


@dataclass(slots=True)
class _Trap:
    """Sprung when a journal says yes to the method for the n-th time from now on."""

    method: str
    left: int
    act: str
    spring: Spring
    journal: str
    """Which one; "" for any."""


class Duel(Nemesis):
    """The world of one seed, and what is done to it."""

    def __init__(self, world: World, mix: Mix, dice: SimDice) -> None:
        super().__init__(world, mix.pace, dice)
        self.mix = mix
        self.journals = Journals(world, mix.habits)
        self.journals.judge.on_answer = self._answering
        self._traps: list[_Trap] = []
        self._answered: dict[str, deque[tuple[str, Message, str]]] = {
            name: deque(maxlen=REPEATABLE_MAX) for name in JOURNALS
        }
        self._stranding = False
        self._off: Callable[[], None] | None = None
        """Brings back the journal that was cut off last."""
        self.acts = {
            "kill writer": lambda: self.journals.kill(dice.pick(WRITERS)),
            "kill journal": lambda: self.journals.kill(dice.pick(JOURNALS)),
            "pause writer": lambda: self._stop(dice.pick(WRITERS)),
            "pause journal": lambda: self._stop(dice.pick(JOURNALS)),
            "power of a journal": lambda: self._power((dice.pick(JOURNALS),)),
            "power of all journals": lambda: self._power(JOURNALS),
            "power at an effect": self._power_at_an_effect,
            "trap": self._set_trap,
            "rotate": self._rotate,
            "strand": self._strand,
            "cut one way": lambda: self._cut_path(both=False),
            "cut": lambda: self._cut_path(both=True),
            "full disk": self._fill_disk,
            "flip a bit": self._flip_a_bit,
            "clock jump": self._shift_clock,
            "repeat": self._repeat,
        }

    async def story(self) -> None:
        """Raises Violation when a promise did not hold."""
        loop, journals = self.world.loop, self.journals
        tasks = journals.supervise()
        try:
            await asyncio.sleep(0.01)
            await self._in_time("the journals are formatted", journals.format)
            tasks += journals.contend()
            await self.rage(self.mix.network, lambda: bool(journals.judge.violations))
            self.heal()
            await self._in_time("a writer succeeds", lambda process: finish(journals, process))
            if journals.judge.violations:
                raise Violation("see above")
            journals.check(without=self.journals.judge.rotten)
        finally:
            loop.note("end")
            for task in tasks:
                task.cancel()

    async def _in_time(self, what: str, main: Callable[[Process], object]) -> None:
        process = self.journals.machines[WRITERS[0]].start("tool", main)  # type: ignore[arg-type]
        end_s = self.world.loop.time() + LIVENESS_S
        while not process.ended.done():
            await asyncio.wait([process.ended], timeout=0.5)
            if self.world.loop.time() > end_s:
                raise Violation(f"liveness: {what}: not within {LIVENESS_S} s")
        if isinstance(process.outcome, BaseException):
            raise process.outcome

    # --- rage ---

    def _begin(self) -> None:
        if "strand" in self.pace.faults:
            self._strand()

    def heal(self) -> None:
        self._traps.clear()
        self.journals.resting = True
        for name in JOURNALS:
            self.journals.machines[name].platter.on_operation = None
        super().heal()
        self._kill_writers()

    def counts(self) -> dict[str, int]:
        record = self.journals.record
        return {
            "faults": self.fault_count,
            "recoveries": record.recoveries,
            "transactions": len(record.acked),
        }

    def _stop(self, name: str) -> None:
        self._pause(self.journals.running[name])

    def _power(self, names: tuple[str, ...]) -> None:
        off = [name for name in names if self.journals.power_off(name)]

        def restore() -> None:
            for name in off:
                self.journals.power_on(name)

        if off:
            self._heal_later(restore)

    def _power_at_an_effect(self) -> None:
        """In front of the n-th durable operation from now on, or behind it."""
        name = self._dice.pick(JOURNALS)
        platter = self.journals.machines[name].platter
        wanted, left = self._dice.pick(("before", "after")), self._dice.below(6)

        def watch(moment: str, what: str) -> None:
            nonlocal left
            if moment != wanted:
                return
            left -= 1
            if left < 0:
                platter.on_operation = None
                self.world.loop.note(f"power goes {moment} {name} {what}")
                # Not in the middle of whoever asks: as soon as it waits.
                context = self.world.loop.world.context
                self.world.loop.call_soon(self._power, (name,), context=context)

        platter.on_operation = watch

    def _set_trap(self) -> None:
        dice = self._dice
        acts: dict[str, Spring] = {
            "kill writer": lambda _, writer: self._kill_at(writer),
            "kill journal": lambda journal, _: self.journals.kill(journal),
            "power of a journal": lambda journal, _: self._power((journal,)),
            "kill others": lambda journal, _: self._kill_others(journal),
            "cut off": lambda journal, _: self._cut_off(journal),
        }
        act = dice.pick(list(acts))
        self._trap(dice.pick(TRAPPED), dice.below(4), act, acts[act])

    def _trap(self, method: str, left: int, act: str, spring: Spring, *, at: str = "") -> None:
        where = f" at {at}" if at else ""
        self.world.loop.note(f"trap: {act} after {left + 1} answers to {method}{where}")
        self._traps.append(_Trap(method, left, act, spring, at))

    def _answering(self, journal: str, method: str, request: Message, caller: str) -> None:
        """A journal is about to say yes."""
        self._answered[journal].append((method, request, caller))
        for trap in list(self._traps):
            if trap.method != method or trap.journal not in ("", journal):
                continue
            trap.left -= 1
            if trap.left < 0:
                self._traps.remove(trap)
                self.world.loop.note(f"trap springs at {journal}: {trap.act}")
                context = self.world.loop.world.context
                self.world.loop.call_soon(trap.spring, journal, caller, context=context)

    def _kill_at(self, ip: str) -> None:
        for name in WRITERS:
            if self.journals.machines[name].host.ip == ip:
                self.journals.kill(name)

    def _kill_writers(self) -> None:
        for name in WRITERS:
            self.journals.kill(name)

    def _replace_writers(self) -> None:
        """By others that know nothing; what they had sent and nobody got is lost with them."""
        for name in WRITERS:
            if self.journals.power_off(name):
                self.journals.power_on(name)
            self.journals.hurry(name)

    def _kill_others(self, journal: str) -> None:
        for name in JOURNALS:
            if name != journal:
                self.journals.kill(name)

    def _rotate(self) -> None:
        """Another journal is cut off, and the one before comes back; the writers may have to go."""
        if self._off is not None:
            self.heal_one(self._off)
        self._cut_off(self._dice.pick(JOURNALS))
        if self._dice.chance(0.5):
            self._kill_writers()

    def _cut_off(self, name: str) -> None:
        self._off = self._isolate(name)
        self._heal_later(self._off)

    def _isolate(self, name: str) -> Callable[[], None]:
        others = [other for other in self.journals.machines if other != name]
        return self._cut_paths([p for o in others for p in ((name, o), (o, name))])

    def _strand(self) -> None:
        """When all have just started a segment, or hold some batches of it."""
        if self._stranding:
            return
        self._stranding = True
        names = [*JOURNALS]
        self._dice.shuffle(names)
        fresh = self._dice.chance(0.5)
        # What two do not hold either is started anew by the next writer, what they hold recovered.
        method = "start_log_segment" if fresh else "journal"
        left = 1 + 3 * self._dice.below(2) if fresh else self._dice.below(4)
        self._trap(method, left, "strand", lambda *_: self._alone(fresh, *names))

    def _alone(self, fresh: bool, ahead: str, second: str, third: str) -> None:
        """Only `ahead` gets what writers send."""
        mend = self._cut_paths([(w, jn) for w in WRITERS for jn in (second, third)])
        gone = False

        def go(*_: str) -> None:
            nonlocal gone
            if not gone:
                gone = True
                self._without(mend, fresh, ahead, second, third)

        self._trap("journal", self._dice.below(3), "leave", go, at=ahead)
        self._later(self.mix.habits.patience_ms / 2, go)

    def _without(
        self, before: Callable[[], None], fresh: bool, ahead: str, second: str, third: str
    ) -> None:
        """`ahead` is away, and a writer takes over from what the two others have."""
        self._replace_writers()
        before()
        mend = [self._isolate(ahead)]

        def back(*_: str) -> None:
            if self._stranding:
                self._return(mend, second)

        def half(*_: str) -> None:
            mend.append(self._cut_paths([(writer, third) for writer in WRITERS]))

        def orphan(*_: str) -> None:
            self.journals.kill(third)
            back()

        if fresh:
            self._trap("journal", 1 + self._dice.below(3), "return", back)
        else:
            # What is recovered meanwhile is accepted by two, and finalized by one of them.
            self._trap("accept_recovery", 1, "cut", half)
            self._trap("finalize_log_segment", 0, "orphan", orphan)
        self._later(60 + 2 * self.mix.habits.takeover_ms, back)

    def _return(self, before: list[Callable[[], None]], away: str) -> None:
        """The one that was ahead is back, and another one is away."""
        self._stranding = False
        self._replace_writers()
        mend = self._isolate(away)
        for undo in before:
            undo()
        # Healed too early, everybody would learn from the one that is away now.
        end_s = self.world.loop.time() + TAKEOVER_S
        self.rages_until_s = max(self.rages_until_s, end_s)
        self._later(100 + 2 * self.mix.habits.takeover_ms, mend)

    def _later(self, delay_ms: float, then: Callable[..., None], *arguments: object) -> None:
        """Goes on with a plan, unless everything was healed meanwhile."""
        self.world.loop.call_later(delay_ms / 1000, self._go_on, then, *arguments)

    def _go_on(self, then: Callable[..., None], *arguments: object) -> None:
        if not self.journals.resting:
            then(*arguments)

    def _cut_path(self, *, both: bool) -> None:
        one, other = self._dice.pick(WRITERS), self._dice.pick(JOURNALS)
        if self._dice.chance(0.5):
            one, other = other, one
        paths = [(one, other), (other, one)] if both else [(one, other)]
        self._heal_later(self._cut_paths(paths))

    def _repeat(self) -> None:
        """What was answered arrives again, from a connection that was lost; maybe after a restart.

        Our writer sends nothing twice; another one's library may.
        """
        name = self._dice.pick(JOURNALS)
        if not self._answered[name]:
            return
        again = self._dice.pick(self._answered[name])
        delay_ms = 0.0
        if self._dice.chance(0.5):
            self.journals.kill(name)
            delay_ms = self.mix.habits.restart_ms + 10
        self._later(delay_ms, self.journals.repeat, name, *again)

    def _fill_disk(self) -> None:
        self._fill(self.journals.machines[JOURNALS[0]].platter, self._dice.below(2_000))

    def _flip_a_bit(self) -> None:
        """In a segment that every journal has finalized: nobody else's loss makes it the last."""
        judge = self.journals.judge
        found = copies(judge.platters, CURRENT_DIR) if not judge.rotten else []
        name = self._dice.pick(JOURNALS)
        for first in sorted({copy.first_txid for copy in found}):
            held = [copy for copy in found if copy.first_txid == first and copy.finalized]
            if len(held) == len(JOURNALS):
                path = (
                    f"{CURRENT_DIR}/{files.finalized_name(held[0].first_txid, held[0].last_txid)}"
                )
                platter = self.journals.machines[name].platter
                judge.rotten = name
                offset = self._dice.below(len(platter.file(path).data))
                self.world.loop.note(f"a bit flips on {name}: {path} at {offset}")
                platter.corrupt(path, offset)
                return

    def _shift_clock(self) -> None:
        self._jump([self.journals.machines[name] for name in (*JOURNALS, *WRITERS)])
