"""Machines of a test: network namespaces around a router, between which links are cut for real.

A packet that is cut is dropped in silence by the router, in one direction or in both: nobody
refuses anything, as when a switch or a whole machine is gone. Needs root and `ip` (iproute2).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

NETWORK = "10.213"
OURS = re.compile(r"hdfsd(\d+)\D")
"""The name of a namespace: whose process made it, then the machine."""

Rule = tuple[str, ...]
"""Words of `ip rule`."""


class Machines:
    """Each has the address 10.213.N.2; the router, where the test's own clients run, 10.213.N.1."""

    def __init__(self, root: Path, *names: str) -> None:
        self.root = root
        self.hosts = {name: f"{NETWORK}.{number}.2" for number, name in enumerate(names, 1)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._router = f"hdfsd{os.getpid()}"
        self._made: list[str] = []
        self._rules: Counter[Rule] = Counter()
        """Cuts may overlap: a rule stays as long as one of them needs it."""

    def make(self) -> None:
        """Raises CalledProcessError where it may not be done."""
        _sweep()
        self._add(self._router)
        self._ip(self._router, "link", "set", "lo", "up")
        self.run_in(self._router, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        for number, name in enumerate(self.hosts, 1):
            space, inner, outer = self._space(name), f"i{number}", f"o{number}"
            self._add(space)
            self._ip(
                self._router,
                "link",
                "add",
                outer,
                "type",
                "veth",
                "peer",
                "name",
                inner,
                "netns",
                space,
            )
            self._ip(self._router, "addr", "add", f"{NETWORK}.{number}.1/24", "dev", outer)
            self._ip(self._router, "link", "set", outer, "up")
            self._ip(space, "addr", "add", f"{NETWORK}.{number}.2/24", "dev", inner)
            for link in ("lo", inner):
                self._ip(space, "link", "set", link, "up")
            self._ip(space, "route", "add", "default", "via", f"{NETWORK}.{number}.1")

    def _space(self, name: str) -> str:
        return f"{self._router}{name}"

    def _add(self, space: str) -> None:
        _ip("netns", "add", space)
        self._made.append(space)

    def _ip(self, space: str, *words: str) -> None:
        _ip("-n", space, *words)

    def run_in(self, space: str, command: list[str]) -> None:
        subprocess.run(
            ["ip", "netns", "exec", space, *command], check=True, capture_output=True, timeout=120
        )

    def on(self, name: str | None, command: list[str]) -> list[str]:
        """The command as it runs on a machine; None: on the router."""
        space = self._router if name is None else self._space(name)
        return ["ip", "netns", "exec", space, *command]

    def spawn(
        self, process: str, machine: str, command: list[str], environment: Mapping[str, str]
    ) -> None:
        """It ends with whoever started it, whatever becomes of that one."""
        with (self.root / f"{process}.log").open("ab") as log:
            self.processes[process] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.on(machine, command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
                # As daemons are: each has its share of a busy machine, and Ctrl-C is the test's.
                start_new_session=True,
            )

    # Cuts.

    def cut(self, one: str, *others: str, back: bool = True) -> list[Rule]:
        """Drops what goes from one machine to others, and what comes back unless `back` is
        False; what `mend` wants to end it."""
        rules = [("from", self.hosts[one], "to", self.hosts[other]) for other in others]
        if back:
            rules += [("from", self.hosts[other], "to", self.hosts[one]) for other in others]
        return self._drop(rules)

    def unplug(self, name: str) -> list[Rule]:
        """The machine is gone for everybody, the test's clients too."""
        return self._drop([("from", self.hosts[name]), ("to", self.hosts[name])])

    def _drop(self, rules: list[Rule]) -> list[Rule]:
        for rule in rules:
            self._rules[rule] += 1
            if self._rules[rule] == 1:
                self._ip(self._router, "rule", "add", *rule, "blackhole")
        return rules

    def mend(self, rules: Iterable[Rule]) -> None:
        """Ends one cut; others that overlap it go on."""
        for rule in rules:
            self._rules[rule] -= 1
            if not self._rules[rule]:
                del self._rules[rule]
                self._ip(self._router, "rule", "del", *rule, "blackhole")

    def heal(self) -> None:
        """Ends all cuts."""
        self.mend(list(self._rules.elements()))

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        while self._made:
            _ip("netns", "del", self._made.pop())


def _sweep() -> None:
    """Removes what a test left behind that was killed: its processes ended with it."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        name = line.partition(" ")[0]
        maker = OURS.match(f"{name} ")
        if maker is None or Path("/proc", maker[1]).exists():
            continue
        # Another test may sweep at the same time.
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=120)
