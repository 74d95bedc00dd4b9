"""Adapter. `hdfsd dfs`: the shell of the file system (hadoop fs.FsShell)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from hdfsd.base.errors import HdfsdError
from hdfsd.cli.dfs_changing import Chgrp, Chmod, Chown, Mkdir, Mv, Rm, Rmdir, Setrep, Touchz
from hdfsd.cli.dfs_copying import Cp, Get, Put
from hdfsd.cli.dfs_listing import Cat, Count, Df, Du, Ls, Stat, Test
from hdfsd.cli.dfs_snapshots import CreateSnapshot, DeleteSnapshot, RenameSnapshot
from hdfsd.cli.filesystems import FileSystems
from hdfsd.cli.shell import Command, UsageError
from hdfsd.io.site import configuration_of

COMMANDS: Mapping[str, type[Command]] = {
    "cat": Cat,
    "chgrp": Chgrp,
    "chmod": Chmod,
    "chown": Chown,
    "copyFromLocal": Put,
    "copyToLocal": Get,
    "count": Count,
    "cp": Cp,
    "createSnapshot": CreateSnapshot,
    "deleteSnapshot": DeleteSnapshot,
    "df": Df,
    "du": Du,
    "get": Get,
    "ls": Ls,
    "mkdir": Mkdir,
    "mv": Mv,
    "put": Put,
    "renameSnapshot": RenameSnapshot,
    "rm": Rm,
    "rmdir": Rmdir,
    "setrep": Setrep,
    "stat": Stat,
    "test": Test,
    "touchz": Touchz,
}
USAGE_PREFIX = "Usage: hadoop fs [generic options]"
"""Word for word: scripts and tests look for it."""


def main(arguments: Sequence[str]) -> int:
    """0, 1 when a path failed, 255 when the command line is wrong."""
    conf, words = configuration_of(arguments)
    if not words:
        print(_all_usages(), file=sys.stderr)
        return 255
    word = words.pop(0)
    if word in ("-help", "-usage"):
        return _print_usages(words)
    kind = COMMANDS.get(word[1:]) if word.startswith("-") else None
    if kind is None:
        return _unknown(word)
    filesystems = FileSystems(conf)
    try:
        return kind(word[1:], filesystems).run(words)
    except UsageError as error:
        print(f"{word}: {error}\n{USAGE_PREFIX} {word} {kind.USAGE}", file=sys.stderr)
        return 255
    except HdfsdError as error:
        print(f"{word[1:]}: {error}", file=sys.stderr)
        return 1
    finally:
        filesystems.close()


def _unknown(word: str) -> int:
    print(f"{word}: Unknown command", file=sys.stderr)
    if word in COMMANDS:
        print(f"Did you mean -{word}?  This command begins with a dash.", file=sys.stderr)
    print(_all_usages(), file=sys.stderr)
    return 255


def _print_usages(names: Sequence[str]) -> int:
    if not names:
        print(_all_usages())
        return 0
    for name in names:
        if name not in COMMANDS:
            print(f"-usage: `{name}': Unknown command", file=sys.stderr)
            return 255
        print(f"{USAGE_PREFIX} -{name} {COMMANDS[name].USAGE}")
    return 0


def _all_usages() -> str:
    return "\n".join(
        [USAGE_PREFIX, *(f"\t[-{name} {kind.USAGE}]" for name, kind in COMMANDS.items())]
    )
