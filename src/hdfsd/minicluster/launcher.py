"""Adapter. The process above a cluster's daemons: imports everything once, forks, watches (D13).

It is single-threaded and waits for signals only. A daemon that ends is started again after a pause
that doubles; when the launcher itself dies, the kernel ends the daemons.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

from hdfsd.base.errors import HdfsdError, InvariantBroken, StorageError
from hdfsd.io.logs import set_up_logging
from hdfsd.minicluster.processes import ProcessId, is_listening
from hdfsd.minicluster.record import Record, Running
from hdfsd.minicluster.topology import Daemon

log = logging.getLogger(__name__)

MODULES = MappingProxyType(
    {
        "journalnode": "hdfsd.daemons.journalnode",
        "namenode": "hdfsd.daemons.namenode",
        "zkfc": "hdfsd.daemons.failover",
        "datanode": "hdfsd.daemons.datanode",
    }
)
"""By role: the module whose main(arguments) is the daemon."""

STOP_ORDER = (("zkfc",), ("datanode", "namenode"), ("journalnode",))
"""Controllers first, so that nobody fails over; journals last, so that writers can close."""
STOP_S = 5.0
RESTART_FIRST_S, RESTART_MAX_S = 0.1, 5.0
RESTART_FORGET_S = 10.0
"""A daemon that lived that long starts again without delay."""
STARTUP_DEATHS_MAX = 3
TICK_S = 0.1
PORT_POLL_S = 0.005
PORT_WAIT_S = 30.0
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class StartupFailed(HdfsdError):
    """A daemon could not be started; says why, from its log."""


@dataclass(slots=True)
class _Child:
    daemon: Daemon
    process: ProcessId | None = None
    started_s: float = 0.0
    restarts: int = 0
    pause_s: float = RESTART_FIRST_S
    due_s: float = 0.0
    """When to start it again, if it is not running."""


def preload() -> None:
    """Imports what the daemons need, so that forked children share it."""
    for module in MODULES.values():
        import_module(module)
    gc.collect()
    gc.freeze()


class Launcher:
    """Runs the daemons of one cluster until it is told to stop."""

    def __init__(
        self, record: Record, notify_fd: int, modules: Mapping[str, str] = MODULES
    ) -> None:
        self._record = record
        self._modules = modules
        self._plan = record.plan
        self._notify_fd: int | None = notify_fd
        self._children = {daemon.id: _Child(daemon) for daemon in record.plan.daemons}
        self._stopping = False

    def run(self) -> int:
        """The launcher's whole life; returns its exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        set_up_logging()
        own = ProcessId.of(os.getpid())
        assert own is not None
        self._save(replace(self._record, launcher=own))
        try:
            self._start_all()
            self._notify("up")
            self._close_notify()
            while not self._stopping:
                self._tick(TICK_S)
        except (HdfsdError, OSError) as error:
            log.error("%s", error)
            self._notify("failed", str(error))
        finally:
            self._stop_all()
            self._save(self._record.stopped())
        return 0

    # Starting, in the order in which daemons need each other.

    def _start_all(self) -> None:
        journals = [self._child_of(d) for d in self._plan.of_role("journalnode")]
        for child in journals:
            self._start(child)
        self._await_ports(journals)
        first, *others = self._plan.of_role("namenode")
        controllers = self._plan.of_role("zkfc")
        fresh = not self._record.formatted
        if fresh:
            self._format(first, controllers[0])
        self._start(self._child_of(first))
        datanodes = [self._child_of(d) for d in self._plan.of_role("datanode")]
        self._await_ports([self._child_of(first)])
        for child in (self._child_of(controllers[0]), *datanodes):
            self._start(child)
        for namenode, controller in zip(others, controllers[1:], strict=True):
            if not _has_version(namenode):
                arguments = ["-bootstrapStandby", "-force", "-nonInteractive"]
                self._run_once(namenode, "bootstrap", arguments)
            self._start(self._child_of(namenode))
            self._start(self._child_of(controller))

    def _format(self, namenode: Daemon, controller: Daemon) -> None:
        # Nothing was ever written through this cluster: what lies there is of a start cut short.
        identity = ["-clusterid", self._record.cluster_id]
        self._run_once(namenode, "format", ["-format", *identity, "-force", "-nonInteractive"])
        self._run_once(controller, "formatZK", ["-formatZK", "-force", "-nonInteractive"])
        self._save(replace(self._record, formatted=True))

    def _run_once(self, daemon: Daemon, what: str, arguments: Sequence[str]) -> None:
        """A step of formatting, as a process of its own. Raises StartupFailed."""
        pid = self._fork(daemon, f"{daemon.id}-{what}", arguments)
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            self._tick(PORT_POLL_S)
            if self._stopping:
                os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(status)
        if code:
            raise StartupFailed(
                f"{daemon.id}: {' '.join(arguments[:1])} ended with {code}:"
                f" {self._last_words(f'{daemon.id}-{what}')}"
            )

    def _await_ports(self, children: Sequence[_Child]) -> None:
        end = time.monotonic() + PORT_WAIT_S
        for child in children:
            port = child.daemon.ports["rpc"]
            while not is_listening(port):
                if time.monotonic() > end:
                    raise StartupFailed(f"{child.daemon.id} does not listen on {port}")
                self._tick(PORT_POLL_S)
                if self._stopping:
                    raise StartupFailed("told to stop while starting")
                if child.restarts >= STARTUP_DEATHS_MAX:
                    words = self._last_words(child.daemon.id)
                    raise StartupFailed(f"{child.daemon.id} does not stay up: {words}")

    def _child_of(self, daemon: Daemon) -> _Child:
        return self._children[daemon.id]

    def _start(self, child: _Child) -> None:
        pid = self._fork(child.daemon, child.daemon.id, ())
        child.process = ProcessId.of(pid)
        child.started_s = time.monotonic()
        self._save_running()

    def _fork(self, daemon: Daemon, log_name: str, arguments: Sequence[str]) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            run_child(lambda: self._become(daemon, log_name, arguments))
        return pid

    def _become(self, daemon: Daemon, log_name: str, arguments: Sequence[str]) -> int:
        if self._notify_fd is not None:
            os.close(self._notify_fd)
        enter_session(f"{self._plan.directory}/logs/{log_name}.log")
        die_with_parent()
        name_process(f"hdfsd-{daemon.id}")
        conf_dir = self._plan.conf_dir_of(daemon)
        os.environ["HADOOP_CONF_DIR"] = conf_dir
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        set_up_logging()
        code = import_module(self._modules[daemon.role]).main(["--config", conf_dir, *arguments])
        return int(code)

    # Watching.

    def _tick(self, seconds: float) -> None:
        """Waits for a signal at most that long, then sees to ended and due daemons."""
        found = signal.sigtimedwait(SIGNALS, seconds)
        if found is not None and found.si_signo in (signal.SIGTERM, signal.SIGINT):
            self._stopping = True
        for child in self._children.values():
            self._look_after(child)

    def _look_after(self, child: _Child) -> None:
        now_s = time.monotonic()
        if child.process is not None:
            ended, status = os.waitpid(child.process.pid, os.WNOHANG)
            if ended:
                self._note_end(child, os.waitstatus_to_exitcode(status), now_s)
        elif child.due_s and now_s >= child.due_s and not self._stopping:
            if not Path(self._plan.directory, "held", child.daemon.id).exists():
                child.due_s = 0.0
                self._start(child)

    def _note_end(self, child: _Child, code: int, now_s: float) -> None:
        child.process = None
        child.restarts += 1
        if now_s - child.started_s > RESTART_FORGET_S:
            child.pause_s = RESTART_FIRST_S
        child.due_s = now_s + child.pause_s
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if self._stopping:
            log.info("%s stopped: %s", child.daemon.id, how)
        else:
            log.warning("%s ended: %s; again in %.1f s", child.daemon.id, how, child.pause_s)
        child.pause_s = min(2 * child.pause_s, RESTART_MAX_S)
        self._save_running()

    # Stopping.

    def _stop_all(self) -> None:
        self._stopping = True
        for roles in STOP_ORDER:
            members = [
                child
                for child in self._children.values()
                if child.daemon.role in roles and child.process is not None
            ]
            self._stop(members)

    def _stop(self, members: Sequence[_Child]) -> None:
        for child in members:
            if child.process is not None:
                child.process.send(signal.SIGCONT)  # One that is frozen would not hear the rest.
                child.process.send(signal.SIGTERM)
        end = time.monotonic() + STOP_S
        while any(child.process is not None for child in members):
            if time.monotonic() > end:
                for child in members:
                    if child.process is not None:
                        log.warning("%s did not stop in %.0f s: killed", child.daemon.id, STOP_S)
                        child.process.send(signal.SIGKILL)
                end = time.monotonic() + STOP_S
            self._tick(PORT_POLL_S)

    # Telling.

    def _last_words(self, log_name: str) -> str:
        path = Path(self._plan.directory, "logs", f"{log_name}.log")
        try:
            lines = path.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        return f"{lines[-1] if lines else 'it said nothing'} ({path})"

    def _save_running(self) -> None:
        running = {
            name: Running(child.process, child.restarts)
            for name, child in self._children.items()
            if child.process is not None
        }
        self._save(replace(self._record, running=running))

    def _save(self, record: Record) -> None:
        self._record = record
        try:
            record.save()
        except OSError as error:
            # A full disk must not end a cluster that runs; a new one can't go on without.
            if not record.formatted:
                raise StorageError(f"{self._plan.directory}: {error.strerror}") from error
            log.error("%s: can't be written: %s", self._plan.directory, error)

    def _notify(self, event: str, text: str = "") -> None:
        if self._notify_fd is not None:
            line = json.dumps({"event": event, "text": text}) + "\n"
            try:
                os.write(self._notify_fd, line.encode())
            except BrokenPipeError:
                log.warning("whoever started the cluster did not wait for it")

    def _close_notify(self) -> None:
        if self._notify_fd is not None:
            os.close(self._notify_fd)
            self._notify_fd = None


def _has_version(namenode: Daemon) -> bool:
    return Path(namenode.dirs[0], "current", "VERSION").exists()


def run_child(body: Callable[[], int]) -> None:
    """Runs a forked child's body and ends the process; never returns to the parent's code."""
    code = 1
    try:
        code = body()
    except InvariantBroken:
        traceback.print_exc()
    except HdfsdError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    except BaseException:  # noqa: BLE001 (else the parent's code would run twice)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def enter_session(log_path: str) -> None:
    """Leaves the terminal: a session of its own, nothing to read, output to a log file."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    target = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(nothing, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(nothing)
    os.close(target)


def die_with_parent() -> None:
    """Asks the kernel for SIGTERM when the launcher dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def name_process(name: str) -> None:
    """What `ps` and `top` show; 15 bytes at most."""
    ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode()[:15])
