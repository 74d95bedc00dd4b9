"""Adapter. `hdfsd lsSnapshottableDir`: the directories of which snapshots can be made."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hdfsd.base.errors import HdfsdError
from hdfsd.cli.filesystems import FileSystems, HdfsFileSystem
from hdfsd.cli.shell import message_of
from hdfsd.cli.snapshots import table
from hdfsd.io.site import configuration_of

USAGE = """Usage:\x20
hdfs lsSnapshottableDir:\x20
\tGet the list of snapshottable directories that are owned by the current user.
\tReturn all the snapshottable directories if the current user is a super user.
"""


def main(arguments: Sequence[str]) -> int:
    """0, or 1 when it can't be told."""
    conf, words = configuration_of(arguments)
    if words:
        print(USAGE, file=sys.stderr)
        return 1
    filesystems = FileSystems(conf)
    try:
        filesystem = filesystems.of("/")
        if not isinstance(filesystem, HdfsFileSystem):
            print("LsSnapshottableDir can only be used in DistributedFileSystem", file=sys.stderr)
            return 1
        print(table(filesystem.snapshots.directories()), end="")
    except HdfsdError as error:
        print(f"lsSnapshottableDir: {message_of(error)}", file=sys.stderr)
        return 1
    finally:
        filesystems.close()
    return 0
