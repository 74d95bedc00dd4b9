"""Data. Commands on another machine through SSH: what fencing needs of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from hdfsd.ports.shell import ShellResult


@dataclass(frozen=True, slots=True)
class SshTarget:
    host: str
    port: int
    user: str
    """"" is the user of this process."""


class SshSession(Protocol):
    async def run(self, command: str, *, deadline_ms: int) -> ShellResult:
        """Exit code -1: it ended by a signal, or was late and told to end. Raises OutcomeUnknown
        when the link is lost: the command may have run."""
        ...

    async def close(self) -> None: ...


class Ssh(Protocol):
    async def connect(
        self, target: SshTarget, *, key_files: Sequence[str], deadline_ms: int
    ) -> SshSession:
        """Logs in with one of the private keys. Raises ConfigError when no key can be used, and
        ConnectFailed when the machine can't be reached or lets nobody in by them."""
        ...
