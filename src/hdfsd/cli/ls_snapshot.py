"""Adapter. `hdfsd lsSnapshot`: the snapshots of a directory."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hdfsd.base.errors import HdfsdError
from hdfsd.cli.filesystems import FileSystems, HdfsFileSystem
from hdfsd.cli.shell import absolute, message_of
from hdfsd.cli.snapshots import table
from hdfsd.io.site import configuration_of

USAGE = """Invalid no of arguments
Usage:\x20
hdfs lsSnapshot <snapshotDir>:\x20
\tGet the list of snapshots for a snapshottable directory.
"""


def main(arguments: Sequence[str]) -> int:
    """0, or 1 when it can't be told."""
    conf, words = configuration_of(arguments)
    if len(words) != 1:
        print(USAGE, file=sys.stderr)
        return 1
    filesystems = FileSystems(conf)
    try:
        # The file system is the default one, whatever the path says (AdminHelper.getDFS).
        filesystem = filesystems.of("/")
        if not isinstance(filesystem, HdfsFileSystem):
            raise HdfsdError(f"FileSystem {filesystem.uri} is not an HDFS file system")
        print(table(filesystem.snapshots.of(absolute(filesystem, words[0]))), end="")
    except HdfsdError as error:
        print(f"lsSnapshot: {message_of(error)}", file=sys.stderr)
        return 1
    finally:
        filesystems.close()
    return 0
