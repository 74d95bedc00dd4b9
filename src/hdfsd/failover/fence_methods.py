"""Core. What `dfs.ha.fencing.methods` asks for (Hadoop's NodeFencer, ShellCommandFencer).

One method per line, tried in order until one succeeds: `shell(command)`, `sshfence[(user:port)]`.
Commands see every configuration value with underscores for dots, and the node to be fenced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from hdfsd.base.errors import ConfigError
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.failover.ssh_fence import parse_argument

METHODS_KEY = "dfs.ha.fencing.methods"
NOTHING = frozenset({"/bin/true", "/usr/bin/true"})
_METHOD = re.compile(r"([a-zA-Z0-9.$]+)(?:\((.+?)\))?")
_COMMENT = re.compile(r"#.*$")


class MethodKind(Enum):
    SHELL = "shell"
    SSH = "sshfence"


class Subject(Enum):
    """Why a node is fenced; the value is the prefix of its environment variables.

    A controller fences the old active as `target_`; `haadmin -failover` fences both nodes, and
    tells the one that shall be standby as `source_` (HDFS-11865's two-command form).
    """

    TARGET = "target_"
    SOURCE = "source_"


@dataclass(frozen=True, slots=True)
class FenceMethod:
    kind: MethodKind
    argument: str
    """Of shell: the command, or two of them with a comma between; of sshfence: `user:port`."""

    def __str__(self) -> str:
        return f"{self.kind.value}({self.argument})" if self.argument else self.kind.value


def parse_methods(lines: Iterable[str]) -> tuple[FenceMethod, ...]:
    """The methods in their order. Raises ConfigError naming the line that can't be used."""
    stripped = (_COMMENT.sub("", line).strip() for line in lines)
    return tuple(_parse_method(line) for line in stripped if line)


def _parse_method(line: str) -> FenceMethod:
    match = _METHOD.fullmatch(line)
    if match is None:
        raise ConfigError(f"{METHODS_KEY}: can't parse {line!r}: write shell(command) or sshfence")
    name, argument = match[1], match[2] or ""
    if name == "powershell":
        raise ConfigError(f"{METHODS_KEY}: {line!r} runs on Windows only: write shell(command)")
    try:
        kind = MethodKind(name)
    except ValueError:
        raise ConfigError(
            f"{METHODS_KEY}: there is no method {name!r} (Java classes can't be loaded here):"
            " write shell(command) or sshfence"
        ) from None
    if kind is MethodKind.SHELL and not argument:
        raise ConfigError(f"{METHODS_KEY}: {line!r} has no command: write shell(command)")
    if kind is MethodKind.SSH:
        parse_argument(argument)
    return FenceMethod(kind, argument)


def command_for(argument: str, subject: Subject | None) -> str:
    """The command for a node. Raises ConfigError when the two-command form can't be used.

    With a comma there is one command for the node to become active and one for the node to become
    standby; a controller (`subject` None) knows neither (ShellCommandFencer.parseArgs).
    """
    commands = argument.rstrip(",").split(",")  # Java's split leaves empty ends out.
    if len(commands) == 1:
        return commands[0]
    if len(commands) > 2:
        raise ConfigError(f"{METHODS_KEY}: shell({argument}): at most two commands")
    if subject is None:
        raise ConfigError(
            f"{METHODS_KEY}: shell({argument}): two commands are for haadmin -failover only;"
            " put a command with a comma into a script"
        )
    return commands[0] if subject is Subject.TARGET else commands[1]


def is_nothing(command: str) -> bool:
    """Whether a command says that nothing needs to be done; to start a shell for that would only
    prolong the outage."""
    return command.strip() in NOTHING


def environment_for(
    values: Mapping[str, str], namenode: NameNodeAddresses, subject: Subject | None
) -> dict[str, str]:
    """Environment of a fencing command: configuration and node, dots replaced by underscores."""
    address = namenode.for_servers
    prefix = (subject or Subject.TARGET).value
    node = {
        "address": str(address),
        "host": address.host,
        "port": str(address.port),
        "nameserviceid": namenode.nameservice,
        "namenodeid": namenode.node_id,
    }
    # A name with `=` in it can't be one of the environment.
    variables = {k.replace(".", "_"): value for k, value in values.items() if k and "=" not in k}
    return variables | {prefix + key: value for key, value in node.items()}
