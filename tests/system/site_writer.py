"""Adapter. A client of a site that writes call after call, and says who acknowledged and when."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

from ha_site import NAMENODE_PORT, HaSite

WRITER = """
import asyncio, itertools, os, sys
from time import monotonic
from hdfsd.base.errors import HdfsdError
from hdfsd.base.ids import Address
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import acl, client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL

async def write(addresses):
    clients = itertools.cycle([
        RpcClient(TcpNetwork(), Address.parse(a), CLIENT_PROTOCOL, user="root", dice=RealDice())
        for a in addresses])
    client = next(clients)
    for number in itertools.count():
        request = client_namenode.MkdirsRequestProto(
            src=f"/w{os.getpid()}/{number}", masked=acl.FsPermissionProto(perm=0o755),
            createParent=True)
        try:
            await client.call("mkdirs", request, deadline_ms=1000)
            print(f"{client.address.host} {monotonic()}", flush=True)
        except HdfsdError:
            client = next(clients)
        await asyncio.sleep(0.01)

asyncio.run(write(sys.argv[1:]))
"""
"""Says who acknowledged, and when; goes from one NameNode to the other at every error."""


def writer_of(site: HaSite) -> Writer:
    """On the router, as it sees both NameNodes."""
    addresses = [f"{site.machines.hosts[name]}:{NAMENODE_PORT}" for name in site.namenodes]
    command = [sys.executable, "-c", WRITER, *addresses]
    names = {host: name for name, host in site.machines.hosts.items()}
    return Writer(site.machines.on(None, command), names)


class Writer:
    """Acknowledged writes, as they come."""

    def __init__(self, command: list[str], names: dict[str, str]) -> None:
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._names = names
        self.acknowledged: list[tuple[str, float]] = []

    def next(self) -> tuple[str, float]:
        """By which NameNode, and when."""
        assert self._process.stdout is not None
        host, when = self._process.stdout.readline().split()
        self.acknowledged.append((self._names[host], float(when)))
        return self.acknowledged[-1]

    def until_acknowledged_by(self, name: str, count: int = 20) -> None:
        while count:
            count -= self.next()[0] == name

    def outage_s(self) -> float:
        """The longest time without an acknowledgement."""
        times = [when for _, when in self.acknowledged]
        return max(after - before for before, after in pairwise(times))

    def changes(self) -> list[str]:
        """Who acknowledged, each time that it was another one."""
        found: list[str] = []
        for name, _ in self.acknowledged:
            if found[-1:] != [name]:
                found.append(name)
        return found

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
