"""Adapter. Bringing a cluster up and down, and telling how it is: what the command line calls."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import signal
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hdfsd.base.errors import ConfigError, HdfsdError, StorageError
from hdfsd.base.ids import Address
from hdfsd.minicluster.launcher import Launcher, enter_session, preload, run_child
from hdfsd.minicluster.processes import (
    ProcessId,
    free_ports,
    ports_from,
    pss_kib,
    require_free,
)
from hdfsd.minicluster.readiness import namenode_states, wait_for_first_write
from hdfsd.minicluster.record import Record, take_lock
from hdfsd.minicluster.topology import (
    HOST,
    Daemon,
    Options,
    Plan,
    plan,
    port_count,
    site_files,
)

READY_S = 60.0
DOWN_S = 20.0
FREE_BYTES_MIN = 64 << 20
"""Less than that on the disk, and the first edits segments would not fit."""


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """One row of `hdfsd cluster status`; the JSON has these names."""

    role: str
    id: str
    pid: int | None
    rpc: str | None
    http: str | None
    state: str
    """Of NameNodes their HA state, of others `running`; `stopped`, `frozen`, `unreachable`."""
    dirs: tuple[str, ...]
    pss_kib: int | None
    restarts: int
    data: str | None
    """Of DataNodes: where blocks stream."""

    def to_json(self) -> dict[str, object]:
        """As printed by --json."""
        return asdict(self)


def up(directory: str, asked: Mapping[str, object], port_base: int | None) -> Plan:
    """Starts the cluster of a directory, a new one if there is none, and waits for it.

    `asked` are the fields of Options that the user gave. Returns when the first write would
    succeed. Raises ConfigError or StorageError before anything was started, HdfsdError after.
    """
    directory = os.path.abspath(directory)
    lock = _prepare_directory(directory)
    try:
        record = _record_for(directory, asked, port_base)
        _write_files(record)
        preload()
        _launch(record)
    finally:
        os.close(lock)
    missing = asyncio.run(wait_for_first_write(record.plan, READY_S))
    if missing is not None:
        raise HdfsdError(
            f"the daemons run, but in {READY_S:.0f} s no write became possible: {missing};"
            f" their logs are in {directory}/logs; hdfsd cluster down --dir {directory} stops them"
        )
    return record.plan


def _prepare_directory(directory: str) -> int:
    try:
        os.makedirs(directory, exist_ok=True)
        if shutil.disk_usage(directory).free < FREE_BYTES_MIN:
            raise StorageError(
                f"{directory}: less than {FREE_BYTES_MIN >> 20} MiB are free there:"
                " make room, or choose another --dir"
            )
        return take_lock(directory)
    except OSError as error:
        raise StorageError(f"{directory}: {error.strerror}: choose another --dir") from error


def _record_for(directory: str, asked: Mapping[str, object], port_base: int | None) -> Record:
    record = Record.load(directory)
    if record is None:
        return _new_record(directory, Options(**asked), port_base)  # type: ignore[arg-type]
    survivors = record.survivors()
    if survivors:
        pids = " ".join(str(process.pid) for process in survivors)
        raise ConfigError(
            f"{directory}: processes of this cluster still run: {pids}:"
            f" hdfsd cluster down --dir {directory} stops them"
        )
    options = _merged(record.plan.options, asked, directory)
    old_ports = [port for daemon in record.plan.daemons for port in daemon.ports.values()]
    ports = old_ports if port_base is None else ports_from(port_base, len(old_ports))
    renewed = plan(directory, options, ports)
    remedy = "stop whoever has them, or choose others with --port-base"
    require_free(ports, _port_names(renewed), remedy)
    return replace(record.stopped(), plan=renewed)


def _merged(options: Options, asked: Mapping[str, object], directory: str) -> Options:
    """Settings may change from start to start; the number of daemons may not."""
    for name, value in asked.items():
        if name == "overrides":
            continue
        known = getattr(options, name)
        if value != known:
            raise ConfigError(
                f"--{name} {value}: the cluster in {directory} was made with {known}:"
                " leave it out, or use another --dir"
            )
    overrides = asked.get("overrides")
    if isinstance(overrides, Mapping):
        return replace(options, overrides={**options.overrides, **overrides})
    return options


def _new_record(directory: str, options: Options, port_base: int | None) -> Record:
    options.check()
    data = Path(directory, "data")
    if data.exists():
        raise StorageError(
            f"{data} is there, but no cluster.json beside it: choose another --dir, or move it away"
        )
    count = port_count(options)
    ports = free_ports(count) if port_base is None else ports_from(port_base, count)
    fresh = plan(directory, options, ports)
    require_free(ports, _port_names(fresh), "choose another --port-base, or leave it out")
    return Record(fresh, cluster_id=f"CID-{uuid.uuid4()}")


def _port_names(made: Plan) -> list[str]:
    return [f"{daemon.id} {name}" for daemon in made.daemons for name in daemon.ports]


def _write_files(record: Record) -> None:
    directory = record.plan.directory
    try:
        record.save()
        shutil.rmtree(Path(directory, "held"), ignore_errors=True)
        names = {f"{directory}/logs", f"{directory}/lock", f"{directory}/tmp", f"{directory}/held"}
        names |= {path for daemon in record.plan.daemons for path in daemon.dirs}
        for name in sorted(names):
            os.makedirs(name, mode=0o700, exist_ok=True)
        for path, text in site_files(record.plan):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Path(path).write_text(text)
    except OSError as error:
        way_out = "make room" if error.errno == errno.ENOSPC else "choose another --dir"
        raise StorageError(f"{error.filename}: {error.strerror}: {way_out}") from error


def _launch(record: Record) -> None:
    """Forks the launcher and waits for its word. Raises HdfsdError with the reason it gives."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        run_child(lambda: _launcher_life(record, writing))
    os.close(writing)
    with os.fdopen(reading) as words:
        line = words.readline()
    log_path = f"{record.plan.directory}/logs/launcher.log"
    if not line:
        raise HdfsdError(f"the launcher ended without a word: see {log_path}")
    told = json.loads(line)
    if told["event"] != "up":
        os.waitpid(pid, 0)
        raise HdfsdError(f"the cluster did not start: {told['text']}")


