"""Driver. ClientProtocol of a NameNode: one handler per wire method, each in its part.

A method without a handler is answered with UnsupportedOperationException by the RPC server and
stands as missing in docs/COVERAGE.md.
"""

from __future__ import annotations

from hdfsd.base.settings import ServerDefaults
from hdfsd.namenode.client_admin import ClientAdmin, Keeper
from hdfsd.namenode.client_files import ClientFiles
from hdfsd.namenode.client_names import ClientNames
from hdfsd.namenode.client_reads import ClientReads
from hdfsd.namenode.client_snapshots import ClientSnapshots
from hdfsd.namenode.desk import Desk


class ClientService(ClientReads, ClientNames, ClientFiles, ClientSnapshots, ClientAdmin):
    """org.apache.hadoop.hdfs.protocol.ClientProtocol."""

    def __init__(self, desk: Desk, defaults: ServerDefaults, keeper: Keeper) -> None:
        self._desk = desk
        self._defaults = defaults
        self._keeper = keeper
