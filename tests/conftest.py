"""Adapter. What tests share: clusters, a ZooKeeper, Hadoop's jars; and what CI insists on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
ZOOKEEPER_ENV = Path("/usr/share/zookeeper/bin/zkEnv.sh")
NETTY_CODEC = "/usr/share/java/netty-codec.jar"
"""What Debian's ZooKeeper needs for TLS and does not name."""
ZOOKEEPER_MAIN = "org.apache.zookeeper.server.ZooKeeperServerMain"

# The same examples every time, and no deadline on a machine that is shared.
hypothesis.settings.register_profile("hdfsd", derandomize=True, deadline=None, max_examples=60)
hypothesis.settings.load_profile("hdfsd")


def missing(what: str) -> None:
    """Skips the test, or fails it where everything must be there (CI=true)."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and CI=true lets nothing be skipped")
    pytest.skip(what)


@pytest.fixture(scope="session")
def need_program() -> Callable[[str, str], str]:
    """The path of a program that a Debian package brings."""

    def need(command: str, package: str) -> str:
        found = shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if found is None:
            missing(f"no {command}: apt-get install {package}")
        assert found is not None
        return found

    return need


@pytest.fixture(scope="session")
def network_namespaces(need_program: Callable[[str, str], str]) -> None:
    """Machines of a test may be made (tests/system/machines)."""
    need_program("ip", "iproute2")
    name = f"hdfsd{os.getpid()}probe"
    if subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode:
        missing("no network namespaces: who runs this may not make them")
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture(scope="session")
def hadoop_lib() -> Path:
    """The directory of Apache Hadoop's jars."""
    import hadoop

    found = hadoop.jars()
    if found is None:
        missing("no Hadoop jars or no Java: make interop installs both")
    assert found is not None
    return found


@dataclass(slots=True)
class ZooKeeper:
    """A real ZooKeeper server of this machine."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def quorum(self) -> str:
        return f"{HOST}:{self.port}"

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT let sessions expire."""
        self.process.send_signal(number)


@pytest.fixture(scope="session")
def zookeeper_command() -> list[str]:
    """What starts a server; it wants a configuration file, or port, directory and tick time."""
    class_path = _zookeeper_class_path()
    if class_path is None or shutil.which("java") is None:
        missing("no ZooKeeper server: apt-get install zookeeper")
    command = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-Dzookeeper.admin.enableServer=false"]
    return [*command, "-cp", f"{class_path}", ZOOKEEPER_MAIN]


@pytest.fixture(scope="module")
def zookeeper(
    tmp_path_factory: pytest.TempPathFactory, zookeeper_command: list[str]
) -> Iterator[ZooKeeper]:
    """Debian's ZooKeeper on a free port, empty."""
    directory = tmp_path_factory.mktemp("zookeeper")
    port = free_port()
    # tick time 500 ms: sessions may be as short as 1 s.
    command = [*zookeeper_command, str(port), str(directory), "500"]
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for_zookeeper(port)
        yield ZooKeeper(port, process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait(30)


def _zookeeper_class_path() -> str | None:
    """What Debian's own start script would use; else the jars of Hadoop, which bring it too."""
    if ZOOKEEPER_ENV.exists():
        script = f'ZOOCFGDIR=/etc/zookeeper/conf; . {ZOOKEEPER_ENV}; echo "$CLASSPATH"'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        if done.stdout.strip():
            return f"{done.stdout.strip()}:{NETTY_CODEC}"
    import hadoop

    lib = hadoop.jars()
    return None if lib is None else f"{lib}/*"


def free_port() -> int:
    """A port below those of outgoing connections."""
    import hadoop

    return hadoop.free_ports(1)[0]


def wait_for_zookeeper(port: int, seconds: float = 60) -> None:
    """Until it serves sessions: it listens earlier, and hangs up on whoever comes then."""
    end = time.monotonic() + seconds
    while True:
        answer = b""
        with suppress(OSError), socket.create_connection((HOST, port), timeout=5) as probe:
            probe.sendall(b"srvr")
            while data := probe.recv(4096):
                answer += data
        if b"Mode: " in answer:
            return
        assert time.monotonic() < end, f"no ZooKeeper on {port} after {seconds} s: {answer!r}"
        time.sleep(0.05)


@dataclass(slots=True)
class MiniCluster:
    """A cluster that `hdfsd cluster up` started, used as a user would."""

    directory: Path

    @property
    def conf_dir(self) -> Path:
        return self.directory / "conf"

    def hdfsd(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Our command line as a client of this cluster."""
        return run_hdfsd("--config", str(self.conf_dir), *arguments, stdin=stdin)

    def command(
        self, verb: str, *options: str, directory: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """`hdfsd cluster` with a verb, on this directory or another one."""
        return run_hdfsd("cluster", verb, "--dir", str(directory or self.directory), *options)

    def up(self, *options: str) -> None:
        """Starts it, or starts it again."""
        done = self.command("up", *options)
        assert done.returncode == 0, done.stderr.decode() + self.last_logs()

    def down(self) -> None:
        done = self.command("down")
        assert done.returncode == 0, done.stderr.decode()

    def status(self) -> list[dict[str, Any]]:
        """The rows of `hdfsd cluster status --json`."""
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr.decode()
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def row(self, daemon_id: str) -> dict[str, Any]:
        return next(row for row in self.status() if row["id"] == daemon_id)

    def in_state(self, state: str) -> list[dict[str, Any]]:
        """The NameNodes in an HA state."""
        return [r for r in self.status() if r["role"] == "namenode" and r["state"] == state]

    def wait_for_active(self, seconds: float = 30) -> dict[str, Any]:
        """The active NameNode, once there is exactly one."""
        end = time.monotonic() + seconds
        while True:
            found = self.in_state("active")
            if len(found) == 1:
                return found[0]
            assert time.monotonic() < end, f"{found} active after {seconds} s" + self.last_logs()
            time.sleep(0.05)

    def signal(self, daemon_id: str, number: signal.Signals) -> None:
        """Kills, freezes (SIGSTOP) or thaws (SIGCONT) one daemon."""
        os.kill(self.row(daemon_id)["pid"], number)

    def hold(self, daemon_id: str) -> None:
        """Once it ends, it is not started again until `release`."""
        (self.directory / "held" / daemon_id).touch()

    def release(self, daemon_id: str) -> None:
        (self.directory / "held" / daemon_id).unlink(missing_ok=True)

    def last_logs(self) -> str:
        """The ends of all logs, for a failed assertion."""
        parts = []
        for path in sorted((self.directory / "logs").glob("*.log")):
            text = path.read_text("utf-8", "replace")
            parts.append(f"\n--- {path.name}\n{text[-1500:]}")
        return "".join(parts)


def run_hdfsd(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The hdfsd of this checkout, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "hdfsd.cli.main", *arguments],
        input=stdin,
        capture_output=True,
        timeout=180,
        check=False,
    )


@pytest.fixture(scope="module")
def start_cluster(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., MiniCluster]]:
    """Starts clusters with options of `hdfsd cluster up`; all are stopped with the module."""
    made: list[MiniCluster] = []

    def start(*options: str) -> MiniCluster:
        cluster = MiniCluster(tmp_path_factory.mktemp("cluster"))
        made.append(cluster)
        cluster.up(*options)
        return cluster

    yield start
    for cluster in made:
        cluster.command("down")


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., MiniCluster]) -> MiniCluster:
    """One ordinary cluster for the tests of a module."""
    return start_cluster()
