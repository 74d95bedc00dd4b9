"""Core. Fencing through SSH: whoever listens on the NameNode's port is killed, else it is shown
that nobody does. Source: Hadoop SshFenceByTcpPort.

One thing is decided otherwise: where `nc` is not installed Hadoop takes its absence for proof that
nobody listens, and the old active may live on. Here it is a failure.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from hdfsd.base.errors import ConfigError
from hdfsd.base.ids import Address

SSH_PORT = 22
PORT_MAX = 65535
_ARGUMENT = re.compile(r"([^:]+?)?(?::(\d+))?")
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""Exit codes of a shell that could not run a command."""


@dataclass(frozen=True, slots=True)
class SshArgument:
    """What stands in `sshfence(user:port)`."""

    user: str
    """"" is the user of this process."""
    port: int


def parse_argument(text: str) -> SshArgument:
    """`""`, `user`, `:port` or `user:port`. Raises ConfigError."""
    match = _ARGUMENT.fullmatch(text)
    if match is None:
        raise ConfigError(f"sshfence({text}): write sshfence, or sshfence(user:port)")
    port = int(match[2] or SSH_PORT)
    if not 0 < port <= PORT_MAX:
        raise ConfigError(f"sshfence({text}): {port} is no port: write one from 1 to {PORT_MAX}")
    return SshArgument(match[1] or "", port)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an exit code means. `fenced` is None when another look is needed."""

    fenced: bool | None
    reason: str


def kill_command(namenode: Address) -> str:
    """Kills the processes that have the port, also where administrators' tools are not in PATH."""
    return f"PATH=$PATH:/sbin:/usr/sbin fuser -v -k -n tcp {namenode.port}"


def after_kill(exit_code: int) -> Verdict:
    if exit_code == 0:
        return Verdict(True, "the process that had the port was killed")
    if exit_code == 1:
        # Nobody there, or somebody whom this user may not see or kill.
        return Verdict(None, "no process was found that could be killed")
    if exit_code == NOT_FOUND:
        return Verdict(False, "there is no fuser on that machine: install psmisc")
    return Verdict(False, f"fuser ended with {exit_code}")


def check_command(namenode: Address) -> str:
    """Whether anybody listens there, as seen from that machine."""
    return f"nc -z {shlex.quote(namenode.host)} {namenode.port}"


def after_check(exit_code: int) -> Verdict:
    if exit_code == 0:
        return Verdict(False, "it still listens, and this user can't kill it")
    if exit_code in (NOT_EXECUTABLE, NOT_FOUND):
        return Verdict(False, "nobody can say whether it listens: there is no nc on that machine")
    if exit_code < 0:
        return Verdict(False, "nobody can say whether it listens: nc did not end by itself")
    return Verdict(True, "nobody listens on the port")
