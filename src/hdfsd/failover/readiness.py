"""Core. Whether a NameNode that is not ready yet takes part in the election, and why.

One that has just started replays the edits that it missed. Were it elected meanwhile, nobody could
write until it is done; so it lets the others go first. When there are no others it takes part: what
it would replay then, it has to replay in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hdfsd.failover.policy import ServiceState

OTHERS_FIRST_MS = 5000
"""How long it waits for another one that could become active, and does not."""


@dataclass(frozen=True, slots=True)
class Other:
    """Another NameNode of the nameservice, as it answers now."""

    name: str
    state: ServiceState | None
    """None: it does not answer."""
    ready: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    joins: bool
    reason: str


def decide(obstacle: str, others: Sequence[Other], waited_ms: int) -> Verdict:
    """`obstacle`: why it is not ready, "" when it is; `waited_ms`: for how long it has waited."""
    if not obstacle:
        return Verdict(True, "it is ready")
    for other in others:
        if other.state is ServiceState.ACTIVE:
            return Verdict(False, f"it is not ready, and {other.name} is active: {obstacle}")
    able = [o.name for o in others if o.state is ServiceState.STANDBY and o.ready]
    if able and waited_ms < OTHERS_FIRST_MS:
        return Verdict(False, f"it is not ready, and {able[0]} could be active: {obstacle}")
    found = f"{able[0]} does not become active" if able else "nobody else could be active"
    return Verdict(True, f"{found}, though it is not ready: {obstacle}")
