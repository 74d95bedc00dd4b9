"""Adapter. cluster.json: the plan of a cluster and which processes run it, kept across crashes."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hdfsd.base.errors import ConfigError, StorageError
from hdfsd.minicluster.processes import ProcessId
from hdfsd.minicluster.topology import Plan

FILE_NAME = "cluster.json"
LOCK_NAME = "cluster.lock"


@dataclass(frozen=True, slots=True)
class Running:
    """One daemon's process and how often it had to be started again."""

    process: ProcessId
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    plan: Plan
    cluster_id: str
    formatted: bool = False
    """All storage was formatted once: from then on nothing is ever formatted again."""
    launcher: ProcessId | None = None
    running: Mapping[str, Running] = field(default_factory=dict)

    @property
    def is_up(self) -> bool:
        return self.launcher is not None and self.launcher.is_alive

    def survivors(self) -> list[ProcessId]:
        """Recorded processes that still run, the launcher last."""
        found = [entry.process for entry in self.running.values()]
        found += [] if self.launcher is None else [self.launcher]
        return [process for process in found if process.is_alive]

    def save(self) -> None:
        """Replaces the file in one step and waits until it is on disk."""
        found: dict[str, Any] = self.plan.to_json()
        found["cluster_id"] = self.cluster_id
        found["formatted"] = self.formatted
        if self.launcher is not None:
            found["launcher"] = [self.launcher.pid, self.launcher.started_ticks]
        found["running"] = {
            name: [entry.process.pid, entry.process.started_ticks, entry.restarts]
            for name, entry in self.running.items()
        }
        write_durably(Path(self.plan.directory, FILE_NAME), json.dumps(found, indent=1) + "\n")

    @classmethod
    def load(cls, directory: str) -> Record | None:
        """What stands in a directory; None when no cluster was ever there."""
        path = Path(directory, FILE_NAME)
        try:
            found = json.loads(path.read_text())
            plan = Plan.from_json(found, directory)
            launcher = ProcessId(*found["launcher"]) if "launcher" in found else None
            running = {
                name: Running(ProcessId(pid, ticks), restarts)
                for name, (pid, ticks, restarts) in found["running"].items()
            }
            return cls(plan, found["cluster_id"], found["formatted"], launcher, running)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(
                f"{path}: can't be read ({error!r}): restore it, or move {directory}/data to a"
                " safe place and start a new cluster elsewhere"
            ) from error

    def stopped(self) -> Record:
        """The same with nothing running."""
        return replace(self, launcher=None, running={})


def write_durably(path: Path, text: str) -> None:
    """Temporary file, fsync, rename, fsync of the directory."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w") as target:
        target.write(text)
        target.flush()
        os.fsync(target.fileno())
    os.replace(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def take_lock(directory: str) -> int:
    """The open lock file of a cluster directory. Raises ConfigError when another process has it.

    Forked children share it: it is free when the launcher and all daemons are gone.
    """
    descriptor = os.open(Path(directory, LOCK_NAME), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(
            f"{directory}: a cluster is running here or another command is working on it:"
            f" hdfsd cluster status --dir {directory}, or hdfsd cluster down --dir {directory}"
        ) from None
    return descriptor
