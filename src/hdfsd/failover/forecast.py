"""Core. What would happen now if something failed, in words and with its bound in time.

The rules are those of elector, health, policy and fencing, told for people: who notices, what must
be done before another is active, who that would be, and what nobody could do anything about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hdfsd.failover.policy import ServiceState


@dataclass(frozen=True, slots=True)
class NodeView:
    """One NameNode and its controller, as they answer now."""

    node_id: str
    state: ServiceState | None
    """None: it does not answer."""
    trouble: str
    """Why it is not healthy; "" when it is."""
    controller: str
    """The election's state by name, `UNKNOWN` of one that can't tell, "" of one that is gone."""
    obstacle: str = ""
    """Why its controller keeps it out of the election; "" when it does not."""


UNKNOWN = "UNKNOWN"
"""Of Hadoop's controllers, which say nothing of themselves."""
HEARTBEAT_LATE_MS = 500
"""Between two looks at a heartbeat, and two beats."""
WAITING = frozenset({"STANDBY", "YIELDING", UNKNOWN})
"""States of a controller that takes the lock when it is free, at once or when others had leave."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The keys that bound a failover."""

    automatic: bool
    session_timeout_ms: int | None
    """None: the embedded lock, which the kernel frees."""
    check_interval_ms: int
    check_timeout_ms: int
    graceful_fence_ms: int
    connect_ms: int
    """What is given to a connection to a NameNode that shall become standby."""
    methods: tuple[str, ...]
    heartbeat_ms: int = 0
    """How long without a heartbeat is a freeze, of NameNodes and controllers of ours; 0: there is
    none."""


@dataclass(frozen=True, slots=True)
class Forecast:
    event: str
    then: str
    within_ms: int | None
    """Until another one begins to become active, without what the fencing methods take; None: no
    bound, or nothing happens."""

    def describe(self) -> str:
        bound = ""
        if self.within_ms is not None:
            within = f"within {self.within_ms} ms" if self.within_ms else "at once"
            bound = f" [{within}, and what the fencing methods take if they are needed]"
        return f"if {self.event}: {self.then}{bound}"


def forecast(nodes: Sequence[NodeView], timing: Timing) -> tuple[Forecast, ...]:
    """For each failure worth asking about; the active one's first."""
    actives = [node for node in nodes if node.state is ServiceState.ACTIVE]
    if len(actives) != 1:
        names = ", ".join(node.node_id for node in actives)
        return (Forecast("anything fails", f"{names or 'nobody'} is active now", None),)
    active = actives[0]
    others = [node for node in nodes if node is not active]
    if not timing.automatic:
        then = "nothing happens by itself: use haadmin -failover"
        return (Forecast(f"{active.node_id} fails", then, None),)
    return (
        _process_dies(active, others, timing),
        _process_freezes(active, others, timing),
        _machine_gone(active, others, timing),
        _controller_dies(active, others, timing),
        _lock_service_gone(active, timing),
        *(_other_fails(node, others, active) for node in others),
    )


def obstacle_of(node: NodeView) -> str:
    """Why a node could not take over now; "" when it could."""
    if node.state is None:
        return "its NameNode does not answer"
    if node.state is not ServiceState.STANDBY:
        return f"its NameNode is {node.state.name.lower()}"
    if node.trouble:
        return f"its NameNode is unhealthy: {node.trouble}"
    if not node.controller:
        return "its controller does not answer"
    if node.controller not in WAITING:
        return node.obstacle or f"its controller is {node.controller}"
    return ""


def _successor(others: Sequence[NodeView]) -> tuple[str, bool]:
    """Who would become active, and whether anybody would."""
    able = [node.node_id for node in others if not obstacle_of(node)]
    if able:
        return (f"{able[0]} becomes active" if len(able) == 1 else f"one of {_or(able)}"), True
    reasons = "; ".join(f"{node.node_id}: {obstacle_of(node)}" for node in others)
    return f"NOBODY takes over ({reasons or 'there is no other NameNode'})", False


def _or(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]} becomes active"


def _by_force(timing: Timing) -> str:
    return f"fences it by {', then '.join(timing.methods) or 'nothing: no method is configured'}"


