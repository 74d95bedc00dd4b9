"""Processes by identity, memory, ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from hdfsd.base.errors import ConfigError
from hdfsd.minicluster.processes import (
    ProcessId,
    free_ports,
    is_free,
    is_listening,
    ports_from,
    pss_kib,
    require_free,
)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_more_than_its_pid(sleeper: subprocess.Popen[bytes]) -> None:
    found = ProcessId.of(sleeper.pid)
    assert found is not None
    assert found.is_alive
    assert not ProcessId(found.pid, found.started_ticks - 1).is_alive
    assert not ProcessId(found.pid, found.started_ticks - 1).send(signal.SIGKILL)
    assert found.is_alive


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    found = ProcessId.of(sleeper.pid)
    assert found is not None
    assert found.send(signal.SIGKILL)
    assert found.wait_gone(10)
    assert ProcessId.of(sleeper.pid) is None
    assert not found.send(signal.SIGTERM)


def test_a_frozen_one_is_told(sleeper: subprocess.Popen[bytes]) -> None:
    found = ProcessId.of(sleeper.pid)
    assert found is not None
    assert not found.is_stopped
    found.send(signal.SIGSTOP)
    os.waitpid(sleeper.pid, os.WUNTRACED)
    assert found.is_stopped
    assert found.is_alive
    assert not found.wait_gone(0.01)


def test_memory() -> None:
    own = pss_kib(os.getpid())
    assert own is not None
    assert own > 1000
    assert pss_kib(2**22 - 1) is None


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_listening(port)
        assert not is_free(port)
        with pytest.raises(ConfigError, match=rf"ports in use: {port} \(nn1 rpc\): do this"):
            require_free([port], ["nn1 rpc"], "do this")
    assert is_free(port)
    assert not is_listening(port)
    require_free([port], ["nn1 rpc"], "do this")


def test_free_ports_are_below_those_of_outgoing_connections() -> None:
    ports = free_ports(21)
    assert ports == list(range(ports[0], ports[0] + 21))
    assert ports[0] >= 20_000
    assert ports[-1] < 32_768


def test_a_port_base() -> None:
    assert ports_from(25_000, 3) == [25_000, 25_001, 25_002]
    for base in (0, -5, 65_535):
        with pytest.raises(ConfigError, match="do not exist"):
            ports_from(base, 3)
