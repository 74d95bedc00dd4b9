"""Machines of a test: network namespaces around a router, between which links are cut for real.

A packet that is cut is dropped in silence by the router, in one direction or in both: nobody
refuses anything, as when a switch or a whole machine is gone. Needs root and `ip` (iproute2).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

NETWORK = "10.213"


class Machines:
    """Each has the address 10.213.N.2; the router, where the test's own clients run, 10.213.N.1."""

    def __init__(self, root: Path, *names: str) -> None:
        self.root = root
        self.hosts = {name: f"{NETWORK}.{number}.2" for number, name in enumerate(names, 1)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._router = f"hdfsd{os.getpid()}"
        self._made: list[str] = []
        self._rules: list[list[str]] = []

    def make(self) -> None:
        """Raises CalledProcessError where it may not be done."""
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
            ["ip", "netns", "exec", space, *command], check=True, capture_output=True, timeout=30
        )

    def on(self, name: str | None, command: list[str]) -> list[str]:
        """The command as it runs on a machine; None: on the router."""
        space = self._router if name is None else self._space(name)
        return ["ip", "netns", "exec", space, *command]

    def spawn(
        self, process: str, machine: str, command: list[str], environment: Mapping[str, str]
    ) -> None:
        with (self.root / f"{process}.log").open("ab") as log:
            self.processes[process] = subprocess.Popen(
                self.on(machine, command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **environment},
            )

    # Cuts.

    def cut(self, one: str, *others: str, back: bool = True) -> None:
        """Drops what goes from one machine to others, and what comes back unless `back` is
        False."""
        for other in others:
            self._drop(one, other)
            if back:
                self._drop(other, one)

    def _drop(self, source: str, target: str) -> None:
        self._rule("from", self.hosts[source], "to", self.hosts[target])

    def _rule(self, *selector: str) -> None:
        rule = [*selector, "blackhole"]
        self._ip(self._router, "rule", "add", *rule)
        self._rules.append(rule)

    def unplug(self, name: str) -> None:
        """The machine is gone for everybody, the test's clients too."""
        self._rule("from", self.hosts[name])
        self._rule("to", self.hosts[name])

    def heal(self) -> None:
        while self._rules:
            self._ip(self._router, "rule", "del", *self._rules.pop())

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        for space in reversed(self._made):
            _ip("netns", "del", space)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)
