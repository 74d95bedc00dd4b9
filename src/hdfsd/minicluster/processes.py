"""Adapter. Processes by identity, their memory, and ports nobody listens on (Linux /proc)."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hdfsd.base.errors import ConfigError
from hdfsd.minicluster.topology import HOST, PORT_MAX

PORT_FIRST, PORT_END = 20_000, 32_768
"""Where free ports are sought: Linux gives out 32768 and above to outgoing connections."""
PORT_TRIES_MAX = 200
POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, not to be confused with a later one of the same pid."""

    pid: int
    started_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks since boot."""

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The identity of a running process; None when there is none, or it is a zombie."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        except OSError:
            return None
        # The name in brackets may itself have blanks and brackets.
        fields = text.rpartition(")")[2].split()
        return None if fields[0] == "Z" else cls(pid, int(fields[19]))

    @property
    def is_alive(self) -> bool:
        return ProcessId.of(self.pid) == self

    @property
    def is_stopped(self) -> bool:
        """Frozen by SIGSTOP."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text("utf-8", "replace")
        except OSError:
            return False
        return text.rpartition(")")[2].split()[0] == "T"

    def send(self, number: signal.Signals) -> bool:
        """Signals it; False when it is gone."""
        if not self.is_alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def wait_gone(self, seconds: float) -> bool:
        """Whether it ended within that time."""
        end = time.monotonic() + seconds
        while self.is_alive:
            if time.monotonic() > end:
                return False
            time.sleep(POLL_S)
        return True


def pss_kib(pid: int) -> int | None:
    """Its share of memory, pages shared with others divided among them; None if not readable."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return None


def is_free(port: int) -> bool:
    """Whether one could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def free_ports(count: int) -> list[int]:
    """Consecutive free ports at a random place, so that clusters started together differ."""
    for _ in range(PORT_TRIES_MAX):
        first = random.randrange(PORT_FIRST, PORT_END - count)
        ports = list(range(first, first + count))
        if all(map(is_free, ports)):
            return ports
    raise ConfigError(f"no {count} free ports in a row between {PORT_FIRST} and {PORT_END}")


def require_free(ports: Sequence[int], names: Sequence[str], remedy: str) -> None:
    """Raises ConfigError naming the ports that somebody else has."""
    taken = [f"{port} ({name})" for port, name in zip(ports, names) if not is_free(port)]
    if taken:
        raise ConfigError(f"ports in use: {', '.join(taken)}: {remedy}")


def ports_from(base: int, count: int) -> list[int]:
    """The ports that `--port-base` means. Raises ConfigError."""
    if not 1 <= base <= PORT_MAX - count:
        raise ConfigError(f"--port-base {base}: {count} ports from there do not exist")
    return list(range(base, base + count))
