"""Data. What clients did and were told, as the checker reads it.

A writer has a directory of its own, where nobody else changes anything, and does one thing after
another. What it was told about a name decides what is there, until an outcome is not known: then
it leaves that name alone for good, since what it asked for may be done at any time later.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

ROOT = "/chaos"
"""Below it every writer has its directory."""
DIRECTORY = "directory"
NO_FILE = "no file"
"""What a READ is told of a directory, and of nothing."""


class Outcome(Enum):
    OK = "ok"
    REFUSED = "refused"
    """A NameNode said that it can't be done, as if what the writer knows were not so."""
    UNKNOWN = "unknown"
    """Nobody told, or told something that leaves both possible."""


class Kind(Enum):
    MKDIR = "mkdir"
    CREATE = "create"
    """An empty file."""
    WRITE = "write"
    """A file with one record."""
    APPEND = "append"
    """One record more."""
    RENAME = "rename"
    DELETE = "delete"
    LOOK = "look"
    """What a path is, and how long."""
    LIST = "list"
    """The same of all names of a directory."""
    READ = "read"
    """The records of a file."""


READS = frozenset({Kind.LOOK, Kind.LIST, Kind.READ})
IN_STEPS = frozenset({Kind.CREATE, Kind.WRITE, Kind.APPEND})
"""Several calls each: a reader may see them half done."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one operation put into a file; a reader may have seen `seen_bytes` of it only."""

    number: int
    size: int
    seen_bytes: int = -1

    @property
    def is_whole(self) -> bool:
        return self.seen_bytes < 0


Content = tuple[Record, ...]
Value = str | Content | None
"""Of a name: nothing, DIRECTORY, or a file's records."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a client did; by the wall clock of the one machine that all run on."""

    client: str
    number: int
    kind: Kind
    path: str
    began_s: float
    ended_s: float = math.inf
    """Infinite when the client ended before it was told."""
    outcome: Outcome = Outcome.UNKNOWN
    target: str = ""
    """Of a rename."""
    size: int = 0
    """Of the record that is written."""
    answer: Any = None
    """Of a read what was seen, of a refusal the reason, else what went wrong."""
    namenode: str = ""
    """Who answered; "" where the client does not know."""

    @property
    def directory(self) -> str:
        """Of the writer whose names it is about."""
        return self.path if self.kind is Kind.LIST else self.path.rpartition("/")[0]

    def describe(self) -> str:
        end = "never" if math.isinf(self.ended_s) else f"{self.ended_s:.3f}"
        words = [f"{self.began_s:.3f}..{end}", self.client, f"#{self.number}", self.kind.value]
        words += [word for word in (self.path, self.target) if word]
        if self.size:
            words.append(f"{self.size} bytes")
        told = f"{self.outcome.value} {self.answer}" if self.answer is not None else ""
        by = f" by {self.namenode}" if self.namenode else ""
        return f"{' '.join(words)}: {told or self.outcome.value}{by}"


# --- the bytes of a record ---


def record_bytes(client: str, number: int, size: int) -> bytes:
    """A line that says what it is, then filler that only this record has."""
    head = f"{client} {number} {size}\n".encode()
    assert size >= len(head), (client, number, size)
    seed = hashlib.sha256(head).digest()
    filler = seed * (size // len(seed) + 1)
    return head + filler[: size - len(head)]


def records_of(data: bytes, client: str) -> list[list[int]]:
    """[number, size, seen] of each, as JSON takes it; raises ValueError for bytes of nobody."""
    found, at = [], 0
    while at < len(data):
        line = data[at : at + 100].partition(b"\n")
        head = line[0].decode("ascii", "replace").split(" ")
        if not line[1]:
            if f"{client} ".encode().startswith(data[at:][: len(client) + 1]):
                return [*found, [0, 0, len(data) - at]]
            raise ValueError(f"at byte {at}: {data[at : at + 60]!r}")
        if head[0] != client or len(head) != 3:
            raise ValueError(f"at byte {at}: {line[0]!r}")
        number, size = int(head[1]), int(head[2])
        seen = data[at : at + size]
        if not record_bytes(client, number, size).startswith(seen):
            raise ValueError(f"record {number} at byte {at} is not what was written")
        found.append([number, size, -1 if len(seen) == size else len(seen)])
        at += size
    return found


# --- files of lines ---


def begun_line(operation: Operation) -> str:
    """What a client notes before it asks for something."""
    return json.dumps(
        {
            "n": operation.number,
            "kind": operation.kind.value,
            "path": operation.path,
            "target": operation.target,
            "size": operation.size,
            "at": operation.began_s,
        }
    )


def ended_line(number: int, at_s: float, outcome: Outcome, answer: Any, namenode: str) -> str:
    """What it notes when it was told."""
    return json.dumps(
        {"n": number, "outcome": outcome.value, "answer": answer, "nn": namenode, "at": at_s}
    )


def operations_of(
    client: str, lines: Iterable[str], namenodes: Mapping[str, str]
) -> Iterator[Operation]:
    """In the order in which they were begun; one without an end is not known. `namenodes`: the
    name of each host."""
    ends: dict[int, Mapping[str, Any]] = {}
    begins = []
    for line in lines:
        if not line.endswith("\n"):
            break  # The client was killed in the middle of it.
        row = json.loads(line)
        if "kind" in row:
            begins.append(row)
        else:
            ends[row["n"]] = row
    for row in begins:
        end = ends.get(row["n"])
        yield Operation(
            client=client,
            number=row["n"],
            kind=Kind(row["kind"]),
            path=row["path"],
            target=row["target"],
            size=row["size"],
            began_s=row["at"],
            ended_s=math.inf if end is None else end["at"],
            outcome=Outcome.UNKNOWN if end is None else Outcome(end["outcome"]),
            answer=None if end is None else end["answer"],
            namenode="" if end is None else namenodes.get(end["nn"], end["nn"]),
        )
