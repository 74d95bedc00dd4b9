"""The elector's core, driven by text against a small world; and by chance against its promises.

A scenario is a file of commands; below `----` stands what they led to. Set
HDFSD_UPDATE_SCENARIOS=1 to write the transcripts anew, and review the difference.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfsd.failover.elector import Action, Effect, Elector, Event, Happening, Outcome
from hdfsd.ports.coordination import Breadcrumb

SCENARIOS = sorted(Path(__file__).parent.joinpath("elector").glob("*.txt"))
SEPARATOR = "----\n"
PAUSES = (Action.REST, Action.YIELD)


@dataclass
class Node:
    """A controller with its NameNode."""

    name: str
    elector: Elector = field(default_factory=Elector)
    session: int | None = None
    """Ticket of the session that is open."""
    connected: bool = True
    expired: bool = False
    """Its session ended, and it has not heard of it."""
    watch: int | None = None
    work: deque[Effect] = field(default_factory=deque)
    active: bool = False
    """The NameNode is."""
    alive: bool = True
    """The NameNode is."""
    fencing_works: bool = True


class World:
    """Lock, breadcrumb and NameNodes; effects are carried out when they are asked for."""

    def __init__(self, *names: str) -> None:
        self.nodes = {name: Node(name) for name in names}
        self.holder: str | None = None
        self.breadcrumb: Breadcrumb | None = None
        self.lines: list[str] = []

    def tell(self, node: Node, event: Event) -> None:
        self.take(node, node.elector.step(event))

    def take(self, node: Node, outcome: Outcome) -> None:
        if outcome.reason:
            self.lines.append(f"{node.name}: {outcome.reason}")
        for effect in outcome.effects:
            if effect.action is Action.FORGET:
                node.work = deque(e for e in node.work if e.action is Action.CLOSE)
            elif effect.action is Action.CLOSE:
                node.work.clear()
                self.end_session(node)
            elif effect.action is Action.DEMOTE:
                node.active = False
            elif effect.action is Action.PROMOTE:
                # At once: the driver never cancels it, and orders nothing else meanwhile.
                self.tell(node, self.promote(node, effect))
            else:
                node.work.append(effect)

    def run_one(self, node: Node) -> bool:
        """Carries out the node's next effect; False when it has none, or can't reach the lock."""
        if not node.work:
            return False
        if not node.connected and node.work[0].action not in (*PAUSES, Action.FENCE):
            return False
        effect = node.work.popleft()
        name = effect.action.name.lower()
        self.tell(node, getattr(self, "yield_" if name == "yield" else name)(node, effect))
        return True

    def settle(self) -> None:
        """Everything that can be done while no time passes, each node in its turn."""
        for _ in range(1000):
            did = [self.run_one(n) for n in self.nodes.values() if not self.rests(n)]
            if not any(did):
                return
        raise AssertionError("the election goes round in circles")

    def rests(self, node: Node) -> bool:
        return bool(node.work) and node.work[0].action in PAUSES

    def lock_changed(self) -> None:
        for node in self.nodes.values():
            if node.watch is not None:
                ticket, node.watch = node.watch, None
                if node.connected:
                    self.tell(node, Event(Happening.LOCK_CHANGED, ticket))

    def end_session(self, node: Node) -> None:
        node.session = node.watch = None
        node.expired = False
        if self.holder == node.name:
            self.holder = None
            self.lock_changed()

    # Effects, by name.

    def open(self, node: Node, effect: Effect) -> Event:
        node.session = effect.ticket
        return Event(Happening.OPENED, effect.ticket)

    def try_lock(self, node: Node, effect: Effect) -> Event:
        if self.holder in (None, node.name):
            self.holder = node.name
            return Event(Happening.LOCK_WON, effect.ticket)
        return Event(Happening.LOCK_TAKEN, effect.ticket)

    def watch_lock(self, node: Node, effect: Effect) -> Event:
        if self.holder is None:
            return Event(Happening.LOCK_FREE, effect.ticket)
        node.watch = effect.ticket
        ours = self.holder == node.name
        return Event(Happening.LOCK_OURS if ours else Happening.LOCK_OTHERS, effect.ticket)

    def read_breadcrumb(self, node: Node, effect: Effect) -> Event:
        found = self.breadcrumb
        if found is None or node.elector.is_own(found.data):
            return Event(Happening.NO_OLD_ACTIVE, effect.ticket, breadcrumb=found)
        return Event(Happening.OLD_ACTIVE, effect.ticket, breadcrumb=found)

    def fence(self, node: Node, effect: Effect) -> Event:
        assert node.elector.old is not None
        if not node.fencing_works:
            return Event(Happening.NOT_FENCED, effect.ticket, "no method worked")
        name = node.elector.old.data.decode()
        self.nodes[name].active = False
        return Event(Happening.FENCED, effect.ticket, name)

    def write_breadcrumb(self, node: Node, effect: Effect) -> Event:
        old = node.elector.old
        if (old and old.version) != (self.breadcrumb and self.breadcrumb.version):
            return Event(Happening.NO_ANSWER, effect.ticket, "another version is there")
        self.breadcrumb = Breadcrumb(node.elector.data, 0 if old is None else old.version + 1)
        return Event(Happening.CLAIMED, effect.ticket)

    def delete_breadcrumb(self, node: Node, effect: Effect) -> Event:
        if self.breadcrumb is not None and node.elector.is_own(self.breadcrumb.data):
            self.breadcrumb = None
            node.active = False  # Who quits gracefully has made its NameNode standby before.
        return Event(Happening.RESIGNED, effect.ticket)

    def rest(self, node: Node, effect: Effect) -> Event:
        return Event(Happening.RESTED, effect.ticket)

    def yield_(self, node: Node, effect: Effect) -> Event:
        return Event(Happening.YIELDED, effect.ticket)

    def promote(self, node: Node, effect: Effect) -> Event:
        if not node.alive:
            return Event(Happening.NOT_PROMOTED, effect.ticket, "connection refused")
        others = [n.name for n in self.nodes.values() if n.active and n is not node]
        assert not others, f"{node.name} becomes active while {others} is"
        node.active = True
        return Event(Happening.PROMOTED, effect.ticket)

    # Commands of scenarios.

    def command_join(self, node: Node) -> None:
        self.take(node, node.elector.join(node.name.encode()))

    def command_quit(self, node: Node) -> None:
        node.active = False
        self.tell(node, Event(Happening.QUIT))

    def command_crash(self, node: Node) -> None:
        """The NameNode dies; its controller quits."""
        node.alive = node.active = False
        self.tell(node, Event(Happening.QUIT_FENCED))

    def command_unhealthy(self, node: Node) -> None:
        """The NameNode is no good, though perhaps active."""
        self.tell(node, Event(Happening.QUIT_FENCED))

    def command_revive(self, node: Node) -> None:
        node.alive = True
        self.command_join(node)

    def command_suspend(self, node: Node) -> None:
        node.connected = False
        if node.session is not None:
            self.tell(node, Event(Happening.SUSPENDED, node.session))

    def command_resume(self, node: Node) -> None:
        node.connected = True
        happening = Happening.EXPIRED if node.expired else Happening.CONNECTED
        node.expired = False
        if node.session is not None:
            self.tell(node, Event(happening, node.session))

    def command_expire(self, node: Node) -> None:
        """The lock service ends the session; the node hears of it when it is connected."""
        session = node.session
        self.end_session(node)
        if node.connected and session is not None:
            self.tell(node, Event(Happening.EXPIRED, session))
        elif session is not None:
            node.session, node.expired = session, True

    def command_delete(self, node: Node) -> None:
        """Somebody deletes its lock; its session lives on."""
        if self.holder == node.name:
            self.holder = None
            self.lock_changed()

    def command_fencing(self, node: Node) -> None:
        """Its fencing fails from now on, or works again."""
        node.fencing_works = not node.fencing_works

    def command_rest(self, node: Node) -> None:
        """It has rested, or let others go first, for long enough."""
        self.run_one(node)

    def command_step(self, node: Node) -> None:
        """It does one thing, and no more."""
        self.run_one(node)

    def describe(self) -> list[str]:
        crumb = "none" if self.breadcrumb is None else self.breadcrumb.data.decode()
        rows = [
            f"  {node.name}: {node.elector.describe()};"
            f" NameNode {'active' if node.active else 'standby' if node.alive else 'dead'}"
            for node in self.nodes.values()
        ]
        return [f"  lock {self.holder or 'free'}, breadcrumb {crumb}", *rows]


def node_of(word: str) -> tuple[str, Node]:
    """`nn3~` is nn3, which lets others go first."""
    name = word.rstrip("~")
    return name, Node(name, Elector(yields=name != word))


def play(script: str) -> str:
    """The transcript of a scenario's commands."""
    world = World()
    for line in script.splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        world.lines.append(f"> {' '.join(words)}")
        if words[0] == "nodes":
            world.nodes = dict(node_of(word) for word in words[1:])
            continue
        for name in words[1:]:
            getattr(world, f"command_{words[0]}")(world.nodes[name])
        if words[0] != "step":
            world.settle()
        world.lines += world.describe()
    return "\n".join(world.lines) + "\n"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    script, _, recorded = path.read_text().partition(SEPARATOR)
    transcript = play(script)
    if os.environ.get("HDFSD_UPDATE_SCENARIOS"):
        path.write_text(script + SEPARATOR + transcript)
        return
    assert transcript == recorded


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) >= 8


