"""Adapter. `hdfsd dfsadmin`: what only administrators may (hdfs.tools.DFSAdmin)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hdfsd.base.errors import HdfsdError
from hdfsd.cli.filesystems import FileSystems, HdfsFileSystem
from hdfsd.cli.shell import UsageError, absolute, message_of
from hdfsd.io.site import configuration_of

FAILED = 255
"""Hadoop's -1: for every mistake."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its usage, how many words it takes, what it does, what help says of it."""

    usage: str
    arguments: int
    run: Callable[[FileSystems, Sequence[str]], None]
    help: str


def _allow_snapshot(filesystems: FileSystems, words: Sequence[str]) -> None:
    filesystem, path = _hdfs_path(filesystems, words[0])
    filesystem.snapshots.allow(path)
    print(f"Allowing snapshot on {words[0]} succeeded")


def _disallow_snapshot(filesystems: FileSystems, words: Sequence[str]) -> None:
    filesystem, path = _hdfs_path(filesystems, words[0])
    filesystem.snapshots.disallow(path)
    print(f"Disallowing snapshot on {words[0]} succeeded")


def _hdfs_path(filesystems: FileSystems, text: str) -> tuple[HdfsFileSystem, str]:
    filesystem = filesystems.of(text)
    if not isinstance(filesystem, HdfsFileSystem):
        raise UsageError(f"'{text}' is not an HDFS URI.")
    return filesystem, absolute(filesystem, text)


COMMANDS: Mapping[str, Command] = {
    "-allowSnapshot": Command(
        "<snapshotDir>", 1, _allow_snapshot, "Allow snapshots to be taken on a directory."
    ),
    "-disallowSnapshot": Command(
        "<snapshotDir>",
        1,
        _disallow_snapshot,
        "Do not allow snapshots to be taken on a directory any more.",
    ),
}


def main(arguments: Sequence[str]) -> int:
    """0, or 255."""
    conf, words = configuration_of(arguments)
    if not words:
        print(_usage(), file=sys.stderr)
        return FAILED
    word = words.pop(0)
    if word == "-help":
        return _help(words)
    command = COMMANDS.get(word)
    if command is None:
        print(f"{word[1:]}: Unknown command\n{_usage()}", file=sys.stderr)
        return FAILED
    if len(words) != command.arguments:
        print(_usage_of(word), file=sys.stderr)
        return FAILED
    filesystems = FileSystems(conf)
    try:
        command.run(filesystems, words)
    except UsageError as error:
        print(f"{word[1:]}: {error}\n{_usage_of(word)}", file=sys.stderr)
        return FAILED
    except HdfsdError as error:
        print(f"{word[1:]}: {message_of(error)}", file=sys.stderr)
        return FAILED
    finally:
        filesystems.close()
    return 0


def _help(names: Sequence[str]) -> int:
    wanted = [f"-{name.removeprefix('-')}" for name in names] or list(COMMANDS)
    for word in wanted:
        if word in COMMANDS:
            print(f"{word} {COMMANDS[word].usage}:\n\t{COMMANDS[word].help}\n")
        else:
            print(_usage())
    return 0


def _usage_of(word: str) -> str:
    return f"Usage: hdfs dfsadmin [{word} {COMMANDS[word].usage}]"


def _usage() -> str:
    lines = [f"\t[{word} {command.usage}]" for word, command in COMMANDS.items()]
    return "\n".join(
        [
            "Usage: hdfs dfsadmin",
            "Note: Administrative commands can only be run as the HDFS superuser.",
            *lines,
            "\t[-help [cmd]]",
        ]
    )
