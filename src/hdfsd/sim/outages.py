"""Driver. The nemesis of a cluster: every cause of a failover, and of several at once.

Faults that must be survived; every one has its healer, and a seed draws which of them occur:

- processes: NameNodes, JournalNodes and controllers are killed, a NameNode together with its
  controller as well, and started again;
- pauses (SIGSTOP) of the same, longer than their time-outs; of two JournalNodes: no quorum;
- power: machines of JournalNodes (all at once as well) and of NameNodes lose it, and with it what
  was not synced, in any mixture of lost, torn and kept;
- cuts, one way or both, of any two machines, or of a NameNode's machine from any of: the lock
  service, the journals, the other NameNodes, the clients;
- disks: one JournalNode's is full; a NameNode's is below its reserve, or full;
- election: sessions that expire for no reason, a lock that is deleted by hand, a lock service that
  is gone for everybody;
- operators: a failover is asked for; NameNodes are forced to be active, standby or observers, also
  all active at once;
- wall clocks jump.
"""

from __future__ import annotations

from hdfsd.failover.policy import ServiceState
from hdfsd.sim.cluster import JOURNALNODES, Cluster, Main, Node
from hdfsd.sim.dice import SimDice
from hdfsd.sim.nemesis import Nemesis, Pace
from hdfsd.sim.operators import Operators
from hdfsd.sim.world import Machine

FAULTS = (
    "kill namenode",
    "kill journalnode",
    "kill controller",
    "kill namenode and controller",
    "pause namenode",
    "pause journalnode",
    "pause controller",
    "pause namenode and controller",
    "pause two journalnodes",
    "cut one way",
    "cut",
    "cut off",
    "power of a journalnode",
    "power of all journalnodes",
    "power of a namenode",
    "full disk of a journalnode",
    "low disk of a namenode",
    "expire session",
    "delete the lock",
    "lock service gone",
    "ask for a failover",
    "force a state",
    "make all active",
    "clock jump",
)
FORCED = ("force a state", "make all active")
"""Past the controllers."""
LOW_DISK_BYTES = (50 << 20, 50 << 20, 2_000)
"""What is left of a NameNode's: less than the reserve; nothing."""


class Outages(Nemesis):
    """What is done to one cluster."""

    def __init__(
        self, cluster: Cluster, pace: Pace, dice: SimDice, *, outside: Machine, operators: Operators
    ) -> None:
        super().__init__(cluster.world, pace, dice)
        self._cluster = cluster
        self._outside = outside
        self._operators = operators
        self.acts = {
            "kill namenode": lambda: self._kill(self._some("namenode")),
            "kill journalnode": lambda: self._kill(self._some("journalnode")),
            "kill controller": lambda: self._kill(self._some("zkfc")),
            "kill namenode and controller": lambda: self._kill(*self._both()),
            "pause namenode": lambda: self._stop(self._some("namenode")),
            "pause journalnode": lambda: self._stop(self._some("journalnode")),
            "pause controller": lambda: self._stop(self._some("zkfc")),
            "pause namenode and controller": lambda: self._stop(*self._both()),
            "pause two journalnodes": self._stop_two_journalnodes,
            "cut one way": lambda: self._cut_two(both=False),
            "cut": lambda: self._cut_two(both=True),
            "cut off": self._cut_off,
            "power of a journalnode": lambda: self._power((dice.pick(JOURNALNODES),)),
            "power of all journalnodes": lambda: self._power(JOURNALNODES),
            "power of a namenode": lambda: self._power((self._namenode(),)),
            "full disk of a journalnode": self._fill_journal,
            "low disk of a namenode": self._fill_namenode,
            "expire session": lambda: cluster.locks.expire(dice.below(3)),
            "delete the lock": cluster.locks.take_away,
            "lock service gone": self._lock_service_gone,
            "ask for a failover": self._ask_for_a_failover,
            "force a state": self._force_a_state,
            "make all active": lambda: self._operate(operators.make_all_active),
            "clock jump": lambda: self._jump([*cluster.machines.values()]),
        }

    # --- whom ---

    def _some(self, role: str) -> Node:
        return self._dice.pick([n for n in self._cluster.nodes.values() if n.role == role])

    def _both(self) -> list[Node]:
        """A NameNode and its controller."""
        return self._cluster.nodes_of(self._voter())

    def _voter(self) -> str:
        return self._dice.pick(self._cluster.layout.voters)

    def _namenode(self) -> str:
        return self._dice.pick(self._cluster.layout.namenodes)

    # --- processes and machines ---

    def _kill(self, *nodes: Node) -> None:
        for node in nodes:
            if node.process is not None:
                node.process.kill()

    def _stop(self, *nodes: Node) -> None:
        for node in nodes:
            self._pause(node.process)

    def _stop_two_journalnodes(self) -> None:
        spared = self._dice.pick(JOURNALNODES)
        self._stop(*(self._cluster.nodes[f"{n}/journalnode"] for n in JOURNALNODES if n != spared))

    def _power(self, names: tuple[str, ...]) -> None:
        cluster = self._cluster
        off = [n for n in names if cluster.machines[n].host.down_since_s is None]
        for name in off:
            cluster.power_off(name)

        def restore() -> None:
            for name in off:
                cluster.power_on(name)

        if off:
            self._heal_later(restore)

    # --- network ---

    def _cut_two(self, *, both: bool) -> None:
        names = [*self._cluster.machines, "zk", "outside"]
        self._dice.shuffle(names)
        one, other = names[:2]
        paths = [(one, other), (other, one)] if both else [(one, other)]
        self._heal_later(self._cut_paths(paths))

    def _cut_off(self) -> None:
        """A NameNode's machine from some of those whom it needs: together, or one of them alone."""
        name = self._namenode()
        peers = tuple(n for n in self._cluster.layout.namenodes if n != name)
        groups = [("zk",), JOURNALNODES, peers, ("outside",)]
        away = [group for group in groups if self._dice.chance(0.5)] or [self._dice.pick(groups)]
        others = [other for group in away for other in group]
        leaving = [(name, other) for other in others]
        entering = [(other, name) for other in others]
        paths = self._dice.pick((leaving + entering, leaving + entering, leaving, entering))
        self._heal_later(self._cut_paths(paths))

    # --- disks ---

    def _fill_journal(self) -> None:
        """Always the same one's: a quorum has room."""
        platter = self._cluster.machines[JOURNALNODES[0]].platter
        self._fill(platter, self._dice.below(2_000))

    def _fill_namenode(self) -> None:
        self._fill(
            self._cluster.machines[self._namenode()].platter, self._dice.pick(LOW_DISK_BYTES)
        )

    # --- election ---

    def _lock_service_gone(self) -> None:
        self._cluster.locks.go()
        self._heal_later(self._cluster.locks.come_back)

    # --- operators ---

    def _operate(self, work: Main) -> None:
        self._outside.start("operator", work)

    def _ask_for_a_failover(self) -> None:
        name = self._voter()
        self._operate(lambda process: self._operators.fail_over(process, name))

    def _force_a_state(self) -> None:
        name = self._voter()
        state = self._dice.pick((ServiceState.ACTIVE, ServiceState.STANDBY, ServiceState.OBSERVER))
        if state is ServiceState.OBSERVER:
            self._operators.lend(name)
            self._heal_later(lambda: self._operators.take_back(name))
        self._operate(lambda process: self._operators.order(process, name, state))
