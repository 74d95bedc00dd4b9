"""Driver. One seed: draws a mix of faults and limits, lets it rage over a cluster, heals, demands.

Faults that must be survived; every one has its healer, and a seed draws which of them occur:

- network: slow and reordered delivery between connections, torn reads, connections reset; one-way
  and two-way cuts between any two machines, the clients' and the lock service's included;
- processes: NameNodes, JournalNodes and failover controllers are killed, and started again;
- pauses of NameNodes, JournalNodes and controllers (SIGSTOP), longer than their time-outs;
- power: machines of JournalNodes (all three at once as well) and NameNodes lose it, and with it
  what was not synced, in any mixture of lost, torn and kept;
- disks: syncs that stall; one JournalNode's disk is full for a while;
- election: sessions that expire for no reason, fencing that does nothing (the journal alone must
  keep the old active out) or kills, operators who make both NameNodes active at once;
- limits, small and odd: segments rolled every few transactions, checkpoints, batches of a tailer,
  the JournalNodes' cache of edits, time-outs.

Not among them: two disks that forget what they synced, and bytes that rot. Nor is a retried call
answered rightly by a NameNode that was started anew from an image with that call in it: answers are
not in images, as in Hadoop.

Safety is judged all the time and in the end (sim.checkers). Liveness: once everything is healed,
one NameNode becomes active, a new write succeeds, and the other NameNode has what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hdfsd.base.errors import HdfsdError
from hdfsd.failover.calls import RequestSource, RpcHaService
from hdfsd.failover.policy import ServiceState
from hdfsd.rpc.client import RpcClient
from hdfsd.sim.checkers import Violation, copies, differences, history, replayed
from hdfsd.sim.cluster import INFO, JOURNAL_DIR, JOURNALNODES, NAMENODES, USER, Cluster, Node
from hdfsd.sim.dice import SimDice
from hdfsd.sim.disk import DiskFaults
from hdfsd.sim.network import NetworkFaults
from hdfsd.sim.outcome import Outcome, Play, Watch, run_to_verdict
from hdfsd.sim.workload import Client, Counts, first_write
from hdfsd.sim.world import Process, World
from hdfsd.wire.services import HA_SERVICE_PROTOCOL

LIVENESS_S = 120
"""Virtual time within which a healed cluster must serve."""
FAULTS = (
    "kill namenode",
    "kill journalnode",
    "kill controller",
    "pause namenode",
    "pause journalnode",
    "pause controller",
    "cut one way",
    "cut",
    "isolate",
    "power of a journalnode",
    "power of all journalnodes",
    "power of a namenode",
    "full disk",
    "expire session",
    "make both active",
)
EXTRA_SEGMENTS = "dfs.namenode.max.extra.edits.segments.retained"
EXTRA_EDITS = "dfs.namenode.num.extra.edits.retained"
FAULT_CHANCE = 0.45
"""Of each kind to occur in a seed at all."""


@dataclass(frozen=True, slots=True)
class Mix:
    """What one seed draws."""

    faults: tuple[str, ...]
    rage_ms: int
    """How long faults go on."""
    gap_ms: float
    """Mean time between two faults."""
    fault_ms: float
    """Mean time until the healer of a fault comes."""
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
            f"faults: {', '.join(self.faults) or 'none'}; every {self.gap_ms:.0f} ms for"
            f" {self.rage_ms} ms, each for {self.fault_ms:.0f} ms; {self.clients} clients;"
            f" resets {self.network.reset_mean_ms}, slow {self.network.slow_chance:.2f},"
            f" stalls {self.disk.stall_chance:.2f}; {limits}"
        )


def draw(dice: SimDice) -> Mix:
    """The mix of a seed."""
    return Mix(
        faults=tuple(fault for fault in FAULTS if dice.chance(FAULT_CHANCE)),
        rage_ms=dice.pick((800, 1_500, 3_000)),
        gap_ms=dice.pick((60.0, 120.0, 250.0)),
        fault_ms=dice.pick((60.0, 250.0, 800.0)),
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
        options=_limits(dice),
    )


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
        "dfs.ha.fencing.methods": dice.pick(("shell(true)", "shell(true)", "shell(kill)")),
        "ha.health-monitor.check-interval.ms": dice.pick(("150", "500")),
        "ha.health-monitor.connect-retry-interval.ms": "100",
        "ha.health-monitor.sleep-after-disconnect.ms": "100",
        "ha.health-monitor.rpc-timeout.ms": dice.pick(("400", "1500")),
        "ha.failover-controller.new-active.rpc-timeout.ms": dice.pick(("500", "8000")),
        "ha.failover-controller.graceful-fence.rpc-timeout.ms": dice.pick(("150", "600")),
        "dfs.namenode.redundancy.interval.seconds": "60s",
        "dfs.namenode.resource.check.interval": "60s",
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
    """One cluster, its clients, and what is done to it."""

    def __init__(self, world: World, mix: Mix, dice: SimDice) -> None:
        self.world = world
        self.mix = mix
        self.counts = Counts()
        self.fault_count = 0
        self._dice = dice
        self.cluster = Cluster(
            world, mix.options, session_ms=mix.session_ms, restart_ms=mix.restart_ms
        )
        self._outside = world.add_machine("outside")
        self._clients = [
            Client(self.cluster, f"client{number}", self.counts, pause_ms=mix.pause_ms)
            for number in range(mix.clients)
        ]
        self._healers: dict[Callable[[], None], None] = {}
        self._acts: dict[str, Callable[[], None]] = {
            "kill namenode": lambda: self._kill("namenode"),
            "kill journalnode": lambda: self._kill("journalnode"),
            "kill controller": lambda: self._kill("zkfc"),
            "pause namenode": lambda: self._pause("namenode"),
            "pause journalnode": lambda: self._pause("journalnode"),
            "pause controller": lambda: self._pause("zkfc"),
            "cut one way": self._cut_one_way,
            "cut": self._cut,
            "isolate": self._isolate,
            "power of a journalnode": lambda: self._power((dice.pick(JOURNALNODES),)),
            "power of all journalnodes": lambda: self._power(JOURNALNODES),
            "power of a namenode": lambda: self._power((dice.pick(NAMENODES),)),
            "full disk": self._fill_disk,
            "expire session": lambda: self.cluster.locks.expire(dice.below(2)),
            "make both active": self._make_both_active,
        }

    def counted(self) -> dict[str, int]:
        return {"faults": self.fault_count, "operations": self.counts.known}

    async def story(self) -> None:
        """Raises Violation when a promise did not hold."""
        loop = self.world.loop
        tasks = [loop.create_task(self.cluster.locks.watch())]
        try:
            tasks += self.cluster.supervise("journalnode")
            await asyncio.sleep(0.05)
            await self.cluster.format()
            tasks += self.cluster.supervise("namenode", "zkfc")
            await self._must_serve("before any fault", "/before")
            processes = [self._outside.start(f"client{n}", c.run) for n, c in self._numbered()]
            await self._rage()
            self._heal()
            await self._must_serve("after healing", "/after")
            for client in self._clients:
                client.stop()
            for process in processes:
                await self._in_time("a client gets its answers", process.ended)
                if isinstance(process.outcome, BaseException):
                    raise process.outcome
            await self._must_agree()
            self._judge()
        finally:
            for task in tasks:
                task.cancel()

    def _numbered(self) -> list[tuple[int, Client]]:
        return list(enumerate(self._clients))

    # --- rage ---

    async def _rage(self) -> None:
        loop = self.world.loop
        self.world.fabric.faults = self.mix.network
        end_s = loop.time() + self.mix.rage_ms / 1000
        while loop.time() < end_s and not self.cluster.judge.violations:
            await asyncio.sleep(self.mix.gap_ms * 2 * self._dice.fraction() / 1000)
            if self.mix.faults:
                fault = self._dice.pick(self.mix.faults)
                loop.note(f"fault: {fault}")
                self.fault_count += 1
                self._acts[fault]()

    def _heal_later(self, heal: Callable[[], None]) -> None:
        self._healers[heal] = None
        delay_s = self.mix.fault_ms * 2 * self._dice.fraction() / 1000
        self.world.loop.call_later(delay_s, self._heal_one, heal)

    def _heal_one(self, heal: Callable[[], None]) -> None:
        if heal in self._healers:
            del self._healers[heal]
            heal()

    def _heal(self) -> None:
        for heal in list(self._healers):
            self._heal_one(heal)
        self.world.fabric.heal()
        self.world.fabric.faults = NetworkFaults()

    def _some(self, role: str) -> Node:
        return self._dice.pick([n for n in self.cluster.nodes.values() if n.role == role])

    def _kill(self, role: str) -> None:
        node = self._some(role)
        if node.process is not None:
            node.process.kill()

    def _pause(self, role: str) -> None:
        process = self._some(role).process
        if process is not None and process.running:
            process.pause()
            self._heal_later(process.resume)

    def _two_hosts(self) -> tuple[str, str]:
        names = [*self.cluster.machines, "zk", "outside"]
        self._dice.shuffle(names)
        return names[0], names[1]

    def _cut_one_way(self) -> None:
        source, target = self._two_hosts()
        self._cut_paths([(source, target)])

    def _cut(self) -> None:
        one, other = self._two_hosts()
        self._cut_paths([(one, other), (other, one)])

    def _isolate(self) -> None:
        """One machine from all others; half of the time its clients still reach it."""
        name = self._dice.pick([*self.cluster.machines])
        others = [n for n in (*self.cluster.machines, "zk", "outside") if n != name]
        if self._dice.chance(0.5):
            others.remove("outside")
        self._cut_paths([pair for n in others for pair in ((name, n), (n, name))])

    def _cut_paths(self, paths: list[tuple[str, str]]) -> None:
        fabric = self.world.fabric
        pairs = []
        for source, target in paths:
            near, far = fabric.resolve(source), fabric.resolve(target)
            assert near is not None
            assert far is not None
            fabric.cut(near, far)
            pairs.append((near, far))

        def mend() -> None:
            for near, far in pairs:
                fabric.mend(near, far)

        self._heal_later(mend)

    def _power(self, names: tuple[str, ...]) -> None:
        off = [n for n in names if self.cluster.machines[n].host.down_since_s is None]
        for name in off:
            self.cluster.power_off(name)

        def restore() -> None:
            for name in off:
                self.cluster.power_on(name)

        if off:
            self._heal_later(restore)

    def _fill_disk(self) -> None:
        platter = self.cluster.machines[JOURNALNODES[0]].platter
        before = platter.capacity_bytes
        platter.capacity_bytes = platter.used_bytes + self._dice.below(2_000)

        def empty() -> None:
            platter.capacity_bytes = max(platter.capacity_bytes, before)

        self._heal_later(empty)

    def _make_both_active(self) -> None:
        self._outside.start("operator", self._duel)

    async def _duel(self, process: Process) -> None:
        """As `haadmin -transitionToActive --forcemanual` on both NameNodes."""
        async with asyncio.TaskGroup() as group:
            for address in self.cluster.addresses():
                client = RpcClient(
                    process.network, address, HA_SERVICE_PROTOCOL, user=USER, dice=process.dice
                )
                group.create_task(_ask_to_lead(RpcHaService(client)))

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
                raise Violation(f"liveness: {what}: not within {LIVENESS_S} s")

    async def _must_agree(self) -> None:
        """One active, with the newest epoch; the other NameNode comes to have what it has now."""
        end_s = self.world.loop.time() + LIVENESS_S
        target: int | None = None
        while True:
            actives = self.cluster.actives()
            leads = [self.cluster.machines[n].host.ip for n in actives] == [
                self.cluster.judge.leader
            ]
            committer = self.cluster.namenodes[actives[0]].lifecycle.committer if leads else None
            if committer is None:
                target = None
            elif target is None:
                target = committer.durable_txid
            states = [self.cluster.state_of(n) for n in NAMENODES if n not in actives]
            reached = [-1 if state is None else state.applied_txid for state in states]
            if target is not None and reached[0] >= target:
                return
            if self.cluster.judge.violations:
                raise Violation("see above")
            if self.world.loop.time() > end_s:
                raise Violation(
                    f"liveness: active are {actives}, the other NameNode is at {reached},"
                    f" not at {target}, after {LIVENESS_S} s"
                )
            await asyncio.sleep(0.1)

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
        for name in NAMENODES:
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
            told = differences(namespaces[NAMENODES[0]], namespace, f"{NAMENODES[0]} / {name}")
            if told:
                judge.accuse("P4", told)
        if judge.violations:
            raise Violation("see above")


async def _ask_to_lead(service: RpcHaService) -> None:
    try:
        await service.transition(ServiceState.ACTIVE, RequestSource.USER_FORCED, deadline_ms=3_000)
    except HdfsdError:
        pass
    finally:
        await service.close()
