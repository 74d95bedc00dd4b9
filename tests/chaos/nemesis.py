"""Core. What is broken, when, and for how long: a plan that a seed draws.

A plan is rounds: some causes at once, each healed after its time, then quiet until the cluster is
seen to serve again. Whom a cause strikes is said by role ("active"), since nobody knows beforehand
who that will be.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

ROUND_S_MIN, ROUND_S_MAX = 4.0, 12.0
QUIET_S_MIN, QUIET_S_MAX = 1.0, 5.0
CAUSES_MAX = 3


class Cause(Enum):
    KILLED = "its process is killed"
    FROZEN = "its process is frozen"
    NO_POWER = "its machine is gone, with controller, journal and DataNode: their processes end"
    UNPLUGGED = (
        "its machine is gone, with controller, journal and DataNode: no packet comes or goes"
    )
    UNHEALTHY = "it has no room for its edits"
    CONTROLLER_KILLED = "its controller is killed"
    CONTROLLER_FROZEN = "its controller is frozen"
    SESSION_EXPIRED = "the session of the controller that has the lock is ended"
    CUT_FROM_ZOOKEEPER = "it is cut from ZooKeeper"
    CUT_FROM_JOURNALS = "it is cut from the journals"
    CUT_FROM_MAJORITY = "it is cut from two of three journals"
    CUT_FROM_NAMENODES = "it is cut from the other NameNodes"
    CUT_FROM_CLIENTS = "it is cut from all clients"
    CUT_FROM_SOME_CLIENTS = "it is cut from half of the clients"
    CUT_FROM_DATANODES = "it is cut from the DataNodes"
    ZOOKEEPER_KILLED = "ZooKeeper's process is killed"
    ZOOKEEPER_FROZEN = "ZooKeeper's process is frozen"
    ZOOKEEPER_UNPLUGGED = "no packet comes to ZooKeeper or goes"
    JOURNAL_KILLED = "the journal of its machine is killed"
    JOURNAL_FROZEN = "the journal of its machine is frozen"
    DATANODE_KILLED = "the DataNode of its machine is killed"
    OPERATOR = "an operator asks for a failover to it"


CUTS = frozenset(cause for cause in Cause if cause.name.startswith("CUT_"))
OF_NOBODY = frozenset(
    {
        Cause.ZOOKEEPER_KILLED,
        Cause.ZOOKEEPER_FROZEN,
        Cause.ZOOKEEPER_UNPLUGGED,
        Cause.SESSION_EXPIRED,
    }
)


class Target(Enum):
    """By role at the moment when it is struck."""

    ACTIVE = "the active"
    NEXT = "a standby"
    LAST = "the other standby"
    NOBODY = "-"


class Way(Enum):
    BOTH = "both ways"
    OUT = "from it"
    IN = "to it"


@dataclass(frozen=True, slots=True)
class Deed:
    at_s: float
    """After its round has begun."""
    seconds: float
    cause: Cause
    target: Target = Target.NOBODY
    way: Way = Way.BOTH

    def describe(self) -> str:
        way = f", {self.way.value}" if self.cause in CUTS else ""
        when = f"+{self.at_s:.1f} s for {self.seconds:.1f} s"
        return f"{when}: {self.target.value}: {self.cause.value}{way}"


@dataclass(frozen=True, slots=True)
class Round:
    deeds: tuple[Deed, ...]
    quiet_s: float
    """Left alone after all is healed and serves again."""

    def describe(self) -> str:
        return "; ".join(deed.describe() for deed in self.deeds)


def rounds(seed: int) -> Iterator[Round]:
    """Without end: whoever carries them out knows when to stop."""
    dice = random.Random(f"nemesis {seed}")
    causes = _bag(dice)
    while True:
        yield _round(dice, causes)


def _bag(dice: random.Random) -> Iterator[Cause]:
    """Every cause once, in an order that is drawn; then again."""
    while True:
        yield from dice.sample(list(Cause), len(Cause))


def _round(dice: random.Random, causes: Iterator[Cause]) -> Round:
    seconds = dice.uniform(ROUND_S_MIN, ROUND_S_MAX)
    # Alone as often as not; together, half of the time against one and the same NameNode.
    count = dice.choice((1, 1, 1, 2, 2, CAUSES_MAX))
    victim = _target(dice) if dice.random() < 0.5 else None
    way = dice.choice((Way.BOTH, Way.BOTH, Way.OUT, Way.IN))
    deeds = []
    for cause in (next(causes) for _ in range(count)):
        at_s = 0.0 if not deeds else dice.uniform(0, seconds / 2)
        deeds.append(_deed(dice, cause, at_s, seconds - at_s, victim, way))
    return Round(tuple(deeds), dice.uniform(QUIET_S_MIN, QUIET_S_MAX))


def _target(dice: random.Random) -> Target:
    return dice.choices((Target.ACTIVE, Target.NEXT, Target.LAST), (7, 2, 1))[0]


def _deed(
    dice: random.Random,
    cause: Cause,
    at_s: float,
    seconds: float,
    victim: Target | None,
    way: Way,
) -> Deed:
    target = victim or _target(dice)
    if cause is Cause.OPERATOR:
        target = dice.choice((Target.NEXT, Target.LAST))
    elif cause in OF_NOBODY:
        target = Target.NOBODY
    if cause in (Cause.FROZEN, Cause.CONTROLLER_FROZEN, Cause.ZOOKEEPER_FROZEN):
        # Also shorter than anybody needs to notice it: it comes back as if nothing had been.
        seconds = dice.choice((seconds, dice.uniform(0.2, 2.5)))
    return Deed(at_s, seconds, cause, target, way if cause in CUTS else Way.BOTH)
