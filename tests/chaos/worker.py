"""Adapter. One client of the chaos, a process of its own: it notes what it asks and is told.

    python worker.py writer|namer|reader|last own|native NAME SEED HISTORY_FILE

It goes on until its standard input ends; the last reader finds there what must be readable. The
notes are lines of histories.begun_line and ended_line: a client that is killed leaves what it had
asked for.
"""

from __future__ import annotations

import os
import random
import select
import sys
import time
from collections.abc import Callable, Collection
from typing import Any

from clients import NativeClient, OwnClient, Refused, Unknown
from histories import (
    DIRECTORY,
    ROOT,
    Kind,
    Operation,
    Outcome,
    begun_line,
    ended_line,
    record_bytes,
)

NAMES_MAX = 8
SIZES = (100, 100, 700, 5_000, 65_536, 90_000)
PAUSE_S_MAX = 0.08
UNKNOWN_PAUSE_S = 0.5
APPENDS_MAX = 4
READABLE_S = 120
"""How long the last reader tries to read a file."""


class Notes:
    """The history of one client."""

    def __init__(self, client: str, path: str) -> None:
        self.client = client
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._number = 0

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def note(self, line: str) -> None:
        # One write for a line: a kill leaves at most the last one half.
        os.write(self._file, f"{line}\n".encode())


class Worker:
    """One operation after the other."""

    def __init__(self, client: NativeClient, notes: Notes, dice: random.Random) -> None:
        self.client, self.notes, self.dice = client, notes, dice

    def do(
        self,
        kind: Kind,
        path: str,
        ask: Callable[[], Any],
        *,
        target: str = "",
        size: int = 0,
        number: int = 0,
    ) -> tuple[Outcome, Any]:
        number = number or self.notes.next_number()
        begun = Operation(
            self.notes.client, number, kind, path, time.time(), target=target, size=size
        )
        self.notes.note(begun_line(begun))
        outcome, answer = _told(ask)
        namenode = self.client.namenode_of(kind)
        self.notes.note(ended_line(number, time.time(), outcome, answer, namenode))
        if outcome is Outcome.UNKNOWN:
            # Such as safe mode: each try costs a name.
            time.sleep(UNKNOWN_PAUSE_S)
        return outcome, answer

    def run(self, step: Callable[[], None]) -> None:
        while not _is_over():
            step()
            time.sleep(self.dice.uniform(0, PAUSE_S_MAX))


def _told(ask: Callable[[], Any]) -> tuple[Outcome, Any]:
    try:
        return Outcome.OK, ask()
    except Refused as error:
        return Outcome.REFUSED, str(error)
    except Unknown as error:
        return Outcome.UNKNOWN, str(error)
    except BaseException as error:
        # hdfs-native's own failed assertions; their class can't be imported.
        if type(error).__name__ != "PanicException":
            raise
        return Outcome.UNKNOWN, f"hdfs-native panics: {error}"


def _is_over() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


class Writer(Worker):
    """Changes the names of its own directory, and knows them."""

    def __init__(self, client: NativeClient, notes: Notes, dice: random.Random) -> None:
        super().__init__(client, notes, dice)
        self._directory = f"{ROOT}/{notes.client}"
        self._there: dict[str, int] = {}
        """Path to the number of records; -1 for a directory."""
        self._free: list[str] = []
        self._made = 0

    def begin(self) -> None:
        """Its directory; that it is there is no operation of the history yet."""
        while not _is_over():
            if _told(lambda: self.client.mkdir(self._directory))[0] is Outcome.OK:
                return
            time.sleep(0.2)

    def step(self) -> None:
        acts = self.making() if len(self._there) < NAMES_MAX else []
        if self._there:
            acts += [self._delete, self._rename, self._rename]
        self.dice.choice([*acts, *self.appending()])()

    def making(self) -> list[Callable[[], None]]:
        """What a new name can be."""
        return [self._mkdir, self._create, self._write, self._write]

    def appending(self) -> list[Callable[[], None]]:
        can = any(0 <= count < APPENDS_MAX for count in self._there.values())
        return [self._append] if can else []

    def _fresh(self) -> str:
        """A name that nothing has; one that had something before, most of the time."""
        if self._free and self.dice.random() < 0.8:
            return self._free.pop(self.dice.randrange(len(self._free)))
        self._made += 1
        return f"{self._directory}/n{self._made}"

    def _picked(self, *, appendable: bool = False) -> str:
        return self.dice.choice(
            [p for p, count in self._there.items() if not appendable or 0 <= count < APPENDS_MAX]
        )

    def _mkdir(self) -> None:
        path = self._fresh()
        if self.do(Kind.MKDIR, path, lambda: self.client.mkdir(path))[0] is Outcome.OK:
            self._there[path] = -1

    def _create(self) -> None:
        path = self._fresh()
        if self.do(Kind.CREATE, path, lambda: self.client.create(path))[0] is Outcome.OK:
            self._there[path] = 0

    def _write(self) -> None:
        path, size, number = self._fresh(), self.dice.choice(SIZES), self.notes.next_number()
        data = record_bytes(self.notes.client, number, size)
        told = self.do(
            Kind.WRITE, path, lambda: self.client.write(path, data), size=size, number=number
        )
        if told[0] is Outcome.OK:
            self._there[path] = 1

    def _append(self) -> None:
        path, size = self._picked(appendable=True), self.dice.choice(SIZES)
        number = self.notes.next_number()
        data = record_bytes(self.notes.client, number, size)
        count = self._there.pop(path)
        told = self.do(
            Kind.APPEND, path, lambda: self.client.append(path, data), size=size, number=number
        )
        if told[0] is Outcome.OK:
            self._there[path] = count + 1

    def _rename(self) -> None:
        source, target = self._picked(), self._fresh()
        value = self._there.pop(source)
        told = self.do(
            Kind.RENAME, source, lambda: self.client.rename(source, target), target=target
        )
        if told[0] is Outcome.OK:
            self._there[target] = value
            self._free.append(source)

    def _delete(self) -> None:
        path = self._picked()
        del self._there[path]
        if self.do(Kind.DELETE, path, lambda: self.client.delete(path))[0] is Outcome.OK:
            self._free.append(path)