COMMANDS = ("join", "quit", "crash", "unhealthy", "revive", "suspend", "resume", "expire")
NAMES = ("nn1", "nn2", "nn3")
moves = st.lists(
    st.tuples(st.sampled_from((*COMMANDS, "fencing", *["step"] * 8)), st.sampled_from(NAMES)),
    min_size=10,
    max_size=60,
)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(moves, st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_one_active_whatever_happens_and_one_in_the_end(
    script: list[tuple[str, str]], unable_to_fence: set[str], yielding: set[str]
) -> None:
    """World.promote asserts that nobody becomes active while another NameNode is."""
    world = World(*NAMES)
    for node in world.nodes.values():
        node.elector = Elector(yields=node.name in yielding)
        world.command_join(node)
        node.fencing_works = node.name not in unable_to_fence
    world.settle()
    for command, name in script:
        getattr(world, f"command_{command}")(world.nodes[name])
    for node in world.nodes.values():
        node.fencing_works = True
        if not node.connected:
            world.command_resume(node)
    for _ in range(10):
        for node in world.nodes.values():
            node.alive = True
            world.command_join(node)
        world.settle()
        for node in world.nodes.values():
            world.run_one(node)
    states = [node.elector.state for node in world.nodes.values()]
    assert sorted(state.name for state in states) == ["ACTIVE", "STANDBY", "STANDBY"]
    active = [node.name for node in world.nodes.values() if node.active]
    assert active == [world.holder]
    assert world.breadcrumb is not None
    assert world.breadcrumb.data.decode() == world.holder
