"""Adapter. `hdfsd haadmin -explain`: who is active and why, what each controller sees, what would
happen now if something failed, and the last failovers step by step.

Everybody is asked at once and each has little time, so that an explanation comes also when half of
the cluster is gone. Hadoop's controllers can't be asked; what their NameNodes say is told.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hdfsd.base.config import Configuration
from hdfsd.base.errors import HdfsdError, RemoteFault
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.base.settings import HealthSettings, fencing_methods, graceful_fence_connect_ms
from hdfsd.failover.calls import Links
from hdfsd.failover.forecast import UNKNOWN, NodeView, Timing, forecast
from hdfsd.failover.namenode_page import STATUS_BEAN, TIMELINE_BEAN, bean
from hdfsd.failover.policy import ServiceState
from hdfsd.io.http import RealHttpClient
from hdfsd.wire.words import EXPLAIN

ASK_MS = 3000


@dataclass(slots=True)
class Seen:
    """What one NameNode and its controller answered."""

    addresses: NameNodeAddresses
    state: ServiceState | None = None
    trouble: str = ""
    controller: dict[str, Any] = field(default_factory=dict)
    """Its explanation; empty when there is none."""
    controller_trouble: str = ""
    controller_lives: bool = False
    since_wall_ms: int = 0
    """Of its last transition, as its /jmx says; 0 is unknown."""
    transitions: Sequence[str] = ()
    """Of the NameNode, each with its steps, last transaction and milliseconds."""
    transition_records: Sequence[dict[str, Any]] = ()
    """The same for programs."""

    def view(self) -> NodeView:
        election = self.controller.get("election", {})
        return NodeView(
            self.addresses.node_id,
            self.state,
            self.trouble,
            election.get("state", UNKNOWN if self.controller_lives else ""),
            obstacle_of(self.controller),
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.addresses.node_id,
            "address": str(self.addresses.for_servers),
            "state": None if self.state is None else self.state.name.lower(),
            "trouble": self.trouble,
            "last_transition_wall_ms": self.since_wall_ms,
            "transitions": list(self.transitions),
            "transition_records": list(self.transition_records),
            "controller": self.controller or {"error": self.controller_trouble},
        }


def obstacle_of(controller: dict[str, Any]) -> str:
    """Why a controller stays out of the election, in its own words."""
    if not controller or controller["election"]["state"] != "OUT":
        return ""
    if not controller.get("eligible", True):
        return "it is never elected (hdfsd.ha.election.eligible=false)"
    if controller["hold_ms"]:
        return f"its controller ceded, and waits {controller['hold_ms']} ms more"
    if controller.get("waits"):
        return f"its controller waits to join the election: {controller['waits']}"
    health = controller["health"]
    return f"its controller is out of the election: {health['state']}: {health['reason']}"


class Explainer:
    def __init__(self, links: Links) -> None:
        self._links = links
        self._http = RealHttpClient()

    async def look(self, nodes: Sequence[NameNodeAddresses]) -> list[Seen]:
        """Asks all of them at once."""
        try:
            return list(await asyncio.gather(*map(self._look_at, nodes)))
        finally:
            await self._http.close()

    async def _look_at(self, addresses: NameNodeAddresses) -> Seen:
        seen = Seen(addresses)
        await asyncio.gather(
            self._ask_namenode(seen), self._ask_controller(seen), self._ask_page(seen)
        )
        return seen

    async def _ask_namenode(self, seen: Seen) -> None:
        service = self._links.ha_service(seen.addresses.for_servers)
        try:
            seen.state = (await service.status(deadline_ms=ASK_MS)).state
            await service.monitor_health(deadline_ms=ASK_MS)
        except HdfsdError as error:
            seen.trouble = _first_line(error)
        finally:
            await service.close()

    async def _ask_controller(self, seen: Seen) -> None:
        words = self._links.words(seen.addresses.zkfc)
        try:
            answer = await words.ask(EXPLAIN, deadline_ms=ASK_MS)
            seen.controller_lives = True
            seen.controller = json.loads(answer)
        except RemoteFault as error:
            seen.controller_lives = True
            seen.controller_trouble = f"it does not explain itself: {_first_line(error)}"
        except HdfsdError as error:
            seen.controller_trouble = _first_line(error)
        except ValueError as error:
            seen.controller_trouble = f"its explanation can't be read: {error}"
        finally:
            await words.close()

    async def _ask_page(self, seen: Seen) -> None:
        """The NameNode's own record; Hadoop's has the time of its last transition."""
        address = seen.addresses.http
        try:
            status = await bean(self._http, address, STATUS_BEAN, ask_ms=ASK_MS)
            seen.since_wall_ms = int(status.get("LastHATransitionTime") or 0)
            found = await bean(self._http, address, TIMELINE_BEAN, ask_ms=ASK_MS)
            seen.transitions = [str(line) for line in found.get("Timeline", ())]
            seen.transition_records = list(found.get("Transitions", ()))
        except (HdfsdError, ValueError, TypeError):
            return  # A NameNode without pages: the rest is told all the same.


def timing_of(conf: Configuration) -> Timing:
    """The keys that bound a failover, as this tool's configuration has them."""
    zookeeper = conf.get("ha.zookeeper.quorum") is not None
    return Timing(
        automatic=conf.get_bool("dfs.ha.automatic-failover.enabled"),
        session_timeout_ms=(
            conf.get_duration_ms("ha.zookeeper.session-timeout.ms") if zookeeper else None
        ),
        check_interval_ms=conf.get_duration_ms("ha.health-monitor.check-interval.ms"),
        check_timeout_ms=conf.get_duration_ms("ha.health-monitor.rpc-timeout.ms"),
        graceful_fence_ms=conf.get_duration_ms(
            "ha.failover-controller.graceful-fence.rpc-timeout.ms"
        ),
        connect_ms=graceful_fence_connect_ms(conf),
        methods=fencing_methods(conf),
        heartbeat_ms=HealthSettings.from_configuration(conf).heartbeat_ms,
    )


