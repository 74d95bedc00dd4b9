"""A user database that does not answer: whose groups it does not tell waits, and nobody else.

The NameNode has an /etc/group of its own (a mount namespace), which nobody can open as long as a
lease is held on it: a lookup waits there as it does for a directory of the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hadoop import free_ports

from hdfsd.base.errors import AccessControl, ConnectFailed
from hdfsd.base.ids import Address
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.rpc.client import RpcClient
from hdfsd.wire.messages import Message, acl, client_namenode
from hdfsd.wire.services import CLIENT_PROTOCOL

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

HOST = "127.0.0.1"
USER, GROUP = "daemon", "operators"
"""A user of every machine, and what the database says of it."""
WAIT_MS = 120_000
CALLS = 50


class NameNode:
    """One without HA, with root as its superuser."""

    def __init__(self, root: Path) -> None:
        (rpc, http) = free_ports(2)
        self.address = Address(HOST, rpc)
        self.groups = root / "group"
        self.groups.write_text(f"root:x:0:\ndaemon:x:1:\n{GROUP}:x:4711:{USER}\n")
        keys = {
            "fs.defaultFS": f"hdfs://{self.address}",
            "dfs.namenode.http-address": f"{HOST}:{http}",
            "dfs.namenode.name.dir": f"file://{root}/name",
        }
        rows = "".join(
            f"<property><name>{key}</name><value>{value}</value></property>"
            for key, value in keys.items()
        )
        (root / "core-site.xml").write_text(f"<configuration>{rows}</configuration>")
        self._hdfsd = [sys.executable, "-m", "hdfsd.cli.main"]
        self._environment = {**os.environ, "HADOOP_CONF_DIR": str(root)}
        subprocess.run(
            [*self._hdfsd, "namenode", "-format", "-nonInteractive"],
            check=True,
            capture_output=True,
            timeout=WAIT_MS / 1000,
            env=self._environment,
        )

    def start(self) -> subprocess.Popen[bytes]:
        mount = f'mount --bind {self.groups} /etc/group && exec "$@"'
        unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]
        return subprocess.Popen(
            [*unshare, *self._hdfsd, "namenode"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        )


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Whoever opens the file waits until this ends, or the kernel's patience (45 s by default)."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # It says that somebody waits.
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


@pytest.fixture
def namenode(tmp_path: Path, network_namespaces: None) -> Iterator[NameNode]:
    made = NameNode(tmp_path)
    process = made.start()
    try:
        yield made
    finally:
        process.kill()
        process.wait()


def client_of(namenode: NameNode, user: str) -> RpcClient:
    return RpcClient(TcpNetwork(), namenode.address, CLIENT_PROTOCOL, user=user, dice=RealDice())


async def until_up(client: RpcClient) -> None:
    async with asyncio.timeout(WAIT_MS / 1000):
        while True:
            try:
                await client.connect(deadline_ms=WAIT_MS)
                return
            except ConnectFailed:
                await asyncio.sleep(0.1)


def mkdirs(path: str, mode: int) -> Message:
    permission = acl.FsPermissionProto(perm=mode)
    return client_namenode.MkdirsRequestProto(src=path, masked=permission, createParent=True)


async def wait_while_others_go_on(namenode: NameNode) -> None:
    root, other = client_of(namenode, "root"), client_of(namenode, USER)
    await until_up(root)
    await root.call("mkdirs", mkdirs("/ops", 0o770), deadline_ms=WAIT_MS)
    await root.call(
        "setOwner",
        client_namenode.SetOwnerRequestProto(src="/ops", groupname=GROUP),
        deadline_ms=WAIT_MS,
    )
    with held(namenode.groups):
        waiting = other.send("mkdirs", mkdirs("/ops/a", 0o700), deadline_ms=WAIT_MS)
        for number in range(CALLS):
            await root.call("mkdirs", mkdirs(f"/ops/{number}", 0o700), deadline_ms=WAIT_MS)
        assert not waiting.done(), "nobody knows its groups yet"
    assert (await waiting).result, "it may write there as one of the group"
    with pytest.raises(AccessControl):
        await other.call("mkdirs", mkdirs("/elsewhere", 0o700), deadline_ms=WAIT_MS)
    await root.close()
    await other.close()


def test_who_is_not_known_waits_for_it_alone(namenode: NameNode) -> None:
    asyncio.run(wait_while_others_go_on(namenode))
