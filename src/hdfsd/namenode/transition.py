"""Core. How a NameNode changes its HA state: ordered steps, each with its reason. Holds P2, P4, P5.

The driver (namenode.lifecycle) carries the steps out in this order and times each; nothing outside
of this table says what a transition consists of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hdfsd.base.errors import ServiceFailed
from hdfsd.namenode.gate import HAState


class Step(Enum):
    """What happens, and why at this place."""

    STOP_TAILING = "stop tailing: nobody else may apply edits while we catch up"
    CLAIM_EPOCH = "new epoch on a majority and recovery: no older writer can add a transaction"
    CATCH_UP = "replay to the last transaction: what was acknowledged must be seen (P4)"
    CLOSE_LOCAL = "finalise what a former life left open in the local edits directories"
    """Of a large segment that takes a while: a standby has done it before it is needed."""
    OPEN_SEGMENT = "start a segment: from here on transactions are ours"
    RENEW_LEASES = "renew all leases: nobody loses a file for the failover's sake"
    CLAIM_BLOCKS = "process queued reports; storages are stale until their next full report (P5)"
    SERVE = "open the gate"

    REFUSE = "close the gate: every new call is told to try the other NameNode"
    STOP_MONITORS = "no command leaves any more"
    DRAIN = "flush and end the segment: what was acknowledged is on the journal"
    FORGET_COMMANDS = "pending replications and deletions belong to the next active"
    TAIL = "follow the journal"

    END_CHECKPOINTS = "no checkpoint is begun: an observer's time belongs to its readers"
    DISMISS_READERS = "reads that wait for a transaction are told to try another NameNode"
    CHECKPOINT = "make checkpoints again"


TO_ACTIVE = (
    Step.STOP_TAILING,
    Step.CLAIM_EPOCH,
    Step.CATCH_UP,
    Step.CLOSE_LOCAL,
    Step.OPEN_SEGMENT,
    Step.RENEW_LEASES,
    Step.CLAIM_BLOCKS,
    Step.SERVE,
)
TO_STANDBY = (
    Step.REFUSE,
    Step.STOP_MONITORS,
    Step.DRAIN,
    Step.FORGET_COMMANDS,
    Step.TAIL,
)

TRANSITIONS: Mapping[tuple[HAState, HAState], tuple[Step, ...]] = {
    (HAState.STANDBY, HAState.ACTIVE): TO_ACTIVE,
    (HAState.ACTIVE, HAState.STANDBY): TO_STANDBY,
    (HAState.INITIALIZING, HAState.STANDBY): (Step.CLOSE_LOCAL, Step.TAIL),
    (HAState.INITIALIZING, HAState.ACTIVE): TO_ACTIVE,
    (HAState.STANDBY, HAState.OBSERVER): (Step.END_CHECKPOINTS,),
    (HAState.OBSERVER, HAState.STANDBY): (Step.DISMISS_READERS, Step.CHECKPOINT),
    (HAState.ACTIVE, HAState.ACTIVE): (),
    (HAState.STANDBY, HAState.STANDBY): (),
    (HAState.OBSERVER, HAState.OBSERVER): (),
}
"""An absent pair can't be walked. INITIALIZING to ACTIVE is the way of a NameNode without HA."""


def steps(current: HAState, wanted: HAState) -> tuple[Step, ...]:
    """The steps between two states; raises ServiceFailed for a pair that has no way."""
    try:
        return TRANSITIONS[current, wanted]
    except KeyError:
        raise ServiceFailed(
            f"Cannot transition from '{current.value}' to '{wanted.value}'"
        ) from None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step as it was walked, for the log, /jmx and the timeline."""

    step: Step
    millis: int


@dataclass(frozen=True, slots=True)
class TransitionRecord:
    """One transition as it was walked."""

    source: HAState
    target: HAState
    wall_ms: int
    """When it began, milliseconds since 1970."""
    steps: tuple[StepRecord, ...]
    last_txid: int
    replayed_txns: int | None = None
    """Of CATCH_UP: what was left to apply when it was asked to become active; None without."""

    @property
    def millis(self) -> int:
        return sum(record.millis for record in self.steps)

    def describe(self) -> str:
        """`standby → active in 12 ms at txid 4711, 3 replayed: stop tailing 0, …`."""
        parts = ", ".join(f"{r.step.name.lower()} {r.millis}" for r in self.steps)
        replayed = "" if self.replayed_txns is None else f", {self.replayed_txns} replayed"
        return (
            f"{self.source.value} → {self.target.value} in {self.millis} ms"
            f" at txid {self.last_txid}{replayed}: {parts}"
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "from": self.source.value,
            "to": self.target.value,
            "began_wall_ms": self.wall_ms,
            "millis": self.millis,
            "last_txid": self.last_txid,
            "replayed_txns": self.replayed_txns,
            "steps": [
                {"step": r.step.name.lower(), "millis": r.millis, "why": r.step.value}
                for r in self.steps
            ],
        }
