"""Adapter. The cluster that is broken: three machines of each kind, watched over, and its clients.

Machine k has a NameNode with its controller, a JournalNode and a DataNode. Each of the three has a
network namespace of its own, so that each can be cut alone; what strikes the machine strikes all.
Whatever ends is started again after a second, as an operator's supervisor would, unless the nemesis
holds it down.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ha_site import HaSite
from histories import Operation, operations_of
from stints import Reign, Stint, stints_of

NUMBERS = (1, 2, 3)
CLIENTS = ("clients1", "clients2")
WRITERS = (
    ("writer", "own"),
    ("writer", "native"),
    ("namer", "own"),
    ("writer", "native"),
    ("namer", "own"),
)
READERS = tuple(("reader", kind) for kind in ("own", "native", "own", "native", "own"))
"""What each does, and by which kind of client."""
RESTART_S = 1.0
SILENT_S = 40.0
"""A client that says nothing for so long is killed and replaced: hdfs-native waits for ever."""
ACKNOWLEDGED = b'"outcome": "ok"'
WORKER = Path(__file__).with_name("worker.py")
PLANTED_DAEMON = Path(__file__).with_name("planted_daemon.py")
VOLUME_BYTES = 1 << 20
MOUNT = f'mount -t tmpfs -o size={VOLUME_BYTES} hdfsd "$0" && exec "$@"'
SETTINGS = {
    # Long enough for a machine that is busy, short enough for rounds of seconds.
    "ha.zookeeper.session-timeout.ms": "4000",
    "ha.health-monitor.rpc-timeout.ms": "2000",
    "ha.failover-controller.graceful-fence.rpc-timeout.ms": "2000",
    "dfs.qjournal.write-txns.timeout.ms": "5000",
    "dfs.replication": "3",
    "dfs.heartbeat.interval": "1s",
    "dfs.namenode.heartbeat.recheck-interval": "2000",
    "dfs.namenode.stale.datanode.interval": "3000",
    "dfs.namenode.redundancy.interval.seconds": "1s",
    "dfs.namenode.redundancy.considerLoad": "false",
    "dfs.namenode.safemode.extension": "0",
    "dfs.namenode.fs-limits.min-block-size": "0",
    "dfs.namenode.datanode.registration.ip-hostname-check": "false",
    "dfs.namenode.resource.check.interval": "500",
    # The directory of the edits, and the small volume that the nemesis fills.
    "dfs.namenode.resource.checked.volumes.minimum": "2",
    "dfs.namenode.resource.du.reserved": f"{VOLUME_BYTES // 4}",
    "dfs.client.failover.sleep.base.millis": "100",
    "dfs.client.failover.sleep.max.millis": "1000",
    "dfs.client.failover.random.order": "false",
}


@dataclass(slots=True)
class Daemon:
    """One process that shall run, and the ends of its former lives."""

    name: str
    held: int = 0
    """By how many deeds of the nemesis."""
    ended_s: float = 0.0
    """When it was found ended; 0 while it runs."""
    ends_s: list[float] = field(default_factory=list)


class ChaosSite(HaSite):
    def __init__(self, root: Path, zookeeper_command: Sequence[str], plant: str = "") -> None:
        """`plant`: a bug of tests/sim/planted.py in all daemons."""
        super().__init__(
            root,
            zookeeper_command,
            namenodes=[f"nn{number}" for number in NUMBERS],
            journals={f"jn{number}": (f"jn{number}", 8485) for number in NUMBERS},
            datanodes=[f"dn{number}" for number in NUMBERS],
            others=CLIENTS,
            settings=SETTINGS,
        )
        self.daemons: dict[str, Daemon] = {}
        self._plant = plant

    def more_of_namenode(self, name: str) -> dict[str, str]:
        return {"dfs__namenode__resource__checked__volumes": str(self.volume_of(name))}

    def conf(self, name: str, **own: str) -> dict[str, str]:
        # Logs are read back by their time.
        return {**super().conf(name, **own), "TZ": "UTC"}

    def hdfsd(self, *words: str) -> list[str]:
        if not self._plant:
            return super().hdfsd(*words)
        return [sys.executable, str(PLANTED_DAEMON), self._plant, *words]

    def volume_of(self, name: str) -> Path:
        """A small file system; a NameNode that finds no room there is unhealthy."""
        return self.root / name / "volume"

    def inside(self, name: str, path: Path) -> Path:
        """A path as the running NameNode sees it, from outside."""
        process = self.machines.processes[f"namenode-{name}"]
        return Path(f"/proc/{process.pid}/root{path}")

    def spawn(self, machine: str, role: str) -> None:
        if role != "namenode":
            super().spawn(machine, role)
            return
        # A process of a network namespace has mounts of its own, which end with it.
        self.volume_of(machine).mkdir(parents=True, exist_ok=True)
        command = ["sh", "-c", MOUNT, str(self.volume_of(machine)), *self.hdfsd(role)]
        conf = self.namenode_conf(machine)
        self.machines.spawn(f"{role}-{machine}", machine, command, conf)

    def start(self) -> None:
        super().start()
        self.daemons = {name: Daemon(name) for name in self.machines.processes}

    # Processes.

    def signal(self, name: str, number: signal.Signals) -> None:
        """To a daemon, if it runs."""
        process = self.machines.processes[name]
        if process.poll() is None:
            process.send_signal(number)

    def hold(self, name: str) -> None:
        """It is killed and stays down until `release`, as often."""
        self.daemons[name].held += 1
        self.signal(name, signal.SIGKILL)

    def release(self, name: str) -> None:
        self.daemons[name].held -= 1

    def watch_over(self) -> None:
        """Notes what has ended, and starts it again in its time."""
        for daemon in self.daemons.values():
            process = self.machines.processes[daemon.name]
            if process.poll() is None:
                continue
            now_s = time.time()
            if not daemon.ended_s:
                daemon.ended_s = now_s
                daemon.ends_s.append(now_s)
            if not daemon.held and now_s - daemon.ended_s >= RESTART_S:
                self._spawn_again(daemon.name)
                daemon.ended_s = 0.0

    def _spawn_again(self, name: str) -> None:
        role, _, machine = name.partition("-")
        if machine:
            self.spawn(machine, role)
        elif name == "zookeeper":
            self.spawn_zookeeper()
        elif name in self.journals:
            self.spawn_journal(name)
        else:
            self.spawn_datanode(name)

    # What the logs say.

    def reign(self) -> Reign:
        stints: list[Stint] = []
        for name in self.namenodes:
            log = self.root / f"namenode-{name}.log"
            daemon = self.daemons.get(f"namenode-{name}")
            with log.open(encoding="utf-8", errors="replace") as lines:
                stints += stints_of(name, lines, daemon.ends_s if daemon else [])
        return Reign(stints)

    def the_active(self) -> str:
        """Who began to lead last; the first, before anybody did."""
        led = [stint for stint in self.reign().stints if stint.active_s < float("inf")]
        return max(led, key=lambda stint: stint.active_s).namenode if led else self.namenodes[0]


@dataclass(slots=True)
class Client:
    """One place of a client, in which one process follows the other."""

    name: str
    role: str
    kind: str
    life: int = 0
    process: subprocess.Popen[bytes] | None = None
    history: Path = Path()
    heard_bytes: int = 0
    """How much of its history was counted."""

    @property
    def life_name(self) -> str:
        return f"{self.name}-{self.life:03}"


class Clients:
    """Five writers and five readers, of two kinds, on two machines."""

    def __init__(self, site: ChaosSite, seed: int) -> None:
        self._site, self._seed = site, seed
        self._directory = site.root / "history"
        self._directory.mkdir()
        self.places = [Client(f"w{n}", *each) for n, each in enumerate(WRITERS, 1)]
        self.places += [Client(f"r{n}", *each) for n, each in enumerate(READERS, 1)]
        self.replaced = 0
        self._acknowledged = 0

    def start(self) -> None:
        for place in self.places:
            self._start(place)

    def _start(self, place: Client) -> None:
        place.life += 1
        place.history = self._directory / f"{place.life_name}.jsonl"
        place.history.touch()
        place.heard_bytes = 0
        words = [place.role, place.kind, place.life_name, str(self._seed), str(place.history)]
        machine = CLIENTS[int(place.name[1:]) % len(CLIENTS)]
        place.process = self._run(machine, words, place.name)

    def _run(self, machine: str, words: Sequence[str], log: str) -> subprocess.Popen[bytes]:
        command = self._site.machines.on(machine, [sys.executable, str(WORKER), *words])
        with (self._site.root / f"client-{log}.log").open("ab") as target:
            return subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.PIPE,
                stdout=target,
                stderr=target,
                env={**os.environ, **self._site.conf("client")},
                start_new_session=True,
            )

    def watch_over(self) -> None:
        """Replaces who has been silent for too long. A client that ends by itself is a defect."""
        for place in self.places:
            assert place.process is not None
            code = place.process.poll()
            assert code is None, f"{place.life_name} ended with {code}: see client-{place.name}.log"
            if time.time() - place.history.stat().st_mtime > SILENT_S:
                self._end(place, patience_s=0)
                self.replaced += 1
                self._start(place)

    def acknowledged(self) -> int:
        """How many writes were, so far."""
        for place in self.places:
            if place.role != "reader":
                with place.history.open("rb") as lines:
                    lines.seek(place.heard_bytes)
                    told = lines.read()
                place.heard_bytes += len(told)
                self._acknowledged += told.count(ACKNOWLEDGED)
        return self._acknowledged

    def end(self) -> None:
        """All of them, after the operation at work."""
        for place in self.places:
            assert place.process is not None
            assert place.process.stdin is not None
            place.process.stdin.close()
        for place in self.places:
            self._end(place, patience_s=SILENT_S)

    def _end(self, place: Client, patience_s: float) -> None:
        process = place.process
        assert process is not None
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None
        process.stdin.close()
        assert process.returncode in (0, -signal.SIGKILL), f"see client-{place.name}.log"

    def read_everything(self, kind: str, wanted: Iterable[str], seconds: float) -> None:
        """One last reader, to its end. `wanted`: directories and files that must be readable."""
        name = f"last-{kind}"
        history = self._directory / f"{name}.jsonl"
        words = ["last", kind, name, str(self._seed), str(history)]
        process = self._run(CLIENTS[0], words, name)
        try:
            process.communicate("".join(f"{path}\n" for path in wanted).encode(), seconds)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0, f"see client-{name}.log"

    def kill(self) -> None:
        """Whatever still runs."""
        for place in self.places:
            if place.process is not None:
                place.process.kill()
                place.process.wait()

    def history(self) -> list[Operation]:
        """Of all lives of all clients; the names of NameNodes in place of their hosts."""
        names = {host: name for name, host in self._site.machines.hosts.items()}
        found = []
        for path in sorted(self._directory.glob("*.jsonl")):
            with path.open() as lines:
                found += operations_of(path.stem, lines, names)
        return found
