"""Adapter. `hdfsd snapshotDiff`: what changed between two snapshots, or since one."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hdfsd.base.errors import HdfsdError
from hdfsd.cli.filesystems import FileSystems, HdfsFileSystem
from hdfsd.cli.shell import absolute, message_of
from hdfsd.client.snapshot_diff import text
from hdfsd.io.site import configuration_of

USAGE = """Usage:\x20
hdfs snapshotDiff <snapshotDir> <from> <to>:
\tGet the difference between two snapshots,\x20
\tor between a snapshot and the current tree of a directory.
\tFor <from>/<to>, users can use "." to present the current status,
\tand use ".snapshot/snapshot_name" to present a snapshot,
\twhere ".snapshot/" can be omitted
"""
PREFIXES = (".snapshot/", "/.snapshot/")


def main(arguments: Sequence[str]) -> int:
    """0, or 1 when it can't be told."""
    conf, words = configuration_of(arguments)
    if len(words) != 3:
        print(USAGE, file=sys.stderr)
        return 1
    directory, start, end = words[0], snapshot_name(words[1]), snapshot_name(words[2])
    filesystems = FileSystems(conf)
    try:
        filesystem = filesystems.of(directory)
        if not isinstance(filesystem, HdfsFileSystem):
            print("SnapshotDiff can only be used in DistributedFileSystem", file=sys.stderr)
            return 1
        path = absolute(filesystem, directory)
        # The report ends its last line, and println adds one.
        print(text(path, start, end, filesystem.snapshots.difference(path, start, end)))
    except HdfsdError as error:
        print(f"snapshotDiff: {message_of(error)}", file=sys.stderr)
        return 1
    finally:
        filesystems.close()
    return 0


def snapshot_name(word: str) -> str:
    """The name of a snapshot as typed; "" for `.`, the current state."""
    if word == ".":
        return ""
    for prefix in PREFIXES:
        if word.startswith(prefix):
            return word.removeprefix(prefix)
    return word