def explanation(nameservice: str, seen: Sequence[Seen], timing: Timing, now: int) -> dict[str, Any]:
    """All of it, as `--json` prints it. `now`: milliseconds since 1970."""
    views = [one.view() for one in seen]
    return {
        "nameservice": nameservice,
        "asked_wall_ms": now,
        "automatic_failover": timing.automatic,
        "active": _active(seen),
        "namenodes": [one.as_json() for one in seen],
        "forecast": [
            {"if": f.event, "then": f.then, "within_ms": f.within_ms, "text": f.describe()}
            for f in forecast(views, timing)
        ],
        "failovers": _failovers(seen),
    }


def _active(seen: Sequence[Seen]) -> dict[str, Any] | None:
    """Who, since when and why; None unless it is exactly one."""
    actives = [one for one in seen if one.state is ServiceState.ACTIVE]
    if len(actives) != 1:
        return None
    one = actives[0]
    done = [f for f in one.controller.get("failovers", ()) if f["succeeded"]]
    last = done[-1] if done else None
    return {
        "id": one.addresses.node_id,
        "since_wall_ms": last["began_wall_ms"] + last["millis"] if last else one.since_wall_ms,
        "because": last["cause"] if last else "",
    }


def _failovers(seen: Sequence[Seen]) -> list[dict[str, Any]]:
    """Those of all controllers, the oldest first."""
    found = [
        {"namenode": one.addresses.node_id, **failover}
        for one in seen
        for failover in one.controller.get("failovers", ())
    ]
    return sorted(found, key=lambda failover: int(failover["began_wall_ms"]))


def lines_of(told: dict[str, Any]) -> list[str]:
    """The same for people."""
    lines = [f"Nameservice {told['nameservice']}, asked {_time(told['asked_wall_ms'])}", ""]
    lines += [_active_line(told), ""]
    for node in told["namenodes"]:
        lines += _lines_of_node(node)
    lines += ["", "What would happen now:"]
    lines += [f"  {entry['text']}" for entry in told["forecast"]]
    lines += ["", "Last failovers:"]
    for failover in told["failovers"]:
        lines += _lines_of_failover(failover)
    if not told["failovers"]:
        lines.append("  none that a controller remembers")
    return lines


def _active_line(told: dict[str, Any]) -> str:
    active = told["active"]
    if active is None:
        return "There is not exactly one active NameNode."
    since = f" since {_time(active['since_wall_ms'])}" if active["since_wall_ms"] else ""
    because = f", because {active['because']}" if active["because"] else ""
    return f"{active['id']} is active{since}{because}."


def _lines_of_node(node: dict[str, Any]) -> list[str]:
    state = node["state"] or "does not answer"
    health = f", unhealthy: {node['trouble']}" if node["trouble"] else ""
    lines = [f"{node['id']} at {node['address']}: {state}{health}"]
    controller = node["controller"]
    if "error" in controller:
        return [*lines, f"  controller: {controller['error']}"]
    election, its_health = controller["election"], controller["health"]
    since = _time(election["since_wall_ms"])
    lines.append(f"  controller: {election['means']} since {since} ({election['reason']})")
    since = _time(its_health["since_wall_ms"])
    lines.append(f"    sees {its_health['state']} since {since} ({its_health['reason']})")
    lock = controller["lock"]
    holder = lock.get("error") or f"the lock is held by {lock['holder'] or 'nobody'}"
    lines.append(f"    sees {holder}")
    if controller["hold_ms"]:
        lines.append(f"    stays out of the election for {controller['hold_ms']} ms more")
    lines += [f"  NameNode: {transition}" for transition in node["transitions"][-3:]]
    return lines


def _lines_of_failover(failover: dict[str, Any]) -> list[str]:
    outcome = {True: "became active", False: "did not become active", None: "on its way"}
    began = _time(failover["began_wall_ms"])
    verdict = outcome[failover["succeeded"]]
    lines = [f"  {began} {failover['namenode']} {verdict} in {failover['millis']} ms"]
    lines.append(f"    cause: {failover['cause']}")
    for step in failover["steps"]:
        detail = f": {step['detail']}" if step["detail"] else ""
        lines.append(f"    {step['millis']:>6} ms  {step['step']}{detail}")
    if failover["namenode_record"]:
        lines.append(f"    NameNode: {failover['namenode_record']}")
    if not failover["succeeded"] and failover["outcome"]:
        lines.append(f"    ended: {failover['outcome']}")
    return lines


def _time(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms / 1000).astimezone().isoformat(timespec="milliseconds")


def _first_line(error: HdfsdError) -> str:
    text = error.message if isinstance(error, RemoteFault) else str(error)
    return text.partition("\n")[0]
