"""sshfence against a real OpenSSH server on loopback, with a configuration of its own."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from controller_pair import started
from hadoop import free_ports

from hdfsd.base.errors import ConfigError, ConnectFailed
from hdfsd.base.ids import Address
from hdfsd.base.nameservices import NameNodeAddresses
from hdfsd.failover.calls import RequestSource, RpcLinks
from hdfsd.failover.fence_methods import parse_methods
from hdfsd.failover.fencing import Fencer, FencingFailed, FencingPlan, Means
from hdfsd.io.clock import RealClock
from hdfsd.io.dice import RealDice
from hdfsd.io.network import TcpNetwork
from hdfsd.io.shell import RealShell
from hdfsd.io.ssh import RealSsh
from hdfsd.ports.shell import OUTPUT_BYTES_MAX, ShellResult
from hdfsd.ports.ssh import SshTarget

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

HOST = "127.0.0.1"
LISTENER = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listens", flush=True)
time.sleep(600)
"""
"""A process that has a port, as a NameNode has."""


@dataclass(slots=True)
class SshServer:
    root: Path
    port: int
    process: subprocess.Popen[bytes]
    keys: dict[str, Path] = field(default_factory=dict)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


def make_key(path: Path, passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


@pytest.fixture(scope="module")
def sshd(
    tmp_path_factory: pytest.TempPathFactory, need_program: Callable[[str, str], str]
) -> Iterator[SshServer]:
    program = need_program("sshd", "openssh-server")
    for command, package in (("fuser", "psmisc"), ("nc", "netcat-openbsd")):
        need_program(command, package)
    root = tmp_path_factory.mktemp("sshd")
    root.chmod(0o700)
    keys = {name: make_key(root / name) for name in ("friend", "stranger")}
    keys["locked"] = make_key(root / "locked", "a passphrase")
    authorized = root / "authorized_keys"
    authorized.write_text(keys["friend"].with_suffix(".pub").read_text())
    (port,) = free_ports(1)
    config = root / "sshd_config"
    config.write_text(
        f"ListenAddress {HOST}:{port}\nHostKey {make_key(root / 'host')}\nPidFile none\n"
        f"AuthorizedKeysFile {authorized}\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPubkeyAuthentication yes\n"
        "PermitRootLogin yes\nSetEnv PATH=" + f"{root}/bin:/usr/bin:/bin\n"
    )
    if os.geteuid() == 0:
        # Where sshd drops its privileges to, when it has any.
        Path("/run/sshd").mkdir(exist_ok=True)
    with (root / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stderr=log)
    try:
        wait_until_listening(port, root / "log")
        yield SshServer(root, port, process, keys)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def wait_until_listening(port: int, log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((HOST, port), 1).close()
            return
        except OSError:
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)


@dataclass(slots=True)
class Victim:
    """A process that listens, and will not become standby however it is asked."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def addresses(self) -> NameNodeAddresses:
        return NameNodeAddresses(
            nameservice="ns1",
            node_id="nn1",
            rpc=Address(HOST, self.port),
            service_rpc=None,
            lifeline_rpc=None,
            http=Address(HOST, 1),
            zkfc=Address(HOST, 1),
        )

    def is_killed(self) -> bool:
        return self.process.wait(30) == -signal.SIGKILL


@pytest.fixture
def victim() -> Iterator[Victim]:
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-c", LISTENER, str(port)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"listens\n"
    try:
        yield Victim(port, process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def fence(
    sshd: SshServer,
    victim: Victim,
    *,
    keys: Sequence[str] = ("friend",),
    method: str = "",
    connect_ms: int = 20_000,
    timeout_ms: int = 30_000,
) -> str:
    """Fences it as a controller would."""
    plan = FencingPlan(
        methods=parse_methods([method or f"sshfence({getpass.getuser()}:{sshd.port})"]),
        environment={},
        graceful_timeout_ms=300,
        connect_ms=200,
        timeout_ms=timeout_ms,
        ssh_connect_timeout_ms=connect_ms,
        ssh_key_files=[str(sshd.keys.get(name, name)) for name in keys],
    )
    links = RpcLinks(TcpNetwork(), RealDice(), "hdfs")
    means = Means(links, RealShell(), RealClock(), RealSsh())
    return asyncio.run(Fencer(plan, means, RequestSource.CONTROLLER).fence(victim.addresses))


def test_whoever_listens_on_the_port_is_killed(sshd: SshServer, victim: Victim) -> None:
    said = fence(sshd, victim)
    assert said == (
        f"NameNode at {HOST}:{victim.port} fenced by sshfence({getpass.getuser()}:{sshd.port})"
    )
    assert victim.is_killed()


def test_nobody_listens_and_that_is_shown(sshd: SshServer, victim: Victim) -> None:
    victim.process.kill()
    victim.process.wait()
    assert "fenced by sshfence" in fence(sshd, victim)


def test_a_frozen_one_is_killed_too(sshd: SshServer, victim: Victim) -> None:
    victim.process.send_signal(signal.SIGSTOP)
    assert "fenced by sshfence" in fence(sshd, victim)
    assert victim.is_killed()


def test_the_user_of_this_process_is_the_default(sshd: SshServer, victim: Victim) -> None:
    assert "fenced by sshfence" in fence(sshd, victim, method=f"sshfence(:{sshd.port})")
    assert victim.is_killed()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ((), "private-key-files is not set"),
        (("/no/such/key",), r"/no/such/key can't be read: No such file or directory"),
        (("locked",), "locked has a passphrase, and nobody is here to type it"),
        (("/etc/passwd",), "/etc/passwd is no private key"),
        (("/no/such/key", "locked"), "can't be read: .*; .*locked has a passphrase"),
        (("stranger",), "none of the keys of dfs.ha.fencing.ssh.private-key-files is let in"),
    ],
)
def test_without_a_key_nobody_is_fenced(
    sshd: SshServer, victim: Victim, keys: tuple[str, ...], said: str
) -> None:
    with pytest.raises(FencingFailed, match=said):
        fence(sshd, victim, keys=keys)
    assert victim.process.poll() is None, "it lives on, and nobody takes over"


def test_one_key_that_is_let_in_is_enough(sshd: SshServer, victim: Victim) -> None:
    assert "fenced by" in fence(sshd, victim, keys=("/no/such/key", "locked", "stranger", "friend"))
    assert victim.is_killed()


def test_no_server_at_all(sshd: SshServer, victim: Victim) -> None:
    (port,) = free_ports(1)
    with pytest.raises(FencingFailed, match=rf"x@{HOST}:{port}: no ssh session: .*Errno 111"):
        fence(sshd, victim, method=f"sshfence(x:{port})")
    assert victim.process.poll() is None


def test_a_server_that_does_not_answer_ends_at_the_deadline(
    sshd: SshServer, victim: Victim
) -> None:
    sshd.signal(signal.SIGSTOP)
    try:
        with pytest.raises(FencingFailed, match="no ssh session in 700 ms"):
            fence(sshd, victim, connect_ms=700)
    finally:
        sshd.signal(signal.SIGCONT)
    assert victim.process.poll() is None


@pytest.fixture
def tools(sshd: SshServer) -> Iterator[Path]:
    """Programs put here are found before the system's by those who log in."""
    directory = sshd.root / "bin"
    directory.mkdir()
    try:
        yield directory
    finally:
        for program in directory.iterdir():
            program.unlink()
        directory.rmdir()


def put(directory: Path, name: str, script: str) -> None:
    program = directory / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_process_that_may_not_be_killed_is_not_fenced(
    sshd: SshServer, victim: Victim, tools: Path
) -> None:
    # What fuser answers to a user who may not see the process of another one.
    put(tools, "fuser", "exit 1")
    with pytest.raises(FencingFailed, match="it still listens, and this user can't kill it"):
        fence(sshd, victim)
    assert victim.process.poll() is None


def test_a_machine_without_nc_proves_nothing(sshd: SshServer, victim: Victim, tools: Path) -> None:
    put(tools, "fuser", "exit 1")
    put(tools, "nc", "exit 127")
    with pytest.raises(FencingFailed, match="there is no nc on that machine"):
        fence(sshd, victim)


def test_a_command_that_hangs_is_given_up(sshd: SshServer, victim: Victim, tools: Path) -> None:
    put(tools, "fuser", f"echo $$ > {sshd.root}/pid; echo begun; exec sleep 600")
    try:
        with pytest.raises(FencingFailed, match="fuser ended with -1: begun"):
            fence(sshd, victim, timeout_ms=5000)
    finally:
        # An OpenSSH server whose user is root passes no signals on.
        with suppress(ProcessLookupError):
            os.kill(int((sshd.root / "pid").read_text()), signal.SIGKILL)


def test_output_is_bounded_and_its_writer_not_held_up(sshd: SshServer) -> None:
    async def story() -> ShellResult:
        session = await RealSsh().connect(
            SshTarget(HOST, sshd.port, ""), key_files=[str(sshd.keys["friend"])], deadline_ms=20_000
        )
        try:
            command = "head -c 3000000 /dev/zero | tr '\\0' x; echo end >&2; exit 3"
            return await session.run(command, deadline_ms=30_000)
        finally:
            await session.close()

    result = asyncio.run(story())
    assert (result.exit_code, result.output) == (3, "x" * OUTPUT_BYTES_MAX)


def test_what_goes_wrong_is_told_apart(sshd: SshServer) -> None:
    """A key that can't be used is the configuration's fault, a closed door is the link's."""

    async def connect(key: str) -> None:
        await RealSsh().connect(SshTarget(HOST, sshd.port, ""), key_files=[key], deadline_ms=20_000)

    with pytest.raises(ConfigError):
        asyncio.run(connect(str(sshd.keys["locked"])))
    with pytest.raises(ConnectFailed):
        asyncio.run(connect(str(sshd.keys["stranger"])))


def test_a_frozen_namenode_is_replaced_by_way_of_ssh(sshd: SshServer, tmp_path: Path) -> None:
    """Controllers as processes; the frozen one does not wake up as a second active."""
    changes = {
        "dfs__ha__fencing__methods": f"sshfence({getpass.getuser()}:{sshd.port})",
        "dfs__ha__fencing__ssh__private-key-files": str(sshd.keys["friend"]),
    }
    with started(tmp_path, **changes) as pair:
        pair.send("nn1", signal.SIGSTOP)
        pair.until_state("nn2", "active")
        assert pair.processes.pop("nn1").wait(30) == -signal.SIGKILL
        steps = pair.explain()["failovers"][-1]["steps"]
        fencing = {s["step"]: s["detail"] for s in steps if s["step"].startswith("fencing of")}
        asked, by_ssh = fencing.values()
        assert asked.startswith("it did not work: ")
        assert by_ssh.startswith("done: the process that had the port was killed")