def _launcher_life(record: Record, notify_fd: int) -> int:
    enter_session(f"{record.plan.directory}/logs/launcher.log")
    return Launcher(record, notify_fd).run()


def down(directory: str) -> bool:
    """Stops everything of a cluster, data kept. False when nothing ran. Raises HdfsdError."""
    record = load(directory)
    survivors = record.survivors()
    if not survivors:
        return False
    if record.launcher is not None and record.launcher.send(signal.SIGTERM):
        if record.launcher.wait_gone(DOWN_S):
            return True
        raise HdfsdError(f"the launcher {record.launcher.pid} did not stop in {DOWN_S:.0f} s")
    # The launcher is gone and left these behind.
    for process in survivors:
        process.send(signal.SIGCONT)
        process.send(signal.SIGTERM)
    for process in survivors:
        if not process.wait_gone(DOWN_S):
            process.send(signal.SIGKILL)
    return True


def load(directory: str) -> Record:
    """What is recorded of a cluster. Raises ConfigError when there is none."""
    record = Record.load(os.path.abspath(directory))
    if record is None:
        raise ConfigError(f"{directory}: no cluster here: hdfsd cluster up --dir {directory}")
    return record


def status(directory: str) -> list[DaemonStatus]:
    """Every daemon of a cluster, running or not."""
    record = load(directory)
    namenodes = record.plan.of_role("namenode")
    addresses = [Address(HOST, daemon.ports["rpc"]) for daemon in namenodes]
    alive = {daemon.id for daemon in namenodes if _state(record, daemon) == "running"}
    asked = [address for daemon, address in zip(namenodes, addresses) if daemon.id in alive]
    states = iter(asyncio.run(namenode_states(asked)))
    ha_states = {daemon.id: next(states) for daemon in namenodes if daemon.id in alive}
    return [_row(record, daemon, ha_states) for daemon in record.plan.daemons]


def _process(record: Record, daemon: Daemon) -> ProcessId | None:
    entry = record.running.get(daemon.id)
    return entry.process if entry is not None and entry.process.is_alive else None


def _state(record: Record, daemon: Daemon) -> str:
    process = _process(record, daemon)
    if process is None:
        return "stopped"
    return "frozen" if process.is_stopped else "running"


def _row(record: Record, daemon: Daemon, ha_states: Mapping[str, str]) -> DaemonStatus:
    process = _process(record, daemon)
    entry = record.running.get(daemon.id)
    rpc, http, data = (daemon.address(name) for name in ("rpc", "http", "data"))
    return DaemonStatus(
        role=daemon.role,
        id=daemon.id,
        pid=process.pid if process else None,
        rpc=str(rpc) if rpc else None,
        http=str(http) if http else None,
        state=ha_states.get(daemon.id, _state(record, daemon)),
        dirs=daemon.dirs,
        pss_kib=pss_kib(process.pid) if process else None,
        restarts=entry.restarts if entry else 0,
        data=str(data) if data else None,
    )
