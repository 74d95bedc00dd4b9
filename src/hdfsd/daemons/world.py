"""Adapter. The real world behind the ports, as one bundle that every daemon is given."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import uvloop

from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.disk import RealDisk
from hdfsd.io.http import RealHttpClient, RealHttpServer
from hdfsd.io.network import TcpNetwork
from hdfsd.ports.clock import Clock
from hdfsd.ports.dice import Dice
from hdfsd.ports.disk import Disk
from hdfsd.ports.http import HttpClient, HttpServer
from hdfsd.ports.network import Network

SWITCH_S = 0.0002
"""After how long the loop's thread makes way for one that comes back from the disk: Python's own
5 ms are far longer than a sync."""


@dataclass(frozen=True, slots=True)
class World:
    """The ports of one process."""

    clock: Clock = field(default_factory=RealClock)
    dice: Dice = field(default_factory=RealDice)
    disk: Disk = field(default_factory=RealDisk)
    network: Network = field(default_factory=TcpNetwork)
    http_server: HttpServer = field(default_factory=RealHttpServer)
    http_client: HttpClient = field(default_factory=RealHttpClient)


def run_daemon(serve: Callable[[], Coroutine[Any, Any, None]]) -> int:
    """Runs a daemon's life on uvloop until SIGTERM or SIGINT; its errors are its caller's."""
    sys.setswitchinterval(SWITCH_S)
    uvloop.run(_until_signalled(serve()))
    return 0


async def _until_signalled(life: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(life)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        pass