def _told(
    event: str, noticed: str, others: Sequence[NodeView], fencing: str, within_ms: int
) -> Forecast:
    who, anybody = _successor(others)
    if not anybody:
        return Forecast(event, f"{noticed}; {who}", None)
    return Forecast(event, f"{noticed}; {who}, after it {fencing}", within_ms)


def _unwatched(active: NodeView) -> bool:
    return not active.controller


def _process_dies(active: NodeView, others: Sequence[NodeView], timing: Timing) -> Forecast:
    event = f"the process of {active.node_id} dies"
    if _unwatched(active):
        return Forecast(event, "nobody watches it: its controller does not answer", None)
    noticed = "its controller sees the connection end at once and gives up the lock"
    return _told(event, noticed, others, _by_force(timing), 0)


def _process_freezes(active: NodeView, others: Sequence[NodeView], timing: Timing) -> Forecast:
    event = f"{active.node_id} freezes"
    if _unwatched(active):
        return Forecast(event, "nobody watches it: its controller does not answer", None)
    if timing.heartbeat_ms and active.controller != UNKNOWN:
        noticed_ms = timing.heartbeat_ms + HEARTBEAT_LATE_MS
        noticed = f"its controller has no heartbeat for {timing.heartbeat_ms} ms"
    else:
        noticed_ms = timing.check_interval_ms + timing.check_timeout_ms
        noticed = f"its controller has no answer for {timing.check_timeout_ms} ms"
    if active.controller == UNKNOWN or any(other.controller == UNKNOWN for other in others):
        fencing = f"has asked it for {timing.graceful_fence_ms} ms and {_by_force(timing)}"
        return _told(event, noticed, others, fencing, noticed_ms + timing.graceful_fence_ms)
    # Its controller says that it does not respond: nobody waits for its answer.
    return _told(event, noticed, others, _by_force(timing), noticed_ms)


def _machine_gone(active: NodeView, others: Sequence[NodeView], timing: Timing) -> Forecast:
    event = f"the machine of {active.node_id} is gone"
    if timing.session_timeout_ms is None:
        return Forecast(event, "all NameNodes are on it: nobody is left", None)
    if all(method.startswith("sshfence") for method in timing.methods):
        then = (
            f"NOBODY takes over until it is back: {', '.join(timing.methods) or 'no method'} can't"
            " fence a machine that does not answer; add shell(...) as a last method"
        )
        return Forecast(event, then, None)
    noticed = f"its session ends after {timing.session_timeout_ms} ms"
    connecting_ms = timing.connect_ms
    if any(other.controller == UNKNOWN for other in others):
        connecting_ms = max(connecting_ms, timing.graceful_fence_ms)
    fencing = f"has tried to reach it for {connecting_ms} ms and {_by_force(timing)}"
    within_ms = timing.session_timeout_ms + connecting_ms
    return _told(event, noticed, others, fencing, within_ms)


def _controller_dies(active: NodeView, others: Sequence[NodeView], timing: Timing) -> Forecast:
    event = f"the controller of {active.node_id} dies"
    if _unwatched(active):
        return Forecast(event, "it does not answer now", None)
    ends_ms = timing.session_timeout_ms or 0
    when = f"after {ends_ms} ms" if ends_ms else "at once"
    fencing = "has asked the old one to become standby, which it does"
    return _told(event, f"its lock is freed {when}", others, fencing, ends_ms)


def _lock_service_gone(active: NodeView, timing: Timing) -> Forecast:
    if timing.session_timeout_ms is None:
        return Forecast("the lock's directory is gone", "no state changes until it is back", None)
    then = f"no state changes: {active.node_id} serves on, and nobody takes over until it is back"
    return Forecast("ZooKeeper is gone", then, None)


def _other_fails(node: NodeView, others: Sequence[NodeView], active: NodeView) -> Forecast:
    left = [other.node_id for other in others if other is not node and not obstacle_of(other)]
    spare = f"{' and '.join(left)} could still take over" if left else "nobody could take over then"
    return Forecast(f"{node.node_id} fails", f"{active.node_id} serves on; {spare}", None)
