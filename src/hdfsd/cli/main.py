"""Adapter. The `hdfsd` command: which word runs what. Only the module of that word is imported."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version

from hdfsd.base.errors import HdfsdError, InvariantBroken
from hdfsd.io.logs import set_up_logging

Main = Callable[[Sequence[str]], int]

COMMANDS: dict[str, tuple[str, str]] = {
    "namenode": ("hdfsd.daemons.namenode", "run a NameNode, or prepare its directories"),
    "journalnode": ("hdfsd.daemons.journalnode", "run a JournalNode"),
    "datanode": ("hdfsd.daemons.datanode", "run a DataNode"),
    "zkfc": ("hdfsd.daemons.failover", "run a failover controller"),
    "haadmin": ("hdfsd.cli.haadmin", "see and change which NameNode is active"),
    "dfsadmin": ("hdfsd.cli.dfsadmin", "change what only administrators may"),
    "dfs": ("hdfsd.cli.dfs", "list, copy and change files"),
    "getconf": ("hdfsd.cli.getconf", "print values of the configuration"),
    "lsSnapshottableDir": (
        "hdfsd.cli.ls_snapshottable_dir",
        "list the directories that may have snapshots",
    ),
    "lsSnapshot": ("hdfsd.cli.ls_snapshot", "list the snapshots of a directory"),
    "snapshotDiff": ("hdfsd.cli.snapshot_diff", "what changed between two snapshots"),
    "journal": ("hdfsd.cli.journal", "check the journals of a quorum; foretell a recovery"),
    "oev": ("hdfsd.cli.oev", "an edit log as XML, statistics or binary"),
    "cluster": ("hdfsd.cli.cluster", "a whole HA cluster on this machine: up, status, down"),
    "sim": ("hdfsd.cli.sim", "run seeds of the simulator"),
}
"""The word after `hdfsd`, the module whose `main(arguments)` runs it, and what it does."""
DAEMONS = frozenset(("namenode", "journalnode", "datanode", "zkfc"))
"""They log what happens; tools log only what is wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    front = _options_before_the_command(words)
    if not words or words[0] in ("-h", "-help", "--help", "help"):
        print(usage(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 1
    command = words.pop(0)
    if command in ("version", "-version", "--version"):
        print(f"hdfsd {version('hdfsd')}")
        return 0
    if command not in COMMANDS:
        print(f"hdfsd: {command}: unknown command\n{usage()}", file=sys.stderr)
        return 1
    set_up_logging(logging.INFO if command in DAEMONS else logging.WARNING)
    return run(command, [*front, *words])


def run(command: str, arguments: Sequence[str]) -> int:
    """One command by name; errors that the user can mend become one line and exit code 1."""
    module_name = COMMANDS[command][0]
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        print(f"hdfsd {command}: not built (docs/COVERAGE.md)", file=sys.stderr)
        return 1
    try:
        command_main: Main = module.main
        return command_main(arguments)
    except InvariantBroken:
        raise
    except HdfsdError as error:
        print(f"hdfsd {command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130


def usage() -> str:
    """The list of commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {meaning}" for name, (_, meaning) in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: hdfsd [--config DIR] COMMAND [-D key=value] ...",
            "",
            *lines,
            f"  {'version':<{width}}  print the version",
        ]
    )


def _options_before_the_command(words: list[str]) -> list[str]:
    front = []
    while len(words) >= 2 and words[0] == "--config":
        front += [words.pop(0), words.pop(0)]
    return front


if __name__ == "__main__":
    sys.exit(main())
