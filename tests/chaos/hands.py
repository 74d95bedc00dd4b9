"""Adapter. Carries out what the nemesis has planned, and heals it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chaos_site import CLIENTS, VOLUME_BYTES, ChaosSite
from ha_site import NAMENODE_PORT, NAMESERVICE, ZOOKEEPER_PORT
from machines import Rule
from nemesis import Cause, Deed, Round, Target, Way

log = logging.getLogger(__name__)

EXPIRE = Path(__file__).with_name("expire_session.py")
LEAVE_SAFE_MODE = Path(__file__).with_name("leave_safe_mode.py")
LOCK = f"/hadoop-ha/{NAMESERVICE}/ActiveStandbyElectorLock"
COMMAND_S = 300
"""How long an operator's command may take, before it is a defect."""


@dataclass(slots=True)
class Done:
    """A deed at work, and how it ends."""

    until_s: float
    what: str
    heal: ExitStack


@dataclass(slots=True)
class Command:
    """An operator's command at work."""

    words: str
    process: subprocess.Popen[bytes]
    began_s: float


@dataclass(slots=True)
class Hands:
    site: ChaosSite
    journal: list[str] = field(default_factory=list)
    """What was done to whom, and when."""
    _commands: list[Command] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.journal.append(f"{time.time():.3f} {text}")
        log.info("%s", text)

    def play(self, planned: Round, tick: Callable[[], None]) -> None:
        """The whole round, healed at its end whatever happens."""
        began_s = time.monotonic()
        waiting = sorted(planned.deeds, key=lambda deed: deed.at_s)
        at_work: list[Done] = []
        try:
            while waiting or at_work:
                now_s = time.monotonic() - began_s
                while waiting and waiting[0].at_s <= now_s:
                    at_work.append(self._begin(waiting.pop(0), now_s))
                for done in [done for done in at_work if done.until_s <= now_s]:
                    at_work.remove(done)
                    self._end(done)
                tick()
        finally:
            for done in at_work:
                self._end(done)

    def _begin(self, deed: Deed, now_s: float) -> Done:
        name = self._victim(deed.target)
        what = f"{name or '-'}: {deed.cause.value}" + (
            "" if deed.way is Way.BOTH else f", {deed.way.value}"
        )
        self.note(f"BEGIN {what}")
        heal = ExitStack()
        self._carry_out(deed, name, heal)
        return Done(now_s + deed.seconds, what, heal)

    def _end(self, done: Done) -> None:
        done.heal.close()
        self.note(f"END {done.what}")

    def _victim(self, target: Target) -> str:
        if target is Target.NOBODY:
            return ""
        active = self.site.the_active()
        standbys = [name for name in self.site.namenodes if name != active]
        return {Target.ACTIVE: active, Target.NEXT: standbys[0], Target.LAST: standbys[1]}[target]

    def _carry_out(self, deed: Deed, name: str, heal: ExitStack) -> None:
        number = name[2:]
        machine = (f"namenode-{name}", f"zkfc-{name}", f"jn{number}", f"dn{number}")
        match deed.cause:
            case Cause.KILLED:
                self._kill(heal, machine[0])
            case Cause.FROZEN:
                self._freeze(heal, machine[0])
            case Cause.NO_POWER:
                self._kill(heal, *machine)
                self._isolate(heal, name, f"jn{number}", f"dn{number}")
            case Cause.UNPLUGGED:
                self._isolate(heal, name, f"jn{number}", f"dn{number}")
            case Cause.UNHEALTHY:
                self._fill(heal, name)
            case Cause.CONTROLLER_KILLED:
                self._kill(heal, machine[1])
            case Cause.CONTROLLER_FROZEN:
                self._freeze(heal, machine[1])
            case Cause.SESSION_EXPIRED:
                quorum = f"{self.site.machines.hosts['zookeeper']}:{ZOOKEEPER_PORT}"
                self._command(None, [sys.executable, str(EXPIRE), quorum, LOCK])
            case Cause.ZOOKEEPER_KILLED:
                self._kill(heal, "zookeeper")
            case Cause.ZOOKEEPER_FROZEN:
                self._freeze(heal, "zookeeper")
            case Cause.ZOOKEEPER_UNPLUGGED:
                self._isolate(heal, "zookeeper")
            case Cause.JOURNAL_KILLED:
                self._kill(heal, f"jn{number}")
            case Cause.JOURNAL_FROZEN:
                self._freeze(heal, f"jn{number}")
            case Cause.DATANODE_KILLED:
                self._kill(heal, f"dn{number}")
            case Cause.OPERATOR:
                words = ["haadmin", "-failover", self.site.the_active(), name]
                self._command(None, self.site.hdfsd(*words))
            case _:
                self._cut(heal, deed.way, name, *self._ends(deed.cause, name))

    # Processes.

    def _kill(self, heal: ExitStack, *names: str) -> None:
        for name in names:
            self.site.hold(name)
            heal.callback(self.site.release, name)

    def _freeze(self, heal: ExitStack, name: str) -> None:
        self.site.signal(name, signal.SIGSTOP)
        heal.callback(self.site.signal, name, signal.SIGCONT)

    def _fill(self, heal: ExitStack, name: str) -> None:
        ballast = self.site.inside(name, self.site.volume_of(name) / "ballast")
        try:
            ballast.write_bytes(bytes(VOLUME_BYTES - VOLUME_BYTES // 8))
        except FileNotFoundError:
            # It does not run just now; the next one has a volume of its own.
            self.note(f"{name} has no volume to fill")
            return
        # An active that runs out of room stays in safe mode until an operator ends it, as Hadoop's.
        leave = [
            sys.executable,
            str(LEAVE_SAFE_MODE),
            f"{self.site.machines.hosts[name]}:{NAMENODE_PORT}",
        ]
        heal.callback(self._command, None, leave)
        heal.callback(ballast.unlink, missing_ok=True)

    # Packets.

    def _ends(self, cause: Cause, name: str) -> list[str]:
        """Whom a NameNode is cut from."""
        journals = [f"jn{number}" for number in "123"]
        own = f"jn{name[2:]}"
        return {
            Cause.CUT_FROM_ZOOKEEPER: ["zookeeper"],
            Cause.CUT_FROM_JOURNALS: journals,
            Cause.CUT_FROM_MAJORITY: [journal for journal in journals if journal != own],
            Cause.CUT_FROM_NAMENODES: [n for n in self.site.namenodes if n != name],
            Cause.CUT_FROM_CLIENTS: list(CLIENTS),
            Cause.CUT_FROM_SOME_CLIENTS: [CLIENTS[0]],
            Cause.CUT_FROM_DATANODES: list(self.site.datanodes),
        }[cause]

    def _cut(self, heal: ExitStack, way: Way, name: str, *others: str) -> None:
        machines = self.site.machines
        if way is Way.IN:
            for other in others:
                self._healed(heal, machines.cut(other, name, back=False))
        else:
            self._healed(heal, machines.cut(name, *others, back=way is Way.BOTH))

    def _isolate(self, heal: ExitStack, *names: str) -> None:
        """They reach each other, and nobody else."""
        machines = self.site.machines
        others = [other for other in machines.hosts if other not in names]
        for name in names:
            self._healed(heal, machines.cut(name, *others))

    def _healed(self, heal: ExitStack, rules: list[Rule]) -> None:
        heal.callback(self.site.machines.mend, rules)

    # Operators.

    def _command(self, machine: str | None, command: list[str]) -> None:
        with (self.site.root / "commands.log").open("ab") as target:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.site.machines.on(machine, command)],
                stdin=subprocess.DEVNULL,
                stdout=target,
                stderr=target,
                env={**os.environ, **self.site.conf("operator")},
                start_new_session=True,
            )
        self._commands.append(Command(" ".join(command[1:]), process, time.monotonic()))

    def watch_over(self) -> None:
        """Commands may fail while things are broken, and must come to an end."""
        for command in list(self._commands):
            code = command.process.poll()
            if code is not None:
                self.note(f"RESULT {code} of {command.words}")
                self._commands.remove(command)
            else:
                late = time.monotonic() - command.began_s > COMMAND_S
                assert not late, f"no end after {COMMAND_S} s: {command.words}"

    @property
    def is_idle(self) -> bool:
        return not self._commands

    def kill(self) -> None:
        for command in self._commands:
            command.process.kill()
            command.process.wait()
