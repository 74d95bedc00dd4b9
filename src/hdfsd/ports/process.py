"""Data. The ports of one process as one bundle: what the wiring of every daemon is given.

`daemons.world.World` is the real one, `sim.world.Process` the simulated one.
"""

from __future__ import annotations

from typing import Protocol

from hdfsd.ports.clock import Clock
from hdfsd.ports.dice import Dice
from hdfsd.ports.disk import Disk
from hdfsd.ports.http import HttpClient, HttpServer
from hdfsd.ports.network import Network


class ProcessPorts(Protocol):
    @property
    def clock(self) -> Clock: ...

    @property
    def dice(self) -> Dice: ...

    @property
    def disk(self) -> Disk: ...

    @property
    def network(self) -> Network: ...

    @property
    def http_server(self) -> HttpServer: ...

    @property
    def http_client(self) -> HttpClient: ...
