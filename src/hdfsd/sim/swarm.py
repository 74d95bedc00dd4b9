"""Driver. One seed: draws a mix of faults and limits, lets it rage over a cluster, heals, demands.

What is done to the cluster is in sim.outages. Besides that, by itself: slow and reordered delivery
between connections, torn reads, connections reset; syncs that stall; fencing that does nothing
(the journal alone must keep the old active out) or kills; limits, small and odd: segments rolled
every few transactions, checkpoints, batches of a tailer, the JournalNodes' cache of edits,
time-outs. Some seeds have three NameNodes, some an observer.

Not among them: two disks that forget what they synced, and bytes that rot. Nor is a retried call
answered rightly by a NameNode that was started anew from an image with that call in it: answers are
not in images, as in Hadoop.

Safety is judged all the time (sim.checkers, sim.referee, sim.workload) and in the end. Liveness:
once everything is healed, one NameNode becomes active, a new write succeeds, the other NameNodes
have what it has, and of the controllers its own, and no other, says that it is active.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from hdfsd.failover.elector import State
from hdfsd.namenode.gate import HAState
from hdfsd.sim.checkers import Violation, copies, differences, history, replayed
from hdfsd.sim.cluster import INFO, JOURNAL_DIR, JOURNALNODES, PAIR, Cluster, Layout
from hdfsd.sim.dice import SimDice
from hdfsd.sim.disk import DiskFaults
from hdfsd.sim.nemesis import Pace
from hdfsd.sim.network import NetworkFaults
from hdfsd.sim.operators import Operators
from hdfsd.sim.outages import FAULTS, FORCED, Outages
from hdfsd.sim.outcome import Outcome, Play, Watch, run_to_verdict
from hdfsd.sim.referee import Referee
from hdfsd.sim.workload import Client, Counts, first_write
from hdfsd.sim.world import Process, World

LIVENESS_S = 30
"""Virtual time within which a healed cluster must serve. The longest of a thousand seeds took 12 s
from its beginning to its end."""
LOOK_S = 0.1
EXTRA_SEGMENTS = "dfs.namenode.max.extra.edits.segments.retained"
EXTRA_EDITS = "dfs.namenode.num.extra.edits.retained"
KEPT = {EXTRA_SEGMENTS: "10000", EXTRA_EDITS: "1000000"}
"""Of three NameNodes one may be behind what is purged for the other two: it would have to be
bootstrapped anew, as in Hadoop. Of two, the one that is behind has made no newer image."""
FENCING = "dfs.ha.fencing.methods"
FAULT_CHANCES = (0.08, 0.2, 0.4)
"""Of each kind to occur in a seed at all; a seed draws one: where few kinds occur, what each of
them leads to comes to its end."""
LAYOUTS = (
    PAIR,
    PAIR,
    PAIR,
    Layout(voters=("nn1", "nn2", "nn3")),
    Layout(observers=("nn3",)),
)


@dataclass(frozen=True, slots=True)
class Mix:
    """What one seed draws."""

    pace: Pace
    layout: Layout
    clients: int
    pause_ms: float
    """Mean time between two operations of a client."""
    session_ms: int
    restart_ms: int
    network: NetworkFaults
    disk: DiskFaults
    options: dict[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        limits = ", ".join(f"{key.rpartition('dfs.')[2]}={v}" for key, v in self.options.items())
        return (
            f"{self.pace.describe()}; {', '.join(self.layout.voters)}"
            f"{' observed by ' if self.layout.observers else ''}{', '.join(self.layout.observers)};"
            f" {self.clients} clients;"
            f" resets {self.network.reset_mean_ms}, slow {self.network.slow_chance:.2f},"
            f" stalls {self.disk.stall_chance:.2f}; {limits}"
        )


def draw(dice: SimDice) -> Mix:
    """The mix of a seed."""
    layout = dice.pick(LAYOUTS)
    return Mix(
        pace=Pace(
            faults=_faults(dice),
            rage_ms=dice.pick((800, 1_500, 3_000)),
            gap_ms=dice.pick((60.0, 120.0, 250.0)),
            fault_ms=dice.pick((60.0, 250.0, 800.0)),
        ),
        layout=layout,
        clients=dice.pick((1, 1, 2)),
        pause_ms=dice.pick((20.0, 60.0, 200.0)),
        session_ms=dice.pick((300, 800)),
        restart_ms=dice.pick((30, 150, 500)),
        network=NetworkFaults(
            slow_chance=dice.pick((0.0, 0.01, 0.1)),
            slow_ms=(1.0, dice.pick((20.0, 300.0))),
            reset_mean_ms=dice.pick((None, None, 400.0, 2_000.0)),
            give_up_ms=dice.pick((300, 2_000)),
        ),
        disk=DiskFaults(stall_chance=dice.pick((0.0, 0.01, 0.05))),
        options=_limits(dice) | ({} if layout is PAIR else KEPT),
    )


def _faults(dice: SimDice) -> tuple[str, ...]:
    chance = dice.pick(FAULT_CHANCES)
    return tuple(fault for fault in FAULTS if dice.chance(chance))


def _limits(dice: SimDice) -> dict[str, str]:
    patience = dice.pick((300, 800, 2_000))
    options = {
        f"dfs.qjournal.{call}.timeout.ms": str(patience)
        for call in (
            "start-segment",
            "prepare-recovery",
            "accept-recovery",
            "finalize-segment",
            "select-input-streams",
            "get-journal-state",
            "new-epoch",
            "write-txns",
            "http.open",
            "http.read",
        )
    }
    options |= {
        "dfs.edit.log.transfer.timeout": str(patience),
        "dfs.image.transfer.timeout": str(patience),
        "dfs.ha.tail-edits.period": dice.pick(("150ms", "400ms", "1s")),
        "dfs.ha.tail-edits.qjm.rpc.max-txns": dice.pick(("1", "3", "5000")),
        "dfs.ha.tail-edits.rolledits.timeout": "2s",
        "dfs.ha.log-roll.period": dice.pick(("250ms", "700ms", "-1")),
        "dfs.journalnode.edit-cache-size.bytes": dice.pick(("300", "2000", "1000000")),
        "dfs.namenode.checkpoint.check.period": dice.pick(("300ms", "900ms", "60s")),
        "dfs.namenode.checkpoint.txns": dice.pick(("3", "17", "1000")),
        EXTRA_SEGMENTS: dice.pick(("0", "10000", "10000")),
        EXTRA_EDITS: dice.pick(("0", "1000000", "1000000")),
        FENCING: dice.pick(("shell(true)", "shell(true)", "shell(kill)")),
        "ha.health-monitor.check-interval.ms": dice.pick(("150", "500")),
        "ha.health-monitor.connect-retry-interval.ms": "100",
        "ha.health-monitor.sleep-after-disconnect.ms": "100",
        "ha.health-monitor.rpc-timeout.ms": dice.pick(("400", "1500")),
        "ha.failover-controller.new-active.rpc-timeout.ms": dice.pick(("500", "8000")),
        "ha.failover-controller.graceful-fence.rpc-timeout.ms": dice.pick(("150", "600")),
        "dfs.namenode.redundancy.interval.seconds": "60s",
        "dfs.namenode.resource.check.interval": dice.pick(("150ms", "600ms")),
    }
    return options


def run_seed(seed: int, *, watch: Watch | None = None) -> Outcome:
    """Runs one seed from its beginning to its verdict."""
    dice = SimDice(f"seed {seed}")
    mix = draw(dice.fork("mix"))
    world = World(f"world {seed}", disk_faults=mix.disk)
    if watch is not None:
        watch(world)
    swarm = Swarm(world, mix, dice.fork("faults"))
    return run_to_verdict(
        seed, world, Play(mix.describe(), swarm.story, swarm.cluster.judge, swarm.counted)
    )


class Swarm:
    """One cluster, its clients, its operators, and what is done to it."""

    def __init__(self, world: World, mix: Mix, dice: SimDice) -> None:
        self.world = world
        self.mix = mix
        self.counts = Counts()
        self.cluster = Cluster(
            world,
            mix.options,
            session_ms=mix.session_ms,
            restart_ms=mix.restart_ms,
            layout=mix.layout,
        )
        self.referee = Referee(
            self.cluster,
            forced=any(fault in FORCED for fault in mix.pace.faults),
            fencing_kills="kill" in mix.options[FENCING],
        )
        self._outside = world.add_machine("outside")
        self._obstacle = ""
        """Why all do not agree yet."""
        self._operators = Operators(self.cluster)
        self.outages = Outages(
            self.cluster, mix.pace, dice, outside=self._outside, operators=self._operators
        )
        self._clients = [
            Client(self.cluster, f"client{number}", self.counts, pause_ms=mix.pause_ms)
            for number in range(mix.clients)
        ]

    def counted(self) -> dict[str, int]:
        return {"faults": self.outages.fault_count, "operations": self.counts.known}

    async def story(self) -> None:
        """Raises Violation when a promise did not hold."""
        loop, cluster = self.world.loop, self.cluster
        tasks = [loop.create_task(cluster.locks.watch())]
        try:
            tasks += cluster.supervise("journalnode")
            await asyncio.sleep(0.05)
            await cluster.format()
            tasks += cluster.supervise("namenode", "zkfc")
            self._outside.start("operators", self._operators.keep)
            await self._must_serve("before any fault", "/before")
            processes = [self._outside.start(f"client{n}", c.run) for n, c in self._numbered()]
            await self.outages.rage(self.mix.network, lambda: bool(cluster.judge.violations))
            self.outages.heal()
            await self._must_serve("after healing", "/after")
            for client in self._clients:
                client.stop()
            for process in processes:
                await self._in_time("a client gets its answers", process.ended)
                if isinstance(process.outcome, BaseException):
                    raise process.outcome
            await self._in_time(
                "all agree", self._outside.start("observer", self._wait_for_agreement).ended
            )
            self._judge()
        finally:
            for task in tasks:
                task.cancel()

    def _numbered(self) -> list[tuple[int, Client]]:
        return list(enumerate(self._clients))

    # --- demands ---

    async def _must_serve(self, when: str, path: str) -> None:
        process = self._outside.start(
            f"writer {path}", lambda process: first_write(self.cluster, process, path)
        )
        await self._in_time(f"a write succeeds {when}", process.ended)

    async def _in_time(self, what: str, ended: asyncio.Future[None]) -> None:
        end_s = self.world.loop.time() + LIVENESS_S
        while not ended.done():
            await asyncio.wait([ended], timeout=0.5)
            if self.cluster.judge.violations:
                raise Violation("see above")
            if self.world.loop.time() > end_s:
                raise Violation(
                    f"liveness: {what}: not within {LIVENESS_S} s {self._obstacle}".rstrip()
                )

    async def _wait_for_agreement(self, process: Process) -> None:
        """Returns when everybody is what it should be, and has what it should have."""
        target: int | None = None
        while True:
            target = self._target() if target is None else target
            obstacle = self._disagreement(target)
            if not obstacle:
                obstacle = await self._rival_controllers(process) or self._disagreement(target)
            self._obstacle = f"({obstacle})"
            if not obstacle:
                return
            await asyncio.sleep(LOOK_S)

    def _target(self) -> int | None:
        """What the leader has made durable; None while nobody leads."""
        leads = self._leader()
        committer = self.cluster.namenodes[leads].lifecycle.committer if leads else None
        return committer.durable_txid if committer is not None else None

    def _leader(self) -> str:
        """The one active NameNode, if it has the newest epoch."""
        actives = self.cluster.actives()
        leads = [self.cluster.machines[name].host.ip for name in actives]
        return actives[0] if leads == [self.cluster.judge.leader] else ""

    def _disagreement(self, target: int | None) -> str:
        """What is not yet as it should be; "" when all is."""
        leads = self._leader()
        if not leads or target is None:
            return f"active are {self.cluster.actives()}"
        for name in self.mix.layout.namenodes:
            state = self.cluster.state_of(name)
            if state is None:
                return f"{name} is down"
            if name != leads and state.applied_txid < target:
                return f"{name} is at {state.applied_txid}, not at {target}"
            if name in self.mix.layout.observers and state.ha_state is not HAState.OBSERVER:
                return f"{name} is {state.ha_state.value}"
        return ""

    async def _rival_controllers(self, process: Process) -> str:
        """Which controllers say of themselves that they are active, unless it is the right one."""
        states = {
            name: await self._operators.election_of(process, name)
            for name in self.mix.layout.voters
        }
        active = [name for name, state in states.items() if state == State.ACTIVE.name]
        return "" if active == [self._leader()] else f"controllers are {states}"

    def _judge(self) -> None:
        """What the platters and memories say in the end."""
        judge, cluster = self.cluster.judge, self.cluster
        if judge.violations:
            raise Violation("see above")
        found = history(
            copies(judge.platters, JOURNAL_DIR),
            len(JOURNALNODES) // 2 + 1,
            purged="0" in (self.mix.options[EXTRA_SEGMENTS], self.mix.options[EXTRA_EDITS]),
        )
        namespaces = {}
        names: Sequence[str] = self.mix.layout.namenodes
        for name in names:
            state = cluster.state_of(name)
            assert state is not None
            namespaces[name] = state.namespace
        if found and found[0].first_txid == 1:
            layout_version = INFO.storage.layout_version
            namespaces["the journal"] = replayed(
                cluster.formatted_namespace(), found, layout_version
            )
        for name, namespace in namespaces.items():
            for client in self._clients:
                for lost in client.missing(namespace):
                    judge.accuse("P1", f"in {name}: {lost}")
            told = differences(namespaces[names[0]], namespace, f"{names[0]} / {name}")
            if told:
                judge.accuse("P4", told)
        if judge.violations:
            raise Violation("see above")