class Namer(Writer):
    """Touches no bytes: what a fault finds under way is a call that must not be done twice."""

    def making(self) -> list[Callable[[], None]]:
        return [self._mkdir, self._create]

    def appending(self) -> list[Callable[[], None]]:
        return []


class Reader(Worker):
    """Looks at the names of all writers."""

    def __init__(self, client: NativeClient, notes: Notes, dice: random.Random) -> None:
        super().__init__(client, notes, dice)
        self._writers: list[str] = []
        self._names: dict[str, str | int] = {}
        self._directory = ""

    def step(self) -> None:
        if not self._writers or self.dice.random() < 0.05:
            outcome, found = _told(lambda: self.client.list(ROOT))
            # A writer that has been replaced changes nothing any more: seldom worth a look.
            self._writers = sorted(found or ())[-30:] if outcome is Outcome.OK else self._writers
            return
        if not self._names or self.dice.random() < 0.5:
            self._list(f"{ROOT}/{self.dice.choice(self._writers)}")
            return
        name = self.dice.choice(sorted(self._names))
        if self._names[name] == DIRECTORY or self.dice.random() < 0.5:
            self._look(f"{self._directory}/{name}")
        else:
            self._read(f"{self._directory}/{name}")

    def _list(self, directory: str) -> None:
        outcome, found = self.do(Kind.LIST, directory, lambda: self.client.list(directory))
        self._directory = directory
        self._names = found or {} if outcome is Outcome.OK else {}

    def _look(self, path: str) -> None:
        self.do(Kind.LOOK, path, lambda: self.client.look(path))

    def _read(self, path: str) -> Outcome:
        writer = path.split("/")[2]
        return self.do(Kind.READ, path, lambda: self.client.read(path, writer))[0]

    # When all is well again.

    def read_everything(self, wanted: Collection[str]) -> None:
        """Every directory and file once, and `wanted` until it could be read."""
        pending = [f"{ROOT}/{writer}" for writer in self._patient_list_of_root()]
        end = time.monotonic() + READABLE_S
        while pending and time.monotonic() < end:
            failed = [path for path in pending if not self._read_below(path)]
            pending = [path for path in failed if path in wanted]
            time.sleep(0.2)

    def _patient_list_of_root(self) -> list[str]:
        end = time.monotonic() + READABLE_S
        while True:
            outcome, found = _told(lambda: self.client.list(ROOT))
            if outcome is Outcome.OK and found is not None:
                return sorted(found)
            if time.monotonic() > end:
                sys.exit(f"{ROOT} can't be listed: {found}")
            time.sleep(0.5)

    def _read_below(self, path: str) -> bool:
        """A file, or a writer's directory with all its files; whether all was told."""
        if path.count("/") > ROOT.count("/") + 1:
            return self._read(path) is Outcome.OK
        self._list(path)
        files = [f"{path}/{name}" for name, what in self._names.items() if what != DIRECTORY]
        return all([self._read(each) is Outcome.OK for each in files])  # noqa: C419


WRITERS = {"writer": Writer, "namer": Namer}


def main() -> None:
    role, kind, name, seed, history = sys.argv[1:]
    conf_dir = os.environ["HADOOP_CONF_DIR"]
    client = {"own": OwnClient, "native": NativeClient}[kind](conf_dir, name)
    notes, dice = Notes(name, history), random.Random(f"{seed} {name}")
    if role in WRITERS:
        writer = WRITERS[role](client, notes, dice)
        writer.begin()
        writer.run(writer.step)
    elif role == "reader":
        reader = Reader(client, notes, dice)
        reader.run(reader.step)
    else:
        wanted = set(sys.stdin.read().splitlines())
        Reader(client, notes, dice).read_everything(wanted)
    # hdfs-native would wait for files that it could not end.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
